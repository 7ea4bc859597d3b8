"""Settings of the body annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from flyem_snapshot.config.dvid import DvidPoints
from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import Problem

# Predicted neurotransmitters are computed anew for each snapshot, so old predictions among the annotations are dropped.
PREDICTION_COLUMNS = (
    "predicted_nt",
    "predicted_nt_confidence",
    "total_nt_predictions",
    "celltype_predicted_nt",
    "celltype_predicted_nt_confidence",
    "celltype_total_nt_predictions",
    "consensus_nt",
)


class ReplaceValues(Section):
    """Replacement of some values of one annotation column."""

    source_column: str = setting(min_length=1, doc="Column whose values are read.")
    target_column: str | None = setting(
        None,
        inherits="source-column",
        doc="Column to which the values are written, replaced or not; it is made if there is none.",
    )
    replacements: Mapping[str, str | int | float | bool | None] = setting(
        doc="What to write for each value that is to be replaced, {old: new}. All other values are kept.",
    )


class AnnotationsSettings(Section):
    """What is known about each body: status, type, class, soma position and so on."""

    body_annotations_table: Path | None = setting(
        None,
        input_file=True,
        doc="""Table (Feather, Parquet or CSV) with one row for each annotated body. Columns: body, and any others;
        status and type have a meaning of their own. If not set, and the segmentation is read from DVID: its instance
        <segmentation>_annotations. Otherwise no body is annotated.""",
    )
    point_annotations: tuple[DvidPoints, ...] = setting(
        (),
        doc="""Annotated points in the DVID server of the segmentation, such as somata: their positions become a column
        of the annotations of the bodies that they lie on. Of several points on a body the first by z, y, x counts.""",
        examples=([{"instance": "nuclei", "column-name": "soma_position"}],),
    )
    replace_values: tuple[ReplaceValues, ...] = setting(
        (),
        doc="Replace values of annotation columns, one entry for each column, before columns are renamed.",
        examples=([{"source-column": "status", "replacements": {"Roughly traced": "Traced"}}],),
    )
    rename_annotation_columns: Mapping[str, str] = setting(
        dict.fromkeys(PREDICTION_COLUMNS, ""),
        doc="""New names of annotation columns, {old: new}; an empty new name drops the column. What you write here
        replaces the whole default.""",
    )
    processes: int | None = setting(
        None,
        ge=1,
        inherits="job-settings.processes",
        affects_result=False,
        doc="Number of CPUs to use for the annotations.",
    )

    def problems(self) -> Iterator[Problem]:
        """Two kinds of points cannot fill one column."""
        seen: set[str] = set()
        for number, points in enumerate(self.point_annotations):
            named = points.column_name or points.instance
            for column in filter(None, (named, *points.extract_properties.values())):
                if column in seen:
                    place = ("point-annotations", number)
                    yield Problem(place, f"an earlier entry makes the column '{column}', too", "choose another name")
                seen.add(column)
