"""Results of queries as bodies of answers: JSON rows, or an Arrow stream."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, Final

import pyarrow as pa

from flyem_snapshot.bridge.database import Rows
from flyem_snapshot.bridge.replies import ARROW, JSON, Reply, json_bytes
from flyem_snapshot.bridge.values import EXACT, plain

_BATCH: Final = 1000
_IN_MEMORY: Final = 8 * 2**20
"""Bytes of an answer that stay in memory; what is longer waits in a temporary file until it is sent."""


def json_table(result: Rows, still_there: Callable[[], None]) -> Reply:
    """{"columns": [...], "data": [[...], ...]}.

    The answer is complete before its first byte is sent, so that an error on the last row is still an error for the
    client, and a slow client keeps no transaction open.
    """
    # Closed by whoever sends it; a context manager would close it here.
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
    try:
        file.write(b'{"columns":' + json_bytes(result.columns) + b',"data":[')
        comma = b""
        for batch in _batches(result, still_there):
            file.write(comma + json_bytes([[plain(value) for value in row] for row in batch])[1:-1])
            comma = b","
        file.write(b"]}")
        size = file.tell()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return Reply(JSON, file, size)


def arrow_table(result: Rows, still_there: Callable[[], None]) -> Reply:
    """The result as an Arrow IPC stream, types kept: int64, double, bool, string, lists, structs.

    Nodes and points are structs, with all properties that occur.  A column whose values have no common type is
    JSON text.
    """
    columns: list[list[Any]] = [[] for _ in result.columns]
    for batch in _batches(result, still_there):
        for column, values in zip(columns, zip(*batch, strict=True), strict=True):
            column += [plain(value, integers=False) for value in values]
    table = pa.table([_array(column) for column in columns], names=list(result.columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return Reply.of_bytes(ARROW, sink.getvalue().to_pybytes())


def _batches(result: Rows, still_there: Callable[[], None]) -> Iterator[list[list[Any]]]:
    """The rows in lists of some length; whether the client is still there is asked before each."""
    while batch := list(itertools.islice(result.rows, _BATCH)):
        still_there()
        yield batch


def _array(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float} and all(abs(value) <= EXACT for value in values if isinstance(value, int)):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if len(kinds) <= 1:
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError):
            pass  # lists or maps of different types
    return pa.array([None if value is None else json_bytes(value).decode() for value in values], pa.string())
