"""A table of a datastack once it lies on our disk, whatever brought it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from flyem_snapshot.engine.session import Engine
from flyem_snapshot.engine.sql import identifier, literals
from flyem_snapshot.errors import DataError

AXES = ("x", "y", "z")
INTEGERS = frozenset(f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT"))
FLOATS = frozenset({"FLOAT", "DOUBLE"})
_UNTYPED = '"NULL"'
"""The type of a column without any value."""

Resolution = tuple[float, float, float]


@dataclass(frozen=True)
class Fetched:
    """The rows of a table: Parquet `files`, and what is known of it.

    `columns` maps each column to its SQL type.  `resolution` is what one unit of a position is, in nanometers, and
    `reference` the table whose ids stand in `target_id`.  `ordered` says that ids ascend from row to row.
    """

    name: str
    files: tuple[Path, ...]
    columns: Mapping[str, str]
    resolution: Resolution
    reference: str | None
    ordered: bool
    about: Mapping[str, Any]

    @property
    def relation(self) -> str:
        """The SQL table expression of the rows, in the order of the files."""
        return parts_together(self.files)

    def require(self, columns: Iterable[str], what: str) -> None:
        """Raise DataError if a column is missing that the settings name."""
        missing = [name for name in columns if name not in self.columns]
        if missing:
            raise DataError(
                f"table '{self.name}' has no column {', '.join(repr(name) for name in missing)}",
                hint=f"look at {what}; its columns are: {', '.join(self.columns)}",
            )

    def require_ids(self, columns: Iterable[str]) -> None:
        """Raise DataError if a column of ids is not of integers: floating-point numbers lose the last digits."""
        for name in columns:
            if self.columns[name] not in INTEGERS | {_UNTYPED}:
                raise DataError(
                    f"column '{name}' of table '{self.name}' holds {self.columns[name]}, but ids must be integers",
                    hint="a floating-point number cannot hold ids above 2^53; write the column as 64-bit integers",
                )

    def require_numbers(self, columns: Iterable[str], what: str) -> None:
        """Raise DataError if a column that is reckoned with is missing or not of numbers."""
        names = list(columns)
        self.require(names, what)
        for name in names:
            if not _is_number(self.columns[name]):
                raise DataError(
                    f"column '{name}' of table '{self.name}' holds {self.columns[name]}, but must be numbers",
                    hint=f"look at {what}",
                )

    def position(self, prefix: str, what: str, alias: str = "") -> list[str]:
        """SQL for x, y and z in units of the table, as whole numbers; null for NaN and what is no 64-bit integer.

        Raises DataError if there is no such position: three columns of numbers, or one of lists (arrays) of them.
        """
        dot = f"{alias}." if alias else ""
        names = [f"{prefix}_{axis}" for axis in AXES]
        kind, bracket, size = self.columns.get(prefix, "").partition("[")
        if not set(names) <= self.columns.keys() and bracket and size in ("]", "3]"):
            kinds = {f"{dot}{identifier(prefix)}[{number}]": kind for number in (1, 2, 3)}
        else:
            self.require(names, what)
            kinds = {f"{dot}{identifier(name)}": self.columns[name] for name in names}
        return [self._whole(value, kind, prefix) for value, kind in kinds.items()]

    def _whole(self, value: str, kind: str, prefix: str) -> str:
        if not _is_number(kind):
            raise DataError(
                f"position '{prefix}' of table '{self.name}' holds {kind}, but must be numbers",
                hint="write it as three columns of numbers that end in _x, _y and _z",
            )
        return f"TRY_CAST({value if kind in INTEGERS else f'floor({value})'} AS BIGINT)"


def _is_number(kind: str) -> bool:
    return kind in INTEGERS | FLOATS | {_UNTYPED} or kind.startswith("DECIMAL")


class Tables(Protocol):
    """A datastack: its tables by name."""

    def fetch(self, name: str, *, synapses: bool = False) -> Fetched:
        """Bring a table to our disk, if it is not there yet; `synapses` says that it is the synapse table."""

    def synapse_table(self) -> str:
        """The name of the synapse table, where the settings do not say it."""

    def soma_table(self) -> str:
        """The name of the table of nuclei, where the settings do not say it."""

    def about(self) -> dict[str, Any]:
        """What identifies the datastack: see `CaveTables.about`."""


def described(engine: Engine, files: Iterable[Path]) -> dict[str, str]:
    """The columns of Parquet files and their SQL types."""
    return {row[0]: row[1] for row in engine.rows(f"DESCRIBE SELECT * FROM {parts_together(files)}")}


def parts_together(files: Iterable[Path]) -> str:
    """The SQL table expression of the rows of Parquet files, one file after the other.

    A column that is null in all rows of a part may have no type there; its type is that of the other parts.
    """
    return f"read_parquet([{literals(map(str, files))}], union_by_name = true)"


def integer_body(column: str) -> str:
    """SQL for a body or supervoxel: 0 for what is outside (0), was not looked up (1) or is unknown (null)."""
    return f"CAST(coalesce(nullif(nullif({column}, 0), 1), 0) AS BIGINT)"
