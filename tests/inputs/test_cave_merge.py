"""T-bars merged by distance: right for any tangle of links, and quick where there are many."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.errors import SettingError
from flyem_snapshot.inputs.cave import merge
from tests.cave_static import R, loader
from tests.contexts import make_context


@pytest.fixture
def load(tmp_path: Path):
    """Run the stage on tables of files."""
    return loader(tmp_path)


def on_one_body(**places: Any) -> dict[str, Any]:
    """Connections from one body that begin at the given places, in voxels; their ids are the row numbers."""
    rows = len(places["x"])
    made: dict[str, Any] = {"id": np.arange(rows), "pre_pt_root_id": np.full(rows, R)}
    made["post_pt_root_id"] = np.full(rows, R + 1)
    for axis in "xyz":
        made[f"pre_pt_position_{axis}"] = places.get(axis, np.zeros(rows, int))
        made[f"post_pt_position_{axis}"] = np.zeros(rows, int)
    return made


def tbars(load: Any, rows: dict[str, Any], radius: float) -> list[int]:
    """The T-bar of each connection, as the id of its first connection."""
    return [point // 2 for point in load({"synapses": rows}, merge_presyn=radius).partners["pre_id"].to_pylist()]


def by_hand(links: list[tuple[int, int]]) -> dict[int, int]:
    """The smallest id that links lead to, for each id that has a link."""
    label = {end: end for link in links for end in link}
    for _ in label:
        for one, other in links:
            label[one] = label[other] = min(label[one], label[other])
    return label


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory):
    ctx = make_context(tmp_path_factory.mktemp("links"))
    yield ctx
    ctx.engine.close()


@given(links=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(lambda ends: ends[0] != ends[1])))
def test_what_links_join_gets_the_smallest_id(context, links):
    values = ", ".join(f"({min(link)}, {max(link)})" for link in links) or "(NULL, NULL)"
    context.engine.execute(
        "CREATE OR REPLACE TEMP TABLE cave_links AS SELECT low::BIGINT AS low, high::BIGINT AS high "
        f"FROM (VALUES {values}) AS v (low, high) WHERE low IS NOT NULL"
    )
    merge._join_links(context)
    found = dict(context.engine.rows("SELECT id, tbar FROM cave_labels"))
    assert found == by_hand(links)


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_a_long_chain_takes_seconds(load, order):
    number = 20_000
    place = {"ascending": np.arange(number), "descending": np.arange(number)[::-1]}.get(
        order, np.random.default_rng(2).permutation(number)
    )
    began = time.monotonic()
    assert set(tbars(load, on_one_body(x=20 * place), 100)) == {0}
    assert time.monotonic() - began < 15


def test_thousands_of_connections_at_one_place_take_seconds(load):
    began = time.monotonic()
    assert set(tbars(load, on_one_body(x=np.full(20_000, 5)), 100)) == {0}
    assert time.monotonic() - began < 15


def test_a_step_of_exactly_the_radius_counts_in_every_direction(load):
    steps = np.array([(dx, dy, dz) for dx in (-1, 0, 1) for dy in (-1, 0, 1) for dz in (-1, 0, 1)])
    # A place every 4,000 nm, each with one neighbour: 12 voxels of 4 nm away, or 1 of 40 nm, or both.
    base = np.arange(len(steps))[:, None] * [1000, 1000, 100]
    away = steps * [12, 12, 1]
    both = np.concatenate([base, base + away])
    length = np.sqrt(((away * [4, 4, 40]) ** 2).sum(axis=1))
    radius = 48

    found = tbars(load, on_one_body(x=both[:, 0], y=both[:, 1], z=both[:, 2]), radius)
    number = len(steps)
    expected = np.where(length <= radius, np.arange(number), np.arange(number) + number)
    assert found == [*range(number), *expected.tolist()]


def test_a_radius_below_a_voxel_joins_what_lies_in_one(load):
    assert tbars(load, on_one_body(x=[7, 7, 8]), 1e-17) == [0, 0, 2]


def test_a_distance_at_which_too_much_would_be_compared_is_refused(load, monkeypatch):
    monkeypatch.setattr(merge, "_FREE", 1000)
    monkeypatch.setattr(merge, "CROWD", 10)

    with pytest.raises(SettingError, match="merge-presyn: is too far: up to 400 places of one body lie in a cube"):
        tbars(load, on_one_body(x=np.arange(400)), 100_000)
