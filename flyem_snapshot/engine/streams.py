"""Streams of record batches: cutting to size, encoding categories, writing Feather and Parquet.

These run per batch, not per row; a batch is about a hundred thousand rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import copy_context
from pathlib import Path
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flyem_snapshot.log import progress

T = TypeVar("T")
Codes = np.ndarray[Any, np.dtype[np.int32]]

FEATHER_ROWS = 1 << 17
PARQUET_ROWS = 1 << 18


class Vocabulary:
    """Gives each distinct value of a column a code, in order of first appearance; null is code 0.

    Grows as batches are encoded, so one vocabulary serves a whole file whatever its batches' dictionaries say.
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self._codes: dict[Any, int] = {None: 0}
        for value in values:
            self._codes.setdefault(value, len(self._codes))

    @property
    def values(self) -> list[Any]:
        """The values by code; the first is None."""
        return list(self._codes)

    def __len__(self) -> int:
        return len(self._codes)

    def code(self, value: Any) -> int:
        """The code of one value, or -1 if it has not occurred."""
        return self._codes.get(value, -1)

    def encode(self, array: pa.Array) -> np.ndarray[Any, np.dtype[np.int32]]:
        """The int32 codes of an array's values; new values get new codes."""
        encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        translation = np.empty(len(encoded.dictionary) + 1, np.int32)
        used = _used(encoded)
        for position, value in enumerate(encoded.dictionary.to_pylist()):
            translation[position] = self._codes.setdefault(value, len(self._codes)) if used[position] else 0
        translation[-1] = 0
        indices = encoded.indices
        if indices.null_count:
            indices = (
                indices.fill_null(len(translation) - 1) if _fits(indices.type, len(translation)) else _widened(indices)
            )
        codes: Codes = translation[indices.to_numpy(zero_copy_only=False)]
        return codes


