from __future__ import annotations

import pytest
from pydantic import ValidationError

from flyem_snapshot.config.root import config_model
from flyem_snapshot.inputs.annotations_settings import ReplaceValues
from flyem_snapshot.inputs.body_sizes_settings import BodySizesSettings
from flyem_snapshot.inputs.synapses.settings import SynapsesSettings
from flyem_snapshot.outputs.tables_settings import TablesSettings


def test_a_section_with_a_required_setting_is_required_and_the_others_have_defaults(model):
    strict = config_model([("inputs", "one", ReplaceValues), ("outputs", "tables", TablesSettings)])
    with pytest.raises(ValidationError):
        strict.model_validate({"outputs": {}})

    config = model.model_validate({"inputs": {"synapses": {"synapse-points": "a", "synapse-partners": "b"}}})
    assert config.inputs.body_sizes == BodySizesSettings()
    assert config.outputs.tables == TablesSettings()
    assert config.job_settings.processes == 16


def test_without_required_settings_nothing_is_required():
    model = config_model([("outputs", "tables", TablesSettings)])

    assert model.model_validate({}).outputs.tables.export_tables


def test_the_settings_of_a_stage_are_found_by_the_keys_of_the_file():
    model = config_model([("inputs", "synapses", SynapsesSettings), ("inputs", "body-sizes", BodySizesSettings)])
    synapses = {"synapse-points": "a", "synapse-partners": "b"}
    config = model.model_validate({"inputs": {"synapses": synapses, "body-sizes": {"load-sizes": True}}})

    assert config.stage("inputs", "body-sizes").load_sizes
    assert str(config.stage("inputs", "synapses").synapse_points) == "a"
