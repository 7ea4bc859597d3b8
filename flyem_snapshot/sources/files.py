"""Tables in files: Feather, Parquet or CSV, told apart by their content, with errors that say what to do."""

from __future__ import annotations

import csv
import difflib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from pyarrow import fs

from flyem_snapshot.errors import DataError

Format = Literal["feather", "parquet", "csv"]

_NAMES: dict[Format, str] = {"feather": "Feather", "parquet": "Parquet", "csv": "CSV"}
_BY_SUFFIX: dict[str, Format] = {
    ".feather": "feather",
    ".arrow": "feather",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
}
_FEATHER_V2, _FEATHER_V1, _PARQUET, _GZIP = b"ARROW1", b"FEA1", b"PAR1", b"\x1f\x8b"
_HEAD_BYTES = 4096
_CSV_BLOCK = 1 << 22
_RECODE = "save it with the encoding UTF-8"
_DAMAGED = "the file is damaged or incomplete: copy or export it again"

# How text cells of a CSV column must look, all of them, for the column to become numbers.  A leading zero means a
# code, not a number.  RE2 knows neither look-ahead nor a `$` that ignores a newline, so these are exact.
_INTEGER = r"^-?(0|[1-9][0-9]*)$"
_FLOAT = r"(?i)^-?(((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|inf|nan)$"
_BOOLEAN = r"^(true|True|TRUE|false|False|FALSE)$"


def sniff_format(path: Path) -> Format:
    """What a file holds, by its first bytes.

    Raises DataError if it is missing, not a file, unreadable, empty, of a form we do not read, or named like
    another format than it has.
    """
    head = _head(path)
    found: Format
    if head.startswith(_FEATHER_V2):
        found = "feather"
    elif head.startswith(_PARQUET):
        found = "parquet"
    elif head.startswith((_FEATHER_V1, _GZIP)) or b"\0" in head:
        _refuse(path, head)
    else:
        found = "csv"
    claimed = _BY_SUFFIX.get(path.suffix.lower())
    if claimed not in (None, found):
        raise DataError(
            f"is named {path.suffix} but does not hold {_NAMES[claimed]}: it looks like {_NAMES[found]}",
            file=path,
            hint=f"if that is right, rename it to {path.stem}.{found}; otherwise export it again",
        )
    return found


def open_header(path: Path) -> tuple[pa.Schema, int | None]:
    """The schema and number of rows of a table, without reading the rows.

    The rows of a CSV are not counted (None), and its types are guessed from its first 4 MiB.
    """
    kind = sniff_format(path)
    rows: int | None = None
    with _damage(path, kind):
        if kind == "feather":
            with pa.memory_map(str(path)) as source:
                schema = pa.ipc.open_file(source).schema
            check_names(path, schema.names)  # first, because to count would be refused for it less clearly
            rows = pads.IpcFileFormat().make_fragment(str(path), filesystem=fs.LocalFileSystem()).count_rows()
        elif kind == "parquet":
            file = pq.ParquetFile(path)
            schema, rows = file.schema_arrow, file.metadata.num_rows
        else:
            schema = _csv_head(path).schema
        check_names(path, schema.names)
    return schema, rows


