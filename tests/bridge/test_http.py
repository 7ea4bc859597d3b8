"""The bridge as any HTTP client meets it: limits, refusals, broken requests, clients that leave."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time

import pytest

from flyem_snapshot.bridge import server as server_module
from flyem_snapshot.bridge.database import Database
from flyem_snapshot.bridge.routes import Api
from flyem_snapshot.bridge.server import Access, BridgeServer
from flyem_snapshot.bridge.soundness import findings
from flyem_snapshot.errors import ServiceError
from tests.bridge.conftest import TOKEN, serving
from tests.bridge.graph import META

CUSTOM = "/api/custom/custom"


@pytest.fixture
def ask(plain_port):
    """Send one request: (status, JSON)."""

    def send(method, path, body=None, headers=None, port=plain_port):
        connection = http.client.HTTPConnection("localhost", port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if isinstance(body, dict) else body, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or "null")

    return send


def query(cypher, dataset="tiny:v1.0"):
    return {"cypher": cypher, "dataset": dataset}


def test_a_query_may_stand_in_the_body_or_in_the_address(ask):
    expected = (200, {"columns": ["x"], "data": [[1]]})
    assert ask("POST", CUSTOM, query("RETURN 1 AS x")) == expected
    assert ask("GET", CUSTOM, query("RETURN 1 AS x")) == expected
    assert ask("GET", f"{CUSTOM}?cypher=RETURN%201%20AS%20x&dataset=tiny:v1.0") == expected
    assert ask("POST", CUSTOM, {"cypher": "RETURN 1 AS x"}) == expected, "there is only one dataset"


def test_labels_are_those_of_the_dataset(ask):
    assert ask("POST", CUSTOM, query("MATCH (n:Neuron) RETURN 'tiny_Neuron' IN labels(n) AS l LIMIT 1"))[1]["data"] == [
        [True]
    ]
    assert ask("POST", CUSTOM, query("MATCH (n:Cell) RETURN n"))[1]["data"] == []


def test_graphs_are_plain_values(ask):
    cypher = "MATCH p = (:Neuron {bodyId: 2})-[e:ConnectsTo]->(m) RETURN m.bodyId AS b, e, p"
    ((body, edge, path),) = ask("POST", CUSTOM, query(cypher))[1]["data"]
    assert (body, edge["weight"], [step.get("bodyId") for step in path]) == (3, 1, [2, None, 3])


def test_cached_pages_do_not_care_about_capitals(ask):
    assert (
        ask("GET", "/api/cached/roicompleteness?dataset=TINY:V1.0")[1]
        == ask("GET", "/api/cached/roicompleteness?dataset=tiny:v1.0")[1]
    )


def test_the_neuroglancer_state_is_served_and_no_other_file(ask):
    assert ask("GET", "/api/npexplorer/nglayers/tiny:v1.0.json") == (200, {"layers": []})
    assert ask("GET", "/api/npexplorer/nglayers/tiny%3Av1.0.json") == (200, {"layers": []})
    for name in (
        "tiny.json",
        "Neuprint_Meta_debug.json",
        "..%2Fsecret.json",
        "%2Fetc%2Fpasswd",
        "tiny:v1.0-actions.json",
    ):
        status, answer = ask("GET", f"/api/npexplorer/nglayers/{name}")
        assert (status, list(answer)) == (404, ["error"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", CUSTOM, query("RETURN 1", "nothere:v1"), 400, "no dataset 'nothere:v1'; this server has: tiny:v1.0"),
        ("POST", CUSTOM, {"dataset": "tiny:v1.0"}, 400, "no query"),
        ("POST", CUSTOM, {"cypher": 5, "dataset": "tiny:v1.0"}, 400, "'cypher' must be text"),
        ("POST", CUSTOM, b"{nonsense", 400, "no JSON"),
        ("POST", CUSTOM, b"\xff\xfe\xfd", 400, "no JSON"),
        ("POST", CUSTOM, b"[" * 100_000, 400, "no JSON"),
        ("POST", CUSTOM, b"[1]", 400, "no JSON object"),
        ("POST", CUSTOM, query("RETURN 1 / 0"), 400, "/ by zero"),
        ("POST", CUSTOM, query("RETURN $x"), 400, "x"),
        ("POST", CUSTOM, query("CREATE (n)"), 403, "read-only"),
        ("POST", "/api/version", None, 405, "use GET"),
        ("PUT", CUSTOM, None, 405, "use GET or POST"),
        ("GET", "/api/cached/dailytype", None, 400, "name the dataset"),
        ("GET", "/api/cached/dailytype?dataset=x", None, 400, "no dataset 'x'"),
        ("GET", "/api/skeletons/skeleton/tiny:v1.0/1?format=swc", None, 404, "no skeletons"),
        ("GET", "/api/roimeshes/mesh/tiny:v1.0/LH(R)", None, 404, "no ROI meshes"),
        ("POST", "/api/raw/cypher/cypher", query("CREATE (n)"), 403, "read-only"),
        ("GET", "/", None, 404, "nothing at this address"),
        ("GET", "/api/custom/custom/more", None, 404, "nothing at this address"),
        ("FETCH", "/api/version", None, 501, "FETCH"),
    ],
)
def test_a_refusal_says_why(ask, method, path, body, status, words):
    answered, answer = ask(method, path, body)
    assert answered == status
    assert words in answer["error"]


def test_a_page_that_was_led_here_under_another_name_is_refused(ask):
    assert ask("GET", "/api/version", headers={"Host": "evil.example:80"})[0] == 421
    assert ask("GET", "/api/version", headers={"Host": "127.0.0.1"})[0] == 200


def test_a_token_may_be_wanted_without_encryption_too(ask, database, files):
    with serving(Api(database, files, public=False), Access(TOKEN)) as port:
        assert ask("GET", "/api/version", port=port)[0] == 401
        assert ask("GET", "/api/version", headers={"Authorization": f"Bearer {TOKEN}"}, port=port)[0] == 200
        assert ask("POST", CUSTOM, query("RETURN 1"), {"Authorization": TOKEN}, port=port)[0] == 401


def test_a_huge_request_is_refused_and_the_server_lives_on(ask, plain_port):
    body = json.dumps(query("RETURN 1 //" + "x" * (server_module.LARGEST_REQUEST + 1)))
    status, answer = ask("POST", CUSTOM, body)
    assert status == 413
    assert "at most 16,777,216" in answer["error"]
    assert ask("GET", "/api/version")[0] == 200


def test_a_large_query_is_not_huge(ask):
    answer = ask("POST", CUSTOM, query(f"RETURN size('{'x' * 2_000_000}') AS n"))
    assert answer == (200, {"columns": ["n"], "data": [[2_000_000]]})


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"POST /api/custom/custom HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"POST /api/custom/custom HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
    ],
)
def test_what_is_no_proper_request_gets_a_refusal_in_json(plain_port, request_text, status):
    with socket.create_connection(("127.0.0.1", plain_port), timeout=30) as connection:
        connection.sendall(request_text)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert status in answer.split(b"\r\n")[0]
    assert b'{"error":' in answer


def test_a_connection_serves_several_requests(plain_port):
    connection = http.client.HTTPConnection("localhost", plain_port, timeout=30)
    with contextlib.closing(connection):
        for path, status in (("/api/version", 200), ("/nowhere", 404), ("/api/version", 200)):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status


def test_the_bridge_survives_clients_that_leave_and_stops_their_queries(ask, bolt, files):
    with (
        contextlib.closing(Database(bolt, timeout=60, places=1)) as database,
        serving(Api(database, files, public=True), Access()) as port,
    ):
        body = json.dumps(query("UNWIND range(1, 1000000000) AS x RETURN x")).encode()
        head = f"POST {CUSTOM} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        for sent in (head[:20], head + body[:10], head + body):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(sent)
                time.sleep(0.3)
        # One query may run at a time: this one can only if the endless one has ended.
        started = time.monotonic()
        assert ask("POST", CUSTOM, query("RETURN 1 AS x"), port=port)[0] == 200
        assert time.monotonic() - started < 20


def test_a_client_may_leave_while_it_is_answered(ask, plain_port):
    body = json.dumps(query("UNWIND range(1, 200000) AS x RETURN x, 'some text that fills the pipe' AS t")).encode()
    head = f"POST {CUSTOM} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", plain_port)) as connection:
        connection.sendall(head + body)
        connection.recv(100)
    assert ask("GET", "/api/version")[0] == 200


def test_a_query_that_takes_too_long_is_ended(ask, bolt, files):
    with (
        contextlib.closing(Database(bolt, timeout=1, places=1)) as database,
        serving(Api(database, files, public=True), Access()) as port,
    ):
        endless = "MATCH (a), (b), (c), (d), (e), (f), (g), (h), (i) RETURN max(a.bodyId + i.bodyId)"
        status, answer = ask("POST", CUSTOM, query(endless), port=port)
    assert status == 504
    assert answer["error"].startswith("timeout: ")


def test_too_many_queries_wait_and_are_then_refused(ask, bolt, files, monkeypatch):
    monkeypatch.setattr("flyem_snapshot.bridge.database.WAIT_FOR_A_PLACE", 0.2)
    with (
        contextlib.closing(Database(bolt, timeout=20, places=1)) as database,
        serving(Api(database, files, public=True), Access()) as port,
    ):
        with database.read("RETURN 1"):
            assert ask("POST", CUSTOM, query("RETURN 1"), port=port)[0] == 503
        assert ask("POST", CUSTOM, query("RETURN 1"), port=port)[0] == 200


def test_silent_connections_do_not_keep_others_out(ask, database, files, monkeypatch):
    monkeypatch.setattr(server_module.Handler, "timeout", 0.5)
    with serving(Api(database, files, public=True), Access()) as port, contextlib.ExitStack() as stack:
        for _ in range(server_module.CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        time.sleep(2)
        assert ask("GET", "/api/version", port=port)[0] == 200


def test_a_client_without_encryption_does_no_harm_to_an_encrypted_server(secured):
    port = int(secured.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"200" not in connection.recv(100)


def test_the_tiny_database_is_sound(database):
    assert findings(database) == []


def test_a_database_that_is_not_there_is_an_error_of_the_service(files):
    with contextlib.closing(Database("bolt://127.0.0.1:1", timeout=5)) as database:
        with pytest.raises(ServiceError, match="is Neo4j running there"):
            database.describe()
        with serving(Api(database, files, public=True), Access()) as port:
            connection = http.client.HTTPConnection("localhost", port, timeout=60)
            with contextlib.closing(connection):
                connection.request("GET", "/api/dbmeta/datasets")
                answer = connection.getresponse()
                assert (answer.status, "cannot be reached" in answer.read().decode()) == (502, True)


def test_a_port_that_is_taken_is_named(files, database, plain_port):
    with pytest.raises(ServiceError, match=f"listen 127.0.0.1:{plain_port}"):
        BridgeServer(("127.0.0.1", plain_port), Api(database, files, public=True), Access())


def test_threads_end_with_their_connections(ask):
    before = threading.active_count()
    for _ in range(20):
        ask("GET", "/api/version")
    time.sleep(0.5)
    assert threading.active_count() <= before + 1


def test_the_summary_of_the_dataset_is_that_of_its_meta(ask):
    assert ask("GET", "/api/dbmeta/datasets")[1]["tiny:v1.0"]["last-mod"] == META["lastDatabaseEdit"]
