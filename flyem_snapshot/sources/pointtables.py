"""Point tables (synapse points, elements): ids, coordinates, bodies and ROI combinations, batch by batch.

A column of the file may be replaced by what a server says of the same points: bodies and supervoxels, ROI labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from flyem_snapshot.connectome.rois import source_columns, source_faults
from flyem_snapshot.engine.streams import Vocabulary
from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.bigtables import BigTable
from flyem_snapshot.sources.checks import Kind, Rules, header_faults, raise_all
from flyem_snapshot.tables import points
from flyem_snapshot.tables.rois import COMBO, RoiSet, RoiSets

AXES = ("x", "y", "z")
CSV_TYPES = {
    "point_id": pa.uint64(),
    "x": pa.int32(),
    "y": pa.int32(),
    "z": pa.int32(),
    "body": pa.int64(),
    "sv": pa.int64(),
    "conf": pa.float32(),
    "kind": pa.string(),
    "type": pa.string(),
}


_INTEGERS = dict.fromkeys(("point_id", *AXES, "body", "sv"), Kind.INTEGER)


@dataclass(frozen=True)
class PointBatch:
    """One batch of a point table: the raw columns, and what was derived from them (one value a row)."""

    raw: pa.RecordBatch
    first_row: int
    ids: points.Ids
    combos: np.ndarray[Any, np.dtype[np.int32]]
    places: tuple[points.Coordinates, points.Coordinates, points.Coordinates] | None = None
    """x, y, z where they stand beside the ids rather than in them."""

    def coordinates(self) -> tuple[points.Coordinates, points.Coordinates, points.Coordinates]:
        """The x, y and z (int32, voxels) of each row."""
        return points.decode(self.ids) if self.places is None else self.places

    def filter(self, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> PointBatch:
        """Only the rows of the mask; `first_row` stays that of the whole batch."""
        x, y, z = self.places or (None, None, None)
        places = None if x is None or y is None or z is None else (x[mask], y[mask], z[mask])
        return PointBatch(self.raw.filter(pa.array(mask)), self.first_row, self.ids[mask], self.combos[mask], places)


def known_sets(rois: Any, names: tuple[str, ...] | None) -> tuple[RoiSet, ...]:
    """The roi-sets of these names from the settings `rois`, for a check of a table that is to hold them.

    None of them if the definitions are faulty: the stage that defines them tells of that.
    """
    try:
        defined: RoiSets = rois.defined()
    except DataError:
        return ()
    return defined.named(names)


class Labels(Protocol):
    """What is known of each row from elsewhere than the file: columns by row number."""

    @property
    def sv(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Supervoxels."""

    @property
    def body(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Bodies."""


class Volume(Protocol):
    """A volume of ROI labels."""

    def labels(self, zyx: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The label at each point (rows of z, y, x in voxels); 0 outside."""


class PointTable:
    """A file of points.  Reading it twice gives the same combination numbers.

    `volumes` are those of the roi-sets that are read from volumes.  If the table is `labelled`, its columns `sv` and
    `body` are not those of the file but those of `labels`, which are given before it is read.  If it is `placed`, its
    ids are numbers that say nothing of the place, so that several points may share a voxel: x, y and z stand beside
    them, and need not fit the 21 bits that an id has for each.

    Raises one DataError on opening for everything that its header lacks: ids (`point_id` or x, y, z), a column for
    each roi-set, and what `header_faults` finds with the caller's `needed` and `kinds`.
    """

    labels: Labels | None = None

    def __init__(
        self,
        path: Path,
        sets: Sequence[RoiSet],
        needed: Mapping[str, str],
        kinds: Mapping[str, Kind],
        *,
        labelled: bool = False,
        placed: bool = False,
        volumes: Mapping[str, Volume] | None = None,
    ) -> None:
        of_rois = {name for s in sets for name in (s.name, s.label_column)}
        text = {s.name for s in sets} | {name for name, kind in kinds.items() if kind is Kind.TEXT}
        self.file = BigTable.open(path, reserved={"point_id", *AXES, COMBO, *kinds, *needed, *of_rois}, text=text)
        self.sets, self.labelled, self.volumes = sets, labelled, volumes or {}
        self.placed = placed
        names = self.file.schema.names
        self.has_ids = "point_id" in names
        self.has_coordinates = set(AXES) <= set(names)
        raise_all(self._faults(needed, kinds))
        self.schema = self._schema()
        self.roi_columns = source_columns(sets, names)
        self._values = {name: Vocabulary() for name in self.roi_columns}
        self._pairs = [Vocabulary() for _ in self.roi_columns]

    def _faults(self, needed: Mapping[str, str], kinds: Mapping[str, Kind]) -> Iterator[DataError]:
        names = self.file.schema.names
        if not (self.has_ids or self.has_coordinates):
            yield DataError(
                "there is neither a column 'point_id' nor columns 'x', 'y', 'z'",
                file=self.path,
                hint=f"its columns are: {', '.join(names)}",
            )
        from_table = [s for s in self.sets if s.source == "point-table"]
        of_rois = {s.name: Kind.TEXT for s in from_table} | {s.label_column: Kind.LABEL for s in from_table}
        needed = {name: why for name, why in needed.items() if not (self.labelled and name == "body")}
        yield from header_faults(self.path, self.file.schema, needed, {**of_rois, **_INTEGERS, **kinds})
        yield from source_faults(self.sets, names, self.path)

    def _schema(self) -> pa.Schema:
        """The columns of the file, and those that come from elsewhere."""
        schema = self.file.schema
        for name in ("sv", "body") if self.labelled else ():
            place = schema.get_field_index(name)
            made = pa.field(name, pa.int64())
            schema = schema.append(made) if place < 0 else schema.set(place, made)
        return schema

    @property
    def path(self) -> Path:
        """The file."""
        return self.file.path

    def batches(self, columns: Sequence[str], rules: Rules) -> Iterator[PointBatch]:
        """The table in file order.  `columns` are read besides those needed for ids and ROIs."""
        own = (["point_id"] if self.has_ids else []) + (list(AXES) if self.has_coordinates else [])
        of_file = [name for name in self.roi_columns if name in self.file.schema.names]
        labels = {} if self.labels is None else {"sv": self.labels.sv, "body": self.labels.body}
        needed = [name for name in dict.fromkeys([*own, *of_file, *columns]) if name not in labels]
        first_row = 0
        for raw in self.file.batches(needed, {**CSV_TYPES, **{f"{s.name}_label": pa.int64() for s in self.sets}}):
            rules.first_row = first_row
            ids = self._ids(raw, rules)
            for name, values in labels.items():
                raw = raw.append_column(name, pa.array(values[first_row : first_row + raw.num_rows]))  # noqa: PLW2901
            places = self._places(raw) if self.placed else None
            batch = PointBatch(raw, first_row, ids, np.zeros(0, np.int32), places)
            yield replace(batch, combos=self._combos(batch))
            first_row += raw.num_rows
        if not first_row:
            raise DataError(
                "the table has no rows", file=self.path, hint="export it again; a snapshot needs at least one point"
            )

    @staticmethod
    def _places(raw: pa.RecordBatch) -> tuple[points.Coordinates, points.Coordinates, points.Coordinates]:
        """The columns x, y and z of a table that we made ourselves."""
        x, y, z = (raw[axis].cast(pa.int32()).to_numpy() for axis in AXES)
        return x, y, z

    def _ids(self, raw: pa.RecordBatch, rules: Rules) -> points.Ids:
        if self.placed:
            return rules.integers("point_id", raw["point_id"]).view(np.uint64)
        ids = encoded = None
        inside = np.ones(raw.num_rows, bool)
        if self.has_coordinates:
            xyz = {axis: rules.integers(axis, raw[axis]) for axis in AXES}
            for axis, values in xyz.items():
                outside = (values < points.COORDINATE_MIN) | (values > points.COORDINATE_MAX)
                rules.refuse(
                    axis, f"is outside {points.RANGE}", outside, values, "point ids have 21 bits for each coordinate"
                )
                inside &= ~outside
            encoded = points.encode(xyz["x"], xyz["y"], xyz["z"])
        if self.has_ids:
            signed = rules.integers("point_id", raw["point_id"])
            rules.refuse("point_id", "is negative", signed < 0, signed, "write ids as z << 42 | y << 21 | x")
            ids = signed.view(np.uint64)
            if encoded is not None:
                rules.refuse(
                    "point_id",
                    "does not belong to the coordinates beside it",
                    (ids != encoded) & inside,
                    ids,
                    "an id is z << 42 | y << 21 | x; drop the column to have it computed",
                )
        result = encoded if ids is None else ids
        assert result is not None
        return result

    def _combos(self, batch: PointBatch) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Number each distinct combination of the ROI columns, in order of first appearance in the file."""
        raw = batch.raw
        if not self.roi_columns:
            return np.zeros(raw.num_rows, np.int32)
        codes = np.zeros(raw.num_rows, np.int64)
        sampled = self._sampled(batch)
        for name, pairs in zip(self.roi_columns, self._pairs, strict=True):
            column = self._values[name].encode(sampled[name] if name in sampled else raw[name]).astype(np.int64)
            # Two small codes make one number, which gets a small code again.
            codes = pairs.encode(pa.array(codes << 32 | column)).astype(np.int64)
        return (codes - 1).astype(np.int32)

    def _sampled(self, batch: PointBatch) -> dict[str, pa.Array]:
        """The label of each point in the volumes, by column."""
        if not self.volumes:
            return {}
        zyx = np.stack(batch.coordinates()[::-1], axis=1)
        return {
            s.label_column: pa.array(self.volumes[s.name].labels(zyx)).cast(pa.int64())
            for s in self.sets
            if s.name in self.volumes
        }

    def combo_values(self) -> dict[str, list[Any]]:
        """The ROI columns' values of each combination seen so far, by combination number."""
        if not self.roi_columns:
            return {}
        values: dict[str, list[Any]] = {}
        codes = np.arange(1, len(self._pairs[-1]))
        for name, pairs in zip(reversed(self.roi_columns), reversed(self._pairs), strict=True):
            keys = np.array([0, *pairs.values[1:]], np.int64)[codes]
            vocabulary = self._values[name].values
            values[name] = [vocabulary[code] for code in keys & 0xFFFFFFFF]
            codes = keys >> 32
        return {name: values[name] for name in self.roi_columns}
