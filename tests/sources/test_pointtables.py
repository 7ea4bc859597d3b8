"""Points get ids, coordinates and ROI combinations whatever columns and batches they come in."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.checks import Kind, Rules
from flyem_snapshot.sources.pointtables import PointTable
from flyem_snapshot.tables.points import decode
from flyem_snapshot.tables.rois import RoiSet

SETS = (RoiSet("primary", "point-table"), RoiSet("layer", "point-table", ids={"a": 1, "b": 2}))
# z << 42 | y << 21 | x of (x, y, z) = (1, 2, 3), (-1, 0, 5), (7, -2, 0)
XYZ = {"x": [1, -1, 7], "y": [2, 0, -2], "z": [3, 5, 0]}
IDS = [3 << 42 | 2 << 21 | 1, 5 << 42 | 0x1FFFFF, 0x1FFFFE << 21 | 7]


@pytest.fixture
def table(tmp_path):
    """Write columns as a point table, in batches of two rows, and open it."""

    def _table(sets=(), **columns):
        path = tmp_path / "points.feather"
        feather.write_feather(pa.table(columns), str(path), chunksize=2)
        return PointTable(path, sets, {}, {})

    return _table


def read(points, columns=()):
    """All batches; DataError if they break a rule."""
    rules = Rules(points.path)
    batches = list(points.batches(columns, rules))
    rules.verdict()
    return batches


def ids_of(points):
    return np.concatenate([batch.ids for batch in read(points)]).tolist()


def test_ids_are_made_from_coordinates(table):
    assert ids_of(table(**XYZ)) == IDS


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()])
def test_ids_may_be_given_instead_and_hold_the_coordinates(table, kind):
    points = table(point_id=pa.array(IDS, kind))

    assert ids_of(points) == IDS
    assert [axis.tolist() for axis in decode(np.array(IDS, np.uint64))] == list(XYZ.values())


def test_ids_and_coordinates_may_both_be_given(table):
    assert ids_of(table(point_id=IDS, **{axis: pa.array(v, pa.int32()) for axis, v in XYZ.items()})) == IDS


def test_batches_know_their_first_row(table):
    assert [(batch.first_row, len(batch.ids)) for batch in read(table(**XYZ))] == [(0, 2), (2, 1)]


def test_further_columns_are_read_only_if_asked_for(table):
    points = table(**XYZ, body=[1, 2, 3], notes=["a", "b", "c"])

    assert [batch.raw.schema.names for batch in read(points, ["body"])] == [["x", "y", "z", "body"]] * 2


def test_ids_that_contradict_the_coordinates_are_counted_over_batches_with_their_rows(table):
    wrong = [IDS[0] + 1, IDS[1], IDS[2] + 1]

    with pytest.raises(DataError) as caught:
        ids_of(table(point_id=wrong, **XYZ))

    assert caught.value.column == "point_id"
    assert caught.value.rows == 2
    assert caught.value.examples == (f"row 0: {wrong[0]}", f"row 2: {wrong[2]}")
    assert "does not belong to the coordinates beside it" in str(caught.value)


@pytest.mark.parametrize("value", [2**20, -(2**20) - 1])
def test_coordinates_beyond_21_bits_are_refused_once(table, value):
    columns = {**XYZ, "y": [2, 0, value]}

    with pytest.raises(DataError) as caught:
        ids_of(table(point_id=IDS, **columns))

    (only,) = caught.value.parts
    assert (only.column, only.rows, only.examples) == ("y", 1, (f"row 2: {value}",))
    assert "is outside -1048576 .. 1048575" in str(only)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"point_id": pa.array([1, -5, 2])}, "column 'point_id': is negative (1 row); first: row 1: -5"),
        ({"point_id": pa.array([1, 2, 2**63], pa.uint64())}, f"is above 2^63 - 1 (1 row); first: row 2: {2**63}"),
        ({"point_id": pa.array([1, None, 2])}, "column 'point_id': is null (1 row); first: row 1: None"),
        ({**XYZ, "z": pa.array([1, 2, None])}, "column 'z': is null (1 row); first: row 2: None"),
        ({**XYZ, "z": [1.0, 2.0, 3.0]}, "column 'z': is of type double, but must be an integer"),
        ({"x": [1], "y": [1]}, "there is neither a column 'point_id' nor columns 'x', 'y', 'z'"),
        ({"point_id": pa.array([], pa.uint64())}, "the table has no rows"),
    ],
)
def test_faulty_ids_and_coordinates_are_refused(table, columns, says):
    with pytest.raises(DataError) as caught:
        ids_of(table(**columns))

    assert says in str(caught.value)


def test_what_the_header_lacks_is_said_at_once(tmp_path):
    path = tmp_path / "points.feather"
    feather.write_feather(pa.table({"x": [1], "primary": [5], "body": ["no"]}), str(path))

    with pytest.raises(DataError) as caught:
        PointTable(path, SETS, {"conf": "confidence"}, {"conf": Kind.NUMBER})

    text = str(caught.value)
    assert len(caught.value.parts) == 5
    assert "neither a column 'point_id'" in text
    assert "no column 'conf' (confidence)" in text
    assert "column 'primary': is of type int64, but must be text" in text
    assert "column 'body': is of type string, but must be an integer" in text
    assert "roi-set 'layer' is read from the point table, which has no column 'layer' or 'layer_label'" in text


ROIS = st.lists(
    st.tuples(
        st.sampled_from(["ME(R)", "LO(R)", None]), st.sampled_from(["a", "b", None]), st.sampled_from([0, 1, 2, None])
    ),
    min_size=1,
    max_size=30,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("points")


@given(ROIS, st.integers(1, 7), st.booleans(), st.booleans())
def test_combinations_are_numbered_by_first_appearance_and_again_alike(folder, rois, rows, categories, label):
    text = (lambda values: pa.array(values, pa.string()).dictionary_encode()) if categories else pa.array
    primary, layer, layer_label = map(list, zip(*rois, strict=True))
    columns = {"point_id": range(len(rois)), "primary": text(primary), "layer": text(layer)}
    if label:
        columns["layer_label"] = pa.array(layer_label, pa.int16())
    path = folder / "points.feather"
    feather.write_feather(pa.table(columns), str(path), chunksize=rows)
    points = PointTable(path, SETS, {}, {})

    first = np.concatenate([batch.combos for batch in read(points)]).tolist()
    again = np.concatenate([batch.combos for batch in read(points)]).tolist()

    expected = rois if label else [row[:2] for row in rois]
    numbers = {}
    assert first == again == [numbers.setdefault(row, len(numbers)) for row in expected]
    values = points.combo_values()
    assert list(values) == [name for name in ("primary", "layer", "layer_label") if name in columns]
    assert list(zip(*values.values(), strict=True)) == list(numbers)


def test_without_roi_sets_there_is_one_combination(table):
    points = table(**XYZ, primary=["a", "b", "c"])

    assert [batch.combos.tolist() for batch in read(points)] == [[0, 0], [0]]
    assert points.combo_values() == {}
