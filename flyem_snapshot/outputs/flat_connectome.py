"""The flat connectome: synapses, partners, weights, bodies as Feather files that need no database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from flyem_snapshot.connectome.properties import neuprint_properties
from flyem_snapshot.connectome.restrict import partners_inside, points_referenced
from flyem_snapshot.connectome.status import SIGNIFICANT, TRACED
from flyem_snapshot.connectome.weights import COMPARTMENT_WEIGHTS, connection_weights
from flyem_snapshot.engine.session import parquet
from flyem_snapshot.engine.streams import FeatherWriter, in_background, signed_category, tracked, write_feather
from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.outputs.body_stats import write_body_stats
from flyem_snapshot.outputs.flat_connectome_settings import FlatConnectomeSettings
from flyem_snapshot.sources.checks import faults_of
from flyem_snapshot.sources.objects import require_store, upload
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables import points as point_ids
from flyem_snapshot.tables.bodies import BodyAnnotations
from flyem_snapshot.tables.rois import COMBO, AssignedSet
from flyem_snapshot.tables.synapses import PARTNERS, POINTS, Synapses

FOLDER = "flat-connectome"
SIDES = ("pre", "post")
Counts = np.ndarray[Any, np.dtype[np.int8]]
Convert = Callable[[pa.RecordBatch], pa.RecordBatch]
_LEVELS = {"significant-only": SIGNIFICANT, "traced-only": TRACED}
"""The worst status that qualifies for each filtered file, weakest demand first."""

_RESTRICTED = {"points": "flat_points", "partners": "flat_partners"}


@dataclass(frozen=True)
class _Export:
    """One run of the stage: what is exported, and under which names."""

    config: FlatConnectomeSettings
    ctx: Context
    synapses: Synapses
    annotations: BodyAnnotations | None

    def file(self, stem: str, level: str = "") -> str:
        """`flat-connectome/<stem>-<tag>-minconf-<c>[-<roi-set>][-<level>].feather`."""
        restriction = self.config.restrict_connectivity_to_roiset
        parts = [stem, self.ctx.tag, f"minconf-{self.synapses.min_confidence}", restriction, level]
        return f"{FOLDER}/{'-'.join(part for part in parts if part)}.feather"

    @property
    def compartments(self) -> bool:
        """Whether connections are counted by compartment."""
        return bool(self.config.compartment_column) and self.synapses.compartment is not None

    @property
    def roi_set(self) -> AssignedSet | None:
        """The roi-set whose name stands beside each partner row."""
        name = self.config.roi_set
        return self.synapses.rois[name] if name and name in self.synapses.rois else None

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """The filtered files, each a subset of the one before it; none without statuses."""
        return tuple(_LEVELS) if self.annotations is not None and self.annotations.has_status else ()

    @cached_property
    def qualified(self) -> tuple[pd.Index[int], Counts]:
        """The bodies that qualify for some level, and for how many of them; at the end 0, for any other body."""
        assert self.annotations is not None
        status = self.annotations.status.dropna()
        count = np.zeros(len(status), np.int8)
        for worst in _LEVELS.values():
            count += (status >= worst).to_numpy()
        return status.index[count > 0], np.append(count[count > 0], np.int8(0))

    def reached(self, batch: pa.RecordBatch) -> Counts:
        """For each row, how many levels both of its bodies qualify for."""
        bodies, count = self.qualified
        # The index keeps its hash table from batch to batch; a body it does not have is at -1, the end.
        pre, post = (count[bodies.get_indexer(batch[f"body_{side}"].to_numpy())] for side in SIDES)
        least: Counts = np.minimum(pre, post)
        return least

    def write(self, relative: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Write one Feather file."""
        with self.ctx.out.create(relative) as path:
            rows = write_feather(path, schema, batches)
        self.ctx.out.set_rows(relative, rows)


def export_flat_connectome(
    config: FlatConnectomeSettings, ctx: Context, *, synapses: Synapses, annotations: BodyAnnotations | None
) -> None:
    """Write every file of `flat-connectome/`, then upload them if the settings ask for it."""
    export = _Export(config, ctx, synapses, annotations)
    points, partners, condition = POINTS, PARTNERS, ""
    if config.restrict_connectivity_to_roiset:
        points, partners = _restrict(export)
        condition = f"WHERE point_id IN (SELECT point_id FROM {points})"
    _write_points(export, condition)
    _write_partners(export, partners)
    _write_weights(export, partners)
    if annotations is not None:
        names = config.annotation_property_names or {}
        ctx.out.feather_from_pandas(export.file("body-annotations"), neuprint_properties(annotations.frame, names))
    write_body_stats(export.file("body-stats"), ctx, synapses, annotations, points, partners, export.compartments)
    if config.gcs_bucket_dir:
        upload(ctx.out, f"{FOLDER}/", config.gcs_bucket_dir, ctx.tag, project=config.gcp_project)


