"""The summaries of a snapshot are found, or it is said what is there instead."""

from __future__ import annotations

import pytest

from flyem_snapshot.errors import DataError
from flyem_snapshot.plots.publication_find import summaries_of
from tests.plots.publication_snapshots import optic_lobes, write_summaries


def refusal(*arguments):
    with pytest.raises(DataError) as caught:
        summaries_of(*arguments)
    return str(caught.value)


def test_the_only_roi_set_and_all_its_reports_are_taken(tmp_path):
    folder = write_summaries(tmp_path, optic_lobes(), roiset="lobes")
    write_summaries(tmp_path, optic_lobes(), roiset="lobes", group="a-few")
    (tmp_path / "reports" / "html").mkdir()  # the plot of the status counts

    assert summaries_of(tmp_path) == folder


def test_of_several_roi_sets_primary_is_taken_unless_another_is_asked_for(tmp_path):
    primary = write_summaries(tmp_path, optic_lobes())
    lobes = write_summaries(tmp_path, optic_lobes(), roiset="lobes")
    some = write_summaries(tmp_path, optic_lobes(), roiset="lobes", group="a-few")

    assert summaries_of(tmp_path) == primary
    assert summaries_of(tmp_path, "lobes") == lobes
    assert summaries_of(tmp_path, "lobes", "a-few") == some
    assert summaries_of(tmp_path, "lobes", "a few") == some


def test_what_is_not_there_is_said_with_a_remedy(tmp_path):
    assert (
        refusal(tmp_path / "x")
        == f"{tmp_path}/x: there is no such directory\n  hint: name a snapshot's output directory"
    )
    assert refusal(tmp_path) == (
        f"{tmp_path}/reports: there are no connectivity reports\n"
        "  hint: the setting connectivity-reports makes them: see docs/reports.md"
    )
    (tmp_path / "reports" / "primary" / "reports" / "EB").mkdir(parents=True)
    assert refusal(tmp_path).startswith(
        f"{tmp_path}/reports/primary: there are no summaries by status\n  hint: reports"
    )


def test_unknown_names_are_told_what_is_there(tmp_path):
    write_summaries(tmp_path, optic_lobes())
    write_summaries(tmp_path, optic_lobes(), roiset="lobes")

    assert refusal(tmp_path, "primry").endswith(
        "there is no roi-set 'primry'\n  hint: did you mean 'primary'? there are 'lobes', 'primary'"
    )
    assert refusal(tmp_path, "../..").endswith("there is no roi-set '../..'\n  hint: there are 'lobes', 'primary'")
    assert refusal(tmp_path, "lobes", "x").endswith("there is no group 'x'\n  hint: there are 'lobes'")


def test_of_several_roi_sets_none_is_guessed(tmp_path):
    write_summaries(tmp_path, optic_lobes(), roiset="a")
    write_summaries(tmp_path, optic_lobes(), roiset="b")

    assert refusal(tmp_path).endswith("there is more than one roi-set: 'a', 'b'\n  hint: choose with --roiset")
