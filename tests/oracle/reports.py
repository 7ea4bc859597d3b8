"""Every table of the connectivity reports, by its file."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from tests.oracle.annotations import STATUSES
from tests.oracle.config import Config
from tests.oracle.load import Inputs
from tests.oracle.reports_numbers import Scope, bodies_of, capture_of, connections_of, curve_of, scope_of
from tests.oracle.reports_summaries import counts_of, group_tables, seen_statuses, set_stats, status_stats

CAPTURED = list(STATUSES)[list(STATUSES).index("Sensory Anchor") :]


@dataclass(frozen=True)
class Report:
    """One report and its tables; `connections` is there whether it is written or not."""

    name: str
    scope: Scope
    bodies: pd.DataFrame
    connections: pd.DataFrame
    curve: pd.DataFrame
    capture: pd.DataFrame | None


def slug(name: str) -> str:
    """A report's or group's name in file names.  Only for names that are safe but for blanks."""
    assert not set(name) & set('/\\:*?"<>|&%'), "the oracle knows no rule for such names"
    return name.replace(" ", "-")


def report_name(spec: dict[str, Any], config: Config) -> str:
    """The given name, else the ROIs joined, else the zone, else `all`."""
    return spec.get("name") or "-".join(spec.get("rois") or []) or config.get("inputs.synapses.zone", "") or "all"


def report_of(inputs: Inputs, report_set: dict[str, Any], spec: dict[str, Any]) -> Report:
    """All tables of one report."""
    scope = scope_of(
        inputs,
        report_set["roiset"],
        spec.get("rois") or [],
        report_set.get("roi-rule", "both-ends"),
        spec.get("non-synaptic-bodies") or report_set.get("non-synaptic-bodies") or "element-presence",
    )
    bodies = bodies_of(scope)
    connections = connections_of(scope, bodies, report_set.get("stop-at-rank", 1e6))
    capture = capture_of(scope, report_set.get("capture-statuses", CAPTURED))
    return Report(report_name(spec, inputs.config), scope, bodies, connections, curve_of(connections), capture)


def outputs(inputs: Inputs) -> dict[str, pd.DataFrame]:
    """The tables of all report sets, by path below `reports/`."""
    tables = {}
    for report_set in inputs.config.get("outputs.connectivity-reports", []):
        tables.update(set_outputs(inputs, report_set))
    return tables


def set_outputs(inputs: Inputs, report_set: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """The tables of one set of reports."""
    tag, roiset = inputs.config.get("job-settings.snapshot-tag", ""), report_set["roiset"]
    reports = [report_of(inputs, report_set, spec) for spec in report_set.get("reports") or []]
    tables = {}
    for report in reports:
        stem = f"{roiset}/reports/{slug(report.name)}/{slug(report.name)}"
        tables[f"{stem}-syn_counts_df-{tag}.feather"] = report.bodies
        tables[f"{stem}-curve-{tag}.feather"] = report.curve
        if report_set.get("write-connection-table", True):
            tables[f"{stem}-conn_df-{tag}.feather"] = report.connections
        if report.capture is not None:
            tables[f"{stem}-downstream-capture-{tag}.feather"] = report.capture
    counts = counts_of({r.name: r.scope for r in reports})
    tables[f"{roiset}/{roiset}-all-syncounts.feather"] = counts
    if inputs.annotations is None or inputs.annotations["status"].isna().all():
        return tables  # no status is known
    own = {r.name: status_stats(r.connections) for r in reports}
    statuses = seen_statuses(own)
    stats = set_stats(own, statuses)
    tables[f"{roiset}/{roiset}-all-status-stats.feather"] = stats
    tables[f"{roiset}/{roiset}-all-status-stats.csv"] = stats
    for group, names in {roiset: list(own), **(report_set.get("capture-summary-subsets") or {})}.items():
        for stem, table in group_tables(stats, statuses, counts, names).items():
            tables[f"{roiset}/{slug(group)}/csv/{slug(group)}-{stem}-by-status.csv"] = table
    return tables
