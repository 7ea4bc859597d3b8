"""Body sizes from a table: the number of voxels of each body."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from flyem_snapshot.errors import DataError, SettingError, SnapshotError
from flyem_snapshot.inputs.body_sizes_settings import BodySizesSettings
from flyem_snapshot.sources.checks import faults_of, header_faults, raise_all
from flyem_snapshot.sources.files import open_header, read_small_table
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.bodies import BodySizes, require_numbers, size_series, unique_bodies, whole_numbers

logger = logging.getLogger(__name__)


def load_body_sizes(config: BodySizesSettings, ctx: Context) -> BodySizes | None:
    """The size of each body of the table (columns `body` and `size`, whole numbers); None unless `load-sizes`.

    Raises DataError for nulls, fractions, negative numbers and repeated bodies.
    """
    if not config.load_sizes:
        return None
    path = config.cache_file
    if path is None:
        raise SettingError(
            "cache-file",
            "body sizes are wanted, but no table of them is named",
            hint="add 'cache-file: FILE' (columns body and size), or write 'load-sizes: false'",
        )
    table = read_small_table(path)
    raise_all(_header_faults(path, table.schema))
    bodies = unique_bodies(table["body"], file=path)
    sizes = size_series(bodies, whole_numbers(table["size"], file=path, column="size"))
    logger.info("sizes of %s bodies", f"{len(sizes):,}")
    return BodySizes.keep(ctx, sizes)


def check_body_sizes(config: BodySizesSettings, whole: Any) -> list[SnapshotError]:
    """What the header of the table lacks."""
    path = config.cache_file
    if path is None or not config.load_sizes:
        return []
    return faults_of(lambda: raise_all(_header_faults(path, open_header(path)[0])))


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
    produces=BodySizes,
    enabled=lambda c: c.load_sizes,
    check=check_body_sizes,
)
