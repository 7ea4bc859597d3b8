"""The input stage for roi-sets: settings and JSON files become definitions, before any point is read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.inputs.rois_settings import RoiSet as RoiSetSettings
from flyem_snapshot.inputs.rois_settings import RoisSettings
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.rois import UNSPECIFIED, RoiSet, RoiSets


def load_roi_sets(config: RoisSettings, ctx: Context) -> RoiSets:
    """The roi-sets in the settings' order, with the content of JSON files in place of their names."""
    return RoiSets(tuple(_roi_set(name, settings) for name, settings in config.roi_sets.items()))


def _roi_set(name: str, settings: RoiSetSettings) -> RoiSet:
    rois, file = settings.rois, None
    if isinstance(rois, str) and rois.endswith(".json"):
        file = Path(rois)
        rois = _read_json(file)
    is_union = settings.source == "unions-of-subrois"
    return RoiSet(
        name=name,
        source="unions-of-subrois" if is_union else "point-table",
        ids=None if is_union or isinstance(rois, str) or not rois else _ids(name, rois, file),
        template=rois if isinstance(rois, str) and rois else None,
        unions=_unions(name, rois, file) if is_union else None,
        union_source=settings.union_source_roiset,
        renames=dict(settings.rename_rois),
        parent=settings.parent_roiset,
        parent_rois=settings.parent_rois,
    )


def _read_json(file: Path) -> Any:
    """A list or a mapping; anything else is the user's mistake."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot be read: {error}", file=file, hint="write a JSON list of names, or {name: id}"
        ) from error
    if not isinstance(content, list | dict):
        raise DataError(
            "holds neither a list nor a mapping", file=file, hint="write a JSON list of names, or {name: id}"
        )
    return content


def _ids(name: str, rois: Any, file: Path | None) -> dict[str, int]:
    """Names with labels; a list is numbered from 1.

    What the settings spell out has been checked already; what a JSON file holds has not.
    """
    ids = dict(rois) if isinstance(rois, Mapping) else {roi: number for number, roi in enumerate(rois, start=1)}
    if file is not None:
        for problem in _id_problems(ids, [] if isinstance(rois, Mapping) else rois):
            raise DataError(f"roi-set '{name}': {problem}", file=file, hint="write a JSON list of names, or {name: id}")
    return ids


def _id_problems(ids: Mapping[Any, Any], listed: list[Any]) -> Iterator[str]:
    if len(ids) < len(listed):
        yield "a name is listed twice"
    owners: dict[int, Any] = {}
    for roi, label in ids.items():
        if not isinstance(roi, str):
            yield f"{roi!r} is not a name"
        elif not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < 2**63:
            yield f"'{roi}' must have a whole number as its id, not {label!r}"
        elif (label == 0) != (roi == UNSPECIFIED):
            yield f"id 0 is that of '{UNSPECIFIED}' and of nothing else, but '{roi}' has id {label}"
        elif owners.setdefault(label, roi) != roi:
            yield f"'{roi}' and '{owners[label]}' have the same id, {label}"


def _unions(name: str, rois: Any, file: Path | None) -> dict[str, tuple[str, ...]]:
    """Each union's ROIs; no ROI may be in two unions."""
    if not isinstance(rois, Mapping):
        raise SettingError(("roi-sets", name, "rois"), "must map each union to a list of ROIs")
    owner: dict[str, str] = {}
    for union, subs in rois.items():
        if not isinstance(subs, list | tuple) or not all(isinstance(sub, str) for sub in subs):
            raise DataError(f"roi-set '{name}': '{union}' must be a list of ROI names", file=file)
        for sub in subs:
            if owner.setdefault(sub, union) != union:
                raise DataError(f"roi-set '{name}': '{sub}' is in two unions, '{owner[sub]}' and '{union}'", file=file)
    return {union: tuple(subs) for union, subs in rois.items()}


STAGE = Stage("rois", "inputs", RoisSettings, load_roi_sets, produces=RoiSets)
