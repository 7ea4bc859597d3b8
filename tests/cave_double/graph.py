"""A chunkedgraph: supervoxels, their roots at any time, and how roots followed each other.

Supervoxels are nodes of layer 1 and roots of the highest layer, which stands in the top byte of every id.  All
supervoxels are kept in one sorted array, and beside it their roots after each edit.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from tests.cave_double.clock import Clock

LAYERS = 12
ROOT_LAYER = LAYERS << 56
FIRST_ROOT = ROOT_LAYER + 0x3F0000000001
LEVEL2 = 2 << 56


@dataclass
class Operation:
    """An edit: its number, kind, time, who made it, and the roots before and after."""

    id: int
    kind: str  # merge, split
    time: dt.datetime
    old: list[int]
    new: list[int]
    user: str
    edge: tuple[int, int] = (0, 0)
    """A supervoxel on either side."""


@dataclass
class Root:
    """A root: when it came to be, by which operation, from which roots, and what followed it."""

    id: int
    created: dt.datetime
    epoch: int
    operation: Operation | None = None
    former: list[int] = field(default_factory=list)
    successors: list[int] = field(default_factory=list)


class ChunkedGraph:
    """A segmentation table that proofreaders edit."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name, self.clock = name, clock
        self.supervoxels = np.zeros(0, np.uint64)
        self.times: list[dt.datetime] = [clock.now - dt.timedelta(days=365)]
        """When each state of `epochs` began; the first is the oldest time that can be asked for."""
        self.epochs: list[np.ndarray] = [np.zeros(0, np.uint64)]
        self.roots: dict[int, Root] = {}
        self.operations: dict[int, Operation] = {}
        self._last_root = FIRST_ROOT - 1
        self._level2: dict[tuple[int, int], int] = {}
        self._level2_back: dict[int, tuple[int, int]] = {}

    # --- making and editing -----------------------------------------------------------------------------------------

    def load(self, supervoxels: np.ndarray, roots: np.ndarray) -> None:
        """Add supervoxels that no proofreader has touched: their roots are there from the oldest time on."""
        supervoxels, first = np.unique(np.asarray(supervoxels).astype(np.uint64), return_index=True)
        roots = np.asarray(roots).astype(np.uint64)[first]
        new = ~np.isin(supervoxels, self.supervoxels) & (supervoxels > 1)
        supervoxels, roots = supervoxels[new], roots[new]
        everything = np.concatenate([self.supervoxels, supervoxels])
        order = np.argsort(everything, kind="stable")
        self.supervoxels = everything[order]
        self.epochs = [np.concatenate([epoch, roots])[order] for epoch in self.epochs]
        if len(roots) and not self.roots:
            self._last_root = int(roots.max())  # of the layer that these have
        for root in np.unique(roots).tolist():
            self.roots.setdefault(root, Root(root, self.times[0], 0))
            self._last_root = max(self._last_root, root)

    def new_body(self, supervoxels: Iterable[int]) -> int:
        """A body of given supervoxels, there from the oldest time on; gives back its root."""
        root = self._new_root_id()
        members = np.array(list(supervoxels), np.uint64)
        self.load(members, np.full(len(members), root, np.uint64))
        return root

    def merge(self, *roots: int, user: str = "proofreader@example.org") -> int:
        """Join bodies; gives back the new root."""
        operation = self._operation("merge", list(roots), user)
        operation.edge = int(self.leaves(roots[0])[0]), int(self.leaves(roots[-1])[0])
        current = self.epochs[-1].copy()
        new = self._new_root_id()
        current[np.isin(current, np.array(roots, np.uint64))] = new
        self._begin(current, operation, [new])
        return new

    def split(self, root: int, supervoxels: Iterable[int], user: str = "proofreader@example.org") -> tuple[int, int]:
        """Take supervoxels out of a body; gives back the root of the rest and that of the part."""
        operation = self._operation("split", [root], user)
        current = self.epochs[-1].copy()
        rest, part = self._new_root_id(), self._new_root_id()
        members = current == np.uint64(root)
        taken = members & np.isin(self.supervoxels, np.array(list(supervoxels), np.uint64))
        current[members], current[taken] = rest, part
        self._begin(current, operation, [rest, part])
        return rest, part

    def _new_root_id(self) -> int:
        self._last_root += 1
        return self._last_root

    def _operation(self, kind: str, old: list[int], user: str) -> Operation:
        operation = Operation(len(self.operations) + 1, kind, self.clock.tick(), old, [], user)
        self.operations[operation.id] = operation
        return operation

    def _begin(self, roots: np.ndarray, operation: Operation, new: list[int]) -> None:
        self.times.append(operation.time)
        self.epochs.append(roots)
        operation.new = new
        for root in new:
            self.roots[root] = Root(root, operation.time, len(self.epochs) - 1, operation, list(operation.old))
        for root in operation.old:
            self.roots[root].successors = new

    # --- asking -----------------------------------------------------------------------------------------------------

    def state(self, time: dt.datetime | None) -> np.ndarray:
        """The roots of all supervoxels at a time (None: now); the oldest ones for a time before the first."""
        if time is None:
            return self.epochs[-1]
        return self.epochs[max(0, bisect.bisect_right(self.times, time) - 1)]

    def roots_at(self, nodes: np.ndarray, time: dt.datetime | None = None) -> np.ndarray:
        """The roots of nodes (uint64) at a time; 0 for 0 and for what the graph does not know.

        A node is a supervoxel or a root; the root of a root that has been replaced is that of its first supervoxel.
        """
        nodes = np.asarray(nodes).astype(np.uint64)
        found = self._of_supervoxels(nodes, time)
        for index in np.flatnonzero((nodes >> np.uint64(56)) > 1).tolist():
            leaves = self.leaves(int(nodes[index]))
            found[index] = self._of_supervoxels(leaves[:1], time)[0] if len(leaves) else 0
        return found

    def _of_supervoxels(self, nodes: np.ndarray, time: dt.datetime | None) -> np.ndarray:
        if not len(self.supervoxels):
            return np.zeros(len(nodes), np.uint64)
        places = np.minimum(np.searchsorted(self.supervoxels, nodes), len(self.supervoxels) - 1)
        return np.where(self.supervoxels[places] == nodes, self.state(time)[places], np.uint64(0))

    def leaves(self, node: int) -> np.ndarray:
        """The supervoxels of a root or of a node of layer 2, whenever it lived."""
        if node in self._level2_back:
            root, chunk = self._level2_back[node]
            members = self.leaves(root)
            return members[chunk_of(members) == chunk]
        if node not in self.roots:
            return np.zeros(0, np.uint64)
        return self.supervoxels[self.epochs[self.roots[node].epoch] == np.uint64(node)]

    def level2_of(self, supervoxels: np.ndarray, roots: np.ndarray) -> np.ndarray:
        """The nodes of layer 2 between supervoxels and their roots; 0 where there is no root."""
        found = np.zeros(len(roots), np.uint64)
        for root in np.unique(roots[roots > 0]).tolist():
            nodes = np.array(self.level2(root), np.uint64)
            members = np.flatnonzero(roots == np.uint64(root))
            found[members] = nodes[
                np.searchsorted(np.unique(chunk_of(self.leaves(root))), chunk_of(supervoxels[members]))
            ]
        return found

    def level2(self, root: int) -> list[int]:
        """The nodes of layer 2 of a root: one a chunk."""
        nodes = []
        for chunk in np.unique(chunk_of(self.leaves(root))).tolist():
            node = self._level2.setdefault((root, chunk), LEVEL2 + len(self._level2) + 1)
            self._level2_back[node] = (root, chunk)
            nodes.append(node)
        return nodes

    def is_latest(self, root: int, time: dt.datetime | None = None) -> bool:
        """Whether a root exists at a time (None: now)."""
        return bool((self.state(time) == np.uint64(root)).any())

    def history(self, roots: Iterable[int], past: dt.datetime | None, future: dt.datetime | None) -> set[int]:
        """The roots from which the given ones came since `past`, what they became until `future`, and themselves."""
        found: set[int] = set()
        for step in ("former", "successors"):
            todo, seen = list(roots), set()
            while todo:
                root = todo.pop()
                if root in seen or root not in self.roots:
                    continue
                seen.add(root)
                todo += [other for other in getattr(self.roots[root], step) if self._within(root, other, past, future)]
            found |= seen
        return found

    def _within(self, one: int, other: int, past: dt.datetime | None, future: dt.datetime | None) -> bool:
        """Whether the edit between two roots that follow each other lies in a span of time."""
        edit = max(self.roots[one].created, self.roots[other].created)
        return (past is None or edit > past) and (future is None or edit <= future)


def chunk_of(supervoxels: np.ndarray) -> np.ndarray:
    """The chunk of each supervoxel: the bits of its id between the layer and the last 32."""
    return (supervoxels & np.uint64((1 << 56) - 1)) >> np.uint64(32)
