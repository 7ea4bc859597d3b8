"""Table columns as node properties: the type in the CSV header, and the SQL that makes a value's cell.

    BOOLEAN                      boolean   true, false
    integers                     int, or long from 2^31 on
    FLOAT, DOUBLE, DECIMAL       float, with every digit that the value needs; NaN is an empty cell
    ... whole, with gaps         long: a column of whole numbers became a float column only because some are missing
    text, ENUM                   string
    DATE, TIME, TIMESTAMP        string in ISO 8601: neuPrint's clients show text, and none reads neo4j's own time types
    lists of these               string[], int[], long[], float[], boolean[], with `;` between the values
    positions (text, list, struct with x, y, z)   point{srid:9157}

A few names have a type of their own (`LONG_NAMES`, `INT_NAMES`).  Columns without any value are no properties.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import pyarrow as pa

from flyem_snapshot.config.formula import name_fault
from flyem_snapshot.connectome.properties import is_point_property
from flyem_snapshot.engine.csvfiles import cell
from flyem_snapshot.engine.session import Engine
from flyem_snapshot.engine.sql import identifier, literal
from flyem_snapshot.errors import DataError

logger = logging.getLogger(__name__)

POINT: Final = "point{srid:9157}"
LONG_NAMES: Final = (
    "bodyId",
    "group",
    "hemibrainBodyid",
    "hemibrainBodyId",
    "mitoSegment",
    "size",
    "somaId",
    "zapbenchId",
)
INT_NAMES: Final = ("pre", "post", "upstream", "downstream", "synweight")

_INT_LIMIT = 2**31
_LONG_LIMIT = 2**63
_EXACT_IN_FLOAT = 2**53
_NUMBERS = ("int", "float")

_NUMBER = r"(-?[0-9]+(?:\.[0-9]+)?)"
_TRIPLE = rf"\s*{_NUMBER}\s*,\s*{_NUMBER}\s*,\s*{_NUMBER}\s*"
_NAMED = r"\s*,".join(rf"\s*{axis}\s*:\s*{_NUMBER}" for axis in "xyz") + r"\s*"
_WHOLE = r"^\s*([+-]?[0-9]+)(?:\.0*)?\s*$"
_POSITIONS = (rf"^{_TRIPLE}$", rf"^\s*\[{_TRIPLE}\]\s*$", rf"^\s*\{{{_NAMED}\}}\s*$")
"""The texts that `connectome.properties.point_text` takes for positions."""


@dataclass(frozen=True)
class Property:
    """One column of a node file: `header` is its header cell, `cell` the SQL expression (never null) of its cells."""

    name: str
    kind: str
    cell: str

    @property
    def header(self) -> str:
        """Name and type."""
        return f"{self.name}:{self.kind}"


def typed_properties(engine: Engine, table: str, columns: Mapping[str, str], where: str) -> list[Property]:
    """The properties that columns of a table expression become; `columns` maps column to property, in order.

    One pass over these columns finds the types.  Raises DataError, which calls the table `where`, for what neo4j cannot
    hold: integers beyond 64 bits, lists that contain null or `;`, and structures that are no positions.
    """
    if not columns:
        return []
    # Enumerations and other details of a type are easier to tell from an Arrow schema than from DuckDB's words.
    named = ", ".join(f"{identifier(column)}" for column in columns)
    schema = engine.table(f"SELECT {named} FROM {table} LIMIT 0").schema
    shapes = [_shape(field.type, columns[field.name], identifier(field.name)) for field in schema]
    if unfit := [f.name for f, shape in zip(schema, shapes, strict=True) if shape is None]:
        raise DataError(
            f"holds {schema.field(unfit[0]).type}, which no property can be",
            file=where,
            column=unfit[0],
            hint="remove the column from the input table",
        )
    asked = [shape.asks() for shape in shapes if shape is not None]
    questions = ", ".join(question for questions in asked for question in questions)
    answers = iter(engine.rows(f"SELECT {questions} FROM {table}")[0])
    found, errors = [], []
    for field, shape, questions_of_it in zip(schema, shapes, asked, strict=True):
        assert shape is not None
        try:
            made = shape.answered([next(answers) for _ in questions_of_it])
        except ValueError as problem:
            errors.append(DataError(str(problem), file=where, column=field.name, hint="mend or remove the column"))
            continue
        if made is None:
            logger.info("%s: column '%s' has no values and becomes no property", where, field.name)
        else:
            found.append(Property(columns[field.name], *made))
    if errors:
        raise DataError.all_of(errors)
    return found


def check_names(names: Iterable[str], taken: Mapping[str, str], where: str) -> None:
    """Raise DataError if property names repeat, mean something else, or are none that the database can hold.

    `taken` maps names that are in use (ROIs, fixed properties) to what they are.
    """
    seen: set[str] = set()
    for name in names:
        problem = ""
        if fault := name_fault(name):
            problem = f"a property's name {fault}"
        elif name in taken:
            problem = f"the property would have the name of {taken[name]}"
        elif name in seen:
            problem = "two columns would become one property"
        if problem:
            raise DataError(problem, file=where, column=name, hint="rename or remove the column in the input table")
        seen.add(name)


def integer_type(smallest: int, largest: int) -> str:
    """`int` or `long` for values in a range; raises ValueError beyond 64 bits."""
    if largest >= _LONG_LIMIT or smallest < -_LONG_LIMIT:
        beyond = largest if largest >= _LONG_LIMIT else smallest
        raise ValueError(f"{beyond} does not fit a signed 64-bit integer")
    return "int" if smallest > -_INT_LIMIT and largest < _INT_LIMIT else "long"


def float_cell(column: str) -> str:
    """SQL: a float's cell: the shortest text that gives the same float again; NaN and null are empty."""
    return (
        f"CASE WHEN {column} IS NULL OR isnan({column}) THEN '' WHEN isinf({column}) "
        f"THEN CASE WHEN {column} > 0 THEN 'Infinity' ELSE '-Infinity' END ELSE CAST({column} AS VARCHAR) END"
    )