def check_flat_connectome(config: FlatConnectomeSettings, whole: Any) -> list[SettingError]:
    """A store that cannot be reached for want of a library, and compartments that nothing provides."""
    faults = []
    if bucket := config.gcs_bucket_dir:
        unreachable = faults_of(lambda: require_store(bucket))
        faults += [SettingError("gcs-bucket-dir", error.message, hint=error.hint) for error in unreachable]
    column = whole.inputs.synapses.compartment_column
    if config.compartment_column not in (None, column):
        problem = f"is '{config.compartment_column}', but inputs.synapses.compartment-column is {column or 'not set'}"
        faults.append(SettingError("compartment-column", problem, hint="write the same name in both, or only there"))
    return faults


def _restrict(export: _Export) -> tuple[str, str]:
    """Define the views of the connectome inside the roi-set; returns their names."""
    engine, roi_set = export.ctx.engine, export.synapses.rois[export.config.restrict_connectivity_to_roiset or ""]
    points, partners = _RESTRICTED["points"], _RESTRICTED["partners"]
    engine.view(partners, partners_inside(PARTNERS, roi_set))
    # The points are needed several times; their ids are found once.
    found = export.ctx.scratch / "restricted-points.parquet"
    engine.copy_to_parquet(points_referenced(POINTS, partners), found)
    engine.view(points, f"SELECT * FROM {parquet(found)}")
    if not engine.scalar(f"SELECT count(*) FROM {partners}"):
        raise DataError(
            f"no connection lies inside roi-set '{roi_set.name}'",
            hint="unset outputs.flat-connectome.restrict-connectivity-to-roiset, or choose another roi-set",
        )
    return points, partners


def _write_points(export: _Export, condition: str) -> None:
    """`syn-points`: every point, in input order, with name and label of each roi-set; point_id is the index.

    The index is the last column, as pandas stores it, and a pandas reader gets it back as the index.
    """
    sets = export.synapses.rois.sets
    names = [name for name in export.synapses.point_columns if name not in ("point_id", COMBO)]
    statement = f"SELECT * FROM {POINTS}"
    if condition:
        # An empty OVER numbers the rows in their order, which the semi-join would lose.
        statement = (
            f"SELECT * FROM (SELECT *, row_number() OVER () AS input_row FROM {POINTS}) {condition} ORDER BY input_row"
        )
    with export.ctx.engine.stream(statement) as stream:
        roi_fields = [f for s in sets for f in (_name_field(s), pa.field(f"{s.name}_label", s.label_type))]
        own = {field.name: field.with_type(signed_category(field.type)) for field in stream.schema}
        fields = [*(own[name] for name in names), *roi_fields, own["point_id"]]

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in stream:
                combos = batch[COMBO].to_numpy()
                rois = [array for s in sets for array in (s.name_array(combos), s.label_array(combos))]
                arrays = [*(batch[name].cast(own[name].type) for name in names), *rois, batch["point_id"]]
                yield pa.record_batch(arrays, schema=pa.schema(fields))

        shown = tracked(batches(), "writing points", export.synapses.num_points)
        export.write(export.file("syn-points"), _with_index(pa.schema(fields), "point_id"), shown)


def _name_field(roi_set: AssignedSet, suffix: str = "") -> pa.Field:
    return pa.field(roi_set.name + suffix, roi_set.name_array(np.zeros(0, np.int32)).type)


def _with_index(schema: pa.Schema, index: str) -> pa.Schema:
    """The schema with the note by which pandas restores the column as the row index."""
    frame = schema.empty_table().to_pandas().set_index(index)
    return schema.with_metadata(pa.Schema.from_pandas(frame, preserve_index=True).metadata)


