"""What would make reports fail or come out empty, found from the settings before anything is read."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from flyem_snapshot.config.suggest import closest
from flyem_snapshot.connectome.rois import listed_rois
from flyem_snapshot.errors import DataError, Problem
from flyem_snapshot.outputs.reports.settings import ReportSetSettings
from flyem_snapshot.tables.rois import UNSPECIFIED

logger = logging.getLogger(__name__)


def check_reports(config: Sequence[ReportSetSettings], whole: Any) -> list[Problem]:
    """ROIs that their set does not have, reports of one name, groups of reports that do not exist."""
    rois = _known(whole)
    found: list[Problem] = []
    for number, entry in enumerate(config):
        earlier = [other.roiset for other in config[:number]]
        of_entry = [*_of_set(entry, earlier), *_names(entry), *_rois(entry, rois.get(entry.roiset))]
        found += [Problem((number, *problem.path), problem.message, problem.hint) for problem in of_entry]
    return found


def unknown_roi(name: str, roiset: str, known: Collection[str]) -> tuple[str, str]:
    """What to say of a ROI that a roi-set does not have, and a hint."""
    named = [roi for roi in known if roi != UNSPECIFIED]
    similar = closest(name, named)
    hint = f"did you mean '{similar}'?" if similar else f"it has: {', '.join(named) or 'none'}"
    return f"roi-set '{roiset}' has no ROI '{name}'", hint


def _known(whole: Any) -> dict[str, tuple[str, ...] | None]:
    """The ROIs of each roi-set; None where only the tables know them."""
    section = getattr(whole.inputs, "rois", None)
    try:
        defined = section.defined().sets if section is not None else ()
    except DataError:  # the stage that defines them tells of that
        return {}
    return {roi_set.name: listed_rois(roi_set) for roi_set in defined}


def _of_set(entry: ReportSetSettings, earlier: Sequence[str]) -> Iterator[Problem]:
    if entry.roiset in earlier:
        hint = "put all its reports into one entry: they share a folder"
        yield Problem(("roiset",), f"'{entry.roiset}' has an entry already", hint)
    if entry.roiset.startswith("."):
        yield Problem(("roiset",), f"becomes the name of a folder, so it must not begin with '.', as '{entry.roiset}'")
    if not entry.reports:
        logger.warning("outputs.connectivity-reports: the entry for '%s' lists no report", entry.roiset)


def _names(entry: ReportSetSettings) -> Iterator[Problem]:
    names = [entry.name_of(report) for report in entry.reports]
    for number, name in enumerate(names):
        if name in names[:number]:
            field = ("name",) if entry.reports[number].name is not None else ()
            yield Problem(
                ("reports", number, *field), f"an earlier report is called '{name}', too", "give it another name"
            )
    for group, members in entry.capture_summary_subsets.items():
        path = ("capture-summary-subsets", group)
        if not members:
            yield Problem(path, "names no report", "name some, or remove it")
        for number, name in enumerate(members):
            if name not in names:
                similar = closest(name, names)
                hint = f"did you mean '{similar}'?" if similar else f"the reports are: {', '.join(names)}"
                yield Problem((*path, number), f"there is no report '{name}'", hint)
            elif name in members[:number]:
                yield Problem((*path, number), f"'{name}' is listed twice")


def _rois(entry: ReportSetSettings, known: tuple[str, ...] | None) -> Iterator[Problem]:
    if known is None:
        return
    for number, report in enumerate(entry.reports):
        for index, roi in enumerate(report.rois):
            if roi not in known and roi != UNSPECIFIED:
                yield Problem(("reports", number, "rois", index), *unknown_roi(roi, entry.roiset, known))
