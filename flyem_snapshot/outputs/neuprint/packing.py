"""Which nodes share a file: a flag is a column, so nodes in the same ROIs belong together.

With thousands of ROIs one file would be thousands of columns wide.  The importer takes any number of files, each
with a header of its own, so a file holds only the flags that its nodes need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Members = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Packing:
    """`file_of[g]` is the file of group `g`; `columns[f]` are the sorted flags that file `f` needs."""

    file_of: np.ndarray[Any, np.dtype[np.int32]]
    columns: list[np.ndarray[Any, np.dtype[np.int32]]]


def pack(groups: Sequence[np.ndarray[Any, np.dtype[np.int32]]], members: Members, files: int) -> Packing:
    """Spread groups of nodes over at most `files` files.

    `groups[g]` are the flags of a group (sorted), `members[g]` its number of nodes.  Neighbours in the order of their
    flags share a file until it holds its share of all nodes, so files are alike in size and narrow.
    """
    order = sorted(range(len(groups)), key=lambda g: (len(groups[g]), groups[g].tolist()))
    file_of = np.zeros(len(groups), np.int32)
    columns: list[np.ndarray[Any, np.dtype[np.int32]]] = []
    left = int(members.sum())
    held: list[int] = []

    def close() -> int:
        """End a file; returns its number of nodes."""
        file_of[held] = len(columns)
        columns.append(np.unique(np.concatenate([groups[g] for g in held])).astype(np.int32))
        total = int(members[held].sum())
        held.clear()
        return total

    total = 0
    for group in order:
        total += int(members[group])
        # Its share of what is left: files that closed half full leave more to the later ones, not all to the last.
        if held and len(columns) < files - 1 and total * (files - len(columns)) > left:
            left -= close()
            total = int(members[group])
        held.append(group)
    if held:
        close()
    return Packing(file_of, columns)


def flag_cells(
    groups: Sequence[np.ndarray[Any, np.dtype[np.int32]]], packing: Packing, wanted: Sequence[int]
) -> list[str]:
    """For each wanted group the cells of its file's flag columns, each after a comma: `,true,,true`."""
    cells = []
    for number in wanted:
        group, columns = groups[number], packing.columns[packing.file_of[number]]
        if len(columns) == len(group):
            cells.append(",true" * len(group))
        else:
            marks = np.full(len(columns), ",", dtype=object)
            marks[np.searchsorted(columns, group)] = ",true"
            cells.append("".join(marks))
    return cells
