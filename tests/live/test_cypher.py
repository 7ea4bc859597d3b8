"""Names and values as Cypher text; that they arrive as they were is tested in tests/bridge with a real database."""

from __future__ import annotations

import pytest

from flyem_snapshot.live.cypher import Point, literal, mapping, name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (2**53 + 1, "9007199254740993"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (float("inf"), "(1.0 / 0.0)"),
        ("O'Brien\\n\n", "'O\\'Brien\\\\n\\n'"),
        (":Neuron", "(':' + 'Neuron')"),
        (["a", "b"], "['a', 'b']"),
        ([True, False], "[true, false]"),
        (Point(1, 2.5, -3), "point({x: 1, y: 2.5, z: -3, srid: 9157})"),
    ],
)
def test_a_value_is_written_so_that_nothing_in_it_is_taken_for_cypher(value, text):
    assert literal(value) == text


def test_names_are_quoted_and_a_backslash_is_refused():
    assert mapping({"a`b": 1, "LH(R)": None}) == "{`a``b`: 1, `LH(R)`: null}"
    with pytest.raises(ValueError, match="backslash"):
        name("\\u0060")
