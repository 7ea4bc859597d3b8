"""Settings of the tables of bodies."""

from __future__ import annotations

from flyem_snapshot.config.model import Section, setting


class TablesSettings(Section):
    """The body annotations as they were used, how many bodies have each status, and what DVID said, in `tables/`."""

    export_tables: bool = setting(True, doc="Write these tables.")
    export_mapping: bool | None = setting(
        None,
        inherits="inputs.dvid-seg.export-mapping",
        doc="""Write the body of every supervoxel that shares its body with others, as read from DVID.""",
    )
