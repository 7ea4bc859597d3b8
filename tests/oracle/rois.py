"""ROI sets: for each set S a column S (names) and S_label (numbers) on a table of points."""

import json
import re
from typing import Any

import numpy as np
import pandas as pd

from tests.oracle.config import Config
from tests.oracle.template import check, fill

UNSPECIFIED = "<unspecified>"
Ids = dict[str, int]


def add_rois(points: pd.DataFrame, config: Config, order: list[str]) -> tuple[pd.DataFrame, dict[str, Ids]]:
    """Load the sets in the given order, refuse a name that is in two of them, then inherit from parents."""
    points, ids = points.copy(), dict[str, Ids]()
    for name in order:
        spec = config.roi_sets[name]
        if spec.get("source", "dvid-rois") == "unions-of-subrois":
            names, labels, ids[name] = _unions(points, config, name, ids)
        elif spec.get("source") == "point-table":
            names, labels, ids[name] = _from_point_table(points, name, _listed(spec.get("rois"), config))
        else:
            raise NotImplementedError(f"ROI set {name}: the oracle has no DVID")
        names, ids[name] = _rename(names, ids[name], spec.get("rename-rois") or {})
        points[name], points[f"{name}_label"] = names, labels
    _refuse_duplicates(ids)
    _inherit_all(points, config, order, ids)
    _refuse_duplicates(ids)
    for name in order:
        points[name] = points[name].astype("category")
    return points, ids


def _listed(rois: Any, config: Config) -> Ids | str | None:
    """A list numbers its names from 1, a dict gives ids, `.json` is a file with either, other text is a template."""
    if isinstance(rois, str) and rois.endswith(".json"):
        rois = json.loads(config.path(rois).read_text())
    if isinstance(rois, str) and rois:
        return check(rois)
    if not rois:
        return None
    ids = {name: i for i, name in enumerate(rois, 1)} if isinstance(rois, list) else dict(rois)
    if len(ids) != len(rois) or len(set(ids.values())) != len(ids):
        raise ValueError("a ROI name or id is listed twice")
    if any((i == 0) != (name == UNSPECIFIED) for name, i in ids.items()):
        raise ValueError(f"id 0 is reserved for {UNSPECIFIED}")
    return ids


def numbered(observed: set[str]) -> Ids:
    """Names in code point order with `<unspecified>` first; ids from 0, or from 1 where it does not occur."""
    names = sorted(observed - {UNSPECIFIED})
    return {UNSPECIFIED: 0, **{n: i for i, n in enumerate(names, 1)}} if UNSPECIFIED in observed else _from_one(names)


def _from_one(names: list[str]) -> Ids:
    return {n: i for i, n in enumerate(names, 1)}


def _lookup(values: pd.Series, mapping: dict[Any, Any], dtype: Any) -> np.ndarray:
    """Map each value; a value that the mapping does not know is an error."""
    codes, uniques = pd.factorize(values)
    unknown = [u for u in uniques if u not in mapping]
    if unknown:
        raise ValueError(f"{values.name}: not a listed ROI: {unknown[:5]}")
    return np.array([mapping[u] for u in uniques], dtype)[codes] if len(uniques) else np.array([], dtype)


def _from_point_table(points: pd.DataFrame, name: str, listed: Ids | str | None) -> tuple[np.ndarray, np.ndarray, Ids]:
    """Names and/or labels are columns of the table; the missing one is derived, both given must agree.

    A null name and a null label are `<unspecified>` and 0, whichever way the ids were given.
    """
    label_column = f"{name}_label"
    names = points[name].astype(object).fillna(UNSPECIFIED) if name in points else None
    labels = points[label_column].fillna(0).astype("int64") if label_column in points else None
    ids = {**_ids(names, labels, listed, name), UNSPECIFIED: 0}
    if len(set(ids.values())) != len(ids):
        raise ValueError(f"{name}: id 0 is reserved for {UNSPECIFIED}")
    if names is None:
        names = pd.Series(_lookup(points[label_column].fillna(0), {i: n for n, i in ids.items()}, object))
    mapped = _lookup(names, ids, "int64")
    if labels is not None and (mapped != labels.to_numpy()).any():
        raise ValueError(f"{name}: names and labels contradict each other")
    return names.to_numpy(object), mapped, ids


