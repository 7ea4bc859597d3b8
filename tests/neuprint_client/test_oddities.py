"""Checks 48-50: what is hard to carry through CSV, importer, server and JSON arrives unchanged."""

import json

import pandas as pd
import pytest
from neuprint import NeuronCriteria, SynapseCriteria, fetch_adjacencies, fetch_custom, fetch_neurons, fetch_synapses

from tests.neuprint_client import odd as inputs
from tests.neuprint_client.flat import assert_same_rows, plain


@pytest.mark.parametrize("body", inputs.STRONG)
def test_48_a_large_body_id_is_the_same_everywhere(odd, body):
    one, anything = NeuronCriteria(bodyId=body, client=odd.client), SynapseCriteria(confidence=0, client=odd.client)
    found, _ = fetch_neurons(one, client=odd.client)
    assert found["bodyId"].tolist() == [body]
    synapses = fetch_synapses(one, anything, client=odd.client)
    assert set(synapses["bodyId"]) == {body}
    assert len(synapses) == (odd.flat.S["body"] == body).sum()
    _, pairs = fetch_adjacencies(one, odd.everybody(), client=odd.client)
    assert set(pairs["bodyId_pre"]) == {body}
    expected = odd.flat.strong_pairs()
    assert set(pairs["bodyId_post"]) == set(expected[expected["bodyId_pre"] == body]["bodyId_post"])
    on_it = odd.ask("MATCH (s:Element {bodyId: $body}) RETURN count(s) AS n", body=body)
    of_elements = sum((table["body"] == body).sum() for table in odd.flat.elements.values())
    assert on_it[0]["n"] == len(synapses) + of_elements


def test_48_neighbouring_ids_beyond_a_floats_precision_stay_apart(odd):
    bodies = {row["b"] for row in odd.ask("MATCH (n:Segment) RETURN n.bodyId AS b")}
    assert {inputs.INT53 - 1, inputs.INT53 + 1, inputs.INT53 + 3, inputs.INT63} <= bodies
    assert inputs.INT53 not in bodies


def test_49_texts_arrive_character_by_character(odd):
    table = inputs.annotations().set_index("body")
    query = "MATCH (n:Segment) WHERE n.statusLabel IS NOT NULL OR n.instance IS NOT NULL OR n.type IS NOT NULL"
    found = fetch_custom(
        f"{query} RETURN n.bodyId AS bodyId, n.type AS type, n.instance AS instance, n.synonyms AS synonyms, "
        "n.group AS `group`, n.serial AS serial, n.somaRadius AS somaRadius, n.cropped AS cropped, n.class AS class",
        client=odd.client,
    )
    expected = table.rename(columns={"soma_radius": "somaRadius"}).reset_index(names="bodyId")
    expected["class"] = expected["class"].replace({"": None})
    columns = ["bodyId", "type", "instance", "synonyms", "serial", "somaRadius", "cropped", "class"]
    assert_same_rows(found[columns], expected[columns])
    answer = odd.ask("MATCH (n:Segment) WHERE n.group IS NOT NULL RETURN n.bodyId AS b, n.group AS g")
    groups = {row["b"]: row["g"] for row in answer}
    assert groups == {body: group for body, group in table["group"].items() if group is not pd.NA}


@pytest.mark.parametrize("text", [t for texts in inputs.TEXTS.values() for t in texts if t])
def test_49_a_text_is_found_by_its_value(odd, text):
    found = odd.ask("MATCH (n:Segment) WHERE n.type = $text OR n.instance = $text RETURN n.bodyId AS b", text=text)
    assert {row["b"] for row in found} == {body for body, texts in inputs.TEXTS.items() if text in texts}


def test_49_texts_of_elements_and_of_meta_arrive(odd):
    notes = {row["b"]: row["t"] for row in odd.ask("MATCH (s:Soma) RETURN s.bodyId AS b, s.note AS t")}
    somata = inputs.somata()
    assert notes == dict(zip(somata["body"], map(plain, somata["note"]), strict=True))
    assert odd.client.meta["description"] == inputs.META["description"]
    assert odd.client.meta["roiInfo"][inputs.OB]["description"] == inputs.META["roiDescriptions"][inputs.OB]


