"""Tables of a datastack in several parts: one table, whatever the parts look like."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flyem_snapshot.engine.session import Engine, Limits
from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.cave.download import known_parts
from flyem_snapshot.inputs.cave.fetched import Fetched, described, integer_body

R = 864691134988869441


@pytest.fixture
def engine(tmp_path: Path):
    with Engine(Limits(memory=1 << 28, threads=1, spill=tmp_path / "spill")) as engine:
        yield engine


def fetched(engine: Engine, folder: Path, *tables: dict) -> Fetched:
    files = []
    for number, table in enumerate(tables):
        files.append(folder / f"part-{number}.parquet")
        pq.write_table(pa.table(table), files[-1])
    return Fetched("cells", tuple(files), described(engine, files), (4.0, 4.0, 40.0), None, True, {})


def test_a_column_without_values_in_one_part_has_the_type_of_the_others(engine, tmp_path):
    table = fetched(
        engine,
        tmp_path,
        {"id": [1, 2], "type": pa.nulls(2), "root": pa.nulls(2)},
        {"id": [3, 4], "type": ["a", "b"], "root": [R, None]},
    )

    assert table.columns == {"id": "BIGINT", "type": "VARCHAR", "root": "BIGINT"}
    rows = engine.rows(f"SELECT id, type, {integer_body('root')} FROM {table.relation}")
    assert rows == [(1, None, 0), (2, None, 0), (3, "a", R), (4, "b", 0)]


def test_a_column_of_ids_without_any_value_is_one_of_unknown_bodies(engine, tmp_path):
    table = fetched(engine, tmp_path, {"id": [1], "root": pa.nulls(1)})

    table.require_ids(["id", "root"])
    assert engine.rows(f"SELECT {integer_body('root')} FROM {table.relation}") == [(0,)]


def test_ids_that_are_not_integers_are_refused(engine, tmp_path):
    table = fetched(engine, tmp_path, {"id": [1], "root": [float(R)]})

    with pytest.raises(DataError, match="column 'root' of table 'cells' holds DOUBLE, but ids must be integers"):
        table.require_ids(["root"])


def test_what_a_killed_download_left_without_a_line_in_the_manifest_goes(tmp_path):
    (tmp_path / "part-00000000000000000000.parquet").write_bytes(b"PAR1")
    (tmp_path / "manifest.jsonl").write_text('{"lo": 0, "hi": 10, "rows": 3, "file": "part-0000')

    assert known_parts(tmp_path) == []
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.jsonl"]
    assert (tmp_path / "manifest.jsonl").read_text() == ""
