"""ROI sets survive the cache, and say the ROI of every combination."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.tables.rois import UNSPECIFIED, AssignedSet, RoiAssignment, RoiSet, RoiSets

ROI = st.one_of(st.sampled_from([UNSPECIFIED, "ME(R)", "O'Brien (L)", "Ω"]), st.text(min_size=1, max_size=5))
NAME = st.text(min_size=1, max_size=5)
IDS = st.dictionaries(ROI, st.integers(0, 2**63 - 1), max_size=5)

ROI_SET = st.builds(
    RoiSet,
    name=NAME,
    source=st.sampled_from(["point-table", "unions-of-subrois"]),
    ids=st.none() | IDS,
    template=st.none() | st.just("ME_{x // 100}"),
    unions=st.none() | st.dictionaries(ROI, st.lists(ROI, max_size=3).map(tuple), max_size=3),
    union_source=st.none() | NAME,
    renames=st.dictionaries(ROI, ROI, max_size=3),
    parent=st.none() | NAME,
    parent_rois=st.lists(ROI, max_size=3).map(tuple),
)


def through_json(record):
    return json.loads(json.dumps(record))


@given(st.lists(ROI_SET, max_size=3).map(tuple))
def test_definitions_survive_the_cache(sets):
    definitions = RoiSets(sets)

    again = RoiSets.reopen(None, through_json(definitions.record()))

    assert again == definitions
    assert [list(s.ids or ()) for s in again.sets] == [list(s.ids or ()) for s in sets], "the order of ids, too"


@st.composite
def assigned_sets(draw):
    labels = draw(st.lists(st.integers(0, 2**63 - 1), max_size=5, unique=True).map(sorted))
    rois = draw(st.lists(ROI, min_size=len(labels), max_size=len(labels), unique=True))
    codes = draw(st.lists(st.integers(-1, len(rois) - 1), max_size=8))
    return AssignedSet(draw(NAME), dict(zip(rois, labels, strict=True)), np.array(codes, np.int32))


@given(st.lists(assigned_sets(), max_size=3).map(tuple))
def test_an_assignment_survives_the_cache(sets):
    again = RoiAssignment.from_record(through_json(RoiAssignment(sets).record()))

    assert [(s.name, list(s.ids.items()), s.names.tolist(), s.names.dtype) for s in again.sets] == [
        (s.name, list(s.ids.items()), s.names.tolist(), np.dtype(np.int32)) for s in sets
    ]


@given(assigned_sets(), st.data())
def test_names_and_labels_of_points_belong_together(roi_set, data):
    taken = np.flatnonzero(roi_set.names >= 0).tolist()
    combos = np.array(data.draw(st.lists(st.sampled_from(taken), max_size=8)) if taken else [], np.int32)

    names = roi_set.name_array(combos)
    labels = roi_set.label_array(combos)

    assert [roi_set.ids[name] for name in names.to_pylist()] == labels.to_pylist()
    assert names.to_pylist() == [roi_set.categories[roi_set.names[combo]] for combo in combos]
    assert names.dictionary.to_pylist() == list(roi_set.ids)


@pytest.mark.parametrize(
    ("largest", "kind"),
    [
        (0, pa.int8()),
        (127, pa.int8()),
        (128, pa.uint8()),
        (255, pa.uint8()),
        (256, pa.int16()),
        (2**15 - 1, pa.int16()),
        (2**15, pa.uint16()),
        (2**16 - 1, pa.uint16()),
        (2**16, pa.int32()),
        (2**31 - 1, pa.int32()),
        (2**31, pa.uint32()),
        (2**32 - 1, pa.uint32()),
        (2**32, pa.int64()),
        (2**63 - 1, pa.int64()),
    ],
)
def test_labels_have_the_smallest_type_that_holds_the_largest(largest, kind):
    roi_set = AssignedSet("primary", {UNSPECIFIED: 0, "ME(R)": largest}, np.array([1], np.int32))

    assert roi_set.label_type == kind
    assert roi_set.label_array(np.array([0, 0], np.int32)) == pa.array([largest, largest], kind)


def test_a_set_without_rois():
    roi_set = AssignedSet("primary", {}, np.zeros(0, np.int32))

    assert roi_set.label_type == pa.int8()
    assert roi_set.labels().tolist() == []
    assert roi_set.name_array(np.zeros(0, np.int32)).to_pylist() == []
    assert roi_set.inside() == []


def test_inside_are_the_combinations_that_lie_in_some_roi():
    ids = {UNSPECIFIED: 0, "ME(R)": 1, "LO(R)": 2}

    assert AssignedSet("primary", ids, np.array([2, 0, -1, 1, 2], np.int32)).inside() == [0, 3, 4]
    assert AssignedSet("primary", {"ME(R)": 1}, np.array([0, -1], np.int32)).inside() == [0], "nothing lies outside"
    assert AssignedSet("primary", {UNSPECIFIED: 0}, np.array([0], np.int32)).inside() == []


def test_combinations_that_no_point_has_have_label_0():
    assert AssignedSet("primary", {"ME(R)": 7}, np.array([-1, 0], np.int32)).labels().tolist() == [0, 7]


def test_sets_are_chosen_by_name_in_the_order_asked_for():
    sets = RoiSets(tuple(RoiSet(name, "point-table") for name in ("shell", "primary", "layer")))

    assert sets.named(None) == sets.sets
    assert [s.name for s in sets.named(("layer", "shell"))] == ["layer", "shell"]
    assert sets.named(()) == ()


def test_an_assignment_is_asked_by_name():
    primary = AssignedSet("primary", {}, np.zeros(0, np.int32))
    assignment = RoiAssignment((primary,))

    assert assignment["primary"] is primary
    assert "primary" in assignment
    assert "layer" not in assignment


def test_the_label_column_is_named_after_the_set():
    assert RoiSet("primary", "point-table").label_column == "primary_label"
