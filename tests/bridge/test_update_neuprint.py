"""`update-neuprint-annotations` from a DVID server to a real database behind the bridge, whole and interrupted."""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import uuid

import neo4j
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyem_snapshot.bridge.routes import Api
from flyem_snapshot.bridge.server import Access
from flyem_snapshot.bridge.transactions import Transactions
from flyem_snapshot.cli.update_neuprint import main
from flyem_snapshot.live.cypher import Point, mapping
from flyem_snapshot.live.server import NeuprintServer
from flyem_snapshot.log import ConsoleHandler
from tests.bridge import graph
from tests.bridge.conftest import serving
from tests.bridge.graph import BIG
from tests.dvid_double import DvidDouble

DATASET = "tiny:v1.0"
TOKEN = uuid.uuid4().hex
COMMAND = [sys.executable, "-m", "flyem_snapshot.cli.update_neuprint"]
TIME = "2026-03-01T10:00:00Z"
ODD = "it's \"odd\" \\u0041\\U00000041 \\\\u `tick` :Neuron :`Meta` \\' \n\t$x é 🧠;"

RECORDS = {
    1: {"type": "A", "instance": "A_R", "status": "Traced", "soma_position": [10, 20, 30]},
    2: {"type": "C", "instance": "", "status": "Anchor", "cell_body_fiber": ODD, "predicted_nt": "gaba", "size": 7},
    BIG: {"type": "D", "group": BIG + 2, "soma_position": [1, 2, 2**31], "synonyms": ["x", "y"], "birth_score": 0.1},
    99: {"type": "not in neuPrint"},
}


@pytest.fixture
def dvid():
    with DvidDouble() as server:
        repo = server.new_repo("tiny")
        instance = repo.neuronjson("segmentation_annotations")
        instance.set(repo.root, RECORDS, time=TIME)
        server.where = (server.url, repo.root, "segmentation_annotations")
        server.annotate = lambda records, when=TIME: instance.set(repo.root, records, time=when)
        server.forget = lambda body: instance.set_raw(repo.root, body, None)
        yield server


@pytest.fixture
def neuprint_url(database, files, bolt):
    """The small database as it is at first, behind a bridge that lets write."""
    graph.fill(bolt)
    with (
        contextlib.closing(Transactions(database)) as transactions,
        serving(Api(database, files, public=True, transactions=transactions), Access(None)) as port,
    ):
        yield f"http://localhost:{port}"
    graph.fill(bolt)


@pytest.fixture
def ask(bolt):
    """Rows straight from the database."""
    with neo4j.GraphDatabase.driver(bolt, auth=None) as driver:

        def send(cypher, **parameters):
            return [record.data() for record in driver.execute_query(cypher, parameters_=parameters).records]

        yield send


@pytest.fixture
def segment(ask):
    """All properties of a Segment."""
    return lambda body: ask("MATCH (n:Segment {bodyId: $body}) RETURN properties(n) AS p", body=body)[0]["p"]


