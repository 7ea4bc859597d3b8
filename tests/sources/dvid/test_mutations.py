"""The log of edits, the last edit, and supervoxels that were split."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from flyem_snapshot.sources.dvid.failures import DvidError
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient
from flyem_snapshot.sources.dvid.mutations import (
    LastMutation,
    Split,
    SupervoxelSplit,
    all_splits,
    last_mutation,
    mutations,
    splits,
)
from tests.dvid_double import DvidDouble

BIG = 2**53 + 1  # a float would make it 2**53
CUBE = np.zeros((64, 64, 64), np.uint64)
for position, supervoxel in enumerate([BIG, BIG + 2, BIG + 4, BIG + 6]):
    CUBE[:, :, 16 * position : 16 * position + 16] = supervoxel


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("brain")


@pytest.fixture
def seg(repo):
    return repo.labelmap("seg", CUBE)


def node_of(dvid, reference=":master", **options):
    return resolve(DvidClient(dvid.url, user="tester", pause=0.001, **options), reference)


def half():
    """The upper half of the volume."""
    mask = np.zeros(CUBE.shape, bool)
    mask[:32] = True
    return mask


def arrays(ids):
    return ids.retired.tolist(), ids.foreign.tolist(), ids.known


# --- one log ---------------------------------------------------------------------------------------------------------


def test_a_log_tells_of_every_kind_of_edit(dvid, repo, seg):
    uuid = repo.root
    seg.merge(uuid, BIG, [BIG + 2, BIG + 4], user="ann", app="neu3", timestamp="2021-03-16 21:24:37 +0000 UTC m=+7")
    new = seg.cleave(uuid, BIG, [BIG + 4])
    split, remain = seg.split_supervoxel(uuid, BIG + 6, half())
    part = seg.split_body(uuid, BIG, half())
    seg.renumber(uuid, 7, part)
    merge, cleave, cut, body_cut, renumber = mutations(node_of(dvid), "seg")
    first = 1_000_000_001

    assert (merge.action, merge.target, merge.labels) == ("merge-complete", BIG, (BIG + 2, BIG + 4))
    assert (merge.user, merge.app, merge.uuid, merge.mutid) == ("ann", "neu3", uuid, first)
    assert merge.timestamp == datetime(2021, 3, 16, 21, 24, 37, tzinfo=UTC)  # M25
    assert merge.record["Action"] == "merge-complete"
    assert (cleave.action, cleave.orig, cleave.new) == ("cleave-complete", BIG, new)
    assert cleave.cleaved == (BIG + 4,)
    assert cleave.sizes == (2 * 16 * 64 * 64, 16 * 64 * 64), "what remains, what is new"
    assert (cut.action, cut.target) == ("split-supervoxel-complete", BIG + 6)
    assert cut.splits == (SupervoxelSplit(BIG + 6, remain, split),)
    assert cut.sizes == (16 * 64 * 32, 16 * 64 * 32)
    assert (body_cut.action, body_cut.target, body_cut.new) == ("split-complete", BIG, part)
    assert sorted(cut.old for cut in body_cut.splits) == [BIG, BIG + 2]  # M2
    assert (renumber.action, renumber.orig, renumber.new) == ("renumber-complete", part, 7)
    assert [edit.mutid for edit in (cleave, cut, body_cut, renumber)] == [first + n for n in range(1, 5)]


def test_old_logs_have_shorter_names_and_fewer_fields(dvid, repo, seg):
    dvid.abilities.cleave_sizes = False
    seg.short_actions = True
    seg.merge(repo.root, BIG, [BIG + 2])
    seg.cleave(repo.root, BIG, [BIG + 2], timestamp="")
    seg.log_record(
        repo.root, {"Action": "split-supervoxel", "Supervoxel": 1, "SplitSupervoxel": 2, "RemainSupervoxel": 3}
    )
    seg.log_record(
        repo.root, {"Action": "split", "Target": 1, "NewLabel": 2, "SVSplit": {"5": {"Split": 6, "Remain": 7}}}
    )
    merge, cleave, cut, body_cut = mutations(node_of(dvid), "seg")
    assert merge.action == "merge-complete"
    assert cleave.sizes is None
    assert cleave.timestamp is None, "unknown, not made up"
    assert (cut.target, cut.mutid, cut.user) == (0, 0, "")
    assert body_cut.splits == (SupervoxelSplit(5, 7, 6),)


def test_an_unknown_action_is_kept_and_warned_of_once(dvid, repo, seg, caplog):  # M23
    seg.merge(repo.root, BIG, [BIG + 2])
    for number in (1, 2):
        seg.log_record(repo.root, {"Action": "mirror-complete", "MutationID": number, "UUID": repo.root, "Plane": "x"})
    node = node_of(dvid)
    edits = mutations(node, "seg")
    mutations(node, "seg")
    assert [edit.known for edit in edits] == [True, False, False]
    assert edits[1].record["Plane"] == "x"
    assert caplog.text.count("mirror-complete") == 1


@pytest.mark.parametrize(
    "record",
    [
        {"Action": "merge-complete", "Labels": [1]},
        {"Action": "merge-complete", "Target": 1, "Labels": [1.5]},
        {"Action": "merge-complete", "Target": 1, "Labels": 5},
        {"Action": "cleave-complete", "OrigLabel": "7", "CleavedLabel": 1, "CleavedSupervoxels": []},
        {"Action": "renumber-complete", "OrigLabel": -1, "NewLabel": 1},
        {"Action": "split-complete", "Target": 1, "NewLabel": 2, "SVSplits": {"x": {"Split": 6, "Remain": 7}}},
        {"Action": "split-complete", "Target": 1, "NewLabel": 2, "SVSplits": [1]},
        {"Action": "split-supervoxel-complete", "Supervoxel": 2**64, "SplitSupervoxel": 2, "RemainSupervoxel": 3},
    ],
)
def test_a_damaged_record_is_an_error_that_shows_it(dvid, repo, seg, record):
    seg.log_record(repo.root, record)
    with pytest.raises(DvidError, match="mutation without a usable '.*(?s:.*)the log of edits is damaged"):
        mutations(node_of(dvid), "seg")


def test_a_node_without_edits_has_an_empty_log(dvid, repo, seg):
    assert mutations(node_of(dvid), "seg") == []


def test_a_server_that_keeps_no_log_has_none(dvid, repo, seg):
    dvid.abilities.json_log = False
    assert mutations(node_of(dvid), "seg") is None


def test_any_other_refusal_is_an_error(dvid, repo, seg):
    dvid.faults.status(400, "mutations", text="no disk", times=None)
    with pytest.raises(DvidError, match="no disk"):
        mutations(node_of(dvid), "seg")


@pytest.mark.parametrize("fault", ["truncated", "appended", "cut"])
def test_a_log_that_is_cut_short_is_asked_for_again(dvid, repo, seg, fault):
    seg.merge(repo.root, BIG, [BIG + 2])
    getattr(dvid.faults, fault)("mutations")
    assert len(mutations(node_of(dvid), "seg")) == 1
    assert len(dvid.asked("mutations")) == 2


def test_one_log_is_never_asked_for_twice_at_a_time(dvid, repo, seg):
    seg.merge(repo.root, BIG, [BIG + 2])
    node = node_of(dvid)
    logs = list(node.client.in_parallel(lambda _: mutations(node, "seg"), range(12)))
    assert [len(log) for log in logs] == [1] * 12
    assert not dvid.overlapping("mutations")
    assert len(dvid.asked("mutations")) == 12, "the node is open: each time anew"


def test_the_log_of_a_locked_node_is_asked_for_once(dvid, repo, seg):  # M31
    seg.merge(repo.root, BIG, [BIG + 2])
    repo.commit(repo.root)
    node = node_of(dvid)
    first = mutations(node, "seg")
    assert mutations(node, "seg") == first
    assert list(node.client.in_parallel(lambda _: mutations(node, "seg"), range(5))) == [first] * 5
    assert len(dvid.asked("mutations")) == 1


# --- the last edit ---------------------------------------------------------------------------------------------------


def test_the_last_edit_is_the_last_of_the_nodes_log(dvid, repo, seg):
    seg.merge(repo.root, BIG, [BIG + 2])
    repo.commit(repo.root)
    leaf = repo.child(repo.root)
    seg.merge(leaf, BIG, [BIG + 4])
    new = seg.cleave(leaf, BIG, [BIG + 2], user="bob", timestamp="2024-02-02 03:04:05 +0000 UTC")
    node = node_of(dvid)
    when = datetime(2024, 2, 2, 3, 4, 5, tzinfo=UTC)
    mutid = mutations(node, "seg")[-1].mutid
    assert new
    assert last_mutation(node, "seg") == LastMutation(leaf, leaf, mutid, when, "cleave-complete", "bob", 2, True)


def test_a_node_without_edits_has_its_ancestors_last_and_both_uuids_are_told(dvid, repo, seg):  # M11
    seg.merge(repo.root, BIG, [BIG + 2])
    middle = repo.child(repo.commit(repo.root))
    leaf = repo.child(repo.commit(middle))
    last = last_mutation(node_of(dvid), "seg")
    assert (last.asked_uuid, last.uuid, last.n_in_node) == (leaf, repo.root, 0)
    assert (last.action, last.has_log) == ("merge-complete", True)
    assert [request.segments[2] for request in dvid.asked("mutations")] == [leaf, middle, repo.root]
    assert len(dvid.asked("info")) == 1  # M31


def test_edits_in_overlapping_order_keep_the_order_of_the_log(dvid, repo, seg):
    for mutid in (12, 11):
        record = {"Action": "merge-complete", "MutationID": mutid, "UUID": repo.root, "Target": 1, "Labels": [2]}
        seg.log_record(repo.root, record)
    assert last_mutation(node_of(dvid), "seg").mutid == 11


def test_edits_of_other_branches_do_not_count(dvid, repo, seg):
    repo.commit(repo.root)
    leaf = repo.child(repo.root)
    side = repo.child(repo.root, "side")
    seg.merge(side, BIG, [BIG + 2])
    last = last_mutation(node_of(dvid), "seg")
    updated = node_of(dvid).dag[leaf].updated
    assert last == LastMutation(leaf, leaf, 0, updated, "", "", 0, True)
    assert side not in {request.segments[2] for request in dvid.asked("mutations")}


def test_at_a_merge_the_last_parents_edits_count(dvid, repo, seg):
    repo.commit(repo.root)
    one, two = repo.child(repo.root, "one"), repo.child(repo.root, "")
    seg.merge(one, BIG, [BIG + 2])
    seg.merge(two, BIG, [BIG + 4])
    merged = repo.merge(repo.commit(one), repo.commit(two))
    assert last_mutation(node_of(dvid, merged), "seg").uuid == two


def test_without_logs_the_nodes_last_update_stands_for_the_last_edit(dvid, repo, seg, caplog):
    dvid.abilities.json_log = False
    node = node_of(dvid)
    last = last_mutation(node, "seg")
    assert last == LastMutation(node.uuid, node.uuid, 0, node.dag[node.uuid].updated, "", "", 0, False)
    assert "keeps no log of edits" in caplog.text


# --- splits ----------------------------------------------------------------------------------------------------------


def test_the_servers_list_has_splits_of_both_kinds_the_node_first(dvid, repo, seg):  # M2
    split, remain = seg.split_supervoxel(repo.root, BIG, half())
    leaf = repo.child(repo.commit(repo.root))
    seg.split_body(leaf, BIG + 2, half())
    found = splits(node_of(dvid), "seg")
    assert found[1] == Split(repo.root, 1_000_000_001, BIG, remain, split)
    assert (found[0].uuid, found[0].old) == (leaf, BIG + 2)
    assert len(found) == 2


def test_an_old_server_lists_no_splits(dvid, repo, seg):
    dvid.abilities.supervoxel_splits = False
    assert splits(node_of(dvid), "seg") is None


@pytest.mark.parametrize("body", [b'["u"]', b'["u",[[1,2,3]]]', b'["u",[[1,2,3,4.5]]]', b'["u",[[1,2,3,-4]]]', b"{}"])
def test_a_garbled_list_of_splits_is_no_answer(dvid, repo, seg, body):
    dvid.faults.replaced(body, "supervoxel-splits")
    assert splits(node_of(dvid), "seg") == []
    assert len(dvid.asked("supervoxel-splits")) == 2


def test_a_node_in_the_list_may_have_null(dvid, repo, seg):
    dvid.faults.replaced(b'["u",null]', "supervoxel-splits")
    assert splits(node_of(dvid), "seg") == []


@pytest.fixture
def three_branches(repo, seg):
    """Splits at the root (here), on the chain's leaf (here), on a side branch, and at a later node than the chain."""
    made = {}
    made["root"] = seg.split_supervoxel(repo.root, BIG, half())
    repo.commit(repo.root)
    leaf = repo.child(repo.root)
    part = seg.split_body(leaf, BIG + 2, half())
    cut = seg.logs[leaf][-1]["SVSplits"][str(BIG + 2)]
    made["leaf"] = (cut["Split"], cut["Remain"], part)
    side = repo.child(repo.root, "side")
    made["side"] = seg.split_supervoxel(side, BIG + 4, half())
    later = repo.child(repo.commit(leaf))
    made["later"] = seg.split_supervoxel(later, BIG + 6, half())
    return leaf, made


