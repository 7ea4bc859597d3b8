"""Dense label volumes of a labelmap, fetched and decoded block by block.

The server sends records `block x, y, z, number of bytes` (int32 each, little-endian) and a payload; blocks that hold
nothing are left out, the others come in any order.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flyem_snapshot.sources.dvid.http import DvidError, Incomplete

if TYPE_CHECKING:
    from flyem_snapshot.sources.dvid.labelmap import Labelmap

Array = np.ndarray[Any, np.dtype[Any]]
Labels = np.ndarray[Any, np.dtype[np.uint64]]
Shape = tuple[int, int, int]

PER_REQUEST: Final = 4
"""Blocks along each axis of a request: 256 voxels, the most that the server reads without a lock."""

SUBBLOCK: Final = 8
"""Voxels along each axis of the cubes that a block of DVID's own format is made of."""

_VOXELS: Final = SUBBLOCK**3
_RECORD: Final = struct.Struct("<4i")
_GZIP: Final = b"\x1f\x8b"
_HEAD: Final = struct.Struct("<4I")
_LZ4_HINT: Final = "ask for the compression 'blocks', 'gzip' or 'uncompressed'"


class _ForeignPayload(Exception):  # noqa: N818 - not an error: another compression is asked for
    """A payload that is stored in another compression than DVID's usual one."""


def dense(labelmap: Labelmap, box_zyx: Array, *, scale: int = 0, supervoxels: bool = False) -> Array:
    """The labels within a box, axes z, y, x, as the narrowest unsigned integers that hold them all.

    The box `[[z, y, x], [z, y, x]]` (second corner excluded) is in voxels of the `scale` (each one halves the
    resolution).  What was never written is 0.  Bodies, or `supervoxels`.  Takes the memory of the result, in pages
    that hold anything but 0, and of two requests of 4x4x4 compressed blocks a thread.
    """
    volume = _Volume(np.asarray(box_zyx, np.int64))
    block = np.array(labelmap.info.block_size_zyx)
    fetch = _Fetch(labelmap, volume, scale, supervoxels=supervoxels)
    for _ in labelmap.node.client.in_parallel(fetch, _chunks(labelmap, volume.box, block, scale)):
        pass
    return volume.array


def _chunks(labelmap: Labelmap, box: Array, block: Array, scale: int) -> Iterator[Array]:
    """Boxes in blocks, of at most 4x4x4, that cover what a box shares with what was ever written."""
    written = labelmap.info.box_at(scale)
    if written is None:
        return
    low, high = np.maximum(box[0], written[0]), np.minimum(box[1], written[1])
    first, last = low // block, -(-high // block)
    if (high <= low).any():
        return
    for corner in product(*(range(int(a), int(b), PER_REQUEST) for a, b in zip(first, last, strict=True))):
        yield np.array([corner, np.minimum(np.array(corner) + PER_REQUEST, last)])


class _Volume:
    """The array that is being filled, by several threads; its labels grow wider when a block needs it."""

    def __init__(self, box: Array) -> None:
        self.box = box
        # Pages that nobody writes to cost nothing: `zeros` only reserves them.
        self.array: Array = np.zeros(tuple(int(side) for side in np.maximum(box[1] - box[0], 0)), np.uint8)
        self._filled: list[tuple[slice, ...]] = []
        self._lock = threading.Lock()

    def place(self, corner: Array, labels: Array) -> None:
        """Write the labels of a block whose first voxel is `corner`, as far as it lies within the box."""
        low = np.maximum(corner, self.box[0])
        high = np.minimum(corner + labels.shape, self.box[1])
        if (high <= low).any():
            return
        part = labels[_slices(low - corner, high - corner)]
        narrow = part.astype(np.min_scalar_type(int(part.max())))
        where = _slices(low - self.box[0], high - self.box[0])
        with self._lock:
            if narrow.dtype.itemsize > self.array.dtype.itemsize:
                self._widen(narrow.dtype)
            self.array[where] = narrow
            self._filled.append(where)

    def _widen(self, dtype: np.dtype[Any]) -> None:
        wider = np.zeros(self.array.shape, dtype)
        for where in self._filled:
            wider[where] = self.array[where]
        self.array = wider


