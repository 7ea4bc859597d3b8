"""Elements that are annotated points in a server, and bodies of elements of a table."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from flyem_snapshot.config.dvid import DvidPoints
from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.inputs.elements import check_elements, load_elements
from flyem_snapshot.inputs.elements_live import state, state_as_read
from flyem_snapshot.inputs.elements_settings import ElementsSettings, ElementTable
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.tables.synapses import POINTS
from tests.live_stages import TERMS


@pytest.fixture
def nuclei(world):
    return world.repo.annotation("nuclei")


@pytest.fixture
def load(world):
    """The rows of the elements of the settings, by name of their table, as dicts; and what was left out."""

    def run(segmentation=None, **tables):
        ctx = world.ctx("elements")
        with ctx.engine:
            ctx.engine.connection.execute(f'CREATE VIEW "{POINTS}" AS SELECT 0::UBIGINT AS point_id WHERE false')
            config = ElementsSettings(**tables)
            found = load_elements(
                config,
                ctx,
                rois=None,
                synapses=SimpleNamespace(),
                dvid_seg=segmentation or world.segmentation(),
            )
            rows = {
                name: None
                if one.num_points is None
                else ctx.engine.table(f'SELECT * EXCLUDE (roi_combo) FROM "{one.points_view}"').to_pylist()
                for name, one in found.sets.items()
            }
        return rows, {entry.table + ": " + entry.reason: entry.rows for entry in ctx.exclusions.entries}

    return run


def live(instance="nuclei", kind="nucleus", permit_body_0=False, **properties):
    points = DvidPoints(instance=instance, extract_properties=properties)
    return ElementTable(dvid_point_annotations=points, type=kind, permit_body_0=permit_body_0)


def test_points_become_elements_in_order_of_z_y_x(world, nuclei, load):
    for zyx, radius in [((5, 1, 1), "2.5"), ((1, 1, 20), "1"), ((1, 0, 40), "")]:
        nuclei.point(world.uuid, zyx, Radius=radius)
    rows, excluded = load(soma=live(radius="r"))
    assert [(r["z"], r["y"], r["x"], r["body"], r["type"], r["r"]) for r in rows["soma"]] == [
        (1, 0, 40, 3, "nucleus", None),
        (1, 1, 20, 2, "nucleus", 1.0),
        (5, 1, 1, 1, "nucleus", 2.5),
    ]
    assert [r["point_id"] for r in rows["soma"]] == [(r["z"] << 42) | (r["y"] << 21) | r["x"] for r in rows["soma"]]
    assert excluded == {}


@pytest.mark.parametrize("permit", [False, True])
def test_elements_on_body_0_are_left_out_and_counted_or_kept(world, nuclei, load, permit):  # M26
    for zyx in [(1, 1, 1), (1, 1, 100), (2, 2, 500), (-3, 1, 1)]:
        nuclei.point(world.uuid, zyx)
    rows, excluded = load(soma=live(permit_body_0=permit))
    bodies = [r["body"] for r in rows["soma"]]
    assert sorted(bodies) == ([0, 0, 0, 1] if permit else [1])
    assert excluded == ({} if permit else {"elements 'soma': on body 0": 3})


def test_an_instance_without_points_is_no_error(world, nuclei, load, caplog):  # M18
    with caplog.at_level("WARNING"):
        rows, _ = load(soma=live(radius="r"))
    assert rows == {"soma": None}
    assert "holds no points" in caplog.text


def test_a_property_that_is_absent_is_a_column_of_nulls_and_warned_of(world, nuclei, load, caplog):  # M18
    nuclei.point(world.uuid, (1, 1, 1), radius="5")
    with caplog.at_level("WARNING"):
        rows, _ = load(soma=live(colour="colour"))
    assert rows["soma"][0]["colour"] is None
    assert "no point has the property 'colour'" in caplog.text


def test_a_property_that_is_no_number_everywhere_stays_text(world, nuclei, load):  # M5
    nuclei.point(world.uuid, (1, 1, 1), radius="5")
    nuclei.point(world.uuid, (1, 1, 2), radius="wide")
    rows, _ = load(soma=live(radius="radius"))
    assert [r["radius"] for r in rows["soma"]] == ["5", "wide"]


@pytest.mark.parametrize("name", ["body", "sv", "type", "point_id", "x"])
def test_a_property_cannot_take_a_column_that_elements_have(name):
    table = live(radius=name)
    problems = [*table.dvid_point_annotations.problems(), *table.problems()]
    assert [problem for problem in problems if name in problem.message]


@pytest.mark.parametrize("stale", [False, True])
def test_bodies_of_a_table_are_looked_up_whatever_it_says(world, load, tmp_path, stale):  # M1, M4
    zyx = np.random.default_rng(3).integers(0, (64, 64, 96), (300, 3))
    zyx = np.unique(zyx, axis=0)
    before = world.truth().supervoxels(zyx)
    world.seg.merge(world.uuid, 1, [2, 3])
    world.seg.split_supervoxel(world.uuid, 20, world.halves())
    columns = {axis: zyx[:, place] for place, axis in enumerate("zyx")} | {
        "type": ["mito"] * len(zyx),
        "body": [7] * len(zyx),
    }
    path = tmp_path / "mito.feather"
    feather.write_feather(pa.table(columns | ({"sv": before} if stale else {})), str(path))
    world.dvid.requests.clear()
    rows, _ = load(mito=ElementTable(point_table=path))
    assert [r["body"] for r in rows["mito"]] == world.truth().bodies(zyx).tolist()
    assert len(world.dvid.asked("/labels$")) <= 2
    if stale:
        assert [r["sv"] for r in rows["mito"]] == world.truth().supervoxels(zyx).tolist()


def test_bodies_are_those_of_the_moment(world, nuclei, load):  # M10
    nuclei.point(world.uuid, (1, 1, 17))
    segmentation = world.segmentation()
    world.seg.merge(world.uuid, 1, [2])
    world.seg.split_body(world.uuid, 1, world.halves())
    rows, _ = load(segmentation, soma=live())
    assert [r["body"] for r in rows["soma"]] == [2]


def test_two_elements_on_one_voxel_are_an_error_also_without_a_file_to_blame(world, nuclei, load):
    nuclei.point(world.uuid, (1, 1, 1))
    world.repo.annotation("roots").point(world.uuid, (1, 1, 1))
    with pytest.raises(DataError, match="elements share a voxel"):
        load(soma=live(), root=live("roots", "root"))


def test_points_without_a_server_are_an_error_of_the_settings(world):
    whole = world.whole()
    whole.inputs.dvid_seg = whole.inputs.dvid_seg.model_copy(update={"server": None})
    (fault,) = check_elements(ElementsSettings(soma=live()), whole)
    assert isinstance(fault, SettingError)
    assert fault.field == ("soma", "dvid-point-annotations")


@pytest.mark.parametrize("locked", [True, False])
def test_the_state_before_is_that_which_is_read_unless_it_changes(world, nuclei, load, locked):
    nuclei.point(world.uuid, (1, 1, 1), radius="5")
    uuid = world.commit() if locked else world.uuid
    config = ElementsSettings(soma=live())
    connections.forget()
    connections.node(world.dvid.url, uuid, TERMS)
    before = state(config, world.whole(uuid))
    segmentation = world.segmentation(uuid)
    load(segmentation, soma=live())
    scratch = world.ctx("elements").scratch
    assert state_as_read(config, segmentation, scratch) == before
    nuclei.point(world.uuid, (1, 1, 1), radius="6")
    shutil.rmtree(scratch)
    load(segmentation, soma=live())
    assert (state_as_read(config, segmentation, scratch) == before) == locked
