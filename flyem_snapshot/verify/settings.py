"""What the settings of a finished snapshot say about which laws its files must keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from flyem_snapshot.config.document import read_document
from flyem_snapshot.connectome.neuprint_files import META_SETTINGS
from flyem_snapshot.errors import DataError

FINAL_CONFIG: Final = "final-config.yaml"


@dataclass(frozen=True)
class RunSettings:
    """The settings of the run that made a snapshot, as far as they decide what must hold."""

    config: Mapping[str, Any]
    meta: Mapping[str, Any]

    @cached_property
    def neuprint(self) -> Mapping[str, Any]:
        """The section outputs.neuprint."""
        return self._section("outputs", "neuprint")

    @property
    def threshold(self) -> float:
        """A connection counts in `weight` from this confidence of its PSD upward."""
        return float(self.meta.get("postHighAccuracyThreshold") or 0.0)

    @property
    def high_threshold(self) -> float:
        """The same for `weightHP`."""
        return float(self.meta.get("postHPThreshold") or 0.0)

    @property
    def min_confidence(self) -> float:
        """What the inputs were filtered by."""
        return float(self._section("inputs", "synapses").get("min-confidence") or 0.0)

    @property
    def permits_body_0(self) -> bool:
        """Whether synapses may lie on no body."""
        return bool(self._section("inputs", "synapses").get("permit-body-0"))

    @property
    def consistent_totals(self) -> bool:
        """Whether PSDs below the threshold are left out of `post` too."""
        return bool(self.neuprint.get("consistent-totals"))

    @property
    def keep_zero(self) -> tuple[str, ...]:
        """The counts that stand in roiInfo even if they are 0."""
        return tuple(self.neuprint.get("keep-zero") or ())

    @property
    def flat_restriction(self) -> str | None:
        """The roi-set outside of which the flat connectome has no connection."""
        return self._section("outputs", "flat-connectome").get("restrict-connectivity-to-roiset") or None

    def restriction(self, what: str) -> str | None:
        """The roi-set that neuPrint's `info-totals`, `connectivity` or `elements` are restricted to."""
        return self.neuprint.get(f"restrict-{what}-to-roiset") or None

    @property
    def roi_sets(self) -> tuple[str, ...]:
        """The roi-sets whose ROIs neuPrint knows."""
        return tuple(self.neuprint.get("roi-set-names") or ())

    @property
    def has_neurotransmitters(self) -> bool:
        """Whether there are predicted neurotransmitters."""
        taken = self.from_cave and self._section("inputs", "cave").get("transmitters")
        return bool(taken or self._section("inputs", "neurotransmitters").get("synister-feather"))

    @property
    def from_cave(self) -> bool:
        """Whether the synapses are those of a CAVE datastack, or of files of one."""
        cave = self._section("inputs", "cave")
        return bool(cave.get("datastack") or self._section("inputs", "cave", "static").get("tables"))

    @property
    def has_mean_scores(self) -> bool:
        """Whether Segments have the mean probabilities of their T-bars."""
        return self._section("inputs", "neurotransmitters").get("export-mean-tbar-scores") is not False

    @property
    def element_totals(self) -> dict[str, str]:
        """Segment property to the element table whose rows it counts, for each body."""
        totals = self.neuprint.get("element-totals") or {}
        named = {table: (entry or {}).get("compute-segment-totals-with-name") for table, entry in totals.items()}
        return {name: table for table, name in named.items() if name}

    def _section(self, *keys: str) -> Mapping[str, Any]:
        value: Any = self.config
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value if isinstance(value, Mapping) else {}


def read_settings(root: Path, *, with_meta: bool) -> RunSettings:
    """The settings that lie in a snapshot; raises SnapshotError if they cannot be read."""
    config = _mapping(root / FINAL_CONFIG)
    return RunSettings(config, _mapping(root / META_SETTINGS) if with_meta else {})


def _mapping(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise DataError("there is no such file", file=path, hint="give the directory of a finished snapshot")
    return read_document(path).content
