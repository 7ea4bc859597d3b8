"""A final name only ever holds a complete, durable file, and what was written is known."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather

from flyem_snapshot.engine import outdir
from flyem_snapshot.engine.outdir import FileRecord, OutputDir, file_digest, output_errors, replace_atomically
from flyem_snapshot.errors import OutputError

TEXT = "weights\n"


@pytest.fixture
def out(tmp_path):
    return OutputDir(tmp_path / "out")


def write_half(out, error):
    """Begin `a.txt`, then fail."""
    with out.create("a.txt") as path:
        path.write_text("ha")
        raise error


def names(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_file_appears_only_when_it_is_complete(out):
    with out.create("tables/a.txt", rows=1) as path:
        path.write_text(TEXT)
        assert path.parent == out.path("tables"), "a rename must not cross file systems"
        assert not out.path("tables/a.txt").exists()
        assert out.written == {}

    assert out.path("tables/a.txt").read_text() == TEXT
    assert names(out.root) == ["tables/a.txt"]
    assert out.written == {"tables/a.txt": FileRecord(8, xxhash.xxh3_64_hexdigest(TEXT.encode()), 1)}


def test_an_error_leaves_nothing_behind(out):
    with pytest.raises(ZeroDivisionError):
        write_half(out, ZeroDivisionError())

    assert names(out.root) == []
    assert out.written == {}


def test_an_error_leaves_the_older_file_as_it_was(out):
    out.write_text("a.txt", "old")
    before = dict(out.written)

    with pytest.raises(KeyboardInterrupt):
        write_half(out, KeyboardInterrupt())

    assert out.path("a.txt").read_text() == "old"
    assert out.written == before


def test_a_file_that_was_never_written_is_an_error(out):
    with pytest.raises(FileNotFoundError), out.create("a.txt"):
        pass

    assert names(out.root) == []


def test_a_file_is_claimed_before_anything_of_it_exists(tmp_path):
    seen = []
    out = OutputDir(tmp_path / "out", lambda relative: seen.append((relative, (tmp_path / "out" / "x").exists())))

    with out.create("x/a.txt") as path:
        assert seen == [("x/a.txt", False)]
        path.write_text(TEXT)


def test_content_reaches_the_disk_before_the_name_and_the_name_before_the_record(out, monkeypatch):
    steps = []
    kinds = {True: "directory", False: "file"}
    fsync, replace = os.fsync, os.replace

    def recording_fsync(handle):
        target = Path(f"/proc/self/fd/{handle}").readlink()
        steps.append(f"fsync {kinds[target.is_dir()]}")
        fsync(handle)

    def recording_replace(source, target):
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)

    out.write_text("a.txt", TEXT)
    assert steps == ["fsync file", "rename", "fsync directory"]

    steps.clear()
    replace_atomically(out.path("b.txt"), lambda path: path.write_text(TEXT))
    assert steps == ["fsync file", "rename", "fsync directory"]


def test_rows_may_be_noted_later(out):
    out.write_text("a.txt", TEXT)
    out.set_rows("a.txt", 12)

    assert out.written["a.txt"] == FileRecord(8, xxhash.xxh3_64_hexdigest(TEXT.encode()), 12)


@given(st.binary(max_size=200))
def test_the_digest_is_that_of_the_whole_content(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "digested"
    path.write_bytes(content)

    assert file_digest(path) == xxhash.xxh3_64_hexdigest(content)


def test_the_digest_of_a_file_larger_than_one_step(tmp_path):
    content = bytes(range(256)) * (1 << 17)  # 32 MiB
    (tmp_path / "large").write_bytes(content)

    assert file_digest(tmp_path / "large") == xxhash.xxh3_64_hexdigest(content)


def test_text_is_utf8_with_unix_line_ends(out):
    out.write_text("a.txt", "Ω\n")
    out.write_json("a.json", {"b": "Ω", "a": [1]})

    assert out.path("a.txt").read_bytes() == b"\xce\xa9\n"
    assert out.path("a.json").read_text(encoding="utf-8") == '{\n  "b": "Ω",\n  "a": [\n    1\n  ]\n}\n'


def test_a_pandas_table_comes_back_and_its_rows_are_noted(out):
    frame = pd.DataFrame({"body": [2**53 + 1, 7], "type": ["a", None]})

    out.feather_from_pandas("tables/a.feather", frame)

    pd.testing.assert_frame_equal(feather.read_feather(out.path("tables/a.feather")), frame)
    assert out.written["tables/a.feather"].rows == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_the_users_to_mend(out, number):
    with pytest.raises(OutputError, match=r"no space left for .*a\.txt") as caught:
        write_half(out, OSError(number, os.strerror(number)))

    assert "free some space" in caught.value.hint
    assert names(out.root) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_forbidden_place_is_the_users_to_mend(out, number):
    with pytest.raises(OutputError, match=r"cannot write .*a\.txt") as caught:
        write_half(out, OSError(number, os.strerror(number)))

    assert "choose another job-settings.output-dir" in caught.value.hint


def test_a_file_where_a_directory_should_be(tmp_path):
    (tmp_path / "out").write_text("not a directory")

    with pytest.raises(OutputError, match=r"cannot write .*out"):
        OutputDir(tmp_path / "out").write_text("a.txt", TEXT)


def test_a_directory_where_a_file_should_be(out):
    out.path("a.txt").mkdir(parents=True)

    with pytest.raises(OutputError, match=r"cannot write .*a\.txt"):
        out.write_text("a.txt", TEXT)


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(OSError, match="Input/output error") as caught, output_errors(tmp_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    assert not isinstance(caught.value, OutputError)


FULL_DISK = """
import resource, sys
from pathlib import Path
import pyarrow as pa
from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.engine.streams import write_feather, write_parquet
from flyem_snapshot.errors import OutputError

resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
write = {"feather": write_feather, "parquet": write_parquet}.get(sys.argv[2])
batch = pa.record_batch({"id": pa.array(range(100_000))})
out = OutputDir(Path(sys.argv[1]))
try:
    with out.create("table") as path:
        if write:
            write(path, batch.schema, [batch])
        else:
            path.write_bytes(bytes(100_000))
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("writer", ["plain", "feather", "parquet"])
def test_a_real_refusal_by_the_system_while_writing(tmp_path, writer):
    # The largest file size a process may write is refused by the kernel as a full disk is, midway in a file.
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "out"), writer]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)

    assert finished.stdout.startswith("no space left for "), finished.stderr
    assert "free some space" in finished.stdout
    assert list((tmp_path / "out").iterdir()) == []


def test_the_temporary_name_is_marked_and_hidden(tmp_path):
    assert outdir.partial_path(tmp_path / "a.txt") == tmp_path / f".a.txt.partial-{os.getpid()}"
