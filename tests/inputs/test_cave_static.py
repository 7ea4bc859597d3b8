"""Files of a datastack in all their forms become the same points, partners and annotations."""

from __future__ import annotations

import gzip
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.config.rules import rule_problems
from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.cave.load import check_cave
from flyem_snapshot.inputs.cave.settings import CaveSettings
from flyem_snapshot.inputs.cave.synapses import in_voxels
from tests.cave_runs import columns
from tests.cave_static import R, loader, synapse, types
from tests.writing import write_table


@pytest.fixture
def load(tmp_path: Path):
    """Run the stage on tables of files."""
    return loader(tmp_path)


def test_a_connection_becomes_a_tbar_and_a_psd(load):
    made = load({"synapses": synapse(2)})

    assert made.points.to_pydict() == {
        "point_id": [10, 11, 12, 13],
        "x": [0, 1, 10, 11],
        "y": [0, 0, 20, 20],
        "z": [0, 0, 30, 30],
        "kind": ["PreSyn", "PostSyn", "PreSyn", "PostSyn"],
        "conf": [1.0, 1.0, 1.0, 1.0],
        "body": [R, R + 1, R + 1, R + 2],
    }
    assert made.partners.to_pydict() == {
        "pre_id": [10, 12],
        "post_id": [11, 13],
        "x_pre": [0, 10],
        "y_pre": [0, 20],
        "z_pre": [0, 30],
        "x_post": [1, 11],
        "y_post": [0, 20],
        "z_post": [0, 30],
    }
    assert made.points.schema.field("point_id").type == pa.uint64()


@pytest.mark.parametrize("suffix", [".feather", ".parquet", ".csv"])
def test_any_format_will_do(load, tmp_path, suffix):
    made = load({"synapses": columns(50)}, suffix)
    again = load({"synapses": columns(50)}, ".feather")

    assert made.points.equals(again.points)
    assert made.partners.equals(again.partners)


def test_a_compressed_csv_with_blank_ids_keeps_the_last_digit(load, tmp_path):
    rows = synapse(3, post_pt_root_id=pa.array([None, R + 2, None], pa.int64()))
    plain = write_table(rows, tmp_path / "plain.csv")
    file = tmp_path / "synapses.csv.gz"
    file.write_bytes(gzip.compress(plain.read_bytes()))

    made = load({"synapses": {"file": file}})
    assert made.points["body"].to_pylist() == [R, 0, R + 1, R + 2, R + 2, 0]
    assert made.counts["PSDs whose root id is not looked up (null)"] == 2


