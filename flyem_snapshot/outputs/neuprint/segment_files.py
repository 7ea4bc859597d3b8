"""The second pass over the bodies: the files of Segments and Neurons, with annotations, labels and flags."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from flyem_snapshot.connectome.properties import neuprint_properties
from flyem_snapshot.connectome.regions import Regions
from flyem_snapshot.engine.csvfiles import csv_files, quoted
from flyem_snapshot.engine.groups import in_parallel
from flyem_snapshot.engine.sql import identifier
from flyem_snapshot.engine.streams import FeatherWriter, in_background, tracked
from flyem_snapshot.errors import DataError
from flyem_snapshot.outputs.neuprint.counts import segment_counts
from flyem_snapshot.outputs.neuprint.neurotransmitters import declared_kinds
from flyem_snapshot.outputs.neuprint.packing import Packing, flag_cells, pack
from flyem_snapshot.outputs.neuprint.properties import check_names
from flyem_snapshot.outputs.neuprint.scope import FOLDER, Scope
from flyem_snapshot.outputs.neuprint.segment_properties import (
    SegmentProperty,
    declared_properties,
    segment_properties,
)
from flyem_snapshot.outputs.neuprint.segments import CountedSegments
from flyem_snapshot.tables.bodies import BodyAnnotations, BodySizes

NEURONS = f"{FOLDER}/Neuprint_Neurons"
_BODIES_A_FILE = 5_000
_BATCH_ROWS = 1 << 14
"""A line of a large neuron has its counts in every ROI: tens of kilobytes, where other lines have a hundred bytes."""
_join = pc.binary_join_element_wise

Flags = np.ndarray[Any, np.dtype[np.bool_]]
Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Segments:
    """What the second pass needs to know of all Segments.

    `described` are the bodies that have properties; row `len(described)` of every property stands for the others.
    """

    counted: CountedSegments
    described: pd.Index[int]
    properties: tuple[SegmentProperty, ...]
    criteria: Flags
    excluded: Flags
    sizes: BodySizes | None

    @property
    def types(self) -> dict[str, str]:
        """Every property of a Segment with its type, in column order."""
        counts = {c.segment: "int" for c in self.counted.counts if c.segment}
        found = {**counts, **{p.name: p.type for p in self.properties}, "roiInfo": "string"}
        return found | ({"size": "long"} if self.sizes is not None else {})


def known_segments(
    scope: Scope,
    counted: CountedSegments,
    annotations: BodyAnnotations | None,
    sizes: BodySizes | None,
    predictions: pd.DataFrame,
) -> Segments:
    """The properties of the bodies that are Segments; `predictions` is the table of `body_predictions`."""
    frame = _annotated(scope, annotations, predictions)
    frame = frame[np.isin(frame["bodyId"].to_numpy(), counted.bodies)].reset_index(drop=True)
    predicted = predictions[np.isin(predictions.index.to_numpy(), counted.bodies)]
    annotated, engine = pd.Index(frame["bodyId"].to_numpy(np.int64)), scope.ctx.engine
    bodies = annotated.append(predicted.index[~predicted.index.isin(annotated)])
    parts = (
        (annotated, segment_properties(engine, frame)),
        (predicted.index, declared_properties(engine, predicted, declared_kinds(predicted))),
    )
    properties = tuple(p.of(_places(own, bodies)) for own, found in parts for p in found)
    criteria, excluded = _neuron_rules(scope, properties, len(bodies) + 1)
    return Segments(counted, bodies, properties, criteria, excluded, sizes)


def _places(own: pd.Index[int], bodies: pd.Index[int]) -> pa.Array:
    """Where each of the bodies stands among `own`, null where it does not; the last entry stands for all others."""
    places = np.append(own.get_indexer(bodies), -1)
    return pa.array(places, mask=places < 0)


def refuse_shared_names(
    scope: Scope,
    rois: Sequence[str],
    annotations: BodyAnnotations | None,
    sizes: BodySizes | None,
    predictions: pd.DataFrame,
) -> None:
    """Raise DataError if two properties of Segments would have one name, or one a name that none can have."""
    annotated = [str(name) for name in _annotated(scope, annotations, predictions)]
    predicted = [str(name) for name in predictions]
    check_names(annotated, {}, "the body annotations")
    check_names(predicted, {}, "the predictions of neurotransmitters")
    counts = [count.segment for count in segment_counts(scope) if count.segment]
    names = [*counts, *annotated, *predicted, "roiInfo", *(["size"] if sizes is not None else []), *rois]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"two properties of Segments would be called '{twice[0]}' (a count, an annotation, a predicted "
            "neurotransmitter, the size or a ROI)",
            hint="rename one: outputs.neuprint.annotation-property-names or element-totals, or rename-rois of the "
            "roi-set",
        )


def _annotated(scope: Scope, annotations: BodyAnnotations | None, predictions: pd.DataFrame) -> pd.DataFrame:
    """The annotations, named like properties, without those of the names of predictions: these are the newer ones."""
    if annotations is None:
        return pd.DataFrame({"bodyId": np.empty(0, np.int64)})
    found = neuprint_properties(annotations.frame, scope.config.annotation_property_names)
    return found.drop(columns=[name for name in predictions if name in found])


def _neuron_rules(scope: Scope, properties: Sequence[SegmentProperty], rows: int) -> tuple[Flags, Flags]:
    """Whether what is known of a body alone makes it a Neuron, and whether its status forbids it."""
    rules, content = scope.config.neuron_label_criteria, {p.name: p.content for p in properties}
    status = content.get("status", pa.nulls(rows, pa.string()))
    wanted, excluded = (
        pc.is_in(status, pa.array(names, pa.string())).to_numpy(zero_copy_only=False)
        for names in (rules.status, rules.excluded_status)
    )
    for name in rules.properties:
        if name in content:
            wanted = wanted | content[name].is_valid().to_numpy(zero_copy_only=False)
    return wanted, excluded


def write_segments(scope: Scope, segments: Segments, regions: Regions) -> None:
    """Write `Neuprint_Neurons/<n>.csv` and `Neuprint_Neurons.feather`."""
    counted = segments.counted
    wanted_files = min(scope.config.max_segment_files, max(1, -(-len(counted.bodies) // _BODIES_A_FILE)))
    packing = pack(counted.roi_sets, counted.members, wanted_files)
    writer = _LineMaker(scope, segments, regions, packing)
    with ExitStack() as stack:
        files = stack.enter_context(csv_files(scope.ctx.out, writer.files(), scope.config.compress))
        feather = stack.enter_context(scope.ctx.out.create(f"{NEURONS}.feather"))
        table = stack.enter_context(FeatherWriter(feather, writer.schema))
        stream = stack.enter_context(scope.ctx.engine.stream(f"SELECT * FROM {counted.table}", _BATCH_ROWS))
        shown = tracked(in_background(stream), "writing segments", len(counted.bodies))
        for lines, in_file, rows in in_parallel(writer.made, shown, scope.ctx.engine.limits.threads):
            files.write_split(lines, in_file)
            table.write(rows)
    scope.ctx.out.set_rows(f"{NEURONS}.feather", table.rows)


class _LineMaker:
    """Makes the lines of Segments from batches of the counted table."""

    def __init__(self, scope: Scope, segments: Segments, regions: Regions, packing: Packing) -> None:
        self.segments, self.packing, self.names = segments, packing, regions.names
        self.counts = [c for c in segments.counted.counts if c.segment]
        self.rules = scope.config.neuron_label_criteria
        properties = list(segments.properties)
        place = next(i for i, p in enumerate(properties) if p.name == "bodyId")
        self.before, self.after = properties[:place], properties[place + 1 :]
        self.cells_before, self.cells_after = (self._together(part) for part in (self.before, self.after))
        self.labels = pa.array([scope.labels("Segment"), scope.labels("Segment", "Neuron")])
        self.hashes = pa.array([self._hash(members) for members in segments.counted.roi_sets], pa.uint64())
        self.schema = self._schema()

    def _together(self, properties: list[SegmentProperty]) -> pa.Array:
        """The cells of several properties as one text, each after a comma."""
        rows = len(self.segments.described) + 1
        # An empty text in front makes each cell follow a comma.
        return _join(pa.array([""] * rows), *(p.cells for p in properties), ",")

    def _hash(self, members: np.ndarray[Any, np.dtype[np.int32]]) -> int:
        keys = json.dumps([self.names[roi] for roi in members])
        return xxhash.xxh3_64_intdigest(keys.encode())

    def files(self) -> list[tuple[str, list[str]]]:
        """The path and the header of each file."""
        width = len(str(max(0, len(self.packing.columns) - 1)))
        types = self.segments.types
        fixed = [":ID(Body-ID)", *(f"{name}:{kind}" for name, kind in types.items()), ":LABEL"]
        return [
            (f"{NEURONS}/{number:0{width}}.csv", [*fixed, *(f"{self.names[roi]}:boolean" for roi in columns)])
            for number, columns in enumerate(self.packing.columns)
        ]

    def _schema(self) -> pa.Schema:
        fields = [
            pa.field(":ID(Body-ID)", pa.int64()),
            *(pa.field(f"{c.segment}:int", pa.int32()) for c in self.counts),
        ]
        fields += [pa.field(f"{p.name}:{p.type}", p.content.type) for p in self.segments.properties]
        fields += [pa.field("roiset_hash", pa.uint64()), pa.field("roiInfo:string", pa.string())]
        fields += [pa.field("size:long", pa.int64())] if self.segments.sizes is not None else []
        return pa.schema([*fields, pa.field(":LABEL", pa.string())])

    def made(self, batch: pa.RecordBatch) -> tuple[pa.Array, np.ndarray[Any, Any], pa.RecordBatch]:
        """The lines of a batch of bodies, the file of each, and their rows for the Feather file."""
        known, bodies = self.segments, batch["body"]
        row = known.described.get_indexer(bodies.to_numpy())
        row[row < 0] = len(known.described)
        at = pa.array(row)
        roi_set = batch["roi_set"]
        labels = self.labels.take(pa.array(self._is_neuron(batch, row).astype(np.int8)))
        sizes = self._sizes(bodies)
        counts = [batch[c.column] for c in self.counts]
        text = [value.cast(pa.string()) for value in (bodies, *counts)]
        size_cells = [] if sizes is None else [sizes.cast(pa.string()).fill_null("")]
        head = _join(*text, ",")
        tail = _join(quoted(batch["roiInfo"]), *size_cells, labels, ",")
        lines = _join(
            head, self.cells_before.take(at), ",", text[0], self.cells_after.take(at), ",", tail,
            self._flags(roi_set.to_numpy()), "",
        )  # fmt: skip
        values = {p.name: bodies if p.name == "bodyId" else p.content.take(at) for p in known.properties}
        columns = [bodies, *counts, *values.values(), self.hashes.take(roi_set), batch["roiInfo"]]
        rows = pa.record_batch([*columns, *([] if sizes is None else [sizes]), labels], schema=self.schema)
        return lines, self.packing.file_of[roi_set.to_numpy()], rows

    def _flags(self, roi_sets: Rows) -> pa.Array:
        """The flag cells and the line's end; made for the sets of one batch, since all together may be gigabytes."""
        occurring, place = np.unique(roi_sets, return_inverse=True)
        cells = flag_cells(self.segments.counted.roi_sets, self.packing, occurring.tolist())
        return pa.array([f"{flags}\n" for flags in cells], pa.string()).take(pa.array(place))

    def _is_neuron(self, batch: pa.RecordBatch, row: Rows) -> Flags:
        rules, known = self.rules, self.segments
        big = np.zeros(batch.num_rows, bool)
        for name, least in (("synweight", rules.synweight), ("pre", rules.pre), ("post", rules.post)):
            big |= batch[name].to_numpy() >= least
        wanted: Flags = (big | known.criteria[row]) & ~known.excluded[row]
        return wanted

    def _sizes(self, bodies: pa.Array) -> pa.Array | None:
        if self.segments.sizes is None:
            return None
        sizes = self.segments.sizes.sizes
        place = sizes.index.get_indexer(bodies.to_numpy())
        return pa.array(sizes.to_numpy()).take(pa.array(place, mask=place < 0))


def choices(segments: Segments, scope: Scope) -> dict[str, list[Any]]:
    """The distinct values of each property for which the meta settings want them, sorted."""
    assert scope.config.meta is not None
    wanted = {column.id for column in scope.config.meta.neuron_columns_ordered if column.choices == "auto"}
    found: dict[str, list[Any]] = {}
    for named in segments.properties:
        if named.name in wanted:
            found[named.name] = sorted(v for v in named.content.drop_null().unique().to_pylist() if not _is_infinite(v))
    counts = {c.segment: c.column for c in segments.counted.counts if c.segment in wanted}
    for name, column in counts.items():
        values = scope.ctx.engine.rows(f"SELECT DISTINCT {identifier(column)} FROM {segments.counted.table} ORDER BY 1")
        found[str(name)] = [value for (value,) in values]
    return found


def _is_infinite(value: Any) -> bool:
    """JSON has no word for infinity."""
    return isinstance(value, float) and not np.isfinite(value)
