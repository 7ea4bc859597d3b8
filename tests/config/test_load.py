# ruff: noqa: E501, ISC004 - whole messages stand here as they are printed
from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyem_snapshot.config.load import load_config
from flyem_snapshot.errors import ConfigError, SettingError

# Every form that existing files have, with what is switched off in them.
EXISTING = """
inputs:
  synapses:
    syndir: .
    synapse-points: '{syndir}/points.feather'
    synapse-partners: '{syndir}/partners.feather'
    zone: ''
    min-confidence: 0.4
    permit-body-0: false
    roi-set-names: null
    compartment-column: compartment
    processes: null
  elements:
    processes: null
    soma: {point-table: elements_soma.feather, dvid-point-annotations: {instance: '', column-name: '', extract-properties: {}}}
    mito: {point-table: elements_mito.feather, type: mito, distance-table: mito_distances.feather}
    near: {distance-table: near.feather}
  annotations:
    body-annotations-table: annotations.feather
    point-annotations: []
    replace-values:
      - source-column: status
        target-column: ''
        replacements: {Roughly traced: Traced, Leaves: ''}
    rename-annotation-columns: {predicted_nt: '', old_name: new_name}
  rois:
    dvid: {server: '', uuid: ''}
    roi-sets:
      primary: {source: point-table, rois: {}, labelmap: ''}
      layer:
        source: point-table
        rois: {"ME_R_layer_01": 101, "ME_R_layer_02": 102}
      column: {source: point-table, rois: 'ME_R_col_{x // 100}_{x % 100}'}
      listed: {source: point-table, rois: [A, B], rename-rois: {A: C}}
      filed: {source: point-table, rois: rois.json}
      shell:
        source: unions-of-subrois
        union-source-roiset: primary
        rois: {"OL(R)": ["ME(R)", "LO(R)"], "CX": ["FB"]}
      child: {source: point-table, parent-roiset: shell, parent-rois: ["OL(R)"]}
  body-sizes: {load-sizes: false, cache-file: '', cache-uuid: ''}
outputs:
  flat-connectome:
    export-connectome: true
    roi-set: primary
    restrict-connectivity-to-roiset: ''
    gcp-project: ''
    gcs-bucket-dir: ''
job-settings:
  snapshot-tag: synth-v1
  output-dir: ../out
  processes: 2
  dvid-timeout: 300.0
  logging-config: {loggers: {flyem_snapshot: {level: INFO}}, incremental: true}
"""

FILES = """
inputs:
  synapses:
    synapse-points: points.feather
    synapse-partners: partners.feather
"""
JOB = "job-settings: {snapshot-tag: v1}\n"


def test_every_known_form_of_an_existing_file_loads(load):
    config = load(EXISTING).config

    assert config.inputs.synapses.min_confidence == 0.4
    assert config.inputs.synapses.zone is None
    assert list(config.inputs.elements.tables) == ["soma", "mito", "near"]
    assert config.inputs.elements.tables["mito"].type == "mito"
    assert config.inputs.annotations.replace_values[0].replacements == {"Roughly traced": "Traced", "Leaves": ""}
    rois = {name: roi_set.rois for name, roi_set in config.inputs.rois.roi_sets.items()}
    assert rois == {
        "primary": {},
        "layer": {"ME_R_layer_01": 101, "ME_R_layer_02": 102},
        "column": "ME_R_col_{x // 100}_{x % 100}",
        "listed": ("A", "B"),
        "filed": "rois.json",
        "shell": {"OL(R)": ("ME(R)", "LO(R)"), "CX": ("FB",)},
        "child": {},
    }


def test_the_smallest_configuration_has_every_default(load):
    config = load(FILES + JOB).config

    assert config.inputs.synapses.min_confidence == 0.0
    assert config.inputs.rois.roi_sets == {}
    assert config.inputs.annotations.rename_annotation_columns == {
        "predicted_nt": "",
        "predicted_nt_confidence": "",
        "total_nt_predictions": "",
        "celltype_predicted_nt": "",
        "celltype_predicted_nt_confidence": "",
        "celltype_total_nt_predictions": "",
        "consensus_nt": "",
    }
    assert config.outputs.flat_connectome.export_connectome
    assert config.outputs.flat_connectome.roi_set == "primary"
    assert config.outputs.tables.export_tables
    assert config.job_settings.processes == 16
    assert config.job_settings.logging_config == {"loggers": {"flyem_snapshot": {"level": "INFO"}}, "incremental": True}


