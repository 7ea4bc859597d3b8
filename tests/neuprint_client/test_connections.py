"""Checks 18-23 and 28-34: pairs of bodies, their synapse sets, and single connections."""

import pandas as pd
import pytest
from neuprint import (
    SynapseCriteria,
    fetch_adjacencies,
    fetch_custom,
    fetch_simple_connections,
    fetch_synapse_connections,
)

from tests.neuprint_client.flat import COMPARTMENT_WEIGHTS, PAIR, UNSPECIFIED, assert_same_rows, rows

ENDS = ["bodyId_pre", "bodyId_post"]
PLACES = [f"{axis}_{side}" for side in ("pre", "post") for axis in "xyz"]
EDGES = "MATCH (n:Segment)-[e:ConnectsTo]->(m:Segment)"
NAMES = "n.bodyId AS bodyId_pre, m.bodyId AS bodyId_post"


@pytest.fixture(scope="module")
def every_connection(db):
    """fetch_synapse_connections between the sampled bodies and all others, without a threshold."""
    anybody = SynapseCriteria(confidence=0, client=db.client)
    return fetch_synapse_connections(db.sampled(), db.everybody(), anybody, client=db.client)


def test_18_adjacencies_sum_to_the_connections_above_the_threshold(db):
    bodies, pairs = fetch_adjacencies(db.everybody(), db.everybody(), client=db.client)  # a warning is an error here
    summed = pairs.groupby(ENDS)["weight"].sum().reset_index()
    expected = db.flat.strong_pairs()[[*ENDS, "weight"]]
    assert_same_rows(summed, expected)
    assert set(bodies["bodyId"]) == set(expected["bodyId_pre"]) | set(expected["bodyId_post"])


def test_19_weight_hr_is_the_flat_weight(db):
    found = fetch_custom(f"{EDGES} RETURN {NAMES}, e.weightHR AS weight", client=db.client)
    expected = db.flat.W[[*PAIR, "weight"]].set_axis([*ENDS, "weight"], axis=1)
    assert_same_rows(found, expected)


def test_20_weight_hp_counts_the_connections_above_the_high_threshold(db):
    (total,) = fetch_custom(f"{EDGES} RETURN sum(e.weightHP) AS total", client=db.client)["total"]
    assert total == (db.flat.P["conf_post"] >= max(db.flat.h, db.flat.t)).sum()
    found = fetch_custom(f"{EDGES} RETURN {NAMES}, e.weight AS weight, e.weightHP AS weightHP", client=db.client)
    expected = db.flat.pairs.reset_index()[[*PAIR, "weight", "weightHP"]].set_axis(found.columns, axis=1)
    assert_same_rows(found, expected)


def test_21_pairs_with_weak_connections_only_have_weight_0_and_no_roi(db):
    found = fetch_custom(f"{EDGES} WHERE e.weight = 0 RETURN {NAMES}, e.roiInfo AS roiInfo", client=db.client)
    weak = db.flat.pairs[db.flat.pairs["weight"] == 0].reset_index()[PAIR]
    assert_same_rows(found, weak.set_axis(ENDS, axis=1).assign(roiInfo="{}"))


def test_22_adjacencies_of_one_roi_count_the_connections_whose_psd_lies_in_it(db):
    strong = db.flat.P[db.flat.P["strong"]]
    for roi in db.flat.primary:
        inside = strong[strong[f"{db.flat.primary_set}_post"] == roi].groupby(PAIR).size().reset_index()
        if len(inside):
            _, found = fetch_adjacencies(db.everybody(), db.everybody(), rois=[roi], client=db.client)
            assert set(found["roi"]) == {roi}
            assert_same_rows(found[[*ENDS, "weight"]], inside.set_axis([*ENDS, "weight"], axis=1))


def test_23_simple_connections_come_by_falling_weight(db):
    found = fetch_simple_connections(db.everybody(), db.everybody(), min_weight=3, client=db.client)
    expected = db.flat.strong_pairs()
    assert_same_rows(found[[*ENDS, "weight"]], expected[expected["weight"] >= 3][[*ENDS, "weight"]])
    assert found["weight"].is_monotonic_decreasing


def test_28_synapse_connections_are_the_partner_rows_of_pairs_with_a_weight(db, every_connection):
    expected = db.flat.of_strong_pairs()
    columns = [*ENDS, *PLACES, "confidence_pre", "confidence_post"]
    assert_same_rows(every_connection[columns], expected[expected["bodyId_pre"].isin(db.sample)][columns])


