"""The connections of a roi-set's reports, counted once: narrow tables that every report of the set is read from.

Bodies are known by their *codes*, their places in a sorted array of ids, and ROIs by their places among the sorted
names.  So what a report finds out about a body (its rank, its counts) is an array, taken by position.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from flyem_snapshot.engine import sql
from flyem_snapshot.engine.session import Engine, parquet
from flyem_snapshot.tables.rois import COMBO, AssignedSet
from flyem_snapshot.tables.synapses import PARTNERS, POINTS

Int32Array = np.ndarray[Any, np.dtype[np.int32]]
Int64Array = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
RoiRule = Literal["both-ends", "post"]

_ROIS, _RANKS, _CAPTURED = "report_rois", "report_ranks", "report_captured"


@dataclass(frozen=True)
class Selection:
    """What a report is about: places of ROIs in `ReportCounts.rois`, None for everything; and the set's rule."""

    rois: tuple[int, ...] | None
    rule: RoiRule

    @property
    def by_psd(self) -> str:
        """SQL: the connection's PSD lies in the ROIs."""
        return self.among("roi")

    def among(self, column: str) -> str:
        """SQL: the ROI in a column is one of the report's."""
        return "TRUE" if self.rois is None else _among(column, self.rois)

    @property
    def inside(self) -> str:
        """SQL: the connection lies in the ROIs by the rule."""
        return f"{self.by_psd} AND {self.among('roi_pre')}" if self.needs_tbars else self.by_psd

    @property
    def needs_tbars(self) -> bool:
        """Whether the T-bar's own ROI matters."""
        return self.rois is not None and self.rule == "both-ends"


