"""ROI volumes: painted from ROIs, fetched as a labelmap, looked up, kept on disk."""

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
from flyem_snapshot.sources.dvid.volumes import Overlap, RoiVolume, volume_from_labelmap, volume_from_rois
from tests.dvid_double import DvidDouble


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("regions")


def node_of(dvid, repo):
    return resolve(DvidClient(dvid.url, user="tester", pause=0.001), repo.root)


def test_rois_are_painted_with_their_labels_into_their_common_box(dvid, repo):
    repo.roi("EB").set(repo.root, [[1, 2, 3, 4]])
    repo.roi("FB(R)").set(repo.root, [[2, 2, 6, 6], [2, 3, 5, 5]])
    volume, overlaps = volume_from_rois(node_of(dvid, repo), {"EB": 7, "FB(R)": 300})
    assert volume.box_zyx.tolist() == [[1, 2, 3], [3, 4, 7]]
    assert volume.array.dtype == np.uint16
    assert volume.array.tolist() == [[[7, 7, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 300], [0, 0, 300, 0]]]
    assert (volume.unit, overlaps) == (32, [])


def test_the_narrowest_type_for_the_largest_label_is_used(dvid, repo):
    repo.roi("EB").set(repo.root, [[0, 0, 0, 0]])
    for label, dtype in ((255, np.uint8), (256, np.uint16), (2**32, np.uint64)):
        assert volume_from_rois(node_of(dvid, repo), {"EB": label})[0].array.dtype == dtype


def test_a_roi_listed_later_has_the_blocks_that_overlap_and_this_is_told(dvid, repo, caplog):  # M9
    repo.roi("a").set(repo.root, [[0, 0, 0, 5]])
    repo.roi("b").set(repo.root, [[0, 0, 4, 8]])
    node = node_of(dvid, repo)
    volume, overlaps = volume_from_rois(node, {"a": 1, "b": 2})
    assert volume.array.tolist() == [[[1, 1, 1, 1, 2, 2, 2, 2, 2]]]
    assert overlaps == [Overlap("a", "b", 2)]
    assert "a and b share 2 blocks: those points count for b, which is listed later" in caplog.text
    volume, overlaps = volume_from_rois(node, {"b": 2, "a": 1})
    assert volume.array.tolist() == [[[1, 1, 1, 1, 1, 1, 2, 2, 2]]]
    assert overlaps == [Overlap("b", "a", 2)]


def test_overlaps_can_be_refused(dvid, repo):  # M9
    repo.roi("a").set(repo.root, [[0, 0, 0, 5]])
    repo.roi("b").set(repo.root, [[0, 0, 4, 8]])
    with pytest.raises(DataError, match="ROIs overlap: a and b share 2 blocks"):
        volume_from_rois(node_of(dvid, repo), {"a": 1, "b": 2}, overlaps="error")


def test_every_pair_of_three_that_overlap_is_told(dvid, repo):  # M9
    for name, first in (("a", 0), ("b", 2), ("c", 3)):
        repo.roi(name).set(repo.root, [[0, 0, first, first + 4]])
    _, overlaps = volume_from_rois(node_of(dvid, repo), {"a": 1, "b": 2, "c": 3})
    assert overlaps == [Overlap("a", "b", 3), Overlap("a", "c", 2), Overlap("b", "c", 4)]


def test_several_rois_may_share_a_label(dvid, repo):
    repo.roi("ME(R)").set(repo.root, [[0, 0, 0, 0]])
    repo.roi("ME(L)").set(repo.root, [[0, 0, 2, 2]])
    volume, _ = volume_from_rois(node_of(dvid, repo), {"ME(R)": 1, "ME(L)": 1})
    assert volume.array.tolist() == [[[1, 0, 1]]]


def test_empty_rois_paint_nothing(dvid, repo, caplog):
    repo.roi("EB").set(repo.root, [[0, 0, 0, 1]])
    repo.roi("nothing")
    volume, _ = volume_from_rois(node_of(dvid, repo), {"nothing": 1, "EB": 2})
    assert volume.array.tolist() == [[[2, 2]]]
    assert "ROI nothing is empty" in caplog.text


