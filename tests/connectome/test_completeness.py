from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyem_snapshot.connectome.completeness import ConnectionTable, capture_table, forecast, rank_bodies
from flyem_snapshot.connectome.report_counts import RANKS, count_sites
from flyem_snapshot.connectome.status import STATUS_ORDER
from tests.outputs.reports.connectomes import EVERYTHING, counted, define, engine_of, within

A, B, C, D = 11, 12, 13, 14
NAMES = ("<unspecified>", "EB", "FB")
NO_STATUS = STATUS_ORDER.index("")

# T-bar, body, PSD's body, ROI of the T-bar, ROI of the PSD
CONNECTIONS = [
    (1, A, B, "FB", "FB"),
    (1, A, B, "FB", "EB"),
    (1, A, A, "FB", "FB"),  # an autapse
    (2, B, C, "EB", "FB"),
    (2, B, 0, "EB", "EB"),  # body 0 is no body
    (3, C, A, "<unspecified>", "EB"),
    (4, D, C, "EB", "EB"),
]


@pytest.fixture
def engine(tmp_path):
    return engine_of(tmp_path)


@pytest.fixture
def count(tmp_path, engine):
    def made(*selections, connections=CONNECTIONS, annotated=()):
        return counted(tmp_path / "counts", engine, connections, *selections, annotated=annotated)

    return made


def ranked(counts, selection=EVERYTHING, status=(), extra=()):
    """The ranked bodies; `status` maps bodies to labels."""
    codes = [STATUS_ORDER.index(dict(status).get(int(body), "")) for body in counts.bodies]
    return rank_bodies(counts, selection, np.array(codes, np.int8), np.isin(counts.bodies, extra))


def rows(bodies):
    columns = (bodies.body, bodies.presyn, bodies.postsyn, bodies.outputpartners, bodies.synweight)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_bodies_are_ranked_by_synweight_then_tbars_then_psds_then_body(count):
    assert rows(ranked(count())) == [(A, 1, 2, 3, 5), (B, 1, 2, 1, 3), (C, 1, 2, 1, 3), (D, 1, 0, 1, 1)]


def test_a_better_status_goes_before_any_number_of_synapses(count):
    bodies = ranked(count(), status=[(D, "Traced"), (C, "Anchor"), (A, "Orphan")])
    assert bodies.body.tolist() == [D, C, B, A], "an empty status is better than Orphan"


def test_bodies_without_connections_are_ranked_if_asked_for(count):
    assert rows(ranked(count(annotated=[99, 5]), extra=[99]))[-1] == (99, 0, 0, 0, 0)


def test_both_ends_counts_connections_whose_tbar_and_psd_lie_in_the_rois(count):
    report = within(NAMES, "EB")
    bodies = ranked(count(report), report)
    assert rows(bodies) == [(D, 1, 0, 1, 1), (C, 0, 1, 0, 1)]


def test_post_counts_connections_whose_psd_lies_in_the_rois(count):
    report = within(NAMES, "EB", rule="post")
    bodies = ranked(count(report), report)
    assert rows(bodies) == [(A, 1, 1, 1, 2), (C, 1, 1, 1, 2), (D, 1, 0, 1, 1), (B, 0, 1, 0, 1)]


def test_a_tbar_with_psds_in_several_rois_of_a_report_is_one_tbar(count):
    report = within(NAMES, "EB", "FB")
    counts = count(EVERYTHING, report, within(NAMES, "FB"))
    presyn = dict(zip(counts.bodies.tolist(), counts.tbars_of_bodies(report).tolist(), strict=True))
    assert presyn == {A: 1, B: 1, C: 0, D: 1}


def test_the_top_roi_is_that_of_most_psds_and_the_first_by_name_among_equals(count):
    bodies = ranked(count())
    names = [[NAMES[place] if place >= 0 else None for place in bodies.tops[top]] for top in bodies.tops]
    weights = [weight.tolist() for weight in bodies.top_weights.values()]
    assert (names[0], weights[0]) == (["FB", "FB", "EB", "EB"], [2, 1, 1, 1])
    assert (names[1], weights[1]) == (["EB", "EB", "EB", None], [1, 1, 1, 0])


