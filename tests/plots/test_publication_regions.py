"""Which ROIs are drawn, and what becomes of their two sides."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.plots.publication_regions import by_region, chosen_rois, shared_regions
from flyem_snapshot.plots.publication_sides import place_of

SHARE = "traced_conn_frac"


def table(rows, dataset="A"):
    """A completeness table of (roi, PostSyn, share)."""
    places = [place_of(roi) for roi, _, _ in rows]
    return pd.DataFrame(
        {
            "dataset": pd.Series([dataset] * len(rows), dtype="str"),
            "roi": pd.Series([roi for roi, _, _ in rows], dtype="str"),
            "roi_base": pd.Series([place.base for place in places], dtype="str"),
            "roi_side": pd.Series([place.side for place in places], dtype="str"),
            "PostSyn": pd.Series([post for _, post, _ in rows], dtype="int64"),
            SHARE: pd.Series([share for _, _, share in rows], dtype="float64"),
        }
    )


def names(rois):
    return table([(roi, 1, 0.5) for roi in rois])


HEMIBRAIN = ["ME(R)", "ME(L)", "EB", "CRE(-ROB,-RUB)(R)", "NO", "NO(L)", "NO(R)"]


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ([], HEMIBRAIN),
        (["EB"], ["EB"]),
        (["EB,ME(L)"], ["EB", "ME(L)"]),  # in the order in which they were asked for
        (["EB", "ME(L)"], ["EB", "ME(L)"]),
        (["ME"], ["ME(R)", "ME(L)"]),  # a region is both of its sides
        (["ME(L),ME"], ["ME(L)", "ME(R)"]),  # nothing twice
        (["ME_R"], ["ME(R)"]),  # another way to write it
        (["NO"], ["NO"]),  # a report of that very name is that report
        (["EB,CRE(-ROB,-RUB)(R),ME(R)"], ["EB", "CRE(-ROB,-RUB)(R)", "ME(R)"]),  # a name with a comma in it
        ([" EB , ,ME(R) "], ["EB", "ME(R)"]),
    ],
)
def test_the_rois_that_were_asked_for_are_taken_in_that_order(words, chosen):
    assert list(chosen_rois(names(HEMIBRAIN), words)["roi"]) == chosen


def test_a_word_finds_the_region_in_each_snapshot_however_it_is_written_there():
    both = pd.concat([table([("ME(R)", 1, 0.5), ("ME(L)", 1, 0.5)]), table([("ME_R", 1, 0.5)], "B")], ignore_index=True)

    assert list(chosen_rois(both, ["ME(R)"])["roi"]) == ["ME(R)", "ME_R"]


@pytest.mark.parametrize(
    ("word", "hint"), [("ME(Q)", "did you mean 'ME(R)'?"), ("xyz", "there are 'ME(R)', 'ME(L)', 'EB'")]
)
def test_an_unknown_roi_is_refused(word, hint):
    with pytest.raises(SnapshotError) as caught:
        chosen_rois(names(["ME(R)", "ME(L)", "EB"]), ["EB", word])
    assert str(caught.value) == f"no report is named '{word}'\n  hint: {hint}"


def test_the_report_on_everything_is_no_roi_unless_asked_for():
    assert list(chosen_rois(names(["all", "EB"]), [])["roi"]) == ["EB"]
    assert list(chosen_rois(names(["all", "EB"]), ["all"])["roi"]) == ["all"]
    assert list(chosen_rois(names(["all"]), [])["roi"]) == ["all"]


def test_each_side_of_a_region_counts_alike_and_the_middle_stands_for_itself():
    regions = by_region(table([("ME(R)", 900, 0.6), ("EB", 80, 0.9), ("ME(L)", 100, 0.2), ("LO(R)", 5, 0.5)]), SHARE)

    assert list(regions.columns) == ["dataset", "roi_base", "left", "right", "mean", "low", "high", "PostSyn"]
    assert regions.fillna(-1).to_numpy().tolist() == [
        ["A", "ME", 0.2, 0.6, pytest.approx(0.4), 0.2, 0.6, 1000],
        ["A", "EB", -1, -1, 0.9, 0.9, 0.9, 80],
        ["A", "LO", -1, 0.5, 0.5, 0.5, 0.5, 5],
    ]


def test_a_whole_beside_its_halves_is_not_counted_again():
    regions = by_region(table([("NO", 300, 0.9), ("NO(L)", 100, 0.2), ("NO(R)", 200, 0.4)]), SHARE)

    assert regions[["mean", "low", "high", "PostSyn"]].to_numpy().tolist() == [[pytest.approx(0.3), 0.2, 0.4, 300]]


def test_a_side_whose_share_is_unknown_does_not_count():
    regions = by_region(table([("ME(R)", 0, float("nan")), ("ME(L)", 10, 0.2), ("LO(L)", 0, float("nan"))]), SHARE)

    assert regions["mean"].fillna(-1).tolist() == [0.2, -1]


shares = st.lists(st.tuples(st.sampled_from(["ME", "LO", "EB"]), st.floats(0, 1), st.floats(0, 1)), min_size=1)


@given(shares.map(lambda rows: list({row[0]: row for row in rows}.values())))
def test_left_and_right_may_be_exchanged(rows):
    def regions(left, right):
        sides = [
            (f"{base}({side})", 1, share) for base, one, two in rows for side, share in ((left, one), (right, two))
        ]
        return by_region(table(sides), SHARE)

    one, other = regions("L", "R"), regions("R", "L")

    pd.testing.assert_frame_equal(
        one[["roi_base", "mean", "low", "high"]], other[["roi_base", "mean", "low", "high"]], check_exact=False
    )
    assert one["left"].tolist() == other["right"].tolist()
    assert (one["low"] <= one["mean"]).all()
    assert (one["mean"] <= one["high"]).all()


def test_snapshots_are_compared_in_the_regions_that_two_of_them_have():
    tables = [names(["ME(R)", "EB", "X"]), names(["LO_R", "ME_L"]), names(["LO(R)", "Y"])]

    assert shared_regions(tables) == ["ME", "LO"]


def test_snapshots_without_a_common_region_are_refused():
    with pytest.raises(SnapshotError) as caught:
        shared_regions([names(["ME(R)", "EB"]), table([("T1", 1, 0.5)], "B")])
    assert str(caught.value) == (
        "the snapshots have no ROI in common\n"
        "  hint: A has ME, EB; B has T1; choose reports on like regions with --roiset or --group"
    )