def test_no_block_at_all_makes_an_empty_volume(dvid, repo):
    repo.roi("nothing")
    for labels in ({"nothing": 1}, {}):
        volume, overlaps = volume_from_rois(node_of(dvid, repo), labels)
        assert (volume.array.shape, overlaps) == ((0, 0, 0), [])
        assert volume.labels(np.array([[0, 0, 0], [5, -5, 99]])).tolist() == [0, 0]


@settings(deadline=None, max_examples=20)
@given(st.lists(st.lists(st.tuples(*[st.integers(-2, 2)] * 3), max_size=12), min_size=1, max_size=4))
def test_the_volume_and_the_overlaps_are_those_of_sets_of_blocks(rois):
    with DvidDouble() as dvid:
        repo = dvid.new_repo("r")
        names = [f"roi{number}" for number in range(len(rois))]
        for name, found in zip(names, rois, strict=True):
            repo.roi(name).set(repo.root, [[z, y, x, x] for z, y, x in found])
        labels = {name: 10 + number for number, name in enumerate(names)}
        volume, overlaps = volume_from_rois(node_of(dvid, repo), labels)
    sets = [set(found) for found in rois]
    pairs = [(a, b, len(sets[a] & sets[b])) for a in range(len(sets)) for b in range(a + 1, len(sets))]
    assert overlaps == [Overlap(names[a], names[b], count) for a, b, count in pairs if count]
    cells = np.array(list(np.ndindex(6, 6, 6))) - 3
    expected = [
        max((10 + n for n, found in enumerate(sets) if tuple(cell) in found), default=0) for cell in cells.tolist()
    ]
    assert volume.labels(cells * 32 + 31).tolist() == expected


@pytest.mark.parametrize("size", [64, 128])
def test_larger_blocks_become_elements_of_32_voxels(dvid, repo, size):  # M9
    repo.roi("big", block_size=size).set(repo.root, [[0, 0, 1, 1]])
    repo.roi("normal").set(repo.root, [[0, 0, 0, 0]])
    volume, _ = volume_from_rois(node_of(dvid, repo), {"big": 1, "normal": 2})
    assert volume.unit == 32
    points = np.array(
        [[0, 0, size], [size - 1, size - 1, 2 * size - 1], [0, 0, size - 1], [0, 0, 2 * size], [31, 31, 31]]
    )
    assert volume.labels(points).tolist() == [1, 1, 0, 0, 2]


def test_smaller_blocks_that_fill_cubes_become_elements_of_32_voxels(dvid, repo):  # M9
    repo.roi("fine", block_size=16).set(repo.root, [[z, y, -4, -1] for z in (2, 3) for y in (0, 1)])
    volume, _ = volume_from_rois(node_of(dvid, repo), {"fine": 1})
    assert (volume.unit, volume.box_zyx.tolist()) == (32, [[1, 0, -2], [2, 1, 0]])
    assert volume.array.tolist() == [[[1, 1]]]


def test_smaller_blocks_that_do_not_fill_cubes_make_a_finer_volume(dvid, repo, caplog):  # M9
    repo.roi("fine", block_size=16).set(repo.root, [[0, 0, 1, 1]])
    repo.roi("normal").set(repo.root, [[0, 0, 1, 1]])
    volume, _ = volume_from_rois(node_of(dvid, repo), {"fine": 1, "normal": 2})
    assert volume.unit == 16
    points = np.array([[0, 0, 15], [0, 0, 16], [15, 15, 31], [16, 0, 16], [0, 0, 32], [31, 31, 63], [0, 0, 64]])
    assert volume.labels(points).tolist() == [0, 1, 1, 0, 2, 2, 0]
    assert "ROI fine cannot be told by blocks of 32 voxels: the volume has blocks of 16" in caplog.text


def test_a_stray_block_far_away_is_no_reason_to_fill_the_memory(dvid, repo):
    repo.roi("EB").set(repo.root, [[0, 0, 0, 0], [200_000, 200_000, 200_000, 200_000]])
    repo.roi("FB").set(repo.root, [[0, 0, 0, 9]])
    with pytest.raises(DataError, match="would take 8000.1 TB") as caught:
        volume_from_rois(node_of(dvid, repo), {"EB": 1, "FB": 2})
    assert "look for a stray block in EB" in str(caught.value)


