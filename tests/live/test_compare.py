"""When a live value is the one that it should be, and how a live value is shown."""

from __future__ import annotations

import pytest

from flyem_snapshot.live.compare import from_json, same
from flyem_snapshot.live.cypher import Point
from flyem_snapshot.live.files import cell

POINT = {"coordinates": [1, 2, 3], "crs": {"name": "cartesian-3d", "srid": 9157}, "type": "Point"}


@pytest.mark.parametrize(
    ("wanted", "live", "expected"),
    [
        (None, None, True),
        (None, "", False),
        ("a", None, False),
        ("1", 1, False),
        (1, True, False),
        (True, True, True),
        (2**53 + 1, 2**53 + 1, True),
        (2**53 + 1, 2**53, False),
        (2**53 + 1, float(2**53), False),
        (3.0, 3, True),
        (0.1, 0.10000000149011612, True),  # what 32 bits make of it
        (0.1, 0.10001, False),
        (1e300, 2e300, False),
        (3, 3.0000001, False),
        (Point(1, 2, 3), POINT, True),
        (Point(1, 2, 3.5), POINT, False),
        (Point(1, 2, 3), "{x:1, y:2, z:3}", False),
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["b", "a"], False),
        (["a"], ["a", "b"], False),
        ([0.1], [0.10000000149011612], True),
        ("a", ["a"], False),
    ],
)
def test_values_are_the_same_or_not(wanted, live, expected):
    assert same(wanted, from_json(live)) is expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (False, "false"),
        (2**53 + 1, "9007199254740993"),
        (3.0, "3"),
        (0.25, "0.25"),
        (Point(1.0, 2.5, 3), "{x:1, y:2.5, z:3}"),
        (["a", "b"], "a;b"),
        (float("inf"), "inf"),
    ],
)
def test_a_cell_is_the_same_text_for_the_same_value(value, text):
    assert cell(value) == text
