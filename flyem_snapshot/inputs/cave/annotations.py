"""Body annotations from tables of a datastack: one row for each body, whatever the tables have."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import feather

from flyem_snapshot.connectome.status import STATUS_ORDER
from flyem_snapshot.engine.sql import identifier, literal
from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.cave.fetched import AXES, FLOATS, Fetched, Resolution, Tables, integer_body
from flyem_snapshot.inputs.cave.settings import CaveAnnotations, CaveSettings, StatusMap
from flyem_snapshot.inputs.cave.synapses import in_voxels, reach
from flyem_snapshot.inputs.cave.validity import valid_rows
from flyem_snapshot.stage import Context

logger = logging.getLogger(__name__)

_STATUS: Final = "status"
_MAX_BODY: Final = (1 << 63) - 1


@dataclass(frozen=True)
class _Reader:
    """What all tables of annotations are read with; `voxel` is that of the snapshot in nanometers."""

    config: CaveSettings
    ctx: Context
    tables: Tables
    voxel: Resolution
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Found:
    """What a table says: its bodies, each once, the annotations by name, and the rank of the status."""

    bodies: pa.Array
    columns: Mapping[str, pa.Array]
    rank: pa.Array | None = None


def write_annotations(
    config: CaveSettings, ctx: Context, tables: Tables, voxel: Resolution, counts: dict[str, int], relative: str
) -> int:
    """Write one row for each body that some table speaks of, ascending; returns how many there are.

    body int64, the columns of the tables in the order of the settings, the position of the soma, status.
    """
    reader = _Reader(config, ctx, tables, voxel, counts)
    found = [_of_table(reader, entry, number) for number, entry in enumerate(config.annotations)]
    if config.soma is not None:
        found.append(_somata(reader, config.soma.table or tables.soma_table(), config.soma.annotation))
    bodies = pa.concat_arrays([one.bodies for one in found]).unique()
    bodies = bodies.take(pc.sort_indices(bodies))
    made: dict[str, Any] = {"body": bodies}
    statuses = []
    for one in found:
        rows = pc.index_in(bodies, value_set=one.bodies)
        made |= {name: column.take(rows) for name, column in one.columns.items()}
        if one.rank is not None:
            statuses.append(one.rank.take(rows))
    if statuses:
        made[_STATUS] = _best(statuses)
    with ctx.out.create(relative, rows=len(bodies)) as path:
        feather.write_feather(pa.table(made), str(path), compression="lz4")
    return len(bodies)


def _best(ranks: Sequence[pa.Array]) -> pa.Array:
    """The best of the statuses that several tables give to a body, as text."""
    best = pc.max_element_wise(*ranks)
    return pa.array(STATUS_ORDER, pa.large_string()).take(best)


def _of_table(reader: _Reader, entry: CaveAnnotations, number: int) -> _Found:
    """One row for each body of a table."""
    table = reader.tables.fetch(entry.table)
    setting = f"inputs.cave.annotations.{number}"
    table.require([*entry.columns, *([entry.max_column] if entry.max_column else [])], setting)
    source, target = _with_bodies(reader, table, entry, setting)
    # What the settings call them is put in its place afterwards: in SQL no name of theirs can mean anything else.
    values = {f"value{place}": f"t.{identifier(old)}" for place, old in enumerate(entry.columns)}
    if entry.position is not None:
        values["place"] = _position(reader, source, table, target, entry, setting)
    if entry.status is not None:
        values["rank"] = _rank(reader, table, entry.status, ("annotations", number, "status"))
    order = _comparable(table, entry.max_column, setting) if entry.max_column else values.get("rank", "0")
    selected = ", ".join(f"{value} AS {name}" for name, value in values.items())
    rows = f"SELECT {source.body} AS body, t.id AS own_id, {order} AS own_order, {selected} {source.sql}"
    _count_rows(reader, rows, table.name)
    rows = f"({rows} WHERE {source.body} <> 0)"
    _refuse_or_count(reader, rows, entry, table.name)
    chosen = _one_each(reader, rows, entry, list(values))
    columns = {name: chosen[f"value{place}"].combine_chunks() for place, name in enumerate(entry.columns.values())}
    if entry.position is not None:
        columns[entry.position] = chosen["place"].combine_chunks()
    rank = chosen["rank"].combine_chunks() if entry.status is not None else None
    return _Found(chosen["body"].combine_chunks(), columns, rank)


def _comparable(table: Fetched, column: str, setting: str) -> str:
    """SQL for what decides between rows; null for NaN, which else were the greatest number."""
    name, kind = f"t.{identifier(column)}", table.columns[column]
    if kind == "VARCHAR":
        problem = f"column '{column}' of table '{table.name}' is text, of which none is the greatest"
        raise DataError(problem, hint=f"name a column of numbers or times in {setting}.max-column")
    return f"CASE WHEN NOT isnan({name}) THEN {name} END" if kind in FLOATS else name


@dataclass(frozen=True)
class _Source:
    """SQL of the rows with the alias `t`, and of the body of each."""

    sql: str
    body: str


def _with_bodies(
    reader: _Reader, table: Fetched, entry: CaveAnnotations, setting: str
) -> tuple[_Source, Fetched | None]:
    """A bound table has bodies of its own; one that refers to another gets the bodies of that one."""
    table.require(["id"], setting)
    column, own = entry.body_column, valid_rows(reader.config, reader.ctx, table)
    if column in table.columns:
        _require_bodies(reader, table, column)
        return _Source(f"FROM {own} AS t", integer_body(f"t.{identifier(column)}")), None
    if table.reference is None:
        table.require([column], setting)
    assert table.reference is not None, "what is missing was refused"
    target = reader.tables.fetch(table.reference)
    table.require(["target_id"], setting)
    target.require(["id", column], setting)
    target.require_ids(["id"])
    table.require_ids(["target_id"])
    _require_bodies(reader, target, column)
    sql = f"FROM {own} AS t LEFT JOIN {target.relation} AS target ON target.id = t.target_id"
    return _Source(sql, integer_body(f"target.{identifier(column)}")), target


def _require_bodies(reader: _Reader, table: Fetched, column: str) -> None:
    """Raise DataError for a body that is not a positive signed 64-bit integer."""
    table.require_ids([column])
    name = identifier(column)
    odd = f"FROM {table.relation} WHERE {name} < 0 OR {name} > {_MAX_BODY}"
    if rows := reader.ctx.engine.scalar(f"SELECT count(*) {odd}"):
        first = [row[0] for row in reader.ctx.engine.rows(f"SELECT {name} {odd} ORDER BY 1 LIMIT 3")]
        problem = f"table '{table.name}': '{column}' must be between 0 and 2^63 - 1"
        raise DataError(problem, rows=int(rows), examples=first, hint="mend or remove these rows")


def _position(
    reader: _Reader, source: _Source, table: Fetched, target: Fetched | None, entry: CaveAnnotations, setting: str
) -> str:
    """SQL for a position as a list of x, y and z in voxels of the snapshot; null if one of them is.

    It is that of the row that the table refers to, unless the table has such a position itself.
    """
    own = {entry.position_column, *(f"{entry.position_column}_{axis}" for axis in AXES)} & table.columns.keys()
    owner, alias = (table, "t") if target is None or own else (target, "target")
    whole = owner.position(entry.position_column, setting, alias)
    sizes = list(zip(whole, owner.resolution, reader.voxel, strict=True))
    low_high = [(value, *reach(unit, size)) for value, unit, size in sizes]
    far = " OR ".join(f"{value} NOT BETWEEN {low} AND {high}" for value, low, high in low_high)
    if rows := reader.ctx.engine.scalar(f"SELECT count(*) {source.sql} WHERE {far}"):
        problem = (
            f"table '{table.name}': a position lies beyond the range of 32-bit integers, in voxels of the snapshot"
        )
        raise DataError(problem, rows=int(rows), hint="mend or remove these rows")
    values = [in_voxels(value, unit, size) for value, unit, size in sizes]
    unknown = " OR ".join(f"{value} IS NULL" for value in whole)
    return f"CASE WHEN {unknown} THEN NULL ELSE [{', '.join(values)}] END"


def _rank(reader: _Reader, table: Fetched, status: StatusMap, path: tuple[str | int, ...]) -> str:
    """SQL for the place of a row's status in the order of all, from worst to best; null without one."""
    if status.column is None:
        return str(STATUS_ORDER.index(status.present or ""))
    table.require([status.column], ".".join(map(str, path)))
    text = f"CAST({identifier(status.column)} AS VARCHAR)"
    known = ", ".join(literal(value) for value in status.values)
    others = f"{text} IS NOT NULL AND {text} NOT IN ({known})"
    reader.counts[f"rows of '{table.name}' whose {status.column} stands for no status"] = reader.ctx.engine.scalar(
        f"SELECT count(*) FROM {table.relation} WHERE {others}"
    )
    cases = [f"WHEN {literal(v)} THEN {STATUS_ORDER.index(name)}" for v, name in status.values.items()]
    return f"CASE CAST(t.{identifier(status.column)} AS VARCHAR) {' '.join(cases)} END"


