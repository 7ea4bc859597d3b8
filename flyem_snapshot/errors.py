"""What can go wrong, said once: every error a user may see is one of these classes.

A `SnapshotError` is the user's to mend: it is printed as one message without a traceback, and its
`exit_code` ends the process.  Anything else that escapes is a bug of ours (exit 70).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

EXIT_DATA = 1
EXIT_CONFIG = 2
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class SnapshotError(Exception):
    """A failure that the user can mend: what, where, and how to mend it."""

    exit_code = EXIT_DATA

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a configuration document.

    `path` holds the keys (and list indices) that lead to the value, outermost first.  `file`, `line` and
    `column` (both from 1) are filled in by whoever knows the document.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""
    file: Path | None = None
    line: int = 0
    column: int = 0

    def at(self, file: Path, line: int, column: int) -> Problem:
        """The same problem, placed in a document."""
        return replace(self, file=file, line=line, column=column)

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: " if self.file else ""
        dotted = ".".join(str(key) for key in self.path)
        text = f"{where}{dotted}: {self.message}" if dotted else f"{where}{self.message}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class ConfigError(SnapshotError):
    """Everything that is wrong with a configuration, all at once and in file order."""

    exit_code = EXIT_CONFIG

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SettingError(SnapshotError):
    """A stage found one of its settings impossible.

    The stage names the field by its path within its own section; the runner knows the section and the
    loader knows the lines, so together they print `config.yaml:57:14: outputs.flat-connectome.roi-set: ...`.
    """

    exit_code = EXIT_CONFIG

    def __init__(self, field: Sequence[str | int] | str, problem: str, *, hint: str = "") -> None:
        self.field: tuple[str | int, ...] = (field,) if isinstance(field, str) else tuple(field)
        self.problem = problem
        super().__init__(f"{'.'.join(map(str, self.field))}: {problem}", hint=hint)


class DataError(SnapshotError):
    """An input table breaks a rule: names the file, the column, how many rows, and the first three."""

    def __init__(
        self,
        problem: str,
        *,
        file: Path | str | None = None,
        column: str | None = None,
        rows: int | None = None,
        examples: Sequence[object] = (),
        hint: str = "",
    ) -> None:
        self.file, self.column, self.rows, self.examples = file, column, rows, tuple(examples[:3])
        self.parts: tuple[DataError, ...] = (self,)
        where = ": ".join(str(part) for part in (file, f"column '{column}'" if column else None) if part)
        count = f" ({rows:,} row{'s' if rows != 1 else ''})" if rows is not None else ""
        shown = f"; first: {', '.join(map(str, self.examples))}" if self.examples else ""
        super().__init__(f"{where}: {problem}{count}{shown}" if where else f"{problem}{count}{shown}", hint=hint)

    @classmethod
    def all_of(cls, errors: Sequence[DataError]) -> DataError:
        """One error that says everything that is wrong with a table; its `parts` are the single ones."""
        parts = tuple(part for error in errors for part in error.parts)
        if len(parts) == 1:
            return parts[0]
        whole = cls("\n".join([f"{len(parts)} problems:", *(str(part) for part in parts)]))
        whole.parts = parts
        return whole


class OutputError(SnapshotError):
    """A result could not be written: no space, no permission, or another run in the same directory."""


class ServiceError(SnapshotError):
    """A server refused, failed or answered nonsense: method, URL without secrets, status, tries, its words."""

    def __init__(
        self, method: str, url: str, problem: str, *, status: int | None = None, tries: int = 1, hint: str = ""
    ) -> None:
        self.method, self.url, self.status, self.tries = method, url, status, tries
        code = f" (status {status})" if status is not None else ""
        attempts = f" after {tries} tries" if tries > 1 else ""
        super().__init__(f"{method} {url}: {problem}{code}{attempts}", hint=hint)
