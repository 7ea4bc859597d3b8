"""One query of a table: filters, limits and columns, with the habits of MaterializationEngine 5.26.4 (2.6).

The exclusion filter is accepted and ignored.  Rows come in heap order.  A limit is applied without a word but for a
header that says "Limited" whenever there are as many rows as the limit allows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.cave_double.datastacks import Frozen
from tests.cave_double.replies import hidden, service_error

COMPARISONS: dict[str, Any] = {
    "filter_equal_dict": pc.equal,
    "filter_greater_dict": pc.greater,
    "filter_less_dict": pc.less,
    "filter_greater_equal_dict": pc.greater_equal,
    "filter_less_equal_dict": pc.less_equal,
}
FILTERS = {*COMPARISONS, "filter_in_dict", "filter_notin_dict", "filter_spatial_dict", "filter_regex_dict"}
ONE_TABLE = {*FILTERS, "select_columns", "offset", "limit", "desired_resolution"}
JOIN = {*FILTERS, "tables", "suffix_map", "select_column_map", "offset", "limit", "desired_resolution"}
LIVE = {*FILTERS, "table", "timestamp", "join_tables", "suffixes", "select_columns", "offset", "limit",
        "desired_resolution"}  # fmt: skip


@dataclass
class Answer:
    """Rows, where each column came from (`names`: table -> column -> name), notices, and the unit of positions."""

    rows: pa.Table
    names: dict[str, dict[str, str]]
    resolution: tuple[float, ...]
    warnings: list[str] = field(default_factory=list)


def check_keys(body: dict[str, Any], known: set[str]) -> None:
    """Refuse what the service does not know."""
    unknown = {key: ["Unknown field."] for key in body if key not in known}
    if unknown:
        raise hidden(422, str({"json": unknown}))


def filtered(frozen: Frozen, body: dict[str, Any]) -> pa.Table:
    """The rows of a table that pass the filters of a body, in heap order; null passes none."""
    mask: Any = None
    for test in tests_of(frozen, body):
        mask = test if mask is None else pc.and_(mask, test)
    return frozen.data if mask is None else frozen.data.filter(mask, null_selection_behavior="drop")


def tests_of(frozen: Frozen, body: dict[str, Any]) -> list[Any]:
    """A boolean column for each filter of a body that is about this table."""
    found = []
    for key in sorted(FILTERS & set(body)):
        for name, value in (body[key] or {}).get(frozen.name, {}).items():
            if key == "filter_notin_dict":
                column(frozen, name)
                continue
            if key == "filter_spatial_dict":
                found += inside(frozen, name, value)
                continue
            values = column(frozen, name)
            if key == "filter_in_dict":
                found.append(pc.is_in(values, pa.array(value, values.type)))
            elif key == "filter_regex_dict":
                found.append(pc.match_substring_regex(values, value))
            else:
                found.append(COMPARISONS[key](values, literal(value, values.type)))
    return found


def literal(value: Any, kind: pa.DataType) -> pa.Scalar:
    """The other side of a comparison; integers stay integers."""
    if pa.types.is_integer(kind):
        return pa.scalar(value, pa.int64() if isinstance(value, int) else pa.float64())
    return pa.scalar(value, kind)


def column(frozen: Frozen, name: str) -> Any:
    """A column that can be filtered on."""
    if name not in frozen.data.column_names:
        raise service_error(f"type object '{frozen.name}' has no attribute '{name}'")
    return frozen.data[name]


def inside(frozen: Frozen, point: str, box: Any) -> list[Any]:
    """Whether positions lie in a box, both ends included, in voxels of the table."""
    low, high = box
    if any(one >= other for one, other in zip(low, high, strict=True)):
        raise hidden(422, "the minimum of the bounding box must be below its maximum on each axis")
    tests = []
    for axis, one, other in zip("xyz", low, high, strict=True):
        values = column(frozen, f"{point}_{axis}")
        tests += [pc.greater_equal(values, one), pc.less_equal(values, other)]
    return tests


def selected(frozen: Frozen, rows: pa.Table, wanted: list[str] | None) -> pa.Table:
    """The columns that are wanted, in the table's order; positions come split, roots with their supervoxels."""
    if wanted is None:
        return rows
    names = set()
    for name in wanted:
        if f"{name}_x" in rows.column_names:
            names |= {f"{name}_{axis}" for axis in "xyz"}
            continue
        if name not in rows.column_names:
            raise service_error(f"column {name} not in model {frozen.name}")
        names.add(name)
        if name.endswith("_root_id"):
            names.add(name.replace("_root_id", "_supervoxel_id"))
    return rows.select([name for name in rows.column_names if name in names])


