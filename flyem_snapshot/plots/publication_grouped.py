"""Publication figures with both sides of a region in one bar: several measures, or several snapshots, in groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from flyem_snapshot.plots.publication_numbers import weighted_mean
from flyem_snapshot.plots.publication_regions import by_region, shared_regions
from flyem_snapshot.plots.publication_style import (
    LABEL,
    MEASURES,
    Measure,
    heading,
    label,
    nothing,
    only,
    or_better,
    percent,
    percents,
    share_axis,
    text_width,
)
from flyem_snapshot.plots.style import INK, Figure, axis, layout, plain, shortened

COLOURS: Final = ("#0b4f9e", "#f2a900", "#3f8f3c", "#c2331f", "#35b7d8", "#7a3fa0", "#8c5a00", "#6f6f6f")
"""One for each snapshot, in order; from the ninth on they begin again."""

_LEFT: Final = 20
_RIGHT: Final = 30
_BOTTOM: Final = 45
_BAR: Final = 9  # pixels of a bar
_GAP: Final = 8  # pixels between two groups
_COLUMN: Final = 420  # pixels at least, for a column of bars and its labels
_BETWEEN: Final = 24  # pixels between two columns
_ROWS: Final = 14  # groups at least, for a column beside another


@dataclass(frozen=True)
class _Series:
    """The bars of one colour: a row of `by_region` for each region, by its name."""

    name: str
    colour: str
    regions: pd.DataFrame


def sided_bars(table: pd.DataFrame, width: int, *, keep_order: bool) -> Figure:
    """For each region and measure (connections, T-bars, PSDs) a bar to the mean of both sides, whiskers to each side.

    `table` is the completeness of one snapshot.  The region whose connections are most complete comes first unless
    the order is to be kept.
    """
    details = (only(table, "dataset"), or_better(only(table, "status")), "bars: mean of left and right")
    top = heading("Completion of regions on both sides", *details, width=width)
    series = [
        _Series(measure.short, measure.colour, by_region(table, measure.stat).set_index("roi_base"))
        for measure in (MEASURES["connections"], MEASURES["presyn"], MEASURES["postsyn"])
    ]
    names = list(series[0].regions.index)
    return _grouped(top, series, names if keep_order else _best_first(series[:1], names), width)


def compared_bars(tables: Sequence[pd.DataFrame], measure: Measure, width: int, *, keep_order: bool) -> Figure:
    """For each region that two snapshots share, and each snapshot, a bar to the mean of both sides, whiskers to each.

    `tables` are the completeness of one snapshot each.  The region that is most complete over all comes first unless
    the order, which is that of the first table, is to be kept.  SnapshotError: they share no region.
    """
    names = shared_regions(tables)
    details = (
        or_better(only(tables[0], "status")),
        "bars: mean of left and right; in brackets: mean of these ROIs, weighted by PSDs",
    )
    top = heading(f"ROI completion: {measure.words}", *details, width=width)
    series = []
    for number, table in enumerate(tables):
        compared = table[table["roi_base"].isin(names)]
        regions = by_region(compared, measure.stat).set_index("roi_base")
        mean = weighted_mean(compared[measure.stat], compared["PostSyn"])
        name = shortened(only(table, "dataset"), 40) + ("" if mean is None else f" (mean {percent(mean)})")
        series.append(_Series(name, COLOURS[number % len(COLOURS)], regions))
    return _grouped(top, series, names if keep_order else _best_first(series, names), width)


def _best_first(series: Sequence[_Series], names: Sequence[str]) -> list[str]:
    """The regions by their mean over all series, the most complete first."""
    means = pd.concat([one.regions["mean"] for one in series], axis=1).mean(axis=1)
    table = pd.DataFrame({"mean": means.reindex(list(names)), "name": list(names)})
    return list(table.sort_values(["mean", "name"], ascending=[False, True])["name"])


def _grouped(top: dict[str, Any], series: Sequence[_Series], names: Sequence[str], width: int) -> Figure:
    """Horizontal bars in groups, one a region, in as many columns as the width holds."""
    if not names:
        return nothing(top, width)
    inner = width - _LEFT - _RIGHT
    columns = max(1, min(inner // _COLUMN, math.ceil(len(names) / _ROWS)))
    length = math.ceil(len(names) / columns)
    group = len(series) * _BAR + _GAP
    top_margin = 92 + 20 * _legend_lines(series, inner)
    settings = layout(
        width,
        top_margin + group * length + _BOTTOM,
        title=top,
        margin={"l": _LEFT, "r": _RIGHT, "t": top_margin, "b": _BOTTOM},
        barmode="overlay",
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "traceorder": "normal"},
    )
    traces: list[dict[str, Any]] = []
    labels = text_width(names) + 12
    for column in range(columns):
        part = names[column * length : (column + 1) * length]
        number = str(column + 1) if column else ""
        start = column * inner / columns + labels
        end = (column + 1) * inner / columns - (_BETWEEN if column < columns - 1 else 0)
        settings[f"xaxis{number}"] = share_axis(end - start) | {
            "domain": [start / inner, end / inner],
            "range": [0, 101],  # room for a mark at the end
            "anchor": f"y{number}",
        }
        settings[f"yaxis{number}"] = _rows(part, length) | {"anchor": f"x{number}"}
        for order, one in enumerate(series):
            offset = (order - (len(series) - 1) / 2) * _BAR / group
            traces += _traces(one, part, number, offset, _BAR / group, first=not column)
    return {"data": [*traces, *_key()], "layout": settings}


def _legend_lines(series: Sequence[_Series], inner: int) -> int:
    """How many lines the legend takes; all its entries are as wide as the widest once they do not fit in one."""
    entries = [round(len(one.name) * 7.5) + 50 for one in series] + [110, 110]
    return 1 if sum(entries) <= inner else math.ceil(len(entries) / max(1, inner // max(entries)))


def _rows(names: Sequence[str], length: int) -> dict[str, Any]:
    """The axis of one column, which has room for `length` regions, the first on top."""
    return axis(
        range=[length - 0.5, -0.5],
        showgrid=False,
        ticks="",
        tickmode="array",
        tickvals=list(range(len(names))),
        ticktext=[label(name) for name in names],
        tickfont={"size": LABEL, "color": INK},
    )


def _traces(
    one: _Series, names: Sequence[str], number: str, offset: float, thickness: float, *, first: bool
) -> list[dict[str, Any]]:
    """The bars of one series in one column, with whiskers, and the marks of the left and the right side."""
    regions = one.regions.reindex(list(names))
    rows = [row + offset for row in range(len(names))]
    places = {"xaxis": f"x{number}", "yaxis": f"y{number}", "legendgroup": one.name}
    bars = {
        "type": "bar",
        "orientation": "h",
        "name": plain(one.name),
        "showlegend": first,
        "x": percents(regions["mean"]),
        "y": rows,
        "width": thickness * 0.9,
        "marker": {"color": one.colour},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": percents((regions["high"] - regions["mean"]).fillna(0)),
            "arrayminus": percents((regions["mean"] - regions["low"]).fillna(0)),
            "color": INK,
            "thickness": 1,
            "width": 0,
        },
        "customdata": [[plain(name), _sides_told(left, right)] for name, left, right in _sides(names, regions)],
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{x:.1f} %%{customdata[1]}<extra>" + plain(one.name) + "</extra>",
    }
    marks = [
        _mark(side, percents(regions[side].where(regions["left"].notna() & regions["right"].notna())), rows) | places
        for side in ("left", "right")
    ]
    return [bars | places, *marks]


def _sides(names: Sequence[str], regions: pd.DataFrame) -> list[tuple[str, float, float]]:
    return list(zip(names, regions["left"], regions["right"], strict=True))


def _sides_told(left: float, right: float) -> str:
    """What hovering over a bar tells of its sides."""
    told = [f"{name} {percent(side)}" for name, side in (("left", left), ("right", right)) if not math.isnan(side)]
    return f"<br>{', '.join(told)}" if told else ""


def _mark(side: str, xs: Sequence[float | None], rows: Sequence[float]) -> dict[str, Any]:
    """Small triangles at the ends of whiskers: one points to the left for the left side, the other to the right."""
    return {
        "type": "scatter",
        "mode": "markers",
        "showlegend": False,
        "hoverinfo": "skip",
        "cliponaxis": False,
        "x": list(xs),
        "y": list(rows),
        "marker": {"symbol": f"triangle-{side}", "size": 7, "color": "#ffffff", "line": {"color": INK, "width": 1}},
    }


def _key() -> list[dict[str, Any]]:
    """The legend's entries for the triangles; they show nothing in the figure."""
    return [_mark(side, [None], [None]) | {"name": f"{side} side", "showlegend": True} for side in ("left", "right")]  # type: ignore[list-item]
