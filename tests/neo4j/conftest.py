"""Databases that are made once for all tests of this folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import neo4j
import pytest

from tests import neo4j_homes
from tests.neo4j.tiny_neuprint import write_snapshot

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def ingest_command(snapshot: Path, version: str, *options: object) -> list[str]:
    module = [sys.executable, "-m", "flyem_snapshot.cli.ingest", str(snapshot)]
    return [*module, "--neo4j-version", version, "--memory", "2GB", *map(str, options)]


def local(version: str) -> list[str]:
    return ["--runtime", "local", "--neo4j-home", str(neo4j_homes.home(version))]


def run(command: list[str], stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="session", params=neo4j_homes.VERSIONS)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Version and snapshot: 4.4 made from gzipped files, 5.26 in a folder with an odd name."""
    version = request.param
    name = "plain" if version == "4.4" else "odd (x), = 'y' \\ µ"
    snapshot = write_snapshot(tmp_path_factory.mktemp("snapshots") / name, compress=version == "4.4")
    done = run(ingest_command(snapshot, version, *local(version)))
    assert done.returncode == 0, done.stdout + done.stderr
    return version, snapshot


@pytest.fixture(scope="module")
def session(imported: tuple[str, Path]) -> Iterator[neo4j.Session]:
    """A session with the database, started from DIR/neo4j as a user would deploy it; one module at a time."""
    version, snapshot = imported
    with (
        neo4j_homes.running(version, snapshot / "neo4j" / "data") as address,
        neo4j.GraphDatabase.driver(address, auth=None) as driver,
        driver.session(database="data") as session,
    ):
        yield session
