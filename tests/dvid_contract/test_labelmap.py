"""What a DVID server promises about labels, edits and their log."""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import zlib

import numpy as np
import pytest

from tests.dvid_contract.serving import CUBE


def mapping(server, seg, labels, **params):
    return server.get(f"{seg}/mapping", json=labels, params=params).json()


def whole_map(server, seg):
    binary = server.get(f"{seg}/mappings?format=binary").content
    text = server.get(f"{seg}/mappings").text
    entries = sorted(np.frombuffer(binary, "<u8").reshape(-1, 2).tolist())
    assert sorted([int(n) for n in line.split()] for line in text.splitlines()) == entries
    return entries


def log(server, seg):
    return server.get(f"{seg}/mutations").json()


def runs(corner_xyz, size_xyz):
    """A box as a sparse volume of runs in x."""
    (x, y, z), (nx, ny, nz) = corner_xyz, size_xyz
    spans = [struct.pack("<4i", x, y + j, z + k, nx) for k in range(nz) for j in range(ny)]
    return struct.pack("<4B2I", 0, 3, 0, 0, 0, len(spans)) + b"".join(spans)


def test_labels_come_in_the_order_of_the_points(server, seg):
    points = [[0, 0, 0], [63, 63, 63], [130, 0, 0], [70, 0, 0], [0, 17, 1], [5000, 0, 0]]
    assert server.get(f"{seg}/labels", json=points).json() == [11, 14, 15, 0, 12, 0]
    assert server.get(f"{seg}/labels?supervoxels=true", json=points * 30).json() == [11, 14, 15, 0, 12, 0] * 30
    assert server.get(f"{seg}/labels", json=[]).json() == []
    assert server.get(f"{seg}/label/130_0_0").json() == {"Label": 15}


@pytest.mark.parametrize(("endpoint", "body"), [("labels", b"[[0,0,0]]"), ("mapping", b"[11]"), ("sizes", b"[11]")])
def test_calls_with_a_body_are_get_only_and_check_its_hash(server, seg, endpoint, body):
    right = hashlib.md5(body, usedforsecurity=False).hexdigest()
    assert server.ask("POST", f"{seg}/{endpoint}", data=body).status_code == 400
    assert server.ask("GET", f"{seg}/{endpoint}", data=body, params={"hash": right}).status_code == 200
    assert server.ask("GET", f"{seg}/{endpoint}", data=body, params={"hash": "0" * 32}).status_code == 400


def test_without_edits_every_supervoxel_is_its_own_body(server, seg):
    assert server.get(f"{seg}/mappings?format=binary").content == b""
    assert mapping(server, seg, [11, 15, 0, 99]) == [11, 15, 0, 0]
    assert mapping(server, seg, [11, 99], nolookup="true") == [11, 99]
    assert log(server, seg) == []
    assert server.get(f"{seg}/supervoxel-splits").json() == []


def test_a_merge_moves_supervoxels_and_sizes(server, seg):
    mutation = server.post(f"{seg}/merge", json=[11, 12, 15]).json()["MutationID"]
    assert whole_map(server, seg) == [[12, 11], [15, 11]]
    assert server.get(f"{seg}/sizes", json=[11, 12, 0]).json() == [65536 * 6, 0, 0]
    assert server.get(f"{seg}/sizes?supervoxels=true", json=[11, 12]).json() == [65536, 65536]
    (record,) = log(server, seg)
    assert (record["Action"], record["Target"], sorted(record["Labels"])) == ("merge-complete", 11, [12, 15])
    assert (record["MutationID"], record["User"], record["App"]) == (mutation, "tester", "contract")


def test_a_cleave_makes_a_body_whose_id_is_no_supervoxel(server, seg):
    server.post(f"{seg}/merge", json=[11, 12, 13])
    new = server.post(f"{seg}/cleave/11", json=[12]).json()["CleavedLabel"]
    assert whole_map(server, seg) == [[12, new], [13, 11], [new, 0]]
    assert mapping(server, seg, [11, 12, 13, new]) == [11, new, 11, 0]
    record = log(server, seg)[-1]
    assert record["Action"] == "cleave-complete"
    assert (record["OrigLabel"], record["CleavedLabel"], record["CleavedSupervoxels"]) == (11, new, [12])
    assert (record["CleavedSize"], record["RemainSize"]) == (65536, 131072)
    assert server.ask("POST", f"{seg}/cleave/11", json=[11, 13]).status_code == 400, "nothing would remain"


def test_a_renumbered_body_has_an_id_that_is_no_supervoxel(server, seg):
    server.post(f"{seg}/renumber", json=[777, 13])
    assert whole_map(server, seg) == [[13, 777], [777, 0]]
    record = log(server, seg)[-1]
    assert (record["Action"], record["NewLabel"], record["OrigLabel"]) == ("renumber-complete", 777, 13)
    assert server.get(f"{seg}/sizes", json=[777, 13]).json() == [65536, 0]


