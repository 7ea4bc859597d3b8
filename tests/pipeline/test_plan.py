"""What a run will do and the reason it gives, as whole text."""

from __future__ import annotations

import os

import pytest

from flyem_snapshot.errors import ConfigError, DataError
from flyem_snapshot.pipeline.plan import execution_order
from flyem_snapshot.pipeline.runner import plan_job
from flyem_snapshot.stage import Stage
from tests.pipeline.toy import DOUBLED, LISTING, NAMES, POINTS, STAGES, TOTALS, Numbers, load_points

NOT_NEEDED = "not needed: nothing that runs reads it"
OFF = ("inputs.names", "skip", "load-names is false")


def plan(toy, stages=STAGES):
    return plan_job(toy.job(stages)).rows()


def reasons(toy):
    return {name.split(".")[1]: f"{action}: {reason}" for name, action, reason in plan(toy)}


def test_a_first_run_runs_what_the_config_asks_for_in_order_of_need(toy):
    assert plan(toy) == [
        OFF,
        ("inputs.points", "run", "never run"),
        ("inputs.doubled", "run", "never run"),
        ("outputs.totals", "run", "never run"),
        ("outputs.listing", "run", "never run"),
    ]
    assert not toy.out.exists(), "a plan writes nothing"


def test_a_second_run_reads_no_table(toy):
    toy.run()

    assert plan(toy) == [
        OFF,
        ("inputs.points", "skip", NOT_NEEDED),
        ("inputs.doubled", "skip", NOT_NEEDED),
        ("outputs.totals", "reuse", "up to date"),
        ("outputs.listing", "reuse", "up to date"),
    ]


def test_a_changed_setting_of_an_output_reopens_only_the_tables_it_reads(toy):
    toy.run()
    toy.configure(listing="prefix: item")

    assert plan(toy) == [
        OFF,
        ("inputs.points", "reuse", "up to date"),
        ("inputs.doubled", "skip", NOT_NEEDED),
        ("outputs.totals", "reuse", "up to date"),
        ("outputs.listing", "run", "settings changed: listing.prefix: n -> item"),
    ]


def test_a_changed_setting_of_an_input_reaches_all_that_depends_on_it(toy):
    toy.run()
    toy.configure(points="minimum: 3")

    assert plan(toy) == [
        OFF,
        ("inputs.points", "run", "settings changed: points.minimum: 0 -> 3"),
        ("inputs.doubled", "run", "depends on points, which runs"),
        ("outputs.totals", "run", "depends on doubled, which runs"),
        ("outputs.listing", "run", "depends on points, which runs"),
    ]


def test_a_setting_that_does_not_affect_results_changes_nothing(toy):
    toy.run()
    toy.configure(listing="pause: 0.001", job="scratch-dir: scratch")

    assert reasons(toy)["listing"] == "reuse: up to date"


def test_an_input_file_counts_by_its_content(toy):
    toy.run()
    os.utime(toy.table)
    assert reasons(toy)["listing"] == "reuse: up to date", "a new time stamp is no new content"

    moved = toy.folder / "moved.txt"
    toy.table.rename(moved)
    toy.config.write_text(toy.config.read_text().replace("numbers.txt", "moved.txt"))
    assert reasons(toy)["listing"] == "reuse: up to date", "a new path is no new content"

    moved.write_text(moved.read_text().replace("5", "6"))
    assert reasons(toy)["points"] == "run: input points.table changed (content)"
    assert reasons(toy)["totals"] == "run: depends on doubled, which runs"


def test_a_table_that_was_made_anew_for_another_output_is_told_from_one_that_runs(toy):
    toy.run()
    toy.configure(points="minimum: 3", totals="export-totals: false")
    toy.run()
    toy.configure(points="minimum: 3", doubled="factor: 2")

    assert reasons(toy)["points"] == "reuse: up to date"
    assert reasons(toy)["doubled"] == "run: depends on points, which changed"
    assert reasons(toy)["totals"] == "run: depends on doubled, which runs"


def test_a_new_tag_makes_outputs_anew_but_no_inputs(toy):
    toy.run()
    toy.configure(job="snapshot-tag: v2")

    assert reasons(toy) == {
        "names": "skip: load-names is false",
        "points": "reuse: up to date",
        "doubled": "reuse: up to date",
        "totals": "run: snapshot tag changed: v1 -> v2",
        "listing": "run: snapshot tag changed: v1 -> v2",
    }


def test_several_changes_are_all_told(toy):
    toy.run()
    toy.configure(names="load-names: true", listing="prefix: item", job="snapshot-tag: v2")

    assert reasons(toy)["listing"] == (
        "run: settings changed: listing.prefix: n -> item; depends on names, which runs; snapshot tag changed: v1 -> v2"
    )


def test_a_new_version_of_a_stage_runs_it_again(toy):
    toy.run()
    newer = Stage("points", "inputs", POINTS.config, load_points, version=2, produces=Numbers)
    stages = (DOUBLED, NAMES, newer, TOTALS, LISTING)

    assert plan(toy, stages)[1] == ("inputs.points", "run", "its results changed in version 2 (was 1)")


def test_missing_and_truncated_files_are_named(toy):
    toy.run()
    (toy.out / "totals/totals-v1.txt").unlink()
    (toy.out / "listing/1/n1-v1.txt").write_text("1")
    (toy.out / "cache/inputs-doubled/numbers.txt").write_text("")

    assert reasons(toy) == {
        "names": "skip: load-names is false",
        "points": "reuse: up to date",
        "doubled": "run: cache/inputs-doubled/numbers.txt has 0 bytes, expected 10",
        "totals": "run: totals/totals-v1.txt is missing",
        "listing": "run: listing/1/n1-v1.txt has 1 bytes, expected 8",
    }


def test_a_removed_sentinel_runs_the_stage_again(toy):
    toy.run()
    for sentinel in (toy.out / "cache").glob("listing-*.sentinel"):
        assert sentinel.stat().st_size == 0
        sentinel.unlink()

    assert reasons(toy)["listing"] == "run: its last run did not finish"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"size": 8', '"size": 9'),
        lambda text: text.replace("n1-v1.txt", "../../n1.txt"),
        lambda text: "\udcff",
    ],
    ids=["truncated", "empty", "a list", "a changed size", "a path that leads out", "not UTF-8"],
)
def test_an_unreadable_record_is_warned_about_and_the_stage_runs(toy, damage, caplog):
    toy.run()
    record = toy.out / "cache/listing.json"
    record.write_bytes(damage(record.read_text()).encode("utf-8", "surrogateescape"))

    assert reasons(toy)["listing"] == "run: never run (its record in cache/ is unreadable)"
    assert caplog.messages == [f"{record} is unreadable: listing is taken as never run"]


def test_an_output_that_needs_an_absent_table_is_a_mistake_in_the_config(toy):
    needy = Stage("listing", "outputs", LISTING.config, lambda config, ctx, *, names: None)

    with pytest.raises(ConfigError, match=r"outputs\.listing: needs inputs\.names, which the config leaves out"):
        plan(toy, (DOUBLED, NAMES, POINTS, TOTALS, needy))


def test_a_missing_input_file_is_told_by_name(toy):
    toy.run()
    toy.table.unlink()

    with pytest.raises(DataError, match=r"numbers\.txt: cannot be read: No such file or directory"):
        plan(toy)


def test_ties_in_the_order_are_broken_by_the_registry(toy):
    names = [unit.stage.name for unit in execution_order(toy.job((LISTING, TOTALS, POINTS, NAMES, DOUBLED)).units)]

    assert names == ["points", "names", "listing", "doubled", "totals"]
