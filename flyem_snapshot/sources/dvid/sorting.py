"""Sorting more pairs than fit into memory: sorted runs on disk, then range by range of the keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flyem_snapshot.sources.dvid.failures import Incomplete

Pairs = NDArray[np.uint64]

RUN: Final = 1 << 20
"""Pairs that are sorted in memory at a time: 16 MB, and some four times that while they are sorted."""

_STEP: Final = 1 << 10
"""Of each run, one key in so many is kept in memory, to find ranges that hold about as many pairs as a run."""


def sorted_pairs(pairs: Iterable[Pairs], folder: Path, *, run: int = RUN, step: int = _STEP) -> Iterator[Pairs]:
    """The same pairs (shape (M, 2)) by ascending first number, in arrays of about `run` rows.

    Needs some 130 MB of memory for 100 million pairs, and 16 bytes of disk a pair in `folder` for the time
    being.  Raises Incomplete if a first number occurs twice.
    """
    with TemporaryDirectory(prefix="runs-", dir=folder) as place:
        runs: list[Path] = []
        samples: list[NDArray[np.uint64]] = []
        for rows in _rebatched(pairs, run):
            runs.append(Path(place) / f"{len(runs)}.u64")
            samples.append(_spilled(rows, runs[-1], step))
        if runs:
            keys = np.sort(np.concatenate(samples))
            yield from _merged(runs, np.unique(keys[run // step :: max(run // step, 1)]))


def _rebatched(pairs: Iterable[Pairs], rows: int) -> Iterator[Pairs]:
    """The same rows in arrays of exactly `rows`, but for the last; each is valid until the next is asked for."""
    buffer: Pairs = np.empty((rows, 2), np.uint64)
    filled = 0
    for part in pairs:
        taken = 0
        while taken < len(part):
            more = min(rows - filled, len(part) - taken)
            buffer[filled : filled + more] = part[taken : taken + more]
            filled, taken = filled + more, taken + more
            if filled == rows:
                yield buffer
                filled = 0
    if filled:
        yield buffer[:filled]


def _in_order(pairs: Pairs) -> Pairs:
    ordered: Pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    twice = np.flatnonzero(ordered[1:, 0] == ordered[:-1, 0])
    if len(twice):
        raise Incomplete(f"the mapping names supervoxel {ordered[twice[0], 0]} twice")
    return ordered


def _spilled(pairs: Pairs, file: Path, step: int) -> NDArray[np.uint64]:
    """Write a run, sorted, keys before values, and return a sample of its keys."""
    ordered = _in_order(pairs)
    with file.open("wb") as out:
        for column in (0, 1):
            np.ascontiguousarray(ordered[:, column]).tofile(out)
    return ordered[::step, 0].copy()


def _merged(runs: list[Path], pivots: NDArray[np.uint64]) -> Iterator[Pairs]:
    """The pairs of all runs, one range of keys after the other; the pivots are where ranges begin."""
    lengths = [file.stat().st_size // 16 for file in runs]
    cuts = [_positions(file, length, pivots) for file, length in zip(runs, lengths, strict=True)]
    for number in range(len(pivots) + 1):
        parts = [
            _read(file, length, int(cut[number]), int(cut[number + 1]))
            for file, length, cut in zip(runs, lengths, cuts, strict=True)
        ]
        yield _in_order(np.concatenate(parts))


def _positions(file: Path, length: int, pivots: NDArray[np.uint64]) -> NDArray[np.intp]:
    keys = np.memmap(file, np.uint64, "r", shape=(length,))
    return np.concatenate([[0], np.searchsorted(keys, pivots), [length]]).astype(np.intp)


def _read(file: Path, length: int, start: int, stop: int) -> Pairs:
    # Read, not mapped: pages of a map would count as our memory.
    columns = [np.fromfile(file, np.uint64, stop - start, offset=8 * (base + start)) for base in (0, length)]
    return np.stack(columns, axis=1)
