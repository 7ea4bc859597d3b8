"""`serve-neuprint-snapshot`: its words, its refusals, and a client that does what it says."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import neo4j
import neuprint
import pytest
import requests

from flyem_snapshot.cli.serve import main, parse_arguments
from flyem_snapshot.neo4j.ingest import NOTE
from tests import neo4j_homes
from tests.bridge import graph

TOKEN = "a-token-for-tests"  # noqa: S105 - of nothing
COMMAND = [sys.executable, "-m", "flyem_snapshot.cli.serve"]


def test_help_loads_no_heavy_library():
    script = "import sys; from flyem_snapshot.cli.serve import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    heavy = "print('heavy:', {'neo4j', 'pyarrow', 'pandas', 'cryptography'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script + heavy], capture_output=True, text=True, check=True)
    assert "heavy: set()" in done.stdout
    assert "--bolt URL" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["d", "--tls", "--plain"],
        ["d", "--tls-cert", "c.pem"],
        ["d", "--tls-key", "k.pem"],
        ["d", "--port", "70000"],
        ["d", "--queries", "0"],
        ["d", "--timeout", "-1"],
        ["d", "--timeout", "nan"],
        ["d", "--bolt-user", "me"],
        ["d", "--allow-writes"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments(words)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.fixture
def signals():
    """Leave the signal handlers of the test process as they were."""
    old = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, old)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["{}/none", "--bolt", "bolt://127.0.0.1:1"], 1, "no such directory"),
        (["{}"], 1, "there is no finished database"),
        (["{}", "--bolt", "bolt://127.0.0.1:1"], 1, "is Neo4j running there"),
        (["{}", "--bolt", "gopher://x"], 1, "give a Bolt address"),
    ],
)
def test_what_keeps_it_from_starting_is_said(words, code, expected, tmp_path, capsys):
    assert main([word.format(tmp_path) for word in words]) == code
    assert expected in capsys.readouterr().err


@pytest.fixture(scope="module", params=neo4j_homes.VERSIONS)
def bolt(request, tmp_path_factory):
    with neo4j_homes.running(request.param, tmp_path_factory.mktemp("data")) as url:
        yield url


@pytest.fixture
def filled(bolt):
    graph.fill(bolt)
    return bolt


@contextlib.contextmanager
def serving(*words, **environment):
    """The command in a process of its own, and what it printed before it was ready."""
    command = [*COMMAND, *map(str, words), "--port", "0"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("    print(") or "neuprint-python speaks to https only" in line:
                    break
            yield process, "".join(lines)
        finally:
            process.terminate()


def address_in(printed):
    found = re.search(r"serving tiny:v1.0 at (\S+) ", printed)
    assert found, printed
    return found[1]


def test_the_printed_lines_of_python_work(filled, tmp_path):
    with serving(tmp_path, "--bolt", filled, "--tls-dir", tmp_path / "tls") as (process, printed):
        assert "Meta is sound" in printed
        script = "".join(line.strip() + "\n" for line in printed.splitlines() if line.startswith("    "))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert re.search(r"0\s+1\s+A", done.stdout)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(timeout=30) == 0
    assert rest.endswith("stopped\n")
    assert "POST /api/custom/custom 200" in rest


def test_the_token_is_asked_for_and_never_printed(filled, tmp_path):
    with serving(tmp_path, "--bolt", filled, "--tls-dir", tmp_path, NEUPRINT_BRIDGE_TOKEN=TOKEN) as (process, printed):
        url, verify = address_in(printed), str(tmp_path / "certificate.pem")
        neuprint.Client.DATASETS_CACHE.clear()
        client = neuprint.Client(url, token=TOKEN, verify=verify)
        assert client.fetch_custom("RETURN 1 AS x")["x"].tolist() == [1]
        neuprint.Client.DATASETS_CACHE.clear()
        with pytest.raises(neuprint.client.HTTPError, match="wants a token"):
            neuprint.Client(url, token="another-token", verify=verify)  # noqa: S106 - of nothing
        process.terminate()
        whole = printed + process.stdout.read()
    assert 'os.environ["NEUPRINT_BRIDGE_TOKEN"]' in whole
    assert TOKEN not in whole
    assert "another-token" not in whole


def test_plain_http_says_that_the_client_will_not_take_it(filled, tmp_path):
    with serving(tmp_path, "--bolt", filled, "--plain") as (_, printed):
        assert address_in(printed).startswith("http://localhost:")
        assert "https only" in printed


@pytest.mark.parametrize("version", neo4j_homes.VERSIONS)
def test_without_an_address_it_starts_the_snapshots_own_database(version, tmp_path):
    snapshot = tmp_path / "out"
    (snapshot / "neo4j").mkdir(parents=True)
    (snapshot / "neo4j" / NOTE).write_text(json.dumps({"neo4j": version}))
    with neo4j_homes.running(version, snapshot / "neo4j" / "data") as url:
        graph.fill(url)

    home = ("--neo4j-home", neo4j_homes.home(version), "--memory", "1GiB")
    with serving(snapshot, *home, "--tls-dir", tmp_path / "tls") as (process, printed):
        neuprint.Client.DATASETS_CACHE.clear()
        client = neuprint.Client(address_in(printed), token="any", verify=str(tmp_path / "tls" / "certificate.pem"))  # noqa: S106
        assert client.fetch_custom("MATCH (n:Neuron) RETURN count(n) AS n")["n"].tolist() == [3]
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(timeout=120) == 0
    assert rest.endswith("stopped\n")
    bolt = re.search(r"at bolt://127.0.0.1:(\d+)", printed)[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(bolt)), timeout=5)
    assert sorted(path.name for path in snapshot.iterdir() if path.is_dir()) == ["neo4j"], "nothing is left behind"


@pytest.mark.usefixtures("signals")
def test_other_machines_need_a_token_or_leave(filled, tmp_path, capsys):
    assert main([str(tmp_path), "--bolt", filled, "--host", "0.0.0.0"]) == 1  # noqa: S104 - it must not listen
    assert "--public if that is what you want" in capsys.readouterr().err


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("words", [(), ("--public",)])
def test_other_machines_never_write_without_a_token(filled, tmp_path, capsys, words):
    everywhere = ["--host", "0.0.0.0"]  # noqa: S104 - it must not listen
    assert main([str(tmp_path), "--bolt", filled, "--allow-writes", *everywhere, *words]) == 1
    assert "would let every machine that reaches it write" in capsys.readouterr().err


def test_clients_write_if_they_are_let(filled, tmp_path):
    with serving(tmp_path, "--bolt", filled, "--plain", "--allow-writes") as (_, printed):
        raw = f"{address_in(printed)}/api/raw/cypher/transaction"
        number = requests.post(raw, json={"dataset": "tiny:v1.0"}, timeout=60).json()["transaction_id"]
        query = {"cypher": "MATCH (n:tiny_Segment {bodyId: 1}) SET n.type = 'X' RETURN n.type"}
        assert requests.post(f"{raw}/{number}/cypher", json=query, timeout=60).json()["data"] == [["X"]]
        assert requests.post(f"{raw}/{number}/commit", timeout=60).json() == {"msg": "committed"}
    with neo4j.GraphDatabase.driver(filled, auth=None) as driver:
        assert driver.execute_query("MATCH (n {bodyId: 1}) RETURN n.type").records[0].values() == ["X"]


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize(
    ("cypher", "expected"),
    [
        ("MATCH (n) DETACH DELETE n", "no :Meta node"),
        ("MATCH (m:Meta) REMOVE m.dataset", "Meta.dataset is absent"),
        ("MATCH (m:Meta) SET m.roiInfo = '['", "Meta.roiInfo is absent or no JSON object"),
        ("MATCH (m:Meta) CREATE (n:Meta) SET n = properties(m)", "2 :Meta nodes describe the same dataset 'tiny:v1.0'"),
    ],
)
def test_a_database_that_cannot_be_served_is_refused(bolt, tmp_path, capsys, cypher, expected):
    graph.fill(bolt)
    change(bolt, cypher)
    assert main([str(tmp_path), "--bolt", bolt, "--plain", "--port", "0"]) == 1
    assert expected in capsys.readouterr().err


def test_what_clients_stumble_over_is_said_and_the_rest_is_served(bolt, tmp_path):
    graph.fill(bolt)
    change(bolt, "MATCH (m:Meta) REMOVE m.superLevelRois")
    change(bolt, "MATCH (n:Segment {bodyId: 2}) REMOVE n.roiInfo")
    change(bolt, "MATCH ({bodyId: 1})-[e:ConnectsTo]->({bodyId: 2}) REMOVE e.roiInfo")
    with serving(tmp_path, "--bolt", bolt, "--plain") as (_, printed):
        assert "warning: Meta.superLevelRois is absent" in printed
        assert "warning: Segment 2 has no roiInfo" in printed
        assert "warning: the connection 1 -> 2 has no weight or roiInfo" in printed
    change(bolt, "MATCH (n:Segment {bodyId: 2}) SET n.roiInfo = '{{}}', n.pre = 1.5")
    started = time.monotonic()
    with serving(tmp_path, "--bolt", bolt, "--plain") as (_, printed):
        assert "warning: Segment 2 has a pre or post that is no integer" in printed
    assert time.monotonic() - started < 60


def change(url, cypher):
    with neo4j.GraphDatabase.driver(url, auth=None) as driver:
        driver.execute_query(cypher)
