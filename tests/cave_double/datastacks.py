"""Aligned volumes, the datastacks over them, and the frozen versions of a datastack."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.cave_double.clock import Clock, iso
from tests.cave_double.graph import ChunkedGraph
from tests.cave_double.schemas import Schema, schemas
from tests.cave_double.tables import LiveTable, Metadata


class AlignedVolume:
    """An image volume with its annotation tables.

    `places` says which supervoxel lies at a position (in the voxels of the table that asks); elsewhere there is none.
    """

    def __init__(self, name: str, number: int, clock: Clock) -> None:
        self.name, self.number, self.clock = name, number, clock
        self.image_source = f"precomputed://https://bossdb.example.org/{name}/em"
        self.tables: dict[str, LiveTable] = {}
        self.places: dict[tuple[int, int, int], int] = {}
        self.broken_session = False
        """Whether the database session is still to be rolled back, at which the next request fails."""

    def new_table(self, name: str, schema: str, **metadata: Any) -> LiveTable:
        """An empty table; keywords are those of `Metadata`."""
        table = LiveTable(name, schemas()[schema], Metadata(**metadata), self.clock, len(self.tables) + 1)
        self.tables[name] = table
        return table

    def described(self) -> dict[str, Any]:
        """The record of the info service."""
        return {
            "id": self.number,
            "name": self.name,
            "display_name": self.name,
            "description": f"the volume {self.name}",
            "image_source": self.image_source,
        }


@dataclass
class Frozen:
    """A table of a version: its rows, and the record of the live table at that time (`described`)."""

    name: str
    schema: Schema
    data: pa.Table
    record: dict[str, Any]

    @property
    def resolution(self) -> tuple[float, float, float]:
        """Nanometres per voxel of its positions."""
        return tuple(self.record[f"voxel_resolution_{axis}"] for axis in "xyz")  # type: ignore[return-value]


@dataclass
class View:
    """A ready-made query of a version."""

    data: pa.Table
    description: str
    live_compatible: bool = True
    notice_text: str | None = None


@dataclass
class Version:
    """A materialization: all tables of a datastack as they were at `time_stamp`."""

    number: int
    datastack: str
    time_stamp: dt.datetime
    expires_on: dt.datetime
    status: str = "AVAILABLE"
    valid: bool = True
    is_merged: bool = True
    tables: dict[str, Frozen] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)

    def expire(self) -> None:
        """Let its database be dropped; its metadata stays."""
        self.status, self.valid = "EXPIRED", False

    @property
    def present(self) -> bool:
        """Whether its rows can be had."""
        return self.valid and self.status == "AVAILABLE"

    def add_table(self, name: str, schema: str, data: pa.Table, **metadata: Any) -> Frozen:
        """A frozen table from rows as they shall be answered, root ids included; there is no live table behind it."""
        live = LiveTable(name, schemas()[schema], Metadata(**metadata), Clock(), len(self.tables) + 1)
        columns = {f.name: pa.nulls(len(data), f.type) for f in live.schema.arrow()}
        columns["valid"] = pa.repeat(pa.scalar(True), len(data))
        columns |= {name: data[name].cast(live.schema.arrow().field(name).type) for name in data.column_names}
        frozen = Frozen(name, live.schema, pa.table(columns).combine_chunks(), live.described(self.datastack))
        self.tables[name] = frozen
        return frozen

    def described(self) -> dict[str, Any]:
        """The record of the materialize service."""
        return {
            "id": self.number,
            "version": self.number,
            "datastack": self.datastack,
            "time_stamp": iso(self.time_stamp),
            "expires_on": iso(self.expires_on),
            "valid": self.valid,
            "status": self.status,
            "is_merged": self.is_merged,
        }


class Datastack:
    """A volume, a chunkedgraph and the versions made of both.

    `record` holds what of the info service's record differs from the defaults.
    """

    def __init__(self, name: str, volume: AlignedVolume, graph: ChunkedGraph) -> None:
        self.name, self.volume, self.graph = name, volume, graph
        self.versions: dict[int, Version] = {}
        self.record: dict[str, Any] = {}

    def freeze(
        self,
        number: int | None = None,
        *,
        is_merged: bool = True,
        lifetime: dt.timedelta = dt.timedelta(days=365),
        tables: list[str] | None = None,
    ) -> Version:
        """Make a version of the tables (default: all) as they are now.

        It expires at a whole second, as real ones do.  What has no supervoxel yet has NULL for it and its root in a
        merged version, 1 in another.
        """
        clock = self.volume.clock
        number = number or max(self.versions, default=0) + 1
        time = clock.tick()
        expires = (time + lifetime).replace(microsecond=0)
        version = Version(number, self.name, time, expires, is_merged=is_merged)
        for name, table in self.volume.tables.items():
            if (tables is None or name in tables) and table.deleted is None:
                data = self.rows_at(table, time, is_merged=is_merged)
                version.tables[name] = Frozen(name, table.schema, data, self._record(table, time))
        self.versions[number] = version
        return version

    def _record(self, table: LiveTable, time: dt.datetime) -> dict[str, Any]:
        record = table.described(self.volume.name)
        if table.schema.bound:
            record |= {
                "pcg_table_name": self.graph.name,
                "last_updated": iso(time),
                "annotation_table": table.name,
                "segmentation_source": f"{table.name}__{self.graph.name}",
            }
        return record

    def rows_at(self, table: LiveTable, time: dt.datetime | None = None, *, is_merged: bool = True) -> pa.Table:
        """The rows of a table at a time with the roots of that time, in heap order."""
        data = self._placed(table, table.alive(time))
        for point in table.schema.bound:
            supervoxels = data[f"{point}_supervoxel_id"]
            unknown = pc.is_null(supervoxels)
            ids = pc.fill_null(supervoxels, 0).to_numpy().astype(np.uint64)
            roots: Any = pa.array(self.graph.roots_at(ids, time).astype(np.int64))
            roots = pc.if_else(unknown, pa.scalar(None, pa.int64()), roots)
            if not is_merged:
                roots, supervoxels = pc.fill_null(roots, 1), pc.fill_null(supervoxels, 1)
            data = replaced(data, f"{point}_root_id", roots)
            data = replaced(data, f"{point}_supervoxel_id", supervoxels)
        return data.combine_chunks()

    def _placed(self, table: LiveTable, data: pa.Table) -> pa.Table:
        """Rows with the supervoxels of those that were posted one by one."""
        fresh = len(table.rows)
        if not fresh or not self.volume.places:
            return data
        for point in table.schema.bound:
            known = data[f"{point}_supervoxel_id"].to_pylist()
            for at in range(max(0, len(data) - fresh), len(data)):
                position = tuple(data[f"{point}_position_{axis}"][at].as_py() for axis in "xyz")
                known[at] = self.volume.places.get(position, 0) if known[at] is None else known[at]
            data = replaced(data, f"{point}_supervoxel_id", pa.array(known, pa.int64()))
        return data


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    """A table with other values in one column."""
    return table.set_column(table.schema.get_field_index(name), name, values)
