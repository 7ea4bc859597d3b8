"""Names and values as Cypher text.

neuPrint's transactions take text only, no parameters, so this is the one way in which a value enters a query.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_APART: Final = re.compile(r"(?<=:)(?=`?(?:Neuron|Segment|Meta|Synapse|Cell|Element))")
"""Places at which a text is cut into two that the query joins again: where neuPrint's server rewrites labels, it looks
for them in texts as well."""


@dataclass(frozen=True)
class Point:
    """A position in voxels, or in whatever unit the dataset has."""

    x: float
    y: float
    z: float


Value = bool | int | float | str | Point | Sequence[bool] | Sequence[int] | Sequence[float] | Sequence[str]
"""What a property can hold."""


def name(text: str) -> str:
    """A label or the name of a property, in back-ticks.

    ValueError: a backslash, which begins an escape in names of some versions of Cypher, or NUL.
    """
    if "\\" in text or "\0" in text:
        raise ValueError(f"{text!r} holds a backslash or NUL, which names of properties cannot")
    return "`" + text.replace("`", "``") + "`"


def literal(value: Value | None) -> str:
    """A value as an expression: 'A', 7, 0.5, true, null, ['a', 'b'], point({x: 1, y: 2, z: 3, srid: 9157})."""
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int):
        text = str(value)
    elif isinstance(value, float):
        text = _float(value)
    elif isinstance(value, str):
        text = _text(value)
    elif isinstance(value, Point):
        x, y, z = (literal(axis) for axis in (value.x, value.y, value.z))
        text = f"point({{x: {x}, y: {y}, z: {z}, srid: 9157}})"
    else:
        text = f"[{', '.join(literal(item) for item in value)}]"
    return text


def mapping(values: Mapping[str, Value | None]) -> str:
    """{`type`: 'A', `somaSide`: null}."""
    return "{" + ", ".join(f"{name(key)}: {literal(value)}" for key, value in values.items()) + "}"


def _float(value: float) -> str:
    if math.isnan(value):
        return "(0.0 / 0.0)"
    if math.isinf(value):
        return "(1.0 / 0.0)" if value > 0 else "(-1.0 / 0.0)"
    return repr(value)


def _text(text: str) -> str:
    parts = [f"'{part.translate(_ESCAPES)}'" for part in _APART.split(text)]
    return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"