def _write_partners(export: _Export, partners: str) -> None:
    """`syn-partners` and its filtered forms, in input order, in one pass over the partner rows.

    Coordinates are decoded from the ids.  Where ids are mere numbers, coordinates do not tell points apart, so pre_id
    and post_id are the last two columns.  The ROI is that of the PSD.
    """
    ids = [f"{side}_id" for side in SIDES] if export.synapses.placed else []
    compartments = ["compartment_pre", "compartment_post"] if export.compartments else []
    with export.ctx.engine.stream(f"SELECT * FROM {partners}") as stream:
        fields = []
        for side in SIDES:
            fields += [pa.field(f"{axis}_{side}", pa.int32()) for axis in "xyz"]
            fields += [stream.schema.field(f"body_{side}"), stream.schema.field(f"conf_{side}")]
        fields += [_name_field(export.roi_set, "_post")] if export.roi_set else []
        category = {name: signed_category(stream.schema.field(name).type) for name in compartments}
        schema = pa.schema([*fields, *category.items(), *((name, pa.uint64()) for name in ids)])

        def convert(batch: pa.RecordBatch) -> pa.RecordBatch:
            arrays: list[pa.Array] = []
            for side in SIDES:
                arrays += _coordinates(batch, side, placed=bool(ids))
                arrays += [batch[f"body_{side}"], batch[f"conf_{side}"]]
            arrays += [export.roi_set.name_array(batch[COMBO].to_numpy())] if export.roi_set else []
            arrays += [batch[name].cast(kind) for name, kind in category.items()]
            return pa.record_batch([*arrays, *(batch[name] for name in ids)], schema=schema)

        rows = tracked(map(convert, stream), "writing partners", export.synapses.num_partners)
        _write_levels(export, "syn-partners", schema, rows)


def _coordinates(batch: pa.RecordBatch, side: str, *, placed: bool) -> list[pa.Array]:
    """The x, y and z of the points at one end of partner rows."""
    if placed:
        return [batch[f"{axis}_{side}"].cast(pa.int32()) for axis in "xyz"]
    return [pa.array(axis) for axis in point_ids.decode(batch[f"{side}_id"].to_numpy())]


def _write_weights(export: _Export, partners: str) -> None:
    """`connectome-weights` and its filtered forms: heaviest first, ties by body_pre, then body_post."""
    weights = connection_weights(partners, compartments=export.compartments)
    with export.ctx.engine.stream(f"{weights} ORDER BY weight DESC, body_pre, body_post") as stream:
        counts = ["weight", *(COMPARTMENT_WEIGHTS if export.compartments else ())]
        schema = pa.schema([pa.field(name, pa.int64()) for name in ("body_pre", "body_post", *counts)])
        rows = tracked((batch.cast(schema) for batch in stream), "writing weights")
        _write_levels(export, "connectome-weights", schema, rows, _type_columns(export.annotations))


def _type_columns(annotations: BodyAnnotations | None) -> tuple[list[pa.Field], Convert]:
    """Columns type_pre and type_post (null for untyped bodies) for pairs of bodies, if the annotations have types."""
    if annotations is None or "type" not in annotations.frame:
        return [], lambda batch: batch
    typed = annotations.frame["type"].dropna()
    types = pa.array([*typed.astype(str), None], pa.string())  # at -1, the end: a body without a type
    fields = [pa.field(f"type_{side}", pa.string()) for side in SIDES]

    def append(batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = [typed.index.get_indexer(batch[f"body_{side}"].to_numpy()) for side in SIDES]
        found = [types.take(pa.array(np.where(row < 0, len(typed), row))) for row in rows]
        return pa.record_batch([*batch.columns, *found], schema=pa.schema([*batch.schema, *fields]))

    return fields, append


def _write_levels(
    export: _Export,
    stem: str,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    more: tuple[list[pa.Field], Convert] = ([], lambda batch: batch),
) -> None:
    """Write the whole table and, in the same pass, the rows whose two bodies both qualify for a level.

    `more` adds columns to the filtered tables.
    """
    fields, append = more
    filtered_schema = pa.schema([*schema, *fields])
    files = {level: export.file(stem, level) for level in ("", *export.levels)}
    with ExitStack() as stack:
        writers = {}
        for level, relative in files.items():
            path = stack.enter_context(export.ctx.out.create(relative))
            writers[level] = stack.enter_context(FeatherWriter(path, filtered_schema if level else schema))
        for batch in in_background(batches):
            writers[""].write(batch)
            if export.levels:
                reached = export.reached(batch)
                for needed, level in enumerate(export.levels, start=1):
                    writers[level].write(append(batch.filter(pa.array(reached >= needed))))
    for level, relative in files.items():
        export.ctx.out.set_rows(relative, writers[level].rows)


STAGE = Stage(
    "flat-connectome",
    "outputs",
    FlatConnectomeSettings,
    export_flat_connectome,
    enabled=lambda config: config.export_connectome,
    check=check_flat_connectome,
)
