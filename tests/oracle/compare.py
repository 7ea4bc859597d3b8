"""Two tables are equal, or an AssertionError says where they first differ."""

from typing import Any

import numpy as np
import pandas as pd

from tests.oracle.tables import is_null, plain, read

__all__ = ["assert_frames_equal", "read"]


def assert_frames_equal(ours: pd.DataFrame, expected: pd.DataFrame, what: str) -> None:
    """Same columns in any order, same rows in the same order, same values.

    Integers must be integers (of any width) and exact; floats of one width and exact; nulls equal nulls of any kind;
    categories compare as their values, lists element by element.  Integers in place of whole floats are accepted:
    a column with gaps may have come as float and be kept as integer.
    """
    assert set(ours) == set(expected), (
        f"{what}: columns missing {sorted(set(expected) - set(ours))}, not expected {sorted(set(ours) - set(expected))}"
    )
    common = min(len(ours), len(expected))
    for column in expected:
        where = f"{what}, column {column}"
        differs = _differences(ours[column].iloc[:common], expected[column].iloc[:common], where)
        if differs.any():
            row = int(np.argmax(differs))
            raise AssertionError(
                f"{where}: {int(differs.sum())} of {common} rows differ, first row {row}: "
                f"{ours[column].iloc[row]!r} instead of {expected[column].iloc[row]!r}\n"
                f"ours:     {_row(ours, expected, row)}\nexpected: {_row(expected, expected, row)}"
            )
    assert len(ours) == len(expected), (
        f"{what}: {len(ours)} rows instead of {len(expected)}; the first {common} are equal"
        + (f"; next of ours: {_row(ours, expected, common)}" if len(ours) > common else "")
        + (f"; next expected: {_row(expected, expected, common)}" if len(expected) > common else "")
    )


def _row(table: pd.DataFrame, expected: pd.DataFrame, row: int) -> dict[str, Any]:
    return table[list(expected)].iloc[row].to_dict()


def _kind(values: pd.Series) -> str:
    """What a column holds: bool, int, float or anything else."""
    dtype = values.dtype.categories.dtype if isinstance(values.dtype, pd.CategoricalDtype) else values.dtype
    if pd.api.types.is_bool_dtype(dtype):
        return "bool"
    if pd.api.types.is_integer_dtype(dtype):
        return "int"
    return "float" if pd.api.types.is_float_dtype(dtype) else "other"


def _differences(ours: pd.Series, expected: pd.Series, where: str) -> np.ndarray:
    """True for each row whose values differ."""
    kinds = _kind(ours), _kind(expected)
    null = ours.isna().to_numpy(bool), expected.isna().to_numpy(bool)
    if null[0].all() and null[1].all() and kinds[1] == "other":
        return np.zeros(len(ours), bool)
    if kinds == ("int", "int"):
        values = [_integers(c, n) for c, n in zip((ours, expected), null, strict=True)]
    elif kinds == ("float", "float"):
        assert ours.dtype == expected.dtype, f"{where}: {ours.dtype} instead of {expected.dtype}"
        values = [c.fillna(0).to_numpy() for c in (ours, expected)]
    else:
        assert kinds[0] == kinds[1] or kinds == ("int", "float"), f"{where}: {ours.dtype} instead of {expected.dtype}"
        values = [_objects(c) for c in (ours, expected)]
        return (null[0] != null[1]) | (~null[0] & _unequal(*values))
    return (null[0] != null[1]) | (~null[0] & (values[0] != values[1]))


def _integers(values: pd.Series, null: np.ndarray) -> np.ndarray:
    """Native integers with 0 for null; uint64 if the column is unsigned, so that every id fits."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.dtype.categories.dtype)
    unsigned = pd.api.types.is_unsigned_integer_dtype(values.dtype)
    return values.mask(null, 0).to_numpy("uint64" if unsigned else "int64")


def _objects(values: pd.Series) -> np.ndarray:
    """Plain Python values, None for null."""
    result = np.empty(len(values), object)
    result[:] = [None if is_null(v) else plain(v) for v in values]
    return result


def _unequal(ours: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Python's own comparison, exact between int and float; true is not 1."""
    return np.array(
        [a != b or isinstance(a, bool) != isinstance(b, bool) for a, b in zip(ours, expected, strict=True)], bool
    )
