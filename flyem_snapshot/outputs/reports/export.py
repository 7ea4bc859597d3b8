"""The connectivity reports of every report set: tables first, then the plots that are made from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
import pyarrow as pa

from flyem_snapshot.connectome.completeness import (
    ConnectionTable,
    Forecast,
    RankedBodies,
    capture_table,
    forecast,
    rank_bodies,
)
from flyem_snapshot.connectome.report_counts import RANKS, Flags, ReportCounts, Selection, forget_connections
from flyem_snapshot.connectome.report_tables import Report, ReportSet
from flyem_snapshot.engine.streams import tracked, write_feather
from flyem_snapshot.log import prefixed, timed
from flyem_snapshot.outputs.reports.facts import facts_of
from flyem_snapshot.outputs.reports.links import links_to
from flyem_snapshot.outputs.reports.select import Chosen, choose
from flyem_snapshot.outputs.reports.settings import ReportSetSettings
from flyem_snapshot.outputs.reports.slugs import unique_slugs
from flyem_snapshot.outputs.reports.summaries import status_stats, summarised, synapse_counts, write_summaries
from flyem_snapshot.plots.files import write_plots
from flyem_snapshot.plots.neurotransmitters import neurotransmitter_plots
from flyem_snapshot.plots.overview import write_overview
from flyem_snapshot.plots.reports import draw_report_set
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.bodies import BodyAnnotations
from flyem_snapshot.tables.elements import Elements
from flyem_snapshot.tables.neurotransmitters import Neurotransmitters
from flyem_snapshot.tables.rois import RoiSets
from flyem_snapshot.tables.synapses import PARTNERS, Synapses

FOLDER = "reports"


def export_reports(
    config: Sequence[ReportSetSettings],
    ctx: Context,
    *,
    synapses: Synapses,
    annotations: BodyAnnotations | None,
    elements: Elements | None,
    rois: RoiSets | None,
    neurotransmitters: Neurotransmitters | None,
) -> None:
    """Write every file of `reports/` except the plot of status counts.

    The overview page also shows how good predicted neurotransmitters are, if there are any with ground truth.
    Every ROI of every set is looked up before anything is counted: DataError for an unknown one.
    """
    chosen = [choose(entry, ctx, synapses, annotations, elements, rois) for entry in config]
    report_sets = []
    on_body_0 = ctx.engine.scalar(f"SELECT count(*) FROM {PARTNERS} WHERE body_pre = 0 OR body_post = 0")
    ctx.exclusions.add("synapse partners", "on body 0, which is no body", on_body_0)
    for one in chosen:
        with prefixed(one.settings.roiset):
            report_set = _export_set(ctx, one)
            links = links_to(one.settings.neuroglancer_base_state, one.settings.neuroglancer_host)
            with timed("plots"):
                draw_report_set(ctx.out, report_set, ctx.tag, links, one.settings.plotly_js)
        report_sets.append(report_set)
    transmitters = []
    if neurotransmitters is not None and report_sets:
        found = (neurotransmitters.bodies, neurotransmitters.confusion)
        transmitters = neurotransmitter_plots(f"{FOLDER}/neurotransmitters", *found, ctx.tag)
        write_plots(ctx.out, transmitters, config[0].plotly_js)
    write_overview(ctx.out, report_sets, facts_of(ctx, synapses, annotations, config), transmitters)


def _export_set(ctx: Context, chosen: Chosen) -> ReportSet:
    settings, folder = chosen.settings, f"{FOLDER}/{chosen.settings.roiset}"
    with timed("counting connections"):
        counts, sites = chosen.count(ctx)
    slugs = unique_slugs([report.name for report in chosen.reports])
    reports = []
    for number, slug in enumerate(slugs):
        with prefixed(chosen.reports[number].name), timed("report"):
            reports.append(_Export(ctx, chosen, counts, number, slug).report(*sites[number]))
    forget_connections(ctx.engine)
    synapses = synapse_counts(reports)
    ctx.out.feather_from_pandas(f"{folder}/{settings.roiset}-all-syncounts.feather", synapses)
    summaries = []
    if chosen.has_status:
        stats = status_stats(reports)
        ctx.out.feather_from_pandas(f"{folder}/{settings.roiset}-all-status-stats.feather", stats)
        text = stats.to_csv(index=False, lineterminator="\n")
        ctx.out.write_text(f"{folder}/{settings.roiset}-all-status-stats.csv", text)
        groups: dict[str, Sequence[str]] = {settings.roiset: [report.name for report in reports]}
        groups |= {name: names for name, names in settings.capture_summary_subsets.items() if name not in groups}
        # `reports` is the folder of the single reports.
        group_slugs = unique_slugs(list(groups), taken=["reports"])
        summaries = list(summarised(groups, group_slugs, stats, synapses))
        write_summaries(ctx.out, folder, summaries)
        # Bars need at least one status.
        summaries = [summary for summary in summaries if summary.statuses]
    return ReportSet(settings.roiset, reports, summaries, settings.capture_statuses)


@dataclass(frozen=True)
class _Export:
    """One report and where it is written."""

    ctx: Context
    chosen: Chosen
    counts: ReportCounts
    number: int
    slug: str

    @property
    def selection(self) -> Selection:
        """Which connections the report is about."""
        return self.chosen.reports[self.number].selection

    def report(self, presyn: int, postsyn: int) -> Report:
        """Write the tables; returns what the plots are made from.

        `presyn` and `postsyn` are the numbers of T-bars and PSDs in the ROIs.
        """
        settings, about = self.chosen.settings, self.chosen.reports[self.number]
        extra, status = self._extra(), self.chosen.status_of(self.counts.bodies)
        bodies = rank_bodies(self.counts, self.selection, status, extra)
        self._write("syn_counts_df", bodies.batches())
        result = forecast(self.counts, self.selection, bodies, settings.stop_at_rank)
        curve = result.curve()
        self._write_frame("curve", curve)
        self._tell_of_exclusions(bodies, result)
        if settings.write_connection_table:
            self._write_connections(result)
        capture = None
        if self.chosen.has_status:
            capture = capture_table(self.counts, self.selection, self._captured())
            if capture is not None:
                self._write_frame("downstream-capture", capture)
        return Report(
            name=about.name,
            slug=self.slug,
            rois=about.rois,
            bodies=len(bodies),
            presyn=presyn,
            postsyn=postsyn,
            connections=bodies.connections,
            curve=curve,
            capture=capture,
            has_status=self.chosen.has_status,
        )

    def _extra(self) -> Flags:
        """The bodies that are ranked although they have no connection in the report."""
        return np.isin(self.counts.bodies, self.chosen.extra_bodies(self.ctx, self.counts, self.number))

    def _captured(self) -> Flags:
        return np.isin(self.counts.bodies, self.chosen.captured_bodies)

    def _write_connections(self, result: Forecast) -> None:
        last = len(result.first) - 1
        statement, ranks = self.counts.ranked_connections(self.selection, result.bodies.body[:last])
        engine, rows = self.ctx.engine, int(result.connections.sum())
        with engine.registered(**{RANKS: ranks}), engine.stream(statement) as stream:
            self._write("conn_df", ConnectionTable(result).batches(tracked(stream, "connections", rows)))

    def _tell_of_exclusions(self, bodies: RankedBodies, result: Forecast) -> None:
        name, beyond = self.chosen.reports[self.number].name, int(self.chosen.settings.stop_at_rank)
        if self.selection.needs_tbars:
            outside = self.counts.connections_by_psd(self.selection) - bodies.connections
            reason = "the T-bar lies outside the report's ROIs (roi-rule: both-ends)"
            self.ctx.exclusions.add(f"connections of report '{name}'", reason, outside)
        left = bodies.connections - int(result.connections.sum())
        self.ctx.exclusions.add(f"curve of report '{name}'", f"a body ranks beyond stop-at-rank ({beyond:,})", left)

    def _write(self, kind: str, batches: Iterable[pa.RecordBatch]) -> None:
        """Write one table of the report: `<n>-<kind>-<tag>.feather`."""
        relative, stream = self._path(kind), iter(batches)
        first = next(stream)
        with self.ctx.out.create(relative) as path:
            rows = write_feather(path, first.schema, chain([first], stream))
        self.ctx.out.set_rows(relative, rows)

    def _write_frame(self, kind: str, frame: pd.DataFrame) -> None:
        self.ctx.out.feather_from_pandas(self._path(kind), frame)

    def _path(self, kind: str) -> str:
        folder = f"{FOLDER}/{self.chosen.settings.roiset}/reports/{self.slug}"
        return f"{folder}/{self.slug}-{kind}-{self.ctx.tag}.feather"
