"""A labelmap: supervoxels under points, bodies of supervoxels, sizes, and the whole mapping as a stream."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from flyem_snapshot.sources.dvid.failures import DvidError, Incomplete
from flyem_snapshot.sources.dvid.graph import Node
from flyem_snapshot.sources.dvid.http import require_list, require_object
from flyem_snapshot.sources.dvid.pairs import pairs_of
from flyem_snapshot.sources.dvid.parallel import halving

logger = logging.getLogger(__name__)

Labels = NDArray[np.uint64]

POINTS: Final = 10_000
SUPERVOXELS: Final = 50_000
SIZES: Final = 1_000
SMALLEST: Final = 100
"""Batches that keep failing are not cut smaller than this."""


@dataclass(frozen=True)
class LabelmapInfo:
    """What a labelmap says of itself; axes in the order z, y, x.

    `voxel_size_zyx` is in `voxel_units` (nanometres, as a rule).  `box_zyx` is int64 of shape (2, 3): the first voxel
    and the one after the last at full resolution; None if nothing was written yet.  Scales 0 to `max_scale` exist.
    """

    block_size_zyx: tuple[int, int, int]
    voxel_size_zyx: tuple[float, float, float]
    voxel_units: str
    box_zyx: NDArray[np.int64] | None
    max_scale: int

    def box_at(self, scale: int) -> NDArray[np.int64] | None:
        """The box in voxels of a lower resolution, rounded outwards."""
        if self.box_zyx is None:
            return None
        return np.stack([self.box_zyx[0] >> scale, -((-self.box_zyx[1]) >> scale)])


class Labelmap:
    """The segmentation of one node.  Ids are uint64 throughout; supervoxel and body 0 are "nothing"."""

    def __init__(self, node: Node, name: str, data_uuid: str, info: LabelmapInfo) -> None:
        self.node, self.name, self.data_uuid, self.info = node, name, data_uuid, info

    @classmethod
    def open(cls, node: Node, name: str) -> Self:
        """The labelmap of that name; DvidError if there is none, or if the instance is of another type."""
        instance = node.instance(name, "labelmap")
        path = node.path(name, "info")
        described = node.client.json(path, check=require_object)
        try:
            info = _info(described.get("Extended") or {})
        except (TypeError, ValueError, KeyError, IndexError):
            raise node.client.error(path, "its block size, voxel size or extent make no sense") from None
        return cls(node, name, instance.data_uuid, info)

    def inside(self, zyx: NDArray[np.integer[Any]], *, scale: int = 0) -> NDArray[np.bool_]:
        """Which points, of shape (N, 3), lie in the box of the labelmap; the others have no label."""
        box = self.info.box_at(scale)
        if box is None:
            return np.zeros(len(zyx), np.bool_)
        # The server takes blocks of negative coordinates for others, so those are never asked for.
        start = np.maximum(box[0], 0)
        inside: NDArray[np.bool_] = ((zyx >= start) & (zyx < box[1])).all(axis=1)
        return inside

    def supervoxels(self, zyx: NDArray[np.integer[Any]], *, scale: int = 0) -> Labels:
        """The supervoxel under each point, shape (N,); `zyx` are integers of shape (N, 3), in voxels of that scale.

        0 where there is none, and outside of the box, which is not asked for.  Points are sent in batches of at most
        10,000 that keep the points of a block together.  About 50 bytes of memory a point.
        """
        zyx = np.asarray(zyx)
        if zyx.ndim != 2 or zyx.shape[1] != 3 or not np.issubdtype(zyx.dtype, np.integer):
            raise ValueError(f"points must be integers of shape (N, 3), not {zyx.dtype} {zyx.shape}")
        result = np.zeros(len(zyx), np.uint64)
        rows = np.flatnonzero(self.inside(zyx, scale=scale))
        if left_out := len(zyx) - len(rows):
            logger.info("%s: %s of %s points lie outside", self.name, f"{left_out:,}", f"{len(zyx):,}")
        blocks = self._block_numbers(zyx[rows], scale)
        order = np.argsort(blocks, kind="stable")
        rows, blocks = rows[order], blocks[order]
        del order
        params = {"supervoxels": "true", **({"scale": str(scale)} if scale else {})}
        batches = (rows[start:stop] for start, stop in pairwise(_cuts(blocks, POINTS)))

        def look_up(batch: NDArray[np.intp]) -> Labels:
            return self._ask("labels", batch, lambda part: zyx[part][:, ::-1].tolist(), params)

        position = 0
        for labels in self.node.client.in_parallel(look_up, batches):
            result[rows[position : position + len(labels)]] = labels
            position += len(labels)
        return result

    def _block_numbers(self, zyx: NDArray[np.integer[Any]], scale: int) -> NDArray[np.int64]:
        """A number for the block of each point, in the order in which the server keeps blocks."""
        box = self.info.box_at(scale)
        if box is None:
            return np.zeros(0, np.int64)
        size = self.info.block_size_zyx
        z, y, x = (zyx[:, axis].astype(np.int64) // size[axis] for axis in range(3))
        numbers: NDArray[np.int64] = (z * (box[1, 1] // size[1] + 1) + y) * (box[1, 2] // size[2] + 1) + x
        return numbers

    def bodies(self, supervoxels: Labels, *, verified: bool) -> Labels:
        """The body of each supervoxel, shape (N,); 0 for one that was split, and for 0.

        `verified` makes the server see whether a supervoxel without an entry exists (0 if it does not); otherwise it
        is taken to be its own body, which is right, and faster, for ids that the same node just gave.
        """
        ids, where = np.unique(np.asarray(supervoxels, np.uint64), return_inverse=True)
        params = {} if verified else {"nolookup": "true"}
        answers: Labels = np.zeros(len(ids), np.uint64)
        first = int(len(ids) > 0 and ids[0] == 0)  # 0 is no question
        starts = range(first, len(ids), SUPERVOXELS)
        parts = self.node.client.in_parallel(
            lambda start: self._ask("mapping", ids[start : start + SUPERVOXELS], _listed, params), starts
        )
        for start, part in zip(starts, parts, strict=True):
            answers[start : start + len(part)] = part
        return answers[where]

    def sizes(self, labels: Labels, *, supervoxels: bool = False) -> NDArray[np.int64]:
        """The number of voxels of each body (or supervoxel), shape (N,); 0 for what does not exist."""
        ids, where = np.unique(np.asarray(labels, np.uint64), return_inverse=True)
        params = {"supervoxels": "true"} if supervoxels else {}
        answers: NDArray[np.int64] = np.zeros(len(ids), np.int64)
        # Neighbouring ids are often alike and big ones are slow, so each batch takes some from everywhere.
        count = -(-len(ids) // SIZES)
        parts = self.node.client.in_parallel(
            lambda first: self._ask("sizes", ids[first::count], _listed, params), range(count)
        )
        for first, part in enumerate(parts):
            answers[first::count] = part.astype(np.int64)
        return answers[where]

    def mapping_pairs(self) -> Iterator[NDArray[np.uint64]]:
        """The entries (supervoxel, body) of the whole mapping, in arrays of shape (M, 2), in no order.

        Supervoxels without an entry are their own bodies; body 0 marks ids that no longer stand for voxels.
        Raises Incomplete where the answer breaks off or proves to be garbled: what came before must be thrown away.
        The mapping of an unlocked node is not read at one moment.  Memory: some MB.
        """
        path = self.node.path(self.name, "mappings")
        with self.node.client.stream(path, params={"format": "binary"}) as chunks:
            yield from pairs_of(chunks)

    def max_label(self) -> int | None:
        """The highest label of the node, or of the nearest ancestor that knows it; None if none does."""
        for uuid in reversed(self.node.chain):
            path = self.node.path_at(uuid, self.name, "maxlabel")
            try:
                found = self.node.client.json(path, check=require_object).get("maxlabel")
            except DvidError as error:
                if error.status != 400 or "maximum label" not in error.words.lower():
                    raise
            else:
                return found if type(found) is int else None
        return None

    def next_label(self) -> int | None:
        """The label that the server will give to the next thing that needs one; None if it does not tell."""
        described = self.node.client.json(self.node.path(self.name, "info"), check=require_object)
        extended = described.get("Extended") or {}
        counters = [extended.get(name) for name in ("NextLabel", "MaxRepoLabel")]
        given, highest = (counter if type(counter) is int and counter > 0 else None for counter in counters)
        # A counter that somebody set goes before the highest label.
        return given if given is not None else None if highest is None else highest + 1

    def _ask(
        self, endpoint: str, batch: NDArray[Any], body: Callable[[NDArray[Any]], Any], params: Mapping[str, str]
    ) -> Labels:
        """One unsigned integer for each item of a batch, asked for by a GET with a body; in halves if that fails."""
        path = self.node.path(self.name, endpoint)

        def ask(part: NDArray[Any], tries: int) -> Labels:
            answers: list[Labels] = []
            self.node.client.json(
                path,
                body=body(part),
                params=params,
                hashed=True,
                tries=tries,
                check=lambda answer: answers.append(_numbers(answer, len(part))),
            )
            return answers[-1]

        return np.concatenate(halving(ask, batch, smallest=SMALLEST))


def _listed(ids: Labels) -> list[int]:
    return ids.tolist()  # type: ignore[no-any-return]


def _numbers(answer: Any, count: int) -> Labels:
    require_list(answer)
    if len(answer) != count:
        raise Incomplete(f"{len(answer):,} numbers came back for {count:,}")
    if not all(type(number) is int and 0 <= number < 1 << 64 for number in answer):
        raise Incomplete("unsigned integers were expected")
    return np.array(answer, np.uint64)


def _cuts(blocks: NDArray[np.int64], most: int) -> list[int]:
    """Where to cut sorted block numbers so that no piece has more than `most`, and blocks stay whole if they fit."""
    changes = np.flatnonzero(np.diff(blocks)) + 1
    cuts = [0]
    while (end := cuts[-1] + most) < len(blocks):
        nearest = int(np.searchsorted(changes, end, "right")) - 1
        cuts.append(int(changes[nearest]) if nearest >= 0 and changes[nearest] > cuts[-1] else end)
    return [*cuts, len(blocks)] if len(blocks) else [0]


def _info(extended: Mapping[str, Any]) -> LabelmapInfo:
    first, last = extended.get("MinPoint"), extended.get("MaxPoint")
    box: NDArray[np.int64] | None = None
    if first is not None and last is not None:
        box = np.array([_zyx(first, int), _zyx(last, int)], np.int64)
        box[1] += 1  # the server names the last voxel itself
    block_size = _zyx(extended["BlockSize"], int)
    if min(block_size) < 1:
        raise ValueError("blocks must have a size")
    units = extended.get("VoxelUnits") or ["nanometers"]
    return LabelmapInfo(
        block_size_zyx=block_size,
        voxel_size_zyx=_zyx(extended["VoxelSize"], float),
        voxel_units=str(units[0]),
        box_zyx=box,
        max_scale=int(extended.get("MaxDownresLevel") or 0),
    )


def _zyx(xyz: Any, kind: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    x, y, z = xyz
    return kind(z), kind(y), kind(x)
