"""Results as JSON rows and as Arrow streams."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from flyem_snapshot.bridge.database import Rows
from flyem_snapshot.bridge.replies import ClientGone
from flyem_snapshot.bridge.tables import arrow_table, json_table


def nobody_left():
    pass


def rows(columns, *values):
    return Rows(tuple(columns), iter([list(row) for row in values]))


def as_json(result):
    reply = json_table(result, nobody_left)
    with reply.body as file:
        content = file.read()
    assert len(content) == reply.size
    return json.loads(content)


def as_arrow(result):
    return pa.ipc.open_stream(arrow_table(result, nobody_left).body).read_all()


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 100_000])
def test_all_rows_are_there_in_order(count):
    expected = [[i, f"é{i}"] for i in range(count)]
    assert as_json(rows(["i", "t"], *expected)) == {"columns": ["i", "t"], "data": expected}


def test_columns_keep_their_types_in_arrow():
    table = as_arrow(rows(["i", "f", "b", "t", "l"], [2**62, 1.0, True, "x", [1, 2]], [None, 2.5, None, None, []]))
    assert [str(field.type) for field in table.schema] == ["int64", "double", "bool", "string", "list<item: int64>"]
    assert table.to_pylist()[0] == {"i": 2**62, "f": 1.0, "b": True, "t": "x", "l": [1, 2]}


def test_integers_among_floats_are_floats_unless_that_would_alter_them():
    assert as_arrow(rows(["x"], [1], [2.5])).to_pydict() == {"x": [1.0, 2.5]}
    assert as_arrow(rows(["x"], [2**60 + 1], [2.5])).to_pydict() == {"x": [str(2**60 + 1), "2.5"]}


def test_values_without_a_common_type_are_json_text():
    assert as_arrow(rows(["x"], [1], ["a"], [None])).to_pydict() == {"x": ["1", '"a"', None]}
    assert as_arrow(rows(["x"], [[1]], [["a"]])).to_pydict() == {"x": ["[1]", '["a"]']}


def test_maps_are_structs_of_all_their_keys():
    assert as_arrow(rows(["n"], [{"a": 1}], [{"b": "x"}])).to_pydict() == {
        "n": [{"a": 1, "b": None}, {"a": None, "b": "x"}]
    }


def test_an_empty_result_has_its_columns():
    table = as_arrow(rows(["a", "b"]))
    assert (table.column_names, table.num_rows) == (["a", "b"], 0)


@pytest.mark.parametrize("table", [json_table, arrow_table])
def test_work_ends_when_the_client_has_hung_up(table):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield [1]

    def gone():
        raise ClientGone

    with pytest.raises(ClientGone):
        table(Rows(("x",), endless()), gone)
    assert len(taken) <= 1000
