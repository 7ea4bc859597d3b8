"""The neuPrint view of body annotations: property names, one value for each property, and points as text."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from types import MappingProxyType

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import is_float_dtype, is_signed_integer_dtype, is_string_dtype

from flyem_snapshot.connectome.status import simplified_status

logger = logging.getLogger(__name__)

_DROPPED = (
    "last_modified_by",
    "old_bodyids",
    "old_type",
    "reviewer",
    "to_review",
    "typing_notes",
    "user",
    "notes",
    "halfbrain_body",
    "halfbrainBody",
    "group_old",
    "confidence",
)

FIXED_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "bodyid": "bodyId",
        "hemibrain_bodyid": "hemibrainBodyId",
        "status": "statusLabel",
        "position": "location",
        "soma_position": "somaLocation",
        "tosoma_position": "tosomaLocation",
        "root_position": "rootLocation",
        "position_type": "locationType",
        **dict.fromkeys(_DROPPED, ""),
    }
)
"""Columns whose property has a name of its own; the empty name drops the column."""

_KEPT_IF_NULL = ("bodyId", "statusLabel")
_NOT_A_POINT = ("positionType", "locationType")

_NUMBER = r"(-?[0-9]+(?:\.[0-9]+)?)"
_LISTED = re.compile(rf"\s*(\[)?\s*{_NUMBER}\s*,\s*{_NUMBER}\s*,\s*{_NUMBER}\s*(?(1)\])\s*")
_NAMED = re.compile(rf"\s*\{{\s*x\s*:\s*{_NUMBER}\s*,\s*y\s*:\s*{_NUMBER}\s*,\s*z\s*:\s*{_NUMBER}\s*\}}\s*")


def property_name(column: str) -> str:
    """The neuPrint property of an annotation column: `cell_body_fiber` -> `cellBodyFiber`; '' drops it."""
    if column in FIXED_NAMES:
        return FIXED_NAMES[column]
    if "Position" in column:
        return column.replace("Position", "Location")
    head, *tail = [part for part in re.split("[ _]", column) if part] or [""]
    return head + "".join(part[0].upper() + part[1:] for part in tail)


def neuprint_properties(
    annotations: pd.DataFrame, user_names: Mapping[str, str], *, keep_empty: bool = False
) -> pd.DataFrame:
    """The annotations as neuPrint properties, one row for each annotated body except 0, in the given order.

    `annotations` is the frame of `BodyAnnotations`; `user_names` maps columns to property names of the user's choice
    ('' drops a column) and wins over all other rules.  Columns keep their order and dtypes; `bodyId` (int64) stands
    where the annotations have a column for it, else near the end, and `status`, the simplified status as text, comes
    last.  Where several columns give one property, the first that is not null counts; after that, empty text is null.
    Properties without any value are left out, except `bodyId` and `statusLabel`, unless `keep_empty`.

              status  cell_body_fiber  soma_position           statusLabel  cellBodyFiber  somaLocation  bodyId  status
        body                                              ->
           0  Traced  ADM02            [1, 2, 3]               Anchor       ADM01          [7, 8, 9]         11  Anchor
          11  Anchor  ADM01            [7, 8, 9]
    """
    bodies = annotations.drop(index=0, errors="ignore")
    columns = {str(name): bodies[name].reset_index(drop=True) for name in bodies.columns}
    columns["bodyid"] = pd.Series(bodies.index.to_numpy(), dtype=np.int64)
    sources: dict[str, list[str]] = {}
    for column in columns:
        name = user_names.get(column, property_name(column))
        if name:
            sources.setdefault(name, []).append(column)
    # The body is the row and the status is derived: no column and no choice of names may say otherwise.
    if "status" in sources:
        logger.warning("the simplified status replaces column '%s'", "', '".join(sources.pop("status")))
    properties = {
        name: _empty_text_to_null(_first_value([columns[source] for source in origin]))
        for name, origin in sources.items()
    }
    properties["bodyId"] = columns["bodyid"]
    labels = properties.get("statusLabel", columns.get("status"))
    if labels is not None:
        properties["status"] = simplified_status(labels)
    kept = {
        name: values
        for name, values in properties.items()
        if keep_empty or name in _KEPT_IF_NULL or values.notna().any()
    }
    return pd.DataFrame(kept, index=pd.RangeIndex(len(bodies)))


def is_point_property(name: str) -> bool:
    """Whether neuPrint holds a property as a point: its name speaks of a position or location, not of its type."""
    return name not in _NOT_A_POINT and re.search("position|location", name, re.IGNORECASE) is not None


def point_text(value: object) -> str | None:
    """A position as the text of a neo4j point, numbers as they stand: `[7, 8, 9]` -> `{x:7, y:8, z:9}`.

    Accepted are lists and tuples of 3 numbers (floats, unless all are integers), mappings with `x`, `y`, `z` or with
    `coordinates`, and the texts `1,2,3`, `[1, 2, 3]` and `{x: 1, y:2.5, z:-3}`.  Anything else gives None.
    """
    numbers: Sequence[object] | None = None
    if isinstance(value, str):
        if match := _LISTED.fullmatch(value) or _NAMED.fullmatch(value):
            numbers = match.groups()[-3:]
    elif isinstance(value, Mapping):
        named = value.keys() >= {"x", "y", "z"}
        numbers = _plain_numbers([value[axis] for axis in "xyz"] if named else value.get("coordinates"))
    else:
        numbers = _plain_numbers(value)
    return None if numbers is None else "{{x:{}, y:{}, z:{}}}".format(*numbers)


def points_as_text(positions: pd.Series) -> pd.Series:
    """`point_text` of each value, as text; null where there is none.  Other values are counted and logged.

    Costs about 5 s for a million positions given as lists, less for text.
    """
    # Not by astype(object): that would make arrays of the lists.
    values = positions.tolist()
    given = [row for row, there in enumerate(positions.notna()) if there and not _is_empty_text(values[row])]
    texts: list[str | None] = [None] * len(values)
    for row in given:
        texts[row] = point_text(values[row])
    refused = [values[row] for row in given if texts[row] is None]
    if refused:
        logger.warning(
            "%s: %s values are not positions and become null; first: %s",
            positions.name,
            f"{len(refused):,}",
            ", ".join(map(repr, refused[:3])),
        )
    return pd.Series(texts, index=positions.index, name=positions.name, dtype="str")


def _is_empty_text(value: object) -> bool:
    return isinstance(value, str) and not value


def _plain_numbers(values: object) -> tuple[object, ...] | None:
    """Three numbers, all integers or else all floats; None if there are not three."""
    if not isinstance(values, list | tuple) or len(values) != 3 or any(isinstance(value, bool) for value in values):
        return None
    if all(isinstance(value, Integral) for value in values):
        return tuple(values)
    try:
        floats = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return None
    return floats if all(map(math.isfinite, floats)) else None


def _empty_text_to_null(values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy().copy()
        codes[(values == "").to_numpy()] = -1
        return pd.Series(pd.Categorical.from_codes(codes, dtype=values.dtype))
    if is_string_dtype(values.dtype):
        return values.mask(values == "")
    return values


def _first_value(candidates: list[pd.Series]) -> pd.Series:
    """For each row the first value that is not null."""
    result = candidates[0]
    for values in candidates[1:]:
        if result.isna().all():
            result = values
        elif values.notna().any():
            result, others = _alike(result, values)
            result = result.where(result.notna(), others)
    return result


def _alike(first: pd.Series, second: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Two columns in one dtype that holds both exactly: the first's category, wide numbers, or else text."""
    if first.dtype == second.dtype:
        return first, second
    if isinstance(first.dtype, pd.CategoricalDtype) and second.dropna().isin(first.cat.categories).all():
        return first, second.astype(first.dtype)
    for is_kind, wide in ((is_signed_integer_dtype, pa.int64()), (is_float_dtype, pa.float64())):
        if is_kind(first.dtype) and is_kind(second.dtype):
            return first.astype(pd.ArrowDtype(wide)), second.astype(pd.ArrowDtype(wide))
    return _as_text(first), _as_text(second)


def _as_text(values: pd.Series) -> pd.Series:
    pairs = zip(values.tolist(), values.notna(), strict=True)
    return pd.Series([str(value) if given else None for value, given in pairs], dtype="str")
