"""T-bars that several connections share: those at one place, or those that lie close together on one body."""

from __future__ import annotations

from typing import Final

from flyem_snapshot.engine.session import parquet
from flyem_snapshot.engine.sql import literal
from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.cave.fetched import AXES
from flyem_snapshot.inputs.cave.settings import CaveSettings
from flyem_snapshot.inputs.cave.synapses import CONNECTIONS, Connections, Merged
from flyem_snapshot.log import timed
from flyem_snapshot.stage import Context

_MAX_ROUNDS: Final = 10_000
_NEAR: Final = "cave_near"
_LABELS: Final = "cave_labels"


def merged_tbars(config: CaveSettings, ctx: Context, found: Connections) -> Merged | None:
    """Which connections share a T-bar with one of a smaller id; None if each has its own."""
    if config.merge_presyn == "none":
        return None
    with timed("T-bars that connections share"):
        return _merged(config, ctx, found)


def _merged(config: CaveSettings, ctx: Context, found: Connections) -> Merged:
    members, groups = ctx.scratch / "members.parquet", ctx.scratch / "groups.parquet"
    if config.radius is None:
        ctx.engine.copy_to_parquet(_at_one_place(found), members)
    else:
        ctx.engine.copy_to_parquet(_near_each_other(config.radius, ctx, found), members)
        for table in (_NEAR, _LABELS):
            ctx.engine.execute(f"DROP TABLE {table}")
    same = f"SELECT id, tbar FROM {parquet(members)} UNION ALL SELECT DISTINCT tbar, tbar FROM {parquet(members)}"
    place = ", ".join(f"max(pre_{axis}) FILTER (WHERE c.id = tbar) AS pre_{axis}" for axis in AXES)
    # NaN would be the greatest: a score that is missing says less than any other.
    conf = "coalesce(max(conf) FILTER (WHERE NOT isnan(conf)), 'nan'::FLOAT) AS conf"
    ctx.engine.copy_to_parquet(
        f"SELECT tbar, {conf}, {place} FROM ({same}) JOIN {CONNECTIONS} AS c USING (id) GROUP BY tbar", groups
    )
    rows = ctx.engine.scalar(f"SELECT count(*) FROM {parquet(members)}")
    return Merged(parquet(members), parquet(groups), int(rows))


def _at_one_place(found: Connections) -> str:
    """Connections that begin in the same voxel of the table, in the same supervoxel and body."""
    place = ["pre_x", "pre_y", "pre_z", "pre_body", *(["pre_sv"] if found.has_supervoxels else [])]
    tbar = f"min(id) OVER (PARTITION BY {', '.join(place)})"
    return f"SELECT * FROM (SELECT id, {tbar} AS tbar FROM {CONNECTIONS}) WHERE id <> tbar"


def _near_each_other(radius: float, ctx: Context, found: Connections) -> str:
    """Connections of one body that a chain of steps joins, none of them longer than the radius.

    Space is divided into cubes of the radius, so that what is near lies in the same cube or one beside it.  Each id
    is then replaced by the smallest among its neighbours until nothing changes, which takes as many rounds as the
    longest chain has steps.  Connections on no body are left alone: they need not belong together.
    """
    scale = ", ".join(
        f"pre_{axis} * {literal(float(unit))} AS {axis}"
        for axis, unit in zip(AXES, found.table.resolution, strict=True)
    )
    cube = ", ".join(f"CAST(floor({axis} / {literal(radius)}) AS BIGINT) AS c{axis}" for axis in AXES)
    placed = f"SELECT *, {cube} FROM (SELECT id, pre_body, {scale} FROM {CONNECTIONS} WHERE pre_body <> 0)"
    steps = "(SELECT unnest([-1, 0, 1]) AS d{})"
    around = " CROSS JOIN ".join(f"{steps.format(axis)} AS s{axis}" for axis in AXES)
    cubes = " AND ".join(f"a.c{axis} + d{axis} = b.c{axis}" for axis in AXES)
    distance = " + ".join(f"(a.{axis} - b.{axis}) ** 2" for axis in AXES)
    ctx.engine.execute(f"""
        CREATE OR REPLACE TEMP TABLE {_NEAR} AS
        WITH p AS ({placed}),
            a AS (SELECT p.*, dx, dy, dz FROM p CROSS JOIN {around})
        SELECT a.id AS id, b.id AS other FROM a JOIN p AS b
        ON a.pre_body = b.pre_body AND {cubes} AND a.id <> b.id
        WHERE {distance} <= {literal(radius * radius)}
    """)
    ctx.engine.execute(
        f"CREATE OR REPLACE TEMP TABLE {_LABELS} AS SELECT id, least(id, min(other)) AS tbar FROM {_NEAR} GROUP BY id"
    )
    for _ in range(_MAX_ROUNDS):
        found_near = f"FROM {_NEAR} AS n JOIN {_LABELS} AS l ON l.id = n.other"
        lower = f"SELECT n.id, min(l.tbar) AS tbar {found_near} GROUP BY n.id"
        changed = ctx.engine.rows(
            f"UPDATE {_LABELS} AS t SET tbar = f.tbar FROM ({lower}) AS f WHERE f.id = t.id AND f.tbar < t.tbar"
        )[0][0]
        if not changed:
            return f"SELECT id, tbar FROM {_LABELS} WHERE id <> tbar"
    problem = f"chains of connections within {radius} nm are longer than {_MAX_ROUNDS} steps"
    raise DataError(problem, hint="choose a smaller inputs.cave.merge-presyn, in nanometers")
