"""What Segments should be like against what they are like: the changes, body by body."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

import numpy as np

from flyem_snapshot.errors import DataError
from flyem_snapshot.live.annotations import Bodies, Wanted
from flyem_snapshot.live.cypher import Point, Value, literal, name
from flyem_snapshot.live.server import NeuprintServer

READ: Final = 5_000
"""Bodies of one query: an answer of some megabytes."""


@dataclass(frozen=True)
class Change:
    """The properties of one body that are not what they should be, and what they should be; None removes one."""

    body: int
    new: Mapping[str, Value | None]


@dataclass
class Comparison:
    """The changes, ascending by body, and how many there are of each kind by property."""

    changes: list[Change] = field(default_factory=list)
    added: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Row:
    """One body of both sides: values in the order of the wanted properties, and whether each differs."""

    body: int
    wanted: Sequence[Value | None]
    live: Sequence[Value | None]
    differs: Sequence[bool]


def segment_label(dataset: str, label: str = "Segment") -> str:
    """(hemibrain:v1.2, Segment) -> `hemibrain_Segment`, in back-ticks."""
    return name(f"{dataset.partition(':')[0]}_{label}")


def segments_among(server: NeuprintServer, dataset: str, bodies: Bodies) -> Bodies:
    """Those of the bodies that are Segments."""
    found: list[int] = []
    for start in range(0, len(bodies), READ):
        asked = bodies[start : start + READ].tolist()
        query = f"MATCH (n:{segment_label(dataset)}) WHERE n.bodyId IN {literal(asked)} RETURN n.bodyId"
        found += [_body(row[0]) for row in server.rows(query, dataset)]
    return np.array(sorted(set(found)), np.int64)


def compare(
    server: NeuprintServer,
    dataset: str,
    wanted: Wanted,
    each: Callable[[list[Row]], None],
    advance: Callable[[int], None],
) -> Comparison:
    """Compare everything; `each` is shown all rows, batch by batch, and `advance` told how many these were."""
    result = Comparison()
    names = [one.name for one in wanted.properties]
    for rows in _rows(server, dataset, wanted):
        for row in rows:
            _note(result, names, row)
        each(rows)
        advance(len(rows))
    return result


def _rows(server: NeuprintServer, dataset: str, wanted: Wanted) -> Iterator[list[Row]]:
    columns = ", ".join(["n.bodyId", *(f"n.{name(one.name)}" for one in wanted.properties)])
    for start in range(0, len(wanted.bodies), READ):
        asked = wanted.bodies[start : start + READ].tolist()
        query = f"MATCH (n:{segment_label(dataset)}) WHERE n.bodyId IN {literal(asked)} RETURN {columns}"
        live = {_body(row[0]): [from_json(value) for value in row[1:]] for row in server.rows(query, dataset)}
        here = [one.values(start, start + len(asked)) for one in wanted.properties]
        made = []
        for place, body in enumerate(asked):
            if body not in live:  # deleted since we asked for the first time
                continue
            new = [values[place] for values in here]
            made.append(Row(body, new, live[body], [not same(*pair) for pair in zip(new, live[body], strict=True)]))
        yield made


def _note(result: Comparison, names: Sequence[str], row: Row) -> None:
    new: dict[str, Value | None] = {}
    for property_name, wanted, live, differs in zip(names, row.wanted, row.live, row.differs, strict=True):
        if differs:
            new[property_name] = wanted
            kind = result.removed if wanted is None else result.added if live is None else result.changed
            kind[property_name] += 1
    if new:
        result.changes.append(Change(row.body, new))


def _body(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise DataError(f"neuPrint has a Segment whose bodyId is no integer: {value!r}")
    return value


def from_json(value: Any) -> Value | None:
    """A value as neuPrint's server sends it; points are mappings there.  What no property can be is its JSON text."""
    if isinstance(value, dict):
        axes = value.get("coordinates")
        if isinstance(axes, list) and len(axes) == 3 and all(isinstance(axis, (int, float)) for axis in axes):
            return Point(*axes)
        return json.dumps(value)
    result: Value | None = value
    return result


def same(wanted: Value | None, live: Value | None) -> bool:
    """Whether a property has the value that it should have.

    Neo4j's importer keeps a `float` in 32 bits, and neuPrint's server sends whole floats as integers.
    """
    if isinstance(wanted, list) and isinstance(live, list):
        return len(wanted) == len(live) and all(map(same, wanted, live))
    if _is_number(wanted) and _is_number(live):
        return wanted == live or (isinstance(wanted, float) and _same_narrow(wanted, live))
    return type(wanted) is type(live) and wanted == live


def _is_number(value: Value | None) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same_narrow(wanted: float, live: float) -> bool:
    """Whether two numbers are the same in 32 bits."""
    if not (math.isfinite(wanted) and math.isfinite(live)):
        return False
    with np.errstate(over="ignore"):
        narrow = np.float32(wanted), np.float32(live)
    return bool(np.isfinite(narrow[0]) and narrow[0] == narrow[1])
