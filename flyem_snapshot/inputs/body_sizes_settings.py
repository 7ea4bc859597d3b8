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
        doc="""Table (Feather, Parquet or CSV) of the body sizes. Columns: body, and size in voxels. If the segmentation
        is read from DVID, the table may be left out, and one of another version will do: see cache-uuid.""",
    )
    cache_uuid: str | None = setting(
        None,
        doc="""The version in DVID that the sizes of cache-file are of. The sizes of bodies that changed since then are
        asked for, as are those that the table lacks. The table that a run writes to tables/ is the next cache.""",
    )
    refresh: bool = setting(
        False,
        doc="Ask DVID for all sizes, whatever cache-file says. Use it if voxels were written past the log of edits.",
    )
    processes: int | None = setting(
        None,
        ge=1,
        inherits="job-settings.processes",
        affects_result=False,
        doc="Number of CPUs to use for the body sizes.",
    )

    def problems(self) -> Iterator[Problem]:
        """A version goes with a table."""
        if self.cache_uuid is not None and self.cache_file is None:
            yield Problem(
                ("cache-uuid",), "is the version of a cache-file, but none is named", hint="name it, or remove this"
            )
