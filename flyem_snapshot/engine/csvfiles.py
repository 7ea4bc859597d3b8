"""CSV files for the neo4j importer: records come as whole lines in Arrow arrays and go to one file or to thousands.

A record is never touched by Python: lines are sorted by file within their batch, and each file gets one contiguous
piece of the batch's text.
"""

from __future__ import annotations

import os
import re
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from flyem_snapshot.engine import sql
from flyem_snapshot.engine.outdir import FileRecord, OutputDir, fsync_directory, output_errors, partial_path

_SPECIAL = r'[",\r\n]|^[ \t]|[ \t]$'
_BUFFERS = 1 << 26
"""Bytes of text that wait for being written, over all files."""
_PIECE = 1 << 20
"""The most text of one file that waits, and of one gzip member."""
_SMALLEST_PIECE = 1 << 12
_OPEN_FILES = 128
_SYNCING_THREADS = 16
_WRITE_BACK = 1 << 23
"""Bytes of one file after which the system is asked to put them on disk, while more text is made."""
_TAKE_BYTES = 1 << 30
_GZIP_LEVEL = 1

Piece = bytes | bytearray | memoryview


def cell(expression: str) -> str:
    """SQL: a text expression as a CSV cell.

    Quoted if it holds a comma, a quote or a line break, or begins or ends with a blank; quotes are doubled; null
    becomes ''.
    """
    text = f"({expression})"
    return (
        f"CASE WHEN regexp_matches({text}, {sql.literal(_SPECIAL)}) "
        f"""THEN concat('"', replace({text}, '"', '""'), '"') ELSE coalesce({text}, '') END"""
    )


def quoted(array: pa.Array) -> pa.Array:
    """The texts of a string or large_string array as CSV cells, by the rule of `cell`; null becomes ''."""
    texts = array.fill_null("")
    special = pc.match_substring_regex(texts, _SPECIAL)
    if not pc.any(special).as_py():
        return texts
    mark, nothing = pa.scalar('"', texts.type), pa.scalar("", texts.type)
    wrapped = pc.binary_join_element_wise(mark, pc.replace_substring(texts, '"', '""'), mark, nothing)
    return pc.if_else(special, wrapped, texts)


def quoted_text(text: str) -> str:
    """One text as a CSV cell, by the rule of `cell`."""
    return '"' + text.replace('"', '""') + '"' if re.search(_SPECIAL, text) else text


def csv_name(relative: str, compress: str | None) -> str:
    """The name of a CSV file on disk: with `.gz` if it is compressed."""
    return f"{relative}.gz" if compress else relative


@contextmanager
def csv_files(out: OutputDir, files: Sequence[tuple[str, Sequence[str]]], compress: str | None) -> Iterator[CsvFiles]:
    """Open CSV files: pairs of a relative path (without `.gz`) and the cells of the header.

    Leaving the `with` makes all files durable and gives them their names, and notes their rows (without the header) in
    `out.written`.  If anything fails, none of them appears.
    """
    names = [csv_name(relative, compress) for relative, _ in files]
    out.on_claim(*names)
    open_files = [_File(out.path(relative)) for relative in names]
    written = CsvFiles(open_files, compress)
    try:
        for folder in {file.final.parent for file in open_files}:
            with output_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
        for file, (_, header) in zip(open_files, files, strict=True):
            file.pending += (",".join(map(quoted_text, header)) + "\n").encode()
        yield written
        written.finish()
        _publish(open_files)
    finally:
        written.close()
        for file in open_files:
            file.partial.unlink(missing_ok=True)
    for relative, file in zip(names, open_files, strict=True):
        out.written[relative] = FileRecord(file.size, file.digest.hexdigest(), file.rows)


@dataclass
class _File:
    """One file: the text that waits, and what is known of the bytes that are written."""

    final: Path
    rows: int = 0
    size: int = 0
    sent_to_disk: int = 0
    pending: bytearray = field(default_factory=bytearray)
    digest: Any = field(default_factory=xxhash.xxh3_64)

    @property
    def partial(self) -> Path:
        return partial_path(self.final)


