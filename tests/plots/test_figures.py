"""What the figures show, read from the figures themselves."""

import base64
import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.plots.bars import arranged, stacked_bars
from flyem_snapshot.plots.capture import capture_histogram, worst_status
from flyem_snapshot.plots.curves import cumulative_curves, hover_rows, moved_apart, sampled
from flyem_snapshot.plots.palette import shades
from flyem_snapshot.plots.reports import report_set_plots
from flyem_snapshot.plots.status_counts import status_count_bars
from tests.plots.made_up import BEST, LINKS, curve, empty_report, report, report_set, summary

FIRST_BODY = 2**53 + 1


def values(array):
    return np.frombuffer(base64.b64decode(array["bdata"]), dtype=array["dtype"])


def plain_of(figure):
    """The figure without what only our pages read, to be checked by plotly itself."""
    return go.Figure(figure)


def drawn(one, most=20_000):
    return cumulative_curves(one, sampled(one.curve, most), "v1")


def test_every_figure_has_only_properties_that_plotly_knows():
    one = report_set(6, 300)
    odd = replace(one, reports=[report("x", 40, status=False), empty_report("none")], summaries=[])

    for plots in (report_set_plots(one, "v1", LINKS), report_set_plots(odd, "v1", None)):
        for plot in plots:
            plain_of(plot.figure)


def test_each_status_has_four_curves_in_its_two_shades():
    figure = drawn(report("EB", 2000))

    traced = [trace for trace in figure["data"] if trace["name"] == "Roughly traced"]
    both = shades("Roughly traced")
    assert [trace["line"]["color"] for trace in traced] == [both.strong, both.strong, both.pale, both.pale]
    assert [trace["showlegend"] for trace in traced] == [True, False, False, False]


def test_pieces_of_a_curve_meet():
    one = report("EB", 2000)
    figure = drawn(one)

    connections = [trace for trace in figure["data"] if trace["line"]["width"] == 3.2]
    for before, after in itertools.pairwise(connections):
        assert values(before["x"])[-1] == values(after["x"])[0]
        assert values(before["y"])[-1] == values(after["y"])[0]
    assert values(connections[-1]["x"])[-1] == one.curve["rank"].iloc[-1]


def test_a_point_knows_its_body_as_text():
    rows = hover_rows(curve(50))

    assert rows[0][:2] == ["9007199254740993", "Traced"]
    assert [row[0] for row in rows] == [str(FIRST_BODY + index) for index in range(50)]


def test_bodies_that_wait_have_their_size_on_the_right_axis():
    one = report("EB", 2000)
    right = [trace for trace in drawn(one)["data"] if trace.get("yaxis") == "y2"]

    waiting = one.curve[one.curve["status"].isin(["Anchor", "0.5assign", ""])]
    assert np.concatenate([values(trace["y"]) for trace in right]).tolist() == waiting["synweight"].tolist()
    assert drawn(one)["layout"]["yaxis2"]["side"] == "right"


def test_without_such_bodies_there_is_no_right_axis():
    one = report("EB", 2000)
    figure = drawn(replace(one, curve=one.curve[one.curve["status"] == "Traced"]))

    assert "yaxis2" not in figure["layout"]


def test_without_statuses_there_is_one_line_for_each_fraction():
    figure = drawn(report("EB", 2000, status=False))

    assert [trace["name"] for trace in figure["data"]] == ["connections", "synweight", "T-bars", "PSDs"]
    assert len({trace["line"]["color"] for trace in figure["data"]}) == 4


def test_a_report_without_synapses_says_so():
    figure = drawn(empty_report("nothing"))

    assert figure["data"] == []
    assert [note["text"] for note in figure["layout"]["annotations"]] == ["no synapses"]


def test_a_single_body_is_drawn_as_points():
    figure = drawn(report("one", 1))

    assert {trace["mode"] for trace in figure["data"]} == {"lines+markers"}
    assert values(figure["data"][0]["x"]).tolist() == [1]


def test_long_curves_are_thinned_but_keep_the_ends_of_every_status():
    table = curve(30_000)
    thin = sampled(table, 1000)

    assert len(thin) <= 1000 + 18
    for status in table["status"].unique():
        ranks, kept = (rows.loc[rows["status"] == status, "rank"] for rows in (table, thin))
        assert (kept.iloc[0], kept.iloc[-1]) == (ranks.iloc[0], ranks.iloc[-1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4).map(sorted))
