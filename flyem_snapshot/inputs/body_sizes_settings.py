"""Settings of the body sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import Problem


class BodySizesSettings(Section):
    """How many voxels each body has."""

    load_sizes: bool = setting(False, doc="Read body sizes, so that outputs can show them.")
    cache_file: Path | None = setting(
        None,
        input_file=True,
        doc="Table (Feather, Parquet or CSV) of the body sizes. Columns: body, and size in voxels.",
    )
    processes: int | None = setting(
        None,
        ge=1,
        inherits="job-settings.processes",
        affects_result=False,
        doc="Number of CPUs to use for the body sizes.",
    )

    def problems(self) -> Iterator[Problem]:
        """Sizes can only be loaded from a file."""
        if self.load_sizes and self.cache_file is None:
            yield Problem(
                ("load-sizes",),
                "body sizes are wanted, but no cache-file names a table of them",
                hint="add 'cache-file: FILE' (columns body and size), or write 'load-sizes: false'",
            )
