# ruff: noqa: E501, ISC004 - whole messages stand here as they are printed
from __future__ import annotations

import pytest

FILES = """
inputs:
  synapses:
    synapse-points: points.feather
    synapse-partners: partners.feather
"""
JOB = "job-settings: {snapshot-tag: v1}\n"
SETS = FILES + "  rois:\n    roi-sets:\n"
NO_PRIMARY = "outputs: {flat-connectome: {roi-set: ''}}\n" + JOB


@pytest.mark.parametrize(
    ("roi_set", "message"),
    [
        (
            "{}",
            """\
config.yaml:8:7: inputs.rois.roi-sets.s.rois: must list the ROIs for source: dvid-rois
  hint: write a list of names""",
        ),
        (
            "{source: dvid-labelmap}",
            """\
config.yaml:8:7: inputs.rois.roi-sets.s.labelmap: is required for source: dvid-labelmap
  hint: name a labelmap
config.yaml:8:7: inputs.rois.roi-sets.s.rois: must list the ROIs for source: dvid-labelmap
  hint: write a list of names""",
        ),
        (
            "{source: point-table, rois: {A: 0, B: 2, C: 2, D: -1, <unspecified>: 0}}",
            """\
config.yaml:8:39: inputs.rois.roi-sets.s.rois.A: id 0 is that of '<unspecified>' and of nothing else, but 'A' has id 0
config.yaml:8:51: inputs.rois.roi-sets.s.rois.C: 'C' and 'B' have the same id, 2
config.yaml:8:57: inputs.rois.roi-sets.s.rois.D: an id must be a positive whole number below 2^63, not -1""",
        ),
        (
            "{source: point-table, rois: {<unspecified>: 3}}",
            "config.yaml:8:39: inputs.rois.roi-sets.s.rois.<unspecified>: "
            "id 0 is that of '<unspecified>' and of nothing else, but '<unspecified>' has id 3",
        ),
        (
            "{source: point-table, rois: {A: 9223372036854775808}}",
            "config.yaml:8:39: inputs.rois.roi-sets.s.rois.A: "
            "an id must be a positive whole number below 2^63, not 9223372036854775808",
        ),
        (
            "{source: point-table, rois: [A, B, A, <unspecified>]}",
            """\
config.yaml:8:45: inputs.rois.roi-sets.s.rois.2: 'A' is listed 2 times
config.yaml:8:48: inputs.rois.roi-sets.s.rois.3: '<unspecified>' is no ROI; do not list it""",
        ),
        (
            "{source: point-table, rois: {A: [B]}}",
            """\
config.yaml:8:39: inputs.rois.roi-sets.s.rois.A: a list of ROIs has no meaning for source: point-table
  hint: write an id, or source: unions-of-subrois""",
        ),
        (
            "{source: point-table, rois: ME_R}",
            """\
config.yaml:8:32: inputs.rois.roi-sets.s.rois: 'ME_R' names labels 0 and 1 alike, 'ME_R': write {x} where the label goes
  hint: write a template, a list, a mapping, or the name of a .json file""",
        ),
        (
            "{source: point-table, union-source-roiset: s}",
            """\
config.yaml:8:32: inputs.rois.roi-sets.s.union-source-roiset: goes in a circle: s -> s
config.yaml:8:32: inputs.rois.roi-sets.s.union-source-roiset: has no meaning for source: point-table
  hint: remove it""",
        ),
        (
            "{source: unions-of-subrois, rois: {A: [p, q], B: [q], C: [r, r]}}",
            """\
config.yaml:8:7: inputs.rois.roi-sets.s.union-source-roiset: is required for source: unions-of-subrois
  hint: name an ROI set
config.yaml:8:60: inputs.rois.roi-sets.s.rois.B.0: 'q' is already part of 'A'
config.yaml:8:71: inputs.rois.roi-sets.s.rois.C.1: 'r' is already part of 'C'""",
        ),
        (
            "{source: unions-of-subrois, union-source-roiset: t, rois: [A]}",
            """\
config.yaml:8:38: inputs.rois.roi-sets.s.union-source-roiset: 't' is not in inputs.rois.roi-sets
  hint: write one of: s
config.yaml:8:62: inputs.rois.roi-sets.s.rois: must map each union to a list of ROIs
  hint: write {union: [ROI, ROI, ...]}""",
        ),
        (
            "{source: point-table, rois: ['A:B', C, D], rename-rois: {C: D, E: 'a`b', 'A:B': fine}}",
            """\
config.yaml:8:67: inputs.rois.roi-sets.s.rename-rois.C: 'C' and 'D' would both be called 'D'
config.yaml:8:73: inputs.rois.roi-sets.s.rename-rois.E: the ROI name 'a`b' contains a back-tick
  hint: choose another name""",
        ),
        (
            "{source: point-table, rois: ['A:B']}",
            """\
config.yaml:8:39: inputs.rois.roi-sets.s.rois.0: the ROI name 'A:B' contains a colon
  hint: choose another name""",
        ),
        (
            "{source: point-table, parent-rois: [A, B-unspecified]}",
            """\
config.yaml:8:32: inputs.rois.roi-sets.s.parent-rois: needs parent-roiset, the ROI set that these belong to
config.yaml:8:49: inputs.rois.roi-sets.s.parent-rois.1: 'B-unspecified' must not contain the word 'unspecified'""",
        ),
        (
            "{source: point-table, parent-roiset: S}",
            """\
config.yaml:8:32: inputs.rois.roi-sets.s.parent-roiset: 'S' is not in inputs.rois.roi-sets
  hint: did you mean 's'?""",
        ),
    ],
)
def test_an_roi_set_must_make_sense_by_itself(complaint, roi_set, message):
    assert complaint(f"{SETS}      s: {roi_set}\n{NO_PRIMARY}") == message


