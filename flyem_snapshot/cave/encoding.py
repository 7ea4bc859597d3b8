"""Values on their way into JSON: numpy and pandas become plain Python, ids stay integers, missing values null."""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SAFE: Final = 1 << 53
"""Integers beyond this lose their last digits in JavaScript."""

ID_NAME: Final = re.compile(r"(^|_)id(_|$)")
"""Found in names of columns and fields with ids, such as `pt_root_id`; a join may have put a suffix behind them."""


def encode(value: Any) -> bytes:
    """A value as JSON, after `plain`."""
    return json.dumps(plain(value), separators=(",", ":"), allow_nan=False).encode()


def plain(value: Any) -> Any:
    """A value of which all parts are dict, list, str, int, float, bool or None.

    Arrays and Series become lists, NaN, NaT and NA None, times ISO text.  TypeError for what has no such form,
    ValueError for an infinite number.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):  # np.float64 is one
        return _finite(float(value))
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, datetime):  # pandas' NaT is one, and not equal to itself
        return value.isoformat() if value == value else None  # noqa: PLR0124
    if isinstance(value, list | tuple | set | frozenset | range):
        return [plain(part) for part in value]
    return _foreign(value)


def _foreign(value: Any) -> Any:
    """The same for objects of numpy, pandas and pyarrow, none of which is imported for it."""
    for name in ("tolist", "as_py", "to_pylist"):  # numpy's arrays and scalars, pandas' Series; Arrow's
        if callable(method := getattr(value, name, None)):
            return plain(method())
    if type(value).__name__ == "NAType":
        return None
    raise TypeError(f"a {type(value).__name__} cannot be sent as JSON")


def _finite(number: float) -> float | None:
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise ValueError("an infinite number cannot be sent as JSON")
    return number


def exact(values: Mapping[Any, Any]) -> dict[str, Any]:
    """`plain` of values by names of columns or fields, at any depth; TypeError for an id that is a float.

    Such a float has lost its last digits, or may have.  NaN is a missing value, also for an id.
    """
    found: dict[str, Any] = plain(values)
    for name, value in found.items():
        _refuse_floats(name, value)
    return found


def _refuse_floats(name: str, value: Any) -> None:
    if isinstance(value, dict):
        for inner, part in value.items():
            _refuse_floats(inner, part)
    elif isinstance(value, list):
        for part in value:
            _refuse_floats(name, part)
    elif isinstance(value, float) and ID_NAME.search(name):
        raise TypeError(
            f"'{name}' must hold integers, not the float {value!r}: floats lose the last digits of 64-bit ids (pandas "
            "makes floats of integers where one is missing, unless the column has the dtype Int64)"
        )


def for_javascript(value: Any) -> Any:
    """The same plain value with integers beyond 2**53 as text, which is how Neuroglancer writes ids."""
    if isinstance(value, dict):
        return {key: for_javascript(part) for key, part in value.items()}
    if isinstance(value, list):
        return [for_javascript(part) for part in value]
    if type(value) is int and abs(value) > _SAFE:
        return str(value)
    return value


def one_id(value: Any) -> int:
    """An id, from an int or a numpy integer; TypeError for a float, which may have lost its last digits."""
    if isinstance(value, bool):
        raise TypeError("an id must be an integer, not a bool")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"an id must be an integer, not a {type(value).__name__}: {value!r}") from None
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{number} is not an id: ids are integers from 0 to 2**64 - 1")
    return number


def id_list(values: Any) -> list[int]:
    """Ids as a list, from one id, a sequence, an array, a Series or an Arrow array."""
    if isinstance(values, str | bytes | Mapping):
        raise TypeError(f"ids must be integers, not {type(values).__name__}")
    if callable(to_list := getattr(values, "tolist", None)) or callable(to_list := getattr(values, "to_pylist", None)):
        values = to_list()
    return [one_id(value) for value in values] if isinstance(values, Iterable) else [one_id(values)]


def id_array(values: Any) -> NDArray[np.uint64]:
    """Ids as a uint64 array, from what `id_list` takes; big integer arrays are cast without a loop in Python."""
    import numpy as np

    array = values if isinstance(values, np.ndarray) else getattr(values, "to_numpy", lambda: None)()
    if array is None or array.dtype.kind not in "iuf" or array.ndim != 1:
        return np.array(id_list(values), np.uint64)
    if array.dtype.kind == "f" and len(array):
        raise TypeError(f"ids must be integers, not {array.dtype}: floats lose the last digits of 64-bit ids")
    if len(array) and array.min() < 0:
        raise ValueError(f"{array.min()} is not an id: ids are integers from 0 to 2**64 - 1")
    return array.astype("<u8")
