"""The double's labelmap: labels, the map, edits and their log, sizes, blocks."""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import zlib

import numpy as np
import pytest
import requests

from tests.dvid_double import DvidDouble, blocks
from tests.dvid_double.sample import GOLDEN_BLOCK_SHA256, real_cube

BIG = 2**60 + 1  # a float does not hold it


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("mushroom")


@pytest.fixture
def seg(repo):
    """Two blocks in x with a third, absent one between them: 1, 2, 3 and BIG in layers along y, then 0, then 4."""
    cube = np.zeros((64, 64, 192), np.uint64)
    for number, label in enumerate((1, 2, 3, BIG)):
        cube[:, 16 * number : 16 * number + 16, :64] = label
    cube[:, :, 128:] = 4
    return repo.labelmap("seg", cube)


@pytest.fixture
def get(dvid, repo):
    with requests.Session() as session:

        def ask(path, node=None, **options):
            return session.get(f"{dvid.url}/api/node/{node or repo.root}/seg/{path}", **options)

        yield ask


def mapped(get, labels, node=None, **params):
    return get("mapping", node, json=labels, params=params).json()


def whole_map(get, node=None):
    return sorted(np.frombuffer(get("mappings?format=binary", node).content, "<u8").reshape(-1, 2).tolist())


def layer(y0, y1):
    """The voxels of some layers of the first block, as a mask."""
    mask = np.zeros((64, 64, 192), bool)
    mask[:, y0:y1, :64] = True
    return mask


# --- points -----------------------------------------------------------------------------------------------------------


def test_labels_come_in_the_order_of_the_points(seg, get):
    points = [[0, 0, 0], [0, 63, 63], [130, 0, 0], [70, 0, 0], [0, 17, 1], [5000, 0, 0]]
    assert get("labels", json=points).json() == [1, BIG, 4, 0, 2, 0]
    assert get("labels", json=[]).json() == []
    assert get("label/130_0_0").json() == {"Label": 4}


@pytest.mark.parametrize("points", [[[1.5, 0, 0]], [[1, 2]], [1, 2, 3], "x", [[2**31, 0, 0]], [[1, 2, 3], [1, 2]]])
def test_points_that_are_none_are_refused(seg, get, points):
    assert get("labels", json=points).status_code == 400


def test_a_negative_coordinate_gets_a_wrong_answer_or_a_panic(seg, get):  # M26
    assert get("labels", json=[[-1, 16, 0]]).json() == [1], "the voxel before [0, 16, 0] in storage"
    assert get("labels", json=[[-1, 0, 0]]).status_code == 500


def test_coordinates_are_in_the_scale_that_is_asked_for(seg, get):
    assert get("labels", json=[[0, 8, 0], [16, 0, 0], [64, 0, 0]], params={"scale": 1}).json() == [2, 1, 4]
    assert get("labels", json=[[0, 0, 0]], params={"scale": 9}).status_code == 400


# --- the map ----------------------------------------------------------------------------------------------------------


def test_before_any_edit_the_map_is_empty_and_means_identity(seg, get):
    assert get("mappings").content == get("mappings?format=binary").content == b""
    assert mapped(get, [1, BIG, 0, 99]) == [1, BIG, 0, 0]
    assert mapped(get, [1, 99, 0], nolookup="true") == [1, 99, 0]


def test_edits_move_supervoxels_between_bodies_and_retire_ids(seg, repo, get):
    u = repo.root
    seg.merge(u, 1, [2, BIG])
    new = seg.cleave(u, 1, [BIG])
    seg.renumber(u, 777, 3)
    split, remain = seg.split_supervoxel(u, 2, layer(16, 20))
    assert (new, split, remain) == (BIG + 1, BIG + 2, BIG + 3)
    assert whole_map(get) == sorted([[2, 0], [3, 777], [777, 0], [BIG, new], [new, 0], [split, 1], [remain, 1]])
    text = [[int(n) for n in line.split()] for line in get("mappings").text.splitlines()]
    assert sorted(text) == whole_map(get)
    assert text != sorted(text), "the order is nobody's"
    assert mapped(get, [1, 2, 3, 4, BIG, new, split, 777]) == [1, 0, 777, 4, new, 0, 1, 0]
    assert get("labels", json=[[0, 17, 0], [0, 17, 0]]).json() == [1, 1]
    assert get("labels?supervoxels=true", json=[[0, 17, 0], [0, 22, 0]]).json() == [split, remain]


