from __future__ import annotations

import pandas as pd
import pytest

from flyem_snapshot.connectome.report_tables import FRACTIONS, Report
from flyem_snapshot.connectome.status import STATUS_DTYPE
from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.outputs.reports.summaries import status_stats, summarised, synapse_counts, write_summaries


def report(name, rows, presyn=1, postsyn=2):
    """`rows` are status and fraction of each rank; all four fractions are the same."""
    curve = pd.DataFrame({"status": pd.Categorical([status for status, _ in rows], dtype=STATUS_DTYPE)})
    curve = curve.assign(**{name: [float(fraction) for _, fraction in rows] for name in FRACTIONS})
    return Report(name, name, (), len(rows), presyn, postsyn, 3, curve, None, has_status=True)


REPORTS = [
    report("ME(R)", [("Traced", 0.25), ("Traced", 0.5), ("Anchor", 0.625), ("", 0.75), ("Orphan", 1)]),
    report("LO(R)", [("Roughly traced", 0.25), ("0.5assign", 0.5)], presyn=10, postsyn=20),
    report("empty", [], presyn=0, postsyn=0),
]


def test_a_status_has_the_fractions_of_its_last_body_or_of_the_next_better_status():
    stats = status_stats(REPORTS)
    assert list(stats.columns) == ["status", *FRACTIONS, "name"]
    assert list(zip(stats["name"], stats["status"], stats["traced_conn_frac"], strict=True)) == [
        ("ME(R)", "Traced", 0.5),
        ("ME(R)", "Roughly traced", 0.5),
        ("ME(R)", "Anchor", 0.625),
        ("ME(R)", "0.5assign", 0.625),
        ("LO(R)", "Traced", 0.0),
        ("LO(R)", "Roughly traced", 0.25),
        ("LO(R)", "Anchor", 0.25),
        ("LO(R)", "0.5assign", 0.5),
        ("empty", "Traced", 0.0),
        ("empty", "Roughly traced", 0.0),
        ("empty", "Anchor", 0.0),
        ("empty", "0.5assign", 0.0),
    ]


def test_a_group_lists_its_reports_in_its_own_order_with_shares_that_add_up(tmp_path):
    groups = {"lobes": ["LO(R)", "ME(R)"]}
    (summary,) = summarised(groups, ["lobes"], status_stats(REPORTS), synapse_counts(REPORTS))
    write_summaries(OutputDir(tmp_path), "reports/primary", [summary])
    folder = tmp_path / "reports" / "primary" / "lobes" / "csv"
    assert (folder / "lobes-cumulative-traced_conn_frac-by-status.csv").read_text() == (
        "name,Traced,Roughly traced,Anchor,0.5assign,PostSyn,PreSyn,report_index\n"
        "LO(R),0.0,0.25,0.25,0.5,20.0,10.0,0\n"
        "ME(R),0.5,0.5,0.625,0.625,2.0,1.0,1\n"
    )
    assert (folder / "lobes-traced_conn_frac-by-status.csv").read_text() == (
        "name,Traced,Roughly traced,Anchor,0.5assign,PostSyn,PreSyn,report_index\n"
        "LO(R),0.0,0.25,0.0,0.25,20.0,10.0,0\n"
        "ME(R),0.5,0.0,0.125,0.0,2.0,1.0,1\n"
    )
    assert len(list(folder.iterdir())) == 8


@pytest.mark.parametrize("reports", [[], [report("worse", [("Orphan", 0.5)])]])
def test_without_a_status_worth_showing_there_are_no_rows(reports):
    assert status_stats(reports).empty


def test_synapses_are_counted_report_by_report():
    assert synapse_counts(REPORTS).to_numpy().tolist() == [["ME(R)", 2, 1], ["LO(R)", 20, 10], ["empty", 0, 0]]
