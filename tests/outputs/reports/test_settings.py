from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from flyem_snapshot.outputs.reports.settings import ReportSetSettings


def made(**values):
    return ReportSetSettings.model_validate({"roiset": "primary", **values})


def test_captured_are_by_default_the_statuses_from_sensory_anchor_upwards():
    statuses = made().capture_statuses
    assert (statuses[0], statuses[-1], len(statuses)) == ("Sensory Anchor", "Finalized", 15)


@pytest.mark.parametrize(
    ("report", "zone", "name"),
    [
        ({"name": "optic", "rois": ["ME(R)"]}, "brain", "optic"),
        ({"rois": ["ME(R)", "LO(R)"]}, "brain", "ME(R)-LO(R)"),
        ({}, "brain", "brain"),
        ({}, None, "all"),
        ({"name": ""}, None, "all"),
    ],
)
def test_a_report_is_called_by_its_name_or_its_rois_or_the_zone(report, zone, name):
    entry = made(reports=[report], **{"name-of-whole": zone})
    assert entry.name_of(entry.reports[0]) == name


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("view.json", Path("view.json")),
        ("https://example.org/view.json", "https://example.org/view.json"),
        ("gs://bucket/view.json", "gs://bucket/view.json"),
        ("", None),
        (None, None),
    ],
)
def test_the_neuroglancer_state_is_a_file_unless_it_is_a_url(value, kept):
    assert made(**{"neuroglancer-base-state": value}).neuroglancer_base_state == kept


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"capture-statuses": ["Tracd"]}, "'Tracd' is not a known status"),
        ({"capture-statuses": ["Traced", "Traced"]}, "'Traced' is listed twice"),
        ({"neuroglancer-host": "example.org"}, "must begin with https:// or http://"),
        ({"neuroglancer-base-state": "https://me:secret@example.org/x"}, "must not hold a user or password"),
    ],
)
def test_what_a_type_cannot_say(values, said):
    assert said in next(made(**values).problems()).message


def test_the_roiset_is_required():
    with pytest.raises(ValidationError):
        ReportSetSettings.model_validate({})