BAD = {
    "no inputs": (
        "job-settings: {snapshot-tag: v1}\n",
        """\
config.yaml:1:1: inputs.synapses.synapse-points: is required, but missing
  hint: Table (Feather, Parquet or CSV) with one row for each T-bar (kind PreSyn) and each PSD (kind PostSyn)
config.yaml:1:1: inputs.synapses.synapse-partners: is required, but missing
  hint: Table (Feather, Parquet or CSV) with one row for each connection from a T-bar to a PSD""",
    ),
    "no synapses": (
        "inputs: {rois: {}}\n" + JOB,
        """\
config.yaml:1:1: inputs.synapses.synapse-points: is required, but missing
  hint: Table (Feather, Parquet or CSV) with one row for each T-bar (kind PreSyn) and each PSD (kind PostSyn)
config.yaml:1:1: inputs.synapses.synapse-partners: is required, but missing
  hint: Table (Feather, Parquet or CSV) with one row for each connection from a T-bar to a PSD""",
    ),
    "synapses without settings": (
        "inputs:\n  synapses:\n" + JOB,
        """\
config.yaml:2:3: inputs.synapses.synapse-points: is required, but missing
  hint: Table (Feather, Parquet or CSV) with one row for each T-bar (kind PreSyn) and each PSD (kind PostSyn)
config.yaml:2:3: inputs.synapses.synapse-partners: is required, but missing
  hint: Table (Feather, Parquet or CSV) with one row for each connection from a T-bar to a PSD""",
    ),
    "required file names missing and empty": (
        "inputs:\n  synapses:\n    synapse-points: ''\n" + JOB,
        """\
config.yaml:2:3: inputs.synapses.synapse-partners: is required, but missing
  hint: Table (Feather, Parquet or CSV) with one row for each connection from a T-bar to a PSD
config.yaml:3:5: inputs.synapses.synapse-points: is required, but empty
  hint: Table (Feather, Parquet or CSV) with one row for each T-bar (kind PreSyn) and each PSD (kind PostSyn)""",
    ),
    "misspelt, underscored and misplaced keys": (
        FILES
        + "    min-confidense: 1\n    permit_body_0: true\n    snapshot-tag: x\n    roi-sets: {}\n    qqq: 1\n"
        + JOB,
        """\
config.yaml:6:5: inputs.synapses.min-confidense: unknown setting
  hint: did you mean 'min-confidence'?
config.yaml:7:5: inputs.synapses.permit_body_0: unknown setting
  hint: did you mean 'permit-body-0'?
config.yaml:8:5: inputs.synapses.snapshot-tag: unknown setting
  hint: did you mean job-settings.snapshot-tag?
config.yaml:9:5: inputs.synapses.roi-sets: unknown setting
  hint: did you mean 'roi-set-names' or inputs.rois.roi-sets?
config.yaml:10:5: inputs.synapses.qqq: unknown setting
  hint: known here: syndir, synapse-points, synapse-partners, zone, min-confidence, permit-body-0, roi-set-names, \
compartment-column, processes""",
    ),
    "a setting above its section": (
        FILES + JOB + "snapshot-tag: v1\noutput: {}\n",
        """\
config.yaml:7:1: snapshot-tag: unknown setting
  hint: did you mean job-settings.snapshot-tag?
config.yaml:8:1: output: unknown setting
  hint: did you mean 'outputs'?""",
    ),
    "values of the wrong kind, and out of range": (
        FILES
        + "    min-confidence: 1.5\n    permit-body-0: no\n    zone: Brian\n    roi-set-names: primary\n    processes: 0\n"
        + JOB,
        """\
config.yaml:6:5: inputs.synapses.min-confidence: must be a number between 0 and 1, not 1.5
config.yaml:7:5: inputs.synapses.permit-body-0: must be true or false, not 'no'
  hint: write false
config.yaml:8:5: inputs.synapses.zone: must be one of 'brain', 'vnc', not 'Brian'
  hint: did you mean 'brain'?
config.yaml:9:5: inputs.synapses.roi-set-names: must be a list of names, not 'primary'
  hint: write [primary]
config.yaml:10:5: inputs.synapses.processes: must be a whole number of at least 1, not 0""",
    ),
    "numbers written in ways that YAML reads otherwise": (
        FILES
        + "    min-confidence: '0.5'\n    processes: 1e3\n    compartment-column: 1.10\n    permit-body-0: 1\n"
        + JOB,
        """\
config.yaml:6:5: inputs.synapses.min-confidence: must be a number between 0 and 1, not '0.5'
  hint: write 0.5 without quotes
config.yaml:7:5: inputs.synapses.processes: must be a whole number of at least 1, not 1e3
  hint: write 1000
config.yaml:8:5: inputs.synapses.compartment-column: must be text, not 1.10
  hint: put it in quotes: '1.10'
config.yaml:9:5: inputs.synapses.permit-body-0: must be true or false, not 1""",
    ),
    "not a number": (
        FILES + "    min-confidence: .nan\n    processes: .inf\n" + JOB,
        """\
config.yaml:6:5: inputs.synapses.min-confidence: must be a number between 0 and 1, not .nan
config.yaml:7:5: inputs.synapses.processes: must be a whole number of at least 1, not .inf""",
    ),
    "a date as tag": (
        FILES + "job-settings: {snapshot-tag: 2024-02-01}\n",
        """\
config.yaml:6:16: job-settings.snapshot-tag: must be text, not the date 2024-02-01
  hint: put it in quotes: '2024-02-01'""",
    ),
    "a number as tag": (
        FILES + "job-settings: {snapshot-tag: 1.10}\n",
        """\
config.yaml:6:16: job-settings.snapshot-tag: must be text, not 1.10
  hint: put it in quotes: '1.10'""",
    ),
    "no tag": (
        FILES,
        """\
config.yaml:1:1: job-settings.snapshot-tag: is required, but not set
  hint: name this snapshot, for example 'snapshot-tag: v1.0'""",
    ),
    "an empty tag": (
        FILES + "job-settings:\n  snapshot-tag: ''\n",
        """\
config.yaml:7:3: job-settings.snapshot-tag: is required, but not set
  hint: name this snapshot, for example 'snapshot-tag: v1.0'""",
    ),
    "a tag that is no part of a file name": (
        FILES + "job-settings: {snapshot-tag: v1/v2}\n",
        "config.yaml:6:16: job-settings.snapshot-tag: becomes part of file names: "
        "it must not contain '/' or begin with '.', as 'v1/v2' does",
    ),
    "a hidden tag": (
        FILES + "job-settings: {snapshot-tag: .v1}\n",
        "config.yaml:6:16: job-settings.snapshot-tag: becomes part of file names: "
        "it must not contain '/' or begin with '.', as '.v1' does",
    ),
    "a blank tag": (
        FILES + "job-settings: {snapshot-tag: '  '}\n",
        "config.yaml:6:16: job-settings.snapshot-tag: must not begin or end with a blank, nor contain a line break: '  '",
    ),
    "sizes that are none": (
        FILES + "job-settings: {snapshot-tag: v1, memory-limit: lots}\n",
        "config.yaml:6:34: job-settings.memory-limit: must be of the form '8GB' or '1.5GiB', not 'lots'",
    ),
    "no memory": (
        FILES + "job-settings: {snapshot-tag: v1, memory-limit: 0.0GB}\n",
        "config.yaml:6:34: job-settings.memory-limit: must be more than nothing, not '0.0GB'",
    ),
    "a mapping where YAML reads braces": (
        "inputs: {synapses: {synapse-points: {syndir}, synapse-partners: b}}\n" + JOB,
        """\
config.yaml:1:21: inputs.synapses.synapse-points: must be text, not a mapping
  hint: put text that begins with { in quotes""",
    ),
    "a file instead of a section": (
        FILES + "  annotations: annotations.feather\n" + JOB,
        "config.yaml:6:3: inputs.annotations: must be a section of settings, not 'annotations.feather'",
    ),
    "lists and numbers instead of sections": (
        "inputs: []\noutputs: 3\njob-settings: x\n",
        """\
config.yaml:1:1: inputs: must be a section of settings, not an empty list
config.yaml:2:1: outputs: must be a section of settings, not 3
config.yaml:3:1: job-settings: must be a section of settings, not 'x'""",
    ),
    "a misspelt setting among element tables": (
        FILES + "  elements: {proceses: 4}\n" + JOB,
        """\
config.yaml:6:14: inputs.elements.proceses: must be a section of settings, not 4
  hint: did you mean 'processes'?""",
    ),
    "an element table without a table": (
        FILES + "  elements:\n    mito: {type: mito}\n" + JOB,
        """\
config.yaml:7:5: inputs.elements.mito: names neither a point-table nor a distance-table
  hint: add 'point-table: FILE', or remove this entry""",
    ),
    "replacements with misspelt keys": (
        FILES
        + "  annotations:\n    replace-values: [{source: a}, 3, {source-column: '', replacements: {a: [1]}}]\n"
        + JOB,
        """\
config.yaml:7:22: inputs.annotations.replace-values.0.source-column: is required, but missing
  hint: Column whose values are read
config.yaml:7:22: inputs.annotations.replace-values.0.replacements: is required, but missing
  hint: What to write for each value that is to be replaced, {old: new}
config.yaml:7:23: inputs.annotations.replace-values.0.source: unknown setting
  hint: did you mean 'source-column' or inputs.rois.roi-sets.<name>.source?
config.yaml:7:35: inputs.annotations.replace-values.1: must be a section of settings, not 3
config.yaml:7:39: inputs.annotations.replace-values.2.source-column: is required, but empty
  hint: Column whose values are read
config.yaml:7:73: inputs.annotations.replace-values.2.replacements.a: must be a single value, not a list""",
    ),
    "ROIs in forms that mean nothing": (
        FILES
        + """\
  rois:
    roi-sets:
      a: {source: point-table, rois: {x: 1.5, y: 2}}
      b: {source: point-table, rois: {x: 1.5, y: [z]}}
      c: {source: point-table, rois: {x: q}}
      d: {source: point-table, rois: {x: [1]}}
      e: {source: point-table, rois: 3}
      f: {source: point-table, rois: [1]}
      g: {source: point-tabel}
"""
        + JOB,
        """\
config.yaml:8:39: inputs.rois.roi-sets.a.rois.x: must be a whole number, not 1.5
config.yaml:9:39: inputs.rois.roi-sets.b.rois.x: must be a list of names, not 1.5
config.yaml:10:39: inputs.rois.roi-sets.c.rois.x: must be a whole number or a list of names, not 'q'
config.yaml:11:43: inputs.rois.roi-sets.d.rois.x.0: must be text, not 1
  hint: put it in quotes: '1'
config.yaml:12:32: inputs.rois.roi-sets.e.rois: must be text, a list of names, a mapping of names to whole numbers \
or a mapping of names to lists of names, not 3
config.yaml:13:39: inputs.rois.roi-sets.f.rois.0: must be text, not 1
  hint: put it in quotes: '1'
config.yaml:14:11: inputs.rois.roi-sets.g.source: must be one of 'dvid-rois', 'dvid-labelmap', 'point-table', \
'unions-of-subrois', not 'point-tabel'
  hint: did you mean 'point-table'?""",
    ),
    "a problem within a merged mapping": (
        "x: &shared {min-confidence: 2}\n" + FILES + "    <<: *shared\n" + JOB,
        """\
config.yaml:1:1: x: unknown setting
  hint: known here: inputs, outputs, job-settings
config.yaml:1:13: inputs.synapses.min-confidence: must be a number between 0 and 1, not 2""",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_all_mistakes_are_reported_at_once_with_place_value_and_remedy(complaint, text, message):
    assert complaint(text) == message


def test_a_setting_can_be_located_and_blamed(load, tmp_path):
    loaded = load(EXISTING)
    error = SettingError("roi_set", "there is no such column", hint="choose another")

    assert loaded.locate(("inputs", "synapses", "min-confidence")) == (8, 5)
    assert str(loaded.blame(("outputs", "flat-connectome"), error)).replace(f"{tmp_path}/", "") == (
        "config.yaml:45:5: outputs.flat-connectome.roi-set: there is no such column\n  hint: choose another"
    )


def test_a_stage_may_blame_a_setting_within_an_entry_that_the_user_named(load, tmp_path):
    loaded = load(EXISTING)
    error = SettingError(("roi_sets", "shell", "union_source_roiset"), "is wrong")

    assert str(loaded.blame(("inputs", "rois"), error)).replace(f"{tmp_path}/", "") == (
        "config.yaml:38:9: inputs.rois.roi-sets.shell.union-source-roiset: is wrong"
    )


VALID = {
    "inputs": {
        "synapses": {"synapse-points": "a", "synapse-partners": "b", "zone": "vnc", "roi-set-names": ["s", "p"]},
        "elements": {"mito": {"point-table": "m"}},
        "annotations": {"replace-values": [{"source-column": "a", "replacements": {"b": "c"}}]},
        "rois": {
            "roi-sets": {
                "p": {"source": "point-table", "rois": {"A": 1}},
                "s": {"source": "unions-of-subrois", "union-source-roiset": "p", "rois": {"U": ["A"]}},
            }
        },
        "body-sizes": {"cache-file": "c"},
    },
    "outputs": {"flat-connectome": {"roi-set": "p"}},
    "job-settings": {"snapshot-tag": "t", "memory-limit": "2GB", "logging-config": {"loggers": {}}},
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value, path=()):
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from places(entry, (*path, key))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from([path for path in places(VALID) if path]), value=anything)
def test_whatever_a_user_writes_is_loaded_or_explained(tmp_path, model, place, value):
    document = copy.deepcopy(VALID)
    target = document
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(document))  # YAML reads JSON

    problems = ()
    try:
        load_config(path, model)
    except ConfigError as error:
        problems = error.problems
    assert all(problem.line >= 1 and problem.message for problem in problems)
