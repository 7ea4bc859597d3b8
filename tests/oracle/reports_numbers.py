"""The numbers of one report: its bodies by rank, its connections by the rank at which they are traced, its capture."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from tests.oracle.annotations import STATUSES
from tests.oracle.load import Inputs
from tests.oracle.rois import UNSPECIFIED

COUNTS = ("presyn", "postsyn", "synweight")
FRACTIONS = [f"traced_{what}_frac" for what in (*COUNTS, "conn")]
BODY_COLUMNS = [
    "body",
    "presyn",
    "postsyn",
    "status",
    "outputpartners",
    "synweight",
    "top_output_roi",
    "top_output_roi_weight",
    "top_input_roi",
    "top_input_roi_weight",
    "rank",
]
CONNECTION_COLUMNS = [
    *("pre_id", "post_id", "body_pre", "body_post", "roi", "body_pre_rank", "body_post_rank", "min_rank", "max_rank"),
    *(f"cumulative_traced_{what}" for what in COUNTS),
    *FRACTIONS[:3],
    "cumulative_traced_conn",
    "traced_conn_frac",
    "body_max_rank",
    *(f"{column}_max_rank" if column in COUNTS else column for column in BODY_COLUMNS[1:]),
]
CURVE_COLUMNS = ["rank", "body", "status", *COUNTS, *FRACTIONS]


@dataclass(frozen=True)
class Scope:
    """What one report looks at.

    `raw` are all points in the report's ROIs; `inside` all connections whose PSD is there; `points` and `partners`
    what is left of them for the forecast; `zeros` annotated bodies that are listed even without counts.
    `status` maps annotated bodies to their status.
    """

    raw: pd.DataFrame
    inside: pd.DataFrame
    points: pd.DataFrame
    partners: pd.DataFrame
    zeros: set[int]
    status: pd.Series


def scope_of(inputs: Inputs, roiset: str, rois: Sequence[str], rule: str, non_synaptic: str) -> Scope:
    """Select points, connections and annotated bodies; no ROIs stand for everything."""
    points = inputs.points.assign(roi=inputs.points[roiset].astype(object))
    partners = inputs.partners.assign(roi=inputs.partners[roiset].astype(object))
    if rois:
        points, partners = points[points["roi"].isin(rois)], partners[partners["roi"].isin(rois)]
    assert rule in ("both-ends", "post")
    ends = points if rule == "both-ends" else inputs.points
    left, rows = _forecast(ends, partners)
    known = inputs.annotations if inputs.annotations is not None else pd.DataFrame({"body": [], "status": []})
    status = known.astype({"body": "int64", "status": object}).set_index("body")["status"]
    return Scope(points, partners, left, rows, _zeros(inputs, roiset, rois, non_synaptic, points), status)


def _forecast(points: pd.DataFrame, partners: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Without body 0; connections with both ends among the points, and the points that these name."""
    points = points[points["body"] != 0]
    partners = partners[partners["pre_id"].isin(points["point_id"]) & partners["post_id"].isin(points["point_id"])]
    used = points["point_id"].isin(partners["pre_id"]) | points["point_id"].isin(partners["post_id"])
    return points[used], partners


def _zeros(inputs: Inputs, roiset: str, rois: Sequence[str], which: str, points: pd.DataFrame) -> set[int]:
    """Annotated bodies that belong to the report, whether they have a connection there or not."""
    if inputs.annotations is None:
        return set()
    annotated = set(inputs.annotations["body"]) - {0}
    if which == "all":
        return annotated
    present = set(points["body"])
    if which == "element-presence":
        present |= _bodies_with_elements(inputs, roiset, rois)
    else:
        assert which == "none"
    return annotated & present


def _bodies_with_elements(inputs: Inputs, roiset: str, rois: Sequence[str]) -> set[int]:
    """Bodies with an element of any kind in the ROIs; in any ROI of the set if none are listed."""
    bodies: set[int] = set()
    for elements in inputs.elements.values():
        table = elements.points
        if roiset in table:
            names = table[roiset].astype(object)
            there = names.isin(rois) if rois else names != UNSPECIFIED
            bodies |= set(table.loc[there, "body"])
    return bodies


def bodies_of(scope: Scope) -> pd.DataFrame:
    """Bodies with a connection, and `zeros`, ranked by status, then by their counts, then the smaller id."""
    bodies = pd.Index(sorted(set(scope.points["body"]) | scope.zeros), dtype="int64", name="body")

    def count(of: pd.Series) -> pd.Series:
        return of.value_counts().reindex(bodies, fill_value=0).astype("int64")

    kind = scope.points["kind"].astype(object)
    table = pd.DataFrame(index=bodies)
    table["presyn"] = count(scope.points.loc[kind == "PreSyn", "body"])
    table["postsyn"] = count(scope.points.loc[kind == "PostSyn", "body"])
    status = scope.status.reindex(bodies)
    table["status"] = pd.Categorical(status.where(status.notna(), ""), list(STATUSES), ordered=True)
    table["outputpartners"] = count(scope.partners["body_pre"])
    table["synweight"] = table["outputpartners"] + table["postsyn"]
    for name, side in (("output", "body_pre"), ("input", "body_post")):
        top = _top_roi(scope.partners, side).reindex(bodies)
        table[f"top_{name}_roi"], table[f"top_{name}_roi_weight"] = top["roi"], top["weight"]
    order = ["status", "synweight", "presyn", "postsyn"]
    table = table.reset_index().sort_values([*order, "body"], ascending=[False] * len(order) + [True])
    table = table.reset_index(drop=True).assign(rank=range(1, len(table) + 1)).astype({"rank": "int64"})
    return table[BODY_COLUMNS]


