"""What a stage's failure means to the user: which stage, where in the config file, and how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

from flyem_snapshot.engine.outdir import output_errors
from flyem_snapshot.errors import DataError, OutputError, SettingError, SnapshotError
from flyem_snapshot.pipeline.job import Job, Unit

_NO_SPACE: Final = ("No space left on device", "File too large", "Disk quota exceeded", "max_temp_directory_size")


@contextmanager
def explained(job: Job, unit: Unit) -> Iterator[None]:
    """Turn what a stage may fail with into errors that say what to do; anything else is a bug and passes.

    A SettingError becomes a ConfigError with its place in the file.  Each error is given a note that names the stage.
    """
    try:
        with output_errors(job.root):
            try:
                yield
            except SettingError as error:
                raise job.loaded.blame(unit.section, error) from error
            except MemoryError as error:
                raise _out_of_memory(error) from error
            except duckdb.Error as error:
                if (explanation := _of_database(job, error)) is None:
                    raise
                raise explanation from error
            except OSError as error:
                if (explanation := _of_input(unit, error)) is None:
                    raise
                raise explanation from error
    except SnapshotError as error:
        error.add_note(
            f"{'.'.join(unit.section)} failed; the stages before it are kept, and the same command resumes with it"
        )
        raise


def _of_database(job: Job, error: duckdb.Error) -> SnapshotError | None:
    # The library has one class for every trouble with a file, so its words must tell.
    if any(words in str(error) for words in _NO_SPACE):
        place = job.config.job_settings.scratch_dir
        places = f"{job.root} or {place}" if place else str(job.root)
        return OutputError(
            f"no space left on {places}: {error}",
            hint="free some space (or set job-settings.output-dir or scratch-dir elsewhere) and run again to resume",
        )
    return _out_of_memory(error) if isinstance(error, duckdb.OutOfMemoryException) else None


def _out_of_memory(error: Exception) -> SnapshotError:
    return SnapshotError(
        f"out of memory: {error}" if str(error) else "out of memory",
        hint="raise job-settings.memory-limit if the machine has more memory, or lower job-settings.processes; "
        "put job-settings.scratch-dir on a large disk",
    )


def _of_input(unit: Unit, error: OSError) -> SnapshotError | None:
    """An input file that vanished or cannot be read."""
    if error.filename is None:
        return None
    for setting, path in unit.input_files().items():
        if Path(str(error.filename)) == path:
            return DataError(f"cannot be read: {error.strerror}", file=path, hint=f"it is {unit.stage.name}.{setting}")
    return None
