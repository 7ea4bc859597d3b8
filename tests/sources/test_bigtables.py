"""A big table is the same stream of rows whatever its format, and its damage is found where it lies."""

from contextlib import suppress

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources import bigtables
from flyem_snapshot.sources.bigtables import BigTable
from flyem_snapshot.sources.checks import Kind
from tests.writing import write_table

BIG = 2**63 - 1
TABLE = pa.table(
    {
        "point_id": pa.array([BIG, 0, 2**53 + 1, 7], pa.int64()),
        "roi": pa.array(["ME(R)", None, 'a "b", c', "two\nlines"], pa.string()),
        "conf": pa.array([0.1, None, -0.0, 1e-30], pa.float64()),
        "flag": pa.array([True, None, False, True]),
    }
)
FORMATS = ("feather", "parquet", "csv")


def read(path, columns, types=None):
    batches = list(BigTable.open(path).batches(columns, types))
    return pa.Table.from_batches(batches)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_rows_in_the_same_order(tmp_path, kind):
    path = write_table(TABLE, tmp_path / f"t.{kind}")

    found = read(path, TABLE.column_names, {"roi": pa.string()})

    assert found == TABLE
    assert BigTable.open(path).rows == (None if kind == "csv" else 4)


VALUES = st.tuples(
    st.integers(-(2**63), 2**63 - 1),
    st.one_of(st.none(), st.sampled_from(["a", "b,", '"', "c\nd"])),
    st.floats(width=32),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@given(st.lists(VALUES, min_size=1, max_size=20), st.integers(1, 7))
def test_any_table_survives_any_format(folder, rows, chunk):
    types = {"id": pa.int64(), "text": pa.string(), "real": pa.float32()}
    table = pa.table(
        [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types.values(), strict=True)],
        list(types),
    )

    for kind in FORMATS:
        found = read(write_table(table, folder / f"t.{kind}", chunk), list(types), types)
        pd.testing.assert_frame_equal(found.to_pandas(), table.to_pandas(), obj=kind)
        assert found.schema.types == table.schema.types


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("columns", [["roi"], ["conf", "point_id"], ["flag", "roi", "point_id"]])
def test_only_the_columns_asked_for_in_the_order_asked_for(tmp_path, kind, columns):
    path = write_table(TABLE, tmp_path / f"t.{kind}")

    batches = list(BigTable.open(path).batches(columns, {"roi": pa.string()}))

    assert all(batch.schema.names == columns for batch in batches)
    assert sum(batch.num_rows for batch in batches) == 4


@pytest.mark.parametrize("kind", ["feather", "parquet"])
def test_batches_with_dictionaries_of_their_own(tmp_path, kind):
    batches = [
        pa.record_batch({"roi": pa.array(values).dictionary_encode()})
        for values in (["b", "a"], ["c", None], ["a", "a"])
    ]
    path = tmp_path / f"t.{kind}"
    if kind == "feather":
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True, unify_dictionaries=False)
        with pa.ipc.new_file(path, batches[0].schema, options=options) as writer:
            writer.write_table(pa.Table.from_batches(batches).unify_dictionaries(), max_chunksize=2)
    else:
        write_table(pa.Table.from_batches(batches), path)

    values = [value for batch in BigTable.open(path).batches(["roi"]) for value in batch["roi"].to_pylist()]

    assert values == ["b", "a", "c", None, "a", "a"]


def test_a_table_longer_than_a_batch_keeps_its_order(tmp_path, monkeypatch):
    monkeypatch.setattr(bigtables, "_CSV_BLOCK", 1 << 12)
    ids = np.random.default_rng(0).permutation(200_000)
    table = pa.table({"id": ids})
    for kind in FORMATS:
        batches = list(BigTable.open(write_table(table, tmp_path / f"t.{kind}", 60_000)).batches(["id"]))
        assert len(batches) > 1
        assert np.array_equal(np.concatenate([batch["id"].to_numpy() for batch in batches]), ids)


