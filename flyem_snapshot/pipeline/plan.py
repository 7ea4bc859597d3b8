"""What a run will do, stage by stage, and why; made before any table is read."""

from __future__ import annotations

import heapq
import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, Literal

from flyem_snapshot.errors import Problem
from flyem_snapshot.pipeline.digests import FileDigests
from flyem_snapshot.pipeline.job import Job, Unit
from flyem_snapshot.pipeline.keys import Keys, SourceStates, describe_changes
from flyem_snapshot.pipeline.records import Record
from flyem_snapshot.pipeline.sentinels import StageCache

logger = logging.getLogger(__name__)

Action = Literal["run", "reuse", "skip"]


@dataclass(frozen=True)
class Step:
    """One stage of a plan.

    *run* executes it; *reuse* keeps its files and, for an input, reopens its table; *skip* does neither: the config
    does not ask for the stage, or nothing that runs reads its table.  `record` is what the last run of a stage left,
    if it still holds.
    """

    unit: Unit
    action: Action
    reason: str
    record: Record | None = None


@dataclass(frozen=True)
class Plan:
    """The steps in the order of execution, and the keys they stand for."""

    steps: tuple[Step, ...]
    keys: Keys

    @property
    def running(self) -> tuple[Unit, ...]:
        """The stages that will be executed."""
        return tuple(step.unit for step in self.steps if step.action == "run")

    def rows(self) -> list[tuple[str, str, str]]:
        """Stage, action and reason of each step, for a reader."""
        return [(".".join(step.unit.section), step.action, step.reason) for step in self.steps]


@dataclass(frozen=True)
class _State:
    """How a stage stands: nothing to do (`fault` empty and `old` None), or why it does not count as done.

    `old` are the key parts of its last run if they differ from today's.
    """

    fault: str = ""
    old: Mapping[str, Any] | None = None
    record: Record | None = None

    @property
    def done(self) -> bool:
        return not self.fault and self.old is None


def make_plan(job: Job, digests: FileDigests, states: SourceStates, damaged: Mapping[str, str] | None = None) -> Plan:
    """Decide for each stage; `damaged` says what is known to be broken of a stage, by its slug.

    Raises ConfigError if an output needs a table that the config leaves out, DataError if an input file of a stage
    that has run before cannot be digested.
    """
    units = execution_order(job.units)
    enabled = {unit.slug for unit in units if unit.enabled}
    inputs = {unit.stage.field: unit for unit in units if unit.stage.room == "inputs"}
    sources = {table: unit if unit.slug in enabled else None for table, unit in inputs.items()}
    keys = Keys(digests, job.tag, sources, states)
    _require_tables(job, [unit for unit in units if unit.slug in enabled], sources)

    stands: dict[str, _State] = {}
    wanted: set[str] = set()
    for unit in reversed(units):
        if unit.slug in enabled and (unit.stage.room == "outputs" or unit.stage.field in wanted):
            stands[unit.slug] = state = _state(job, unit, keys, (damaged or {}).get(unit.slug, ""))
            if not state.done:
                wanted.update(unit.stage.needs)

    running = {table for table, unit in inputs.items() if unit.slug in stands and not stands[unit.slug].done}
    steps = [_step(job, unit, stands.get(unit.slug), keys, running) for unit in units]
    return Plan(tuple(steps), keys)


def execution_order(units: tuple[Unit, ...]) -> list[Unit]:
    """Every stage after those whose tables it reads; otherwise in the order of the registry."""
    makers = {unit.stage.field: index for index, unit in enumerate(units) if unit.stage.room == "inputs"}
    graph = {index: [makers[table] for table in unit.stage.needs] for index, unit in enumerate(units)}
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    order: list[Unit] = []
    ready: list[int] = []
    while sorter.is_active():
        for index in sorter.get_ready():
            heapq.heappush(ready, index)
        index = heapq.heappop(ready)
        order.append(units[index])
        sorter.done(index)
    return order


def _state(job: Job, unit: Unit, keys: Keys, damage: str) -> _State:
    cache = StageCache(job.root, unit.slug)
    record = cache.record()
    if record is None and cache.record_path.exists():
        logger.warning("%s is unreadable: %s is taken as never run", cache.record_path, unit.stage.name)
        return _State("never run (its record in cache/ is unreadable)")
    if record is None:
        return _State("its last run did not finish" if cache.claims_path.exists() else "never run")
    if record.parts != keys.parts(unit):
        return _State(old=record.parts)
    return _State(damage or cache.fault(record), record=record)


def _step(job: Job, unit: Unit, state: _State | None, keys: Keys, running: set[str]) -> Step:
    if not unit.enabled:
        return Step(unit, "skip", unit.switch)
    if state is None:
        left = _state(job, unit, keys, "")
        return Step(unit, "skip", "not needed: nothing that runs reads it", left.record if left.done else None)
    if state.done:
        return Step(unit, "reuse", "up to date", state.record)
    if state.old is not None:
        return Step(unit, "run", describe_changes(unit.stage.name, state.old, keys.parts(unit), running))
    return Step(unit, "run", state.fault)


def _require_tables(job: Job, units: list[Unit], sources: Mapping[str, Unit | None]) -> None:
    """A stage whose parameter is not `X | None` cannot do without that table."""
    problems = [
        Problem(unit.section, f"needs inputs.{table.replace('_', '-')}, which the config leaves out")
        for unit in units
        for table in unit.stage.needs
        if sources[table] is None and not _may_be_absent(unit, table)
    ]
    if problems:
        raise job.loaded.document.error(problems)


def _may_be_absent(unit: Unit, table: str) -> bool:
    annotation = inspect.signature(unit.stage.run).parameters[table].annotation
    return annotation is None or "None" in str(annotation)