def test_the_curve_adds_a_body_when_it_is_first_mentioned(count):
    counts = count()
    curve = forecast(counts, EVERYTHING, ranked(counts), 1e6).curve()
    # Ranks: A, B, C, D.  C is connected with A, so its counts come with rank 3, and D's with rank 4.
    assert curve["rank"].tolist() == [1, 2, 3, 4]
    assert curve["body"].tolist() == [A, B, C, D]
    assert (curve["traced_presyn_frac"] * 4).tolist() == [1, 2, 3, 4]
    assert (curve["traced_postsyn_frac"] * 6).round(9).tolist() == [2, 4, 6, 6]
    assert (curve["traced_conn_frac"] * 6).round(9).tolist() == [1, 3, 5, 6]


def test_a_body_that_outranks_its_partners_is_mentioned_with_the_first_of_them(count):
    counts = count(connections=[(1, A, B, "EB", "EB"), (2, C, D, "EB", "EB"), (3, C, D, "EB", "EB")])
    bodies = ranked(counts)
    curve = forecast(counts, EVERYTHING, bodies, 1e6).curve()
    assert bodies.body.tolist() == [C, D, A, B]
    assert curve["rank"].tolist() == [2, 4], "C and A have no partner above them"
    assert curve["traced_presyn_frac"].tolist() == [2 / 3, 1.0]


@pytest.mark.parametrize(("stop", "ranks"), [(0, []), (1, [1]), (2.5, [1, 2]), (1e6, [1, 2, 3, 4])])
def test_fractions_refer_to_everything_wherever_the_curve_stops(count, stop, ranks):
    counts = count()
    curve = forecast(counts, EVERYTHING, ranked(counts), stop).curve()
    assert curve["rank"].tolist() == ranks
    assert curve["traced_conn_frac"].round(9).tolist() == [round(n / 6, 9) for n in (1, 3, 5, 6)][: len(ranks)]


def test_a_report_without_connections_has_no_rows(count):
    report = within(NAMES, "<unspecified>")
    counts = count(report)
    bodies = ranked(counts, report)
    result = forecast(counts, report, bodies, 1e6)
    table = pa.Table.from_batches(ConnectionTable(result).batches([]))
    assert (len(bodies), len(result.curve()), table.num_rows) == (0, 0, 0)
    assert next(iter(bodies.batches())).schema.names[0] == "body"


def test_capture_counts_connections_by_the_psds_roi_alone(count):
    report = within(NAMES, "EB")
    counts = count(report)
    captured = capture_table(counts, report, np.isin(counts.bodies, [A, B]))
    assert captured.to_dict("list") == {
        "body_pre": [A, B],
        "captured": [1, 0],
        "not_captured": [0, 1],
        "downstream": [1, 1],
        "presyn": [1, 1],
        "capture_frac": [1.0, 0.0],
    }, "what is connected to body 0 is not captured"


@pytest.mark.parametrize("captured", [[], [D], [99]])
def test_there_is_no_capture_table_if_one_side_has_no_captured_body(count, captured):
    counts = count(annotated=[99])
    assert capture_table(counts, EVERYTHING, np.isin(counts.bodies, captured)) is None


def test_sites_are_all_points_in_the_rois(tmp_path, engine):
    counted(tmp_path / "counts", engine, CONNECTIONS)
    assert count_sites(engine, [EVERYTHING, within(NAMES, "EB"), within(NAMES, "EB", "FB")]) == [(4, 7), (2, 4), (3, 7)]


def table_of(engine, counts, report, stop=1e6, status=()):
    bodies = ranked(counts, report, status)
    result = forecast(counts, report, bodies, stop)
    statement, ranks = counts.ranked_connections(report, bodies.body[: len(result.first) - 1])
    with engine.registered(**{RANKS: ranks}), engine.stream(statement, 3) as stream:
        return result, pa.Table.from_batches(ConnectionTable(result).batches(stream)).to_pandas()


