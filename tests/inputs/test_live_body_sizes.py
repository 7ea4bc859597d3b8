"""Sizes of bodies that a server is asked for, with and without a table of another version."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather

from flyem_snapshot.errors import SettingError
from flyem_snapshot.inputs.body_sizes import check_body_sizes, load_body_sizes
from flyem_snapshot.inputs.body_sizes_settings import BodySizesSettings
from flyem_snapshot.sources.dvid.http import DvidError
from flyem_snapshot.tables.bodies import BodyAnnotations


@pytest.fixture
def sizes(world):
    """Sizes at a version as a dict, of the bodies that are annotated (default: all); `cache` is (uuid, sizes)."""

    def load(uuid=None, bodies=None, cache=None, segmentation=None, **settings):
        ctx = world.ctx("body-sizes")
        segmentation = segmentation or world.segmentation(uuid)
        wanted = sorted(world.truth(uuid).sizes) if bodies is None else bodies
        frame = pd.DataFrame({"status": None}, index=pd.Index(np.array(wanted, np.int64), name="body"))
        annotations = BodyAnnotations(frame)
        if cache is not None:
            settings |= {"cache_file": write(world, cache[1]), "cache_uuid": cache[0]}
        with ctx.engine:
            found = load_body_sizes(
                BodySizesSettings(load_sizes=True, **settings),
                ctx,
                annotations=annotations,
                synapses=None,
                elements=None,
                dvid_seg=segmentation,
            )
        return found.sizes.to_dict()

    return load


def write(world, sizes):
    path = world.folder / "sizes.feather"
    feather.write_feather(pa.table({"body": list(sizes), "size": list(sizes.values())}), str(path))
    return path


def edited(world):
    """Edits of each kind that changes, makes or removes bodies."""
    world.seg.merge(world.uuid, 1, [2, 3, 9])
    made = world.seg.cleave(world.uuid, 1, [3, 9])
    world.seg.renumber(world.uuid, 5000, 4)
    world.seg.split_body(world.uuid, 10, world.halves())
    world.seg.split_supervoxel(world.uuid, 11, world.halves())
    return made


@pytest.mark.parametrize("locked", [True, False])
def test_all_are_asked_for_without_a_table(world, sizes, locked):
    edited(world)
    uuid = world.commit() if locked else world.uuid
    assert sizes(uuid) == world.truth(uuid).sizes


def test_bodies_that_do_not_exist_have_no_size_and_are_said_not_to(world, sizes, caplog):
    edited(world)
    uuid = world.commit()
    with caplog.at_level("WARNING"):
        found = sizes(uuid, bodies=[1, 2, 4, 12])
    assert found == {body: world.truth(uuid).sizes[body] for body in (1, 12)}
    assert "2 bodies have no size" in caplog.text


def test_with_a_table_only_what_changed_is_asked_for_besides_a_check(world, sizes, monkeypatch):
    monkeypatch.setattr("flyem_snapshot.sources.dvid.sizes.SPOT_CHECKS", 5)
    before, old = world.commit(), world.truth().sizes
    made = edited(world)
    uuid = world.commit()
    world.dvid.requests.clear()
    assert sizes(uuid, cache=(before, old)) == world.truth(uuid).sizes
    asked = {body for request in world.dvid.asked("/sizes$") for body in request.json()}
    assert asked >= {1, made, 5000, 10}
    assert len(asked) <= 5 + 5


def test_bodies_that_the_table_lacks_are_asked_for_and_those_that_are_gone_go(world, sizes):  # M7
    before, old = world.commit(), world.truth().sizes
    edited(world)
    uuid = world.commit()
    lacking = {body: size for body, size in old.items() if body % 2}
    found = sizes(uuid, cache=(before, lacking))
    assert found == world.truth(uuid).sizes
    assert not {2, 3, 4, 9} & set(found)


def test_a_table_may_hold_bodies_that_nobody_asks_for(world, sizes):
    before, old = world.commit(), world.truth().sizes
    edited(world)
    uuid = world.commit()
    assert sizes(uuid, bodies=[1], cache=(before, old)) == world.truth(uuid).sizes | {}


@pytest.mark.parametrize("side", ["another branch", "a later version", "an open version"])
def test_a_table_of_a_version_that_is_no_ancestor(world, sizes, side):  # M8
    root = world.commit()
    here = world.uuid
    world.seg.merge(here, 20, [21])
    world.repo.commit(here)
    there = world.repo.child(root, "side") if side == "another branch" else world.repo.child(here)
    world.uuid = there
    edited(world)
    old = world.truth(there).sizes
    if side != "an open version":
        world.repo.commit(there)
    else:
        world.seg.merge(there, 30, [33])
    assert sizes(here, cache=(there, old)) == world.truth(here).sizes


@pytest.mark.parametrize("uuid", ["", "fedcba"])
def test_a_table_of_a_version_that_does_not_exist_is_an_error(world, sizes, uuid):  # M8
    old = world.truth().sizes
    with pytest.raises(DvidError, match="is no node") as caught:
        sizes(world.commit(), cache=(uuid or "0123", old))
    assert caught.value.hint


def test_a_table_without_its_version_is_an_error_before_and_while_it_runs(world):  # M8
    path = write(world, {1: 5})
    config = BodySizesSettings(load_sizes=True, cache_file=path)
    (fault,) = check_body_sizes(config, world.whole())
    assert isinstance(fault, SettingError)
    assert "cache-uuid" in str(fault.hint)
    with pytest.raises(SettingError, match="not known"):
        load_body_sizes(
            config, world.ctx("x"), annotations=None, synapses=None, elements=None, dvid_seg=world.segmentation()
        )


def test_a_version_without_its_table_is_a_problem_of_the_settings():
    (problem,) = BodySizesSettings(load_sizes=True, cache_uuid="abc").problems()
    assert problem.path == ("cache-uuid",)


def test_sizes_that_no_edit_explains_make_all_be_asked_for(world, sizes, caplog):
    before, old = world.commit(), world.truth().sizes
    wrong = {body: size + 1 for body, size in old.items()}
    uuid = world.commit()
    with caplog.at_level("WARNING"):
        assert sizes(uuid, cache=(before, wrong)) == world.truth(uuid).sizes
    assert "all body sizes are fetched anew" in caplog.text


def test_refresh_asks_for_all(world, sizes, monkeypatch):
    monkeypatch.setattr("flyem_snapshot.sources.dvid.sizes.SPOT_CHECKS", 0)
    before, old = world.commit(), world.truth().sizes
    uuid = world.commit()
    wrong = {**old, 1: 7}
    assert sizes(uuid, cache=(before, wrong))[1] == 7  # nobody can know
    assert sizes(uuid, cache=(before, wrong), refresh=True) == old


def test_without_a_log_all_are_asked_for(world, sizes, caplog):
    before, old = world.commit(), world.truth().sizes
    edited(world)
    uuid = world.commit()
    world.dvid.abilities.json_log = False
    with caplog.at_level("WARNING"):
        assert sizes(uuid, cache=(before, old)) == world.truth(uuid).sizes
    assert "no log" in caplog.text


@pytest.mark.parametrize("cached", [False, True])
def test_sizes_of_an_open_version_are_those_of_the_moment(world, sizes, cached):
    before, old = world.commit(), world.truth().sizes
    world.seg.merge(world.uuid, 20, [21, 22])
    segmentation = world.segmentation()
    then = world.truth().sizes
    edited(world)
    world.seg.merge(world.uuid, 30, [20])
    world.seg.cleave(world.uuid, 30, [30])
    cache = (before, old) if cached else None
    assert sizes(bodies=sorted(then), cache=cache, segmentation=segmentation) == then


def test_a_body_that_is_made_anew_after_the_moment_has_no_size(world, sizes):
    segmentation = world.segmentation()
    made = edited(world)
    assert sizes(bodies=[1, made], segmentation=segmentation) == {1: 16**3}


def test_sizes_beyond_32_bits_and_ids_beyond_53(world, sizes):
    big = 2**53 + 1
    world.seg.load_mapping(
        world.uuid, np.array([big, big + 1], np.uint64), np.array([big, big], np.uint64), np.array([2**40, 3])
    )
    assert sizes(world.commit(), bodies=[big]) == {big: 2**40 + 3}
