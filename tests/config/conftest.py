from __future__ import annotations

from textwrap import dedent

import pytest

from flyem_snapshot.config.load import load_config
from flyem_snapshot.config.root import config_model
from flyem_snapshot.errors import ConfigError
from flyem_snapshot.inputs.annotations_settings import AnnotationsSettings
from flyem_snapshot.inputs.body_sizes_settings import BodySizesSettings
from flyem_snapshot.inputs.dvid_seg_settings import DvidSegSettings
from flyem_snapshot.inputs.elements_settings import ElementsSettings
from flyem_snapshot.inputs.rois_settings import RoisSettings
from flyem_snapshot.inputs.synapses.settings import SynapsesSettings
from flyem_snapshot.outputs.flat_connectome_settings import FlatConnectomeSettings
from flyem_snapshot.outputs.tables_settings import TablesSettings


@pytest.fixture(scope="session")
def model():
    """The whole configuration, as the program composes it."""
    return config_model(
        [
            ("inputs", "dvid-seg", DvidSegSettings),
            ("inputs", "annotations", AnnotationsSettings),
            ("inputs", "rois", RoisSettings),
            ("inputs", "synapses", SynapsesSettings),
            ("inputs", "elements", ElementsSettings),
            ("inputs", "body-sizes", BodySizesSettings),
            ("outputs", "tables", TablesSettings),
            ("outputs", "flat-connectome", FlatConnectomeSettings),
        ]
    )


@pytest.fixture
def load(model, tmp_path):
    """Writes a text to config.yaml and loads it."""

    def load_text(text):
        path = tmp_path / "config.yaml"
        path.write_text(dedent(text))
        return load_config(path, model)

    return load_text


@pytest.fixture
def complaint(load, tmp_path):
    """The whole message about a bad text, with the file's name alone."""

    def message(text):
        with pytest.raises(ConfigError) as caught:
            load(text)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message