@pytest.fixture
def meta(ask):
    return lambda: ask("MATCH (m:Meta) RETURN properties(m) AS p")[0]["p"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process: (exit code, what it printed)."""
    signals = {which: signal.getsignal(which) for which in (signal.SIGTERM, signal.SIGINT)}

    def call(*words, token=TOKEN):
        monkeypatch.setenv("NEUPRINT_APPLICATION_CREDENTIALS", token)
        code = main(list(words))
        said = "".join(capsys.readouterr())
        assert TOKEN not in said
        return code, said

    yield call
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, ConsoleHandler)]
    logging.captureWarnings(False)
    for which, handler in signals.items():
        signal.signal(which, handler)


@pytest.fixture
def update(run, dvid, neuprint_url):
    """The command for the two servers of the tests."""
    return lambda *options, dataset=DATASET, token=TOKEN: run(*options, *dvid.where, neuprint_url, dataset, token=token)


def test_bodies_of_both_sides_become_as_dvid_says_and_everything_else_stays(update, segment, ask, meta):
    before = {body: segment(body) for body in (1, 2, 3, BIG)}
    code, said = update("-b", "2")
    assert code == 0, said
    assert "4 annotated bodies, 3 of them Segments; 3 to update" in said

    assert segment(1) == before[1] | {"statusLabel": "Traced"}
    expected = {"type": "C", "status": "Anchor", "statusLabel": "Anchor", "cellBodyFiber": ODD}
    assert segment(2) == {k: v for k, v in before[2].items() if k != "instance"} | expected
    place = neo4j.spatial.CartesianPoint((1.0, 2.0, 2.0**31))
    new = {"type": "D", "group": BIG + 2, "somaLocation": place, "synonyms": ["x", "y"], "birthScore": 0.1}
    assert segment(BIG) == before[BIG] | new
    assert segment(3) == before[3]
    assert ask("MATCH (n:Segment) RETURN count(n) AS n") == [{"n": 4}]
    assert ask("MATCH (n:Neuron) RETURN count(n) AS n") == [{"n": 3}], "nothing becomes a Neuron"

    properties = json.loads(meta()["neuronProperties"])
    assert list(properties)[: len(graph.PROPERTIES)] == graph.PROPERTIES
    assert {name: properties[name] for name in properties if name not in graph.PROPERTIES} == {
        "birthScore": "float",
        "cellBodyFiber": "string",
        "group": "long",
        "statusLabel": "string",
        "synonyms": "string[]",
    }
    assert meta()["lastDatabaseEdit"] == "2026-01-02 / 2026-03-01 10:00:00+00:00 (segment property update)"


def test_a_second_run_has_nothing_to_do_and_asks_for_no_transaction(update, segment, meta):
    assert update()[0] == 0
    after = [segment(body) for body in (1, 2, 3, BIG)], meta()
    code, said = update()
    assert (code, "nothing to do" in said) == (0, True), said
    assert "0 to update" in said
    assert ([segment(body) for body in (1, 2, 3, BIG)], meta()) == after


def test_a_later_update_replaces_the_time_of_the_earlier(update, dvid, meta):
    update()
    dvid.annotate({2: {"type": "E"}}, "2026-03-02T23:00:00-05:00")
    assert "1 to update" in update()[1]
    assert meta()["lastDatabaseEdit"] == "2026-01-02 / 2026-03-03 04:00:00+00:00 (segment property update)"


def test_a_dry_run_changes_nothing_and_its_files_say_what_would_be(update, segment, meta, tmp_path, bolt):
    before = [segment(body) for body in (1, 2, 3, BIG)], meta()
    code, said = update("--dry-run", "-o", str(tmp_path / "made"))
    assert (code, "dry run: nothing was changed" in said) == (0, True), said
    assert ([segment(body) for body in (1, 2, 3, BIG)], meta()) == before

    tables = {}
    for name in ("from-dvid", "neuprint-original", "changemask"):
        with (tmp_path / "made" / f"{name}.csv").open(newline="") as file:
            tables[name] = list(csv.DictReader(file))
    assert [[row["bodyId"] for row in table] for table in tables.values()] == [["1", "2", str(BIG)]] * 3
    dvid, original, mask = tables.values()
    assert [row["type"] for row in dvid] == ["A", "C", "D"]
    assert [row["type"] for row in original] == ["A", "B", ""]
    assert [row["type"] for row in mask] == ["false", "true", "true"]
    assert [row["somaLocation"] for row in dvid] == ["{x:10, y:20, z:30}", "", "{x:1, y:2, z:2147483648}"]
    assert [row["somaLocation"] for row in original] == ["{x:10, y:20, z:30}", "", ""]
    assert [row["synonyms"] for row in dvid] == ["", "", "x;y"]
    assert dvid[1]["cellBodyFiber"] == ODD
    assert not {"size", "predictedNt"} & dvid[0].keys()

    commands = (tmp_path / "made" / "cypher-update-commands.cypher").read_text()
    with neo4j.GraphDatabase.driver(bolt, auth=None) as driver:
        for statement in commands.removesuffix(";\n").split(";\nUNWIND"):
            driver.execute_query(statement if statement.startswith("MATCH") else f"UNWIND{statement}")
    assert segment(2)["cellBodyFiber"] == ODD, "the file does what the command would have done"
    assert "nothing to do" in update("--dry-run")[1]


def test_the_summary_counts_bodies_by_property(update):
    said = update("--dry-run")[1]
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if re.match(r"\w+( +[\d,]+){3}$", line)}
    assert rows == {
        "birthScore": ["1", "0", "0"],
        "cellBodyFiber": ["1", "0", "0"],
        "group": ["1", "0", "0"],
        "instance": ["0", "0", "1"],
        "somaLocation": ["1", "0", "0"],
        "status": ["0", "1", "0"],
        "statusLabel": ["2", "0", "0"],
        "synonyms": ["1", "0", "0"],
        "type": ["1", "1", "0"],
    }
    assert "left alone, since they are counts or ROIs in neuPrint: size" in said


def test_excluded_properties_stay_as_they_are_and_are_not_announced(update, segment, meta):
    code, said = update("-e", "type,group", "-e", "statusLabel , status,sinonyms")
    assert code == 0
    assert "did you mean 'synonyms'?" in said
    assert (segment(2)["type"], segment(2)["status"]) == ("B", "Traced")
    assert "group" not in segment(BIG)
    assert not {"group", "statusLabel"} & json.loads(meta()["neuronProperties"]).keys()


def test_predicted_neurotransmitters_are_never_touched(update, dvid, segment, ask):
    ask("MATCH (n:Segment {bodyId: 2}) SET n.predictedNt = 'gaba', n.ntGabaProb = 0.5, n.otherNt = 'x' RETURN 1")
    dvid.annotate({2: {"predicted_nt": "dopamine", "nt_gaba_prob": 0.1, "other_nt": ""}, 1: {"other_nt": "y"}})
    assert update()[0] == 0
    assert [segment(2)[name] for name in ("predictedNt", "ntGabaProb", "otherNt")] == ["gaba", 0.5, "x"]
    assert "otherNt" not in segment(1)


def test_a_field_that_nobody_has_filled_any_more_leaves_neuprint_too(update, dvid, segment):
    update()
    dvid.annotate({2: {"cell_body_fiber": ""}})
    assert update()[0] == 0
    assert "cellBodyFiber" not in segment(2)


def test_a_float_that_the_importer_cut_to_32_bits_is_no_change(update, ask):
    update()
    ask("MATCH (n:Segment {bodyId: $body}) SET n.birthScore = 0.10000000149011612 RETURN 1", body=BIG)
    assert "nothing to do" in update()[1]
    ask("MATCH (n:Segment {bodyId: $body}) SET n.birthScore = 0.1001 RETURN 1", body=BIG)
    assert "1 to update" in update()[1]


def test_a_segmentation_stands_for_its_annotations(update, dvid):
    repo = dvid.new_repo("with labels")
    repo.labelmap("segmentation", np.ones((64, 64, 64), np.uint64))
    repo.neuronjson("segmentation_annotations").set(repo.root, {1: {"type": "Z"}}, time=TIME)
    dvid.where = (dvid.url, repo.root, "segmentation")
    assert "1 annotated bodies, 1 of them Segments; 1 to update" in update("--dry-run")[1]


@pytest.mark.parametrize(
    ("dataset", "hint"),
    [("tiny", "did you mean 'tiny:v1.0'?"), ("tini:v1.0", "did you mean 'tiny:v1.0'?"), ("zzz", "it has: tiny:v1.0")],
)
def test_a_wrong_dataset_is_refused_with_a_hint(update, dataset, hint):
    code, said = update(dataset=dataset)
    assert (code, hint in said) == (1, True), said


@pytest.mark.parametrize("token", ["", "  ", '{"token": ""}', "{broken"])
def test_without_a_token_nothing_is_asked(update, token):
    code, said = update(token=token)
    assert code == 1
    assert "no token for neuPrint" in said


def test_a_token_may_come_as_json_and_the_wrong_one_is_refused(run, dvid, database, files, bolt):
    graph.fill(bolt)
    with serving(Api(database, files, public=False), Access(TOKEN)) as port:
        words = ("--dry-run", *dvid.where, f"http://localhost:{port}", DATASET)
        assert run(*words, token=json.dumps({"token": TOKEN, "email": "a@b.org"}))[0] == 0
        code, said = run(*words, token="another")  # noqa: S106 - of nothing
    assert (code, "is the token right, and not too old?" in said) == (1, True)


def test_whoever_may_not_write_is_told_so_at_once(run, update, dvid, plain_port, segment):
    code, said = run(*dvid.where, f"http://localhost:{plain_port}", DATASET)
    assert (code, "writing needs an administrator's token" in said) == (1, True)
    assert segment(2)["type"] == "B"


def test_bodies_that_are_no_segments_at_all_are_two_different_datasets(update, dvid):
    for body in (1, 2, BIG):
        dvid.forget(body)
    code, said = update()
    assert code == 1
    assert f"none of the 1 bodies of segmentation_annotations of {dvid.where[1]} is a Segment of tiny:v1.0" in said


def test_a_body_that_is_refused_is_named_and_all_others_are_written(update, dvid, segment, ask):
    ask("MATCH (n:Segment {bodyId: 3}) SET n.instance = 'B_L' RETURN 1")
    ask("CREATE CONSTRAINT one_instance FOR (n:tiny_Neuron) REQUIRE n.instance IS UNIQUE")
    try:
        dvid.annotate({1: {"type": "A1"}, 2: {"instance": "A_R", "type": "A2"}, 3: {"type": "A3", "instance": "B_L"}})
        code, said = update()
        assert code == 1
        assert "a batch of 4 bodies was refused" in said
        assert "the server refused 1 body; 3 were written:" in said
        assert re.search(r"  body 2: POST .*already exists", said), said
        assert [segment(body)["type"] for body in (1, 2, 3, BIG)] == ["A1", "B", "A3", "D"]
        assert "1 to update" in update("--dry-run")[1]
    finally:
        ask("DROP CONSTRAINT one_instance")


@contextlib.contextmanager
def locked(bolt, body):
    """Hold a lock on a Segment, so that whoever wants to change it waits."""
    with neo4j.GraphDatabase.driver(bolt, auth=None) as driver, driver.session() as session:
        transaction = session.begin_transaction()
        transaction.run("MATCH (n:Segment {bodyId: $body}) SET n.held = 1", body=body).consume()
        try:
            yield
        finally:
            transaction.rollback()


@contextlib.contextmanager
def bridge_process(bolt, folder):
    """The bridge in a process of its own: process, address."""
    command = [sys.executable, "-u", "-m", "flyem_snapshot.cli.serve", str(folder), "--bolt", bolt, "--plain"]
    command += ["--port", "0", "--allow-writes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            line = next(line for line in process.stdout if line.startswith("serving"))
            yield process, re.search(r"at (http://\S+)", line)[1]
        finally:
            process.kill()


def wait_until_written(segment, body, name, value):
    until = time.monotonic() + 60
    while segment(body).get(name) != value:
        assert time.monotonic() < until
        time.sleep(0.05)


def started(dvid, url):
    env = {**os.environ, "NEUPRINT_APPLICATION_CREDENTIALS": TOKEN}
    return subprocess.Popen(
        [*COMMAND, "-b", "1", *dvid.where, url, DATASET],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_server_that_dies_in_a_transaction_leaves_whole_bodies_and_a_later_run_goes_on(
    update, dvid, bolt, segment, tmp_path
):
    with locked(bolt, 2), bridge_process(bolt, tmp_path) as (server, url), started(dvid, url) as command:
        wait_until_written(segment, 1, "statusLabel", "Traced")
        time.sleep(0.5)
        server.kill()
        said = command.communicate(timeout=60)[0]
    assert command.returncode == 1, said
    assert "1 of 3 bodies are written; run the same command again to go on" in said
    assert "Traceback" not in said
    assert segment(2)["type"] == "B"
    code, said = update()
    assert (code, "2 to update" in said) == (0, True), said
    assert (segment(2)["type"], segment(BIG)["type"]) == ("C", "D")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed_in_a_transaction_it_leaves_whole_bodies_and_no_lock(update, dvid, bolt, segment, neuprint_url, how):
    with started(dvid, neuprint_url) as command:
        with locked(bolt, 2):
            wait_until_written(segment, 1, "statusLabel", "Traced")
            time.sleep(0.5)
            command.send_signal(how)
            time.sleep(0.5)
        said = command.communicate(timeout=60)[0]
    if how == signal.SIGKILL:
        assert command.returncode == -signal.SIGKILL
    else:
        assert command.returncode == 130, said
        assert "update-neuprint-annotations -b 1 http://" in said, "it says how to go on"
    assert segment(2)["type"] == "B"
    code, said = update()
    assert code == 0, said
    assert (segment(2)["type"], segment(BIG)["type"]) == ("C", "D")
    assert "nothing to do" in update()[1]


texts = st.text(st.one_of(st.sampled_from("\\'\"`u0041:;$\n\r\t{}"), st.characters(exclude_categories=["Cs"])))
values = st.one_of(
    texts,
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.builds(Point, *[st.integers(-(2**40), 2**40)] * 3),
    st.lists(texts, min_size=1, max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
)
names = st.text("ab 'u0041$é.-", min_size=1).filter(str.strip)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(properties=st.dictionaries(names, values, min_size=1, max_size=4))
def test_every_name_and_value_arrives_as_it_was(neuprint_url, ask, properties):
    server = NeuprintServer(neuprint_url, "any")
    with server.transaction(DATASET) as transaction:
        transaction.run(f"MATCH (n:tiny_Segment {{bodyId: 3}}) SET n = {mapping({'bodyId': 3, **properties})}")
    server.close()
    found = ask("MATCH (n:tiny_Segment {bodyId: 3}) RETURN properties(n) AS p")[0]["p"]
    found = {k: Point(*v) if isinstance(v, neo4j.spatial.Point) else v for k, v in found.items()}
    assert found == {"bodyId": 3, **properties}
