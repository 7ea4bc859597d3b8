"""What the publication figures have in common: what is measured, how ROIs are labelled, notes and dotted means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from flyem_snapshot.plots.style import INK, MUTED, Figure, axis, layout, plain, shortened, title

PRE: Final = "#d9822b"
POST: Final = "#3a78bd"
"""The colours of T-bars and of PSDs: apart in all forms of colour blindness, and a dotted line shows on both."""

LABEL: Final = 11
"""The size of an ROI's label in pixels; two fit beside each other where they are `LABEL + 2` apart."""

_LETTER: Final = 0.62 * LABEL  # the width of an average letter, on the safe side
_LONGEST: Final = 30


@dataclass(frozen=True)
class Measure:
    """One of the four shares: its name as an option, its column, what it counts (in words, in one word), its colour."""

    name: str
    stat: str
    words: str
    short: str
    colour: str


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "connections": Measure(
            "connections", "traced_conn_frac", "connections between traced bodies", "connections", "#3f8f3c"
        ),
        "synweight": Measure(
            "synweight", "traced_synweight_frac", "synweight of traced bodies", "synweight", "#7a3fa0"
        ),
        "presyn": Measure("presyn", "traced_presyn_frac", "T-bars on traced bodies", "T-bars", PRE),
        "postsyn": Measure("postsyn", "traced_postsyn_frac", "PSDs on traced bodies", "PSDs", POST),
    }
)


def label(name: str) -> str:
    """A name as it stands in a figure: not too long, and plain."""
    return plain(shortened(name, _LONGEST))


def text_width(names: Iterable[str], size: int = LABEL) -> int:
    """Pixels that the longest of these labels takes."""
    longest = max((len(shortened(name, _LONGEST)) for name in names), default=0)
    return round(_LETTER * size / LABEL * longest)


def percent(share: float) -> str:
    """`54.3 %`."""
    return f"{100 * share:.1f} %"


def percents(shares: pd.Series) -> list[float | None]:
    """Shares as percents; None where one is not known."""
    return [None if pd.isna(share) else 100 * float(share) for share in shares]


def heading(text: str, *details: str, width: int) -> dict[str, Any]:
    """The title of a figure, and below it as many of the details, the first ones, as fit."""
    said = [detail for detail in details if detail]
    while len(said) > 1 and len(" · ".join(said)) > width // 7:
        del said[-1]
    return title(shortened(text, width // 10), shortened(" · ".join(said), width // 7))


def or_better(status: str) -> str:
    """The status that figures tell completeness at, in words."""
    return f"traced: status '{status}' or better"


def share_axis(pixels: float) -> dict[str, Any]:
    """A horizontal axis from 0 to 100 % of this length, with as many ticks as its numbers have room for."""
    return axis(range=[0, 100], ticksuffix=" %", tickangle=0, dtick=20 if pixels > 290 else 50)


def note(text: str, *, size: int = LABEL, colour: str = INK, **place: Any) -> dict[str, Any]:
    """A piece of text in a figure; `text` must be plain already."""
    return {"text": text, "showarrow": False, "font": {"size": size, "color": colour}, **place}


def dotted(**place: Any) -> dict[str, Any]:
    """A dotted line, as means are drawn."""
    return {"type": "line", "line": {"color": INK, "width": 1.5, "dash": "dot"}, **place}


def only(table: pd.DataFrame, column: str) -> str:
    """The value that all rows share; empty if there is no row."""
    return str(table[column].iloc[0]) if len(table) else ""


def nothing(top: dict[str, Any], width: int) -> Figure:
    """A figure that says why it is empty."""
    said = note("no synapses in these ROIs", size=16, colour=MUTED, xref="paper", yref="paper", x=0.5, y=0.5)
    hidden = {"visible": False}
    return {"data": [], "layout": layout(width, 260, title=top, annotations=[said], xaxis=hidden, yaxis=hidden)}
