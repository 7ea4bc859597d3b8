from __future__ import annotations

import logging

import pandas as pd
import pytest

from flyem_snapshot.config.fallbacks import with_fallbacks
from flyem_snapshot.errors import DataError, Problem
from flyem_snapshot.outputs.neuprint.check import check_neuprint
from flyem_snapshot.pipeline.job import composed_model
from flyem_snapshot.pipeline.registry import INPUTS, OUTPUTS

ROI_SETS = {
    "primary": {"source": "point-table", "rois": ["FB", "EB"]},
    "layer": {"source": "point-table", "rois": {"L1": 1, "L2": 2}},
    "found": {"source": "point-table"},
}
META = {"dataset": "toy", "roiHierarchy": {"CNS": {"FB": ["L1", "L2"], "EB": None}}}


@pytest.fixture
def found(tmp_path):
    """What the check says of a neuprint section, as {path: message}; data errors have the path ''."""
    pd.DataFrame({"x": [1], "y": [1], "z": [1], "body": [1], "mitoType": ["a"]}).to_feather(tmp_path / "mito.feather")
    pd.DataFrame({"x": [1], "kind": ["PreSyn"], "vesicle": [1]}).to_feather(tmp_path / "points.feather")
    pd.DataFrame({"body": [1], "cell_type": ["a"]}).to_feather(tmp_path / "bodies.feather")

    def check(roi_sets=ROI_SETS, compartment=None, predictions=None, **neuprint):
        config = {
            "inputs": {
                "synapses": {
                    "synapse-points": tmp_path / "points.feather",
                    "synapse-partners": tmp_path / "partners.feather",
                    "compartment-column": compartment,
                },
                "elements": {
                    "mito": {"point-table": tmp_path / "mito.feather", "type": "mito"},
                    "near": {"distance-table": tmp_path / "near.feather"},
                },
                "annotations": {"body-annotations-table": tmp_path / "bodies.feather"},
                "rois": {"roi-sets": roi_sets},
                "neurotransmitters": {"synister-feather": predictions},
            },
            "outputs": {"neuprint": {"export-neuprint-snapshot": True, "meta": META, **neuprint}},
            "job-settings": {"snapshot-tag": "v1"},
        }
        whole = with_fallbacks(composed_model((*INPUTS, *OUTPUTS)).model_validate(config))
        problems = check_neuprint(whole.outputs.neuprint, whole)
        named = [(".".join(map(str, p.path)) if isinstance(p, Problem) else "", p) for p in problems]
        return {path: p.message if isinstance(p, Problem | DataError) else str(p) for path, p in named}

    return check


def test_a_sound_configuration_has_no_problems(found):
    totals = {"compute-segment-totals-with-name": "mito", "compute-roi-totals-with-name": "mito"}
    assert (
        found(
            **{
                "element-labels": {"mito": ":Mito"},
                "element-totals": {"mito": {**totals, "compute-kind-totals-for-column": "mitoType"}},
                "roi-synapse-properties": {"layer": {"layerNumber": "x % 100"}},
                "indexes": {"element-roisets-to-index": [{"neuprint-label": "Mito", "roisets": ["primary"]}]},
            }
        )
        == {}
    )


def test_a_missing_meta_file_is_told(found):
    assert list(found(meta=None)) == ["meta"]


def test_element_tables_that_do_not_exist_are_told(found):
    assert list(found(**{"element-labels": {"mitos": "M"}, "element-totals": {"soma": {}}})) == [
        "element-labels.mitos",
        "element-totals.soma",
    ]


def test_totals_need_names_of_their_own_and_a_table_to_count(found):
    name = "compute-segment-totals-with-name"
    totals = {"mito": {name: "upstream"}, "near": {name: "near"}}

    assert found(**{"element-totals": totals}) == {
        f"element-totals.mito.{name}": "'upstream' is a property of Segments already",
        "element-totals.near": "'near' has no point-table whose elements could be counted",
    }
    totals = {"mito": {name: "n"}, "near": {name: "n"}}
    assert "is the name for 'mito' already" in found(**{"element-totals": totals})[f"element-totals.near.{name}"]