def _top_roi(partners: pd.DataFrame, side: str) -> pd.DataFrame:
    """Per body: the ROI of most of its connections' PSDs and how many; on a tie the first by name."""
    sizes = partners.groupby([side, "roi"]).size().rename("weight").reset_index().astype({"weight": "Int64"})
    sizes = sizes.sort_values([side, "weight", "roi"], ascending=[True, False, True])
    return sizes.drop_duplicates(side).set_index(side)


def connections_of(scope: Scope, bodies: pd.DataFrame, stop_at_rank: float) -> pd.DataFrame:
    """One row per connection between bodies of good rank, in the order in which tracing body after body finds them.

    Both ends of a row count as traced from that row on; shares are of all bodies and of all connections, whatever
    their rank.
    """
    ranks = bodies.set_index("body")["rank"]
    table = scope.partners[["pre_id", "post_id", "body_pre", "body_post", "roi"]].copy()
    table["body_pre_rank"] = table["body_pre"].map(ranks).astype("int64")
    table["body_post_rank"] = table["body_post"].map(ranks).astype("int64")
    pair = table[["body_pre_rank", "body_post_rank"]]
    table["min_rank"], table["max_rank"] = pair.min(axis=1), pair.max(axis=1)
    table = table[table["max_rank"] <= stop_at_rank]
    table = table.sort_values(["max_rank", "min_rank", "pre_id", "post_id"], ignore_index=True)
    for what in COUNTS:
        table[f"cumulative_traced_{what}"] = _running_sums(table, bodies.set_index("body")[what].to_dict())
        table[f"traced_{what}_frac"] = table[f"cumulative_traced_{what}"] / max(int(bodies[what].sum()), 1)
    table["cumulative_traced_conn"] = pd.Series(range(1, len(table) + 1), dtype="int64")
    table["traced_conn_frac"] = table["cumulative_traced_conn"] / max(len(scope.partners), 1)
    at_pre = table["body_pre_rank"] >= table["body_post_rank"]
    table["body_max_rank"] = table["body_pre"].where(at_pre, table["body_post"])
    of_body = bodies.rename(columns={c: f"{c}_max_rank" for c in COUNTS})
    table = table.merge(of_body, how="left", left_on="body_max_rank", right_on="body", validate="many_to_one")
    return table[CONNECTION_COLUMNS]


def _running_sums(rows: pd.DataFrame, counts: dict[int, int]) -> pd.Series:
    """Walk down the rows; a body's count is added where the body is first seen."""
    seen: set[int] = set()
    total, sums = 0, []
    for pair in zip(rows["body_pre"], rows["body_post"], strict=True):
        for body in pair:
            if body not in seen:
                seen.add(body)
                total += counts[body]
        sums.append(total)
    return pd.Series(sums, index=rows.index, dtype="int64")


def curve_of(connections: pd.DataFrame) -> pd.DataFrame:
    """The last connection of each rank: what is traced once bodies 1..rank are."""
    last = connections.drop_duplicates("max_rank", keep="last").drop(columns="rank").reset_index(drop=True)
    names = {"max_rank": "rank", "body_max_rank": "body", **{f"{c}_max_rank": c for c in COUNTS}}
    return last.rename(columns=names)[CURVE_COLUMNS]


def capture_of(scope: Scope, statuses: Sequence[str]) -> pd.DataFrame | None:
    """Per captured upstream body, how many of its connections end on captured bodies; PSDs in the ROIs only.

    Body 0 is never captured: what ends there counts as not captured, what starts there is not looked at.
    None unless some connection starts, and some ends, on a captured body.
    """
    bodies = set(scope.status.index[scope.status.isin(list(statuses))]) - {0}
    inside = scope.inside[scope.inside["body_pre"] != 0]
    pre, post = inside["body_pre"].isin(bodies), inside["body_post"].isin(bodies)
    if not (pre.any() and post.any()):
        return None
    rows = inside[pre].assign(captured=post[pre])
    groups = rows.groupby("body_pre", sort=True)
    table = pd.DataFrame({"captured": groups["captured"].sum(), "downstream": groups.size()}).astype("int64")
    table.insert(1, "not_captured", table["downstream"] - table["captured"])
    table["presyn"] = groups["pre_id"].nunique()
    table["capture_frac"] = (table["captured"] / table["downstream"]).astype("float32")
    return table.reset_index()
