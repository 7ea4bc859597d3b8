"""T-bars that several connections share: those at one place, or those that lie close together on one body."""

from __future__ import annotations

from itertools import product
from typing import Final

from flyem_snapshot.engine.session import parquet
from flyem_snapshot.engine.sql import literal
from flyem_snapshot.errors import SettingError
from flyem_snapshot.inputs.cave.fetched import AXES
from flyem_snapshot.inputs.cave.settings import CaveSettings
from flyem_snapshot.inputs.cave.synapses import CONNECTIONS, Connections, Merged
from flyem_snapshot.log import timed
from flyem_snapshot.stage import Context

CROWD: Final = 300
"""So many places of one body in a cube of the radius, on average over all places, are too many to compare."""

_FREE: Final = 20_000_000
"""So many comparisons within cubes are quick, however crowded the cubes are."""

_LINKS: Final = "cave_links"
_LABELS: Final = "cave_labels"
_PARENTS: Final = "cave_parents"


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
        ctx.engine.execute(f"DROP TABLE {_LABELS}")
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

    Those that begin in one voxel are one place, with the smallest of their ids; places that are near each other are
    linked, and what links join gets the smallest id.  Connections on no body are left alone: they need not belong
    together.
    """
    where = ", ".join(["pre_body", *(f"pre_{axis}" for axis in AXES)])
    places = ctx.scratch / "places.parquet"
    ctx.engine.copy_to_parquet(
        f"SELECT min(id) AS id, {where} FROM {CONNECTIONS} WHERE pre_body <> 0 GROUP BY {where}", places
    )
    _link(radius, ctx, found, parquet(places))
    _join_links(ctx)
    tbar = f"coalesce(l.tbar, p.id) AS tbar FROM {CONNECTIONS} AS c JOIN {parquet(places)} AS p USING ({where})"
    return f"SELECT * FROM (SELECT c.id, {tbar} LEFT JOIN {_LABELS} AS l ON l.id = p.id) WHERE id <> tbar"


def _link(radius: float, ctx: Context, found: Connections, places: str) -> None:
    """Make the table of links (low, high), ids of places of one body that are at most the radius apart.

    Space is divided into cubes at least as wide as the radius, so that what is near lies in the same cube or in one of
    the 26 beside it; 13 of them will do, since the others look this way.
    """
    units = found.table.resolution
    # Cubes below the size of a voxel would only have greater numbers.
    width = literal(max(radius, *units))
    scaled = ", ".join(f"pre_{axis} * {literal(float(unit))} AS {axis}" for axis, unit in zip(AXES, units, strict=True))
    cube = ", ".join(f"CAST(floor({axis} / {width}) AS BIGINT) AS c{axis}" for axis in AXES)
    placed = f"SELECT *, {cube} FROM (SELECT id, pre_body, {scaled} FROM {places})"
    _refuse_crowds(radius, ctx, placed)
    ahead = [step for step in product((-1, 0, 1), repeat=3) if step >= (0, 0, 0)]
    steps = ", ".join(f"({x}, {y}, {z})" for x, y, z in ahead)
    distance = " + ".join(f"(a.{axis} - b.{axis}) ** 2" for axis in AXES)
    cubes = " AND ".join(f"a.c{axis} = b.c{axis}" for axis in AXES)
    moved = ", ".join(f"c{axis} + d{axis} AS c{axis}" for axis in AXES)
    ctx.engine.execute(f"""
        CREATE OR REPLACE TEMP TABLE {_LINKS} AS
        WITH p AS ({placed}),
            a AS (
                SELECT id, pre_body, x, y, z, dx = 0 AND dy = 0 AND dz = 0 AS own, {moved}
                FROM p CROSS JOIN (VALUES {steps}) AS s (dx, dy, dz)
            )
        SELECT least(a.id, b.id) AS low, greatest(a.id, b.id) AS high
        FROM a JOIN p AS b ON a.pre_body = b.pre_body AND {cubes}
        WHERE {distance} <= {literal(radius * radius)} AND (NOT own OR a.id < b.id)
    """)


def _refuse_crowds(radius: float, ctx: Context, placed: str) -> None:
    """Raise SettingError where so many places share a cube that comparing them would take days."""
    crowds = f"SELECT count(*) AS n FROM ({placed}) GROUP BY pre_body, cx, cy, cz"
    pairs, places, most = ctx.engine.rows(
        f"SELECT coalesce(sum(n * n), 0), coalesce(sum(n), 0), coalesce(max(n), 0) FROM ({crowds})"
    )[0]
    if pairs > max(_FREE, CROWD * places):
        problem = f"is too far: up to {most:,} places of one body lie in a cube of {radius:g} nm"
        raise SettingError("merge-presyn", problem, hint="choose a smaller distance, in nanometers")


def _join_links(ctx: Context) -> None:
    """Make the table of labels (id, tbar): for each place with a link, the smallest id that links lead to.

    In each round every id gets the smallest id that it is linked with as its parent, if that is smaller, and takes
    over the parent of its parent until it has the root of its tree.  Then links are those between roots.  An id that
    is left without a tree has a link to a smaller root afterwards, so two rounds at least halve the number of roots:
    the rounds grow with the logarithm of the number of links, however long a chain is.
    """
    engine = ctx.engine
    ends = f"SELECT low AS id FROM {_LINKS} UNION SELECT high FROM {_LINKS}"
    engine.execute(f"CREATE OR REPLACE TEMP TABLE {_LABELS} AS SELECT id, id AS tbar FROM ({ends})")
    while engine.scalar(f"SELECT count(*) FROM {_LINKS}"):
        engine.execute(
            f"CREATE OR REPLACE TEMP TABLE {_PARENTS} AS SELECT high AS id, min(low) AS up FROM {_LINKS} GROUP BY high"
        )
        while engine.scalar(f"SELECT count(*) FROM {_PARENTS} AS c JOIN {_PARENTS} AS p ON p.id = c.up"):
            _replace(ctx, _PARENTS, f"SELECT c.id, coalesce(p.up, c.up) AS up {_above(_PARENTS, 'c.up')}")
        _replace(ctx, _LABELS, f"SELECT c.id, coalesce(p.up, c.tbar) AS tbar {_above(_LABELS, 'c.tbar')}")
        roots = f"SELECT coalesce(a.up, low) AS one, coalesce(b.up, high) AS other FROM {_LINKS}"
        roots += f" LEFT JOIN {_PARENTS} AS a ON a.id = low LEFT JOIN {_PARENTS} AS b ON b.id = high"
        between = f"SELECT DISTINCT least(one, other) AS low, greatest(one, other) AS high FROM ({roots})"
        _replace(ctx, _LINKS, f"{between} WHERE one <> other")
    for table in (_LINKS, _PARENTS):
        engine.execute(f"DROP TABLE IF EXISTS {table}")


def _above(table: str, key: str) -> str:
    return f"FROM {table} AS c LEFT JOIN {_PARENTS} AS p ON p.id = {key}"


def _replace(ctx: Context, table: str, statement: str) -> None:
    """Put the rows of a statement, which may read the table, in the place of the table."""
    ctx.engine.execute(f"CREATE OR REPLACE TEMP TABLE {table}_next AS {statement}")
    ctx.engine.execute(f"DROP TABLE {table}")
    ctx.engine.execute(f"ALTER TABLE {table}_next RENAME TO {table}")
