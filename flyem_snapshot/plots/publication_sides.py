"""On which side of the brain an ROI lies, and what it is called there and here, read from its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Side = Literal["L", "R", "C"]

_MARK = re.compile(
    r"""
      \s* \( (?P<bracket> L | R | (?i:left|right) ) (?P<number> \d* ) \)   # ME(R)  LO (L)  AB(left)  PB(L3)
    | [_\s-] (?P<word> L | R | (?i:left|right) ) (?= [_\s-] | $ )          # ME_R  ME_R_layer_03  AL-L  ME right
    | ^ (?P<first> (?i:left|right) ) [_\s-]                                # left ME  Right-ME
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Place:
    """What a name says: the region, whatever its side, and the side; C is a region of the middle or of both sides."""

    base: str
    side: Side


def place_of(roi: str) -> Place:
    """The region and the side that an ROI's name tells.

        ME(R), ME (R), ME_R, ME-R, ME R, ME(right), ME_right, right ME     ME        R
        PB(L3)                                                             PB(3)     L
        ME_R_layer_03, ME(R)_layer_03                                      ME_layer_03  R
        ME(R)-LO(R)                                                        ME-LO     R
        EB, FB, ME(L)-ME(R)                                                as it is  C

    A single letter counts only in capitals, and only in brackets or set off by `_`, `-` or a blank: gL, EBr1 and
    AL-DL1 tell no side by it.
    """
    sides = {_side(match) for match in _MARK.finditer(roi)}
    base = _MARK.sub(_without_side, roi).strip()
    if len(sides) != 1 or not base:
        return Place(roi, "C")
    return Place(base, sides.pop())


def _side(match: re.Match[str]) -> Side:
    letter = match[match.lastgroup or 0] if match.lastgroup != "number" else match["bracket"]
    return "L" if letter[0] in "lL" else "R"


def _without_side(match: re.Match[str]) -> str:
    return f"({match['number']})" if match["number"] else ""
