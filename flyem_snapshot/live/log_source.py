"""A log as lines: the whole file or its end, compressed or not, or standard input."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from flyem_snapshot.errors import DataError
from flyem_snapshot.live.log_records import LONGEST

STDIN: Final = Path("-")


@dataclass(frozen=True)
class LogLines:
    """The lines; `mid_record` says that reading began somewhere in the middle of the log."""

    lines: Iterator[bytes]
    mid_record: bool


@contextmanager
def log_lines(path: Path, tail: int = 0) -> Iterator[LogLines]:
    """The lines of a log; with `tail`, only those that begin within its last `tail` bytes.

    `-` is standard input, and what ends in `.gz` is inflated; neither has an end that can be looked up.  DataError: it
    cannot be read.
    """
    plain = path != STDIN and path.suffix != ".gz"
    if tail and not plain:
        raise DataError("only a plain file can be read from its end", file=path, hint="leave out --tail")
    try:
        if path == STDIN:
            yield LogLines(_lines(sys.stdin.buffer), mid_record=False)
        elif plain:
            with path.open("rb") as file:
                yield LogLines(_lines(file), mid_record=_seek(file, tail))
        else:
            with gzip.open(path, "rb") as file:
                yield LogLines(_lines(file), mid_record=False)
    except (OSError, EOFError) as error:
        if isinstance(error, BrokenPipeError):  # of whoever reads our output
            raise
        raise DataError(f"cannot be read: {getattr(error, 'strerror', None) or error}", file=path) from error


def _seek(file: IO[bytes], tail: int) -> bool:
    """Go to the first line that begins within the last `tail` bytes; whether that is not the beginning."""
    size = file.seek(0, io.SEEK_END)
    start = max(0, size - tail) if tail else 0
    file.seek(max(0, start - 1))
    if start:
        while not file.readline(LONGEST).endswith(b"\n") and file.tell() < size:
            pass
    return start > 0


def _lines(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """The lines, in pieces where one is longer than any record."""
    while line := file.readline(LONGEST + 1):
        yield line