def read_small_table(path: Path) -> pa.Table:
    """A whole table of body scale, column types as in the file, without metadata.

    A pandas row index without a name (`__index_level_0__`) is not a column and is left out.  A CSV column becomes
    int64 (uint64 if it must), double or bool if all of its cells look so, else text; empty cells are null, and a
    column of empty cells has Arrow's null type.  Dates stay text.
    """
    kind = sniff_format(path)
    with _damage(path, kind):
        if kind == "feather":
            with pa.OSFile(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
        elif kind == "parquet":
            table = pq.ParquetFile(path).read()
        else:
            table = _read_csv(path)
        check_names(path, table.column_names)
        # Reading does not look at every offset and text; without this, damage would surface far from here.
        table.validate(full=True)
    columns = [name for name in table.column_names if not re.fullmatch(r"__index_level_\d+__", name)]
    return pa.table({name: table[name] for name in columns})


def _head(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError("is a directory, not a table", file=path, hint=_tables_in(path))
        if not stat.S_ISREG(mode):
            raise DataError("is not a regular file", file=path)
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError("there is no such file", file=path, hint=missing_file_hint(path)) from error
    except OSError as error:
        raise DataError(
            f"cannot be opened: {error.strerror}", file=path, hint="check the permissions of it and its directories"
        ) from error
    if not head:
        raise DataError("the file is empty (0 bytes)", file=path, hint=_DAMAGED)
    if any(mark.startswith(head) for mark in (_FEATHER_V2, _FEATHER_V1, _PARQUET) if len(head) < len(mark)):
        raise DataError(f"is cut off: it has only {len(head)} bytes", file=path, hint=_DAMAGED)
    return head


def missing_file_hint(path: Path) -> str:
    """What to say about a missing file: the first missing directory, or names that come close."""
    for parent in reversed(path.parents):
        if not parent.is_dir():
            return f"there is no directory {parent}; relative paths are relative to the file that mentions them"
    if not os.access(path.parent, os.R_OK):
        return "check the spelling"
    near = difflib.get_close_matches(path.name, sorted(entry.name for entry in path.parent.iterdir()), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else f"nothing in {path.parent} has a name like it"


def _tables_in(directory: Path) -> str:
    names = sorted(entry.name for entry in directory.iterdir() if entry.suffix.lower() in _BY_SUFFIX)
    return f"name a file in it, such as {names[0]}" if names else "name a Feather, Parquet or CSV file"


def _refuse(path: Path, head: bytes) -> NoReturn:
    if head.startswith(_FEATHER_V1):
        raise DataError(
            "is a Feather file of version 1, which is no longer read",
            file=path,
            hint='convert it once: python -c "import pyarrow.feather as f; '
            f"f.write_feather(f.read_table('{path.name}'), '{path.stem}-v2.feather')\"",
        )
    if head.startswith(_GZIP):
        raise DataError("is compressed with gzip", file=path, hint="unpack it first (gunzip)")
    raise DataError("is neither Feather, Parquet nor CSV text", file=path, hint=_DAMAGED)


@contextmanager
def _damage(path: Path, kind: Format) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text: {error.reason}", file=path, hint=_RECODE) from error
    except (pa.ArrowException, OSError, csv.Error) as error:
        hint = _RECODE if "UTF8" in str(error) else _DAMAGED
        raise DataError(f"cannot be read as {_NAMES[kind]}: {error}", file=path, hint=hint) from error


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raise DataError for a column without a name, or two of one name."""
    if not all(names):
        raise DataError(
            f"column {list(names).index('') + 1} has no name",
            file=path,
            hint="give it a name, or save the table without its row index",
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"two columns are called '{twice[0]}'", file=path, hint="rename or remove one of them")


def _csv_options(path: Path) -> dict[str, object]:
    """Every column as text: pyarrow's own guesses would turn ids beyond int64 into floats and codes into dates."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(filter(None, csv.reader(file)), [])
    if not names:
        raise DataError("has no header line", file=path, hint=_DAMAGED)
    check_names(path, names)
    return {
        # One thread, because only then do errors say the row.
        "read_options": pacsv.ReadOptions(block_size=_CSV_BLOCK, use_threads=False),
        "parse_options": pacsv.ParseOptions(newlines_in_values=True),
        "convert_options": pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.large_string()), null_values=[""], strings_can_be_null=True
        ),
    }


def _read_csv(path: Path) -> pa.Table:
    table = pacsv.read_csv(path, **_csv_options(path))
    return pa.table({name: _typed(table[name]) for name in table.column_names})


def _csv_head(path: Path) -> pa.Table:
    with pacsv.open_csv(path, **_csv_options(path)) as reader:
        batch = next(iter(reader), None)
        table = reader.schema.empty_table() if batch is None else pa.Table.from_batches([batch])
    return pa.table({name: _typed(table[name]) for name in table.column_names})


def _typed(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """A CSV column with the narrowest meaning that fits all of its cells."""
    if texts.null_count == len(texts):
        return pa.chunked_array([pa.nulls(len(texts))])

    def all_match(pattern: str) -> bool:
        return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())

    candidates = (
        (_INTEGER, pa.int64()),
        (_INTEGER, pa.uint64()),
        (_FLOAT, pa.float64()),
        (_BOOLEAN, pa.bool_()),
    )
    for pattern, kind in candidates:
        if all_match(pattern):
            try:
                return texts.cast(kind)
            except pa.ArrowInvalid:  # the number does not fit
                if kind == pa.uint64():
                    break  # never as a float, which would lose its last digits
    return texts
