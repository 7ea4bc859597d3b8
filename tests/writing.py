"""Write a table in any of the formats that inputs may have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from pyarrow import feather


def write_table(content: pa.Table | Mapping[str, Any], path: Path, rows: int = 2) -> Path:
    """Write columns in the format of the file's name, in batches of `rows`; returns the path."""
    table = content if isinstance(content, pa.Table) else pa.table(content)
    if path.suffix == ".feather":
        feather.write_feather(table, str(path), chunksize=rows)
    elif path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows)
    else:
        pacsv.write_csv(table, path)
    return path
