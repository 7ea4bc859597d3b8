"""Rules that input columns must keep, checked batch by batch and reported once, all together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.errors import DataError, SnapshotError

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
            shown = value.as_py() if isinstance(value, pa.Scalar) else value
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
        if pa.types.is_null(array.type):
            array = array.cast(pa.int64())
        if array.null_count:
            self.refuse(column, "is null", array.is_null().to_numpy(zero_copy_only=False), array, hint)
            array = array.fill_null(0)
        values: np.ndarray[Any, Any] = array.to_numpy(zero_copy_only=False)
        if values.dtype == np.uint64:
            above = values > np.iinfo(np.int64).max
            self.refuse(column, "is above 2^63 - 1", above, values, hint)
            values = np.where(above, 0, values)  # said once: wrapped, they would be refused again as negative
        return values.astype(np.int64, copy=False)


class Kind(Enum):
    """What a column must hold, and how to mend one that does not."""

    INTEGER = ("an integer", "write the column as int64 or uint64: a floating point number cannot hold ids above 2^53")
    LABEL = ("an integer", "write the column as integers; a point in no ROI has label 0 (or null, if the type has one)")
    NUMBER = ("a number", "write the column as float32 or float64")
    TEXT = ("text", "write the column as text, or as a category of texts")

    def __init__(self, words: str, remedy: str) -> None:
        self.words, self.remedy = words, remedy

    def admits(self, kind: pa.DataType) -> bool:
        """Whether a column of this Arrow type will do."""
        if self in (Kind.LABEL, Kind.TEXT) and pa.types.is_dictionary(kind):
            kind = kind.value_type
        if self in (Kind.INTEGER, Kind.LABEL):
            return bool(pa.types.is_integer(kind))
        if self is Kind.NUMBER:
            return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def header_faults(
    file: Path, schema: pa.Schema, needed: Mapping[str, str], kinds: Mapping[str, Kind]
) -> Iterator[DataError]:
    """Everything that is wrong with the columns of a table.

    `needed` maps each column that must be there to what it is for, `kinds` each column, where it is present, to what
    it must hold.  A column of nulls only (Arrow's null type, a CSV column without values) has no kind yet.
    """
    for name, purpose in needed.items():
        if name not in schema.names:
            yield DataError(
                f"there is no column '{name}' ({purpose})",
                file=file,
                hint=f"its columns are: {', '.join(schema.names)}",
            )
    for name, kind in kinds.items():
        if name in schema.names:
            found = schema.field(name).type
            if not (kind.admits(found) or pa.types.is_null(found)):
                yield DataError(
                    f"is of type {found}, but must be {kind.words}", file=file, column=name, hint=kind.remedy
                )


def faults_of(*attempts: Callable[[], object]) -> list[SnapshotError]:
    """What is raised by each of the attempts: all of it, where a run would stop at the first."""
    faults: list[SnapshotError] = []
    for attempt in attempts:
        try:
            attempt()
        except SnapshotError as error:
            faults.append(error)
    return faults


def raise_all(faults: Iterator[DataError]) -> None:
    """Raise one DataError that says all of the faults, if there are any."""
    if errors := list(faults):
        raise DataError.all_of(errors)


def float32(array: pa.Array) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A number column as float32, null as NaN."""
    numbers = pc.cast(array, pa.float32(), safe=False).fill_null(float("nan"))
    values: np.ndarray[Any, np.dtype[np.float32]] = numbers.to_numpy(zero_copy_only=False)
    return values
