"""Import a finished neuPrint folder into a Neo4j database, beside it, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from flyem_snapshot import __version__
from flyem_snapshot.connectome import neuprint_files as names
from flyem_snapshot.errors import DataError, OutputError
from flyem_snapshot.log import format_bytes, timed
from flyem_snapshot.neo4j.command import DATABASE, Version, argument_file, delivered_settings, import_arguments
from flyem_snapshot.neo4j.files import import_files, link_files
from flyem_snapshot.neo4j.headers import Disguise, disguise_for, restore_names
from flyem_snapshot.neo4j.machine import Machine
from flyem_snapshot.neo4j.outcome import STATES_SCRIPT, Outcome, check_import, importer_progress, read_outcome
from flyem_snapshot.neo4j.runtimes import Action, Runtime
from flyem_snapshot.neo4j.workplace import (
    DATABASE_FOLDER,
    LOGS_FOLDER,
    alone,
    deliver,
    free_port,
    plain_places,
    remove_leftovers,
    work_folder,
    write_settings,
)

logger = logging.getLogger(__name__)

NOTE: Final = "ingest.json"
"""In the finished folder: which Neo4j made it, and what is in it."""

_PROGRAM: Final = Path(__file__).parent
_INTERVAL: Final = 10.0
"""Seconds between two lines of progress."""

_GRACE: Final = 90.0
"""Seconds for a server to stop."""


@dataclass(frozen=True)
class Ingestion:
    """One import: the snapshot, what runs Neo4j, and where it works meanwhile (None: /scratch, or the snapshot)."""

    snapshot: Path
    version: Version
    runtime: Runtime
    machine: Machine
    scratch: Path | None = None
    overwrite: bool = False


def ingest(job: Ingestion) -> Outcome:
    """Make DIR/neo4j from DIR/neuprint; logs are kept in DIR/neo4j-logs.

    Raises DataError if an entry cannot be imported or an index not be made, OutputError if there is a database already
    or somebody else works on it.
    """
    logs = job.snapshot / LOGS_FOLDER
    with _prepared(job) as prepared:
        work = prepared.work
        check_import(logs, _run(job, prepared, "import"))
        database = work / "data" / "databases" / DATABASE
        if not database.is_dir():
            raise DataError("Neo4j made its database elsewhere", file=logs / "import.log")
        mended = restore_names(database, prepared.disguise) if prepared.disguise else frozenset()
        outcome = read_outcome(logs, _run(job, prepared, "finish"), mended)
        logger.info(
            "imported %s nodes and %s relationships; %s indexes are online",
            f"{outcome.nodes:,}", f"{outcome.relationships:,}", len(outcome.indexes),
        )  # fmt: skip
        made = work / "made"
        (made / "conf").mkdir(parents=True)
        (work / "data").rename(made / "data")
        (made / "conf" / "neo4j.conf").write_text(delivered_settings(job.version))
        (made / NOTE).write_text(json.dumps(_note(job, outcome), indent=2, ensure_ascii=False) + "\n")
        size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
        with timed(f"putting the database ({format_bytes(size)}) into {job.snapshot / DATABASE_FOLDER}"):
            deliver(made, job.snapshot)
    return outcome


def debug_shell(job: Ingestion) -> int:
    """Prepare everything for an import, and open a shell where it would run; returns the shell's exit code."""
    with _prepared(job) as prepared:
        command = job.runtime.command("debug", job.version, prepared.places, prepared.port)
        return subprocess.run(command, check=False).returncode


@dataclass(frozen=True)
class _Prepared:
    """All that an import needs: its folder, the runtime's places, a port, the lock, and what headers need."""

    work: Path
    places: dict[str, Path]
    port: int
    lock: int
    disguise: Disguise | None


