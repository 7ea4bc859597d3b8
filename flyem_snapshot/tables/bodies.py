"""Tables with one row for each body: annotations and sizes, in pandas, with ids that never pass through a float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import feather

from flyem_snapshot.errors import DataError

if TYPE_CHECKING:
    from flyem_snapshot.stage import Context

Int64Array: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

_EXACT_IN_FLOAT = 2**53
_MAX_INT64 = 2**63 - 1


@dataclass(frozen=True)
class BodyAnnotations:
    """What is known about each body.

    `frame` is indexed by `body` (int64, unique, in the order of the source) and always has a column `status`,
    the ordered category of `connectome.status`.  Text columns have pandas' `str` dtype (missing: NaN), categories
    are `Categorical`, all others keep their Arrow type (`int64[pyarrow]`, `list<item: int64>[pyarrow]`, ...), so
    that numbers with gaps stay what they are.

              status           type   somaLocation
        body
        16743  Roughly traced  Tm11   [22927, 11985, 26582]
        19992  NaN             NaN    <NA>

    `file` is where the table is kept, relative to the output directory.  Of annotations that were read from a server,
    `timestamp` is when the last of them was made (UTC, ISO 8601), if it tells, and `source` its state, see
    `Stage.source`.
    """

    frame: pd.DataFrame
    file: str = ""
    timestamp: str | None = None
    source: Mapping[str, Any] | None = None

    @property
    def status(self) -> pd.Series:
        """The status of each body, ordered from worst to best, null where unknown."""
        return self.frame["status"]

    @property
    def has_status(self) -> bool:
        """Whether any body has a status at all."""
        return bool(self.status.notna().any())

    def to_arrow(self) -> pa.Table:
        """The table as it is written to files: `body` (int64) first, then the other columns."""
        return frame_to_arrow(self.frame)

    @classmethod
    def keep(
        cls,
        ctx: Context,
        frame: pd.DataFrame,
        timestamp: str | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> BodyAnnotations:
        """Store `frame` in the stage's cache, so that a later run can reopen it."""
        return cls(frame, _store(ctx, "annotations.feather", frame), timestamp, source)

    def record(self) -> dict[str, Any]:
        """What the cache must remember."""
        return {"file": self.file, "rows": len(self.frame), "timestamp": self.timestamp, "source": self.source}

    @classmethod
    def reopen(cls, ctx: Context, record: dict[str, Any]) -> BodyAnnotations:
        """The annotations as they were stored, dtypes included."""
        file = str(record["file"])
        return cls(frame_from_arrow(_stored(ctx, file)), file, record["timestamp"], record["source"])


@dataclass(frozen=True)
class BodySizes:
    """The number of voxels of each body: `sizes` is int64, called `size`, and indexed by `body` (int64, unique).

    `asked` says whether a server was asked for them.
    """

    sizes: pd.Series
    file: str = ""
    asked: bool = False

    @classmethod
    def keep(cls, ctx: Context, sizes: pd.Series, *, asked: bool = False) -> BodySizes:
        """Store the sizes in the stage's cache, so that a later run can reopen them."""
        return cls(sizes, _store(ctx, "body-sizes.feather", sizes.to_frame()), asked)

    def record(self) -> dict[str, Any]:
        """What the cache must remember."""
        return {"file": self.file, "rows": len(self.sizes), "asked": self.asked}

    @classmethod
    def reopen(cls, ctx: Context, record: dict[str, Any]) -> BodySizes:
        """The sizes as they were stored."""
        file = str(record["file"])
        table = _stored(ctx, file)
        return cls(size_series(table["body"].to_numpy(), table["size"].to_numpy()), file, record["asked"])


def size_series(bodies: Int64Array, sizes: Int64Array) -> pd.Series:
    """Sizes in voxels, indexed by body."""
    return pd.Series(sizes, index=pd.Index(bodies, name="body"), name="size")


def frame_from_arrow(table: pa.Table) -> pd.DataFrame:
    """A table with an int64 column `body` as a frame indexed by it, in the dtypes that `BodyAnnotations` describes."""
    columns = table.drop_columns(["body"]).replace_schema_metadata(None)
    frame: pd.DataFrame = columns.to_pandas(types_mapper=_pandas_dtype)
    frame.index = pd.Index(table["body"].to_numpy(), name="body")
    return frame


