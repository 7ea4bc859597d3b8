"""Body annotations and annotated points that are read from a server."""

from __future__ import annotations

import pyarrow as pa
import pytest

from flyem_snapshot.config.dvid import DvidPoints
from flyem_snapshot.errors import SettingError
from flyem_snapshot.inputs.annotations import check_annotations, load_annotations
from flyem_snapshot.inputs.annotations_live import state
from flyem_snapshot.inputs.annotations_settings import AnnotationsSettings
from flyem_snapshot.sources.dvid import connections
from tests.live_stages import TERMS


@pytest.fixture
def nuclei(world):
    return world.repo.annotation("nuclei")


@pytest.fixture
def load(world):
    """The annotations at the open version, and what was left out, as {reason: rows}."""

    def run(points=(), **settings):
        ctx = world.ctx("annotations")
        config = AnnotationsSettings(point_annotations=tuple(points), **settings)
        found = load_annotations(config, ctx, dvid_seg=world.segmentation())
        return found, {entry.reason: entry.rows for entry in ctx.exclusions.entries}

    return run


def points(instance="nuclei", column="soma_position", **properties):
    return DvidPoints(instance=instance, column_name=column, extract_properties=properties)


def values(found, column):
    """The values of a column by body; None where there is none."""
    frame = found.frame
    return dict(zip(frame.index.tolist(), pa.array(frame[column], from_pandas=True).to_pylist(), strict=True))


def test_fields_of_all_bodies_and_the_time_of_the_last_of_them(world, load):  # M6
    records = world.repo.neuronjson("segmentation_annotations")
    records.set(world.uuid, {1: {"type": "KC", "birth_time": "late"}}, time="2024-02-01T23:30:00-05:00")
    records.set(
        world.uuid, {2: {"status": "Traced"}}, time="2024-02-02T01:00:00+02:00"
    )  # earlier, though later as text
    records.set(world.uuid, {3: {"type": "", "status": ""}}, time="2020-01-01T00:00:00Z")
    found, _ = load()
    assert values(found, "type") == {1: "KC", 2: None, 3: None}
    assert values(found, "status") == {1: "", 2: "Traced", 3: ""}
    assert values(found, "birth_time") == {1: "late", 2: None, 3: None}
    assert [c for c in found.frame.columns if c.endswith(("_user", "type_time", "status_time"))] == []
    assert found.timestamp == "2024-02-02T04:30:00+00:00"


def test_annotations_of_old_repositories_have_no_time(world, load):
    world.repo.keyvalue("segmentation_annotations").set(world.uuid, {"1": {"type": "KC"}, "2": {"status": "Anchor"}})
    found, _ = load()
    assert values(found, "type") == {1: "KC", 2: None}
    assert found.timestamp is None


def test_without_such_an_instance_only_points_annotate(world, nuclei, load, caplog):
    nuclei.point(world.uuid, (1, 1, 1))
    with caplog.at_level("WARNING"):
        found, _ = load([points()])
    assert "no instance 'segmentation_annotations'" in caplog.text
    assert values(found, "soma_position") == {1: [1, 1, 1]}


def test_the_first_of_several_points_on_a_body_counts_and_the_others_are_counted(world, nuclei, load):  # M14
    world.repo.neuronjson("segmentation_annotations").set(world.uuid, {1: {"type": "KC"}})
    world.seg.merge(world.uuid, 1, [2])
    for number, zyx in enumerate([(5, 1, 1), (1, 9, 17), (1, 2, 30), (1, 2, 3), (1, 1, 33)]):
        nuclei.point(world.uuid, zyx, number=str(number))
    for zyx in [(1, 1, 100), (-1, 1, 1), (1, 1, 500)]:
        nuclei.point(world.uuid, zyx, number="-1")
    found, excluded = load([points(number="order")])
    assert values(found, "soma_position") == {1: [3, 2, 1], 3: [33, 1, 1]}
    assert values(found, "order") == {1: 3, 3: 4}
    assert excluded == {"on body 0": 3, "on a body that has another point before": 3}
    assert 0 not in found.frame.index


def test_bodies_with_a_point_and_no_annotation_come_last(world, nuclei, load):
    world.repo.neuronjson("segmentation_annotations").set(world.uuid, {50: {"type": "a"}, 3: {"type": "b"}})
    for body in (3, 4, 2):
        nuclei.point(world.uuid, (1, 1, 16 * (body - 1)))
    found, _ = load([points()])
    assert list(found.frame.index) == [3, 50, 2, 4]
    assert values(found, "type") == {3: "b", 50: "a", 2: None, 4: None}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "2"], [1, 2]),
        (["1", "2.5"], [1.0, 2.5]),
        (["1", "big"], ["1", "big"]),  # M5: one that is no number leaves all of them text
        (["1", ""], [1, None]),
        (["9007199254740993", "1"], [9007199254740993, 1]),
        (["007", "8"], ["007", "8"]),
    ],
)
def test_a_property_is_a_number_only_if_all_of_its_values_are(world, nuclei, load, texts, expected):  # M5
    for place, text in enumerate(texts):
        nuclei.point(world.uuid, (1, 1, 1 + 16 * place), Confidence=text)
    found, _ = load([points(Confidence="soma_confidence")])
    got = [values(found, "soma_confidence")[body] for body in (1, 2)]
    assert got == expected
    assert [type(value) for value in got] == [type(value) for value in expected]