def test_each_roi_is_asked_for_once(dvid, repo):
    for name in "abcdefghij":
        repo.roi(name).set(repo.root, [[0, 0, 0, 0]])
    volume_from_rois(node_of(dvid, repo), dict.fromkeys("abcdefghij", 1))
    assert len(dvid.asked("/roi$")) == 10


def test_an_unknown_roi_is_an_error_that_says_which_one_is_meant(dvid, repo):
    repo.roi("FB(R)")
    with pytest.raises(DvidError, match=r"did you mean 'FB\(R\)'"):
        volume_from_rois(node_of(dvid, repo), {"FB(L)": 1})


def test_a_negative_label_is_refused(dvid, repo):
    repo.roi("EB").set(repo.root, [[0, 0, 0, 0]])
    with pytest.raises(DataError, match="negative: -1"):
        volume_from_rois(node_of(dvid, repo), {"EB": -1})


# --- looking up ------------------------------------------------------------------------------------------------------


def test_points_with_negative_coordinates_are_rounded_down():
    volume = RoiVolume(np.array([[[5, 6]]], np.uint8), np.array([[-1, -1, -1], [0, 0, 1]]))
    points = np.array(
        [[-1, -1, -1], [-32, -32, -32], [-33, -1, -1], [0, -1, -1], [-1, -1, 0], [-1, -1, 31], [-1, -1, 32]]
    )
    assert volume.labels(points).tolist() == [5, 5, 0, 0, 6, 6, 0]


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint32, np.uint64])
def test_points_may_be_any_integers(dtype):
    volume = RoiVolume(np.array([[[5, 6]]], np.uint8), np.array([[1, 1, 1], [2, 2, 3]]))
    points = np.array([[40, 40, 40], [0, 0, 0], [63, 32, 95]], dtype)
    found = volume.labels(points)
    assert found.dtype == np.uint8
    assert found.tolist() == [5, 0, 6]


def test_no_points_have_no_labels():
    volume = RoiVolume(np.ones((1, 1, 1), np.uint8), np.array([[0, 0, 0], [1, 1, 1]]))
    assert volume.labels(np.zeros((0, 3), np.int64)).tolist() == []


# --- labelmaps -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(repo):
    """A labelmap of regions, 32 times as coarse as the segmentation."""
    cube = np.random.default_rng(2).choice(np.array([0, 3, 12], np.uint64), (70, 30, 90))
    repo.labelmap("segmentation", np.ones((64, 64, 64), np.uint64), voxel_size=(8, 8, 8))
    repo.labelmap("rois", cube, offset_zyx=(64, 0, 64), voxel_size=(256, 256, 256))
    return cube


def test_a_labelmap_is_fetched_whole(dvid, repo, small):
    node = node_of(dvid, repo)
    volume = volume_from_labelmap(node, "rois", Labelmap.open(node, "segmentation"))
    assert volume.box_zyx.tolist() == [[64, 0, 64], [192, 64, 192]]
    assert volume.array.dtype == np.uint8
    expected = np.zeros((128, 64, 128), np.uint64)
    expected[:70, :30, :90] = small
    assert np.array_equal(volume.array, expected)
    assert volume.labels(np.array([[64 * 32, 0, 64 * 32 + 31]])).tolist() == [small[0, 0, 0]]


@pytest.mark.parametrize("size", [(8, 8, 8), (128, 128, 128), (256, 256, 128), (0, 0, 0)])
def test_a_labelmap_of_any_other_resolution_is_refused(dvid, repo, size):  # M9
    repo.labelmap("segmentation", np.ones((64, 64, 64), np.uint64), voxel_size=(8, 8, 8))
    repo.labelmap("rois", np.ones((64, 64, 64), np.uint64), voxel_size=size)
    node = node_of(dvid, repo)
    with pytest.raises(DvidError, match="must have voxels 32 times as large"):
        volume_from_labelmap(node, "rois", Labelmap.open(node, "segmentation"))
    assert dvid.asked("/blocks/") == []


