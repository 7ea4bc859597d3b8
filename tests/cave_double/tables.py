"""Annotation tables as they are now, with all that ever happened to their rows."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.cave_double.clock import Clock, spaced
from tests.cave_double.schemas import Schema


@dataclass
class Row:
    """An annotation: flattened `values` (positions as [x, y, z]) and what became of it."""

    id: int
    values: dict[str, Any]
    created: dt.datetime
    deleted: dt.datetime | None = None
    superceded_id: int | None = None
    valid: bool = True

    def alive(self, time: dt.datetime | None) -> bool:
        """Whether it was there at a time (None: now)."""
        if time is None:
            return self.valid
        return self.created <= time and (self.deleted is None or self.deleted > time)


@dataclass
class Metadata:
    """What the service says of a table, beside its rows."""

    description: str = "made for a test"
    user_id: int = 1
    voxel_resolution: tuple[float, float, float] = (4.0, 4.0, 40.0)
    reference_table: str | None = None
    flat_segmentation_source: str | None = None
    notice_text: str | None = None
    write_permission: str = "PRIVATE"
    read_permission: str = "PUBLIC"
    extra: dict[str, Any] = field(default_factory=dict)


class LiveTable:
    """Rows loaded in bulk (`base`, never changed) and, in `rows`, those that came or changed one by one.

    `base` has the columns of a frozen table of the schema, root ids excepted: those come from the chunkedgraph.
    """

    def __init__(self, name: str, schema: Schema, metadata: Metadata, clock: Clock, number: int) -> None:
        self.name, self.schema, self.metadata, self.clock, self.number = name, schema, metadata, clock, number
        self.created = self.last_modified = clock.tick()
        self.deleted: dt.datetime | None = None
        self.base = schema.arrow().empty_table()
        self.loaded = self.created
        self.rows: dict[int, Row] = {}
        self._sorted_ids = np.zeros(0, np.int64)
        self._order = np.zeros(0, np.int64)
        self._last_id = 0

    # --- writing ----------------------------------------------------------------------------------------------------

    def load(self, table: pa.Table) -> None:
        """Put many rows at once into an empty table, in heap order; columns that are missing are null."""
        columns = {}
        for wanted in self.schema.arrow():
            if wanted.name in table.column_names:
                columns[wanted.name] = table[wanted.name].cast(wanted.type)
            elif wanted.name == "valid":
                columns[wanted.name] = pa.repeat(pa.scalar(True), len(table))
            else:
                columns[wanted.name] = pa.nulls(len(table), wanted.type)
        self.base = pa.table(columns).combine_chunks()
        ids = self.base["id"].to_numpy()
        self._order = np.argsort(ids, kind="stable")
        self._sorted_ids = ids[self._order]
        self._last_id = int(self._sorted_ids[-1]) if len(ids) else 0
        self.loaded = self.last_modified = self.clock.tick()

    def insert(self, values: dict[str, Any], wanted_id: int | None = None) -> Row:
        """Add a row; raises KeyError for an id that is taken."""
        new_id = self._last_id + 1 if wanted_id is None else wanted_id
        if self.get(new_id) is not None:
            raise KeyError(new_id)
        self._last_id = max(self._last_id, new_id)
        row = self.rows[new_id] = Row(new_id, values, self.clock.tick())
        self.last_modified = row.created
        return row

    def update(self, row: Row, values: dict[str, Any]) -> Row:
        """Put a new row in the place of one, which stays readable."""
        new = self.insert({**row.values, **values})
        self.rows[row.id] = row
        row.valid, row.deleted, row.superceded_id = False, new.created, new.id
        return new

    def delete(self, row: Row) -> None:
        """Mark a row as deleted."""
        self.rows[row.id] = row
        row.valid, row.deleted = False, self.clock.tick()
        self.last_modified = row.deleted

    # --- reading ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """All rows, deleted and superseded ones included (5.3)."""
        return len(self.base) + sum(self._place(number) is None for number in self.rows)

    def get(self, number: int) -> Row | None:
        """A row, whatever became of it."""
        if number in self.rows:
            return self.rows[number]
        place = self._place(number)
        if place is None:
            return None
        flat = self.base.slice(place, 1).to_pylist()[0]
        values = {name: unsplit(flat, name, kind) for name, kind in self.schema.columns.items() if self._kept(name)}
        return Row(number, values, self.loaded, valid=flat["valid"])

    def _kept(self, name: str) -> bool:
        return name not in {"id", "valid"} and not name.endswith("_root_id")

    def _place(self, number: int) -> int | None:
        at = int(np.searchsorted(self._sorted_ids, number))
        return int(self._order[at]) if at < len(self._sorted_ids) and self._sorted_ids[at] == number else None

    def alive(self, time: dt.datetime | None = None) -> pa.Table:
        """The rows that were there at a time, in heap order, root ids null: what changed last stands last."""
        base = self.base
        if time is not None and self.loaded > time:
            base = base.slice(0, 0)
        touched = [number for number in self.rows if self._place(number) is not None]
        if touched and len(base):
            base = base.filter(pc.invert(pc.is_in(base["id"], pa.array(touched, pa.int64()))))
        rows = [self._flat(row) for row in self.rows.values() if row.alive(time)]
        extra = pa.Table.from_pylist(rows, schema=self.schema.arrow())
        found = pa.concat_tables([base, extra])
        return found.filter(pc.fill_null(found["valid"], True))

    def _flat(self, row: Row) -> dict[str, Any]:
        flat: dict[str, Any] = {"id": row.id, "valid": True}
        for name, kind in self.schema.columns.items():
            value = row.values.get(name)
            if kind == "point":
                flat |= {f"{name}_{axis}": None if value is None else value[i] for i, axis in enumerate("xyz")}
            elif name not in flat:
                flat[name] = value
        return flat

    def as_annotation(self, row: Row) -> dict[str, Any]:
        """A row as the annotation service gives it: no supervoxels, no roots, and `deleted` the text "None"."""
        kept = {name: row.values.get(name) for name in self.schema.columns if self._kept(name)}
        return {
            "id": row.id,
            "created": spaced(row.created),
            "deleted": "None" if row.deleted is None else spaced(row.deleted),
            "superceded_id": row.superceded_id,
            "valid": row.valid,
            **{name: value for name, value in kept.items() if not name.endswith("_supervoxel_id")},
        }

    def described(self, aligned_volume: str) -> dict[str, Any]:
        """The record that both the annotation and the materialize service give."""
        metadata = self.metadata
        resolution = dict(zip("xyz", metadata.voxel_resolution, strict=True))
        return {
            "table_name": self.name,
            "id": self.number,
            "aligned_volume": aligned_volume,
            "created": self.created.replace(tzinfo=None).isoformat(),
            "deleted": None if self.deleted is None else self.deleted.replace(tzinfo=None).isoformat(),
            "valid": True,
            "schema": self.schema.name,
            "schema_type": self.schema.name,
            "user_id": str(metadata.user_id),
            "description": metadata.description,
            "notice_text": metadata.notice_text,
            "reference_table": metadata.reference_table,
            "flat_segmentation_source": metadata.flat_segmentation_source,
            **{f"voxel_resolution_{axis}": size for axis, size in resolution.items()},
            "write_permission": metadata.write_permission,
            "read_permission": metadata.read_permission,
            "last_modified": self.last_modified.replace(tzinfo=None).isoformat(),
            **metadata.extra,
        }


def unsplit(flat: dict[str, Any], name: str, kind: str) -> Any:
    """The value of a column of a schema, from a row whose positions are split."""
    if kind != "point":
        return flat[name]
    position = [flat[f"{name}_{axis}"] for axis in "xyz"]
    return None if None in position else position


def notice(table: LiveTable) -> dict[str, str]:
    """The header that carries an owner's notice."""
    text = table.metadata.notice_text
    return {"Warning": f"Table Owner Notice on {table.name}: {text}"} if text else {}
