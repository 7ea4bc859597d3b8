"""Supervoxels and bodies of the points of a table: what is asked for, what is believed, and what is an error."""

from __future__ import annotations

import copy
import re

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.frozen import freeze
from flyem_snapshot.sources.dvid.http import DvidError
from flyem_snapshot.sources.dvid.labelmap import POINTS, Labelmap
from flyem_snapshot.sources.pointlabels import label_points
from flyem_snapshot.sources.pointtables import PointTable
from tests.contexts import make_context
from tests.dvid_double import DvidDouble
from tests.live_truth import Truth

SHAPE = (64, 64, 128)


@pytest.fixture
def dvid():
    connections.forget()
    with DvidDouble() as dvid:
        yield dvid
    connections.forget()


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("points")


@pytest.fixture
def seg(repo):
    """Supervoxels of 16 voxels a side, numbered from 1 by z, y, x; the last 32 layers of x hold nothing."""
    z, y, x = np.indices(SHAPE) // 16
    cube = 1 + (z * 4 + y) * 8 + x
    cube[:, :, 96:] = 0
    return repo.labelmap("segmentation", cube.astype(np.uint64))


def some_points(count=500, seed=0, low=0, shape=SHAPE):
    zyx = np.random.default_rng(seed).integers(low, shape, (count, 3))
    return np.unique(zyx, axis=0).astype(np.int32)


