"""Small tables and headers are read from any format, and a file that is none is refused with a remedy."""

import contextlib
import gzip
import warnings

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.files import open_header, read_small_table, sniff_format

BIG = 720575940596125868  # no float holds it
TABLE = pa.table({"body": pa.array([BIG, 2], pa.int64()), "type": pa.array(["a", None], pa.large_string())})


def refusal(path, read=read_small_table):
    with pytest.raises(DataError) as caught:
        read(path)
    return str(caught.value)


def csv(tmp_path, text, name="x.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def formats(tmp_path):
    feather.write_feather(TABLE, str(tmp_path / "x.feather"))
    pq.write_table(TABLE, tmp_path / "x.parquet")
    csv(tmp_path, f"body,type\n{BIG},a\n2,\n")
    return {name: tmp_path / f"x.{name}" for name in ("feather", "parquet", "csv")}


@pytest.mark.parametrize("name", ["feather", "parquet", "csv"])
def test_all_formats_give_the_same_table(formats, name):
    table = read_small_table(formats[name])

    assert table.equals(TABLE)
    assert table.schema.equals(TABLE.schema, check_metadata=True)
    assert sniff_format(formats[name]) == name


@pytest.mark.parametrize(("name", "rows"), [("feather", 2), ("parquet", 2), ("csv", None)])
def test_a_header_has_the_schema_and_the_rows_if_the_format_knows_them(formats, name, rows):
    schema, counted = open_header(formats[name])

    assert schema.equals(TABLE.schema)
    assert counted == rows


def test_the_header_of_a_feather_counts_the_rows_of_all_batches(tmp_path):
    feather.write_feather(pa.table({"a": range(1000)}), str(tmp_path / "x.feather"), chunksize=7)

    assert open_header(tmp_path / "x.feather")[1] == 1000


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "", "-3"], pa.int64(), [1, None, -3]),
        ([str(BIG), "9223372036854775807"], pa.int64(), [BIG, 2**63 - 1]),
        (["18446744073709551615", "0"], pa.uint64(), [2**64 - 1, 0]),
        (["99999999999999999999", "1"], pa.large_string(), ["99999999999999999999", "1"]),
        (["16743.0", "", "1e3", ".5", "inf"], pa.float64(), [16743.0, None, 1000.0, 0.5, float("inf")]),
        (["True", "false", ""], pa.bool_(), [True, False, None]),
        (["007", "12"], pa.large_string(), ["007", "12"]),
        (["2024-01-01", "2024-01-02"], pa.large_string(), ["2024-01-01", "2024-01-02"]),
        (["10:30", ""], pa.large_string(), ["10:30", None]),
        (["NA", "null", "nan"], pa.large_string(), ["NA", "null", "nan"]),
        (["1", "x"], pa.large_string(), ["1", "x"]),
        (['"line one\nline two"', '"a, ""b"""'], pa.large_string(), ["line one\nline two", 'a, "b"']),
        (['"12"', '""'], pa.int64(), [12, None]),
        (["MBON-Ω9 漢字 🧠"], pa.large_string(), ["MBON-Ω9 漢字 🧠"]),
        (["", ""], pa.null(), [None, None]),
    ],
)
def test_a_csv_column_becomes_what_all_of_its_cells_look_like(tmp_path, cells, kind, values):
    table = read_small_table(csv(tmp_path, "n,x\n" + "".join(f"0,{cell}\n" for cell in cells)))

    assert table.schema.field("x").type == kind
    assert table["x"].to_pylist() == values


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_integers_survive_csv_exactly(tmp_path_factory, numbers):
    path = csv(tmp_path_factory.mktemp("csv"), "x\n" + "".join(f"{number}\n" for number in numbers))

    assert read_small_table(path)["x"].to_pylist() == numbers


def test_a_csv_may_have_windows_line_ends_and_a_byte_order_mark(tmp_path):
    table = read_small_table(csv(tmp_path, "\ufeffbody,type\r\n1,a\r\n"))

    assert table.to_pydict() == {"body": [1], "type": ["a"]}


def test_a_csv_with_a_header_only_has_no_rows(tmp_path):
    path = csv(tmp_path, "body,type\n")

    assert read_small_table(path).to_pydict() == {"body": [], "type": []}
    assert open_header(path)[0].names == ["body", "type"]


def test_text_under_another_name_is_read_as_csv(tmp_path):
    assert read_small_table(csv(tmp_path, "a\n1\n", "x.table")).to_pydict() == {"a": [1]}