def _slices(low: Array, high: Array) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


class _Fetch:
    """Fetches one chunk and places its blocks; called by several threads."""

    def __init__(self, labelmap: Labelmap, volume: _Volume, scale: int, *, supervoxels: bool) -> None:
        self.labelmap, self.volume = labelmap, volume
        self.params = {"scale": str(scale), "supervoxels": str(supervoxels).lower()}
        self.shape: Shape = labelmap.info.block_size_zyx
        self.compression = "blocks"

    def __call__(self, chunk: Array) -> None:
        compression = self.compression
        try:
            self._ask(chunk, compression)
        except _ForeignPayload:
            # An instance made with another compression hands out its blocks as they are stored; re-coded it can.
            self.compression = "gzip"
            self._ask(chunk, "gzip")

    def _ask(self, chunk: Array, compression: str) -> None:
        corner, size = chunk[0] * self.shape, (chunk[1] - chunk[0]) * self.shape
        extent, offset = ("_".join(str(int(side)) for side in side_zyx[::-1]) for side_zyx in (size, corner))
        path = self.labelmap.node.path(self.labelmap.name, "blocks", extent, offset)

        def place(content: bytes) -> None:
            # Blocks are placed while the answer is checked, so that they are never all decoded at the same time.
            # If it proves incomplete, the next answer writes the same places again; if that fails, nobody sees them.
            for block, payload in read_records(content):
                if (block < chunk[0]).any() or (block >= chunk[1]).any():
                    raise Incomplete(f"block {block.tolist()} (z, y, x) was not asked for")
                self.volume.place(block * self.shape, decode_payload(payload, compression, self.shape))

        self.labelmap.node.client.content(path, params={**self.params, "compression": compression}, check=place)


def read_records(content: bytes) -> Iterator[tuple[Array, bytes]]:
    """Block coordinates (z, y, x) and payload of each record; raises Incomplete if the stream ends within one."""
    position = 0
    while position < len(content):
        if position + _RECORD.size > len(content):
            raise Incomplete(f"the stream of blocks ends within the head of a record, at byte {position:,}")
        x, y, z, length = _RECORD.unpack_from(content, position)
        position += _RECORD.size
        if length < 0 or position + length > len(content):
            raise Incomplete(f"the stream of blocks ends within a record of {length:,} bytes, at byte {position:,}")
        yield np.array([z, y, x]), content[position : position + length]
        position += length


def decode_payload(payload: bytes, compression: str, shape: Shape) -> Labels:
    """The labels of one block (uint64, axes z, y, x) of `shape`, sent as `blocks`, `gzip` or `uncompressed`.

    Raises Incomplete if the payload is damaged, DvidError for `lz4`.
    """
    size = 8 * prod(shape)
    if compression == "lz4":
        raise DvidError("GET", "blocks", "blocks in the compression lz4 are not understood", hint=_LZ4_HINT)
    if compression == "blocks":
        if not payload.startswith(_GZIP):
            raise _ForeignPayload
        labels = decode_block(payload)
        if labels.shape != shape:
            raise Incomplete(f"a block has {labels.shape} voxels, not {shape}")
        return labels
    raw = _inflated(payload, size) if compression == "gzip" else payload
    if len(raw) != size:
        raise Incomplete(f"a block has {len(raw):,} bytes, not {size:,}")
    return np.frombuffer(raw, "<u8").reshape(shape)


def _inflated(payload: bytes, limit: int) -> bytes:
    reader = zlib.decompressobj(wbits=31)
    try:
        raw = reader.decompress(payload, limit + 1)
    except zlib.error as error:
        raise Incomplete(f"the gzip data of a block is damaged: {error}") from error
    if not reader.eof or reader.unused_data:
        raise Incomplete("the gzip data of a block does not end where its record ends")
    return raw


