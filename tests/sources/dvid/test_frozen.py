"""A labelmap at one moment, whatever is edited afterwards or meanwhile: against the voxels of that moment."""

from __future__ import annotations

import copy
import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyem_snapshot.sources.dvid import frozen as freezing
from flyem_snapshot.sources.dvid.frozen import Frozen, Moment, Undo, freeze
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient
from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.sources.dvid.mutations import mutations
from tests.dvid_double import DvidDouble
from tests.dvid_double.replies import Refusal
from tests.live_truth import Truth

SIDE = 12
ZYX = np.argwhere(np.ones((SIDE, SIDE, SIDE), bool))
COUNTER = itertools.count()
EDITS = ("merge", "cleave", "split_supervoxel", "split_body", "renumber")


@pytest.fixture(scope="module", autouse=True)
def _no_long_waits():
    """The double logs an edit at once, so that nothing is under way for long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(freezing, "QUIET", 0.005)
        yield


@pytest.fixture(scope="module")
def dvid():
    with DvidDouble(log=False) as dvid:
        dvid.log_pause = 0
        yield dvid


@pytest.fixture(scope="module")
def client(dvid):
    with DvidClient(dvid.url) as client:
        yield client


def cube():
    """27 supervoxels of 4 voxels a side, the last of which is nothing."""
    z, y, x = np.indices((SIDE,) * 3) // 4
    labels = (2**53 + 1 + (z * 3 + y) * 3 + x).astype(np.uint64)
    labels[labels == labels.max()] = 0
    return labels


def new_segmentation(dvid):
    repo = dvid.new_repo(f"frozen-{next(COUNTER)}")
    return repo, repo.labelmap("segmentation", cube())


def opened(client, repo, uuid=None):
    return Labelmap.open(resolve(client, uuid or repo.root), "segmentation")


def do(seg, uuid, edit):
    """Make an edit that a few numbers stand for, if it is possible."""
    kind, one, two, cut = edit
    bodies = seg.bodies(uuid)
    body, other = bodies[one % len(bodies)], bodies[two % len(bodies)]
    supervoxels = seg.supervoxels(uuid, body)
    mask = np.zeros((SIDE,) * 3, bool)
    mask.reshape(-1)[:: 2 + cut % 3] = True
    try:
        if kind == "merge" and other != body:
            seg.merge(uuid, body, [other])
        elif kind == "cleave":
            seg.cleave(uuid, body, supervoxels[: 1 + cut % len(supervoxels)])
        elif kind == "split_supervoxel":
            seg.split_supervoxel(uuid, supervoxels[two % len(supervoxels)], mask)
        elif kind == "split_body":
            seg.split_body(uuid, body, mask)
        elif kind == "renumber":
            seg.renumber(uuid, seg.next_label + cut, body)
    except Refusal:
        pass


def assert_frozen(frozen, state):
    """Supervoxels, bodies and sizes are those of a state."""
    truth = Truth(state)
    supervoxels, bodies = frozen.labels(ZYX)
    assert supervoxels.tolist() == truth.supervoxels(ZYX).tolist()
    assert bodies.tolist() == truth.bodies(ZYX).tolist()
    asked = np.array([*truth.sizes, 2**60], np.uint64)
    assert dict(zip(asked.tolist(), frozen.sizes(asked).tolist(), strict=True)) == {**truth.sizes, 2**60: 0}


edit_lists = st.lists(
    st.tuples(st.sampled_from(EDITS), *(st.integers(0, 50) for _ in range(3))), min_size=0, max_size=7
)


@settings(max_examples=60)
@given(before=edit_lists, later=edit_lists)
def test_what_is_edited_later_is_undone(dvid, client, before, later):
    repo, seg = new_segmentation(dvid)
    for edit in before:
        do(seg, repo.root, edit)
    with tempfile.TemporaryDirectory() as folder:
        frozen = freeze(opened(client, repo), Path(folder) / "map")
        state = copy.copy(seg.labels(repo.root))
        for edit in later:
            do(seg, repo.root, edit)
        assert frozen.moment.consistent
        assert_frozen(frozen, state)


@settings(max_examples=60)
@given(before=edit_lists, meanwhile=edit_lists, part=st.integers(0, 15), later=edit_lists)
def test_what_is_edited_while_the_mapping_is_read_is_in_it_up_to_the_position_that_is_said(
    dvid, client, before, meanwhile, part, later
):
    repo, seg = new_segmentation(dvid)
    states = {}

    def make(edits):
        for edit in edits:
            do(seg, repo.root, edit)
            states[len(seg.logs.get(repo.root, []))] = copy.copy(seg.labels(repo.root))

    states[0] = copy.copy(seg.labels(repo.root))
    make(before)
    dvid.midway(1, part, lambda: make(meanwhile), f"{repo.root}/segmentation/mappings$")
    with tempfile.TemporaryDirectory() as folder:
        frozen = freeze(opened(client, repo), Path(folder) / "map")
        make(later)
        log = seg.logs.get(repo.root, [])
        assert frozen.moment.consistent
        assert frozen.moment.mutid == (log[frozen.moment.records - 1]["MutationID"] if frozen.moment.records else 0)
        assert_frozen(frozen, states[frozen.moment.records])


@settings(max_examples=30)
@given(edits=edit_lists, later=edit_lists)
def test_a_locked_version_is_the_same_whole_or_asked_and_whatever_its_children_do(dvid, client, edits, later):
    repo, seg = new_segmentation(dvid)
    for edit in edits:
        do(seg, repo.root, edit)
    state = copy.copy(seg.labels(repo.root))
    repo.commit(repo.root)
    child = repo.child(repo.root)
    for edit in later:
        do(seg, child, edit)
    labelmap = opened(client, repo)
    with tempfile.TemporaryDirectory() as folder:
        assert_frozen(freeze(labelmap, Path(folder) / "map"), state)
    assert_frozen(freeze(labelmap, None), state)


@settings(max_examples=30)
@given(edits=edit_lists)
def test_undo_takes_the_parts_of_every_supervoxel_to_it_and_back(dvid, client, edits):
    repo, seg = new_segmentation(dvid)
    before = np.unique(cube())[1:]
    for edit in edits:
        do(seg, repo.root, edit)
    log = mutations(opened(client, repo).node, "segmentation")
    undo = Undo(split for mutation in log for split in mutation.splits)
    now = Truth(seg.labels(repo.root))
    parts, places = undo.parts(before)
    assert len(set(parts.tolist())) == len(parts)
    assert set(parts.tolist()) >= set(now.svs[1:].tolist())
    assert undo(parts).tolist() == before[places].tolist()
    assert undo(before).tolist() == before.tolist()
    assert np.array_equal(undo(now.cube.ravel()), cube().ravel())


def test_an_open_version_cannot_be_frozen_without_the_mapping(dvid, client):
    repo, _ = new_segmentation(dvid)
    with pytest.raises(ValueError, match="read whole"):
        Frozen(opened(client, repo), Moment(), None)


def test_nothing_to_ask_is_asked_of_nobody(dvid, client, tmp_path):
    repo, _ = new_segmentation(dvid)
    frozen = freeze(opened(client, repo), tmp_path)
    none = np.zeros(0, np.uint64)
    assert frozen.sizes(none).tolist() == []
    assert [found.tolist() for found in frozen.labels(np.zeros((0, 3), np.int64))] == [[], []]
    assert (frozen.moment.records, frozen.moment.mutid, frozen.moment.consistent) == (0, 0, True)


def test_an_edit_between_the_answer_and_the_log_is_taken_back(dvid, client, tmp_path):
    """The log is read after the answer: a split in between is undone, though it is not in the answer."""
    repo, seg = new_segmentation(dvid)
    frozen = freeze(opened(client, repo), tmp_path)
    state = copy.copy(seg.labels(repo.root))
    edits = iter([("split_supervoxel", 3, 0, 1), ("merge", 3, 9, 0), ("split_body", 3, 0, 0)])
    for endpoint in ("labels$", "sizes$", "sizes$"):
        dvid.after(1, lambda: do(seg, repo.root, next(edits)), f"{repo.root}/segmentation/{endpoint}")
    assert_frozen(frozen, state)


def test_sizes_that_are_edited_again_and_again_are_of_the_moment_or_there_is_a_warning(dvid, client, tmp_path, caplog):
    repo, seg = new_segmentation(dvid)
    frozen = freeze(opened(client, repo), tmp_path)
    truth = Truth(seg.labels(repo.root))
    asked = np.array(list(truth.sizes), np.uint64)
    counter = itertools.count()

    def split_again():
        body = seg.bodies(repo.root)[0]
        do(seg, repo.root, ("split_body", 0, 0, next(counter)))
        assert body

    for number in range(1, 12):
        dvid.after(number, split_again, f"{repo.root}/segmentation/sizes$")
    with caplog.at_level("WARNING"):
        found = frozen.sizes(asked)
    differ = np.count_nonzero(found != np.array([truth.sizes[int(body)] for body in asked]))
    assert differ == 0 or "so fast" in caplog.text
    assert differ <= 1
