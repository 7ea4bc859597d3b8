"""Tables of a datastack from files: read as a stream, columns renamed as CAVE calls them, written as Parquet."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.engine.session import Engine
from flyem_snapshot.engine.streams import tracked, write_parquet
from flyem_snapshot.errors import DataError, SnapshotError
from flyem_snapshot.inputs.cave.fetched import Fetched, Resolution, described
from flyem_snapshot.inputs.cave.gzipcsv import GzipCsv, is_gzip
from flyem_snapshot.inputs.cave.presets import Layout
from flyem_snapshot.inputs.cave.settings import DEFAULT_SYNAPSES, CaveSettings, StaticTable
from flyem_snapshot.inputs.cave.wanted import Use, missing, used_columns, wanted
from flyem_snapshot.sources.bigtables import BigTable, refuse_spellings

logger = logging.getLogger(__name__)


class StaticTables:
    """The tables that the settings name, staged in `folder`."""

    def __init__(self, config: CaveSettings, engine: Engine, folder: Path) -> None:
        self.config, self.engine, self.folder = config, engine, folder
        self._known: dict[str, Fetched] = {}

    def synapse_table(self) -> str:
        """The table of the usual name."""
        return DEFAULT_SYNAPSES

    def soma_table(self) -> str:
        """The settings name it: there is no record to look it up in."""
        raise AssertionError("the settings of static files name the table of nuclei")

    def fetch(self, name: str, *, synapses: bool = False) -> Fetched:
        """Read a file.  Raises DataError if it cannot be used."""
        if name not in self._known:
            self._known[name] = self._fetched(name, synapses=synapses)
        return self._known[name]

    def about(self) -> dict[str, Any]:
        """The tables that were read."""
        tables = {name: dict(table.about) for name, table in self._known.items()}
        return {"datastack": None, "version": None, "time_stamp": None, "tables": tables}

    def _fetched(self, name: str, *, synapses: bool) -> Fetched:
        table, preset = self.config.static.tables[name], self.config.static.layout
        layout = preset.synapses if synapses else preset.others
        source = _Source(table, layout, used_columns(self.config, name, synapses=synapses))
        path = self.folder / f"table-{len(self._known)}.parquet"
        rows = write_parquet(path, source.schema, tracked(source.batches(), f"reading {table.file.name}", source.rows))
        resolution = table.resolution or preset.resolution
        assert resolution is not None, "the settings demand one"
        x, y, z = resolution
        logger.info("%s: %s rows of table '%s'", table.file, f"{rows:,}", name)
        about = {"file": table.file.name, "rows": rows, "resolution": [x, y, z]}
        columns = described(self.engine, [path])
        return Fetched(name, (path,), columns, _floats(x, y, z), table.reference_table, source.ordered, about)


def missing_columns(config: CaveSettings) -> list[SnapshotError]:
    """Files that cannot be read, and columns that they do not have."""
    faults: list[SnapshotError] = []
    unreadable: list[str] = []
    synapses, known = config.synapse_table or DEFAULT_SYNAPSES, dict[str, list[str]]()
    for name, table in config.static.tables.items():
        layout = config.static.layout.synapses if name == synapses else config.static.layout.others
        try:
            known[name] = _Source(table, layout).schema.names
        except SnapshotError as error:
            faults.append(error)
            unreadable.append(name)
    named = (one for one in wanted(config, synapses, "(none)") if one.table not in unreadable)
    return [*faults, *missing(named, known, known.__getitem__)]


def _floats(x: float, y: float, z: float) -> Resolution:
    return float(x), float(y), float(z)


class _Source:
    """The rows of a file under CAVE's names.

    Only the columns that are `used` are read, all if it is None.  A table without ids gets the row number, from 0, as
    `id`.  `ordered` is known once all rows were read.
    """

    def __init__(self, table: StaticTable, layout: Layout, used: Mapping[str, Use] | None = None) -> None:
        self.path = table.file
        self.file = GzipCsv(table.file) if is_gzip(table.file) else BigTable.open(table.file)
        given = self.file.schema.names
        own, fill = dict(table.columns), tuple(table.fill_down)
        names = {name: column for name, column in layout.columns.items() if column in given} | own
        missing = [column for column in own.values() if column not in given]
        if missing:
            hint = f"its columns are: {', '.join(given)}"
            raise DataError(f"there is no column '{missing[0]}'", file=self.path, hint=hint)
        names = {name: name for name in given if name not in set(names.values()) | names.keys()} | names
        self.used = dict.fromkeys(names, Use.VALUE) if used is None else used
        self.names = {name: column for name, column in names.items() if name in self.used}
        self.fill = tuple(dict.fromkeys(n for n in (*layout.fill_down, *fill) if n in self.names))
        self.numbered = "id" not in self.names
        refuse_spellings(self.path, self.names)
        self.types = self._csv_types() if isinstance(self.file, GzipCsv) or self.file.format == "csv" else {}
        fields = [pa.field(name, _plain(self._type(column))) for name, column in self.names.items()]
        self.schema = pa.schema([*([pa.field("id", pa.int64())] if self.numbered else []), *fields])
        self.rows = self.file.rows
        self.ordered = True

    def _type(self, column: str) -> pa.DataType:
        return self.types.get(column, self.file.schema.field(column).type)

    def _csv_types(self) -> dict[str, pa.DataType]:
        """Types of the columns of a CSV that its first rows may not show, by their names in the file.

        Ids are whole numbers, however many are missing.  One that looks otherwise further down is left to the reader's
        error, not read as a rounded number.
        """
        types = {}
        for name, column in self.names.items():
            kind, use = self.file.schema.field(column).type, self.used[name]
            if use is Use.ID and not pa.types.is_string(kind):
                types[column] = pa.int64()
            elif pa.types.is_null(kind):
                types[column] = pa.float64() if use is Use.NUMBER else pa.string()
        return types

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in file order."""
        columns = list(dict.fromkeys(self.names.values()))
        last: dict[str, pa.Scalar] = {}
        row, greatest = 0, -1
        for batch in self.file.batches(columns, self.types):
            made = {name: _decoded(batch[column]) for name, column in self.names.items()}
            for name in self.fill:
                made[name] = self._filled(made[name], name, last)
            if self.numbered:
                made["id"] = pa.array(np.arange(row, row + batch.num_rows))
            elif pa.types.is_integer(made["id"].type) and self.ordered and batch.num_rows:
                # Rows without an id are refused later.
                ids = made["id"].drop_null().to_numpy(zero_copy_only=False)
                self.ordered = bool(len(ids) and ids[0] > greatest and np.all(ids[1:] > ids[:-1]))
                greatest = int(ids[-1]) if len(ids) else greatest
            row += batch.num_rows
            yield pa.record_batch([made[f.name].cast(f.type) for f in self.schema], schema=self.schema)

    def _filled(self, values: pa.Array, name: str, last: dict[str, pa.Scalar]) -> pa.Array:
        """The column with each null replaced by the value above it, in this batch or the one before."""
        filled = pc.fill_null_forward(values)
        if filled.null_count and name in last:
            filled = filled.fill_null(last[name])
        if filled.null_count:
            hint = "the file should begin with a value there; is it whole?"
            raise DataError("has no value above its first empty cells", file=self.path, column=name, hint=hint)
        if len(filled):
            last[name] = filled[len(filled) - 1]
        return filled


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _decoded(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
