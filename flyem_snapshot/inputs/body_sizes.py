"""Body sizes, the number of voxels of each body: from a table, from the server of the segmentation, or from both."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from flyem_snapshot.engine.session import Engine
from flyem_snapshot.engine.sql import identifier
from flyem_snapshot.errors import DataError, SettingError, SnapshotError
from flyem_snapshot.inputs.body_sizes_settings import BodySizesSettings
from flyem_snapshot.log import progress
from flyem_snapshot.sources.answers import Answers
from flyem_snapshot.sources.checks import faults_of, header_faults, raise_all
from flyem_snapshot.sources.dvid.sizes import updated_sizes
from flyem_snapshot.sources.files import open_header, read_small_table
from flyem_snapshot.sources.segmentation import reconnected
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.bodies import (
    BodyAnnotations,
    BodySizes,
    Int64Array,
    require_numbers,
    size_series,
    unique_bodies,
    whole_numbers,
)
from flyem_snapshot.tables.elements import Elements
from flyem_snapshot.tables.segmentation import Segmentation
from flyem_snapshot.tables.synapses import POINTS, Synapses

logger = logging.getLogger(__name__)

BODIES: Final = 50_000
"""Bodies between two marks from which an interrupted run goes on; 50 requests."""


def load_body_sizes(
    config: BodySizesSettings,
    ctx: Context,
    *,
    annotations: BodyAnnotations | None,
    synapses: Synapses | None,
    elements: Elements | None,
    dvid_seg: Segmentation | None,
) -> BodySizes | None:
    """The size of each body of the table (columns `body` and `size`, whole numbers); None unless `load-sizes`.

    With a segmentation: of each body that is annotated, or has a synapse or an element, at the moment of the snapshot,
    and of the bodies of the table if it says of which version it is.
    Raises DataError for nulls, fractions, negative numbers and repeated bodies, DvidError if the server fails.
    """
    if not config.load_sizes:
        return None
    path = config.cache_file
    if dvid_seg is None:
        if path is None:
            raise _no_source()
        bodies, sizes = _read(path)
        logger.info("sizes of %s bodies", f"{len(sizes):,}")
        return BodySizes.keep(ctx, size_series(bodies, sizes))
    if path is not None and config.cache_uuid is None:
        raise _no_version()
    wanted = _wanted(ctx.engine, annotations, synapses, elements)
    bodies, sizes = _asked(config, wanted, dvid_seg, ctx)
    if len(gone := np.setdiff1d(wanted, bodies)):
        logger.warning("%s bodies have no size: they do not exist, such as %s", f"{len(gone):,}", gone[:3].tolist())
    return BodySizes.keep(ctx, size_series(bodies, sizes), asked=True)


def _asked(
    config: BodySizesSettings, wanted: Int64Array, dvid_seg: Segmentation, ctx: Context
) -> tuple[Int64Array, Int64Array]:
    """Bodies and sizes from the server, with the help of the table if there is one."""
    frozen = reconnected(dvid_seg, ctx.out.root)
    if config.cache_file is None:
        found = np.zeros(len(wanted), np.int64)
        with Answers(ctx.resume / "sizes.bin") as answers, progress("asking for body sizes", len(wanted)) as advance:
            for start in range(0, len(wanted), BODIES):
                part = wanted[start : start + BODIES].view(np.uint64)
                found[start : start + BODIES] = answers.next(part, frozen.labelmap.sizes)
                advance(len(part))
        found = frozen.taken_back(wanted.view(np.uint64), found)
        there = found > 0
        return wanted[there], found[there]
    bodies, sizes = _read(config.cache_file)
    known = (bodies.view(np.uint64), sizes)
    assert config.cache_uuid is not None, "it was demanded"
    updated, now, report = updated_sizes(
        frozen.labelmap, known, config.cache_uuid, wanted.view(np.uint64), refresh=config.refresh
    )
    logger.info("%s", report)
    # The cache is brought up to now; what was edited after the moment of the snapshot is taken back.
    now = frozen.taken_back(updated, now)
    there = now > 0
    return updated[there].view(np.int64), now[there]


def _wanted(
    engine: Engine, annotations: BodyAnnotations | None, synapses: Synapses | None, elements: Elements | None
) -> Int64Array:
    """Every body that is annotated, or has a synapse or an element, ascending; without 0."""
    found = [np.zeros(0, np.int64)]
    if annotations is not None:
        found.append(annotations.frame.index.to_numpy(np.int64))
    views = [] if synapses is None else [POINTS]
    views += [s.points_view for s in (elements.sets.values() if elements else ()) if s.num_points is not None]
    found += [engine.table(f"SELECT DISTINCT body FROM {identifier(view)}")["body"].to_numpy() for view in views]
    bodies = np.unique(np.concatenate(found))
    return bodies[bodies > 0]


def _read(path: Path) -> tuple[Int64Array, Int64Array]:
    table = read_small_table(path)
    raise_all(_header_faults(path, table.schema))
    return unique_bodies(table["body"], file=path), whole_numbers(table["size"], file=path, column="size")


def check_body_sizes(config: BodySizesSettings, whole: Any) -> list[SnapshotError]:
    """What the header of the table lacks, and a table or a server that is not named."""
    if not config.load_sizes:
        return []
    path, live = config.cache_file, bool(whole.inputs.dvid_seg.server)
    if path is None:
        return [] if live else [_no_source()]
    found: list[SnapshotError] = [_no_version()] if live and config.cache_uuid is None else []
    return found + faults_of(lambda: raise_all(_header_faults(path, open_header(path)[0])))


def _no_source() -> SettingError:
    return SettingError(
        "load-sizes",
        "body sizes are wanted, but no cache-file names a table of them",
        hint="add 'cache-file: FILE' (columns body and size), or write 'load-sizes: false'",
    )


def _no_version() -> SettingError:
    return SettingError(
        "cache-file",
        "which version its sizes are of is not known, so they cannot be brought up to date",
        hint="add 'cache-uuid: UUID', the version in DVID, or remove cache-file to ask for all sizes",
    )


def _header_faults(path: Path, schema: pa.Schema) -> Iterator[DataError]:
    columns = {"body": "the id of the body", "size": "its number of voxels"}
    yield from header_faults(path, schema, columns, {})
    for column in columns:
        if column in schema.names:
            try:
                require_numbers(schema.field(column).type, file=path, column=column)
            except DataError as error:
                yield error


STAGE = Stage(
    "body-sizes",
    "inputs",
    BodySizesSettings,
    load_body_sizes,
    version=2,
    produces=BodySizes,
    enabled=lambda c: c.load_sizes,
    check=check_body_sizes,
)
