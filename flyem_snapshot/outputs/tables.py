"""The tables of bodies: annotations as they were used, status counts, and what a server said of the segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from flyem_snapshot.engine.session import parquet
from flyem_snapshot.engine.streams import Rechunker, write_parquet
from flyem_snapshot.engine.streams import write_feather as stream_feather
from flyem_snapshot.errors import Problem
from flyem_snapshot.outputs.tables_settings import TablesSettings
from flyem_snapshot.plots.status_counts import draw_status_counts
from flyem_snapshot.sources.dvid.mapping import SupervoxelMap
from flyem_snapshot.sources.segmentation import reconnected
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.bodies import BodyAnnotations, BodySizes, write_feather

if TYPE_CHECKING:
    from flyem_snapshot.tables.segmentation import Segmentation

_ENTRIES: Final = pa.schema([("sv", pa.uint64()), ("body", pa.uint64())])
_ASKED: Final = 400_000
"""Bodies that are asked about together."""


def export_tables(
    config: TablesSettings,
    ctx: Context,
    *,
    annotations: BodyAnnotations | None,
    body_sizes: BodySizes | None,
    dvid_seg: Segmentation | None,
) -> None:
    """Write what there is of these:

    `tables/body-annotations-<tag>.feather`: `body` (int64), then the annotation columns, in the order of the source.

    `tables/body-status-counts-<tag>.csv`: bodies by status, best first; bodies whose status is empty or unknown are
    not counted.  It is drawn as `reports/{html,png}/body-status-counts-<tag>`.

        status,count
        Roughly traced,145
        Orphan,188

    `tables/body-size-cache-<tag>.feather`: `body`, `size` (int64, voxels), by body, if a server was asked for them.

    `last-mutation.json`: the last edit of the segmentation, and the version and moment that the snapshot is of.

    `tables/complete-nonsingleton-mapping-<tag>.feather`: see `_export_mapping`.
    """
    if config.export_tables and annotations is not None:
        _export_annotations(ctx, annotations)
    if config.export_tables and body_sizes is not None and body_sizes.asked:
        with ctx.out.create(f"tables/body-size-cache-{ctx.tag}.feather", rows=len(body_sizes.sizes)) as path:
            write_feather(body_sizes.sizes.sort_index().to_frame(), path)
    if config.export_tables and dvid_seg is not None:
        ctx.out.write_json("last-mutation.json", _last_mutation(dvid_seg))
    if config.export_mapping and dvid_seg is not None:
        _export_mapping(ctx, dvid_seg)


def _export_annotations(ctx: Context, annotations: BodyAnnotations) -> None:
    with ctx.out.create(f"tables/body-annotations-{ctx.tag}.feather", rows=len(annotations.frame)) as path:
        write_feather(annotations.frame, path)
    best_first = annotations.status.value_counts().sort_index(ascending=False)
    counts = {str(status): int(count) for status, count in best_first.items() if status != "" and count}
    lines = [f"{status},{count}" for status, count in counts.items()]
    ctx.out.write_text(f"tables/body-status-counts-{ctx.tag}.csv", "\n".join(["status,count", *lines]) + "\n")
    draw_status_counts(ctx.out, counts, ctx.tag)


def _last_mutation(segmentation: Segmentation) -> dict[str, Any]:
    """The edit, which may be of an ancestor, and apart from it what the snapshot is of."""
    return {
        **segmentation.last,
        "snapshot": {
            "server": segmentation.server,
            "instance": segmentation.instance,
            "uuid": segmentation.uuid,
            "locked": segmentation.locked,
            "records": segmentation.records,
            "mutid": segmentation.mutid,
            "consistent": segmentation.consistent,
        },
    }


def _export_mapping(ctx: Context, segmentation: Segmentation) -> None:
    """Write the supervoxels of all bodies that have more than one: `sv`, `body` (uint64), by supervoxel.

    Supervoxels that are their own body are there if others share it; those that were split are not.  The file of a
    version that can still change has the last mutation in its name: `...-<tag>-mutid-<n>.feather`.
    """
    frozen = reconnected(segmentation, ctx.out.root)
    mapping = frozen.mapping
    if mapping is None:  # the version is locked, so that the mapping is still the same
        mapping = SupervoxelMap.fetch(frozen.labelmap, ctx.scratch / "mapping")
    entries, itself = ctx.scratch / "entries.parquet", ctx.scratch / "itself.parquet"
    write_parquet(entries, _ENTRIES, (_entries(pairs[:, 0], pairs[:, 1]) for pairs in mapping.entries()))
    with ctx.engine.stream(_unmapped_sql(entries)) as bodies:
        found = (batch.column(0).to_numpy() for batch in Rechunker(_ASKED).all(bodies))
        there = (ids[frozen.exist(ids)] for ids in found)
        write_parquet(itself, _ENTRIES, (_entries(ids, ids) for ids in there))
    moment = "" if segmentation.locked else f"-mutid-{segmentation.mutid}"
    name = f"tables/complete-nonsingleton-mapping-{ctx.tag}{moment}.feather"
    whole = f"SELECT * FROM {parquet(entries)} WHERE body <> 0 UNION ALL SELECT * FROM {parquet(itself)} ORDER BY sv"
    with ctx.out.create(name) as path, ctx.engine.stream(whole) as batches:
        rows = stream_feather(path, _ENTRIES, batches)
    ctx.out.set_rows(name, rows)


def _entries(supervoxels: np.ndarray[Any, Any], bodies: np.ndarray[Any, Any]) -> pa.RecordBatch:
    columns = [pa.array(np.ascontiguousarray(column)) for column in (supervoxels, bodies)]
    return pa.record_batch(columns, schema=_ENTRIES)


def _unmapped_sql(entries: Path) -> str:
    """The bodies that have no entry of their own."""
    return f"""
        WITH bodies AS (SELECT DISTINCT body FROM {parquet(entries)} WHERE body <> 0)
        SELECT body FROM bodies ANTI JOIN {parquet(entries)} AS entry ON entry.sv = bodies.body
        ORDER BY body
    """


def check_tables(config: TablesSettings, whole: Any) -> list[Problem]:
    """A mapping can only be written of a segmentation in DVID."""
    if config.export_mapping and not whole.inputs.dvid_seg.server:
        hint = "set inputs.dvid-seg.server, or remove this"
        return [Problem(("export-mapping",), "needs a segmentation in DVID, and none is named", hint)]
    return []


STAGE = Stage(
    name="tables",
    room="outputs",
    config=TablesSettings,
    run=export_tables,
    version=3,
    enabled=lambda config: config.export_tables or bool(config.export_mapping),
    check=check_tables,
)
