"""What neuprint-python, as it is published, gets from the bridge over an encrypted connection."""

from __future__ import annotations

import concurrent.futures

import neo4j
import neuprint
import pytest
import requests
from neuprint import NeuronCriteria, SynapseCriteria
from neuprint.admin import Transaction

from tests.bridge.conftest import TOKEN
from tests.bridge.graph import BIG, LH, META, OB

# What a newer pandas says of the client's code is the client's affair.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:neuprint.*")

DATASET = "tiny:v1.0"


@pytest.fixture
def client(secured, certificate):
    neuprint.Client.DATASETS_CACHE.clear()
    made = neuprint.Client(secured, dataset=DATASET, token=TOKEN, verify=str(certificate[0]), progress=False)
    neuprint.set_default_client(made)
    yield made
    neuprint.clear_default_client()


def rows(frame):
    return [tuple(row) for row in frame.itertuples(index=False)]


def test_the_dataset_is_listed_with_its_rois(client):
    assert client.fetch_datasets() == {
        DATASET: {
            "last-mod": "2026-01-02",
            "uuid": "abc",
            "info": "https://example.org",
            "ROIs": [LH, OB],
            "superLevelROIs": [LH, OB],
            "tag": "v1.0",
            "hidden": False,
            "logo": "logo.png",
            "description": "a test",
        }
    }


def test_the_server_describes_itself(client, bolt):
    assert client.fetch_version() == "1.9.2"
    assert client.fetch_server_info() is False
    assert client.fetch_db_version() == "0.5.0"
    assert client.fetch_database()["Location"] == bolt
    assert client.fetch_instances() == {}
    assert client.fetch_profile()["AuthLevel"] == "readonly"
    assert client.fetch_token() == TOKEN
    assert {"method": "POST", "path": "/api/custom/custom"} in client.fetch_available()
    assert "/api/custom/custom:" in client.fetch_help()


def test_meta_is_read_with_its_json_parsed(client):
    meta = neuprint.fetch_meta(client=client)
    assert meta["roiInfo"][LH] == {"pre": 5, "post": 4, "isPrimary": True}
    assert (meta["totalPreCount"], meta["primaryRois"]) == (META["totalPreCount"], [LH, OB])
    assert neuprint.fetch_all_rois(client=client) == sorted([LH, OB])
    assert neuprint.fetch_roi_hierarchy(client=client) == {"tiny": {f"{LH}*": {}, f"{OB}*": {}}}


def test_neurons_come_with_types_counts_and_places(client):
    neurons, counts = neuprint.fetch_neurons(NeuronCriteria(client=client), client=client)
    assert rows(neurons[["bodyId", "type", "status", "pre", "post"]]) == [
        (1, "A", "Traced", 3, 0),
        (2, "B", "Traced", 1, 3),
        (3, "B", "Anchor", 0, 1),
    ]
    assert neurons["somaLocation"].tolist()[0] == [10, 20, 30]
    found = [row for row in rows(counts[["bodyId", "roi", "pre", "post"]]) if row[1] != "NotPrimary"]
    assert sorted(found) == [(1, LH, 3, 0), (2, LH, 1, 2), (2, OB, 0, 1), (3, LH, 0, 1)]


def test_segments_are_those_too_small_to_be_neurons_as_well(client):
    segments, _ = neuprint.fetch_neurons(NeuronCriteria(label="Segment", client=client), client=client)
    assert segments["bodyId"].tolist() == [1, 2, 3, BIG]


def test_neurons_are_found_by_their_inputs_in_a_roi(client):
    found, _ = neuprint.fetch_neurons(NeuronCriteria(inputRois=[OB], client=client), client=client)
    assert found["bodyId"].tolist() == [2]


def test_connections_and_their_rois(client):
    _, edges = neuprint.fetch_adjacencies(NeuronCriteria(client=client), NeuronCriteria(client=client), client=client)
    assert sorted(rows(edges[["bodyId_pre", "bodyId_post", "roi", "weight"]])) == [
        (1, 2, LH, 2),
        (1, 2, OB, 1),
        (2, 3, LH, 1),
    ]
    simple = neuprint.fetch_simple_connections(1, client=client)
    assert rows(simple[["bodyId_pre", "bodyId_post", "weight"]]) == [(1, 2, 3)]


def test_synapses_and_their_connections(client):
    synapses = neuprint.fetch_synapses(2, SynapseCriteria(client=client), client=client)
    columns = ["type", "roi", "x", "y", "z", "confidence"]
    found = [(*row[:5], round(float(row[5]), 3)) for row in rows(synapses[columns])]
    assert sorted(found) == [
        ("post", LH, 2, 2, 3, 0.8),
        ("post", LH, 5, 5, 6, 0.8),
        ("post", LH, 8, 8, 9, 0.8),
        ("pre", LH, 10, 11, 12, 0.9),
    ]
    pairs = neuprint.fetch_synapse_connections(2, None, client=client)
    assert rows(pairs[["bodyId_pre", "bodyId_post", "x_pre", "x_post"]]) == [(2, 3, 10, 11)]


def test_arrow_gives_what_json_gives(client):
    query = "MATCH (n:Segment) RETURN n.bodyId AS b, n.type AS t, n.somaLocation AS l ORDER BY b"
    as_arrow = client.fetch_custom(query, use_arrow=True)
    as_json = client.fetch_custom(query, use_arrow=False)
    assert as_arrow["b"].tolist() == as_json["b"].tolist() == [1, 2, 3, BIG]
    assert as_arrow["t"].tolist()[:3] == as_json["t"].tolist()[:3] == ["A", "B", "B"]
    assert list(as_arrow["l"][0]["coordinates"]) == [10.0, 20.0, 30.0]