def frame_to_arrow(frame: pd.DataFrame) -> pa.Table:
    """The reverse of `frame_from_arrow`: `body` first, no metadata (text becomes large_string)."""
    return pa.Table.from_pandas(frame.reset_index(), preserve_index=False).replace_schema_metadata(None)


def write_feather(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame indexed by `body` as Feather (LZ4), as `frame_to_arrow` gives it.

    There is always a batch, because a file without one would forget the categories of an empty table.
    """
    table = frame_to_arrow(frame)
    empty = pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], schema=table.schema)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as file:
        for batch in table.to_batches(max_chunksize=1 << 16) or [empty]:
            file.write_batch(batch)


def whole_numbers(values: pa.ChunkedArray, *, file: Path, column: str) -> Int64Array:
    """A column of ids or counts as int64, exactly.

    Raises DataError for text and other types, nulls, fractions, floats too large to be exact, negative numbers and
    numbers beyond int64, with the number of rows and the first three.
    """
    require_numbers(values.type, file=file, column=column)
    kind = values.type
    numbers: Int64Array
    if pa.types.is_floating(kind) or pa.types.is_null(kind):
        floats = values.cast(pa.float64()).to_numpy()
        _refuse_rows(np.isnan(floats), "has no value", file, column, hint="fill in or remove these rows")
        _refuse_rows(floats != np.floor(floats), "is not a whole number", file, column, floats, hint="mend these rows")
        inexact = np.abs(floats) > _EXACT_IN_FLOAT
        problem = "is kept as a floating-point number, which is not exact for a number this large"
        _refuse_rows(inexact, problem, file, column, floats, hint="write the column as 64-bit integers")
        numbers = floats.astype(np.int64)
    else:
        _refuse_rows(values.is_null().to_numpy(), "has no value", file, column, hint="fill in or remove these rows")
        integers = values.to_numpy()
        _refuse_rows(
            integers > _MAX_INT64,
            "does not fit a signed 64-bit integer",
            file,
            column,
            integers,
            hint="mend these rows",
        )
        numbers = integers.astype(np.int64)
    _refuse_rows(numbers < 0, "is negative", file, column, numbers, hint="mend or remove these rows")
    return numbers


def require_numbers(kind: pa.DataType, *, file: Path, column: str) -> None:
    """Raise DataError if a column of this type cannot hold whole numbers, whatever its rows."""
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        raise DataError(
            f"must hold whole numbers, but holds {kind}",
            file=file,
            column=column,
            hint="write the column as 64-bit integers",
        )


def unique_bodies(values: pa.ChunkedArray, *, file: Path) -> Int64Array:
    """The column `body` as int64; raises DataError for whatever `whole_numbers` refuses and for repeated bodies."""
    bodies = whole_numbers(values, file=file, column="body")
    repeated = pd.Series(bodies).duplicated().to_numpy()
    _refuse_rows(repeated, "repeats an earlier row", file, "body", bodies, hint="keep one row for each body")
    return bodies


def _refuse_rows(
    bad: np.ndarray[Any, np.dtype[np.bool_]],
    problem: str,
    file: Path,
    column: str,
    shown: np.ndarray[Any, Any] | None = None,
    *,
    hint: str = "",
) -> None:
    """Raise DataError if any row is bad; `shown` holds what to show of each row, by default its number from 1."""
    if bad.any():
        rows = np.flatnonzero(bad)
        examples = [f"row {row + 1}" for row in rows[:3]] if shown is None else shown[rows[:3]].tolist()
        raise DataError(problem, file=file, column=column, rows=len(rows), examples=examples, hint=hint)


def _pandas_dtype(kind: pa.DataType) -> Any:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pd.StringDtype(na_value=np.nan)
    return None if pa.types.is_dictionary(kind) else pd.ArrowDtype(kind)


def _store(ctx: Context, name: str, frame: pd.DataFrame) -> str:
    file = f"{ctx.cache}/{name}"
    with ctx.out.create(file, rows=len(frame)) as path:
        write_feather(frame, path)
    return file


def _stored(ctx: Context, file: str) -> pa.Table:
    return feather.read_table(str(ctx.out.root / file), memory_map=False)
