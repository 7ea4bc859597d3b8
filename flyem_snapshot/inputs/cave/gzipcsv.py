"""CSV that was compressed with gzip, read as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pacsv

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.bigtables import refuse_spellings
from flyem_snapshot.sources.files import check_names

_GZIP: Final = b"\x1f\x8b"
_BLOCK: Final = 1 << 24
_DAMAGED: Final = "the file is damaged or incomplete: copy or export it again"
_CHANGED: Final = "the first rows looked otherwise; save the table as Feather or Parquet, where columns have types"


def is_gzip(path: Path) -> bool:
    """Whether a file was compressed with gzip."""
    try:
        with path.open("rb") as file:
            return file.read(2) == _GZIP
    except OSError:
        return False  # the reader of plain files says what is wrong


class GzipCsv:
    """A CSV that was compressed with gzip; it is read like a `BigTable`."""

    rows: int | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open({}) as reader:
            self.schema: pa.Schema = reader.schema
        check_names(path, self.schema.names)
        refuse_spellings(path, self.schema.names)

    def batches(self, columns: list[str], types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        """The rows in file order.  Raises DataError where the file is damaged, or a cell does not fit its column."""
        with self._open(types, columns) as reader:
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
                except (pa.ArrowInvalid, OSError) as error:
                    raise _unreadable(self.path, error) from error
                yield batch

    def _open(self, types: Mapping[str, pa.DataType], columns: list[str] | None = None) -> pacsv.CSVStreamingReader:
        options = pacsv.ConvertOptions(
            column_types=dict(types),
            include_columns=columns,
            strings_can_be_null=True,
            null_values=[""],
            quoted_strings_can_be_null=False,
        )
        try:
            return pacsv.open_csv(
                pa.CompressedInputStream(pa.OSFile(str(self.path)), "gzip"),
                read_options=pacsv.ReadOptions(block_size=_BLOCK),
                parse_options=pacsv.ParseOptions(newlines_in_values=True),
                convert_options=options,
            )
        except (pa.ArrowInvalid, OSError) as error:
            raise _unreadable(self.path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    hint = _CHANGED if "CSV conversion error" in str(error) else _DAMAGED
    return DataError(f"cannot be read: {error}", file=path, hint=hint)
