"""Plots of predicted neurotransmitters: how often they are confused, and how sure the predictions are."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import numpy as np
import pandas as pd

from flyem_snapshot.plots.files import Plot, PlotlyJs, render, write_plots
from flyem_snapshot.plots.style import AXIS, GRID, INK, Figure, axis, layout, plain, shortened, title
from flyem_snapshot.tables.neurotransmitters import UNCLEAR

if TYPE_CHECKING:
    from flyem_snapshot.engine.outdir import OutputDir

_COLOURS: Final = {
    "acetylcholine": "#0a3f9e",
    "gaba": "#c10900",
    "glutamate": "#069b58",
    "dopamine": "#d5a506",
    "serotonin": "#8949d6",
    "octopamine": "#d0630c",
    "tyramine": "#fa87c9",
    "histamine": "#3fd9c9",
    "glycine": "#5c0036",
    "unknown": "#816c4b",
    UNCLEAR: "#b9bfc6",
}
_OTHERS: Final = ("#5b7083", "#94708c", "#6d8a74", "#a08a5a")
_BINS: Final = 50
_CELL: Final = 64
_LONGEST: Final = 24


@dataclass(frozen=True)
class _Row:
    """A transmitter on the overview page: how many it is predicted for."""

    name: str
    colour: str
    bodies: int
    tbars: int
    types: int


def draw_neurotransmitters(
    out: OutputDir,
    folder: str,
    bodies: pd.DataFrame,
    confusion: pd.DataFrame | None,
    tag: str,
    plotly_js: PlotlyJs = "file",
) -> None:
    """Write the plots below `<folder>/html` and `<folder>/png`, and `<folder>/index.html`, which shows them.

    `bodies` and `confusion` are those of `tables.neurotransmitters.Neurotransmitters`.  Without ground truth there are
    no plots, only the page.
    """
    plots = neurotransmitter_plots(folder, bodies, confusion, tag)
    write_plots(out, plots, plotly_js, folder)
    below = len(folder) + 1
    cards = [
        {
            "caption": plot.title,
            "page": quote(plot.html[below:]),
            "picture": quote(plot.png[below:]) if plot.png in out.written else "",
        }
        for plot in plots
    ]
    rows = list(_rows(bodies))
    out.write_text(f"{folder}/index.html", render("neurotransmitters.html", tag=tag, cards=cards, rows=rows))


def neurotransmitter_plots(folder: str, bodies: pd.DataFrame, confusion: pd.DataFrame | None, tag: str) -> list[Plot]:
    """The confusion matrix, and the confidences of bodies and of cell types; none of them without ground truth."""
    return [] if confusion is None else list(_plots(folder, bodies, confusion, tag))


def _plots(folder: str, bodies: pd.DataFrame, confusion: pd.DataFrame, tag: str) -> Iterator[Plot]:
    heading = f"confusion of neurotransmitters ({tag})"
    yield Plot(confusion_map(confusion, heading), folder, f"neurotransmitter-confusion-{tag}", heading)
    heading = f"confidence of bodies' neurotransmitters ({tag})"
    figure = confidence_bars(
        bodies["predicted_nt_confidence"], bodies["predicted_nt"], bodies["total_nt_predictions"], heading, "T-bars"
    )
    yield Plot(figure, folder, f"body-confidences-{tag}", heading)
    heading = f"confidence of cell types' neurotransmitters ({tag})"
    types = cell_types(bodies)
    figure = confidence_bars(
        types["celltype_predicted_nt_confidence"],
        types["celltype_predicted_nt"],
        pd.Series(1, index=types.index),
        heading,
        "cell types",
    )
    yield Plot(figure, folder, f"celltype-confidences-{tag}", heading)


def cell_types(bodies: pd.DataFrame) -> pd.DataFrame:
    """One row of the body table for each cell type."""
    return bodies[bodies["cell_type"].notna()].drop_duplicates("cell_type")


def colour_of(transmitter: str) -> str:
    """The colour of a transmitter, always the same; one outside the list gets one of a few muted ones."""
    return _COLOURS.get(transmitter) or _OTHERS[zlib.crc32(transmitter.encode()) % len(_OTHERS)]


def confusion_map(confusion: pd.DataFrame, heading: str) -> Figure:
    """The confusion matrix: a row for each true transmitter, the first on top; shares are written into the cells."""
    names = [plain(shortened(name, _LONGEST)) for name in confusion.columns]
    shares, known = confusion.to_numpy(), confusion.to_numpy().sum(axis=1) > 0
    cells = {
        "type": "heatmap",
        "x": list(range(len(names))),
        "y": list(range(len(names))),
        "z": [[float(v) if row_known else None for v in row] for row, row_known in zip(shares, known, strict=True)],
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "colorscale": [[0, "#ffffff"], [0.5, "#7fa8d9"], [1, "#0a3f9e"]],
        "customdata": [[f"{row} predicted as {column}" for column in names] for row in names],
        "hovertemplate": "%{customdata}<br><b>%{z:.1%}</b><extra></extra>",
        "colorbar": {"tickformat": ".0%", "thickness": 14, "outlinecolor": AXIS, "len": 0.9},
    }
    size = _CELL * max(len(names), 3)
    margin = int(46 + 7.4 * max(map(len, names), default=4))
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "showgrid": False, "ticks": ""}
    arrangement = layout(
        size + margin + 110,
        size + margin + 110,
        title=title(heading, "share of the T-bars of each true transmitter (row) by predicted transmitter (column)"),
        xaxis=axis(title="predicted", range=[-0.5, len(names) - 0.5], tickangle=-45, **ticks),
        yaxis=axis(title="ground truth", range=[len(names) - 0.5, -0.5], **ticks),
        plot_bgcolor=GRID,
        annotations=list(_cell_texts(shares, known)),
        margin={"l": margin, "r": 90, "t": 84, "b": margin},
    )
    return {"data": [cells], "layout": arrangement}


def _cell_texts(shares: np.ndarray[Any, np.dtype[np.float64]], known: Sequence[bool]) -> Iterator[dict[str, Any]]:
    for row, values in enumerate(shares):
        for column, value in enumerate(values):
            if known[row] and value >= 0.005:
                colour = "#ffffff" if value > 0.6 else INK
                yield {"x": column, "y": row, "text": f"{value:.0%}", "showarrow": False, "font": {"color": colour}}
        if not known[row]:
            yield {"x": (len(values) - 1) / 2, "y": row, "text": "no data", "showarrow": False}


def confidence_bars(confidences: pd.Series, labels: pd.Series, weights: pd.Series, heading: str, noun: str) -> Figure:
    """How much there is of each confidence (0 to 1), in fifty bins, stacked by predicted transmitter.

    `weights` say how much each row counts for; rows without a confidence do not count.
    """
    known = confidences.notna()
    values, names = confidences[known].to_numpy(np.float64), labels[known].to_numpy(object)
    weight = weights[known].to_numpy(np.float64)
    edges = np.linspace(0, 1, _BINS + 1)
    centres = ((edges[:-1] + edges[1:]) / 2).round(4).tolist()
    traces = []
    for name in sorted(set(names), key=lambda each: (each == UNCLEAR, each)):
        chosen = names == name
        counts = np.histogram(values[chosen], bins=edges, weights=weight[chosen])[0]
        traces.append(
            {
                "type": "bar",
                "name": plain(shortened(str(name), _LONGEST)),
                "x": centres,
                "y": counts.round().astype(np.int64).tolist(),
                "width": 1 / _BINS,
                "marker": {"color": colour_of(str(name)), "line": {"color": "#ffffff", "width": 0.5}},
                "hovertemplate": f"<b>%{{y:,}} {noun}</b><br>of {plain(str(name))}, at %{{x:.2f}}<extra></extra>",
            }
        )
    arrangement = layout(
        1040,
        480,
        title=title(heading, f"{weight.sum():,.0f} {noun}, by predicted transmitter"),
        barmode="stack",
        bargap=0,
        xaxis=axis(title="confidence of the prediction", range=[-0.01, 1.01], dtick=0.1),
        yaxis=axis(title=noun, rangemode="tozero", tickformat=",d"),
        showlegend=True,
        legend={"x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top", "traceorder": "normal"},
        margin={"l": 100, "r": 190, "t": 84, "b": 62},
        meta={"narrow": {"margin.l": 58, "margin.r": 20, "xaxis.dtick": 0.25}},
    )
    return {"data": traces, "layout": arrangement}


def _rows(bodies: pd.DataFrame) -> Iterator[_Row]:
    """Each predicted transmitter with its numbers, the most frequent first, 'unclear' last."""
    of_bodies = bodies["predicted_nt"].value_counts()
    of_tbars = bodies.groupby("predicted_nt")["total_nt_predictions"].sum()
    of_types = cell_types(bodies)["celltype_predicted_nt"].value_counts()
    names = sorted({*of_bodies.index, *of_types.index}, key=lambda n: (n == UNCLEAR, -int(of_tbars.get(n, 0)), n))
    for name in names:
        counts = (int(numbers.get(name, 0)) for numbers in (of_bodies, of_tbars, of_types))
        yield _Row(str(name), colour_of(str(name)), *counts)
