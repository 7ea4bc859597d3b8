"""Everything that is wrong, before hours of work."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from flyem_snapshot.errors import ConfigError, DataError, Problem, SettingError
from flyem_snapshot.pipeline.preflight import PreflightError
from flyem_snapshot.pipeline.runner import check_job
from flyem_snapshot.stage import Stage
from tests.pipeline.toy import DOUBLED, LISTING, NAMES, POINTS, STAGES, TOTALS, Numbers, load_points


def with_checks(points=None, listing=None):
    """The toy stages, two of them with a check."""
    checked_points = Stage("points", "inputs", POINTS.config, load_points, produces=Numbers, check=points)
    checked_listing = Stage(
        "listing", "outputs", LISTING.config, LISTING.run, enabled=lambda config: config.export_listing, check=listing
    )
    return (DOUBLED, NAMES, checked_points, TOTALS, checked_listing)


def test_a_sound_job_passes_and_nothing_is_written(toy):
    check_job(toy.job())
    assert not toy.out.exists()


def test_a_missing_input_file_is_placed_in_the_config(toy):
    toy.table.unlink()
    with pytest.raises(ConfigError) as caught:
        check_job(toy.job())
    assert str(caught.value) == (
        f"{toy.config}:2:12: inputs.points.table: there is no file {toy.table}\n"
        f"  hint: nothing in {toy.folder} has a name like it"
    )


def test_a_directory_in_place_of_an_input_file_is_told(toy):
    toy.table.unlink()
    toy.table.mkdir()
    with pytest.raises(ConfigError, match=r"inputs\.points\.table: .*numbers\.txt is not a file"):
        check_job(toy.job())


def test_all_stages_are_asked_and_all_they_find_is_told_at_once(toy):
    toy.configure(points="minimum: 1", listing="prefix: x")
    stages = with_checks(
        points=lambda config, whole: [
            DataError("has no column 'body'", file=config.table),
            SettingError("minimum", f"is {config.minimum}"),
        ],
        listing=lambda config, whole: [Problem(("prefix",), f"does not fit {whole.job_settings.snapshot_tag}")],
    )
    with pytest.raises(PreflightError) as caught:
        check_job(toy.job(stages))

    assert caught.value.exit_code == 2
    assert str(caught.value) == (
        f"{toy.config}:2:32: inputs.points.minimum: is 1\n"
        f"{toy.config}:4:13: outputs.listing.prefix: does not fit v1\n"
        f"{toy.table}: has no column 'body'"
    )


def test_an_error_raised_by_a_check_is_a_finding_like_any_other(toy):
    def check(config, whole):
        raise DataError("is truncated", file=config.table)

    with pytest.raises(DataError, match="is truncated") as caught:
        check_job(toy.job(with_checks(points=check)))
    assert caught.value.exit_code == 1


def test_stages_that_are_off_are_not_asked(toy):
    toy.configure(listing="export-listing: false")
    check_job(toy.job(with_checks(listing=lambda config, whole: [Problem((), "never asked")])))


def test_a_run_asks_the_stages_that_will_run_before_any_of_them_starts(toy):
    toy.run()
    toy.configure(listing="prefix: x")
    stages = with_checks(
        points=lambda config, whole: [Problem((), "not asked: its table is kept")],
        listing=lambda config, whole: [Problem(("prefix",), "is bad")],
    )
    with pytest.raises(ConfigError, match=r"outputs\.listing\.prefix: is bad$"):
        toy.run(stages)
    assert toy.manifest(), "the old snapshot is untouched"


def test_little_space_is_warned_about_but_no_error(toy, monkeypatch, caplog):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    check_job(toy.job(STAGES))

    assert caplog.messages == [f"{toy.folder} has 10 B free, but about 30 B may be needed"]
