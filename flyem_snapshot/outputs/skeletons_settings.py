"""Settings of the skeletons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import ConfigDict, Field

from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import Problem
from flyem_snapshot.outputs.body_objects_settings import KeyValueInstance, name_problems, twin_problems

FOLDER = "skeletons"


class SkeletonSource(Section):
    """Skeletons from one key-value instance in DVID."""

    export_skeletons: bool = setting(False, doc="Write these skeletons.")
    dvid: KeyValueInstance = Field(default_factory=KeyValueInstance, description="Where they are read from.")
    coordinate_resolution_nm: tuple[float, ...] = setting(
        (0.0, 0.0, 0.0),
        examples=([8.0, 8.0, 8.0],),
        doc="""Nanometers that one unit of the skeletons' coordinates stands for, along x, y and z. [0, 0, 0]: the
        voxel size of inputs.dvid-seg.""",
    )

    @property
    def asks_for_resolution(self) -> bool:
        """Whether the resolution is to be that of the segmentation."""
        return not any(self.coordinate_resolution_nm)

    def problems(self) -> Iterator[Problem]:
        """A resolution has three positive numbers, or three zeros."""
        numbers = self.coordinate_resolution_nm
        if len(numbers) != 3 or (not self.asks_for_resolution and min(numbers) <= 0):
            shown = ", ".join(f"{number:g}" for number in numbers)
            hint = "write nanometers along x, y and z, or [0, 0, 0] for the voxel size of the segmentation"
            yield Problem(("coordinate-resolution-nm",), f"must be three positive numbers, not [{shown}]", hint)


class SkeletonsSettings(Section):
    """Skeletons of the annotated bodies, as SWC and for neuroglancer: one entry for each instance in DVID.

    The name of an entry is yours to choose; its files go to skeletons-<name>/.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"all": {"export-skeletons": True}}]},
    )
    __pydantic_extra__: dict[str, SkeletonSource]

    processes: int | None = setting(
        None,
        ge=1,
        inherits="job-settings.processes",
        affects_result=False,
        doc="Number of requests to a DVID server at a time, at most 8.",
    )

    @property
    def entries(self) -> Mapping[str, SkeletonSource]:
        """The entries that are switched on, by name, in file order."""
        return {name: entry for name, entry in self.__pydantic_extra__.items() if entry.export_skeletons}

    def problems(self) -> Iterator[Problem]:
        """Entries have usable names, and do not repeat each other."""
        yield from name_problems(self.__pydantic_extra__, FOLDER)
        yield from twin_problems(self.entries)