@pytest.mark.parametrize("column", ["mitotype", "x"])
def test_kinds_are_counted_by_a_column_of_the_table(found, column):
    key = "compute-kind-totals-for-column"
    assert list(found(**{"element-totals": {"mito": {key: column}}})) == [f"element-totals.mito.{key}"]


def test_roi_sets_and_labels_that_do_not_exist_are_told(found, caplog):
    indexes = {
        "element-roisets-to-index": [{"neuprint-label": ":Mitos", "roisets": ["primary"]}],
        "exclude-roisets": ["layers"],
    }
    with caplog.at_level(logging.WARNING):
        problems = found(**{"roi-synapse-properties": {"layers": {"a": "x"}}, "indexes": indexes})

    assert list(problems) == ["roi-synapse-properties.layers", "indexes.element-roisets-to-index.0.neuprint-label"]
    assert "there is no roi-set 'layers'" in caplog.text


def test_properties_computed_from_rois_do_not_replace_those_that_every_synapse_has(found):
    assert list(found(**{"roi-synapse-properties": {"layer": {"type": "x"}}})) == ["roi-synapse-properties.layer.type"]


@pytest.mark.parametrize(
    ("name", "of"),
    [("status", "Segments"), ("cellType", "Segments"), ("vesicle", "Synapses"), ("mitoType", "elements")],
)
def test_an_roi_called_like_a_property_is_told(found, name, of):
    meta = {"dataset": "toy", "roiHierarchy": {"CNS": [name]}}
    (message,) = found({"primary": {"source": "point-table", "rois": [name]}}, meta=meta).values()

    assert message.startswith(f"ROI '{name}' of roi-set 'primary' has the name of a property of {of}")


def test_a_name_of_a_predicted_property_is_taken_only_if_there_are_predictions(found, tmp_path):
    sets = {"primary": {"source": "point-table", "rois": ["consensusNt"]}}
    meta = {"dataset": "toy", "roiHierarchy": {"CNS": ["consensusNt"]}}
    totals = {"mito": {"compute-segment-totals-with-name": "predictedNt"}}
    problems = found(sets, meta=meta, predictions=tmp_path / "nt.feather", **{"element-totals": totals})

    assert problems == {
        "element-totals.mito.compute-segment-totals-with-name": "'predictedNt' is a property of Segments already",
        "": "ROI 'consensusNt' of roi-set 'primary' has the name of a property of Segments",
    }
    assert found(sets, meta=meta, **{"element-totals": totals}) == {}


def test_an_annotation_that_is_renamed_or_left_out_clashes_no_more(found):
    sets, meta = (
        {"primary": {"source": "point-table", "rois": ["cellType"]}},
        {"dataset": "toy", "roiHierarchy": {"CNS": ["cellType"]}},
    )

    assert found(sets, meta=meta, **{"annotation-property-names": {"cell_type": ""}}) == {}


def test_roi_sets_in_the_hierarchy_are_resolved_where_the_settings_list_their_rois(found):
    def with_tree(tree, **others):
        return found(meta={"dataset": "toy", "roiHierarchy": tree, **others})

    assert with_tree({"CNS": {"FB": "roiset://layer"}}, primaryRois=["L1"]) == {}
    assert "'L3' is neither" in with_tree({"CNS": {"FB": "roiset://layer"}}, primaryRois=["L3"])["meta.primaryRois.0"]
    assert "no roi-set 'lay'" in with_tree({"CNS": {"FB": "roiset://lay"}})["meta.roiHierarchy.CNS.FB"]
    assert "two places: L1" in with_tree({"CNS": {"L1": "roiset://layer"}})["meta.roiHierarchy"]
    assert with_tree({"CNS": "roiset://found"}, primaryRois=["who knows"]) == {}


def test_compartments_are_those_of_the_synapses(found):
    assert list(found(**{"compartment-column": "part"})) == ["compartment-column"]
    assert found(compartment="part", **{"compartment-column": "part"}) == {}


def test_a_template_that_is_no_json_is_told_before_the_run(found, tmp_path):
    (tmp_path / "state.json").write_text('{"a": }')
    (message,) = found(neuroglancer={"json-state": tmp_path / "state.json"}).values()

    assert "is not JSON once the names are replaced" in message
