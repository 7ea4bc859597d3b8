"""Blocks of labels as DVID sends them: its compressed block format, and raw LZ4 without a library."""

from __future__ import annotations

import gzip
import struct

import numpy as np

SUB = 8


def encoded(cube: np.ndarray) -> bytes:
    """A block (zyx, uint64, its side a multiple of 8) in DVID's block format, before gzip.

    Header and table: three `u4` with the sub-blocks of an axis, `u4` with the number of labels, the labels as `u8`.
    Then, unless there is one label only: `u2` with the labels of each sub-block, their places in the table as `u4`, and
    each voxel of a sub-block as the number of its label, in as few bits as that takes, the highest first.
    """
    grid = cube.shape[0] // SUB
    # Axes: sub-block z, y, x, then voxel z, y, x within it.
    subs = cube.reshape(grid, SUB, grid, SUB, grid, SUB).transpose(0, 2, 4, 1, 3, 5).reshape(grid**3, SUB**3)
    table, places = numbered(subs.reshape(-1))
    head = struct.pack("<4I", grid, grid, grid, len(table)) + table.astype("<u8").tobytes()
    if len(table) == 1:
        return head
    counts, indices, bits = [], [], []
    for sub in places.reshape(subs.shape):
        used, numbers = numbered(sub)
        counts.append(len(used))
        indices.append(used)
        if len(used) > 1:
            bits.append(packed(numbers, int(len(used) - 1).bit_length()))
    return head + np.array(counts, "<u2").tobytes() + np.concatenate(indices).astype("<u4").tobytes() + b"".join(bits)


def numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different values in order of their first appearance, and the number of each one among them."""
    ordered, first, which = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return ordered[order], np.argsort(order)[which]


def packed(numbers: np.ndarray, width: int) -> bytes:
    """Numbers of `width` bits one after the other, the highest bit first."""
    shifts = np.arange(width - 1, -1, -1)
    return np.packbits((numbers[:, None] >> shifts & 1).astype(np.uint8)).tobytes()


def lz4_literals(data: bytes) -> bytes:
    """A valid raw LZ4 block that compresses nothing: one sequence of literals without a match.

    The token's high four bits hold the length up to 14; 15 says that bytes follow which are added up to the first that
    is not 255.
    """
    size = len(data)
    if size < 15:
        return bytes([size << 4]) + data
    full, last = divmod(size - 15, 255)
    return b"\xf0" + b"\xff" * full + bytes([last]) + data


def payload(cube: np.ndarray, compression: str) -> bytes:
    """A block (zyx, uint64) in one of the four compressions."""
    raw = np.ascontiguousarray(cube, "<u8").tobytes()
    match compression:
        case "blocks":
            return gzip.compress(encoded(cube), 1)
        case "gzip":
            return gzip.compress(raw, 1)
        case "lz4":
            return lz4_literals(raw)
        case "uncompressed":
            return raw
    raise ValueError(compression)


def record(corner_xyz: tuple[int, int, int], data: bytes) -> bytes:
    """A block of a stream: its coordinate in blocks, its length, its payload."""
    return struct.pack("<4i", *corner_xyz, len(data)) + data
