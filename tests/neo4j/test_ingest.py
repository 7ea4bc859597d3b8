"""The ingest command: what it refuses, how it fails, and what a killed run leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import neo4j_homes
from tests.neo4j import standin
from tests.neo4j.conftest import ingest_command, local, run
from tests.neo4j.tiny_neuprint import write, write_snapshot


def state(snapshot):
    return {path.name for path in snapshot.iterdir()}


@pytest.mark.parametrize("version", neo4j_homes.VERSIONS)
def test_a_dangling_relationship_fails_loudly_and_leaves_no_database(version, tmp_path):
    snapshot = write_snapshot(tmp_path / "s", optional=False)
    write(snapshot, "Neuprint_Synapse_Connections.csv", ":START_ID(Element-ID),:END_ID(Element-ID)\n1,2\n")
    done = run(ingest_command(snapshot, version, *local(version)))
    assert done.returncode == 1
    assert "import.log: neo4j-admin could not import the CSV files" in done.stderr
    assert "1 (Element-ID)-[SynapsesTo]->2 (Element-ID) referring to missing node 1" in done.stderr
    assert state(snapshot) == {"neuprint", "neo4j-logs", ".neo4j-lock"}


def test_a_duplicate_node_fails_loudly(tmp_path):
    snapshot = write_snapshot(tmp_path / "s", optional=False)
    write(snapshot, "Neuprint_Neurons/2.csv", ":ID(Body-ID),bodyId:long,:LABEL\n11,11,Segment\n")
    done = run(ingest_command(snapshot, "5.26", *local("5.26")))
    assert done.returncode == 1
    assert "Id '11' is defined more than once" in done.stderr
    assert not (snapshot / "neo4j").exists()


def test_a_broken_index_script_fails_loudly_and_leaves_no_database(tmp_path):
    snapshot = write_snapshot(tmp_path / "s", optional=False)
    write(snapshot, "create-indexes.cypher", "CREATE INDEX ok FOR (n:A) ON (n.b);\nCREATE NONSENSE;\n")
    done = run(ingest_command(snapshot, "5.26", *local("5.26")))
    assert done.returncode == 1
    assert "create-indexes.cypher failed" in done.stderr
    assert "NONSENSE" in done.stderr
    assert state(snapshot) == {"neuprint", "neo4j-logs", ".neo4j-lock"}


def test_a_killed_run_is_in_nobodys_way_and_the_next_may_run_in_a_container(tmp_path):
    snapshot = write_snapshot(tmp_path / "s", optional=False)
    killed = subprocess.Popen(ingest_command(snapshot, "5.26", *local("5.26")), stdout=subprocess.DEVNULL)
    last = time.monotonic() + 120
    while "started 20" not in text(snapshot / "neo4j-logs" / "import.log"):
        assert killed.poll() is None
        assert time.monotonic() < last
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    assert any(name.startswith(".flyem-snapshot-neo4j-") for name in state(snapshot))

    programs = tmp_path / "bin"
    programs.mkdir()
    standin.install(programs, neo4j_homes.home("5.26"))
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = run(ingest_command(snapshot, "5.26"), PATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "docker://neo4j:5.26-community" in done.stdout
    assert state(snapshot) == {"neuprint", "neo4j", "neo4j-logs", ".neo4j-lock"}
    assert f"data:         {Path('/', 'work', 'data')}" in text(snapshot / "neo4j-logs" / "server.log")


def test_ctrl_c_ends_everything_and_leaves_no_database(tmp_path):
    snapshot = write_snapshot(tmp_path / "s", optional=False)
    command = ingest_command(snapshot, "5.26", *local("5.26"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while "importing" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert state(snapshot) == {"neuprint", "neo4j-logs", ".neo4j-lock"}


def text(path):
    return path.read_text() if path.exists() else ""


def test_a_finished_database_is_kept_unless_overwriting_is_asked_for(imported):
    version, snapshot = imported
    note = snapshot / "neo4j" / "ingest.json"
    before = note.stat().st_mtime_ns
    done = run(ingest_command(snapshot, version, *local(version)))
    assert done.returncode == 1
    assert "neo4j exists" in done.stderr
    assert "--overwrite" in done.stderr
    assert note.stat().st_mtime_ns == before


def test_a_folder_that_is_no_snapshot_is_refused(tmp_path):
    done = run(ingest_command(tmp_path, "4.4", *local("4.4")))
    assert done.returncode == 1
    assert "there is no folder neuprint in it" in done.stderr
    assert not list(tmp_path.iterdir())


def test_help_is_quick(tmp_path):
    for module in ("ingest", "inspect_database"):
        quickest = min(seconds([sys.executable, "-m", f"flyem_snapshot.cli.{module}", "--help"]) for _ in range(3))
        assert quickest < 0.3


def seconds(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start
