"""Settings of the element tables: annotated points other than synapses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ConfigDict, Field

from flyem_snapshot.config.dvid import DvidPoints
from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import Problem


class ElementTable(Section):
    """One kind of annotated point, such as mitochondria or somata."""

    point_table: Path | None = setting(
        None,
        input_file=True,
        doc="""Table (Feather, Parquet or CSV) with one row for each element. Columns: x, y, z, body (which is looked
        up if the segmentation is read from DVID), and type (unless the type is given here); optionally point_id, sv,
        ROI columns, and any others.""",
    )
    dvid_point_annotations: DvidPoints = Field(
        default_factory=DvidPoints,
        description="Instead of a table: annotated points in the DVID server of the segmentation; type must be set.",
    )
    permit_body_0: bool = setting(False, doc="Keep elements that lie on body 0, outside of every segmented body.")
    type: str | None = setting(
        None,
        doc="The type of all elements in this table. If the table has a type column as well, the two must agree.",
    )
    distance_table: Path | None = setting(
        None,
        input_file=True,
        doc="""Table (Feather, Parquet or CSV) of distances from synapses or elements to these elements. Columns:
        source_x, source_y, source_z, target_x, target_y, target_z; optionally distance, and any others.""",
    )
    roi_set_names: tuple[str, ...] | None = setting(
        None,
        inherits="inputs.rois.roi-sets.*",
        one_of="inputs.rois.roi-sets.*",
        doc="Names of the ROI sets that are assigned to these elements, one column each.",
    )

    def problems(self) -> Iterator[Problem]:
        """An entry must name a table."""
        live = self.dvid_point_annotations.instance is not None
        for name, column in self.dvid_point_annotations.extract_properties.items():
            if column in ("point_id", "sv", "type"):
                place = ("dvid-point-annotations", "extract-properties", name)
                yield Problem(place, f"there is another column '{column}'", "choose another name")
        if live and self.point_table is not None:
            yield Problem(("point-table",), "stands beside dvid-point-annotations", hint="remove one of the two")
        if live and self.type is None:
            hint = "say what these points are, for example 'type: soma'"
            yield Problem(("type",), "is required for points from DVID, but not set", hint=hint)
        if self.point_table is None and self.distance_table is None and not live:
            yield Problem(
                (),
                "names neither a point-table nor a distance-table",
                hint="add 'point-table: FILE', or remove this entry",
            )


class ElementsSettings(Section):
    """Annotated points other than synapses, such as mitochondria or somata: one entry for each table.

    The name of an entry is yours to choose.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"mito": {"point-table": "mito-points.feather", "type": "mito"}}]},
    )
    __pydantic_extra__: dict[str, ElementTable]

    processes: int | None = setting(
        None,
        ge=1,
        inherits="job-settings.processes",
        affects_result=False,
        doc="Number of CPUs to use for the element tables.",
    )

    @property
    def tables(self) -> Mapping[str, ElementTable]:
        """The element tables by name, in file order."""
        return self.__pydantic_extra__
