"""Annotation columns as properties of Segments: the type of each, its cells, and its values."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.engine.session import Engine
from flyem_snapshot.engine.sql import identifier
from flyem_snapshot.outputs.neuprint.properties import POINT, Property, typed_properties

_ROWS = "segment annotations"


@dataclass(frozen=True)
class SegmentProperty:
    """One property of the annotated Segments.

    `cells` are its CSV cells and `content` what they stand for (null where absent; points and arrays as text); one
    entry for each annotated body, in the order of the annotations.
    """

    name: str
    type: str
    cells: pa.Array
    content: pa.Array


def segment_properties(engine: Engine, frame: pd.DataFrame) -> list[SegmentProperty]:
    """The columns of a frame as `neuprint_properties` gives it; columns without any value are left out, but `bodyId`.

    Raises DataError for values that the importer cannot take.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    with engine.registered(**{_ROWS: table}):
        rows = identifier(_ROWS)
        found = typed_properties(engine, rows, {name: name for name in table.column_names}, "the body annotations")
        if not len(table):
            found = [Property("bodyId", "long", "''")]
        columns = ", ".join(f"{p.cell} AS {identifier(p.name)}" for p in found)
        cells = engine.table(f"SELECT {columns} FROM {rows}")
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
