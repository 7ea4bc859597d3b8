"""Transactions through the bridge, for those who were let write; neuprint-python's own, and by hand."""

from __future__ import annotations

import contextlib
import time

import neo4j
import neuprint
import pytest
import requests
from neuprint.admin import Transaction

from flyem_snapshot.bridge.routes import Api
from flyem_snapshot.bridge.server import Access
from flyem_snapshot.bridge.tls import server_context
from flyem_snapshot.bridge.transactions import Transactions
from tests.bridge import graph
from tests.bridge.conftest import serving

DATASET = "tiny:v1.0"
RAW = "/api/raw/cypher/transaction"
SET = "MATCH (n:tiny_Segment {bodyId: 1}) SET n.type = 'X' RETURN count(n)"


@pytest.fixture
def transactions(database):
    held = Transactions(database)
    yield held
    held.close()


@pytest.fixture
def url(database, files, transactions, bolt):
    """http://localhost:... of a bridge that lets write; the database is as before afterwards."""
    api = Api(database, files, public=True, transactions=transactions)
    with serving(api, Access(None, frozenset({"localhost"}))) as port:
        yield f"http://localhost:{port}"
    transactions.close()
    graph.fill(bolt)


@pytest.fixture
def post(url):
    def send(path, body=None):
        answer = requests.post(url + path, json=body, timeout=60)
        return answer.status_code, answer.json()

    return send


@pytest.fixture
def types(bolt):
    """The types of bodies 1, 2, 3 as anybody else sees them."""

    def ask():
        with neo4j.GraphDatabase.driver(bolt, auth=None) as driver:
            found = driver.execute_query("MATCH (n:Neuron) RETURN n.type ORDER BY n.bodyId").records
            return [record[0] for record in found]

    return ask


def begun(post):
    status, answer = post(RAW, {"dataset": DATASET})
    assert status == 200
    return f"{RAW}/{answer['transaction_id']}"


def test_neuprint_pythons_transactions_write(database, files, transactions, certificate, types, bolt):
    api = Api(database, files, public=True, transactions=transactions)
    with serving(api, Access(None, frozenset({"localhost"})), server_context(*certificate)) as port:
        neuprint.Client.DATASETS_CACHE.clear()
        client = neuprint.Client(f"https://localhost:{port}", DATASET, token="any", verify=str(certificate[0]))  # noqa: S106
        with Transaction(DATASET, client=client) as transaction:
            transaction.query(SET)
            assert types() == ["A", "B", "B"], "nobody sees it before it is committed"
        assert types() == ["X", "B", "B"]
        with contextlib.suppress(ZeroDivisionError), Transaction(DATASET, client=client) as transaction:
            transaction.query("MATCH (n:tiny_Segment {bodyId: 1}) SET n.type = 'Y'")
            raise ZeroDivisionError
    assert types() == ["X", "B", "B"], "what is killed is undone"
    graph.fill(bolt)


def test_a_transaction_reads_what_it_wrote_and_no_label_is_rewritten(post):
    path = begun(post)
    assert post(f"{path}/cypher", {"cypher": SET}) == (200, {"columns": ["count(n)"], "data": [[1]]})
    query = "MATCH (n:Neuron {type: ':Neuron'}) RETURN count(n)"
    assert post(f"{path}/cypher", {"cypher": query})[1]["data"] == [[0]]
    assert post(f"{path}/kill") == (200, {"msg": "killed"})


def test_a_query_that_fails_says_why_and_nothing_of_the_transaction_lasts(post, types):
    path = begun(post)
    post(f"{path}/cypher", {"cypher": SET})
    status, answer = post(f"{path}/cypher", {"cypher": "MATCH (n:tiny_Segment) SET n.bad = {a: 1}"})
    assert status == 400
    assert "Property values can only be" in answer["error"]
    assert post(f"{path}/commit")[0] == 400
    assert types() == ["A", "B", "B"]


@pytest.mark.parametrize("last", ["commit", "kill"])
def test_after_its_end_a_transaction_is_unknown(post, last):
    path = begun(post)
    assert post(f"{path}/{last}")[0] == 200
    assert post(f"{path}/cypher", {"cypher": "RETURN 1"}) == (400, {"error": "Transaction id not found"})
    assert post(f"{RAW}/nonsense/kill")[0] == 400


def test_numbers_cannot_be_guessed_and_every_json_parser_holds_them(post):
    numbers = [int(begun(post).rpartition("/")[2]) for _ in range(3)]
    assert all(0 < number < 2**53 for number in numbers)
    assert len({number >> 20 for number in numbers}) == 3


def test_transactions_are_few(post):
    for _ in range(8):
        begun(post)
    status, answer = post(RAW, {"dataset": DATASET})
    assert (status, "8 transactions are open" in answer["error"]) == (503, True)


def test_what_nobody_uses_any_more_is_undone(database, files, bolt, types):
    with contextlib.closing(Transactions(database, patience=0.2)) as held:
        api = Api(database, files, public=True, transactions=held)
        with serving(api, Access(None)) as port:
            raw = f"http://localhost:{port}{RAW}"
            body = {"dataset": DATASET}
            first = requests.post(raw, json=body, timeout=60).json()["transaction_id"]
            requests.post(f"{raw}/{first}/cypher", json={"cypher": SET}, timeout=60)
            time.sleep(0.3)
            requests.post(raw, json=body, timeout=60)
            assert requests.post(f"{raw}/{first}/commit", timeout=60).status_code == 400
    assert types() == ["A", "B", "B"]


def test_only_a_transaction_writes_and_only_for_a_dataset_that_is_there(post):
    assert post("/api/custom/custom", {"cypher": SET, "dataset": DATASET})[0] == 403
    assert post("/api/raw/cypher/cypher", {"cypher": SET, "dataset": DATASET})[0] == 403
    status, answer = post(RAW, {"dataset": "other"})
    assert (status, "no dataset 'other'" in answer["error"]) == (400, True)


def test_the_profile_says_who_may_write(url, plain_port):
    assert requests.get(f"{url}/profile", timeout=60).json()["AuthLevel"] == "admin"
    assert requests.get(f"http://localhost:{plain_port}/profile", timeout=60).json()["AuthLevel"] == "readonly"
