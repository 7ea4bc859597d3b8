"""Laws of the Meta node: what its consumers demand of it, and that it tells the truth about the Segments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from flyem_snapshot.connectome import neuprint_files as files
from flyem_snapshot.errors import DataError
from flyem_snapshot.verify.checks import Check, Finding
from flyem_snapshot.verify.counts import unrestricted
from flyem_snapshot.verify.rois import count
from flyem_snapshot.verify.snapshot import Snapshot

TYPES: Final = {
    "dataset": "string",
    "tag": "string",
    "voxelSize": "float[]",
    "postHighAccuracyThreshold": "float",
    "primaryRois": "string[]",
    "superLevelRois": "string[]",
    "overviewRois": "string[]",
    "overviewOrder": "string",
    "neuronColumnsVisible": "string",
    "uuid": "string",
    "lastDatabaseEdit": "string",
    "totalPreCount": "int",
    "totalPostCount": "int",
    "neuronProperties": "string",
    "ntSynapseProperties": "string",
    "roiHierarchy": "string",
    "roiInfo": "string",
    "neuronColumnsOrdered": "string",
    "hideDataSet": "boolean",
}
"""The properties that consumers read, and the type that each must have."""

REQUIRED: Final = (
    "dataset",
    "primaryRois",
    "superLevelRois",
    "lastDatabaseEdit",
    "roiInfo",
    "roiHierarchy",
    "hideDataSet",
)
"""Without one of these a server does not start, or a client cannot connect."""

_JSON: Final[Mapping[str, type]] = {
    "roiInfo": dict,
    "roiHierarchy": dict,
    "neuronProperties": dict,
    "ntSynapseProperties": dict,
    "neuronColumnsOrdered": list,
    "neuronColumnsVisible": list,
}


def _cells(snapshot: Snapshot) -> dict[str, str]:
    """Property to text."""
    return {files.property_name(cell): value for cell, value in snapshot.meta.items()}


def _names(text: str | None) -> list[str]:
    return text.split(";") if text else []


def _parsed(snapshot: Snapshot, name: str) -> Any:
    """A property as what its JSON says; an empty one of its kind if it is none, which is said by `meta/legal`."""
    kind = _JSON[name]
    try:
        value = json.loads(_cells(snapshot).get(name) or "null")
    except ValueError:
        value = None
    return value if isinstance(value, kind) else kind()


def _legal(snapshot: Snapshot) -> Finding:
    return Finding.of(1, list(_illegal(snapshot)))


def _illegal(snapshot: Snapshot) -> Iterator[str]:
    meta = _cells(snapshot)
    header = files.csv_header(files.csv_files_in(snapshot.neuprint, files.META)[0])
    for cell in header:
        name, kind = files.property_name(cell), files.property_type(cell)
        wanted = TYPES.get(name, kind)
        if kind != wanted and not (wanted == "int" and kind == "long"):
            yield f"{name} has the type '{kind}', not '{wanted}'"
    for name in REQUIRED:
        if not meta.get(name):
            yield f"{name} is missing"
    name = meta.get("dataset", "")
    if name != name.lower() or set(name) & set(":`"):
        yield f"dataset is '{name}': it must be lower case, without ':' and back-tick"
    if meta.get("hideDataSet") not in (None, "true", "false"):
        yield f"hideDataSet is '{meta['hideDataSet']}', not true or false"
    if meta.get("superLevelRois") != meta.get("primaryRois"):
        yield "superLevelRois differs from primaryRois"
    yield from _illegal_json(meta)
    yield from _illegal_labels(snapshot)


def _illegal_json(meta: Mapping[str, str]) -> Iterator[str]:
    for name, kind in _JSON.items():
        try:
            if name in meta and not isinstance(json.loads(meta[name]), kind):
                yield f"{name} is no JSON {'object' if kind is dict else 'list'}"
        except ValueError as error:
            yield f"{name} is not JSON: {error}"


def _illegal_labels(snapshot: Snapshot) -> Iterator[str]:
    labels = {cell.upper(): text for cell, text in snapshot.meta.items()}.get(":LABEL", "")
    wanted = {"Meta", f"{_cells(snapshot).get('dataset')}_Meta"}
    if set(labels.split(";")) != wanted:
        yield f"the labels are '{labels}', not {';'.join(sorted(wanted))}"


def _as_set(snapshot: Snapshot) -> Finding:
    meta, settings = _cells(snapshot), snapshot.settings.meta
    wrong = [
        f"{name} is '{meta.get(name, '')}', but the settings say '{settings[name]}'"
        for name in ("dataset", "tag", "uuid", "lastDatabaseEdit")
        if settings.get(name) and str(settings[name]) != meta.get(name)
    ]
    for name in ("postHighAccuracyThreshold", "postHPThreshold"):
        try:
            same = float(meta.get(name, "nan")) == float(settings.get(name) or 0.0)
        except ValueError:
            same = False
        if not same:
            wrong.append(f"{name} is '{meta.get(name, '')}', but the settings say {settings.get(name)}")
    primary = settings.get("primaryRois")
    if primary and _names(meta.get("primaryRois")) != list(primary):
        wrong.append(f"primaryRois are {meta.get('primaryRois', '')}, but the settings say {';'.join(primary)}")
    return Finding.of(1, wrong)


def _totals(snapshot: Snapshot) -> Finding:
    rows, meta = snapshot.rows_of("segments"), _cells(snapshot)
    ((pre, post),) = snapshot.engine.rows("SELECT coalesce(sum(pre), 0), coalesce(sum(post), 0) FROM segments")
    wrong = [
        f"{name} is {meta.get(name, 'missing')}, but the Segments sum to {total}"
        for name, total in (("totalPreCount", pre), ("totalPostCount", post))
        if meta.get(name) != str(total)
    ]
    return Finding.of(rows, wrong)


def _roi_info(snapshot: Snapshot) -> Finding:
    rows = snapshot.rows_of("segment_rois")
    sums = snapshot.engine.rows(
        f"SELECT roi, sum({count('pre')}), sum({count('post')}) FROM segment_rois GROUP BY roi ORDER BY roi"
    )
    said = _parsed(snapshot, "roiInfo")
    wrong = []
    for roi, pre, post in sums:
        entry = said.get(roi)
        if not isinstance(entry, Mapping):
            wrong.append(f"{roi} is missing, with pre {pre} and post {post} in the Segments")
        elif (entry.get("pre"), entry.get("post")) != (pre, post):
            wrong.append(f"{roi} has pre {entry.get('pre')}, post {entry.get('post')}, but the Segments {pre}, {post}")
    known = {roi for roi, _, _ in sums}
    wrong += [
        f"{roi} has pre {entry.get('pre')}, post {entry.get('post')}, but is in no Segment"
        for roi, entry in said.items()
        if roi not in known and isinstance(entry, Mapping) and (entry.get("pre") or entry.get("post"))
    ]
    return Finding.of(rows, wrong)


def _properties(snapshot: Snapshot) -> Finding:
    paths = files.csv_files_in(snapshot.neuprint / files.NEURONS_FOLDER)
    said = _parsed(snapshot, "neuronProperties")
    wrong = []
    for path in paths:
        header = files.csv_header(path)
        flags = files.flag_columns(header)
        own = {
            files.property_name(cell): files.property_type(cell)
            for place, cell in enumerate(header)
            if place not in flags and not cell.startswith(":")
        }
        if own != said:
            differing = sorted(name for name in own.keys() | said.keys() if own.get(name) != said.get(name))
            wrong.append(f"{path.name} and neuronProperties differ in {', '.join(differing[:5])}")
    if not paths:
        raise DataError("holds no CSV file", file=snapshot.neuprint / files.NEURONS_FOLDER)
    return Finding.of(len(paths), wrong)


def _tree(node: Any, parent: str | None = None) -> Iterator[tuple[str, str | None]]:
    """Every (name, parent) of the hierarchy."""
    if isinstance(node, Mapping):
        name = str(node.get("name"))
        yield name, parent
        for child in node.get("children") or ():
            yield from _tree(child, name)


def _hierarchy(snapshot: Snapshot) -> Finding:
    pairs = list(_tree(_parsed(snapshot, "roiHierarchy")))
    names = [name for name, _ in pairs]
    wrong = [f"{name} is in roiHierarchy more than once" for name in sorted(set(names)) if names.count(name) > 1]
    parents, primary = dict(pairs), set(_names(_cells(snapshot).get("primaryRois")))
    wrong += [f"the primary ROI {roi} is not in roiHierarchy" for roi in sorted(primary - set(names))]
    for roi, entry in _parsed(snapshot, "roiInfo").items():
        if entry.get("parent") != parents.get(roi):
            wrong.append(f"{roi} has the parent {entry.get('parent')} in roiInfo, {parents.get(roi)} in roiHierarchy")
        if bool(entry.get("isPrimary")) != (roi in primary):
            wrong.append(f"{roi} has isPrimary {entry.get('isPrimary')} in roiInfo, but primaryRois says otherwise")
    return Finding.of(len(names), wrong)


def _primary(snapshot: Snapshot) -> Finding:
    primary, info = _names(_cells(snapshot).get("primaryRois")), _parsed(snapshot, "roiInfo")
    return Finding.of(
        len(primary), [f"{roi} holds nothing: it is not in roiInfo" for roi in primary if roi not in info]
    )


CHECKS = (
    Check("meta/legal", "Meta has the properties and types without which servers or clients fail", _legal),
    Check("meta/settings", "Meta says what the settings say", _as_set),
    Check("meta/totals", "totalPreCount and totalPostCount are sums over the Segments", _totals, unrestricted),
    Check("meta/roi-info", "pre and post of every ROI are sums over the roiInfo of the Segments", _roi_info),
    Check("meta/properties", "neuronProperties are the columns of every Segment file", _properties),
    Check("meta/hierarchy", "primaryRois and roiInfo fit roiHierarchy, in which every ROI is once", _hierarchy),
    Check("meta/primary-rois", "every primary ROI is in roiInfo", _primary, warns=True),
)