def test_the_connection_table_walks_down_the_connections_by_rank(count, engine):
    _, table = table_of(engine, count(), EVERYTHING)
    shown = ["pre_id", "body_pre", "body_post", "min_rank", "max_rank", "cumulative_traced_postsyn", "body_max_rank"]
    assert table[shown].to_numpy().tolist() == [
        [1, A, A, 1, 1, 2, A],
        [1, A, B, 1, 2, 4, B],
        [1, A, B, 1, 2, 4, B],
        [3, C, A, 1, 3, 6, C],
        [2, B, C, 2, 3, 6, C],
        [4, D, C, 3, 4, 6, D],
    ]
    assert table["cumulative_traced_conn"].tolist() == [1, 2, 3, 4, 5, 6]
    assert list(table.columns[18:23]) == [
        "presyn_max_rank",
        "postsyn_max_rank",
        "status",
        "outputpartners",
        "synweight_max_rank",
    ]


bodies_drawn = st.sampled_from([0, A, B, C, D, 15, 16])
connections_drawn = st.lists(
    st.tuples(st.integers(1, 6), bodies_drawn, st.sampled_from(NAMES)), min_size=1, max_size=25
)


@settings(max_examples=40)
@given(
    connections_drawn,
    st.lists(st.tuples(st.sampled_from([0, A, B, C]), st.sampled_from(NAMES)), min_size=6, max_size=6),
    st.sampled_from([(), ("EB",), ("EB", "FB"), ("<unspecified>",)]),
    st.sampled_from(["both-ends", "post"]),
    st.sampled_from([1e6, 3]),
    st.dictionaries(bodies_drawn, st.sampled_from(["Traced", "Orphan"])),
)
def test_curve_and_table_are_those_of_a_walk_over_all_connections(
    tmp_path_factory, drawn, tbars, rois, rule, stop, status
):
    connections = [(tbar, tbars[tbar - 1][0], body, tbars[tbar - 1][1], roi) for tbar, body, roi in drawn]
    root = tmp_path_factory.mktemp("walk")
    engine = engine_of(root)
    names = tuple(define(engine, connections).categories)
    report = within(names, *(roi for roi in rois if roi in names), rule=rule) if rois else EVERYTHING
    counts = counted(root / "counts", engine, connections, report, EVERYTHING)
    result, table = table_of(engine, counts, report, stop, status.items())
    bodies = result.bodies

    inside = [c for c in connections if c[1] and c[2] and (not rois or c[4] in rois)]
    if rule == "both-ends":
        inside = [c for c in inside if not rois or c[3] in rois]
    assert bodies.connections == len(inside)
    presyn = Counter(body for _, body in {(c[0], c[1]) for c in inside})
    assert dict(zip(bodies.body.tolist(), bodies.presyn.tolist(), strict=True)) == {
        body: presyn[body] for c in inside for body in c[1:3]
    }
    rank = {body: place + 1 for place, body in enumerate(bodies.body.tolist())}
    kept = sorted(sorted((rank[c[1]], rank[c[2]]), reverse=True) for c in inside if max(rank[c[1]], rank[c[2]]) <= stop)
    mentioned, walked = set(), []
    for ends in kept:
        mentioned.update(ends)
        walked.append(sum(int(bodies.synweight[end - 1]) for end in mentioned))
    assert table["cumulative_traced_synweight"].tolist() == walked
    assert table[["max_rank", "min_rank"]].to_numpy().tolist() == kept

    last = table.drop_duplicates("max_rank", keep="last")
    curve = result.curve()
    assert curve["rank"].tolist() == last["max_rank"].tolist()
    assert curve["body"].tolist() == last["body_max_rank"].tolist()
    for name in ("traced_presyn_frac", "traced_postsyn_frac", "traced_synweight_frac", "traced_conn_frac"):
        assert curve[name].tolist() == last[name].tolist()
    engine.close()
