"""The default name of a snapshot."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.sources.dvid.failures import DvidError
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient
from flyem_snapshot.sources.dvid.mutations import last_mutation
from flyem_snapshot.sources.dvid.tag import snapshot_tag
from tests.dvid_double import DvidDouble

UUID = "3ddc3f" + "0" * 26
CUBE = np.arange(1, 9, dtype=np.uint64).reshape(2, 2, 2).repeat(32, 0).repeat(32, 1).repeat(32, 2)


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    dvid.clock.set(datetime(2024, 2, 1, 12, tzinfo=UTC))
    return dvid.new_repo("brain", root=UUID)


@pytest.fixture
def seg(repo):
    return repo.labelmap("seg", CUBE)


def tag_of(dvid, reference=":master", **options):
    node = resolve(DvidClient(dvid.url, user="tester", pause=0.001), reference)
    return snapshot_tag(node, last_mutation(node, "seg"), **options)


def test_the_tag_is_the_day_of_the_last_edit_and_the_beginning_of_the_uuid(dvid, repo, seg):
    seg.merge(UUID, 1, [2], timestamp="2024-01-30 15:00:00.25 +0000 UTC m=+1.5")
    assert tag_of(dvid) == "2024-01-30-3ddc3f-unlocked"
    repo.commit(UUID)
    assert tag_of(dvid) == "2024-01-30-3ddc3f"


@pytest.mark.parametrize(
    ("timestamp", "day"),
    [
        ("2024-02-01 04:59:59.9 +0000 UTC", "2024-01-31"),  # 23:59 in the east of the US
        ("2024-02-01 05:00:00 +0000 UTC m=+1", "2024-02-01"),  # M25: a whole second
        ("2024-07-01 03:59:59 +0000 UTC", "2024-06-30"),  # summer time
        ("2024-07-01 04:00:00 +0000 UTC", "2024-07-01"),
        ("2024-01-31 23:30:00.125 -0500 EST m=+0.8", "2024-01-31"),
    ],
)
def test_the_day_is_that_of_the_eastern_united_states(dvid, repo, seg, timestamp, day):
    seg.merge(UUID, 1, [2], timestamp=timestamp)
    assert tag_of(dvid) == f"{day}-3ddc3f-unlocked"


def test_another_zone_may_be_chosen(dvid, repo, seg):
    seg.merge(UUID, 1, [2], timestamp="2024-02-01 04:00:00 +0000 UTC")
    assert tag_of(dvid, zone="UTC").startswith("2024-02-01")
    assert tag_of(dvid, zone="Asia/Tokyo").startswith("2024-02-01")
    assert tag_of(dvid, zone="America/Los_Angeles").startswith("2024-01-31")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd"])
def test_an_unknown_zone_is_an_error(dvid, repo, seg, zone):
    with pytest.raises(SnapshotError, match="there is no time zone"):
        tag_of(dvid, zone=zone)


def test_the_uuid_is_the_nodes_and_the_day_the_ancestors(dvid, repo, seg):
    seg.merge(UUID, 1, [2], timestamp="2024-01-30 15:00:00 +0000 UTC")
    repo.commit(UUID)
    repo.child(UUID, new_uuid="abcdef" + "1" * 26)
    assert tag_of(dvid) == "2024-01-30-abcdef-unlocked"


def test_without_any_edit_it_is_the_day_of_the_nodes_update(dvid, repo, seg):
    dvid.clock.set(datetime(2024, 3, 1, 3, tzinfo=UTC))
    repo.touch(UUID, "a note")
    assert tag_of(dvid) == "2024-02-29-3ddc3f-unlocked"


def test_without_logs_it_is_the_day_of_the_nodes_update_with_a_warning(dvid, repo, seg, caplog):
    dvid.abilities.json_log = False
    assert tag_of(dvid) == "2024-02-01-3ddc3f-unlocked"
    assert "keeps no log of edits" in caplog.text


def test_an_edit_without_a_time_gets_none_made_up(dvid, repo, seg, caplog):
    seg.merge(UUID, 1, [2], timestamp="")
    assert tag_of(dvid) == "2024-02-01-3ddc3f-unlocked"
    assert "the time of the last edit is unknown" in caplog.text


def test_without_any_time_there_is_no_tag(dvid, repo, seg):
    repo.node(UUID).updated = datetime(1, 1, 1, 12, tzinfo=UTC)  # Go's zero time
    with pytest.raises(DvidError, match="neither an edit nor the node has a time"):
        tag_of(dvid)


def test_a_node_may_have_a_name_that_no_file_could_have(dvid):
    repo = dvid.new_repo("odd", root="v1 x+y")
    repo.labelmap("seg", CUBE)
    assert tag_of(dvid) == "2024-02-01-v1_x_y-unlocked"
