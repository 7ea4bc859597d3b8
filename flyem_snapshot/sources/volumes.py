"""The ROI volumes of a run: where they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flyem_snapshot.sources.dvid.volumes import RoiVolume
from flyem_snapshot.tables.rois import RoiSet

FOLDER: Final = "volumes"
"""Relative to the output directory."""


def load_volumes(sets: Sequence[RoiSet], root: Path) -> dict[str, RoiVolume]:
    """The volumes of those roi-sets that are read from one, by name; `root` is the output directory."""
    return {s.name: RoiVolume.load(root / FOLDER, s.name)[0] for s in sets if s.source == "volume"}
