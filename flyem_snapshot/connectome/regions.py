"""The ROIs that each combination stands for, across all roi-sets of an export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flyem_snapshot.tables.rois import UNSPECIFIED, AssignedSet

Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Regions:
    """The ROIs of each combination as indices into `names`, which are sorted by code point.

    Combination `c` lies in the ROIs `flat[starts[c]:starts[c + 1]]`, ascending.  Combinations of several point tables
    stand one after the other; `offsets` says where those of each table begin.  The last combination lies in no ROI at
    all: it serves whatever has no place.  `outside` is the index of `<unspecified>`, which stands for "in no ROI of
    the alphabetically first roi-set" (-1 where there is no roi-set), so that every point is in some entry.
    """

    names: tuple[str, ...]
    starts: Ints
    flat: Ints
    offsets: Mapping[str, int]
    outside: int

    @property
    def nowhere(self) -> int:
        """The combination without any ROI."""
        return len(self.starts) - 2

    def expand(self, combos: Ints) -> tuple[Ints, Ints]:
        """For points with these combinations: the row of each (point, ROI), and the ROI."""
        lengths = self.starts[combos + 1] - self.starts[combos]
        rows = np.repeat(np.arange(len(combos)), lengths)
        ends = np.cumsum(lengths)
        within = np.arange(len(rows)) - (ends - lengths)[rows]
        return rows, self.flat[self.starts[combos][rows] + within]


def regions_of(tables: Mapping[str, Sequence[AssignedSet]], sizes: Mapping[str, int]) -> Regions:
    """The ROIs of point tables, given by name; `sizes` is the number of combinations of each."""
    first = min((s.name for sets in tables.values() for s in sets), default=None)
    specified = {name for sets in tables.values() for s in sets for name in s.ids if name != UNSPECIFIED}
    names = sorted(specified | ({UNSPECIFIED} if first is not None else set()))
    index = {name: position for position, name in enumerate(names)}
    outside = index.get(UNSPECIFIED, -1)
    offsets: dict[str, int] = {}
    found: list[Ints] = []
    lengths: list[Ints] = []
    for table, sets in tables.items():
        offsets[table] = sum(map(len, lengths))
        columns = [_global(s, index, outside if s.name == first else -1) for s in sets]
        if first is not None and all(s.name != first for s in sets):
            columns.append(np.full(sizes[table], outside, np.int64))
        matrix = np.sort(np.stack(columns, axis=1), axis=1) if columns else np.empty((sizes[table], 0), np.int64)
        found.append(matrix[matrix >= 0])
        lengths.append(np.count_nonzero(matrix >= 0, axis=1))
    starts = np.concatenate([[0], np.cumsum(np.concatenate([*lengths, [0]]))]).astype(np.int64)
    return Regions(tuple(names), starts, np.concatenate([*found, np.empty(0, np.int64)]), offsets, outside)


def _global(assigned: AssignedSet, index: Mapping[str, int], unspecified: int) -> Ints:
    """For each combination the index of the ROI in this set; -1 (or `unspecified`) for none."""
    places = [unspecified if name == UNSPECIFIED else index[name] for name in assigned.categories]
    return np.array([*places, unspecified], np.int64)[assigned.names]
