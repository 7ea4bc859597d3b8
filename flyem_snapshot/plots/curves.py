"""The completeness forecast: what share of a region is traced, once its best bodies are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from flyem_snapshot.connectome.report_tables import Report
from flyem_snapshot.plots.palette import shades, shown
from flyem_snapshot.plots.style import INK, MUTED, NAVY, Figure, axis, layout, numbers, plain, shortened, title

MAX_RANKS: Final = 20_000
"""At most about so many ranks are drawn; all of them are in the table beside the plot."""

WIDTH: Final = 1040
HEIGHT: Final = 580

_STATUSES_WITH_SYNWEIGHT: Final = frozenset({"Anchor", "0.5assign", ""})
"""Bodies that wait for a decision: their size says how much work is left."""

_SYNWEIGHT_TOP: Final = 250
_FEW: Final = 80
_PLOT_HEIGHT: Final = HEIGHT - 76 - 62


@dataclass(frozen=True)
class _Measure:
    """One of the four curves: its column, its name beside the curve, and how it is drawn."""

    column: str
    name: str
    strong: bool
    width: float
    dash: str
    plain_colour: str


_MEASURES: Final = (
    _Measure("traced_conn_frac", "connections", True, 3.2, "solid", "#0b4f9e"),
    _Measure("traced_synweight_frac", "synweight", True, 2.2, "dash", "#d0630c"),
    _Measure("traced_presyn_frac", "T-bars", False, 2.6, "solid", "#069b58"),
    _Measure("traced_postsyn_frac", "PSDs", False, 2.6, "dot", "#8949d6"),
)

_HOVER: Final = (
    "<b>body %{customdata[0]}</b><br>"
    "%{customdata[1]}, rank %{x:,}<br>"
    "T-bars %{customdata[2]:,}, PSDs %{customdata[3]:,}, synweight %{customdata[4]:,}<br>"
    "traced up to here: T-bars %{customdata[5]:.1%}, PSDs %{customdata[6]:.1%},<br>"
    "synweight %{customdata[7]:.1%}, connections %{customdata[8]:.1%}<extra></extra>"
)


def sampled(curve: pd.DataFrame, most: int = MAX_RANKS) -> pd.DataFrame:
    """At most about `most` rows of a curve: evenly spread, with the first and the last of each status."""
    if len(curve) <= most:
        return curve.reset_index(drop=True)
    spread = np.linspace(0, len(curve) - 1, most).round().astype(np.int64)
    ends = [row for first, end in _segments(curve) for row in (first, end - 1)]
    return curve.iloc[np.union1d(spread, np.array(ends, dtype=np.int64))].reset_index(drop=True)


def hover_rows(curve: pd.DataFrame) -> list[list[Any]]:
    """For each row of a curve: body (as text), status, its three counts, the four fractions."""
    fractions = ("traced_presyn_frac", "traced_postsyn_frac", "traced_synweight_frac", "traced_conn_frac")
    columns = [
        [str(body) for body in curve["body"].tolist()],
        [plain(shown(status)) for status in _statuses(curve)],
        *(curve[count].tolist() for count in ("presyn", "postsyn", "synweight")),
        *(curve[fraction].round(5).tolist() for fraction in fractions),
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def cumulative_curves(report: Report, curve: pd.DataFrame, tag: str) -> Figure:
    """The four curves of a report, coloured by status; `curve` is its (sampled) curve."""
    heading = title(f"{report.name}: connectivity by rank ({tag})", _in_numbers(report))
    last = int(curve["rank"].iloc[-1]) if len(curve) else 1
    arrangement = layout(
        WIDTH,
        HEIGHT,
        title=heading,
        xaxis=axis(
            title="body rank (best status first, then largest)", range=[0, last * 1.22], tickformat=",d", nticks=9
        ),
        yaxis=axis(title="traced share", range=[0, 1.02], dtick=0.1, tickformat=".0%"),
        legend=_legend(),
        margin={"l": 76, "r": 200, "t": 76, "b": 62},
        meta={"narrow": {"margin.l": 62, "xaxis.range": [0, last * 1.9], "xaxis.nticks": 4}},
    )
    if not len(curve):
        arrangement["annotations"] = [_centred("no synapses")]
        arrangement["xaxis"]["range"] = [0, 1]
        return {"data": [], "layout": arrangement}
    traces = list(_by_status(curve) if report.has_status else _by_measure(curve))
    if report.has_status and (waiting := list(_waiting(curve))):
        traces += waiting
        arrangement["yaxis2"] = axis(
            title="synweight of the body",
            range=[0, _SYNWEIGHT_TOP * 1.02],
            dtick=25,
            overlaying="y",
            side="right",
            showgrid=False,
            tickfont={"size": 13, "color": NAVY},
        )
        arrangement["legend"]["x"] = 1.09
        arrangement["meta"]["narrow"]["margin.r"] = 62
    arrangement["annotations"] = list(_end_labels(curve))
    return {"data": traces, "layout": arrangement}


def _in_numbers(report: Report) -> str:
    """The size of a report in one line."""
    where = shortened(", ".join(report.rois), 60) or "all regions"
    return (
        f"{where} · {report.bodies:,} bodies · {report.presyn:,} T-bars · {report.postsyn:,} PSDs · "
        f"{report.connections:,} connections"
    )


def _statuses(curve: pd.DataFrame) -> list[str]:
    return ["" if pd.isna(status) else str(status) for status in curve["status"].tolist()]


def _segments(curve: pd.DataFrame) -> list[tuple[int, int]]:
    """Where the status stays the same: pairs (first row, row after the last)."""
    codes, _ = pd.factorize(pd.Series(_statuses(curve), dtype="object"))
    starts = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist()] if len(codes) else []
    return list(zip(starts, [*starts[1:], len(codes)], strict=True))


def _by_status(curve: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The four curves in pieces of one status each; a piece begins where the one before ended."""
    statuses = _statuses(curve)
    named: set[str] = set()
    for first, end in _segments(curve):
        status = statuses[first]
        begin = max(first - 1, 0)
        colours = shades(status)
        for measure in _MEASURES:
            colour = colours.strong if measure.strong else colours.pale
            yield _line(curve, measure, begin, end, colour) | {
                "name": plain(shown(status)),
                "legendgroup": plain(shown(status)),
                "showlegend": status not in named,
            }
            named.add(status)