def test_labels_are_moved_apart_and_stay_in_order(heights):
    places = moved_apart(heights, 0.05, 0.0, 1.0)

    assert all(after - before >= 0.05 - 1e-9 for before, after in itertools.pairwise(places))
    assert places[0] >= -1e-9
    assert places[-1] <= 1 + 1e-9


@given(st.lists(st.floats(0, 1e8), min_size=1, max_size=120), st.floats(160, 1200))
def test_bars_never_meet_and_labels_have_a_line_each(counts, height):
    thickness, centres, total = arranged(counts, height)

    assert all(after - before >= 20 - 1e-6 for before, after in itertools.pairwise(centres))
    edges = [(centre - thick / 2, centre + thick / 2) for centre, thick in zip(centres, thickness, strict=True)]
    assert all(after[0] >= before[1] for before, after in itertools.pairwise(edges))
    assert min(thickness) >= 3
    assert total <= max(height, 20 * len(counts)) + 1e-6
    assert edges[-1][1] <= total


def test_bars_are_as_thick_as_their_counts():
    thickness, _, _ = arranged([1000, 500, 250], 240)

    assert thickness[0] == pytest.approx(2 * thickness[1])
    assert thickness[0] == pytest.approx(4 * thickness[2])


def bars(measure="presyn", *, by_total=False):
    reports = [report("small", 60, 3), report("<b>large</b>", 900, 1), report("middle", 300, 2)]
    return stacked_bars(summary("g", reports), measure, "title", by_total=by_total), reports


def test_bars_stack_the_share_of_each_status():
    (figure, _), reports = bars()

    table = summary("g", reports).by_status["traced_presyn_frac"]
    assert [trace["name"] for trace in figure["data"]] == list(BEST)
    for trace in figure["data"]:
        assert trace["x"] == pytest.approx(table[trace["name"]].tolist(), abs=1e-5)


def test_bars_come_in_the_given_order_or_by_total():
    (given_order, _), _ = bars()
    (by_total, _), _reports = bars(by_total=True)

    assert given_order["layout"]["yaxis"]["ticktext"] == ["small", "&lt;b&gt;large&lt;/b&gt;", "middle"]
    totals = [sum(trace["x"][row] for trace in by_total["data"]) for row in range(3)]
    assert totals == sorted(totals, reverse=True)


def test_a_bar_tells_its_name_count_and_every_status():
    (_, rows), reports = bars("postsyn")

    lines = rows[1][0].split("<br>")
    assert lines[:2] == ["<b>&lt;b&gt;large&lt;/b&gt;</b>", f"{reports[1].postsyn:,} PSDs"]
    assert [line.rsplit(" ", 1)[0] for line in lines[2:]] == list(BEST)


def test_the_histogram_counts_every_body_once():
    fractions = pd.Series([0.0, 0.005, 0.5, 0.999, 1.0], dtype="float32")
    figure = capture_histogram(fractions, "title")

    counts = dict(zip(figure["data"][0]["x"], figure["data"][0]["y"], strict=True))
    assert {middle: count for middle, count in counts.items() if count} == {0.01: 2, 0.51: 1, 0.99: 2}


def test_the_worst_capture_status_is_found_in_the_vocabulary():
    assert worst_status(["Traced", "Anchor", "Leaves"]) == "Anchor"
    assert worst_status([]) == ""


def test_status_counts_keep_their_order_and_colours():
    figure = status_count_bars({"Traced": 3, "Orphan": 1200}, "body status counts (v1)")

    (trace,) = figure["data"]
    assert trace["x"] == [3, 1200]
    assert trace["text"] == ["3", "1,200"]
    assert trace["marker"]["color"] == [shades("Traced").strong, shades("Orphan").strong]
    assert figure["layout"]["yaxis"]["ticktext"] == ["Traced", "Orphan"]
    low_on_the_page, high = figure["layout"]["yaxis"]["range"]
    assert low_on_the_page > high


def test_status_counts_of_nothing_say_so():
    figure = status_count_bars({}, "body status counts (v1)")

    assert figure["layout"]["annotations"][0]["text"] == "no body has a status"
