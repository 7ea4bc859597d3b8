"""What a real Neo4j holds after the import of hand-written files."""

import json
from collections import Counter

from tests.neo4j.tiny_neuprint import BIG_BODY, NODES, ODD_TEXT, POST, PRE, RELATIONSHIPS, ROIS, SMALL_BODY


def test_every_node_and_relationship_arrives_and_nothing_is_bad(imported, session):
    _, snapshot = imported
    assert session.run("MATCH (n) RETURN count(n)").single().value() == NODES
    assert session.run("MATCH ()-[r]->() RETURN count(r)").single().value() == RELATIONSHIPS
    report = snapshot / "neo4j-logs" / "import.report"
    assert not report.exists() or not report.read_text()


def kind_of(labels):
    """The most special of a node's labels; a Synapse is an Element, too, and labels have no order."""
    return next(kind for kind in ("Synapse", "SynapseSet", "ElementSet", "Element", "Segment") if kind in labels)


def test_relationships_have_their_types_and_directions(session):
    rows = session.run("MATCH (a)-[r]->(b) RETURN labels(a), type(r), labels(b)").values()
    found = Counter((kind_of(a), relationship, kind_of(b)) for a, relationship, b in rows)
    assert sorted((*ends, number) for ends, number in found.items()) == [
        ("ElementSet", "Contains", "Element", 1),
        ("Segment", "ConnectsTo", "Segment", 1),
        ("Segment", "Contains", "ElementSet", 1),
        ("Segment", "Contains", "SynapseSet", 2),
        ("Synapse", "CloseTo", "Element", 1),
        ("Synapse", "SynapsesTo", "Synapse", 1),
        ("SynapseSet", "ConnectsTo", "SynapseSet", 1),
        ("SynapseSet", "Contains", "Synapse", 2),
    ]


def test_values_round_trip(session):
    body = dict(session.run("MATCH (n:tst_Neuron) RETURN n").single().value())
    assert body == {
        "bodyId": BIG_BODY,
        "post": 1,
        "type": ODD_TEXT,
        "roiInfo": '{"ME(R)": {"post": 1}}',
        "size": 2**40,
        **dict.fromkeys(ROIS, True),
    }
    assert session.run("MATCH (m:Meta) RETURN m.primaryRois").single().value() == list(ROIS)
    assert session.run("MATCH (m:Meta) RETURN m.hideDataSet").single().value() is False


def test_points_are_points(session):
    location = session.run("MATCH (s:Synapse {type: 'pre'}) RETURN s.location").single().value()
    assert (*location, location.srid) == (147126.0, 1593.0, 1210.0, 9157)
    query = "MATCH (s:Synapse)-[c:CloseTo]->(:tst_Mito) RETURN s.bodyId, c.distance"
    assert session.run(query).single().values() == [SMALL_BODY, 1.5]


def test_a_neuron_is_found_by_its_text(session):
    query = "CALL db.index.fulltext.queryNodes('find_neurons_fulltext_properties_index', 'semicolon') YIELD node"
    assert session.run(f"{query} RETURN node.bodyId").value() == [BIG_BODY]


def test_all_indexes_are_online(imported, session):
    _, snapshot = imported
    states = dict(session.run("SHOW INDEXES YIELD name, state").values())
    assert set(states.values()) == {"ONLINE"}
    assert states.keys() >= {"tst_SegmentBody", "tstElementLocation", "flag", "find_neurons_fulltext_properties_index"}
    note = json.loads((snapshot / "neo4j" / "ingest.json").read_text())
    assert sorted(note["indexes"]) == sorted(states)


def test_the_finished_folder_says_what_made_it(imported):
    version, snapshot = imported
    note = json.loads((snapshot / "neo4j" / "ingest.json").read_text())
    assert (note["neo4j"], note["nodes"], note["relationships"]) == (version, NODES, RELATIONSHIPS)
    assert "default_database=data" in (snapshot / "neo4j" / "conf" / "neo4j.conf").read_text()


def test_nothing_is_left_beside_the_database_and_its_logs(imported):
    _, snapshot = imported
    assert {path.name for path in snapshot.iterdir()} == {"neuprint", "neo4j", "neo4j-logs", ".neo4j-lock"}
    assert {"import.log", "indexes.log", "states.log", "server.log", "console.log"} <= {
        path.name for path in (snapshot / "neo4j-logs").iterdir()
    }


def test_point_ids_are_those_of_the_files(session):
    # They are the importer's own keys, so they can only be seen in the relationships that they made.
    query = "MATCH (a)-[:SynapsesTo]->(b) RETURN a.type, a.bodyId, b.type, b.bodyId"
    assert session.run(query).single().values() == ["pre", SMALL_BODY, "post", BIG_BODY]
    assert PRE > 2**52 > POST
