"""A Meta node that clients stumble over is described, with what it breaks."""

from __future__ import annotations

import pytest

from flyem_snapshot.bridge.soundness import meta_findings
from tests.bridge.graph import META


def found(**changes):
    meta = {key: value for key, value in {**META, **changes}.items() if value is not None}
    return [(finding.text, finding.fatal) for finding in meta_findings(meta)]


def test_a_sound_meta_has_no_findings():
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "words", "fatal"),
    [
        ({"dataset": None}, "Meta.dataset is absent", True),
        ({"dataset": 3}, "Meta.dataset is absent or no text", True),
        ({"dataset": "a:b"}, "colon", True),
        ({"dataset": "a`b"}, "back-tick", True),
        ({"dataset": "FAFB"}, "'fafb_Neuron'", False),
        ({"roiInfo": None}, "Meta.roiInfo is absent", True),
        ({"roiInfo": "[1]"}, "no JSON object", True),
        ({"roiInfo": "{'a': 1}"}, "no JSON object", True),
        ({"lastDatabaseEdit": None}, "lastDatabaseEdit", False),
        ({"primaryRois": None}, "fetch_primary_rois", False),
        ({"superLevelRois": None}, "neuPrintHTTP does not start", False),
        ({"superLevelRois": "LH"}, "no list of texts", False),
        ({"hideDataSet": "false"}, "Meta.hideDataSet is no boolean", False),
        ({"uuid": 12}, "Meta.uuid is no text", False),
        ({"logo": 1.5}, "Meta.logo is no text", False),
        ({"roiHierarchy": None}, "fetch_roi_hierarchy", False),
        ({"neuronProperties": None}, "looks through all neurons", False),
        ({"neuronProperties": "bodyId"}, "no JSON object", False),
        ({"neuronColumnsOrdered": "{}"}, "no JSON list", False),
        ({"overviewRois": None}, "heat map", False),
        ({"overviewOrder": None}, "heat map", False),
    ],
)
def test_one_fault_is_one_finding(changes, words, fatal):
    ((text, is_fatal),) = found(**changes)
    assert words in text
    assert is_fatal is fatal


def test_several_faults_are_all_found():
    assert len(found(dataset="X", uuid=1, superLevelRois=None)) == 3