def test_the_unnamed_row_index_of_pandas_is_no_column(tmp_path):
    table = pa.table({"a": [1], "__index_level_0__": [7]})
    feather.write_feather(table, str(tmp_path / "x.feather"))

    assert read_small_table(tmp_path / "x.feather").column_names == ["a"]


def test_a_missing_file_is_named_with_what_comes_close(tmp_path):
    csv(tmp_path, "a\n", "annotations.csv")

    assert "did you mean annotations.csv?" in refusal(tmp_path / "anotations.csv")
    assert "nothing in" in refusal(tmp_path / "zzz")


@pytest.mark.parametrize("read", [read_small_table, open_header, sniff_format])
def test_a_missing_directory_is_said_to_be_missing(tmp_path, read):
    assert f"there is no directory {tmp_path / 'no'};" in refusal(tmp_path / "no" / "way" / "x.csv", read)


def test_a_directory_is_no_table(tmp_path):
    csv(tmp_path, "a\n", "points.csv")

    assert "is a directory, not a table" in refusal(tmp_path)
    assert "such as points.csv" in refusal(tmp_path)


def test_an_unreadable_file_is_an_error_of_permissions(formats, monkeypatch):
    def deny(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", deny)

    assert "cannot be opened: Permission denied" in refusal(formats["feather"])
    assert "permissions" in refusal(formats["feather"])


def test_an_empty_file_is_said_to_be_empty(tmp_path):
    assert "the file is empty (0 bytes)" in refusal(csv(tmp_path, ""))


@pytest.mark.parametrize("read", [read_small_table, open_header])
@pytest.mark.parametrize("kind", ["feather", "parquet"])
def test_a_truncated_file_is_damaged(formats, kind, read):
    path = formats[kind]
    path.write_bytes(path.read_bytes()[:-20])

    assert "cannot be read as" in refusal(path, read)
    assert "damaged or incomplete" in refusal(path, read)


@given(st.data())
def test_flipped_bytes_give_a_table_or_an_error_of_ours_and_never_a_crash(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damage") / "x.feather"
    feather.write_feather(TABLE, str(path), compression="lz4")
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(6, len(content) - 7))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)

    with contextlib.suppress(DataError):
        read_small_table(path).to_pylist()


def test_feather_version_1_comes_with_the_command_that_converts_it(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        feather.write_feather(pa.table({"a": [1]}), str(tmp_path / "old.feather"), version=1)

    message = refusal(tmp_path / "old.feather")

    assert "Feather file of version 1" in message
    assert "f.write_feather(f.read_table('old.feather'), 'old-v2.feather')" in message


@pytest.mark.parametrize(
    ("holds", "claims", "says"),
    [
        ("parquet", "feather", "is named .feather but does not hold Feather: it looks like Parquet"),
        ("feather", "csv", "is named .csv but does not hold CSV: it looks like Feather"),
        ("csv", "parquet", "is named .parquet but does not hold Parquet: it looks like CSV"),
    ],
)
def test_a_name_that_lies_is_refused(formats, tmp_path, holds, claims, says):
    path = formats[holds].rename(tmp_path / f"liar.{claims}")

    assert says in refusal(path)
    assert f"rename it to liar.{holds}" in refusal(path)


def test_other_content_is_refused(tmp_path):
    assert "is compressed with gzip" in refusal(csv(tmp_path, gzip.compress(b"a\n1\n"), "x.csv.gz"))
    assert "is neither Feather, Parquet nor CSV text" in refusal(csv(tmp_path, b"\x00" * 100, "x.feather"))


@pytest.mark.parametrize("read", [read_small_table, open_header])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b\n1,2\n3\n", "Row #3: Expected 2 columns, got 1"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        (",a\n1,2\n", "column 1 has no name"),
        ("\n\n", "has no header line"),
        (b"a\n\xff\xfe\n", "save it with the encoding UTF-8"),
        (b"caf\xe9\n1\n", "save it with the encoding UTF-8"),
    ],
)
def test_a_faulty_csv_is_refused(tmp_path, content, says, read):
    assert says in refusal(csv(tmp_path, content), read)


@pytest.mark.parametrize("read", [read_small_table, open_header])
def test_two_columns_of_one_name_are_refused_in_any_format(tmp_path, read):
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pa.OSFile(str(tmp_path / "x.feather"), "wb") as sink, pa.ipc.new_file(sink, twice.schema) as writer:
        writer.write_table(twice)

    assert "two columns are called 'a'" in refusal(tmp_path / "x.feather", read)
