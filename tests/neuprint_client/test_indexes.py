"""Checks 46 and 47: constraints, indexes, and the search that neuPrintExplorer uses."""

import re

from neuprint import fetch_custom

INDEX = "find_neurons_fulltext_properties_index"


def test_46_all_indexes_are_online_and_two_constraints_hold(db):
    indexes = db.ask("SHOW INDEXES")
    assert {row["state"] for row in indexes} == {"ONLINE"}
    assert {row["populationPercent"] for row in indexes} == {100.0}

    label = db.dataset.partition(":")[0]
    named = {row["name"]: row for row in indexes}
    assert named[INDEX]["type"] == "FULLTEXT"
    assert named[INDEX]["labelsOrTypes"] == [f"{label}_Neuron"]
    points = named[f"{label}ElementLocation"]
    assert (points["type"], points["labelsOrTypes"]) == ("POINT", [f"{label}_Element"])
    assert points["properties"] == ["location"]

    constraints = db.ask("SHOW CONSTRAINTS")
    assert sorted(tuple(row["labelsOrTypes"] + row["properties"]) for row in constraints) == [
        (f"{label}_Neuron", "bodyId"),
        (f"{label}_Segment", "bodyId"),
    ]


def test_46_each_segment_property_has_an_index(db):
    label = db.dataset.partition(":")[0]
    indexed = {
        tuple(row["properties"]) for row in db.ask("SHOW INDEXES") if row["labelsOrTypes"] == [f"{label}_Segment"]
    }
    assert {("bodyId",), ("type",), ("status",), ("pre",), ("post",)} <= indexed
    assert {(roi,) for roi in db.flat.primary} <= indexed
    assert ("roiInfo",) not in indexed


def test_46_the_index_finds_elements_by_location(db):
    point = db.flat.S.iloc[0]
    query = "MATCH (s:Element) WHERE s.location = point({x: $x, y: $y, z: $z, srid: 9157}) RETURN s.bodyId AS body"
    found = db.ask(query, **{axis: int(point[axis]) for axis in "xyz"})
    assert [row["body"] for row in found] == [point["body"]]


def test_47_a_full_text_query_finds_neurons_by_part_of_a_word(db):
    columns = [c for c in ("type", "instance", "synonyms") if c in db.flat.A]
    for part in db.search_words:
        known = db.flat.A.reindex(sorted(db.flat.neurons))[columns].fillna("")
        expected = {
            body
            for body, texts in zip(known.index, known.to_numpy(), strict=True)
            if any(part in word for text in texts for word in re.findall(r"\w+", text.lower()))
        }
        query = f"CALL db.index.fulltext.queryNodes('{INDEX}', '*{part}*') YIELD node RETURN node.bodyId AS bodyId"
        assert set(fetch_custom(query, client=db.client)["bodyId"]) == expected
        assert expected
