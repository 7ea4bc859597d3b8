"""What a server said to many questions, kept on disk while a stage goes on asking."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np


class Answers:
    """Answers of a server in a fixed order, kept in a file, so that an interrupted run need not ask again.

    Each is an unsigned 64-bit number.  `resumed` counts those that were known.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.resumed = path, 0

    def __enter__(self) -> Self:
        path = self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        count = path.stat().st_size // 8 if path.exists() else 0
        self._known = np.memmap(path, np.uint64, mode="r", shape=(count,)) if count else np.zeros(0, np.uint64)
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._position = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def next(self, rows: int, ask: Callable[[], np.ndarray[Any, Any]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """The next answers: known ones, or else asked for and kept."""
        start, self._position = self._position, self._position + rows
        if self._position <= len(self._known):
            self.resumed += rows
            return self._known[start : self._position]
        # A kill may have left a part of an answer.
        self._file.seek(start * 8)
        self._file.truncate()
        answer = np.ascontiguousarray(ask(), np.uint64)
        if len(answer) != rows:
            raise ValueError(f"{len(answer)} answers to {rows} questions")
        self._file.write(answer.data)
        self._file.flush()
        os.fsync(self._file.fileno())
        return answer
