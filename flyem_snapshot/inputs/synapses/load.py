"""Load the synapses: judge the points, join the partners, keep what belongs together, resolve the ROIs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from flyem_snapshot.connectome.rois import assign
from flyem_snapshot.engine.session import Engine, parquet
from flyem_snapshot.errors import DataError, SnapshotError
from flyem_snapshot.inputs.synapses.partners import KeptPartners, Loss, PartnerTable, join_partners, stage_partners
from flyem_snapshot.inputs.synapses.points import (
    Fate,
    Judged,
    KeptPoints,
    check_points,
    judge_points,
    open_points,
    refuse_duplicates,
    write_kept_points,
)
from flyem_snapshot.inputs.synapses.settings import SynapsesSettings, given_path
from flyem_snapshot.sources.checks import faults_of
from flyem_snapshot.sources.pointlabels import label_points
from flyem_snapshot.sources.pointtables import PointTable, known_sets
from flyem_snapshot.sources.segmentation import reconnected
from flyem_snapshot.sources.volumes import load_volumes
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.cave import CaveTables
from flyem_snapshot.tables.exclusions import Exclusions
from flyem_snapshot.tables.rois import RoiAssignment, RoiSets
from flyem_snapshot.tables.segmentation import Segmentation
from flyem_snapshot.tables.synapses import PARTNER_COMPARTMENTS, PARTNERS_FILE, POINTS_FILE, Synapses

logger = logging.getLogger(__name__)


def load_synapses(
    config: SynapsesSettings,
    ctx: Context,
    *,
    rois: RoiSets | None,
    dvid_seg: Segmentation | None,
    cave: CaveTables | None = None,
) -> Synapses:
    """The filtered synapses of the two tables, in input order.

    With a segmentation, supervoxel and body of every point are looked up in it.  The tables may be those of a CAVE
    datastack: then the ids of points do not say where they lie.

    The filters, in order: Fake points; zone; confidence (missing, then low); body 0; then partner rows whose two
    points both remain, and points that some remaining row needs.  Every loss is counted by reason.

    Raises DataError for tables that break a rule, and if no synapse remains.
    """
    sets = (rois or RoiSets()).named(config.roi_set_names)
    if cave is not None:
        files = {"synapse_points": ctx.out.path(cave.points), "synapse_partners": ctx.out.path(cave.partners)}
        config = config.model_copy(update=files)
    placed, volumes = cave is not None, load_volumes(sets, ctx.out.root)
    table = open_points(config, sets, labelled=dvid_seg is not None, placed=placed, volumes=volumes)
    partners = PartnerTable.open(given_path(config.synapse_partners), sets)

    staged = stage_partners(partners, ctx.scratch)
    if dvid_seg is not None:
        frozen = reconnected(dvid_seg, ctx.out.root)
        folders = ctx.scratch / "labels", ctx.resume
        table.labels = label_points(table, frozen, ctx.engine, *folders, columns=["kind"], check=check_points)
    judged = judge_points(table, config, ctx.scratch)
    refuse_duplicates(ctx.engine, judged.ids, table.path, placed=placed)
    partners_file, points_file = (f"{ctx.cache}/{name}" for name in (PARTNERS_FILE, POINTS_FILE))
    with ctx.out.create(partners_file) as path:
        kept = join_partners(ctx.engine, partners, staged, judged, config, path)
        _note_losses(kept, config, ctx.exclusions)
        if not kept.rows:
            raise _nothing_left(kept, config)
    ctx.out.set_rows(partners_file, kept.rows)
    with ctx.out.create(points_file) as path:
        points = write_kept_points(table, config, kept.points, path)
    ctx.out.set_rows(points_file, points.rows)
    _note_fates(judged, points, config, ctx.exclusions)
    logger.info("kept %s of %s points and %s of %s partner rows", *_totals(judged, points, kept))
    if config.compartment_column and partners.gives_compartments:
        known = points.categories[config.compartment_column]
        points.categories[PARTNER_COMPARTMENTS] = _with_compartments(ctx.engine, known, ctx.out.path(partners_file))
    return Synapses.reopen(ctx, _record(config, table, judged, kept, points))


def _with_compartments(engine: Engine, known: list[str], partners: Path) -> list[str]:
    """The compartments of the points, then those that only the partner table has."""
    both = f"SELECT unnest([compartment_pre, compartment_post]) AS value FROM {parquet(partners)}"
    own = engine.rows(f"SELECT DISTINCT value FROM ({both}) ORDER BY value")
    return [*known, *(value for (value,) in own if value not in known)]


def check_synapses(config: SynapsesSettings, whole: Any) -> list[SnapshotError]:
    """What the headers of the two tables lack."""
    if config.synapse_points is None:
        return []
    sets = known_sets(whole.inputs.rois, config.roi_set_names)
    return faults_of(
        lambda: open_points(config, sets, labelled=bool(whole.inputs.dvid_seg.server)),
        lambda: PartnerTable.open(given_path(config.synapse_partners), sets),
    )


def _record(
    config: SynapsesSettings, table: PointTable, judged: Judged, kept: KeptPartners, points: KeptPoints
) -> dict[str, object]:
    """What the table needs besides its files."""
    values = {name: [column[c] for c in points.combos] for name, column in table.combo_values().items()}
    assignment: RoiAssignment = assign(table.sets, values, points.combos, table.path)
    return {
        "rois": assignment.record(),
        "min_confidence": config.min_confidence,
        "compartment": config.compartment_column,
        "point_columns": points.columns,
        "categories": points.categories,
        "num_points": points.rows,
        "num_partners": kept.rows,
        "placed": table.placed,
    }


def _totals(judged: Judged, points: KeptPoints, kept: KeptPartners) -> list[str]:
    return [f"{n:,}" for n in (points.rows, judged.rows, kept.rows, int(kept.losses.sum()))]


def _reasons(config: SynapsesSettings) -> dict[Fate, str]:
    return {
        Fate.FAKE: "kind is Fake",
        Fate.ZONE: f"outside the zone '{config.zone}'",
        Fate.NO_CONFIDENCE: f"no confidence (NaN), and min-confidence is {config.min_confidence}",
        Fate.LOW_CONFIDENCE: f"confidence below {config.min_confidence}",
        Fate.BODY_0: "on body 0",
    }


def _note_fates(judged: Judged, points: KeptPoints, config: SynapsesSettings, exclusions: Exclusions) -> None:
    for fate, reason in _reasons(config).items():
        exclusions.add("synapse points", reason, int(judged.fates[fate]))
    unpaired = int(judged.fates[Fate.KEPT]) - points.rows
    exclusions.add("synapse points", "in no remaining partner row", unpaired)


def _note_losses(kept: KeptPartners, config: SynapsesSettings, exclusions: Exclusions) -> None:
    of_points = _reasons(config)
    reasons = {
        Loss.FAKE: "pre_id or post_id is 0 (beside Fake points)",
        Loss.UNKNOWN_POINT: "pre_id or post_id is not in the point table",
        Loss.ZONE: f"a point is {of_points[Fate.ZONE]}",
        Loss.NO_CONFIDENCE: f"a point has {of_points[Fate.NO_CONFIDENCE]}",
        Loss.LOW_CONFIDENCE: f"a point has a {of_points[Fate.LOW_CONFIDENCE]}",
        Loss.BODY_0: "a point is on body 0",
        Loss.POINT_LEFT_OUT: "a point was left out",
    }
    for loss, reason in reasons.items():
        exclusions.add("synapse partners", reason, int(kept.losses[loss]))


def _nothing_left(kept: KeptPartners, config: SynapsesSettings) -> DataError:
    worst = Loss(int(np.argmax(kept.losses[1:])) + 1)
    remedies = {
        Loss.UNKNOWN_POINT: "do the two tables belong together?",
        Loss.ZONE: "look at inputs.synapses.zone",
        Loss.NO_CONFIDENCE: "set inputs.synapses.min-confidence to 0.0",
        Loss.LOW_CONFIDENCE: "lower inputs.synapses.min-confidence",
        Loss.BODY_0: "set inputs.synapses.permit-body-0",
    }
    return DataError(
        f"none of {int(kept.losses.sum()):,} partner rows is left after filtering; the log says why for each",
        file=given_path(config.synapse_partners),
        hint=remedies.get(worst, "see the lines 'left out' of the log"),
    )
