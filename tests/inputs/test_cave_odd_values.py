"""Values that nobody expects in files of a datastack: the right row, or one clear error."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.cave.load import check_cave
from flyem_snapshot.inputs.cave.settings import CaveSettings
from flyem_snapshot.inputs.cave.synapses import reach
from tests.cave_static import R, loader, synapse
from tests.writing import write_table

NAN = float("nan")


@pytest.fixture
def load(tmp_path: Path):
    """Run the stage on tables of files."""
    return loader(tmp_path)


def about(**columns: Any) -> dict[str, Any]:
    """Three rows of one body, with what the keywords say."""
    return {"id": [1, 2, 3], "pt_root_id": [R, R, R], "v": ["a", "b", "c"], **columns}


def annotated(load: Any, rows: dict[str, Any], **entry: Any) -> dict[str, Any]:
    """The annotations that one table makes."""
    made = load({"synapses": synapse(), "t": rows}, annotations=[{"table": "t", "columns": {"v": "type"}} | entry])
    found: dict[str, Any] = made.annotations.to_pydict()
    return found


@pytest.mark.parametrize("name", ["greatest", "row id", "own_id", "own_order", "rank", "status rank", "value0", "t"])
def test_an_annotation_may_be_called_anything(load, name):
    rows = about(s=[1.0, 7.0, 5.0])

    policy = {"several": "max", "max-column": "s", "status": {"present": "Traced"}}
    made = annotated(load, rows, columns={"v": name}, **policy)
    assert made == {"body": [R], name: ["b"], "status": ["Traced"]}


def test_a_row_whose_max_column_is_nan_or_missing_is_not_the_greatest(load):
    assert annotated(load, about(s=[1.0, NAN, 5.0]), several="max", **{"max-column": "s"})["type"] == ["c"]
    assert annotated(load, about(s=[NAN, None, 0.5]), several="max", **{"max-column": "s"})["type"] == ["c"]


def test_no_text_is_the_greatest(load):
    with pytest.raises(DataError, match="column 's' of table 't' is text, of which none is the greatest"):
        annotated(load, about(s=["9", "10", "1"]), several="max", **{"max-column": "s"})


def test_rows_of_annotations_that_are_not_valid_are_left_out_and_counted(load):
    tables = {"synapses": synapse(), "t": about(valid=[False, True, False])}
    entry = {"table": "t", "columns": {"v": "type"}}

    made = load(tables, annotations=[entry])
    assert made.annotations.to_pydict() == {"body": [R], "type": ["b"]}
    assert made.left_out["rows of 't'", "not valid"] == 2
    kept = load(tables, annotations=[entry | {"several": "concat"}], keep_invalid=True)
    assert kept.annotations["type"].to_pylist() == ["a; b; c"]


@pytest.mark.parametrize(
    "valid", [["t", "f", None, "t"], [1, 0, None, 1], [1.0, 0.0, NAN, 1.0], ["true", "FALSE", None, "1"]]
)
def test_a_table_may_say_valid_in_many_ways(load, valid):
    assert load({"synapses": synapse(4, valid=valid)}).partners["post_id"].to_pylist() == [11, 15, 17]


@pytest.mark.parametrize(("valid", "odd"), [(["t", "f", "x", None], "x"), ([1, 0, 2, 1], "2")])
def test_a_validity_that_is_no_truth_value_is_refused(load, valid, odd):
    with pytest.raises(DataError, match=rf"'valid' of table 'synapses' must say true or false .1 row.; first: {odd}"):
        load({"synapses": synapse(4, valid=valid)})


@pytest.mark.parametrize("odd", [-5, (1 << 63) + 5])
def test_a_body_that_cannot_be_one_is_refused(load, odd):
    kind = pa.int64() if odd < 0 else pa.uint64()
    rows = about(pt_root_id=pa.array([R, R + 1, odd], kind))

    with pytest.raises(DataError, match=rf"'pt_root_id' must be between 0 and 2\^63 - 1 .1 row.; first: {odd}"):
        annotated(load, rows)


def test_a_supervoxel_beyond_64_bits_is_refused(load):
    odd = {f"{side}_pt_supervoxel_id": pa.array([1, 2, (1 << 63) + 1, 4], pa.uint64()) for side in ("pre", "post")}

    with pytest.raises(DataError, match="the pre-synaptic supervoxel does not fit a signed 64-bit integer"):
        load({"synapses": synapse(4, **odd)})


# --- positions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [NAN, float("inf"), 1e30])
def test_a_connection_at_no_place_is_refused(load, odd):
    with pytest.raises(DataError, match=r"the pre-synaptic point has no position \(1 row\)"):
        load({"synapses": synapse(3, pre_pt_position_x=[1.0, odd, 3.0])})


def test_a_list_that_is_too_short_is_no_place(load):
    rows = {"id": [1, 2], "pre_pt_root_id": [R, R], "post_pt_root_id": [R, R]}
    rows |= {"pre_pt_position": [[1.0, 2.0], [3.0, 4.0, 5.0]], "post_pt_position": [[1.0, 2.0, 3.0]] * 2}

    with pytest.raises(DataError, match=r"the pre-synaptic point has no position \(1 row\)"):
        load({"synapses": rows})


def test_positions_may_be_arrays_of_three(load):
    three = pa.array([[1, 2, 3]], pa.list_(pa.int32(), 3))
    rows = {"id": [1], "pre_pt_root_id": [R], "post_pt_root_id": [R], "pre_pt_position": three}

    assert load({"synapses": rows | {"post_pt_position": three}}).points["z"].to_pylist() == [3, 3]


def test_a_body_at_no_place_has_no_position(load):
    place = {f"pt_position_{axis}": [1.5, NAN, None] for axis in "xyz"}

    made = annotated(load, about(pt_root_id=[R, R + 1, R + 2], **place), position="place")
    assert made["place"] == [[1, 1, 1], None, None]


def test_positions_of_bodies_may_be_lists(load):
    rows = about(pt_root_id=[R, R + 1, R + 2], pt_position=[[1, 2, 3], None, [4, 5, 6]])

    assert annotated(load, rows, position="place")["place"] == [[1, 2, 3], None, [4, 5, 6]]


def test_a_table_about_others_may_have_places_of_its_own(load, tmp_path):
    notes = {"id": [1], "target_id": [2], "note": ["x"], **{f"box_position_{axis}": [7] for axis in "xyz"}}
    file = write_table(notes, tmp_path / "notes.feather")
    entry = {"table": "notes", "columns": {"note": "note"}, "position": "place", "position-column": "box_position"}

    made = load(
        {"synapses": synapse(), "t": about(), "notes": {"file": file, "reference-table": "t"}}, annotations=[entry]
    )
    assert made.annotations.to_pydict() == {"body": [R], "note": ["x"], "place": [[7, 7, 7]]}


@pytest.mark.parametrize("where", ["synapses", "t"])
def test_a_place_that_leaves_32_bits_in_voxels_of_the_snapshot_is_refused(load, where):
    far = [(1 << 31) - 1, 5, 5]
    tables = {"synapses": synapse(3), "t": about(**{f"pt_position_{axis}": [1, 2, 3] for axis in "xyz"})}
    tables[where] |= {"pre_pt_position_x" if where == "synapses" else "pt_position_x": far}
    entry = {"table": "t", "columns": {"v": "type"}, "position": "place", "several": "first"}

    assert load(tables, annotations=[entry]).points["x"].to_pylist()[:1] == [far[0] if where == "synapses" else 0]
    with pytest.raises(DataError, match="beyond the range of 32-bit integers, in voxels of the snapshot .1 row."):
        load(tables, annotations=[entry], voxel_size=[2, 4, 40])


@pytest.mark.parametrize(("unit", "voxel"), [(4, 4), (4, 8), (8, 4), (1, 4), (4, 5.333333333333333), (4, 0.004)])
def test_reach_is_exactly_what_32_bits_hold(unit, voxel):
    low, high = reach(unit, voxel)

    as_voxel = [int(value * unit // voxel) for value in (low, high)]
    assert as_voxel[0] >= -(1 << 31) > int((low - 1) * unit // voxel) or low == -(1 << 41)
    assert as_voxel[1] <= (1 << 31) - 1 < int((high + 1) * unit // voxel) or high == 1 << 41


def test_voxels_with_many_decimals_are_reckoned_with(load):
    made = load({"synapses": synapse(2, pre_pt_position_x=[100_000, -1])}, voxel_size=[5.333333333333333, 4, 40])

    assert made.points["x"].to_pylist() == [75_000, 0, -1, 8]


def test_words_for_numbers_are_refused(load):
    with pytest.raises(DataError, match="position 'pre_pt_position' of table 'synapses' holds VARCHAR, but must be"):
        load({"synapses": synapse(3, pre_pt_position_x=["1", "2", "3"])})
    with pytest.raises(DataError, match="column 'score' of table 'synapses' holds VARCHAR, but must be numbers"):
        load({"synapses": synapse(3, score=["a", "b", "c"])}, confidence={"column": "score"})


# --- files ------------------------------------------------------------------------------------------------------


def test_ids_may_be_unsigned(load):
    rows = synapse(3, id=pa.array([3, 1, 2], pa.uint64()))

    assert load({"synapses": rows}).points["point_id"].to_pylist() == [2, 3, 4, 5, 6, 7]
    with pytest.raises(DataError, match=r"'id' must be between 0 and 2\^62 - 1 \(1 row\)"):
        load({"synapses": synapse(3, id=pa.array([3, None, 2], pa.uint64()))})


def compressed(content: str, folder: Path) -> dict[str, Path]:
    file = folder / "synapses.csv.gz"
    file.write_bytes(gzip.compress(content.encode()))
    return {"file": file}


POSITIONS = [f"{side}_pt_position_{axis}" for side in ("pre", "post") for axis in "xyz"]
HEADER = ",".join(["id", "pre_pt_root_id", "post_pt_root_id", *POSITIONS])


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_a_file_of_nothing_but_a_header_has_no_connection(load, tmp_path, suffix):
    file = tmp_path / f"synapses{suffix}"
    file.write_bytes(f"{HEADER}\n".encode() if suffix == ".csv" else gzip.compress(f"{HEADER}\n".encode()))

    with pytest.raises(DataError, match="none of 0 connections of table 'synapses' is used"):
        load({"synapses": {"file": file}})


@pytest.mark.parametrize(
    ("more", "words"), [("a,a", "two columns are called 'a'"), ("ID", "column 'ID' differs from 'id' only in upper")]
)
def test_columns_of_a_compressed_csv_that_cannot_be_told_apart_are_refused(load, tmp_path, more, words):
    with pytest.raises(DataError, match=words):
        load({"synapses": compressed(f"{HEADER},{more}\n1,{R},5,1,1,1,2,2,2{',3' * len(more.split(','))}\n", tmp_path)})


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_columns_that_nobody_asked_for_are_not_read(load, tmp_path, suffix):
    row = "{},864691134988869441,5,1,1,1,2,2,2,{}\n"
    body = "".join(row.format(number, "7" if number < 1_000_000 else "none") for number in (0, 1, 1_000_000))
    content = f"{HEADER},cell_id\n{body}".replace(",7\n", ",2.5\n").encode()
    file = tmp_path / f"synapses{suffix}"
    file.write_bytes(content if suffix == ".csv" else gzip.compress(content))

    made = load({"synapses": {"file": file}})
    assert made.points["body"].to_pylist() == [864691134988869441, 5] * 3


def test_a_file_that_cannot_be_read_is_one_fault(tmp_path):
    file = tmp_path / "synapses.feather"
    file.write_bytes(b"ARROW1 and no more")
    config = CaveSettings.model_validate({"static": {"preset": "microns", "tables": {"synapses": {"file": file}}}})

    assert len(check_cave(config, None)) == 1


def test_transmitters_that_are_no_truth_are_refused(load):
    rows = synapse(2, gaba=np.array([0.5, 0.5]), ok=["yes", "maybe"])

    with pytest.raises(DataError, match="column 'ok' of table 'synapses' must say true or false"):
        load({"synapses": rows}, transmitters={"columns": {"gaba": "gaba"}, "valid-column": "ok"})
