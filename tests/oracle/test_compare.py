"""The comparison finds every difference that matters and no other."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest

from tests.oracle.compare import assert_frames_equal, read


def test_reading_back_keeps_integers_beside_nulls(tmp_path):
    table = pa.table({"id": pa.array([2**53 + 1, None], pa.int64()), "flag": [True, None], "at": [[1, 2], None]})
    pa.feather.write_feather(table, tmp_path / "t.feather")
    there = read(tmp_path / "t.feather")
    assert there["id"][0] == 2**53 + 1
    assert there["flag"][0] is np.True_ or there["flag"][0] is True
    assert there["at"][0] == [1, 2]


@pytest.mark.parametrize(
    ("ours", "expected", "message"),
    [
        ({"a": [1]}, {"b": [1]}, "columns missing"),
        ({"a": [1, 2]}, {"a": [1]}, "2 rows instead of 1"),
        ({"a": [1, 3]}, {"a": [1, 2]}, "first row 1: .*3.* instead of .*2"),
        ({"a": [1.0]}, {"a": [1]}, "float64 instead of int64"),
        ({"a": np.array([0.5], "f8")}, {"a": np.array([0.5], "f4")}, "float64 instead of float32"),
        ({"a": [2**53]}, {"a": np.array([2**53 + 1], "u8")}, "differ"),
        ({"a": ["x", None]}, {"a": ["x", ""]}, "differ"),
        ({"a": [True]}, {"a": [1]}, "bool instead of int64"),
        ({"a": [[1, 2]]}, {"a": [[1, 3]]}, "differ"),
        ({"a": [None, 1.5]}, {"a": [0, 1.5]}, "differ"),
    ],
)
def test_differences_are_found(ours, expected, message):
    with pytest.raises(AssertionError, match=message):
        assert_frames_equal(pd.DataFrame(ours), pd.DataFrame(expected), "t")


def test_representations_of_one_value_are_equal():
    ours = pd.DataFrame(
        {
            "a": pd.Categorical(["x", None]),
            "b": pd.array([2**53 + 1, None], "Int64"),
            "c": pd.Series([None, [1, 2]]),
            "d": pd.array([3, None], "Int8"),
        }
    )
    expected = pd.DataFrame(
        {
            "d": [3.0, None],
            "c": pd.Series([None, np.array([1, 2])]),
            "b": pd.array([2**53 + 1, None], "UInt64"),
            "a": ["x", np.nan],
        }
    )
    assert_frames_equal(ours, expected, "t")
