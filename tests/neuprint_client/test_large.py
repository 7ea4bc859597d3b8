"""The whole mushroom-body collection, and a synthetic connectome of 200,000 PSDs with elements."""

from functools import partial

import pytest
from neuprint import NeuronCriteria, SynapseCriteria, fetch_adjacencies, fetch_synapse_connections, fetch_synapses

from tests.neuprint_client import real
from tests.neuprint_client.flat import PAIR, assert_same_rows

ENDS = ["bodyId_pre", "bodyId_post"]
PLACES = [f"{axis}_{side}" for side in ("pre", "post") for axis in "xyz"]
SYNAPSE = ["bodyId", "type", "roi", "x", "y", "z", "confidence"]


@pytest.fixture(scope="module", params=["collection-4.4", "synthetic-5.26"])
def large(request, shared, another):
    """Served one after the other; each on one version."""
    name, version = request.param.split("-")
    write = {
        "collection": partial(real.collection, shared=shared),
        "synthetic": partial(real.synthetic, shared=shared, psds=200_000),
    }
    return another(version, write[name], sample=12)


def count(large, pattern):
    return large.ask(f"MATCH {pattern} RETURN count(*) AS n")[0]["n"]


def test_07_and_31_to_33_every_row_was_imported(large):
    flat = large.flat
    elements = sum(len(table) for table in flat.elements.values())
    assert count(large, "(:Segment)") == len(flat.segments)
    assert count(large, "(:Neuron)") == len(flat.neurons)
    assert count(large, "(:Synapse)") == len(flat.S)
    assert count(large, "(:Element)") == len(flat.S) + elements
    assert count(large, "(:SynapseSet)") == 2 * len(flat.W)
    assert count(large, "(:Segment)-[:ConnectsTo]->(:Segment)") == len(flat.W)
    assert count(large, "(:Synapse)-[:SynapsesTo]->(:Synapse)") == len(flat.P)
    tbars = len(flat.P.drop_duplicates([*PAIR, "x_pre", "y_pre", "z_pre"]))
    assert count(large, "(:SynapseSet)-[:Contains]->(:Synapse)") == tbars + len(flat.P)


def test_46_all_indexes_are_online(large):
    assert {row["state"] for row in large.ask("SHOW INDEXES")} == {"ONLINE"}
    assert len(large.ask("SHOW CONSTRAINTS")) == 2


def test_02_and_03_the_meta_totals_count_the_synapses(large):
    kinds = large.flat.S["kind"].value_counts()
    meta = large.client.meta
    assert (meta["totalPreCount"], meta["totalPostCount"]) == (kinds["PreSyn"], kinds["PostSyn"])


def test_09_to_12_counts_of_all_segments_are_those_of_the_tables(large):
    columns = ["pre", "post", "downstream", "upstream", "synweight", "upstreamPartners", "downstreamPartners"]
    returned = ", ".join(f"n.{column} AS {column}" for column in columns)
    found = {
        row.pop("bodyId"): tuple(row.values())
        for row in large.ask(f"MATCH (n:Segment) RETURN n.bodyId AS bodyId, {returned}")
    }
    totals = large.flat.totals[columns]
    assert found == dict(zip(totals.index.tolist(), totals.itertuples(index=False, name=None), strict=True))


def test_18_adjacencies_of_a_sample_sum_to_the_connections_above_the_threshold(large):
    _, pairs = fetch_adjacencies(large.sampled(), large.everybody(), client=large.client)
    expected = large.flat.strong_pairs()
    expected = expected[expected["bodyId_pre"].isin(large.sample)]
    assert_same_rows(pairs.groupby(ENDS)["weight"].sum().reset_index(), expected[[*ENDS, "weight"]])


def test_24_synapses_of_a_sample_are_the_points(large):
    bodies = large.sample[-3:]
    criteria = NeuronCriteria(bodyId=bodies, client=large.client)
    found = fetch_synapses(criteria, SynapseCriteria(confidence=0, client=large.client), client=large.client)
    expected = large.flat.synapses()
    assert_same_rows(found[SYNAPSE], expected[expected["bodyId"].isin(bodies)])


def test_28_synapse_connections_of_a_body_are_its_partner_rows(large):
    body = large.sample[-1]
    client = large.client
    all_of_them = SynapseCriteria(confidence=0, client=client)
    one = NeuronCriteria(bodyId=body, client=client)
    found = fetch_synapse_connections(one, large.everybody(), all_of_them, client=client)
    expected = large.flat.of_strong_pairs()
    expected = expected[expected["bodyId_pre"] == body]
    assert_same_rows(found[[*ENDS, *PLACES, "roi_post"]], expected[[*ENDS, *PLACES, "roi_post"]])
