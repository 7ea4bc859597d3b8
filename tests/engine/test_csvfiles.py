"""Lines go to many files at once; each record arrives once, in order, and a file appears only when it is complete."""

import csv
import errno
import gzip
import io

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from flyem_snapshot.engine import csvfiles
from flyem_snapshot.engine.csvfiles import cell, csv_files, csv_name, quoted, quoted_text
from flyem_snapshot.engine.outdir import FileRecord, OutputDir
from flyem_snapshot.errors import OutputError

ENDINGS = st.sampled_from(["", ",", '"', "\n", "\r", " ", "\t", ";"])
TEXT = st.builds("{}{}{}".format, ENDINGS, st.text(st.characters(exclude_categories=["Cs"])), ENDINGS)
TEXTS = st.lists(st.none() | TEXT.filter(lambda text: "\0" not in text), min_size=1, max_size=20)


def parsed(cells):
    """What Python's csv module reads from one record."""
    (record,) = csv.reader(io.StringIO(",".join(cells), newline=""), strict=True)
    return record


@given(TEXTS)
def test_any_text_survives_a_csv_reader(texts):
    expected = ["first", *(text or "" for text in texts)]
    in_arrow = quoted(pa.array(texts, pa.string())).to_pylist()
    in_sql = duckdb.execute(f"SELECT {cell('t')} FROM unnest($1::VARCHAR[]) x(t)", [texts]).fetchall()

    assert parsed(["first", *in_arrow]) == expected
    assert [row[0] for row in in_sql] == in_arrow
    assert [quoted_text(text or "") for text in texts] == in_arrow


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text; with 'most' signs", "plain text; with 'most' signs"),
        ("a,b", '"a,b"'),
        ('"', '""""'),
        ("a\nb", '"a\nb"'),
        (" a", '" a"'),
        ("a ", '"a "'),
        (None, ""),
    ],
)
def test_only_what_must_be_quoted_is_quoted(text, expected):
    assert quoted(pa.array([text], pa.string())).to_pylist() == [expected]


def test_a_slice_of_large_strings_is_quoted_too():
    array = pa.array(["x", "a,b", None, "y"], pa.large_string()).slice(1, 2)
    assert quoted(array).equals(pa.array(['"a,b"', ""], pa.large_string()))


def read(path):
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()


BATCHES = st.lists(st.lists(st.tuples(st.integers(0, 4), st.text("aé\n,", max_size=5)), max_size=30), max_size=5)


@settings(max_examples=60)
@given(BATCHES, st.sampled_from([None, "gzip"]), st.sampled_from([pa.string(), pa.large_string(), pa.string_view()]))
def test_splitting_keeps_every_record_exactly_once_and_in_order(tmp_path_factory, batches, compress, kind):
    out = OutputDir(tmp_path_factory.mktemp("split"))
    names = [f"part/{number}.csv" for number in range(5)]
    expected = [[f"id{number}"] for number in range(5)]
    with csv_files(out, [(name, [f"id{n}"]) for n, name in enumerate(names)], compress) as writer:
        for batch in batches:
            for file, text in batch:
                expected[file].append(text)
            lines = pa.array([f"{text}\n" for _, text in batch], kind)
            writer.write_split(lines, np.array([file for file, _ in batch], np.uint16))

    for name, records in zip(names, expected, strict=True):
        path = out.path(csv_name(name, compress))
        assert read(path) == "".join(f"{record}\n" for record in records)
        assert out.written[csv_name(name, compress)] == FileRecord(
            path.stat().st_size, xxhash.xxh3_64_hexdigest(path.read_bytes()), len(records) - 1
        )


def test_slices_and_chunks_are_written_in_full(tmp_path):
    out = OutputDir(tmp_path)
    chunks = pa.chunked_array([["a\n", "b\n", "c\n"], [], ["d\n"]])
    with csv_files(out, [("a.csv", ["x"])], None) as writer:
        writer.write(chunks.slice(1))
        writer.write(pa.array(["e\n", "f\n", "g\n"]).slice(1, 1))
        writer.write_split(pa.array(["h\n", "i\n"]).slice(1), np.zeros(1, int))

    assert (tmp_path / "a.csv").read_text() == "x\nb\nc\nd\nf\ni\n"
    assert out.written["a.csv"].rows == 5


