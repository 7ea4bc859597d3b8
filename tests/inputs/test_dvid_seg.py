"""The stage of the segmentation: which version, what state, what it is called, and what is kept of it."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from flyem_snapshot.errors import SettingError
from flyem_snapshot.inputs.dvid_seg import STAGE, default_tag, pin_version, state, state_afterwards
from flyem_snapshot.inputs.dvid_seg_settings import DvidSegSettings
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.segmentation import reconnected
from tests.live_stages import TERMS


def opened(world, settings):
    connections.forget()
    connections.node(settings.server, settings.uuid, TERMS)
    return settings


def test_an_expression_becomes_a_full_uuid_and_means_one_version_throughout_a_job(world):  # M12
    first = world.commit()
    pinned = pin_version(world.settings(":master~1"), world.whole())
    assert pinned.uuid == first
    assert pinned.server == world.dvid.url
    second = world.commit()
    assert pin_version(world.settings(":master~1"), world.whole()).uuid == first
    connections.forget()
    assert pin_version(world.settings(":master~1"), world.whole()).uuid == second


@pytest.mark.parametrize(("name", "problem"), [("segmentatio", "no instance"), ("notes", "annotation")])
def test_a_labelmap_that_does_not_exist_is_found_at_once(world, name, problem):
    world.repo.annotation("notes")
    with pytest.raises(SettingError, match=problem) as caught:
        pin_version(world.settings(instance=name), world.whole())
    assert caught.value.field == ("instance",)


def test_the_tag_is_of_the_last_edit_of_the_version_or_of_an_ancestor(world):
    world.seg.merge(world.uuid, 1, [2], timestamp="2023-11-04 23:30:00.123456789 -0400 EDT m=+5.1")
    locked = world.commit()
    world.commit()
    for uuid, ending in ((locked, ""), (world.uuid, "-unlocked")):
        settings = opened(world, world.settings(uuid))
        assert default_tag(settings, None) == f"2023-11-04-{uuid[:6]}{ending}"


def test_the_time_of_the_last_edit_may_be_on_a_whole_second(world):  # M25
    world.seg.merge(world.uuid, 1, [2], timestamp="2023-11-05 03:59:59 +0000 UTC m=+780366")
    assert default_tag(opened(world, world.settings()), None) == f"2023-11-04-{world.uuid[:6]}-unlocked"


@pytest.mark.parametrize("has_log", [True, False])
def test_without_any_edit_the_day_is_that_of_the_versions_last_update(world, has_log):
    world.dvid.abilities.json_log = has_log
    world.dvid.clock.set(dt.datetime(2025, 5, 6, 3, 0, tzinfo=dt.UTC))
    locked = world.commit()  # made at 3 o'clock in Greenwich, which is the evening before in Boston
    assert default_tag(opened(world, world.settings(locked)), None) == f"2025-05-05-{locked[:6]}"


def test_without_a_server_there_is_neither_tag_nor_stage():
    assert default_tag(DvidSegSettings(), None) == ""
    assert not STAGE.enabled(DvidSegSettings())


def test_the_state_is_the_version_and_its_own_log(world):
    locked_state = state(opened(world, world.settings(world.commit())), None)
    assert (locked_state["locked"], locked_state["records"], locked_state["mutid"]) == (True, 0, 0)
    world.seg.merge(world.uuid, 1, [2])
    mutid = world.seg.merge(world.uuid, 1, [3])
    found = state(opened(world, world.settings()), None)
    assert (found["locked"], found["records"], found["mutid"]) == (False, 2, mutid)
    assert found["uuid"] == world.uuid
    assert found["data-uuid"] == world.seg.data_uuid
    assert found["repo"] == world.repo.root


def test_the_state_afterwards_tells_of_edits_and_of_a_commit(world):
    settings = opened(world, world.settings())
    mutid = world.seg.merge(world.uuid, 1, [2])
    world.repo.commit(world.uuid)
    found = state_afterwards(settings, None)
    assert (found["locked"], found["records"], found["mutid"]) == (True, 1, mutid)
    assert found["server"] == world.dvid.url
    assert dt.datetime.fromisoformat(found["time"]).tzinfo is not None


def test_batches_of_an_open_version_are_refused_and_of_a_locked_one_are_not(world):
    with pytest.raises(SettingError) as caught:
        state(opened(world, world.settings(mapping="batches")), None)
    assert caught.value.field == ("mapping",)
    assert "can still change" in str(caught.value)
    assert state(opened(world, world.settings(world.commit(), mapping="batches")), None)["locked"]


@pytest.mark.parametrize(
    ("locked", "mapping", "kept"),
    [
        (True, "auto", False),
        (True, "batches", False),
        (True, "whole", True),
        (False, "auto", True),
        (False, "whole", True),
    ],
)
def test_the_mapping_is_kept_where_it_must_be_and_found_again(world, locked, mapping, kept):
    world.seg.merge(world.uuid, 1, [2, 3])
    world.seg.cleave(world.uuid, 1, [3])
    uuid = world.commit() if locked else world.uuid
    segmentation = world.segmentation(uuid, mapping=mapping)
    assert (segmentation.map_folder is not None) == kept
    again = type(segmentation).reopen(world.ctx("dvid-seg"), segmentation.record())
    assert again == segmentation
    supervoxels = np.array([1, 2, 3, 4], np.uint64)
    truth = world.truth(uuid)
    expected = truth.owners[np.searchsorted(truth.svs, supervoxels)]
    assert reconnected(again, world.folder).bodies(supervoxels).tolist() == expected.tolist()


def test_the_table_says_what_was_read(world):
    world.seg.merge(world.uuid, 1, [2], user="")
    mutid = world.seg.merge(world.uuid, 1, [4], user="anna")
    found = world.segmentation()
    assert (found.records, found.mutid, found.consistent, found.locked) == (2, mutid, True, False)
    assert found.last["mutid"] == mutid
    assert found.last["user"] == "anna"
    assert found.last["action"] == "merge-complete"
    assert found.last["uuid"] == world.uuid
    assert dt.datetime.fromisoformat(found.last["timestamp"]).tzinfo is not None
    assert found.source == state(opened(world, world.settings()), None) | {
        k: v for k, v in found.source.items() if k == "consistent"
    }


def test_a_version_without_any_edit_has_a_last_state_all_the_same(world):
    found = world.segmentation(world.commit())
    assert (found.records, found.mutid, found.last["mutid"], found.last["action"]) == (0, 0, 0, "")


@pytest.mark.parametrize("version", ["", "v1.2-dirty", "nightly"])
def test_whatever_the_server_says_of_its_version(world, version):  # M23
    world.dvid.abilities.version = version
    assert state_afterwards(opened(world, world.settings()), None)["server-version"] == version


def test_unknown_actions_are_warned_of_and_do_not_stop_a_snapshot(world, caplog):  # M23
    world.seg.log_record(world.uuid, {"Action": "levitate-complete", "MutationID": 5, "UUID": world.uuid})
    with caplog.at_level("WARNING"):
        assert world.segmentation().records == 1
    assert "levitate-complete" in caplog.text


def test_a_time_zone_that_does_not_exist_is_a_problem_of_the_settings():
    (problem,) = DvidSegSettings(tag_time_zone="US/Nowhere").problems()
    assert problem.path == ("tag-time-zone",)
