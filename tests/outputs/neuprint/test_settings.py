from __future__ import annotations

import pytest
from pydantic import ValidationError

from flyem_snapshot.config.fallbacks import with_fallbacks
from flyem_snapshot.config.root import config_model
from flyem_snapshot.config.rules import rule_problems
from flyem_snapshot.config.schema import json_schema
from flyem_snapshot.outputs.flat_connectome_settings import FlatConnectomeSettings
from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings

META = {"dataset": "toy", "roiHierarchy": {"CNS": None}}


def messages(**settings):
    found = rule_problems(NeuprintSettings.model_validate(settings))
    return {".".join(map(str, problem.path)): problem.message for problem in found}


def test_the_defaults_are_those_of_the_documentation():
    config = NeuprintSettings()

    assert not config.export_neuprint_snapshot
    assert config.neuron_label_criteria.model_dump() == {
        "synweight": 100,
        "pre": 100,
        "post": 100,
        "properties": ("rootLocation", "somaLocation", "class", "type", "instance", "group", "somaSide", "synonyms"),
        "status": ("Traced", "Anchor"),
        "excluded_status": ("Unimportant", "Glia"),
    }
    assert config.indexes.exclude_properties == ("roiInfo", "notes")
    assert config.indexes.find_neurons_fulltext_index_properties == ("type", "instance", "synonyms")
    assert config.max_segment_files == 30_000
    assert (config.meta, config.consistent_totals, config.keep_zero, config.compress) == (None, False, (), None)


def test_the_export_needs_a_meta_file_but_a_config_without_the_export_does_not():
    assert messages() == {}
    assert "is required" in messages(**{"export-neuprint-snapshot": True})["meta"]
    assert messages(**{"export-neuprint-snapshot": True, "meta": META}) == {}


def test_a_meta_file_may_be_named_or_written_out():
    places = json_schema(NeuprintSettings)["properties"]["meta"]["anyOf"]

    assert places == [{"type": ["string", "null"]}, {"$ref": "#/$defs/MetaSettings"}]


def test_the_colon_before_a_label_is_ignored():
    config = NeuprintSettings.model_validate({"element-labels": {"mito": ":Mito", "soma": "Soma"}})

    assert [config.label_of(name) for name in ("mito", "soma", "pin")] == ["Mito", "Soma", None]


@pytest.mark.parametrize("label", ["", ":", "a`b", "a:b", "Neuron", ":Meta"])
def test_a_label_that_means_something_else_or_nothing_is_refused(label):
    assert list(messages(**{"element-labels": {"mito": label}})) == ["element-labels.mito"]


def test_formulas_are_checked_when_the_config_is_loaded():
    formulas = {"layer": {"good": "x % 100", "bad": "__import__('os')", "powers": "x ** 9"}}

    assert list(messages(**{"roi-synapse-properties": formulas})) == [
        "roi-synapse-properties.layer.bad",
        "roi-synapse-properties.layer.powers",
    ]


def test_an_empty_formula_stands_for_the_id():
    config = NeuprintSettings.model_validate({"roi-synapse-properties": {"layer": {"id": ""}}})

    assert config.roi_synapse_properties == {"layer": {"id": "x"}}


def test_property_names_that_a_header_could_not_hold_are_refused():
    found = messages(
        **{
            "annotation-property-names": {"a": "with:colon", "b": ""},
            "roi-synapse-properties": {"layer": {"with`tick": "x"}},
            "element-totals": {"mito": {"compute-segment-totals-with-name": "a;b"}},
        }
    )

    assert set(found) == {
        "annotation-property-names.a",
        "roi-synapse-properties.layer.with`tick",
        "element-totals.mito.compute-segment-totals-with-name",
    }


@pytest.mark.parametrize(
    "settings", [{"element-totals": {"mito": {"compute-totals": "x"}}}, {"keep-zero": ["upstream"]}]
)
def test_what_is_misspelt_is_refused(settings):
    with pytest.raises(ValidationError):
        NeuprintSettings.model_validate(settings)


def test_replacements_may_have_further_names():
    given = {"neuroglancer": {"replacements": {"VERSION_TAG": "", "SEGMENTATION": "s"}}}
    replacements = NeuprintSettings.model_validate(given).neuroglancer.replacements

    assert (replacements.VERSION_TAG, replacements.others) == (None, {"SEGMENTATION": "s"})


def test_the_flat_connectome_names_properties_like_the_database_unless_it_is_told_otherwise():
    model = config_model(
        [("outputs", "flat-connectome", FlatConnectomeSettings), ("outputs", "neuprint", NeuprintSettings)]
    )

    def names(flat):
        chosen = {"neuprint": {"annotation-property-names": {"cell_type": "type"}}, "flat-connectome": flat}
        return with_fallbacks(
            model.model_validate({"outputs": chosen})
        ).outputs.flat_connectome.annotation_property_names

    assert names({}) == {"cell_type": "type"}
    assert names({"annotation-property-names": {}}) == {}
