"""What of the snapshot goes into the database: body 0 is left out, then the three restrictions apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flyem_snapshot.connectome.restrict import partners_inside
from flyem_snapshot.engine.session import parquet
from flyem_snapshot.engine.sql import identifier, literals
from flyem_snapshot.errors import DataError
from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.elements import Elements
from flyem_snapshot.tables.rois import COMBO, AssignedSet, RoiAssignment
from flyem_snapshot.tables.synapses import PARTNERS, POINTS, Synapses

FOLDER = "neuprint"


@dataclass(frozen=True)
class ElementScope:
    """One element table: table expressions with the columns that tables/elements.py describes, None for no table."""

    name: str
    rois: RoiAssignment
    points: str | None
    distances: str | None


@dataclass(frozen=True)
class Scope:
    """What is exported.

    `points` and `partners` are table expressions with the columns that tables/synapses.py describes; `segments` is one
    with a column `body` BIGINT, the bodies that become Segments (it exists once the Segments are counted).
    """

    config: NeuprintSettings
    ctx: Context
    synapses: Synapses
    points: str
    partners: str
    elements: tuple[ElementScope, ...]
    segments: str = ""

    @property
    def dataset(self) -> str:
        """The name of the dataset, which prefixes every label."""
        assert self.config.meta is not None
        return self.config.meta.dataset

    @property
    def compartments(self) -> bool:
        """Whether connections are counted by compartment."""
        return bool(self.config.compartment_column) and self.synapses.compartment is not None

    @property
    def restricted(self) -> bool:
        """Whether synapses are left out for the ROIs in which they lie."""
        return bool(self.config.restrict_info_totals_to_roiset or self.config.restrict_connectivity_to_roiset)

    def labels(self, *kinds: str) -> str:
        """The cell with the labels of a node: `labels("Synapse")` -> `Synapse;hemibrain_Synapse`."""
        return ";".join(f"{kind};{self.dataset}_{kind}" for kind in kinds)

    def roi_sets(self, rois: RoiAssignment) -> tuple[AssignedSet, ...]:
        """The roi-sets that become ROIs of the database, in the order of `roi-set-names`."""
        names = self.config.roi_set_names
        if names is None:
            return rois.sets
        return tuple(rois[name] for name in names if name in rois)

    def materialised(self, statement: str, file: str) -> str:
        """Write a result to the stage's scratch directory; returns the table expression to read it."""
        path = self.ctx.scratch / file
        self.ctx.engine.copy_to_parquet(statement, path)
        return parquet(path)


def whole_scope(config: NeuprintSettings, ctx: Context, synapses: Synapses, elements: Elements | None) -> Scope:
    """All synapses on bodies other than 0 and all elements, then `restrict-info-totals-to-roiset`."""
    scope = Scope(
        config,
        ctx,
        synapses,
        points=f"(SELECT * FROM {POINTS} WHERE body <> 0)",
        partners=f"(SELECT * FROM {PARTNERS} WHERE body_pre <> 0 AND body_post <> 0)",
        elements=tuple(
            ElementScope(
                s.name,
                s.rois,
                None if s.num_points is None else identifier(s.points_view),
                None if s.num_distances is None else identifier(s.distances_view),
            )
            for s in (elements.sets.values() if elements is not None else ())
        ),
    )
    on_body_0 = ctx.engine.scalar(f"SELECT count(*) FROM {POINTS} WHERE body = 0")
    ctx.exclusions.add("synapse points", "on body 0, which is no Segment", on_body_0)
    if config.restrict_info_totals_to_roiset:
        name = config.restrict_info_totals_to_roiset
        scope = _inside(scope, name, "restrict-info-totals-to-roiset")
        scope = elements_inside(scope, name, "restrict-info-totals-to-roiset")
    return scope


def touching(scope: Scope) -> tuple[Scope, str | None]:
    """`restrict-connectivity-to-roiset`, for the statistics of Segments.

    The connections of every body that has a connection in the roi-set, and a table expression with a column `body` of
    these bodies; without the setting everything, and None.
    """
    name = scope.config.restrict_connectivity_to_roiset
    if not name:
        return scope, None
    inside = partners_inside(scope.partners, scope.synapses.rois[name])
    bodies = scope.materialised(
        f"SELECT body_pre AS body FROM ({inside}) UNION SELECT body_post FROM ({inside})", "bodies-inside.parquet"
    )
    either = f"body_pre IN (SELECT body FROM {bodies}) OR body_post IN (SELECT body FROM {bodies})"
    kept = f"SELECT * FROM {scope.partners} WHERE {either}"
    return _kept(scope, kept, "touching", "restrict-connectivity-to-roiset"), bodies


