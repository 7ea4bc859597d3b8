"""The oracle against tables worked out by hand, and against weights published with real data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from tests.oracle import flat
from tests.oracle.compare import assert_frames_equal, read
from tests.oracle.load import Inputs, load

SETS = "inputs.rois.roi-sets"


def run(config: Path) -> dict[str, pd.DataFrame]:
    return flat.outputs(load(config))


# --- tiny ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return load(tiny.write(tmp_path_factory.mktemp("tiny")))


@pytest.mark.parametrize("key", tiny.EXPECTED)
def test_each_output_of_tiny_is_the_table_written_by_hand(tiny_inputs, key):
    assert_frames_equal(flat.outputs(tiny_inputs)[key], tiny.EXPECTED[key], key)


def test_tiny_has_no_other_outputs(tiny_inputs):
    assert set(flat.outputs(tiny_inputs)) == set(tiny.EXPECTED)


def test_rows_left_out_of_tiny_are_counted_by_the_first_rule_that_takes_them(tiny_inputs):
    assert tiny_inputs.excluded.points == tiny.EXCLUDED_POINTS
    assert tiny_inputs.excluded.partners == tiny.EXCLUDED_PARTNERS


def test_restricted_connectivity_keeps_a_tbar_outside_whose_psd_is_inside(tmp_path):
    path = tiny.write(tmp_path, **{"outputs.flat-connectome.restrict-connectivity-to-roiset": "primary"})
    tables = run(path)
    assert list(tables["syn-points"]["point_id"]) == tiny.RESTRICTED_IDS
    assert_frames_equal(tables["connectome-weights"], tiny.RESTRICTED_WEIGHTS, "restricted weights")
    name = flat.file_name("syn-partners-traced-only", load(path).config)
    assert name == "flat-connectome/syn-partners-tiny-minconf-0.5-primary-traced-only.feather"


def test_a_roi_set_called_roi_gives_each_body_its_top_rois(tmp_path):
    points = tiny.points().rename(columns={"primary": "roi"})
    stats = run(
        tiny.write(
            tmp_path,
            points=points,
            **{SETS: {"roi": {"source": "point-table", "rois": {}}}, "outputs.flat-connectome.roi-set": "roi"},
        )
    )["body-stats"]
    assert_frames_equal(stats[list(tiny.TOP_ROIS)], tiny.TOP_ROIS, "top rois")


def test_no_threshold_tests_nothing_and_an_unknown_point_does_not_make_bodies_floats(tmp_path):
    inputs = load(tiny.write(tmp_path, **{"inputs.synapses.min-confidence": 0.0}))
    assert inputs.excluded.partners == {"fake": 2, "zone": 0, "confidence": 0, "body_0": 2, "missing_point": 1}
    assert inputs.excluded.points == {"fake": 1, "zone": 0, "confidence": 0, "body_0": 2, "orphan": 3}
    assert inputs.partners["body_pre"].dtype == np.int64
    assert np.isnan(inputs.partners.loc[inputs.partners["post_id"] == tiny.ORIGIN + 108, "conf_post"].item())


def test_body_0_is_kept_on_request_but_never_ranked(tmp_path):
    tables = run(tiny.write(tmp_path, **{"inputs.synapses.permit-body-0": True}))
    weights = tables["connectome-weights"].set_index(["body_pre", "body_post"])["weight"]
    assert weights[tiny.A, 0] == 1
    assert weights[0, tiny.B] == 1
    assert 0 not in set(tables["body-stats"]["body"])


def test_confidences_in_the_partner_table_are_taken_as_given(tmp_path):
    partners = tiny.partners().assign(conf_pre=np.float32(0.9), conf_post=np.float32(0.9))
    partners.loc[0, "conf_post"] = np.nan
    inputs = load(tiny.write(tmp_path, partners=partners))
    assert inputs.excluded.partners == {"fake": 2, "zone": 0, "confidence": 1, "body_0": 2, "missing_point": 4}


def test_without_rois_there_is_no_roi_column(tmp_path):
    tables = run(tiny.write(tmp_path, **{SETS: tiny.DELETE}))
    expected = tiny.EXPECTED["syn-partners"].drop(columns="primary_post")
    assert_frames_equal(tables["syn-partners"], expected, "syn-partners without ROIs")


def test_without_compartments_there_are_no_columns_of_theirs(tmp_path):
    tables = run(tiny.write(tmp_path, **{"inputs.synapses.compartment-column": tiny.DELETE}))
    expected = tiny.EXPECTED["connectome-weights"][["body_pre", "body_post", "weight"]]
    assert_frames_equal(tables["connectome-weights"], expected, "plain weights")
    assert "axonIn" not in tables["body-stats"]


@pytest.mark.parametrize(("zone", "z"), [("brain", 45055), ("vnc", 45056)])
def test_a_zone_keeps_its_side_of_the_border(tmp_path, zone, z):
    points, partners = tiny.points(), tiny.partners()
    points["z"] = np.int32(z)
    shift = np.uint64((z - 1) << 42)
    points["point_id"] += shift
    ids = partners.to_numpy()
    partners[:] = np.where(ids == 0, ids, ids + shift)
    same = {"points": points, "partners": partners}
    kept = load(tiny.write(tmp_path / "kept", **same, **{"inputs.synapses.zone": zone}))
    assert len(kept.partners) == 12
    other = {"brain": "vnc", "vnc": "brain"}[zone]
    gone = load(tiny.write(tmp_path / "gone", **same, **{"inputs.synapses.zone": other}))
    assert (gone.excluded.points["zone"], gone.excluded.partners["zone"], len(gone.points)) == (26, 18, 0)
    assert {len(t) for key, t in flat.outputs(gone).items() if key.startswith(("syn", "conn", "body-stats"))} == {0}


@pytest.mark.parametrize("given", [["point_id"], ["x", "y", "z"]])
def test_ids_and_coordinates_are_derived_from_each_other(tmp_path, given):
    points = tiny.points().drop(columns={"point_id", "x", "y", "z"} - set(given))
    tables = run(tiny.write(tmp_path, points=points))
    assert_frames_equal(tables["syn-points"], tiny.EXPECTED["syn-points"], "syn-points")


def test_a_psd_in_two_rows_a_second_point_of_one_id_and_another_kind_are_errors(tmp_path):
    points, partners = tiny.points(), tiny.partners()
    twice = pd.concat([partners, pd.DataFrame({"pre_id": [tiny.ORIGIN + 200], "post_id": [tiny.ORIGIN + 101]})])
    with pytest.raises(ValueError, match="more than one partner row"):
        load(tiny.write(tmp_path, partners=twice.astype("uint64")))
    with pytest.raises(ValueError, match="duplicate point ids"):
        load(tiny.write(tmp_path, points=pd.concat([points, points.iloc[:1]])))
    with pytest.raises(ValueError, match="kind must be"):
        load(tiny.write(tmp_path, points=points.assign(kind="Gap")))


# --- real data -------------------------------------------------------------------------------------------------------


def test_hemibrain_weights_by_roi_equal_the_published_edges(tmp_path, shared):
    folder = shared / "data" / "hemibrain_mb"
    settings = {
        "inputs.synapses.syndir": str(folder),
        "inputs.synapses.min-confidence": tiny.DELETE,
        "inputs.synapses.compartment-column": tiny.DELETE,
        "inputs.annotations.body-annotations-table": str(folder / "annotations.feather"),
        SETS: {"roi": {"source": "point-table", "rois": {}}},
        "outputs.flat-connectome.roi-set": "roi",
    }
    inputs = load(tiny.write(tmp_path, points=None, partners=None, annotations=None, **settings))
    assert set(inputs.excluded.points.values()) == set(inputs.excluded.partners.values()) == {0}
    edges = read(folder / "edges.feather")
    edges["roi"] = edges["roi"].fillna("<unspecified>")
    edges = edges.sort_values(["body_pre", "body_post", "roi"], ignore_index=True)
    assert_frames_equal(flat.roi_weights(inputs.partners, "roi"), edges, "hemibrain edges")
    tables = flat.outputs(inputs)
    pairs = edges.groupby(["body_pre", "body_post"], as_index=False)["weight"].sum()
    pairs = pairs.sort_values(["weight", "body_pre", "body_post"], ascending=[False, True, True], ignore_index=True)
    assert_frames_equal(tables["connectome-weights"], pairs, "hemibrain pairs")
    stats = tables["body-stats"]
    assert stats["downstream"].sum() == stats["post"].sum() == len(inputs.partners)
