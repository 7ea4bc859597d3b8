"""Values on their way into JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.cave.encoding import encode, for_javascript, id_array, id_list, plain

BIG = 2**53 + 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(BIG), BIG),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, BIG]]), [[1, 2], [3, BIG]]),
        (pd.Series([1, BIG]), [1, BIG]),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (pa.array([BIG, None]), [BIG, None]),
        (pa.scalar(BIG), BIG),
        (float("nan"), None),
        (np.float64("nan"), None),
        (pd.NA, None),
        (pd.NaT, None),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
        ({1: (2, {3})}, {"1": [2, [3]]}),
        ({"pt": {"position": np.array([1, 2, 3], np.int32)}}, {"pt": {"position": [1, 2, 3]}}),
    ],
)
def test_values_of_other_libraries_become_plain_ones(value, expected):
    assert json.loads(encode(value)) == expected
    assert plain(value) == expected


@pytest.mark.parametrize("value", [b"bytes", object(), {"a": 1 + 2j}])
def test_what_has_no_form_in_json_is_refused(value):
    with pytest.raises(TypeError, match="cannot be sent as JSON"):
        encode(value)


def test_an_infinite_number_is_refused():
    with pytest.raises(ValueError, match="infinite"):
        encode([np.inf])


def test_only_integers_that_javascript_cannot_hold_become_texts():
    value = {"a": [2**53, BIG, -BIG, 1.5, True, None, "x"], "b": {"c": BIG}}
    expected = {"a": [2**53, str(BIG), str(-BIG), 1.5, True, None, "x"], "b": {"c": str(BIG)}}
    assert for_javascript(value) == expected


def test_one_id_is_a_list_of_one():
    assert id_list(5) == id_list(np.int64(5)) == id_list([5]) == [5]
    with pytest.raises(TypeError, match="integer"):
        id_list({"a": 1})


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_every_id_arrives_to_the_last_digit(ids):
    assert id_list(ids) == ids
    assert id_array(ids).tolist() == ids
    assert id_array(np.array(ids, np.uint64)).tolist() == ids
    assert json.loads(encode(np.array(ids, np.uint64))) == ids
