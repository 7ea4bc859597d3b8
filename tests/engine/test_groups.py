"""Whole groups of sorted streams, and work in parallel."""

import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.engine.groups import group_numbers, group_starts, in_parallel, whole_groups

cuts = st.lists(st.integers(0, 6), max_size=12)


@given(st.lists(st.integers(0, 4), max_size=30), cuts)
def test_no_group_is_parted_and_no_row_lost(keys, sizes):
    keys = sorted(keys)
    batches, rest = [], keys
    for size in sizes:
        batches.append(pa.record_batch({"k": pa.array(rest[:size], pa.int64())}))
        rest = rest[size:]
    batches.append(pa.record_batch({"k": pa.array(rest, pa.int64())}))
    pieces = [batch["k"].to_pylist() for batch in whole_groups(batches, ("k",))]
    assert [key for piece in pieces for key in piece] == keys
    seen = [key for piece in pieces for key in set(piece)]
    assert len(seen) == len(set(seen))
    assert all(pieces)


def test_starts_and_numbers_of_groups():
    batch = pa.record_batch({"a": [1, 1, 1, 2], "b": [5, 5, 6, 6]})
    starts = group_starts(batch, ("a", "b"))
    assert starts.tolist() == [0, 2, 3]
    assert group_numbers(starts, 4).tolist() == [0, 0, 1, 2]
    assert group_numbers(np.empty(0, np.int64), 0).tolist() == []


def test_results_come_in_the_order_of_the_items_though_the_first_takes_longest():
    second_done = threading.Event()

    def work(item):
        if item == 0:
            assert second_done.wait(10)
        if item == 1:
            second_done.set()
        return item * 10

    assert list(in_parallel(work, range(5), 2)) == [0, 10, 20, 30, 40]


def test_an_error_of_one_item_reaches_the_consumer():
    def work(item):
        if item == 2:
            raise ValueError("third")
        return item

    results = in_parallel(work, range(100), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="third"):
        list(results)


def test_only_a_few_items_are_taken_ahead_of_the_consumer():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    next(in_parallel(lambda item: item, items(), 2))
    assert len(taken) <= 5