def scaled(frozen: Frozen, rows: pa.Table, wanted: list[float] | None) -> tuple[pa.Table, tuple[float, ...]]:
    """Positions in another unit: whole voxels are scaled, which makes them float64."""
    if not wanted:
        return rows, frozen.resolution
    for place, name in enumerate(rows.column_names):
        if name[:-2].endswith("_position"):
            axis = "xyz".index(name[-1])
            factor = frozen.resolution[axis] / wanted[axis]
            rows = rows.set_column(place, name, pc.multiply(rows[name].cast(pa.float64()), factor))
    return rows, tuple(float(size) for size in wanted)


def notices(frozen: Frozen) -> list[str]:
    """What the owner of a table wants to be read."""
    text = frozen.record.get("notice_text")
    return [f"Table Owner Notice on {frozen.name}: {text}"] if text else []


def cut(answer: Answer, body: dict[str, Any], args: dict[str, str], largest: int) -> Answer:
    """Offset, sample, count and limit; never more rows than the server's own limit."""
    rows = answer.rows
    if args.get("random_sample"):
        count = min(int(args["random_sample"]), len(rows))
        rows = rows.take(np.sort(np.random.default_rng(0).choice(len(rows), count, replace=False)))
    rows = rows.slice(int(body.get("offset") or 0))
    if args.get("count", "").lower() == "true":
        answer.rows = pa.table({"count": pa.array([len(rows)], pa.int64())})
        return answer
    limit = min(int(body["limit"]), largest) if body.get("limit") else largest
    answer.rows = rows.slice(0, limit)
    if len(answer.rows) == limit:
        answer.warnings.append(f'201 - "Limited query to {limit} rows')
    return answer


def one_table(frozen: Frozen, body: dict[str, Any], args: dict[str, str], largest: int) -> Answer:
    """A query of one table."""
    rows = selected(frozen, filtered(frozen, body), body.get("select_columns"))
    rows, resolution = scaled(frozen, rows, body.get("desired_resolution"))
    names = {frozen.name: {name: name for name in rows.column_names}}
    return cut(Answer(rows, names, resolution, notices(frozen)), body, args, largest)


def join(
    sides: list[tuple[Frozen, str]],
    suffixes: dict[str, str],
    wanted: dict[str, list[str]],
    body: dict[str, Any],
    args: dict[str, str],
    largest: int,
) -> Answer:
    """A query of two tables whose rows belong together where a column of one equals one of the other.

    Columns of the same name get the suffix of their table.
    """
    parts = []
    names: dict[str, dict[str, str]] = {}
    shared = set(sides[0][0].data.column_names) & set(sides[1][0].data.column_names)
    for number, (frozen, key) in enumerate(sides):
        rows, resolution = scaled(frozen, filtered(frozen, body), body.get("desired_resolution"))
        kept = selected(frozen, rows, wanted.get(frozen.name)).column_names
        suffix = suffixes.get(frozen.name, "" if number == 0 else f"_{frozen.name}")
        names[frozen.name] = {name: name + suffix if name in shared else name for name in kept}
        columns = {names[frozen.name][name]: rows[name] for name in kept}
        parts.append(pa.table({"__key": rows[key], **columns}))
    rows = parts[0].join(parts[1], "__key", join_type="inner").drop_columns(["__key"])
    warnings = [text for frozen, _ in sides for text in notices(frozen)]
    return cut(Answer(rows, names, resolution, warnings), body, args, largest)
