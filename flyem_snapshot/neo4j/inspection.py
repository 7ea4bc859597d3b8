"""Start the database of a snapshot for a moment, and ask it with cypher-shell."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flyem_snapshot.errors import DataError
from flyem_snapshot.neo4j.command import VERSIONS, Version, read_only
from flyem_snapshot.neo4j.ingest import NOTE
from flyem_snapshot.neo4j.machine import Machine
from flyem_snapshot.neo4j.runtimes import Runtime
from flyem_snapshot.neo4j.workplace import DATABASE_FOLDER, alone, free_port, plain_places, work_folder, write_settings

logger = logging.getLogger(__name__)


def version_of(snapshot: Path) -> Version:
    """Which Neo4j made DIR/neo4j; raises DataError if there is none, or it does not say."""
    note = snapshot / DATABASE_FOLDER / NOTE
    try:
        found = json.loads(note.read_text(encoding="utf-8"))["neo4j"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "there is no finished database",
            file=note.parent,
            hint="make it with ingest-neuprint-snapshot-using-apptainer",
        ) from error
    if found not in VERSIONS:
        raise DataError(f"was made by Neo4j {found}, which is none of {', '.join(VERSIONS)}", file=note)
    return next(version for version in VERSIONS if version == found)


@dataclass(frozen=True)
class Shell:
    """cypher-shell on a server that is being started for it; the server ends when the shell does.

    `address` is where the server answers Bolt, `log` what it says until then.
    """

    process: subprocess.Popen[bytes]
    address: str
    log: Path


@contextlib.contextmanager
def shell(
    snapshot: Path,
    version: Version,
    runtime: Runtime,
    machine: Machine,
    scratch: Path | None,
    *,
    stdin: int | None = None,
    stdout: int | None = None,
) -> Iterator[Shell]:
    """Start the snapshot's database, read-only, and cypher-shell on it; all of it is stopped at the end of the block.

    `stdin` and `stdout` are the shell's, as for `subprocess.Popen`.
    """
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(alone(snapshot, patience=0))
        work = stack.enter_context(work_folder(scratch, snapshot))
        logs, data = work / "logs", snapshot / DATABASE_FOLDER / "data"
        logs.mkdir()
        program = Path(__file__).parent
        places = stack.enter_context(plain_places({"program": program, "work": work, "logs": logs, "data": data}))
        seen = runtime.inside(places)
        folders = {"logs": seen["logs"], "data": seen["data"]}
        folders |= {name: seen["work"] / name for name in ("import", "run")}
        port = free_port()
        write_settings(work, version, machine, port, folders, read_only(version))
        address = f"bolt://127.0.0.1:{port}"
        logger.info("starting Neo4j %s at %s", version, address)
        command = runtime.command("shell", version, places, port)
        process = subprocess.Popen(command, stdin=stdin, stdout=stdout, pass_fds=(lock,))
        try:
            yield Shell(process, address, logs / "server.log")
        finally:
            if process.stdin:
                process.stdin.close()
            process.terminate()
            with contextlib.suppress(KeyboardInterrupt):  # pressed twice: it is being stopped already
                process.wait()
            process.wait()


def inspect(snapshot: Path, version: Version, runtime: Runtime, machine: Machine, scratch: Path | None) -> int:
    """Open cypher-shell on the snapshot's database, for this process's own input, and return its exit code."""
    with shell(snapshot, version, runtime, machine, scratch) as opened:
        logger.info(":exit, Ctrl-D or Ctrl-C ends it")
        code = opened.process.wait()
        if code == 21:
            lines = opened.log.read_text(encoding="utf-8", errors="replace").splitlines()
            raise DataError("the server did not start: " + "\n  ".join(lines[-5:]), file=snapshot / DATABASE_FOLDER)
        return code
