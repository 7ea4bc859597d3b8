"""One colour for each tracing status, the same in every plot and on every page.

The colours were tuned by simulation of the three forms of colour blindness: statuses that follow each other in a
stack stay apart in all of them, and so do the common ones.  Better statuses are saturated, from blue through
green (traced) to orange, red and violet (anchors); what is an orphan or worse fades to brown and grey.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Shades:
    """The two shades of a status, as `#rrggbb`: strong for what counts most in a plot, pale for what goes beside it."""

    strong: str
    pale: str


def mixed_with_white(colour: str, share: float) -> str:
    """A colour `#rrggbb` with a share (0 to 1) of white mixed in."""
    channels = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(channel + (255 - channel) * share):02x}" for channel in channels)


_STRONG: Final = {
    "Finalized": "#0a314a",
    "Traced": "#0a3f9e",
    "Traced in ROI": "#86c8f2",
    "Roughly traced": "#3697ff",
    "RT Orphan": "#157979",
    "RT Hard to trace": "#3fd9c9",
    "Prelim Roughly traced": "#069b58",
    "Reviewed": "#273308",
    "PRT Orphan": "#b2d732",
    "Leaves": "#3e6309",
    "Primary Anchor": "#d5a506",
    "Examined Soma Anchor": "#693500",
    "Soma Anchor": "#d0630c",
    "Cervical Anchor": "#f0c18f",
    "Sensory Anchor": "#c10900",
    "Partially traced": "#ea6562",
    "Will be merged": "#5c0036",
    "Cleaved Anchor": "#fa87c9",
    "Anchor": "#8949d6",
    "0.5assign": "#b1afff",
    "": "#9a9a9a",
    "Not examined": "#615f58",
    "Out of scope": "#d3c9b9",
    "Putative Leaves": "#816c4b",
    "Orphan hotknife": "#ccb49d",
    "Orphan": "#4f3b32",
    "Orphan-artifact": "#b7a389",
    "Hard to trace": "#5f4c3c",
    "Glia": "#81858f",
    "Unimportant": "#444957",
}
# For a status outside the vocabulary, which can come only from text that was never made a category.
_OTHERS: Final = ("#5b7083", "#94708c", "#6d8a74", "#a08a5a")
_BRIGHTEST: Final = 0.68


def luminance(colour: str) -> float:
    """How bright a colour `#rrggbb` looks, from 0 (black) to 1 (white)."""
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def _shades(strong: str) -> Shades:
    """The pale shade is half white, or less if a thin line of it would be lost on paper."""
    pales = (mixed_with_white(strong, share) for share in (0.55, 0.45, 0.35, 0.25, 0.15))
    return Shades(strong, next((pale for pale in pales if luminance(pale) <= _BRIGHTEST), strong))


STATUS_SHADES: Mapping[str, Shades] = MappingProxyType({label: _shades(strong) for label, strong in _STRONG.items()})
"""The shades of every status of the vocabulary; the empty text is grey."""


def shades(status: str) -> Shades:
    """The shades of a status.  A label outside the vocabulary always gets the same of a few muted colours."""
    known = STATUS_SHADES.get(status)
    return known or _shades(_OTHERS[zlib.crc32(status.encode()) % len(_OTHERS)])


def shown(status: str) -> str:
    """A status as a reader sees it: the empty one has words."""
    return status or "no status"
