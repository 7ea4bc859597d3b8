from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from flyem_snapshot.config.model import Section
from flyem_snapshot.config.schema import json_schema, node_at, resolved, schema_text, validator

DOCUMENT = {"inputs": {"synapses": {"synapse-points": "a", "synapse-partners": "b"}}}


@pytest.fixture(scope="module")
def schema(model):
    return json_schema(model)


def nodes(value):
    """All mappings within a schema."""
    if isinstance(value, dict):
        yield value
        for entry in value.values():
            yield from nodes(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from nodes(entry)


def test_it_is_a_schema_of_draft_2020_12(schema):
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_setting_and_section_is_described(schema):
    entries = [(key, entry) for node in nodes(schema) for key, entry in node.get("properties", {}).items()]
    undescribed = [key for key, entry in entries if not resolved(entry, schema)["description"].strip()]

    assert len(entries) > 40
    assert not undescribed


def test_sections_allow_no_unknown_keys_and_have_no_generated_titles(schema):
    sections = [node for node in nodes(schema) if "properties" in node and node.get("type") != "string"]
    assert len(sections) == 17
    assert all(
        isinstance(node["additionalProperties"], dict) or node["additionalProperties"] is False for node in sections
    )
    assert [node["title"] for node in nodes(schema) if isinstance(node.get("title"), str)] == [
        "flyem-snapshot configuration"
    ]


def test_keys_are_in_kebab_case(schema):
    keys = [key for node in nodes(schema) for key in node.get("properties", {})]
    assert "min-confidence" in keys
    assert not [key for key in keys if "_" in key]


def test_a_setting_carries_its_default_bounds_and_fallback(schema):
    confidence = node_at(schema, ("inputs", "synapses", "min-confidence"))
    processes = node_at(schema, ("inputs", "synapses", "processes"))

    assert (confidence["type"], confidence["default"], confidence["minimum"], confidence["maximum"]) == (
        "number",
        0.0,
        0,
        1,
    )
    assert processes["description"].endswith("If not set: the value of job-settings.processes.")


@pytest.mark.parametrize(
    ("key", "value", "valid"),
    [
        ("zone", "", True),
        ("zone", None, True),
        ("zone", "brain", True),
        ("zone", "leg", False),
        ("processes", None, True),
        ("processes", "", True),
        ("processes", 0, False),
        ("processes", 2.0, False),
        ("processes", True, False),
        ("min-confidence", 1, True),
        ("min-confidence", float("nan"), False),
        ("min-confidence", None, False),
        ("roi-set-names", None, True),
        ("roi-set-names", ["a"], True),
        ("roi-set-names", "a", False),
        ("synapse-points", "", True),
        ("permit-body-0", "no", False),
    ],
)
def test_values_are_judged_as_yaml_writes_them(schema, key, value, valid):
    document = {"inputs": {"synapses": {**DOCUMENT["inputs"]["synapses"], key: value}}}

    assert validator(schema).is_valid(document) is valid


def test_a_section_of_comments_alone_is_empty(schema):
    assert validator(schema).is_valid(
        {"inputs": {**DOCUMENT["inputs"], "rois": None, "elements": None}, "outputs": None}
    )
    one = {"inputs": {**DOCUMENT["inputs"], "annotations": {"replace-values": [None]}}}
    assert not validator(schema).is_valid(one), "its required settings are missing"


def test_defaults_obey_their_own_schema(schema):
    for node in nodes(schema):
        if "default" in node:
            checker = validator({**node, "$defs": schema["$defs"]})
            assert checker.is_valid(node["default"]), node


def test_the_text_of_the_schema_is_json_and_ends_its_last_line(model, schema):
    text = schema_text(model)

    assert json.loads(text) == schema
    assert text.endswith("}\n")


def test_a_model_without_settings_has_a_schema():
    assert json_schema(Section)["additionalProperties"] is False
