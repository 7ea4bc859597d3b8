"""Rules that input columns must keep, checked batch by batch and reported once, all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.errors import DataError

Mask = np.ndarray[Any, np.dtype[np.bool_]]
_EXAMPLES = 3


@dataclass
class _Broken:
    hint: str
    rows: int = 0
    examples: list[str] = field(default_factory=list)


class Rules:
    """Collects rows that break rules; `verdict()` raises one DataError for all of them.

    `first_row` must be set to the number of the batch's first row before a batch is checked.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.first_row = 0
        self._broken: dict[tuple[str, str], _Broken] = {}

    def refuse(
        self, column: str, problem: str, mask: Mask, values: Sequence[Any] | np.ndarray[Any, Any] | pa.Array, hint: str
    ) -> None:
        """Note that the rows of `mask` break a rule of `column`."""
        if not mask.any():
            return
        broken = self._broken.setdefault((column, problem), _Broken(hint))
        rows = np.flatnonzero(mask)
        broken.rows += len(rows)
        for row in rows[: _EXAMPLES - len(broken.examples)]:
            value = values[row]
            shown = (
                value.as_py()
                if isinstance(value, pa.Scalar)
                else value.item()
                if isinstance(value, np.generic)
                else value
            )
            broken.examples.append(f"row {self.first_row + int(row)}: {shown}")

    def verdict(self) -> None:
        """Raise what has been found, if anything."""
        errors = [
            DataError(problem, file=self.file, column=column, rows=b.rows, examples=b.examples, hint=b.hint)
            for (column, problem), b in self._broken.items()
        ]
        if errors:
            raise DataError.all_of(errors)

    def integers(self, column: str, array: pa.Array, hint: str = "") -> np.ndarray[Any, np.dtype[np.int64]]:
        """An integer column as int64: no nulls, nothing above 2^63 - 1 (such values are refused, not wrapped)."""
        if array.null_count:
            self.refuse(column, "is null", array.is_null().to_numpy(zero_copy_only=False), array, hint)
            array = array.fill_null(0)
        values: np.ndarray[Any, Any] = array.to_numpy(zero_copy_only=False)
        if values.dtype == np.uint64:
            self.refuse(column, "is above 2^63 - 1", values > np.iinfo(np.int64).max, values, hint)
        return values.astype(np.int64, copy=False)


def require_integers(file: Path, schema: pa.Schema, columns: Sequence[str]) -> None:
    """Raise DataError if one of the columns (where present) is not of an integer type."""
    for name in columns:
        if name not in schema.names:
            continue
        kind = schema.field(name).type
        if not pa.types.is_integer(kind):
            raise DataError(
                f"is of type {kind}, but must be an integer",
                file=file,
                column=name,
                hint="write the column as int64 or uint64: a floating point number cannot hold ids above 2^53",
            )


def float32(array: pa.Array) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A number column as float32, null as NaN."""
    numbers = pc.cast(array, pa.float32(), safe=False).fill_null(float("nan"))
    values: np.ndarray[Any, np.dtype[np.float32]] = numbers.to_numpy(zero_copy_only=False)
    return values
