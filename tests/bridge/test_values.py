"""Values arrive in the shapes that neuPrint's clients expect."""

from __future__ import annotations

import datetime as dt
import json

import neo4j.time
import pytest
from hypothesis import given
from hypothesis import strategies as st
from neo4j.spatial import CartesianPoint, WGS84Point

from flyem_snapshot.bridge.values import plain


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**62, 2**62),
        (1.0, 1),
        (-3.0, -3),
        (0.5, 0.5),
        (float("nan"), None),
        (float("inf"), None),
        (1e300, 1e300),
        ("1.0", "1.0"),
        ([1.0, [2.5, None]], [1, [2.5, None]]),
        ({"a": {"b": 4.0}}, {"a": {"b": 4}}),
        (b"\x00\xff", "AP8="),
        (neo4j.time.Date(2020, 2, 29), "2020-02-29"),
        (neo4j.time.Duration(days=1, hours=2), "P1DT2H"),
    ],
)
def test_a_value_is_plain(value, expected):
    result = plain(value)
    assert result == expected
    assert type(result) is type(expected)


def test_a_point_in_space_has_whole_coordinates_and_its_system():
    assert plain(CartesianPoint((10.0, 20.0, 30.5))) == {
        "coordinates": [10, 20, 30.5],
        "crs": {"name": "cartesian-3d", "srid": 9157},
        "type": "Point",
    }


def test_a_point_on_a_plane_or_a_globe_has_its_own_system():
    assert plain(CartesianPoint((1.0, 2.0)))["crs"] == {"name": "cartesian", "srid": 7203}
    assert plain(WGS84Point((1.5, 2.0)))["crs"] == {"name": "wgs-84", "srid": 4326}


def test_floats_stay_floats_where_types_are_kept():
    kept = plain([1.0, {"a": 2.0}], integers=False)
    assert [type(kept[0]), type(kept[1]["a"])] == [float, float]


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
nested = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(nested)
def test_every_value_has_a_json_text_and_converting_again_changes_nothing(value):
    once = plain(value)
    json.dumps(once, allow_nan=False)
    assert plain(once) == once


def test_days_of_python_are_text_too():
    assert plain(dt.date(2020, 1, 2)) == "2020-01-02"
