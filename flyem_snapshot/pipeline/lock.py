"""One run per output directory."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from flyem_snapshot.engine.outdir import output_errors
from flyem_snapshot.errors import OutputError

LOCK_NAME: Final = ".lock"
_UNSUPPORTED: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@dataclass(frozen=True)
class Holder:
    """Who runs in an output directory: host, process id, and since when (ISO time)."""

    host: str
    pid: int
    since: str

    @classmethod
    def myself(cls) -> Holder:
        """This process, now."""
        return cls(socket.gethostname(), os.getpid(), datetime.now(UTC).astimezone().isoformat(timespec="seconds"))

    @classmethod
    def read(cls, path: Path) -> Holder | None:
        """Who wrote a lock file; None if it says nothing sensible."""
        try:
            content = json.loads(path.read_text())
            return cls(str(content["host"]), int(content["pid"]), str(content["since"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def may_be_alive(self) -> bool:
        """Whether the process still runs; always true of another host, which cannot be asked."""
        if self.host != socket.gethostname():
            return True
        if self.pid == os.getpid():
            return False  # the number of a dead process, given to us
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Create the output directory and its `cache/`, and be the only run in it during the `with` block.

    The kernel holds the lock (flock) and drops it when the process dies, so a dead holder is taken over at once.
    On a file system without flock a file named after it decides, by host and process id.
    Raises OutputError if the directory cannot be written or another run is in it.
    """
    path = root / "cache" / LOCK_NAME
    with output_errors(root):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, FileNotFoundError) as error:
            # Below a file, or in a file system of the kernel's own: for the user all the same.
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from error
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _refusal(root, Holder.read(path)) from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            with _locked_by_name(root, path.with_name(f"{LOCK_NAME}-holder")):
                yield
        else:
            with output_errors(root):
                _say(handle, Holder.myself())
            try:
                yield
            finally:
                os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _say(handle: int, holder: Holder) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(asdict(holder)).encode(), 0)


@contextmanager
def _locked_by_name(root: Path, path: Path) -> Iterator[None]:
    """A lock by the existence of a file, for file systems that have no other."""
    holder = Holder.read(path)
    if path.exists() and (holder is None or holder.may_be_alive()):
        raise _refusal(root, holder, remove=path)
    path.unlink(missing_ok=True)
    with output_errors(root):
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            raise _refusal(root, Holder.read(path), remove=path) from None
        try:
            _say(handle, Holder.myself())
        finally:
            os.close(handle)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _refusal(root: Path, holder: Holder | None, remove: Path | None = None) -> OutputError:
    who = f"process {holder.pid} on {holder.host}, since {holder.since}" if holder else "an unknown process"
    stop = f"stop it (on {holder.host}: kill {holder.pid})" if holder else "stop it"
    gone = f"; if it is certainly gone, remove {remove}" if remove else ""
    return OutputError(
        f"another run is writing to {root}: {who}",
        hint=f"wait for it, {stop}, or set another job-settings.output-dir{gone}",
    )