@pytest.mark.parametrize("compress", [None, "gzip"])
def test_more_files_than_can_be_open_at_once_with_more_text_than_may_wait(tmp_path, compress, monkeypatch):
    monkeypatch.setattr(csvfiles, "_OPEN_FILES", 3)
    monkeypatch.setattr(csvfiles, "_BUFFERS", 1)  # so each file may hold 4 KiB
    out, rng = OutputDir(tmp_path), np.random.default_rng(0)
    expected = ["number:int\n"] * 20
    with csv_files(out, [(f"{n}.csv", ["number:int"]) for n in range(20)], compress) as writer:
        for batch in range(30):
            files = rng.integers(0, 20, 1000)
            writer.write_split(pa.array([f"{batch},{row},{'x' * 20}\n" for row in range(1000)]), files)
            for row, file in enumerate(files):
                expected[file] += f"{batch},{row},{'x' * 20}\n"

    assert [read(tmp_path / csv_name(f"{n}.csv", compress)) for n in range(20)] == expected


def test_compressed_bytes_do_not_depend_on_how_the_text_came(tmp_path, monkeypatch):
    monkeypatch.setattr(csvfiles, "_PIECE", 1 << 12)
    lines = pa.array([f"{row},text\n" for row in range(5000)])
    for name, step in (("a", 5000), ("b", 77)):
        with csv_files(OutputDir(tmp_path), [(f"{name}.csv", ["n", "t"])], "gzip") as writer:
            for start in range(0, len(lines), step):
                writer.write(lines.slice(start, step))

    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert len(read(tmp_path / "a.csv.gz")) > csvfiles._PIECE


def test_header_cells_are_quoted_and_a_file_without_rows_has_its_header(tmp_path):
    out = OutputDir(tmp_path)
    with csv_files(out, [("a.csv", [":ID", "ME, left:boolean"])], None):
        pass

    assert (tmp_path / "a.csv").read_text() == ':ID,"ME, left:boolean"\n'
    assert out.written["a.csv"].rows == 0


def names(root):
    return sorted(path.name for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("compress", [None, "gzip"])
def test_a_failure_leaves_no_file_and_no_record(tmp_path, compress, monkeypatch):
    monkeypatch.setattr(csvfiles, "_SMALLEST_PIECE", 1)
    monkeypatch.setattr(csvfiles, "_BUFFERS", 1)
    out = OutputDir(tmp_path)

    def begin_and_fail():
        with csv_files(out, [("a.csv", ["x"]), ("b.csv", ["x"])], compress) as writer:
            for _ in range(20):
                writer.write(pa.array(["1\n"]))
            assert names(tmp_path)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin_and_fail()

    assert names(tmp_path) == []
    assert out.written == {}


def test_a_refused_name_takes_back_the_files_named_before(tmp_path):
    out = OutputDir(tmp_path)
    (tmp_path / "b.csv").mkdir()

    with pytest.raises(OutputError, match="b.csv"), csv_files(out, [("a.csv", ["x"]), ("b.csv", ["x"])], None):
        pass

    assert names(tmp_path) == []
    assert out.written == {}


def test_a_full_disk_is_said_with_the_file(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(csvfiles, "FileIO", type("Full", (csvfiles.FileIO,), {"write": full}))
    with (
        pytest.raises(OutputError, match="no space left for .*a.csv"),
        csv_files(OutputDir(tmp_path), [("a.csv", ["x"])], None),
    ):
        pass

    assert names(tmp_path) == []


def test_files_are_claimed_before_anything_of_them_exists(tmp_path):
    seen = []
    out = OutputDir(tmp_path / "out", on_claim=lambda relative: seen.append((relative, (tmp_path / "out").exists())))
    with csv_files(out, [("n/a.csv", ["x"])], "gzip"):
        pass

    assert seen == [("n/a.csv.gz", False)]


def test_the_leftover_of_a_killed_process_with_the_same_number_is_overwritten(tmp_path):
    out = OutputDir(tmp_path)
    csvfiles.partial_path(tmp_path / "a.csv").write_text("left over")
    with csv_files(out, [("a.csv", ["x"])], None) as writer:
        writer.write(pa.array(["1\n"]))

    assert (tmp_path / "a.csv").read_text() == "x\n1\n"


def test_a_null_record_is_a_bug(tmp_path):
    with pytest.raises(AssertionError), csv_files(OutputDir(tmp_path), [("a.csv", ["x"])], None) as writer:
        writer.write(pa.array([None, "1\n"]))
