from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest

from flyem_snapshot.config.load import load_config
from flyem_snapshot.config.resolve import final_config_yaml, resolve, result_settings
from flyem_snapshot.config.root import config_model
from flyem_snapshot.config.rules import rule_problems
from flyem_snapshot.config.template import default_yaml, verbose_yaml
from flyem_snapshot.errors import ConfigError, SettingError
from flyem_snapshot.outputs.neuprint.meta_settings import MetaSettings
from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings

CONFIG = """\
outputs:
  neuprint:
    export-neuprint-snapshot: true
    meta: {meta}
job-settings: {{snapshot-tag: v1}}
"""
META = """\
dataset: toy
tag: v1
postHPThreshold: 0.7
primaryRois: ["ME(R)"]
roiHierarchy: {CNS: {"OL(R)": ["ME(R)", "LO(R)"], FB: null}}
"""


@pytest.fixture
def model():
    return config_model([("outputs", "neuprint", NeuprintSettings)])


@pytest.fixture
def load(model, tmp_path):
    def load_files(meta="meta/toy.yaml", config=CONFIG, **files):
        for name, text in {"config": config.format(meta=meta), **files}.items():
            path = tmp_path / ("config.yaml" if name == "config" else "meta/" + name.replace("_", "."))
            path.parent.mkdir(exist_ok=True)
            path.write_text(dedent(text))
        return load_config(tmp_path / "config.yaml", model)

    return load_files


@pytest.fixture
def complaint(load, tmp_path):
    def message(**files):
        with pytest.raises(ConfigError) as caught:
            load(**files)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message


def meta_of(loaded):
    return loaded.config.outputs.neuprint.meta


def problems(**settings):
    found = rule_problems(
        MetaSettings.model_validate({"dataset": "toy", "roiHierarchy": {"CNS": ["A", "B"]}} | settings)
    )
    return {".".join(map(str, problem.path)): problem.message for problem in found}


def test_a_meta_file_is_read_relative_to_the_config(load):
    meta = meta_of(load(toy_yaml=META))

    assert (meta.dataset, meta.tag, meta.post_hp_threshold, meta.full_name) == ("toy", "v1", 0.7, "toy:v1")
    assert meta.roi_hierarchy == {"CNS": {"OL(R)": ["ME(R)", "LO(R)"], "FB": None}}


def test_its_mistakes_are_told_with_its_own_lines_after_those_of_the_config_all_at_once(complaint):
    broken = META.replace("tag:", "tagg:").replace("0.7", "'high'")
    config = CONFIG.replace("export-neuprint", "export-newprint")

    assert complaint(toy_yaml=broken, config=config).splitlines() == [
        "config.yaml:3:5: outputs.neuprint.export-newprint-snapshot: unknown setting",
        "  hint: did you mean 'export-neuprint-snapshot'?",
        "meta/toy.yaml:2:1: tagg: unknown setting",
        "  hint: did you mean 'tag'?",
        "meta/toy.yaml:3:1: postHPThreshold: must be a number between 0 and 1, not 'high'",
    ]


def test_rules_and_errors_of_the_stage_have_the_lines_of_the_meta_file_too(load, complaint, tmp_path):
    message = complaint(toy_yaml=META.replace('["ME(R)"]', '["ME(R)", "MF(R)"]').replace("toy", "Toy"))

    assert "meta/toy.yaml:1:1: outputs.neuprint.meta.dataset: may contain lower-case letters" in message
    assert "meta/toy.yaml:4:24: outputs.neuprint.meta.primaryRois.1: 'MF(R)' is neither in roiHierarchy" in message
    assert "did you mean 'ME(R)'?" in message
    error = load(toy_yaml=META).blame(("outputs", "neuprint"), SettingError(("meta", "roiHierarchy"), "is odd"))
    assert str(error).replace(f"{tmp_path}/", "") == ("meta/toy.yaml:5:1: outputs.neuprint.meta.roiHierarchy: is odd")


def test_a_meta_file_that_is_missing_or_no_mapping_is_told_where_it_is_named(complaint):
    assert "config.yaml:4:5: outputs.neuprint.meta: " in complaint(meta="nowhere.yaml")
    assert "there is no such file" in complaint(meta="nowhere.yaml")
    assert "meta/toy.yaml:1:1: a configuration consists of settings by name, but this file is a list" in complaint(
        toy_yaml="[a]"
    )


def test_the_final_config_has_the_meta_inlined_and_loads_again(load, model, tmp_path):
    config = resolve(load(toy_yaml=META))
    again = tmp_path / "elsewhere.yaml"
    again.write_text(final_config_yaml(config))
    (tmp_path / "meta" / "toy.yaml").unlink()

    assert "dataset: toy" in again.read_text()
    assert resolve(load_config(again, model)).outputs.neuprint == config.outputs.neuprint


def test_the_content_of_the_meta_file_and_of_what_it_includes_is_in_the_key(load):
    meta = META.replace('{CNS: {"OL(R)": ["ME(R)", "LO(R)"], FB: null}}', "tree.json")

    def key(text, tree):
        return result_settings(load(toy_yaml=text, tree_json=tree).config.outputs.neuprint)

    tree = '{"CNS": ["ME(R)"]}'
    assert key(meta, tree) == key(f"# a comment\n{meta}", tree)
    assert key(meta, tree) != key(meta.replace("0.7", "0.8"), tree)
    assert key(meta, tree) != key(meta, '{"CNS": ["ME(R)", "FB"]}')


