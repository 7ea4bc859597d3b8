"""Cells for some of the nodes, from a table that has a row for each of these and no other.

A join would have to restore the order of all points.  Both tables are in input order, so it is enough to let the second
follow the first: a batch of points takes as many rows from the front of the other table as it has points there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flyem_snapshot.engine.sql import literal
from flyem_snapshot.outputs.neuprint.scope import Scope

CELLS = "cells"
HAS_MORE = "may_have_more"
_ROWS = 1 << 17

Ids = np.ndarray[Any, np.dtype[np.uint64]]


@dataclass(frozen=True)
class Beside:
    """Properties of some points.

    `table` is a table expression with a unique point_id; its points are among those of the scope, and in their order.
    `columns` are the (header, SQL of the cell), `properties` the names; `condition` is SQL over the points, true for
    all that may have a row.
    """

    table: str
    condition: str
    columns: Sequence[tuple[str, str]]
    properties: Sequence[str]


class FollowingCells:
    """The cells of `Beside`, made once and then handed out as their points come by."""

    def __init__(self, scope: Scope, beside: Beside) -> None:
        path = scope.ctx.scratch / "cells-beside.parquet"
        cells = ", ".join(f"{literal(',')}, {cell}" for _, cell in beside.columns)
        # A session has one open stream, which is that of the points.
        scope.ctx.engine.copy_to_parquet(f"SELECT point_id, concat({cells}) AS {CELLS} FROM {beside.table}", path)
        self._path = path
        self._none = pa.array(["," * len(beside.columns)], pa.string())
        self._waiting = pq.read_schema(path).empty_table()

    def added(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches of points, which have the columns point_id and `HAS_MORE`, with a further column `CELLS`."""
        with pq.ParquetFile(self._path) as file:
            source = iter(file.iter_batches(_ROWS))
            for batch in batches:
                yield batch.append_column(CELLS, self._cells(batch, source))
            assert self._waiting.num_rows == 0, "cells of points that are not there"
            assert next(source, None) is None, "cells of points that are not there"

    def _cells(self, batch: pa.RecordBatch, source: Iterator[pa.RecordBatch]) -> pa.Array:
        places = np.flatnonzero(batch[HAS_MORE].to_numpy(zero_copy_only=False))
        ids = batch["point_id"].to_numpy()[places]
        ahead = self._front(len(ids), source)
        known: Ids = ahead["point_id"].to_numpy()
        found = np.isin(ids, known)
        rows = int(np.count_nonzero(found))
        assert np.array_equal(ids[found], known[:rows]), "the tables are not in the same order"
        self._waiting = self._waiting.slice(rows)
        place = np.full(batch.num_rows, rows)
        place[places[found]] = np.arange(rows)
        texts = [*ahead[CELLS].slice(0, rows).chunks, self._none]
        return pa.concat_arrays([text.cast(pa.string()) for text in texts]).take(pa.array(place))

    def _front(self, rows: int, source: Iterator[pa.RecordBatch]) -> pa.Table:
        """The first rows that have not been handed out, as many as there are up to a number."""
        while self._waiting.num_rows < rows and (more := next(source, None)) is not None:
            self._waiting = pa.concat_tables([self._waiting, pa.Table.from_batches([more])])
        return self._waiting.slice(0, rows)
