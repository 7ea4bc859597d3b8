"""Dense labels: DVID's block format, streams of blocks, and volumes put together of them."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyem_snapshot.sources.dvid import blocks
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient, DvidError, Incomplete
from flyem_snapshot.sources.dvid.labelmap import Labelmap
from tests.dvid_double import DvidDouble
from tests.dvid_double.blocks import encoded, payload, record
from tests.dvid_double.sample import GOLDEN_BLOCK_SHA256, real_cube


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("regions")


def opened(dvid, repo, name="seg", **options):
    return Labelmap.open(resolve(DvidClient(dvid.url, user="tester", pause=0.001, **options), repo.root), name)


def some_labels(shape, seed=1, labels=(0, 1, 7, 300, 70_000, 2**33, 2**64 - 1)):
    return np.random.default_rng(seed).choice(np.array(labels, np.uint64), shape)


def test_a_real_block_in_the_bytes_that_dvid_wrote_is_decoded():
    written = encoded(real_cube())
    assert sha256(written).hexdigest() == GOLDEN_BLOCK_SHA256, "these are DVID's own bytes"
    found = blocks.decode_block(written)
    assert found.dtype == np.uint64
    assert np.array_equal(found, real_cube())
    assert np.array_equal(blocks.decode_block(gzip.compress(written)), real_cube())


def test_a_block_written_out_by_hand_is_decoded():
    # One sub-block of 8x8x8 with three labels, thus two bits a voxel: 01 10 00 10 is 0x62.
    head = struct.pack("<4I3Q", 1, 1, 1, 3, 50, 60, 2**40) + struct.pack("<H3I", 3, 2, 0, 1)
    found = blocks.decode_block(head + b"\x62" * 128)
    assert found.shape == (8, 8, 8)
    assert found[0, 0, :4].tolist() == [50, 60, 2**40, 60]
    assert np.array_equal(found.reshape(-1, 4), np.tile(found[0, 0, :4], (128, 1)))


def test_a_block_of_one_label_ends_after_the_label():
    found = blocks.decode_block(struct.pack("<4IQ", 8, 8, 8, 1, 2**63))
    assert found.shape == (64, 64, 64)
    assert (found == 2**63).all()


def test_a_sub_block_without_labels_is_zero_and_one_with_one_label_has_no_bits():
    # Two sub-blocks along x: the first uses none of the two labels, the second only one.
    found = blocks.decode_block(struct.pack("<4I2Q2HI", 2, 1, 1, 2, 5, 6, 0, 1, 1))
    assert found.shape == (8, 8, 16)
    assert (found[..., :8] == 0).all()
    assert (found[..., 8:] == 6).all()


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**32), st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=600), st.sampled_from([8, 16, 24])
)
def test_any_block_is_decoded(seed, labels, side):
    cube = np.random.default_rng(seed).choice(np.array(labels, np.uint64), (side,) * 3)
    assert np.array_equal(blocks.decode_block(encoded(cube)), cube)


def test_a_damaged_block_is_incomplete_wherever_it_is_cut():
    written = encoded(some_labels((16, 16, 16)))
    for cut in [*range(120), *range(120, len(written), 97), len(written) - 1]:
        with pytest.raises(Incomplete):
            blocks.decode_block(written[:cut])
    with pytest.raises(Incomplete, match="bytes follow"):
        blocks.decode_block(written + b"\0")


@pytest.mark.parametrize(
    "damage",
    [
        struct.pack("<4I", 8, 8, 8, 0),  # no label
        struct.pack("<4IQ", 0, 8, 8, 1, 5),  # no sub-block
        struct.pack("<4IQ", 60000, 60000, 60000, 1, 5),  # more than there can be
        struct.pack("<4I2QHI", 1, 1, 1, 2, 5, 6, 1, 2),  # a third label of two
        struct.pack("<4I3QH3I", 1, 1, 1, 3, 5, 6, 7, 3, 0, 1, 2) + b"\xff" * 128,  # the fourth of three
        b"\x1f\x8b nonsense",
        gzip.compress(struct.pack("<4IQ", 1, 1, 1, 1, 5))[:-4],
        gzip.compress(struct.pack("<4IQ", 1, 1, 1, 1, 5)) + b"Error",
    ],
)
def test_a_block_that_makes_no_sense_is_incomplete(damage):
    with pytest.raises(Incomplete):
        blocks.decode_block(damage)


@pytest.mark.parametrize("compression", ["blocks", "gzip", "uncompressed"])
def test_every_compression_but_lz4_is_understood(compression):
    cube = some_labels((16, 16, 16))
    assert np.array_equal(blocks.decode_payload(payload(cube, compression), compression, (16, 16, 16)), cube)
    for damaged in (payload(cube, compression)[:-1], payload(cube, compression) + b"\0"):
        with pytest.raises(Incomplete):
            blocks.decode_payload(damaged, compression, (16, 16, 16))


@pytest.mark.parametrize("compression", ["blocks", "gzip", "uncompressed"])
def test_a_block_of_another_size_is_incomplete(compression):
    with pytest.raises(Incomplete):
        blocks.decode_payload(
            payload(
                some_labels((8, 8, 8)),
                compression,
            ),
            compression,
            (16, 16, 16),
        )


def test_lz4_is_refused_in_words():
    with pytest.raises(DvidError, match="lz4 are not understood") as caught:
        blocks.decode_payload(payload(some_labels((8, 8, 8)), "lz4"), "lz4", (8, 8, 8))
    assert "'blocks', 'gzip' or 'uncompressed'" in str(caught.value)


def test_records_have_coordinates_z_y_x_and_must_end_where_the_stream_ends():
    stream = record((1, 2, -3), b"abc") + record((0, 0, 0), b"")
    assert [(corner.tolist(), data) for corner, data in blocks.read_records(stream)] == [
        ([-3, 2, 1], b"abc"),
        ([0, 0, 0], b""),
    ]
    whole = {0, len(record((1, 2, -3), b"abc")), len(stream)}
    for cut in set(range(len(stream))) - whole:
        with pytest.raises(Incomplete):
            list(blocks.read_records(stream[:cut]))
    with pytest.raises(Incomplete):
        list(blocks.read_records(stream + b"Error: input/output error (/api/...)"))


def test_a_volume_is_put_together_of_blocks_in_any_order(dvid, repo):
    cube = some_labels((70, 200, 330), labels=(0, 3, 9))
    cube[:64, :64, 64:128] = 0  # a block that is absent
    repo.labelmap("seg", cube, offset_zyx=(64, 0, 128))
    found = blocks.dense(opened(dvid, repo), [[64, 0, 128], [134, 200, 458]])
    assert found.dtype == np.uint8
    assert np.array_equal(found, cube)


@pytest.mark.parametrize(
    "box", [[[70, 3, 130], [71, 190, 300]], [[0, 0, 0], [200, 220, 500]], [[-10, -70, 128], [100, 5, 130]]]
)
def test_any_box_is_cut_out_and_zero_where_nothing_was_written(dvid, repo, box):
    cube = some_labels((70, 200, 330), labels=(3, 9))
    repo.labelmap("seg", cube, offset_zyx=(64, 0, 128))
    expected = np.zeros(np.subtract(box[1], box[0]), np.uint64)
    whole = np.zeros((300, 400, 700), np.uint64)  # begins at -100
    whole[164:234, 100:300, 228:558] = cube
    low, high = np.add(box, 100)
    expected = whole[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    assert np.array_equal(blocks.dense(opened(dvid, repo), box), expected)


def test_nothing_is_asked_for_outside_of_what_was_written(dvid, repo):
    repo.labelmap("seg", some_labels((64, 64, 64)), offset_zyx=(64, 64, 64))
    labelmap = opened(dvid, repo)
    assert not blocks.dense(labelmap, [[500, 0, 0], [600, 64, 64]]).any()
    assert blocks.dense(labelmap, [[5, 5, 5], [5, 9, 9]]).shape == (0, 4, 4)
    assert dvid.asked("/blocks/") == []
    blocks.dense(labelmap, [[0, 0, 0], [1000, 1000, 1000]])
    assert [request.path.split("/blocks/")[1] for request in dvid.asked("/blocks/")] == ["64_64_64/64_64_64"]


def test_a_labelmap_without_data_is_zero(dvid, repo):
    repo.labelmap("seg")
    assert not blocks.dense(opened(dvid, repo), [[0, 0, 0], [64, 64, 64]]).any()


def test_requests_are_aligned_and_of_64_blocks_at_most(dvid, repo):
    repo.labelmap("seg", some_labels((300, 64, 600), labels=(1, 2)))
    blocks.dense(opened(dvid, repo), [[10, 0, 0], [300, 64, 600]])
    asked = [request.path.split("/blocks/")[1].split("/") for request in dvid.asked("/blocks/")]
    assert sorted(asked) == [
        ["128_64_256", "512_0_0"],
        ["128_64_64", "512_0_256"],
        ["256_64_256", "0_0_0"],
        ["256_64_256", "256_0_0"],
        ["256_64_64", "0_0_256"],
        ["256_64_64", "256_0_256"],
    ]
    args = dvid.asked("/blocks/")[0].args
    assert (args["compression"], args["scale"], args["supervoxels"]) == ("blocks", "0", "false")


@pytest.mark.parametrize(
    ("largest", "dtype"), [(255, np.uint8), (256, np.uint16), (2**16, np.uint32), (2**32, np.uint64)]
)
def test_the_array_is_as_narrow_as_its_labels_allow(dvid, repo, largest, dtype):  # M28
    cube = some_labels((64, 64, 320), labels=(0, 3))
    cube[5, 6, 300] = largest  # in the last block: what was placed before has to grow
    repo.labelmap("seg", cube)
    found = blocks.dense(opened(dvid, repo, threads=1), [[0, 0, 0], [64, 64, 320]])
    assert found.dtype == dtype
    assert np.array_equal(found, cube)


def test_bodies_or_supervoxels_as_asked_for(dvid, repo):
    cube = some_labels((64, 64, 64), labels=(1, 2, 3))
    repo.labelmap("seg", cube).merge(repo.root, 1, [2])
    labelmap = opened(dvid, repo)
    box = [[0, 0, 0], [64, 64, 64]]
    assert np.array_equal(blocks.dense(labelmap, box, supervoxels=True), cube)
    assert np.array_equal(blocks.dense(labelmap, box), np.where(cube == 2, 1, cube))


def test_a_lower_resolution_is_asked_for_in_its_own_voxels(dvid, repo):
    cube = some_labels((128, 128, 256), labels=(1, 2, 3))
    repo.labelmap("seg", cube)
    assert np.array_equal(blocks.dense(opened(dvid, repo), [[0, 0, 5], [64, 64, 128]], scale=1), cube[::2, ::2, 10::2])


def test_other_block_sizes_work(dvid, repo):
    cube = some_labels((70, 40, 100), labels=(1, 2, 3))
    repo.labelmap("seg", cube, block_size=32)
    assert np.array_equal(blocks.dense(opened(dvid, repo), [[0, 0, 0], [70, 40, 100]]), cube)


def test_blocks_that_are_stored_as_lz4_are_asked_for_as_gzip(dvid, repo):
    cube = some_labels((64, 64, 640), labels=(1, 2))
    repo.labelmap("seg", cube, compression="lz4")
    found = blocks.dense(opened(dvid, repo, threads=1), [[0, 0, 0], [64, 64, 640]])
    assert np.array_equal(found, cube)
    asked = [request.args["compression"] for request in dvid.asked("/blocks/")]
    assert asked == ["blocks", "gzip", "gzip", "gzip"], "once was enough to learn it"


@pytest.mark.parametrize("fault", ["cut", "truncated", "appended"])
def test_an_answer_that_is_not_whole_is_asked_for_again(dvid, repo, fault):
    cube = some_labels((64, 64, 256), labels=(1, 2))
    repo.labelmap("seg", cube)
    labelmap = opened(dvid, repo)
    dvid.faults.add(fault, "/blocks/", times=2, **({"text": "Error"} if fault == "appended" else {}), after=None)
    assert np.array_equal(blocks.dense(labelmap, [[0, 0, 0], [64, 64, 256]]), cube)
    assert len(dvid.asked("/blocks/")) == 3


def test_an_answer_that_never_gets_whole_is_an_error(dvid, repo):
    repo.labelmap("seg", some_labels((64, 64, 256)))
    labelmap = opened(dvid, repo)
    dvid.faults.add("truncated", "/blocks/", times=None, after=5000)
    with pytest.raises(DvidError, match="incomplete"):
        blocks.dense(labelmap, [[0, 0, 0], [64, 64, 256]])


def test_blocks_that_were_not_asked_for_are_refused(dvid, repo):
    repo.labelmap("seg", some_labels((64, 64, 64)))
    labelmap = opened(dvid, repo)
    dvid.faults.replaced(record((7, 0, 0), payload(some_labels((64, 64, 64)), "blocks")), "/blocks/", times=None)
    with pytest.raises(DvidError, match="was not asked for"):
        blocks.dense(labelmap, [[0, 0, 0], [64, 64, 64]])


def test_a_large_volume_takes_the_memory_of_its_result(dvid, repo):  # M28
    cube = np.zeros((128, 128, 1024), np.uint64)
    cube[::3] = 5
    repo.labelmap("seg", cube)
    labelmap = opened(dvid, repo, threads=2)
    tracemalloc.start()
    try:
        found = blocks.dense(labelmap, [[0, 0, 0], [128, 128, 1024]])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 17 MB of result, which as uint64 would be 134 MB; what the double holds of its own answers counts too.
    assert found.nbytes == 128 * 128 * 1024
    assert peak < 4 * found.nbytes
