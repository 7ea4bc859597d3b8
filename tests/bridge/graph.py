"""A readable neuPrint database: three neurons, one small segment, four synapses, two ROIs; written by Cypher.

1 (A, Traced) --3--> 2 (B, Traced) --1--> 3 (B, Anchor),  4 is a Segment only
ROIs: `LH(R)`, `O'Brien "x"`
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import neo4j

LH, OB = "LH(R)", 'O\'Brien "x"'
BIG = 2**53 + 1
"""A body that no float can hold; it is the Segment 4 of the picture."""

_COUNTS = ["pre", "post", "downstream", "upstream"]
PROPERTIES = ["bodyId", "type", "instance", "status", *_COUNTS, "somaLocation", "roiInfo"]

META: dict[str, Any] = {
    "dataset": "tiny",
    "tag": "v1.0",
    "uuid": "abc",
    "info": "https://example.org",
    "logo": "logo.png",
    "description": "a test",
    "lastDatabaseEdit": "2026-01-02",
    "postHighAccuracyThreshold": 0.5,
    "primaryRois": [LH, OB],
    "superLevelRois": [LH, OB],
    "overviewRois": [LH, OB],
    "overviewOrder": "explicit",
    "hideDataSet": False,
    "totalPreCount": 5,
    "totalPostCount": 6,
    "roiInfo": json.dumps({LH: {"pre": 5, "post": 4, "isPrimary": True}, OB: {"pre": 0, "post": 2}}),
    "roiHierarchy": json.dumps({"name": "tiny", "children": [{"name": LH}, {"name": OB}]}),
    "neuronProperties": json.dumps(dict.fromkeys(PROPERTIES, "string")),
    "neuronColumnsVisible": json.dumps(["bodyId"]),
    "neuronColumnsOrdered": json.dumps([{"id": "bodyId"}]),
}


def _neuron(
    body: int, kind: str | None, status: str | None, pre: int, post: int, rois: dict[str, Any]
) -> dict[str, Any]:
    counts = {"pre": pre, "post": post, "upstream": post, "downstream": pre}
    flags = dict.fromkeys(rois, True)
    named = {"type": kind, "instance": f"{kind}_R"} if kind else {}
    state = {"status": status} if status else {}
    return {"bodyId": body, **named, **state, **counts, **flags, "roiInfo": json.dumps(rois)}


NEURONS = [
    {
        **_neuron(1, "A", "Traced", 3, 0, {LH: {"pre": 3, "downstream": 3}}),
        "somaLocation": neo4j.spatial.CartesianPoint((10.0, 20.0, 30.0)),
    },
    _neuron(2, "B", "Traced", 1, 3, {LH: {"pre": 1, "post": 2}, OB: {"post": 1}}),
    _neuron(3, "B", "Anchor", 0, 1, {LH: {"post": 1}}),
]
SEGMENTS = [_neuron(BIG, None, None, 0, 0, {})]

FILL = (
    "CREATE (m:Meta:tiny_Meta) SET m = $meta",
    "UNWIND $neurons AS p CREATE (n:Segment:tiny_Segment:Neuron:tiny_Neuron) SET n = p",
    "UNWIND $segments AS p CREATE (n:Segment:tiny_Segment) SET n = p",
    """
    UNWIND $edges AS e MATCH (a:Segment {bodyId: e[0]}), (b:Segment {bodyId: e[1]})
    CREATE (a)-[:ConnectsTo {weight: e[2], weightHP: e[2], roiInfo: e[3]}]->(b)
    CREATE (a)-[:Contains]->(s:SynapseSet:tiny_SynapseSet {type: 'pre'})
    CREATE (b)-[:Contains]->(t:SynapseSet:tiny_SynapseSet {type: 'post'})
    CREATE (s)-[:ConnectsTo]->(t)
    WITH e, s, t UNWIND e[4] AS x
    CREATE (s)-[:Contains]->(p:Synapse:tiny_Synapse {type: 'pre', confidence: 0.9, bodyId: e[0]})
    SET p.location = point({x: x[0], y: x[1], z: x[2], srid: 9157}), p.`LH(R)` = true
    CREATE (t)-[:Contains]->(q:Synapse:tiny_Synapse {type: 'post', confidence: 0.8, bodyId: e[1]})
    SET q.location = point({x: x[0] + 1, y: x[1], z: x[2], srid: 9157}), q.`LH(R)` = true
    CREATE (p)-[:SynapsesTo]->(q)
    """,
)
EDGES: Sequence[Sequence[Any]] = (
    (1, 2, 3, json.dumps({LH: {"post": 2}, OB: {"post": 1}}), [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
    (2, 3, 1, json.dumps({LH: {"post": 1}}), [[10, 11, 12]]),
)


def fill(url: str) -> None:
    """Write the database; whatever was there is gone."""
    parameters = {"meta": META, "neurons": NEURONS, "segments": SEGMENTS, "edges": [list(edge) for edge in EDGES]}
    with neo4j.GraphDatabase.driver(url, auth=None) as driver, driver.session() as session:
        session.run("MATCH (n) DETACH DELETE n").consume()
        for statement in FILL:
            session.run(statement, parameters).consume()
