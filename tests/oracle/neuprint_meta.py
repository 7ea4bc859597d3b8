"""The Meta node: its configuration, and the values that its properties must have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from ruamel.yaml import YAML

from tests.oracle.config import Config
from tests.oracle.rois import UNSPECIFIED, Ids

if TYPE_CHECKING:
    from tests.oracle.neuprint_scope import Scope
    from tests.oracle.neuprint_values import Sheet

TYPES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        [
            "dataset",
            "tag",
            "voxelUnits",
            "info",
            "logo",
            "description",
            "overviewOrder",
            "neuronColumnsVisible",
            "uuid",
            "lastDatabaseEdit",
            "neuronProperties",
            "roiHierarchy",
            "roiInfo",
            "neuronColumnsOrdered",
            "meshHost",
        ],
        ("string",),
    ),
    "voxelSize": ("float[]",),
    **dict.fromkeys(["postHighAccuracyThreshold", "preHPThreshold", "postHPThreshold"], ("float",)),
    **dict.fromkeys(["primaryRois", "nonHierarchicalROIs", "overviewRois", "superLevelRois"], ("string[]",)),
    "latestMutationId": ("int", "long"),
    **dict.fromkeys(["totalPreCount", "totalPostCount"], ("int", "long")),
    ":LABEL": ("",),
    "hideDataSet": ("boolean",),
}


def load_meta(config: Config, roi_ids: dict[str, Ids]) -> dict[str, Any]:
    """The meta configuration with its hierarchy resolved to nested dicts."""
    given = config.get("outputs.neuprint.meta", {})
    folder = config.folder
    if isinstance(given, str):
        path = config.path(given)
        given, folder = _read(path), path.parent
    meta: dict[str, Any] = {"tag": "", "description": "", **{k: v for k, v in given.items() if v is not None}}
    meta["roiHierarchy"] = _resolved(meta["roiHierarchy"], folder, roi_ids)
    (top,) = meta["roiHierarchy"].values()
    meta["primaryRois"] = meta.get("primaryRois") or list(top)
    hidden = meta.get("excludeFromOverview", [])
    meta["overviewRois"] = meta.get("overviewRois") or [r for r in meta["primaryRois"] if r not in hidden]
    return meta


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.suffix == ".json" else YAML(typ="safe", pure=True).load(path)


def _resolved(node: Any, folder: Path, roi_ids: dict[str, Ids]) -> dict[str, Any]:
    """A leaf is an empty dict; a list is names without children; text is a file or the names of a ROI set."""
    if isinstance(node, str) and node.startswith("roiset://"):
        ids = roi_ids[node.removeprefix("roiset://")]
        return {name: {} for name in sorted(ids, key=lambda n: ids[n]) if name != UNSPECIFIED}
    if isinstance(node, str):
        return _resolved(_read(folder / node), folder, roi_ids)
    if isinstance(node, list):
        return {name: {} for name in node}
    return {name: _resolved(below, folder, roi_ids) for name, below in (node or {}).items()}


def meta_values(scope: Scope, segments: Sheet, rois: pd.DataFrame, restricting: pd.DataFrame | None) -> dict[str, Any]:
    """Properties as Python values: lists, texts, numbers, and decoded JSON; those not given here are not compared.

    `rois` are the counts per Segment and ROI; `restricting` the same for the set that connectivity is restricted to.
    """
    meta = scope.meta
    known = rois[rois["roi"] != UNSPECIFIED]
    values = {k: meta[k] for k in ("dataset", "tag", "description", "primaryRois", "overviewRois")}
    values |= {k: meta[k] for k in ("info", "logo") if k in meta}
    values |= {
        "voxelSize": [float(v) for v in meta.get("voxelSize", [8.0, 8.0, 8.0])],
        "voxelUnits": meta.get("voxelUnits", "nanometers"),
        **{k: float(meta.get(k, 0)) for k in ("postHighAccuracyThreshold", "preHPThreshold", "postHPThreshold")},
        "nonHierarchicalROIs": meta.get("nonHierarchicalROIs") or [],
        "superLevelRois": meta["primaryRois"],
        "overviewOrder": meta.get("overviewOrder", "clustered"),
        "uuid": meta.get("uuid") or "unknown",
        "latestMutationId": meta.get("latestMutationId", 0),
        "lastDatabaseEdit": meta.get("lastDatabaseEdit") or "unknown",
        "neuronColumnsVisible": meta.get("neuronColumnsVisible", ["bodyId", "type", "status"]),
        "roiHierarchy": tree(meta["roiHierarchy"])[0],
        "roiInfo": roi_info(meta, known),
        "hideDataSet": bool(meta.get("hideDataSet", False)),
        ":LABEL": scope.label("Meta"),
    }
    if "neuronColumnsOrdered" in meta:  # the names that the default shows are not documented
        values["neuronColumnsOrdered"] = columns_ordered(meta, segments)
    for kind in ("pre", "post"):
        counted = segments.rows[kind].astype("int64")
        if restricting is not None:
            counted = restricting[restricting["roi"].isin(scope.inbounds_rois)][kind]
        values[f"total{kind.title()}Count"] = int(counted.sum())
    return values


def tree(nodes: dict[str, Any]) -> list[dict[str, Any]]:
    """`{name, children}`, leaves without children."""
    return [{"name": n, **({"children": tree(below)} if below else {})} for n, below in nodes.items()]


def parents(nodes: dict[str, Any], parent: str | None = None) -> dict[str, str | None]:
    """The parent of every ROI in the hierarchy."""
    found: dict[str, str | None] = {}
    for name, below in nodes.items():
        found |= {name: parent, **parents(below, name)}
    return found


def roi_info(meta: dict[str, Any], known: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Every ROI with counts in a Segment, and those that the hierarchy lists besides, with zeros."""
    sums = known.groupby("roi")[["pre", "post"]].sum() if len(known) else pd.DataFrame(columns=["pre", "post"])
    above = parents(meta["roiHierarchy"])
    return {
        roi: {
            "description": (meta.get("roiDescriptions") or {}).get(roi, ""),
            "excludeFromOverview": roi in (meta.get("excludeFromOverview") or []),
            "isNerve": roi in (meta.get("nerveRois") or []),
            "isPrimary": roi in meta["primaryRois"],
            "parent": above.get(roi),
            **{k: int(sums[k].get(roi, 0)) for k in ("post", "pre")},
        }
        for roi in sorted({*above, *sums.index})
    }


def columns_ordered(meta: dict[str, Any], segments: Sheet) -> list[dict[str, Any]]:
    """The Explorer's columns; null choices are left out."""
    visible = meta.get("neuronColumnsVisible", ["bodyId", "type", "status"])
    found = []
    for item in meta["neuronColumnsOrdered"]:
        name, choices = item["id"], item.get("choices")
        if choices == "auto":
            choices = _choices(segments, name)
        found.append(
            {
                "id": name,
                "name": item.get("name") or name,
                "searchable": item.get("searchable", True),
                "visible": name in visible,
                **({"description": item["description"]} if item.get("description") else {}),
                **({} if choices is None else {"choices": choices}),
            }
        )
    return found


def _choices(segments: Sheet, name: str) -> Any:
    """Sorted distinct values of a Segment property; an unknown property keeps what the configuration says."""
    if name not in segments.rows:
        return "auto"
    values = set(segments.rows[name]) - {""}
    return sorted(map(int, values)) if set(segments.types[name]) & {"int", "long"} else sorted(values)
