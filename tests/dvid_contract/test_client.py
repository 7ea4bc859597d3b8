"""The client's own ways through a DVID server: the double always, a real one where there is one."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from flyem_snapshot.sources.dvid.annotation import all_elements
from flyem_snapshot.sources.dvid.blocks import dense
from flyem_snapshot.sources.dvid.failures import DvidError
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient
from flyem_snapshot.sources.dvid.keyvalue import keys, values
from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.sources.dvid.mapping import SupervoxelMap
from flyem_snapshot.sources.dvid.mutations import all_splits, last_mutation, mutations, splits
from flyem_snapshot.sources.dvid.neuronjson import body_annotations, post_annotations
from flyem_snapshot.sources.dvid.tag import snapshot_tag
from flyem_snapshot.sources.dvid.volumes import volume_from_rois
from tests.dvid_contract.serving import CUBE
from tests.dvid_contract.test_labelmap import runs

LAYER = 64 * 16 * 64
"""Voxels of each of the supervoxels 11 to 14."""


def moment_utc(text):
    """A time of the server, to the second, in UTC."""
    clock, zone = re.fullmatch(r"(.{19})(?:\.\d+)?(Z|[+-]\d\d:\d\d)", text).groups()
    return f"{datetime.fromisoformat(clock + zone).astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


@pytest.fixture
def node(server, root):
    """Asks for the node anew at each call, for the client reads the graph once."""
    client = DvidClient(server.url, user="tester", threads=4)
    yield lambda uuid=root: resolve(client, uuid)
    client.close()


@pytest.fixture
def edited(server, seg):
    """The path of a labelmap after each kind of edit, and the ids that they made: cleaved body, split, remainder."""
    server.post(f"{seg}/merge", json=[11, 12, 13, 15])
    new = server.post(f"{seg}/cleave/11", json=[13]).json()["CleavedLabel"]
    answer = server.post(f"{seg}/split-supervoxel/12", data=runs((0, 16, 0), (64, 4, 64))).json()
    server.post(f"{seg}/renumber", json=[777, 14])
    return seg, new, answer["SplitSupervoxel"], answer["RemainSupervoxel"]


def test_versions_are_resolved_as_the_server_does(server, root, node):
    server.commit(root)
    child = server.commit(server.child(root))
    leaf, side = server.child(child), server.branch(root, "side")
    assert node(root[:12]).uuid == root
    assert node(f"{root[:12]}:master").uuid == leaf
    assert node(f"{root[:12]}:master~1").uuid == child
    assert node(f"{root[:12]}:side").uuid == side
    assert (node(leaf).chain, node(leaf).locked, node(child).locked) == ((root, child, leaf), False, True)
    for wrong in ("f" * 32, f"{root[:12]}:nowhere", f"{root[:12]}:master~3"):
        with pytest.raises(DvidError):
            node(wrong)


def test_points_get_supervoxels_bodies_and_sizes(edited, node):
    _, new, split, remain = edited
    labelmap = Labelmap.open(node(), "seg")
    # Negative coordinates and those outside of the volume are never asked for.
    zyx = np.array([[0, 0, 0], [0, 17, 0], [0, 22, 0], [0, 40, 0], [0, 60, 0], [0, 0, 130], [0, 0, 70], [-1, 0, 0]])
    supervoxels = labelmap.supervoxels(zyx)
    assert supervoxels.tolist() == [11, split, remain, 13, 14, 15, 0, 0]
    bodies = [11, 11, 11, new, 777, 11, 0, 0]
    assert labelmap.bodies(supervoxels, verified=False).tolist() == bodies
    assert labelmap.bodies(supervoxels, verified=True).tolist() == bodies
    stale = np.array([12, new, 777, 9999], np.uint64)
    assert labelmap.bodies(stale, verified=True).tolist() == [0, 0, 0, 0]
    found = labelmap.sizes(np.array([11, new, 777, 12, 14, 0], np.uint64)).tolist()
    assert found == [2 * LAYER + 64**3, LAYER, LAYER, 0, 0, 0]
    assert labelmap.max_label() >= max(new, split, remain)


def test_the_whole_mapping_says_what_the_server_says_of_each(edited, node, tmp_path: Path):
    _, new, split, remain = edited
    labelmap = Labelmap.open(node(), "seg")
    mapping = SupervoxelMap.fetch(labelmap, tmp_path / "mapping")
    ids = np.array([11, 12, 13, 14, 15, new, split, remain, 777], np.uint64)
    assert mapping.bodies(ids).tolist() == [11, 0, new, 777, 11, 0, 11, 11, 0]
    assert mapping.bodies(ids).tolist() == labelmap.bodies(ids, verified=False).tolist()
    assert mapping.supervoxels_of(np.array([11], np.uint64))[0].tolist() == sorted([11, 15, split, remain])


def test_the_mapping_of_an_untouched_segmentation_is_empty(seg, node, tmp_path: Path):
    mapping = SupervoxelMap.fetch(Labelmap.open(node(), "seg"), tmp_path / "mapping")
    assert len(mapping) == 0
    assert mapping.bodies(np.array([11, 15], np.uint64)).tolist() == [11, 15]


def test_edits_made_while_the_mapping_was_read_are_made_up_for(server, seg, node, tmp_path: Path):
    server.post(f"{seg}/merge", json=[11, 12, 13])
    labelmap = Labelmap.open(node(), "seg")
    mapping = SupervoxelMap.fetch(labelmap, tmp_path / "mapping")
    before = len(mutations(labelmap.node, "seg"))
    server.post(f"{seg}/cleave/11", json=[13])
    server.post(f"{seg}/split-supervoxel/12", data=runs((0, 16, 0), (64, 4, 64)))
    server.post(f"{seg}/merge", json=[14, 15])
    edits = mutations(labelmap.node, "seg")[before:]
    assert [edit.action for edit in edits] == ["cleave-complete", "split-supervoxel-complete", "merge-complete"]
    mapping.replay(edits, lambda ids: labelmap.bodies(ids, verified=True))
    again = SupervoxelMap.fetch(labelmap, tmp_path / "again")
    ids = np.unique(np.concatenate([np.array([11, 12, 13, 14, 15], np.uint64), *again.entries()], axis=None))
    assert mapping.bodies(ids).tolist() == again.bodies(ids).tolist()


def test_the_log_of_each_kind_of_edit_is_understood(edited, node, caplog):
    _, new, split, remain = edited
    root = node()
    merge, cleave, cut, renumber = mutations(root, "seg")
    assert (merge.action, merge.target, sorted(merge.labels)) == ("merge-complete", 11, [12, 13, 15])
    assert (cleave.action, cleave.orig, cleave.new, cleave.cleaved) == ("cleave-complete", 11, new, (13,))
    assert cleave.sizes is not None
    assert sorted(cleave.sizes) == [LAYER, 2 * LAYER + 64**3]
    (parts,) = cut.splits
    assert (cut.action, parts.old, parts.remain, parts.split) == ("split-supervoxel-complete", 12, remain, split)
    assert (renumber.action, renumber.orig, renumber.new) == ("renumber-complete", 14, 777)
    assert all(edit.known and edit.user == "tester" and edit.uuid == root.uuid for edit in (merge, cleave, cut))
    assert merge.mutid < cleave.mutid < cut.mutid < renumber.mutid
    assert [(found.old, found.remain, found.split) for found in splits(root, "seg")] == [(12, remain, split)]
    retired = all_splits(root, "seg")
    assert (retired.retired.tolist(), retired.foreign.tolist(), retired.known) == ([12], [], True)
    assert "unknown" not in caplog.text


def test_the_tag_has_the_day_of_the_last_edit_even_of_an_ancestor(server, edited, node):
    seg = edited[0]
    root = seg.split("/")[1]
    leaf = node(server.child(server.commit(root)))
    last = last_mutation(leaf, "seg")
    assert (last.asked_uuid, last.uuid, last.action, last.n_in_node) == (leaf.uuid, root, "renumber-complete", 0)
    day, clock, zone = server.get(f"{seg}/mutations").json()[-1]["Timestamp"].split()[:3]
    written = datetime.strptime(f"{day} {clock[:8]} {zone}", "%Y-%m-%d %H:%M:%S %z")
    assert last.timestamp is not None
    assert last.timestamp.replace(microsecond=0) == written
    assert snapshot_tag(leaf, last, "UTC") == f"{written.astimezone(UTC):%Y-%m-%d}-{leaf.uuid[:6]}-unlocked"


@pytest.mark.parametrize("supervoxels", [False, True])
def test_volumes_are_decoded_from_what_the_server_stores(server, seg, node, supervoxels):
    server.post(f"{seg}/merge", json=[11, 12, 15])
    labelmap = Labelmap.open(node(), "seg")
    found = dense(labelmap, np.array([[0, 0, 0], [64, 64, 192]]), supervoxels=supervoxels)
    merged = np.isin(CUBE, [12, 15]) & (not supervoxels)
    assert (found == np.where(merged, 11, CUBE)).all()
    assert found.dtype == np.uint8


def test_blocks_of_many_labels_are_decoded(server, root, node):
    path = server.new_instance(root, "labelmap", "many")
    some = np.random.default_rng(6)
    cube = some.choice(some.integers(1, 2**50, 600, np.uint64), (64, 64, 64))
    cube[:8, :8, :8] = 2**53 + 1
    cube[8:16] = cube[8:16] % 5
    server.post(f"{path}/raw/0_1_2/64_64_64/0_0_0", data=cube.tobytes())
    server.wait_for_sizes(path, {2**53 + 1: 512, int(cube[63, 63, 63]): int((cube == cube[63, 63, 63]).sum())})
    labelmap = Labelmap.open(node(), "many")
    assert (dense(labelmap, np.array([[0, 0, 0], [64, 64, 64]]), supervoxels=True) == cube).all()
    assert labelmap.supervoxels(np.array([[0, 0, 0], [63, 1, 2]])).tolist() == [2**53 + 1, int(cube[63, 1, 2])]


def test_body_annotations_that_are_written_are_read_back(server, root, node):
    path = server.new_instance(root, "neuronjson", "neurons")
    server.post(f"{path}/key/5", json={"bodyid": 5, "type": "KC", "birth_time": "old"})
    rows = {5: {"nt": "acetylcholine", "nt_prob": 0.5}, 2**40 + 1: {"nt": "gaba", "nt_prob": 1.0}}
    post_annotations(node(), "neurons", rows, batch=1)
    records = body_annotations(node(), "neurons")
    table = [{name: value for name, value in row.items() if value is not None} for row in records.table.to_pylist()]
    assert table == [
        {"birth_time": "old", "body": 5, "nt": "acetylcholine", "nt_prob": 0.5, "type": "KC"},
        {"body": 2**40 + 1, "nt": "gaba", "nt_prob": 1.0},
    ]
    shown = server.get(f"{path}/all?show=time").json()
    times = [record[f"{field}_time"] for record in shown for field in ("nt", "nt_prob")]
    # Go writes up to nine digits of a second.
    assert f"{records.timestamp:%Y-%m-%dT%H:%M:%S}" == max(moment_utc(text) for text in times)


def test_only_the_admin_token_writes_to_a_locked_node(server, root, node, monkeypatch):
    server.new_instance(root, "neuronjson", "neurons")
    server.commit(root)
    with pytest.raises(DvidError, match="is locked"):
        post_annotations(node(), "neurons", {5: {"nt": "gaba"}})
    monkeypatch.setenv("DVID_ADMIN_TOKEN", "not-the-token")
    with pytest.raises(DvidError, match="locked node"):
        post_annotations(node(), "neurons", {5: {"nt": "gaba"}}, force=True)
    assert body_annotations(node(), "neurons").table.num_rows == 0
    monkeypatch.setenv("DVID_ADMIN_TOKEN", server.admin_token)
    post_annotations(node(), "neurons", {5: {"nt": "gaba"}}, force=True)
    assert body_annotations(node(), "neurons").table.to_pylist() == [{"body": 5, "nt": "gaba"}]


def test_an_instance_without_annotations_is_an_empty_table(server, root, node):
    server.new_instance(root, "neuronjson", "neurons")
    assert body_annotations(node(), "neurons").table.num_rows == 0
    server.new_instance(root, "annotation", "points")
    assert all_elements(node(), "points") == []


def test_point_annotations_come_with_all_that_they_carry(server, root, node):
    path = server.new_instance(root, "annotation", "points")
    element = {"Pos": [70, 5, 6], "Kind": "PreSyn", "Tags": ["t"], "Prop": {"conf": "0.5"}}
    element["Rels"] = [{"Rel": "PreSynTo", "To": [71, 5, 6]}]
    bare = {"Pos": [1, 2, 3], "Kind": "Note", "Tags": [], "Prop": {}, "Rels": []}
    server.post(f"{path}/elements", json=[element, bare])
    first, second = all_elements(node(), "points")
    assert (first.zyx, first.kind, first.tags, dict(first.props), first.rels) == ((3, 2, 1), "Note", (), {}, ())
    assert (second.zyx, second.kind, second.tags, dict(second.props)) == ((6, 5, 70), "PreSyn", ("t",), {"conf": "0.5"})
    assert second.rels == (("PreSynTo", (6, 5, 71)),)


def test_many_values_come_in_the_order_of_the_keys(server, root, node):
    path = server.new_instance(root, "keyvalue", "kv")
    contents = {f"{body}_swc": bytes([body]) * (500 * body + 1) for body in range(20)}
    contents["with space"] = b"\x00\xff"
    for key, content in contents.items():
        server.post(f"{path}/key/{key}", data=content)
    assert keys(node(), "kv") == sorted(contents)
    assert keys(node(), "kv", "3_swc", "5_swc") == ["3_swc", "4_swc", "5_swc"]
    wanted = [*contents, "missing"]
    assert list(values(node(), "kv", wanted, batch=4)) == [*contents.items(), ("missing", None)]


def test_regions_are_painted_where_the_server_says_that_points_are(server, root, node):
    one, two = (server.new_instance(root, "roi", name) for name in ("FB(R)", "EB"))
    server.post(f"{one}/roi", json=[[0, 0, 0, 3], [1, 0, 5, 5]])
    server.post(f"{two}/roi", json=[[0, 1, 2, 4]])
    volume, overlaps = volume_from_rois(node(), {"FB(R)": 1, "EB": 2})
    zyx = np.random.default_rng(6).integers(0, 200, (300, 3))
    expected = np.zeros(len(zyx), int)
    for label, path in ((1, one), (2, two)):
        expected[server.post(f"{path}/ptquery", json=zyx[:, ::-1].tolist()).json()] = label
    assert volume.labels(zyx).tolist() == expected.tolist()
    assert set(expected.tolist()) == {0, 1, 2}
    assert overlaps == []