def test_29_the_default_drops_connections_with_an_end_at_or_below_the_threshold(db):
    found = fetch_synapse_connections(db.sampled(), db.everybody(), client=db.client)
    expected = db.flat.of_strong_pairs()
    expected = expected[expected["bodyId_pre"].isin(db.sample)]
    above = expected[(expected["confidence_pre"] > db.flat.t) & (expected["confidence_post"] > db.flat.t)]
    assert_same_rows(found[[*ENDS, *PLACES]], above[[*ENDS, *PLACES]])
    assert len(above) < len(expected)


def test_30_a_connection_has_the_rois_of_its_two_ends(db, every_connection):
    expected = db.flat.of_strong_pairs()
    columns = [*ENDS, *PLACES, "roi_pre", "roi_post"]
    assert_same_rows(every_connection[columns], expected[expected["bodyId_pre"].isin(db.sample)][columns])
    assert expected["roi_post"].isna().any()
    assert UNSPECIFIED not in set(every_connection["roi_post"])


def test_31_every_partner_row_is_one_synapses_to(db):
    query = "MATCH (:Synapse)-[x:SynapsesTo]->(:Synapse) RETURN count(x) AS n"
    assert fetch_custom(query, client=db.client)["n"].tolist() == [len(db.flat.P)]


def test_32_every_pair_has_two_synapse_sets(db):
    query = "MATCH (s:SynapseSet) RETURN s.type AS type, count(s) AS n"
    assert rows(fetch_custom(query, client=db.client)) == {("pre", len(db.flat.W)): 1, ("post", len(db.flat.W)): 1}


def test_33_a_pre_set_holds_the_tbars_of_its_pair_and_a_post_set_the_psds(db):
    query = """
        MATCH (n:Segment)-[:Contains]->(a:SynapseSet)-[:ConnectsTo]->(b:SynapseSet)<-[:Contains]-(m:Segment)
        MATCH ({})-[:Contains]->(s:Synapse)
        RETURN n.bodyId AS body_pre, m.bodyId AS body_post, count(s) AS count
    """
    tbars = db.flat.P.drop_duplicates([*PAIR, "x_pre", "y_pre", "z_pre"])
    for which, members in (("a", tbars), ("b", db.flat.P)):
        found = fetch_custom(query.replace("{}", which), client=db.client)
        assert_same_rows(found, members.groupby(PAIR).size().reset_index(name="count"))


def test_34_a_pre_set_leads_to_exactly_one_post_set_of_one_partner(db):
    query = """
        MATCH (n:Segment)-[:Contains]->(a:SynapseSet {type: 'pre'})
        OPTIONAL MATCH (a)-[x:ConnectsTo]->(b)
        OPTIONAL MATCH (b)<-[:Contains]-(m:Segment)
        WITH n, a, count(x) AS posts, count(m) AS partners, collect(b.type) AS types, collect(m.bodyId) AS m
        RETURN n.bodyId AS body_pre, m[0] AS body_post, posts, partners, types
    """
    expected = db.flat.W[PAIR].assign(posts=1, partners=1, types=[("post",)] * len(db.flat.W))
    assert_same_rows(fetch_custom(query, client=db.client), expected)


def test_44_compartment_weights_are_counted_above_the_threshold(db):
    if "weightAxonAxon" not in db.flat.pairs:
        keys = fetch_custom(f"{EDGES} UNWIND keys(e) AS key RETURN DISTINCT key", client=db.client)["key"]
        assert set(keys) == {"weight", "weightHP", "weightHR", "roiInfo"}
        return
    columns = list(COMPARTMENT_WEIGHTS)
    found = fetch_custom(
        f"{EDGES} RETURN {NAMES}, " + ", ".join(f"e.{c} AS {c}" for c in columns), client=db.client
    ).fillna(0)
    expected = db.flat.pairs.reset_index()[[*PAIR, *columns]]
    assert_same_rows(found, expected.set_axis([*ENDS, *columns], axis=1))

    points = db.flat.S[db.flat.S["kind"] == "PostSyn"]
    strong = db.flat.P[db.flat.P["strong"]]
    for name in ("axon", "dendrite"):
        ins = points[points["compartment"] == name].groupby("body").size()
        outs = strong[strong["compartment_pre"] == name].groupby("body_pre").size()
        counted = pd.DataFrame({f"{name}In": ins, f"{name}Out": outs}, index=db.flat.totals.index)
        columns = list(counted)
        expected = counted.fillna(0).astype(int).reset_index(names="bodyId")
        assert_same_rows(db.neurons[["bodyId", *columns]], expected)