def test_files_inside_the_hierarchy_are_relative_to_the_file_that_names_them(load):
    meta = META.replace("FB: null", "FB: layers.yaml")
    loaded = load(toy_yaml=meta, layers_yaml="[FB1, FB2]\n")

    assert meta_of(loaded).roi_hierarchy["CNS"]["FB"] == ["FB1", "FB2"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"A": 1, "A": 2}', "'A' is given twice"),
        ("{", "cannot be read"),
        ('{"A": "layers.json"}', "includes itself"),
        (None, "No such file"),
    ],
)
def test_a_file_inside_the_hierarchy_that_cannot_be_used_is_told_where_it_is_named(complaint, content, reason):
    meta = META.replace("FB: null", "FB: layers.json")
    files = {} if content is None else {"layers_json": content}
    message = complaint(toy_yaml=meta, **files)

    assert message.startswith("meta/toy.yaml:5:51: roiHierarchy.CNS.FB")
    assert reason in message


@pytest.mark.parametrize("name", ["Toy", "to:y", "to`y", "", "t y", "../toy", "töy"], ids=lambda name: f"<{name}>")
def test_a_dataset_name_that_the_server_cannot_serve_is_refused(name):
    assert list(problems(dataset=name)) == ["dataset"]


def test_dataset_names_in_use_are_accepted():
    for name in ("hemibrain", "optic-lobe", "male_cns", "manc1.2", "fib19"):
        assert problems(dataset=name) == {}


@pytest.mark.parametrize("name", ["A`", "A:B", 'A"', "A;B", "A\nB", " "])
def test_roi_names_that_a_database_cannot_hold_are_refused_wherever_they_stand(name):
    found = problems(roiHierarchy={"CNS": {name: None, "A": [name + "x"]}}, nonHierarchicalROIs=[name])

    assert set(found) >= {f"roiHierarchy.CNS.{name}", "nonHierarchicalROIs.0"}


@pytest.mark.parametrize(
    ("hierarchy", "words"),
    [
        ({}, "exactly one root, not 0"),
        ({"A": None, "B": None}, "exactly one root, not 2 (A, B)"),
        ("", "is no ROI"),
        ("roiset://primary", "exactly one root"),
        ({"CNS": 1}, "is no ROI"),
        ({"CNS": {"A": "B"}}, "is no ROI"),
        ({"CNS": [None]}, "is no ROI"),
        ({"CNS": {"X": ["A", "B"], "Y": {"A": None}}}, "'A' is in the hierarchy twice (also in CNS > X)"),
        ({"CNS": {"CNS": None}}, "'CNS' is in the hierarchy twice"),
    ],
)
def test_a_hierarchy_that_is_no_tree_of_rois_is_refused(hierarchy, words):
    assert words in " ".join(problems(roiHierarchy=hierarchy).values())


@pytest.mark.parametrize("key", ["primaryRois", "overviewRois", "nerveRois", "excludeFromOverview"])
def test_lists_name_rois_of_the_hierarchy_or_beside_it_each_once(key):
    assert problems(**{key: ["A", "N"], "nonHierarchicalROIs": ["N"]}) == {}
    assert list(problems(**{key: ["A", "C"]})) == [f"{key}.1"]
    assert "twice" in problems(**{key: ["A", "A"]})[f"{key}.1"]


def test_descriptions_of_unknown_rois_are_refused():
    assert list(problems(roiDescriptions={"A": "a", "AB": "?"})) == ["roiDescriptions.AB"]


def test_rois_of_roi_sets_are_not_judged_before_the_sets_are_known():
    assert problems(roiHierarchy={"CNS": {"A": "roiset://layers"}}, primaryRois=["A", "layer 1"]) == {}


def test_columns_are_checked():
    assert "twice" in problems(neuronColumnsOrdered=[{"id": "a"}, {"id": "a"}])["neuronColumnsOrdered.1.id"]
    assert "auto" in problems(neuronColumnsOrdered=[{"id": "a", "choices": "Auto"}])["neuronColumnsOrdered.0.choices"]
    assert problems(neuronColumnsOrdered=[{"id": "a", "choices": ["x", 1, True]}]) == {}


@pytest.mark.parametrize("size", [[8, 8], [8, 8, 0], []])
def test_a_voxel_has_three_sizes(size):
    assert list(problems(voxelSize=size)) == ["voxelSize"]


def test_the_defaults_are_those_of_the_documentation():
    meta = MetaSettings.model_validate({"dataset": "toy", "roiHierarchy": {"CNS": None}})

    assert meta.voxel_size == (8.0, 8.0, 8.0)
    assert [column.id for column in meta.neuron_columns_ordered] == ["bodyId", "type", "status"]
    assert [column.choices for column in meta.neuron_columns_ordered] == [None, None, "auto"]
    assert meta.neuron_columns_visible == ("bodyId", "type", "status")
    assert (meta.overview_order, meta.roi_descriptions, meta.primary_rois) == ("clustered", {}, ())
    assert (meta.post_high_accuracy_threshold, meta.post_hp_threshold, meta.pre_hp_threshold) == (0, 0, 0)


@pytest.mark.parametrize("template", [default_yaml, verbose_yaml])
def test_a_template_loads_back_to_the_defaults_once_it_is_filled_in(load, template):
    text = template(MetaSettings)
    for key, value in {"dataset": "toy", "roiHierarchy": "{CNS: null}"}.items():
        assert text.count(f"\n{key}: ''  # required") + text.startswith(f"{key}: ''  # required") == 1
        text = text.replace(f"{key}: ''  # required", f"{key}: {value}")

    assert meta_of(load(toy_yaml=text)) == MetaSettings(dataset="toy", roi_hierarchy={"CNS": None})


def test_the_committed_schema_accepts_what_users_have(root: Path):
    schema = json.loads((root / "docs" / "neuprint-meta.schema.json").read_text())
    jsonschema.validate({"dataset": "toy", "roiHierarchy": {"CNS": None}, "nerveRois": [], "uuid": ""}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"dataset": "toy"}, schema)
