"""A real piece of a brain: 64 x 64 x 64 labels of FIB-19 that come with DVID (see tests/data/dvid/README.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pyarrow import feather

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "dvid" / "fib19-sample1.feather"

GOLDEN_BLOCK_SHA256 = "34b960406c837c9beff901506eedd0e7e447f69306843308ea8ad96773022e6e"
"""The digest of that cube in DVID's block format, as DVID itself wrote it."""


def real_cube() -> np.ndarray:
    """The labels, (64, 64, 64) uint64 in zyx: 18 of them, most about 5.2e10."""
    return feather.read_table(SAMPLE)["label"].to_numpy().reshape(64, 64, 64)
