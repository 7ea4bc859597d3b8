"""Publication figure: T-bars against PSDs, two bars for each ROI that meet at its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from flyem_snapshot.plots.publication_numbers import weighted_mean
from flyem_snapshot.plots.publication_style import (
    POST,
    PRE,
    dotted,
    heading,
    label,
    note,
    nothing,
    only,
    or_better,
    percent,
    percents,
    share_axis,
    text_width,
)
from flyem_snapshot.plots.style import Figure, axis, layout, plain

_SIDE: Final = 30
_TOP: Final = 112
_BOTTOM: Final = 45
_ROW: Final = 15


@dataclass(frozen=True)
class _Half:
    """One half of the figure: the number of its axes, its columns, and how it looks."""

    axes: str
    stat: str
    count: str
    words: str
    colour: str


_HALVES: Final = (
    _Half("", "traced_presyn_frac", "PreSyn", "T-bars", PRE),
    _Half("2", "traced_postsyn_frac", "PostSyn", "PSDs", POST),
)


def mirrored_bars(table: pd.DataFrame, width: int, *, keep_order: bool) -> Figure:
    """A row for each ROI, its name in the middle: to the left the share of its T-bars, to the right that of its PSDs.

    `table` is the completeness of one snapshot.  The ROI whose PSDs are most complete comes first unless the order is
    to be kept.  Dotted are the means, weighted by T-bars and by PSDs.
    """
    drawn = table[(table["PreSyn"] > 0) | (table["PostSyn"] > 0)]
    if not keep_order:
        drawn = drawn.sort_values(["traced_postsyn_frac", "roi"], ascending=[False, True])
    details = (only(table, "dataset"), or_better(only(table, "status")), "dotted: means weighted by number")
    top = heading("T-bars and PSDs on traced bodies", *details, width=width)
    if drawn.empty:
        return nothing(top, width)
    names = list(drawn["roi"])
    middle = (text_width(names) + 30) / (width - 2 * _SIDE)
    means = [weighted_mean(drawn[half.stat], drawn[half.count]) for half in _HALVES]
    shares = share_axis((0.5 - middle / 2) * (width - 2 * _SIDE))
    rows = axis(range=[len(names) - 0.5, -0.5], showline=False, showgrid=False, ticks="", showticklabels=False)
    settings = layout(
        width,
        _TOP + _ROW * len(names) + _BOTTOM,
        title=top,
        margin={"l": _SIDE, "r": _SIDE, "t": _TOP, "b": _BOTTOM},
        showlegend=False,
        bargap=0.2,
        shapes=[
            dotted(xref=f"x{half.axes}", x0=mean * 100, x1=mean * 100, yref="paper", y0=0, y1=1)
            for half, mean in zip(_HALVES, means, strict=True)
            if mean is not None
        ],
        annotations=[*_names(names), *(_head(half, mean) for half, mean in zip(_HALVES, means, strict=True))],
        xaxis=shares | {"domain": [0, 0.5 - middle / 2], "range": [100, 0]},
        yaxis=rows | {"anchor": "x"},
        xaxis2=shares | {"domain": [0.5 + middle / 2, 1], "anchor": "y2"},
        yaxis2=rows | {"anchor": "x2"},
    )
    return {"data": [_bars(drawn, half) for half in _HALVES], "layout": settings}


def _bars(drawn: pd.DataFrame, half: _Half) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "x": percents(drawn[half.stat]),
        "y": list(range(len(drawn))),
        "xaxis": f"x{half.axes}",
        "yaxis": f"y{half.axes}",
        "marker": {"color": half.colour},
        "customdata": [[plain(roi), f"{count:,}"] for roi, count in zip(drawn["roi"], drawn[half.count], strict=True)],
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{x:.1f} % of %{customdata[1]} " + half.words + "<extra></extra>",
    }


def _names(names: Sequence[str]) -> list[dict[str, Any]]:
    """The names between the halves."""
    place: dict[str, Any] = {"xref": "paper", "x": 0.5, "xanchor": "center", "yref": "y2", "yanchor": "middle"}
    return [note(label(name), y=row, **place) for row, name in enumerate(names)]


def _head(half: _Half, mean: float | None) -> dict[str, Any]:
    """What a half shows, above it."""
    text = f"<b>{half.words}</b>" + (f", mean {percent(mean)}" if mean is not None else "")
    place: dict[str, Any] = {
        "xref": f"x{half.axes} domain",
        "x": 0.5,
        "xanchor": "center",
        "yref": "paper",
        "y": 1,
        "yanchor": "bottom",
    }
    return note(text, size=13, colour=half.colour, yshift=4, **place)