class _Shape(Protocol):
    """What can be known of a column: aggregates to ask for, and the type and cell that follow from them."""

    def asks(self) -> list[str]: ...

    def answered(self, values: Sequence[Any]) -> tuple[str, str] | None: ...


def _plain_cell(column: str) -> str:
    """SQL: the cell of a value whose text needs no quotes."""
    return f"coalesce(CAST({column} AS VARCHAR), '')"


def _named_type(name: str) -> str | None:
    return "long" if name in LONG_NAMES else "int" if name in INT_NAMES else None


def _wider(named: str | None, needed: str) -> str:
    """The type that a name demands, unless the values need more."""
    return "long" if "long" in (named, needed) else needed


@dataclass(frozen=True)
class _Plain:
    """Any column whose values are written as DuckDB writes them."""

    column: str
    kind: str
    cell: str

    def asks(self) -> list[str]:
        return [f"count({self.column})"]

    def answered(self, values: Sequence[Any]) -> tuple[str, str] | None:
        return (self.kind, self.cell) if values[0] else None


@dataclass(frozen=True)
class _Integer:
    name: str
    column: str

    def asks(self) -> list[str]:
        return [f"min({self.column})", f"max({self.column})"]

    def answered(self, values: Sequence[Any]) -> tuple[str, str] | None:
        if values[0] is None:
            return None
        return _wider(_named_type(self.name), integer_type(*map(int, values))), _plain_cell(self.column)


