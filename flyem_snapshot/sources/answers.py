"""What a server said to many questions, kept on disk while a stage goes on asking."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import xxhash

Questions = np.ndarray[Any, Any]
Numbers = np.ndarray[Any, np.dtype[np.uint64]]

_MARK: Final = 16


class Answers:
    """Answers of a server to questions that come in a fixed order, so that an interrupted run need not ask again.

    Each answer is an unsigned 64-bit number.  Beside the file of answers lies one of marks: a digest for each lot of
    questions, since a later run may have others.  From the first lot that differs on, everything is asked anew.
    `resumed` counts the answers that were known.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.resumed = path, 0
        self._position = self._lot = 0

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._marks = (_opened(path) for path in (self.path, self.path.with_suffix(".marks")))
        self._known = self._marks.read()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._marks.close()

    def next(self, questions: Questions, ask: Callable[[Questions], np.ndarray[Any, Any]]) -> Numbers:
        """The answers to the next lot of questions (one a row): known ones, or else asked for and kept."""
        rows, start = len(questions), self._position
        mark = xxhash.xxh3_128_digest(np.ascontiguousarray(questions).data)
        place = self._lot * _MARK
        self._position, self._lot = start + rows, self._lot + 1
        self._file.seek(start * 8)
        if self._known[place : place + _MARK] == mark:
            answer = np.fromfile(self._file, np.uint64, rows)
            if len(answer) == rows:
                self.resumed += rows
                return answer
        self._known = b""
        answer = np.ascontiguousarray(ask(questions), np.uint64)
        if len(answer) != rows:
            raise ValueError(f"{len(answer)} answers to {rows} questions")
        # The mark comes after its answers are safe: a kill in between leaves answers that nobody believes.
        _write(self._marks, place, b"")
        _write(self._file, start * 8, answer.data)
        _write(self._marks, place, mark)
        return answer


def _opened(path: Path) -> Any:
    return path.open("r+b" if path.exists() else "w+b")


def _write(file: Any, place: int, content: Any) -> None:
    """Write durably, with nothing behind it."""
    file.seek(place)
    file.truncate()
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