def connected_inside(scope: Scope) -> Scope:
    """`restrict-connectivity-to-roiset` and `restrict-elements-to-roiset`, for connections, synapses and elements."""
    if name := scope.config.restrict_connectivity_to_roiset:
        scope = _inside(scope, name, "restrict-connectivity-to-roiset")
    if name := scope.config.restrict_elements_to_roiset:
        scope = elements_inside(scope, name, "restrict-elements-to-roiset")
    return scope


def _inside(scope: Scope, roi_set: str, setting: str) -> Scope:
    kept = partners_inside(scope.partners, scope.synapses.rois[roi_set])
    return _kept(scope, kept, setting.removesuffix("-to-roiset"), setting)


def _kept(scope: Scope, partners: str, file: str, setting: str) -> Scope:
    """The scope with these partner rows, and the points that they name, in their order."""
    engine = scope.ctx.engine
    found = scope.materialised(in_order(partners), f"{file}-partners.parquet")
    number, before = (engine.scalar(f"SELECT count(*) FROM {table}") for table in (found, scope.partners))
    if not number:
        raise DataError(
            f"outputs.neuprint.{setting} leaves no connection at all",
            hint="unset it, or choose a roi-set that the connections lie in",
        )
    scope.ctx.exclusions.add("synapse partners", setting, before - number)
    named = f"point_id IN (SELECT pre_id FROM {found} UNION ALL SELECT post_id FROM {found})"
    points = scope.materialised(in_order(f"SELECT * FROM {scope.points}", named), f"{file}-points.parquet")
    left = [engine.scalar(f"SELECT count(*) FROM {table}") for table in (scope.points, points)]
    scope.ctx.exclusions.add("synapse points", setting, left[0] - left[1])
    return replace(scope, points=points, partners=found)


def in_order(statement: str, condition: str = "TRUE") -> str:
    """The rows that meet a condition, in input order, which a semi-join alone would lose."""
    numbered = f"SELECT *, row_number() OVER () AS input_row FROM ({statement})"
    return f"SELECT * EXCLUDE (input_row) FROM ({numbered}) WHERE {condition} ORDER BY input_row"


def elements_inside(scope: Scope, roi_set: str, setting: str) -> Scope:
    """The scope without elements outside the roi-set, and without distances one of whose ends is gone."""
    elements = tuple(_points_inside(scope, e, number, roi_set, setting) for number, e in enumerate(scope.elements))
    ends = [scope.points, *(e.points for e in elements if e.points is not None)]
    return replace(
        scope, elements=tuple(_distances_between(scope, e, n, ends, setting) for n, e in enumerate(elements))
    )


def _points_inside(scope: Scope, element: ElementScope, number: int, roi_set: str, setting: str) -> ElementScope:
    if element.points is None:
        return element
    if roi_set not in element.rois:
        raise DataError(
            f"elements '{element.name}' have no roi-set '{roi_set}', which outputs.neuprint.{setting} asks for",
            hint=f"add it to inputs.elements.{element.name}.roi-set-names",
        )
    inside: Sequence[int] = element.rois[roi_set].inside()
    condition = f"{COMBO} IN ({literals(inside)})" if inside else "FALSE"
    kept = scope.materialised(f"SELECT * FROM {element.points} WHERE {condition}", f"{setting}-{number}.parquet")
    before, after = (scope.ctx.engine.scalar(f"SELECT count(*) FROM {table}") for table in (element.points, kept))
    scope.ctx.exclusions.add(f"elements '{element.name}'", setting, before - after)
    return replace(element, points=kept)


def _distances_between(
    scope: Scope, element: ElementScope, number: int, ends: Sequence[str], setting: str
) -> ElementScope:
    if element.distances is None:
        return element
    ids = " UNION ALL ".join(f"SELECT point_id FROM {table}" for table in ends)
    both = f"source_id IN ({ids}) AND target_id IN ({ids})"
    kept = scope.materialised(
        in_order(f"SELECT * FROM {element.distances}", both), f"{setting}-distances-{number}.parquet"
    )
    before, after = (scope.ctx.engine.scalar(f"SELECT count(*) FROM {table}") for table in (element.distances, kept))
    scope.ctx.exclusions.add(f"distances '{element.name}'", setting, before - after)
    return replace(element, distances=kept)