def test_a_hundred_thousand_rows_arrive(client):
    frame = client.fetch_custom("UNWIND range(1, 100000) AS i RETURN i, toString(i) AS t, i / 2.0 AS h")
    assert (len(frame), frame["i"].sum(), frame["h"].tolist()[:2]) == (100_000, 5_000_050_000, [0.5, 1])


def test_completeness_counts_traced_neurons(client):
    assert rows(client.fetch_roi_completeness()) == [(LH, 4, 2, 5, 4), (OB, 0, 1, 0, 2)]


def test_connectivity_of_rois_shares_tbars_by_psds(client):
    found = client.fetch_roi_connectivity()
    assert [(a, b, n, round(w, 6)) for a, b, n, w in rows(found)] == [(LH, LH, 1, 0.666667), (OB, LH, 1, 0.333333)]
    assert client.fetch_roi_connectivity(format="json")["roi_names"] == [LH, OB]


def test_the_type_of_the_day_is_a_type_with_one_of_its_neurons(client):
    info, connectivity, skeleton = client.fetch_daily_type()
    expected = {
        "A": {"bodyid": 1, "numtype": 1, "numpre": 3, "numpost": 0},
        "B": {"bodyid": 3, "numtype": 2, "numpre": 0, "numpost": 1},
    }
    assert info == {"typename": info["typename"], **expected[info["typename"]]}
    assert connectivity["bodyId"].tolist() == [2]
    assert skeleton.empty


def test_threads_share_the_bridge(client, secured, certificate):
    def ask(number):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        body = {"cypher": f"RETURN {number}", "dataset": DATASET}
        answer = requests.post(
            f"{secured}/api/custom/custom", json=body, headers=headers, verify=certificate[0], timeout=60
        )
        return answer.json()["data"]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(60))) == [[[number]] for number in range(60)]


@pytest.mark.parametrize("token", ["wrong-token", TOKEN[:-1], TOKEN + "x"])
def test_a_wrong_token_is_refused(secured, certificate, token, caplog):
    neuprint.Client.DATASETS_CACHE.clear()
    with caplog.at_level("DEBUG"), pytest.raises(requests.HTTPError, match="wants a token") as caught:
        neuprint.Client(secured, dataset=DATASET, token=token, verify=str(certificate[0]))
    assert caught.value.response.status_code == 401
    assert token not in caplog.text


def test_without_its_certificate_the_server_is_not_believed(secured):
    # Asked directly: the client tries ten times, for minutes.
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{secured}/api/version", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)


def test_a_dataset_needs_its_full_name(client):
    with pytest.raises(requests.HTTPError, match="there is no dataset 'tiny'; this server has: tiny:v1.0"):
        client.fetch_custom("RETURN 1", dataset="tiny")


def test_a_mistake_in_a_query_comes_back_in_the_databases_words(client):
    with pytest.raises(requests.HTTPError, match="Invalid input") as caught:
        client.fetch_custom("MATCH (n:Neuron) RETRUN n")
    assert caught.value.response.status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "CREATE (n:Neuron) RETURN n",
        "MATCH (n:Neuron) SET n.type = 'X'",
        "MATCH (n) DETACH DELETE n",
        "MERGE (n:Neuron {bodyId: 99})",
        "CREATE INDEX an_index FOR (n:Neuron) ON (n.x)",
        "CALL apoc.create.node(['Neuron'], {})",
        "CALL apoc.cypher.run('CREATE (n:Neuron)', {}) YIELD value RETURN value",
        "CALL apoc.cypher.doIt('CREATE (n:Neuron)', {}) YIELD value RETURN value",
        "CALL apoc.periodic.iterate('RETURN 1', 'CREATE (:Neuron)', {}) YIELD total RETURN total",
        "CREATE USER somebody SET PASSWORD 'long-password'",
    ],
)
def test_writing_is_refused(client, query, bolt):
    with pytest.raises(requests.HTTPError, match="read-only") as caught:
        client.fetch_custom(query)
    assert caught.value.response.status_code == 403
    with neo4j.GraphDatabase.driver(bolt, auth=None) as driver:
        assert driver.execute_query("MATCH (n:Neuron) RETURN count(n), max(n.bodyId)").records[0].values() == [3, 3]


def test_what_writes_in_a_query_within_a_query_writes_nothing(client, bolt):
    client.fetch_custom(
        "CALL apoc.cypher.runTimeboxed('CREATE (n:Neuron) RETURN 1', {}, 1000) YIELD value RETURN value"
    )
    with neo4j.GraphDatabase.driver(bolt, auth=None) as driver:
        assert driver.execute_query("MATCH (n:Neuron) RETURN count(n)").records[0].values() == [3]


def test_transactions_of_administrators_are_refused(client):
    with pytest.raises(requests.HTTPError, match="read-only"), Transaction(DATASET, client=client):
        pass


def test_what_a_snapshot_has_not_is_said_to_be_missing(client):
    with pytest.raises(requests.HTTPError, match="no ROI meshes") as meshes:
        client.fetch_roi_mesh(LH)
    with pytest.raises(requests.HTTPError, match="no skeletons") as skeletons:
        client.fetch_skeleton(1)
    assert {caught.value.response.status_code for caught in (meshes, skeletons)} == {404}
