"""How the rows of a query travel: one Arrow stream of one record batch, or JSON records."""

from __future__ import annotations

import gzip
import io
import json
import math
from typing import Any

import pyarrow as pa

from tests.cave_double.query import Answer
from tests.cave_double.replies import JSON, Reply, Request


def query_reply(answer: Answer, request: Request) -> Reply:
    """The rows in the form that the request asks for, with the headers that belong to them."""
    rows = answer.rows if on(request, "direct_sql_pandas", default=False) else through_pandas(answer.rows)
    headers = {
        "dataframe_resolution": ", ".join(str(float(size)) for size in answer.resolution),
        "column_names": repr(answer.names),  # Python, not JSON
    }
    if answer.warnings:
        headers["Warning"] = ",".join(answer.warnings)
    encodings = request.headers.get("accept-encoding", "").lower()
    if not on(request, "return_pyarrow", default=True):
        body, kind = records(rows), JSON
    elif on(request, "arrow_format", default=False):
        compress = on(request, "ipc_compress", default=True)
        body, kind = stream(rows, encodings if compress else ""), "data.arrow"
    else:
        body, kind = b"\x80nothing reads this serialisation any more", "x-application/pyarrow"
    if "gzip" in encodings:
        body = gzip.compress(body, 1)
        headers["Content-Encoding"] = "gzip"
    return Reply(body, kind, 200, headers)


def on(request: Request, name: str, *, default: bool) -> bool:
    """Whether an argument of the query is on."""
    text = request.args.get(name)
    return default if text is None else text.lower() in {"true", "1"}


def through_pandas(rows: pa.Table) -> pa.Table:
    """What is left of integers with nulls on the way through pandas: float64, which has 53 bits."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_integer(field.type) and rows[field.name].null_count:
            values = rows[field.name].to_numpy(zero_copy_only=False).astype(float)
            rows = rows.set_column(place, field.name, pa.array(values))
    return rows


def stream(rows: pa.Table, encodings: str) -> bytes:
    """An Arrow IPC stream of one record batch, compressed inside if the request knows how."""
    compression = next((name for name in ("zstd", "lz4") if name in encodings), None)
    batches = rows.combine_chunks().to_batches() or [
        pa.record_batch([pa.array([], f.type) for f in rows.schema], schema=rows.schema)
    ]
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, rows.schema, options=options) as writer:
        writer.write_batch(batches[0])
    return sink.getvalue()


def records(rows: pa.Table) -> bytes:
    """JSON records with ids as bare numbers; what is no number is null."""

    def sayable(value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps([{key: sayable(value) for key, value in row.items()} for row in rows.to_pylist()]).encode()