def test_a_segmentation_of_unknown_resolution_is_no_measure(dvid, repo):
    for name in ("segmentation", "rois"):
        repo.labelmap(name, np.ones((64, 64, 64), np.uint64), voxel_size=(0, 0, 0))
    node = node_of(dvid, repo)
    with pytest.raises(DvidError, match="must have voxels 32 times as large"):
        volume_from_labelmap(node, "rois", Labelmap.open(node, "segmentation"))


def test_voxels_that_are_no_cubes_need_32_times_each_side(dvid, repo):
    repo.labelmap("segmentation", np.ones((64, 64, 64), np.uint64), voxel_size=(4, 4, 40))
    repo.labelmap("rois", np.full((64, 64, 64), 2, np.uint64), voxel_size=(128, 128, 1280))
    node = node_of(dvid, repo)
    assert volume_from_labelmap(node, "rois", Labelmap.open(node, "segmentation")).array.max() == 2


def test_a_labelmap_without_data_is_an_empty_volume(dvid, repo):
    repo.labelmap("segmentation", np.ones((64, 64, 64), np.uint64))
    repo.labelmap("rois", voxel_size=(256, 256, 256))
    node = node_of(dvid, repo)
    volume = volume_from_labelmap(node, "rois", Labelmap.open(node, "segmentation"))
    assert volume.labels(np.array([[0, 0, 0]])).tolist() == [0]


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_volume_is_kept_in_three_files(tmp_path):
    volume = RoiVolume(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.array([[-1, 0, 2], [1, 3, 6]]))
    volume.save(tmp_path / "volumes", "primary", {"FB": 2, "ME(R)": 1})
    assert np.array_equal(np.load(tmp_path / "volumes/primary-vol.npy"), volume.array)
    assert json.loads((tmp_path / "volumes/primary-box-zyx.json").read_text()) == [[-1, 0, 2], [1, 3, 6]]
    assert (tmp_path / "volumes/primary-ids.json").read_text() == '{\n  "FB": 2,\n  "ME(R)": 1\n}\n'
    assert sorted(path.name for path in (tmp_path / "volumes").iterdir()) == [
        "primary-box-zyx.json",
        "primary-ids.json",
        "primary-vol.npy",
    ]


@pytest.mark.parametrize("unit", [16, 32])
@pytest.mark.parametrize("shape", [(0, 0, 0), (2, 3, 4), (128, 128, 128)])
def test_a_volume_comes_back_from_disk(tmp_path, unit, shape):
    array = np.random.default_rng(0).integers(0, 9, shape).astype(np.uint16)
    RoiVolume(array, np.array([[1, -2, 3], np.add([1, -2, 3], shape)]), unit).save(tmp_path, "vols", {"é": 8})
    found, ids = RoiVolume.load(tmp_path, "vols")
    assert np.array_equal(found.array, array)
    assert (found.box_zyx[0].tolist(), found.unit, ids) == ([1, -2, 3], unit, {"é": 8})
    points = np.array([[unit, -2 * unit, 3 * unit], [0, 0, 0]])
    assert found.labels(points).tolist() == [int(array[0, 0, 0]) if array.size else 0, 0]


def test_files_that_do_not_fit_are_refused(tmp_path):
    volume = RoiVolume(np.ones((2, 3, 4), np.uint8), np.array([[0, 0, 0], [2, 3, 4]]))
    damages = {
        "v-vol.npy": [b"", b"\x93NUMPY", b"nonsense"],
        "v-box-zyx.json": [b"{", b"[[0, 0, 0], [2, 3, 5]]", b"[1]", b'{"box-zyx": [[0, 0, 0], [2, 3, 4]]}'],
        "v-ids.json": [b"[]", b'{"a": "x"}', b'{"a": null}'],
    }
    for name, contents in damages.items():
        for content in contents:
            volume.save(tmp_path, "v", {"a": 1})
            (tmp_path / name).write_bytes(content)
            with pytest.raises(DataError):
                RoiVolume.load(tmp_path, "v")
    volume.save(tmp_path, "v", {"a": 1})
    (tmp_path / "v-ids.json").unlink()
    with pytest.raises(DataError):
        RoiVolume.load(tmp_path, "v")
