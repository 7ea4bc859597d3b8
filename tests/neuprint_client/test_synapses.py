"""Checks 24-27 and 45: single synapses and their properties."""

import pytest
from neuprint import SynapseCriteria, fetch_mean_synapses, fetch_synapses

from tests.neuprint_client.flat import assert_same_rows

COLUMNS = ["bodyId", "type", "roi", "x", "y", "z", "confidence"]


@pytest.fixture(scope="module")
def every_synapse(db):
    return fetch_synapses(
        db.sampled(), SynapseCriteria(confidence=0, primary_only=True, client=db.client), client=db.client
    )


def expected(db):
    table = db.flat.synapses()
    return table[table["bodyId"].isin(db.sample)]


def test_24_and_26_synapses_are_the_points_each_once_with_its_confidence(db, every_synapse):
    assert_same_rows(every_synapse[COLUMNS], expected(db))


def test_25_the_default_drops_synapses_at_or_below_the_threshold(db):
    found = fetch_synapses(db.sampled(), client=db.client)
    above = expected(db)
    above = above[above["confidence"] > db.flat.t]
    assert_same_rows(found[COLUMNS], above)
    assert len(above) < len(expected(db))


def test_24_synapses_show_no_more_properties_than_intended(db, every_synapse):
    properties = db.flat.neuprint.get("roi-synapse-properties") or {}
    wanted = {name for formulas in properties.values() for name in formulas}
    if db.flat.neuprint.get("compartment-column"):
        wanted.add("compartment")
    assert set(every_synapse.columns) - set(COLUMNS) == wanted


def test_26_mean_synapses_average_the_points(db):
    # The client's query for whole neurons knows no list of more than three bodies.
    anything = SynapseCriteria(confidence=0, client=db.client)
    means_of = fetch_mean_synapses(db.sampled(), anything, batch_size=3, by_roi=False, client=db.client)
    found = means_of.set_index(["bodyId", "type"])
    means = expected(db).groupby(["bodyId", "type"])[["x", "confidence"]].mean()
    assert len(found) == len(means)
    found = found.loc[means.index]
    assert (abs(found["x"] - means["x"]) < 0.51).all()  # the client makes it an integer
    assert (abs(found["confidence"] - means["confidence"]) < 1e-5).all()


def test_27_without_neurotransmitters_asking_for_them_is_an_error_and_nothing_else_breaks(db, every_synapse):
    assert db.client.fetch_synapse_nt_keys() == []
    assert not {"nt", "ntProb"} & set(every_synapse.columns)
    with pytest.raises(RuntimeError, match="No neurotransmitter properties found"):
        fetch_synapses(db.sampled(), nt="max", client=db.client)


def test_45_integers_are_integers_and_floats_are_floats(db):
    integers = ["bodyId", "pre", "post", "downstream", "upstream", "synweight"]
    integers += [c for c in ("group", "serial", "size", "mito", "somas", "upstreamPartners") if c in db.neurons]
    for column in integers:
        answer = db.ask(f"MATCH (n:Segment) WHERE n.{column} IS NOT NULL RETURN DISTINCT n.{column} AS value")
        assert {type(row["value"]) for row in answer} == {int}, column
    confidences = db.ask("MATCH (s:Synapse) RETURN DISTINCT s.confidence AS value")
    assert {type(row["value"]) for row in confidences} == {float}


def test_45_without_neurotransmitters_no_segment_has_their_properties(db):
    predicted = {"totalNtPredictions", "predictedNt", "predictedNtConfidence", "celltypePredictedNt", "consensusNt"}
    assert not predicted & set(db.client.fetch_neuron_keys())
    assert "ntSynapseProperties" not in db.client.meta
