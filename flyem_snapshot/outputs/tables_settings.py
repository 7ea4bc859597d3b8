"""Settings of the tables of bodies."""

from __future__ import annotations

from flyem_snapshot.config.model import Section, setting


class TablesSettings(Section):
    """The body annotations as they were used, and how many bodies have each status, in `tables/`."""

    export_tables: bool = setting(True, doc="Write these tables.")
