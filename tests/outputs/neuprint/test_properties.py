"""Columns become properties of the type that neo4j needs, and no value changes on the way."""

import csv
import datetime as dt
import io
import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyem_snapshot.connectome.properties import point_text
from flyem_snapshot.engine.session import Engine, Limits
from flyem_snapshot.errors import DataError
from flyem_snapshot.outputs.neuprint.properties import POINT, check_names, typed_properties


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with Engine(Limits(1 << 28, 1, tmp_path_factory.mktemp("spill"))) as engine:
        yield engine


def exported(engine, **columns):
    """Header cells to cells."""
    table = pa.table(columns)
    with engine.registered(given=table):
        found = typed_properties(engine, "given", {name: name for name in columns}, "the table")
        cells = engine.table(f"SELECT {', '.join(f'{p.cell} AS c{i}' for i, p in enumerate(found)) or 1} FROM given")
    return {p.header: cells[f"c{i}"].to_pylist() for i, p in enumerate(found)}


CASES = {
    "small integers": (pa.array([1, None, -5], pa.int64()), "int", ["1", "", "-5"]),
    "an integer that needs 32 bits": (pa.array([2**31 - 1, -(2**31) + 1]), "int", ["2147483647", "-2147483647"]),
    "an integer that needs more": (pa.array([2**31, 1], pa.uint64()), "long", ["2147483648", "1"]),
    "the smallest 32-bit integer": (pa.array([-(2**31)]), "long", ["-2147483648"]),
    "an id beyond 2^53": (pa.array([2**63 - 1, None], pa.uint64()), "long", ["9223372036854775807", ""]),
    "fractions": (pa.array([0.5, 0.396, None, math.nan]), "float", ["0.5", "0.396", "", ""]),
    "whole floats without gaps": (pa.array([5.0, 1e15]), "float", ["5.0", "1000000000000000.0"]),
    "whole floats with gaps": (pa.array([5.0, None, -7.0]), "long", ["5", "", "-7"]),
    "whole floats with NaN": (pa.array([2.0**53, math.nan]), "long", ["9007199254740992", ""]),
    "floats too large to be exact": (pa.array([2.0**53 + 2, None]), "float", ["9007199254740994.0", ""]),
    "infinity": (pa.array([math.inf, -math.inf, None]), "float", ["Infinity", "-Infinity", ""]),
    "32-bit floats": (pa.array([0.1, 1e-5, None], pa.float32()), "float", ["0.1", "1e-05", ""]),
    "decimals": (pa.array([Decimal("1.50"), None]), "float", ["1.5", ""]),
    "booleans": (pa.array([True, False, None]), "boolean", ["true", "false", ""]),
    "text": (pa.array(["a,b", 'say "x"', None, "true"]), "string", ['"a,b"', '"say ""x"""', "", "true"]),
    "categories": (pa.array(["dark", None, "li,ght"]).dictionary_encode(), "string", ["dark", "", '"li,ght"']),
    "dates": (pa.array([dt.date(2024, 2, 29), None]), "string", ["2024-02-29", ""]),
    "times": (pa.array([dt.datetime(2024, 2, 29, 1, 2, 3), None]), "string", ["2024-02-29T01:02:03", ""]),  # noqa: DTZ001
    "times with a zone": (
        pa.array([dt.datetime(2024, 2, 29, 1, tzinfo=dt.UTC), None], pa.timestamp("us", "Europe/Paris")),
        "string",
        ["2024-02-29T01:00:00Z", ""],
    ),
    "lists of text": (pa.array([["a", "b,c"], [], None]), "string[]", ['"a;b,c"', "", ""]),
    "lists of integers": (pa.array([[1, 2], [-3]]), "int[]", ["1;2", "-3"]),
    "lists of large integers": (pa.array([[1, 2**31], [2]]), "long[]", ["1;2147483648", "2"]),
    "lists of floats": (pa.array([[1.0, 0.25], [math.inf, math.nan]]), "float[]", ["1.0;0.25", "Infinity;NaN"]),
    "lists of booleans": (pa.array([[True, False]]), "boolean[]", ["true;false"]),
}


@pytest.mark.parametrize(("values", "kind", "cells"), CASES.values(), ids=CASES)
def test_the_type_follows_from_the_values(engine, values, kind, cells):
    assert exported(engine, prop=values) == {f"prop:{kind}": cells}


@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), pa.float32(), pa.list_(pa.int8()), pa.null(), pa.bool_()])
def test_a_column_without_values_is_no_property(engine, kind):
    assert exported(engine, empty=pa.nulls(2, kind), other=[1, 2]) == {"other:int": ["1", "2"]}


def test_text_that_is_empty_throughout_is_no_property(engine):
    assert exported(engine, empty=["", None], listed=pa.array([[], None], pa.list_(pa.string()))) == {}


NAMED = {
    "size": ([1, 2], "long", ["1", "2"]),
    "hemibrainBodyId": ([5.0, None], "long", ["5", ""]),
    "group": (["10", " 7 ", "2.0", "x1", "1.5", None], "long", ["10", "7", "2", "", "", ""]),
    "somaId": ([0.5, 2.0], "float", ["0.5", "2.0"]),
    "pre": ([1, 2], "int", ["1", "2"]),
    "post": ([2**31], "long", [str(2**31)]),
    "locationType": (["a", "1,2,3"], "string", ["a", '"1,2,3"']),
    "positionType": (["a", None], "string", ["a", ""]),
}


