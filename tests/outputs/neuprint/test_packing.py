"""Spreading groups of nodes over files."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.outputs.neuprint.packing import flag_cells, pack

flags = st.lists(st.integers(0, 9), unique=True, max_size=6).map(lambda x: np.array(sorted(x), np.int32))
groups = st.lists(flags, min_size=1, max_size=20, unique_by=lambda f: tuple(f.tolist()))


@given(groups, st.integers(1, 8), st.data())
def test_every_group_is_in_a_file_with_the_columns_that_it_needs(members, files, data):
    counts = np.array([data.draw(st.integers(1, 100)) for _ in members])
    packing = pack(members, counts, files)
    assert 1 <= len(packing.columns) <= files
    assert set(packing.file_of.tolist()) == set(range(len(packing.columns)))
    for group, cells, file in zip(
        members, flag_cells(members, packing, range(len(members))), packing.file_of, strict=True
    ):
        columns = packing.columns[file]
        values = cells.split(",")[1:]
        assert len(values) == len(columns)
        assert [int(c) for c, v in zip(columns, values, strict=True) if v == "true"] == group.tolist()
        assert set(values) <= {"", "true"}


def test_a_file_has_no_column_that_none_of_its_groups_needs():
    packing = pack([np.array([0, 1], np.int32), np.array([7], np.int32)], np.array([5, 5]), 2)
    assert [columns.tolist() for columns in packing.columns] == [[7], [0, 1]]


def test_no_group_gives_no_file():
    packing = pack([], np.empty(0, np.int64), 4)
    assert packing.columns == []


def test_groups_of_more_than_half_a_share_do_not_leave_the_rest_to_the_last_file():
    members = [np.array([roi], np.int32) for roi in range(30)]
    packing = pack(members, np.full(30, 60), 20)
    assert max(len(columns) for columns in packing.columns) <= 2
