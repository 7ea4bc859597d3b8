"""Columns of body tables as properties of Segments: the type of each, its cells, and its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.engine.csvfiles import cell
from flyem_snapshot.engine.session import Engine
from flyem_snapshot.engine.sql import identifier
from flyem_snapshot.outputs.neuprint.properties import POINT, Property, float_cell, typed_properties

_ROWS = "segment annotations"


@dataclass(frozen=True)
class SegmentProperty:
    """One property of the Segments of which a table knows something.

    `cells` are its CSV cells and `content` what they stand for (null where absent; points and arrays as text); one
    entry for each body, in the order of the table.
    """

    name: str
    type: str
    cells: pa.Array
    content: pa.Array

    def of(self, places: pa.Array) -> SegmentProperty:
        """The same for the bodies at these places; a null stands for a body of which the table knows nothing."""
        return replace(self, cells=self.cells.take(places).fill_null(""), content=self.content.take(places))


def segment_properties(engine: Engine, frame: pd.DataFrame) -> list[SegmentProperty]:
    """The columns of a frame as `neuprint_properties` gives it; columns without any value are left out, but `bodyId`.

    Raises DataError for values that the importer cannot take.
    """
    table = _arrow(frame)
    with engine.registered(**{_ROWS: table}):
        columns = {name: name for name in table.column_names}
        found = typed_properties(engine, identifier(_ROWS), columns, "the body annotations")
        if not len(table):
            found = [Property("bodyId", "long", "''")]
        return _made(engine, table, found)


def declared_properties(engine: Engine, frame: pd.DataFrame, kinds: Mapping[str, str]) -> list[SegmentProperty]:
    """Columns of a frame as properties of given types (int, float or string), whatever their values.

    Columns without any value are left out.
    """
    cells = {
        "int": lambda name: f"coalesce(CAST({identifier(name)} AS VARCHAR), '')",
        "float": lambda name: float_cell(identifier(name)),
        "string": lambda name: cell(f"CAST({identifier(name)} AS VARCHAR)"),
    }
    table = _arrow(frame)
    filled = [name for name in table.column_names if table[name].null_count < len(table)]
    if not filled:
        return []
    with engine.registered(**{_ROWS: table}):
        return _made(engine, table, [Property(name, kinds[name], cells[kinds[name]](name)) for name in filled])


def _arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _made(engine: Engine, table: pa.Table, found: Sequence[Property]) -> list[SegmentProperty]:
    columns = ", ".join(f"{p.cell} AS {identifier(p.name)}" for p in found)
    cells = engine.table(f"SELECT {columns} FROM {identifier(_ROWS)}")
    return [
        SegmentProperty(
            p.name,
            p.kind,
            _whole(cells[p.name].cast(pa.string())),
            _values(p.kind, cells[p.name].cast(pa.string()), table[p.name]),
        )
        for p in found
    ]


def _values(kind: str, cells: pa.ChunkedArray, given: pa.ChunkedArray) -> pa.Array:
    """The cells in the type that the Feather file has for this kind of property."""
    present = pc.if_else(pc.equal(cells, ""), None, cells)
    types = {"int": pa.int32(), "long": pa.int64(), "float": pa.float64(), "boolean": pa.bool_()}
    if kind in types:
        return _whole(present.cast(types[kind]))
    if kind == POINT or kind.endswith("[]"):
        bare = pc.replace_substring(pc.replace_substring_regex(present, r'^"|"$', ""), '""', '"')
        return _whole(pc.if_else(pc.starts_with(present, '"'), bare, present))
    texts = given.cast(pa.string()) if not pa.types.is_temporal(given.type) else present
    return _whole(pc.if_else(pc.equal(texts, ""), None, texts))


def _whole(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