@dataclass(frozen=True)
class ReportCounts:
    """Counted connections whose T-bar is not on body 0.

    `bodies` are the ids of all bodies that may occur, sorted; `rois` the names of the set's ROIs, sorted.  The files:

        pairs    pre, post INTEGER (codes; post is -1 for body 0), roi_pre, roi INTEGER, n INTEGER
                 one row for each pair of bodies and pair of ROIs (of T-bar and PSD)
        single   body INTEGER (code), roi_pre, roi INTEGER, real BOOLEAN (the PSDs are not on body 0), n BIGINT
                 T-bars all of whose PSDs lie in one ROI, counted
        several  tbar UBIGINT, body, roi_pre, roi, real: the other T-bars, one row for each ROI of their PSDs
        sites    body BIGINT (id), roi INTEGER: the ROIs in which each annotated body has a T-bar or PSD
        tbars    point_id UBIGINT, roi INTEGER: the ROI of each T-bar; None if no report asks for it

    roi_pre is -1 if no report asks for it.
    """

    engine: Engine
    bodies: Int64Array
    rois: tuple[str, ...]
    folder: Path
    knows_tbars: bool

    @property
    def pairs(self) -> str:
        """The table expression of the pairs."""
        return parquet(self.folder / "pairs.parquet")

    @property
    def tbars(self) -> str:
        """The table expression of the T-bars' ROIs."""
        return parquet(self.folder / "tbars.parquet")

    def columns(self, statement: str) -> dict[str, np.ndarray[Any, Any]]:
        """The columns of a body-scale result without nulls."""
        table = self.engine.table(statement)
        return {name: table[name].to_numpy() for name in table.column_names}

    def partners_by_roi(self, side: Literal["pre", "post"], selection: Selection) -> dict[str, np.ndarray[Any, Any]]:
        """For each body on one side, and each ROI of PSDs: body (code), roi, n (connections); sorted."""
        return self.columns(
            f"""
            SELECT {side} AS body, roi, CAST(sum(n) AS BIGINT) AS n
            FROM {self.pairs} WHERE post >= 0 AND {selection.inside}
            GROUP BY {side}, roi ORDER BY {side}, roi
            """
        )

    def tbars_of_bodies(self, selection: Selection) -> Int64Array:
        """The number of T-bars of each body that have a connection in the report."""
        return self._tbars(f"real AND {selection.inside}")

    def pairs_stream(self, selection: Selection) -> pa.RecordBatchReader:
        """pre, post (codes), n: the connections in the report, counted by pair of bodies in parts."""
        return self.engine.stream(f"SELECT pre, post, n FROM {self.pairs} WHERE post >= 0 AND {selection.inside}")

    def annotated_with_points(self, selection: Selection) -> Int64Array:
        """The annotated bodies that have a T-bar or PSD in the ROIs, whether its connections count or not."""
        sites = parquet(self.folder / "sites.parquet")
        found: Int64Array = self.columns(f"SELECT DISTINCT body FROM {sites} WHERE {selection.by_psd}")["body"]
        return found

    def connections_by_psd(self, selection: Selection) -> int:
        """The connections whose PSD lies in the ROIs, wherever their T-bar does."""
        where = f"post >= 0 AND {selection.by_psd}"
        return int(self.engine.scalar(f"SELECT coalesce(sum(n), 0) FROM {self.pairs} WHERE {where}"))

    def captured(self, selection: Selection, captured: Flags) -> dict[str, np.ndarray[Any, Any]] | None:
        """For each captured body that is upstream of a PSD in the ROIs, by body: what becomes of its connections.

        body (code), captured, not_captured (connections to such bodies and to others), presyn (T-bars).  None if no
        upstream or no downstream body is captured.
        """
        # A semi-join of codes; what counts here is the ROI of the PSD alone, whatever the rule.
        known = pa.table({"body": pa.array(np.flatnonzero(captured).astype(np.int32))})
        with self.engine.registered(**{_CAPTURED: known}):
            among = f"IN (SELECT body FROM {_CAPTURED})"
            downstream = f"SELECT 1 FROM {self.pairs} WHERE {selection.by_psd} AND post {among} LIMIT 1"
            if not self.engine.rows(downstream):
                return None
            found = self.columns(
                f"""
                SELECT pre AS body,
                    CAST(coalesce(sum(n) FILTER (WHERE c.body IS NOT NULL), 0) AS INTEGER) AS captured,
                    CAST(coalesce(sum(n) FILTER (WHERE c.body IS NULL), 0) AS INTEGER) AS not_captured
                FROM {self.pairs} AS p LEFT JOIN {_CAPTURED} AS c ON p.post = c.body
                WHERE {selection.by_psd} AND pre {among}
                GROUP BY pre ORDER BY pre
                """
            )
        if not len(found["body"]):
            return None
        presyn = self._tbars(selection.by_psd)[found["body"]].astype(np.int32)
        return found | {"presyn": presyn}

    def ranked_connections(self, selection: Selection, bodies: Int64Array) -> tuple[str, pa.Table]:
        """The statement that yields every connection between these bodies, given by rank, and the table it reads.

        pre_id, post_id UBIGINT; pre_rank, post_rank INTEGER (from 1); roi INTEGER.  Sorted by the larger rank, then the
        smaller one, then pre_id, post_id.  The table is to be registered as `RANKS`.
        """
        ranks = pa.table({"body": pa.array(bodies), "rank": pa.array(np.arange(1, len(bodies) + 1, dtype=np.int32))})
        tbars = ""
        if selection.needs_tbars:
            tbars = f"JOIN (SELECT * FROM {self.tbars} WHERE {selection.by_psd}) AS t ON p.pre_id = t.point_id"
        statement = f"""
            SELECT pre_id, post_id, a.rank AS pre_rank, b.rank AS post_rank, r.roi AS roi
            FROM {PARTNERS} AS p
            JOIN {_ROIS} AS r ON p.{COMBO} = r.{COMBO}
            {tbars}
            JOIN {_RANKS} AS a ON p.body_pre = a.body
            JOIN {_RANKS} AS b ON p.body_post = b.body
            WHERE {selection.among("r.roi")}
            ORDER BY greatest(a.rank, b.rank), least(a.rank, b.rank), pre_id, post_id
        """
        return statement, ranks

    def _tbars(self, condition: str) -> Int64Array:
        single, several = (parquet(self.folder / f"{name}.parquet") for name in ("single", "several"))
        found = self.columns(
            f"""
            SELECT body, CAST(sum(n) AS BIGINT) AS n FROM (
                SELECT body, n FROM {single} WHERE {condition}
                UNION ALL
                SELECT body, count(DISTINCT tbar) AS n FROM {several} WHERE {condition} GROUP BY body
            ) GROUP BY body
            """
        )
        counts = np.zeros(len(self.bodies), np.int64)
        counts[found["body"]] = found["n"]
        return counts


