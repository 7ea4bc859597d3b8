"""The input stage for elements: mitochondria, somata and other annotated points, with distances."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.connectome.rois import assign
from flyem_snapshot.engine.session import Engine
from flyem_snapshot.engine.sql import identifier, literal
from flyem_snapshot.engine.streams import FirstSeen, tracked, write_parquet
from flyem_snapshot.errors import DataError, SnapshotError
from flyem_snapshot.inputs.elements_live import fetched, require_server, state, state_as_read
from flyem_snapshot.inputs.elements_settings import ElementsSettings, ElementTable
from flyem_snapshot.sources.bigtables import BigTable
from flyem_snapshot.sources.checks import Kind, Rules, faults_of
from flyem_snapshot.sources.pointlabels import label_points
from flyem_snapshot.sources.pointtables import AXES, PointBatch, PointTable, Volume, known_sets
from flyem_snapshot.sources.segmentation import reconnected
from flyem_snapshot.sources.volumes import load_volumes
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables import points as point_ids
from flyem_snapshot.tables.elements import Elements, ElementSet, distances_file, points_file
from flyem_snapshot.tables.rois import COMBO, RoiAssignment, RoiSet, RoiSets
from flyem_snapshot.tables.segmentation import Segmentation
from flyem_snapshot.tables.synapses import POINTS, Synapses

logger = logging.getLogger(__name__)

_ENDS = {end: [f"{end}_{axis}" for axis in AXES] for end in ("source", "target")}


def load_elements(
    config: ElementsSettings,
    ctx: Context,
    *,
    rois: RoiSets | None,
    synapses: Synapses,
    dvid_seg: Segmentation | None,
) -> Elements:
    """Every element table of the settings, without elements on body 0 unless they are permitted.

    With a segmentation, supervoxel and body of every element are looked up in it.
    Elements share one space of ids with each other and with the synapses: DataError if two lie on one voxel.
    """
    sets = {}
    for number, (name, settings) in enumerate(config.tables.items()):
        assignment, num_points = RoiAssignment(), None
        path = fetched(settings, dvid_seg, ctx.scratch, number) or settings.point_table
        if path is not None:
            roi_sets = (rois or RoiSets()).named(settings.roi_set_names)
            volumes = load_volumes(roi_sets, ctx.out.root)
            table = _open_points(name, settings, path, roi_sets, labelled=dvid_seg is not None, volumes=volumes)
            if dvid_seg is not None:
                frozen = reconnected(dvid_seg, ctx.out.root)
                folders = [folder / f"labels-{number}" for folder in (ctx.scratch, ctx.resume)]
                table.labels = label_points(table, frozen, ctx.engine, *folders)
            assignment, num_points = _load_points(name, settings, ctx, f"{ctx.cache}/{points_file(number)}", table)
        num_distances = None
        if settings.distance_table is not None:
            num_distances = _load_distances(settings.distance_table, ctx, f"{ctx.cache}/{distances_file(number)}")
        sets[name] = ElementSet(name, assignment, num_points, num_distances)
        logger.info("elements '%s': %s elements, %s distances", name, num_points, num_distances)
    elements = Elements.reopen(ctx, Elements(ctx.engine, sets, state_as_read(config, dvid_seg, ctx.scratch)).record())
    _refuse_shared_ids(ctx.engine, elements, config)
    return elements


def check_elements(config: ElementsSettings, whole: Any) -> list[SnapshotError]:
    """What the headers of the element and distance tables lack."""
    attempts: list[Callable[[], object]] = [partial(require_server, config, whole)]
    labelled = bool(whole.inputs.dvid_seg.server)
    for name, settings in config.tables.items():
        if settings.point_table is not None:
            sets = known_sets(whole.inputs.rois, settings.roi_set_names)
            attempts.append(partial(_open_points, name, settings, settings.point_table, sets, labelled=labelled))
        if settings.distance_table is not None:
            attempts.append(partial(_open_distances, settings.distance_table))
    return faults_of(*attempts)


def _open_points(
    name: str,
    settings: ElementTable,
    path: Path,
    sets: tuple[RoiSet, ...],
    *,
    labelled: bool = False,
    volumes: Mapping[str, Volume] | None = None,
) -> PointTable:
    needed = {"body": "the neuron the element is on"}
    if settings.type is None:
        needed["type"] = f"what the element is; or set inputs.elements.{name}.type"
    return PointTable(path, sets, needed, {}, labelled=labelled, volumes=volumes)


def _open_distances(path: Path) -> BigTable:
    table = BigTable.open(path)
    coordinates = {column: f"a coordinate of the {end}" for end, columns in _ENDS.items() for column in columns}
    table.require(coordinates, {**dict.fromkeys(coordinates, Kind.INTEGER), "distance": Kind.NUMBER})
    return table


def _load_points(
    name: str, settings: ElementTable, ctx: Context, relative: str, table: PointTable
) -> tuple[RoiAssignment, int]:
    """Check and write one element table; returns its ROIs and its number of rows."""
    rules, first_seen = Rules(table.path), FirstSeen()
    computed = {COMBO, *(column for s in table.sets for column in (s.name, s.label_column))}
    given = [column for column in table.schema.names if column not in computed]
    schema = _schema(table, given)
    on_body_0 = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal on_body_0
        for batch in table.batches([c for c in given if c not in AXES], rules):
            body = rules.integers("body", batch.raw["body"], "elements in no body must have body 0")
            rules.refuse("body", "is negative", body < 0, body, "elements in no body must have body 0")
            types = _types(batch, settings, rules)
            keep = np.ones(len(body), bool) if settings.permit_body_0 else body != 0
            on_body_0 += int(np.count_nonzero(~keep))
            first_seen.add(batch.combos[keep])
            made = {
                "point_id": pa.array(batch.ids),
                "body": pa.array(body),
                "type": types,
                COMBO: pa.array(batch.combos),
            }
            made |= {axis: pa.array(xyz) for axis, xyz in zip(AXES, point_ids.decode(batch.ids), strict=True)}
            columns = [made[f.name] if f.name in made else _plain(batch.raw[f.name]).cast(f.type) for f in schema]
            yield pa.record_batch(columns, schema=schema).filter(pa.array(keep))

    with ctx.out.create(relative) as path:
        rows = write_parquet(path, schema, tracked(batches(), f"reading elements '{name}'", table.file.rows))
        rules.verdict()
    ctx.out.set_rows(relative, rows)
    ctx.exclusions.add(f"elements '{name}'", "on body 0", on_body_0)
    combos = first_seen.order()
    values = {column: [entries[c] for c in combos] for column, entries in table.combo_values().items()}
    return assign(table.sets, values, combos, table.path), rows


def _schema(table: PointTable, given: list[str]) -> pa.Schema:
    """The input's columns in their order, then those it lacks; categories as text."""
    types = {field.name: _plain_type(field.type) for field in table.schema}
    types |= {"point_id": pa.uint64(), "body": pa.int64(), "type": pa.string(), **dict.fromkeys(AXES, pa.int32())}
    names = [*given, *(name for name in ("point_id", *AXES, "type") if name not in given)]
    return pa.schema([*((name, types[name]) for name in names), (COMBO, pa.int32())])


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _types(batch: PointBatch, settings: ElementTable, rules: Rules) -> pa.Array:
    """The type of each element: given in the table or in the settings; both must agree."""
    if "type" not in batch.raw.schema.names:
        return pa.array([settings.type] * len(batch.ids), pa.string())
    types = _plain(batch.raw["type"]).cast(pa.string())
    rules.refuse("type", "is null", types.is_null().to_numpy(zero_copy_only=False), types, "every element needs a type")
    if settings.type is not None:
        other = pc.not_equal(types, settings.type).fill_null(False).to_numpy(zero_copy_only=False)
        rules.refuse(
            "type", f"is not '{settings.type}', the type in the settings", other, types, "remove one of the two"
        )
    return types