def test_a_compressed_csv_that_is_cut_off_is_refused(load, tmp_path):
    plain = write_table(columns(20_000), tmp_path / "plain.csv")
    whole = gzip.compress(plain.read_bytes())
    file = tmp_path / "synapses.csv.gz"
    file.write_bytes(whole[: len(whole) // 2])

    with pytest.raises(DataError, match="synapses.csv.gz: cannot be read"):
        load({"synapses": {"file": file}})


def test_positions_may_be_lists(load):
    rows = {"id": [1], "pre_pt_root_id": [R], "post_pt_root_id": [R + 1]}
    rows |= {"pre_pt_position": [[8, 9, 10]], "post_pt_position": [[11, 12, 13]]}

    made = load({"synapses": rows})
    assert [made.points[axis].to_pylist() for axis in "xyz"] == [[8, 11], [9, 12], [10, 13]]


def test_rows_come_in_the_order_of_ids(load):
    rows = synapse(4, id=[9, 5, 7, 1])

    made = load({"synapses": rows})
    assert made.points["point_id"].to_pylist() == [2, 3, 10, 11, 14, 15, 18, 19]
    assert made.points["x"].to_pylist()[0] == 30


def test_several_points_may_share_a_voxel(load):
    made = load({"synapses": synapse(3, **{f"pre_pt_position_{axis}": [5, 5, 5] for axis in "xyz"})})

    assert made.points["point_id"].to_pylist() == [10, 11, 12, 13, 14, 15]


def test_a_datastack_without_ids_numbers_its_rows(load):
    rows = synapse(3)
    del rows["id"]

    assert load({"synapses": rows}).points["point_id"].to_pylist() == [0, 1, 2, 3, 4, 5]


# --- presets ------------------------------------------------------------------------------------------------


def test_codex_writes_an_id_only_where_it_changes_and_one_position(load):
    rows = {
        "pre_root_id": pa.array([R + 1, None, None, R + 2], pa.int64()),
        "post_root_id": pa.array([R + 3, R + 4, None, R + 3], pa.int64()),
        "x": [400, 804, 1, 2],
        "y": [8, 8, 8, 8],
        "z": [40, 79, 0, 80],
    }
    neurons = {"root_id": [R + 1, R + 3], "group": ["LO.LOP", "ME"]}

    made = load(
        {"synapses": rows, "neurons": neurons},
        ".csv",
        "codex",
        annotations=[{"table": "neurons", "columns": {"group": "group"}}],
    )
    assert made.points["body"].to_pylist() == [R + 1, R + 3, R + 1, R + 4, R + 1, R + 4, R + 2, R + 3]
    assert made.points["x"].to_pylist() == [100, 100, 201, 201, 0, 0, 0, 0]
    assert made.points["z"].to_pylist() == [1, 1, 1, 1, 0, 0, 2, 2]
    assert made.annotations.to_pydict() == {"body": [R + 1, R + 3], "group": ["LO.LOP", "ME"]}
    assert made.about["voxel-size"] == [4.0, 4.0, 40.0]


def test_codex_whose_first_cell_is_empty_is_refused(load):
    rows = {
        "pre_root_id": pa.array([None, R], pa.int64()),
        "post_root_id": [R, R],
        "x": [1, 1],
        "y": [1, 1],
        "z": [1, 1],
    }

    with pytest.raises(DataError, match="column 'pre_pt_root_id': has no value above its first empty cells"):
        load({"synapses": rows}, preset="codex")


def test_flywire_has_positions_in_nanometers_roi_names_and_transmitters(load):
    rows = synapse(
        2,
        pre_pt_position_x=[403.0, -1.0],
        cleft_score=[255, 51],
        neuropil=["ME_R", None],
        gaba=[0.25, 0.5],
        ach=[0.5, 0.25],
        glut=0.0 * np.ones(2),
        oct=[0.0, 0.0],
        ser=[0.0, 0.0],
        da=[0.0, 0.0],
    )
    made = load(
        {"synapses": rows},
        preset="flywire",
        confidence={"column": "cleft_score", "one": 255},
        rois={"primary": {}},
        transmitters={},
    )

    assert made.points["x"].to_pylist() == [100, 0, -1, 2], "down, also below 0"
    assert made.points["conf"].to_pylist() == pytest.approx([1.0, 1.0, 0.2, 0.2])
    assert made.points["primary"].to_pylist() == ["ME_R", "ME_R", None, None]
    assert made.transmitters.select(["point_id", "nt_gaba_prob", "nt_ach_prob"]).to_pydict() == {
        "point_id": [10, 12],
        "nt_gaba_prob": [0.25, 0.5],
        "nt_ach_prob": [0.5, 0.25],
    }


def test_names_of_columns_may_be_given(load, tmp_path):
    rows = synapse(2)
    rows["partner"] = rows.pop("post_pt_root_id")
    file = write_table(rows, tmp_path / "own.feather")

    made = load(
        {"synapses": {"file": file, "columns": {"post_pt_root_id": "partner"}, "resolution": [8, 8, 8]}}, preset=None
    )
    assert made.points["body"].to_pylist() == [R, R + 1, R + 1, R + 2]
    assert made.about["voxel-size"] == [8.0, 8.0, 8.0]


# --- confidence, validity, bodies -----------------------------------------------------------------------------------


def test_a_score_becomes_a_confidence_on_a_line_that_is_cut_off(load):
    rows = synapse(6, score=pa.array([-10.0, 0.0, 25.0, 100.0, None, float("nan")]))

    conf = load({"synapses": rows}, confidence={"column": "score", "one": 50}).points["conf"].to_numpy()[0::2]
    np.testing.assert_array_equal(conf, np.array([0, 0, 0.5, 1, np.nan, np.nan], np.float32))
    falling = load({"synapses": rows}, confidence={"column": "score", "zero": 100, "one": 0})
    np.testing.assert_array_equal(falling.points["conf"].to_numpy()[0:8:2], np.array([1, 1, 0.75, 0], np.float32))


def test_rows_below_the_threshold_or_without_a_score_are_left_out_and_counted(load):
    rows = synapse(4, score=pa.array([49.0, 50.0, None, float("nan")]))

    made = load({"synapses": rows}, confidence={"column": "score", "one": 100, "at-least": 50})
    assert made.points["point_id"].to_pylist() == [12, 13]
    assert list(made.left_out.values()) == [3]


def test_rows_that_are_not_valid_are_left_out_unless_they_are_wanted(load):
    rows = synapse(3, valid=pa.array([True, False, None]))

    assert load({"synapses": rows}).partners["post_id"].to_pylist() == [11, 15]
    assert load({"synapses": rows}, keep_invalid=True).partners["post_id"].to_pylist() == [11, 13, 15]
    as_text = synapse(3, valid=["t", "f", "t"])
    assert load({"synapses": as_text}, ".csv").partners["post_id"].to_pylist() == [11, 15]


def test_root_ids_0_1_and_null_are_no_body_and_counted(load):
    rows = synapse(4, pre_pt_root_id=pa.array([0, 1, None, R], pa.int64()), post_pt_root_id=[R, R, R, R])

    made = load({"synapses": rows})
    assert made.points["body"].to_pylist() == [0, R, 0, R, 0, R, R, R]
    assert made.counts == {
        "T-bars whose root id is outside of the segmentation (0)": 1,
        "T-bars whose root id is not looked up (1)": 1,
        "T-bars whose root id is not looked up (null)": 1,
        "connections of a body with itself": 1,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": [1.0, 2.0, 3.0, 4.0]}, "column 'id' of table 'synapses' holds DOUBLE, but ids must be integers"),
        ({"pre_pt_root_id": np.full(4, float(R))}, "column 'pre_pt_root_id' .* holds DOUBLE"),
        ({"id": [-1, 2, 3, 4]}, r"'id' must be between 0 and 2\^62 - 1 \(1 row\)"),
        ({"id": [1 << 62, 2, 3, 4]}, "'id' must be between 0"),
        ({"pre_pt_position_y": pa.array([1, None, 3, 4])}, r"the pre-synaptic point has no position \(1 row\)"),
        ({"post_pt_position_z": [1 << 31, 2, 3, 4]}, "the post-synaptic point lies beyond"),
        ({"post_pt_root_id": np.array([1 << 63, 2, 3, 4], np.uint64)}, "root id does not fit"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(load, changes, words):
    with pytest.raises(DataError, match=words):
        load({"synapses": synapse(4, **changes)})


# --- T-bars that connections share ------------------------------------------------------------------------------------


def test_connections_that_begin_at_one_place_share_a_tbar(load):
    place = {"pre_pt_position_x": [7, 7, 7, 9], "pre_pt_position_y": [7] * 4, "pre_pt_position_z": [7] * 4}
    rows = synapse(4, **place, pre_pt_root_id=[R] * 4, pre_pt_supervoxel_id=[3, 4, 3, 3], post_pt_supervoxel_id=[9] * 4)
    rows |= {"score": [0.1, 0.2, 0.9, 0.4], "gaba": [0.0, 0.5, 1.0, 0.25]}

    made = load(
        {"synapses": rows},
        merge_presyn="exact",
        confidence={"column": "score"},
        transmitters={"columns": {"gaba": "gaba"}},
    )
    assert made.partners["pre_id"].to_pylist() == [10, 12, 10, 16]
    assert made.partners["post_id"].to_pylist() == [11, 13, 15, 17]
    assert made.points["point_id"].to_pylist() == [10, 11, 12, 13, 15, 16, 17]
    conf = dict(zip(made.points["point_id"].to_pylist(), made.points["conf"].to_pylist(), strict=True))
    assert conf[10] == pytest.approx(0.9), "a T-bar is as certain as its best connection"
    assert conf[11] == pytest.approx(0.1)
    assert made.transmitters.to_pydict() == {"point_id": [10, 12, 16], "nt_gaba_prob": [0.5, 0.5, 0.25]}
    assert made.counts["connections whose T-bar is that of another"] == 1


@pytest.mark.parametrize("radius", [40, 60, 100.0, 1000])
def test_connections_of_a_body_that_begin_near_each_other_share_a_tbar(load, radius):
    dice = np.random.default_rng(3)
    rows = columns(120, pre_pt_root_id=R + dice.integers(0, 3, 120))
    for axis in "xyz":
        rows[f"pre_pt_position_{axis}"] = dice.integers(0, 90 if axis != "z" else 9, 120)
    rows["pre_pt_root_id"][:6] = 0

    made = load({"synapses": rows}, merge_presyn=radius)
    expected = by_hand(rows, radius)
    assert made.partners["pre_id"].to_pylist() == [2 * tbar for tbar in expected]
    own = dict(zip(made.points["point_id"].to_pylist(), made.points["x"].to_pylist(), strict=True))
    assert made.partners["x_pre"].to_pylist() == [own[2 * tbar] for tbar in expected]


def by_hand(rows: dict[str, Any], radius: float) -> list[int]:
    """For each connection the smallest id among those that a chain of short steps leads to."""
    nm = np.stack(
        [rows["pre_pt_position_x"] * 4, rows["pre_pt_position_y"] * 4, rows["pre_pt_position_z"] * 40], axis=1
    )
    body = rows["pre_pt_root_id"]
    near = (((nm[:, None] - nm[None]) ** 2).sum(axis=2) <= radius**2) & (body[:, None] == body[None])
    near &= (body != 0)[:, None] | np.eye(len(body), dtype=bool)
    label = rows["id"].copy()
    while True:
        lower = np.where(near, label[None], label.max() + 1).min(axis=1)
        if (lower == label).all():
            return label.tolist()
        label = lower


@given(st.integers(-(2**40), 2**40), st.sampled_from([1, 4, 8, 40, 4.5]), st.sampled_from([1, 4, 8, 16, 30, 3.75]))
def test_a_point_gets_the_voxel_in_which_the_corner_of_its_own_lies(value, unit, voxel):
    expected = (Fraction(value) * Fraction(repr(unit)) / Fraction(repr(voxel))).__floor__()
    statement = f"SELECT {in_voxels(f'CAST({value} AS BIGINT)', unit, voxel)}"
    assert duckdb.execute(statement).fetchall() == [(expected,)]


# --- annotations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"several": "first"}, "a"),
        ({"several": "concat"}, "a; c"),
        ({"several": "max", "max-column": "volume"}, "a"),
        ({"several": "max", "max-column": "id"}, "c"),
    ],
)
def test_several_rows_of_one_body(load, policy, expected):
    entry = {"table": "types", "columns": {"cell_type": "type"}, **policy}

    made = load({"synapses": synapse(), "types": types()}, annotations=[entry])
    assert made.annotations.to_pydict() == {"body": [R, R + 1], "type": [expected, "d"]}
    assert made.counts["bodies with several rows in 'types'"] == 1
    assert made.left_out["annotations of 'types'", "on no body, or on one that was not looked up"] == 1


def test_several_rows_of_one_body_are_an_error_if_nothing_is_said(load):
    with pytest.raises(DataError, match=f"1 body has several rows in table 'types' .3 rows.; first: {R}"):
        load(
            {"synapses": synapse(), "types": types()},
            annotations=[{"table": "types", "columns": {"cell_type": "type"}}],
        )


def test_a_table_about_rows_of_another_gets_their_bodies_and_places(load, tmp_path):
    about = {"id": [1, 2], "target_id": [1, 77], "note": ["good", "of nobody"]}
    file = write_table(about, tmp_path / "notes.feather")
    entry = {"table": "notes", "columns": {"note": "note"}, "position": "place"}

    made = load(
        {"synapses": synapse(), "types": types(), "notes": {"file": file, "reference-table": "types"}},
        annotations=[entry],
    )
    assert made.annotations.to_pydict() == {"body": [R + 1], "note": ["good"], "place": [[30, 30, 30]]}


def test_the_soma_is_known_of_bodies_with_one_nucleus(load):
    made = load({"synapses": synapse(), "nuclei": types()}, soma={"table": "nuclei"}, voxel_size=[8, 8, 40])

    assert made.annotations.to_pydict() == {"body": [R + 1], "soma_position": [[15, 15, 30]]}
    assert made.counts["bodies with several nuclei, whose soma is unknown"] == 1


def test_statuses_are_mapped_and_the_best_of_all_tables_counts(load):
    proofread = {"id": [1, 2, 3], "pt_root_id": [R, R + 1, R + 2], "axon": ["extended", "clean", "odd"]}
    listed = {"id": [1, 2], "pt_root_id": [R, R + 3]}
    first = {"column": "axon", "values": {"extended": "Traced", "clean": "Anchor"}}

    made = load(
        {"synapses": synapse(), "proofread": proofread, "listed": listed},
        annotations=[
            {"table": "proofread", "status": first},
            {"table": "listed", "status": {"present": "Roughly traced"}},
        ],
    )
    assert made.annotations.to_pydict() == {
        "body": [R, R + 1, R + 2, R + 3],
        "status": ["Traced", "Anchor", None, "Roughly traced"],
    }
    assert made.counts["rows of 'proofread' whose axon stands for no status"] == 1


def test_the_best_status_of_a_body_with_several_rows(load):
    proofread = {"id": [1, 2], "pt_root_id": [R, R], "axon": ["clean", "extended"], "who": ["a", "b"]}
    status = {"column": "axon", "values": {"extended": "Traced", "clean": "Anchor"}}

    made = load(
        {"synapses": synapse(), "proofread": proofread},
        annotations=[{"table": "proofread", "columns": {"who": "who"}, "status": status, "several": "max"}],
    )
    assert made.annotations.to_pydict() == {"body": [R], "who": ["b"], "status": ["Traced"]}


# --- tables about connections ----------------------------------------------------------------------------------


def test_rois_and_transmitters_from_tables_about_the_synapses(load, tmp_path):
    neuropils = {"id": [1, 2, 3], "target_id": [6, 5, 6], "neuropil": ["LO", "ME", "second"]}
    nt = {"id": [1, 2], "target_id": [6, 5], "gaba": [0.75, 0.5], "ok": [True, False]}
    files = {name: write_table(table, tmp_path / f"{name}-x.feather") for name, table in (("n", neuropils), ("t", nt))}

    made = load(
        {
            "synapses": synapse(3),
            "neuropils": {"file": files["n"]},
            "nt": {"file": files["t"], "reference-table": "synapses"},
        },
        rois={"primary": {"table": "neuropils"}},
        transmitters={"table": "nt", "columns": {"gaba": "gaba"}, "valid-column": "ok"},
    )
    assert made.points["primary"].to_pylist() == ["ME", "ME", "LO", "LO", None, None]
    assert made.counts["rows of 'neuropils' for a connection that has one before"] == 1
    assert made.transmitters.to_pydict() == {"point_id": [12], "nt_gaba_prob": [0.75]}


def test_a_table_about_something_else_is_refused(load, tmp_path):
    file = write_table({"id": [1], "target_id": [1], "neuropil": ["ME"]}, tmp_path / "n.feather")
    tables = {"synapses": synapse(), "types": types(), "n": {"file": file, "reference-table": "types"}}

    with pytest.raises(DataError, match="table 'n' refers to 'types', not to the synapse table 'synapses'"):
        load(tables, rois={"primary": {"table": "n"}})


def test_transmitters_of_which_none_counts_are_an_error(load):
    rows = synapse(2, gaba=[0.5, 0.5], ok=[False, False])

    with pytest.raises(DataError, match="table 'synapses' has no prediction that counts"):
        load({"synapses": rows}, transmitters={"columns": {"gaba": "gaba"}, "valid-column": "ok"})


# --- what is found before a run ---------------------------------------------------------------------------------


def whole(**roi_sets: str) -> SimpleNamespace:
    """A configuration of which only the roi-sets matter."""
    sets = {name: SimpleNamespace(source=source) for name, source in roi_sets.items()}
    return SimpleNamespace(inputs=SimpleNamespace(rois=SimpleNamespace(roi_sets=sets)))


def test_misspelt_columns_and_roi_sets_are_found_from_the_headers(tmp_path):
    file = write_table(synapse(neuropil=["ME"] * 4), tmp_path / "synapses.feather")
    config = CaveSettings.model_validate(
        {
            "static": {"preset": "flywire", "tables": {"synapses": {"file": file}}},
            "extra-columns": ["neuropils"],
            "rois": {"primary": {}, "layers": {}},
        }
    )
    found = [error.message for error in check_cave(config, whole(primary="point-table", shells="point-table"))]
    assert found == [
        "extra-columns.0: table 'synapses' has no column 'neuropils'",
        "rois.layers: is no roi-set",
        "rois: nothing says in which ROI of 'shells' a synapse lies",
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"datastack": "m"}, "version: is required, but not set"),
        ({"datastack": "m", "version": "newest"}, "version: is no version: 'newest'"),
        ({"datastack": "m", "version": "2025-01-01T00:00:00"}, "version: is a time without a zone"),
        ({"datastack": "m", "version": 1, "static": {"tables": {"a": {"file": "a"}}}}, "not both"),
        ({"static": {"tables": {"a": {"file": "a"}}}}, "static.tables.a.resolution: is required without a preset"),
        ({"merge-presyn": -1.0}, "merge-presyn: must be none, exact, or a distance above 0"),
        ({"voxel-size": [1, 2]}, "voxel-size: must be three numbers above 0"),
        ({"annotations": [{"table": "a"}]}, "annotations.0"),
        (
            {"annotations": [{"table": "a", "columns": {"x": "t"}}, {"table": "b", "columns": {"y": "t"}}]},
            "annotations.1.columns: two tables give 't'",
        ),
        ({"annotations": [{"table": "a", "columns": {"x": "status"}}]}, "is given by 'status'"),
        ({"annotations": [{"table": "a", "columns": {"x": "Body"}}]}, "'Body' is the id of the body"),
        ({"annotations": [{"table": "a", "columns": {"x": "bodyId"}}]}, "'bodyId' is the id of the body"),
        ({"annotations": [{"table": "a", "columns": {"x": "Type", "y": "type"}}]}, "two tables give 'type'"),
        ({"annotations": [{"table": "a", "status": {"present": "Tracked"}}]}, "present: 'Tracked' is no status"),
        ({"annotations": [{"table": "a", "status": {"column": "s"}}]}, "status.values: are required with a column"),
        (
            {"annotations": [{"table": "a", "status": {"column": "s", "values": {"t": "tracd"}}}]},
            "status.values.t: 'tracd' is no status",
        ),
        ({"transmitters": {"columns": {"gaba": "gaba", "ach": "GABA"}}}, "two columns are probabilities of 'gaba'"),
        ({"transmitters": {"columns": {}}}, "transmitters.columns: no column is named"),
        ({"extra-columns": ["size", "Size"]}, "extra-columns.1: 'Size' is there twice"),
        ({"extra-columns": ["post_conf"]}, "extra-columns.0: 'post_conf' has another meaning for points"),
        ({"rois": {"pre_body": {}}}, "rois.pre_body: has another meaning for points"),
        ({"rois": {"ME": {}}, "extra-columns": ["me"]}, "extra-columns.0: 'me' is there twice"),
        ({"datastack": "m", "version": 0}, "version: is no version: 0"),
        ({"datastack": "m", "version": -3}, "version: is no version: -3"),
        ({"merge-presyn": 0}, "merge-presyn: must be none, exact, or a distance above 0"),
    ],
)
def test_settings_that_make_no_sense_are_found(settings, words):
    found = [str(problem) for problem in rule_problems(CaveSettings.model_validate(settings))]
    assert any(words in problem or problem.startswith(words) for problem in found), found
