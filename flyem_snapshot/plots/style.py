"""What all figures have in common: fonts, margins, colours of axes, and how text from outside is made plain.

A figure is a plain object as plotly.js takes it, `{"data": [...], "layout": {...}}`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Figure = Mapping[str, Any]
"""A plotly figure as plain dicts and lists, with the keys `data` and `layout`."""

FONT: Final = "Inter, 'Segoe UI', 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif"
INK: Final = "#1f2933"
MUTED: Final = "#5b6673"
GRID: Final = "#e4e8ed"
AXIS: Final = "#9aa5b1"
NAVY: Final = "#14286b"
ACCENT: Final = "#0b4f9e"


def plain(text: str) -> str:
    """Text from outside for a figure: plotly reads a little HTML in every text, so that is taken away."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(text: str, length: int) -> str:
    """At most `length` characters of a text, with an ellipsis in place of the rest."""
    return text if len(text) <= length else text[: length - 1] + "…"


def numbers(values: npt.ArrayLike, dtype: str) -> dict[str, str]:
    """An array for a figure in plotly's binary form; `dtype` is one of i1 i2 i4 u1 u2 u4 f4 f8.

    A tenth of the size of the same numbers as text.  Never for ids, which are passed as texts.
    """
    array = np.ascontiguousarray(np.asarray(values), dtype=np.dtype(dtype).newbyteorder("<"))
    return {"dtype": dtype, "bdata": base64.b64encode(array.tobytes()).decode("ascii")}


def title(text: str, subtitle: str = "") -> dict[str, Any]:
    """A title at the top left, with a smaller line below; both are taken as plain text."""
    content: dict[str, Any] = {
        "text": plain(text),
        "font": {"size": 18, "color": INK},
        "x": 0,
        "xref": "container",
        "xanchor": "left",
        "y": 1,
        "yref": "container",
        "yanchor": "top",
        "pad": {"l": 20, "t": 16},
    }
    if subtitle:
        content["subtitle"] = {"text": plain(subtitle), "font": {"size": 13, "color": MUTED}}
    return content


def axis(**settings: Any) -> dict[str, Any]:
    """An axis in the common style, with further settings; a `title` is given as text."""
    base: dict[str, Any] = {
        "gridcolor": GRID,
        "linecolor": AXIS,
        "showline": True,
        "ticks": "outside",
        "tickcolor": AXIS,
        "ticklen": 5,
        "tickfont": {"size": 13, "color": INK},
        "zeroline": False,
    }
    if "title" in settings:
        base["title"] = {"text": settings.pop("title"), "font": {"size": 14, "color": INK}, "standoff": 10}
    return base | settings


def layout(width: int, height: int, **settings: Any) -> dict[str, Any]:
    """The layout of a figure of this size in pixels, with further settings."""
    base: dict[str, Any] = {
        "width": width,
        "height": height,
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "margin": {"l": 70, "r": 30, "t": 76, "b": 62},
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": AXIS, "align": "left", "font": {"size": 13, "color": INK}},
        "hovermode": "closest",
    }
    return base | settings
