"""What is known of cell types from elsewhere: tables of transmitters, in the forms in which they are published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from flyem_snapshot.connectome.neurotransmitter_bodies import EXPERIMENTAL_COLUMNS
from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.files import read_small_table

_CELL_TYPE = ("cell_type", "type", "mcns_type")
_VALUE = ("consensusNt", "consensus_nt", "ground_truth")
_FURTHER = {
    "nt_reference": ("nt_reference", "ntReference"),
    "other_nt": ("other_nt", "otherNt"),
    "other_nt_reference": ("other_nt_reference", "otherNtReference"),
}
_VERIFIED = "neurotransmitter_verified"
_SOURCE, _CONFIDENCE = f"{_VERIFIED}_source", f"{_VERIFIED}_confidence"
_NOT = "-negative"
_TRANSMITTERS = (
    "acetylcholine",
    "glutamate",
    "gaba",
    "glycine",
    "dopamine",
    "serotonin",
    "octopamine",
    "tyramine",
    "histamine",
    "nitric_oxide",
)
"""Columns of the wide form: 1 says that the cell type has the transmitter, -1 that it has not, 0 nothing."""


@dataclass(frozen=True)
class _Table:
    """A small table with text columns (missing: None), its column of cell types, and how many rows have none."""

    file: Path
    frame: pd.DataFrame
    cell_type: str
    untyped: int


@dataclass(frozen=True)
class Known:
    """Transmitters by cell type.

    `table` is indexed by cell_type (in the order of the file) and has `consensus_nt` and those of `nt_reference`,
    `other_nt`, `other_nt_reference` that the file tells; text, missing: NaN.  `left_out` counts rows by reason.
    """

    table: pd.DataFrame
    left_out: Mapping[str, int]

    @property
    def transmitters(self) -> dict[str, str]:
        """The transmitter of each cell type that has one."""
        return dict(self.table["consensus_nt"].dropna())


def read_known(file: Path, *, complete: bool) -> Known:
    """Read a table of known transmitters.

    Either a column of transmitters (`ground_truth`, `consensus_nt` or `consensusNt`) with one row for each cell type;
    or a table of evidence, with `neurotransmitter_verified` or a column for each transmitter.  With `complete`, a
    missing transmitter in the first form and a missing cell type are errors; otherwise such cells say nothing.  Raises
    DataError for a table that cannot be used.
    """
    table = _open(file, complete=complete)
    value = _first(_VALUE, table.frame)
    if value is not None:
        return _from_values(table, value, complete=complete)
    if _VERIFIED in table.frame:
        names = table.frame[_VERIFIED].map(_positive)
    else:
        wide = [name for name in _TRANSMITTERS if name in table.frame]
        if not wide:
            raise DataError(
                f"there is no column of transmitters ({', '.join([*_VALUE, _VERIFIED])})",
                file=file,
                hint=f"its columns are: {', '.join(table.frame.columns)}",
            )
        names = pd.Series(_wide_names(table, wide), index=table.frame.index, dtype=object)
    return _from_evidence(table, names)


def _open(file: Path, *, complete: bool) -> _Table:
    read = read_small_table(file)
    names = read.column_names
    cell_type = next((name for name in _CELL_TYPE if name in names), None)
    if cell_type is None:
        raise DataError(
            f"there is no column of cell types ({', '.join(_CELL_TYPE)})",
            file=file,
            hint=f"its columns are: {', '.join(names)}",
        )
    frame = pd.DataFrame({name: pd.Series(_texts(read[name]), dtype=object) for name in names})
    untyped = frame[cell_type].isna()
    table = _Table(file, frame[~untyped], cell_type, int(untyped.sum()))
    if complete and untyped.any():
        _refuse(table, cell_type, "has no value", frame[untyped], "fill in or remove these rows")
    return table


def _texts(values: pa.ChunkedArray) -> list[str | None]:
    """The cells as text, since a name may look like a number; empty cells are None."""
    return [None if cell is None or cell == "" else str(cell) for cell in values.to_pylist()]


def _from_values(table: _Table, value: str, *, complete: bool) -> Known:
    """Each column by itself: where a cell type has several rows, those with a value must agree."""
    frame, cell_type = table.frame, table.cell_type
    missing = frame[value].isna()
    if complete and missing.any():
        _refuse(table, value, "has no value", frame[missing], "fill in or remove these rows")
    columns = {"consensus_nt": value}
    for name, spellings in _FURTHER.items():
        if (column := _first(spellings, frame)) is not None:
            columns[name] = column
    for column in columns.values():
        told = frame[[cell_type, column]].dropna().drop_duplicates()
        differing = told[told[cell_type].duplicated(keep=False)]
        if len(differing):
            problem = "has different values in rows of one cell type"
            _refuse(table, column, problem, differing, "keep one row for each cell type")
    by_type = frame.groupby(cell_type, sort=False)
    found = pd.DataFrame({name: by_type[column].first() for name, column in columns.items()})
    return Known(_indexed(found.rename_axis("cell_type").reset_index()), _left_out(table))


def _left_out(table: _Table) -> dict[str, int]:
    return {"without a cell type": table.untyped}


def _from_evidence(table: _Table, names: pd.Series) -> Known:
    """One row for each cell type: that of most confidence, of equals the first; the first name is its transmitter."""
    frame = table.frame
    told = names.map(len) > 0
    confidence = (
        pd.to_numeric(frame[_CONFIDENCE], errors="coerce").fillna(-np.inf)
        if _CONFIDENCE in frame
        else pd.Series(0.0, index=frame.index)
    )
    kept = frame[told].assign(confidence=confidence[told], names=names[told])
    best = kept.sort_values("confidence", ascending=False, kind="stable").drop_duplicates(table.cell_type).sort_index()
    found = {
        "cell_type": best[table.cell_type],
        "consensus_nt": best["names"].map(lambda each: each[0]),
        "other_nt": best["names"].map(lambda each: ", ".join(each[1:]) or None),
    }
    if _SOURCE in frame:
        found["nt_reference"] = best[_SOURCE]
    left_out = _left_out(table) | {
        "says only which transmitters a cell type does not have": int((~told).sum()),
        "another row for the cell type has more confidence, or comes first": len(kept) - len(best),
    }
    return Known(_indexed(pd.DataFrame(found)), left_out)


def _indexed(rows: pd.DataFrame) -> pd.DataFrame:
    further = [column for column in EXPERIMENTAL_COLUMNS if column in rows]
    text = rows.astype(pd.StringDtype(na_value=np.nan))
    return text.set_index("cell_type")[["consensus_nt", *further]]


def _positive(cell: str | None) -> list[str]:
    """The transmitters that a list such as `acetylcholine, gaba-negative` says to be there."""
    names = [name.strip() for name in (cell or "").split(",")]
    return [name for name in names if name and not name.endswith(_NOT)]


def _wide_names(table: _Table, columns: Sequence[str]) -> list[list[str]]:
    """For each row the transmitters whose column says 1."""
    for column in columns:
        odd = table.frame[column].notna() & ~table.frame[column].isin(["-1", "0", "1"])
        if odd.any():
            problem = "is neither 1 (has it), -1 (has it not) nor 0 (not known)"
            _refuse(table, column, problem, table.frame[odd], "mend these rows")
    positive = (table.frame[list(columns)] == "1").to_numpy()
    names = [column.replace("_", " ") for column in columns]
    return [[name for name, has_it in zip(names, row, strict=True) if has_it] for row in positive]


def _first(candidates: Sequence[str], frame: pd.DataFrame) -> str | None:
    return next((name for name in candidates if name in frame), None)


def _refuse(table: _Table, column: str, problem: str, bad: pd.DataFrame, hint: str) -> None:
    """Raise DataError for these rows; shows the cell type of each, and its value if that is what is wrong."""
    shown = []
    for row, cells in bad.head(3).iterrows():
        told = [cells[table.cell_type], *([cells[column]] if column != table.cell_type else [])]
        shown.append(f"row {row}: " + ": ".join(str(cell) for cell in told if not pd.isna(cell)))
    raise DataError(problem, file=table.file, column=column, rows=len(bad), examples=shown, hint=hint)
