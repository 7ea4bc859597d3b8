"""Finished files as tables of the session: CSV by its own header, Feather column by column, nothing whole in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from flyem_snapshot.connectome.neuprint_files import csv_files_in, csv_header, flag_columns
from flyem_snapshot.engine.session import Engine
from flyem_snapshot.engine.sql import identifier, literal, literals
from flyem_snapshot.errors import DataError

SEPARATOR = "\x1f"
"""Between the ROIs of a node in the column `flags`; no name holds it."""

_LONGEST_LINE = 16_000_000
"""Bytes; a Segment that touches every ROI of a large set has a long roiInfo."""


@dataclass(frozen=True)
class Column:
    """A column of a CSV: its header cell, its SQL type, and whether a file may lack it (it is then null)."""

    cell: str
    type: str = "VARCHAR"
    optional: bool = False


def whole(text: str, kind: str) -> str:
    """SQL: a number written in digits and nothing else, as an integer type; null if it is anything else."""
    return f"CASE WHEN regexp_full_match({text}, '-?[0-9]+') THEN TRY_CAST({text} AS {kind}) END"


@contextmanager
def unreadable(where: Path | str) -> Iterator[None]:
    """Turn what the readers say of a torn or foreign file into an error that names it."""
    try:
        yield
    except (duckdb.Error, pa.ArrowInvalid, OSError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = "; ".join(line for line in lines[:3] if not line.startswith("Possible"))
        raise DataError(f"cannot be read: {said}", file=where) from error


def load_csv(
    engine: Engine,
    table: str,
    files: Sequence[Path],
    wanted: Mapping[str, Column],
    *,
    flags: bool = False,
    constants: Mapping[Path, str] | None = None,
) -> None:
    """Make a table of CSV files whose headers may differ: the `wanted` columns, and no others.

    With `flags` a column `flags` holds the ROIs of each row, joined by `SEPARATOR`; a flag that is neither true nor
    empty stands there as `<roi>=<text>`.  `constants` adds a column `source` with a text for each file.
    Raises DataError for a file that is torn, no CSV, or lacks a column.
    """
    kinds = [f"{identifier(name)} {column.type}" for name, column in wanted.items()]
    extra = [f"{name} VARCHAR" for name, given in (("flags", flags), ("source", constants is not None)) if given]
    engine.execute(f"CREATE TABLE {identifier(table)} ({', '.join([*kinds, *extra])})")
    alike: dict[tuple[tuple[str, ...], str | None], list[Path]] = {}
    for path in files:
        header = csv_header(path)
        alike.setdefault((tuple(header), constants[path] if constants else None), []).append(path)
    engine.execute("BEGIN")
    try:
        for (header_cells, constant), paths in alike.items():
            selected = _selected(paths[0], list(header_cells), wanted)
            selected += [_flags(list(header_cells))] if flags else []
            selected += [literal(constant)] if constants is not None else []
            with unreadable(paths[0] if len(paths) == 1 else f"{paths[0].parent} ({len(paths)} files)"):
                relation = _relation(paths, len(header_cells))
                engine.execute(f"INSERT INTO {identifier(table)} SELECT {', '.join(selected)} FROM {relation}")
    except BaseException:
        engine.execute("ROLLBACK")
        raise
    engine.execute("COMMIT")


def _selected(path: Path, header: list[str], wanted: Mapping[str, Column]) -> list[str]:
    """The SQL of each wanted column over the columns c0, c1, ... of the file."""
    places = {cell.upper() if cell.upper() == ":LABEL" else cell: f"c{place}" for place, cell in enumerate(header)}
    repeated = sorted({cell for cell in header if header.count(cell) > 1}) if len(places) < len(header) else []
    if repeated:
        raise DataError(f"two columns are called '{repeated[0]}'", file=path)
    missing = [column.cell for column in wanted.values() if not column.optional and column.cell not in places]
    if missing:
        raise DataError(f"lacks the column '{missing[0]}'", file=path, hint=f"its header is {', '.join(header)[:300]}")
    return [_converted(places.get(column.cell, "NULL"), column.type) for column in wanted.values()]


def _converted(text: str, kind: str) -> str:
    if kind == "VARCHAR" or text == "NULL":
        return text
    return whole(text, kind) if kind != "FLOAT" else f"TRY_CAST({text} AS FLOAT)"


def _flags(header: list[str]) -> str:
    cells = [
        f"CASE WHEN c{place} = 'true' THEN {literal(roi)} "
        f"WHEN c{place} <> '' THEN concat({literal(roi)}, '=', c{place}) END"
        for place, roi in flag_columns(header).items()
    ]
    return f"concat_ws({literal(SEPARATOR)}, {', '.join(cells)})" if cells else "''"


def _relation(files: Sequence[Path], width: int) -> str:
    """CSV files of one header, every column as text; called c0, c1, ... since SQL knows no upper and lower case."""
    kinds = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(width))
    options = (
        f"auto_detect = false, header = true, columns = {{{kinds}}}, delim = ',', quote = '\"', escape = '\"', "
        f"new_line = '\\n', strict_mode = true, null_padding = false, nullstr = '', "
        f"max_line_size = {_LONGEST_LINE}, buffer_size = {2 * _LONGEST_LINE}"
    )
    return f"read_csv([{literals(str(path) for path in files)}], {options})"


def one_file(folder: Path, name: str) -> Path:
    """The one CSV of this name, plain or gzipped; raises DataError if it is missing or there are both."""
    found = csv_files_in(folder, name)
    if len(found) != 1:
        raise DataError(
            "there is no such file" if not found else "is there twice, plain and gzipped", file=folder / name
        )
    return found[0]


def single_row(engine: Engine, path: Path) -> dict[str, str]:
    """The cells of a CSV of one row, by header cell, without empty ones; raises DataError if it is not one row."""
    header = csv_header(path)
    with unreadable(path):
        rows = engine.rows(f"SELECT * FROM {_relation([path], len(header))} LIMIT 2")
    if len(rows) != 1:
        raise DataError(f"must have one row, but has {'none' if not rows else 'several'}", file=path)
    return {cell: value for cell, value in zip(header, rows[0], strict=True) if value is not None}


def feather_columns(path: Path) -> list[str]:
    """The column names of a Feather file; raises DataError if it cannot be read."""
    return list(feather_schema(path).names)


def feather_schema(path: Path) -> pa.Schema:
    """The schema of a Feather file; raises DataError if it cannot be read."""
    with unreadable(path), pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).schema


def load_feather(engine: Engine, table: str, path: Path, wanted: Mapping[str, str], kinds: Mapping[str, str]) -> None:
    """Make a table of some columns of a Feather file.

    `wanted`: name in the file to name in the table; `kinds`: name in the table to SQL type, where it should change.
    Raises DataError if the file is torn or lacks a column.
    """
    schema = feather_schema(path)
    missing = [name for name in wanted if name not in schema.names]
    if missing:
        raise DataError(f"lacks the column '{missing[0]}'", file=path)
    options = pa.ipc.IpcReadOptions(included_fields=[schema.names.index(name) for name in wanted])
    selected = ", ".join(
        f"CAST({identifier(name)} AS {kinds[to]}) AS {identifier(to)}"
        if to in kinds
        else f"{identifier(name)} AS {identifier(to)}"
        for name, to in wanted.items()
    )
    with unreadable(path), pa.memory_map(str(path)) as source, pa.ipc.open_file(source, options=options) as file:
        batches = (file.get_batch(number) for number in range(file.num_record_batches))
        reader = pa.RecordBatchReader.from_batches(file.schema, batches)
        with engine.registered(_feather=reader):
            engine.execute(f"CREATE TABLE {identifier(table)} AS SELECT {selected} FROM _feather")


def categories(path: Path, column: str) -> list[str]:
    """The categories of a column of a Feather file; none if it is no category or has no rows."""
    with unreadable(path), pa.memory_map(str(path)) as source:
        schema = pa.ipc.open_file(source).schema
        if not pa.types.is_dictionary(schema.field(column).type):
            return []
        options = pa.ipc.IpcReadOptions(included_fields=[schema.names.index(column)])
        file = pa.ipc.open_file(source, options=options)
        if not file.num_record_batches:
            return []
        return [str(value) for value in file.get_batch(0).column(0).dictionary.to_pylist()]


def feather_rows(path: Path) -> int:
    """The number of rows of a Feather file; raises DataError if it cannot be read."""
    with unreadable(path), pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        return sum(file.get_batch(number).num_rows for number in range(file.num_record_batches))
