from __future__ import annotations

import re

from flyem_snapshot.outputs.neuprint.indexes import MAX_NAME, index_script
from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings


def script(properties=("type", "instance"), rois=(), element_rois=None, excluded=(), dataset="toy", **indexes):
    meta = {"dataset": dataset, "roiHierarchy": {"CNS": None}}
    config = NeuprintSettings.model_validate({"meta": meta, "indexes": indexes})
    return index_script(config, properties, rois, element_rois or {}, excluded)


def created(text):
    """(label, property) of every plain index."""
    found = re.findall(r"^CREATE INDEX `.*` IF NOT EXISTS FOR \(n:`(.*)`\) ON \(n\.`(.*)`\);$", text, re.MULTILINE)
    return [(label.replace("``", "`"), name.replace("``", "`")) for label, name in found]


def test_body_ids_are_unique_and_the_fixed_indexes_are_there():
    lines = script().splitlines()

    assert lines[0] == (
        "CREATE CONSTRAINT `toy_Segment_bodyId_unique` IF NOT EXISTS "
        "FOR (n:`toy_Segment`) REQUIRE n.`bodyId` IS UNIQUE;"
    )
    assert "CREATE POINT INDEX `toyElementLocation` IF NOT EXISTS FOR (n:`toy_Element`) ON (n.`location`);" in lines
    assert created(script())[:4] == [
        ("Segment", "type"),
        ("Neuron", "type"),
        ("Synapse", "type"),
        ("toy_Synapse", "bodyId"),
    ]


def test_every_segment_property_and_roi_is_indexed_for_both_labels_sorted_except_the_excluded():
    text = script(["type", "notes", "bodyId", "class"], ["b", "a", "c"], excluded=["c"])

    assert created(text)[4:] == [
        (f"toy_{label}", name) for name in ("class", "type", "a", "b") for label in ("Segment", "Neuron")
    ]
    assert ("toy_Segment", "a") not in created(script(rois=["a"], **{"exclude-properties": ["a"]}))


def test_element_labels_are_indexed_without_a_colon_by_body_and_by_roi():
    found = created(script(element_rois={"Mito": ["FB", "ME(R)"], "Soma": []}))

    assert [pair for pair in found if pair[0] in {"toy_Mito", "toy_Soma"}] == [
        ("toy_Mito", "bodyId"),
        ("toy_Mito", "FB"),
        ("toy_Mito", "ME(R)"),
        ("toy_Soma", "bodyId"),
    ]


def test_no_property_is_named_that_does_not_exist():
    text = script([])

    assert created(text) == [("Synapse", "type"), ("toy_Synapse", "bodyId")]
    assert "FULLTEXT" not in text
    assert "ON EACH [n.`instance`];" in script(["instance"])


def test_the_full_text_index_has_the_name_that_the_search_box_asks_for():
    assert (
        "CREATE FULLTEXT INDEX `find_neurons_fulltext_properties_index` IF NOT EXISTS "
        "FOR (n:`toy_Neuron`) ON EACH [n.`type`, n.`instance`];"
    ) in script()


def test_names_of_indexes_are_unique_quoted_and_not_too_long():
    odd = ["O'Brien (L)", "a`b", "x" * 400, "x" * 400 + "y", "bodyId_unique"]
    text = script(rois=odd)
    names = re.findall(r"INDEX `(.*?)` IF NOT|CONSTRAINT `(.*?)` IF NOT", text)
    flat = [first or second for first, second in names]

    assert len(flat) == len(set(flat))
    assert max(map(len, flat)) <= MAX_NAME + 10
    assert {("toy_Neuron", name) for name in odd} <= set(created(text))
    assert "O\\'Brien (L) of toy_Segment' AS done;" in text


def test_nothing_is_indexed_twice():
    found = created(script(["type", "a"], ["a"], {"Synapse": ["a"]}))

    assert len(found) == len(set(found))


def test_each_step_says_so_and_the_end_waits_for_all_indexes():
    lines = script().splitlines()
    steps = [line for line in lines if line.startswith(("CREATE", "CALL"))]

    assert sum(line.startswith("RETURN toString(datetime()) AS time, ") for line in lines) == len(steps)
    assert lines[-4] == "CALL db.awaitIndexes(86400);"
    assert lines[-2:] == ["SHOW DATABASES;", "SHOW INDEXES;"]
    assert all(line.endswith(";") for line in lines)


def test_no_syntax_that_only_one_version_of_neo4j_knows_is_used():
    text = script(rois=["a"])

    assert "ASSERT" not in text
    assert not re.search(r"CREATE (INDEX|CONSTRAINT) ON", text)
