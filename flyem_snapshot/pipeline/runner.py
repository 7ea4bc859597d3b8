"""Carrying out a plan: stage after stage, each table for as long as it has readers."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from flyem_snapshot.config.resolve import final_config_yaml
from flyem_snapshot.engine.limits import DEFAULT_SHARE, available_cpus, available_memory, parse_size
from flyem_snapshot.engine.outdir import OutputDir, fsync_directory, output_errors, replace_atomically
from flyem_snapshot.engine.session import Engine, Limits
from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.log import format_bytes, peak_rss_bytes, prefixed, reset_peak_rss
from flyem_snapshot.pipeline.digests import FileDigests
from flyem_snapshot.pipeline.failures import explained
from flyem_snapshot.pipeline.interrupts import stopping
from flyem_snapshot.pipeline.job import Job, Unit
from flyem_snapshot.pipeline.keys import SourceStates
from flyem_snapshot.pipeline.lock import locked
from flyem_snapshot.pipeline.plan import Plan, Step, make_plan
from flyem_snapshot.pipeline.preflight import require_sound, warn_of_little_space
from flyem_snapshot.pipeline.records import Record, digest_of
from flyem_snapshot.pipeline.sentinels import StageCache, remove_partial_files
from flyem_snapshot.pipeline.summary import (
    MANIFEST,
    SUMMARY,
    Report,
    costs,
    described,
    manifest,
    run_summary,
    show_plan,
    show_summary,
)
from flyem_snapshot.plots.browser import one_browser
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.exclusions import Exclusions

logger = logging.getLogger(__name__)

FINAL_CONFIG = "final-config.yaml"
DIGEST_MEMORY = "cache/file-digests.json"


def plan_job(job: Job) -> Plan:
    """What `run_job` would do; writes nothing and takes no lock."""
    return make_plan(job, FileDigests(job.root / DIGEST_MEMORY), SourceStates(job))


def check_job(job: Job) -> None:
    """Raise everything that can be found wrong in seconds, in every stage that the config asks for."""
    units = [unit for unit in job.units if unit.enabled]
    warn_of_little_space(job, units)
    require_sound(job, units)


def run_job(job: Job) -> None:
    """Make the snapshot, or what of it is not yet made.

    Raises a SnapshotError for what the user can mend, and KeyboardInterrupt for SIGINT and SIGTERM; whatever
    happens, and even if the process dies, running again resumes with the first unfinished stage.
    """
    start = time.monotonic()
    with locked(job.root), output_errors(job.root):
        # What a killed run left, even if there is nothing more to run.
        shutil.rmtree(_scratch_directory(job), ignore_errors=True)
        remove_partial_files(job.root, [StageCache(job.root, unit.slug) for unit in job.units])
        digests = FileDigests(job.root / DIGEST_MEMORY)
        plan = _plan_with_sound_cache(job, digests, SourceStates(job))
        show_plan(plan.rows())
        require_sound(job, (*plan.running, *_idle(job)))
        warn_of_little_space(job, plan.running)
        _warn_of_leftovers(job)

        if plan.running:
            _withdraw(job.root)
        text = final_config_yaml(job.config)
        replace_atomically(job.root / FINAL_CONFIG, lambda path: path.write_text(text, encoding="utf-8"))
        reports = _execute(job, plan)
        seconds = time.monotonic() - start
        summary = run_summary(job.tag, reports, digests.known, seconds)
        _write_json(job.root / SUMMARY, summary | {"sources": _sources(job, reports)})
        _write_json(job.root / MANIFEST, manifest(job.root, job.tag, reports))
        show_summary(job.root, reports, seconds)


def _plan_with_sound_cache(job: Job, digests: FileDigests, states: SourceStates) -> Plan:
    """A plan whose reused tables were read and found whole; a table that is not is made anew."""
    damaged: dict[str, str] = {}  # by slug
    while True:
        plan = make_plan(job, digests, states, damaged)
        found = {}
        for step in plan.steps:
            if step.action == "reuse" and step.record is not None and step.unit.stage.room == "inputs":
                cache = StageCache(job.root, step.unit.slug)
                if damage := cache.damage(step.record):
                    logger.warning("%s: its stage runs again", damage)
                    found[step.unit.slug] = damage
        if not found:
            return plan
        damaged |= found


def _idle(job: Job) -> tuple[Unit, ...]:
    """Inputs that the config asks for and no output reads: they are checked, and the user is told."""
    wanted = {table for unit in job.units if unit.enabled for table in unit.stage.needs}
    idle = [u for u in job.units if u.enabled and u.stage.room == "inputs" and u.stage.field not in wanted]
    for unit in idle:
        logger.warning("%s is checked, but not loaded: no output of this run reads it", ".".join(unit.section))
    return tuple(idle)


def _warn_of_leftovers(job: Job) -> None:
    for unit in job.units:
        if unit.stage.room == "outputs" and not unit.enabled:
            left = [name for name in StageCache(job.root, unit.slug).claims() if (job.root / name).exists()]
            if left:
                logger.warning(
                    "%s is switched off (%s): %d file%s of an earlier run stay%s in %s, but not in %s",
                    ".".join(unit.section),
                    unit.switch,
                    len(left),
                    "s" if len(left) > 1 else "",
                    "" if len(left) > 1 else "s",
                    job.root,
                    MANIFEST,
                )


def _sources(job: Job, reports: Iterable[Report]) -> dict[str, Any]:
    """What the stages read from servers: the state that was read, and what is there now that everything is done."""
    found = {}
    for report in reports:
        unit = report.step.unit
        if report.record is not None and (state := report.record.parts.get("source")) is not None:
            now = {}
            if (ask := unit.stage.afterwards) is not None:
                try:
                    now = {"at-end": dict(job.asked(unit, ask))}
                except SnapshotError as error:  # the snapshot is made; only this cannot be said of it
                    logger.warning("%s: cannot be asked again: %s", ".".join(unit.section), error)
            found[".".join(unit.section)] = {**state, **now}
    return found


def _withdraw(root: Path) -> None:
    """Before anything changes, take away what describes the snapshot as it was."""
    for name in (MANIFEST, SUMMARY):
        (root / name).unlink(missing_ok=True)
    fsync_directory(root)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    replace_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _execute(job: Job, plan: Plan) -> list[Report]:
    if not plan.running:
        return [Report(step, step.record) for step in plan.steps]
    # One browser draws the plots of all stages; it starts with the first of them.
    with (
        _scratch(job) as scratch,
        _engine(job, scratch) as engine,
        stopping(engine.connection.interrupt),
        one_browser(),
    ):
        performed: dict[str, Report] = {}
        while True:
            execution = _Execution(job, plan, engine, scratch)
            for step in plan.steps:
                report = execution.perform(step)
                earlier = performed.get(step.unit.slug)
                performed[step.unit.slug] = earlier if earlier and step.action == "reuse" else report
                if execution.moved:
                    break
            else:
                return [performed[step.unit.slug] for step in plan.steps]
            # What depends on the source has another key now; the stages done so far are found to be up to date.
            logger.info("%s changed while it was read: planning again", ".".join(step.unit.section))
            execution.close()
            plan = make_plan(job, plan.keys.digests, plan.keys.states)


def _scratch_directory(job: Job) -> Path:
    elsewhere = job.config.job_settings.scratch_dir
    # Two output directories may share a scratch directory, and the same one is found again after a kill.
    name = f"flyem-snapshot-{digest_of(str(job.root))}"
    return job.root / "cache" / "scratch" if elsewhere is None else elsewhere / name


@contextmanager
def _scratch(job: Job) -> Iterator[Path]:
    """An empty directory for what need not last."""
    scratch = _scratch_directory(job)
    with output_errors(scratch):
        scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _engine(job: Job, scratch: Path) -> Engine:
    settings = job.config.job_settings
    limit = settings.memory_limit
    memory = int(DEFAULT_SHARE * available_memory()) if limit is None else parse_size(limit)
    threads = min(settings.processes, available_cpus())
    logger.info("using %s of memory and %d CPU%s", format_bytes(memory), threads, "s" if threads > 1 else "")
    return Engine(Limits(memory, threads, scratch / "spill"))


class _Execution:
    """The state of a run: the tables that are open."""

    def __init__(self, job: Job, plan: Plan, engine: Engine, scratch: Path) -> None:
        self.job, self.plan, self.engine, self.scratch = job, plan, engine, scratch
        self.tables: dict[str, Any] = {}
        self.readers = {table: unit.slug for unit in plan.running for table in unit.stage.needs}
        """The last stage that reads each table."""
        self.moved = False
        """Whether the source of the last stage changed while it was read."""

    def perform(self, step: Step) -> Report:
        """Do one step of the plan, then close the tables that have no further readers."""
        record = step.record
        with prefixed(step.unit.stage.name), explained(self.job, step.unit):
            if step.action == "run":
                record = self._run(step)
            elif step.action == "reuse" and step.unit.stage.room == "inputs":
                self._reopen(step)
        self._release(step.unit)
        return Report(step, record)

    def _run(self, step: Step) -> Record:
        unit, digests = step.unit, self.plan.keys.digests
        logger.info("running: %s", step.reason)
        others = {file for other in self.job.units if other is not unit for file in self._files_of(other)}
        with ExitStack() as stack:
            # Digested before the stage reads its files, and compared with them afterwards.
            parts = self.plan.keys.parts(unit)
            digests.save()
            claim, finish = stack.enter_context(StageCache(self.job.root, unit.slug).rewriting(others))
            ctx = self._context(unit, OutputDir(self.job.root, claim))
            ctx.resume.mkdir(parents=True, exist_ok=True)
            reset_peak_rss()
            # A stage may have a number of its own; those that have none use the job's.
            processes = getattr(unit.settings, "processes", self.job.config.job_settings.processes)
            self.engine.use_threads(min(processes, available_cpus()))
            start = time.monotonic()
            table = unit.stage.run(unit.settings, ctx, **{name: self.tables.get(name) for name in unit.stage.needs})
            for path in unit.input_files().values():
                digests.require_unchanged(path)
            record = Record(
                parts=parts,
                files=dict(sorted(ctx.out.written.items())),
                seconds=time.monotonic() - start,
                peak_memory=peak_rss_bytes(),
                exclusions=tuple(asdict(entry) for entry in ctx.exclusions.entries),
                table=None if table is None else table.record(),
            )
            if (found := getattr(table, "source", None)) is not None:
                self.moved = self.plan.keys.states.moved(unit, found)
                record = replace(record, parts={**parts, "source": json.loads(json.dumps(found))})
            finish(record)
        for folder in (ctx.scratch, ctx.resume):
            shutil.rmtree(folder, ignore_errors=True)
        if unit.stage.room == "inputs":
            self.tables[unit.stage.field] = table
        logger.info("done: %s", described(*costs(record)))
        return record

    def _reopen(self, step: Step) -> None:
        stage, record = step.unit.stage, step.record
        assert stage.produces is not None, "an input stage makes a table"
        assert record is not None, "a reused stage has a record"
        ctx = self._context(step.unit, OutputDir(self.job.root))
        if record.table is not None:
            self.tables[stage.field] = stage.produces.reopen(ctx, dict(record.table))
        logger.info("reusing the table in %s", ctx.cache)

    def _context(self, unit: Unit, out: OutputDir) -> Context:
        scratch = self.scratch / unit.slug
        shutil.rmtree(scratch, ignore_errors=True)  # of this stage before a new plan was made
        scratch.mkdir()
        cache = f"cache/{unit.slug}"
        resume = _resume_directory(self.job.root, unit.slug, self.plan.keys.key(unit))
        return Context(self.job.tag, self.engine, out, Exclusions(), scratch, cache, resume)

    def _files_of(self, unit: Unit) -> list[str]:
        record = StageCache(self.job.root, unit.slug).record()
        return list(record.files) if record else []

    def _release(self, unit: Unit) -> None:
        """Close the tables that no later stage reads."""
        done = [name for name in self.tables if self.readers.get(name) in (None, unit.slug)]
        self._close(done)

    def close(self) -> None:
        """Close every table that is open."""
        self._close(list(self.tables))

    def _close(self, names: Iterable[str]) -> None:
        for table in [self.tables.pop(name) for name in names]:
            if hasattr(table, "close"):
                table.close()


def _resume_directory(root: Path, slug: str, key: str) -> Path:
    """Where a stage keeps what a killed run shall find again; what other keys left there goes."""
    folder = root / "cache" / "resume"
    if folder.is_dir():
        for other in [p for p in folder.glob(f"{slug}-*") if p.name != f"{slug}-{key}"]:
            shutil.rmtree(other, ignore_errors=True)
    return folder / f"{slug}-{key}"
