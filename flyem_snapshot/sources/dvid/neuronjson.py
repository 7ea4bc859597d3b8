"""Body annotations: one JSON object a body, kept by a neuronjson instance or, in older repositories, by key and value.

The server keeps who set each field of a neuronjson record, and when, in the fields `<field>_user`, `<field>_time`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import xxhash

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.dvid import keyvalue
from flyem_snapshot.sources.dvid.http import DvidError, Incomplete
from flyem_snapshot.sources.dvid.protobuf import encode_keyvalues
from flyem_snapshot.sources.dvid.times import moment

if TYPE_CHECKING:
    from flyem_snapshot.sources.dvid.graph import Node

logger = logging.getLogger(__name__)

Records = dict[int, dict[str, Any]]

STATUS: Final = "status"
"""The one field in which an empty text is a value."""

_USER, _TIME = "_user", "_time"
_LARGEST_BODY: Final = (1 << 63) - 1
_EXACT: Final = 1 << 53


@dataclass(frozen=True)
class BodyRecords:
    """All body annotations of a node.

    `table`: `body` (int64, ascending, unique), then one column a field, by name.  `timestamp`: when the last of the
    fields was set (UTC), None if nobody knows.  `digest` depends on what the records say, not on their order, nor on
    who said it when.  `records` are the fields of each body as the server has them.
    """

    table: pa.Table
    timestamp: datetime | None
    digest: str
    records: Mapping[int, Mapping[str, Any]] = dataclasses.field(repr=False)


def body_annotations(node: Node, instance: str) -> BodyRecords:
    """All body annotations of an instance of type neuronjson or keyvalue (JSON objects by body; no timestamp).

    Columns hold int64 (uint64 if they must), float64, bool, text, or lists of integers, floats or texts.  Values of
    several kinds in one column, and objects, become text: texts as they are, all else as JSON.  Empty texts are
    null, except in `status`, where it is the other way round.  The server's fields about other fields are left out.
    """
    if node.instance(instance, "neuronjson", "keyvalue").typename == "neuronjson":
        records = _all_records(node, instance)
    else:
        records = _stored_records(node, instance)
    fields = {field for record in records.values() for field in record}
    notes = {field for field in fields if field.endswith((_USER, _TIME)) and field[: -len(_USER)] in fields}
    timestamp = _latest(records.values(), {field for field in notes if field.endswith(_TIME)})
    for record in records.values():
        for field in notes & record.keys():
            del record[field]
    ordered = dict(sorted(records.items()))
    return BodyRecords(_table(ordered, sorted(fields - notes), instance), timestamp, _digest(ordered), ordered)


def _all_records(node: Node, instance: str) -> Records:
    """The records of a neuronjson instance; the server streams `all`, a range it would assemble in memory (M29)."""
    records: Records = {}

    def read(listed: Any) -> None:
        records.clear()
        if not isinstance(listed, list | None) or not all(isinstance(record, dict) for record in listed or ()):
            raise Incomplete("this is not a list of objects")
        for record in listed or ():
            body = record.get("bodyid")
            if type(body) is not int or body in records:
                raise Incomplete(f"a record's bodyid is {body}, which is no number or was there before")
            records[body] = _without_nameless(record)

    node.client.json(node.path(instance, "all"), params={"show": "all"}, check=read)
    return _sound(records, instance)


def _stored_records(node: Node, instance: str) -> Records:
    """The records of a keyvalue instance: JSON objects by body id.  Other keys are no records."""
    keys = keyvalue.keys(node, instance)
    numbers = [key for key in keys if key.isascii() and key.isdigit() and str(int(key)) == key]
    if len(numbers) < len(keys):
        others = sorted(set(keys) - set(numbers))
        logger.info("%s: %d keys are no bodies: %s", instance, len(others), ", ".join(others[:3]))
    records: Records = {}
    for key, value in keyvalue.values(node, instance, numbers):
        if value is None:
            continue  # removed, or emptied, since the keys were listed
        try:
            record = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise DataError(f"the annotation of body {key} in '{instance}' is not JSON: {error}") from error
        if not isinstance(record, dict):
            raise DataError(f"the annotation of body {key} in '{instance}' is not a JSON object: {str(record)[:200]}")
        records[int(key)] = _without_nameless(record)
    return _sound(records, instance)


def _without_nameless(record: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in record.items() if field and field != "bodyid"}


def _sound(records: Records, instance: str) -> Records:
    wrong = sorted(body for body in records if not 0 <= body <= _LARGEST_BODY)
    if wrong:
        raise DataError(f"bodies annotated in '{instance}' must be 0 to 2^63 - 1", rows=len(wrong), examples=wrong)
    return records


def _latest(records: Iterable[Mapping[str, Any]], fields: set[str]) -> datetime | None:
    """The latest moment in some fields; they have different time zones, so their texts do not sort (M6)."""
    texts = {record[field] for record in records for field in fields & record.keys() if isinstance(record[field], str)}
    return max((when for text in texts if (when := moment(text))), default=None)


def _digest(records: Records) -> str:
    digest = xxhash.xxh3_64()
    for body, record in records.items():
        said = {field: value for field, value in record.items() if value is not None}
        digest.update(f"{body} {json.dumps(said, sort_keys=True)}\n".encode())
    return digest.hexdigest()


def _table(records: Records, fields: list[str], instance: str) -> pa.Table:
    columns = {"body": pa.array(list(records), pa.int64())}
    for field in fields:
        if field == "body":
            logger.warning("%s: the field 'body' is left out: that is the name of the column of body ids", instance)
            continue
        empty = "" if field == STATUS else None
        values = [record.get(field) for record in records.values()]
        columns[field] = _column([empty if value in ("", None) else value for value in values], instance, field)
    return pa.table(columns)


def _column(values: list[Any], instance: str, field: str) -> pa.Array:
    """Values as an array of the one kind that they all have, else of text."""
    present = [value for value in values if value is not None]
    kind = _kind(present)
    if kind is not None:
        return pa.array(values, kind)
    if not all(isinstance(value, dict | list) for value in present):
        kinds = ", ".join(sorted({type(value).__name__ for value in present}))
        logger.warning("%s: field '%s' holds values of several kinds (%s): it becomes text", instance, field, kinds)
    return pa.array([value if isinstance(value, str | None) else json.dumps(value) for value in values], pa.string())


def _kind(values: list[Any]) -> pa.DataType | None:
    """The Arrow type that holds all values as they are; None if there is none but text."""
    if values and all(isinstance(value, list) for value in values):
        # An empty list says nothing of what it could hold.
        inner = _scalar_kind([item for value in values for item in value])
        return inner and pa.list_(inner)
    return _scalar_kind(values)


def _scalar_kind(values: list[Any]) -> pa.DataType | None:
    kinds = {type(value) for value in values}
    if kinds <= {str}:
        return pa.string()
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return _integer_kind(values)
    if kinds <= {int, float} and all(type(value) is float or abs(value) <= _EXACT for value in values):
        return pa.float64()
    return None


def _integer_kind(values: list[int]) -> pa.DataType | None:
    low, high = min(values), max(values)
    if low >= -(1 << 63) and high < 1 << 63:
        return pa.int64()
    return pa.uint64() if low >= 0 and high < 1 << 64 else None


def post_annotations(
    node: Node,
    instance: str,
    rows: Mapping[int, Mapping[str, Any]],
    *,
    batch: int = 500,
    force: bool = False,
    before: Mapping[int, Mapping[str, Any]] | None = None,
) -> None:
    """Set fields of bodies' annotations, and only these: `{body: {field: value}}`; None empties a field.

    Written in batches, each read back and compared.  A locked node is refused, unless `force`, which needs the
    admin token.  `before` says what the caller believes some fields to hold: a batch in which they hold something
    else now, because somebody edited them, is refused.

    Raises DataError, before anything is written, if a value cannot be JSON; DvidError if the server refuses or
    fails, or keeps something else: it says how many bodies have been written by then.
    """
    node.instance(instance, "neuronjson")
    texts = {int(body): _record_text(int(body), record) for body, record in rows.items() if record}
    admin = node.refreshed().locked
    path = node.path(instance, "keyvalues")
    if admin and not force:
        hint = "write to its child, or force it with the server's admin token"
        raise DvidError("POST", f"{node.client.server}/{path}", f"node {node.uuid} is locked", hint=hint)
    bodies = sorted(texts)
    for start in range(0, len(bodies), batch):
        part = bodies[start : start + batch]
        try:
            if before:
                _require(
                    node, instance, {body: before[body] for body in part if body in before}, "was edited meanwhile"
                )
            message = encode_keyvalues((str(body), texts[body].encode()) for body in part)
            # Setting a field twice does no harm, so that a failed request may be sent again.
            node.client.post(path, body=message, admin=admin, retry=True)
            _require(node, instance, {body: json.loads(texts[body]) for body in part}, "does not hold what was written")
        except DvidError as error:
            raise _stopped(error, start, len(part), len(bodies)) from error
    logger.info("%s: wrote annotations of %s bodies", instance, f"{len(bodies):,}")


def _stopped(error: DvidError, written: int, trying: int, total: int) -> DvidError:
    said = f"{written:,} of {total:,} bodies have been written before"
    return DvidError(
        error.method,
        error.url,
        f"{error.problem} ({said}; of the next {trying:,} some may have been)",
        status=error.status,
        tries=error.tries,
        words=error.words,
        hint=error.hint or "to write the same again does no harm",
    )


def _record_text(body: int, record: Mapping[str, Any]) -> str:
    if not 0 < body <= _LARGEST_BODY:
        raise DataError(f"{body} is no body that can be annotated")
    if "" in record or "bodyid" in record:
        raise DataError(f"the annotation of body {body} has a field without a name, or one named bodyid")
    try:
        return json.dumps({"bodyid": body, **record}, allow_nan=False, default=_plain)
    except (ValueError, TypeError) as error:
        raise DataError(f"the annotation of body {body} cannot be written as JSON: {error}") from error


def _plain(value: Any) -> Any:
    """What JSON calls a number or list of numpy's."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _require(node: Node, instance: str, wanted: Mapping[int, Mapping[str, Any]], otherwise: str) -> None:
    """Raise DvidError unless the server holds these values now; a field that is null may as well be missing."""
    if not wanted:
        return
    keys = [str(body) for body in wanted]
    path = node.path(instance, "keyvalues")
    found = node.client.json(path, body=keys, params={"json": "true", "show": "all"}, check=_require_objects)
    for body, record in wanted.items():
        held = found.get(str(body)) or {}
        for field, value in record.items():
            if field != "bodyid" and not _same(value, held.get(field)):
                problem = f"body {body}: field '{field}' {otherwise}: {held.get(field)!r} instead of {value!r}"
                raise node.client.error(path, problem)


def _require_objects(found: Any) -> None:
    if not isinstance(found, dict) or not all(isinstance(record, dict | None) for record in found.values()):
        raise Incomplete("this is not an object of objects")


def _same(a: Any, b: Any) -> bool:
    """Whether two JSON values are the same; the server writes 3.0 as 3, but true is not 1."""
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)
