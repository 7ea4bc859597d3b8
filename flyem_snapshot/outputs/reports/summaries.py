"""The reports of a set beside each other: what is traced once all bodies of a status, and of better ones, are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from flyem_snapshot.connectome.report_tables import FRACTIONS, Report, Summary
from flyem_snapshot.connectome.status import STATUS_ORDER
from flyem_snapshot.engine.outdir import OutputDir

_KNOWN = STATUS_ORDER[STATUS_ORDER.index("") + 1 :]
"""The statuses that say something for a body; the empty one and worse ones are not part of a summary."""


def synapse_counts(reports: Sequence[Report]) -> pd.DataFrame:
    """A row for each report: name (text), PostSyn, PreSyn (int64): the points in its ROIs, whatever their bodies."""
    rows = [(report.name, report.postsyn, report.presyn) for report in reports]
    frame = pd.DataFrame(rows, columns=["name", "PostSyn", "PreSyn"])
    return frame.astype({"name": "str", "PostSyn": "int64", "PreSyn": "int64"})


def status_stats(reports: Sequence[Report]) -> pd.DataFrame:
    """What is traced once all bodies of a status are, for each report and each status seen in any of them.

    status (text), traced_presyn_frac, traced_postsyn_frac, traced_synweight_frac, traced_conn_frac (float64), name
    (text); best status first.  A status that a report does not have repeats the next better one, or has 0.
    """
    # A curve is sorted by status, so the last row of a status is that of its last body.
    last = [report.curve.drop_duplicates("status", keep="last").set_index("status") for report in reports]
    seen = {str(status) for table in last for status in table.index}
    statuses = [status for status in reversed(_KNOWN) if status in seen]
    parts = [_of_report(report.name, table, statuses) for report, table in zip(reports, last, strict=True)]
    empty = pd.DataFrame({"status": [], **{name: [] for name in FRACTIONS}, "name": []})
    types = {"status": "str", **dict.fromkeys(FRACTIONS, "float64"), "name": "str"}
    return (pd.concat(parts, ignore_index=True) if parts else empty).astype(types)


def _of_report(name: str, last: pd.DataFrame, statuses: Sequence[str]) -> pd.DataFrame:
    """The rows of one report."""
    plain = last.set_axis(last.index.astype("str"))[list(FRACTIONS)]
    found = plain.reindex(list(statuses)).ffill().fillna(0.0)
    return found.rename_axis("status").reset_index().assign(name=name)


def summarised(
    groups: Mapping[str, Sequence[str]], slugs: Sequence[str], stats: pd.DataFrame, counts: pd.DataFrame
) -> Iterator[Summary]:
    """A summary of each group, which names its reports; without columns of statuses if none was seen."""
    statuses = tuple(dict.fromkeys(stats["status"]))
    sites = counts.set_index("name").astype("float64")
    for (group, names), slug in zip(groups.items(), slugs, strict=True):
        cumulative, by_status = {}, {}
        for fraction in FRACTIONS:
            wide = stats.set_index(["name", "status"])[fraction].unstack()  # noqa: PD010 - each pair occurs once
            shares = wide.reindex(index=list(names), columns=list(statuses))
            cumulative[fraction] = _table(shares, sites)
            by_status[fraction] = _table(shares - shares.shift(axis=1, fill_value=0.0), sites)
        yield Summary(group, slug, statuses, cumulative, by_status)


def _table(shares: pd.DataFrame, sites: pd.DataFrame) -> pd.DataFrame:
    """name, the statuses, PostSyn, PreSyn, report_index (the place in the group, from 0)."""
    table = shares.rename_axis(None, axis=1).join(sites[["PostSyn", "PreSyn"]]).rename_axis("name").reset_index()
    return table.assign(report_index=range(len(table)))


def write_summaries(out: OutputDir, folder: str, summaries: Sequence[Summary]) -> None:
    """Write `<group>/csv/<group>-[cumulative-]<fraction>-by-status.csv` of each group below `folder`."""
    for summary in summaries:
        for prefix, tables in (("cumulative-", summary.cumulative), ("", summary.by_status)):
            for fraction, table in tables.items():
                path = f"{folder}/{summary.slug}/csv/{summary.slug}-{prefix}{fraction}-by-status.csv"
                out.write_text(path, table.to_csv(index=False, lineterminator="\n"))
