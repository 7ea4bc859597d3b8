"""The state of a labelmap at one node: voxels, the map of supervoxels to bodies, sizes."""

from __future__ import annotations

from functools import cached_property

import numpy as np

NONE = np.zeros(0, np.uint64)


class Labels:
    """Voxels (`cube`, zyx, uint64, whose first voxel lies at `offset`) and the map of supervoxels to bodies.

    The map has a large part that was loaded, as sorted arrays, and a small part that changed since, as a dict; a
    supervoxel in neither is its own body.  States are copied when a node begins to differ from its parent; arrays are
    replaced, never written to, so that copies may share them.
    """

    def __init__(self, side: int = 64) -> None:
        self.side = side  # of a block
        self.cube: np.ndarray | None = None
        self.offset = (0, 0, 0)
        self.voxels: dict[int, int] = {}  # of each supervoxel, 0 for one that lost them all
        self.loaded = (NONE, NONE, np.zeros(0, np.int64))  # supervoxels (sorted), bodies, sizes
        self.changed: dict[int, int] = {}

    def __copy__(self) -> Labels:
        other = Labels(self.side)
        other.cube, other.offset, other.loaded = self.cube, self.offset, self.loaded
        other.voxels, other.changed = dict(self.voxels), dict(self.changed)
        return other

    def forget(self) -> None:
        """Drop what was derived; call after each change."""
        for name in ("entries", "known", "body_sizes"):
            self.__dict__.pop(name, None)

    # --- voxels -----------------------------------------------------------------------------------------------------

    def write(self, cube: np.ndarray, offset: tuple[int, int, int]) -> None:
        """Put a cube of supervoxels somewhere; the volume grows if it must."""
        low, high = np.array(offset), np.array(offset) + cube.shape
        if self.cube is not None:
            low, high = np.minimum(low, self.offset), np.maximum(high, np.array(self.offset) + self.cube.shape)
        whole = np.zeros(high - low, np.uint64)
        if self.cube is not None:
            whole[window(self.offset, low, self.cube.shape)] = self.cube
        whole[window(offset, low, cube.shape)] = cube
        self.offset = (int(low[0]), int(low[1]), int(low[2]))
        self.relabel(whole)

    def relabel(self, cube: np.ndarray) -> None:
        """Replace all voxels and count them anew; retired supervoxels are forgotten, unless they are mapped."""
        ids, counts = np.unique(cube, return_counts=True)
        counted = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        counted.pop(0, None)
        emptied = {sv: 0 for sv in self.voxels if self.changed.get(sv)}  # dvid#289: mapped, and without voxels
        self.cube, self.voxels = cube, emptied | counted
        self.forget()

    def at(self, zyx: np.ndarray) -> np.ndarray:
        """Supervoxels at points (N, 3); 0 outside."""
        found = np.zeros(len(zyx), np.uint64)
        if self.cube is not None and len(zyx):
            places = np.asarray(zyx) - self.offset
            inside = ((places >= 0) & (places < self.cube.shape)).all(axis=1)
            found[inside] = self.cube[tuple(places[inside].T)]
        return found

    def box(self, start: np.ndarray, shape: tuple[int, int, int], scale: int) -> np.ndarray:
        """Supervoxels of a box at a scale (zyx), 0 outside.

        A voxel of scale s is the one at its first corner: simpler than the server's vote, and easy to foretell.
        """
        out = np.zeros(shape, np.uint64)
        if self.cube is None:
            return out
        axes, targets = [], []
        for axis in range(3):
            places = ((int(start[axis]) + np.arange(shape[axis])) << scale) - self.offset[axis]
            inside = (places >= 0) & (places < self.cube.shape[axis])
            axes.append(places[inside])
            targets.append(np.flatnonzero(inside))
        out[np.ix_(*targets)] = self.cube[np.ix_(*axes)]
        return out

    def extent(self, scale: int = 0) -> tuple[np.ndarray, np.ndarray] | None:
        """The blocks that hold the volume at a scale: the first, and the one after the last (zyx); None without."""
        if self.cube is None:
            return None
        size = self.side << scale
        stop = np.array(self.offset) + self.cube.shape
        return np.array(self.offset) // size, -(-stop // size)

    # --- bodies -----------------------------------------------------------------------------------------------------

    @cached_property
    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """The map: supervoxels (sorted) that have an entry, and its body, 0 included."""
        svs, bodies, _ = self.loaded
        new = np.array(sorted(self.changed), np.uint64)
        to = np.array([self.changed[int(sv)] for sv in new], np.uint64)
        kept = ~np.isin(svs, new)
        svs, bodies = np.concatenate([svs[kept], new]), np.concatenate([bodies[kept], to])
        order = np.argsort(svs, kind="stable")
        return svs[order], bodies[order]

    @cached_property
    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """The supervoxels that exist (sorted), and their sizes in voxels."""
        svs, _, sizes = self.loaded
        new = np.array(sorted(self.voxels), np.uint64)
        counts = np.array([self.voxels[int(sv)] for sv in new], np.int64)
        kept = ~np.isin(svs, new)
        if kept.any():
            kept &= self.mapped(svs) != 0
        svs, sizes = np.concatenate([svs[kept], new]), np.concatenate([sizes[kept], counts])
        order = np.argsort(svs, kind="stable")
        return svs[order], sizes[order]

    @cached_property
    def body_sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """The bodies that exist (sorted), and their sizes in voxels."""
        svs, sizes = self.known
        bodies, which = np.unique(self.mapped(svs), return_inverse=True)
        total = np.zeros(len(bodies), np.int64)
        np.add.at(total, which, sizes)
        return bodies[bodies > 0], total[bodies > 0]

    def mapped(self, svs: np.ndarray, *, verified: bool = False) -> np.ndarray:
        """The body of each supervoxel (uint64).

        Without an entry it is the supervoxel itself; with `verified` only if there is such a supervoxel, else 0.
        """
        svs = np.asarray(svs, np.uint64)
        found, hit = lookup(*self.entries, svs)
        identity = svs
        if verified:
            _, exists = lookup(*self.known, svs)
            identity = np.where(exists, svs, np.uint64(0))
        return np.where(hit, found, identity)

    def body(self, sv: int) -> int:
        """The body of one supervoxel."""
        return int(self.mapped(np.array([sv], np.uint64), verified=True)[0])

    def sizes(self, labels: np.ndarray, *, supervoxels: bool) -> tuple[np.ndarray, np.ndarray]:
        """Voxels of bodies or supervoxels, 0 for what does not exist; and whether it exists."""
        found, hit = lookup(*(self.known if supervoxels else self.body_sizes), np.asarray(labels, np.uint64))
        return np.where(hit, found, 0), hit

    def members(self, body: int) -> np.ndarray:
        """The supervoxels of a body, sorted."""
        svs = self.known[0]
        return svs[self.mapped(svs) == np.uint64(body)]


def lookup(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value of each wanted key in a sorted table (anything where there is none), and whether there is one."""
    if not len(keys):
        return np.zeros(len(wanted), values.dtype), np.zeros(len(wanted), bool)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return values[places], keys[places] == wanted


def window(offset: tuple[int, ...], low: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Where a cube lies in a larger one whose first voxel is at `low`."""
    return tuple(slice(int(o - b), int(o - b + s)) for o, b, s in zip(offset, low, shape, strict=True))
