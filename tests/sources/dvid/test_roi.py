"""ROIs: spans, their block size, and the arrays made of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.sources.dvid import roi
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient, DvidError
from tests.dvid_double import DvidDouble


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("rois")


def node_of(dvid, repo):
    return resolve(DvidClient(dvid.url, user="tester", pause=0.001), repo.root)


def spans_of(*spans):
    return np.array(spans, np.int32).reshape(-1, 4)


def blocks(spans):
    """The blocks of spans, one by one."""
    return {(z, y, x) for z, y, x0, x1 in np.asarray(spans).tolist() for x in range(x0, x1 + 1)}


small = st.integers(-6, 6)
some_spans = st.lists(st.tuples(small, small, small, st.integers(0, 5)), max_size=12).map(
    lambda rows: spans_of(*[(z, y, x, x + more) for z, y, x, more in rows])
)


def test_spans_are_z_y_x0_x1_in_order(dvid, repo):
    repo.roi("FB(R)").set(repo.root, [[2, 0, 5, 9], [1, 7, -3, -1], [1, 6, 0, 0]])
    found = roi.spans(node_of(dvid, repo), "FB(R)")
    assert found.dtype == np.int32
    assert found.tolist() == [[1, 6, 0, 0], [1, 7, -3, -1], [2, 0, 5, 9]]


def test_an_empty_roi_has_no_spans(dvid, repo):
    repo.roi("nothing")
    found = roi.spans(node_of(dvid, repo), "nothing")
    assert found.shape == (0, 4)
    mask, box = roi.rasterise(found)
    assert mask.shape == (0, 0, 0)
    assert box.tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    "body", [b"[[1, 2, 3]", b"[[1, 2, 3]]", b"[[1, 2, 5, 4]]", b"[[1, 2, 3.5, 4]]", b"{}", b"[[0,0,0,3000000000]]"]
)
def test_spans_that_make_no_sense_are_refused(dvid, repo, body):
    repo.roi("r")
    node = node_of(dvid, repo)
    dvid.faults.replaced(body, "/roi$", times=None)
    with pytest.raises(DvidError, match="incomplete"):
        roi.spans(node, "r")


@pytest.mark.parametrize("size", [16, 32, 64])
def test_the_block_size_is_the_servers(dvid, repo, size):  # M9
    repo.roi("r", block_size=size)
    assert roi.block_size(node_of(dvid, repo), "r") == (size, size, size)


def test_an_array_has_a_true_element_for_each_block_up_to_the_last():
    mask, box = roi.rasterise(spans_of([3, 1, 4, 6], [4, 0, 5, 5]))
    assert box.tolist() == [[3, 0, 4], [5, 2, 7]]
    assert mask.astype(int).tolist() == [[[0, 0, 0], [1, 1, 1]], [[0, 1, 0], [0, 0, 0]]]


def test_what_lies_outside_of_a_given_box_is_left_out():
    mask, box = roi.rasterise(spans_of([0, 0, -2, 5], [1, 0, 0, 0], [0, 9, 0, 0]), np.array([[0, 0, 0], [1, 2, 3]]))
    assert box.tolist() == [[0, 0, 0], [1, 2, 3]]
    assert mask.astype(int).tolist() == [[[1, 1, 1], [0, 0, 0]]]


@given(some_spans)
def test_the_array_holds_the_blocks_of_the_spans(spans):
    mask, box = roi.rasterise(spans)
    assert {tuple(block) for block in (np.argwhere(mask) + box[0]).tolist()} == blocks(spans)


@given(some_spans, st.tuples(small, small, small), st.tuples(small, small, small))
def test_the_array_of_any_box_holds_the_blocks_within(spans, corner, size):
    box = np.array([corner, np.add(corner, np.abs(size))])
    mask, _ = roi.rasterise(spans, box)
    inside = {
        block for block in blocks(spans) if (np.array(block) >= box[0]).all() and (np.array(block) < box[1]).all()
    }
    assert {tuple(block) for block in (np.argwhere(mask) + box[0]).tolist()} == inside


def test_many_blocks_are_listed_in_stretches(monkeypatch):
    monkeypatch.setattr(roi, "_CELLS", 7)
    spans = spans_of(*[(z, y, 0, 2 * y) for z in range(4) for y in range(6)])
    box = roi.bounding_box(spans)
    stretches = list(roi.cells_within(spans, box))
    assert max(map(len, stretches)) <= 11, "one run, or as many as fit"
    cells = np.concatenate(stretches)
    found = np.column_stack(np.unravel_index(cells, tuple(box[1] - box[0]))) + box[0]
    assert len(cells) == 4 * (1 + 3 + 5 + 7 + 9 + 11)
    assert {tuple(block) for block in found.tolist()} == blocks(spans)


def test_the_server_agrees_which_points_are_inside(dvid, repo):
    random = np.random.default_rng(5)
    inside = random.random((4, 5, 6)) < 0.4
    repo.roi("r").set_blocks(repo.root, inside, (2, 1, 3))
    mask, box = roi.rasterise(roi.spans(node_of(dvid, repo), "r"))
    points = random.integers(0, 32 * 12, (300, 3))
    cubes = points // 32 - box[0]
    ours = [bool(mask[tuple(c)]) if ((c >= 0) & (c < mask.shape)).all() else False for c in cubes]
    theirs = requests.post(
        f"{dvid.url}/api/node/{repo.root}/r/ptquery", json=points[:, ::-1].tolist(), timeout=10
    ).json()
    assert ours == theirs
    assert any(ours)


@given(some_spans)
def test_merged_spans_are_the_same_blocks_and_do_not_touch(spans):
    merged = roi.merged(spans)
    assert blocks(merged) == blocks(spans)
    listed = merged.tolist()
    assert listed == sorted(listed)
    assert all(a[:2] != b[:2] or a[3] + 1 < b[2] for a, b in pairwise(listed))


@given(some_spans, st.sampled_from([32, 64, 96, (64, 32, 128)]))
def test_larger_blocks_are_cut_up(spans, size):  # M9
    size = size if isinstance(size, tuple) else (size,) * 3
    parts = [side // 32 for side in size]
    expected = {
        tuple(int(a * n + b) for a, n, b in zip(block, parts, offset, strict=True))
        for block in blocks(spans)
        for offset in np.ndindex(*parts)
    }
    assert blocks(roi.rescaled(spans, size, 32)) == expected


@given(some_spans)
def test_smaller_blocks_are_joined_where_that_is_exact(spans):  # M9
    finer = roi.rescaled(spans, (64, 64, 64), 32)  # cut up; taken for blocks of 16, it can be joined again
    assert blocks(roi.rescaled(finer, (16, 16, 16), 32)) == blocks(spans)


@given(some_spans)
def test_smaller_blocks_are_not_joined_where_it_is_not_exact(spans):
    cells = blocks(spans)
    cubes = {tuple(side // 2 for side in cell) for cell in cells}
    joined = roi.rescaled(spans, (16, 16, 16), 32)
    if len(cells) == 8 * len(cubes):
        assert blocks(joined) == cubes
    else:
        assert joined is None


def test_blocks_that_are_no_multiple_nor_a_part_cannot_be_rescaled():
    assert roi.rescaled(spans_of([0, 0, 0, 0]), (24, 24, 24), 32) is None
    assert roi.rescaled(spans_of([0, 0, 0, 0]), (24, 24, 24), 8).shape == (9, 4)
