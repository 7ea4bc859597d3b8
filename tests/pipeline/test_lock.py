"""Who may write to an output directory."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flyem_snapshot.errors import OutputError
from flyem_snapshot.pipeline.lock import Holder, locked


@pytest.fixture
def without_flock(monkeypatch):
    """A file system that has no flock, as some network file systems."""

    def refuse(handle, operation):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(fcntl, "flock", refuse)


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_holder_is_named_while_it_holds_and_not_afterwards(tmp_path):
    with locked(tmp_path / "new/out"):
        holder = Holder.read(tmp_path / "new/out/cache/.lock")
        assert holder is not None
        assert (holder.host, holder.pid) == (socket.gethostname(), os.getpid())
        with pytest.raises(OutputError, match=f"another run is writing to .*: process {os.getpid()} on "):
            locked(tmp_path / "new/out").__enter__()
    assert (tmp_path / "new/out/cache/.lock").read_text() == ""
    with locked(tmp_path / "new/out"):
        pass


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"host": "x"}', '{"host": "elsewhere", "pid": 1, "since": "2020"}']
)
def test_what_stands_in_the_lock_file_is_only_a_name(tmp_path, content):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/.lock").write_text(content)
    with locked(tmp_path):
        pass


@pytest.mark.usefixtures("without_flock")
def test_without_flock_a_living_holder_is_respected(tmp_path):
    with locked(tmp_path):
        path = tmp_path / "cache/.lock-holder"
        path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getppid(), "since": "noon"}))
        with pytest.raises(OutputError, match=f"process {os.getppid()} on .*, since noon") as caught:
            locked(tmp_path).__enter__()
        assert caught.value.hint.endswith(f"if it is certainly gone, remove {path}")
    assert not path.exists()


@pytest.mark.usefixtures("without_flock")
def test_without_flock_a_dead_holder_of_this_host_is_taken_over_and_one_elsewhere_is_not(tmp_path):
    (tmp_path / "cache").mkdir()
    path = tmp_path / "cache/.lock-holder"
    for pid in (dead_pid(), os.getpid()):
        path.write_text(json.dumps({"host": socket.gethostname(), "pid": pid, "since": "noon"}))
        with locked(tmp_path):
            pass

    path.write_text(json.dumps({"host": "elsewhere", "pid": dead_pid(), "since": "noon"}))
    with pytest.raises(OutputError, match="on elsewhere, since noon"):
        locked(tmp_path).__enter__()


@pytest.mark.parametrize("below", ["file", "file/cache", "file/deeper/still"])
def test_a_directory_that_cannot_be_made_is_an_output_error(tmp_path, below):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file") as caught:
        locked(tmp_path / below).__enter__()
    assert caught.value.exit_code == 1
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("kernel_directory", ["/proc/flyem-snapshot", "/sys/flyem-snapshot"])
def test_a_file_system_that_takes_no_files_is_an_output_error(kernel_directory):
    with pytest.raises(OutputError, match=f"cannot write {kernel_directory}"):
        locked(Path(kernel_directory)).__enter__()


LOCK_AS_AN_ORDINARY_USER = """
import os, sys
from pathlib import Path
from flyem_snapshot.errors import OutputError
from flyem_snapshot.pipeline.lock import locked
if os.getuid() == 0:  # whom no permission stops
    os.setgid(65534)
    os.setuid(65534)
try:
    locked(Path(sys.argv[1])).__enter__()
except OutputError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("made", ["", "cache"], ids=["an empty directory", "one that has a cache"])
def test_a_directory_without_write_permission_is_an_output_error(made):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / made).mkdir(exist_ok=True)
        (root / made).chmod(0o555)
        root.chmod(0o555)
        command = [sys.executable, "-c", LOCK_AS_AN_ORDINARY_USER, folder]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        root.chmod(0o700)

    assert (result.returncode, result.stderr) == (1, "")
    place = "cache/.lock" if made else "cache"
    assert result.stdout.startswith(f"cannot write {folder}/{place}: Permission denied\n  hint: ")
