"""Numbers of synapses, connections and elements per body, and per body and ROI."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from tests.oracle.neuprint_scope import ElementTable, Scope
from tests.oracle.rois import UNSPECIFIED

SIDES = ("axon", "dendrite")


def body_counts(scope: Scope) -> pd.DataFrame:
    """One row per body with a point, a connection or a counted element; the count columns of Segments in order."""
    counts = _counts(scope, None)
    bodies = set(scope.points["body"]).union(
        scope.partners["body_pre"], *(_counted(e, scope, n)["body"] for n, e in scope.elements.items())
    )
    counts = counts.reindex(sorted(bodies), fill_value=0)
    pairs = scope.partners[["body_pre", "body_post"]].drop_duplicates()
    at = list(counts).index("synweight") + 1
    for name, side in (("downstreamPartners", "body_pre"), ("upstreamPartners", "body_post")):
        counts.insert(at, name, pairs[side].value_counts().reindex(counts.index, fill_value=0))
    return counts.rename_axis("body")


def roi_counts(scope: Scope, sets: Iterable[str]) -> pd.DataFrame:
    """One row per body and ROI with any count, `<unspecified>` included; columns body, roi, roi_set, counts."""
    parts = [_counts(scope, name).reset_index().assign(roi_set=name) for name in sets]
    if not parts:
        return pd.DataFrame({"body": [], "roi": [], "roi_set": [], **{c: [] for c in _counts(scope, None)}})
    table = pd.concat(parts, ignore_index=True)
    numbers = table.columns.difference(["body", "roi", "roi_set"], sort=False)
    table[numbers] = table[numbers].fillna(0).astype("int64")
    return table[(table[numbers] != 0).any(axis=1)].reset_index(drop=True)


def _counts(scope: Scope, roi_set: str | None) -> pd.DataFrame:
    """Counts by body, or by body and ROI of one set.

    A point counts in its own ROI, a connection in the ROI of its PSD.
    """
    points = _keyed(scope.points, "body", roi_set)
    if scope.setting("consistent-totals", False):
        points = points[points["conf"] >= scope.threshold]
    post, pre = (points[points["kind"].astype(object) == kind] for kind in ("PostSyn", "PreSyn"))
    strong = _keyed(scope.partners[scope.partners["conf_post"] >= scope.threshold], "body_pre", roi_set)
    parts = {"post": post, "pre": pre, "downstream": strong, "upstream": post, "synweight": None}
    for side in SIDES if scope.compartment_column else ():
        parts[f"{side}In"] = post[post[scope.compartment_column].astype(object) == side]
    for side in SIDES if scope.compartment_column else ():
        parts[f"{side}Out"] = strong[strong["compartment_pre"].astype(object) == side]
    parts |= _element_parts(scope, roi_set)
    keys = ["body", "roi"] if roi_set else ["body"]
    sizes = {name: rows.groupby(keys).size() for name, rows in parts.items() if rows is not None}
    table = pd.DataFrame(sizes).reindex(columns=list(parts)).fillna(0).astype("int64")
    table["synweight"] = table["upstream"] + table["downstream"]
    return table


def _keyed(rows: pd.DataFrame, body: str, roi_set: str | None) -> pd.DataFrame:
    """Columns `body` and `roi`."""
    rows = rows.assign(body=rows[body].astype("int64"))
    return rows.assign(roi=rows[roi_set].astype(object)) if roi_set else rows


def totals(scope: Scope, name: str) -> tuple[str, str, str]:
    """Names of the Segment total and the ROI total, and the column of kinds; '' for none."""
    return tuple(
        scope.setting(f"element-totals.{name}.{key}", "")
        for key in (
            "compute-segment-totals-with-name",
            "compute-roi-totals-with-name",
            "compute-kind-totals-for-column",
        )
    )


def _counted(table: ElementTable, scope: Scope, name: str) -> pd.DataFrame:
    """The elements that make Segments of their bodies."""
    in_segment, in_roi, kind = totals(scope, name)
    if in_segment or in_roi:
        return table.points
    return table.points[table.points[kind].notna()] if kind else table.points.iloc[:0]


def _element_parts(scope: Scope, roi_set: str | None) -> dict[str, pd.DataFrame]:
    """All totals in the order of the elements, then all kinds; kinds of one element are sorted."""
    sums, kinds = {}, {}
    for name, table in scope.elements.items():
        in_segment, in_roi, kind = totals(scope, name)
        rows = _keyed(table.points, "body", roi_set if roi_set in table.sets else None)
        if roi_set not in table.sets:  # these elements are in none of the ROIs
            rows = rows.assign(roi=UNSPECIFIED)
        if in_roi if roi_set else in_segment:
            sums[in_roi if roi_set else in_segment] = rows
        if kind:
            values = rows[kind].astype(object)
            for value in sorted(set(table.points[kind].dropna().astype(object))):
                kinds[str(value)] = rows[values == value]
    return sums | kinds


def quoted(name: str) -> str:
    """A ROI's name in JSON."""
    return json.dumps(name).replace("/", "\\/")


def objects(table: pd.DataFrame, keys: list[str], kept: Iterable[str] = ()) -> pd.Series:
    """`{"roi":{"post":1},...}` per key, ROIs sorted, zeros left out unless they are to be kept."""
    columns = [c for c in table if c not in {*keys, "roi", "roi_set"}]
    table = table.sort_values([*keys, "roi"])
    inner = np.full(len(table), "", object)
    for column in columns:
        values = table[column].to_numpy()
        texts = np.array([f',"{column}":{v}' for v in values], object)
        inner = inner + np.where((values != 0) | (column in set(kept)), texts, "")
    names = {roi: quoted(roi) for roi in table["roi"].unique()}
    items = [f"{names[roi]}:{{{text[1:]}}}" for roi, text in zip(table["roi"], inner, strict=True)]
    joined = pd.Series(items, index=table.index, dtype=object).groupby([table[k] for k in keys]).agg(",".join)
    return "{" + joined + "}"


def int_columns(table: Any) -> pd.DataFrame:
    """Count columns as text."""
    return table.astype("int64").astype("str")
