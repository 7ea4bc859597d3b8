"""Check 51: a database restricted to the connections inside one ROI set."""

from functools import partial

import pytest
from neuprint import SynapseCriteria, fetch_adjacencies, fetch_custom, fetch_synapse_connections

from tests.neuprint_client import odd as inputs
from tests.neuprint_client.flat import PAIR, POST, PRE, UNSPECIFIED, assert_same_rows

ENDS = ["bodyId_pre", "bodyId_post"]
PLACES = [f"{axis}_{side}" for side in ("pre", "post") for axis in "xyz"]
RESTRICTION = {"outputs.neuprint.restrict-connectivity-to-roiset": "layer"}


@pytest.fixture(scope="module")
def restricted(another):
    return another("4.4", partial(inputs.write, **RESTRICTION))


@pytest.fixture(scope="module")
def inside(restricted):
    """The partner rows whose PSD lies in the set."""
    return restricted.flat.P[restricted.flat.P["layer_post"] != UNSPECIFIED]


@pytest.fixture(scope="module")
def touching(restricted, inside):
    """The bodies that have such a row, and the points of all rows that one of them takes part in."""
    bodies = set(inside["body_pre"]) | set(inside["body_post"])
    rows = restricted.flat.P
    rows = rows[rows["body_pre"].isin(bodies) | rows["body_post"].isin(bodies)]
    places = {tuple(p) for side in ("pre", "post") for p in rows[[f"{a}_{side}" for a in "xyz"]].to_numpy().tolist()}
    points = restricted.flat.S
    points = points[[tuple(p) in places for p in points[["x", "y", "z"]].to_numpy().tolist()]]
    return bodies, points[points["body"].isin(bodies)], rows


def test_51_only_connections_inside_the_set_are_returned(restricted, inside):
    client = restricted.client
    found = fetch_synapse_connections(
        restricted.everybody(), restricted.everybody(), SynapseCriteria(confidence=0, client=client), client=client
    )
    weights = inside.groupby(PAIR)["strong"].transform("sum")
    expected = inside[weights > 0].rename(columns=dict(zip(PAIR, ENDS, strict=True)))
    assert_same_rows(found[[*ENDS, *PLACES]], expected[[*ENDS, *PLACES]])
    assert 0 < len(inside) < len(restricted.flat.P)
    count = fetch_custom("MATCH (:Synapse)-[x:SynapsesTo]->(:Synapse) RETURN count(x) AS n", client=client)["n"]
    assert count.tolist() == [len(inside)]


def test_51_weights_count_the_connections_inside_the_set(restricted, inside):
    found = fetch_adjacencies(restricted.everybody(), restricted.everybody(), client=restricted.client)[1]
    summed = found.groupby(ENDS)["weight"].sum().reset_index()
    expected = inside[inside["strong"]].groupby(PAIR).size().reset_index().set_axis([*ENDS, "weight"], axis=1)
    assert_same_rows(summed, expected)


def test_51_segments_are_the_bodies_that_touch_the_set(restricted, touching):
    found = fetch_custom("MATCH (n:Segment) RETURN n.bodyId AS bodyId", client=restricted.client)["bodyId"]
    assert set(found) == touching[0] < restricted.flat.segments


def test_51_counts_of_segments_cover_their_other_connections_too(restricted, touching):
    _, points, rows = touching
    found = restricted.neurons.set_index("bodyId")
    for kind, column in ((PRE, "pre"), (POST, "post")):
        counts = points[points["kind"] == kind].groupby("body").size().reindex(found.index).fillna(0)
        assert (found[column] == counts).all()
    strong = rows[rows["strong"]].groupby("body_pre").size().reindex(found.index).fillna(0)
    assert (found["downstream"] == strong).all()


def test_51_meta_totals_are_those_of_the_sets_rois(restricted, touching):
    points = touching[1]
    layers = points[points["layer"] != UNSPECIFIED]
    meta = restricted.client.meta
    counts = {kind: int((layers["kind"] == kind).sum()) for kind in (PRE, POST)}
    assert (meta["totalPreCount"], meta["totalPostCount"]) == (counts[PRE], counts[POST])
