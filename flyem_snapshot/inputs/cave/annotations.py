"""Body annotations from tables of a datastack: one row for each body, whatever the tables have."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import feather

from flyem_snapshot.connectome.status import STATUS_ORDER
from flyem_snapshot.engine.sql import columns as quoted
from flyem_snapshot.engine.sql import identifier, literal
from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.inputs.cave.fetched import AXES, Fetched, Resolution, Tables, integer_body
from flyem_snapshot.inputs.cave.settings import CaveAnnotations, CaveSettings, StatusMap
from flyem_snapshot.inputs.cave.synapses import in_voxels
from flyem_snapshot.stage import Context

logger = logging.getLogger(__name__)

_STATUS, _RANK = "status", "status rank"


@dataclass(frozen=True)
class _Reader:
    """What all tables of annotations are read with; `voxel` is that of the snapshot in nanometers."""

    ctx: Context
    tables: Tables
    voxel: Resolution
    counts: dict[str, int] = field(default_factory=dict)


def write_annotations(
    config: CaveSettings, ctx: Context, tables: Tables, voxel: Resolution, counts: dict[str, int], relative: str
) -> int:
    """Write one row for each body that some table speaks of, ascending; returns how many there are.

    body int64, the columns of the tables in the order of the settings, the position of the soma, status.
    """
    reader = _Reader(ctx, tables, voxel, counts)
    found = [_of_table(reader, entry, number) for number, entry in enumerate(config.annotations)]
    if config.soma is not None:
        found.append(_somata(reader, config.soma.table or tables.soma_table(), config.soma.annotation))
    bodies = pa.concat_arrays([table["body"].combine_chunks() for table in found]).unique()
    bodies = bodies.take(pc.sort_indices(bodies))
    made: dict[str, Any] = {"body": bodies}
    statuses = []
    for table in found:
        rows = pc.index_in(bodies, value_set=table["body"].combine_chunks())
        for name in table.column_names:
            column = table[name].combine_chunks().take(rows)
            if name == _RANK:
                statuses.append(column)
            elif name != "body":
                made[name] = column
    if statuses:
        made[_STATUS] = _best(statuses)
    with ctx.out.create(relative, rows=len(bodies)) as path:
        feather.write_feather(pa.table(made), str(path), compression="lz4")
    return len(bodies)


def _best(ranks: Sequence[pa.Array]) -> pa.Array:
    """The best of the statuses that several tables give to a body, as text."""
    best = pc.max_element_wise(*ranks)
    return pa.array(STATUS_ORDER, pa.large_string()).take(best)


def _of_table(reader: _Reader, entry: CaveAnnotations, number: int) -> pa.Table:
    """One row for each body of a table: body, the annotations, and the rank of the status."""
    table = reader.tables.fetch(entry.table)
    setting = f"inputs.cave.annotations.{number}"
    table.require([*entry.columns, *([entry.max_column] if entry.max_column else [])], setting)
    source, target = _with_bodies(reader, table, entry, setting)
    values = {new: f"t.{identifier(old)}" for old, new in entry.columns.items()}
    if entry.position is not None:
        owner, alias = (table, "t") if target is None else (target, "target")
        values[entry.position] = _position(owner, alias, entry.position_column, reader.voxel, setting)
    if entry.status is not None:
        values[_RANK] = _rank(reader, table, entry.status, (*_path(number), "status"))
    greatest = f"t.{identifier(entry.max_column)}" if entry.max_column else values.get(_RANK, "0")
    selected = ", ".join(f"{value} AS {identifier(name)}" for name, value in values.items())
    own = f"{source.body} AS body, t.id AS {identifier('row id')}, {greatest} AS greatest"
    rows = f"SELECT {own}, {selected} {source.sql}"
    _count_rows(reader, rows, table.name)
    rows = f"({rows} WHERE {source.body} <> 0)"
    _refuse_or_count(reader, rows, entry, table.name)
    return _one_each(reader, rows, entry, list(values))


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
    column = entry.body_column
    if column in table.columns:
        table.require_ids([column])
        return _Source(f"FROM {table.relation} AS t", integer_body(f"t.{identifier(column)}")), None
    if table.reference is None:
        table.require([column], setting)
    assert table.reference is not None, "what is missing was refused"
    target = reader.tables.fetch(table.reference)
    table.require(["target_id"], setting)
    target.require(["id", column], setting)
    target.require_ids(["id", column])
    sql = f"FROM {table.relation} AS t LEFT JOIN {target.relation} AS target ON target.id = t.target_id"
    return _Source(sql, integer_body(f"target.{identifier(column)}")), target


def _path(number: int) -> tuple[str | int, ...]:
    return ("annotations", number)


def _position(table: Fetched, alias: str, prefix: str, voxel: Resolution, setting: str) -> str:
    """SQL for a position as a list of x, y and z in voxels of the snapshot; null if one of them is."""
    table.require([f"{prefix}_{axis}" for axis in AXES], setting)
    names = [f"{alias}.{identifier(f'{prefix}_{axis}')}" for axis in AXES]
    whole = [f"CAST(floor({name}) AS BIGINT)" for name in names]
    values = [in_voxels(v, unit, size) for v, unit, size in zip(whole, table.resolution, voxel, strict=True)]
    unknown = " OR ".join(f"{name} IS NULL" for name in names)
    return f"CASE WHEN {unknown} THEN NULL ELSE [{', '.join(values)}] END"


def _rank(reader: _Reader, table: Fetched, status: StatusMap, path: tuple[str | int, ...]) -> str:
    """SQL for the place of a row's status in the order of all, from worst to best; null without one."""
    for name in [status.present] if status.present else status.values.values():
        if name not in STATUS_ORDER:
            hint = f"write one of: {', '.join(label for label in STATUS_ORDER if label)}"
            raise SettingError(path, f"'{name}' is no status", hint=hint)
    if status.column is None:
        return str(STATUS_ORDER.index(status.present or ""))
    table.require([status.column], ".".join(map(str, path)))
    text = f"CAST({identifier(status.column)} AS VARCHAR)"
    known = ", ".join(literal(value) for value in status.values)
    others = f"{text} IS NOT NULL AND {text} NOT IN ({known or literal('')})"
    reader.counts[f"rows of '{table.name}' whose {status.column} stands for no status"] = reader.ctx.engine.scalar(
        f"SELECT count(*) FROM {table.relation} WHERE {others}"
    )
    cases = [f"WHEN {literal(v)} THEN {STATUS_ORDER.index(name)}" for v, name in status.values.items()]
    return f"CASE CAST(t.{identifier(status.column)} AS VARCHAR) {' '.join(cases)} END" if cases else "NULL"


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
    key = identifier("row id")
    if entry.several != "concat":
        order = key if entry.several != "max" else f"greatest DESC NULLS LAST, {key}"
        chosen = f"QUALIFY row_number() OVER (PARTITION BY body ORDER BY {order}) = 1"
        return reader.ctx.engine.table(f"SELECT body, {quoted(names)} FROM {rows} {chosen} ORDER BY body")
    made = []
    for name in names:
        column = identifier(name)
        if name == _RANK:
            made.append(f"max({column}) AS {column}")
            continue
        if name == entry.position:
            made.append(f"arg_min({column}, {key}) AS {column}")
            continue
        # Each value once, where it first occurs.
        texts = f"list(CAST({column} AS VARCHAR) ORDER BY {key}) FILTER (WHERE {column} IS NOT NULL)"
        once = f"list_filter({texts}, lambda v, i: list_position({texts}, v) = i)"
        made.append(f"array_to_string({once}, '; ') AS {column}")
    return reader.ctx.engine.table(f"SELECT body, {', '.join(made)} FROM {rows} GROUP BY body ORDER BY body")


def _somata(reader: _Reader, name: str, annotation: str) -> pa.Table:
    """The position of the nucleus of each body that has exactly one."""
    entry = CaveAnnotations(table=name, position=annotation)
    table = reader.tables.fetch(name)
    source, target = _with_bodies(reader, table, entry, "inputs.cave.soma")
    owner, alias = (table, "t") if target is None else (target, "target")
    place = _position(owner, alias, entry.position_column, reader.voxel, "inputs.cave.soma")
    rows = f"SELECT {source.body} AS body, {place} AS place {source.sql}"
    _count_rows(reader, rows, name)
    grouped = f"SELECT body, any_value(place) AS place, count(*) AS n FROM ({rows}) WHERE body <> 0 GROUP BY body"
    reader.counts["bodies with several nuclei, whose soma is unknown"] = reader.ctx.engine.scalar(
        f"SELECT count(*) FROM ({grouped}) WHERE n > 1"
    )
    chosen = f"SELECT body, place AS {identifier(annotation)} FROM ({grouped}) WHERE n = 1 ORDER BY body"
    return reader.ctx.engine.table(chosen)
