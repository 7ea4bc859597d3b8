"""Segments and Neurons: counted in one pass over the bodies, written in a second one that knows every column.

The first pass turns counts into totals, roiInfo and the set of ROIs of each body.  Bodies with the same set of ROIs
need the same flag columns, so sets are packed into files (`packing.py`) before the second pass writes the lines.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flyem_snapshot.connectome.regions import Ints, Regions
from flyem_snapshot.connectome.roi_info import RoiCounts, count_by_roi, roi_info
from flyem_snapshot.engine.groups import group_numbers, group_starts, in_parallel, whole_groups
from flyem_snapshot.engine.session import parquet
from flyem_snapshot.engine.streams import FeatherWriter, Vocabulary, dictionary_array, in_background, tracked
from flyem_snapshot.outputs.neuprint.counts import Count, segment_counts
from flyem_snapshot.outputs.neuprint.scope import FOLDER, Scope
from flyem_snapshot.tables.rois import COMBO

BODY_BATCH = 10_000
_ROI_SET = "roi_set"


@dataclass
class CountedSegments:
    """What the first pass over the bodies found.

    `table` is a table expression: body BIGINT, the counts of Segments INTEGER, roiInfo VARCHAR, roi_set INTEGER; by
    body.  `roi_sets[s]` are the ROIs of set `s` as indices into the names of the regions, `members[s]` is its number
    of bodies.  `bodies` are all bodies, ascending.  `roi_totals` are the (pre, post) of each ROI over all Segments.
    """

    table: str
    counts: tuple[Count, ...]
    roi_sets: list[np.ndarray[Any, np.dtype[np.int32]]]
    members: Ints
    bodies: Ints
    roi_totals: dict[str, tuple[int, int]]
    total_pre: int
    total_post: int


@dataclass(frozen=True)
class _Batch:
    bodies: Ints
    totals: dict[str, np.ndarray[Any, np.dtype[np.int32]]]
    by_roi: RoiCounts
    info: pa.StringArray
    roi_sets: pa.Array


@dataclass
class _Collected:
    """What grows over the batches; all of it has one entry for each body, ROI or distinct set of ROIs."""

    sets: Vocabulary = field(default_factory=lambda: Vocabulary([b""]))
    bodies: list[Ints] = field(default_factory=list)
    codes: list[np.ndarray[Any, np.dtype[np.int32]]] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=lambda: {"pre": 0, "post": 0})


def count_segments(scope: Scope, regions: Regions, body_counts: str) -> CountedSegments:
    """The first pass: totals, roiInfo and ROIs of each body; writes body_elements.feather and roi_elements.feather."""
    counts = segment_counts(scope)
    kept = scope.ctx.scratch / "segments.parquet"
    collected, by_roi = _Collected(), np.zeros((2, len(regions.names)), np.int64)

    def made(batch: pa.RecordBatch) -> _Batch:
        return _counted(batch, counts, regions, scope.config.keep_zero)

    with ExitStack() as stack:
        writers = _Writers(scope, counts, regions, stack, kept)
        stream = stack.enter_context(scope.ctx.engine.stream(f"SELECT * FROM {body_counts}"))
        batches = whole_groups(in_background(stream), ("body",))
        for result in in_parallel(made, tracked(batches, "counting bodies"), scope.ctx.engine.limits.threads):
            codes = collected.sets.encode(result.roi_sets) - 1
            writers.write(result, codes)
            collected.bodies.append(result.bodies)
            collected.codes.append(codes)
            for row, name in enumerate(("pre", "post")):
                collected.totals[name] += int(result.totals[name].sum(dtype=np.int64))
                np.add.at(by_roi[row], result.by_roi.roi, result.by_roi.counts[name])
    writers.record()
    roi_sets = [np.frombuffer(value, np.int32) for value in collected.sets.values[1:]]
    codes = np.concatenate([np.empty(0, np.int32), *collected.codes])
    occurring = sorted({int(roi) for members in roi_sets for roi in members})
    return CountedSegments(
        table=parquet(kept),
        counts=counts,
        roi_sets=roi_sets,
        members=np.bincount(codes, minlength=len(roi_sets)),
        bodies=np.concatenate([np.empty(0, np.int64), *collected.bodies]),
        roi_totals={regions.names[roi]: (int(by_roi[0, roi]), int(by_roi[1, roi])) for roi in occurring},
        total_pre=collected.totals["pre"],
        total_post=collected.totals["post"],
    )


def _counted(batch: pa.RecordBatch, counts: tuple[Count, ...], regions: Regions, keep_zero: tuple[str, ...]) -> _Batch:
    starts = group_starts(batch, ("body",))
    columns = {name: batch[name].to_numpy() for name in batch.schema.names if name not in ("body", COMBO)}
    columns["upstream"] = columns["post"]
    columns["synweight"] = columns["post"] + columns["downstream"]
    totals = {c.column: np.add.reduceat(columns[c.column], starts).astype(np.int32) for c in counts}
    in_rois = {c.column: columns[c.column] for c in counts if c.roi}
    group = group_numbers(starts, batch.num_rows)
    counted = count_by_roi(group, batch[COMBO].to_numpy().astype(np.int64), in_rois, regions)
    inside = counted.select(counted.roi != regions.outside)
    renamed = RoiCounts(inside.group, inside.roi, {c.roi: inside.counts[c.column] for c in counts if c.roi})
    return _Batch(
        bodies=batch["body"].to_numpy()[starts],
        totals=totals,
        by_roi=counted,
        info=roi_info(renamed, regions, len(starts), keep_zero),
        roi_sets=_sets(inside, len(starts)),
    )


def _sets(inside: RoiCounts, groups: int) -> pa.Array:
    """The ROIs of each body as bytes (int32 indices, ascending): equal sets give equal bytes."""
    offsets = np.searchsorted(inside.group, np.arange(groups + 1)).astype(np.int32) * 4
    content = inside.roi.astype(np.int32)
    return pa.BinaryArray.from_buffers(pa.binary(), groups, [None, pa.py_buffer(offsets), pa.py_buffer(content)])


class _Writers:
    """The three tables of the first pass."""

    def __init__(self, scope: Scope, counts: tuple[Count, ...], regions: Regions, stack: ExitStack, kept: Any) -> None:
        self.out, self.counts, self.regions = scope.ctx.out, counts, regions
        self.segment_names = {c.column: c.segment for c in counts if c.segment}
        self.roi_names = {c.column: c.roi for c in counts if c.roi}
        body, numbers = pa.field("body", pa.int64()), pa.int32()
        self.kept_schema = pa.schema(
            [body, *((c, numbers) for c in self.segment_names), ("roiInfo", pa.string()), (_ROI_SET, numbers)]
        )
        self.kept = stack.enter_context(
            pq.ParquetWriter(kept, self.kept_schema, compression="lz4", use_dictionary=False)
        )
        self.body_schema = pa.schema([body, *((name, numbers) for name in self.segment_names.values())])
        self.bodies = self._feather(stack, "body_elements.feather", self.body_schema)
        roi = pa.field("roi", dictionary_array(np.empty(0, np.int32), list(regions.names)).type)
        self.roi_schema = pa.schema(
            [("body_batch", numbers), body, roi, *((name, numbers) for name in self.roi_names.values())]
        )
        self.rois = self._feather(stack, "roi_elements.feather", self.roi_schema)
        self.bodies_with_rois = 0

    def _feather(self, stack: ExitStack, name: str, schema: pa.Schema) -> FeatherWriter:
        path = stack.enter_context(self.out.create(f"{FOLDER}/{name}"))
        return stack.enter_context(FeatherWriter(path, schema))

    def write(self, batch: _Batch, roi_sets: np.ndarray[Any, np.dtype[np.int32]]) -> None:
        """Append the bodies of a batch."""
        bodies = pa.array(batch.bodies)
        totals = [pa.array(batch.totals[column]) for column in self.segment_names]
        self.kept.write_batch(
            pa.record_batch([bodies, *totals, batch.info, pa.array(roi_sets)], schema=self.kept_schema)
        )
        self.bodies.write(pa.record_batch([bodies, *totals], schema=self.body_schema))
        group = batch.by_roi.group
        new = np.ones(len(group), bool)
        new[1:] = group[1:] != group[:-1]
        number = self.bodies_with_rois + np.cumsum(new) - 1
        self.bodies_with_rois += int(np.count_nonzero(new))
        rows = [
            pa.array((number // BODY_BATCH).astype(np.int32)),
            pa.array(batch.bodies[group]),
            dictionary_array(batch.by_roi.roi, list(self.regions.names)),
            *(pa.array(batch.by_roi.counts[column].astype(np.int32)) for column in self.roi_names),
        ]
        self.rois.write(pa.record_batch(rows, schema=self.roi_schema))

    def record(self) -> None:
        """Note the numbers of rows."""
        self.out.set_rows(f"{FOLDER}/body_elements.feather", self.bodies.rows)
        self.out.set_rows(f"{FOLDER}/roi_elements.feather", self.rois.rows)
