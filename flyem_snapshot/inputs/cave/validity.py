"""Rows that a table marks as not valid, and columns that say yes or no."""

from __future__ import annotations

from typing import Final

from flyem_snapshot.engine.sql import identifier
from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.cave.fetched import FLOATS, INTEGERS, Fetched
from flyem_snapshot.inputs.cave.settings import CaveSettings
from flyem_snapshot.stage import Context

VALID: Final = "valid"


def truth(ctx: Context, table: Fetched, column: str, alias: str = "") -> str:
    """SQL for a column as a truth value: files write t and f, 1 and 0, or true and false; null if it is missing.

    Raises DataError if the column holds anything else.
    """
    kind, name = table.columns[column], identifier(column)
    own = f"{alias}.{name}" if alias else name
    if kind == "BOOLEAN":
        return own
    if kind != "VARCHAR" and kind not in INTEGERS | FLOATS | {'"NULL"'}:
        raise DataError(f"column '{column}' of table '{table.name}' holds {kind}, but must say true or false")
    # A number is read as text does: other numbers than 1 and 0 say nothing.
    number = "CASE {} WHEN 1 THEN TRUE WHEN 0 THEN FALSE END"
    made = "TRY_CAST({} AS BOOLEAN)" if kind == "VARCHAR" else number
    given = f"{name} IS NOT NULL" + (f" AND NOT isnan({name})" if kind in FLOATS else "")
    odd = f"FROM {table.relation} WHERE {given} AND {made.format(name)} IS NULL"
    if rows := ctx.engine.scalar(f"SELECT count(*) {odd}"):
        first = [row[0] for row in ctx.engine.rows(f"SELECT DISTINCT {name} {odd} ORDER BY 1 LIMIT 3")]
        raise DataError(
            f"column '{column}' of table '{table.name}' must say true or false",
            rows=int(rows),
            examples=first,
            hint="write true and false, t and f, or 1 and 0",
        )
    return made.format(own)


def valid_rows(config: CaveSettings, ctx: Context, table: Fetched) -> str:
    """The table expression of the rows that are not marked as not valid; the others are counted as left out."""
    if VALID not in table.columns or config.keep_invalid:
        return table.relation
    condition = f"({truth(ctx, table, VALID)}) IS NOT FALSE"
    rows = ctx.engine.scalar(f"SELECT count(*) FROM {table.relation} WHERE NOT ({condition})")
    ctx.exclusions.add(f"rows of '{table.name}'", "not valid", int(rows))
    return f"(SELECT * FROM {table.relation} WHERE {condition})"
