"""The columns of a table of predictions: where its T-bars are, and which transmitter each probability is of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.bigtables import BigTable
from flyem_snapshot.sources.checks import Kind, header_faults, raise_all
from flyem_snapshot.sources.pointtables import AXES

SPLIT = "split"
_PLACES = (AXES, tuple(f"pre_{axis}" for axis in AXES), tuple(f"{axis}_pre" for axis in AXES))
_SCORE = re.compile(r"^(nts|nt_)")


@dataclass(frozen=True)
class PredictionColumns:
    """A table of predictions whose header is sound.

    `place` holds the columns of x, y, z (None: only point ids), `scores` the column of each transmitter, in the order
    of the table.
    """

    file: BigTable
    place: tuple[str, ...] | None
    has_ids: bool
    scores: Mapping[str, str]
    has_split: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The transmitters."""
        return tuple(self.scores)

    @property
    def read(self) -> list[str]:
        """The columns that are read."""
        ids = ["point_id"] if self.has_ids else []
        return [*ids, *(self.place or ()), *self.scores.values(), *([SPLIT] if self.has_split else [])]

    @property
    def csv_types(self) -> dict[str, pa.DataType]:
        """What the columns of a CSV hold, whatever its first rows look like."""
        numbers = dict.fromkeys([*(self.place or ()), *self.scores.values()], pa.float64())
        return {"point_id": pa.uint64(), SPLIT: pa.string(), **numbers}


def open_predictions(path: Path, translate: Mapping[str, str], *, needs_split: bool) -> PredictionColumns:
    """Read the header; raises one DataError for all that is wrong with it."""
    file = BigTable.open(path, reserved={"point_id", SPLIT}, text={SPLIT})
    given = file.schema.names
    place = next((names for names in _PLACES if set(names) <= set(given)), None)
    scores: dict[str, list[str]] = {}
    for column in given:
        if _SCORE.match(column):
            scores.setdefault(transmitter_of(column, translate), []).append(column)
    found = PredictionColumns(
        file, place, "point_id" in given, {name: columns[0] for name, columns in scores.items()}, SPLIT in given
    )
    raise_all(_faults(found, scores, needs_split=needs_split))
    return found


def transmitter_of(column: str, translate: Mapping[str, str]) -> str:
    """The transmitter that a column of probabilities is of: `nts_8.ach` and `nt_acetylcholine_prob` are one."""
    plain = re.split(r"[._]", re.sub(r"_prob.*$", "", column))[-1].lower()
    return {key.lower(): name for key, name in translate.items()}.get(plain, plain)


def _faults(found: PredictionColumns, scores: Mapping[str, list[str]], *, needs_split: bool) -> Iterator[DataError]:
    path, schema = found.file.path, found.file.schema
    columns = f"its columns are: {', '.join(schema.names)}"
    if found.place is None and not found.has_ids:
        problem = "there are neither columns 'x', 'y', 'z' (or 'pre_x' ..., or 'x_pre' ...) nor a column 'point_id'"
        yield DataError(problem, file=path, hint=columns)
    if not scores:
        problem = "there is no column of probabilities: their names begin with 'nts' or 'nt_'"
        yield DataError(problem, file=path, hint=columns)
    needed = {SPLIT: "which T-bars the predictor learned from; ground-truth needs it"} if needs_split else {}
    kinds = dict.fromkeys([*(found.place or ()), *(c for each in scores.values() for c in each)], Kind.NUMBER)
    if found.has_ids:
        kinds["point_id"] = Kind.INTEGER
    if found.has_split and not pa.types.is_integer(schema.field(SPLIT).type):
        kinds[SPLIT] = Kind.TEXT
    yield from header_faults(path, schema, needed, kinds)
    yield from _name_faults(path, scores)


def _name_faults(path: Path, scores: Mapping[str, list[str]]) -> Iterator[DataError]:
    spellings: dict[str, str] = {}
    for name, columns in scores.items():
        hint = "remove one of them, or give them different names with inputs.neurotransmitters.translate-names"
        if len(columns) > 1:
            yield DataError(f"columns '{columns[0]}' and '{columns[1]}' are both of '{name}'", file=path, hint=hint)
        if (other := spellings.setdefault(name.lower(), name)) != name:
            # SQL does not tell such names apart.
            problem = f"'{other}' and '{name}' differ only in upper and lower case"
            yield DataError(problem, file=path, column=columns[0], hint=hint)
        if not name:
            problem = "the name of a transmitter is missing in the name of this column"
            yield DataError(problem, file=path, column=columns[0], hint="call it nt_<transmitter>_prob")
