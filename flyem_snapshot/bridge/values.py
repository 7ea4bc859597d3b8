"""Values of the database as plain JSON values, in the shapes that neuPrint's clients expect."""

from __future__ import annotations

import base64
import math
from typing import Any, Final

from neo4j.graph import Node, Path, Relationship
from neo4j.spatial import Point

EXACT: Final = 2**53
"""Floats up to here stand for one integer each."""

_CRS: Final = {7203: "cartesian", 9157: "cartesian-3d", 4326: "wgs-84", 4979: "wgs-84-3d"}


def plain(value: Any, *, integers: bool = True) -> Any:
    """A value of a result as None, bool, int, float, str, list or dict.

    float, integral         int (with `integers`)
    float, NaN or infinite  None, since JSON has no word for it
    point                   {"coordinates": [x, y, z], "crs": {"name": "cartesian-3d", "srid": 9157}, "type": "Point"}
    node, relationship      its properties
    path                    nodes and relationships in turn
    date, time, duration    ISO 8601 text
    bytes                   base64 text
    """
    # By exact type first: these are nearly all values of nearly all results.
    kind = type(value)
    if value is None or kind is str or kind is bool or kind is int:
        result = value
    elif kind is float:
        result = _number(value, integers)
    elif kind is list:
        result = [plain(item, integers=integers) for item in value]
    elif isinstance(value, (dict, Node, Relationship)):
        result = {key: plain(item, integers=integers) for key, item in value.items()}
    else:
        result = _rare(value, integers)
    return result


def _rare(value: Any, integers: bool) -> Any:
    if isinstance(value, Point):
        return _point(value, integers)
    if isinstance(value, Path):
        steps = [*zip(value.nodes, value.relationships, strict=False), (value.nodes[-1],)]
        return [plain(part, integers=integers) for step in steps for part in step]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    return value.iso_format() if hasattr(value, "iso_format") else str(value)


def _number(value: float, integers: bool) -> float | int | None:
    if not math.isfinite(value):
        return None
    return int(value) if integers and abs(value) <= EXACT and value.is_integer() else value


def _point(point: Point, integers: bool) -> dict[str, Any]:
    srid = point.srid
    crs = {"name": _CRS.get(srid, "unknown") if srid is not None else "unknown", "srid": srid}
    return {"coordinates": [_number(float(axis), integers) for axis in point], "crs": crs, "type": "Point"}