def _load_distances(file: Path, ctx: Context, relative: str) -> int:
    """Check and write one distance table with the ids of both ends; returns its number of rows."""
    table = _open_distances(file)
    if "distance" not in table.schema.names:
        logger.warning("%s: there is no column 'distance'; the pairs are kept without it", file)
    given = [name for name in table.schema.names if name not in ("source_id", "target_id")]
    rules = Rules(file)
    fields = [(name, _plain_type(table.schema.field(name).type)) for name in given]
    schema = pa.schema([*fields, *((f"{end}_id", pa.uint64()) for end in _ENDS)])

    def batches() -> Iterator[pa.RecordBatch]:
        row = 0
        for batch in table.batches(given):
            rules.first_row = row
            ids = [_end_ids(batch, columns, rules) for columns in _ENDS.values()]
            yield pa.record_batch([*(_plain(batch[name]) for name in given), *ids], schema=schema)
            row += batch.num_rows

    with ctx.out.create(relative) as path:
        rows = write_parquet(path, schema, tracked(batches(), f"reading {file.name}", table.rows))
        rules.verdict()
    ctx.out.set_rows(relative, rows)
    return rows


def _end_ids(batch: pa.RecordBatch, columns: list[str], rules: Rules) -> pa.Array:
    coordinates = [rules.integers(column, batch[column]) for column in columns]
    for column, values in zip(columns, coordinates, strict=True):
        outside = (values < point_ids.COORDINATE_MIN) | (values > point_ids.COORDINATE_MAX)
        rules.refuse(
            column, f"is outside {point_ids.RANGE}", outside, values, "point ids have 21 bits for each coordinate"
        )
    return pa.array(point_ids.encode(*coordinates))


def _refuse_shared_ids(engine: Engine, elements: Elements, config: ElementsSettings) -> None:
    """Raise DataError if two elements, or an element and a synapse, lie on one voxel."""
    with_points = [s for s in elements.sets.values() if s.num_points is not None]
    if not with_points:
        return
    ids = " UNION ALL ".join(
        f"SELECT {literal(s.name)} AS owner, point_id FROM {identifier(s.points_view)}" for s in with_points
    )
    twice = f"""
        SELECT owner, point_id FROM ({ids})
        QUALIFY count(*) OVER (PARTITION BY point_id) > 1
    """
    synapses = f"SELECT owner, point_id FROM ({ids}) WHERE point_id IN (SELECT point_id FROM {POINTS})"
    for statement, problem in ((twice, "elements share a voxel"), (synapses, "elements lie on the voxel of a synapse")):
        rows = engine.rows(f"SELECT owner, count(*) FROM ({statement}) GROUP BY owner ORDER BY owner")
        if rows:
            owner = rows[0][0]
            first = engine.rows(
                f"SELECT DISTINCT point_id FROM ({statement}) WHERE owner = {literal(owner)} ORDER BY 1 LIMIT 3"
            )
            raise DataError(
                f"{problem}: each id may occur once among all elements and synapses",
                file=config.tables[owner].point_table,
                column="point_id",
                rows=sum(count for _, count in rows),
                examples=[row[0] for row in first],
                hint="move one of them by a voxel",
            )


STAGE = Stage(
    "elements",
    "inputs",
    ElementsSettings,
    load_elements,
    produces=Elements,
    enabled=lambda c: bool(c.tables),
    check=check_elements,
    source=state,
)
