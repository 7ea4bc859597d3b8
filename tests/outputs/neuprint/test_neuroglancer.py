from __future__ import annotations

import json

import pytest

from flyem_snapshot.errors import SettingError
from flyem_snapshot.outputs.neuprint.neuroglancer import state_text, write_neuroglancer_state
from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings
from tests.contexts import make_context


@pytest.fixture
def settings(tmp_path):
    def make(template, meta=None, **replacements):
        file = tmp_path / "state.json"
        file.write_text(template)
        return NeuprintSettings.model_validate(
            {
                "meta": {"dataset": "toy", "tag": "v1", "uuid": "abc", "roiHierarchy": {"CNS": None}, **(meta or {})},
                "neuroglancer": {"json-state": file, "replacements": replacements},
            }
        )

    return make


NAMES = '["DATASET_AND_TAG", "DVID_UUID", "VERSION_TAG"]'


def test_names_are_those_of_the_dataset_unless_given(settings):
    assert json.loads(state_text(settings(NAMES))) == ["toy:v1", "abc", "v1"]
    assert json.loads(state_text(settings(NAMES, {"tag": "", "uuid": ""}))) == ["toy", "", ""]
    assert json.loads(state_text(settings(NAMES, VERSION_TAG="x", DVID_UUID=""))) == ["toy:v1", "abc", "x"]


def test_further_texts_may_be_replaced_and_the_longest_wins(settings):
    assert json.loads(state_text(settings('["MY_TAG", "MY_TAG_TOO"]', MY_TAG="a", MY_TAG_TOO="b"))) == ["a", "b"]


def test_the_state_is_indented_with_lists_of_numbers_on_one_line(settings):
    state = {"position": [1, 2.5, 3], "layers": [{"name": "ü", "matrix": [[1, 2], [3, 4]]}], "a": [], "b": {}}

    assert state_text(settings(json.dumps(state))) == (
        "{\n"
        '  "position": [1, 2.5, 3],\n'
        '  "layers": [\n    {\n      "name": "ü",\n'
        '      "matrix": [\n        [1, 2],\n        [3, 4]\n      ]\n    }\n  ],\n'
        '  "a": [],\n  "b": {}\n'
        "}\n"
    )


def test_the_file_is_called_like_the_dataset(settings, tmp_path):
    write_neuroglancer_state(settings("{}"), make_context(tmp_path))

    assert (tmp_path / "neuprint" / "toy:v1.json").read_text() == "{}\n"


def test_without_a_template_nothing_is_written(tmp_path):
    write_neuroglancer_state(NeuprintSettings(), make_context(tmp_path))

    assert not (tmp_path / "neuprint").exists()


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ('{\n "a": VERSION_TAG\n}', "(line 2, column 7: Expecting value)"),
        ("", "the file is empty"),
        ("[NaN]", "NaN is no JSON value"),
    ],
)
def test_what_is_not_json_once_names_are_replaced_is_told_with_its_place(settings, template, words):
    with pytest.raises(SettingError) as caught:
        state_text(settings(template))

    assert words in str(caught.value)
    assert caught.value.field == ("neuroglancer", "json-state")