@pytest.mark.parametrize("kind", FORMATS)
def test_columns_that_differ_in_case_only_are_refused(tmp_path, kind):
    path = write_table(pa.table({"body": [1], "x": [2], "Body": [3]}), tmp_path / f"t.{kind}")

    with pytest.raises(DataError, match=r"column 'Body' differs from 'body' only in upper and lower case"):
        BigTable.open(path)


def test_all_that_a_header_lacks_is_said_at_once(tmp_path):
    table = BigTable.open(write_table(pa.table({"body": ["a"], "conf": [1]}), tmp_path / "t.feather"))

    with pytest.raises(DataError) as caught:
        table.require({"kind": "PreSyn or PostSyn", "conf": "confidence"}, {"body": Kind.INTEGER, "conf": Kind.NUMBER})

    assert [part.column for part in caught.value.parts] == [None, "body"]
    assert "there is no column 'kind' (PreSyn or PostSyn)" in str(caught.value)
    assert "its columns are: body, conf" in str(caught.value)
    assert "column 'body': is of type string, but must be an integer" in str(caught.value)


def damaged(path):
    """The rows of a table, or the message of the DataError that reading it ends with; anything else escapes."""
    rows = 0
    try:
        for batch in BigTable.open(path).batches(["id", "text"]):
            rows += batch.num_rows
    except DataError as error:
        return rows, str(error)
    return rows, ""


@pytest.mark.parametrize("kind", ["feather", "parquet"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_damage_midway_is_found_where_it_lies(tmp_path, kind, share):
    # Damage shows where data were compressed; other numbers are as good as those that were overwritten.
    table = pa.table({"id": np.arange(200_000) // 50, "text": ["some text"] * 200_000})
    path = write_table(table, tmp_path / f"t.{kind}", 20_000)
    content = bytearray(path.read_bytes())
    start = int(len(content) * share)
    content[start : start + 512] = b"\xff" * 512
    path.write_bytes(content)

    rows, problem = damaged(path)

    assert problem.startswith(f"{path}: cannot be read")
    assert "copy or export it again" in problem
    assert rows < 200_000


@pytest.mark.parametrize("kind", ["feather", "parquet"])
def test_a_file_that_is_cut_off(tmp_path, kind):
    path = write_table(pa.table({"id": range(1000), "text": ["x"] * 1000}), tmp_path / f"t.{kind}", 100)
    content = path.read_bytes()
    for keep in (1, 5, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:keep])
        rows, problem = damaged(path)
        assert rows == 0
        assert str(path) in problem


@pytest.mark.parametrize(
    ("line", "says"),
    [("x,a", "conversion error to int64"), ("1", "Expected 2 columns, got 1"), ("1,a,b", "Expected 2 columns, got 3")],
)
def test_a_csv_line_of_another_form(tmp_path, line, says, monkeypatch):
    monkeypatch.setattr(bigtables, "_CSV_BLOCK", 1 << 14)
    good = "".join(f"{i},text\n" for i in range(600_000))  # more than the header's guess looks at
    path = tmp_path / "t.csv"
    path.write_text(f"id,text\n{good}{line}\n1,b\n")

    rows, problem = damaged(path)

    assert says in problem
    assert str(path) in problem
    assert 500_000 < rows <= 600_000


def test_text_in_another_encoding(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("id,text\n1,Größe\n".encode("latin-1"))

    assert "UTF" in damaged(path)[1]


@pytest.mark.parametrize("position", range(0, 4000, 190))
def test_any_overwritten_stretch_of_a_plain_file_is_an_error_or_other_data_never_a_crash(tmp_path, position):
    # Without compression nothing but the offsets and codes themselves can tell that they are wrong.
    values = pa.array([f"text {i % 50}" for i in range(200)])
    table = pa.table({"id": range(200), "text": values, "code": values.dictionary_encode()})
    path = tmp_path / "t.feather"
    feather.write_feather(table, str(path), compression="uncompressed")
    content = bytearray(path.read_bytes())
    content[position : position + 64] = b"\x7f" * min(64, len(content) - position)
    path.write_bytes(content)

    with suppress(DataError):
        for batch in BigTable.open(path).batches(["id", "text", "code"]):
            assert len(batch.to_pylist()) == batch.num_rows
