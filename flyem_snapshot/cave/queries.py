"""What is sent to ask for rows: filters by column, and arguments that keep ids exact."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flyem_snapshot.cave.encoding import exact, plain

ARGUMENTS: Final[Mapping[str, Any]] = {
    "direct_sql_pandas": True,  # without it one missing value turns 64-bit ids into floats, on the server
    "arrow_format": True,
    "return_pyarrow": True,
}
HEADERS: Final = {"Accept-Encoding": "zstd"}
"""Compresses the stream from inside, which Arrow unpacks faster than gzip around it."""

Filter = Mapping[str, Any]


@dataclass(frozen=True)
class Filters:
    """Which rows are wanted.  All are {column: value} for a query of one table, {table: {column: value}} for several.

    `equal`, `greater`, `less`, `greater_equal`, `less_equal`: one value.  `among`: a list of values; `out`: a list of
    values, or one, that are not wanted: the service ignores such a filter, so it is applied to what it answers.
    `spatial`: [[x0, y0, z0], [x1, y1, z1]], in the table's own voxels, both ends included.  `regex`: for texts.

    TypeError for ids that are floats, which cannot hold them.  A missing value in a list counts for nothing.
    """

    equal: Filter = field(default_factory=dict)
    among: Filter = field(default_factory=dict)
    out: Filter = field(default_factory=dict)
    greater: Filter = field(default_factory=dict)
    less: Filter = field(default_factory=dict)
    greater_equal: Filter = field(default_factory=dict)
    less_equal: Filter = field(default_factory=dict)
    spatial: Filter = field(default_factory=dict)
    regex: Filter = field(default_factory=dict)

    def body(self, table: str | None) -> dict[str, Any]:
        """The filters as the service reads them, of one table or (None) of those that are named in them."""
        named = {
            "filter_equal_dict": self.equal,
            "filter_in_dict": _without_gaps(self.among),
            "filter_greater_dict": self.greater,
            "filter_less_dict": self.less,
            "filter_greater_equal_dict": self.greater_equal,
            "filter_less_equal_dict": self.less_equal,
            "filter_spatial_dict": self.spatial,
            "filter_regex_dict": self.regex,
        }
        return {key: by_table(exact(given), table) for key, given in named.items() if given}

    def excluded(self) -> dict[str, Any]:
        """Column -> values that are not wanted, for a query of one table."""
        columns: dict[str, Any] = {}
        for name, given in exact(self.out).items():
            columns |= given if isinstance(given, dict) else {name: given}
        return columns


def _without_gaps(given: Filter) -> Filter:
    """Lists of values, of one table or of several, without those that are missing: no value is equal to those."""
    return {name: _full(value) for name, value in plain(given).items()}


def _full(value: Any) -> Any:
    if isinstance(value, dict):
        return _without_gaps(value)
    return [part for part in value if part is not None] if isinstance(value, list) else value


def by_table(given: Mapping[str, Any], table: str | None) -> dict[str, Any]:
    """A filter by table and column; one that names columns only is that of the table."""
    if table is None or all(isinstance(value, dict) for value in given.values()):
        return dict(given)
    return {table: dict(given)}


def columns_of(select_columns: Iterable[str] | None, also: Iterable[str] = ()) -> list[str] | None:
    """The columns to ask for, each once; None for all."""
    if select_columns is None:
        return None
    if isinstance(select_columns, str):
        raise TypeError("select_columns is a list of names, not one name")
    return list(dict.fromkeys([*select_columns, *also]))


def positive(number: Any, what: str, *, least: int = 1) -> int | None:
    """A count, from any kind of integer; None stays None.  ValueError if it is below `least`."""
    if number is None:
        return None
    try:
        count = operator.index(number)
    except TypeError:
        raise TypeError(f"{what} must be an integer, not {number!r}") from None
    if count < least or isinstance(number, bool):
        raise ValueError(f"{what} must be at least {least}, not {number}")
    return count


def given(**values: Any) -> dict[str, Any]:
    """Those of the values that are not None, as plain Python."""
    return {key: plain(value) for key, value in values.items() if value is not None}