def _by_measure(curve: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The four curves, each in a colour of its own."""
    for measure in _MEASURES:
        yield _line(curve, measure, 0, len(curve), measure.plain_colour) | {"name": measure.name}


def _line(curve: pd.DataFrame, measure: _Measure, first: int, end: int, colour: str) -> dict[str, Any]:
    part = curve.iloc[first:end]
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(curve) <= _FEW else "lines",
        "x": numbers(part["rank"], "i4"),
        "y": numbers(part[measure.column], "f4"),
        "line": {"color": colour, "width": measure.width, "dash": measure.dash},
        "marker": {"size": 6, "color": colour},
        "meta": {"rows": [first, end]},
        "hovertemplate": _HOVER,
    }


def _waiting(curve: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The size of each body that waits for a decision, on the right axis; a line for each such status."""
    statuses = _statuses(curve)
    pieces = [piece for piece in _segments(curve) if statuses[piece[0]] in _STATUSES_WITH_SYNWEIGHT]
    for number, (first, end) in enumerate(pieces):
        yield {
            "type": "scatter",
            "mode": "lines+markers" if len(curve) <= _FEW else "lines",
            "x": numbers(curve["rank"].iloc[first:end], "i4"),
            "y": numbers(curve["synweight"].iloc[first:end], "f4"),
            "yaxis": "y2",
            "line": {"color": NAVY, "width": 1.5},
            "marker": {"size": 5, "color": NAVY},
            "name": "synweight (right axis)",
            "legendgroup": "synweight (right axis)",
            "showlegend": number == 0,
            "meta": {"rows": [first, end]},
            "hovertemplate": _HOVER,
        }


def _end_labels(curve: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The name and last value of each curve, at its end, moved apart where they would overlap."""
    last = curve.iloc[-1]
    measures = sorted(_MEASURES, key=lambda measure: float(last[measure.column]))
    heights = moved_apart([float(last[measure.column]) for measure in measures], 20 / _PLOT_HEIGHT, 0.02, 0.99)
    for measure, height in zip(measures, heights, strict=True):
        value = float(last[measure.column])
        yield {
            "x": float(last["rank"]),
            "y": value,
            "ax": 18,
            "ay": (value - height) * _PLOT_HEIGHT / 1.02,
            "xanchor": "left",
            "text": f"{measure.name} <b>{value:.0%}</b>",
            "font": {"size": 13, "color": INK},
            "showarrow": True,
            "arrowhead": 0,
            "arrowwidth": 1,
            "arrowcolor": MUTED,
            "standoff": 2,
            "bgcolor": "rgba(255,255,255,0.8)",
            "align": "left",
        }


def moved_apart(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending values moved as little as needed to lie `gap` apart, between `low` and `high` if there is room."""
    places: list[float] = []
    for value in values:
        places.append(max(value, low, places[-1] + gap if places else low))
    top = high
    for index in range(len(places) - 1, -1, -1):
        places[index] = min(places[index], top)
        top = places[index] - gap
    return places


def _legend() -> dict[str, Any]:
    return {
        "x": 1.02,
        "xanchor": "left",
        "y": 1,
        "yanchor": "top",
        "title": {"text": "<b>status of the body</b>", "font": {"size": 13}},
        "font": {"size": 13, "color": INK},
        "bgcolor": "rgba(255,255,255,0)",
        "tracegroupgap": 2,
    }


def _centred(text: str) -> dict[str, Any]:
    return {
        "text": text,
        "xref": "paper",
        "yref": "paper",
        "x": 0.5,
        "y": 0.5,
        "showarrow": False,
        "font": {"size": 22, "color": MUTED},
    }
