"""The folder in which Neo4j works before its database is finished, and who may work in a snapshot at a time."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flyem_snapshot.engine.outdir import fsync_directory, output_errors
from flyem_snapshot.errors import OutputError
from flyem_snapshot.neo4j.command import Version, server_settings
from flyem_snapshot.neo4j.machine import Machine, mebibytes

DATABASE_FOLDER: Final = "neo4j"
LOGS_FOLDER: Final = "neo4j-logs"
DEFAULT_SCRATCH: Final = Path("/scratch")
_LOCK: Final = ".neo4j-lock"
_PARTIAL: Final = ".neo4j-partial"
_OLD: Final = ".neo4j-old"
_PLAIN: Final = re.compile(r"[A-Za-z0-9/._+@-]+")
_PATIENCE: Final = 60.0
"""Seconds for the remains of a killed run to end by themselves."""


@contextmanager
def alone(snapshot: Path, patience: float = _PATIENCE) -> Iterator[int]:
    """Be the only one who works on the snapshot's database; yields the lock's file descriptor for child processes.

    The kernel drops the lock when the last of these processes has ended.  Raises OutputError if somebody else has it.
    """
    with output_errors(snapshot):
        handle = os.open(snapshot / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        last = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > last:
                    raise OutputError(
                        f"another process works on the database in {snapshot}", hint="wait for it, or end it"
                    ) from None
                time.sleep(0.2)
        yield handle
    finally:
        os.close(handle)


@contextmanager
def work_folder(scratch: Path | None, snapshot: Path) -> Iterator[Path]:
    """A fresh folder for one snapshot in the scratch directory, removed in the end.

    The default scratch directory is /scratch where it can be used, otherwise the snapshot itself.  What a killed run
    left is removed: the name follows from the snapshot's path, and the caller holds its lock.
    """
    if scratch is None:
        usable = DEFAULT_SCRATCH.is_dir() and os.access(DEFAULT_SCRATCH, os.W_OK | os.X_OK)
        scratch = DEFAULT_SCRATCH if usable else snapshot
    digest = hashlib.sha256(os.fsencode(snapshot)).hexdigest()[:12]
    folder = scratch.resolve() / f".flyem-snapshot-neo4j-{digest}"
    with output_errors(folder):
        scratch.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
        for name in ("conf", "data", "import", "input", "run", "tmp"):
            (folder / name).mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def plain_places(places: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """The places, or links to them if a path is one that neo4j.conf cannot hold; the links go in the end."""
    if all(_PLAIN.fullmatch(str(path)) for path in places.values()):
        yield dict(places)
        return
    with tempfile.TemporaryDirectory(prefix="flyem-snapshot-neo4j-") as folder:
        links = {name: Path(folder, name) for name in places}
        for name, link in links.items():
            link.symlink_to(places[name])
        yield links


def write_settings(
    work: Path, version: Version, machine: Machine, port: int, folders: dict[str, Path], more: str = ""
) -> None:
    """Write what the inner script and the server read: conf/neo4j.conf and heap."""
    (work / "conf" / "neo4j.conf").write_text(server_settings(version, folders, machine, port) + more)
    (work / "heap").write_text(mebibytes(machine.heap))


def free_port() -> int:
    """A port on the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def deliver(made: Path, snapshot: Path) -> None:
    """Put the folder `made` into the snapshot as `neo4j`: it appears whole, in place of an older one."""
    final, partial, old = (snapshot / name for name in (DATABASE_FOLDER, _PARTIAL, _OLD))
    with output_errors(final):
        remove_leftovers(snapshot)
        if made.stat().st_dev == snapshot.stat().st_dev:
            made.rename(partial)
        else:
            shutil.copytree(made, partial)
        _flush(partial)
        if final.exists():
            final.rename(old)
        partial.rename(final)
        fsync_directory(snapshot)
        remove_leftovers(snapshot)


def remove_leftovers(snapshot: Path) -> None:
    """Remove what a killed run left, and put back the database that it was about to replace."""
    final, partial, old = (snapshot / name for name in (DATABASE_FOLDER, _PARTIAL, _OLD))
    if old.exists() and not final.exists():
        old.rename(final)
    for path in (partial, old):
        if path.exists():
            shutil.rmtree(path)


def _flush(folder: Path) -> None:
    """Make files and folders below survive a power cut."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            fsync_directory(path)
        elif path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