def decode_block(payload: bytes) -> Labels:
    """The labels (uint64, axes z, y, x; normally 64 each) of a block in DVID's own format, gzipped or not.

    A head: sub-blocks (8 voxels a side) along x, y, z and number of labels N (uint32 each); N labels (uint64).
    A block of one label ends here.  Then for each sub-block, x fastest: how many of the labels it uses (uint16);
    for all of them: which ones (uint32); and for those with more than one label: 512 numbers, x fastest, most
    significant bit first, of as many bits as the count needs.  A sub-block that uses none is 0.

    Raises Incomplete unless all bytes are used and all numbers point at something.
    """
    if payload.startswith(_GZIP):
        # The format needs at most some 10 bytes a voxel of its block; no limit is known before the head is read.
        payload = _inflated(payload, 1 << 26)
    reader = _Reader(payload)
    gx, gy, gz, count = (int(number) for number in reader.take("<u4", 4))
    if not count or not 0 < gx * gy * gz <= 1 << 15:
        raise Incomplete(f"a block has {count:,} labels and {gx} x {gy} x {gz} sub-blocks")
    table = reader.take("<u8", count)
    if count == 1:
        reader.require_end()
        return np.full((gz * SUBBLOCK, gy * SUBBLOCK, gx * SUBBLOCK), table[0], np.uint64)
    used = reader.take("<u2", gx * gy * gz).astype(np.int64)
    index = reader.take("<u4", int(used.sum()))
    if len(index) and index.max() >= count:
        raise Incomplete("a sub-block names a label that the block does not have")
    cubes = _decode_subblocks(used, table[index].astype(np.uint64), reader)
    reader.require_end()
    cubes = cubes.reshape(gz, gy, gx, SUBBLOCK, SUBBLOCK, SUBBLOCK).transpose(0, 3, 1, 4, 2, 5)
    return np.ascontiguousarray(cubes).reshape(gz * SUBBLOCK, gy * SUBBLOCK, gx * SUBBLOCK)


def _decode_subblocks(used: Array, labels: Labels, reader: _Reader) -> Labels:
    """The voxels of all sub-blocks, shape (sub-blocks, 512); all that use the same number of bits at a time."""
    first = np.cumsum(used) - used
    voxels = np.zeros((len(used), _VOXELS), np.uint64)
    single = used == 1
    voxels[single] = labels[first[single], None]
    bits = np.array([int(number - 1).bit_length() if number > 1 else 0 for number in used])
    sizes = bits * (_VOXELS // 8)
    start = np.cumsum(sizes) - sizes
    stream = reader.take("u1", int(sizes.sum()))
    for width in np.unique(bits[bits > 0]):
        these = np.flatnonzero(bits == width)
        packed = stream[start[these, None] + np.arange(width * (_VOXELS // 8))]
        digits = np.unpackbits(packed, axis=1).reshape(len(these), _VOXELS, width)
        position = digits @ (1 << np.arange(width - 1, -1, -1))
        if (position >= used[these, None]).any():
            raise Incomplete("a voxel names a label that its sub-block does not have")
        voxels[these] = labels[first[these, None] + position]
    return voxels


class _Reader:
    """Takes arrays off the front of some bytes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.position = content, 0

    def take(self, dtype: str, count: int) -> Array:
        """The next `count` numbers; raises Incomplete if there are fewer."""
        end = self.position + np.dtype(dtype).itemsize * count
        if end > len(self.content):
            raise Incomplete("the data of a block ends too early")
        taken = np.frombuffer(self.content, dtype, count, self.position)
        self.position = end
        return taken

    def require_end(self) -> None:
        """Raise Incomplete if anything is left."""
        if self.position != len(self.content):
            raise Incomplete(f"{len(self.content) - self.position:,} bytes follow the data of a block")
