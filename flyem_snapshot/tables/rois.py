"""ROI sets: what the settings define, and what each combination of ROIs found in the data means.

A roi-set is a layer of disjoint regions: each point lies in at most one ROI of the set.  A dataset has a few
sets and hundreds of millions of points, but only some thousands of distinct *combinations* of ROIs.  So points
and partners carry one integer, `roi_combo`, and everything about ROIs is worked out on the small table of
combinations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from flyem_snapshot.engine.streams import dictionary_array

if TYPE_CHECKING:
    from flyem_snapshot.stage import Context

UNSPECIFIED = "<unspecified>"
"""The name of "in no ROI of this set"; its label is 0."""

COMBO = "roi_combo"
"""The column of points, partners and elements that names a row of `RoiAssignment`."""

Codes = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True)
class RoiSet:
    """One roi-set as the settings define it.

    At most one of `ids` (name to label), `template` (a name template over the label) and `unions` (union name to
    names of the source set) is given; none means that the point table's own names are used.  The labels of the
    source "volume" are those of `volumes/<name>-vol.npy`, and its `ids` are always given.
    """

    name: str
    source: Literal["point-table", "unions-of-subrois", "volume"]
    ids: Mapping[str, int] | None = None
    template: str | None = None
    unions: Mapping[str, tuple[str, ...]] | None = None
    union_source: str | None = None
    renames: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None
    parent_rois: tuple[str, ...] = ()

    @property
    def label_column(self) -> str:
        """The name of the set's integer column."""
        return f"{self.name}_label"


@dataclass(frozen=True)
class RoiSets:
    """All roi-sets of a run, in the order of the config file.

    `source` is the state of the server from which some of them were read, see `Stage.source`.
    """

    sets: tuple[RoiSet, ...] = ()
    source: Mapping[str, Any] | None = None

    def named(self, names: tuple[str, ...] | None) -> tuple[RoiSet, ...]:
        """The sets with these names, in that order; None means all."""
        if names is None:
            return self.sets
        by_name = {roi_set.name: roi_set for roi_set in self.sets}
        return tuple(by_name[name] for name in names)

    def record(self) -> dict[str, Any]:
        """What the cache must remember."""
        return {"sets": [asdict(roi_set) for roi_set in self.sets], "source": self.source}

    @classmethod
    def reopen(cls, ctx: Context, record: dict[str, Any]) -> RoiSets:  # noqa: ARG003  every table is reopened so
        """The definitions as they were recorded."""
        return cls(tuple(_roi_set(entry) for entry in record["sets"]), record["source"])


def _roi_set(entry: dict[str, Any]) -> RoiSet:
    unions = entry["unions"]
    return RoiSet(
        **{
            **entry,
            "unions": None if unions is None else {name: tuple(subs) for name, subs in unions.items()},
            "parent_rois": tuple(entry["parent_rois"]),
        }
    )


@dataclass(frozen=True)
class AssignedSet:
    """One roi-set, resolved on data: the label and the name of each combination.

    `ids` maps every ROI name of the set to its label, in order of label; `<unspecified>` (label 0) is among
    them if some point lies in no ROI.  `names[c]` is the index into `ids` of combination `c`, or -1 for a
    combination that no remaining point has.
    """

    name: str
    ids: Mapping[str, int]
    names: Codes

    @property
    def categories(self) -> list[str]:
        """The ROI names, by index."""
        return list(self.ids)

    @property
    def label_type(self) -> pa.DataType:
        """The smallest integer type (signed before unsigned) that holds every label."""
        largest = max(self.ids.values(), default=0)
        candidates = (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32())
        return next((kind for kind in candidates if largest <= np.iinfo(kind.to_pandas_dtype()).max), pa.int64())

    def labels(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The label of each combination (0 for one that no remaining point has)."""
        by_index = np.array([*self.ids.values(), 0], np.int64)
        return by_index[self.names]

    def name_array(self, combos: Codes) -> pa.DictionaryArray:
        """The ROI names of points (or partners) with these combinations, as a category column."""
        return dictionary_array(self.names[combos], self.categories)

    def label_array(self, combos: Codes) -> pa.Array:
        """The ROI labels of points with these combinations, in the set's label type."""
        return pa.array(self.labels()[combos]).cast(self.label_type)

    def inside(self) -> list[int]:
        """The combinations that lie in some ROI of the set."""
        outside = self.categories.index(UNSPECIFIED) if UNSPECIFIED in self.ids else -1
        return [int(combo) for combo in np.flatnonzero((self.names >= 0) & (self.names != outside))]


@dataclass(frozen=True)
class RoiAssignment:
    """All roi-sets of a point table, resolved on its combinations, in the settings' order."""

    sets: tuple[AssignedSet, ...] = ()

    def __getitem__(self, name: str) -> AssignedSet:
        return next(assigned for assigned in self.sets if assigned.name == name)

    def __contains__(self, name: object) -> bool:
        return any(assigned.name == name for assigned in self.sets)

    def record(self) -> list[dict[str, Any]]:
        """What the cache must remember (some thousands of small integers a set)."""
        return [{"name": s.name, "ids": dict(s.ids), "names": s.names.tolist()} for s in self.sets]

    @classmethod
    def from_record(cls, record: list[dict[str, Any]]) -> RoiAssignment:
        """The assignment as it was recorded."""
        return cls(tuple(AssignedSet(e["name"], e["ids"], np.array(e["names"], np.int32)) for e in record))
