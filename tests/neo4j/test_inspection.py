"""The inspect command, on a finished database."""

import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

from tests.neo4j.conftest import local, run
from tests.neo4j.tiny_neuprint import BIG_BODY, write_snapshot


def inspect_command(snapshot, version):
    return [
        sys.executable,
        "-m",
        "flyem_snapshot.cli.inspect_database",
        str(snapshot),
        "--memory",
        "2GB",
        *local(version),
    ]


def test_queries_are_answered_and_nothing_can_be_written(imported):
    version, snapshot = imported
    done = run(inspect_command(snapshot, version), "MATCH (n:Neuron) RETURN n.bodyId;\nCREATE (n:Neuron);\n")
    assert str(BIG_BODY) in done.stdout
    assert "read-only" in done.stderr
    assert done.returncode == 1  # the second query failed


def wait_for_server(address):
    last = time.monotonic() + 120
    while True:
        try:
            socket.create_connection((address.hostname, address.port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < last
            time.sleep(0.1)
        else:
            return


def test_a_closed_terminal_or_ctrl_c_stops_the_server(imported):
    version, snapshot = imported
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(inspect_command(snapshot, version), text=True, **pipes) as process:
        while "at bolt://" not in (line := process.stderr.readline()):
            assert line
        wait_for_server(urlsplit(line.split()[-1]))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert not list(snapshot.glob(".flyem-snapshot*"))
    again = time.monotonic()
    done = run(inspect_command(snapshot, version), "RETURN 'once ' + 'more';\n")
    assert "once more" in done.stdout, f"{done.stderr} after {time.monotonic() - again} s"


def test_a_snapshot_without_a_database_is_refused(tmp_path):
    done = run(inspect_command(write_snapshot(tmp_path / "s"), "5.26"))
    assert done.returncode == 1
    assert "there is no finished database" in done.stderr
