"""A run of which a source changes while it is read ends with one state, which is in every key, and is found again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import SettingError, SnapshotError
from flyem_snapshot.pipeline.job import open_job
from flyem_snapshot.pipeline.runner import plan_job, run_job
from flyem_snapshot.stage import Context, Stage


class ServerSettings(Section):
    """A server that holds a number."""

    version: str = setting(":newest", doc="Which.")


class SheetSettings(Section):
    """Writes it."""

    export_sheet: bool = setting(True, doc="Write it.")


@dataclass
class Server:
    """Its content changes with each question, as long as there are further contents."""

    contents: list[int]
    asked: list[str] = field(default_factory=list)

    def say(self, why: str) -> int:
        self.asked.append(why)
        return self.contents.pop(0) if len(self.contents) > 1 else self.contents[0]


@dataclass
class Number:
    """What was read; `source` only if the server can change."""

    value: int
    source: dict[str, Any] | None

    def record(self) -> dict[str, Any]:
        return {"value": self.value, "source": self.source}

    @classmethod
    def reopen(cls, ctx: Context, record: dict[str, Any]) -> Number:
        return cls(**record)


class Toy:
    """Two inputs, each with its server, a third that depends on the first, and an output of all."""

    def __init__(self, folder: Path, one: list[int], two: list[int]) -> None:
        self.folder = folder
        self.one, self.two = Server(one), Server(two)
        self.runs: list[str] = []
        self.config = folder / "config.yaml"
        self.config.write_text(
            "inputs:\n  one: {}\n  two: {}\noutputs: {}\njob-settings: {output-dir: out, snapshot-tag: toy}\n"
        )

    def stages(self) -> tuple[Stage, ...]:
        def read(name: str, server: Server) -> Any:
            def load(config: ServerSettings, ctx: Context) -> Number:
                self.runs.append(name)
                value = server.say("read")
                return Number(value, {"content": value})

            return load

        def twice(config: SheetSettings, ctx: Context, *, one: Number) -> Number:
            self.runs.append("twice")
            return Number(2 * one.value, None)

        def sheet(config: SheetSettings, ctx: Context, *, one: Number, two: Number, twice: Number) -> None:
            self.runs.append("sheet")
            ctx.out.write_json("sheet.json", [one.value, two.value, twice.value])

        def live(name: str, server: Server, **more: Any) -> Stage:
            return Stage(
                name,
                "inputs",
                ServerSettings,
                read(name, server),
                produces=Number,
                pin=lambda config, whole: config.model_copy(update={"version": "v7"}),
                source=lambda config, whole: {"content": server.say("state")},
                **more,
            )

        return (
            live("one", self.one),
            live("two", self.two, afterwards=lambda config, whole: {"content": server_content(self.two)}),
            Stage("twice", "inputs", SheetSettings, twice, produces=Number),
            Stage("sheet", "outputs", SheetSettings, sheet),
        )

    def run(self) -> tuple[list[str], list[int]]:
        """Which stages ran, in order, and what was written."""
        self.runs = []
        run_job(open_job(self.config, self.stages()))
        return self.runs, json.loads((self.folder / "out/sheet.json").read_text())

    def sources(self) -> dict[str, Any]:
        return json.loads((self.folder / "out/run-summary.json").read_text())["sources"]


def server_content(server: Server) -> int:
    return server.contents[0]


def test_without_changes_every_source_is_asked_once_for_its_state_and_once_to_be_read(tmp_path):
    toy = Toy(tmp_path, [5], [6])
    assert toy.run() == (["one", "two", "twice", "sheet"], [5, 6, 10])
    assert toy.one.asked.count("state") <= 1
    assert toy.one.asked.count("read") == 1
    assert toy.run() == ([], [5, 6, 10])


def test_a_source_that_changed_before_it_was_read(tmp_path):
    toy = Toy(tmp_path, [5, 6], [1])
    toy.run()
    assert toy.sources()["inputs.one"]["content"] == toy.one.contents[0]
    runs, written = toy.run()
    assert runs == []
    assert written == [6, 1, 12]


@pytest.mark.parametrize("one", [[5, 6], [5, 6, 7], [5, 6, 7, 8, 9]])
@pytest.mark.parametrize("two", [[1, 2], [1, 2, 3, 4, 5]])
def test_sources_that_change_again_and_again_are_read_once_each_and_the_files_are_of_what_was_read(tmp_path, one, two):
    toy = Toy(tmp_path, list(one), list(two))
    runs, written = toy.run()
    assert sorted(runs) == ["one", "sheet", "twice", "two"]
    sources = toy.sources()
    assert written == [sources["inputs.one"]["content"], sources["inputs.two"]["content"], 2 * written[0]]
    # Each later run sees what the one before left, until nothing changes any more.
    for _ in range(len(one) + len(two)):
        _, written = toy.run()
    assert written == [one[-1], two[-1], 2 * one[-1]]
    assert toy.run()[0] == []


def test_what_depends_on_a_source_runs_again_with_it_and_the_rest_does_not(tmp_path):
    toy = Toy(tmp_path, [5], [6])
    toy.run()
    toy.two.contents = [7]
    assert toy.run() == (["two", "sheet"], [5, 7, 10])
    toy.one.contents = [8]
    assert toy.run() == (["one", "twice", "sheet"], [8, 7, 16])


def test_back_to_what_it_was_is_what_it_was(tmp_path):
    toy = Toy(tmp_path, [5], [6])
    for content in (5, 9, 5):
        toy.one.contents = [content]
        assert toy.run()[1] == [content, 6, 2 * content]
    assert toy.run()[0] == []


def test_the_plan_says_which_part_of_a_source_changed(tmp_path):
    toy = Toy(tmp_path, [5], [6])
    toy.run()
    toy.one.contents = [50]
    rows = {name: (action, reason) for name, action, reason in plan_job(open_job(toy.config, toy.stages())).rows()}
    assert rows["inputs.one"] == ("run", "its source changed: content: 5 -> 50")
    assert rows["inputs.two"][0] == "reuse"
    assert rows["inputs.twice"] == ("run", "depends on one, which runs")


def test_versions_are_looked_up_when_the_job_is_opened(tmp_path):
    toy = Toy(tmp_path, [5], [6])
    job = open_job(toy.config, toy.stages())
    assert job.config.inputs.one.version == job.config.inputs.two.version == "v7"
    assert toy.one.asked == []


def test_a_version_that_cannot_be_is_an_error_with_its_line(tmp_path):
    toy = Toy(tmp_path, [5], [6])
    toy.config.write_text(toy.config.read_text().replace("one: {}", "one:\n    version: never"))
    first, *others = toy.stages()

    def refuse(config, whole):
        raise SettingError("version", "there is none", hint="name another")

    stages = (Stage(**{**first.__dict__, "pin": refuse}), *others)
    with pytest.raises(Exception, match=r"config\.yaml:3:\d+: inputs\.one\.version: there is none"):
        open_job(toy.config, stages)


def test_the_end_of_the_run_is_noted_and_a_server_that_is_gone_then_does_not_spoil_it(tmp_path, caplog):
    toy = Toy(tmp_path, [5], [6])
    toy.run()
    assert toy.sources()["inputs.two"] == {"content": 6, "at-end": {"content": 6}}
    stages = list(toy.stages())

    def gone(config, whole):
        raise SnapshotError("the server is gone")

    stages[1] = Stage(**{**stages[1].__dict__, "afterwards": gone})
    with caplog.at_level("WARNING"):
        run_job(open_job(toy.config, tuple(stages)))
    assert toy.sources()["inputs.two"] == {"content": 6}
    assert "the server is gone" in caplog.text
