"""The numbers behind publication figures: read from summaries, at the right status, averaged as they should be."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.errors import DataError, SnapshotError
from flyem_snapshot.plots.publication_numbers import (
    column_for,
    common_status,
    completeness,
    read_group,
    weighted_mean,
)
from tests.plots.publication_snapshots import STATS, optic_lobes, write_summaries

COLUMNS = ["dataset", "roi", "roi_base", "roi_side", "PreSyn", "PostSyn", "status", *STATS]


def read(tmp_path, rows, label="A", **options):
    return read_group(label, write_summaries(tmp_path / label, rows, **options))


def test_the_table_has_a_row_for_each_roi_with_its_side_its_counts_and_its_four_shares(tmp_path):
    rows = [
        (
            "ME(R)",
            100,
            400,
            {
                "traced_presyn_frac": (0.1, 0.2, 0.3, 0.4),
                "traced_postsyn_frac": (0.2, 0.3, 0.4, 0.5),
                "traced_synweight_frac": (0.3, 0.4, 0.5, 0.6),
                "traced_conn_frac": (0.4, 0.5, 0.6, 0.7),
            },
        ),
        ("EB", 7, 20, (0, 0, 0.25, 1)),
    ]
    table = completeness(read(tmp_path, rows), "Leaves")

    assert list(table.columns) == COLUMNS
    assert table.to_numpy().tolist() == [
        ["A", "ME(R)", "ME", "R", 100, 400, "Leaves", 0.3, 0.4, 0.5, 0.6],
        ["A", "EB", "EB", "C", 7, 20, "Leaves", 0.25, 0.25, 0.25, 0.25],
    ]
    assert [str(dtype) for dtype in table.dtypes] == ["str"] * 4 + ["int64"] * 2 + ["str"] + ["float64"] * 4


def test_names_are_text_whatever_they_look_like(tmp_path):
    rows = [(name, 1, 1, (0.5,) * 4) for name in ("NA", "007", "1e3", 'a "b", c', "Größe <b>", "None")]

    assert list(read(tmp_path, rows).rois) == ["NA", "007", "1e3", 'a "b", c', "Größe <b>", "None"]


def test_an_empty_cell_is_an_unknown_share(tmp_path):
    table = completeness(read(tmp_path, [("EB", 1, 1, ("", "", "", 0.5))]), "Leaves")

    assert table["traced_conn_frac"].isna().all()


@pytest.mark.parametrize(
    ("statuses", "status", "column"),
    [
        (("Traced", "Leaves", "Anchor"), "Leaves", "Leaves"),
        # Nobody is Leaves, so whoever is Leaves or better is Roughly traced or better.
        (("Traced", "Roughly traced", "Anchor"), "Leaves", "Roughly traced"),
        (("Finalized", "Anchor", "Orphan"), "Partially traced", "Finalized"),
        (("Anchor", "Orphan"), "Leaves", None),
        (("Mine", "Anchor"), "Mine", "Mine"),
        (("Mine", "Anchor"), "Orphan", "Anchor"),
        (("Mine",), "Orphan", None),
    ],
)
def test_completeness_at_a_status_or_better_is_that_of_the_worst_status_that_is_as_good(statuses, status, column):
    assert column_for(statuses, status) == column


def test_the_status_is_leaves_even_where_nobody_has_it(tmp_path):
    groups = [
        read(tmp_path, [("EB", 1, 1, (0.3, 0.8))], "A", statuses=("Traced", "Anchor")),
        read(tmp_path, [("EB", 1, 1, (0.2, 0.4, 0.9))], "B", statuses=("Traced", "Leaves", "Orphan")),
    ]

    assert common_status(groups, None) == "Leaves"
    assert [completeness(group, "Leaves")["traced_conn_frac"].item() for group in groups] == [0.3, 0.4]


def test_where_nothing_is_as_good_as_leaves_it_is_the_best_status_that_all_reach(tmp_path, caplog):
    groups = [
        read(tmp_path, [("EB", 1, 1, (0.1, 0.3, 0.8))], "A", statuses=("Traced", "Soma Anchor", "Anchor")),
        read(tmp_path, [("EB", 1, 1, (0.4, 0.9))], "B", statuses=("Primary Anchor", "Orphan")),
        read(tmp_path, [("EB", 1, 1, (0.6, 0.9))], "C", statuses=("Anchor", "Orphan")),
    ]

    assert common_status(groups, None) == "Anchor"
    assert "no body is 'Leaves' or better: completeness is told at 'Anchor' or better" in caplog.text
    assert [completeness(group, "Anchor")["traced_conn_frac"].item() for group in groups] == [0.8, 0.4, 0.6]


def test_a_status_that_nobody_reaches_is_0(tmp_path, caplog):
    group = read(tmp_path, [("EB", 1, 1, (0.6, 0.9))], statuses=("Anchor", "Orphan"))

    assert common_status([group], "Finalized") == "Finalized"
    assert completeness(group, "Finalized")["traced_conn_frac"].item() == 0
    assert "A: no body is 'Finalized' or better" in caplog.text


def test_an_unknown_status_is_refused_with_the_nearest(tmp_path):
    group = read(tmp_path, optic_lobes())

    with pytest.raises(SnapshotError) as caught:
        common_status([group], "rouhgly traced")
    assert str(caught.value) == (
        "unknown status 'rouhgly traced'\n"
        "  hint: did you mean 'Roughly traced'? found here: Traced, Roughly traced, Leaves, Anchor"
    )


def test_a_status_of_ones_own_must_be_in_every_snapshot(tmp_path):
    mine = read(tmp_path, [("EB", 1, 1, (0.6, 0.9))], "A", statuses=("Mine", "Anchor"))
    other = read(tmp_path, [("EB", 1, 1, (0.6,))], "B", statuses=("Anchor",))

    assert common_status([mine], "Mine") == "Mine"
    with pytest.raises(SnapshotError, match="unknown status 'Mine'"):
        common_status([mine, other], "Mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no CSV table"),
        ("name,Traced,PreSyn\nEB,1,1\n", "has no column 'PostSyn'"),
        ("name,Traced,PostSyn,PreSyn\nEB,1.5,1,1\n", "column 'Traced': holds what is no share (1 row); first: '1.5'"),
        ("name,Traced,PostSyn,PreSyn\nEB,-1,1,1\nFB,x,1,1\n", "holds what is no share (2 rows); first: '-1', 'x'"),
        ("name,Traced,PostSyn,PreSyn\nEB,1,inf,1\n", "column 'PostSyn': holds what is no count (1 row); first: 'inf'"),
        ("name,Traced,PostSyn,PreSyn\nEB,1,,1\n", "column 'PostSyn': holds what is no count (1 row); first: ''"),
        ("name,Traced,PostSyn,PreSyn\nEB,1,1,1,1,1\n", "columns and rows do not agree"),
        ("name,Traced,Traced,PostSyn,PreSyn\nEB,1,1,1,1\n", "columns and rows do not agree"),
        ("a,b\n1,2\n", "columns and rows do not agree"),
        ('name,Traced,PostSyn,PreSyn\n"EB,1,1,1\n', "is no CSV table"),
        ("name,PostSyn,PreSyn,report_index\nEB,1,1,0\n", "has no status columns"),
        ("name,Leaves,PostSyn,PreSyn,report_index\nEB,1,1,1,0\n", "the files come from different runs"),
    ],
)
def test_a_file_that_is_no_summary_is_refused(tmp_path, text, message):
    folder = write_summaries(tmp_path, [("EB", 1, 1, (1,))], statuses=("Traced",))
    (folder / "primary-cumulative-traced_presyn_frac-by-status.csv").write_text(text)

    with pytest.raises(DataError) as caught:
        read_group("A", folder)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    folder = write_summaries(tmp_path, optic_lobes(), stats=STATS[:3])

    with pytest.raises(DataError, match="primary-cumulative-traced_conn_frac-by-status.csv: there is no such file"):
        read_group("A", folder)


def test_the_weighted_mean_is_what_it_is_on_paper():
    values = pd.Series([0.5, 0.2, 0.9, np.nan])
    weights = pd.Series([100, 300, 0, 7])

    assert weighted_mean(values, weights) == pytest.approx((50 + 60) / 400)


@pytest.mark.parametrize(("values", "weights"), [([], []), ([0.5], [0]), ([math.nan], [5])])
def test_there_is_no_mean_without_weight(values, weights):
    assert weighted_mean(pd.Series(values, dtype="float64"), pd.Series(weights, dtype="int64")) is None


weighted = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 10**9)), min_size=1).filter(
    lambda pairs: any(weight for _, weight in pairs)
)


@given(weighted)
def test_the_weighted_mean_lies_between_the_least_and_the_greatest_value_with_weight(pairs):
    values, weights = (pd.Series(column) for column in zip(*pairs, strict=True))
    counted = [value for value, weight in pairs if weight]

    assert min(counted) <= weighted_mean(values, weights) <= max(counted)


@given(weighted, st.randoms())
def test_the_weighted_mean_does_not_depend_on_the_order(pairs, random):
    def mean(rows):
        return weighted_mean(*(pd.Series(column) for column in zip(*rows, strict=True)))

    shuffled = random.sample(pairs, len(pairs))
    assert mean(shuffled) == pytest.approx(mean(pairs))
