"""The page that shows all reports of a run together, `reports/index.html`.

It is one file without any network: numbers and tables are in it, pictures and plots lie beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flyem_snapshot.connectome.report_tables import ReportSet
from flyem_snapshot.plots.bars import MEASURES
from flyem_snapshot.plots.facts import Facts
from flyem_snapshot.plots.files import Plot, render
from flyem_snapshot.plots.overview_numbers import Headline, Region, SidePair, headline, regions, side_pairs
from flyem_snapshot.plots.palette import shades, shown
from flyem_snapshot.plots.reports import capture_files, curve_files, summary_files

if TYPE_CHECKING:
    from flyem_snapshot.engine.outdir import OutputDir

_PAGE = "reports/index.html"


@dataclass(frozen=True)
class _Card:
    """A plot on the page: its caption, the address of its page and of its picture if there is one, another order."""

    caption: str
    page: str
    picture: str
    other: str = ""


@dataclass(frozen=True)
class _Section:
    """One report set on the page."""

    roiset: str
    anchor: str
    headline: Headline | None
    regions: Sequence[Region]
    pages: dict[str, str]
    pairs: Sequence[SidePair]
    statuses: Sequence[tuple[str, str]]
    summaries: Sequence[tuple[str, Sequence[_Card]]]
    cards: Sequence[_Card]
    captured: str


def write_overview(
    out: OutputDir, report_sets: Iterable[ReportSet], facts: Facts, transmitters: Sequence[Plot] = ()
) -> None:
    """Write `reports/index.html`, after the plots it shows; `transmitters` are those of neurotransmitters.

    Each set is read once and not kept, so `report_sets` may be a generator that forgets them.
    """
    sections = [_section(out, number, report_set, facts.tag) for number, report_set in enumerate(report_sets)]
    cards = [_card(out, plot.title, (plot.html, plot.png)) for plot in transmitters]
    page = render("overview.html", sections=sections, transmitters=cards, facts=facts, percent=_percent)
    out.write_text(_PAGE, page)


def _section(out: OutputDir, number: int, report_set: ReportSet, tag: str) -> _Section:
    found = regions(report_set)
    statuses = list(dict.fromkeys(status for region in found for status in region.by_status))
    seen = [status for status in statuses if any(region.by_status.get(status) for region in found)]
    return _Section(
        roiset=report_set.roiset,
        anchor=f"set-{number}",
        headline=headline(found),
        regions=found,
        pages={region.slug: _address(curve_files(report_set, region, tag)[0]) for region in found},
        pairs=side_pairs(found),
        statuses=[(status, _colour(status, report_set)) for status in seen],
        summaries=[
            (summary.group, [_summary_card(out, report_set, summary.slug, measure) for measure in MEASURES])
            for summary in report_set.summaries
        ],
        cards=list(_report_cards(out, report_set, found, tag)),
        captured=", ".join(shown(status) for status in seen if status in report_set.capture_statuses),
    )


def _colour(status: str, report_set: ReportSet) -> str:
    """Strong for what counts as captured, pale for the rest."""
    both = shades(status)
    return both.strong if status in report_set.capture_statuses else both.pale


def _summary_card(out: OutputDir, report_set: ReportSet, slug: str, measure: str) -> _Card:
    card = _card(out, f"captured {measure}", summary_files(report_set, slug, measure, by_total=True))
    unsorted, _ = summary_files(report_set, slug, measure, by_total=False)
    return replace(card, other=_address(unsorted))


def _report_cards(out: OutputDir, report_set: ReportSet, found: Sequence[Region], tag: str) -> Iterator[_Card]:
    for region in found:
        yield _card(out, f"{region.name}: cumulative connectivity", curve_files(report_set, region, tag))
        if region.has_capture:
            yield _card(out, f"{region.name}: downstream capture", capture_files(report_set, region, tag))


def _card(out: OutputDir, caption: str, files: tuple[str, str]) -> _Card:
    page, picture = files
    return _Card(caption, _address(page), _address(picture) if picture in out.written else "")


def _address(relative: str) -> str:
    """The address of a file of the output, as seen from the page."""
    return quote(relative.removeprefix("reports/"))


def _percent(share: Any) -> str:
    return "n/a" if share is None else f"{share:.1%}"
