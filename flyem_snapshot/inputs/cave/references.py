"""Tables that say something of each connection: ROIs and transmitters, by the id of the connection."""

from __future__ import annotations

from collections.abc import Mapping

from flyem_snapshot.engine.session import parquet
from flyem_snapshot.engine.sql import identifier
from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.cave.fetched import Fetched, Tables
from flyem_snapshot.inputs.cave.settings import CaveSettings, Transmitters
from flyem_snapshot.inputs.cave.synapses import CONNECTIONS, Merged
from flyem_snapshot.inputs.cave.validity import truth, valid_rows
from flyem_snapshot.stage import Context

_TARGET = "target_id"


def roi_sources(
    config: CaveSettings, ctx: Context, tables: Tables, synapses: Fetched, counts: dict[str, int]
) -> dict[str, str]:
    """For each roi-set a table expression (target, value), or the quoted name of a column of the synapse table.

    Of several rows of one connection the one with the smallest id counts; how many were passed over is counted.
    """
    found = {}
    for number, (roi_set, source) in enumerate(config.rois.items()):
        setting = f"inputs.cave.rois.{roi_set}"
        if source.table is None:
            synapses.require([source.column], setting)
            found[roi_set] = identifier(source.column)
            continue
        table = tables.fetch(source.table)
        require_reference(table, synapses.name, setting)
        table.require(["id", source.column], setting)
        path = ctx.scratch / f"rois-{number}.parquet"
        value = f"CAST({identifier(source.column)} AS VARCHAR)"
        first = f"SELECT {_TARGET} AS target, arg_min({value}, id) AS value"
        used = valid_rows(config, ctx, table)
        ctx.engine.copy_to_parquet(f"{first} FROM {used} WHERE {_TARGET} IS NOT NULL GROUP BY {_TARGET}", path)
        rows = ctx.engine.scalar(f"SELECT count(*) FROM {parquet(path)}")
        given = ctx.engine.scalar(f"SELECT count({_TARGET}) FROM {used}")
        counts[f"rows of '{table.name}' for a connection that has one before"] = int(given) - int(rows)
        found[roi_set] = parquet(path)
    return found


def require_reference(table: Fetched, synapses: str, setting: str) -> None:
    """Raise DataError if a table does not refer to the synapse table."""
    table.require([_TARGET], setting)
    table.require_ids([_TARGET])
    if table.reference not in (None, synapses):
        problem = f"table '{table.name}' refers to '{table.reference}', not to the synapse table '{synapses}'"
        raise DataError(problem, hint=f"look at {setting}")


def write_transmitters(
    config: CaveSettings,
    chosen: Transmitters,
    ctx: Context,
    tables: Tables,
    synapses: Fetched,
    merged: Merged | None,
    relative: str,
) -> None:
    """Write point_id of each T-bar and the probabilities of its transmitters (FLOAT), in the order of ids.

    Those of a T-bar that several connections share are the means of theirs.
    """
    setting, key = "inputs.cave.transmitters", config.synapse_columns.id
    table = synapses if chosen.table is None else tables.fetch(chosen.table)
    if chosen.table is not None:
        require_reference(table, synapses.name, setting)
        key = _TARGET
    table.require([chosen.valid_column] if chosen.valid_column else [], setting)
    table.require_numbers(chosen.columns, setting)
    scores = {f"nt_{name}_prob": f"CAST(avg(t.{identifier(column)}) AS FLOAT)" for column, name in _named(chosen)}
    tbar = "coalesce(m.tbar, c.id)" if merged else "c.id"
    valid = f"WHERE {truth(ctx, table, chosen.valid_column, 't')}" if chosen.valid_column else ""
    relation = table.relation if chosen.table is None else valid_rows(config, ctx, table)
    joined = f"FROM {CONNECTIONS} AS c JOIN {relation} AS t ON t.{identifier(key)} = c.id"
    joined += f" LEFT JOIN {merged.members} AS m ON m.id = c.id" if merged else ""
    selected = ", ".join(f"{value} AS {identifier(name)}" for name, value in scores.items())
    with ctx.out.create(relative) as path:
        ctx.engine.copy_to_parquet(
            f"SELECT CAST(2 * tbar AS UBIGINT) AS point_id, * EXCLUDE (tbar) "
            f"FROM (SELECT {tbar} AS tbar, {selected} {joined} {valid} GROUP BY ALL) ORDER BY tbar",
            path,
        )
    rows = ctx.engine.scalar(f"SELECT count(*) FROM {parquet(ctx.out.path(relative))}")
    if not rows:
        hint = "look at inputs.cave.transmitters: its valid-column, and the table it names"
        raise DataError(f"table '{table.name}' has no prediction that counts", hint=hint)
    ctx.out.set_rows(relative, int(rows))


def _named(chosen: Transmitters) -> list[tuple[str, str]]:
    names: Mapping[str, str] = chosen.columns
    return list(names.items())
