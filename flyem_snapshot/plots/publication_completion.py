"""Publication figure: ROI completion, a bar for each ROI that is as wide as the ROI is large."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

import pandas as pd

from flyem_snapshot.plots.palette import mixed_with_white
from flyem_snapshot.plots.publication_labels import fitting, spread
from flyem_snapshot.plots.publication_numbers import weighted_mean
from flyem_snapshot.plots.publication_style import (
    LABEL,
    POST,
    Measure,
    dotted,
    heading,
    label,
    note,
    nothing,
    only,
    or_better,
    percent,
    percents,
    text_width,
)
from flyem_snapshot.plots.style import AXIS, Figure, axis, layout, plain

logger = logging.getLogger(__name__)

_PALER: Final = mixed_with_white(POST, 0.25)
_PITCH: Final = LABEL + 2
_LEADER: Final = 26  # pixels from the axis to the labels
_LEFT: Final = 84
_RIGHT: Final = 25
_TOP: Final = 84
_BARS: Final = 360


def completion_bars(table: pd.DataFrame, measure: Measure, width: int, *, keep_order: bool) -> Figure:
    """A bar for each ROI: as wide as its share of all PSDs, as high as it is complete; dotted their weighted mean.

    `table` is the completeness of one snapshot.  The most complete ROI comes first unless the order is to be kept.
    """
    drawn = table[(table["PostSyn"] > 0) & table[measure.stat].notna()]
    if not keep_order:
        drawn = drawn.sort_values([measure.stat, "roi"], ascending=[False, True])
    details = (only(table, "dataset"), or_better(only(table, "status")), "bar width: share of the PSDs")
    top = heading(f"ROI completion: {measure.words}", *details, width=width)
    mean = weighted_mean(drawn[measure.stat], drawn["PostSyn"])
    if mean is None:
        return nothing(top, width)
    names = list(drawn["roi"])
    shares = [float(share) for share in drawn["PostSyn"] / drawn["PostSyn"].sum() * 100]
    centres = [end - share / 2 for end, share in zip(accumulate(shares), shares, strict=True)]
    inner = width - _LEFT - _RIGHT
    named = _named(names, shares, inner)
    labels, leaders = _labels_below([names[index] for index in named], [centres[index] for index in named], inner)
    below = _LEADER + text_width(names[index] for index in named) + 16
    settings = layout(
        width,
        _TOP + _BARS + below,
        title=top,
        margin={"l": _LEFT, "r": _RIGHT, "t": _TOP, "b": below},
        showlegend=False,
        bargap=0,
        shapes=[*leaders, dotted(xref="paper", x0=0, x1=1, y0=mean * 100, y1=mean * 100)],
        annotations=[*labels, _mean_note(mean)],
        xaxis=axis(range=[0, 100], showticklabels=False, ticks="", showgrid=False),
        yaxis=axis(range=[0, 100.5], ticksuffix=" %", dtick=20, title="complete"),
    )
    return {"data": [_bars(drawn, measure, shares, centres)], "layout": settings}


def _bars(drawn: pd.DataFrame, measure: Measure, shares: Sequence[float], centres: Sequence[float]) -> dict[str, Any]:
    return {
        "type": "bar",
        "x": list(centres),
        "y": percents(drawn[measure.stat]),
        "width": list(shares),
        # Neighbours differ a little, since edges would hide bars of a pixel or two.
        "marker": {"color": [(POST, _PALER)[index % 2] for index in range(len(shares))], "line": {"width": 0}},
        "customdata": [
            [plain(roi), f"{post:,}", percent(share / 100)]
            for roi, post, share in zip(drawn["roi"], drawn["PostSyn"], shares, strict=True)
        ],
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{y:.1f} % complete<br>"
        "%{customdata[1]} PSDs, %{customdata[2]} of all<extra></extra>",
    }


def _named(names: Sequence[str], shares: Sequence[float], inner: int) -> list[int]:
    """Which bars get a label: the widest, as many as there is room for side by side."""
    named = fitting(shares, inner // _PITCH)
    if len(named) < len(names):
        logger.warning(
            "ROI completion: %d of %d ROIs, the smallest, have no label at this width; --width %d labels all",
            len(names) - len(named),
            len(names),
            len(names) * _PITCH + _LEFT + _RIGHT,
        )
    return named


def _labels_below(
    names: Sequence[str], centres: Sequence[float], inner: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Upright labels below an axis from 0 to 100, as notes, and a leader from each bar to its label, as shapes."""
    gap = _PITCH / inner * 100
    places = spread(centres, gap, gap / 2, 100 - gap / 2)
    where: dict[str, Any] = {
        "xref": "x",
        "xanchor": "center",
        "y": 0,
        "yref": "paper",
        "yanchor": "top",
        "yshift": -_LEADER,
    }
    labels = [note(label(name), x=place, textangle=-90, **where) for name, place in zip(names, places, strict=True)]
    return labels, [_leader(centre, place) for centre, place in zip(centres, places, strict=True)]


def _leader(start: float, end: float) -> dict[str, Any]:
    """A thin line from a bar to its label: down a little, across, down again; in pixels from the axis."""
    return {
        "type": "path",
        "path": f"M {start},0 L {start},-5 L {end},{5 - _LEADER} L {end},{1 - _LEADER}",
        "xref": "x",
        "yref": "paper",
        "ysizemode": "pixel",
        "yanchor": 0,
        "line": {"color": AXIS, "width": 1},
    }


def _mean_note(mean: float) -> dict[str, Any]:
    """What the dotted line is, above its right end, or below it where there is no room above."""
    high = mean > 0.93
    return note(
        f"mean {percent(mean)}, weighted by PSDs",
        size=12,
        xref="paper",
        x=1,
        xanchor="right",
        y=mean * 100,
        yanchor="top" if high else "bottom",
        yshift=-3 if high else 3,
        bgcolor="rgba(255,255,255,0.85)",
    )
