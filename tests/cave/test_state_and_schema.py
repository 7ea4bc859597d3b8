"""Neuroglancer states, and the schemas of annotations."""

from __future__ import annotations

import numpy as np
import pytest

from flyem_snapshot.cave import CaveError, NotFound

ROOT_ID = 864691134988869442


def test_a_state_goes_there_and_comes_back(client):
    state = {"layers": [{"name": "img", "shaderControls": {}}], "position": [1.5, 2, 3]}
    number = client.state.upload_state_json(state)
    assert (type(number), len(str(number))) == (int, 16)
    assert client.state.get_state_json(number) == state
    assert client.state.get_state_json(str(number)) == state
    assert client.state.get_state_json(np.int64(number)) == state


def test_a_state_may_be_named_by_its_address_at_this_service(client, cave):
    number = client.state.upload_state_json({"a": 1})
    for prefix in ("", "middleauth+"):
        assert client.state.get_state_json(f"{prefix}{cave.url}/nglstate/api/v1/{number}") == {"a": 1}


def test_ids_beyond_2_53_are_uploaded_as_texts_so_that_a_browser_keeps_them(client):
    state = {"segments": np.array([ROOT_ID, 5], np.uint64), "selected": np.int64(ROOT_ID), "zoom": np.float32(0.5)}
    number = client.state.upload_state_json(state)
    expected = {"segments": ["864691134988869442", 5], "selected": "864691134988869442", "zoom": 0.5}
    assert client.state.get_state_json(number) == expected
    assert isinstance(state["segments"], np.ndarray), "what was given is left alone"


@pytest.mark.parametrize(
    ("site", "target", "expected"),
    [
        ("https://n.example", "seunglab", "https://n.example/?json_url={state}"),
        ("https://n.example/", "seunglab", "https://n.example/?json_url={state}"),
        ("https://n.example", "spelunker", "https://n.example/#!middleauth+{state}"),
        (None, "seunglab", "https://viewer.example.org/?json_url={state}"),
        ("", "seunglab", "{state}"),
    ],
)
def test_the_address_of_a_state_in_a_viewer(client, cave, site, target, expected):
    state = f"{cave.url}/nglstate/api/v1/5723684551524352"
    url = client.state.build_neuroglancer_url(state_id=5723684551524352, ngl_url=site, target_site=target)
    assert url == expected.format(state=state)


def test_an_unknown_kind_of_viewer_is_refused(client):
    with pytest.raises(ValueError, match="target_site is"):
        client.state.build_neuroglancer_url(1, target_site="other")


def test_a_state_that_is_not_there_is_an_error(client):
    with pytest.raises(CaveError, match="500 Internal Server Error"):
        client.state.get_state_json(1)


def test_the_answer_to_an_upload_must_have_a_number(client, cave):
    cave.faults.replaced(b'"somewhere"', "nglstate", method="POST")
    with pytest.raises(CaveError, match="the number of the new state is not in 'somewhere'"):
        client.state.upload_state_json({})


def test_schemas_have_their_first_name_and_the_one_of_today(client):
    listed = client.schema.schema()
    assert listed == client.schema.get_schemas()
    assert len(listed) >= 57
    assert {"synapse", "nucleus_detection", "microns_func_coreg"} <= set(listed)


def test_schemas_need_no_token(cave, new_client):
    client = new_client(auth_token=None)
    definition = client.schema.schema_definition("microns_func_coreg")
    assert "func_id" in definition["definitions"]["FunctionalCoregistration"]["properties"]
    with pytest.raises(NotFound):
        client.schema.schema_definition("no_such_schema")


def test_several_or_all_definitions_come_at_once(client):
    two = client.schema.schema_definition_multi(["synapse", "bound_tag"])
    everything = client.schema.schema_definition_all()
    assert two == {name: everything[name] for name in ("synapse", "bound_tag")}
    assert list(everything) == client.schema.schema()
