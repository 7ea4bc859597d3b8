"""The session keeps to its memory, spills where it was told, and cleans up."""

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from flyem_snapshot.engine.session import Engine, Limits, parquet

MB = 1 << 20


@pytest.fixture
def session(tmp_path):
    """An engine with small limits; its spill directory is below `tmp_path`."""
    with Engine(Limits(memory=64 * MB, threads=2, spill=tmp_path / "deep" / "spill")) as engine:
        yield engine


def test_a_query_larger_than_the_memory_spills_and_completes(session, tmp_path):
    rows = 8_000_000
    shuffled = f"SELECT (range * 1_000_003) % {rows} AS id, range AS twice FROM range({rows})"  # 128 MB
    spilled = 0
    last, count = -1, 0
    with session.stream(f"SELECT * FROM ({shuffled}) ORDER BY id") as stream:
        for batch in stream:
            spilled = max(spilled, sum(file.stat().st_size for file in session.limits.spill.iterdir()))
            ids = batch["id"].to_numpy()
            assert ids[0] == last + 1
            last, count = ids[-1], count + len(ids)

    assert count == rows
    assert spilled > 10 * MB


def test_the_limit_is_a_limit(session):
    session.execute("SET temp_directory = ''")

    with pytest.raises(duckdb.OutOfMemoryException):
        session.rows("SELECT list(range ORDER BY random()) FROM range(20_000_000)")


def test_the_limits_are_those_given(session):
    assert session.scalar("SELECT current_setting('memory_limit')") == "64.0 MiB"
    assert session.scalar("SELECT current_setting('threads')") == 2
    assert session.scalar("SELECT current_setting('temp_directory')") == str(session.limits.spill)


def test_what_was_spilled_is_removed_at_the_end(tmp_path):
    spill = tmp_path / "spill"
    with Engine(Limits(MB * 64, 1, spill)) as engine:
        (spill / "left-over.tmp").write_text("x")
        assert engine.scalar("SELECT 1") == 1

    assert not spill.exists()
    assert tmp_path.exists()


def test_what_was_spilled_is_removed_after_an_error_too(tmp_path):
    with pytest.raises(ZeroDivisionError), Engine(Limits(MB * 64, 1, tmp_path / "spill")):
        raise ZeroDivisionError

    assert list(tmp_path.iterdir()) == []


def test_no_library_is_fetched_behind_the_users_back(session):
    with pytest.raises(duckdb.Error):
        session.rows("SELECT * FROM read_parquet('https://example.invalid/a.parquet')")
    assert session.scalar("SELECT current_setting('autoinstall_known_extensions')") is False
    assert session.scalar("SELECT current_setting('autoload_known_extensions')") is False


def test_parquet_keeps_the_order_of_the_query_with_several_threads(session, tmp_path):
    path = tmp_path / "it's here.parquet"
    session.copy_to_parquet("SELECT 999_999 - range AS id FROM range(1_000_000)", path)

    out_of_place = "SELECT count(*) FROM (SELECT id, row_number() OVER () AS row FROM {}) WHERE id <> 1_000_000 - row"
    assert session.scalar(out_of_place.format(parquet(path))) == 0
    assert session.scalar(f"SELECT count(*) FROM {parquet(path)}") == 1_000_000


@pytest.mark.parametrize(
    "source", [pa.table({"x": [1, 2]}), pd.DataFrame({"x": [1, 2]}), pa.table({"x": [1, 2]}).to_reader()]
)
def test_registered_data_are_known_inside_the_with_only(session, source):
    with session.registered(mine=source):
        assert session.rows("SELECT sum(x) FROM mine") == [(3,)]

    with pytest.raises(duckdb.CatalogException):
        session.rows("SELECT * FROM mine")


def test_registered_data_are_forgotten_after_an_error(session):
    with pytest.raises(ZeroDivisionError), session.registered(mine=pa.table({"x": [1]})):
        raise ZeroDivisionError

    with pytest.raises(duckdb.CatalogException):
        session.rows("SELECT * FROM mine")


def test_views_can_be_redefined_and_dropped_twice(session):
    session.view('my "view"', "SELECT 1 AS x")
    session.view('my "view"', "SELECT 2 AS x")
    assert session.rows('SELECT * FROM "my ""view"""') == [(2,)]

    session.drop_view('my "view"')
    session.drop_view('my "view"')


def test_an_enumeration_keeps_its_values_in_order(session):
    for values in (["b", "it's", "a"], ["z"], []):
        name = session.enum("my kind", values)
        assert session.scalar(f"SELECT enum_range(NULL::{name})") == values


def test_small_results(session):
    assert session.rows("SELECT 1, 'a' UNION ALL SELECT 2, NULL ORDER BY 1") == [(1, "a"), (2, None)]
    assert session.scalar("SELECT 42") == 42
    assert session.table("SELECT 1::UTINYINT AS x") == pa.table({"x": pa.array([1], pa.uint8())})
    with session.stream("SELECT range AS x FROM range(10)", batch_rows=4) as stream:
        assert stream.read_all().column("x").to_pylist() == list(range(10))
