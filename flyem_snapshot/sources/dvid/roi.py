"""ROI instances: regions made of runs of blocks, and how they become arrays.

A span is `[z, y, x0, x1]` in blocks, x1 included.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flyem_snapshot.sources.dvid.http import DvidError, Incomplete

if TYPE_CHECKING:
    from flyem_snapshot.sources.dvid.graph import Node

Array = np.ndarray[Any, np.dtype[Any]]
Spans = np.ndarray[Any, np.dtype[np.int32]]
Box = np.ndarray[Any, np.dtype[np.int64]]

DEFAULT_BLOCK: Final = 32
_CELLS: Final = 1 << 22
"""How many blocks are listed at a time: 32 MB of indices."""

_LIMIT: Final = 1 << 31


def spans(node: Node, instance: str) -> Spans:
    """The spans of a ROI, shape (N, 4), columns z, y, x0, x1 (included), in its own blocks, sorted; N may be 0."""
    node.instance(instance, "roi")
    found = node.client.json(node.path(instance, "roi"), check=_require_spans)
    table = np.array(found or [], np.int64).reshape(-1, 4)
    order = np.lexsort(table.T[::-1])
    return table[order].astype(np.int32)


def block_size(node: Node, instance: str) -> tuple[int, int, int]:
    """The voxels of a block of a ROI along z, y, x; 32 each unless the server says otherwise."""
    said = node.instance(instance, "roi").extended.get("BlockSize") or [DEFAULT_BLOCK] * 3
    if not (isinstance(said, list) and len(said) == 3 and all(type(side) is int and side > 0 for side in said)):
        path = node.path(instance, "info")
        raise DvidError("GET", f"{node.client.server}/{path}", f"the ROI has a block size that makes no sense: {said}")
    x, y, z = said
    return z, y, x


def bounding_box(spans: Spans) -> Box:
    """The box around spans: `[[z, y, x], [z, y, x]]` in blocks, the second corner excluded; all 0 without spans."""
    if not len(spans):
        return np.zeros((2, 3), np.int64)
    wide = spans.astype(np.int64)
    return np.array([wide[:, :3].min(axis=0), wide[:, [0, 1, 3]].max(axis=0) + 1])


def rasterise(spans: Spans, box_zyx: Box | None = None) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], Box]:
    """A boolean array of the blocks within a box (default: the bounding box), axes z, y, x, and that box.

    The box is in blocks; what lies outside of it is left out.
    """
    box = bounding_box(spans) if box_zyx is None else np.asarray(box_zyx, np.int64)
    shape = tuple(int(side) for side in np.maximum(box[1] - box[0], 0))
    mask = np.zeros(shape, np.bool_)
    flat = mask.reshape(-1)
    for cells in cells_within(spans, box):
        flat[cells] = True
    return mask, box


def cells_within(spans: Spans, box_zyx: Box) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
    """The blocks of spans that lie within a box, as positions in its flattened array (C order), some at a time."""
    low, high = box_zyx[0], box_zyx[1]
    z, y, x0, x1 = (column.astype(np.int64) for column in spans.T)
    x0, x1 = np.maximum(x0, low[2]), np.minimum(x1, high[2] - 1)
    kept = (z >= low[0]) & (z < high[0]) & (y >= low[1]) & (y < high[1]) & (x0 <= x1)
    height, width = int(high[1] - low[1]), int(high[2] - low[2])
    starts = ((z - low[0]) * height + (y - low[1])) * width + (x0 - low[2])
    yield from _runs(starts[kept], (x1 - x0 + 1)[kept])


def _runs(starts: Array, lengths: Array) -> Iterator[Array]:
    """`start, start + 1, ...` for each start, `length` numbers each; about `_CELLS` of them at a time."""
    ends = np.cumsum(lengths)
    first = 0
    while first < len(starts):
        before = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, before + _CELLS, side="right")), first + 1)
        count = lengths[first:last]
        offsets = np.arange(int(count.sum())) - np.repeat(ends[first:last] - count - before, count)
        yield np.repeat(starts[first:last], count) + offsets
        first = last


def rescaled(spans: Spans, block_zyx: tuple[int, int, int], unit: int) -> Spans | None:
    """The same region as spans of cubes of `unit` voxels; None if it cannot be told exactly by such cubes.

    Blocks that are multiples of the unit are cut up.  Blocks of which a cube holds several can be joined only where
    the region holds all blocks of the cube or none.
    """
    wide = spans.astype(np.int64)
    for axis, side in enumerate(block_zyx):
        joined = _cut(wide, axis, side // unit) if side % unit == 0 else None
        if joined is None and unit % side == 0:
            joined = _join(wide, axis, unit // side)
        if joined is None:
            return None
        wide = joined
    if len(wide) and max(-int(wide.min()), int(wide.max())) >= _LIMIT:
        return None
    return wide[np.lexsort(wide.T[::-1])].astype(np.int32)


def _cut(spans: Array, axis: int, parts: int) -> Array:
    """Spans whose blocks are cut into `parts` along one axis (0, 1, 2: z, y, x)."""
    if axis == 2:
        return np.column_stack([spans[:, :2], spans[:, 2] * parts, (spans[:, 3] + 1) * parts - 1])
    cut = np.repeat(spans, parts, axis=0)
    cut[:, axis] = cut[:, axis] * parts + np.tile(np.arange(parts), len(spans))
    return cut


def _join(spans: Array, axis: int, parts: int) -> Array | None:
    """Spans whose blocks are joined along one axis, `parts` at a time; None if some would be filled only partly."""
    spans = merged(spans)
    if axis == 2:
        whole = not (spans[:, 2] % parts).any() and not ((spans[:, 3] + 1) % parts).any()
        return np.column_stack([spans[:, :2], spans[:, 2] // parts, (spans[:, 3] + 1) // parts - 1]) if whole else None
    # The rows of a cube must have the same runs; merged runs are unique in a row, so that it is enough to count.
    rows = spans.copy()
    rows[:, axis] //= parts
    joined, counts = np.unique(rows, axis=0, return_counts=True)
    return joined if (counts == parts).all() else None


def merged(spans: Array) -> Array:
    """The same region by the fewest spans: those of a row that touch or overlap become one; sorted."""
    if not len(spans):
        return spans
    spans = spans[np.lexsort(spans.T[::-1])]
    _, row = np.unique(spans[:, :2], axis=0, return_inverse=True)
    # The furthest end so far within the row: rows are kept apart by an offset larger than any coordinate.
    far = row.reshape(-1).astype(np.int64) * (8 * _LIMIT)
    reach = np.maximum.accumulate(spans[:, 3] + far)
    fresh = np.ones(len(spans), np.bool_)
    fresh[1:] = (spans[1:, 2] + far[1:]) > reach[:-1] + 1
    first = np.flatnonzero(fresh)
    last = np.append(first[1:], len(spans)) - 1
    return np.column_stack([spans[first, :3], reach[last] - far[last]])


def _require_spans(found: Any) -> None:
    if found is None:
        return
    if not isinstance(found, list):
        raise Incomplete("this is not a list of spans")
    for span in found:
        right = isinstance(span, list) and len(span) == 4 and all(type(number) is int for number in span)
        if not right or span[2] > span[3] or not all(-_LIMIT <= number < _LIMIT for number in span):
            raise Incomplete(f"this is not a span [z, y, x0, x1]: {span}")
