"""Settings that say where in a DVID server something is read."""

from __future__ import annotations

from collections.abc import Iterator

from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import Problem


class DvidVersion(Section):
    """A version of a repository on a DVID server."""

    server: str | None = setting(
        None,
        inherits="inputs.dvid-seg.server",
        affects_result=False,
        doc="Address of the DVID server, such as http://emdata.example.org:8000.",
        examples=("emdata.example.org:8000",),
    )
    uuid: str | None = setting(
        None,
        inherits="inputs.dvid-seg.uuid",
        doc="""The version: a uuid, the beginning of one, or an expression such as :master (the newest of that branch)
        or :master~1 (the one before it).""",
    )


class DvidPoints(Section):
    """Annotated points in a DVID server."""

    instance: str | None = setting(None, doc="Name of the annotation instance that holds the points.")
    column_name: str | None = setting(
        None,
        doc="""Name of the column of body annotations that takes the position, [x, y, z]. If not set: the name of the
        instance. Elements have no use for it.""",
    )
    extract_properties: dict[str, str] = setting(
        {},
        doc="""Properties of the points that become columns, {property: column}. Upper and lower case of the property
        do not matter unless there are two that differ only in that.""",
        examples=({"confidence": "soma_confidence"},),
    )

    def problems(self) -> Iterator[Problem]:
        """Every column has a name of its own, and none that the points have anyway."""
        seen = {"body", "kind", "tags", "x", "y", "z"}
        columns: dict[tuple[str, ...], str | None] = {("column-name",): self.column_name}
        columns |= {("extract-properties", name): column for name, column in self.extract_properties.items()}
        for path, column in columns.items():
            if column in seen:
                yield Problem(path, f"there is another column '{column}'", "choose another name")
            seen.add(column or "")
