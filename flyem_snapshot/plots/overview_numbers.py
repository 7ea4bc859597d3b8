"""The few numbers of each report that the overview page shows; curves are let go of once these are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from flyem_snapshot.connectome.report_tables import Report, ReportSet

STATS: Final = ("traced_presyn_frac", "traced_postsyn_frac", "traced_conn_frac")
"""The captured shares that the page shows: of T-bars, of PSDs, of connections with both ends."""

_SIDE: Final = re.compile(r"(.*)\(([LR])\)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Region:
    """One report in numbers.

    `captured` maps each of STATS to its share (0 to 1) once all captured bodies are traced; None without statuses.
    `by_status` maps each status, best first, to its part of the captured connections.
    """

    name: str
    slug: str
    rois: tuple[str, ...]
    bodies: int
    presyn: int
    postsyn: int
    connections: int
    captured: Mapping[str, float] | None
    by_status: Mapping[str, float]
    has_capture: bool
    has_status: bool


@dataclass(frozen=True)
class SidePair:
    """A region that exists on both sides."""

    base: str
    left: Region
    right: Region


@dataclass(frozen=True)
class Headline:
    """The largest numbers of a set, and what they count: all regions, or the largest of them."""

    about: str
    presyn: int
    postsyn: int
    connections: int
    captured: float | None


def regions(report_set: ReportSet) -> list[Region]:
    """The reports of a set in numbers, in their order."""
    return [_region(report, report_set) for report in report_set.reports]


def _region(report: Report, report_set: ReportSet) -> Region:
    captured = None
    by_status: dict[str, float] = {}
    if report.has_status:
        captured = captured_shares(report.curve, report_set.capture_statuses)
        statuses = report_set.summaries[0].statuses if report_set.summaries else report_set.capture_statuses
        by_status = status_shares(report.curve, statuses)
    return Region(
        name=report.name,
        slug=report.slug,
        rois=report.rois,
        bodies=report.bodies,
        presyn=report.presyn,
        postsyn=report.postsyn,
        connections=report.connections,
        captured=captured,
        by_status=by_status,
        has_capture=report.capture is not None,
        has_status=report.has_status,
    )


def captured_shares(curve: pd.DataFrame, statuses: Iterable[str]) -> dict[str, float]:
    """What is traced at the last body of one of these statuses; 0 if there is none."""
    rows = curve.loc[curve["status"].isin(list(statuses)), list(STATS)]
    return {stat: float(rows[stat].iloc[-1]) if len(rows) else 0.0 for stat in STATS}


def status_shares(curve: pd.DataFrame, statuses: Sequence[str]) -> dict[str, float]:
    """How much each of these statuses, best first, adds to the connections with both ends traced."""
    last = curve.groupby(curve["status"].astype("object"), sort=False)["traced_conn_frac"].last()
    shares, reached = {}, 0.0
    for status in statuses:
        now = max(reached, float(last.get(status, reached)))
        shares[status] = now - reached
        reached = now
    return shares


def headline(found: Sequence[Region]) -> Headline | None:
    """The numbers of a set: summed if no region is counted twice, else those of its largest report."""
    if not found:
        return None
    rois = [roi for region in found for roi in region.rois]
    if len(found) > 1 and all(region.rois for region in found) and len(rois) == len(set(rois)):
        connections = sum(region.connections for region in found)
        shares = [region.captured["traced_conn_frac"] * region.connections for region in found if region.captured]
        return Headline(
            f"{len(found)} reports together",
            sum(region.presyn for region in found),
            sum(region.postsyn for region in found),
            connections,
            sum(shares) / connections if len(shares) == len(found) and connections else None,
        )
    largest = max(found, key=lambda region: (region.postsyn, region.presyn))
    captured = largest.captured["traced_conn_frac"] if largest.captured else None
    return Headline(largest.name, largest.presyn, largest.postsyn, largest.connections, captured)


def side_pairs(found: Sequence[Region]) -> list[SidePair]:
    """Regions whose names differ only in (L) and (R), where captured shares are known on both sides."""
    sides: dict[str, dict[str, Region]] = {}
    for region in found:
        match = _SIDE.fullmatch(region.name)
        if match and region.captured is not None:
            sides.setdefault(match[1] + match[3], {}).setdefault(match[2], region)
    return [SidePair(base, pair["L"], pair["R"]) for base, pair in sides.items() if len(pair) == 2]