class CsvFiles:
    """The open files of `csv_files`, by number.  Use from one thread."""

    def __init__(self, files: Sequence[_File], compress: str | None) -> None:
        self._files = files
        self._compress = compress is not None
        # It depends on the number of files only, so gzip members, and with them the bytes, are always the same.
        self._piece = min(_PIECE, max(_SMALLEST_PIECE, _BUFFERS // max(1, len(files))))
        self._handles: OrderedDict[int, FileIO] = OrderedDict()
        self._threads = ThreadPoolExecutor(pa.cpu_count(), "gzip") if self._compress else None
        self._compressing: deque[tuple[int, Future[bytes]]] = deque()

    def write(self, lines: pa.Array | pa.ChunkedArray, file: int = 0) -> None:
        """Append records to one file: texts that each end in a line feed."""
        for chunk in lines.chunks if isinstance(lines, pa.ChunkedArray) else [lines]:
            offsets, text = _text(chunk)
            self._append(file, text[int(offsets[0]) : int(offsets[-1])], len(chunk))

    def write_split(self, lines: pa.Array, files: np.ndarray[Any, Any]) -> None:
        """Append each record to the file whose number stands at its position; records of a file keep their order.

        Records that are sorted by file already are not moved.
        """
        if not len(lines):
            return
        counts = np.bincount(files, minlength=len(self._files))
        used = np.flatnonzero(counts)
        if len(used) > 1 and (files[1:] < files[:-1]).any():
            # A radix sort for up to 2^16 files.
            order = np.argsort(files.astype(np.min_scalar_type(len(self._files))), kind="stable")
            if lines.nbytes > _TAKE_BYTES or not pa.types.is_string(lines.type):
                lines = lines.cast(pa.large_string())
            lines = lines.take(pa.array(order))
        offsets, text = _text(lines)
        ends = np.cumsum(counts[used])
        places = offsets[np.append(0, ends)].tolist()
        for file, count, start, end in zip(used.tolist(), counts[used].tolist(), places, places[1:], strict=False):
            self._append(file, text[start:end], count)

    def _append(self, number: int, text: memoryview, rows: int) -> None:
        file = self._files[number]
        file.rows += rows
        if self._threads is None and len(text) >= self._piece:
            self._flush(number)
            self._store(number, text)
            return
        file.pending += text
        if len(file.pending) >= self._piece:
            self._flush(number)

    def _flush(self, number: int, *, rest: bool = False) -> None:
        """Write what waits for a file; of text to compress only whole pieces, unless the rest is asked for."""
        file = self._files[number]
        if self._threads is None:
            self._store(number, file.pending)
            file.pending = bytearray()
            return
        while len(file.pending) >= self._piece or (rest and file.pending):
            piece = bytes(memoryview(file.pending)[: self._piece])
            del file.pending[: self._piece]
            self._compressing.append((number, self._threads.submit(_gzip_member, piece)))
            self._collect(leave=2 * pa.cpu_count())

    def _collect(self, leave: int = 0) -> None:
        """Write what has been compressed, in the order in which it came, until so many pieces are left."""
        while len(self._compressing) > leave:
            number, member = self._compressing.popleft()
            self._store(number, member.result())

    def _store(self, number: int, content: Piece) -> None:
        """Append bytes to a file on disk."""
        file = self._files[number]
        with output_errors(file.final):
            handle = self._handle(number)
            view = memoryview(content)
            while view:
                view = view[handle.write(view) :]
        file.size += len(content)
        file.digest.update(content)
        if file.size - file.sent_to_disk >= _WRITE_BACK:
            # Starts writing and drops what is written: otherwise gigabytes wait for the sync at the end, and fill
            # memory that the job's limit counts.
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.sent_to_disk = file.size

    def _handle(self, number: int) -> FileIO:
        """An open file; the one not used for longest is closed if there are too many."""
        handle = self._handles.pop(number, None)
        if handle is None:
            if len(self._handles) >= _OPEN_FILES:
                self._handles.popitem(last=False)[1].close()
            partial = self._files[number].partial
            # What a killed process of the same number left behind must not come first.
            handle = FileIO(partial, "ab" if self._files[number].size else "wb")
        self._handles[number] = handle
        return handle

    def finish(self) -> None:
        """Write all that waits."""
        for number in range(len(self._files)):
            self._flush(number, rest=True)
        self._collect()

    def close(self) -> None:
        """Close the files and end the threads."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        while self._handles:
            self._handles.popitem()[1].close()


def _text(lines: pa.Array) -> tuple[np.ndarray[Any, Any], memoryview]:
    """The offsets and the bytes of a string array without nulls."""
    if not (pa.types.is_string(lines.type) or pa.types.is_large_string(lines.type)):
        lines = lines.cast(pa.large_string())
    assert lines.null_count == 0, "a record is null"
    if not len(lines):
        return np.zeros(1, np.int64), memoryview(b"")
    _, offsets, data = lines.buffers()
    kind = np.int64 if pa.types.is_large_string(lines.type) else np.int32
    bounds = np.frombuffer(offsets, kind)[lines.offset : lines.offset + len(lines) + 1]
    return bounds, memoryview(data if data is not None else b"")


def _gzip_member(text: bytes) -> bytes:
    """A gzip member without name and time, so that equal text gives equal bytes."""
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31)
    return packer.compress(text) + packer.flush()


def _publish(files: Sequence[_File]) -> None:
    """Make all files durable, then name them; if a name is refused, take the others back."""
    _in_threads(lambda file: _sync(file.partial), files)
    named: list[_File] = []
    try:
        for file in files:
            with output_errors(file.final):
                os.replace(file.partial, file.final)
            named.append(file)
    except BaseException:
        for file in named:
            file.final.unlink(missing_ok=True)
        raise
    for folder in {file.final.parent for file in files}:
        with output_errors(folder):
            fsync_directory(folder)


def _sync(path: Path) -> None:
    with output_errors(path), path.open("rb+") as file:
        os.fsync(file.fileno())


def _in_threads(work: Callable[[_File], None], files: Iterable[_File]) -> None:
    with ThreadPoolExecutor(_SYNCING_THREADS, "fsync") as threads:
        for _ in threads.map(work, files):
            pass
