"""ConnectsTo between Segments, and the SynapseSets that stand for each connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.connectome.regions import Regions
from flyem_snapshot.connectome.roi_info import count_by_roi, roi_info
from flyem_snapshot.connectome.weights import COMPARTMENT_WEIGHTS
from flyem_snapshot.engine.csvfiles import CsvFiles, csv_files, quoted
from flyem_snapshot.engine.groups import group_numbers, group_starts, in_parallel, whole_groups
from flyem_snapshot.engine.streams import FeatherWriter, in_background, tracked
from flyem_snapshot.log import timed
from flyem_snapshot.outputs.neuprint.counts import SYNAPSES
from flyem_snapshot.outputs.neuprint.scope import FOLDER, Scope
from flyem_snapshot.tables.rois import COMBO

CONNECTIONS = f"{FOLDER}/Neuprint_Neuron_Connections"
_PAIR_FILES = {
    "connections": f"{CONNECTIONS}.csv",
    "sets": f"{FOLDER}/Neuprint_SynapseSet.csv",
    "body_to_set": f"{FOLDER}/Neuprint_Neuron_to_SynapseSet.csv",
    "set_to_set": f"{FOLDER}/Neuprint_SynapseSet_to_SynapseSet.csv",
}
_SIDES = ("pre", "post")


@dataclass(frozen=True)
class _Pairs:
    """The connections of one batch: lines for each CSV file, and the rows of the Feather file."""

    lines: dict[str, list[pa.Array]]
    rows: pa.RecordBatch


def write_connections(scope: Scope, regions: Regions, pairs: str) -> None:
    """Write ConnectsTo (CSV and Feather) and the SynapseSets with their ends, from the table of `count_pairs`.

    One row for each pair of bodies with any connection, by body_pre, then body_post; autapses included.
    """
    weights = [("weightHR", "all_rows"), ("weight", "weight"), ("weightHP", "hp")]
    weights += [(name, name) for name in (COMPARTMENT_WEIGHTS if scope.compartments else ())]
    ends = [":START_ID(Body-ID)", ":END_ID(Body-ID)"]
    names = [*ends, *(f"{name}:int" for name, _ in weights), "roiInfo:string"]
    headers = {
        "connections": names,
        "sets": [":ID(SynSet-ID)", "type:string", ":Label"],
        "body_to_set": [":START_ID(Body-ID)", ":END_ID(SynSet-ID)"],
        "set_to_set": [":START_ID(SynSet-ID)", ":END_ID(SynSet-ID)"],
    }
    types = [pa.int64(), pa.int64(), *([pa.int32()] * len(weights)), pa.string()]
    schema = pa.schema(list(zip(names, types, strict=True)))

    def made(batch: pa.RecordBatch) -> _Pairs:
        return _made(batch, scope, regions, weights, schema)

    with ExitStack() as stack:
        out, engine = scope.ctx.out, scope.ctx.engine
        files = [(_PAIR_FILES[key], header) for key, header in headers.items()]
        writer = stack.enter_context(csv_files(out, files, scope.config.compress))
        feather = stack.enter_context(out.create(f"{CONNECTIONS}.feather"))
        table = stack.enter_context(FeatherWriter(feather, schema))
        stream = stack.enter_context(engine.stream(f"SELECT * FROM {pairs}"))
        batches = whole_groups(in_background(stream), ("body_pre", "body_post"))
        shown = tracked(batches, "writing connections")
        for result in in_parallel(made, shown, engine.limits.threads):
            for number, key in enumerate(headers):
                for lines in result.lines[key]:
                    writer.write(lines, number)
            table.write(result.rows)
    scope.ctx.out.set_rows(f"{CONNECTIONS}.feather", table.rows)


def _made(
    batch: pa.RecordBatch, scope: Scope, regions: Regions, weights: list[tuple[str, str]], schema: pa.Schema
) -> _Pairs:
    """Everything that is written about the pairs of one batch."""
    starts = group_starts(batch, ("body_pre", "body_post"))
    sums = {column: np.add.reduceat(batch[column].to_numpy(), starts) for _, column in weights}
    group = group_numbers(starts, batch.num_rows)
    combos = batch[COMBO].to_numpy().astype(np.int64) + regions.offsets[SYNAPSES]
    counted = count_by_roi(group, combos, {name: batch[name].to_numpy() for name in _in_rois(scope)}, regions)
    info = roi_info(counted.select(counted.roi != regions.outside), regions, len(starts))
    bodies = [pa.array(batch[f"body_{side}"].to_numpy()[starts]) for side in _SIDES]
    totals = [pa.array(sums[column].astype(np.int32)) for _, column in weights]
    return _Pairs(_lines(scope, bodies, totals, info), pa.record_batch([*bodies, *totals, info], schema=schema))


def _in_rois(scope: Scope) -> list[str]:
    return ["post", *(COMPARTMENT_WEIGHTS if scope.compartments else ())]


def _lines(scope: Scope, bodies: list[pa.Array], totals: list[pa.Array], info: pa.Array) -> dict[str, list[pa.Array]]:
    join = pc.binary_join_element_wise
    pre, post = (body.cast(pa.string()) for body in bodies)
    pair = join(pre, post, "_")
    label = scope.labels("SynapseSet", "ElementSet")
    cells = [pre, post, *(total.cast(pa.string()) for total in totals), quoted(info)]
    return {
        "connections": [_ended(join(*cells, ","))],
        "sets": [join(pair, f"_{side},{side},{label}\n", "") for side in _SIDES],
        "body_to_set": [join(body, ",", pair, f"_{side}\n", "") for body, side in ((pre, "pre"), (post, "post"))],
        "set_to_set": [join(pair, "_pre,", pair, "_post\n", "")],
    }


def _ended(lines: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(lines, "\n", "")


def write_set_members(scope: Scope) -> None:
    """Write which synapses each SynapseSet contains.

    A T-bar is in one pre set for each body that it reaches, a PSD in exactly one post set.
    """
    relative = f"{FOLDER}/Neuprint_SynapseSet_to_Synapses.csv"
    header = [":START_ID(SynSet-ID)", ":END_ID(Element-ID)"]
    with csv_files(scope.ctx.out, [(relative, header)], scope.config.compress) as writer:
        with timed("pre sets"):
            _write_members(
                scope,
                writer,
                f"SELECT pre_id AS id, body_post, body_pre FROM {scope.partners} ORDER BY pre_id, body_post",
                "_pre,",
                distinct=True,
            )
        with timed("post sets"):
            statement = f"SELECT post_id AS id, body_post, body_pre FROM {scope.partners}"
            _write_members(scope, writer, statement, "_post,", distinct=False)


def _write_members(scope: Scope, writer: CsvFiles, statement: str, middle: str, *, distinct: bool) -> None:
    engine = scope.ctx.engine

    def lines(batch: pa.RecordBatch) -> pa.Array:
        if distinct:
            batch = batch.take(pa.array(group_starts(batch, ("id", "body_post"))))
        pre, post, synapse = (batch[name].cast(pa.string()) for name in ("body_pre", "body_post", "id"))
        return pc.binary_join_element_wise(pre, "_", post, middle, synapse, "\n", "")

    with engine.stream(statement) as stream:
        batches: Iterator[Any] = in_background(stream)
        if distinct:
            batches = whole_groups(batches, ("id", "body_post"))
        for text in in_parallel(lines, tracked(batches, f"writing sets ({middle[1:-1]})"), engine.limits.threads):
            writer.write(text)
