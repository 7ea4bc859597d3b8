"""Settings of DVID servers, as existing files have them: filled in, or written out but switched off."""

from __future__ import annotations

import pytest

from flyem_snapshot.pipeline.job import composed_model
from flyem_snapshot.pipeline.registry import INPUTS, OUTPUTS

FILES = """
inputs:
  synapses: {synapse-points: points.feather, synapse-partners: partners.feather}
"""
JOB = "job-settings: {snapshot-tag: v1}\n"


@pytest.fixture(scope="module")
def model():
    """The whole configuration of the program."""
    return composed_model((*INPUTS, *OUTPUTS))


@pytest.mark.parametrize(
    "off",
    [
        "  dvid-seg: {server: '', uuid: '', instance: '', export-mapping: false}\n",
        "  dvid-seg: {server: '', uuid: ':master~1', instance: segmentation}\n",
        "  dvid-seg:\n",
        "  annotations: {point-annotations: []}\n",
        "  rois: {dvid: {server: '', uuid: ''}}\n",
        "  rois: {dvid: }\n",
        "  elements: {x: {point-table: y, dvid-point-annotations: {instance: '', extract-properties: {}}}}\n",
        "  body-sizes: {cache-uuid: ''}\n",
        "outputs: {neurotransmitters: {dvid: {perform-backport: false, server: '', neuronjson_instance: ''}}}\n",
        "outputs: {skeletons: {processes: 4}, meshes: {processes: }}\n",
    ],
)
def test_settings_that_are_switched_off_load(load, off):
    config = load(FILES + off + JOB).config

    assert config.inputs.dvid_seg.server is None


def test_settings_that_are_switched_on_load_with_their_values(load):
    config = load(
        FILES
        + """\
  dvid-seg: {server: emdata, uuid: ':master', instance: seg, export-mapping: true}
  annotations: {point-annotations: [{instance: nuclei, column-name: soma, extract-properties: {a: b}}]}
  rois:
    dvid: {server: other, uuid: abc}
    roi-sets:
      primary: {source: dvid-rois, rois: [A, B]}
      layers: {source: dvid-labelmap, labelmap: layers, rois: 'L{x}'}
  elements: {x: {type: nucleus, dvid-point-annotations: {instance: nuclei}}}
  body-sizes: {load-sizes: true, cache-file: sizes.feather, cache-uuid: abc}
outputs:
  neurotransmitters: {dvid: {perform-backport: true, neuronjson_instance: notes}}
  skeletons: {main: {export-skeletons: true, dvid: {instance: skeletons}, coordinate-resolution-nm: [8, 8, 8]}}
  meshes: {main: {export-meshes: true, exclude-statuses: [Glia]}}
job-settings: {dvid-timeout: 20}
"""
    ).config

    assert config.inputs.dvid_seg.version == ("emdata", ":master", "seg")
    assert config.inputs.annotations.point_annotations[0].extract_properties == {"a": "b"}
    assert config.inputs.rois.dvid.server == "other"
    assert config.outputs.neurotransmitters.dvid.neuronjson_instance == "notes"
    assert config.job_settings.dvid_timeout == 20.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            "  dvid-seg: {server: emdata, uuid: '', instance: ''}\n",
            """\
config.yaml:4:30: inputs.dvid-seg.uuid: is required if there is a server, but empty
  hint: leave it out for the default
config.yaml:4:40: inputs.dvid-seg.instance: is required if there is a server, but empty
  hint: leave it out for the default""",
        ),
        (
            "  dvid-seg: {server: emdata, tag-time-zone: Mars/Olympus}\n",
            """\
config.yaml:4:30: inputs.dvid-seg.tag-time-zone: there is no time zone 'Mars/Olympus'
  hint: write a name such as US/Eastern or Europe/London""",
        ),
        (
            "  elements: {x: {dvid-point-annotations: {instance: nuclei}, point-table: t}}\n",
            """\
config.yaml:4:14: inputs.elements.x.type: is required for points from DVID, but not set
  hint: say what these points are, for example 'type: soma'
config.yaml:4:62: inputs.elements.x.point-table: stands beside dvid-point-annotations
  hint: remove one of the two""",
        ),
        (
            "  body-sizes: {load-sizes: true, cache-uuid: abc}\n",
            """\
config.yaml:4:34: inputs.body-sizes.cache-uuid: is the version of a cache-file, but none is named
  hint: name it, or remove this""",
        ),
        (
            "  rois: {roi-sets: {primary: {source: dvid-rois, rois: 'R{x}'}, b: {labelmap: l, rois: [A]}}}\n",
            """\
config.yaml:4:50: inputs.rois.roi-sets.primary.rois: a template has no meaning for source: dvid-rois
  hint: list the names
config.yaml:4:69: inputs.rois.roi-sets.b.labelmap: is for dvid-labelmap only
  hint: remove it""",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused_at_their_place(complaint, wrong, message):
    assert complaint(FILES + wrong + JOB) == message


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("[{instance: n, column-name: body}]", "point-annotations.0.column-name: there is another column 'body'"),
        (
            "[{instance: n, extract-properties: {a: body}}]",
            "point-annotations.0.extract-properties.a: there is another column 'body'",
        ),
        (
            "[{instance: n, column-name: c, extract-properties: {a: c}}]",
            "point-annotations.0.extract-properties.a: there is another column 'c'",
        ),
        (
            "[{instance: n, column-name: c}, {instance: m, column-name: c}]",
            "point-annotations.1: an earlier entry makes the column 'c', too",
        ),
        (
            "[{instance: n}, {instance: m, extract-properties: {a: n}}]",
            "point-annotations.1: an earlier entry makes the column 'n', too",
        ),
    ],
)
def test_columns_of_annotated_points_do_not_hide_each_other(complaint, points, message):
    found = complaint(f"{FILES}  annotations: {{point-annotations: {points}}}\n{JOB}")

    assert f"inputs.annotations.{message}" in found
