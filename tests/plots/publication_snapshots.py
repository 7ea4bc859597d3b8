"""Finished snapshots, as far as publication figures read them: the summaries by status, written by hand."""

from __future__ import annotations

import csv
from pathlib import Path

STATS = ("traced_presyn_frac", "traced_postsyn_frac", "traced_synweight_frac", "traced_conn_frac")
STATUSES = ("Traced", "Roughly traced", "Leaves", "Anchor")


def write_summaries(snapshot, rows, *, statuses=STATUSES, roiset="primary", group=None, stats=STATS):
    """Write the cumulative CSVs of a group; returns their folder.

    `rows` are (name, PreSyn, PostSyn, shares): the shares at each status, or a mapping from a statistic to them.
    """
    group = group or roiset
    folder = Path(snapshot) / "reports" / roiset / group / "csv"
    folder.mkdir(parents=True)
    for stat in stats:
        with (folder / f"{group}-cumulative-{stat}-by-status.csv").open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(["name", *statuses, "PostSyn", "PreSyn", "report_index"])
            for index, (name, presyn, postsyn, shares) in enumerate(rows):
                values = shares[stat] if isinstance(shares, dict) else shares
                lines.writerow([name, *values, float(postsyn), float(presyn), index])
    return folder


def optic_lobes(*, right=0.6, left=0.4):
    """Two regions on both sides and one in the middle; completeness at Leaves is that of the side."""

    def shares(at_leaves):
        return (at_leaves / 4, at_leaves / 2, at_leaves, (1 + at_leaves) / 2)

    return [
        ("ME(R)", 100, 400, shares(right)),
        ("ME(L)", 90, 360, shares(left)),
        ("LO(R)", 50, 200, shares(right / 2)),
        ("LO(L)", 40, 160, shares(left / 2)),
        ("EB", 30, 80, shares(0.9)),
    ]
