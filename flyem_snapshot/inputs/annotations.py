"""Body annotations from a table or a server: read, checked, values replaced, columns renamed, status put in order."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.connectome.status import as_status_category
from flyem_snapshot.errors import DataError, SettingError, SnapshotError
from flyem_snapshot.inputs.annotations_live import (
    point_columns,
    read_live,
    require_server,
    state,
    with_points,
)
from flyem_snapshot.inputs.annotations_settings import PREDICTION_COLUMNS, AnnotationsSettings, ReplaceValues
from flyem_snapshot.sources.checks import faults_of
from flyem_snapshot.sources.files import open_header, read_small_table
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.bodies import BodyAnnotations, frame_from_arrow, require_numbers, unique_bodies
from flyem_snapshot.tables.cave import CaveTables
from flyem_snapshot.tables.segmentation import Segmentation

logger = logging.getLogger(__name__)

_RENAMES = "rename-annotation-columns"
Replacement = str | int | float | bool | None


def load_annotations(
    config: AnnotationsSettings, ctx: Context, *, dvid_seg: Segmentation | None, cave: CaveTables | None = None
) -> BodyAnnotations | None:
    """The annotations of each body, from a table or from the server of the segmentation; None if there are none.

    The table may be one that was made from a CAVE datastack.

    Raises DataError for a table that cannot be used, SettingError for replacements and new names that do not fit it.
    """
    live = read_live(config, dvid_seg, ctx)
    table, path = live.table, live.where
    given = config.body_annotations_table
    if cave is not None and cave.annotations is not None:
        given = ctx.out.path(cave.annotations)
    if given is not None:
        path = given
        table = read_small_table(path)
        _require_body(path, table.schema)
        bodies = unique_bodies(table["body"], file=path)
        table = table.set_column(table.schema.get_field_index("body"), "body", pa.array(bodies))
    if table is None and not live.points:
        logger.info("no body-annotations-table: no body is annotated")
        return None
    table = with_points(pa.table({"body": pa.array([], pa.int64())}) if table is None else table, live.points)
    bodies = table["body"].to_numpy()
    columns = {name: _usual_type(table[name]) for name in table.column_names if name != "body"}

    for number, item in enumerate(config.replace_values):
        columns[item.target_column or item.source_column] = _replaced(columns, item, number)
    columns = _renamed(columns, config.rename_annotation_columns)
    columns.pop("group_old", None)
    if "status" not in columns:
        logger.warning("%s: there is no column 'status', so every status is null", path)
        columns["status"] = pa.chunked_array([pa.nulls(len(bodies))])

    frame = frame_from_arrow(pa.table({"body": pa.array(bodies, pa.int64()), **columns}))
    frame["status"] = as_status_category(frame["status"], file=path)
    with_status = f"{frame['status'].notna().sum():,}"
    logger.info("%s annotated bodies, %d columns; %s have a status", f"{len(frame):,}", len(columns), with_status)
    return BodyAnnotations.keep(ctx, frame, live.timestamp, live.source)


def check_annotations(config: AnnotationsSettings, whole: Any) -> list[SnapshotError]:
    """What the header of the table lacks, and replacements and new names that do not fit its columns."""
    path = config.body_annotations_table
    faults = faults_of(lambda: require_server(config, whole))
    if path is None:
        return faults
    try:
        schema, _ = open_header(path)
    except DataError as error:
        return [error]
    names = [name for name in schema.names if name != "body"]
    names = list(dict.fromkeys([*names, *(c for p in config.point_annotations for c in point_columns(p))]))
    faults += faults_of(lambda: _require_body(path, schema))
    for number, item in enumerate(config.replace_values):
        faults += faults_of(partial(_require_columns, names, item, number))
        names = list(dict.fromkeys([*names, item.target_column or item.source_column]))
    return faults + faults_of(lambda: _new_names(names, config.rename_annotation_columns))


def _require_body(path: Path, schema: pa.Schema) -> None:
    if "body" not in schema.names:
        raise DataError("there is no column 'body'", file=path, hint=_nearest("body", schema.names))
    require_numbers(schema.field("body").type, file=path, column="body")


def _usual_type(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values in the type that each kind has here, whatever wrote the file.

    Text is large_string, NaN is null, and a dictionary stays one only if it is a sound category of text or integers.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        return values if _is_category(values) else _usual_type(_plain(values))
    if pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.large_string())
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)
    return values


def _is_category(values: pa.ChunkedArray) -> bool:
    kind = values.type.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
        return False
    dictionaries = [chunk.dictionary for chunk in values.chunks]
    return all(not entries.null_count and len(entries.unique()) == len(entries) for entries in dictionaries)


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A category as the values it stands for; all-null columns, which fit any replacement, as text."""
    if pa.types.is_dictionary(values.type):
        return pa.chunked_array([chunk.dictionary_decode() for chunk in values.chunks], values.type.value_type)
    return values.cast(pa.large_string()) if pa.types.is_null(values.type) else values


