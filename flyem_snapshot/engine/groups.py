"""Streams that are worked on in whole groups, several batches at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

T = TypeVar("T")
R = TypeVar("R")
Starts = np.ndarray[Any, np.dtype[np.int64]]


def whole_groups(batches: Iterable[pa.RecordBatch], keys: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches that never part rows of equal keys.  The stream must be sorted by the keys."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        starts = group_starts(batch, keys)
        # A batch of one group may go on in the next.
        if len(starts) == 1 and (not held or _same(held[-1], batch, keys)):
            held.append(batch)
            continue
        last = int(starts[-1])
        yield pa.concat_batches([*held, batch.slice(0, last)]) if held or last else batch
        held = [batch.slice(last)]
    if held:
        yield pa.concat_batches(held)


def group_starts(batch: pa.RecordBatch, keys: Sequence[str]) -> Starts:
    """The first row of each group of equal keys (integer columns, sorted)."""
    new = np.zeros(batch.num_rows, bool)
    new[:1] = True
    for key in keys:
        values = batch[key].to_numpy()
        new[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(new)


def group_numbers(starts: Starts, rows: int) -> Starts:
    """The group (0, 1, ...) of each row."""
    return np.repeat(np.arange(len(starts)), np.diff(np.append(starts, rows)))


def _same(before: pa.RecordBatch, after: pa.RecordBatch, keys: Sequence[str]) -> bool:
    return all(before[key][-1].as_py() == after[key][0].as_py() for key in keys)


def in_parallel(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """`map` by several threads, results in the order of the items; at most twice as many are in flight.

    Worth it where the function spends its time in numpy and Arrow, which release Python's lock.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="batch") as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(copy_context().run, function, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
