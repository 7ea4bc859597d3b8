"""The datasets of a database, as its Meta nodes tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flyem_snapshot.bridge.database import Database
from flyem_snapshot.bridge.replies import Refused
from flyem_snapshot.bridge.values import plain

_ALL = "MATCH (m:Meta) RETURN properties(m) AS meta"


@dataclass(frozen=True)
class Dataset:
    """One dataset: the properties of its Meta node, as plain values."""

    meta: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What clients call it: `dataset`, or `dataset:tag`."""
        tag = self.meta.get("tag")
        return f"{self.meta['dataset']}:{tag}" if tag else str(self.meta["dataset"])

    @property
    def roi_info(self) -> dict[str, dict[str, Any]]:
        """What Meta.roiInfo says of each ROI; empty if it is not readable."""
        return {roi: info for roi, info in json_object(self.meta.get("roiInfo")).items() if isinstance(info, dict)}

    @property
    def overview(self) -> list[str]:
        """The ROIs of the overview: Meta.overviewRois, else the primary ones that are not excluded from it."""
        listed = self.meta.get("overviewRois")
        if listed:
            return list(listed)
        info = self.roi_info
        return [
            roi for roi in self.meta.get("primaryRois") or () if not info.get(roi, {}).get("excludeFromOverview", False)
        ]

    def summary(self) -> dict[str, Any]:
        """The entry of the list of datasets."""
        meta = self.meta
        return {
            "last-mod": meta.get("lastDatabaseEdit") or "",
            "uuid": meta.get("uuid") or "latest",
            "info": meta.get("info") or "N/A",
            "ROIs": sorted(self.roi_info),
            "superLevelROIs": list(meta.get("superLevelRois") or ()),
            "tag": meta.get("tag") or "",
            "hidden": meta.get("hideDataSet") is True,
            "logo": meta.get("logo") or "",
            "description": meta.get("description") or "",
        }


def json_object(text: object) -> dict[str, Any]:
    """The object that a JSON text holds; empty if it holds none."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def metas(database: Database) -> list[dict[str, Any]]:
    """The properties of every Meta node, sound or not."""
    return [plain(row[0]) for row in database.fetch(_ALL)]


def datasets(database: Database) -> dict[str, Dataset]:
    """The datasets that can be served, by name and in its order."""
    found = [Dataset(meta) for meta in metas(database) if isinstance(meta.get("dataset"), str) and meta["dataset"]]
    return {dataset.name: dataset for dataset in sorted(found, key=lambda dataset: dataset.name)}


def the_dataset(database: Database, name: str, *, any_case: bool = False) -> Dataset:
    """The dataset of that full name; without a name, the only one there is.

    Refused (400): no such dataset, or no name among several.  With `any_case`, capitals do not matter.
    """
    known = datasets(database)
    if not name and len(known) == 1:
        return next(iter(known.values()))
    if name in known:
        return known[name]
    alike = [dataset for key, dataset in known.items() if any_case and key.lower() == name.lower()]
    if alike:
        return alike[0]
    there = ", ".join(known) or "none"
    problem = f"there is no dataset {name!r}" if name else "the request names no dataset"
    raise Refused(400, f"{problem}; this server has: {there}")