def _ids(names: pd.Series | None, labels: pd.Series | None, listed: Ids | str | None, name: str) -> Ids:
    """Given ids as they are; a template names the labels; else labels beside names, else the names' order."""
    if isinstance(listed, dict):
        return listed
    if isinstance(listed, str):
        if labels is None:
            raise ValueError(f"{name}: a name template needs labels")
        ids = {fill(listed, int(x)): int(x) for x in labels.unique() if x != 0}
        if len(ids) != len(set(labels) - {0}):
            raise ValueError(f"{name}: the template gives two labels one name")
        return ids
    if names is None:
        raise ValueError(f"{name}: no names for these points")
    if labels is None:
        return numbered(set(names))
    pairs = pd.DataFrame({"name": names, "label": labels}).drop_duplicates()
    ids = {n: int(i) for n, i in zip(pairs["name"], pairs["label"], strict=True)}
    if len(ids) != len(pairs) or len(set(ids.values())) != len(pairs) or ids.get(UNSPECIFIED, 0) != 0:
        raise ValueError(f"{name}: names and labels do not correspond one to one")
    return ids


def _unions(
    points: pd.DataFrame, config: Config, name: str, loaded: dict[str, Ids]
) -> tuple[np.ndarray, np.ndarray, Ids]:
    """ROIs of a set loaded before, put together; the rest is `<unspecified>`; a union without points vanishes."""
    spec = config.roi_sets[name]
    source = spec["union-source-roiset"]
    union_of = {sub: union for union, subs in spec["rois"].items() for sub in subs}
    if len(union_of) != sum(len(subs) for subs in spec["rois"].values()):
        raise ValueError(f"{name}: a ROI is in two unions")
    if config.roi_sets[source].get("rois") and not set(union_of) <= set(loaded[source]):
        raise ValueError(f"{name}: not in {source}: {sorted(set(union_of) - set(loaded[source]))}")
    names = pd.Series(_lookup(points[source], {n: union_of.get(n, UNSPECIFIED) for n in loaded[source]}, object))
    ids = numbered(set(names))
    return names.to_numpy(object), _lookup(names, ids, "int64"), ids


def _rename(names: np.ndarray, ids: Ids, renames: dict[str, str]) -> tuple[np.ndarray, Ids]:
    """Renames apply to names and ids right after loading; two ROIs cannot become one."""
    new = {n: renames.get(n, n) for n in ids}
    if len(set(new.values())) != len(new):
        raise ValueError("rename-rois gives two ROIs one name")
    return _lookup(pd.Series(names, dtype=object), new, object), {new[n]: i for n, i in ids.items()}


def _refuse_duplicates(ids: dict[str, Ids]) -> None:
    """One name in two sets is an error, `<unspecified>` excepted."""
    seen: dict[str, str] = {}
    for set_name, names in ids.items():
        for name in set(names) - {UNSPECIFIED}:
            if name in seen:
                raise ValueError(f"ROI {name} is in {seen[name]} and {set_name}")
            seen[name] = set_name


def inherited_name(parent: str) -> str:
    """`Brain` -> `Brain-unspecified`; a side at the end stays at the end: `MB(R)` -> `MB-unspecified(R)`."""
    sided = re.fullmatch(r"(.*)(\([LR]\))", parent)
    return f"{sided[1]}-unspecified{sided[2]}" if sided else f"{parent}-unspecified"


def _inherit_all(points: pd.DataFrame, config: Config, order: list[str], ids: dict[str, Ids]) -> None:
    """Parents before children."""
    waiting = [n for n in order if config.roi_sets[n].get("parent-roiset")]
    while waiting:
        ready = [n for n in waiting if config.roi_sets[n]["parent-roiset"] not in waiting]
        if not ready:
            raise ValueError(f"ROI sets inherit from each other in a circle: {waiting}")
        for name in ready:
            _inherit(points, name, config.roi_sets[name], ids)
            waiting.remove(name)


def _inherit(points: pd.DataFrame, name: str, spec: dict[str, Any], ids: dict[str, Ids]) -> None:
    """Unspecified points inside a listed parent ROI get a ROI of their own, numbered on by first appearance."""
    parents = spec.get("parent-rois") or []
    if any("unspecified" in p for p in parents):
        raise ValueError("parent-rois must not contain 'unspecified'")
    heirs = (points[name] == UNSPECIFIED) & points[spec["parent-roiset"]].isin(parents)
    new_names = points.loc[heirs, spec["parent-roiset"]].map({p: inherited_name(p) for p in parents})
    last = max(ids[name].values(), default=0)
    new_ids = {n: last + i for i, n in enumerate(new_names.unique(), 1)}
    if set(new_ids) & set(ids[name]):
        raise ValueError(f"{name} already has {sorted(set(new_ids) & set(ids[name]))}")
    ids[name] = {**ids[name], **new_ids}
    points.loc[heirs, name] = new_names
    points.loc[heirs, f"{name}_label"] = new_names.map(new_ids).astype("int64")
    if not (points[name] == UNSPECIFIED).any():
        ids[name].pop(UNSPECIFIED, None)
