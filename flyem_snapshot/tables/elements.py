"""Elements: annotated points other than synapses, and their distances, as Parquet in the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flyem_snapshot.engine.session import Engine, parquet
from flyem_snapshot.tables.rois import RoiAssignment

if TYPE_CHECKING:
    from flyem_snapshot.stage import Context


@dataclass(frozen=True)
class ElementSet:
    """One kind of element.

    View `elements <name>`, in input order: the input's columns without ROI columns, among them point_id UBIGINT
    (unique over all elements and synapses), x, y, z INTEGER, type VARCHAR, body BIGINT, and roi_combo INTEGER,
    the index into `rois`.

    View `distances <name>`, in input order: source_x ... target_z, distance FLOAT where given, further columns,
    source_id and target_id UBIGINT.

    `num_points` or `num_distances` is None if there is no such table.
    """

    name: str
    rois: RoiAssignment
    num_points: int | None
    num_distances: int | None

    @property
    def points_view(self) -> str:
        """The name of the elements' view."""
        return f"elements {self.name}"

    @property
    def distances_view(self) -> str:
        """The name of the distances' view."""
        return f"distances {self.name}"


@dataclass(frozen=True)
class Elements:
    """All element tables by name, in the settings' order.

    `source` is the state of the server from which some of them were read, see `Stage.source`.
    """

    engine: Engine
    sets: Mapping[str, ElementSet]
    source: Mapping[str, Any] | None = None

    def record(self) -> dict[str, Any]:
        """What the cache must remember besides the Parquet files."""
        return {
            "sets": [
                {"name": s.name, "rois": s.rois.record(), "num_points": s.num_points, "num_distances": s.num_distances}
                for s in self.sets.values()
            ],
            "source": self.source,
        }

    @classmethod
    def reopen(cls, ctx: Context, record: dict[str, Any]) -> Elements:
        """Define the views over the stage's files."""
        sets = {e["name"]: ElementSet(**{**e, "rois": RoiAssignment.from_record(e["rois"])}) for e in record["sets"]}
        for number, elements in enumerate(sets.values()):
            for view, rows, file in (
                (elements.points_view, elements.num_points, points_file(number)),
                (elements.distances_view, elements.num_distances, distances_file(number)),
            ):
                if rows is not None:
                    ctx.engine.view(view, f"SELECT * FROM {parquet(ctx.out.path(f'{ctx.cache}/{file}'))}")
        return cls(ctx.engine, sets, record["source"])

    def close(self) -> None:
        """Drop the views."""
        for elements in self.sets.values():
            self.engine.drop_view(elements.points_view)
            self.engine.drop_view(elements.distances_view)


def points_file(number: int) -> str:
    """The file of an element table: numbered, since names are the user's and need not be file names."""
    return f"elements-{number}.parquet"


def distances_file(number: int) -> str:
    """The file of a distance table."""
    return f"distances-{number}.parquet"
