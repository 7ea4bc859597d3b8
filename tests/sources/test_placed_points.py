"""Point tables whose ids say nothing of the place: coordinates stand beside them, through every step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.synapses import STAGE
from flyem_snapshot.inputs.synapses.load import load_synapses
from flyem_snapshot.inputs.synapses.settings import SynapsesSettings
from flyem_snapshot.sources.checks import Rules
from flyem_snapshot.sources.pointtables import PointTable
from flyem_snapshot.tables.cave import CaveTables
from flyem_snapshot.tables.rois import RoiSet
from flyem_snapshot.tables.synapses import PARTNERS, POINTS, Synapses
from tests.contexts import make_context

FAR = 1 << 22
"""A coordinate that does not fit the 21 bits which ids have for it."""

ROWS = {
    "point_id": pa.array([4, 5, 8, 9, 20, 21], pa.uint64()),
    "x": pa.array([1, 2, 1, 2, FAR, -FAR], pa.int32()),
    "y": pa.array([1, 2, 1, 2, 5, 6], pa.int32()),
    "z": pa.array([50_000, 2, 1, 2, 7, 8], pa.int32()),
    "kind": ["PreSyn", "PostSyn"] * 3,
    "conf": pa.array([1.0, 1.0, 1.0, 1.0, 0.5, 0.5], pa.float32()),
    "body": [2**53 + 1, 2**53 + 2, 2**53 + 1, 2**53 + 3, 7, 8],
}
PARTNER_ROWS = {
    "pre_id": pa.array([4, 8, 20], pa.uint64()),
    "post_id": pa.array([5, 9, 21], pa.uint64()),
    **{f"{axis}_pre": ROWS[axis].take([0, 2, 4]) for axis in "xyz"},
    **{f"{axis}_post": ROWS[axis].take([1, 3, 5]) for axis in "xyz"},
}


@pytest.fixture
def ctx(tmp_path: Path):
    made = make_context(tmp_path)
    yield made
    made.engine.close()


def tables(tmp_path: Path, **changes: object) -> CaveTables:
    pq.write_table(pa.table({**ROWS, **changes}), tmp_path / "points.parquet")
    pq.write_table(pa.table(PARTNER_ROWS), tmp_path / "partners.parquet")
    return CaveTables("points.parquet", "partners.parquet", None, None, {}, {})


def loaded(ctx, tmp_path, **settings) -> Synapses:
    changes = settings.pop("changes", {})
    cave = tables(tmp_path, **changes)
    return load_synapses(SynapsesSettings(**settings), ctx, rois=None, dvid_seg=None, cave=cave)


def test_points_that_share_a_voxel_and_lie_far_away_keep_their_places(ctx, tmp_path):
    synapses = loaded(ctx, tmp_path)

    assert synapses.placed
    found = ctx.engine.table(f"SELECT point_id, x, y, z, body FROM {POINTS}")
    for name in found.column_names:
        assert found[name].to_pylist() == pa.array(ROWS[name]).to_pylist()
    partners = ctx.engine.table(f"SELECT * FROM {PARTNERS}")
    assert partners["x_post"].to_pylist() == [2, 2, -FAR]
    assert partners["body_pre"].to_pylist() == [2**53 + 1, 2**53 + 1, 7]


def test_a_reopened_table_has_them_too(ctx, tmp_path):
    record = loaded(ctx, tmp_path).record()

    again = STAGE.produces.reopen(ctx, record)
    assert again.placed
    assert ctx.engine.rows(f"SELECT x, y, z FROM {POINTS} WHERE point_id = 20") == [(FAR, 5, 7)]


def test_the_zone_is_that_of_the_coordinate(ctx, tmp_path):
    loaded(ctx, tmp_path, zone="brain")

    assert ctx.engine.rows(f"SELECT point_id FROM {POINTS}") == [(8,), (9,), (20,), (21,)]


def test_low_confidence_takes_the_partner_row_along(ctx, tmp_path):
    loaded(ctx, tmp_path, min_confidence=0.6)

    assert ctx.engine.rows(f"SELECT pre_id, x_pre FROM {PARTNERS}") == [(4, 1), (8, 1)]


def test_repeated_ids_are_refused(ctx, tmp_path):
    twice = pa.array([4, 5, 4, 9, 20, 21], pa.uint64())

    with pytest.raises(DataError, match="1 point id occurs more than once .2 rows.; first: 4"):
        loaded(ctx, tmp_path, changes={"point_id": twice})


def test_volumes_are_sampled_at_the_coordinates(tmp_path):
    class Layers:
        """The label of a point is its z."""

        def labels(self, zyx):
            return zyx[:, 0]

    pq.write_table(pa.table(ROWS), tmp_path / "points.parquet")
    roi_set = RoiSet("layer", "volume", {f"layer {z}": z for z in (1, 2, 7, 8, 50_000)})
    table = PointTable(tmp_path / "points.parquet", [roi_set], {}, {}, placed=True, volumes={"layer": Layers()})
    (batch,) = table.batches(["kind"], Rules(table.path))

    labels = np.array(table.combo_values()["layer_label"])[batch.combos]
    assert labels.tolist() == [50_000, 2, 1, 2, 7, 8]