def _replaced(columns: Mapping[str, pa.ChunkedArray], item: ReplaceValues, number: int) -> pa.ChunkedArray:
    """A copy of the source column with the listed values replaced, of the same type (a category becomes plain)."""
    _require_columns(columns, item, number)
    if not item.replacements:
        return columns[item.source_column]
    source = _plain(columns[item.source_column])
    old, new = [], []
    for key, value in item.replacements.items():
        field = ("replace-values", number, "replacements", key)
        with _must_fit(key, source.type, field, item.source_column):
            old.append(pa.scalar(key).cast(source.type))
        with _must_fit(value, source.type, field, item.source_column):
            new.append(_written_value(value, source.type))
    places = pc.index_in(source, value_set=pa.array(old, source.type))
    changed = pc.if_else(places.is_valid(), pa.array(new, source.type).take(places), source)
    target = item.target_column or item.source_column
    logger.info("%s: replaced %s values of %s", target, f"{len(places) - places.null_count:,}", item.source_column)
    return changed


def _require_columns(columns: Iterable[str], item: ReplaceValues, number: int) -> None:
    if item.target_column == "body":
        raise SettingError(
            ("replace-values", number, "target-column"),
            "'body' is the id of the body, not an annotation",
            hint="name another column",
        )
    if item.source_column not in columns:
        raise SettingError(
            ("replace-values", number, "source-column"),
            f"there is no annotation column '{item.source_column}'",
            hint=_nearest(item.source_column, columns),
        )


@contextmanager
def _must_fit(value: Replacement, kind: pa.DataType, field: tuple[str | int, ...], column: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, OverflowError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SettingError(
            field,
            f"{value!r} does not fit column '{column}', which holds {kind}",
            hint="write a value of that kind, or change the column in the table",
        ) from error


def _written_value(value: Replacement, kind: pa.DataType) -> pa.Scalar:
    """A new value in a column's type: text never becomes a number or truth value, a number may become text."""
    if value is None:
        return pa.scalar(None, kind)
    if pa.types.is_boolean(kind) or isinstance(value, bool):
        if not (pa.types.is_boolean(kind) and isinstance(value, bool)):
            raise TypeError(value)
        return pa.scalar(value)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        if isinstance(value, str):
            raise TypeError(value)
        return pa.scalar(value).cast(kind)
    return pa.scalar(str(value)).cast(kind)


def _renamed(columns: Mapping[str, pa.ChunkedArray], names: Mapping[str, str]) -> dict[str, pa.ChunkedArray]:
    """The columns under their new names, in their order; those with an empty new name are left out."""
    absent = [old for old in names if old not in columns and old not in PREDICTION_COLUMNS]
    if absent:
        logger.warning("%s: there is no column %s", _RENAMES, ", ".join(f"'{name}'" for name in absent))
    return {new: columns[old] for new, old in _new_names(columns, names).items()}


def _new_names(columns: Iterable[str], names: Mapping[str, str]) -> dict[str, str]:
    """Old names by new ones, in the order of the columns, without those that are dropped."""
    for old, new in names.items():
        if "body" in (old, new):
            raise SettingError(
                (_RENAMES, old), "'body' is the id of the body: nothing can be renamed from or to it", hint="remove it"
            )
    origin: dict[str, str] = {}
    for old in columns:
        new = names.get(old, old)
        if new in origin:
            culprit = old if old in names else origin[new]
            problem = f"two columns would be called '{new}': '{origin[new]}' and '{old}'"
            raise SettingError((_RENAMES, culprit), problem, hint="choose another name, or drop one of them: {old: ''}")
        if new:
            origin[new] = old
    return origin


def _nearest(name: str, columns: Iterable[str]) -> str:
    known = list(columns)
    near = difflib.get_close_matches(name, known, n=1)
    return (f"did you mean '{near[0]}'? " if near else "") + f"the columns are: {', '.join(known)}"


STAGE = Stage(
    "annotations",
    "inputs",
    AnnotationsSettings,
    load_annotations,
    version=2,
    produces=BodyAnnotations,
    check=check_annotations,
    source=state,
)
