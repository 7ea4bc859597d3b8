"""Which tables are open while a stage runs, and whose files are whose."""

from __future__ import annotations

import logging
import re
import sys

import pytest

from flyem_snapshot.errors import ConfigError
from flyem_snapshot.stage import Stage
from tests.pipeline.toy import DOUBLED, LISTING, NAMES, POINTS, STAGES, TOTALS, Numbers, double, write_totals


@pytest.fixture
def seen():
    """The tables that the watching stages were given."""
    return {}


@pytest.fixture
def watching(seen):
    """The toy stages, of which `doubled` and `totals` note which tables are open when they run."""

    def watch_double(config, ctx, *, points):
        seen["points"] = points
        return double(config, ctx, points=points)

    def watch_totals(config, ctx, *, doubled):
        seen["doubled"] = doubled
        seen["points was open"] = "points" in seen and seen["points"].open
        write_totals(config, ctx, doubled=doubled)

    doubled = Stage("doubled", "inputs", DOUBLED.config, watch_double, produces=Numbers)
    totals = Stage("totals", "outputs", TOTALS.config, watch_totals, enabled=TOTALS.enabled)
    return (doubled, NAMES, POINTS, totals, LISTING)


def test_a_table_is_closed_after_its_last_reader(toy, watching, seen):
    toy.configure(listing="export-listing: false")
    toy.run(watching)

    assert not seen["points was open"]
    assert not seen["doubled"].open


def test_a_table_stays_open_while_it_has_readers(toy, watching, seen):
    toy.run(watching)

    assert seen["points was open"], "listing is still to come"
    assert not seen["points"].open


def test_a_reopened_table_is_closed_too(toy, watching, seen):
    toy.run()
    (toy.out / "totals/totals-v1.txt").unlink()
    toy.run(watching)

    assert list(seen) == ["doubled", "points was open"]
    assert seen["doubled"].values == [2, 4, 6, 8, 10]
    assert not seen["doubled"].open


@pytest.mark.parametrize("reruns", [0, 1])
def test_an_input_that_makes_no_table_counts_as_done_and_gives_none(toy, reruns):
    given = []

    def read(config, ctx, *, points, names):
        given.append(names)

    nothing = Stage("names", "inputs", NAMES.config, lambda config, ctx: None, produces=Numbers)
    reader = Stage("listing", "outputs", LISTING.config, read)
    for _ in range(reruns + 1):
        toy.configure(listing=f"prefix: x{len(given)}")
        toy.run((DOUBLED, nothing, POINTS, TOTALS, reader))

    assert given == [None] * (reruns + 1)


def test_a_file_that_another_stage_writes_now_is_not_removed_with_those_of_its_former_owner(toy):
    def write(config, ctx, *, points):
        ctx.out.write_text("shared/file.txt", "content")

    def idle(config, ctx, *, points):
        pass

    def stages(first, second, version):
        return (
            *STAGES[:3],
            Stage("totals", "outputs", TOTALS.config, first, version=version),
            Stage("listing", "outputs", LISTING.config, second, version=version),
        )

    for version, (first, second) in enumerate([(write, idle), (idle, write), (write, idle)], 1):
        toy.run(stages(first, second, version))
        assert (toy.out / "shared/file.txt").read_text() == "content"
        assert list(toy.manifest()["files"]) == ["shared/file.txt"]


def test_each_stage_ends_with_its_costs_and_the_run_with_a_summary(toy, caplog):
    caplog.set_level(logging.INFO, "flyem_snapshot")
    toy.run()
    # This process may be a large one by now.
    lines = [re.sub(r"\d+\.\d (s|MB|GB)", r"# \1", message).replace("GB", "MB") for message in caplog.messages]

    assert "done: rows: 1, 525 B, # s, peak memory # MB" in lines
    assert lines[-6:] == [
        "inputs.names: skip",
        "inputs.points: run (9 B, # s, peak memory # MB)",
        "inputs.doubled: run (10 B, # s, peak memory # MB)",
        "outputs.totals: run (rows: 1, 525 B, # s, peak memory # MB)",
        "outputs.listing: run (40 B, # s, peak memory # MB)",
        f"snapshot complete in # s: {toy.out}",
    ]


def test_a_terminal_shows_the_summary_as_a_table(toy, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    toy.run()

    assert re.search(r"outputs\.totals.*run.*525 B", capsys.readouterr().out)


def test_a_failed_preflight_leaves_the_directory_as_it_was(toy):
    toy.run()
    before = toy.files()
    toy.table.unlink()
    toy.configure(points="minimum: 2")
    (toy.out / "cache/inputs-points.json").unlink()
    for name in ("totals", "listing", "inputs-doubled"):
        (toy.out / f"cache/{name}.json").unlink()
    with pytest.raises(ConfigError, match="there is no file"):
        toy.run()

    assert {name: d for name, d in before.items() if not name.endswith(".json") or "/" not in name} == {
        name: d for name, d in toy.files().items() if not name.endswith(".json") or "/" not in name
    }
