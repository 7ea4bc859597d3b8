"""Supervoxels under points, bodies of supervoxels, sizes, the mapping as a stream."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flyem_snapshot.sources.dvid import labelmap as labelmap_module
from flyem_snapshot.sources.dvid.failures import DvidError, Incomplete
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient
from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.sources.dvid.pairs import pairs_of
from tests.dvid_double import DvidDouble

BIG = 2**53 + 1  # a float would make it 2**53
OFFSET = np.array([64, 128, 192])
SHAPE = np.array([128, 128, 192])


def cube():
    """Supervoxels of 32³ voxels with odd ids above 2**53; the first is nothing."""
    small = BIG + 2 * np.arange(4 * 4 * 6, dtype=np.uint64).reshape(4, 4, 6)
    small[0, 0, 0] = 0
    return small.repeat(32, 0).repeat(32, 1).repeat(32, 2)


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("brain")


@pytest.fixture
def seg(repo):
    return repo.labelmap("seg", cube(), offset_zyx=tuple(OFFSET), voxel_size=(4, 8, 16))


def opened(dvid, **options):
    client = DvidClient(dvid.url, **{"user": "tester", "threads": 4, "pause": 0.001, **options})
    return Labelmap.open(resolve(client, ":master"), "seg")


def points(count, seed=0):
    """Points within the volume and around it, in no order."""
    return np.random.default_rng(seed).integers(OFFSET - 64, OFFSET + SHAPE + 64, (count, 3))


def truth(seg, uuid, zyx):
    return np.array([seg.supervoxel_at(uuid, point) for point in zyx.tolist()], np.uint64)


# --- what it is ------------------------------------------------------------------------------------------------------


def test_it_knows_its_box_and_its_resolution(dvid, repo, seg):
    labels = opened(dvid)
    assert labels.data_uuid == seg.data_uuid
    info = labels.info
    assert (info.block_size_zyx, info.voxel_size_zyx) == ((64, 64, 64), (16.0, 8.0, 4.0))
    assert info.voxel_units == "nanometers"
    assert info.max_scale == 2
    assert info.box_zyx.tolist() == [[64, 128, 192], [192, 256, 384]]
    assert info.box_at(2).tolist() == [[16, 32, 48], [48, 64, 96]]


def test_a_box_at_a_lower_resolution_is_rounded_outwards(dvid, repo, seg):
    info = opened(dvid).info
    assert info.box_at(7).tolist() == [[0, 1, 1], [2, 2, 3]]


def test_an_instance_of_another_type_is_no_labelmap(dvid, repo):
    repo.annotation("seg")
    with pytest.raises(DvidError, match="'seg' is of type annotation, not labelmap"):
        opened(dvid)


def test_a_description_that_makes_no_sense_is_an_error(dvid, repo, seg):
    dvid.faults.replaced(b'{"Base":{},"Extended":{"BlockSize":[64,64],"VoxelSize":[8,8,8]}}', "seg/info")
    with pytest.raises(DvidError, match="make no sense"):
        opened(dvid)


def test_nothing_lies_in_a_labelmap_that_was_never_written(dvid, repo):
    repo.labelmap("seg")
    labels = opened(dvid)
    assert labels.info.box_zyx is None
    assert labels.info.box_at(1) is None
    assert labels.supervoxels(np.zeros((3, 3), np.int64)).tolist() == [0, 0, 0]
    assert not dvid.asked("labels")


# --- supervoxels -----------------------------------------------------------------------------------------------------


def test_every_point_gets_the_supervoxel_that_lies_under_it_in_the_order_of_the_points(dvid, repo, seg):
    zyx = points(3000)
    found = opened(dvid).supervoxels(zyx)
    assert found.dtype == np.uint64
    assert (found == truth(seg, repo.root, zyx)).all()
    assert 0 < np.count_nonzero(found) < 3000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    zyx=arrays.arrays(np.int64, st.tuples(st.integers(0, 30), st.just(3)), elements=st.integers(-(2**31), 2**31)),
    near=arrays.arrays(np.int16, st.tuples(st.integers(0, 30), st.just(3)), elements=st.integers(-100, 500)),
)
def test_any_points_do(dvid, any_points, zyx, near):
    seg, labels = any_points
    for some in (zyx, near, np.asfortranarray(near)):
        assert (labels.supervoxels(some) == truth(seg, seg.repo.root, some)).all()


@pytest.fixture
def any_points(dvid, seg):
    return seg, opened(dvid)


def test_points_outside_are_nothing_and_are_never_asked_for(dvid, repo, seg):  # M26
    below, above = OFFSET - 1, OFFSET + SHAPE
    inside = [64, 128, 255]
    zyx = np.array([[-1, -1, -1], below, above, inside, [-(2**40), 0, 0], [2**40, 0, 0], [64, 128, -1]])
    labels = opened(dvid)
    assert labels.supervoxels(zyx).tolist() == [0, 0, 0, BIG + 2, 0, 0, 0]
    assert labels.inside(zyx).tolist() == [False, False, False, True, False, False, False]
    (request,) = dvid.asked("labels")
    assert request.json() == [[255, 128, 64]]


def test_negative_points_are_not_asked_for_even_if_the_box_has_some(dvid, repo):  # M26
    repo.labelmap("seg", np.full((128, 128, 128), 7, np.uint64), offset_zyx=(-64, -64, -64))
    labels = opened(dvid)
    assert labels.info.box_zyx.tolist() == [[-64] * 3, [64] * 3]
    assert labels.supervoxels(np.array([[-1, 0, 0], [0, 0, 0], [5, 5, -64]])).tolist() == [0, 7, 0]
    assert [request.json() for request in dvid.asked("labels")] == [[[0, 0, 0]]]


def test_batches_are_large_sorted_by_block_and_in_parallel(dvid, repo, seg):  # M4
    zyx = np.random.default_rng(1).integers(OFFSET, OFFSET + SHAPE, (45_000, 3))
    dvid.faults.stall("/labels", seconds=0.05, times=None)
    found = opened(dvid).supervoxels(zyx)
    requests = dvid.asked("/labels")
    sizes = [len(request.json()) for request in requests]
    assert sum(sizes) == 45_000
    assert max(sizes) <= 10_000
    assert len(sizes) <= 7
    assert dvid.most_at_once("/labels") == 4
    blocks = [{tuple(np.array(point) // 64) for point in request.json()} for request in requests]
    assert sum(map(len, blocks)) == 12, "no block is in two batches"
    small = cube()
    assert (found == small[tuple((zyx - OFFSET).T)]).all()


def test_a_block_with_more_points_than_a_batch_is_cut(dvid, repo, seg):
    zyx = np.random.default_rng(1).integers(OFFSET, OFFSET + 64, (25_000, 3))
    found = opened(dvid).supervoxels(zyx)
    assert sorted(len(request.json()) for request in dvid.asked("/labels")) == [5_000, 10_000, 10_000]
    assert (found == cube()[tuple((zyx - OFFSET).T)]).all()


def test_requests_say_what_they_want_and_prove_their_body(dvid, repo, seg):
    opened(dvid).supervoxels(np.array([[64, 128, 255]]))
    (request,) = dvid.asked("/labels")
    assert request.method == "GET"
    assert request.args["supervoxels"] == "true"
    assert "scale" not in request.args
    assert len(request.args["hash"]) == 32
    assert "admintoken" not in request.args


def test_points_may_be_those_of_a_lower_resolution(dvid, repo, seg):
    zyx = np.array([[16, 32, 63], [48, 63, 95], [47, 63, 95]])
    assert opened(dvid).supervoxels(zyx, scale=2).tolist() == [BIG + 2, 0, BIG + 2 * 95]
    assert dvid.asked("/labels")[0].args["scale"] == "2"


@pytest.mark.parametrize("bad", [np.zeros((3, 2), int), np.zeros(3, int), np.zeros((3, 3))])
def test_points_are_integers_of_three_axes(dvid, repo, seg, bad):
    with pytest.raises(ValueError, match="points must be integers of shape"):
        opened(dvid).supervoxels(bad)


def test_no_points_need_no_request(dvid, repo, seg):
    assert opened(dvid).supervoxels(np.zeros((0, 3), np.int64)).tolist() == []
    assert not dvid.asked("/labels")


@pytest.mark.parametrize("fault", ["truncated", "cut", "appended", "reset", "panic"])
def test_a_batch_that_fails_now_and_then_is_asked_for_again(dvid, repo, seg, fault):
    getattr(dvid.faults, fault)("/labels")
    zyx = points(500)
    assert (opened(dvid).supervoxels(zyx) == truth(seg, repo.root, zyx)).all()


def test_a_batch_that_keeps_failing_is_halved(dvid, repo, seg, caplog):
    def only_small(answer):
        return answer if len(json.loads(answer)) <= 250 else answer[:-3]

    dvid.faults.changed(only_small, "/labels", times=None)
    zyx = np.random.default_rng(1).integers(OFFSET, OFFSET + SHAPE, (1000, 3))
    found = opened(dvid).supervoxels(zyx)
    assert (found == cube()[tuple((zyx - OFFSET).T)]).all()
    sizes = [len(request.json()) for request in dvid.asked("/labels")]
    assert sizes == [1000, 1000, 1000, 500, 250, 250, 500, 250, 250]
    assert "trying again with 500 items instead of 1,000" in caplog.text


def test_a_server_that_hangs_is_given_smaller_batches_then_up(dvid, repo, seg):  # C.3
    dvid.faults.stall("/labels", times=None)
    with pytest.raises(DvidError, match=r"no answer within 0.1 s after 2 tries"):
        opened(dvid, timeout=0.1).supervoxels(np.random.default_rng(1).integers(OFFSET, OFFSET + SHAPE, (400, 3)))
    sizes = [len(request.json()) for request in dvid.asked("/labels")]
    assert sizes == [400, 400, 200, 100, 100]


@pytest.mark.parametrize(
    "answer", [[1], [1, 2, 3], [1, "2"], [1, 2.0], [1, -2], [1, 2**64], [1, None], [1, True], {"1": 2}, None]
)
def test_only_as_many_ids_as_were_asked_for_are_an_answer(dvid, repo, seg, answer):
    dvid.faults.replaced(json.dumps(answer).encode(), "/labels", times=None)
    with pytest.raises(DvidError, match="the answer was incomplete"):
        opened(dvid).supervoxels(np.array([[64, 128, 255], [64, 128, 256]]))


def test_a_proxy_that_drops_the_bodies_of_gets_is_named(dvid, repo, seg):
    dvid.faults.drop_get_bodies("/labels")
    with pytest.raises(DvidError, match="(?s)status 400.*a proxy on the way"):
        opened(dvid).supervoxels(np.array([[64, 128, 255]]))


# --- bodies ----------------------------------------------------------------------------------------------------------


def test_supervoxels_have_bodies_and_retired_ones_have_none(dvid, repo, seg):
    a, b, c, d = (BIG + 2 * n for n in (1, 2, 3, 4))
    seg.merge(repo.root, a, [b, c])
    new = seg.cleave(repo.root, a, [c])
    mask = np.zeros(SHAPE, bool)
    mask[:16] = True
    split, remain = seg.split_supervoxel(repo.root, d, mask)
    labels = opened(dvid)
    asked = np.array([b, a, c, b, d, split, remain, new, 0, 12345], np.uint64)
    expected = [a, a, new, a, 0, d, d, 0, 0]
    assert labels.bodies(asked, verified=True).tolist() == [*expected, 0]
    assert labels.bodies(asked, verified=False).tolist() == [*expected, 12345]
    assert ["nolookup" in request.args for request in dvid.asked("/mapping")] == [False, True]
    for request in dvid.asked("/mapping"):
        assert request.json() == sorted(set(asked.tolist()) - {0}), "each once, and 0 is no question"


def test_bodies_are_asked_for_in_batches(dvid, repo, seg):
    ids = np.arange(1, 120_002, dtype=np.uint64)[::-1]
    assert (opened(dvid).bodies(ids, verified=False) == ids).all()
    lengths = sorted(request.body_size for request in dvid.asked("/mapping"))
    assert lengths == sorted(len(",".join(map(str, range(start, stop)))) + 2 for start, stop in THREE_BATCHES)


THREE_BATCHES = [(1, 50_001), (50_001, 100_001), (100_001, 120_002)]


def test_no_supervoxels_and_nothing_but_0_need_no_request(dvid, repo, seg):
    labels = opened(dvid)
    assert labels.bodies(np.zeros(0, np.uint64), verified=True).tolist() == []
    assert labels.bodies(np.zeros(2, np.uint64), verified=True).tolist() == [0, 0]
    assert not dvid.asked("/mapping")


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_sizes_are_voxels_and_0_for_what_does_not_exist(dvid, repo, seg):
    a, b = BIG + 2, BIG + 4
    seg.merge(repo.root, a, [b])
    labels = opened(dvid)
    found = labels.sizes(np.array([a, b, 0, a, BIG + 6], np.uint64))
    assert found.tolist() == [2 * 32**3, 0, 0, 2 * 32**3, 32**3]
    assert found.dtype == np.int64
    assert labels.sizes(np.array([a, b], np.uint64), supervoxels=True).tolist() == [32**3, 32**3]
    assert [request.args.get("supervoxels") for request in dvid.asked("/sizes")] == [None, "true"]


def test_sizes_are_asked_for_in_batches_of_ids_from_everywhere(dvid, repo, seg):
    ids = np.arange(1, 3501, dtype=np.uint64)
    ids[7] = BIG + 2
    found = opened(dvid).sizes(ids)
    assert found[7] == 32**3
    assert np.count_nonzero(found) == 1
    batches = [request.json() for request in dvid.asked("/sizes")]
    assert [len(batch) for batch in batches] == [875] * 4
    assert all(max(batch[:-1]) > 3400 and min(batch) < 100 for batch in batches)


def test_no_labels_have_no_sizes(dvid, repo, seg):
    assert opened(dvid).sizes(np.zeros(0, np.uint64)).tolist() == []


# --- the mapping as a stream -----------------------------------------------------------------------------------------


def entries(labels):
    parts = list(labels.mapping_pairs())
    return sorted(map(tuple, np.concatenate(parts).tolist())) if parts else []


@pytest.mark.parametrize("binary", [True, False])
def test_the_mapping_has_the_entries_in_either_form(dvid, repo, seg, binary):
    dvid.abilities.binary_mappings = binary
    a, b, c = (BIG + 2 * n for n in (1, 2, 3))
    seg.merge(repo.root, a, [b, c])
    new = seg.cleave(repo.root, a, [c])
    assert entries(opened(dvid)) == [(b, a), (c, new), (new, 0)]


@pytest.mark.parametrize("binary", [True, False])
def test_a_mapping_without_entries_is_empty(dvid, repo, seg, binary):
    dvid.abilities.binary_mappings = binary
    assert entries(opened(dvid)) == []


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("appended", {"text": "Error: disk"}),
        ("appended", {"text": "an error of 32 characters ......"}),
        ("truncated", {"after": 1001}),
        ("cut", {"after": 800}),
    ],
)
def test_a_mapping_that_is_not_whole_is_incomplete(dvid, repo, seg, binary, fault, options):
    ids = np.arange(1, 1001, dtype=np.uint64)
    seg.load_mapping(repo.root, ids, ids + 5000)
    dvid.abilities.binary_mappings = binary
    getattr(dvid.faults, fault)("mappings", **options)
    with pytest.raises(Incomplete):
        entries(opened(dvid))
    assert len(entries(opened(dvid))) == 1000


PAIRS = st.lists(st.tuples(st.integers(1, 2**56 - 1), st.integers(0, 2**56 - 1)), max_size=50)


@given(pairs=PAIRS, cuts=st.lists(st.integers(1, 400), max_size=20), binary=st.booleans())
def test_the_mapping_may_come_in_any_pieces(pairs, cuts, binary):
    text = "".join(f"{key} {value}\n" for key, value in pairs).encode()
    body = np.array(pairs, "<u8").tobytes() if binary else text
    pieces, start = [], 0
    for length in [*cuts, len(body)]:
        pieces.append(body[start : start + length])
        start += length
    found = [tuple(pair) for part in pairs_of(pieces) for pair in part.tolist()]
    assert found == pairs


@given(pairs=PAIRS.filter(len), missing=st.integers(1, 15))
def test_bytes_that_are_missing_at_the_end_are_noticed(pairs, missing):
    body = np.array(pairs, "<u8").tobytes()
    with pytest.raises(Incomplete):
        list(pairs_of([body[:-missing]]))


@pytest.mark.parametrize(
    "text", [b"1 2\n3 4", b"1 2\n3\n", b"1 2 3\n", b"1 2\nx 4\n", b"1 -2\n", b"1 18446744073709551616\n", b"1 2_0\n"]
)
def test_text_that_is_no_mapping_is_not_taken_for_one(text):
    with pytest.raises(Incomplete):
        list(pairs_of([b"10 20\n" * 20, text]))


def test_text_keeps_all_64_bits():
    (pairs,) = pairs_of([b"18446744073709551615 9007199254740993\n"])
    assert pairs.tolist() == [[2**64 - 1, 2**53 + 1]]


# --- the highest label -----------------------------------------------------------------------------------------------


def test_the_highest_label_of_a_new_version_is_its_parents(dvid, repo, seg):
    highest = int(cube().max())
    repo.child(repo.commit(repo.root))
    assert opened(dvid).max_label() == highest
    dvid.abilities.maxlabel_of_children = False
    assert opened(dvid).max_label() == highest


def test_a_labelmap_that_was_never_written_has_no_highest_label(dvid, repo):
    repo.labelmap("seg")
    assert opened(dvid).max_label() is None


def test_another_refusal_is_not_taken_for_no_label(dvid, repo, seg):
    dvid.faults.status(400, "maxlabel", text="no disk")
    with pytest.raises(DvidError, match="no disk"):
        opened(dvid).max_label()


def test_batches_have_the_sizes_that_are_good_for_the_server():
    assert (labelmap_module.POINTS, labelmap_module.SUPERVOXELS, labelmap_module.SIZES) == (10_000, 50_000, 1_000)
