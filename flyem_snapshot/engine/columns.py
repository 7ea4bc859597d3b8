"""Columns that are looked up by row number: plain files, written once in order, then mapped into memory.

For what a billion-row join would carry along: the join finds row numbers, and the values are taken by position.
The mapped pages belong to the operating system, which drops them under pressure, so they do not count against
the session's memory limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike


class RowColumns:
    """Columns of equal length in a folder of their own; append all rows within a `with`, then look them up."""

    def __init__(self, folder: Path, dtypes: Mapping[str, DTypeLike]) -> None:
        folder.mkdir(parents=True)
        self.rows = 0
        self._dtypes = {name: np.dtype(kind) for name, kind in dtypes.items()}
        self._paths = {name: folder / f"{name}.bin" for name in dtypes}
        self._open = ExitStack()
        self._files = {name: self._open.enter_context(path.open("wb")) for name, path in self._paths.items()}
        self._mapped: dict[str, np.ndarray[Any, Any]] = {}

    def append(self, **values: np.ndarray[Any, Any]) -> None:
        """Add rows: one array a column, all of one length."""
        (rows,) = {len(array) for array in values.values()}
        for name, file in self._files.items():
            file.write(np.ascontiguousarray(values[name], self._dtypes[name]).data)
        self.rows += rows

    def close(self) -> None:
        """End writing and map the columns."""
        self._open.close()
        for name, path in self._paths.items():
            self._mapped[name] = (
                np.memmap(path, self._dtypes[name], mode="r") if self.rows else np.zeros(0, self._dtypes[name])
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """End writing; after a failure nothing is mapped."""
        if kind is None:
            self.close()
        else:
            self._open.close()

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        """A whole column (read only)."""
        return self._mapped[name]