def _count_rows(reader: _Reader, rows: str, name: str) -> None:
    """Count the rows that lie on no body."""
    total, nowhere = reader.ctx.engine.rows(f"SELECT count(*), count(*) FILTER (WHERE body = 0) FROM ({rows})")[0]
    reader.ctx.exclusions.add(f"annotations of '{name}'", "on no body, or on one that was not looked up", nowhere)
    logger.info("%s rows of '%s'", f"{total:,}", name)


def _refuse_or_count(reader: _Reader, rows: str, entry: CaveAnnotations, name: str) -> None:
    several = f"SELECT body, count(*) AS n FROM {rows} GROUP BY body HAVING count(*) > 1"
    bodies, number = reader.ctx.engine.rows(f"SELECT count(*), coalesce(sum(n), 0) FROM ({several})")[0]
    if bodies and entry.several == "error":
        first = [row[0] for row in reader.ctx.engine.rows(f"SELECT body FROM ({several}) ORDER BY body LIMIT 3")]
        raise DataError(
            f"{bodies:,} bod{'ies have' if bodies > 1 else 'y has'} several rows in table '{name}'",
            rows=int(number),
            examples=first,
            hint="say which one counts: 'several: first', 'concat' or 'max' in inputs.cave.annotations",
        )
    reader.counts[f"bodies with several rows in '{name}'"] = int(bodies)
    if entry.several != "concat":
        reason = "a body has several rows, of which one was taken"
        reader.ctx.exclusions.add(f"annotations of '{name}'", reason, int(number) - int(bodies))


