"""Two Parquet files that are written side by side from one stream."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from flyem_snapshot.engine.streams import PARQUET_ROWS, Rechunker, parquet_options


class ParquetFile:
    """A Parquet file as `engine.streams.write_parquet` makes it, written batch by batch; use it in a `with`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._writer = pq.ParquetWriter(path, schema, **parquet_options(schema))
        self._chunks = Rechunker(PARQUET_ROWS)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        for piece in self._chunks.push(batch):
            self._put(piece)

    def _put(self, piece: pa.RecordBatch) -> None:
        self._writer.write_batch(piece, row_group_size=PARQUET_ROWS)
        self.rows += piece.num_rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                for piece in self._chunks.flush():
                    self._put(piece)
        finally:
            self._writer.close()
