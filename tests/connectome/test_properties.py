"""Annotations take neuPrint's names and forms."""

import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.connectome.properties import (
    is_point_property,
    neuprint_properties,
    point_text,
    points_as_text,
    property_name,
)
from flyem_snapshot.connectome.status import STATUS_DTYPE, as_status_category


def annotations(bodies, status=None, **columns):
    """A frame as `BodyAnnotations` holds it."""
    frame = pd.DataFrame(columns, index=pd.Index(bodies, dtype="int64", name="body"))
    frame.insert(0, "status", as_status_category([None] * len(bodies) if status is None else status))
    return frame


def values(properties, name):
    return [None if pd.isna(value) else value for value in properties[name]]


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("type", "type"),
        ("cell_body_fiber", "cellBodyFiber"),
        ("cell body_fiber", "cellBodyFiber"),
        ("Big Name", "BigName"),
        ("itoLee_hl", "itoLeeHl"),
        ("soma_side", "somaSide"),
        ("double__underscore", "doubleUnderscore"),
        ("trailing_", "trailing"),
        ("_leading", "leading"),
        ("_", ""),
        ("tosomaPosition", "tosomaLocation"),
        ("avg_Position", "avg_Location"),
        ("soma_position", "somaLocation"),
        ("tosoma_position", "tosomaLocation"),
        ("root_position", "rootLocation"),
        ("position", "location"),
        ("position_type", "locationType"),
        ("hemibrain_bodyid", "hemibrainBodyId"),
        ("bodyid", "bodyId"),
        ("status", "statusLabel"),
        ("notes", ""),
        ("group_old", ""),
        ("confidence", ""),
    ],
)
def test_property_names(column, name):
    assert property_name(column) == name


