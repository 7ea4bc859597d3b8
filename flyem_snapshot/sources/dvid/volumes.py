"""ROI volumes: one label for each cube of voxels, painted from ROIs or fetched as a low-resolution labelmap."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from flyem_snapshot.engine.outdir import replace_atomically
from flyem_snapshot.errors import DataError
from flyem_snapshot.log import format_bytes
from flyem_snapshot.sources.dvid import roi
from flyem_snapshot.sources.dvid.blocks import dense
from flyem_snapshot.sources.dvid.http import DvidError
from flyem_snapshot.sources.dvid.labelmap import Labelmap

if TYPE_CHECKING:
    from flyem_snapshot.sources.dvid.graph import Node

logger = logging.getLogger(__name__)

Array = np.ndarray[Any, np.dtype[Any]]
Box = np.ndarray[Any, np.dtype[np.int64]]

UNIT: Final = 32
"""Voxels of the segmentation along each axis of an element of a ROI volume."""

_LARGEST: Final = 1 << 36
"""Bytes of the largest volume that is painted: 69 GB, of which only the regions themselves take memory."""

_STRETCH: Final = 1 << 20
_VOLUME, _BOX, _IDS = "-vol.npy", "-box-zyx.json", "-ids.json"


@dataclass(frozen=True)
class Overlap:
    """Two ROIs that share blocks (cubes of `unit` voxels); the later one, `b`, has them in the volume."""

    a: str
    b: str
    blocks: int


@dataclass(frozen=True)
class RoiVolume:
    """Labels of regions, 0 outside of all.

    `array` has axes z, y, x and the narrowest unsigned integers; `box_zyx` (int64, shape (2, 3), second corner
    excluded) says where it lies.  An element is a cube of `unit` voxels, normally 32, and so is the unit of the box.
    """

    array: Array
    box_zyx: Box
    unit: int = UNIT

    def labels(self, zyx: Array) -> Array:
        """The label at each point (integer voxels, shape (N, 3), z y x), as the array's type; outside of the box 0.

        Division rounds down, so that the cube of voxels -32 .. -1 is another one than that of 0 .. 31.
        """
        points = np.asarray(zyx).reshape(-1, 3)
        found = np.zeros(len(points), self.array.dtype)
        for start in range(0, len(points), _STRETCH):
            cubes = points[start : start + _STRETCH] // self.unit
            # Compared before the box is subtracted: narrow or unsigned coordinates must not wrap round.
            inside = np.flatnonzero(((cubes >= self.box_zyx[0]) & (cubes < self.box_zyx[1])).all(axis=1))
            z, y, x = (cubes[inside].astype(np.int64) - self.box_zyx[0]).T
            found[start + inside] = self.array[z, y, x]
        return found

    def save(self, folder: Path, name: str, ids: Mapping[str, int]) -> None:
        """Write `<name>-vol.npy`, `<name>-box-zyx.json` and `<name>-ids.json` (ROI name to label), each as a whole.

        A box that is not in units of 32 voxels is an object that says so: `{"box-zyx": ..., "voxels": 16}`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        box: Any = self.box_zyx.tolist()
        if self.unit != UNIT:
            box = {"box-zyx": box, "voxels": self.unit}
        replace_atomically(folder / f"{name}{_VOLUME}", self._write)
        replace_atomically(folder / f"{name}{_BOX}", lambda path: path.write_text(json.dumps(box) + "\n"))
        text = json.dumps(dict(ids), indent=2, ensure_ascii=False) + "\n"
        replace_atomically(folder / f"{name}{_IDS}", lambda path: path.write_text(text, encoding="utf-8"))

    def _write(self, path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, self.array, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, name: str) -> tuple[RoiVolume, dict[str, int]]:
        """What `save` wrote: the volume, its array read from disk as it is needed, and the ids.

        Raises DataError if the files are not what `save` writes.
        """
        file = folder / f"{name}{_VOLUME}"
        try:
            array = np.load(file, mmap_mode="r" if file.stat().st_size > 1 << 20 else None, allow_pickle=False)
            said = json.loads((folder / f"{name}{_BOX}").read_text())
            ids = json.loads((folder / f"{name}{_IDS}").read_text(encoding="utf-8"))
            box, unit = (said["box-zyx"], int(said["voxels"])) if isinstance(said, dict) else (said, UNIT)
            box_zyx = np.array(box, np.int64).reshape(2, 3)
            ids = {str(roi): int(label) for roi, label in ids.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
            raise DataError(f"cannot be read as a ROI volume: {error}", file=file, hint="delete it") from error
        if array.shape != tuple(box_zyx[1] - box_zyx[0]) or array.dtype.kind != "u":
            raise DataError("does not fit the box that was saved with it", file=file, hint="delete it")
        return cls(array, box_zyx, unit), ids


def volume_from_rois(
    node: Node, labels: Mapping[str, int], overlaps: Literal["last", "error"] = "last"
) -> tuple[RoiVolume, list[Overlap]]:
    """Paint ROI instances into one volume, in the order of `labels` (ROI to label), and say which ones overlap.

    Where ROIs overlap, the one listed last has the blocks; with `error` that raises DataError instead.  Several
    ROIs may share a label.  ROIs without blocks paint nothing.  Blocks of other sizes than 32 voxels are painted
    as elements of 32 if the region can be told exactly by them, else the whole volume has smaller elements.
    """
    names = list(labels)
    sizes = [roi.block_size(node, name) for name in names]
    own = list(node.client.in_parallel(lambda name: roi.spans(node, name), names))
    unit, spans = _common_unit(dict(zip(names, zip(own, sizes, strict=True), strict=True)))
    for name, found in zip(names, own, strict=True):
        if not len(found):
            logger.warning("ROI %s is empty: no point will be in it", name)
    painter = _Painter(spans)
    for number, name in enumerate(names, 1):
        painter.paint(number, spans[name])
    shared = [Overlap(names[a - 1], names[b - 1], count) for (a, b), count in sorted(painter.shared.items())]
    _tell(shared, overlaps)
    return RoiVolume(painter.labelled([labels[name] for name in names]), painter.box, unit), shared


def _common_unit(rois: Mapping[str, tuple[roi.Spans, tuple[int, int, int]]]) -> tuple[int, dict[str, roi.Spans]]:
    """The size of the volume's elements in voxels, and all spans in elements of that size."""
    exact = {name: roi.rescaled(spans, size, UNIT) for name, (spans, size) in rois.items()}
    inexact = [name for name, spans in exact.items() if spans is None]
    if not inexact:
        return UNIT, {name: spans for name, spans in exact.items() if spans is not None}
    unit = gcd(UNIT, *(side for _, size in rois.values() for side in size))
    logger.warning("ROI %s cannot be told by blocks of 32 voxels: the volume has blocks of %d", inexact[0], unit)
    finer = {name: roi.rescaled(spans, size, unit) for name, (spans, size) in rois.items()}
    for name, spans in finer.items():
        if spans is None:
            raise DataError(f"ROI {name}, of blocks of {rois[name][1]} voxels, cannot be told by blocks of {unit}")
    return unit, {name: spans for name, spans in finer.items() if spans is not None}


def _tell(shared: list[Overlap], overlaps: Literal["last", "error"]) -> None:
    said = [f"{overlap.a} and {overlap.b} share {overlap.blocks:,} blocks" for overlap in shared]
    if shared and overlaps == "error":
        raise DataError(
            f"ROIs overlap: {'; '.join(said)}",
            hint="put them into different ROI sets, or accept that the one listed last has the blocks",
        )
    for pair, overlap in zip(said, shared, strict=True):
        logger.warning("ROIs %s: those points count for %s, which is listed later", pair, overlap.b)


class _Painter:
    """A volume of the numbers (from 1) of ROIs, and who shares how many blocks with whom."""

    def __init__(self, spans: Mapping[str, roi.Spans]) -> None:
        self.box = _union([roi.bounding_box(found) for found in spans.values() if len(found)])
        self.shape = tuple(int(side) for side in self.box[1] - self.box[0])
        self.owner: Array = _empty(self.shape, np.min_scalar_type(len(spans)), spans)
        self.shared: Counter[tuple[int, int]] = Counter()
        # Blocks painted over, with their former owners: a third ROI on the same block overlaps with all of them.
        self._lost: list[tuple[Array, int]] = []

    def paint(self, number: int, spans: roi.Spans) -> None:
        """Give blocks to a ROI."""
        lost: dict[int, list[Array]] = {}
        for cells in roi.cells_within(roi.merged(spans), self.box):
            owners = self.owner[cells]
            clash, owners = cells[owners > 0], owners[owners > 0]
            for before, owner in self._lost:
                self.shared[owner, number] += int(np.isin(clash, before).sum())
            for owner in np.unique(owners).tolist():
                taken = clash[owners == owner]
                self.shared[owner, number] += len(taken)
                lost.setdefault(owner, []).append(taken)
            self.owner[cells] = number
        self._lost += [(np.concatenate(parts), owner) for owner, parts in lost.items()]
        self.shared += Counter()  # drops the pairs that share nothing

    def labelled(self, labels: list[int]) -> Array:
        """The volume with the ROIs' labels instead of their numbers."""
        if any(label < 0 for label in labels):
            raise DataError(f"the label of a ROI is negative: {min(labels)}")
        table = np.array([0, *labels], np.min_scalar_type(max(labels, default=0)))
        volume = np.zeros(len(self.owner), table.dtype)
        # Only where there is something: pages of zeros that nobody writes to take no memory.
        for start in range(0, len(volume), _STRETCH):
            owners = self.owner[start : start + _STRETCH]
            if owners.any():
                volume[start : start + _STRETCH] = table[owners]
        return volume.reshape(self.shape)


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any], spans: Mapping[str, roi.Spans]) -> Array:
    """A flat array for a volume; only the parts that are written to take memory."""
    try:
        if prod(shape) * dtype.itemsize <= _LARGEST:
            return np.zeros(prod(shape), dtype)
    except MemoryError:
        pass
    widest = max(spans, key=lambda name: prod(np.ptp(roi.bounding_box(spans[name]), axis=0).tolist()))
    size = format_bytes(prod(shape) * dtype.itemsize)
    raise DataError(f"a volume around these ROIs would take {size}", hint=f"look for a stray block in {widest}")


