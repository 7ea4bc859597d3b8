"""What each report of a set is about: its ROIs, looked up, and the bodies that matter besides those with synapses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flyem_snapshot.connectome.completeness import Int8Array
from flyem_snapshot.connectome.report_counts import (
    Int64Array,
    ReportCounts,
    Selection,
    count_connections,
    count_sites,
    roi_places,
)
from flyem_snapshot.connectome.rois import listed_rois
from flyem_snapshot.connectome.status import STATUS_ORDER
from flyem_snapshot.engine.sql import identifier, literals
from flyem_snapshot.errors import DataError
from flyem_snapshot.outputs.reports.check import unknown_roi
from flyem_snapshot.outputs.reports.settings import ReportSetSettings
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.bodies import BodyAnnotations
from flyem_snapshot.tables.elements import Elements
from flyem_snapshot.tables.rois import COMBO, UNSPECIFIED, AssignedSet, RoiSets
from flyem_snapshot.tables.synapses import Synapses

_NO_STATUS = STATUS_ORDER.index("")


@dataclass(frozen=True)
class About:
    """One report: its name, and its ROIs (none: everything)."""

    name: str
    rois: tuple[str, ...]
    selection: Selection


@dataclass(frozen=True)
class Chosen:
    """The reports of a set, and what is known of bodies."""

    settings: ReportSetSettings
    assigned: AssignedSet
    reports: Sequence[About]
    annotations: BodyAnnotations | None
    elements: Elements | None

    @property
    def has_status(self) -> bool:
        """Whether any body has a status."""
        return self.annotations is not None and self.annotations.has_status

    @cached_property
    def annotated(self) -> tuple[Int64Array, Int8Array]:
        """The annotated bodies but body 0, ascending, and the place of each one's status in STATUS_ORDER."""
        if self.annotations is None:
            return np.empty(0, np.int64), np.empty(0, np.int8)
        bodies = self.annotations.frame.index.to_numpy()
        codes = self.annotations.status.cat.codes.to_numpy()
        order = np.argsort(bodies)
        order = order[bodies[order] != 0]
        # A body without a status has the empty one.
        return bodies[order], np.where(codes < 0, _NO_STATUS, codes)[order].astype(np.int8)

    @cached_property
    def captured_bodies(self) -> Int64Array:
        """The bodies that count as captured."""
        if self.annotations is None:
            return np.empty(0, np.int64)
        status = self.annotations.status
        bodies = status.index[status.isin(self.settings.capture_statuses)].to_numpy()
        captured: Int64Array = bodies[bodies != 0]
        return captured

    def status_of(self, bodies: Int64Array) -> Int8Array:
        """The status of each body, as its place in STATUS_ORDER."""
        known, status = self.annotated
        found = np.full(len(bodies), _NO_STATUS, np.int8)
        if len(known):
            place = np.minimum(np.searchsorted(known, bodies), len(known) - 1)
            here = known[place] == bodies
            found[here] = status[place[here]]
        return found

    def count(self, ctx: Context) -> tuple[ReportCounts, list[tuple[int, int]]]:
        """Count the connections of all reports, and the T-bars and PSDs of each."""
        selections = [report.selection for report in self.reports]
        folder = ctx.scratch / self.settings.roiset
        counts = count_connections(ctx.engine, self.assigned, selections, self.annotated[0], folder)
        return counts, count_sites(ctx.engine, selections)

    def extra_bodies(self, ctx: Context, counts: ReportCounts, number: int) -> Int64Array:
        """The annotated bodies that a report ranks even if none of its connections is theirs.

        A body with a T-bar or PSD in the ROIs is always among them: it is a synaptic body, even if the other ends of
        all these connections lie elsewhere.
        """
        report = self.reports[number]
        which = self.settings.reports[number].non_synaptic_bodies or self.settings.non_synaptic_bodies
        annotated = self.annotated[0]
        if which == "all":
            return annotated
        synaptic = counts.annotated_with_points(report.selection)
        if which == "none":
            return synaptic
        found: Int64Array = np.union1d(synaptic, np.intersect1d(annotated, self._with_elements(ctx, report.rois)))
        return found

    def _with_elements(self, ctx: Context, rois: tuple[str, ...]) -> Int64Array:
        """The bodies with an element in some of these ROIs, or in any ROI of the set."""
        found = [np.empty(0, np.int64)]
        for entry in self.elements.sets.values() if self.elements is not None else ():
            if entry.num_points is not None and self.settings.roiset in entry.rois:
                assigned = entry.rois[self.settings.roiset]
                combos = _combinations(assigned, rois) if rois else assigned.inside()
                if combos:
                    statement = f"""
                        SELECT DISTINCT body FROM {identifier(entry.points_view)}
                        WHERE {COMBO} IN ({literals(combos)})
                    """
                    found.append(ctx.engine.table(statement)["body"].to_numpy())
        bodies: Int64Array = np.concatenate(found)
        return bodies


def choose(
    settings: ReportSetSettings,
    ctx: Context,
    synapses: Synapses,
    annotations: BodyAnnotations | None,
    elements: Elements | None,
    rois: RoiSets | None,
) -> Chosen:
    """Look up the ROIs of all reports; DataError if the set has no such ROI, by definition or in the data."""
    assigned = synapses.rois[settings.roiset]
    defined = [listed_rois(s) or () for s in (rois.sets if rois is not None else ()) if s.name == settings.roiset]
    known = dict.fromkeys([*(name for names in defined for name in names), *assigned.categories, UNSPECIFIED])
    names = tuple(sorted(assigned.categories))
    reports, errors = [], []
    for report in settings.reports:
        for roi in report.rois:
            if roi not in known:
                message, hint = unknown_roi(roi, settings.roiset, known)
                errors.append(DataError(f"report '{settings.name_of(report)}': {message}", hint=hint))
        places = roi_places(names, report.rois) if report.rois else None
        reports.append(About(settings.name_of(report), report.rois, Selection(places, settings.roi_rule)))
    if errors:
        raise DataError.all_of(errors)
    return Chosen(settings, assigned, reports, annotations, elements)


def _combinations(assigned: AssignedSet, rois: Sequence[str]) -> list[int]:
    """The combinations of an element table that lie in some of these ROIs."""
    places: Any = [place for place, name in enumerate(assigned.categories) if name in rois]
    return [int(combo) for combo in np.flatnonzero(np.isin(assigned.names, places))]