def test_a_child_inherits_the_map_and_its_edits_do_not_reach_the_parent(seg, repo, get):
    seg.merge(repo.root, 1, [2])
    child = repo.child(repo.commit(repo.root))
    seg.merge(child, 1, [3])
    assert whole_map(get) == [[2, 1]]
    assert whole_map(get, child) == [[2, 1], [3, 1]]


def test_old_servers_know_no_binary_map_and_keep_no_retired_ids(dvid, seg, repo, get):
    seg.merge(repo.root, 1, [2])
    seg.cleave(repo.root, 1, [2])
    dvid.abilities.binary_mappings = dvid.abilities.retired_mappings = False
    assert get("mappings?format=binary").text == f"2 {BIG + 1}\n"


def test_a_million_entries_are_served(seg, repo, get):
    svs = np.arange(10**6, dtype=np.uint64) * 1000 + 10**13
    seg.load_mapping(repo.root, svs, svs // 4096)
    seg.merge(repo.root, 1, [2])
    entries = np.frombuffer(get("mappings?format=binary").content, "<u8").reshape(-1, 2)
    assert len(entries) == 10**6 + 1
    found = entries[np.argsort(entries[:, 0])]
    assert found[0].tolist() == [2, 1]
    assert (found[1:, 0] == svs).all()
    assert (found[1:, 1] == svs // 4096).all()
    assert mapped(get, [10**13 + 5000, 10**13 + 1]) == [(10**13 + 5000) // 4096, 0]


# --- log --------------------------------------------------------------------------------------------------------------

GO_TIME = re.compile(r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)? ([+-]\d{4})")


def test_the_log_has_a_record_for_each_edit(seg, repo, get):
    u = repo.root
    seg.merge(u, 1, [2, BIG], user="ann", app="Neu3")
    seg.cleave(u, 1, [BIG])
    seg.renumber(u, 777, 3)
    seg.split_supervoxel(u, 2, layer(16, 20))
    log = get("mutations").json()
    common = {"Action", "UUID", "MutationID", "Timestamp", "User", "App"}
    fields = [{name: value for name, value in record.items() if name not in common - {"Action"}} for record in log]
    assert fields == [
        {"Action": "merge-complete", "Target": 1, "Labels": [2, BIG]},
        {
            "Action": "cleave-complete",
            "OrigLabel": 1,
            "CleavedLabel": BIG + 1,
            "CleavedSupervoxels": [BIG],
            "CleavedSize": 65536,
            "RemainSize": 131072,
        },
        {"Action": "renumber-complete", "NewLabel": 777, "OrigLabel": 3},
        {
            "Action": "split-supervoxel-complete",
            "Supervoxel": 2,
            "Body": 1,
            "SplitSupervoxel": BIG + 2,
            "RemainSupervoxel": BIG + 3,
            "Split": f"blob-{BIG + 2}",
            "SplitSize": 16384,
            "RemainSize": 49152,
        },
    ]
    assert all(common <= set(record) and record["UUID"] == u for record in log)
    assert (log[0]["User"], log[0]["App"]) == ("ann", "Neu3")
    assert [record["MutationID"] for record in log] == [1_000_000_001, 1_000_000_002, 1_000_000_003, 1_000_000_004]
    fractions = {GO_TIME.match(record["Timestamp"])[3] for record in log}
    assert fractions == {".454557758", None, ".125", ".5"}, "with and without fraction"  # M25


def test_a_body_split_gives_new_ids_to_every_supervoxel_that_it_touches(seg, repo, get):
    u = repo.root
    seg.merge(u, 1, [2])
    new = seg.split_body(u, 1, layer(8, 32))  # half of 1, all of 2
    record = get("mutations").json()[-1]
    named = record["SVSplits"]
    assert (record["Action"], record["Target"], record["NewLabel"]) == ("split-complete", 1, new)
    assert set(named) == {"1", "2"}
    parts = [named["1"]["Split"], named["2"]["Split"], named["1"]["Remain"], named["2"]["Remain"]]
    assert get("sizes?supervoxels=true", json=parts).json() == [32768, 65536, 32768, 0], "dvid#289: one without voxels"
    assert get("size/2?supervoxels=true").status_code == 404
    assert mapped(get, [1, 2, *parts]) == [0, 0, new, new, 1, 1]
    assert get("sizes", json=[1, new]).json() == [32768, 98304]
    mutation = record["MutationID"]
    assert get("supervoxel-splits").json() == [
        u,
        [[mutation, 1, parts[2], parts[0]], [mutation, 2, parts[3], parts[1]]],
    ]


def test_splits_are_listed_from_the_node_back_to_the_root(dvid, seg, repo, get):
    seg.split_supervoxel(repo.root, 1, layer(0, 8))
    middle = repo.child(repo.commit(repo.root))
    leaf = repo.child(repo.commit(middle))
    seg.split_supervoxel(leaf, 2, layer(16, 18))
    listed = get("supervoxel-splits", leaf).json()
    assert [listed[0], listed[2], len(listed)] == [leaf, repo.root, 4]
    assert [record[1] for record in (*listed[1], *listed[3])] == [2, 1]
    dvid.abilities.supervoxel_splits = False
    assert get("supervoxel-splits", leaf).status_code == 400


def test_each_node_has_a_log_of_its_own(dvid, seg, repo, get):
    seg.merge(repo.root, 1, [2])
    child = repo.child(repo.commit(repo.root))
    assert get("mutations", child).json() == []
    seg.log_record(child, {"Action": "invented"})
    assert get("mutations", child).json() == [{"Action": "invented"}]
    dvid.abilities.json_log = False
    answer = get("mutations", child)
    assert (answer.status_code, "no jsonstore configured" in answer.text) == (400, True)


def test_old_logs_have_short_names_and_no_times(dvid, seg, repo, get):
    seg.short_actions, dvid.abilities.cleave_sizes = True, False
    seg.merge(repo.root, 1, [2], timestamp="", user="", app="")
    seg.cleave(repo.root, 1, [2])
    merge, cleave = get("mutations").json()
    assert set(merge) == {"Action", "Target", "Labels", "MutationID", "UUID"}
    assert (merge["Action"], cleave["Action"], "CleavedSize" in cleave) == ("merge", "cleave", False)


def test_ingestion_leaves_no_trace_in_the_log(seg, repo, get):
    seg.write(repo.root, np.full((64, 64, 64), 50, np.uint64), (64, 0, 0))
    assert get("mutations").json() == []
    assert get("sizes", json=[50]).json() == [64**3]
    assert get("info").json()["Extended"]["MaxPoint"] == [191, 63, 127]


@pytest.mark.parametrize(
    "edit",
    [
        lambda seg, u: seg.merge(u, 1, [99]),
        lambda seg, u: seg.cleave(u, 1, [1]),
        lambda seg, u: seg.cleave(u, 1, [2]),
        lambda seg, u: seg.renumber(u, 2, 1),
        lambda seg, u: seg.split_supervoxel(u, 1, layer(40, 41)),
    ],
)
def test_impossible_edits_are_refused(seg, repo, get, edit):
    with pytest.raises(Exception, match="label|supervoxel"):
        edit(seg, repo.root)
    assert get("mutations").json() == []


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_sizes_follow_the_edits(seg, repo, get):
    seg.merge(repo.root, 1, [2])
    assert get("sizes", json=[BIG, 1, 2, 0, 99]).json() == [65536, 131072, 0, 0, 0]
    assert get("sizes?supervoxels=true", json=[1, 2]).json() == [65536, 65536]
    assert get("size/1").json() == {"voxels": 131072}
    gone = get("size/2")
    assert (gone.status_code, gone.content) == (404, b"")
    assert get("size/0").status_code == 400
    assert (seg.size(repo.root, 1), seg.supervoxels(repo.root, 1)) == (131072, [1, 2])


def test_the_greatest_label_may_be_unknown(dvid, seg, repo, get):
    assert get("maxlabel").json() == {"maxlabel": BIG}
    child = repo.child(repo.commit(repo.root))
    assert get("maxlabel", child).json() == {"maxlabel": BIG}
    dvid.abilities.maxlabel_of_children = False
    answer = get("maxlabel", child)
    assert (answer.status_code, "No maximum label found" in answer.text) == (400, True)


def test_the_extents_are_whole_blocks_and_inclusive_or_null(dvid, repo, get):
    assert repo.labelmap("empty").extended()["MinPoint"] is None
    repo.labelmap("seg", np.ones((1, 70, 3), np.uint64), (64, 0, 130), (16, 16, 40))
    info = get("info").json()
    assert info["Extents"] == {"MinPoint": [128, 0, 64], "MaxPoint": [191, 127, 127]}
    assert (info["Extended"]["VoxelSize"], info["Extended"]["BlockSize"]) == ([16, 16, 40], [64, 64, 64])


# --- dense ------------------------------------------------------------------------------------------------------------


def records(stream):
    """The records of a block stream: {block xyz: payload}."""
    found, at = {}, 0
    while at < len(stream):
        x, y, z, size = struct.unpack_from("<4i", stream, at)
        found[x, y, z] = stream[at + 16 : at + 16 + size]
        at += 16 + size
    assert at == len(stream)
    return found


def literals(data):
    """What an LZ4 block of one sequence of literals holds."""
    assert data[0] == 0xF0
    at, size = 1, 15
    while True:
        size, at = size + data[at], at + 1
        if data[at - 1] != 255:
            break
    assert len(data) == at + size
    return data[at:]


def unblocked(data):
    """DVID's block format read the slow way, voxel by voxel of each sub-block."""
    gx, gy, gz, count = struct.unpack_from("<4I", data)
    assert (gx, gy, gz) == (8, 8, 8)
    table = np.frombuffer(data, "<u8", count, 16)
    if count == 1:
        return np.full((64, 64, 64), table[0])
    at = 16 + 8 * count
    used = np.frombuffer(data, "<u2", 512, at).tolist()
    at += 1024
    index = np.frombuffer(data, "<u4", sum(used), at).tolist()
    at += 4 * sum(used)
    out = np.zeros((64, 64, 64), np.uint64)
    for number, n in enumerate(used):
        z, y, x = number // 64 * 8, number // 8 % 8 * 8, number % 8 * 8
        places, index = index[:n], index[n:]
        width = (n - 1).bit_length()
        bits = "".join(f"{byte:08b}" for byte in data[at : at + 64 * width])
        at += 64 * width
        values = [int(bits[i * width : (i + 1) * width] or "0", 2) for i in range(512)]
        out[z : z + 8, y : y + 8, x : x + 8] = table[[places[v] for v in values]].reshape(8, 8, 8)
    assert at == len(data)
    return out


READERS = {
    "uncompressed": lambda data: data,
    "gzip": gzip.decompress,
    "lz4": literals,
    "": literals,
    "blocks": lambda data: unblocked(gzip.decompress(data)).astype("<u8").tobytes(),
}


@pytest.mark.parametrize("compression", READERS)
def test_blocks_come_without_the_absent_ones_in_every_compression(seg, get, compression):
    answer = get("blocks/192_128_64/0_0_0", params={"compression": compression})
    found = records(answer.content)
    assert set(found) == {(0, 0, 0), (2, 0, 0)}
    first = np.frombuffer(READERS[compression](found[0, 0, 0]), "<u8").reshape(64, 64, 64)
    assert first[0, :, 0].tolist() == [label for label in (1, 2, 3, BIG) for _ in range(16)]
    assert (first == first[:1, :, :1]).all()
    assert set(np.frombuffer(READERS[compression](found[2, 0, 0]), "<u8").tolist()) == {4}


def test_blocks_are_mapped_unless_supervoxels_are_asked_for_and_scaled(seg, repo, get):
    seg.merge(repo.root, 1, [2, 3, BIG])

    def labels(path, **params):
        payload = records(get(path, params={"compression": "gzip", **params}).content)[0, 0, 0]
        return np.frombuffer(zlib.decompress(payload, 31), "<u8").reshape(64, 64, 64)

    assert set(labels("blocks/64_64_64/0_0_0").reshape(-1).tolist()) == {1}
    assert labels("blocks/64_64_64/0_0_0", supervoxels="true")[0, ::16, 0].tolist() == [1, 2, 3, BIG]
    half = labels("blocks/64_64_64/0_0_0", supervoxels="true", scale="1")
    assert half[0, :32:8, 0].tolist() == [1, 2, 3, BIG]
    assert (half[0, 0, 31], half[0, 0, 32], half[0, 32, 0], half[32, 0, 0]) == (1, 0, 0, 0)


def test_blocks_come_in_any_order(repo, get):
    repo.labelmap("seg", np.ones((64, 64, 64 * 8), np.uint64))
    found = list(records(get("blocks/512_64_64/0_0_0?compression=blocks").content))
    assert found != sorted(found)
    assert sorted(found) == [(x, 0, 0) for x in range(8)]


def test_misaligned_boxes_and_unknown_compressions_are_refused(seg, get):
    assert get("blocks/64_64_32/0_0_0").status_code == 400
    assert get("blocks/64_64_64/0_0_1").status_code == 400
    assert get("blocks/64_64_64/0_0_0?compression=zip").status_code == 400


def test_listed_blocks_come_as_blocks_by_default(seg, get):
    found = records(get("specificblocks?blocks=2,0,0,1,0,0").content)
    assert {corner: payload[:2] for corner, payload in found.items()} == {(2, 0, 0): b"\x1f\x8b"}


def test_an_instance_with_another_compression_sends_it_as_blocks(dvid, repo, get):
    seg = repo.labelmap("seg", np.full((64, 64, 64), 5, np.uint64), compression="lz4")
    first = records(get("blocks/64_64_64/0_0_0?compression=blocks").content)[0, 0, 0]
    assert first[:2] != b"\x1f\x8b"
    seg.renumber(repo.root, 9, 5)
    assert records(get("blocks/64_64_64/0_0_0?compression=blocks").content)[0, 0, 0][:2] == b"\x1f\x8b"


def test_a_dense_box_need_not_be_aligned(seg, get):
    data = get("raw/0_1_2/3_2_1/63_15_10").content
    assert np.frombuffer(data, "<u8").reshape(1, 2, 3).tolist() == [[[1, 0, 0], [2, 0, 0]]]
    packed = get("raw/0_1_2/3_2_1/63_15_10?compression=gzip")
    assert "Content-Encoding" not in packed.headers
    assert gzip.decompress(packed.content) == data


def test_one_absent_block_alone_is_a_trap(seg, get):
    assert get("raw/0_1_2/64_64_64/64_0_0?compression=gzip").status_code == 400
    assert get("raw/0_1_2/64_64_64/64_0_0").status_code == 500
    assert set(get("raw/0_1_2/64_64_128/64_0_0").content) == {0}
    assert get("raw/0_1_2/4096_4096_32/0_0_0").status_code == 400, "more than 3 GiB"


def test_the_encoder_of_blocks_writes_what_dvid_wrote():
    cube = real_cube()
    block = blocks.encoded(cube)
    assert hashlib.sha256(block).hexdigest() == GOLDEN_BLOCK_SHA256
    assert (unblocked(block) == cube).all()


def test_the_encoder_of_blocks_reproduces_all_samples(shared):
    folder = shared / "data" / "payloads" / "dvid"
    for path in sorted(folder.glob("*-sample?.dat.gz")):
        cube = np.frombuffer(gzip.decompress(path.read_bytes()), "<u8").reshape(64, 64, 64)
        assert (unblocked(blocks.encoded(cube)) == cube).all()
    stream = records((folder / "stream_1block.dat").read_bytes())
    block = gzip.decompress(stream[0, 0, 0])
    assert len(unblocked(block)) == 64
    golden = gzip.decompress((folder / "fib19-64x64x64-sample1-block.dat.gz").read_bytes())
    assert blocks.encoded(real_cube()) == golden


@pytest.mark.parametrize("size", [0, 1, 14, 15, 16, 269, 270, 271, 100_000])
def test_literals_are_a_valid_lz4_block(size):
    data = bytes(range(256)) * (size // 256 + 1)
    packed = blocks.lz4_literals(data[:size])
    if size < 15:
        assert packed == bytes([size << 4]) + data[:size]
    else:
        assert literals(packed) == data[:size]


def test_a_real_cube_is_served(repo, get):
    cube = real_cube()
    repo.labelmap("seg", cube, (64, 128, 0))
    points = np.random.default_rng(0).integers(0, 64, (500, 3))
    expected = cube[tuple(points.T)].tolist()
    assert get("labels", json=(points[:, ::-1] + [0, 128, 64]).tolist()).json() == expected
    found = records(get("blocks/64_64_64/0_128_64?compression=blocks").content)
    assert (unblocked(gzip.decompress(found[0, 2, 1])) == cube).all()