def test_a_file_of_rois_is_judged_when_it_is_read(load):
    for source in ("point-table", "unions-of-subrois, union-source-roiset: p"):
        load(f"{SETS}      p: {{source: point-table}}\n      s: {{source: {source}, rois: r.json}}\n{NO_PRIMARY}")


def test_empty_text_means_the_names_in_the_table(load):
    load(f"{SETS}      s: {{source: point-table, rois: ''}}\n{NO_PRIMARY}")


def test_the_unspecified_roi_may_have_its_own_id(load):
    load(f"{SETS}      s: {{source: point-table, rois: {{<unspecified>: 0, A: 1}}}}\n{NO_PRIMARY}")


def test_names_of_roi_sets_must_be_usable_as_columns_and_file_names(complaint):
    names = ["a/b", "a:b", "body", "Layer", "layer"]
    sets = "".join(f"      '{name}': {{source: point-table}}\n" for name in names)

    assert (
        complaint(SETS + sets + NO_PRIMARY)
        == """\
config.yaml:8:7: inputs.rois.roi-sets.a/b: the name of an ROI set may not contain '/', as 'a/b' does
config.yaml:9:7: inputs.rois.roi-sets.a:b: the name of an ROI set 'a:b' contains a colon
  hint: choose another name
config.yaml:10:7: inputs.rois.roi-sets.body: 'body' is the name of another column of the tables
  hint: choose another name
config.yaml:12:7: inputs.rois.roi-sets.layer: differs from 'Layer' only in upper and lower case"""
    )


def test_neither_parents_nor_unions_go_in_a_circle(complaint):
    sets = """\
      a: {source: point-table, parent-roiset: b}
      b: {source: point-table, parent-roiset: c}
      c: {source: point-table, parent-roiset: a}
"""
    assert complaint(SETS + sets + NO_PRIMARY) == (
        "config.yaml:8:32: inputs.rois.roi-sets.a.parent-roiset: goes in a circle: a -> b -> c -> a"
    )


def test_a_union_may_be_the_parent_of_its_own_source(load):
    load(
        SETS
        + """\
      primary: {source: point-table, parent-roiset: shell, parent-rois: [Brain]}
      shell: {source: unions-of-subrois, union-source-roiset: primary, rois: {Brain: [A, B]}}
"""
        + JOB
    )