@contextlib.contextmanager
def _prepared(job: Ingestion) -> Iterator[_Prepared]:
    """Check the snapshot, lock it, and lay out the work folder."""
    snapshot = job.snapshot
    folder = snapshot / names.FOLDER
    if not folder.is_dir():
        raise DataError("there is no folder neuprint in it", file=snapshot, hint="name the directory of a snapshot")
    files = import_files(folder)
    script = folder / names.INDEXES
    if not script.is_file():
        raise DataError("there is no such file", file=script)
    disguise = None if job.version == "4.4" else disguise_for(file.path for file in files)
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(alone(snapshot))
        work = stack.enter_context(work_folder(job.scratch, snapshot))
        remove_leftovers(snapshot)
        if (snapshot / DATABASE_FOLDER).exists() and not job.overwrite:
            raise OutputError(
                f"{snapshot / DATABASE_FOLDER} exists", hint="give --overwrite to replace it, or remove it yourself"
            )
        logs = snapshot / LOGS_FOLDER
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir()
        places = stack.enter_context(plain_places(_places(job, work, logs)))
        seen = job.runtime.inside(places)
        linked = link_files(files, folder, seen["snapshot"], work / "input", disguise)
        arguments = import_arguments(linked, job.version, job.machine, seen["logs"] / "import.report")
        (work / "import.args").write_text(argument_file(arguments), encoding="utf-8")
        shutil.copyfile(script, work / "indexes.cypher")
        (work / "states.cypher").write_text(STATES_SCRIPT)
        logger.info(
            "%s files into Neo4j %s (%s), with %s of memory and %s processors",
            f"{len(files):,}", job.version, job.runtime.image or job.runtime.home,
            format_bytes(job.machine.memory), job.machine.processors,
        )  # fmt: skip
        port = free_port()
        folders = {name: seen["work"] / name for name in ("data", "import", "run")} | {"logs": seen["logs"]}
        write_settings(work, job.version, job.machine, port, folders)
        yield _Prepared(work, places, port, lock, disguise)


def _places(job: Ingestion, work: Path, logs: Path) -> dict[str, Path]:
    return {"program": _PROGRAM, "snapshot": job.snapshot / names.FOLDER, "work": work, "logs": logs}


def _run(job: Ingestion, prepared: _Prepared, action: Action) -> int:
    """Run the inner script to its end and return its exit code; tells how far it is."""
    logs = job.snapshot / LOGS_FOLDER
    process = subprocess.Popen(
        job.runtime.command(action, job.version, prepared.places, prepared.port),
        stdin=subprocess.PIPE,  # closed by our death too, which is how the inner script knows of it
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        pass_fds=(prepared.lock,),
    )
    assert process.stdin
    assert process.stdout
    reader = threading.Thread(target=_follow, args=(process.stdout, logs / "console.log"), daemon=True)
    reader.start()
    try:
        _watch(process, logs)
    finally:
        process.stdin.close()
        _end(process)
    reader.join(timeout=5)
    return process.returncode


def _follow(lines: IO[str], log: Path) -> None:
    """Say what the inner script is doing; keep all that the runtime prints."""
    with log.open("a", encoding="utf-8") as file:
        for line in lines:
            file.write(line)
            file.flush()
            if line.startswith("step: "):
                logger.info("%s", line.removeprefix("step: ").rstrip())


def _watch(process: subprocess.Popen[str], logs: Path) -> None:
    last, told = time.monotonic(), ""
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
        if time.monotonic() - last >= _INTERVAL:
            last = time.monotonic()
            now = importer_progress(logs)
            if now and now != told:
                logger.info("%s", now)
            told = now


def _end(process: subprocess.Popen[str]) -> None:
    """Let what was interrupted stop its server; what does not is killed."""
    if process.poll() is not None:
        return
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _note(job: Ingestion, outcome: Outcome) -> dict[str, str | int | Sequence[str]]:
    return {
        "neo4j": job.version,
        "image": job.runtime.image,
        "nodes": outcome.nodes,
        "relationships": outcome.relationships,
        "indexes": outcome.indexes,
        "flyem-snapshot": __version__,
    }
