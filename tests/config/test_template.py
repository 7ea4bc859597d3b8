from __future__ import annotations

import re
from io import StringIO

import pytest
from ruamel.yaml import YAML

from flyem_snapshot.config.template import default_yaml, verbose_yaml

REQUIRED = {"synapse-points": "points.feather", "synapse-partners": "partners.feather", "snapshot-tag": "v1"}


def filled(text):
    """The template after a user has filled in what is required."""
    for key, value in REQUIRED.items():
        text, count = re.subn(rf"^( *{key}:) ''(  # required)?$", rf"\1 {value}", text, flags=re.MULTILINE)
        assert count == 1
    return text


def uncommented(text):
    """The template with every example put into effect."""
    lines, active = [], False
    for line in text.splitlines():
        if "# For example (remove the first # of each line):" in line:
            active = True
            continue
        active = active and line.lstrip().startswith("#")
        lines.append(re.sub(r"^( *)# ?", r"\1", line) if active else line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("template", [default_yaml, verbose_yaml])
def test_a_template_loads_back_to_exactly_the_defaults(load, model, template):
    smallest = {
        "inputs": {"synapses": {key: REQUIRED[key] for key in ("synapse-points", "synapse-partners")}},
        "job-settings": {"snapshot-tag": "v1"},
    }

    assert load(filled(template(model))).config == model.model_validate(smallest)


@pytest.mark.parametrize("template", [default_yaml, verbose_yaml])
def test_a_template_that_is_not_filled_in_says_what_is_required(complaint, model, template):
    messages = [line.partition(": ")[2] for line in complaint(template(model)).splitlines() if not line.startswith(" ")]

    assert messages == [
        "inputs.synapses.synapse-points: is required, but empty",
        "inputs.synapses.synapse-partners: is required, but empty",
        "job-settings.snapshot-tag: is required, but not set",
    ]


def test_both_templates_show_the_same_settings(model):
    def content(text):
        return YAML(typ="safe", pure=True).load(StringIO(text))

    plain, verbose = content(default_yaml(model)), content(verbose_yaml(model))

    # In the verbose template a commented example stands in place of an empty list or mapping.
    assert plain["inputs"]["rois"].pop("roi-sets") == {}
    assert verbose["inputs"]["rois"].pop("roi-sets") is None
    for setting in ("replace-values", "point-annotations"):
        assert plain["inputs"]["annotations"].pop(setting) == []
        assert verbose["inputs"]["annotations"].pop(setting) is None
    assert plain == verbose


def test_the_examples_can_be_put_into_effect(load, model):
    config = load(uncommented(filled(verbose_yaml(model)))).config

    assert config.inputs.rois.roi_sets["primary"].source == "point-table"
    assert str(config.inputs.elements.tables["mito"].point_table) == "mito-points.feather"
    assert config.inputs.annotations.replace_values[0].replacements == {"Roughly traced": "Traced"}


def test_every_setting_of_the_verbose_template_is_explained_just_above_it(model):
    lines = verbose_yaml(model).splitlines()
    settings = [number for number, line in enumerate(lines) if re.match(r"^( *)(# +)?[a-z0-9-]+:( |$)", line)]
    explained = [number for number in settings if lines[number - 1].lstrip().startswith("#")]
    inner = {"loggers", "flyem_snapshot", "level", "incremental", "primary", "mito"}
    bare = [lines[number].strip() for number in settings if number not in explained]

    assert len(settings) > 40
    assert [line for line in bare if line.strip("# ").partition(":")[0] not in inner] == []


def test_lines_of_explanation_are_short_enough_to_read(model):
    assert max(len(line) for line in verbose_yaml(model).splitlines()) <= 100


def test_the_verbose_template_reads_like_this(model):
    assert """\
  # The two tables that hold every synapse, and which of their rows are used.
  synapses:

    # Directory of the synapse tables. Wherever a file name contains {syndir}, this is put in its
    # place.
    syndir: ''
""" in verbose_yaml(model)
    assert """\
    # Leave out T-bars and PSDs that were detected with less confidence than this, and the
    # connections they belong to. 0 leaves out nothing. The number is part of the names of the flat
    # connectome files. A number between 0 and 1.
    min-confidence: 0.0
""" in verbose_yaml(model)
