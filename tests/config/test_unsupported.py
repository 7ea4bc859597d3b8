from __future__ import annotations

import pytest

from flyem_snapshot.config.schema import json_schema
from flyem_snapshot.config.suggest import addresses
from flyem_snapshot.config.unsupported import UNSUPPORTED
from flyem_snapshot.pipeline.job import composed_model
from flyem_snapshot.pipeline.registry import INPUTS, OUTPUTS

FILES = """
inputs:
  synapses:
    synapse-points: points.feather
    synapse-partners: partners.feather
"""
JOB = "job-settings: {snapshot-tag: v1}\n"


@pytest.fixture(scope="module")
def model():
    """The whole configuration of the program."""
    return composed_model((*INPUTS, *OUTPUTS))


def test_known_settings_without_an_implementation_are_refused_by_name_at_their_line(complaint):
    text = (
        FILES
        + """\
  dvid-seg: {server: emdata, uuid: ':master'}
  annotations: {point-annotations: [{instance: i}]}
  rois: {dvid: {server: s}, roi-sets: {primary: {source: dvid-labelmap, labelmap: l}}}
  elements: {x: {point-table: y, dvid-point-annotations: {instance: i}}}
  body-sizes: {cache-uuid: abc}
outputs:
  neurotransmitters: {dvid: {perform-backport: true}}
  skeletons: {}
  meshes:
job-settings: {snapshot-tag: v1, dvid-timeout: 20}
"""
    )
    assert (
        complaint(text)
        == """\
config.yaml:6:3: inputs.dvid-seg: this version of flyem-snapshot has no DVID segmentation input; remove the section
config.yaml:7:17: inputs.annotations.point-annotations: \
this version of flyem-snapshot has no support for point annotations from DVID; remove the setting
config.yaml:8:10: inputs.rois.dvid: this version of flyem-snapshot has no support for ROIs from DVID; remove the section
config.yaml:8:73: inputs.rois.roi-sets.primary.labelmap: \
this version of flyem-snapshot has no support for ROIs from DVID; remove the setting
config.yaml:9:34: inputs.elements.x.dvid-point-annotations: \
this version of flyem-snapshot has no support for elements from DVID; remove the section
config.yaml:10:16: inputs.body-sizes.cache-uuid: \
this version of flyem-snapshot has no support for body sizes from DVID; remove the setting
config.yaml:12:23: outputs.neurotransmitters.dvid: \
this version of flyem-snapshot has no backport of neurotransmitters to DVID; remove the section
config.yaml:13:3: outputs.skeletons: this version of flyem-snapshot has no skeleton export; remove the section
config.yaml:14:3: outputs.meshes: this version of flyem-snapshot has no mesh export; remove the section
config.yaml:15:34: job-settings.dvid-timeout: \
this version of flyem-snapshot has no connection to DVID servers; remove the setting"""
    )


@pytest.mark.parametrize(
    "off",
    [
        "  annotations: {point-annotations: []}\n",
        "  rois: {dvid: {server: '', uuid: ''}}\n",
        "  rois: {dvid: }\n",
        "  elements: {x: {point-table: y, dvid-point-annotations: {instance: '', extract-properties: {}}}}\n",
        "  body-sizes: {cache-uuid: ''}\n",
        "outputs: {neurotransmitters: {dvid: {perform-backport: false, server: '', neuronjson_instance: ''}}}\n",
    ],
)
def test_a_setting_that_is_switched_off_is_accepted(load, off):
    load(FILES + off + JOB)


def test_the_default_timeout_is_accepted(load):
    load(FILES + "job-settings: {snapshot-tag: v1, dvid-timeout: 300}\n")
    load(FILES + "job-settings: {snapshot-tag: v1, dvid-timeout: 300.0}\n")


def test_no_setting_is_both_supported_and_unsupported(model):
    known = {address.replace("<name>", "*") for address in addresses(json_schema(model))}

    assert "inputs.rois.roi-sets.*.source" in known
    assert not {entry.pattern for entry in UNSUPPORTED} & known
