"""The plots of one report set: a curve and a histogram for each report, stacked bars for each group of reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flyem_snapshot.connectome.report_tables import Links, Report, ReportSet, Summary
from flyem_snapshot.plots.bars import MEASURES, stacked_bars
from flyem_snapshot.plots.capture import capture_histogram, worst_status
from flyem_snapshot.plots.curves import cumulative_curves, hover_rows, sampled
from flyem_snapshot.plots.files import Plot, PlotlyJs, plot_files, write_plots
from flyem_snapshot.plots.neuroglancer import BodyLinks, body_links

if TYPE_CHECKING:
    from flyem_snapshot.engine.outdir import OutputDir
    from flyem_snapshot.plots.overview_numbers import Region


def draw_report_set(
    out: OutputDir, report_set: ReportSet, tag: str, links: Links | None = None, plotly_js: PlotlyJs = "file"
) -> None:
    """Write all plots of a report set below `reports/<roiset>/`, each as a page and as a picture.

    Within `with one_browser():` several sets share one browser, and without a browser there is one warning for all.
    """
    write_plots(out, list(report_set_plots(report_set, tag, links)), plotly_js)


def report_set_plots(report_set: ReportSet, tag: str, links: Links | None = None) -> Iterator[Plot]:
    """The plots of a report set, in the order of its reports and then of its groups."""
    bodies = body_links(links)
    for report in report_set.reports:
        yield curve_plot(report_set, report, tag, bodies)
        if report.capture is not None:
            yield capture_plot(report_set, report, tag)
    for summary in report_set.summaries:
        for measure in MEASURES:
            yield summary_plot(report_set, summary, measure, tag, by_total=False)
            yield summary_plot(report_set, summary, measure, tag, by_total=True)


def curve_plot(report_set: ReportSet, report: Report, tag: str, links: BodyLinks | None = None) -> Plot:
    """`<n>-cumulative-connectivity-with-links-<tag>`; without statuses `<n>-cumulative-connectivity-<tag>`."""
    curve = sampled(report.curve)
    return Plot(
        cumulative_curves(report, curve, tag),
        *_curve_place(report_set, report, tag),
        f"{report.name}: cumulative connectivity ({tag})",
        rows=hover_rows(curve),
        links=links if report.has_status else None,
    )


def capture_plot(report_set: ReportSet, report: Report, tag: str) -> Plot:
    """`<n>-downstream-capture-<tag>`, of a report that has a capture table."""
    assert report.capture is not None
    title = f"{report.name}: Downstream capture, {worst_status(report_set.capture_statuses)} or better ({tag})"
    return Plot(
        capture_histogram(report.capture["capture_frac"], title), *_capture_place(report_set, report, tag), title
    )


def summary_plot(report_set: ReportSet, summary: Summary, measure: str, tag: str, *, by_total: bool) -> Plot:
    """`<group>-captured-<measure>-by-status-and-roi[-sorted]`; `measure` is one of MEASURES."""
    title = f"{summary.group} captured {measure} by status and roi" + (", sorted" if by_total else "")
    figure, rows = stacked_bars(summary, measure, f"{title} ({tag})", by_total=by_total)
    place = _summary_place(report_set, summary.slug, measure, by_total=by_total)
    return Plot(figure, *place, f"{title} ({tag})", rows=rows)


def curve_files(report_set: ReportSet, report: Report | Region, tag: str) -> tuple[str, str]:
    """Where the page and the picture of a report's curve lie, below the output directory."""
    return plot_files(*_curve_place(report_set, report, tag))


def capture_files(report_set: ReportSet, report: Report | Region, tag: str) -> tuple[str, str]:
    """Where the page and the picture of a report's histogram lie."""
    return plot_files(*_capture_place(report_set, report, tag))


def summary_files(report_set: ReportSet, slug: str, measure: str, *, by_total: bool) -> tuple[str, str]:
    """Where the page and the picture of a group's bars lie."""
    return plot_files(*_summary_place(report_set, slug, measure, by_total=by_total))


def _curve_place(report_set: ReportSet, report: Report | Region, tag: str) -> tuple[str, str]:
    kind = "cumulative-connectivity-with-links" if report.has_status else "cumulative-connectivity"
    return f"reports/{report_set.roiset}/reports/{report.slug}", f"{report.slug}-{kind}-{tag}"


def _capture_place(report_set: ReportSet, report: Report | Region, tag: str) -> tuple[str, str]:
    return f"reports/{report_set.roiset}/reports/{report.slug}", f"{report.slug}-downstream-capture-{tag}"


def _summary_place(report_set: ReportSet, slug: str, measure: str, *, by_total: bool) -> tuple[str, str]:
    name = f"{slug.lower()}-captured-{measure}-by-status-and-roi" + ("-sorted" if by_total else "")
    return f"reports/{report_set.roiset}/{slug}", name
