"""Body sizes brought up to date from a cache and the log."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient, DvidError
from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.sources.dvid.sizes import SPOT_CHECKS, updated_sizes
from tests.dvid_double import DvidDouble

BODIES = 400


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("sizes")


@pytest.fixture
def seg(repo):
    """Bodies 1 to 400, each of its own size: body n has n + 50 voxels."""
    voxels = np.zeros(128 * 64 * 64, np.uint64)
    labels = np.repeat(np.arange(1, BODIES + 1), np.arange(1, BODIES + 1) + 50)
    voxels[: len(labels)] = labels
    return repo.labelmap("segmentation", voxels.reshape(128, 64, 64))


def opened(dvid, uuid):
    return Labelmap.open(resolve(DvidClient(dvid.url, user="tester", pause=0.001), uuid), "segmentation")


def truth(seg, uuid, bodies=None):
    bodies = seg.bodies(uuid) if bodies is None else bodies
    return {int(body): seg.size(uuid, int(body)) for body in bodies}


def table(sizes):
    return np.array(list(sizes), np.uint64), np.array(list(sizes.values()), np.int64)


def updated(dvid, uuid, cached, cache_uuid, wanted=(), **options):
    bodies, sizes, report = updated_sizes(
        opened(dvid, uuid), table(cached), cache_uuid, np.array(wanted, np.uint64), **options
    )
    assert (bodies.dtype, sizes.dtype) == (np.uint64, np.int64)
    assert (np.diff(bodies.astype(np.int64)) > 0).all()
    return dict(zip(bodies.tolist(), sizes.tolist(), strict=True)), report


def asked_for(dvid):
    return sorted(body for request in dvid.asked("/sizes$") for body in json.loads(request.body))


def next_version(repo, uuid):
    repo.commit(uuid)
    return repo.child(uuid)


def test_an_unchanged_segmentation_needs_a_spot_check_only(dvid, repo, seg):
    child = next_version(repo, repo.root)
    cached = truth(seg, repo.root)
    found, report = updated(dvid, child, cached, repo.root)
    assert found == cached
    assert (report.kept, report.dropped, report.fetched, report.checked) == (BODIES, 0, 0, SPOT_CHECKS)
    assert len(asked_for(dvid)) == SPOT_CHECKS


def test_the_spot_check_is_the_same_in_every_run_and_another_one_for_other_versions(dvid, repo, seg):
    child = next_version(repo, repo.root)
    cached = truth(seg, repo.root)
    seen = []
    for uuid in (child, child, next_version(repo, child)):
        dvid.requests.clear()
        updated(dvid, uuid, cached, repo.root)
        seen.append(asked_for(dvid))
    assert seen[0] == seen[1] != seen[2]


def test_every_kind_of_edit_brings_its_bodies_up_to_date(dvid, repo, seg):  # M7
    cached = truth(seg, repo.root)
    child = next_version(repo, repo.root)
    seg.merge(child, 10, [11, 12])
    new = seg.cleave(child, 10, [12])
    seg.renumber(child, 5000, 20)
    cube = seg.labels(child).cube
    seg.split_supervoxel(child, 30, (cube == 30) & (np.cumsum(cube == 30).reshape(cube.shape) <= 7))
    part = seg.split_body(child, 40, (cube == 40) & (np.cumsum(cube == 40).reshape(cube.shape) <= 5))
    found, report = updated(dvid, child, cached, repo.root)
    assert found == truth(seg, child)
    assert {11, 12, 20} & set(found) == set(), "gone"
    assert found[new] == 62
    assert (found[5000], found[30], found[40], found[part]) == (70, 80, 85, 5)
    assert (report.kept, report.dropped) == (BODIES - 5, 5), (
        "10, 11, 12, 20 and 40; the split supervoxel changed no body"
    )
    assert set(asked_for(dvid)) & {11, 12, 20} == set(), "the log says that they are gone"


def test_wanted_bodies_that_the_cache_lacks_are_fetched(dvid, repo, seg):  # M7
    cached = {body: size for body, size in truth(seg, repo.root).items() if body > 300}
    child = next_version(repo, repo.root)
    found, report = updated(dvid, child, cached, repo.root, [5, 7, 350, 99999, 0])
    assert found == {**cached, 5: 55, 7: 57}
    assert (report.fetched, report.missing) == (3, 1), "99999 does not exist; 0 is no body"


def test_bodies_that_are_gone_are_not_kept_for_ever(dvid, repo, seg):  # M7
    cached = truth(seg, repo.root)
    child = next_version(repo, repo.root)
    seg.merge(child, 1, range(2, 100))
    found, report = updated(dvid, child, cached, repo.root, range(1, 100))
    assert not set(range(2, 100)) & set(found)
    assert (report.dropped, report.missing) == (99, 98)


def test_a_body_that_was_merged_away_and_came_back_is_there(dvid, repo, seg):
    cached = truth(seg, repo.root)
    child = next_version(repo, repo.root)
    seg.renumber(child, 6000, 20)
    child = next_version(repo, child)
    seg.renumber(child, 7000, 6000)
    found, _ = updated(dvid, child, cached, repo.root)
    assert found == truth(seg, child)
    assert found[7000] == 70


def test_a_cache_of_another_branch_goes_by_the_common_ancestor(dvid, repo, seg):  # M8
    repo.commit(repo.root)
    ours, theirs = repo.child(repo.root, "ours"), repo.child(repo.root, "theirs")
    seg.merge(theirs, 10, [11])
    seg.merge(theirs, 50, [51])
    seg.renumber(theirs, 8000, 60)
    seg.merge(ours, 20, [21])
    seg.merge(ours, 12, [11])
    cached = truth(seg, theirs)
    found, report = updated(dvid, ours, cached, theirs)
    assert {body: found[body] for body in (10, 12, 20, 50, 51, 60)} == truth(seg, ours, (10, 12, 20, 50, 51, 60))
    assert {11, 21, 8000} & set(found) == set()
    assert found == truth(seg, ours)
    assert not report.refreshed


def test_a_cache_of_a_later_version_is_taken_back(dvid, repo, seg):  # M8
    child = next_version(repo, repo.root)
    seg.merge(child, 10, [11, 12])
    found, _ = updated(dvid, repo.root, truth(seg, child), child)
    assert found == truth(seg, repo.root)


def test_both_parents_of_a_merged_version_count(dvid, repo, seg):
    repo.commit(repo.root)
    one, two = repo.child(repo.root, "one"), repo.child(repo.root, "two")
    seg.merge(one, 10, [11])
    seg.merge(two, 20, [21])
    repo.commit(one)
    repo.commit(two)
    joined = repo.merge(one, two)
    cached = truth(seg, repo.root)
    found, report = updated(dvid, joined, cached, repo.root)
    assert found == truth(seg, joined)
    assert set(asked_for(dvid)) >= {10, 11, 20}
    assert not report.refreshed


def test_edits_of_the_caches_own_node_count_since_it_may_have_been_open(dvid, repo, seg):
    cached = truth(seg, repo.root)
    seg.merge(repo.root, 10, [11])  # after the cache was made
    child = next_version(repo, repo.root)
    found, _ = updated(dvid, child, cached, repo.root)
    assert found == truth(seg, child)
    # Whoever knows that the node was locked when the sizes were made spares the server these.
    dvid.requests.clear()
    updated(dvid, child, truth(seg, repo.root), repo.root, locked_then=True)
    assert len(asked_for(dvid)) == SPOT_CHECKS
    assert [request.path.split("/")[3] for request in dvid.asked("/mutations$")] == [child]


def test_a_cache_of_the_very_node_is_brought_up_to_date(dvid, repo, seg):
    cached = truth(seg, repo.root)
    seg.merge(repo.root, 10, [11])
    found, _ = updated(dvid, repo.root, cached, repo.root)
    assert found == truth(seg, repo.root)


def test_the_uuid_may_be_cut_short(dvid, repo, seg):
    child = next_version(repo, repo.root)
    found, _ = updated(dvid, child, truth(seg, repo.root), repo.root[:12])
    assert len(found) == BODIES


@pytest.mark.parametrize("uuid", ["", "ffffffffffffffffffffffffffffffff"])
def test_a_cache_without_its_node_is_an_error(dvid, repo, seg, uuid):  # M8
    with pytest.raises(DvidError, match="the uuid of the body size cache"):
        updated(dvid, repo.root, truth(seg, repo.root), uuid)
    assert dvid.asked("/sizes$") == []


def test_what_was_written_without_a_log_is_found_by_the_spot_check(dvid, repo, seg, caplog):
    cached = truth(seg, repo.root)
    child = next_version(repo, repo.root)
    seg.write(child, np.full((128, 64, 64), 5, np.uint64))
    found, report = updated(dvid, child, cached, repo.root, [7])
    assert found == {5: 128 * 64 * 64}
    assert "sizes in the cache are not those of the server" in report.refreshed
    assert "all body sizes are fetched anew" in caplog.text
    assert (report.kept, report.dropped, report.missing) == (0, BODIES, 1)


def test_all_sizes_are_fetched_anew_on_demand(dvid, repo, seg):
    cached = dict.fromkeys(truth(seg, repo.root), 1)
    found, report = updated(dvid, repo.root, cached, "", [3], refresh=True)
    assert found == truth(seg, repo.root)
    assert (report.fetched, report.checked) == (BODIES, 0)


def test_a_server_without_logs_is_asked_for_everything(dvid, repo, seg, caplog):
    dvid.abilities.json_log = False
    cached = truth(seg, repo.root)
    child = next_version(repo, repo.root)
    seg.merge(child, 10, [11])
    found, report = updated(dvid, child, cached, repo.root)
    assert found == truth(seg, child)
    assert report.refreshed == "the server keeps no log of edits"


def test_versions_that_are_hidden_from_us_make_the_cache_worthless(dvid, repo, seg):
    cached = truth(seg, repo.root)
    hidden = next_version(repo, repo.root)
    seg.merge(hidden, 10, [11])
    child = next_version(repo, hidden)
    dvid.access.mode, dvid.access.public = "jwt", {repo.root, child}
    found, report = updated(dvid, child, cached, repo.root)
    assert found == truth(seg, child)
    assert report.refreshed == "the server shows no version that both come from"


def test_an_edit_of_an_unknown_kind_makes_the_cache_worthless(dvid, repo, seg):  # M23
    cached = truth(seg, repo.root)
    child = next_version(repo, repo.root)
    seg.log_record(child, {"Action": "transmute-complete", "MutationID": 77, "UUID": child})
    found, report = updated(dvid, child, cached, repo.root)
    assert found == cached
    assert report.refreshed == "the log of edits has actions that are new to us: transmute-complete"


def test_bodies_without_voxels_have_no_size(dvid, repo, seg):
    child = next_version(repo, repo.root)
    found, _ = updated(dvid, child, {**truth(seg, repo.root, range(300, 310)), 0: 17, 5: 0}, repo.root, [5])
    assert found == truth(seg, repo.root, [5, *range(300, 310)])


def test_ids_beyond_53_bits_stay_exact(dvid, repo):
    big = 2**63 + 2**10 + 1
    repo.labelmap(
        "segmentation", np.array([big] * 5 + [2**53 + 1] * 7 + [0] * 500, np.uint64).reshape(8, 8, 8), block_size=8
    )
    found, _ = updated(dvid, repo.root, {big: 5}, repo.root, [2**53 + 1])
    assert found == {2**53 + 1: 7, big: 5}


@pytest.mark.parametrize(
    ("cached", "problem"),
    [(([1, 2, 1], [5, 5, 5]), "more than once"), (([1, 2], [5]), "2 bodies, but 1 sizes")],
)
def test_an_unsound_cache_is_refused(dvid, repo, seg, cached, problem):
    bodies, sizes = np.array(cached[0], np.uint64), np.array(cached[1], np.int64)
    with pytest.raises(DataError, match=problem):
        updated_sizes(opened(dvid, repo.root), (bodies, sizes), repo.root, np.empty(0, np.uint64))


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.tuples(st.sampled_from(["merge", "cleave", "renumber", "commit"]), st.integers(0, 10**6)), max_size=14),
    st.integers(0, 10**6),
)
def test_any_history_gives_the_sizes_of_the_server(history, pick):
    with DvidDouble() as dvid:
        repo = dvid.new_repo("any")
        seg = repo.labelmap(
            "segmentation", np.repeat(np.arange(1, 33), 16).astype(np.uint64).reshape(8, 8, 8), block_size=8
        )
        uuid, caches = repo.root, [(repo.root, truth(seg, repo.root))]
        for action, number in history:
            bodies = seg.bodies(uuid)
            body = bodies[number % len(bodies)]
            supervoxels = seg.supervoxels(uuid, body)
            if action == "merge" and len(bodies) > 1:
                seg.merge(uuid, body, [next(other for other in bodies if other != body)])
            elif action == "cleave" and len(supervoxels) > 1:
                seg.cleave(uuid, body, supervoxels[1:])
            elif action == "renumber":
                seg.renumber(uuid, 10**7 + len(caches), body)
            elif action == "commit":
                uuid = next_version(repo, uuid)
            caches.append((uuid, truth(seg, uuid)))
        cache_uuid, cached = caches[pick % len(caches)]
        found, report = updated(dvid, uuid, cached, cache_uuid)
        assert found == truth(seg, uuid)
        assert not report.refreshed
