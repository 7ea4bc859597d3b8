"""The histogram of downstream capture: how much of what the bodies talk to is captured too."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd

from flyem_snapshot.connectome.status import STATUS_ORDER
from flyem_snapshot.plots.style import ACCENT, INK, Figure, axis, layout, plain, title

_BINS: Final = 50
_WIDTH: Final = 1040
_HEIGHT: Final = 480


def worst_status(statuses: Sequence[str]) -> str:
    """The worst of some statuses, in the order of the vocabulary."""
    order = {status: position for position, status in enumerate(STATUS_ORDER)}
    return min(statuses, key=lambda status: order.get(status, -1), default="")


def capture_histogram(fractions: pd.Series, heading: str) -> Figure:
    """How many bodies have which capture fraction (0 to 1), in fifty bins, with the median marked."""
    values = fractions.to_numpy(dtype=np.float64)
    counts, edges = np.histogram(values, bins=_BINS, range=(0.0, 1.0))
    middle = float(np.median(values)) if len(values) else 0.0
    bars = {
        "type": "bar",
        "x": ((edges[:-1] + edges[1:]) / 2).round(4).tolist(),
        "y": counts.tolist(),
        "width": 1 / _BINS,
        "marker": {"color": ACCENT, "line": {"color": "#ffffff", "width": 1}},
        "text": [f"{low:.0%} to {high:.0%}" for low, high in pairwise(edges)],
        "textposition": "none",
        "hovertemplate": "captured %{text}<br><b>%{y:,} bodies</b><extra></extra>",
        "showlegend": False,
    }
    arrangement = layout(
        _WIDTH,
        _HEIGHT,
        title=title(heading, f"{len(values):,} captured bodies upstream; each counts once"),
        xaxis=axis(
            title="share of the body's downstream connections whose target is captured",
            range=[-0.01, 1.01],
            dtick=0.1,
            tickformat=".0%",
        ),
        yaxis=axis(title="bodies", rangemode="tozero", tickformat=",d"),
        bargap=0,
        meta={"narrow": {"margin.l": 58, "xaxis.dtick": 0.25, "xaxis.title.text": "captured share downstream"}},
    )
    if len(values):
        arrangement["shapes"] = [
            {"type": "line", "x0": middle, "x1": middle, "y0": 0, "y1": 1, "yref": "paper"}
            | {"line": {"color": INK, "width": 1.5, "dash": "dot"}}
        ]
        arrangement["annotations"] = [
            {"x": middle, "y": 1, "yref": "paper", "yanchor": "top", "showarrow": False}
            | {"xanchor": "right" if middle > 0.5 else "left", "xshift": -6 if middle > 0.5 else 6}
            | {"text": plain(f"half of the bodies: {middle:.0%} or more"), "font": {"size": 13, "color": INK}}
            | {"bgcolor": "rgba(255,255,255,0.85)"}
        ]
    return {"data": [bars], "layout": arrangement}
