"""The oracle's reports on the tiny connectome against numbers worked out by hand from the lists in tests/tiny.py."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest

from tests import tiny
from tests.oracle import reports
from tests.oracle.compare import assert_frames_equal
from tests.oracle.load import load
from tests.oracle.reports_numbers import BODY_COLUMNS, CONNECTION_COLUMNS, CURVE_COLUMNS, FRACTIONS
from tests.tiny import BIG, ME, OB, ORIGIN, UN, A, B, C, E, F, frame

LONELY = 77  # a body that has an element and no synapse
ALL = {"rois": []}
JUST_ME = {"rois": [ME], "name": "medulla"}
JUST_OB = {"rois": [OB], "name": "the other"}
INTEGERS = ["body", "presyn", "postsyn", "outputpartners", "synweight", "rank"]


def made(folder: Path, *specs: dict[str, Any], overrides: Any = None, **settings: Any) -> dict[str, pd.DataFrame]:
    """The tables of one set of reports on `primary`; settings by their names with underscores."""
    report_set = {"roiset": "primary", "reports": list(specs)}
    report_set |= {name.replace("_", "-"): value for name, value in settings.items()}
    return reports.outputs(
        load(tiny.write(folder, **{"outputs.connectivity-reports": [report_set]}, **overrides or {}))
    )


def table(tables: dict[str, pd.DataFrame], kind: str, name: str = "all") -> pd.DataFrame:
    """One table of one report."""
    return tables[f"primary/reports/{name}/{name}-{kind}-tiny.feather"]


def bodies(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """body, presyn, postsyn, status, outputpartners, synweight, output ROI, its weight, input ROI, its weight, rank."""
    return frame(
        " ".join(BODY_COLUMNS),
        list(rows),
        **dict.fromkeys(INTEGERS, "int64"),
        top_output_roi_weight="Int64",
        top_input_roi_weight="Int64",
    )


# Best status first: A is Traced, BIG Roughly traced, B Leaves, C Sensory Anchor, F has none, E is Orphan.
# A tie of ROIs goes to the first name, and `<` comes before all letters.
ALL_BODIES = bodies(
    (A, 1, 3, "Traced", 5, 8, ME, 4, UN, 1, 1),
    (BIG, 1, 2, "Roughly traced", 2, 4, ME, 2, ME, 1, 2),
    (B, 1, 4, "Leaves", 3, 7, UN, 1, ME, 4, 3),
    (C, 1, 1, "Sensory Anchor", 1, 2, OB, 1, OB, 1, 4),
    (F, 1, 1, "", 1, 2, UN, 1, ME, 1, 5),
    (E, 0, 1, "Orphan", 0, 1, None, None, UN, 1, 6),
)
# T-bar 200 and with it PSD 201 are out: the T-bar is in no ROI.
ME_BODIES = bodies(
    (A, 1, 1, "Traced", 4, 5, ME, 4, ME, 1, 1),
    (BIG, 1, 0, "Roughly traced", 2, 2, ME, 2, None, None, 2),
    (B, 0, 4, "Leaves", 0, 4, None, None, ME, 4, 3),
    (F, 0, 1, "", 0, 1, None, None, ME, 1, 4),
)
# With the rule `post` they are in.
ME_BODIES_BY_PSD = bodies(
    (A, 1, 1, "Traced", 4, 5, ME, 4, ME, 1, 1),
    (BIG, 1, 1, "Roughly traced", 2, 3, ME, 2, ME, 1, 2),
    (B, 1, 4, "Leaves", 1, 5, ME, 1, ME, 4, 3),
    (F, 0, 1, "", 0, 1, None, None, ME, 1, 4),
)

# pre and post by x, their bodies, ROI, their ranks, then bodies 1..max_rank: presyn, postsyn, synweight.
ALL_CONNECTIONS = [
    (100, 104, A, A, ME, 1, 1, 1, 3, 8),
    (100, 101, A, B, ME, 1, 3, 2, 7, 15),
    (100, 102, A, B, ME, 1, 3, 2, 7, 15),
    (100, 103, A, B, ME, 1, 3, 2, 7, 15),
    (200, 203, B, A, UN, 3, 1, 2, 7, 15),
    (200, 201, B, BIG, ME, 3, 2, 3, 9, 19),  # the first that mentions BIG, although its rank is 2
    (200, 202, B, BIG, OB, 3, 2, 3, 9, 19),
    (400, 401, BIG, B, ME, 2, 3, 3, 9, 19),
    (100, 105, A, C, OB, 1, 4, 4, 10, 21),
    (300, 301, C, A, OB, 4, 1, 4, 10, 21),
    (400, 402, BIG, F, ME, 2, 5, 5, 11, 23),
    (2096352, 2096351, F, E, UN, 5, 6, 5, 12, 24),
]


def connections(rows: list[tuple[Any, ...]], of: pd.DataFrame, totals: tuple[int, int, int, int]) -> pd.DataFrame:
    """The whole table from its own columns; the rest follows row by row from the bodies and the totals."""
    by_body = of.set_index("body")
    full = []
    for number, (pre, post, *mid, presyn, postsyn, synweight) in enumerate(rows, 1):
        pre_rank, post_rank = mid[3:]
        worse = mid[0] if pre_rank >= post_rank else mid[1]
        sums = (presyn, postsyn, synweight)
        shares = [v / total for v, total in zip(sums, totals[:3], strict=True)]
        ranks = (min(pre_rank, post_rank), max(pre_rank, post_rank))
        ids = (ORIGIN + pre, ORIGIN + post)
        full.append((*ids, *mid, *ranks, *sums, *shares, number, number / totals[3], worse, *by_body.loc[worse]))
    integers = [c for c in CONNECTION_COLUMNS if "rank" in c or c.startswith(("cumulative", "body")) or c == "rank"]
    return frame(
        " ".join(CONNECTION_COLUMNS),
        full,
        **dict.fromkeys(["pre_id", "post_id"], "uint64"),
        **dict.fromkeys(integers, "int64"),
        **dict.fromkeys(FRACTIONS, "float64"),
        outputpartners="int64",
        top_output_roi_weight="Int64",
        top_input_roi_weight="Int64",
    )


def test_bodies_are_ranked_by_status_then_by_counts(tmp_path):
    assert_frames_equal(table(made(tmp_path, ALL), "syn_counts_df"), ALL_BODIES, "bodies")


def test_a_connection_counts_only_if_both_ends_are_in_the_rois(tmp_path):
    assert_frames_equal(table(made(tmp_path, JUST_ME), "syn_counts_df", "medulla"), ME_BODIES, "bodies")


def test_on_request_the_psd_alone_decides(tmp_path):
    tables = made(tmp_path, JUST_ME, roi_rule="post")
    assert_frames_equal(table(tables, "syn_counts_df", "medulla"), ME_BODIES_BY_PSD, "bodies")


def test_connections_come_in_the_order_in_which_tracing_finds_them(tmp_path):
    expected = connections(ALL_CONNECTIONS, ALL_BODIES, (5, 12, 24, 12))
    assert_frames_equal(table(made(tmp_path, ALL), "conn_df"), expected, "connections")


def test_columns_come_in_the_documented_order(tmp_path):
    tables = made(tmp_path, ALL)
    assert list(table(tables, "syn_counts_df")) == BODY_COLUMNS
    assert list(table(tables, "conn_df")) == CONNECTION_COLUMNS
    assert list(table(tables, "conn_df"))[17:] == [
        "body_max_rank",
        "presyn_max_rank",
        "postsyn_max_rank",
        "status",
        "outputpartners",
        "synweight_max_rank",
        "top_output_roi",
        "top_output_roi_weight",
        "top_input_roi",
        "top_input_roi_weight",
        "rank",
    ]
    assert list(table(tables, "curve")) == CURVE_COLUMNS


def test_bodies_beyond_the_last_rank_are_missing_but_count_in_the_totals(tmp_path):
    tables = made(tmp_path, ALL, stop_at_rank=3)
    expected = connections(ALL_CONNECTIONS[:8], ALL_BODIES, (5, 12, 24, 12))
    assert_frames_equal(table(tables, "conn_df"), expected, "connections")
    assert_frames_equal(table(tables, "syn_counts_df"), ALL_BODIES, "bodies")
    assert len(table(made(tmp_path, ALL, stop_at_rank=0), "conn_df")) == 0


def test_the_curve_has_a_row_per_rank_that_closes_a_connection(tmp_path):
    tables = made(tmp_path, ALL)
    expected = frame(
        " ".join(CURVE_COLUMNS),
        [
            (1, A, "Traced", 1, 3, 8, 1 / 5, 3 / 12, 8 / 24, 1 / 12),
            # BIG, rank 2, has no connection with A: it never shows.
            (3, B, "Leaves", 1, 4, 7, 3 / 5, 9 / 12, 19 / 24, 8 / 12),
            (4, C, "Sensory Anchor", 1, 1, 2, 4 / 5, 10 / 12, 21 / 24, 10 / 12),
            (5, F, "", 1, 1, 2, 5 / 5, 11 / 12, 23 / 24, 11 / 12),
            (6, E, "Orphan", 0, 1, 1, 5 / 5, 12 / 12, 24 / 24, 12 / 12),
        ],
        **dict.fromkeys(["rank", "body", "presyn", "postsyn", "synweight"], "int64"),
        **dict.fromkeys(FRACTIONS, "float64"),
    )
    assert_frames_equal(table(tables, "curve"), expected, "curve")


def test_the_connection_table_is_left_out_on_request(tmp_path):
    tables = made(tmp_path, ALL, write_connection_table=False)
    assert not [name for name in tables if "conn_df" in name]
    assert len(table(tables, "curve")) == 5


def test_a_tie_of_status_and_counts_goes_to_the_smaller_body(tmp_path):
    status = tiny.annotations().replace({"status": {"Sensory Anchor": ""}})
    ranks = table(made(tmp_path, ALL, overrides={"annotations": status}), "syn_counts_df")
    assert list(ranks["body"]) == [A, BIG, B, C, F, E]
    assert ranks.loc[3, ["presyn", "postsyn", "synweight"]].equals(ranks.loc[4, ["presyn", "postsyn", "synweight"]])


# --- bodies without connections --------------------------------------------------------------------------------------


def zero(body: int, status: str, rank: int) -> tuple[Any, ...]:
    return (body, 0, 0, status, 0, 0, None, None, None, None, rank)


def test_annotated_bodies_with_a_point_in_the_rois_are_ranked_without_a_connection_there(tmp_path):
    tables = made(tmp_path, JUST_OB, non_synaptic_bodies="none")
    expected = bodies(
        (A, 0, 1, "Traced", 0, 1, None, None, OB, 1, 1),
        zero(BIG, "Roughly traced", 2),  # PSD 202 is there, its T-bar is not
        (C, 1, 0, "Sensory Anchor", 1, 1, OB, 1, None, None, 3),
    )
    assert_frames_equal(table(tables, "syn_counts_df", "the-other"), expected, "bodies")
    rows = connections([(300, 301, C, A, OB, 3, 1, 1, 1, 2)], expected, (1, 1, 2, 1))
    assert_frames_equal(table(tables, "conn_df", "the-other"), rows, "connections")


def test_all_annotated_bodies_are_ranked_on_request_but_never_body_0(tmp_path):
    tables = made(tmp_path, ALL, JUST_OB, non_synaptic_bodies="all")
    ranks = table(tables, "syn_counts_df")
    # Equal status '': F has synapses, 17 and 18 have none; an Orphan is worse than no status.
    assert list(ranks["body"]) == [A, BIG, B, C, F, 17, 18, E]
    assert_frames_equal(ranks.iloc[5:7].reset_index(drop=True), bodies(zero(17, "", 6), zero(18, "", 7)), "zero rows")
    # F is not annotated and has nothing there.
    assert list(table(tables, "syn_counts_df", "the-other")["body"]) == [A, BIG, B, C, 17, 18, E]


@pytest.mark.parametrize(
    ("choice", "spec", "expected"),
    [
        ("element-presence", JUST_ME, [A, BIG, LONELY, B, F]),
        ("element-presence", JUST_OB, [A, BIG, B, C]),
        ("element-presence", ALL, [A, BIG, LONELY, B, C, F, E]),  # body 18's element is in no ROI of the set
        ("none", JUST_ME, [A, BIG, B, F]),
        ("none", JUST_ME | {"non-synaptic-bodies": "element-presence"}, [A, BIG, LONELY, B, F]),
    ],
)
def test_annotated_bodies_with_an_element_in_the_rois_are_ranked(tmp_path, choice, spec, expected):
    soma = {"x": [1, 2, 3, 4], "y": 5, "z": 5, "body": [LONELY, B, 18, 99], "primary": [ME, OB, None, ME]}
    pa.feather.write_feather(pa.Table.from_pandas(pd.DataFrame(soma)), tmp_path / "soma.feather")
    known = tiny.annotations()
    lonely = known.iloc[:1].assign(body=np.int64(LONELY), status="RT Orphan")
    overrides = {
        "annotations": pd.concat([known, lonely]),
        "inputs.elements": {
            "soma": {"point-table": "soma.feather", "type": "soma", "roi-set-names": ["primary"]},
        },
    }
    tables = made(tmp_path, spec, non_synaptic_bodies=choice, overrides=overrides)
    ranks = table(tables, "syn_counts_df", spec.get("name", "all").replace(" ", "-"))
    assert list(ranks["body"]) == expected


def test_body_0_has_no_rank_even_where_it_is_permitted(tmp_path):
    # Its status, Unimportant, does not make it a body either.
    statuses = ["Unimportant", "Leaves", "Roughly traced", "Sensory Anchor", "Traced"]
    tables = made(tmp_path, ALL, capture_statuses=statuses, overrides={"inputs.synapses.permit-body-0": True})
    assert_frames_equal(table(tables, "syn_counts_df"), ALL_BODIES, "bodies")
    # Its PSD and its T-bar are among the points, though, and its PSD among what A feeds.
    assert tables["primary/primary-all-syncounts.feather"].loc[0, ["PostSyn", "PreSyn"]].tolist() == [14, 6]
    assert table(tables, "downstream-capture").loc[0].tolist() == [A, 5, 1, 6, 1, np.float32(5 / 6)]


# --- capture ---------------------------------------------------------------------------------------------------------


def captured(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """body_pre, captured, not_captured, downstream, presyn, capture_frac."""
    names = "body_pre captured not_captured downstream presyn"
    table = frame(f"{names} capture_frac", list(rows), **dict.fromkeys(names.split(), "int64"))
    return table.astype({"capture_frac": "float32"})


def test_capture_is_the_part_of_what_a_captured_body_feeds(tmp_path):
    tables = made(tmp_path, ALL, JUST_ME)
    expected = captured((A, 5, 0, 5, 1, 1), (B, 3, 0, 3, 1, 1), (C, 1, 0, 1, 1, 1), (BIG, 1, 1, 2, 1, 0.5))
    assert_frames_equal(table(tables, "downstream-capture"), expected, "capture")
    # By PSD only: T-bar 200 feeds PSD 201 there.
    expected = captured((A, 4, 0, 4, 1, 1), (B, 1, 0, 1, 1, 1), (BIG, 1, 1, 2, 1, 0.5))
    assert_frames_equal(table(tables, "downstream-capture", "medulla"), expected, "capture in ME(R)")


def test_a_status_is_captured_if_it_is_listed(tmp_path):
    tables = made(tmp_path, ALL, capture_statuses=["Orphan", "Leaves"])
    assert_frames_equal(table(tables, "downstream-capture"), captured((B, 0, 3, 3, 1, 0)), "capture")


def test_without_a_captured_body_on_each_side_there_is_no_capture(tmp_path):
    # E only receives; in the other ROI B only sends; no Glia is there at all.
    for spec, statuses in ((ALL, ["Orphan"]), (JUST_OB, ["Leaves"]), (ALL, ["Glia"])):
        assert not [name for name in made(tmp_path, spec, capture_statuses=statuses) if "capture" in name]


def test_what_body_0_feeds_does_not_make_it_captured(tmp_path):
    points = tiny.points()
    points.loc[points["point_id"] == ORIGIN + 105, "body"] = B  # C has no input but
    points.loc[points["point_id"] == ORIGIN + 701, "body"] = C  # this one, from body 0
    overrides = {"points": points, "inputs.synapses.permit-body-0": True}
    for statuses, bodies in ((["Sensory Anchor"], None), (["Sensory Anchor", "Traced"], [A, C])):
        tables = made(tmp_path, ALL, capture_statuses=statuses, overrides=dict(overrides))
        found = [table(tables, "downstream-capture")["body_pre"].tolist() for name in tables if "capture" in name]
        assert found == ([] if bodies is None else [bodies])


# --- summaries -------------------------------------------------------------------------------------------------------

STATUSES = ["Traced", "Leaves", "Sensory Anchor"]
# presyn, postsyn, synweight, conn; the last connection whose worse body has the status.
STATS = {
    "all": [
        (1 / 5, 3 / 12, 8 / 24, 1 / 12),
        (3 / 5, 9 / 12, 19 / 24, 8 / 12),
        (4 / 5, 10 / 12, 21 / 24, 10 / 12),
    ],
    # 1, 1, 5 of A; with B and BIG 2, 5, 11; no Sensory Anchor, so it stays there.
    "medulla": [
        (1 / 2, 1 / 6, 5 / 12, 1 / 6),
        (2 / 2, 5 / 6, 11 / 12, 5 / 6),
        (2 / 2, 5 / 6, 11 / 12, 5 / 6),
    ],
    # One connection of C with A.
    "the other": [(0, 0, 0, 0), (0, 0, 0, 0), (1, 1, 1, 1)],
}
SIZES = {"all": (12.0, 5.0), "medulla": (7.0, 2.0), "the other": (3.0, 1.0)}


def test_each_report_lists_every_status_of_the_set(tmp_path):
    tables = made(tmp_path, ALL, JUST_ME, JUST_OB)
    rows = [(s, *v, name) for name, own in STATS.items() for s, v in zip(STATUSES, own, strict=True)]
    expected = frame(f"status {' '.join(FRACTIONS)} name", rows, **dict.fromkeys(FRACTIONS, "float64"))
    for ending in ("feather", "csv"):
        assert_frames_equal(tables[f"primary/primary-all-status-stats.{ending}"], expected, ending)


@pytest.mark.parametrize("position", range(4))
def test_groups_show_each_fraction_by_status(tmp_path, position):
    groups = {"some of them": ["the other", "medulla"]}
    tables = made(tmp_path, ALL, JUST_ME, JUST_OB, capture_summary_subsets=groups)
    for slug, names in {"primary": list(STATS), "some-of-them": groups["some of them"]}.items():
        down_to, shares = [], []
        for index, name in enumerate(names):
            first, second, third = (own[position] for own in STATS[name])
            down_to.append((name, first, second, third, *SIZES[name], index))
            shares.append((name, first, second - first, third - second, *SIZES[name], index))
        columns = ["name", *STATUSES, "PostSyn", "PreSyn", "report_index"]
        for prefix, rows in (("cumulative-", down_to), ("", shares)):
            expected = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(STATUSES, "float64"))
            path = f"primary/{slug}/csv/{slug}-{prefix}{FRACTIONS[position]}-by-status.csv"
            assert list(tables[path]) == columns
            assert_frames_equal(tables[path], expected, path)


def test_the_files_of_a_set_are_these(tmp_path):
    tables = made(tmp_path, ALL, JUST_OB)
    groups = [f"primary/csv/primary-{c}{f}-by-status.csv" for c in ("", "cumulative-") for f in FRACTIONS]
    own = [
        f"reports/{n}/{n}-{kind}-tiny.feather"
        for n in ("all", "the-other")
        for kind in ("syn_counts_df", "conn_df", "curve", "downstream-capture")
    ]
    stats = ["primary-all-syncounts.feather", "primary-all-status-stats.feather", "primary-all-status-stats.csv"]
    assert set(tables) == {f"primary/{name}" for name in (*groups, *own, *stats)}


@pytest.mark.parametrize(
    ("spec", "zone", "name"),
    [
        ({"rois": [ME, OB]}, "brain", f"{ME}-{OB}"),
        ({}, "brain", "brain"),
        ({}, "", "all"),
        ({"rois": [ME], "name": "n"}, "", "n"),
    ],
)
def test_reports_without_a_name_are_called_after_their_rois_or_zone(spec, zone, name):
    config = reports.Config({"inputs": {"synapses": {"zone": zone}}}, Path())
    assert reports.report_name(spec, config) == name


# --- nothing there ---------------------------------------------------------------------------------------------------


def test_without_annotations_counts_alone_rank_the_bodies(tmp_path):
    tables = made(tmp_path, ALL, JUST_ME, overrides={"inputs.annotations": tiny.DELETE, "annotations": None})
    # B before BIG: 4 PSDs are more than 1 T-bar with 2 outputs.
    assert list(table(tables, "syn_counts_df", "medulla")["body"]) == [A, B, BIG, F]
    expected = ALL_BODIES.set_index("body").loc[[A, B, BIG, C, F, E]].reset_index().assign(status="")
    expected["rank"] = range(1, 7)  # the status of C and F was their only difference: now the smaller body is first
    assert_frames_equal(table(tables, "syn_counts_df"), expected, "bodies")
    assert {name.rsplit("/", 1)[1] for name in tables} == {
        *(f"{n}-{kind}-tiny.feather" for n in ("all", "medulla") for kind in ("syn_counts_df", "conn_df", "curve")),
        "primary-all-syncounts.feather",
    }


def test_where_no_status_is_known_it_is_empty_and_nothing_is_summed_up(tmp_path):
    tables = made(tmp_path, ALL, overrides={"annotations": tiny.annotations().drop(columns="status")})
    assert set(table(tables, "syn_counts_df")["status"]) == {""}
    assert list(table(tables, "syn_counts_df")["body"]) == [A, B, BIG, C, F, E]
    assert not [name for name in tables if "by-status" in name or "stats" in name or "capture" in name]


def test_statuses_that_are_none_or_worse_make_no_columns(tmp_path):
    tables = made(tmp_path, ALL, overrides={"annotations": tiny.annotations().assign(status="Orphan")})
    assert len(tables["primary/primary-all-status-stats.csv"]) == 0
    path = "primary/primary/csv/primary-traced_conn_frac-by-status.csv"
    assert tables[path].to_numpy().tolist() == [["all", 12.0, 5.0, 0]]


def test_a_report_without_connections_has_tables_without_rows(tmp_path):
    points = tiny.points()
    points["primary"] = points["primary"].cat.add_categories("nowhere")
    points.loc[points["point_id"] == ORIGIN + 200, "primary"] = "nowhere"  # B's T-bar, without its PSDs
    tables = made(
        tmp_path,
        ALL,
        {"rois": ["nowhere"]},
        roi_rule="post",
        overrides={"points": points, "annotations": None} | {"inputs.annotations": tiny.DELETE},
    )
    for kind in ("syn_counts_df", "conn_df", "curve"):
        assert len(table(tables, kind, "nowhere")) == 0
    assert tables["primary/primary-all-syncounts.feather"]["PreSyn"].tolist() == [5, 1]
