"""Tables of bodies come back from the cache as they were, and ids stay exact."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather

from flyem_snapshot.connectome.status import STATUS_ORDER, as_status_category
from flyem_snapshot.errors import DataError
from flyem_snapshot.tables.bodies import (
    BodyAnnotations,
    BodySizes,
    frame_from_arrow,
    size_series,
    unique_bodies,
    whole_numbers,
    write_feather,
)
from tests.contexts import make_context

BIG = 720575940596125869  # odd and above 2**53: no float holds it
FILE = "ann.feather"
INEXACT = "is kept as a floating-point number, which is not exact for a number this large"
FILL_IN = "\n  hint: fill in or remove these rows"

EVERY_KIND = pa.table(
    {
        "body": pa.array([BIG, 0, 7], pa.int64()),
        "text": pa.array(["a", None, ""], pa.large_string()),
        "id_with_gap": pa.array([BIG, None, 1], pa.int64()),
        "small": pa.array([1, None, -3], pa.int8()),
        "real": pa.array([0.5, None, 2.0], pa.float32()),
        "yes": pa.array([True, None, False]),
        "position": pa.array([[1, 2, 3], None, []], pa.list_(pa.int32())),
        "names": pa.array([["a", None], [], None], pa.list_(pa.string())),
        "time": pa.array([0, None, 10**15], pa.timestamp("us", "UTC")),
        "day": pa.array([0, 1, None], pa.date32()),
        "nested": pa.array([{"x": 1}, None, {"x": None}], pa.struct([("x", pa.int64())])),
        "side": pa.array(["L", None, "R"]).dictionary_encode(),
        "nothing": pa.nulls(3),
    }
)


@pytest.fixture
def ctx(tmp_path):
    return make_context(tmp_path, "annotations")


def annotations_of(table, status=("Leaves", None, "")):
    frame = frame_from_arrow(table)
    frame["status"] = as_status_category(status)
    return frame


def reopened(cls, ctx, record):
    """What a later run sees: the record has been through JSON."""
    return cls.reopen(ctx, json.loads(json.dumps(record)))


def test_annotations_come_back_with_all_their_dtypes(tmp_path):
    ctx = make_context(tmp_path, "annotations")
    kept = BodyAnnotations.keep(ctx, annotations_of(EVERY_KIND))

    again = reopened(BodyAnnotations, make_context(tmp_path, "annotations"), kept.record())

    pd.testing.assert_frame_equal(again.frame, kept.frame)
    assert (again.frame.dtypes == kept.frame.dtypes).all()
    assert again.frame.index.dtype == np.int64
    assert again.record() == kept.record()
    assert kept.record() == {
        "file": "cache/annotations/annotations.feather",
        "rows": 3,
        "timestamp": None,
        "source": None,
    }
    assert ctx.out.written["cache/annotations/annotations.feather"].rows == 3
    assert again.frame.loc[BIG, "id_with_gap"] == BIG
    assert again.frame["position"].tolist() == [[1, 2, 3], pd.NA, []]


def test_annotations_keep_the_types_of_their_columns_in_files(tmp_path):
    table = BodyAnnotations(annotations_of(EVERY_KIND)).to_arrow()

    assert table.column_names == [*EVERY_KIND.column_names, "status"]
    for name in set(EVERY_KIND.column_names) - {"side"}:
        assert table[name].equals(EVERY_KIND[name]), name
    assert table["side"].to_pylist() == ["L", None, "R"]
    assert pa.types.is_dictionary(table["side"].type)
    assert table["status"].type.ordered
    assert table["status"].chunk(0).dictionary.to_pylist() == list(STATUS_ORDER)
    assert table.schema.metadata is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**63 - 1),
            st.sampled_from([*STATUS_ORDER, None]),
            st.none() | st.lists(st.integers(-(2**31), 2**31)),
            st.none() | st.text(),
        ),
        unique_by=lambda row: row[0],
    )
)
def test_any_annotations_come_back(ctx, rows):
    bodies, status, positions, texts = ([row[place] for row in rows] for place in range(4))
    table = pa.table(
        {
            "body": pa.array(bodies, pa.int64()),
            "soma": pa.array(positions, pa.list_(pa.int64())),
            "type": pa.array(texts, pa.large_string()),
        }
    )
    kept = BodyAnnotations.keep(ctx, annotations_of(table, status))

    again = reopened(BodyAnnotations, ctx, kept.record())

    pd.testing.assert_frame_equal(again.frame, kept.frame)
    assert again.frame.index.tolist() == bodies


def test_status_may_be_absent_everywhere():
    assert BodyAnnotations(annotations_of(EVERY_KIND)).has_status
    assert BodyAnnotations(annotations_of(EVERY_KIND, ["", None, None])).has_status
    assert not BodyAnnotations(annotations_of(EVERY_KIND, [None] * 3)).has_status


def test_sizes_come_back(tmp_path):
    ctx = make_context(tmp_path, "body-sizes")
    kept = BodySizes.keep(ctx, size_series(np.array([BIG, 3]), np.array([2**40, 0])))

    again = reopened(BodySizes, ctx, kept.record())

    pd.testing.assert_series_equal(again.sizes, kept.sizes)
    assert again.sizes[BIG] == 2**40
    assert again.sizes.dtype == np.int64


@pytest.mark.parametrize(
    "column",
    [
        pa.array([BIG, 7], pa.int64()),
        pa.array([BIG, 7], pa.uint64()),
        pa.array([5, 7], pa.uint8()),
        pa.array([2.0**53, 7.0], pa.float64()),
        pa.array([], pa.null()),
        pa.array([], pa.int32()),
    ],
)
def test_whole_numbers_of_any_type_are_exact(column):
    numbers = whole_numbers(pa.chunked_array([column]), file=FILE, column="body")

    assert numbers.dtype == np.int64
    assert numbers.tolist() == column.to_pylist()


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pa.array(["1"]), "must hold whole numbers, but holds string\n  hint: write the column as 64-bit integers"),
        (pa.array([True]), "must hold whole numbers, but holds bool\n  hint: write the column as 64-bit integers"),
        (pa.array([1, None, 3, None, None, None]), f"has no value (4 rows); first: row 2, row 4, row 5{FILL_IN}"),
        (pa.array([1.0, None]), f"has no value (1 row); first: row 2{FILL_IN}"),
        (pa.array([1.0, float("nan")]), f"has no value (1 row); first: row 2{FILL_IN}"),
        (pa.nulls(2), f"has no value (2 rows); first: row 1, row 2{FILL_IN}"),
        (pa.array([1.0, 2.5, -0.5]), "is not a whole number (2 rows); first: 2.5, -0.5\n  hint: mend these rows"),
        (pa.array([float("inf")]), f"{INEXACT} (1 row); first: inf\n  hint: write the column as 64-bit integers"),
        (
            pa.array([2.0**60]),
            f"{INEXACT} (1 row); first: 1.152921504606847e+18\n  hint: write the column as 64-bit integers",
        ),
        (
            pa.array([2**63], pa.uint64()),
            "does not fit a signed 64-bit integer (1 row); first: 9223372036854775808\n  hint: mend these rows",
        ),
        (pa.array([5, -1]), "is negative (1 row); first: -1\n  hint: mend or remove these rows"),
        (
            pa.array([5, 6, 5, 6, 6]),
            "repeats an earlier row (3 rows); first: 5, 6, 6\n  hint: keep one row for each body",
        ),
    ],
)
def test_what_is_no_body_is_refused_with_the_rows(column, says):
    with pytest.raises(DataError) as caught:
        unique_bodies(pa.chunked_array([column]), file=FILE)

    assert str(caught.value) == f"ann.feather: column 'body': {says}"


@pytest.mark.parametrize("rows", [0, 3, 200_000])
def test_a_file_keeps_rows_and_categories_of_a_table_of_any_length(tmp_path, rows):
    frame = annotations_of(pa.table({"body": pa.array(range(rows), pa.int64())}), [None] * rows)

    write_feather(frame, tmp_path / "x.feather")

    table = feather.read_table(str(tmp_path / "x.feather"))
    assert table["body"].to_pylist() == list(range(rows))
    assert table["status"].chunk(0).dictionary.to_pylist() == list(STATUS_ORDER)


def test_real_annotations_with_ids_beyond_floats_are_exact(tmp_path, shared):
    table = feather.read_table(str(shared / "data" / "flywire783" / "annotations.feather"))
    bodies = unique_bodies(table["body"], file=FILE)

    frame = annotations_of(table, [None] * len(bodies))
    kept = BodyAnnotations.keep(make_context(tmp_path), frame)
    again = BodyAnnotations.reopen(make_context(tmp_path), kept.record())

    assert again.frame.index.tolist() == table["body"].to_pylist()
    assert again.frame["supervoxel_id"].dtype == "int64[pyarrow]"
    assert pa.chunked_array([pa.array(again.frame["supervoxel_id"])]).to_pylist() == table["supervoxel_id"].to_pylist()
