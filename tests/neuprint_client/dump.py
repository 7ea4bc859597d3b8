"""The whole content of a database in an order that depends on nothing but the content, as digests."""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

_PLACE = "[{0}.location.x, {0}.location.y, {0}.location.z]"
_NODES = "MATCH (n) RETURN labels(n) AS labels, properties(n) AS properties"
_OWNED = "(o:Segment)-[:Contains]->(s)"

# Nodes are known by what they say: bodies by their id, points by their place, sets by their owner and partner.
QUERIES = {
    "nodes": _NODES,
    "relationships": "MATCH ()-[e]->() RETURN type(e) AS type, count(e) AS n",
    "ConnectsTo": """
        MATCH (n:Segment)-[e:ConnectsTo]->(m:Segment)
        RETURN n.bodyId AS source, m.bodyId AS target, properties(e) AS properties
    """,
    "SynapsesTo": f"""
        MATCH (a:Synapse)-[e:SynapsesTo]->(b:Synapse)
        RETURN {_PLACE.format("a")} AS source, {_PLACE.format("b")} AS target, properties(e) AS properties
    """,
    "CloseTo": f"""
        MATCH (a)-[e:CloseTo]->(b)
        RETURN {_PLACE.format("a")} AS source, {_PLACE.format("b")} AS target, properties(e) AS properties
    """,
    "SynapseSets": f"""
        MATCH {_OWNED} WHERE s:SynapseSet
        MATCH (s)-[e:ConnectsTo]-(t:SynapseSet)<-[:Contains]-(p:Segment)
        MATCH (s)-[:Contains]->(x)
        RETURN o.bodyId AS owner, p.bodyId AS partner, startNode(e) = s AS sends, s.type AS type,
               labels(s) AS labels, {_PLACE.format("x")} AS member
    """,
    "ElementSets": f"""
        MATCH {_OWNED} WHERE NOT s:SynapseSet
        MATCH (s)-[:Contains]->(x)
        RETURN o.bodyId AS owner, s.type AS type, labels(s) AS labels, {_PLACE.format("x")} AS member
    """,
}


def digests(ask: Callable[[str], Iterable[dict[str, Any]]]) -> dict[str, tuple[int, str]]:
    """Of each query of QUERIES, the number of rows and a digest of the sorted rows."""
    return {name: _digest(ask(query)) for name, query in QUERIES.items()}


def _digest(answer: Iterable[dict[str, Any]]) -> tuple[int, str]:
    lines = sorted(json.dumps(_plain(row), sort_keys=True) for row in answer)
    return len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Labels in order; points as lists; everything else as it is."""
    plain = {}
    for key, value in row.items():
        if key == "labels":
            plain[key] = sorted(value)
        elif isinstance(value, dict):
            plain[key] = _plain(value)
        else:
            plain[key] = list(value) if isinstance(value, tuple) else value  # a point is a tuple
    return plain
