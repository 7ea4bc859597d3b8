"""What is wrong with report sets is said by the program, with its place, before any report is written."""

from __future__ import annotations

import pytest

from tests import tiny
from tests.running import run
from tests.tiny import ME, OB, UN

REPORTS = "outputs.connectivity-reports"


def config(folder, *sets, **overrides):
    return tiny.write(folder, **{REPORTS: [{"roiset": "primary", **own} for own in sets]}, **overrides)


LISTED = {"inputs.rois.roi-sets.primary.rois": {ME: 1, OB: 2}}
EARLY = {
    "an unknown ROI of a set that lists its ROIs": (
        [{"reports": [{}, {"rois": [OB, "ME(L)"]}]}],
        LISTED,
        f"{REPORTS}.0.reports.1.rois.1: roi-set 'primary' has no ROI 'ME(L)'\n  hint: did you mean 'ME(R)'?",
    ),
    "an unknown roi-set": ([{"roiset": "primry"}], {}, f"{REPORTS}.0.roiset: 'primry' is not in"),
    "two entries for one roi-set": ([{}, {}], {}, f"{REPORTS}.1.roiset: 'primary' has an entry already"),
    "two reports of one name": (
        [{"reports": [{"rois": [ME]}, {"name": ME}]}],
        {},
        f"{REPORTS}.0.reports.1.name: an earlier report is called 'ME(R)', too",
    ),
    "two reports without a name": ([{"reports": [{}, {}]}], {}, "an earlier report is called 'all', too"),
    "an unknown report in a group": (
        [{"reports": [{"name": "lobe"}], "capture-summary-subsets": {"g": ["lobes"]}}],
        {},
        f"{REPORTS}.0.capture-summary-subsets.g.0: there is no report 'lobes'\n  hint: did you mean 'lobe'?",
    ),
    "an empty group": ([{"capture-summary-subsets": {"g": []}}], {}, "capture-summary-subsets.g: names no report"),
    "a ROI twice": ([{"reports": [{"rois": [ME, ME]}]}], {}, f"{REPORTS}.0.reports.0.rois.1: 'ME(R)' is listed twice"),
    "an unknown status": (
        [{"capture-statuses": ["traced"]}],
        {},
        f"{REPORTS}.0.capture-statuses.0: 'traced' is not a known status\n  hint: did you mean 'Traced'?",
    ),
    "an unknown rule": ([{"roi-rule": "pre"}], {}, f"{REPORTS}.0.roi-rule: must be one of 'both-ends', 'post'"),
    "no roi-set": ([{"roiset": ""}], {}, f"{REPORTS}.0.roiset: is required, but empty"),
}


@pytest.mark.parametrize("name", EARLY)
def test_the_check_finds(tmp_path, name):
    sets, overrides, said = EARLY[name]
    finished = run("-c", config(tmp_path, *sets, **overrides), "--check")
    assert said in finished.stderr
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr


def test_an_unknown_roi_of_a_set_that_the_table_lists_is_found_before_any_report(tmp_path):
    path = config(tmp_path, {"reports": [{}, {"rois": ["ME(L)"]}, {"rois": [UN]}]})
    finished = run("-c", path)
    assert "report 'ME(L)': roi-set 'primary' has no ROI 'ME(L)'\n  hint: did you mean 'ME(R)'?" in finished.stderr
    assert finished.returncode == 1
    assert not (tmp_path / "out" / "reports" / "primary").exists()
