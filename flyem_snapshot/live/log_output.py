"""Tables of a log as CSV, as Feather, or as lines for a person."""

from __future__ import annotations

import csv
import datetime as dt
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TextIO

import pyarrow as pa

from flyem_snapshot.engine.outdir import replace_atomically
from flyem_snapshot.engine.streams import FeatherWriter
from flyem_snapshot.live.log_tables import Row

Columns = Sequence[tuple[str, str]]

LONGEST_TEXT: Final = 160
"""Characters of a text that are shown to a person."""

_BATCH: Final = 10_000
_WIDTHS: Final = {"time": 24, "int": 11, "float": 11}


def write_csv(stream: TextIO, columns: Columns, rows: Iterable[Row]) -> int:
    """Write a header and the rows; times in ISO 8601 with their offset.  Returns the number of rows."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    number = 0
    for row in rows:
        writer.writerow([value.isoformat() if isinstance(value, dt.datetime) else value for value in row])
        number += 1
    return number


def write_feather(path: Path, columns: Columns, rows: Iterable[Row], zone: str) -> int:
    """Write the rows as Feather: int64, float64, large text, times in seconds with the zone.  Returns their number."""
    kinds = {"time": pa.timestamp("s", zone), "int": pa.int64(), "float": pa.float64(), "text": pa.large_string()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns])
    source = iter(rows)
    with FeatherWriter(path, schema) as writer:
        while batch := list(itertools.islice(source, _BATCH)):
            arrays = [
                pa.array(values, field.type) for values, field in zip(zip(*batch, strict=True), schema, strict=True)
            ]
            writer.write(pa.record_batch(arrays, schema=schema))
    return writer.rows


def write_pretty(stream: TextIO, columns: Columns, rows: Iterable[Row]) -> int:
    """Write a line for each row, numbers and times in columns, texts after them.  Returns the number of rows.

    Line breaks and control characters of texts, which may come from anybody who asked the server something, are not
    sent to the terminal.
    """
    fixed = [place for place, (_, kind) in enumerate(columns) if kind != "text"]
    texts = [place for place, (_, kind) in enumerate(columns) if kind == "text"]
    titles = [f"{columns[place][0]:>{_WIDTHS[columns[place][1]]}}" for place in fixed]
    stream.write("  ".join([*titles, *(columns[place][0] for place in texts)]) + "\n")
    number = 0
    for row in rows:
        numbers = [f"{_shown(row[place]):>{_WIDTHS[columns[place][1]]}}" for place in fixed]
        stream.write("  ".join([*numbers, *(_shown(row[place]) for place in texts)]) + "\n")
        number += 1
    return number


def write_file(path: Path, kind: str, columns: Columns, rows: Iterable[Row], zone: str, *, private: bool) -> int:
    """Write a file; it appears when it is complete.  A `private` one can be read by its owner only."""
    written = 0

    def write(temporary: Path) -> None:
        nonlocal written
        if private:
            temporary.touch(mode=0o600)
        if kind == "feather":
            written = write_feather(temporary, columns, rows, zone)
            return
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            written = (write_csv if kind == "csv" else write_pretty)(stream, columns, rows)

    replace_atomically(path, write)
    return written


def _shown(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S%z")
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    words = " ".join(str(value).split())
    short = words if len(words) <= LONGEST_TEXT else f"{words[: LONGEST_TEXT - 1]}…"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in short) or "-"