def test_the_view_has_names_values_and_order_of_neuprint():
    frame = annotations(
        [0, 11, 12, 13],
        ["Traced", "Leaves", "", None],
        cell_body_fiber=pd.Series(["x", "ADM02", "", None], dtype="str").to_numpy(),
        notes="internal",
        soma_position=pd.array([None, [1, 2, 3], None, [4, 5, 6]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
        nothing=pd.array([1, None, None, None], dtype="int64[pyarrow]"),
        group=pd.array([None, 720575940596125869, None, 11], dtype="int64[pyarrow]"),
    )

    view = neuprint_properties(frame, {})

    assert list(view) == ["statusLabel", "cellBodyFiber", "somaLocation", "group", "bodyId", "status"]
    assert list(view.index) == [0, 1, 2]
    assert values(view, "statusLabel") == ["Leaves", None, None]
    assert view["statusLabel"].dtype == STATUS_DTYPE
    assert values(view, "status") == ["Traced", None, None]
    assert values(view, "cellBodyFiber") == ["ADM02", None, None]
    assert view["somaLocation"].tolist() == [[1, 2, 3], pd.NA, [4, 5, 6]]
    assert view["group"].tolist() == [720575940596125869, pd.NA, 11]
    assert view["group"].dtype == "int64[pyarrow]"
    assert view["bodyId"].tolist() == [11, 12, 13]
    assert view["bodyId"].dtype == np.int64


def test_the_annotations_are_left_as_they_are():
    frame = annotations([0, 11], ["", "Leaves"], type=["", "a"])
    before = frame.copy()

    neuprint_properties(frame, {"type": "kind"})

    pd.testing.assert_frame_equal(frame, before)


def test_columns_of_one_property_are_joined_at_the_place_of_the_first():
    frame = annotations([1, 2, 3], type=["a", None, None], side="L", Type2=["x", "y", None], other=["b", "c", "d"])

    view = neuprint_properties(frame, {"Type2": "type", "other": "type"})

    assert list(view) == ["statusLabel", "type", "side", "bodyId"]
    assert values(view, "type") == ["a", "y", "d"]


def test_empty_text_counts_as_a_value_when_columns_are_joined():
    frame = annotations([1, 2], type=["", None], other=["b", "c"])

    assert values(neuprint_properties(frame, {"other": "type"}), "type") == [None, "c"]


@pytest.mark.parametrize(
    ("first", "second", "joined", "dtype"),
    [
        (
            pd.array([2**53 + 1, None], dtype="int64[pyarrow]"),
            pd.array([1, 2], dtype="int8[pyarrow]"),
            [2**53 + 1, 2],
            "int64[pyarrow]",
        ),
        (
            pd.array([0.5, None], dtype="float[pyarrow]"),
            pd.array([1.0, 2.0], dtype="double[pyarrow]"),
            [0.5, 2.0],
            "double[pyarrow]",
        ),
        (pd.array([2**53 + 1, None], dtype="int64[pyarrow]"), ["x", "y"], ["9007199254740993", "y"], "str"),
        (pd.array([None, None], dtype=pd.ArrowDtype(pa.null())), ["x", "y"], ["x", "y"], "str"),
        (pd.Categorical(["a", None]), ["x", "a"], ["a", "a"], "str"),
    ],
)
def test_columns_of_different_kinds_are_joined_without_loss(first, second, joined, dtype):
    view = neuprint_properties(annotations([1, 2], a=first, b=second), {"a": "p", "b": "p"})

    assert view["p"].tolist() == joined
    assert view["p"].dtype == dtype


def test_status_label_stays_the_category_when_another_column_fills_its_gaps():
    frame = annotations([1, 2, 3], ["Leaves", None, None], status_label=["Orphan", "Orphan", None])

    view = neuprint_properties(frame, {})

    assert view["statusLabel"].dtype == STATUS_DTYPE
    assert values(view, "statusLabel") == ["Leaves", "Orphan", None]
    assert values(view, "status") == ["Traced", "Orphan", None]


def test_the_names_of_the_user_win_over_all_others():
    frame = annotations([1], ["Leaves"], notes="n", soma_position="1,2,3", type="t", cell_type="c")

    view = neuprint_properties(frame, {"notes": "remarks", "soma_position": "", "cell_type": "type", "type": "old"})

    assert view.drop(columns="statusLabel").to_dict("records") == [
        {"remarks": "n", "old": "t", "type": "c", "bodyId": 1, "status": "Traced"}
    ]


def test_the_body_is_always_the_row_whatever_a_column_says():
    frame = annotations([1, 2], bodyId=[7, 8], type="t", my_id=[9, 9])

    view = neuprint_properties(frame, {"bodyid": "", "my_id": "bodyId"})

    assert view["bodyId"].tolist() == [1, 2]
    assert list(view) == ["statusLabel", "bodyId", "type"]


def test_a_column_that_would_be_the_simplified_status_is_replaced_with_a_warning(caplog):
    frame = annotations([1], ["Leaves"], proofread="yes")

    view = neuprint_properties(frame, {"proofread": "status"})

    assert view["status"].tolist() == ["Traced"]
    assert "replaces column 'proofread'" in caplog.text


def test_status_survives_when_its_label_is_dropped():
    view = neuprint_properties(annotations([1], ["Leaves"]), {"status": ""})

    assert view.to_dict("records") == [{"bodyId": 1, "status": "Traced"}]


@pytest.mark.parametrize("bodies", [[], [0]])
def test_no_bodies_give_an_empty_view(bodies):
    view = neuprint_properties(annotations(bodies, type="t"), {})

    assert list(view) == ["statusLabel", "bodyId"]
    assert len(view) == 0
    assert view["bodyId"].dtype == np.int64


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, 2, 3], "{x:1, y:2, z:3}"),
        ((1, 2.5, 3), "{x:1.0, y:2.5, z:3.0}"),
        ([np.int64(2**40), np.int64(-1), 0], "{x:1099511627776, y:-1, z:0}"),
        (["1", "2.5", "3"], "{x:1.0, y:2.5, z:3.0}"),
        ({"x": 1, "y": 2, "z": 3}, "{x:1, y:2, z:3}"),
        ({"type": "Point", "coordinates": [1, 2, 3]}, "{x:1, y:2, z:3}"),
        ("1,2,3", "{x:1, y:2, z:3}"),
        (" [1, 2, 3] ", "{x:1, y:2, z:3}"),
        ("{x: 1, y:2.50, z:-3}", "{x:1, y:2.50, z:-3}"),
        ("(1,2,3)", None),
        ("1 2 3", None),
        ("1e3,2,3", None),
        ("[1,2,3", None),
        ("1,2,3]", None),
        ("1,2", None),
        ("1,2,3,4", None),
        ("", None),
        ("٣,2,3", None),
        (np.array([1, 2, 3]), None),
        ([1, 2], None),
        ([1, 2, "x"], None),
        ([1, 2, None], None),
        ([1, 2, float("nan")], None),
        ([1, 2, True], None),
        ({"x": 1, "y": 2}, None),
        ({"coordinates": None}, None),
        (5, None),
        (None, None),
    ],
)
def test_point_text(value, text):
    assert point_text(value) == text


@given(st.tuples(*[st.integers(-(2**31), 2**31)] * 3))
def test_all_forms_of_a_position_give_one_text(position):
    x, y, z = position
    forms = [
        position,
        [x, y, z],
        {"x": x, "y": y, "z": z},
        f"{x},{y},{z}",
        f"[{x}, {y}, {z}]",
        f"{{x:{x}, y:{y}, z:{z}}}",
    ]

    assert {point_text(form) for form in forms} == {f"{{x:{x}, y:{y}, z:{z}}}"}


def test_positions_that_cannot_be_read_are_counted(caplog):
    positions = pd.Series(["1,2,3", None, "", "here", "there"], name="somaLocation", dtype="str")

    with caplog.at_level(logging.WARNING):
        texts = points_as_text(positions)

    assert values({"p": texts}, "p") == ["{x:1, y:2, z:3}", None, None, None, None]
    assert "somaLocation: 2 values are not positions and become null; first: 'here', 'there'" in caplog.text


def test_positions_kept_as_arrow_lists_are_read(caplog):
    positions = pd.Series([[1, 2, 3], None], dtype=pd.ArrowDtype(pa.list_(pa.int32())), index=[5, 6])

    texts = points_as_text(positions)

    assert texts.to_dict() == {5: "{x:1, y:2, z:3}", 6: pytest.approx(float("nan"), nan_ok=True)}
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "is_point"),
    [
        ("somaLocation", True),
        ("location", True),
        ("POSITION", True),
        ("positionType", False),
        ("locationType", False),
        ("type", False),
    ],
)
def test_point_properties_are_known_by_their_names(name, is_point):
    assert is_point_property(name) == is_point
