"""Ids on their way to a service never pass through a float."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.cave.encoding import exact
from flyem_snapshot.cave.queries import Filters

BIG = 2**60 + 11
ROOT = 864691134988869442
CELLS = "cells"
POSITIONS = [[1, 2, 3], [4, 5, 6]]
TYPES = ["equal", "among", "out", "greater", "less", "greater_equal", "less_equal"]


@pytest.fixture
def table(stack):
    return stack.volume.new_table(CELLS, "nucleus_detection")


@pytest.fixture
def annotations(client, table):
    return client.annotation


@pytest.fixture
def tables(stack, client):
    roots = pa.array([ROOT, ROOT + 1, ROOT + 2, None], pa.int64())
    rows = pa.table({"id": pa.array([1, 2, 3, 4], pa.int64()), "pt_root_id": roots, "volume": [0.5, 1.5, 2.5, 3.5]})
    stack.freeze().add_table(CELLS, "nucleus_detection", rows)
    client.materialize.version = 1
    return client.materialize


def asked(cave):
    """The requests that send something."""
    return [request for request in cave.requests if request.method in ("POST", "PUT")]


# --- uploads ---------------------------------------------------------------------------------------------------------


def test_a_column_of_ids_that_became_float_is_refused_before_anything_is_sent(annotations, cave):
    frame = pd.DataFrame({"pt_position": POSITIONS, "volume": [1.0, 2.0], "id": [BIG, None]})
    assert frame["id"].dtype == np.float64
    with pytest.raises(TypeError, match=r"'id' must hold integers, not the float 1\.15.*e\+18: .* dtype Int64"):
        annotations.post_annotation_df(CELLS, frame)
    assert not asked(cave)


@pytest.mark.parametrize("dtype", ["Int64", "UInt64", object])
def test_ids_with_gaps_arrive_whole_from_columns_that_can_have_both(annotations, dtype):
    ids = pd.Series([BIG, None], dtype=dtype)
    frame = pd.DataFrame({"pt_position": POSITIONS, "volume": [1.0, float("nan")], "id": ids})
    first, second = annotations.post_annotation_df(CELLS, frame)
    assert first == BIG
    assert second not in (None, BIG)


def test_an_id_that_is_nan_is_none(annotations, cave):
    rows = [{"pt": {"position": POSITIONS[0]}, "volume": 1.5, "id": float("nan")}]
    (number,) = annotations.post_annotation(CELLS, rows)
    assert number > 0
    (sent,) = json.loads(asked(cave)[-1].body)["annotations"]
    assert "id" not in sent


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": float(BIG)},
        {"id": np.float64(5)},
        {"id": 5, "target_id": float(ROOT)},
        {"id": 5, "pt": {"position": [1, 2, 3], "root_id": np.float32(7)}},
        {"id": 5, "pt": {"position": [1, 2, 3], "supervoxel_id": np.array([1.0])}},
    ],
)
def test_no_field_of_ids_may_be_a_float(annotations, cave, wrong):
    row = {"pt": {"position": [1, 2, 3]}, "volume": 1.5, **wrong}
    for send in (annotations.post_annotation, annotations.update_annotation):
        with pytest.raises(TypeError, match="must hold integers, not the float"):
            send(CELLS, [row])
    assert not asked(cave)


def test_an_update_without_an_id_is_refused_although_there_is_a_field(annotations):
    with pytest.raises(ValueError, match="needs the 'id'"):
        annotations.update_annotation(CELLS, {"id": float("nan"), "pt": {"position": [1, 2, 3]}, "volume": 1})


def test_other_numbers_may_be_floats(annotations):
    (number,) = annotations.post_annotation(CELLS, {"pt": {"position": [1, 2, 3]}, "volume": np.float32(0.5), "id": 8})
    (found,) = annotations.get_annotation(CELLS, number)
    assert found["volume"] == 0.5


# --- filters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("column", ["id", "pt_root_id", "pre_pt_supervoxel_id", "target_id", "id_ref"])
@pytest.mark.parametrize("value", [float(ROOT), np.float64(ROOT), [ROOT, 2.0], pd.Series([ROOT, None])])
def test_filters_refuse_floats_for_ids_whatever_the_filter(kind, column, value):
    for given_filter in ({column: value}, {CELLS: {column: value}}):
        filters = Filters(**{kind: given_filter})
        with pytest.raises(TypeError, match=f"'{column}' must hold integers, not the float"):
            filters.excluded() if kind == "out" else filters.body(CELLS)


@pytest.mark.parametrize(
    "name",
    ["filter_in_dict", "filter_out_dict", "filter_equal_dict", "filter_greater_dict", "filter_less_equal_dict"],
)
def test_no_query_is_sent_with_ids_as_floats(tables, cave, name):
    value = [float(ROOT)] if name in ("filter_in_dict", "filter_out_dict") else float(ROOT)
    with pytest.raises(TypeError, match="'pt_root_id' must hold integers"):
        tables.query_table(CELLS, **{name: {"pt_root_id": value}})
    with pytest.raises(TypeError, match="'pt_root_id' must hold integers"):
        tables.count_rows(CELLS, **{name: {"pt_root_id": value}})
    assert not asked(cave)


@pytest.mark.parametrize("dtype", ["Int64", object])
def test_ids_with_gaps_may_be_asked_for_and_the_gaps_match_nothing(tables, dtype):
    roots = pd.Series([ROOT + 1, None], dtype=dtype)
    assert tables.query_table(CELLS, filter_in_dict={"pt_root_id": roots})["id"].to_pylist() == [2]
    assert tables.query_table(CELLS, filter_in_dict={CELLS: {"pt_root_id": roots}})["id"].to_pylist() == [2]
    out = tables.query_table(CELLS, filter_out_dict={"pt_root_id": roots})
    assert out["id"].to_pylist() == [1, 3, 4]


def test_ids_of_any_integer_kind_are_exact(tables):
    for value in (ROOT + 2, np.int64(ROOT + 2), np.uint64(ROOT + 2), pa.scalar(ROOT + 2)):
        assert tables.query_table(CELLS, filter_equal_dict={"pt_root_id": value})["id"].to_pylist() == [3]
    for values in (np.array([ROOT], np.uint64), pa.array([ROOT]), pd.Series([ROOT]), {ROOT}):
        assert tables.query_table(CELLS, filter_in_dict={"pt_root_id": values})["id"].to_pylist() == [1]


def test_columns_that_are_no_ids_are_filtered_by_floats(tables):
    assert tables.query_table(CELLS, filter_greater_dict={"volume": 1.7})["id"].to_pylist() == [3, 4]
    assert tables.query_table(CELLS, filter_in_dict={"volume": [0.5]})["id"].to_pylist() == [1]


@given(
    st.dictionaries(
        st.sampled_from(["id", "a_id", "root_id_b", "video", "idea", "grid"]),
        st.one_of(
            st.integers(0, 2**64 - 1), st.none(), st.floats(allow_infinity=False), st.lists(st.floats(0, 1), max_size=2)
        ),
    )
)
def test_what_passes_has_no_number_but_integers_under_a_name_of_ids(values):
    names = {"id", "a_id", "root_id_b"}

    def is_float(value):
        return isinstance(value, float) and value == value  # noqa: PLR0124 - NaN is not

    wrong = [
        name
        for name, value in values.items()
        if name in names and any(map(is_float, value if isinstance(value, list) else [value]))
    ]
    if wrong:
        with pytest.raises(TypeError, match="must hold integers"):
            exact(values)
    else:
        assert all(value == values[name] for name, value in exact(values).items() if value is not None)
