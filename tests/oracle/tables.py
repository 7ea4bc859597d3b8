"""Reading a table without changing its numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def read(path: Path) -> pd.DataFrame:
    """A Feather, Parquet or CSV file; integers and booleans stay what they are beside nulls, an index is a column.

    In CSV only the empty field is null: a cell type called NA keeps its name.
    """
    if path.suffix == ".csv":
        return _read_csv(path)
    table = pa.parquet.read_table(path) if path.suffix == ".parquet" else pa.feather.read_table(path)
    frame = table.to_pandas(types_mapper=NULLABLE.get, ignore_metadata=True)
    return frame.assign(
        **{
            field.name: pd.Series([plain(v) for v in frame[field.name]], index=frame.index, dtype=object)
            for field in table.schema
            if pa.types.is_nested(field.type)
        }
    )


def _read_csv(path: Path) -> pd.DataFrame:
    """Nullable types for all but floats, which are plain float64."""
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype_backend="numpy_nullable")
    floats = [c for c in frame if pd.api.types.is_float_dtype(frame[c].dtype)]
    return frame.astype(dict.fromkeys(floats, "float64"))


def plain(value: Any) -> Any:
    """Arrays inside a cell become plain lists."""
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def is_null(value: Any) -> bool:
    """None, NaN, NA; never a list."""
    return pd.api.types.is_scalar(value) and bool(pd.isna(value))
