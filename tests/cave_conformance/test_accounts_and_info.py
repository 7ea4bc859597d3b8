"""What the services say to strangers, and of themselves (2.1, 2.2, 2.4)."""

from __future__ import annotations

import pytest

RECORD = {
    "aligned_volume",
    "segmentation_source",
    "skeleton_source",
    "analysis_database",
    "viewer_site",
    "synapse_table",
    "soma_table",
    "local_server",
    "description",
    "viewer_resolution_x",
    "viewer_resolution_y",
    "viewer_resolution_z",
    "proofreading_status_table",
    "cell_identification_table",
    "proofreading_review_table",
}


def test_a_request_that_looks_like_a_browser_is_sent_to_a_login_page(services):
    answer = services.ask("GET", f"{services.materialize}/versions", headers={})
    assert answer.status_code == 302
    assert "Location" in answer.headers


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({"X-Requested-With": "XMLHttpRequest"}, 401, "no_token"),
        ({"Authorization": "Bearer ffffffffffffffffffffffffffffffff"}, 401, "invalid_token"),
        ({"Authorization": "Basic abc"}, 400, "bad_auth_header"),
    ],
)
def test_a_bad_token_is_refused_in_words_of_a_machine(services, headers, status, error):
    answer = services.ask("GET", f"{services.materialize}/versions", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["message"]
    assert (status == 401) == answer.headers.get("WWW-Authenticate", "").startswith("Bearer realm=")


def test_the_record_of_a_datastack_has_the_keys_of_today(services):
    assert set(services.record) >= RECORD
    volume = services.record["aligned_volume"]
    assert set(volume) >= {"id", "name", "display_name", "description", "image_source"}


def test_the_record_of_the_volume_is_found_by_name_and_by_number(services):
    volume = services.record["aligned_volume"]
    for key in (volume["name"], f"id/{volume['id']}"):
        found = services.get(f"{services.url}/info/api/v2/aligned_volume/{key}")
        assert (found["id"], found["name"]) == (volume["id"], volume["name"])
    assert services.datastack in services.get(f"{services.url}/info/api/v2/aligned_volume/{volume['name']}/datastacks")


def test_one_s_own_datastack_is_among_all(services):
    assert services.datastack in services.get(f"{services.url}/info/api/v2/datastacks")


def test_an_unknown_datastack_is_a_404_with_a_message(services):
    answer = services.ask("GET", f"{services.url}/info/api/v2/datastack/full/there_is_no_such_datastack")
    assert answer.status_code == 404
    assert answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "spoken"),
    [
        ("info/api/versions", 2),
        ("annotation/api/versions", 2),
        ("materialize/api/versions", 3),
        ("segmentation/api/versions", 1),
        ("schema/versions", 2),
    ],
)
def test_a_service_names_the_versions_that_it_speaks(services, path, spoken):
    base = services.url if path.startswith(("info", "schema")) else services.local
    assert spoken in services.get(f"{base}/{path}")


@pytest.mark.parametrize("path", ["materialize/version", "segmentation/api/version"])
def test_a_service_names_the_version_of_its_software_as_json_text(services, path):
    major, minor, patch = services.get(f"{services.local}/{path}").split(".")
    assert major.isdigit()
    assert minor.isdigit()
    assert patch
