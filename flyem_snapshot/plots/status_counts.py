"""How many bodies have each status, as bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from flyem_snapshot.plots.files import Plot, PlotlyJs, write_plots
from flyem_snapshot.plots.palette import shades, shown
from flyem_snapshot.plots.style import INK, Figure, axis, layout, plain, title

if TYPE_CHECKING:
    from flyem_snapshot.engine.outdir import OutputDir

_BAR: Final = 30


def draw_status_counts(out: OutputDir, counts: Mapping[str, int], tag: str, plotly_js: PlotlyJs = "file") -> None:
    """Write `reports/{html,png}/body-status-counts-<tag>`: bodies by status, in the given order, the first on top."""
    heading = f"body status counts ({tag})"
    figure = status_count_bars(counts, heading)
    write_plots(out, [Plot(figure, "reports", f"body-status-counts-{tag}", heading)], plotly_js)


def status_count_bars(counts: Mapping[str, int], heading: str) -> Figure:
    """A horizontal bar for each status, in its colour, with its number at the end."""
    labels = [plain(shown(status)) for status in counts]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": list(counts.values()),
        "y": list(range(len(counts))),
        "marker": {"color": [shades(status).strong for status in counts]},
        "text": [f"{count:,}" for count in counts.values()],
        "textposition": "outside",
        "cliponaxis": False,
        "textfont": {"size": 13, "color": INK},
        "customdata": labels,
        "hovertemplate": "<b>%{customdata}</b><br>%{x:,} bodies<extra></extra>",
    }
    arrangement = layout(
        900,
        _BAR * max(len(counts), 3) + 160,
        title=title(heading, f"{sum(counts.values()):,} bodies with a status, best on top"),
        xaxis=axis(title="bodies", tickformat=",d", rangemode="tozero", nticks=8),
        yaxis=axis(
            tickvals=list(range(len(counts))),
            ticktext=labels,
            range=[len(counts) - 0.5, -0.5],
            showgrid=False,
            ticks="",
            ticklabelstandoff=6,
        ),
        bargap=0.25,
        meta={"narrow": {"margin.r": 70, "xaxis.nticks": 3}},
        margin={"l": int(30 + 7.4 * max(map(len, labels), default=4)), "r": 110, "t": 84, "b": 62},
    )
    if not counts:
        arrangement["annotations"] = [
            {"text": "no body has a status", "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False}
        ]
    return {"data": [bars], "layout": arrangement}