@dataclass(frozen=True)
class _Float:
    name: str
    column: str

    def asks(self) -> list[str]:
        c = self.column
        given = f"({c} IS NOT NULL AND NOT isnan({c}))"
        # Beyond 2^53 a float may not be the number that was meant, and infinity is no number.
        whole = f"({c} = floor({c}) AND abs({c}) <= {_EXACT_IN_FLOAT})"
        return ["count(*)", f"count(*) FILTER ({given})", f"bool_and({whole}) FILTER ({given})"]

    def answered(self, values: Sequence[Any]) -> tuple[str, str] | None:
        rows, given, whole = values
        if not given:
            return None
        named = _named_type(self.name)
        if whole and (named or given < rows):
            present = f"CASE WHEN NOT isnan({self.column}) THEN {self.column} END"
            return "long", _plain_cell(f"CAST({present} AS BIGINT)")
        if named:
            logger.warning("property '%s' holds fractions and is written as float, not as %s", self.name, named)
        return "float", float_cell(self.column)


@dataclass(frozen=True)
class _Text:
    name: str
    column: str

    def asks(self) -> list[str]:
        filled = f"count(*) FILTER ({self.column} <> '')"
        return [filled, f"count({self._meant()})"] if self._meant() else [filled]

    def _meant(self) -> str:
        """The value as its name demands, null where it is nothing of the kind."""
        text = f"CAST({self.column} AS VARCHAR)"
        if is_point_property(self.name):
            patterns = ((literal(pattern), literal(r"{x:\1, y:\2, z:\3}")) for pattern in _POSITIONS)
            cases = " ".join(
                f"WHEN regexp_matches({text}, {p}) THEN regexp_replace({text}, {p}, {r})" for p, r in patterns
            )
            return f"(CASE {cases} END)"
        if _named_type(self.name):
            return f"TRY_CAST(regexp_extract({text}, {literal(_WHOLE)}, 1) AS BIGINT)"
        return ""

    def answered(self, values: Sequence[Any]) -> tuple[str, str] | None:
        filled = values[0]
        if not filled:
            return None
        # A column none of whose values is what its name says is something else (`locationName`), and kept as text.
        meant = values[1] if self._meant() else 0
        if not meant:
            return "string", cell(f"CAST({self.column} AS VARCHAR)")
        kind = POINT if is_point_property(self.name) else "long"
        if meant < filled:
            what = "positions" if kind == POINT else "whole numbers"
            logger.warning("%s: %s values are not %s and become null", self.name, f"{filled - meant:,}", what)
        return kind, cell(self._meant()) if kind == POINT else _plain_cell(self._meant())


@dataclass(frozen=True)
class _Position:
    """A position given as three numbers; `x`, `y`, `z` are the SQL of its coordinates, `fits` that of its form."""

    name: str
    column: str
    axes: tuple[str, str, str]
    fits: str

    @property
    def _point(self) -> str:
        x, y, z = self.axes
        finite = " AND ".join(f"{axis} IS NOT NULL AND isfinite(CAST({axis} AS DOUBLE))" for axis in self.axes)
        text = f"concat('{{x:', {x}, ', y:', {y}, ', z:', {z}, '}}')"
        return f"(CASE WHEN {self.fits} AND {finite} THEN {text} END)"

    def asks(self) -> list[str]:
        return [f"count({self.column})", f"count({self._point})"]

    def answered(self, values: Sequence[Any]) -> tuple[str, str] | None:
        given, points = values
        if given > points:
            logger.warning("%s: %s values are not positions and become null", self.name, f"{given - points:,}")
        return (POINT, cell(self._point)) if points else None


@dataclass(frozen=True)
class _List:
    """A list of values that `kind` names; `kind` is `int` for all integers."""

    column: str
    kind: str

    @property
    def _text(self) -> str:
        text = f"array_to_string(CAST({self.column} AS VARCHAR[]), ';')"
        # DuckDB writes nan and inf; Java reads NaN and Infinity.
        return f"replace(replace({text}, 'nan', 'NaN'), 'inf', 'Infinity')" if self.kind == "float" else text

    def asks(self) -> list[str]:
        c = self.column
        asked = [f"count(*) FILTER (len({c}) > 0)", f"count(*) FILTER (list_count({c}) < len({c}))"]
        if self.kind == "int":
            return [*asked, f"min(list_min({c}))", f"max(list_max({c}))"]
        if self.kind == "string":
            return [*asked, f"count(*) FILTER (contains(array_to_string(CAST({c} AS VARCHAR[]), ''), ';'))"]
        return asked

    def answered(self, values: Sequence[Any]) -> tuple[str, str] | None:
        filled, with_null, *more = values
        if with_null:
            raise ValueError(f"{with_null:,} lists contain a null, which neo4j's arrays cannot hold")
        if self.kind == "string" and more[0]:
            raise ValueError(f"{more[0]:,} lists contain a text with ';', which separates the values of an array")
        if not filled:
            return None
        kind = integer_type(*map(int, more)) if self.kind == "int" else self.kind
        return f"{kind}[]", cell(self._text)


