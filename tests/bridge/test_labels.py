"""Queries are rewritten for one dataset, and nothing else in them is touched."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.bridge.labels import LABELS, dataset_label, rewrite

UNTOUCHED = [
    "MATCH (:Synapse2) RETURN 1",
    "MATCH ()-[:SynapsesTo]->() RETURN count(*)",
    "MATCH (n:Mito) RETURN n",
    "MATCH (n:NeuronX:MetaData:Elements)",
    "MATCH (n:`hb_Neuron`) RETURN n",
    "RETURN ':Neuron'",
    'RETURN ":Neuron \\" :Neuron"',
    "RETURN 'it\\'s :Neuron'",
    "RETURN n.`a :Neuron (R)`",
    "RETURN n.`a``:Neuron`",
    "// :Neuron\nRETURN 1",
    "/* (n:Neuron) */ RETURN 1",
    "RETURN {key: Neuron}",
    "RETURN 'unfinished :Neuron",
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("MATCH (n:Neuron) RETURN n", "MATCH (n:`hb_Neuron`) RETURN n"),
        ("MATCH (n :Segment {bodyId: 1})", "MATCH (n :`hb_Segment` {bodyId: 1})"),
        ("MATCH (n:`Neuron`)", "MATCH (n:`hb_Neuron`)"),
        ("MATCH (s: Synapse {type:'pre'})", "MATCH (s: `hb_Synapse` {type:'pre'})"),
        ("MATCH (:SynapseSet)-->(:Synapse)", "MATCH (:`hb_SynapseSet`)-->(:`hb_Synapse`)"),
        ("MATCH (:ElementSet)-->(:Element)", "MATCH (:`hb_ElementSet`)-->(:`hb_Element`)"),
        ("MATCH (:Synapse)-[:SynapsesTo]->(:Synapse)", "MATCH (:`hb_Synapse`)-[:SynapsesTo]->(:`hb_Synapse`)"),
        ("MATCH (m:Meta) WHERE m:Meta", "MATCH (m:`hb_Meta`) WHERE m:`hb_Meta`"),
        ("MATCH (c:Cell)", "MATCH (c:`hb_Cell`)"),
        ("MATCH (n:Segment:Neuron)", "MATCH (n:`hb_Segment`:`hb_Neuron`)"),
        ("MATCH (n) WHERE (n:Neuron) OR n.x = ':Neuron'", "MATCH (n) WHERE (n:`hb_Neuron`) OR n.x = ':Neuron'"),
        ("CALL { MATCH (n:Neuron) RETURN n }", "CALL { MATCH (n:`hb_Neuron`) RETURN n }"),
        (
            'CALL apoc.cypher.runTimeboxed("MATCH (n:Neuron) RETURN n", {}, 5)',
            'CALL apoc.cypher.runTimeboxed("MATCH (n:`hb_Neuron`) RETURN n", {}, 5)',
        ),
    ],
)
def test_a_label_becomes_that_of_the_dataset(query, expected):
    assert rewrite(query, "hb:v1.2") == expected


@pytest.mark.parametrize("query", UNTOUCHED)
def test_what_is_no_label_stays(query):
    assert rewrite(query, "hb:v1.2") == query


def test_a_dataset_without_tag_and_one_with_a_back_tick_are_quoted():
    assert dataset_label("manc", "Neuron") == "`manc_Neuron`"
    assert dataset_label("a`b:v1", "Neuron") == "`a``b_Neuron`"


@given(st.text(alphabet="ab:`'\"\\/*\n ({[)]}NeuronMetaSynapse", max_size=60))
def test_rewriting_twice_is_rewriting_once(query):
    once = rewrite(query, "ds:v1")
    assert rewrite(once, "ds:v1") == once


@given(st.text(max_size=40), st.sampled_from(LABELS))
def test_without_the_prefix_the_query_is_the_old_one(text, label):
    query = f"MATCH (n:{label}) {text}"
    assert rewrite(query, "ds").replace("`ds_", "").replace("`", "") == query.replace("`", "")


@pytest.mark.parametrize("piece", ["'\\", "\\'", '"', "/*", "`", "(:", "'a' "])
def test_the_time_grows_with_the_length_only(piece):
    started = time.perf_counter()
    rewrite(piece * 200_000, "ds")
    assert time.perf_counter() - started < 5
