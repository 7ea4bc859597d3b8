"""Synapse-scale input files, read as ordered streams: Feather, Parquet or CSV, never loaded whole."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.checks import Kind, header_faults, raise_all
from flyem_snapshot.sources.files import open_header, sniff_format

_CSV_BLOCK = 1 << 24
_ROWS = 1 << 17
_VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


@dataclass(frozen=True)
class BigTable:
    """A file of rows in a known order.  `rows` is None where the format does not say (CSV)."""

    path: Path
    format: str
    schema: pa.Schema
    rows: int | None

    @classmethod
    def open(cls, path: Path, *, reserved: Collection[str] = (), text: Collection[str] = ()) -> BigTable:
        """Read a file's header; raises DataError for a missing, empty, truncated or foreign file.

        `reserved` are the names of columns that are made beside those of the file: it may use them, but not in another
        spelling.  `text` names the columns that are text even if a CSV shows only digits.
        """
        schema, rows = open_header(path)
        kind = sniff_format(path)
        refuse_spellings(path, schema.names, reserved)
        fields = [
            pa.field(f.name, pa.string()) if kind == "csv" and f.name in text else _without_view(f) for f in schema
        ]
        return cls(path, kind, pa.schema(fields), rows)

    def require(self, needed: Mapping[str, str], kinds: Mapping[str, Kind]) -> None:
        """Raise one DataError for all that `header_faults` finds."""
        raise_all(header_faults(self.path, self.schema, needed, kinds))

    def batches(
        self, columns: Iterable[str], types: Mapping[str, pa.DataType] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in file order, only `columns` (in that order); `types` fixes the types of CSV columns.

        A damaged file is found where the damage lies and raises DataError.
        """
        names = list(columns)
        with self._reading():
            for batch in self._stream(names, types or {}):
                # Reading trusts offsets and category codes; a wrong one would end the process, not raise an error.
                batch.validate(full=True)
                for start in range(0, batch.num_rows, _ROWS):  # a file may be a single batch
                    yield self._plain(batch.slice(start, _ROWS))

    def _plain(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Columns in the types of the schema where those differ from the file's: views of text become text."""
        arrays = [_plain_array(batch[f.name], self.schema.field(f.name).type) for f in batch.schema]
        return pa.record_batch(arrays, names=batch.schema.names)

    def _stream(self, names: list[str], types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        if self.format == "feather":
            yield from self._feather(names)
        elif self.format == "parquet":
            yield from pq.ParquetFile(self.path).iter_batches(columns=names, batch_size=1 << 16)
        else:
            yield from self._csv(names, types)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowKeyError, OSError) as error:
            hint = "the file is damaged or incomplete; copy or export it again"
            if "CSV conversion error" in str(error):
                hint = "the first rows looked otherwise; save the table as Feather or Parquet, where columns have types"
            raise DataError(f"cannot be read: {error}", file=self.path, hint=hint) from error

    def _feather(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        indices = [self.schema.get_field_index(name) for name in names]
        options = pa.ipc.IpcReadOptions(included_fields=indices)
        with pa.memory_map(str(self.path)) as source:
            file = pa.ipc.open_file(source, options=options)
            for number in range(file.num_record_batches):
                yield file.get_batch(number).select(names)

    def _csv(self, names: list[str], types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        reader = pacsv.open_csv(
            self.path,
            read_options=pacsv.ReadOptions(block_size=_CSV_BLOCK),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                include_columns=names,
                column_types={name: types.get(name, self.schema.field(name).type) for name in names},
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=False,
            ),
        )
        yield from reader


def refuse_spellings(path: Path, names: Iterable[str], reserved: Iterable[str] = ()) -> None:
    """Raise DataError for two names that SQL does not tell apart."""
    seen = {name.lower(): name for name in reserved}
    for name in names:
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise DataError(
                f"column '{name}' differs from '{other}' only in upper and lower case",
                file=path,
                hint="rename one of them",
            )


def _without_view(field: pa.Field) -> pa.Field:
    """The same column as text or bytes where the file has views of them, which few operations know."""
    kind = field.type
    if isinstance(kind, pa.DictionaryType) and kind.value_type in _VIEWS:
        return field.with_type(pa.dictionary(kind.index_type, _VIEWS[kind.value_type], ordered=kind.ordered))
    return field.with_type(_VIEWS.get(kind, kind))


def _plain_array(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(array.type, pa.DictionaryType) and array.type.value_type in _VIEWS:
        return pa.DictionaryArray.from_arrays(
            array.indices, array.dictionary.cast(kind.value_type), ordered=kind.ordered
        )
    return array.cast(kind) if array.type in _VIEWS else array