RANKS = _RANKS
"""The name under which the table of `ReportCounts.ranked_connections` is registered."""


def count_connections(
    engine: Engine, assigned: AssignedSet, selections: Collection[Selection], annotated: Int64Array, folder: Path
) -> ReportCounts:
    """Count the connections of all reports of a roi-set; `folder` is for the files.

    `annotated` are bodies that get a code even if they have no connection.
    """
    folder.mkdir(parents=True)
    rois = tuple(sorted(assigned.categories))
    _name_combinations(engine, assigned, rois)
    knows_tbars = any(selection.needs_tbars for selection in selections)
    if knows_tbars:
        _find_tbars(engine, folder)
    wanted: Collection[int] | None = None
    if all(selection.rois is not None for selection in selections):
        wanted = {roi for selection in selections for roi in selection.rois or ()}
    condition = "TRUE" if wanted is None else _among("r.roi", wanted)
    by_id = folder / "pairs-by-id.parquet"
    engine.copy_to_parquet(_pairs_sql(folder, condition, knows_tbars=knows_tbars), by_id)
    bodies = _bodies(engine, by_id, annotated)
    counts = ReportCounts(engine, bodies, rois, folder, knows_tbars)
    with engine.registered(report_bodies=_coded(bodies)):
        engine.copy_to_parquet(
            f"""
            SELECT a.code AS pre, coalesce(b.code, -1) AS post, roi_pre, roi, n
            FROM {parquet(by_id)} AS p
            JOIN report_bodies AS a ON p.body_pre = a.body
            LEFT JOIN report_bodies AS b ON p.body_post = b.body
            """,
            folder / "pairs.parquet",
        )
        _count_tbars(engine, folder, condition, knows_tbars=knows_tbars)
    by_id.unlink()
    with engine.registered(report_annotated=pa.table({"body": pa.array(annotated)})):
        engine.copy_to_parquet(
            f"""
            SELECT DISTINCT body, r.roi FROM {POINTS} AS p JOIN {_ROIS} AS r ON p.{COMBO} = r.{COMBO}
            WHERE body IN (SELECT body FROM report_annotated)
            """,
            folder / "sites.parquet",
        )
    return counts


def forget_connections(engine: Engine) -> None:
    """Drop what `count_connections` made in the session."""
    engine.execute(f"DROP TABLE IF EXISTS {_ROIS}")


def count_sites(engine: Engine, selections: Collection[Selection]) -> list[tuple[int, int]]:
    """For each report the T-bars and PSDs that lie in its ROIs, whatever their connections and bodies."""
    rows = engine.rows(
        f"""
        SELECT roi, count(*) FILTER (WHERE kind = 'PreSyn'), count(*) FILTER (WHERE kind = 'PostSyn')
        FROM {POINTS} AS p JOIN {_ROIS} AS r ON p.{COMBO} = r.{COMBO} GROUP BY roi
        """
    )
    sites = {roi: (pre, post) for roi, pre, post in rows}
    found = []
    for selection in selections:
        counted = [sites.get(roi, (0, 0)) for roi in (sites if selection.rois is None else selection.rois)]
        found.append((sum(pre for pre, _ in counted), sum(post for _, post in counted)))
    return found


def _name_combinations(engine: Engine, assigned: AssignedSet, rois: tuple[str, ...]) -> None:
    """The ROI of each combination that a point has, as a small table of the session."""
    place = {name: position for position, name in enumerate(rois)}
    by_index = np.array([place[name] for name in assigned.categories], np.int32)
    combos = np.flatnonzero(assigned.names >= 0).astype(np.int32)
    table = pa.table({COMBO: pa.array(combos), "roi": pa.array(by_index[assigned.names[combos]])})
    with engine.registered(given=table):
        engine.execute(f"CREATE OR REPLACE TABLE {_ROIS} AS SELECT * FROM given")