def test_49_a_property_without_values_is_not_there(odd):
    keys = odd.client.fetch_neuron_keys()
    assert "allEmpty" not in keys
    present = {row["k"] for row in odd.ask("MATCH (n:Segment) UNWIND keys(n) AS k RETURN DISTINCT k")}
    assert set(keys) == present - set(odd.client.all_rois)


def test_49_sizes_beyond_32_bits_arrive(odd):
    found = {row["b"]: row["s"] for row in odd.ask("MATCH (n:Segment) RETURN n.bodyId AS b, n.size AS s")}
    assert {b: s for b, s in found.items() if s} == dict(zip(*inputs.sizes().to_numpy().T.tolist(), strict=True))


def test_50_roi_names_are_the_same_in_flags_roi_info_and_hierarchy(odd):
    known = set(inputs.ALL_ROIS)
    flags = set()
    for row in odd.ask("MATCH (n:Segment) RETURN properties(n) AS p"):
        properties = row["p"]
        set_flags = {key for key in properties if key in known}
        assert {properties[key] for key in set_flags} <= {True}
        assert set_flags == set(json.loads(properties["roiInfo"]))
        flags |= set_flags
    assert flags == known == set(odd.client.meta["roiInfo"])

    def names(node):
        return {node["name"]}.union(*(names(child) for child in node.get("children", ())))

    assert names(odd.client.meta["roiHierarchy"]) == known | {"brain"}


def test_50_synapses_and_elements_carry_the_flags_of_all_their_rois(odd):
    sets = odd.flat.roi_sets
    names = odd.flat.S[sets].to_numpy().tolist()
    places = odd.flat.S[["x", "y", "z"]].itertuples(index=False, name=None)
    expected = {place: {roi for roi in row if roi in inputs.ALL_ROIS} for place, row in zip(places, names, strict=True)}
    for name, table in odd.flat.elements.items():
        for row in table.to_dict("records"):
            rois = {row[s] for s in odd.flat.element_sets(name)}
            expected[row["x"], row["y"], row["z"]] = rois & set(inputs.ALL_ROIS)
    found = {}
    for row in odd.ask("MATCH (e:Element) RETURN e.location AS place, properties(e) AS p"):
        found[tuple(int(v) for v in row["place"])] = {key for key in row["p"] if key in inputs.ALL_ROIS}
    assert found == expected


def test_50_formulas_on_roi_numbers_become_properties(odd):
    rows = odd.ask("MATCH (s:Synapse) WHERE s.layerNumber IS NOT NULL RETURN s.location AS place, s.layerNumber AS n")
    found = {tuple(int(v) for v in row["place"]): row["n"] for row in rows}
    layers = odd.flat.S[odd.flat.S["layer"].isin(inputs.LAYERS)]
    assert found == {
        (x, y, z): inputs.LAYERS[layer] % 100 for x, y, z, layer in layers[[*"xyz", "layer"]].itertuples(index=False)
    }


def test_50_the_connectome_has_what_these_tests_are_about(odd):
    flat = odd.flat
    assert (flat.P["body_pre"] == flat.P["body_post"]).any()
    assert (flat.pairs["weight"] == 0).any()
    assert (flat.S["conf"] == flat.t).any()
    assert inputs.GLIA in flat.segments
    assert inputs.GLIA not in flat.neurons
    assert {inputs.ELEMENT_ONLY, inputs.ANNOTATED_ONLY} <= flat.segments - set(flat.S["body"])
    assert (flat.P["primary_pre"] != flat.P["primary_post"]).any()
    assert (flat.S["x"] < 0).any()
    assert set(flat.elements["mito"]["body"]) - set(flat.S["body"])
