"""Body sizes from a table: the number of voxels of each body."""

from __future__ import annotations

import logging

from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.inputs.body_sizes_settings import BodySizesSettings
from flyem_snapshot.sources.files import read_small_table
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.bodies import BodySizes, size_series, unique_bodies, whole_numbers

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
    for column in ("body", "size"):
        if column not in table.column_names:
            raise DataError(
                f"there is no column '{column}'", file=path, hint=f"its columns are: {', '.join(table.column_names)}"
            )
    bodies = unique_bodies(table["body"], file=path)
    sizes = size_series(bodies, whole_numbers(table["size"], file=path, column="size"))
    logger.info("sizes of %s bodies", f"{len(sizes):,}")
    return BodySizes.keep(ctx, sizes)


STAGE = Stage(name="body-sizes", room="inputs", config=BodySizesSettings, run=load_body_sizes, produces=BodySizes)
