"""Checks 7-17: nodes of bodies and their counts."""

import pandas as pd
from neuprint import NeuronCriteria, fetch_custom, fetch_neurons

from tests.neuprint_client.flat import assert_same_rows, plain


def ids(frame):
    return set(frame["bodyId"].tolist())


def body_table(db, columns, table):
    """The given columns of fetch_neurons beside those of a table indexed by body."""
    expected = table[columns].reset_index(names="bodyId")
    assert_same_rows(db.neurons[["bodyId", *columns]], expected)


def test_07_every_body_with_a_synapse_or_element_is_one_segment(db):
    (count,) = fetch_custom("MATCH (n:Segment) RETURN count(n) AS n", client=db.client)["n"]
    bodies = fetch_custom("MATCH (n:Segment) RETURN n.bodyId AS bodyId", client=db.client)
    counted = pd.read_feather(db.flat.out / "neuprint" / "body_elements.feather")
    assert ids(bodies) == db.flat.segments
    assert count == len(bodies) == len(counted) == len(db.flat.segments)


def test_08_neurons_are_the_segments_that_fulfil_the_rule(db):
    bodies = fetch_custom("MATCH (n:Neuron) RETURN n.bodyId AS bodyId", client=db.client)
    assert ids(bodies) == db.flat.neurons
    assert 0 < len(bodies) < len(db.flat.segments)
    stray = fetch_custom("MATCH (n:Neuron) WHERE NOT n:Segment RETURN n.bodyId AS bodyId", client=db.client)
    assert not ids(stray)


def test_09_pre_and_post_of_every_segment_equal_body_stats(db):
    stats = db.flat.B[["pre", "post"]].reindex(db.flat.totals.index).fillna(0).astype(int)
    body_table(db, ["pre", "post"], stats)


def test_10_downstream_counts_the_connections_above_the_threshold(db):
    body_table(db, ["downstream"], db.flat.totals)
    if db.flat.t <= db.flat.config["inputs"]["synapses"]["min-confidence"]:
        body_table(db, ["downstream"], db.flat.B)


def test_11_upstream_equals_post(db):
    assert (db.neurons["upstream"] == db.neurons["post"]).all()


def test_12_synweight_is_upstream_and_downstream_and_partners_are_counted_once(db):
    columns = ["synweight", "upstreamPartners", "downstreamPartners"]
    body_table(db, columns, db.flat.totals)
    assert (db.neurons["synweight"] == db.neurons["upstream"] + db.neurons["downstream"]).all()


def test_13_types_instances_and_statuses_are_the_annotations(db):
    known = db.flat.A.reindex(db.flat.totals.index)
    columns = [c for c in ("type", "instance", "status", "statusLabel") if c in known]
    assert {"type", "instance", "status"} <= set(columns)
    body_table(db, columns, known)


def test_14_soma_locations_are_the_annotated_points(db):
    known = db.flat.A.reindex(db.flat.totals.index)["somaLocation"].map(point)
    found = db.neurons.set_index("bodyId")["somaLocation"].map(point)
    assert found.to_dict() == known.to_dict()
    assert known.notna().any()


def point(value):
    """A point of the annotations: a list, text such as `1,2,3`, or null."""
    return tuple(int(v) for v in value.split(",")) if isinstance(value, str) else plain(value)


def test_15_to_17_counts_by_roi_add_up_to_those_of_the_synapses(db):
    columns = [c for c in ("pre", "post", "downstream", "upstream", "mito") if c in db.neurons]
    expected = db.flat.roi_counts.reset_index()
    primary = expected[expected["roi"].isin(db.flat.primary)].groupby("bodyId")[columns].sum()
    outside = db.flat.totals[columns] - primary.reindex(db.flat.totals.index).fillna(0).astype(int)
    assert (outside >= 0).all(axis=None)
    outside = outside[outside.any(axis=1)].assign(roi="NotPrimary").reset_index(names="bodyId")

    expected = pd.concat([expected[expected[columns].any(axis=1)], outside])
    assert_same_rows(db.roi_counts[["bodyId", "roi", *columns]], expected[["bodyId", "roi", *columns]])


def test_17_neurons_alone_are_returned_without_a_label(db):
    assert ids(fetch_neurons(NeuronCriteria(client=db.client), omit_rois=True, client=db.client)) == db.flat.neurons