@pytest.mark.parametrize(("name", "values", "kind", "cells"), [(name, *case) for name, case in NAMED.items()])
def test_some_names_have_a_type_of_their_own(engine, name, values, kind, cells):
    assert exported(engine, **{name: values}) == {f"{name}:{kind}": cells}


def test_values_that_a_name_does_not_allow_are_counted(engine, caplog):
    exported(engine, zapbenchId=["1", "x", "y"], somaLocation=["1,2,3", "nowhere", None])

    assert "zapbenchId: 2 values are not whole numbers" in caplog.text
    assert "somaLocation: 1 values are not positions" in caplog.text


POSITIONS = {
    "lists": [[1, 2, 3], None, [1, 2]],
    "lists of floats": [[1.0, 2.5, 3.0], [math.nan, 1.0, 2.0], [1.0, 2.0, math.inf]],
    "structures": [{"x": 1, "y": 2, "z": 3}, {"x": None, "y": 2, "z": 3}, None],
    "coordinates": [{"type": "p", "coordinates": [1, 2, 3]}, {"type": "q", "coordinates": None}],
    "texts": ["1,2,3", " [1, 2.5, -3] ", "{x: 1, y:2.5,z :-3}", "[1,2,3", "1,2,3]", "1,2", "", None, "1,2,3\n"],
}


@pytest.mark.parametrize("values", POSITIONS.values(), ids=POSITIONS)
@pytest.mark.parametrize("name", ["nearLocation", "soma_position"])
def test_positions_become_points_as_everywhere_else(engine, name, values):
    texts = [point_text(value) for value in values]
    expected = [f'"{text}"' if text else "" for text in texts]
    assert any(expected)
    assert exported(engine, **{name: values}) == {f"{name}:{POINT}": expected}


def test_a_column_that_only_speaks_of_locations_keeps_its_values(engine):
    columns = {"locationName": ["left", None], "locationIndex": [1, 2], "isPosition": [True, False]}
    assert exported(engine, **columns) == {
        "locationName:string": ["left", ""],
        "locationIndex:int": ["1", "2"],
        "isPosition:boolean": ["true", "false"],
    }


REFUSED = {
    "an integer beyond 64 bits": (pa.array([2**63], pa.uint64()), "9223372036854775808 does not fit"),
    "a null in a list": ([["a", None]], "contain a null"),
    "a semicolon in a list": ([["a;b"], ["c"]], "1 lists contain a text with ';'"),
    "a structure": ([{"a": 1}], "no property can be"),
    "a list of lists": ([[[1]]], "no property can be"),
    "bytes": ([b"a"], "no property can be"),
}


@pytest.mark.parametrize(("values", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_neo4j_cannot_hold_is_an_error_with_the_column(engine, values, problem):
    with pytest.raises(DataError, match=f"the table: column 'odd': .*{problem}") as caught:
        exported(engine, odd=values)
    assert "column" in caught.value.hint


def test_all_unfit_columns_are_said_at_once(engine):
    with pytest.raises(DataError, match="2 problems"):
        exported(engine, odd=[["a;b"]], fine=[1], even=[[None, 1]])


def test_columns_are_renamed_and_keep_their_order(engine):
    with engine.registered(given=pa.table({'a "b"': [1], "c": [2]})):
        found = typed_properties(engine, "given", {"c": "second", 'a "b"': "first"}, "the table")
        assert [p.header for p in found] == ["second:int", "first:int"]
        assert engine.rows(f"SELECT {', '.join(p.cell for p in found)} FROM given") == [("2", "1")]


@settings(max_examples=50)
@given(st.lists(st.floats(width=32), min_size=1))
def test_32_bit_floats_are_read_back_exactly(engine, values):
    column = np.array([*values, 0.5], np.float32)
    (cells,) = exported(engine, x=column).values()
    read = np.array([cell.replace("Infinity", "inf") or "nan" for cell in cells], np.float32)
    np.testing.assert_array_equal(read, column)


@settings(max_examples=50)
@given(st.lists(st.floats() | st.none(), min_size=1))
def test_no_float_is_changed(engine, values):
    found = exported(engine, x=pa.array(values, pa.float64()))
    present = [value for value in values if value is not None and not math.isnan(value)]
    assert len(found) == bool(present)
    for cells in found.values():
        read = [float(cell.replace("Infinity", "inf")) for cell in cells if cell]
        assert read == present


@settings(max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
def test_no_text_is_changed(engine, values):
    for cells in exported(engine, x=values).values():
        (record,) = csv.reader(io.StringIO(",".join(["first", *cells]), newline=""), strict=True)
        assert record == ["first", *values]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["ME"], "column 'ME': the property would have the name of an ROI"),
        (["a", "b", "a"], "column 'a': two columns would become one property"),
        (["a:int"], "column 'a:int': .* colon"),
        ([""], "empty"),
    ],
)
def test_names_that_mean_something_else_are_refused(names, problem):
    with pytest.raises(DataError, match=problem):
        check_names(names, {"ME": "an ROI"}, "the table")


def test_other_names_are_fine():
    check_names(["a", "A", "of 'b'", "c d"], {"ME": "an ROI"}, "the table")
