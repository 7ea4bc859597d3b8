"""A whole table by windows of ids: every row once, whatever the service does, or an error."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyem_snapshot.cave import CaveError, Expired, LimitError
from tests.cave_double import CaveDouble

TABLE = "synapses"


def load(stack, ids, number=None):
    version = stack.freeze(number)
    ids = np.array(ids, np.int64)
    roots = pa.array(ids + 864691134988869442, pa.int64())
    version.add_table(TABLE, "synapse", pa.table({"id": pa.array(ids), "pre_pt_root_id": roots}))
    return version


@pytest.fixture
def thousand(stack):
    """The ids 1 to 1000 without every tenth, in an order that is none."""
    ids = [number for number in range(1, 1001) if number % 10]
    np.random.default_rng(1).shuffle(ids)
    load(stack, ids)
    return sorted(ids)


@pytest.fixture
def tables(client):
    return client.materialize


def read(tables, **options):
    windows = list(tables.id_windows(TABLE, 1, **options))
    return windows, [number for window in windows for number in window.table["id"].to_pylist()]


def queries(cave):
    return [request for request in cave.requests if request.path.endswith("query")]


def test_every_row_comes_once_in_order_and_windows_leave_no_gap(tables, thousand):
    windows, ids = read(tables, window=64)
    assert ids == thousand
    assert windows[0].lo == 0
    assert all(before.hi == after.lo for before, after in pairwise(windows))
    for window in windows:
        found = window.table["id"].to_pylist()
        assert all(window.lo <= number < window.hi for number in found)
        assert window.table["pre_pt_root_id"].to_pylist() == [number + 864691134988869442 for number in found]


def test_a_window_that_is_cut_off_is_halved(tables, thousand, cave):
    cave.query_limit = 100
    windows, ids = read(tables)
    assert ids == thousand
    assert max(len(window.table) for window in windows) <= 100
    assert len(queries(cave)) < 90


def test_a_window_as_full_as_it_can_be_is_whole_although_the_service_calls_it_limited(tables, stack, cave):
    load(stack, range(1, 401))
    cave.query_limit = 100
    windows, ids = read(tables, window=100, lo=1)
    assert ids == list(range(1, 401))
    assert {window.hi - window.lo for window in windows} == {100}


@pytest.mark.parametrize("limit", [1, 7, 250])
def test_a_limit_that_changes_midway_loses_nothing(tables, thousand, cave, limit):
    cave.query_limit = 300
    cave.after(4, lambda: setattr(cave, "query_limit", limit), "query")
    assert read(tables, window=200)[1] == thousand


def test_sparse_ids_widen_the_windows(tables, stack, cave):
    ids = [5, 10**6, 10**9, 2**52 + 1, 2**53 + 1]
    load(stack, ids)
    assert read(tables)[1] == ids
    assert len(queries(cave)) < 60


def test_an_empty_table_has_no_rows(tables, stack):
    load(stack, [])
    windows, ids = read(tables)
    assert ids == []
    assert len(windows) == 1


def test_only_some_columns_may_be_asked_for(tables, thousand):
    windows, _ = read(tables, select_columns=["pre_pt_root_id"])
    assert windows[0].table.column_names == ["id", "pre_pt_root_id"]


def test_a_reading_goes_on_where_it_was_interrupted(tables, thousand):
    first = []
    for window in tables.id_windows(TABLE, 1, window=128):
        first.append(window)
        if len(first) == 3:
            break
    _, ids = read(tables, lo=first[-1].hi, window=128)
    assert [n for window in first for n in window.table["id"].to_pylist()] + ids == thousand


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_several_windows_are_asked_for_at_a_time(tables, thousand, cave, workers):
    cave.faults.stall("query", seconds=0.01, times=None)
    assert read(tables, window=50, workers=workers)[1] == thousand
    assert cave.most_at_once("query") <= workers


@pytest.mark.parametrize("fault", ["reset", "cut", "truncated"])
def test_a_stream_that_breaks_is_asked_for_again(tables, thousand, cave, fault):
    getattr(cave.faults, fault)("query", skip=2, times=2)
    assert read(tables, window=200)[1] == thousand


@pytest.mark.parametrize("code", [502, 503])
def test_a_service_that_is_away_for_a_moment_is_waited_for(tables, thousand, cave, code):
    cave.faults.status(code, "query", skip=2, times=2, retry_after=0)
    cave.faults.limited("query", skip=1, times=2, retry_after=0)
    assert read(tables, window=200)[1] == thousand


def test_an_answer_that_is_too_large_is_asked_for_in_halves(tables, thousand, cave):
    cave.faults.html(413, "query", title="Request Entity Too Large", times=2)
    assert read(tables, window=600)[1] == thousand
    cave.faults.html(413, "query", title="Request Entity Too Large", times=None)
    with pytest.raises(LimitError):
        read(tables, window=16)


def test_an_answer_that_takes_too_long_is_asked_for_in_halves(cave, thousand, new_client):
    cave.faults.stall("query", times=2)
    tables = new_client(timeout=0.3).materialize
    assert read(tables, window=5000, workers=1)[1] == thousand


def test_a_version_that_goes_away_midway_is_told(tables, thousand, cave, stack):
    cave.after(3, stack.versions[1].expire, "query")
    with pytest.raises(Expired, match="its status is EXPIRED"):
        read(tables, window=50)


def test_rows_that_are_missing_are_found_out(tables, thousand, cave):
    cave.faults.replaced(b"1000", "count")
    with pytest.raises(
        CaveError, match="table 'synapses' of version 1 gave 900 rows from id 0 on, and should have 1,000"
    ):
        read(tables)


def test_rows_that_are_too_many_are_found_out(tables, thousand, cave):
    cave.faults.replaced(b"100", "count")
    with pytest.raises(CaveError, match="and should have 100"):
        read(tables, window=50)


def test_a_service_that_ignores_the_filter_is_found_out(tables, thousand, cave):
    """As those did that are older than the filters on inequality."""
    honest = {}

    def everything(body):
        return honest.setdefault("body", body)

    cave.faults.changed(everything, "query", times=None)
    with pytest.raises(CaveError, match="gave rows outside of"):
        read(tables, window=50, workers=1)


def test_rows_that_come_twice_are_found_out(tables, stack):
    load(stack, [1, 2, 2, 3])
    with pytest.raises(CaveError, match="several rows with the same id"):
        read(tables)


def test_leaving_the_loop_ends_the_reading(tables, thousand, cave):
    windows = tables.id_windows(TABLE, 1, window=10)
    next(windows)
    windows.close()
    count = len(cave.requests)
    assert count < 15


@pytest.mark.parametrize("options", [{"window": 0}, {"workers": 0}, {"lo": -1}])
def test_numbers_that_make_no_sense_are_refused(tables, thousand, options):
    with pytest.raises(ValueError, match="must be at least"):
        list(tables.id_windows(TABLE, 1, **options))


@pytest.fixture(scope="module")
def shared_cave():
    with CaveDouble(log=False) as cave:
        cave.new_datastack("d")
        yield cave


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(st.one_of(st.integers(0, 400), st.integers(0, 2**40)), unique=True, max_size=60),
    limit=st.integers(1, 20),
    window=st.one_of(st.none(), st.integers(1, 500)),
    workers=st.integers(1, 3),
)
def test_every_table_is_read_whole_under_every_limit(shared_cave, new_client, ids, limit, window, workers):
    shared_cave.query_limit = limit
    load(shared_cave.datastacks["d"], ids, 1)
    client = new_client("d", server_address=shared_cave.url, auth_token=shared_cave.token)
    windows = client.materialize.id_windows(TABLE, 1, window=window, workers=workers)
    assert [n for part in windows for n in part.table["id"].to_pylist()] == sorted(ids)
