"""Edits of a `LiveConnectome` that remember the state after each, so that a test can find the one that a run saw."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from tests.live_connectome import LiveConnectome
from tests.live_runs import pairs, table
from tests.live_truth import Truth, nuclei, zyx_of


class Editor:
    """Makes edits of every kind at the open version; each call takes the next body or supervoxel that fits.

    `states` are the segmentation's states by the number of records in the log.
    """

    def __init__(self, live: LiveConnectome, *, seed: int = 0) -> None:
        self.live, self.uuid, self.seg = live, live.open, live.seg
        self.random = np.random.default_rng(seed)
        self.states = {len(self.log): self._state()}

    @property
    def log(self) -> list[dict]:
        """The log of the open version."""
        return self.seg.logs.get(self.uuid, [])

    def _state(self):
        return copy.copy(self.live.seg.labels(self.uuid))

    def _done(self) -> None:
        self.states[len(self.log)] = self._state()

    def _bodies(self, count: int, least: int = 1) -> list[int]:
        several = [b for b in self.seg.bodies(self.uuid) if len(self.seg.supervoxels(self.uuid, b)) >= least]
        return [int(b) for b in self.random.choice(np.array(several, np.uint64), count, replace=False)]

    def merge(self) -> None:
        """Merge two bodies into a third."""
        target, *labels = self._bodies(3)
        self.seg.merge(self.uuid, target, labels)
        self._done()

    def cleave(self) -> None:
        """Take half of the supervoxels off a body."""
        (body,) = self._bodies(1, least=4)
        supervoxels = self.seg.supervoxels(self.uuid, body)
        self.seg.cleave(self.uuid, body, supervoxels[: len(supervoxels) // 2])
        self._done()

    def split_supervoxel(self) -> None:
        """Split the supervoxel of a synapse through the middle of the volume's tiles."""
        zyx = self.live.zyx[self.random.permutation(len(self.live.zyx))]
        supervoxel = next(sv for p in zyx if (sv := self.seg.supervoxel_at(self.uuid, p)) and self._is_whole(sv))
        self.seg.split_supervoxel(self.uuid, supervoxel, self._halves())
        self._done()

    def split_body(self) -> None:
        """Split a body in the deprecated way, which makes new supervoxels."""
        (body,) = self._bodies(1, least=2)
        self.seg.split_body(self.uuid, body, self._halves())
        self._done()

    def renumber(self) -> None:
        """Give a body a number that nobody has."""
        (body,) = self._bodies(1)
        self.seg.renumber(self.uuid, self.seg.next_label + 100, body)
        self._done()

    def all_kinds(self) -> None:
        """One of each."""
        for edit in (self.split_supervoxel, self.merge, self.cleave, self.split_body, self.renumber, self.merge):
            edit()

    def _halves(self) -> np.ndarray:
        """Every second layer of eight voxels."""
        inside = np.zeros(self.seg.labels(self.uuid).cube.shape, bool)
        inside[(np.arange(len(inside)) // 8) % 2 == 0] = True
        return inside

    def _is_whole(self, supervoxel: int) -> bool:
        state = self.seg.labels(self.uuid)
        layers = np.flatnonzero((state.cube == np.uint64(supervoxel)).any(axis=(1, 2)))
        return len({int(layer) // 8 % 2 for layer in layers}) == 2


def disagreements(out: Path, truth: Truth, live: LiveConnectome) -> list[str]:
    """In what the files of a snapshot differ from one state of the segmentation; made with `permit-body-0`."""
    found = []
    points = table(out, "flat-connectome/syn-points-*-minconf-0.0.feather")
    if points.num_rows != len(np.unique(live.pairs)):
        found.append(f"{points.num_rows} of {len(np.unique(live.pairs))} points")
    zyx = zyx_of(points)
    if points["body"].to_pylist() != truth.bodies(zyx).tolist():
        found.append("bodies of synapses")
    if points["sv"].to_pylist() != truth.supervoxels(zyx).tolist():
        found.append("supervoxels of synapses")
    soma = {body: xyz for body, xyz in _soma(out) if xyz is not None}
    if soma != expected_soma(live, truth):
        found.append("bodies of nuclei")
    mapping = pairs(out, "tables/complete-nonsingleton-mapping-*.feather")
    # Supervoxels that a body split left without voxels are in the map, too (dvid#289).
    if {sv: body for sv, body in mapping.items() if sv not in truth.empty} != truth.mapping():
        found.append("mapping")
    for body, size in pairs(out, "tables/body-size-cache-*.feather").items():
        if truth.sizes.get(body) != size:
            found.append(f"size of {body}: {size}, not {truth.sizes.get(body)}")
    sized = pairs(out, "tables/body-size-cache-*.feather").keys()
    if lost := sorted({body for body in points["body"].to_pylist() if body} - sized):
        found.append(f"no size of {lost}")
    return found


def _soma(out: Path) -> list[tuple[int, list[int] | None]]:
    annotated = table(out, "tables/body-annotations-*.feather")
    return list(zip(annotated["body"].to_pylist(), annotated["soma_position"].to_pylist(), strict=True))


def expected_soma(live: LiveConnectome, truth: Truth) -> dict[int, list[int]]:
    """The first nucleus (by z, y, x) of each body."""
    points = nuclei(live, live.open)
    found: dict[int, list[int]] = {}
    for body, (z, y, x) in zip(truth.bodies(zyx_of(points)).tolist(), zyx_of(points).tolist(), strict=True):
        if body:
            found.setdefault(body, [x, y, z])
    return found
