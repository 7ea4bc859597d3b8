"""Point ids: z, y, x in three 21-bit two's complement fields of an unsigned 64-bit number."""

from typing import Any

import numpy as np
import pandas as pd

BITS = 21
LIMIT = 1 << (BITS - 1)
MASK = (1 << BITS) - 1


def encode(x: Any, y: Any, z: Any) -> np.ndarray:
    """`(z & M) << 42 | (y & M) << 21 | (x & M)`; coordinates that do not fit are an error."""
    fields = [np.asarray(v).astype("int64") for v in (z, y, x)]
    if any(((f < -LIMIT) | (f >= LIMIT)).any() for f in fields):
        raise ValueError("coordinates beyond 21 bits")
    z_field, y_field, x_field = ((f & MASK).astype("uint64") for f in fields)
    return (z_field << np.uint64(2 * BITS)) | (y_field << np.uint64(BITS)) | x_field


def decode(ids: Any) -> dict[str, np.ndarray]:
    """x, y, z as int32; each field's highest bit is its sign."""
    fields = {
        axis: (np.asarray(ids, "uint64") >> np.uint64(BITS * i)) & np.uint64(MASK) for i, axis in enumerate("xyz")
    }
    signed = {axis: f.astype("int64") for axis, f in fields.items()}
    return {axis: np.where(f >= LIMIT, f - (1 << BITS), f).astype("int32") for axis, f in signed.items()}


def with_ids_and_coordinates(table: pd.DataFrame) -> pd.DataFrame:
    """Either of `point_id` and `x, y, z` is derived from the other; both given are both kept."""
    table = table.copy()
    if "point_id" not in table:
        table["point_id"] = encode(table["x"], table["y"], table["z"])
    table["point_id"] = table["point_id"].astype("uint64")
    if not {"x", "y", "z"} <= set(table):
        table = table.assign(**decode(table["point_id"]))
    return table.astype(dict.fromkeys("xyz", "int32"))
