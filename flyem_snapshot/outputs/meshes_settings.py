"""Settings of the meshes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import ConfigDict, Field

from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.config.suggest import closest
from flyem_snapshot.connectome.status import STATUS_ORDER
from flyem_snapshot.errors import Problem
from flyem_snapshot.outputs.body_objects_settings import KeyValueInstance, name_problems, twin_problems

FOLDER = "meshes"


class MeshSource(Section):
    """Meshes from one key-value instance in DVID."""

    export_meshes: bool = setting(False, doc="Write these meshes.")
    dvid: KeyValueInstance = Field(default_factory=KeyValueInstance, description="Where they are read from.")
    exclude_statuses: tuple[str, ...] = setting(
        ("Unimportant", "Glia"),
        doc="Leave out bodies of these statuses. Bodies without a status are not left out.",
    )

    def problems(self) -> Iterator[Problem]:
        """Statuses are known ones."""
        for index, status in enumerate(self.exclude_statuses):
            if status not in STATUS_ORDER:
                similar = closest(status, STATUS_ORDER)
                known = f"known are: {', '.join(filter(None, STATUS_ORDER))}"
                hint = f"did you mean '{similar}'?" if similar else known
                yield Problem(("exclude-statuses", index), f"'{status}' is not a known status", hint)


class MeshesSettings(Section):
    """Meshes of the annotated bodies, for neuroglancer: one entry for each instance in DVID.

    The name of an entry is yours to choose; its files go to meshes-<name>/.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"all": {"export-meshes": True}}]},
    )
    __pydantic_extra__: dict[str, MeshSource]

    processes: int | None = setting(
        None,
        ge=1,
        inherits="job-settings.processes",
        affects_result=False,
        doc="Number of requests to a DVID server at a time, at most 8.",
    )

    @property
    def entries(self) -> Mapping[str, MeshSource]:
        """The entries that are switched on, by name, in file order."""
        return {name: entry for name, entry in self.__pydantic_extra__.items() if entry.export_meshes}

    def problems(self) -> Iterator[Problem]:
        """Entries have usable names, and do not repeat each other."""
        yield from name_problems(self.__pydantic_extra__, FOLDER)
        yield from twin_problems(self.entries)
