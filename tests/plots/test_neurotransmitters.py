"""Plots of neurotransmitters, read from the figures themselves and from the page that shows them."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.plots.facts import Facts
from flyem_snapshot.plots.files import write_plots
from flyem_snapshot.plots.neurotransmitters import (
    colour_of,
    confidence_bars,
    confusion_map,
    draw_neurotransmitters,
    neurotransmitter_plots,
)
from flyem_snapshot.plots.overview import write_overview
from tests.plots.made_up import report_set

NAMES = ["gaba", "a<b", "glutamate"]
CONFUSION = pd.DataFrame([[0.75, 0.25, 0], [0, 0, 0], [0.001, 0, 0.999]], index=NAMES, columns=NAMES)
BODIES = pd.DataFrame(
    {
        "cell_type": ["A", "A", None, "B", "<script>"],
        "total_nt_predictions": pd.array([60, 1, 5, 0, 100], dtype="Int32"),
        "predicted_nt_confidence": np.array([0.91, 0.91, 0.03, np.nan, 1.0], np.float32),
        "predicted_nt": ["gaba", "unclear", "unclear", "unclear", "a<b"],
        "celltype_total_nt_predictions": pd.array([61, 61, 5, 0, 100], dtype="Int32"),
        "celltype_predicted_nt": ["gaba", "gaba", None, "unclear", "a<b"],
        "celltype_predicted_nt_confidence": np.array([0.91, 0.91, np.nan, np.nan, 1.0], np.float32),
    },
    index=pd.Index([1, 2, 3, 4, 5], name="body"),
)


def test_the_overview_of_reports_shows_the_plots(tmp_path, opened):
    out = OutputDir(tmp_path)
    plots = neurotransmitter_plots("reports/neurotransmitters", BODIES, CONFUSION, "v1")
    write_plots(out, plots)
    write_overview(out, [report_set(1, 20)], Facts("v1"), plots)

    page = opened(tmp_path / "reports" / "index.html")
    section = page.locator("#transmitters")

    assert section.locator("h2").inner_text() == "Neurotransmitters"
    assert section.locator("img").count() == 3
    section.locator("a").first.click()
    page.wait_for_selector(".main-svg")
    assert page.title() == "confusion of neurotransmitters (v1)"


def test_every_figure_has_only_properties_that_plotly_knows():
    for bodies in (BODIES, BODIES[:0]):
        for plot in neurotransmitter_plots("nt", bodies, CONFUSION, "v1"):
            go.Figure(plot.figure)


def test_the_confusion_map_has_a_row_for_each_truth_and_says_where_nothing_is_known():
    figure = confusion_map(CONFUSION, "confusion")

    assert figure["data"][0]["z"] == [[0.75, 0.25, 0.0], [None, None, None], [0.001, 0.0, 0.999]]
    assert figure["layout"]["yaxis"]["ticktext"] == ["gaba", "a&lt;b", "glutamate"]
    assert figure["layout"]["yaxis"]["range"] == [2.5, -0.5], "the first on top"
    assert [(t["x"], t["y"], t["text"]) for t in figure["layout"]["annotations"]] == [
        (0, 0, "75%"),
        (1, 0, "25%"),
        (1.0, 1, "no data"),
        (2, 2, "100%"),
    ]


def test_confidences_are_stacked_by_transmitter_unclear_ones_last():
    known = BODIES["predicted_nt_confidence"], BODIES["predicted_nt"], BODIES["total_nt_predictions"]

    figure = confidence_bars(*known, "confidence", "T-bars")

    assert [trace["name"] for trace in figure["data"]] == ["a&lt;b", "gaba", "unclear"]
    of_gaba, unclear = figure["data"][1]["y"], figure["data"][2]["y"]
    assert of_gaba[45] == sum(of_gaba) == 60, "0.91 lies from 0.90 to 0.92"
    assert (unclear[45], unclear[1], sum(unclear)) == (1, 5, 6), "a body without T-bars has no confidence"
    assert figure["data"][0]["y"][49] == 100, "a confidence of 1 is in the last bin"
    assert figure["layout"]["title"]["subtitle"]["text"].startswith("166 T-bars")


def test_a_cell_type_counts_once():
    figure = list(neurotransmitter_plots("nt", BODIES, CONFUSION, "v1"))[2].figure

    assert {trace["name"]: sum(trace["y"]) for trace in figure["data"]} == {"a&lt;b": 1, "gaba": 1}


@pytest.mark.parametrize("name", ["gaba", "never heard of"])
def test_a_transmitter_always_has_the_same_colour(name):
    assert colour_of(name) == colour_of(name)
    assert colour_of(name).startswith("#")


def test_plots_and_their_page_are_written(tmp_path, pictures):
    out = OutputDir(tmp_path)

    draw_neurotransmitters(out, "nt", BODIES, CONFUSION, "v 1")

    assert set(out.written) == {
        "nt/index.html",
        "nt/plotly.min.js",
        *(
            f"nt/{kind}/{name}-v 1.{kind}"
            for kind in ("html", "png")
            for name in ("neurotransmitter-confusion", "body-confidences", "celltype-confidences")
        ),
    }
    page = (tmp_path / "nt" / "index.html").read_text()
    assert 'href="html/neurotransmitter-confusion-v%201.html"' in page
    assert 'src="png/body-confidences-v%201.png"' in page
    assert 'src="../plotly.min.js"' in (tmp_path / "nt" / "html" / "body-confidences-v 1.html").read_text()


def test_without_ground_truth_there_are_numbers_only(tmp_path):
    out = OutputDir(tmp_path)

    draw_neurotransmitters(out, "nt", BODIES, None, "v1")

    assert set(out.written) == {"nt/index.html"}
    page = (tmp_path / "nt" / "index.html").read_text()
    assert "There is no ground truth" in page
    names = [line.partition("</i>")[2].partition("</th>")[0] for line in page.splitlines() if "swatch" in line]
    assert names[1:] == ["a&lt;b", "gaba", "unclear"], "most T-bars first, unclear last"
