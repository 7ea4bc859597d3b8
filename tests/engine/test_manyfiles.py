"""Thousands of small files at once, and the journal by which a killed run goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyem_snapshot.engine.manyfiles import Done, open_journal, write_files
from flyem_snapshot.engine.outdir import FileRecord, OutputDir, file_digest
from flyem_snapshot.errors import OutputError


def test_a_batch_is_written_recorded_and_leaves_no_temporary_file(tmp_path):
    out = OutputDir(tmp_path)
    stored = write_files(out, {"a/1": b"one", "a/2:0": b"", "b/c/3.swc": b"three"})

    files = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {"a/1": b"one", "a/2:0": b"", "b/c/3.swc": b"three"}
    assert out.written == {name: FileRecord(len(c), file_digest(tmp_path / name)) for name, c in files.items()}
    assert {name: file.record for name, file in stored.items()} == out.written


def test_files_are_claimed_before_anything_of_them_exists(tmp_path):
    seen = []

    def claim(*relatives):
        seen.append((relatives, list(tmp_path.iterdir())))

    write_files(OutputDir(tmp_path, claim), {"a/1": b"one", "a/2": b"two"})
    assert seen == [(("a/1", "a/2"), [])]


def test_a_batch_that_cannot_be_written_says_so_and_leaves_no_temporary_file(tmp_path):
    (tmp_path / "a" / "2").mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot write"):
        write_files(OutputDir(tmp_path), {"a/1": b"one", "a/2": b"two"})

    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_stored_file_stands_until_it_is_replaced(tmp_path):
    stored = write_files(OutputDir(tmp_path), {"1": b"one"})["1"]
    assert stored.stands(tmp_path / "1")

    shutil.copy(tmp_path / "1", tmp_path / "copy")
    assert stored.stands(tmp_path / "copy"), "a copy of the directory is as good"

    write_files(OutputDir(tmp_path), {"1": b"eno"})
    assert not stored.stands(tmp_path / "1"), "of equal size, but another's"
    (tmp_path / "1").unlink()
    assert not stored.stands(tmp_path / "1")
    (tmp_path / "1").write_bytes(b"long")
    assert not stored.stands(tmp_path / "1")


def test_a_journal_remembers_what_was_added(tmp_path):
    stored = write_files(OutputDir(tmp_path), {"x/1": b"one", "x/ü": b"two"})
    with open_journal(tmp_path / "j", {"uuid": "abc"}) as journal:
        journal.add({"1_swc": Done(files=stored), "2_swc": Done("missing")})
    with open_journal(tmp_path / "j", {"uuid": "abc"}) as journal:
        assert journal.done == {"1_swc": Done(files=stored), "2_swc": Done("missing")}
        journal.add({"3_swc": Done("missing")})
    with open_journal(tmp_path / "j", {"uuid": "abc"}) as journal:
        assert list(journal.done) == ["1_swc", "2_swc", "3_swc"]


def test_a_journal_of_other_things_is_begun_anew(tmp_path):
    with open_journal(tmp_path / "j", {"uuid": "abc"}) as journal:
        journal.add({"1": Done()})
    with open_journal(tmp_path / "j", {"uuid": "def"}) as journal:
        assert not journal.done
        journal.add({"2": Done()})
    with open_journal(tmp_path / "j", {"uuid": "def"}) as journal:
        assert list(journal.done) == ["2"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_wherever_a_journal_is_torn_what_came_before_counts_and_it_can_go_on(tmp_path, data):
    path = tmp_path / "j"
    path.unlink(missing_ok=True)
    ends = []
    with open_journal(path, ["who", 1]) as journal:
        ends.append(path.stat().st_size)
        for number in range(4):
            journal.add({str(number): Done("missing\n")})
            ends.append(path.stat().st_size)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    junk = data.draw(st.binary(max_size=5))
    path.write_bytes(content[:cut] + junk)
    whole = max(0, sum(end <= cut for end in ends) - 1)
    if (content[:cut] + junk).startswith(content[: min(len(content), cut + len(junk))]):
        return  # the junk is what had been there
    for _ in range(2):
        with open_journal(path, ["who", 1]) as journal:
            assert list(journal.done)[:whole] == [str(number) for number in range(whole)]
            assert "new" not in journal.done or _
            journal.add({"new": Done()})


KILLED = """
import os, signal, sys
from pathlib import Path
from flyem_snapshot.engine.manyfiles import Done, open_journal, write_files
from flyem_snapshot.engine.outdir import OutputDir
root = Path(sys.argv[1])
with open_journal(root / "j", 1) as journal:
    for number in range(5):
        journal.add({str(number): Done(files=write_files(OutputDir(root), {f"f/{number}": b"x" * 100}))})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_added_survives_a_kill(tmp_path):
    finished = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, env=os.environ)
    assert finished.returncode == -signal.SIGKILL

    with open_journal(tmp_path / "j", 1) as journal:
        assert list(journal.done) == ["0", "1", "2", "3", "4"]
        assert all(f.stands(Path(tmp_path, name)) for done in journal.done.values() for name, f in done.files.items())