def test_a_split_supervoxel_is_retired(server, seg):
    server.post(f"{seg}/merge", json=[11, 12])
    answer = server.post(f"{seg}/split-supervoxel/12", data=runs((0, 16, 0), (64, 4, 64))).json()
    split, remain = answer["SplitSupervoxel"], answer["RemainSupervoxel"]
    assert mapping(server, seg, [12, split, remain]) == [0, 11, 11]
    assert whole_map(server, seg) == sorted([[12, 0], [split, 11], [remain, 11]])
    assert server.get(f"{seg}/labels?supervoxels=true", json=[[0, 17, 0], [0, 22, 0]]).json() == [split, remain]
    assert server.get(f"{seg}/sizes?supervoxels=true", json=[12, split, remain]).json() == [0, 16384, 49152]
    record = log(server, seg)[-1]
    assert record["Action"] == "split-supervoxel-complete"
    assert [record[n] for n in ("Supervoxel", "Body", "SplitSize", "RemainSize")] == [12, 11, 16384, 49152]
    node = seg.split("/")[1]
    assert server.get(f"{seg}/supervoxel-splits").json() == [node, [[record["MutationID"], 12, remain, split]]]


def test_each_node_has_its_own_log_and_the_map_is_inherited(server, seg):
    root = seg.split("/")[1]
    server.post(f"{seg}/merge", json=[11, 12])
    child = f"node/{server.child(server.commit(root))}/seg"
    assert log(server, child) == []
    server.post(f"{child}/merge", json=[11, 13])
    assert [len(log(server, path)) for path in (seg, child)] == [1, 1]
    assert (whole_map(server, seg), whole_map(server, child)) == ([[12, 11]], [[12, 11], [13, 11]])
    first, second = log(server, seg)[0], log(server, child)[0]
    assert first["MutationID"] < second["MutationID"]
    assert (first["UUID"], second["UUID"]) == (root, child.split("/")[1])
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4}", first["Timestamp"])


def test_sizes_of_what_does_not_exist(server, seg):
    assert server.get(f"{seg}/size/11").json() == {"voxels": 65536}
    assert server.ask("GET", f"{seg}/size/99").status_code == 404
    assert server.ask("GET", f"{seg}/size/0").status_code == 400
    assert server.get(f"{seg}/maxlabel").json()["maxlabel"] >= 15


def test_the_extents_are_inclusive_and_null_before_any_write(server, seg):
    info = server.get(f"{seg}/info").json()
    assert (info["Extended"]["MinPoint"], info["Extended"]["MaxPoint"]) == ([0, 0, 0], [191, 63, 63])
    assert (info["Base"]["TypeName"], info["Extended"]["BlockSize"]) == ("labelmap", [64, 64, 64])
    empty = server.new_instance(seg.split("/")[1], "labelmap", "empty", VoxelSize="16,16,40")
    extended = server.get(f"{empty}/info").json()["Extended"]
    assert extended["MinPoint"] is None
    assert extended["VoxelSize"] == [16, 16, 40]


def records(stream):
    found, at = {}, 0
    while at < len(stream):
        x, y, z, size = struct.unpack_from("<4i", stream, at)
        found[x, y, z] = stream[at + 16 : at + 16 + size]
        at += 16 + size
    assert at == len(stream)
    return found


@pytest.mark.parametrize(
    ("compression", "unpack"), [("gzip", lambda data: zlib.decompress(data, 31)), ("uncompressed", lambda data: data)]
)
def test_blocks_come_without_the_absent_ones(server, seg, compression, unpack):
    server.post(f"{seg}/merge", json=[11, 12])
    params = {"compression": compression}
    merged = records(server.get(f"{seg}/blocks/192_64_64/0_0_0", params=params).content)
    plain = records(server.get(f"{seg}/blocks/192_64_64/0_0_0?supervoxels=true", params=params).content)
    assert set(merged) == set(plain) == {(0, 0, 0), (2, 0, 0)}
    cube = np.frombuffer(unpack(plain[0, 0, 0]), "<u8").reshape(64, 64, 64)
    assert (cube == CUBE[:, :, :64]).all()
    bodies = np.frombuffer(unpack(merged[0, 0, 0]), "<u8").reshape(64, 64, 64)
    assert (bodies == np.where(cube == 12, 11, cube)).all()


def test_blocks_in_the_servers_own_format_have_a_head_and_a_table(server, seg):
    found = records(server.get(f"{seg}/blocks/192_64_64/0_0_0?compression=blocks&supervoxels=true").content)
    block = gzip.decompress(found[0, 0, 0])
    assert struct.unpack_from("<4I", block) == (8, 8, 8, 4)
    assert sorted(np.frombuffer(block, "<u8", 4, 16).tolist()) == [11, 12, 13, 14]
    assert set(np.frombuffer(block, "<u2", 512, 48).tolist()) == {1}, "each sub-block holds one label"
    assert len(block) == 16 + 4 * 8 + 512 * 2 + 512 * 4
    assert struct.pack("<4I", 8, 8, 8, 1) + struct.pack("<Q", 15) == gzip.decompress(found[2, 0, 0])


def test_blocks_by_default_are_lz4(server, seg):
    found = records(server.get(f"{seg}/blocks/64_64_64/128_0_0").content)
    token = found[2, 0, 0][0]
    assert found[2, 0, 0][:2] != b"\x1f\x8b"
    assert token >> 4, "an LZ4 block begins with literals"


def test_boxes_of_blocks_are_aligned_and_dense_ones_need_not_be(server, seg):
    assert server.ask("GET", f"{seg}/blocks/64_64_32/0_0_0?compression=gzip").status_code == 400
    data = server.get(f"{seg}/raw/0_1_2/3_2_1/63_15_10?supervoxels=true").content
    assert np.frombuffer(data, "<u8").reshape(1, 2, 3).tolist() == [[[11, 0, 0], [12, 0, 0]]]
    listed = records(server.get(f"{seg}/specificblocks?blocks=2,0,0,1,0,0&compression=gzip").content)
    assert set(listed) == {(2, 0, 0)}
