"""From rows of a synapse table, one for each connection, to points and partners.

Everything is one SQL statement over the staged rows; what it yields is cut into T-bars and PSDs batch by batch.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import pyarrow as pa

from flyem_snapshot.engine.sql import columns as quoted
from flyem_snapshot.engine.sql import identifier, literal
from flyem_snapshot.engine.streams import dictionary_array, in_background, tracked
from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.cave.fetched import AXES, Fetched, Resolution, integer_body
from flyem_snapshot.inputs.cave.settings import CaveSettings
from flyem_snapshot.inputs.cave.validity import VALID, truth
from flyem_snapshot.inputs.cave.writing import ParquetFile
from flyem_snapshot.stage import Context

logger = logging.getLogger(__name__)

CONNECTIONS: Final = "cave_connections"
SIDES: Final = ("pre", "post")
MAX_ID: Final = 1 << 62
_FAR: Final = "beyond the range of 32-bit integers, in voxels of the snapshot"
_SMALL: Final = 20
"""Bits of a factor by which no coordinate that is used, below 2^41 then, leaves the range of a BIGINT."""

_INT32: Final = (-(1 << 31), (1 << 31) - 1)


@dataclass(frozen=True)
class Side:
    """Where one end of a connection stands: SQL for the position in units of the table, and the columns of ids."""

    position: list[str]
    body: str
    supervoxel: str | None


@dataclass(frozen=True)
class Connections:
    """The rows of the view `cave_connections`, in no order:

        id BIGINT; <side>_x, _y, _z BIGINT in units of the table; <side>_body, <side>_sv BIGINT; conf FLOAT;
        the further columns under their own names; those of ROIs under the names of their roi-sets

    `voxel` is the size of a voxel of the snapshot, `ordered` says that ids ascend.
    """

    table: Fetched
    voxel: Resolution
    extras: tuple[str, ...]
    rois: tuple[str, ...]
    has_supervoxels: bool
    ordered: bool
    rows: int


def define_connections(
    config: CaveSettings, ctx: Context, table: Fetched, rois: Mapping[str, str], counts: dict[str, int]
) -> Connections:
    """Check the synapse table and define the view of the connections that are used.

    `rois` maps each roi-set to a table expression (target, value), or to the name of a column of the table itself in
    double quotes.  Counts what the rows have that the snapshot cannot show.
    """
    sides = _sides(config, table)
    score = config.confidence.column
    table.require([config.synapse_columns.id, *config.extra_columns], "inputs.cave.synapse-columns and extra-columns")
    table.require_numbers([score] if score else [], "inputs.cave.confidence.column")
    ids = [config.synapse_columns.id, *(side.body for side in sides.values())]
    table.require_ids([*ids, *(side.supervoxel for side in sides.values() if side.supervoxel)])
    x, y, z = config.voxel_size or config.static.layout.voxel_size or table.resolution
    used = _used(config, ctx, table)
    total, kept = _counted(config, ctx, table, sides, (x, y, z), used, counts)
    if not kept:
        raise DataError(f"none of {total:,} connections of table '{table.name}' is used", hint="look at inputs.cave")
    has_sv = all(side.supervoxel for side in sides.values())
    joins, roi_columns = [], []
    for number, (name, source) in enumerate(rois.items()):
        if source.startswith('"'):
            roi_columns.append(f"CAST(s.{source} AS VARCHAR) AS {identifier(name)}")
        else:
            joins.append(f"LEFT JOIN {source} AS r{number} ON r{number}.target = s.{identifier(ids[0])}")
            roi_columns.append(f"r{number}.value AS {identifier(name)}")
    selected = [f"CAST(s.{identifier(ids[0])} AS BIGINT) AS id", *_of_sides(sides, has_sv=has_sv), _confidence(config)]
    selected += [f"s.{identifier(name)}" for name in config.extra_columns] + roi_columns
    condition = f"WHERE {used}" if used else ""
    ctx.engine.view(
        CONNECTIONS, f"SELECT {', '.join(selected)} FROM {table.relation} AS s {' '.join(joins)} {condition}"
    )
    ordered = table.ordered and not joins
    return Connections(table, (x, y, z), config.extra_columns, tuple(rois), has_sv, ordered, kept)


def _sides(config: CaveSettings, table: Fetched) -> dict[str, Side]:
    names, found = config.synapse_columns, {}
    for side in SIDES:
        body, sv = getattr(names, f"{side}_body"), getattr(names, f"{side}_supervoxel")
        table.require([body], "inputs.cave.synapse-columns")
        position = table.position(getattr(names, f"{side}_position"), "inputs.cave.synapse-columns")
        found[side] = Side(position, body, sv if sv in table.columns else None)
    return found


def _of_sides(sides: Mapping[str, Side], *, has_sv: bool) -> Iterator[str]:
    for name, side in sides.items():
        yield from (f"{value} AS {name}_{axis}" for axis, value in zip(AXES, side.position, strict=True))
        yield f"{integer_body(identifier(side.body))} AS {name}_body"
        if has_sv and side.supervoxel:
            yield f"{integer_body(identifier(side.supervoxel))} AS {name}_sv"


def _confidence(config: CaveSettings) -> str:
    """SQL for the confidence: a line through the two scores, cut off at 0 and 1; NaN without a score."""
    chosen = config.confidence
    if chosen.column is None:
        logger.warning("inputs.cave.confidence names no column: every synapse has confidence 1")
        return "CAST(1 AS FLOAT) AS conf"
    score = f"CAST({identifier(chosen.column)} AS DOUBLE)"
    line = f"({score} - {literal(float(chosen.zero))}) / {literal(float(chosen.one - chosen.zero))}"
    missing = f"{score} IS NULL OR isnan({score})"
    # `greatest` passes over NULL, and NaN is greater than every number: both must be asked for.
    return f"CAST(CASE WHEN {missing} THEN 'nan'::DOUBLE ELSE least(greatest({line}, 0), 1) END AS FLOAT) AS conf"


def _used(config: CaveSettings, ctx: Context, table: Fetched) -> str:
    """The condition that a row must meet; empty if all are used."""
    conditions = []
    if VALID in table.columns and not config.keep_invalid:
        conditions.append(f"({truth(ctx, table, VALID)}) IS NOT FALSE")
    if (least := config.confidence.at_least) is not None and config.confidence.column is not None:
        score = f"CAST({identifier(config.confidence.column)} AS DOUBLE)"
        conditions.append(f"({score} >= {literal(float(least))} AND NOT isnan({score})) IS TRUE")
    return " AND ".join(conditions)


def _counted(
    config: CaveSettings,
    ctx: Context,
    table: Fetched,
    sides: Mapping[str, Side],
    voxel: Resolution,
    used: str,
    counts: dict[str, int],
) -> tuple[int, int]:
    """The numbers of rows and of rows used; DataError for rows without an id or a place."""
    key = identifier(config.synapse_columns.id)
    asked = {"rows": "count(*)", "used": f"count(*) FILTER (WHERE {used or 'TRUE'})"}
    asked["bad ids"] = f"count(*) FILTER (WHERE {key} IS NULL OR {key} < 0 OR {key} >= {MAX_ID})"
    within = [reach(unit, size) for unit, size in zip(table.resolution, voxel, strict=True)]
    for name, side in sides.items():
        nowhere = " OR ".join(f"{axis} IS NULL" for axis in side.position)
        far = " OR ".join(
            f"{axis} NOT BETWEEN {low} AND {high}" for axis, (low, high) in zip(side.position, within, strict=True)
        )
        asked |= {
            f"{name} nowhere": f"count(*) FILTER (WHERE {nowhere})",
            f"{name} far": f"count(*) FILTER (WHERE {far})",
        }
        body = identifier(side.body)
        for code, condition in (("0", f"{body} = 0"), ("1", f"{body} = 1"), ("null", f"{body} IS NULL")):
            asked[f"{name} {code}"] = f"count(*) FILTER (WHERE {condition} AND ({used or 'TRUE'}))"
        asked[f"{name} large"] = f"count(*) FILTER (WHERE {_beyond(side.body)})"
        asked[f"{name} large sv"] = f"count(*) FILTER (WHERE {_beyond(side.supervoxel) if side.supervoxel else False})"
    pre, post = (identifier(sides[name].body) for name in SIDES)
    asked["autapses"] = f"count(*) FILTER (WHERE {pre} = {post} AND {pre} > 1 AND ({used or 'TRUE'}))"
    row = ctx.engine.rows(f"SELECT {', '.join(asked.values())} FROM {table.relation}")[0]
    found = {name: int(value) for name, value in zip(asked, row, strict=True)}
    _refuse_rows(table, found, config.synapse_columns.id)
    ctx.exclusions.add("connections of the datastack", _why_not_used(config), found["rows"] - found["used"])
    words = {"0": "outside of the segmentation (0)", "1": "not looked up (1)", "null": "not looked up (null)"}
    for name, what in (("pre", "T-bars"), ("post", "PSDs")):
        for code, meaning in words.items():
            counts[f"{what} whose root id is {meaning}"] = found[f"{name} {code}"]
    counts["connections of a body with itself"] = found["autapses"]
    return found["rows"], found["used"]


def _beyond(column: str) -> str:
    return f"{identifier(column)} < 0 OR {identifier(column)} > {(1 << 63) - 1}"


def _why_not_used(config: CaveSettings) -> str:
    least = config.confidence.at_least
    score = "" if least is None else f", or {config.confidence.column} is below {least} or missing"
    return ("not valid" if not config.keep_invalid else "") + (score if not config.keep_invalid else score[5:])


def _refuse_rows(table: Fetched, found: Mapping[str, int], key: str) -> None:
    faults = {
        "bad ids": f"'{key}' must be between 0 and 2^62 - 1",
        **{f"{side} nowhere": f"the {side}-synaptic point has no position" for side in SIDES},
        **{f"{side} far": f"the {side}-synaptic point lies {_FAR}" for side in SIDES},
        **{f"{side} large": f"the {side}-synaptic root id does not fit a signed 64-bit integer" for side in SIDES},
        **{
            f"{side} large sv": f"the {side}-synaptic supervoxel does not fit a signed 64-bit integer" for side in SIDES
        },
    }
    for name, problem in faults.items():
        if found[name]:
            raise DataError(f"table '{table.name}': {problem}", rows=found[name], hint="mend or remove these rows")


def reach(unit: float, voxel: float) -> tuple[int, int]:
    """The least and the greatest coordinate in units of a table that is an INTEGER in voxels of the snapshot.

    None is beyond 2^41, or where the factors are large beyond 2^62.
    """
    ratio = Fraction(repr(unit)) / Fraction(repr(voxel))
    low, high = math.ceil(_INT32[0] / ratio), math.ceil((_INT32[1] + 1) / ratio) - 1
    most = 1 << 41 if max(ratio.numerator, ratio.denominator).bit_length() <= _SMALL else MAX_ID
    return max(low, -most), min(high, most)


def in_voxels(value: str, unit: float, voxel: float) -> str:
    """SQL for the voxel of the snapshot in which the lower corner of a voxel of the table lies: whole numbers only."""
    ratio = Fraction(repr(unit)) / Fraction(repr(voxel))
    if ratio == 1:
        return value
    above, below = ratio.numerator, ratio.denominator
    if max(above, below).bit_length() > _SMALL:
        # Sizes with many decimals, such as 16/3, make products beyond 64 bits.
        return f"CAST({_floored(f'CAST({value} AS HUGEINT)', above, below)} AS BIGINT)"
    return _floored(value, above, below)


def _floored(value: str, above: int, below: int) -> str:
    scaled = f"({value} * {above})"
    # `//` and `%` of SQL cut off towards 0; a remainder that is made positive first rounds down.
    return f"(({scaled} - (({scaled} % {below}) + {below}) % {below}) // {below})"


def write_synapses(found: Connections, merged: Merged | None, ctx: Context, points: str, partners: str) -> int:
    """Write the two tables of `CaveTables`; returns the number of T-bars."""
    statement = _rows_sql(found, merged)
    types = {f.name: f.type for f in ctx.engine.table(f"SELECT * FROM ({statement}) LIMIT 0").schema}
    cut = _Cut(found, types)
    with (
        ctx.engine.stream(statement) as stream,
        ctx.out.create(points) as points_path,
        ctx.out.create(partners) as partners_path,
        ParquetFile(points_path, cut.points_schema) as points_file,
        ParquetFile(partners_path, cut.partners_schema) as partners_file,
    ):
        for batch in tracked(in_background(stream), "points of connections", found.rows):
            points_file.write(cut.points(batch))
            partners_file.write(cut.partners(batch))
    ctx.out.set_rows(points, points_file.rows)
    ctx.out.set_rows(partners, partners_file.rows)
    return points_file.rows - partners_file.rows


@dataclass(frozen=True)
class Merged:
    """T-bars that several connections share, as table expressions.

    `members`: id, tbar BIGINT, the connections that are not the one with the smallest id of their T-bar, and that id.
    `groups`: tbar BIGINT, conf FLOAT, pre_x, pre_y, pre_z BIGINT: the T-bar's greatest confidence, and its place.
    """

    members: str
    groups: str
    rows: int


def _rows_sql(found: Connections, merged: Merged | None) -> str:
    """The connections in the order of their ids, positions in voxels of the snapshot, with what their T-bar is."""
    place = []
    for side in SIDES:
        for axis, unit, voxel in zip(AXES, found.table.resolution, found.voxel, strict=True):
            own = f"c.{side}_{axis}"
            value = f"coalesce(g.{side}_{axis}, {own})" if merged and side == "pre" else own
            place.append(f"CAST({in_voxels(value, unit, voxel)} AS INTEGER) AS {side}_{axis}")
    sv = ["c.pre_sv", "c.post_sv"] if found.has_supervoxels else []
    tbar, tbar_conf = ("coalesce(m.tbar, c.id)", "coalesce(g.conf, c.conf)") if merged else ("c.id", "c.conf")
    own = quoted([*found.extras, *found.rois], "c") if found.extras or found.rois else ""
    selected = ["c.id", f"{tbar} AS tbar", *place, "c.pre_body", "c.post_body", *sv, f"{tbar_conf} AS pre_conf"]
    selected += ["c.conf AS post_conf", *([own] if own else [])]
    source = f"FROM {CONNECTIONS} AS c"
    if merged:
        source += f" LEFT JOIN {merged.members} AS m ON m.id = c.id"
        source += f" LEFT JOIN {merged.groups} AS g ON g.tbar = coalesce(m.tbar, c.id)"
    order = "" if found.ordered and not merged else "ORDER BY c.id"
    return f"SELECT {', '.join(selected)} {source} {order}"


class _Cut:
    """Cuts rows of connections into points, T-bar before PSD, and partners."""

    def __init__(self, found: Connections, types: Mapping[str, pa.DataType]) -> None:
        self.found = found
        self.shared = {name: _kind(types[name]) for name in (*found.extras, *found.rois)}
        axes = [(axis, pa.int32()) for axis in AXES]
        sv = [("sv", pa.int64())] if found.has_supervoxels else []
        kind = pa.dictionary(pa.int8(), pa.string())
        own = [("kind", kind), ("conf", pa.float32()), ("body", pa.int64()), *sv]
        self.points_schema = pa.schema([("point_id", pa.uint64()), *axes, *own, *self.shared.items()])
        ends = [(f"{axis}_{side}", pa.int32()) for side in SIDES for axis in AXES]
        self.partners_schema = pa.schema([("pre_id", pa.uint64()), ("post_id", pa.uint64()), *ends])

    def points(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Two rows for each connection; none for a T-bar that belongs to a connection with a smaller id."""
        ids, tbars = _numbers(batch, "id"), _numbers(batch, "tbar")
        keep = np.ones(2 * len(ids), bool)
        keep[0::2] = ids == tbars
        made: dict[str, pa.Array] = {"point_id": _alternating(2 * tbars, 2 * ids + 1, keep).cast(pa.uint64())}
        for name in (*AXES, "conf", "body", *(("sv",) if self.found.has_supervoxels else ())):
            made[name] = _alternating(_numbers(batch, f"pre_{name}"), _numbers(batch, f"post_{name}"), keep)
        kinds = np.tile(np.array([0, 1], np.int8), len(ids))[keep]
        made["kind"] = dictionary_array(kinds, ["PreSyn", "PostSyn"])
        rows = pa.array(np.repeat(np.arange(len(ids)), 2)[keep])
        made |= {name: batch[name].cast(kind).take(rows) for name, kind in self.shared.items()}
        return pa.record_batch([made[f.name].cast(f.type) for f in self.points_schema], schema=self.points_schema)

    def partners(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row for each connection."""
        made = {
            "pre_id": pa.array(2 * _numbers(batch, "tbar")),
            "post_id": pa.array(2 * _numbers(batch, "id") + 1),
            **{f"{axis}_{side}": batch[f"{side}_{axis}"] for side in SIDES for axis in AXES},
        }
        return pa.record_batch([made[f.name].cast(f.type) for f in self.partners_schema], schema=self.partners_schema)


def _kind(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _numbers(batch: pa.RecordBatch, name: str) -> np.ndarray[Any, Any]:
    numbers: np.ndarray[Any, Any] = batch[name].to_numpy(zero_copy_only=False)
    return numbers


def _alternating(
    pre: np.ndarray[Any, Any], post: np.ndarray[Any, Any], keep: np.ndarray[Any, np.dtype[np.bool_]]
) -> pa.Array:
    both = np.empty(2 * len(pre), pre.dtype)
    both[0::2], both[1::2] = pre, post
    return pa.array(both[keep])
