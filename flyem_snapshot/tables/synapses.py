"""The synapses of a snapshot: points and partners as Parquet in the cache, seen as views of the session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flyem_snapshot.engine.session import Engine, parquet
from flyem_snapshot.engine.sql import identifier
from flyem_snapshot.tables.points import coordinates_sql
from flyem_snapshot.tables.rois import RoiAssignment

if TYPE_CHECKING:
    from flyem_snapshot.stage import Context

POINTS = "synapse_points"
PARTNERS = "synapse_partners"
POINTS_FILE = "points.parquet"
PARTNERS_FILE = "partners.parquet"
PARTNER_COMPARTMENTS = "compartments of partners"
"""The entry of `Synapses.categories` for compartments that the partner table gives itself."""


@dataclass(frozen=True)
class Synapses:
    """Synapse points and partner rows after all filters, in input order.

    View `synapse_points`, one row a point: the input's columns in their order without ROI columns, among them

        point_id UBIGINT   unique
        x, y, z  INTEGER   voxels
        kind     ENUM      PreSyn or PostSyn
        conf     FLOAT     NaN where the input has none
        body     BIGINT
        roi_combo INTEGER  index into `rois`

    View `synapse_partners`, one row a T-bar to PSD pair; a PSD occurs once:

        pre_id, post_id UBIGINT; further columns of the input; conf_pre, conf_post FLOAT;
        body_pre, body_post BIGINT; [compartment_pre, compartment_post ENUM];
        roi_combo INTEGER: the combination of ROIs of the PSD

    `categories` holds the values of the points' columns that are enumerations, and of the partners' compartments where
    they are not taken from the points; `compartment` is the name of the points' compartment column (None: the feature
    is off).

    Mostly a point's id is made of its coordinates (`tables/points.py`).  If the synapses are `placed`, it is only a
    number: coordinates stand beside it, and in the partner rows as x_pre ... z_post INTEGER.
    """

    engine: Engine
    rois: RoiAssignment
    min_confidence: float
    compartment: str | None
    point_columns: tuple[str, ...]
    categories: Mapping[str, list[str]]
    num_points: int
    num_partners: int
    placed: bool = False

    def record(self) -> dict[str, Any]:
        """What the cache must remember besides the two Parquet files."""
        return {
            "rois": self.rois.record(),
            "min_confidence": self.min_confidence,
            "compartment": self.compartment,
            "point_columns": list(self.point_columns),
            "categories": {name: list(values) for name, values in self.categories.items()},
            "num_points": self.num_points,
            "num_partners": self.num_partners,
            "placed": self.placed,
        }

    @classmethod
    def reopen(cls, ctx: Context, record: dict[str, Any]) -> Synapses:
        """Define the views over the stage's files."""
        table = cls(
            engine=ctx.engine,
            rois=RoiAssignment.from_record(record["rois"]),
            min_confidence=record["min_confidence"],
            compartment=record["compartment"],
            point_columns=tuple(record["point_columns"]),
            categories=record["categories"],
            num_points=record["num_points"],
            num_partners=record["num_partners"],
            placed=record["placed"],
        )
        folder = ctx.out.path(ctx.cache)
        types = {name: ctx.engine.enum(f"synapse {name}", values) for name, values in table.categories.items()}
        ctx.engine.view(POINTS, f"SELECT {_point_columns(table, types)} FROM {parquet(folder / POINTS_FILE)}")
        sides = {}
        if table.compartment is not None:
            kind = types.get(PARTNER_COMPARTMENTS, types[table.compartment])
            sides = {f"compartment_{side}": kind for side in ("pre", "post")}
        ctx.engine.view(PARTNERS, f"SELECT * {_cast(sides)} FROM {parquet(folder / PARTNERS_FILE)}")
        return table

    def close(self) -> None:
        """Drop the views."""
        self.engine.drop_view(POINTS)
        self.engine.drop_view(PARTNERS)


def _point_columns(table: Synapses, types: Mapping[str, str]) -> str:
    """The columns of the points view: coordinates come from the ids, text columns become enumerations.

    Neither costs anything worth counting: Parquet keeps the text as dictionaries already.
    """
    made = {} if table.placed else coordinates_sql("point_id")
    made |= {name: f"CAST({identifier(name)} AS {kind})" for name, kind in types.items()}
    return ", ".join(f"{made[n]} AS {identifier(n)}" if n in made else identifier(n) for n in table.point_columns)


def _cast(types: Mapping[str, str]) -> str:
    """A REPLACE clause that turns text columns into enumerations."""
    casts = [f"CAST({identifier(name)} AS {kind}) AS {identifier(name)}" for name, kind in types.items()]
    return f"REPLACE ({', '.join(casts)})" if casts else ""
