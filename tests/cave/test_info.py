"""The record of a datastack, and paths as other programs write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.cave import CaveError, NotFound
from flyem_snapshot.cave.paths import formatted, graph_table
from tests.cave.conftest import DATASTACK, VOLUME

GOOGLE = "https://storage.googleapis.com"


def test_the_record_has_what_the_service_says(client, cave, stack):
    info = client.info.get_datastack_info()
    assert info["local_server"] == cave.url
    assert info["aligned_volume"]["name"] == VOLUME
    assert info["synapse_table"] is None
    assert (client.info.datastack_name, client.info.server_address) == (DATASTACK, cave.url)


def test_the_record_is_asked_for_once_and_cannot_be_spoilt(client, cave):
    client.info.get_datastack_info()["aligned_volume"]["name"] = "mine"
    assert client.info.aligned_volume_name() == VOLUME
    asked = [request for request in cave.requests if "datastack/full" in request.path]
    assert len(asked) == 1
    cave.datastacks[DATASTACK].record["description"] = "new"
    assert client.info.get_datastack_info(use_stored=False)["description"] == "new"
    cave.datastacks[DATASTACK].record["description"] = "newer"
    client.info.refresh_stored_data()
    assert client.info.get_datastack_info()["description"] == "newer"


def test_other_datastacks_and_volumes_can_be_asked_for(client, cave):
    cave.new_datastack("flywire", "fafb")
    assert client.info.get_datastacks() == [DATASTACK, "flywire"]
    assert client.info.get_datastack_info("flywire")["description"] == "the datastack flywire"
    assert client.info.get_aligned_volumes() == [VOLUME, "fafb"]
    assert client.info.get_aligned_volume_info_by_id(2)["name"] == "fafb"
    assert client.info.get_datastacks_by_aligned_volume("fafb") == ["flywire"]
    with pytest.raises(NotFound):
        client.info.get_datastack_info("nothing")


def test_single_values_have_methods_of_their_own(client, cave):
    cave.datastacks[DATASTACK].record |= {"local_server": f"{cave.url}/"}
    assert client.info.local_server() == cave.url
    assert client.info.annotation_endpoint() == f"{cave.url}/annotation"
    assert client.info.viewer_site() == "https://viewer.example.org"
    assert client.info.viewer_resolution() == (4.0, 4.0, 40.0)
    assert client.info.skeleton_source() is None
    assert client.info.synapse_segmentation_source() is None


def test_a_record_without_what_is_needed_says_so(client, cave):
    cave.datastacks[DATASTACK].record |= {"local_server": None, "aligned_volume": None, "viewer_resolution_x": None}
    with pytest.raises(CaveError, match="its record has no 'local_server'"):
        client.info.local_server()
    with pytest.raises(CaveError, match="it names no aligned volume"):
        client.info.image_source()
    assert client.info.viewer_resolution() is None


W9 = [
    ("precomputed://gs://b/p/q", "precomputed://gs://b/p/q", f"precomputed://{GOOGLE}/b/p/q"),
    (f"precomputed://{GOOGLE}/b/p", "precomputed://gs://b/p", f"precomputed://{GOOGLE}/b/p"),
    ("gs://bucket/path", "precomputed://gs://bucket/path", f"precomputed://{GOOGLE}/bucket/path"),
    (f"{GOOGLE}/bucket/path/", "precomputed://gs://bucket/path/", f"precomputed://{GOOGLE}/bucket/path/"),
    (
        "https://b.storage.googleapis.com/p",
        "precomputed://gs://b/p",
        "precomputed://https://b.storage.googleapis.com/p",
    ),
    ("https://host/em", "precomputed://https://host/em", "precomputed://https://host/em"),
    ("precomputed://https://host/em", "precomputed://https://host/em", "precomputed://https://host/em"),
    ("s3://b/p", "precomputed://s3://b/p", "precomputed://s3://b/p"),
    ("zarr://gs://b/p", "zarr://gs://b/p", f"zarr://{GOOGLE}/b/p"),
    ("graphene://https://h/segmentation/table/t", "graphene://https://h/segmentation/table/t", None),
    (
        "graphene://middleauth+https://h/segmentation/table/t",
        "graphene://middleauth+https://h/segmentation/table/t",
        None,
    ),
    ("graphene://https://minnie/proxy/em/", "graphene://https://minnie/proxy/em/", None),
    ("https://h/segmentation/table/t", "graphene://https://h/segmentation/table/t", None),
    ("https://h/segmentation/table", "precomputed://https://h/segmentation/table", None),
]


@pytest.mark.parametrize(("path", "neuroglancer", "cloudvolume"), W9)
def test_w9_a_path_is_formatted_for_each_program(path, neuroglancer, cloudvolume):
    assert formatted(path, "raw") == path
    assert formatted(path, "neuroglancer") == neuroglancer
    assert formatted(path, "cloudvolume") == (cloudvolume or neuroglancer)


def test_w9_no_path_is_none_and_an_unknown_program_is_an_error():
    assert formatted(None, "neuroglancer") is None
    assert formatted("", "cloudvolume") is None
    with pytest.raises(ValueError, match="format_for is one of raw, neuroglancer, cloudvolume, not 'napari'"):
        formatted("gs://b/p", "napari")


def test_w9_all_sources_of_the_client_are_formatted(client, cave):
    path = "gs://b/p"
    cave.datastacks[DATASTACK].volume.image_source = path
    keys = ("segmentation_source", "skeleton_source", "synapse_segmentation_source")
    cave.datastacks[DATASTACK].record |= dict.fromkeys(keys, path)
    for name in (*keys, "image_source"):
        assert getattr(client.info, name)(format_for="cloudvolume") == f"precomputed://{GOOGLE}/b/p"


@given(
    st.sampled_from(["", "precomputed://"]),
    st.from_regex(r"[a-z0-9][a-z0-9-]{2,8}(/[\w.-]{1,6}){1,3}/?", fullmatch=True),
)
def test_w9_no_part_of_a_path_is_lost_and_formatting_twice_changes_nothing(kind, place):
    for start in ("gs://", f"{GOOGLE}/"):
        near, far = formatted(kind + start + place, "neuroglancer"), formatted(kind + start + place, "cloudvolume")
        assert near == f"precomputed://gs://{place}"
        assert far == f"precomputed://{GOOGLE}/{place}"
        assert (formatted(far, "neuroglancer"), formatted(near, "cloudvolume")) == (near, far)


@pytest.mark.parametrize(
    "source",
    [
        "graphene://https://h/segmentation/table/t_1",
        "graphene://https://h/segmentation/table/t_1/",
        "https://h/segmentation/table/t_1",
    ],
)
def test_the_table_of_a_graph_is_the_last_part_of_its_path(source):
    assert graph_table(source) == "t_1"


@pytest.mark.parametrize("source", ["precomputed://gs://b/p", "", "graphene://"])
def test_what_is_no_graph_has_no_table(source):
    with pytest.raises(ValueError, match="is not the address of a chunked graph"):
        graph_table(source)
