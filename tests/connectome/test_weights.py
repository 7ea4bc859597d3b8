"""Counts of connections equal those made one by one in Python, and their sums hold."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.connectome.restrict import partners_inside, points_referenced
from flyem_snapshot.connectome.weights import COMPARTMENT_WEIGHTS, body_counts, connection_weights, top_rois
from flyem_snapshot.engine.session import Engine, Limits
from flyem_snapshot.tables.rois import UNSPECIFIED, AssignedSet

BIG = 2**53 + 1  # neighbours of a number that a float would merge
BODIES = st.sampled_from([0, 1, 2, BIG - 1, BIG])
PARTS = st.sampled_from(["axon", "dendrite", "linker", "unknown"])

PARTNER_TYPES = {
    "pre_id": pa.uint64(),
    "post_id": pa.uint64(),
    "body_pre": pa.int64(),
    "body_post": pa.int64(),
    "compartment_pre": pa.string(),
    "compartment_post": pa.string(),
    "roi_combo": pa.int32(),
}
POINT_TYPES = {"point_id": pa.uint64(), "kind": pa.string(), "body": pa.int64(), "my part": pa.string()}


@st.composite
def connectomes(draw):
    """(points, partners): T-bars 100, 200, ... and their PSDs 101, 102, ...; each PSD has one row."""
    points, partners = [], []
    for tbar in range(100, 100 * draw(st.integers(0, 5)) + 1, 100):
        pre = {"point_id": tbar, "kind": "PreSyn", "body": draw(BODIES), "my part": draw(PARTS)}
        points.append(pre)
        for psd in range(1, draw(st.integers(1, 6)) + 1):
            post = {"point_id": tbar + psd, "kind": "PostSyn", "body": draw(BODIES), "my part": draw(PARTS)}
            points.append(post)
            partners.append(
                {
                    "pre_id": tbar,
                    "post_id": tbar + psd,
                    "body_pre": pre["body"],
                    "body_post": post["body"],
                    "compartment_pre": pre["my part"],
                    "compartment_post": post["my part"],
                    "roi_combo": draw(st.integers(0, 3)),
                }
            )
    return points, draw(st.permutations(partners))


def as_table(rows, types):
    return pa.Table.from_pylist(rows, pa.schema(types.items()))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with Engine(Limits(1 << 28, 1, tmp_path_factory.mktemp("spill"))) as session:
        yield session


@pytest.fixture(scope="module")
def query(engine):
    """The rows of a statement over tables `points` and `partners`, as dicts."""

    def _query(statement, points=(), partners=(), **tables):
        known = {"points": as_table(points, POINT_TYPES), "partners": as_table(partners, PARTNER_TYPES), **tables}
        with engine.registered(**known):
            return engine.table(statement).to_pylist()

    return _query


@given(connectomes(), st.booleans())
def test_weights_are_numbers_of_partner_rows(query, connectome, compartments):
    _, partners = connectome

    weights = query(connection_weights("partners", compartments=compartments), partners=partners)

    pairs = Counter((row["body_pre"], row["body_post"]) for row in partners)
    assert {(row["body_pre"], row["body_post"]): row["weight"] for row in weights} == pairs
    assert len(weights) == len(pairs)
    assert sum(row["weight"] for row in weights) == len(partners)


@given(connectomes())
def test_compartment_weights_count_the_rows_between_axons_and_dendrites(query, connectome):
    _, partners = connectome

    weights = query(connection_weights("partners", compartments=True), partners=partners)

    counted = Counter(
        (row["body_pre"], row["body_post"], row["compartment_pre"], row["compartment_post"]) for row in partners
    )
    for row in weights:
        parts = {name: row[name] for name in COMPARTMENT_WEIGHTS}
        pair = (row["body_pre"], row["body_post"])
        assert parts == {
            "weightAxonDendrite": counted[(*pair, "axon", "dendrite")],
            "weightAxonAxon": counted[(*pair, "axon", "axon")],
            "weightDendriteDendrite": counted[(*pair, "dendrite", "dendrite")],
            "weightDendriteAxon": counted[(*pair, "dendrite", "axon")],
        }
        assert sum(parts.values()) <= row["weight"]


@given(connectomes())
def test_body_counts_are_those_counted_one_by_one(query, connectome):
    points, partners = connectome

    counts = {
        row.pop("body"): row for row in query(body_counts("points", "partners", compartment="my part"), *connectome)
    }

    sites = Counter((point["body"], point["kind"]) for point in points)
    inputs = Counter((point["body"], point["my part"]) for point in points if point["kind"] == "PostSyn")
    rows = Counter(row["body_pre"] for row in partners)
    outputs = Counter((row["body_pre"], row["compartment_pre"]) for row in partners)
    assert counts == {
        body: {
            "pre": sites[body, "PreSyn"],
            "post": sites[body, "PostSyn"],
            "downstream": rows[body],
            "synweight": rows[body] + sites[body, "PostSyn"],
            "axonIn": inputs[body, "axon"],
            "dendriteIn": inputs[body, "dendrite"],
            "axonOut": outputs[body, "axon"],
            "dendriteOut": outputs[body, "dendrite"],
        }
        for body in {point["body"] for point in points} - {0}
    }


@given(connectomes())
def test_sums_of_body_counts(query, connectome):
    # Body 0 has no row, so the sums are taken on a connectome without it.
    points = [{**point, "body": point["body"] or 3} for point in connectome[0]]
    partners = [{**r, "body_pre": r["body_pre"] or 3, "body_post": r["body_post"] or 3} for r in connectome[1]]

    counts = query(body_counts("points", "partners", compartment=None), points, partners)

    def total(column):
        return sum(row[column] for row in counts)

    kinds = Counter(point["kind"] for point in points)
    assert (total("pre"), total("post")) == (kinds["PreSyn"], kinds["PostSyn"])
    assert total("downstream") == total("post") == len(partners)
    assert total("synweight") == 2 * len(partners)


def test_the_types_of_counts(engine):
    with engine.registered(points=as_table([], POINT_TYPES), partners=as_table([], PARTNER_TYPES)):
        bodies = engine.table(body_counts("points", "partners", compartment="my part"))
        plain = engine.table(body_counts("points", "partners", compartment=None))

    assert {field.name: str(field.type) for field in bodies.schema} == {
        **dict.fromkeys(("body", "downstream", "synweight"), "int64"),
        **dict.fromkeys(("pre", "post"), "int32"),
        **dict.fromkeys(("axonIn", "dendriteIn", "axonOut", "dendriteOut"), "int64"),
    }
    assert plain.column_names == ["body", "pre", "post", "downstream", "synweight"]


def connection(pre, post, combo):
    return {"body_pre": pre, "body_post": post, "roi_combo": combo}


NAMES = {"roi_combo": [0, 1, 2, 3], "roi": ["ME(R)", "LO(R)", UNSPECIFIED, "ME(R)"]}


def test_top_rois_of_each_side(query):
    partners = [
        connection(1, 2, 0),
        connection(1, 2, 1),
        connection(1, 3, 3),  # another combination in the same ROI as 0
        connection(2, 1, 2),
    ]

    found = query(f"{top_rois('partners', 'names')} ORDER BY body", partners=partners, names=pa.table(NAMES))

    columns = ("body", "top_output_roi", "top_output_roi_weight", "top_input_roi", "top_input_roi_weight")
    assert [tuple(row[column] for column in columns) for row in found] == [
        (1, "ME(R)", 2, UNSPECIFIED, 1),
        (2, UNSPECIFIED, 1, "LO(R)", 1),  # LO(R) and ME(R) once each: the first name
        (3, None, None, "ME(R)", 1),
    ]


@given(connectomes())
def test_top_rois_are_the_most_frequent_ones_and_the_first_by_name_among_equals(query, connectome):
    _, partners = connectome

    found = query(top_rois("partners", "names"), partners=partners, names=pa.table(NAMES))

    def top(side, body):
        rois = Counter(NAMES["roi"][row["roi_combo"]] for row in partners if row[f"body_{side}"] == body)
        return min(((-count, roi) for roi, count in rois.items()), default=(None, None))

    assert {row["body"] for row in found} == {row[f"body_{side}"] for row in partners for side in ("pre", "post")}
    for row in found:
        for side, kind in (("pre", "output"), ("post", "input")):
            count, roi = top(side, row["body"])
            assert row[f"top_{kind}_roi"] == roi
            assert row[f"top_{kind}_roi_weight"] == (count and -count)


@given(connectomes(), st.sets(st.integers(0, 3)))
def test_restriction_keeps_connections_whose_psd_is_inside_and_their_points(engine, query, connectome, inside):
    points, partners = connectome
    roi_set = AssignedSet("s", {UNSPECIFIED: 0, "in": 1}, np.array([int(c in inside) for c in range(4)], np.int32))

    kept = query(partners_inside("partners", roi_set), points, partners)
    needed = query(points_referenced("points", f"({partners_inside('partners', roi_set)})"), points, partners)

    assert kept == [row for row in partners if row["roi_combo"] in inside]
    ids = {row[f"{side}_id"] for row in kept for side in ("pre", "post")}
    assert sorted(p["point_id"] for p in needed) == sorted(ids)
