"""What a connectivity report found, as body-scale tables: what the reports' files and plots are made of.

Every fraction lies between 0 and 1.  A status is the annotation's own (`Roughly traced`), `""` where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

FRACTIONS = ("traced_presyn_frac", "traced_postsyn_frac", "traced_synweight_frac", "traced_conn_frac")


@dataclass(frozen=True)
class Report:
    """One report.

    `slug` is its name as a file name.  `rois` are the ROIs that it is about, empty for everything.  `presyn` and
    `postsyn` count all T-bars and PSDs in these ROIs (which also give bars their thickness); `connections` are the
    partner rows under the set's roi-rule, `bodies` the ranked bodies.

    `curve` has a row for each rank that is the max_rank of some connection, ascending:

        rank                     int64     bodies 1..rank are traced
        body                     int64     the body of that rank
        status                   category  of that body (the ordered one of connectome.status, or text)
        presyn, postsyn, synweight  int64  of that body
        traced_presyn_frac, traced_postsyn_frac, traced_synweight_frac, traced_conn_frac  float64

    `capture` has a row for each captured body that is upstream of any PSD in the ROIs, by body; None if no statuses are
    known, or nothing is captured on one of the sides:

        body_pre int64; captured, not_captured, downstream int32; presyn int32; capture_frac float32
    """

    name: str
    slug: str
    rois: tuple[str, ...]
    bodies: int
    presyn: int
    postsyn: int
    connections: int
    curve: pd.DataFrame
    capture: pd.DataFrame | None
    has_status: bool


@dataclass(frozen=True)
class Summary:
    """The reports of a group beside each other; see outputs section 7.4.

    `cumulative` and `by_status` map each of FRACTIONS to a table with a row for each report, in the group's order:
    name (text), the statuses, best first (float64), PostSyn, PreSyn (float64), report_index (int64).
    """

    group: str
    slug: str
    statuses: tuple[str, ...]
    cumulative: Mapping[str, pd.DataFrame]
    by_status: Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class ReportSet:
    """All reports on one roi-set; `summaries` is empty if no status is known."""

    roiset: str
    reports: Sequence[Report]
    summaries: Sequence[Summary]
    capture_statuses: tuple[str, ...]


@dataclass(frozen=True)
class Links:
    """Where a click on a body leads: a neuroglancer state as a JSON object, and the host that shows it."""

    state: Mapping[str, object]
    host: str
