"""Body statistics of the flat connectome: counts and annotations of every body with a synapse, by rank."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from flyem_snapshot.connectome.status import STATUS_ORDER
from flyem_snapshot.connectome.weights import COMPARTMENT_INPUTS, COMPARTMENT_OUTPUTS, body_counts, top_rois
from flyem_snapshot.engine.session import parquet
from flyem_snapshot.engine.sql import columns, identifier
from flyem_snapshot.engine.streams import write_feather
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.bodies import BodyAnnotations
from flyem_snapshot.tables.rois import COMBO
from flyem_snapshot.tables.synapses import Synapses

ANNOTATIONS = ("superclass", "class", "type", "instance")
TOP_ROI_SET = "roi"
"""Only a roi-set of this name gives the four columns about top ROIs."""

_TOP_COLUMNS = ("top_output_roi", "top_output_roi_weight", "top_input_roi", "top_input_roi_weight")


def write_body_stats(
    relative: str,
    ctx: Context,
    synapses: Synapses,
    annotations: BodyAnnotations | None,
    points: str,
    partners: str,
    compartments: bool,
) -> None:
    """Write one row for each body with a synapse except body 0, by rank: synweight descending, ties by body.

    body int64; pre, post int32; [status_fine, superclass, class, type, instance as far as annotated]; downstream,
    synweight int64; [top_output_roi, top_output_roi_weight, top_input_roi, top_input_roi_weight]; rank int64;
    [axonIn, dendriteIn, axonOut, dendriteOut int64].
    """
    engine = ctx.engine
    # Joined and ranked from a file: the counts are as many rows as there are bodies, which may be tens of millions.
    counts = ctx.scratch / "body-counts.parquet"
    compartment = synapses.compartment if compartments else None
    engine.copy_to_parquet(body_counts(points, partners, compartment=compartment), counts)
    known = _annotations(annotations)
    sources: dict[str, pa.Table] = {"stats_annotations": known}
    tops: tuple[str, ...] = ()
    joins = "LEFT JOIN stats_annotations AS a ON c.body = a.body"
    if TOP_ROI_SET in synapses.rois:
        tops = _TOP_COLUMNS
        sources["stats_rois"] = _roi_names(synapses)
        joins += f" LEFT JOIN ({top_rois(partners, 'stats_rois')}) AS t ON c.body = t.body"
    split = [*COMPARTMENT_INPUTS, *COMPARTMENT_OUTPUTS] if compartments else []
    names = [name for name in known.column_names if name != "body"]
    statement = f"""
        SELECT
            c.body AS body, pre, post, {"".join(f"a.{identifier(n)} AS {identifier(n)}, " for n in names)}
            downstream, synweight, {"".join(f"{name}, " for name in tops)}
            row_number() OVER (ORDER BY synweight DESC, c.body) AS rank
            {", " + columns(split) if split else ""}
        FROM {parquet(counts)} AS c {joins}
        ORDER BY rank
    """
    with engine.registered(**sources), engine.stream(statement) as stream, ctx.out.create(relative) as path:
        schema, statuses = stream.schema, [name for name in names if name == "status_fine"]
        for name in statuses:
            schema = schema.set(schema.get_field_index(name), pa.field(name, _STATUS_TYPE))
        rows = write_feather(path, schema, (_with_status(batch, schema) if statuses else batch for batch in stream))
    ctx.out.set_rows(relative, rows)


_STATUS_TYPE = pa.dictionary(pa.int8(), pa.string(), ordered=True)
_NO_STATUS = STATUS_ORDER.index("")


def _annotations(annotations: BodyAnnotations | None) -> pa.Table:
    """The annotation columns that the statistics repeat; the status as its code in the vocabulary."""
    if annotations is None:
        return pa.table({"body": pa.array([], pa.int64())})
    frame = annotations.frame
    columns = {"body": pa.array(frame.index.to_numpy())}
    columns["status_fine"] = pa.array(frame["status"].cat.codes.to_numpy())
    for name in ANNOTATIONS:
        if name in frame:
            columns[name] = _plain(frame[name])
    return pa.table(columns)


def _plain(values: pd.Series) -> pa.Array:
    array = pa.array(values, from_pandas=True)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _with_status(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Status codes become the ordered category; a body without a status has the empty one."""
    codes = batch["status_fine"].fill_null(-1).to_numpy()
    labels = pa.DictionaryArray.from_arrays(
        pa.array(np.where(codes < 0, _NO_STATUS, codes).astype(np.int8)),
        pa.array(STATUS_ORDER, pa.string()),
        ordered=True,
    )
    arrays = [labels if field.name == "status_fine" else batch[field.name] for field in schema]
    return pa.record_batch(arrays, schema=schema)


def _roi_names(synapses: Synapses) -> pa.Table:
    """The ROI name of each combination, for the roi-set that the top ROIs are taken from."""
    combos = np.flatnonzero(synapses.rois[TOP_ROI_SET].names >= 0).astype(np.int32)
    names = synapses.rois[TOP_ROI_SET].name_array(combos).dictionary_decode()
    return pa.table({COMBO: pa.array(combos), "roi": names})
