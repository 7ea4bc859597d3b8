"""Answers that were cut off at a row limit, and those that only look as if they were."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from flyem_snapshot.cave import CaveError, LimitError
from flyem_snapshot.cave.rows import is_limited, notices_of

CELLS = "cells"
ROWS = 19
OWNERS = [
    "Limited to the central brain, see the paper",
    "Coverage is complete, 100 - Limited use",
    "Limited query to 19 rows",
    "this table is a copy, 201 - of 300 cells, Limited",
]


@pytest.fixture
def version(stack):
    version = stack.freeze()
    version.add_table(CELLS, "cell_type_local", pa.table({"id": pa.array(range(1, ROWS + 1), pa.int64())}))
    return version


@pytest.fixture
def tables(version, client):
    client.materialize.version = 1
    return client.materialize


def queries(cave):
    return [request for request in cave.requests if request.path.endswith("query")]


def warned(cave, words):
    """From now on an answer to a query has the Warning header that a function makes of its number of rows."""
    serve = cave.faults.applied

    def applied(request, answer, stopping):
        reply = serve(request, answer, stopping)
        if request.path.endswith("query"):
            with pa.ipc.open_stream(reply.body) as reader:
                reply.headers["Warning"] = words(len(reader.read_all()))
        return reply

    cave.faults.applied = applied


@pytest.mark.parametrize("words", OWNERS)
def test_an_owner_may_write_of_limits_without_cutting_an_answer_off(tables, version, cave, words):
    version.tables[CELLS].record["notice_text"] = words
    found = tables.query_table(CELLS)
    assert (len(found), is_limited(found)) == (ROWS, False)
    assert " ".join(words.split(", ")) in " ".join(notices_of(found)).replace(", ", " ")
    windows = list(tables.id_windows(CELLS))
    assert [number for window in windows for number in window.table["id"].to_pylist()] == list(range(1, ROWS + 1))
    assert len(queries(cave)) < 8


def test_a_limit_beside_an_owners_notice_is_still_a_limit(tables, version, cave):
    version.tables[CELLS].record["notice_text"] = "Limited to the brain, mostly"
    cave.query_limit = 5
    with pytest.raises(LimitError, match="gave 5 rows"):
        tables.query_table(CELLS)
    found = tables.query_table(CELLS, limit=3)
    assert is_limited(found)
    assert notices_of(found) == ["Table Owner Notice on cells: Limited to the brain, mostly"]
    assert sum(len(window.table) for window in tables.id_windows(CELLS)) == ROWS


def test_a_notice_behind_that_of_the_limit_is_kept(tables, cave):
    warned(cave, lambda count: f'201 - "Limited query to {count} rows, some other notice')
    found = tables.query_table(CELLS, limit=ROWS)
    assert (is_limited(found), notices_of(found)) == (True, ["some other notice"])


def test_a_limit_that_was_not_reached_cuts_nothing_off(tables, cave):
    warned(cave, lambda _: '201 - "Limited query to 200000 rows')
    assert len(tables.query_table(CELLS)) == ROWS
    assert sum(len(window.table) for window in tables.id_windows(CELLS)) == ROWS
    assert len(queries(cave)) < 8


@pytest.mark.parametrize("width", [None, 1, 2, 7])
def test_a_service_that_calls_all_answers_limited_is_read_or_refused_in_the_end(tables, version, cave, width):
    """Empty answers, too; no window may shrink to none."""
    warned(cave, lambda count: f'201 - "Limited query to {count} rows')
    found = [n for window in tables.id_windows(CELLS, window=width) for n in window.table["id"].to_pylist()]
    assert found == list(range(1, ROWS + 1))
    bodies = [json.loads(request.body) for request in queries(cave)]
    asked = [
        (body["filter_greater_equal_dict"][CELLS]["id"], body["filter_less_dict"][CELLS]["id"])
        for body in bodies
        if "filter_less_dict" in body
    ]
    assert all(low < high for low, high in asked), "no empty window is asked for"
    assert len(asked) < 200


def test_a_service_that_gives_no_rows_at_all_is_found_out(tables, cave):
    cave.query_limit = 0
    with pytest.raises(CaveError, match="gave 0 rows from id 0 on, and should have 19"):
        list(tables.id_windows(CELLS))
    assert len(queries(cave)) < 100