def _shape(kind: pa.DataType, name: str, column: str) -> _Shape | None:
    """How to look at a column of this Arrow type; None if no property can hold it."""
    scalar = _scalar_kind(kind)
    if scalar is not None:
        simple: Mapping[str, _Shape] = {
            "int": _Integer(name, column),
            "float": _Float(name, column),
            "string": _Text(name, column),
        }
        if scalar in simple:
            return simple[scalar]
        return _Plain(column, *_PLAIN[scalar](column, kind))
    if pa.types.is_decimal(kind):
        return _Float(name, f"CAST({column} AS DOUBLE)")
    if is_list(kind):
        return _list_shape(kind.value_type, name, column)
    if pa.types.is_struct(kind) and is_point_property(name):
        return _struct_shape(kind, name, column)
    return None


def _scalar_kind(kind: pa.DataType) -> str | None:
    tests: Mapping[str, Collection[Any]] = {
        "boolean": (pa.types.is_boolean,),
        "int": (pa.types.is_integer,),
        "float": (pa.types.is_floating,),
        "string": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_dictionary),
        "time": (pa.types.is_temporal,),
        "null": (pa.types.is_null,),
    }
    return next((name for name, those in tests.items() if any(test(kind) for test in those)), None)


def _time_text(column: str, kind: pa.DataType) -> tuple[str, str]:
    """A time in ISO 8601; one that knows its zone in UTC."""
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        # DuckDB's own conversion would need the time zone of the session.
        text = f"concat(replace(CAST(make_timestamp(epoch_us({column})) AS VARCHAR), ' ', 'T'), 'Z')"
        return "string", f"CASE WHEN {column} IS NULL THEN '' ELSE {text} END"
    return "string", f"coalesce(replace(CAST({column} AS VARCHAR), ' ', 'T'), '')"


_PLAIN = {
    "boolean": lambda column, kind: ("boolean", _plain_cell(column)),
    "null": lambda column, kind: ("string", "''"),
    "time": _time_text,
}


def is_list(kind: pa.DataType) -> bool:
    """Whether an Arrow type is any of the list types."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
    return any(test(kind) for test in tests)


def _list_shape(kind: pa.DataType, name: str, column: str) -> _Shape | None:
    values = _scalar_kind(kind)
    if is_point_property(name) and values in _NUMBERS:
        return _Position(name, column, *_axes_of_list(column))
    if values in ("int", "float", "string", "boolean"):
        return _List(column, values)
    return _Plain(column, "string", "''") if values == "null" else None


def _axes_of_list(column: str) -> tuple[tuple[str, str, str], str]:
    return (f"{column}[1]", f"{column}[2]", f"{column}[3]"), f"len({column}) = 3"


def _struct_shape(kind: pa.StructType, name: str, column: str) -> _Shape | None:
    """A position as a structure: with x, y and z, or with a list `coordinates`."""
    fields = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
    if all(_scalar_kind(fields[axis]) in _NUMBERS for axis in "xyz" if axis in fields) and {*"xyz"} <= fields.keys():
        x, y, z = (f"{column}.{axis}" for axis in "xyz")
        return _Position(name, column, (x, y, z), "TRUE")
    inner = fields.get("coordinates")
    if inner is not None and is_list(inner) and _scalar_kind(inner.value_type) in _NUMBERS:
        return _Position(name, column, *_axes_of_list(f"{column}.coordinates"))
    return None
