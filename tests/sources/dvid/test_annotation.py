"""Point annotations and the table made of them."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.dvid.annotation import (
    PointAnnotation,
    all_elements,
    annotation_columns,
    numbers_or_text,
)
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient, DvidError
from tests.dvid_double import DvidDouble


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("points")


def node_of(dvid, repo):
    return resolve(DvidClient(dvid.url, user="tester", pause=0.001), repo.root)


def point(*zyx, **props):
    return PointAnnotation(zyx, "Note", (), props)


def test_points_are_z_y_x_with_all_they_say(dvid, repo):
    soma = {
        "Pos": [1, 2, 3],
        "Kind": "PreSyn",
        "Tags": ["a", "b"],
        "Prop": {"Type": "soma", "conf": "0.5"},
        "Rels": [{"Rel": "PreSynTo", "To": [4, 5, 6]}],
    }
    repo.annotation("nuclei").set(repo.root, [soma])
    expected = PointAnnotation(
        (3, 2, 1), "PreSyn", ("a", "b"), {"Type": "soma", "conf": "0.5"}, (("PreSynTo", (6, 5, 4)),)
    )
    assert all_elements(node_of(dvid, repo), "nuclei") == [expected]


def test_points_are_sorted_by_z_y_x_across_blocks(dvid, repo):  # M14: the first of a body's points is always the same
    random = np.random.default_rng(3)
    zyx = random.integers(-200, 200, (80, 3)).tolist()
    nuclei = repo.annotation("nuclei")
    for place in zyx:
        nuclei.point(repo.root, place)
    assert [list(found.zyx) for found in all_elements(node_of(dvid, repo), "nuclei")] == sorted(
        map(list, set(map(tuple, zyx)))
    )


def test_blocks_without_elements_and_elements_without_fields_are_fine(dvid, repo):  # M24
    nuclei = repo.annotation("nuclei")
    bare = [{"Pos": [1, 1, 1]}, {"Pos": [2, 2, 2], "Kind": None, "Tags": None, "Prop": None, "Rels": None}]
    nuclei.set(repo.root, bare)
    nuclei.set_block(repo.root, (5, 5, 5), None)
    nuclei.set_block(repo.root, (6, 5, 5), [])
    assert all_elements(node_of(dvid, repo), "nuclei") == [PointAnnotation((1, 1, 1)), PointAnnotation((2, 2, 2))]


def test_an_instance_without_points_makes_an_empty_table(dvid, repo):
    repo.annotation("nuclei")
    table = annotation_columns(all_elements(node_of(dvid, repo), "nuclei"), {"Type": "type"})
    assert table.num_rows == 0
    assert table.column_names == ["z", "y", "x", "kind", "tags", "type"]


def test_two_points_on_a_voxel_are_kept_and_told(dvid, repo, caplog):
    twice = [{"Pos": [1, 1, 1], "Kind": kind} for kind in ("PostSyn", "Note")]
    repo.annotation("nuclei").set_block(repo.root, (0, 0, 0), twice)
    found = all_elements(node_of(dvid, repo), "nuclei")
    assert [element.kind for element in found] == ["Note", "PostSyn"]
    assert "nuclei: 1 points lie on the voxel of another one" in caplog.text


@pytest.mark.parametrize("fault", ["cut", "truncated", "appended"])
def test_an_answer_that_is_not_whole_is_asked_for_again(dvid, repo, fault):
    nuclei = repo.annotation("nuclei")
    for z in range(300):
        nuclei.point(repo.root, (z, 1, 1))
    dvid.faults.add(fault, "all-elements", times=1, **({"text": "Error"} if fault == "appended" else {}), after=None)
    assert len(all_elements(node_of(dvid, repo), "nuclei")) == 300
    assert len(dvid.asked("all-elements")) == 2


@pytest.mark.parametrize(
    "body",
    [b"[]", b'{"0,0,0": {}}', b'{"0,0,0": [1]}', b'{"0,0,0": [{"Pos": [1, 2]}]}', b'{"0,0,0": [{"Pos": [1, 2, 3.5]}]}'],
)
def test_what_is_no_annotation_is_refused(dvid, repo, body):
    repo.annotation("nuclei")
    node = node_of(dvid, repo)
    dvid.faults.replaced(body, "all-elements", times=None)
    with pytest.raises(DvidError, match="incomplete"):
        all_elements(node, "nuclei")


def test_the_table_has_a_column_for_each_property_by_its_exact_name():
    points = [point(3, 2, 1, Type="soma", type="other"), point(4, 2, 1, radius="7")]
    table = annotation_columns(points)
    assert table.to_pydict() == {
        "z": [3, 4],
        "y": [2, 2],
        "x": [1, 1],
        "kind": ["Note", "Note"],
        "tags": [[], []],
        "Type": ["soma", None],
        "radius": [None, 7],
        "type": ["other", None],
    }


def test_chosen_properties_get_the_names_of_their_columns(caplog):
    points = [point(3, 2, 1, SomaType="tosoma", size="1")]
    table = annotation_columns(points, {"size": "s", "somatype": "soma_type", "absent": "a"})
    assert table.column_names[5:] == ["s", "soma_type", "a"]
    assert table["soma_type"].to_pylist() == ["tosoma"]
    assert table["a"].to_pylist() == [None]
    assert "no point has the property 'absent'; there are: SomaType, size" in caplog.text


def test_a_property_whose_name_fits_several_in_other_case_is_refused():
    with pytest.raises(DataError, match="property 'type' could be TYPE or Type"):
        annotation_columns([point(1, 1, 1, Type="a", TYPE="b")], {"type": "t"})


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(DataError, match="property 'depth' cannot become the column 'z'"):
        annotation_columns([point(1, 1, 1, depth="3")], {"depth": "z"})


def test_a_property_named_like_a_coordinate_is_left_out_with_a_warning(caplog):
    table = annotation_columns([point(1, 2, 3, x="9", note="n")])
    assert table.column_names == ["z", "y", "x", "kind", "tags", "note"]
    assert table["x"].to_pylist() == [3]
    assert "property 'x' is left out" in caplog.text


@pytest.mark.parametrize(
    ("texts", "kind", "expected"),
    [
        (["1", "-2", None], pa.int64(), [1, -2, None]),
        (["3.0", "4"], pa.int64(), [3, 4]),
        (["1e3", "2"], pa.int64(), [1000, 2]),
        (["0.5", "2", ".25"], pa.float64(), [0.5, 2.0, 0.25]),
        (["1", "2", "abc"], pa.string(), ["1", "2", "abc"]),  # M5: one that is no number, and all stay as they are
        (["", "7"], pa.int64(), [None, 7]),
        ([None, ""], pa.string(), [None, None]),
        ([], pa.string(), []),
        (["007", "8"], pa.string(), ["007", "8"]),
        (["1 ", "2"], pa.string(), ["1 ", "2"]),
        (["1_000"], pa.string(), ["1_000"]),
        (["0x10"], pa.string(), ["0x10"]),
        (["\u0661"], pa.string(), ["\u0661"]),
        (["9007199254740993", "1"], pa.int64(), [9007199254740993, 1]),  # 2^53 + 1 is no float
        (["9007199254740993", "0.5"], pa.string(), ["9007199254740993", "0.5"]),
        (["18446744073709551615"], pa.uint64(), [18446744073709551615]),
        (["18446744073709551616", "1"], pa.string(), ["18446744073709551616", "1"]),
        (["18446744073709551615", "-1"], pa.string(), ["18446744073709551615", "-1"]),
        (["1e300", "2"], pa.float64(), [1e300, 2.0]),
    ],
)
def test_a_column_becomes_numbers_only_if_all_of_it_does(texts, kind, expected):  # M5
    found = numbers_or_text(texts)
    assert found.type == kind
    assert found.to_pylist() == expected


def test_nan_is_a_number_where_all_others_are():
    found = numbers_or_text(["0.5", "NaN"])
    assert found.type == pa.float64()
    assert math.isnan(found[1].as_py())


@given(st.lists(st.none() | st.integers(-(1 << 63), (1 << 63) - 1), min_size=1).filter(any))
def test_whole_numbers_of_64_bits_are_never_rounded(numbers):
    found = numbers_or_text([None if number is None else str(number) for number in numbers])
    assert found.type == pa.int64()
    assert found.to_pylist() == numbers


@given(st.lists(st.none() | st.text(max_size=6)))
def test_nothing_is_lost_whatever_the_texts(texts):  # M5
    found = numbers_or_text(texts)
    assert [value is None for value in found.to_pylist()] == [not text for text in texts]
    if found.type == pa.string():
        assert found.to_pylist() == [text or None for text in texts]
