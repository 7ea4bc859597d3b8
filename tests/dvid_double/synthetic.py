"""A labelmap of any size that needs no memory: labels follow from coordinates.  For benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from tests.dvid_double.annotation import Annotation
from tests.dvid_double.graph import DagNode, Repo, Versioned
from tests.dvid_double.labelmap import Labelmap
from tests.dvid_double.labels import Labels
from tests.dvid_double.replies import Refusal, Reply, Request

GROUP = 4
"""A body is a cube of so many supervoxels along each axis."""

BITS = 15
FIRST_BODY = 1 << 50


class Arithmetic(Labels):
    """A cube of `blocks`³ supervoxels, each one block of 64³ voxels; its number packs its block's z, y, x.

    Bodies have numbers of their own, above those of all supervoxels, so that every supervoxel has an entry in the map.
    """

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks = blocks

    def __copy__(self) -> Arithmetic:
        return self  # nothing in it changes

    def extent(self, scale: int = 0) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(3, int), np.full(3, -(-self.blocks // (1 << scale)))

    def at(self, zyx: np.ndarray) -> np.ndarray:
        blocks = zyx >> 6
        z, y, x = blocks.T
        packed = (z << 2 * BITS | y << BITS | x) + 1
        return np.where(((blocks >= 0) & (blocks < self.blocks)).all(axis=1), packed, 0).astype(np.uint64)

    def box(self, start: np.ndarray, shape: tuple[int, int, int], scale: int) -> np.ndarray:
        places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
        return self.at((places + start) << scale).reshape(shape)

    def mapped(self, svs: np.ndarray, *, verified: bool = False) -> np.ndarray:
        svs = np.asarray(svs, np.uint64)
        blocks = unpacked(svs) // GROUP
        body = (blocks[:, 0] << 2 * BITS | blocks[:, 1] << BITS | blocks[:, 2]) + FIRST_BODY
        other = np.uint64(0) if verified else svs
        return np.where(self._is_supervoxel(svs), body.astype(np.uint64), other)

    def sizes(self, labels: np.ndarray, *, supervoxels: bool) -> tuple[np.ndarray, np.ndarray]:
        labels = np.asarray(labels, np.uint64)
        if supervoxels:
            exists = self._is_supervoxel(labels)
            return np.where(exists, 64**3, 0), exists
        groups = unpacked(labels - np.uint64(FIRST_BODY - 1)) * GROUP
        exists = (labels >= FIRST_BODY) & ((groups >= 0) & (groups < self.blocks)).all(axis=1)
        return np.where(exists, 64**3 * np.minimum(GROUP, self.blocks - groups).prod(axis=1), 0), exists

    @cached_property
    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """The map, sorted; made once, 16 bytes a supervoxel."""
        axis = np.arange(self.blocks)
        svs = (axis[:, None, None] << 2 * BITS | axis[:, None] << BITS | axis) + 1
        svs = svs.reshape(-1).astype(np.uint64)
        return svs, self.mapped(svs)

    def forget(self) -> None:
        raise Refusal("the synthetic volume cannot be edited")

    def _is_supervoxel(self, labels: np.ndarray) -> np.ndarray:
        return (labels > 0) & (labels < FIRST_BODY) & (unpacked(labels) < self.blocks).all(axis=1)


def unpacked(svs: np.ndarray) -> np.ndarray:
    """The blocks z, y, x (N, 3) of supervoxels."""
    packed = svs.astype(np.int64) - 1
    mask = (1 << BITS) - 1
    return np.stack([packed >> 2 * BITS, packed >> BITS & mask, packed & mask], axis=1)


class SyntheticLabelmap(Labelmap):
    """A labelmap with `blocks`³ supervoxels."""

    def __init__(self, repo: Repo, name: str, blocks: int) -> None:
        super().__init__(repo, name)
        self.state = Versioned(Arithmetic(blocks))
        self.max_labels = {repo.root: FIRST_BODY + (1 << 3 * BITS)}

    def _points(self, request: Request) -> np.ndarray:
        """Points of well-formed JSON, three times as fast as with a parser of JSON."""
        text = request.body.translate(None, b"[] \n")
        return np.fromstring(text, np.int64, sep=",").reshape(-1, 3) if text else np.zeros((0, 3), np.int64)


class SyntheticPoints(Annotation):
    """`count` elements spread over a volume, made while they are sent."""

    def __init__(self, repo: Repo, name: str, count: int, blocks: int) -> None:
        super().__init__(repo, name)
        self.count, self.blocks = count, blocks

    def all_elements(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The elements, about as many in each block."""
        return Reply(self._parts(), "application/json")

    def _parts(self) -> Iterator[bytes]:
        blocks = min(self.count, self.blocks**3)
        per_block, more = divmod(self.count, max(blocks, 1))
        yield b"{"
        for block in range(blocks):
            z, yx = divmod(block, self.blocks**2)
            y, x = divmod(yx, self.blocks)
            count = per_block + (block < more)
            elements = ",".join(self._element(x, y, z, number) for number in range(count))
            yield f'{"," if block else ""}"{x},{y},{z}":[{elements}]'.encode()
        yield b"}"

    @staticmethod
    def _element(x: int, y: int, z: int, number: int) -> str:
        place, layer = divmod(number, 64 * 64)
        position = [64 * x + layer % 64, 64 * y + layer // 64, 64 * z + place % 64]
        return f'{{"Pos":{position},"Kind":"Note","Tags":[],"Prop":{{"conf":"0.{number % 10}"}},"Rels":[]}}'


def large_repo(dvid: Any, points: int) -> Repo:
    """A repository for benchmarks: `segmentation`, `segmentation_annotations`, `points`, `region`.

    There are about ten points to a supervoxel and 64 supervoxels to a body.  The root is locked, its child is open.
    """
    blocks = max(GROUP, round((points / 10) ** (1 / 3)))
    repo = dvid.new_repo("synthetic")
    segmentation = SyntheticLabelmap(repo, "segmentation", blocks)
    SyntheticPoints(repo, "points", points, blocks)
    labels: Arithmetic = segmentation.state.at(repo.node(repo.root))
    groups = np.arange(0, blocks * 64, GROUP * 64)[:47]  # at most some 100,000 annotated bodies
    corners = np.stack(np.meshgrid(groups, groups, groups, indexing="ij"), axis=-1).reshape(-1, 3)
    bodies = labels.mapped(labels.at(corners)).tolist()
    annotations = repo.neuronjson("segmentation_annotations")
    annotations.set(repo.root, {body: {"status": "Traced", "type": f"T{body % 100}"} for body in bodies})
    half = blocks  # in blocks of 32 voxels: half of the volume along each axis
    repo.roi("region").set(repo.root, ([z, y, 0, half - 1] for z in range(half) for y in range(half)))
    repo.commit(repo.root)
    repo.child(repo.root)
    return repo