def test_names_of_roi_sets_are_known_wherever_they_are_used(complaint):
    text = FILES + (
        "    roi-set-names: [primary, layer, shel, primary]\n"
        "  elements: {mito: {point-table: m, roi-set-names: [other]}}\n"
        "  rois:\n    roi-sets:\n"
        "      primary: {source: point-table}\n"
        "      shell: {source: point-table}\n"
        "outputs:\n  flat-connectome: {roi-set: shell, restrict-connectivity-to-roiset: neuropil}\n"
    )
    assert (
        complaint(text + JOB)
        == """\
config.yaml:6:30: inputs.synapses.roi-set-names.1: 'layer' is not in inputs.rois.roi-sets
  hint: write one of: primary, shell
config.yaml:6:37: inputs.synapses.roi-set-names.2: 'shel' is not in inputs.rois.roi-sets
  hint: did you mean 'shell'?
config.yaml:6:43: inputs.synapses.roi-set-names.3: 'primary' is listed twice
config.yaml:7:53: inputs.elements.mito.roi-set-names.0: 'other' is not in inputs.rois.roi-sets
  hint: write one of: primary, shell
config.yaml:13:21: outputs.flat-connectome.roi-set: 'shell' is not in inputs.synapses.roi-set-names
  hint: did you mean 'shel'?
config.yaml:13:37: outputs.flat-connectome.restrict-connectivity-to-roiset: 'neuropil' is not in inputs.synapses.roi-set-names
  hint: write one of: primary, layer, shel"""
    )


def test_a_chosen_roi_set_comes_with_the_sets_it_is_made_from(complaint):
    text = FILES + (
        "    roi-set-names: [shell, layer]\n"
        "  rois:\n    roi-sets:\n"
        "      primary: {source: point-table}\n"
        "      shell: {source: unions-of-subrois, union-source-roiset: primary, rois: {A: [B]}}\n"
        "      layer: {source: point-table, parent-roiset: primary, parent-rois: [B]}\n"
    )
    assert (
        complaint(text + NO_PRIMARY)
        == """\
config.yaml:6:21: inputs.synapses.roi-set-names.0: 'shell' is made from 'primary', which is not listed
  hint: add 'primary'
config.yaml:6:28: inputs.synapses.roi-set-names.1: 'layer' is made from 'primary', which is not listed
  hint: add 'primary'"""
    )


def test_the_default_roi_set_of_the_flat_connectome_must_exist_if_there_are_any(complaint):
    assert (
        complaint(f"{SETS}      shell: {{source: point-table}}\n{JOB}")
        == """\
config.yaml:1:1: outputs.flat-connectome.roi-set: 'primary' (the default) is not in inputs.synapses.roi-set-names
  hint: write one of: shell"""
    )


def test_the_default_of_what_is_not_exported_need_not_exist(load):
    off = "outputs: {flat-connectome: {export-connectome: false}}\n"

    assert (
        load(f"{SETS}      shell: {{source: point-table}}\n{off}{JOB}").config.outputs.flat_connectome.roi_set
        == "primary"
    )


def test_another_roi_set_than_the_default_must_exist(complaint):
    assert (
        complaint(FILES + "outputs: {flat-connectome: {roi-set: shell}}\n" + JOB)
        == """\
config.yaml:6:29: outputs.flat-connectome.roi-set: 'shell' is unknown, because inputs.synapses.roi-set-names defines nothing
  hint: define it, or remove this setting"""
    )


def test_every_variable_in_a_path_must_be_set(complaint, monkeypatch):
    monkeypatch.delenv("FLYEM_TEST_A", raising=False)
    monkeypatch.delenv("FLYEM_TEST_B", raising=False)
    text = """\
inputs:
  synapses:
    synapse-points: $FLYEM_TEST_A/p.feather
    synapse-partners: '{syndir}/q.feather'
  rois: {roi-sets: {primary: {source: point-table, rois: '${FLYEM_TEST_B}/r.json'}}}
job-settings: {snapshot-tag: v1}
"""
    assert (
        complaint(text)
        == """\
config.yaml:3:5: inputs.synapses.synapse-points: '$FLYEM_TEST_A/p.feather' uses the environment variable FLYEM_TEST_A, \
which is not set
  hint: set it before you start the job, or write the path itself
config.yaml:4:5: inputs.synapses.synapse-partners: '{syndir}/q.feather' uses {syndir}, but inputs.synapses.syndir is not set
config.yaml:5:52: inputs.rois.roi-sets.primary.rois: '${FLYEM_TEST_B}/r.json' uses the environment variable FLYEM_TEST_B, \
which is not set
  hint: set it before you start the job, or write the path itself"""
    )