@pytest.mark.parametrize(("log", "list_"), [(True, True), (True, False), (False, True)])
def test_ids_of_the_whole_graph_are_told_apart(dvid, repo, seg, three_branches, log, list_):  # M2 M3
    dvid.abilities.json_log, dvid.abilities.supervoxel_splits = log, list_
    leaf, made = three_branches
    found = all_splits(node_of(dvid, leaf), "seg")
    assert found.retired.tolist() == [BIG, BIG + 2]
    assert found.foreign.tolist() == sorted([*made["side"], *made["later"]])
    assert found.known
    assert found.retired.dtype == found.foreign.dtype == np.uint64


def test_the_own_chain_suffices_for_ids_of_an_ancestor(dvid, repo, seg, three_branches):
    leaf, _ = three_branches
    assert arrays(all_splits(node_of(dvid, leaf), "seg", elsewhere=False)) == ([BIG, BIG + 2], [], True)
    assert {request.segments[2] for request in dvid.asked("mutations")} == {repo.root, leaf}


def test_a_supervoxel_that_was_split_elsewhere_is_alive_here(dvid, repo, seg, three_branches):
    leaf, _ = three_branches
    assert BIG + 4 not in all_splits(node_of(dvid, leaf), "seg").retired
    assert seg.supervoxel_at(leaf, (0, 0, 40)) == BIG + 4


def test_a_split_of_a_lost_log_is_found_in_the_list(dvid, repo, seg):
    seg.split_supervoxel(repo.root, BIG, half())
    seg.logs.clear()
    assert arrays(all_splits(node_of(dvid), "seg")) == ([BIG], [], True)


def test_a_server_without_logs_and_lists_knows_nothing(dvid, repo, seg, three_branches):
    dvid.abilities.json_log = dvid.abilities.supervoxel_splits = False
    leaf, _ = three_branches
    assert arrays(all_splits(node_of(dvid, leaf), "seg")) == ([], [], False)


def test_without_splits_there_is_nothing_to_look_up(dvid, repo, seg):
    assert arrays(all_splits(node_of(dvid), "seg")) == ([], [], True)