def _union(boxes: list[Box]) -> Box:
    if not boxes:
        return np.zeros((2, 3), np.int64)
    return np.array([np.min([box[0] for box in boxes], axis=0), np.max([box[1] for box in boxes], axis=0)])


def volume_from_labelmap(node: Node, name: str, segmentation: Labelmap) -> RoiVolume:
    """A whole low-resolution labelmap, whose voxels must be 32 times as large as the segmentation's along each axis.

    Raises DvidError if they are not, or if either instance does not say how large its voxels are.
    """
    labelmap = Labelmap.open(node, name)
    small, large = (np.array(info.voxel_size_zyx, float) for info in (segmentation.info, labelmap.info))
    right = (small > 0).all() and np.allclose(large, UNIT * small, rtol=1e-6, atol=0)
    if not right or segmentation.info.voxel_units != labelmap.info.voxel_units:
        raise DvidError(
            "GET",
            f"{node.client.server}/{node.path(name, 'info')}",
            f"its voxels are {_size(labelmap)}, but those of '{segmentation.name}' are {_size(segmentation)} "
            f"(z x y x x): a labelmap of ROIs must have voxels {UNIT} times as large",
            hint="choose the right labelmap; its voxel size is part of its instance's info on the server",
        )
    written = labelmap.info.box_zyx
    box = np.zeros((2, 3), np.int64) if written is None else np.asarray(written, np.int64)
    return RoiVolume(dense(labelmap, box), box)


def _size(labelmap: Labelmap) -> str:
    return f"{' x '.join(f'{side:g}' for side in labelmap.info.voxel_size_zyx)} {labelmap.info.voxel_units}"
