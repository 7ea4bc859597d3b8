"""Synapses and elements counted: for each body and combination of ROIs, and for each connected pair of bodies.

Both tables are narrow, sorted, and written once; all that follows reads them in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from flyem_snapshot.config.formula import name_fault
from flyem_snapshot.connectome.regions import Regions, regions_of
from flyem_snapshot.connectome.weights import COMPARTMENT_INPUTS, COMPARTMENT_OUTPUTS, COMPARTMENT_WEIGHTS
from flyem_snapshot.engine.sql import identifier, literal
from flyem_snapshot.errors import DataError
from flyem_snapshot.outputs.neuprint.scope import ElementScope, Scope
from flyem_snapshot.tables.rois import COMBO

SYNAPSES: Final = ""
"""The synapse points among the tables of `Regions.offsets` (no element table has an empty name)."""


_MAX_KINDS: Final = 200


@dataclass(frozen=True)
class Count:
    """One number of a Segment.

    `column` is its name in the counted table, `segment` the property of the Segment (None: only in ROIs) and `roi`
    the key in roiInfo (None: only for the whole Segment).
    """

    column: str
    segment: str | None
    roi: str | None
    is_kind: bool = False


def segment_counts(scope: Scope) -> tuple[Count, ...]:
    """The numbers of a Segment in the order of its properties; `upstream` and `synweight` follow from others."""
    counts = [Count(name, name, name) for name in ("post", "pre", "downstream", "upstream", "synweight")]
    counts += [Count(name, name, None) for name in ("upstreamPartners", "downstreamPartners")]
    if scope.compartments:
        counts += [Count(name, name, name) for name in (*COMPARTMENT_INPUTS, *COMPARTMENT_OUTPUTS)]
    of_elements = [count for number, e in enumerate(scope.elements) for count, _ in _element_counts(scope, number, e)]
    # The totals of all element tables come before the kinds of any.
    counts += sorted(of_elements, key=lambda count: count.is_kind)
    for names in ([c.segment for c in counts if c.segment], [c.roi for c in counts if c.roi]):
        _refuse_names(names)
    return tuple(counts)


def _refuse_names(names: Sequence[str]) -> None:
    """Raise DataError if a count would have a name that the database cannot hold, or that another one has."""
    for position, name in enumerate(names):
        if fault := name_fault(name):
            raise DataError(
                f"a kind or total of elements would become a property, but its name {name!r} {fault}",
                hint="choose another name in outputs.neuprint.element-totals, or rename the kind in the element table",
            )
        if name in names[:position]:
            raise DataError(
                f"two counts of Segments would be called '{name}' (a fixed one, a total, or a kind of element)",
                hint="choose other names in outputs.neuprint.element-totals, or rename the kinds in the element table",
            )


def regions_of_scope(scope: Scope) -> Regions:
    """The ROIs of the synapses' and the elements' combinations, within the exported roi-sets."""
    tables = {SYNAPSES: scope.synapses.rois, **{e.name: e.rois for e in scope.elements}}
    sizes = {name: len(rois.sets[0].names) if rois.sets else 1 for name, rois in tables.items()}
    return regions_of({name: scope.roi_sets(rois) for name, rois in tables.items()}, sizes)


def count_pairs(scope: Scope, file: str) -> str:
    """Materialise the connections: one row for each pair of bodies and combination of ROIs of the PSD.

    body_pre, body_post BIGINT, roi_combo INTEGER, then INTEGER counts of partner rows: `all_rows`; `weight` (at least
    the balanced threshold, or the high-precision one if that is lower); `hp` (high-precision threshold); `post`
    (balanced threshold); and by compartment (balanced threshold).  Sorted by body_pre, body_post.
    """
    t, h = thresholds(scope)
    passing = _reaches("conf_post", t)
    counted = {
        "all_rows": "TRUE",
        "weight": _reaches("conf_post", min(t, h)),
        "hp": _reaches("conf_post", h),
        "post": passing,
    }
    if scope.compartments:
        for name, (pre, post) in COMPARTMENT_WEIGHTS.items():
            sides = f"compartment_pre = {literal(pre)} AND compartment_post = {literal(post)}"
            counted[name] = f"{passing} AND {sides}"
    columns = ", ".join(f"{_number(condition)} AS {identifier(name)}" for name, condition in counted.items())
    return scope.materialised(
        f"""
        SELECT body_pre, body_post, {COMBO}, {columns}
        FROM {scope.partners} GROUP BY body_pre, body_post, {COMBO}
        ORDER BY body_pre, body_post, {COMBO}
        """,
        file,
    )


def count_bodies(scope: Scope, regions: Regions, pairs: str, annotated: str | None, bodies: str | None) -> str:
    """Materialise the counts of Segments: one row for each body and combination of ROIs.

    body BIGINT, roi_combo INTEGER (an index into `regions`), then the columns of `segment_counts` except those that
    follow from others, INTEGER.  Sorted by body.  Every body that is a Segment occurs: those with a synapse point, a
    connection or a counted element, and those of the table `annotated`; if `bodies` is given, only those in it.
    """
    derived = ("upstream", "synweight")
    names = [count.column for count in segment_counts(scope) if count.column not in derived]
    parts = [*_synapse_parts(scope, regions), *_partner_parts(regions, pairs)]
    parts += [part for number, e in enumerate(scope.elements) for part in _element_parts(scope, regions, number, e)]
    if annotated is not None:
        parts.append(f"SELECT body, {regions.nowhere} AS {COMBO} FROM {annotated} WHERE body <> 0")
    sums = ", ".join(f"CAST(coalesce(sum({identifier(n)}), 0) AS INTEGER) AS {identifier(n)}" for n in names)
    # The first part has no row; it names every column, so that each of the others may have only some.
    header = ", ".join(f"NULL::INTEGER AS {identifier(n)}" for n in names)
    every = " UNION ALL BY NAME ".join([f"SELECT 0::BIGINT AS body, 0 AS {COMBO}, {header} WHERE FALSE", *parts])
    only = "" if bodies is None else f"WHERE body IN (SELECT body FROM {bodies})"
    return scope.materialised(
        f"SELECT body, {COMBO}, {sums} FROM ({every}) {only} GROUP BY body, {COMBO} ORDER BY body, {COMBO}",
        "body-counts.parquet",
    )


def thresholds(scope: Scope) -> tuple[float, float]:
    """The balanced and the high-precision confidence threshold."""
    meta = scope.config.meta
    assert meta is not None
    return meta.post_high_accuracy_threshold, meta.post_hp_threshold


def _reaches(column: str, threshold: float) -> str:
    """SQL: whether a confidence is at least the threshold; an unknown one (NaN, for DuckDB the largest) is not.

    Compared as confidences are stored: 0.9 as a FLOAT is less than 0.9, and must not fail against it.
    """
    return f"({column} >= CAST({literal(threshold)} AS FLOAT) AND NOT isnan({column}))"


def _number(condition: str) -> str:
    return f"CAST(count(*) FILTER (WHERE {condition}) AS INTEGER)"


def point_conditions(scope: Scope) -> dict[str, str]:
    """The points that count as `pre` and as `post`."""
    t, _ = thresholds(scope)
    counted = _reaches("conf", t) if scope.config.consistent_totals else "TRUE"
    return {"pre": f"kind = 'PreSyn' AND {counted}", "post": f"kind = 'PostSyn' AND {counted}"}


def _synapse_parts(scope: Scope, regions: Regions) -> Iterator[str]:
    """Points by their own ROI, connections by that of their PSD."""
    t, _ = thresholds(scope)
    points = point_conditions(scope)
    partners = {"downstream": "TRUE"}
    if scope.compartments:
        column = identifier(scope.synapses.compartment or "")
        points |= {n: f"{points['post']} AND {column} = {literal(v)}" for n, v in COMPARTMENT_INPUTS.items()}
        partners |= {n: f"compartment_pre = {literal(v)}" for n, v in COMPARTMENT_OUTPUTS.items()}
    combo = f"{COMBO} + {regions.offsets[SYNAPSES]} AS {COMBO}"
    columns = ", ".join(f"{_number(condition)} AS {identifier(name)}" for name, condition in points.items())
    yield f"SELECT body, {combo}, {columns} FROM {scope.points} GROUP BY body, {COMBO}"
    columns = ", ".join(f"{_number(condition)} AS {identifier(name)}" for name, condition in partners.items())
    yield f"""
        SELECT body_pre AS body, {combo}, {columns}
        FROM {scope.partners} WHERE {_reaches("conf_post", t)} GROUP BY body_pre, {COMBO}
    """


def _partner_parts(regions: Regions, pairs: str) -> Iterator[str]:
    """How many distinct bodies each one is connected with."""
    for body, other, name in (("pre", "post", "downstreamPartners"), ("post", "pre", "upstreamPartners")):
        yield f"""
            SELECT body_{body} AS body, {regions.nowhere} AS {COMBO},
                CAST(count(DISTINCT body_{other}) AS INTEGER) AS {name}
            FROM {pairs} GROUP BY body_{body}
        """


def _element_counts(scope: Scope, number: int, element: ElementScope) -> Iterator[tuple[Count, str]]:
    """The counts of one element table, each with its condition; kinds in alphabetical order."""
    totals = scope.config.element_totals.get(element.name)
    if totals is None or element.points is None:
        return
    names = (totals.compute_segment_totals_with_name, totals.compute_roi_totals_with_name)
    if any(names):
        yield Count(f"elements {number}", *names), "TRUE"
    if kind := totals.compute_kind_totals_for_column:
        column = identifier(kind)
        if kind not in scope.ctx.engine.table(f"SELECT * FROM {element.points} LIMIT 0").column_names:
            raise DataError(
                f"elements '{element.name}' have no column '{kind}'",
                hint=f"mend outputs.neuprint.element-totals.{element.name}.compute-kind-totals-for-column",
            )
        kinds = scope.ctx.engine.rows(
            f"SELECT DISTINCT CAST({column} AS VARCHAR) AS kind FROM {element.points} WHERE {column} IS NOT NULL"
        )
        if len(kinds) > _MAX_KINDS:
            raise DataError(
                f"elements '{element.name}' are of {len(kinds):,} kinds, each of which would become a property",
                column=kind,
                hint=f"choose a column of at most {_MAX_KINDS} values in "
                f"outputs.neuprint.element-totals.{element.name}.compute-kind-totals-for-column",
            )
        for value in sorted(row[0] for row in kinds):
            yield (
                Count(f"elements {number} {value}", value, value, is_kind=True),
                f"CAST({column} AS VARCHAR) = {literal(value)}",
            )


def _element_parts(scope: Scope, regions: Regions, number: int, element: ElementScope) -> Iterator[str]:
    counted = list(_element_counts(scope, number, element))
    if counted:
        columns = ", ".join(f"{_number(condition)} AS {identifier(count.column)}" for count, condition in counted)
        any_of = " OR ".join(f"({condition})" for _, condition in counted)
        yield f"""
            SELECT body, {COMBO} + {regions.offsets[element.name]} AS {COMBO}, {columns}
            FROM {element.points} WHERE {any_of} GROUP BY body, {COMBO}
        """
