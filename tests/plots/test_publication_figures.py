"""Publication figures show the numbers they are given, and their labels can be read."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.plots.files import PLOTLY_FILE, render, write_plotly_js
from flyem_snapshot.plots.publication_completion import completion_bars
from flyem_snapshot.plots.publication_grouped import compared_bars, sided_bars
from flyem_snapshot.plots.publication_mirror import mirrored_bars
from flyem_snapshot.plots.publication_numbers import completeness, read_group
from flyem_snapshot.plots.publication_style import MEASURES
from tests.plots.publication_snapshots import STATS, optic_lobes, write_summaries

CONNECTIONS = MEASURES["connections"]


def at_leaves(tmp_path, rows, label="A"):
    return completeness(read_group(label, write_summaries(tmp_path / label, rows)), "Leaves")


@pytest.fixture
def lobes(tmp_path):
    return at_leaves(tmp_path, optic_lobes())


def many(count, seed=0):
    """ROIs of sizes from 1 to a million, on both sides, with names of all lengths."""
    chance = random.Random(seed)
    words = ["ME", "a'L", "VLNP", "CRE(-ROB,-RUB)", "FB-column", "a region with a very long name indeed"]
    rows = []
    for number in range(count):
        name = f"{words[number // 2 % len(words)]}{number // 2}({'LR'[number % 2]})"
        values = [chance.uniform(0.02, 0.95) for _ in STATS]
        shares = {stat: (value / 4, value / 2, value, value) for stat, value in zip(STATS, values, strict=True)}
        size = 10 ** chance.uniform(0, 6)
        rows.append((name, round(size / 7), round(size) + 1, shares))
    return rows


def annotations(figure):
    return [note["text"] for note in figure["layout"]["annotations"]]


def test_a_completion_bar_is_as_wide_as_its_share_of_psds_and_as_high_as_it_is_complete(lobes):
    figure = completion_bars(lobes, CONNECTIONS, 1200, keep_order=False)
    (bars,) = figure["data"]

    # EB 80, ME(R) 400, ME(L) 360, LO(R) 200, LO(L) 160 of 1200 PSDs, the most complete first
    assert bars["y"] == pytest.approx([90, 60, 40, 30, 20])
    assert bars["width"] == pytest.approx([80 / 12, 400 / 12, 360 / 12, 200 / 12, 160 / 12])
    assert bars["x"] == pytest.approx([40 / 12, 280 / 12, 660 / 12, 940 / 12, 1120 / 12])
    assert bars["customdata"][0][:2] == ["EB", "80"]


def test_the_dotted_line_is_the_mean_weighted_by_psds(lobes):
    figure = completion_bars(lobes, CONNECTIONS, 1200, keep_order=False)
    mean = (0.9 * 80 + 0.6 * 400 + 0.4 * 360 + 0.3 * 200 + 0.2 * 160) / 1200

    (line,) = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "line"]
    assert (line["y0"], line["y1"], line["line"]["dash"]) == (
        pytest.approx(100 * mean),
        pytest.approx(100 * mean),
        "dot",
    )
    assert annotations(figure)[-1] == "mean 45.7 %, weighted by PSDs"


def test_the_order_that_was_asked_for_is_kept(lobes):
    kept = completion_bars(lobes, CONNECTIONS, 1200, keep_order=True)

    assert [row[0] for row in kept["data"][0]["customdata"]] == list(lobes["roi"])


def test_an_roi_without_psds_has_no_completion_bar(tmp_path):
    table = at_leaves(tmp_path, [("EB", 0, 0, (0,) * 4), ("FB", 1, 10, (0.5,) * 4)])
    figure = completion_bars(table, CONNECTIONS, 1200, keep_order=False)

    assert annotations(figure)[:1] == ["FB"]
    assert figure["data"][0]["y"] == [50]


@pytest.mark.parametrize(
    "draw",
    [
        lambda t: completion_bars(t, CONNECTIONS, 900, keep_order=False),
        lambda t: mirrored_bars(t, 900, keep_order=False),
    ],
)
def test_without_synapses_a_figure_says_so(tmp_path, draw):
    table = at_leaves(tmp_path, [("EB", 0, 0, (0,) * 4)])

    assert annotations(draw(table)) == ["no synapses in these ROIs"]


def test_labels_that_do_not_fit_are_left_to_the_largest_rois(tmp_path, caplog):
    rows = [(f"R{number}", 1, 1 + number, (0.5,) * 4) for number in range(60)]
    figure = completion_bars(at_leaves(tmp_path, rows), CONNECTIONS, 500, keep_order=False)

    assert set(annotations(figure)[:-1]) == {f"R{number}" for number in range(30, 60)}
    assert "30 of 60 ROIs, the smallest, have no label at this width; --width 889 labels all" in caplog.text


def test_t_bars_are_mirrored_by_psds(tmp_path):
    shares = {stat: (value,) * 4 for stat, value in zip(STATS, (0.8, 0.3, 0.5, 0.2), strict=True)}
    table = at_leaves(tmp_path, [("FB", 10, 40, shares), ("EB", 30, 40, (0.4,) * 4)])
    figure = mirrored_bars(table, 1200, keep_order=False)
    tbars, psds = figure["data"]

    assert (tbars["x"], psds["x"]) == (pytest.approx([40, 80]), pytest.approx([40, 30]))
    assert (figure["layout"]["xaxis"]["range"], figure["layout"]["xaxis2"]["range"]) == ([100, 0], [0, 100])
    # (0.8 * 10 + 0.4 * 30) / 40, and (0.3 + 0.4) / 2
    assert annotations(figure) == ["EB", "FB", "<b>T-bars</b>, mean 50.0 %", "<b>PSDs</b>, mean 35.0 %"]


def bars_of(figure, name):
    return next(trace for trace in figure["data"] if trace["type"] == "bar" and trace["name"].startswith(name))


def test_a_region_has_a_bar_to_the_mean_of_its_sides_and_whiskers_to_each(lobes):
    figure = sided_bars(lobes, 1200, keep_order=False)
    bars = bars_of(figure, "connections")
    left, right = (t for t in figure["data"] if t["type"] == "scatter" and t.get("legendgroup") == "connections")

    assert figure["layout"]["yaxis"]["ticktext"] == ["EB", "ME", "LO"]
    assert bars["x"] == pytest.approx([90, 50, 25])
    assert bars["error_x"]["array"] == pytest.approx([0, 10, 5])
    assert bars["error_x"]["arrayminus"] == pytest.approx([0, 10, 5])
    assert (left["x"], right["x"]) == ([None, 40, 20], [None, 60, 30])
    assert bars["customdata"] == [
        ["EB", ""],
        ["ME", "<br>left 40.0 %, right 60.0 %"],
        ["LO", "<br>left 20.0 %, right 30.0 %"],
    ]


def test_snapshots_stand_beside_each_other_in_the_regions_they_share(tmp_path):
    one = at_leaves(tmp_path, optic_lobes())
    other = at_leaves(
        tmp_path, [("LO_R", 1, 100, (0.8,) * 4), ("ME_L", 1, 300, (0.2,) * 4), ("X", 1, 1, (1,) * 4)], "B"
    )
    figure = compared_bars([one, other], CONNECTIONS, 1200, keep_order=False)

    # ME is 0.5 and 0.2, LO is 0.25 and 0.8: LO comes first.  EB and X are in one snapshot only.
    assert figure["layout"]["yaxis"]["ticktext"] == ["LO", "ME"]
    assert bars_of(figure, "A")["x"] == pytest.approx([25, 50])
    assert bars_of(figure, "B")["x"] == pytest.approx([80, 20])
    # (0.6 * 400 + 0.4 * 360 + 0.3 * 200 + 0.2 * 160) / 1120, and (0.8 * 100 + 0.2 * 300) / 400
    assert [bars_of(figure, name)["name"] for name in "AB"] == ["A (mean 42.5 %)", "B (mean 35.0 %)"]


def test_names_from_outside_stay_text(tmp_path):
    rows = [("<b>EB</b>&amp;", 1, 10, (0.5,) * 4)]
    table = at_leaves(tmp_path, rows, "a <i>label</i>")
    figures = [
        completion_bars(table, CONNECTIONS, 1200, keep_order=False),
        mirrored_bars(table, 1200, keep_order=False),
        sided_bars(table, 1200, keep_order=False),
    ]

    for figure in figures:
        assert "&lt;b&gt;EB&lt;/b&gt;&amp;amp;" in str(figure)
        assert "<b>EB" not in str(figure)
        assert "<i>" not in str(figure)


def page_of(opened, folder, figure):
    """The page of a figure, in a window that is narrower than the figure, which keeps its size."""
    out = OutputDir(folder)
    write_plotly_js(out, ".")
    out.write_text("f.html", render("publication.html", title="f", figure=figure, library=PLOTLY_FILE))
    page = opened(folder / "f.html", width=640)
    page.wait_for_selector(".gtitle")
    return page


def test_a_page_tells_the_numbers_of_a_bar_and_offers_no_upload(opened, tmp_path, lobes):
    page = page_of(opened, tmp_path, mirrored_bars(lobes, 640, keep_order=False))
    buttons = page.evaluate("[...document.querySelectorAll('.modebar-btn')].map(b => b.getAttribute('data-title'))")
    bar = page.locator(".barlayer path").first.bounding_box()
    page.mouse.move(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2)
    page.wait_for_selector(".hovertext")

    assert "Download plot" in buttons
    assert not [button for button in buttons if "share" in button.lower()]
    assert "EB90.0 % of 30 T-bars" in page.locator(".hovertext").first.text_content()


def texts_of(opened, folder, figure):
    """Every text of the page and its box in pixels, and the size of the figure."""
    return page_of(opened, folder, figure).evaluate(
        """() => {
            const of = (element) => element.getBoundingClientRect();
            const plot = of(document.querySelector("#plot"));
            const texts = [...document.querySelectorAll("#plot svg text")].filter((text) => text.textContent.trim());
            const boxes = texts.map((text) => [text.textContent, of(text)]).map(([text, box]) =>
                [text, [box.left - plot.left, box.top - plot.top, box.right - plot.left, box.bottom - plot.top]]);
            return [boxes, [plot.width, plot.height]];
        }"""
    )


def overlapping(boxes):
    """The pairs of texts that cover each other by more than the rounding of a pixel."""
    found = []
    for (one, a), (other, b) in combinations(boxes, 2):
        across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        if across > 1 and down > 1:
            found.append((one, other))
    return found


@pytest.mark.parametrize(("count", "width"), [(1, 500), (80, 500), (80, 1200)])
def test_no_label_covers_another_or_leaves_the_figure(opened, tmp_path, count, width):
    table, other = (
        at_leaves(tmp_path, many(count)),
        at_leaves(tmp_path, many(count), "another snapshot with a long name"),
    )
    figures = {
        "completion": completion_bars(table, CONNECTIONS, width, keep_order=False),
        "mirror": mirrored_bars(table, width, keep_order=False),
        "sides": sided_bars(table, width, keep_order=False),
        "comparison": compared_bars([table, other], CONNECTIONS, width, keep_order=False),
    }
    for name, figure in figures.items():
        boxes, (across, down) = texts_of(opened, tmp_path, figure)

        assert len(boxes) > min(count, 25)
        assert across == width
        assert not overlapping(boxes), name
        outside = [
            text
            for text, (left, top, right, bottom) in boxes
            if left < -1 or top < -1 or right > across + 1 or bottom > down + 1
        ]
        assert not outside, name
