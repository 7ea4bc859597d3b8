from __future__ import annotations

from pathlib import Path

import pytest

from flyem_snapshot.config.load import load_config
from flyem_snapshot.config.resolve import final_config_yaml, input_files, output_directory, resolve, result_settings

TEXT = """
inputs:
  synapses:
    syndir: $FLYEM_TEST_DATA/syn
    synapse-points: '{syndir}/points.feather'
    synapse-partners: ~/partners.feather
    compartment-column: compartment
  elements:
    mito: {point-table: '${FLYEM_TEST_DATA}/mito.feather', distance-table: ../near.feather}
    soma: {point-table: /data/soma.csv, roi-set-names: [primary]}
  annotations:
    body-annotations-table: tables/../annotations.feather
    replace-values:
      - {source-column: a, replacements: {x: y}}
      - {source-column: a, target-column: b, replacements: {x: 1, y: null}}
    processes: 3
  rois:
    roi-sets:
      primary: {source: point-table, rois: {A: 1}}
      layer: {source: point-table, rois: layers.json}
outputs:
  flat-connectome: {gcs-bucket-dir: bucket/dir}
job-settings:
  snapshot-tag: v1
  output-dir: ../out
  processes: 2
  scratch-dir: fast
"""

SMALL = """
inputs:
  synapses: {synapse-points: points.feather, synapse-partners: partners.feather}
job-settings: {snapshot-tag: v1}
"""


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    monkeypatch.setenv("FLYEM_TEST_DATA", "/data")
    monkeypatch.setenv("HOME", "/home-of-user")


@pytest.fixture
def resolved(load):
    return resolve(load(TEXT))


def test_paths_become_absolute_relative_to_the_file_that_mentions_them(resolved, tmp_path):
    synapses, elements = resolved.inputs.synapses, resolved.inputs.elements.tables

    assert synapses.syndir == Path("/data/syn")
    assert synapses.synapse_points == Path("/data/syn/points.feather")
    assert synapses.synapse_partners == Path("/home-of-user/partners.feather")
    assert elements["mito"].point_table == Path("/data/mito.feather")
    assert elements["mito"].distance_table == tmp_path.parent / "near.feather"
    assert elements["soma"].point_table == Path("/data/soma.csv")
    assert resolved.inputs.annotations.body_annotations_table == tmp_path / "annotations.feather"
    assert resolved.inputs.rois.roi_sets["layer"].rois == str(tmp_path / "layers.json")
    assert resolved.job_settings.scratch_dir == tmp_path / "fast"
    assert resolved.job_settings.output_dir == tmp_path.parent / "out"


def test_a_relative_syndir_begins_at_the_config_file(load, tmp_path):
    loaded = load(
        SMALL.replace("synapse-points: points", "syndir: syn, synapse-points: '{syndir}/points").replace(
            "points.feather,", "points.feather',"
        )
    )

    assert resolve(loaded).inputs.synapses.synapse_points == tmp_path / "syn" / "points.feather"


def test_a_config_file_given_by_a_relative_path_gives_absolute_paths(load, model, tmp_path, monkeypatch):
    load(SMALL)
    monkeypatch.chdir(tmp_path)

    config = resolve(load_config(Path("config.yaml"), model))

    assert config.inputs.synapses.synapse_points == tmp_path / "points.feather"
    assert config.inputs.synapses.syndir is None


def test_what_is_not_set_is_inherited(resolved):
    inputs, flat = resolved.inputs, resolved.outputs.flat_connectome

    assert inputs.synapses.roi_set_names == ("primary", "layer")
    assert inputs.elements.tables["mito"].roi_set_names == ("primary", "layer")
    assert inputs.elements.tables["soma"].roi_set_names == ("primary",)
    assert flat.compartment_column == "compartment"
    assert inputs.synapses.processes == 2
    assert inputs.annotations.processes == 3
    assert [entry.target_column for entry in inputs.annotations.replace_values] == ["a", "b"]


def test_the_default_roi_set_is_unset_where_there_are_no_roi_sets(load):
    config = resolve(load(SMALL))

    assert config.outputs.flat_connectome.roi_set is None
    assert config.inputs.synapses.roi_set_names == ()


def test_the_default_roi_set_stays_where_it_exists(resolved):
    assert resolved.outputs.flat_connectome.roi_set == "primary"


def test_the_loaded_configuration_is_not_changed(load):
    loaded = load(TEXT)
    before = loaded.config.model_dump()
    resolve(loaded)

    assert loaded.config.model_dump() == before
    assert loaded.config.inputs.synapses.roi_set_names is None


def test_without_output_dir_results_go_below_the_current_directory(load, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    loaded = load(SMALL)

    assert output_directory(loaded.config, loaded.path) == elsewhere / "v1"
    assert resolve(loaded).job_settings.output_dir == elsewhere / "v1"


def test_an_output_dir_is_relative_to_the_config_file(load, tmp_path):
    loaded = load(TEXT)

    assert output_directory(loaded.config, loaded.path) == tmp_path.parent / "out"


@pytest.mark.parametrize("text", [TEXT, SMALL])
def test_the_final_configuration_loads_again_to_an_equal_one_from_anywhere(load, model, tmp_path, monkeypatch, text):
    config = resolve(load(text))
    other = tmp_path / "other" / "place"
    other.mkdir(parents=True)
    (other / "final-config.yaml").write_text(final_config_yaml(config))
    monkeypatch.delenv("FLYEM_TEST_DATA")
    monkeypatch.chdir(other)

    assert resolve(load_config(other / "final-config.yaml", model)) == config


def test_the_input_files_of_a_section_are_known_by_setting(resolved, tmp_path):
    assert input_files(resolved.inputs.elements) == {
        "mito.point-table": Path("/data/mito.feather"),
        "mito.distance-table": tmp_path.parent / "near.feather",
        "soma.point-table": Path("/data/soma.csv"),
    }
    assert input_files(resolved.inputs.rois) == {"roi-sets.layer.rois": tmp_path / "layers.json"}
    assert list(input_files(resolved.inputs.synapses)) == ["synapse-points", "synapse-partners"]
    assert input_files(resolved.inputs.body_sizes) == {}


def test_the_settings_that_affect_a_result_leave_out_files_and_the_machine(resolved):
    assert result_settings(resolved.inputs.synapses) == {
        "zone": None,
        "min-confidence": 0.0,
        "permit-body-0": False,
        "roi-set-names": ["primary", "layer"],
        "compartment-column": "compartment",
    }
    no_points = {"instance": None, "column-name": None, "extract-properties": {}}
    common = {"dvid-point-annotations": no_points, "permit-body-0": False, "type": None}
    assert result_settings(resolved.inputs.elements) == {
        "mito": {**common, "roi-set-names": ["primary", "layer"]},
        "soma": {**common, "roi-set-names": ["primary"]},
    }
    assert result_settings(resolved.inputs.rois)["roi-sets"]["primary"]["rois"] == {"A": 1}
    assert "rois" not in result_settings(resolved.inputs.rois)["roi-sets"]["layer"]
    assert result_settings(resolved.inputs.annotations)["replace-values"] == [
        {"source-column": "a", "target-column": "a", "replacements": {"x": "y"}},
        {"source-column": "a", "target-column": "b", "replacements": {"x": 1, "y": None}},
    ]
    assert result_settings(resolved.outputs.flat_connectome) == {
        "export-connectome": True,
        "roi-set": "primary",
        "compartment-column": "compartment",
        "restrict-connectivity-to-roiset": None,
        "annotation-property-names": None,
        "gcs-bucket-dir": "bucket/dir",
    }
