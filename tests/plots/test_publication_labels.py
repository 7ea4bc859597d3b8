"""Labels of narrow bars keep their distance and their order, and move no more than they must."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.plots.publication_labels import fitting, spread


@pytest.mark.parametrize(
    ("wanted", "placed"),
    [
        ([], []),
        ([50], [50]),
        ([10, 50, 90], [10, 50, 90]),
        ([50, 50], [45, 55]),  # each gives way alike
        ([50, 52, 54], [42, 52, 62]),
        ([0, 1], [0, 10]),  # the edge does not give way
        ([99, 100], [90, 100]),
        ([20, 45, 45, 80], [20, 40, 50, 80]),  # whoever has room stays
    ],
)
def test_labels_that_would_overlap_give_way(wanted, placed):
    assert spread(wanted, 10, 0, 100) == pytest.approx(placed)


@given(st.lists(st.floats(0, 100), max_size=11).map(sorted))
def test_labels_never_overlap_nor_leave_the_axis(wanted):
    placed = spread(wanted, 10, 0, 100)

    assert len(placed) == len(wanted)
    assert all(after - before >= 10 - 1e-9 for before, after in pairwise(placed))
    assert all(-1e-9 <= place <= 100 + 1e-9 for place in placed)


@given(st.lists(st.floats(0, 100), max_size=11).map(sorted))
def test_a_mirror_image_is_placed_as_the_mirror_image(wanted):
    mirrored = [100 - place for place in reversed(wanted)]

    assert [100 - place for place in reversed(spread(mirrored, 10, 0, 100))] == pytest.approx(
        spread(wanted, 10, 0, 100)
    )


@pytest.mark.parametrize(
    ("places", "kept"), [(5, [0, 1, 2, 3]), (4, [0, 1, 2, 3]), (2, [1, 3]), (3, [0, 1, 3]), (0, []), (-1, [])]
)
def test_the_largest_are_labelled_and_of_equals_the_first(places, kept):
    assert fitting([2.0, 5.0, 2.0, 9.0], places) == kept
