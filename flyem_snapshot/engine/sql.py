"""Quoting: the only way in which a name or a value from data or settings enters an SQL statement."""

from __future__ import annotations

from collections.abc import Iterable


def identifier(name: str) -> str:
    """A column or table name in double quotes, with double quotes inside it doubled."""
    if "\0" in name:
        raise ValueError("a name may not contain a NUL character")
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | float | bool | None) -> str:
    """A constant, quoted: text in single quotes with quotes doubled, numbers exactly."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"CAST('{value!r}' AS DOUBLE)"
    if "\0" in value:
        raise ValueError("a text constant may not contain a NUL character")
    return "'" + value.replace("'", "''") + "'"


def literals(values: Iterable[str | int | float | bool | None]) -> str:
    """Constants separated by commas, for `IN (...)` and enumerations."""
    return ", ".join(literal(value) for value in values)


def columns(names: Iterable[str], table: str = "") -> str:
    """Quoted column names separated by commas, each with the table's alias in front if one is given."""
    prefix = f"{identifier(table)}." if table else ""
    return ", ".join(prefix + identifier(name) for name in names)
