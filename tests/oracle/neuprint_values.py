"""Property columns of neuPrint's CSV files: which type a column has, and its values as text."""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tests.oracle.tables import is_null

LONGS = {"bodyId", "group", "hemibrainBodyId", "mitoSegment", "size", "somaId", "zapbenchId"}
NO_POINTS = {"positionType", "locationType"}
POINT = "point{srid:9157}"
NUMBER = r"-?\d+(?:\.\d+)?"
INT_LIMIT = 2**31
Types = tuple[str, ...]


@dataclass
class Sheet:
    """The rows of all files of one kind.

    `rows` holds text only, '' where the property is absent; a property may have one of several types where the
    documents leave the choice.  `single` are the floats of 32 bits.
    """

    rows: pd.DataFrame
    types: dict[str, Types]
    single: set[str] = field(default_factory=set)


@dataclass
class Columns:
    """Collects columns from left to right; a column without any value does not exist."""

    length: int
    texts: dict[str, pd.Series] = field(default_factory=dict)
    types: dict[str, Types] = field(default_factory=dict)
    single: set[str] = field(default_factory=set)

    def add(self, name: str, values: Any) -> None:
        """A property with the type that its name and values ask for."""
        series = pd.Series(values).reset_index(drop=True)
        if is_location(name):
            series = pd.Series([point(v) for v in series], dtype=object)
        present = ~nulls(series)
        if present.any():
            text, types = typed(name, series, present)
            self.put(name, text, *types)
            if series.dtype in (np.float32, pd.Float32Dtype()):
                self.single.add(name)

    def put(self, name: str, texts: Any, *types: str) -> None:
        """Text as it is, or one text for all rows."""
        constant = isinstance(texts, str)
        column = pd.Series([texts] * self.length if constant else texts, dtype="str").reset_index(drop=True)
        if name in self.texts:
            raise ValueError(f"{name}: two columns of one name")
        self.texts[name], self.types[name] = column.fillna(""), types

    def flags(self, points: pd.DataFrame, sets: list[str]) -> None:
        """For each ROI a column that is `true` for the points inside."""
        for roi_set in sets:
            names = points[roi_set].astype(object)
            for roi in sorted(set(names) - {"<unspecified>"}):
                self.put(roi, np.where(names == roi, "true", ""), "boolean")

    def sheet(self) -> Sheet:
        """The finished columns."""
        return Sheet(pd.DataFrame(self.texts), self.types, self.single)


def is_location(name: str) -> bool:
    """Whether values of this property are points in space."""
    return bool(re.search("position|location", name, re.IGNORECASE)) and name not in NO_POINTS


def nulls(values: pd.Series) -> pd.Series:
    """True where there is no value; a list is a value."""
    if values.dtype == object:
        return pd.Series([is_null(v) for v in values], index=values.index, dtype=bool)
    return values.isna().astype(bool)


def point(value: Any) -> str | None:
    """`{x:1, y:2, z:3}` from a list, a dict or text with three numbers; None if it is none of these."""
    if isinstance(value, dict):
        value = value["coordinates"] if "coordinates" in value else [value.get(axis) for axis in "xyz"]
    if isinstance(value, str):
        plain = re.fullmatch(rf"\s*(\[?)\s*({NUMBER})\s*,\s*({NUMBER})\s*,\s*({NUMBER})\s*(\]?)\s*", value)
        named = re.fullmatch(rf"\s*{{\s*x:\s*({NUMBER})\s*,\s*y:\s*({NUMBER})\s*,\s*z:\s*({NUMBER})\s*}}\s*", value)
        if plain and bool(plain[1]) == bool(plain[5]):
            return as_point(*plain.groups()[1:4])
        return as_point(*named.groups()) if named else None
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    if all(isinstance(v, int) and not isinstance(v, bool) for v in value):
        return as_point(*value)
    try:
        return as_point(*(float(v) for v in value))
    except (TypeError, ValueError):
        return None


def as_point(x: Any, y: Any, z: Any) -> str:
    """Neo4j's text for a point."""
    return f"{{x:{x}, y:{y}, z:{z}}}"


def points_of(table: pd.DataFrame) -> list[str]:
    """The text of each row's x, y, z."""
    return [as_point(*xyz) for xyz in zip(*(table[axis].tolist() for axis in "xyz"), strict=True)]


def typed(name: str, values: pd.Series, present: pd.Series) -> tuple[pd.Series, Types]:
    """The text of each value and the types that the column may have."""
    if name in LONGS:
        return _longs(values), ("long",)
    if is_location(name):
        return values.where(present, ""), (POINT,)
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.astype(object).map(str, na_action="ignore").fillna(""), ("string",)
    if pd.api.types.is_bool_dtype(values.dtype):
        return _booleans(values), ("boolean",)
    if pd.api.types.is_integer_dtype(values.dtype):
        return values.astype("str").fillna(""), _integer_types(values[present])
    if pd.api.types.is_float_dtype(values.dtype):
        return _floats(values, present)
    if values.dtype != object:
        return values.astype("str").fillna(""), ("string",)
    return _objects(name, values, values[present].tolist())


def _integer_types(values: pd.Series) -> Types:
    return ("int",) if int(values.max()) < INT_LIMIT and int(values.min()) > -INT_LIMIT else ("long",)


def _booleans(values: pd.Series) -> pd.Series:
    return values.astype(object).map({True: "true", False: "false"}).fillna("")


def _floats(values: pd.Series, present: pd.Series) -> tuple[pd.Series, Types]:
    """Whole numbers with gaps were integers once; whole numbers without gaps may stay what they are."""
    if (values[present] % 1 == 0).all():
        texts = values.astype("float64").astype("Int64").astype("str").fillna("")
        return texts, ("int", "long") if not present.all() else ("int", "long", "float")
    return values.astype("str").fillna(""), ("float",)


def _longs(values: pd.Series) -> pd.Series:
    """Integers, whatever the column was; what is no number is absent."""
    if pd.api.types.is_integer_dtype(values.dtype):
        return values.astype("str").fillna("")
    return pd.Series([_long(v) for v in values], dtype="str")


def _long(value: Any) -> str:
    try:
        return "" if is_null(value) else str(int(value))
    except ValueError:
        return ""


def _objects(name: str, values: pd.Series, present: list[Any]) -> tuple[pd.Series, Types]:
    """The type that all values have; arrays are joined by semicolons."""
    kinds = {type(v) for v in present}
    if len(kinds) > 1:
        raise ValueError(f"{name}: a mixture of {sorted(k.__name__ for k in kinds)}")
    kind = kinds.pop()
    if kind is list:
        first = type(next((item for v in present for item in v), ""))
        item_types = {str: ("string[]",), float: ("float[]",), int: ("int[]", "long[]")}[first]
        return pd.Series(["" if is_null(v) else ";".join(map(str, v)) for v in values]), item_types
    if kind is bool:
        return _booleans(values), ("boolean",)
    types: dict[type, Types] = {int: ("long",), float: ("float",), str: ("string",)}
    return pd.Series(["" if is_null(v) else str(v) for v in values], dtype="str"), types[kind]