class FirstSeen:
    """Distinct integers of a stream, in order of first appearance."""

    def __init__(self) -> None:
        self._seen: dict[int, None] = {}

    def add(self, values: np.ndarray[Any, np.dtype[np.int32]]) -> None:
        """Take the next values."""
        self._seen.update(dict.fromkeys(pa.array(values).unique().to_pylist()))

    def order(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        """The values seen so far."""
        return np.fromiter(self._seen, np.int32)


def _used(encoded: pa.DictionaryArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which dictionary entries occur: categories that no row uses must not appear in the data's vocabulary."""
    used = np.zeros(len(encoded.dictionary), bool)
    used[encoded.indices.drop_null().to_numpy(zero_copy_only=False)] = True
    return used


def _fits(index_type: pa.DataType, size: int) -> bool:
    return size <= 1 << (int(index_type.bit_width) - 1)


def _widened(indices: pa.Array) -> pa.Array:
    """Indices as int64 with -1 for null (numpy reads that as the last entry)."""
    return indices.cast(pa.int64()).fill_null(-1)


def dictionary_array(codes: np.ndarray[Any, Any], values: list[str], *, ordered: bool = False) -> pa.DictionaryArray:
    """A category column from codes (0-based into `values`; negative is null)."""
    index_type = pa.int8() if len(values) < 2**7 else pa.int16() if len(values) < 2**15 else pa.int32()
    indices = pa.array(codes, mask=codes < 0) if (codes < 0).any() else pa.array(codes)
    return pa.DictionaryArray.from_arrays(indices.cast(index_type), pa.array(values, pa.string()), ordered=ordered)


def signed_category(kind: pa.DataType) -> pa.DataType:
    """The type under which a category column is written: DuckDB counts its codes unsigned, which pandas cannot read."""
    if not isinstance(kind, pa.DictionaryType) or pa.types.is_signed_integer(kind.index_type):
        return kind
    wider = {8: pa.int16(), 16: pa.int32(), 32: pa.int64()}[kind.index_type.bit_width]
    return pa.dictionary(wider, kind.value_type, ordered=kind.ordered)


class Rechunker:
    """Cuts a stream into batches of exactly `rows` rows (the last may be shorter), so equal data gives equal bytes."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._pending: list[pa.RecordBatch] = []
        self._count = 0

    def push(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Take a batch; yield those that are now complete."""
        while batch.num_rows:
            piece, batch = _cut(batch, self.rows - self._count)
            self._pending.append(piece)
            self._count += piece.num_rows
            if self._count == self.rows:
                yield from self.flush()

    def all(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """A whole stream, cut to size."""
        for batch in batches:
            yield from self.push(batch)
        yield from self.flush()

    def flush(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows that are left."""
        if self._pending:
            yield self._pending[0] if len(self._pending) == 1 else pa.concat_batches(self._pending)
        self._pending, self._count = [], 0


def _cut(batch: pa.RecordBatch, rows: int) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """At most `rows` first rows, and the rest.

    A slice at the front shares all of its batch's buffers, and files would store what lies beyond its end; so it is
    copied.
    """
    piece = batch.slice(0, rows)
    if piece.num_rows < batch.num_rows:
        piece = pa.concat_batches([piece, piece.slice(0, 0)])
    return piece, batch.slice(piece.num_rows)


class FeatherWriter:
    """A Feather (Arrow IPC, LZ4) file that is written batch by batch; use it in a `with`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))
        self._chunks = Rechunker(FEATHER_ROWS)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self._write(self._chunks.push(batch))

    def _write(self, batches: Iterable[pa.RecordBatch]) -> None:
        for batch in batches:
            self._writer.write_batch(batch)
            self.rows += batch.num_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._write(self._chunks.flush())
                self._writer.close()
        finally:
            self._sink.close()


def write_feather(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Stream batches into a Feather file; returns the number of rows."""
    with FeatherWriter(path, schema) as writer:
        for batch in in_background(batches):
            writer.write(batch)
    return writer.rows


def in_step(left: Iterable[pa.RecordBatch], right: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The columns of two streams side by side, row by row; they must have equally many rows."""
    lefts, rights = Rechunker(FEATHER_ROWS), Rechunker(FEATHER_ROWS)
    pairs = zip(lefts.all(left), rights.all(right), strict=True)
    for one, other in pairs:
        names = [*one.schema.names, *other.schema.names]
        yield pa.record_batch([*one.columns, *other.columns], names=names)


def tracked(batches: Iterable[pa.RecordBatch], what: str, total: int | None = None) -> Iterator[pa.RecordBatch]:
    """The same batches; the user sees how far their consumer has come."""
    with progress(what, total) as advance:
        for batch in batches:
            yield batch
            advance(batch.num_rows)


class _Producer(Thread):
    """Puts the items of an iterable into a queue, then a last entry: the error that ended it, or None."""

    def __init__(self, items: Iterable[Any]) -> None:
        context = copy_context()  # the log prefix of the stage
        super().__init__(target=context.run, args=(self._produce, items), name="producer", daemon=True)
        self.entries: Queue[tuple[bool, Any]] = Queue(maxsize=2)
        self.stop = Event()

    def _produce(self, items: Iterable[Any]) -> None:
        try:
            for item in items:
                self._put(False, item)
                if self.stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  every failure, of whatever kind, belongs to the consumer
            self._put(True, error)
        else:
            self._put(True, None)

    def _put(self, last: bool, content: Any) -> None:
        while not self.stop.is_set():
            try:
                self.entries.put((last, content), timeout=0.1)
            except Full:
                continue
            return


def in_background(items: Iterable[T]) -> Iterator[T]:
    """The same items, produced by another thread, so that making a batch and writing the one before overlap.

    DuckDB and Arrow release Python's lock while they work.  At most two items wait.  An error of the producer is
    raised here; if the consumer stops early, so does the producer.
    """
    producer = _Producer(items)
    producer.start()
    try:
        while True:
            last, content = producer.entries.get()
            if not last:
                yield content
            elif content is None:
                return
            else:
                raise content
    finally:
        producer.stop.set()
        producer.join()


def write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Stream batches into a Parquet (LZ4) file for the session to read; returns the number of rows."""
    rows = 0
    with pq.ParquetWriter(path, schema, **parquet_options(schema)) as writer:
        for piece in Rechunker(PARQUET_ROWS).all(in_background(batches)):
            writer.write_batch(piece, row_group_size=PARQUET_ROWS)
            rows += piece.num_rows
    return rows


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """How Parquet files are written that the session reads.

    Only text and categories get dictionaries: building one for an id column costs more than it saves.  Floats get no
    statistics: those leave NaN out, and DuckDB would conclude from them that `isnan` is false everywhere.
    """
    coded = [field.name for field in schema if pa.types.is_dictionary(field.type) or _is_text(field.type)]
    known = [field.name for field in schema if not pa.types.is_floating(field.type)]
    return {"compression": "lz4", "use_dictionary": coded or False, "write_statistics": known or False}


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
