"""Connectomes of a few connections, as the views that reports are counted from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from flyem_snapshot.connectome.report_counts import ReportCounts, Selection, count_connections
from flyem_snapshot.engine.session import Engine
from flyem_snapshot.tables.rois import AssignedSet
from flyem_snapshot.tables.synapses import PARTNERS, POINTS
from tests.contexts import make_context

Connection = tuple[int, int, int, str, str]
"""T-bar (an id of its own), its body, the PSD's body, and the ROI of each."""


def engine_of(root: Path) -> Engine:
    return make_context(root).engine


def define(engine: Engine, connections: list[Connection]) -> AssignedSet:
    """Define the views of points and partners; a combination is the place of a ROI among the sorted names."""
    names = ["<unspecified>", *sorted({roi for c in connections for roi in c[3:]} - {"<unspecified>"})]
    combo = {name: place for place, name in enumerate(names)}
    tbars = {c[0]: (c[0], "PreSyn", c[1], combo[c[3]]) for c in connections}
    psds = [(10_000 + n, "PostSyn", c[2], combo[c[4]]) for n, c in enumerate(connections)]
    points = [*tbars.values(), *psds]
    _table(
        engine,
        POINTS,
        {
            "point_id": pa.array([p[0] for p in points], pa.uint64()),
            "kind": pa.array([p[1] for p in points], pa.string()),
            "body": pa.array([p[2] for p in points], pa.int64()),
            "roi_combo": pa.array([p[3] for p in points], pa.int32()),
        },
    )
    _table(
        engine,
        PARTNERS,
        {
            "pre_id": pa.array([c[0] for c in connections], pa.uint64()),
            "post_id": pa.array([p[0] for p in psds], pa.uint64()),
            "body_pre": pa.array([c[1] for c in connections], pa.int64()),
            "body_post": pa.array([c[2] for c in connections], pa.int64()),
            "roi_combo": pa.array([combo[c[4]] for c in connections], pa.int32()),
        },
    )
    return AssignedSet("primary", combo, np.arange(len(names), dtype=np.int32))


def counted(
    root: Path, engine: Engine, connections: list[Connection], *selections: Selection, annotated: tuple[int, ...] = ()
) -> ReportCounts:
    """The counts of reports; without a selection those of one report on everything."""
    assigned = define(engine, connections)
    chosen = selections or (EVERYTHING,)
    return count_connections(engine, assigned, chosen, np.array(annotated, np.int64), root)


EVERYTHING = Selection(None, "both-ends")


def within(names: tuple[str, ...], *rois: str, rule: str = "both-ends") -> Selection:
    """A report on some ROIs; `names` are all names of the set, sorted."""
    return Selection(tuple(names.index(roi) for roi in rois), rule)


def _table(engine: Engine, name: str, columns: dict[str, pa.Array]) -> None:
    with engine.registered(given=pa.table(columns)):
        engine.execute(f'CREATE OR REPLACE TABLE "{name}" AS SELECT * FROM given')