def half(stop=8):
    """Every second layer of 8 voxels along z."""
    inside = np.zeros(SHAPE, bool)
    inside[(np.arange(SHAPE[0]) // stop) % 2 == 0] = True
    return inside


class Labeller:
    """Labels points at a version, as a stage does; `folder` stays the same so that a second call resumes."""

    def __init__(self, dvid, folder):
        self.dvid, self.folder, self.calls = dvid, folder, 0

    def frozen(self, uuid, *, whole=None):
        node = connections.known(self.dvid.url, uuid)
        labelmap = Labelmap.open(node, "segmentation")
        whole = not node.locked if whole is None else whole
        return freeze(labelmap, self.folder / f"map-{uuid[:6]}-{self.calls}" if whole else None)

    def __call__(self, zyx, uuid, sv=None, frozen=None, **options):
        frozen = frozen or self.frozen(uuid, **options)
        self.calls += 1
        columns = {axis: zyx[:, place] for place, axis in enumerate("zyx")}
        columns |= {} if sv is None else {"sv": sv}
        path = self.folder / f"points-{self.calls}.feather"
        feather.write_feather(pa.table(columns), str(path))
        ctx = make_context(self.folder / "out")
        table = PointTable(path, (), {"body": "the body"}, {}, labelled=True)
        with ctx.engine:
            return label_points(
                table, frozen, ctx.engine, self.folder / f"scratch-{self.calls}", self.folder / "resume"
            )


@pytest.fixture
def label(dvid, tmp_path):
    return Labeller(dvid, tmp_path)


def assert_true(labels, seg, uuid, zyx):
    truth = Truth(seg.labels(uuid))
    assert np.asarray(labels.sv).tolist() == truth.supervoxels(zyx).tolist()
    assert np.asarray(labels.body).tolist() == truth.bodies(zyx).tolist()


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_bodies_after_edits_of_every_kind(repo, seg, label, whole, given):
    zyx = some_points()
    before = Truth(seg.labels(repo.root)).supervoxels(zyx)
    edited(repo, seg)
    repo.commit(repo.root)
    labels = label(zyx, repo.root, before if given else None, whole=whole)
    assert_true(labels, seg, repo.root, zyx)
    assert labels.outside == 0


def edited(repo, seg):
    """One edit of each kind, the supervoxels that were split twice among them."""
    seg.merge(repo.root, 1, [2, 3, 50])
    seg.cleave(repo.root, 1, [3, 50])
    seg.renumber(repo.root, 9000, 5)
    split, _ = seg.split_supervoxel(repo.root, 20, half())  # M1
    seg.split_supervoxel(repo.root, split, half(4))
    seg.split_body(repo.root, 1, half())  # M2: SVSplits


def test_points_outside_are_on_body_0_and_counted_and_never_asked_for(dvid, repo, seg, label):  # M26
    repo.commit(repo.root)
    inside = some_points(50)
    outside = np.array(
        [[-1, 5, 5], [5, -64, 5], [5, 5, -3], [64, 5, 5], [5, 64, 5], [5, 5, 128], [900, 900, 900]], np.int32
    )
    zyx = np.concatenate([inside[:20], outside, inside[20:]])
    labels = label(zyx, repo.root)
    assert labels.outside == len(outside)
    assert_true(labels, seg, repo.root, zyx)
    asked = [point for request in dvid.asked("/labels$") for point in request.json()]
    assert len(asked) == len(inside)
    assert min(min(point) for point in asked) >= 0


def test_outside_points_of_a_table_with_supervoxels_lose_them(repo, seg, label):  # M26
    repo.commit(repo.root)
    zyx = np.array([[-1, 5, 5], [5, 5, 5], [5, 5, 500]], np.int32)
    labels = label(zyx, repo.root, np.array([1, 1, 1]))
    assert np.asarray(labels.body).tolist() == [0, 1, 0]
    assert labels.outside == 2


def test_requests_are_few_and_in_order_of_blocks(dvid, repo, seg, label):  # M4: never some points a request
    repo.commit(repo.root)
    zyx = np.stack(np.unravel_index(np.random.default_rng(1).permutation(np.prod(SHAPE))[:25_000], SHAPE), axis=1)
    zyx = zyx.astype(np.int32)
    assert_true(label(zyx, repo.root), seg, repo.root, zyx)
    sizes = [len(request.json()) for request in dvid.asked("/labels$")]
    assert sum(sizes) == len(zyx)
    assert max(sizes) <= POINTS
    assert len(sizes) <= 4
    for request in dvid.asked("/labels$"):
        assert len({tuple(c // 64 for c in point) for point in request.json()}) == 1


def test_only_supervoxels_that_a_split_may_have_changed_are_looked_up(dvid, repo, seg, label):  # M1, M2
    zyx = some_points()
    before = Truth(seg.labels(repo.root)).supervoxels(zyx)
    edited(repo, seg)
    repo.commit(repo.root)
    label(zyx, repo.root, before)
    compared, *rest = dvid.asked("/labels$")
    assert len(compared.json()) <= 100  # a sample of the table is compared with the server
    asked = sorted(tuple(point[::-1]) for request in rest for point in request.json())
    # 20 was split, and with body 1 its supervoxels 1 and 2 (the body's parts were cleaved off before).
    assert asked == sorted(map(tuple, zyx[np.isin(before, [20, 1, 2])].tolist()))


@pytest.mark.parametrize("missing", ["json_log", "supervoxel_splits"])
def test_splits_are_known_from_either_source(dvid, repo, seg, label, missing):  # M1, M2
    zyx = some_points()
    before = Truth(seg.labels(repo.root)).supervoxels(zyx)
    edited(repo, seg)
    repo.commit(repo.root)
    setattr(dvid.abilities, missing, False)
    assert_true(label(zyx, repo.root, before), seg, repo.root, zyx)


@pytest.mark.parametrize("retired_mappings", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_without_any_list_of_splits_supervoxels_without_a_body_are_looked_up_again(
    dvid, repo, seg, label, whole, retired_mappings
):  # M1
    zyx = some_points()
    before = Truth(seg.labels(repo.root)).supervoxels(zyx)
    edited(repo, seg)
    repo.commit(repo.root)
    dvid.abilities.json_log = dvid.abilities.supervoxel_splits = False
    dvid.abilities.retired_mappings = retired_mappings
    assert_true(label(zyx, repo.root, before, whole=whole), seg, repo.root, zyx)


@pytest.mark.parametrize("where", ["another branch", "a later version"])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("missing", ["json_log", "supervoxel_splits", None])
def test_supervoxels_that_were_made_elsewhere_are_looked_up(dvid, repo, seg, label, where, whole, missing):  # M3
    repo.commit(repo.root)
    here = repo.child(repo.root)
    seg.merge(here, 1, [2])
    repo.commit(here)
    there = repo.child(here) if where == "a later version" else repo.child(repo.root, "side")
    seg.split_supervoxel(there, 20, half())
    seg.split_body(there, 41, half())
    zyx = some_points()
    theirs = Truth(seg.labels(there)).supervoxels(zyx)
    assert not np.isin(theirs, Truth(seg.labels(here)).svs).all()
    if missing:
        setattr(dvid.abilities, missing, False)
    assert_true(label(zyx, here, theirs, whole=whole), seg, here, zyx)


@pytest.mark.parametrize("whole", [True, False])
def test_supervoxels_that_never_existed_are_not_taken_for_bodies(repo, seg, label, whole):
    """An id of another segmentation must not become a body of its own: the point lies on a real one."""
    repo.commit(repo.root)
    zyx = some_points(100)
    made_up = Truth(seg.labels(repo.root)).supervoxels(zyx)
    made_up[::7] = 2**62 + 5
    assert_true(label(zyx, repo.root, made_up, whole=whole), seg, repo.root, zyx)


def test_null_supervoxels_are_looked_up_and_0_is_believed(repo, seg, label):
    repo.commit(repo.root)
    zyx = np.array([[1, 1, 1], [1, 1, 1 + 16], [1, 1, 33]], np.int32)
    labels = label(zyx, repo.root, pa.array([None, 2, 0], pa.int64()))
    assert np.asarray(labels.sv).tolist() == [1, 2, 0]
    assert np.asarray(labels.body).tolist() == [1, 2, 0]


def test_an_open_version_is_seen_as_it_was_when_it_was_frozen(repo, seg, label):
    zyx = some_points()
    seg.merge(repo.root, 1, [2, 3, 50])
    frozen = label.frozen(repo.root)
    then = copy.copy(seg.labels(repo.root))
    edited_later(repo, seg)
    labels = label(zyx, repo.root, frozen=frozen)
    truth = Truth(then)
    assert np.asarray(labels.sv).tolist() == truth.supervoxels(zyx).tolist()
    assert np.asarray(labels.body).tolist() == truth.bodies(zyx).tolist()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_and_so_it_is_for_a_table_with_supervoxels_from_before_or_from_after(repo, seg, label, elsewhere):
    zyx = some_points()
    before = Truth(seg.labels(repo.root)).supervoxels(zyx)
    seg.split_supervoxel(repo.root, 21, half())
    frozen = label.frozen(repo.root)
    then = Truth(copy.copy(seg.labels(repo.root)))
    edited_later(repo, seg)
    sv = Truth(seg.labels(repo.root)).supervoxels(zyx) if elsewhere else before
    labels = label(zyx, repo.root, sv, frozen=frozen)
    assert np.asarray(labels.sv).tolist() == then.supervoxels(zyx).tolist()
    assert np.asarray(labels.body).tolist() == then.bodies(zyx).tolist()


def edited_later(repo, seg):
    seg.cleave(repo.root, 1, [3, 50]) if seg.size(repo.root, 1) > 16**3 else None
    seg.merge(repo.root, 9, [10, 11])
    split, _ = seg.split_supervoxel(repo.root, 20, half())
    seg.split_supervoxel(repo.root, split, half(4))
    seg.split_body(repo.root, 9, half())
    seg.renumber(repo.root, 9000, 30)


def test_a_supervoxel_without_a_body_is_an_error_that_counts_and_shows_it(dvid, repo, seg, label):  # D.2.5
    seg.set_entry(repo.root, 20, 0)
    repo.commit(repo.root)
    zyx = some_points()
    truth = Truth(seg.labels(repo.root))
    lost = np.flatnonzero(truth.supervoxels(zyx) == 20)
    with pytest.raises(DataError) as caught:
        label(zyx, repo.root)
    z, y, x = zyx[lost[0]]
    assert caught.value.rows == len(lost)
    assert f"supervoxel 20 (x {x}, y {y}, z {z})" in str(caught.value)
    assert "belong to no body" in str(caught.value)
    assert caught.value.hint


def test_a_contradiction_that_is_gone_when_asked_again_is_none(dvid, repo, seg, label):
    repo.commit(repo.root)
    zyx = some_points()
    zeros = dvid.faults.changed(lambda body: re.sub(rb"\d+", b"0", body), "/mapping$")
    assert_true(label(zyx, repo.root), seg, repo.root, zyx)
    assert zeros.hits == 1


def test_a_labelmap_without_voxels(dvid, repo, label):
    repo.labelmap("segmentation", None)
    repo.commit(repo.root)
    labels = label(some_points(10), repo.root)
    assert np.asarray(labels.body).tolist() == [0] * 10
    assert labels.outside == 10
    assert dvid.asked("/labels$") == []


def test_a_volume_that_begins_elsewhere(repo, label):
    seg = repo.labelmap("segmentation", np.full((64, 64, 64), 5, np.uint64), offset_zyx=(64, 128, 192))
    repo.commit(repo.root)
    zyx = np.array([[64, 128, 192], [127, 191, 255], [63, 128, 192], [0, 0, 0], [64, 128, 256]], np.int32)
    labels = label(zyx, repo.root)
    assert np.asarray(labels.body).tolist() == [5, 5, 0, 0, 0]
    assert labels.outside == 3
    assert seg.size(repo.root, 5) == 64**3


def test_ids_above_2_to_the_53_are_exact_and_such_as_do_not_fit_are_an_error(repo, label):
    cube = np.full((64, 64, 64), 2**53 + 1, np.uint64)
    cube[32:] = 2**63 - 1
    seg = repo.labelmap("segmentation", cube)
    repo.commit(repo.root)
    zyx = np.array([[1, 1, 1], [40, 1, 1]], np.int32)
    labels = label(zyx, repo.root)
    assert np.asarray(labels.body).tolist() == [2**53 + 1, 2**63 - 1]
    child = repo.child(repo.root)
    seg.write(child, np.full((64, 64, 64), 2**63, np.uint64))
    repo.commit(child)
    connections.forget()
    label.folder = label.folder / "other"
    label.folder.mkdir()
    with pytest.raises(DataError, match="63 bits"):
        label(zyx, child)


def test_answers_of_an_interrupted_run_are_used_and_the_rest_is_asked_for(dvid, repo, seg, label, monkeypatch):
    monkeypatch.setattr("flyem_snapshot.sources.pointlabels.LOOKUP_ROWS", 100)
    repo.commit(repo.root)
    zyx = some_points(450)
    dvid.faults.status(400, "/labels$", skip=2, times=None)
    with pytest.raises(DvidError):
        label(zyx, repo.root)
    dvid.faults.clear()
    dvid.requests.clear()
    label.folder.joinpath("scratch-1").rename(label.folder / "left")
    assert_true(label(zyx, repo.root), seg, repo.root, zyx)
    assert sum(len(request.json()) for request in dvid.asked("/labels$")) == len(zyx) - 200


def test_a_torn_answer_file_is_cut_to_what_is_whole(dvid, repo, seg, label, monkeypatch):
    monkeypatch.setattr("flyem_snapshot.sources.pointlabels.LOOKUP_ROWS", 100)
    repo.commit(repo.root)
    zyx = some_points(450)
    resume = label.folder / "resume"
    first = label(zyx, repo.root)
    whole = (resume / "supervoxels.bin").read_bytes()
    (resume / "supervoxels.bin").write_bytes(whole[: 8 * 250 + 3])
    (resume / "bodies.bin").unlink()
    dvid.requests.clear()
    again = label(zyx, repo.root)
    assert np.asarray(again.sv).tolist() == np.asarray(first.sv).tolist()
    assert_true(again, seg, repo.root, zyx)
    assert sum(len(request.json()) for request in dvid.asked("/labels$")) == len(zyx) - 200
