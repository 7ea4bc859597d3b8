"""The reports of a set beside each other: how much is captured down to each status."""

from collections.abc import Mapping, Sequence

import pandas as pd

from tests.oracle.annotations import STATUSES
from tests.oracle.reports_numbers import FRACTIONS, Scope

# Statuses better than '', best first.
GOOD = list(reversed(list(STATUSES)[list(STATUSES).index("") + 1 :]))


def counts_of(scopes: Mapping[str, Scope]) -> pd.DataFrame:
    """Per report, all T-bars and PSDs in its ROIs, whatever becomes of them."""
    rows = []
    for name, scope in scopes.items():
        kind = scope.raw["kind"].astype(object)
        rows.append((name, float((kind == "PostSyn").sum()), float((kind == "PreSyn").sum())))
    return pd.DataFrame(rows, columns=["name", "PostSyn", "PreSyn"])


def status_stats(connections: pd.DataFrame) -> dict[str, list[float]]:
    """By status better than '': the four fractions of the last connection whose worse end has this status."""
    last = connections.astype({"status": object}).drop_duplicates("status", keep="last").set_index("status")
    return {status: [float(last.loc[status, f]) for f in FRACTIONS] for status in GOOD if status in last.index}


def seen_statuses(reports: Mapping[str, dict[str, list[float]]]) -> list[str]:
    """Statuses that any report has, best first."""
    return [status for status in GOOD if any(status in own for own in reports.values())]


def set_stats(reports: Mapping[str, dict[str, list[float]]], statuses: Sequence[str]) -> pd.DataFrame:
    """Every report with every status; where it has none of a status, what it had at the next better one, else 0."""
    rows = []
    for name, own in reports.items():
        values = [0.0] * len(FRACTIONS)
        for status in statuses:
            values = own.get(status, values)
            rows.append((status, *values, name))
    table = pd.DataFrame(rows, columns=["status", *FRACTIONS, "name"])
    return table.astype({"status": object, "name": object} | dict.fromkeys(FRACTIONS, "float64"))


def group_tables(
    stats: pd.DataFrame, statuses: Sequence[str], counts: pd.DataFrame, names: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """For each fraction two tables, a row per report: the fraction down to each status, and each status' own share."""
    tables = {}
    for fraction in FRACTIONS:
        rows: list[list[object]] = []
        shares: list[list[object]] = []
        for index, name in enumerate(names):
            own = stats[stats["name"] == name].set_index("status")[fraction]
            down_to = [own[status] for status in statuses]
            total = counts.set_index("name").loc[name]
            rest = [total["PostSyn"], total["PreSyn"], index]
            rows.append([name, *down_to, *rest])
            shares.append([name, *(v - before for v, before in zip(down_to, [0.0, *down_to], strict=False)), *rest])
        columns = ["name", *statuses, "PostSyn", "PreSyn", "report_index"]
        tables[f"cumulative-{fraction}"] = pd.DataFrame(rows, columns=columns)
        tables[fraction] = pd.DataFrame(shares, columns=columns)
    return tables