def _find_tbars(engine: Engine, folder: Path) -> None:
    engine.copy_to_parquet(
        f"""
        SELECT point_id, r.roi FROM {POINTS} AS p JOIN {_ROIS} AS r ON p.{COMBO} = r.{COMBO} WHERE kind = 'PreSyn'
        """,
        folder / "tbars.parquet",
    )


def _pairs_sql(folder: Path, condition: str, *, knows_tbars: bool) -> str:
    tbars = f"JOIN {parquet(folder / 'tbars.parquet')} AS t ON p.pre_id = t.point_id" if knows_tbars else ""
    return f"""
        SELECT body_pre, body_post, {"t.roi" if knows_tbars else "-1"} AS roi_pre, r.roi AS roi,
            CAST(count(*) AS INTEGER) AS n
        FROM {PARTNERS} AS p JOIN {_ROIS} AS r ON p.{COMBO} = r.{COMBO} {tbars}
        WHERE body_pre <> 0 AND {condition}
        GROUP BY ALL
    """


def _bodies(engine: Engine, pairs: Path, annotated: Int64Array) -> Int64Array:
    found = engine.table(f"SELECT body_pre AS body FROM {parquet(pairs)} UNION SELECT body_post FROM {parquet(pairs)}")[
        "body"
    ].to_numpy()
    every = np.union1d(found, annotated)
    bodies: Int64Array = every[every != 0]
    return bodies


def _coded(bodies: Int64Array) -> pa.Table:
    return pa.table({"body": pa.array(bodies), "code": pa.array(np.arange(len(bodies), dtype=np.int32))})


def _count_tbars(engine: Engine, folder: Path, condition: str, *, knows_tbars: bool) -> None:
    """Write `single` and `several`.

    Nearly every T-bar has all its PSDs in one ROI.  Those are only counted, so that telling T-bars apart, which is
    what makes counting them dear, is left to the few others.
    """
    # The ROI, and whether the PSD is on a body, as one number.
    key = "r.roi * 2 + CAST(body_post <> 0 AS INTEGER)"
    spans = folder / "tbar-spans.parquet"
    rows = f"{PARTNERS} AS p JOIN {_ROIS} AS r ON p.{COMBO} = r.{COMBO}"
    engine.copy_to_parquet(
        f"""
        SELECT pre_id, any_value(body_pre) AS body, min({key}) AS lowest, max({key}) AS highest
        FROM {rows} WHERE body_pre <> 0 AND {condition} GROUP BY pre_id
        """,
        spans,
    )
    own = f"JOIN {parquet(folder / 'tbars.parquet')} AS t ON s.pre_id = t.point_id" if knows_tbars else ""
    roi_pre = "t.roi" if knows_tbars else "-1"
    place = "code AS body, {roi_pre} AS roi_pre, {key} // 2 AS roi, {key} % 2 = 1 AS real"
    engine.copy_to_parquet(
        f"""
        SELECT {place.format(roi_pre=roi_pre, key="lowest")}, count(*) AS n
        FROM {parquet(spans)} AS s JOIN report_bodies AS b ON s.body = b.body {own}
        WHERE lowest = highest GROUP BY ALL
        """,
        folder / "single.parquet",
    )
    engine.copy_to_parquet(
        f"""
        SELECT pre_id AS tbar, {place.format(roi_pre="roi_pre", key="key")}
        FROM (
            SELECT DISTINCT s.pre_id, s.body, {roi_pre} AS roi_pre, {key} AS key
            FROM {rows} JOIN {parquet(spans)} AS s ON p.pre_id = s.pre_id {own}
            WHERE lowest < highest AND {condition}
        ) AS d JOIN report_bodies AS b ON d.body = b.body
        """,
        folder / "several.parquet",
    )
    spans.unlink()


def _among(column: str, places: Collection[int]) -> str:
    return f"{column} IN ({sql.literals(sorted(places))})" if places else "FALSE"


def roi_places(rois: tuple[str, ...], names: Collection[str]) -> tuple[int, ...]:
    """The places of ROIs among the sorted names of a set; those in which no point lies have none."""
    return tuple(rois.index(name) for name in names if name in rois)