def _one_each(reader: _Reader, rows: str, entry: CaveAnnotations, names: list[str]) -> pa.Table:
    """One row for each body, by the policy of the settings."""
    if entry.several != "concat":
        order = "own_id" if entry.several != "max" else "own_order DESC NULLS LAST, own_id"
        chosen = f"QUALIFY row_number() OVER (PARTITION BY body ORDER BY {order}) = 1"
        return reader.ctx.engine.table(f"SELECT body, {', '.join(names)} FROM {rows} {chosen} ORDER BY body")
    made = []
    for name in names:
        if name == "rank":
            made.append("max(rank) AS rank")
            continue
        if name == "place":
            made.append("arg_min(place, own_id) AS place")
            continue
        # Each value once, where it first occurs.
        texts = f"list(CAST({name} AS VARCHAR) ORDER BY own_id) FILTER (WHERE {name} IS NOT NULL)"
        once = f"list_filter({texts}, lambda v, i: list_position({texts}, v) = i)"
        made.append(f"array_to_string({once}, '; ') AS {name}")
    return reader.ctx.engine.table(f"SELECT body, {', '.join(made)} FROM {rows} GROUP BY body ORDER BY body")


def _somata(reader: _Reader, name: str, annotation: str) -> _Found:
    """The position of the nucleus of each body that has exactly one."""
    entry = CaveAnnotations(table=name, position=annotation)
    table = reader.tables.fetch(name)
    source, target = _with_bodies(reader, table, entry, "inputs.cave.soma")
    place = _position(reader, source, table, target, entry, "inputs.cave.soma")
    rows = f"SELECT {source.body} AS body, {place} AS place {source.sql}"
    _count_rows(reader, rows, name)
    grouped = f"SELECT body, any_value(place) AS place, count(*) AS n FROM ({rows}) WHERE body <> 0 GROUP BY body"
    reader.counts["bodies with several nuclei, whose soma is unknown"] = reader.ctx.engine.scalar(
        f"SELECT count(*) FROM ({grouped}) WHERE n > 1"
    )
    chosen = reader.ctx.engine.table(f"SELECT body, place FROM ({grouped}) WHERE n = 1 ORDER BY body")
    return _Found(chosen["body"].combine_chunks(), {annotation: chosen["place"].combine_chunks()})