def test_a_property_in_other_case_is_found_and_one_that_is_absent_is_warned_of(world, nuclei, load, caplog):  # M18
    nuclei.point(world.uuid, (1, 1, 1), Radius="5")
    with caplog.at_level("WARNING"):
        found, _ = load([points(radius="r", colour="c")])
    assert values(found, "r") == {1: 5}
    assert values(found, "c") == {1: None}
    assert "no point has the property 'colour'" in caplog.text


def test_columns_of_points_replace_those_of_the_annotations(world, nuclei, load):
    records = world.repo.neuronjson("segmentation_annotations")
    records.set(world.uuid, {1: {"soma_position": [9, 9, 9]}, 2: {"soma_position": [8, 8, 8]}})
    nuclei.point(world.uuid, (1, 1, 1))
    found, _ = load([points()])
    assert values(found, "soma_position") == {1: [1, 1, 1], 2: None}


def test_the_column_is_named_like_the_instance_by_default(world, nuclei, load):
    nuclei.point(world.uuid, (1, 2, 3))
    found, _ = load([DvidPoints(instance="nuclei")])
    assert values(found, "nuclei") == {1: [3, 2, 1]}


def test_several_instances_of_points(world, nuclei, load):
    roots = world.repo.annotation("roots")
    nuclei.point(world.uuid, (1, 1, 1))
    roots.point(world.uuid, (2, 2, 18))
    found, _ = load([points(), points("roots", "root_position")])
    assert values(found, "soma_position") == {1: [1, 1, 1], 2: None}
    assert values(found, "root_position") == {1: None, 2: [18, 2, 2]}


def test_points_beside_a_table_of_annotations(world, nuclei, load, tmp_path):
    (tmp_path / "bodies.csv").write_text("body,status,type\n1,Traced,KC\n")
    nuclei.point(world.uuid, (1, 1, 17))
    found, _ = load([points()], body_annotations_table=tmp_path / "bodies.csv")
    assert values(found, "type") == {1: "KC", 2: None}
    assert values(found, "soma_position") == {1: None, 2: [17, 1, 1]}
    assert found.timestamp is None


def test_no_points_at_all(world, nuclei, load):
    world.repo.neuronjson("segmentation_annotations").set(world.uuid, {1: {"type": "KC"}})
    nuclei.set_block(world.uuid, (0, 0, 0), None)  # M24
    found, excluded = load([points(radius="r")])
    assert values(found, "soma_position") == {1: None}
    assert excluded == {}


def test_bodies_under_points_are_those_of_the_moment(world, nuclei, tmp_path):  # M10
    nuclei.point(world.uuid, (1, 1, 17))
    segmentation = world.segmentation()
    world.seg.merge(world.uuid, 1, [2])
    world.seg.split_supervoxel(world.uuid, 2, world.halves())
    config = AnnotationsSettings(point_annotations=(points(),))
    found = load_annotations(config, world.ctx("annotations"), dvid_seg=segmentation)
    assert values(found, "soma_position") == {2: [17, 1, 1]}


def test_points_without_a_server_are_an_error_of_the_settings(world):
    whole = world.whole()
    whole.inputs.dvid_seg = whole.inputs.dvid_seg.model_copy(update={"server": None})
    (fault,) = check_annotations(AnnotationsSettings(point_annotations=(points(),)), whole)
    assert isinstance(fault, SettingError)
    assert "inputs.dvid-seg" in str(fault)


@pytest.mark.parametrize("edit", ["type", "point", "property", "nothing"])
def test_the_state_is_of_the_content_as_long_as_that_can_change(world, nuclei, edit):
    records = world.repo.neuronjson("segmentation_annotations")
    records.set(world.uuid, {1: {"type": "KC"}, 2: {"type": "b"}})
    nuclei.point(world.uuid, (1, 1, 1), radius="5")
    config = AnnotationsSettings(point_annotations=(points(),))

    def now():
        connections.forget()
        connections.node(world.dvid.url, world.uuid, TERMS)
        return state(config, world.whole())

    before = now()
    if edit == "type":
        records.set(world.uuid, {1: {"type": "KC2"}})
    elif edit == "point":
        nuclei.point(world.uuid, (1, 1, 2))
    elif edit == "property":
        nuclei.point(world.uuid, (1, 1, 1), radius="6")
    assert (now() == before) == (edit == "nothing")
    world.commit()
