"""Finding in seconds what would make a run fail after hours."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from flyem_snapshot.errors import ConfigError, DataError, Problem, SettingError, SnapshotError
from flyem_snapshot.log import format_bytes
from flyem_snapshot.pipeline.job import Job, Unit
from flyem_snapshot.sources.files import missing_file_hint

logger = logging.getLogger(__name__)

SPACE_FACTOR: Final = 3
"""Bytes written for each byte read, roughly: cached tables, results, and room to spill."""


class PreflightError(SnapshotError):
    """Several things are wrong, some with the configuration and some with the data."""

    def __init__(self, errors: Sequence[SnapshotError]) -> None:
        self.errors = tuple(errors)
        self.exit_code = max(error.exit_code for error in errors)
        super().__init__("\n".join(str(error) for error in errors))


def require_sound(job: Job, units: Iterable[Unit]) -> None:
    """Ask every one of the stages for what it finds wrong, and raise all of it as one error."""
    errors = [_placed(job, unit, finding) for unit in units for finding in _findings(job, unit)]
    problems = [problem for error in errors if isinstance(error, ConfigError) for problem in error.problems]
    others = [error for error in errors if not isinstance(error, ConfigError)]
    if problems:
        others.insert(0, job.loaded.document.error(problems))
    if len(others) == 1:
        raise others[0]
    if others:
        raise PreflightError(others)


def _findings(job: Job, unit: Unit) -> Iterator[Problem | SnapshotError]:
    unreadable = {}
    for name, path in unit.input_files().items():
        if why := _unreadable(path):
            unreadable[path] = Problem(_path(name), *why)
    yield from unreadable.values()
    if unit.stage.check is not None:
        try:
            found = list(unit.stage.check(unit.settings, job.config))
        except SnapshotError as error:
            found = [error]
        for finding in found:
            parts = finding.parts if isinstance(finding, DataError) else (finding,)
            # Of a file that is not there, the check can only say so again.
            yield from (p for p in parts if not (isinstance(p, DataError) and p.file in unreadable))


def _placed(job: Job, unit: Unit, finding: Problem | SnapshotError) -> SnapshotError:
    if isinstance(finding, Problem):
        finding = SettingError(finding.path, finding.message, hint=finding.hint)
    return job.loaded.blame(unit.section, finding) if isinstance(finding, SettingError) else finding


def _path(dotted: str) -> tuple[str | int, ...]:
    return tuple(int(part) if part.isdigit() else part for part in dotted.split("."))


def _unreadable(path: Path) -> tuple[str, str] | None:
    """Why a file cannot be read, and a hint; None if it can."""
    if not path.exists():
        return f"there is no file {path}", missing_file_hint(path)
    if not path.is_file():
        return f"{path} is not a file", "name a file"
    if not os.access(path, os.R_OK):
        return f"there is no permission to read {path}", "mend the permissions of it or its directories"
    return None


def warn_of_little_space(job: Job, units: Iterable[Unit]) -> None:
    """Compare the free space with what the input files of the stages suggest; a warning, since it is a guess."""
    paths = {path for unit in units for path in unit.input_files().values() if path.is_file()}
    needed = SPACE_FACTOR * sum(path.stat().st_size for path in paths)
    place = next(folder for folder in (job.root, *job.root.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        logger.warning("%s has %s free, but about %s may be needed", place, format_bytes(free), format_bytes(needed))
