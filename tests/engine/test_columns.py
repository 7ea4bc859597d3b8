"""Columns looked up by row number give back what was appended, as the type they were declared with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.engine.columns import RowColumns

DTYPES = {"body": np.int64, "conf": np.float32, "fate": np.uint8}


@given(
    batches=st.lists(
        st.lists(
            st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(width=32), st.integers(0, 255)),
            max_size=10,
        ),
        max_size=5,
    ),
)
def test_what_was_appended_comes_back_by_row_number(tmp_path_factory, batches):
    columns = RowColumns(tmp_path_factory.mktemp("columns") / "points", DTYPES)
    for batch in batches:
        columns.append(
            body=np.array([row[0] for row in batch], np.int64),
            conf=np.array([row[1] for row in batch], np.float64),  # converted to the column's type
            fate=np.array([row[2] for row in batch], np.int16),
        )
    columns.close()

    rows = [row for batch in batches for row in batch]
    assert columns.rows == len(rows)
    for position, name in enumerate(DTYPES):
        expected = np.array([row[position] for row in rows], DTYPES[name])
        np.testing.assert_array_equal(columns[name], expected)
        assert columns[name].dtype == DTYPES[name]
    take = np.arange(len(rows))[::-2]
    np.testing.assert_array_equal(columns["body"][take], [rows[i][0] for i in take])


def test_every_other_value_of_an_array_may_be_appended(tmp_path):
    columns = RowColumns(tmp_path / "points", {"x": np.int32})
    columns.append(x=np.arange(10)[::2])
    columns.close()

    assert columns["x"].tolist() == [0, 2, 4, 6, 8]


def test_columns_of_different_lengths_are_refused(tmp_path):
    columns = RowColumns(tmp_path / "points", {"x": np.int32, "y": np.int32})

    with pytest.raises(ValueError, match="unpack"):
        columns.append(x=np.zeros(2), y=np.zeros(3))
    columns.close()


def test_the_columns_cannot_be_changed(tmp_path):
    columns = RowColumns(tmp_path / "points", {"x": np.int32})
    columns.append(x=np.arange(3))
    columns.close()

    with pytest.raises(ValueError, match="read-only"):
        columns["x"][0] = 9


def test_a_folder_serves_once(tmp_path):
    RowColumns(tmp_path / "points", {"x": np.int32}).close()

    with pytest.raises(FileExistsError):
        RowColumns(tmp_path / "points", {"x": np.int32})
