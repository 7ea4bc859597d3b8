"""Point ids: one unsigned 64-bit number for a voxel, `z << 42 | y << 21 | x`.

Each coordinate takes 21 bits in two's complement (-1048576 .. 1048575): bits 0-20 hold x, 21-41 y, 42-62 z;
bit 63 is zero.  Ids of non-negative coordinates therefore sort by z, then y, then x.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BITS = 21
COORDINATE_MIN = -(1 << (BITS - 1))
COORDINATE_MAX = (1 << (BITS - 1)) - 1
RANGE = f"{COORDINATE_MIN} .. {COORDINATE_MAX}"
_MASK = np.uint64((1 << BITS) - 1)
_SHIFT = {"x": 0, "y": BITS, "z": 2 * BITS}

Ids = np.ndarray[Any, np.dtype[np.uint64]]
Coordinates = np.ndarray[Any, np.dtype[np.int32]]


def encode(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], z: np.ndarray[Any, Any]) -> Ids:
    """Point ids (uint64) of integer coordinates in voxels; they must be within the range above."""
    ids = np.zeros(len(x), np.uint64)
    for axis, values in (("x", x), ("y", y), ("z", z)):
        ids |= (values.astype(np.int64).view(np.uint64) & _MASK) << np.uint64(_SHIFT[axis])
    return ids


def decode(ids: Ids) -> tuple[Coordinates, Coordinates, Coordinates]:
    """The x, y and z (int32, voxels) of point ids."""
    x, y, z = (_axis(ids, _SHIFT[axis]) for axis in "xyz")
    return x, y, z


def _axis(ids: Ids, shift: int) -> Coordinates:
    # Shifting the field to the top of a signed word and back again extends its sign.
    field = ((ids >> np.uint64(shift)) & _MASK).astype(np.uint32) << np.uint32(32 - BITS)
    return field.view(np.int32) >> np.int32(32 - BITS)


def coordinates_sql(column: str) -> dict[str, str]:
    """SQL expressions (INTEGER) for the x, y and z of a column of point ids.

    Flipping the sign bit of a field and subtracting it again extends the sign.
    """
    sign = 1 << (BITS - 1)
    return {
        axis: f"CAST(xor(({column} >> {shift}) & {int(_MASK)}, {sign}) AS INTEGER) - {sign}"
        for axis, shift in _SHIFT.items()
    }
