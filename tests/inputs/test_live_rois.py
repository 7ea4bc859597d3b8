"""ROI sets that are read from a server, as instances of ROIs or as a labelmap."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flyem_snapshot.config.dvid import DvidVersion
from flyem_snapshot.errors import SettingError, SnapshotError
from flyem_snapshot.inputs.rois import load_roi_sets, pin_version, state
from flyem_snapshot.inputs.rois_settings import RoiSet, RoisSettings
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.volumes import load_volumes
from tests.live_stages import TERMS


def settings(world, uuid=None, **sets):
    """Settings at a version, which is looked up."""
    connections.forget()
    connections.node(world.dvid.url, uuid or world.uuid, TERMS)
    return RoisSettings(roi_sets=sets, dvid=DvidVersion(server=world.dvid.url, uuid=uuid or world.uuid))


def of_rois(rois, **more):
    return RoiSet(source="dvid-rois", rois=rois, **more)


def of_labelmap(rois, labelmap="layers"):
    return RoiSet(source="dvid-labelmap", rois=rois, labelmap=labelmap)


@pytest.fixture
def load(world):
    """The roi-sets at a version, and the name of the ROI of each point in the first of them."""

    def run(config, zyx=(), segmentation=None):
        ctx = world.ctx("rois")
        found = load_roi_sets(config, ctx, dvid_seg=segmentation or world.segmentation(config.dvid.uuid))
        (volume, *_) = load_volumes(found.sets, world.folder).values()
        names = {label: name for name, label in (found.sets[0].ids or {}).items()}
        return found, [names.get(label) for label in volume.labels(np.array(zyx, np.int64).reshape(-1, 3)).tolist()]

    return run


def roi(world, name, spans, **options):
    made = world.repo.roi(name, **options)
    made.set(world.uuid, spans)
    return made


POINTS = [(0, 0, 0), (31, 31, 31), (0, 0, 32), (0, 0, 63), (0, 0, 64), (32, 0, 0), (-1, 0, 0), (0, -40, 0), (900, 0, 0)]


def test_a_point_is_in_the_roi_of_its_block_and_in_none_outside(world, load):  # M26: floor, not truncation
    roi(world, "A", [[0, 0, 0, 0]])
    roi(world, "B(R)", [[0, 0, 1, 1]])
    _, names = load(settings(world, primary=of_rois(("A", "B(R)"))), POINTS)
    assert names == ["A", "A", "B(R)", "B(R)", None, None, None, None, None]


def test_blocks_of_negative_coordinates(world, load):
    roi(world, "A", [[-1, 0, -2, 0]])
    _, names = load(
        settings(world, primary=of_rois(("A",))), [(-1, 0, -1), (-32, 5, -64), (-33, 0, 0), (0, 0, 0), (-1, 0, -65)]
    )
    assert names == ["A", "A", None, None, None]


@pytest.mark.parametrize(("order", "winner"), [(("A", "B"), "B"), (("B", "A"), "A")])
def test_of_rois_that_overlap_the_last_listed_counts_and_the_overlap_is_told(world, load, caplog, order, winner):  # M9
    roi(world, "A", [[0, 0, 0, 2]])
    roi(world, "B", [[0, 0, 2, 4]])
    with caplog.at_level("WARNING"):
        _, names = load(settings(world, primary=of_rois(order)), [(0, 0, 70)])
    assert names == [winner]
    assert "share 1 block" in caplog.text
    assert json.loads((world.folder / "volumes/primary-overlaps.json").read_text()) == [
        {"a": order[0], "b": order[1], "blocks": 1}
    ]


def test_overlaps_can_be_made_an_error(world, load):
    roi(world, "A", [[0, 0, 0, 2]])
    roi(world, "B", [[0, 0, 2, 4]])
    with pytest.raises(SnapshotError, match=r"A.*B|share"):
        load(settings(world, primary=of_rois(("A", "B"), overlaps="error")))


def test_ids_may_be_given_and_several_need_more_than_a_byte(world, load):
    roi(world, "A", [[0, 0, 0, 0]])
    roi(world, "B", [[0, 0, 1, 1]])
    found, names = load(settings(world, primary=of_rois({"A": 70000, "B": 3})), POINTS[:4])
    assert names == ["A", "A", "B", "B"]
    assert np.load(world.folder / "volumes/primary-vol.npy").dtype == np.uint32
    assert json.loads((world.folder / "volumes/primary-ids.json").read_text()) == {"A": 70000, "B": 3}
    assert found.sets[0].ids == {"A": 70000, "B": 3}


def test_rois_of_other_block_sizes_are_not_taken_for_32(world, load):  # M9
    roi(world, "A", [[0, 0, 0, 0]], block_size=16)
    _, names = load(settings(world, primary=of_rois(("A",))), [(0, 0, 0), (0, 0, 15), (0, 0, 16), (0, 0, 31)])
    assert names == ["A", "A", None, None]


@pytest.mark.parametrize("spans", [[], [[0, 0, 0, 0]]])
def test_an_empty_roi_and_a_set_of_nothing_but_such(world, load, spans):
    roi(world, "A", spans)
    roi(world, "B", [])
    _, names = load(settings(world, primary=of_rois(("A", "B"))), [(0, 0, 0)])
    assert names == (["A"] if spans else [None])


def layers(world, factor=32, name="layers"):
    """A labelmap of regions with voxels so many times as large as those of the segmentation, which are 8 nm."""
    cube = np.zeros((64, 64, 64), np.uint64)
    cube[0, 0, 0], cube[0, 0, 1:3] = 7, 12
    made = world.repo.labelmap(name, None, voxel_size=(8 * factor,) * 3)
    made.write(world.uuid, cube)
    return made


@pytest.mark.parametrize("rois", ["L{x}", {"L7": 7, "L12": 12}])
def test_a_labelmap_of_regions(world, load, rois):
    layers(world)
    found, names = load(settings(world, layers=of_labelmap(rois)), POINTS)
    assert names == ["L7", "L7", "L12", "L12", "L12", None, None, None, None]
    assert found.sets[0].ids == {"L7": 7, "L12": 12}


@pytest.mark.parametrize("factor", [16, 31, 64])
def test_a_labelmap_of_another_resolution_is_an_error(world, load, factor):  # M9: the check was commented out
    layers(world, factor)
    with pytest.raises(SnapshotError, match="32") as caught:
        load(settings(world, layers=of_labelmap("L{x}")))
    assert "layers" in str(caught.value)


def test_a_template_that_gives_two_labels_one_name_is_an_error_of_the_settings(world, load):
    layers(world)
    with pytest.raises(SettingError, match="one name") as caught:
        load(settings(world, layers=of_labelmap("L{x % 5}")))
    assert caught.value.field == ("roi-sets", "layers", "rois")


def test_a_labelmap_without_a_segmentation_is_an_error_of_the_settings(world):
    layers(world)
    with pytest.raises(SettingError) as caught:
        load_roi_sets(settings(world, layers=of_labelmap("L{x}")), world.ctx("rois"), dvid_seg=None)
    assert caught.value.field == ("roi-sets", "layers", "source")


def test_instances_need_a_server_which_may_be_another_than_that_of_the_segmentation(world):
    roi(world, "A", [[0, 0, 0, 0]])
    config = RoisSettings(roi_sets={"primary": of_rois(("A",))})
    with pytest.raises(SettingError, match="needs a DVID server"):
        pin_version(config, world.whole())
    pinned = pin_version(
        config.model_copy(update={"dvid": DvidVersion(server=world.dvid.url, uuid=":master")}), world.whole()
    )
    assert pinned.dvid.uuid == world.uuid


def test_an_instance_that_does_not_exist_is_found_when_the_version_is_looked_up(world):
    roi(world, "A", [[0, 0, 0, 0]])
    for broken in ({"primary": of_rois(("A", "B"))}, {"layers": of_labelmap("L{x}", "A")}):
        with pytest.raises(SettingError):
            pin_version(settings(world, **broken), world.whole())


def edited_roi(world):
    world.repo.instances["A"].set(world.uuid, [[0, 0, 5, 5]])


def edited_labels(world):
    layers = world.repo.instances["layers"]
    cube = layers.labels(world.uuid).cube.copy()
    cube[1, 1, 1] = 7
    layers.write(world.uuid, cube)


def edited_segmentation(world):
    world.seg.merge(world.uuid, 1, [2])


@pytest.mark.parametrize("edit", [edited_roi, edited_labels, edited_segmentation])
def test_the_state_before_is_that_which_is_read_and_changes_with_the_content(world, load, edit):  # M9
    roi(world, "A", [[0, 0, 0, 0]])
    layers(world)
    sets = {"primary": of_rois(("A",)), "layers": of_labelmap("L{x}")}
    before = state(settings(world, **sets), world.whole())
    found, _ = load(settings(world, **sets))
    assert found.source == before
    edit(world)
    after = state(settings(world, **sets), world.whole())
    assert (after == before) == (edit is edited_segmentation)
    found, _ = load(settings(world, **sets))
    assert found.source == after


def test_of_a_locked_version_the_state_costs_no_request_for_any_roi(world):
    roi(world, "A", [[0, 0, 0, 0]])
    uuid = world.commit()
    config = settings(world, uuid, primary=of_rois(("A",)))
    world.dvid.requests.clear()
    found = state(config, world.whole(uuid))
    assert found["uuid"] == uuid
    assert found["instances"] == {"A": world.repo.instances["A"].data_uuid}
    assert world.dvid.requests == []


def test_another_version_or_a_new_instance_of_that_name_is_another_state(world):  # M9
    roi(world, "A", [[0, 0, 0, 0]])
    states = []
    for _ in range(2):
        uuid = world.commit()
        states.append(state(settings(world, uuid, primary=of_rois(("A",))), world.whole(uuid)))
    world.repo.roi("A").set(world.uuid, [[0, 0, 0, 0]])
    world.repo.instances["A"].data_uuid = "made anew"
    uuid = world.commit()
    states.append(state(settings(world, uuid, primary=of_rois(("A",))), world.whole(uuid)))
    assert len({json.dumps(one, sort_keys=True) for one in states}) == 3
