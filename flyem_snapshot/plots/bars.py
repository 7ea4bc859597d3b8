"""Stacked bars: what share of each region is captured by bodies of which status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from flyem_snapshot.connectome.report_tables import Summary
from flyem_snapshot.plots.palette import luminance, shades, shown
from flyem_snapshot.plots.style import INK, MUTED, Figure, axis, layout, plain, shortened, title

MEASURES: Final = MappingProxyType(
    {
        "presyn": ("traced_presyn_frac", "PreSyn"),
        "postsyn": ("traced_postsyn_frac", "PostSyn"),
        "connectivity": ("traced_conn_frac", "PostSyn"),
        "synweight": ("traced_synweight_frac", "PostSyn"),
    }
)
"""What the bars show: the fraction that gives their length, and the count that gives their thickness."""

_WIDTH: Final = 1040
_TALLEST: Final = 1200
_PER_BAR: Final = 80
_PITCH: Final = 20
"""Pixels from one label to the next, at least: labels are 13 pixels high."""

_THINNEST: Final = 3
_GAP: Final = 4
_TOP, _BOTTOM = 84, 62
_LETTER: Final = 7.4
_LONGEST: Final = 36


def stacked_bars(summary: Summary, measure: str, heading: str, *, by_total: bool) -> tuple[Figure, list[list[str]]]:
    """The bars of a group, and the text shown for each bar when it is pointed at.

    One bar for each report, the first on top; `by_total` puts the most complete on top.  A bar is as thick as its
    region has synapses, but never too thin to be seen, and no two labels are closer than a line of text.
    """
    stat, count = MEASURES[measure]
    table = summary.by_status[stat].reset_index(drop=True)
    statuses = list(summary.statuses)
    if by_total:
        order = (-table[statuses].sum(axis=1)).sort_values(kind="stable").index
        table = table.loc[order].reset_index(drop=True)
    totals = table[statuses].sum(axis=1)
    thickness, centres, plot_height = arranged(table[count].tolist(), max(min(_TALLEST, _PER_BAR * len(table)), 160))
    names = [shortened(str(name), _LONGEST) for name in table["name"]]
    noun = "T-bars" if count == "PreSyn" else "PSDs"
    arrangement = layout(
        _WIDTH,
        int(plot_height) + _TOP + _BOTTOM,
        title=title(heading, f"bars are as thick as the region has {noun}; the share that is captured, by status"),
        barmode="stack",
        bargap=0,
        xaxis=axis(title=f"captured share ({measure})", range=[0, 1], dtick=0.1, tickformat=".0%"),
        yaxis=axis(
            range=[plot_height, 0],
            tickvals=centres,
            ticktext=[plain(name) for name in names],
            showgrid=False,
            ticks="",
            ticklabelstandoff=6,
        ),
        margin={"l": int(30 + _LETTER * max(map(len, names), default=4)), "r": 250, "t": _TOP, "b": _BOTTOM},
        legend={
            "x": 1.09,
            "xanchor": "left",
            "y": 1,
            "yanchor": "top",
            "traceorder": "normal",
            "title": {"text": "<b>status</b>", "font": {"size": 13}},
            "font": {"size": 13, "color": INK},
        },
        annotations=list(_totals(totals.tolist(), centres)),
        meta={"narrow": {"margin.r": 62, "xaxis.dtick": 0.25}},
        uniformtext={"minsize": 10, "mode": "hide"},
    )
    traces = list(_traces(table, summary.statuses, thickness, centres))
    return {"data": traces, "layout": arrangement}, list(_hover(table, summary.statuses, count, noun))


def arranged(counts: Sequence[float], height: float) -> tuple[list[float], list[float], float]:
    """How thick each bar is and where its centre lies, in pixels from the top, and the height of them all.

    Bars are proportional to their counts; each takes at least a line of text, so a long list may need more height.
    """
    height = max(height, _PITCH * len(counts))
    most = max(counts, default=0.0)

    def bands(scale: float) -> list[float]:
        return [max(_PITCH, count * scale + _GAP) for count in counts]

    low, high = 0.0, (_PER_BAR - _GAP) / most if most else 0.0
    if sum(bands(high)) > height:
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if sum(bands(middle)) <= height else (low, middle)
        scale = low
    else:
        scale = high
    taken = bands(scale)
    ends = pd.Series(taken, dtype="float64").cumsum()
    centres = [float(end - band / 2) for end, band in zip(ends, taken, strict=True)]
    return [max(_THINNEST, count * scale) for count in counts], centres, float(sum(taken)) or height


def _traces(
    table: pd.DataFrame, statuses: Sequence[str], thickness: list[float], centres: list[float]
) -> Iterator[dict[str, Any]]:
    """One trace for each status; a share is written into its bar where there is room."""
    for status in statuses:
        share = table[status]
        colour = shades(status).strong
        written = [
            f"{value:.0%}" if value >= 0.05 and thick >= 14 else ""
            for value, thick in zip(share, thickness, strict=True)
        ]
        yield {
            "type": "bar",
            "orientation": "h",
            "name": plain(shown(status)),
            "x": share.round(6).tolist(),
            "y": centres,
            "width": thickness,
            "marker": {"color": colour, "line": {"color": "#ffffff", "width": 0.6}},
            "text": written,
            "textposition": "inside",
            "insidetextanchor": "middle",
            "textangle": 0,
            "insidetextfont": {"size": 12, "color": INK if luminance(colour) > 0.2 else "#ffffff"},
            "meta": {"rows": [0, len(table)]},
            "hovertemplate": "%{customdata[0]}<extra></extra>",
        }


def _totals(totals: Sequence[float], centres: Sequence[float]) -> Iterator[dict[str, Any]]:
    """The captured share of each region, in a column right of the bars."""
    yield _right_of("captured", 0, MUTED) | {"yref": "paper", "y": 1, "yanchor": "bottom", "yshift": 2}
    for total, centre in zip(totals, centres, strict=True):
        yield _right_of(f"<b>{total:.0%}</b>", centre, INK)


def _right_of(text: str, height: float, colour: str) -> dict[str, Any]:
    return {
        "text": text,
        "xref": "paper",
        "x": 1.012,
        "xanchor": "left",
        "y": height,
        "showarrow": False,
        "font": {"size": 13, "color": colour},
    }


def _hover(table: pd.DataFrame, statuses: Sequence[str], count: str, noun: str) -> Iterator[list[str]]:
    """For each bar its name, count and the share of every status."""
    for row in table.to_dict("records"):
        lines = [f"<b>{plain(str(row['name']))}</b>", f"{row[count]:,.0f} {noun}"]
        lines += [f"{plain(shown(status))} {row[status]:.1%}" for status in statuses]
        yield ["<br>".join(lines)]
