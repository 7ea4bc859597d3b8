"""AnnotationEngine over HTTP (2.5): statuses hide in 500s, and a GET of metadata answers 201."""

from __future__ import annotations

import re
from typing import Any

from tests.cave_double.accounts import User
from tests.cave_double.datastacks import AlignedVolume
from tests.cave_double.replies import (
    Reply,
    Request,
    body_of,
    hidden,
    json_reply,
    plain,
    schema_errors,
    service_error,
)
from tests.cave_double.schemas import SEGMENTATION, schemas
from tests.cave_double.tables import LiveTable, Row, notice

MOST_ROWS = 10_000
"""More annotations in one request are refused."""

TABLE_NAME = re.compile("[a-z_]+[a-z0-9_]*")
PERMISSIONS = {"PUBLIC", "GROUP", "PRIVATE"}
METADATA = {
    "description",
    "user_id",
    "flat_segmentation_source",
    "read_permission",
    "write_permission",
    "notice_text",
    "table_metadata",
    *(f"voxel_resolution_{axis}" for axis in "xyz"),
}
NOT_GIVEN = {"id", "valid"}
MISSING = ["Missing data for required field."]


def annotation_call(volume: AlignedVolume, user: User, request: Request, rest: list[str]) -> Reply:
    """`/annotation/api/v2/aligned_volume/{av}/...`."""
    if volume.broken_session:
        volume.broken_session = False
        raise service_error(
            "(sqlalchemy.exc.PendingRollbackError) This Session's transaction has been rolled back due to a previous "
            "exception during flush. To begin a new transaction with this Session, first issue Session.rollback()."
        )
    match request.method, rest:
        case "GET", ["table"]:
            return json_reply([name for name, table in volume.tables.items() if readable(table, user)])
        case "POST", ["table"]:
            return create(volume, user, body_of(request))
        case "PUT", ["table"]:
            return change(volume, user, body_of(request))
        case "GET", ["table", name]:
            table = table_of(volume, name, user)
            return json_reply(table.described(volume.name), 201, notice(table))
        case "DELETE", ["table", name]:
            table = table_of(volume, name, user, writes=True)
            table.deleted = table.last_modified = volume.clock.tick()
            return json_reply(True)
        case "GET", ["table", name, "count"]:
            return json_reply(len(table_of(volume, name, user)))
        case method, ["table", name, "annotations"]:
            return rows_call(volume, table_of(volume, name, user, writes=method != "GET"), request)
    return plain("404 Not Found", 404)


# --- tables ---------------------------------------------------------------------------------------------------------


def table_of(volume: AlignedVolume, name: str, user: User, *, writes: bool = False) -> LiveTable:
    """A table that the user may read, or write."""
    if name not in volume.tables:
        raise hidden(404, f"Table {name} does not exist in {volume.name}")
    table = volume.tables[name]
    if not readable(table, user):
        raise hidden(401, f"The table {name} can only be read by its owner")
    if writes and table.metadata.write_permission == "PRIVATE" and user.id != table.metadata.user_id:
        raise hidden(401, f"The table {name} can only be written to by its owner")
    return table


def readable(table: LiveTable, user: User) -> bool:
    """Whether a user may see a table."""
    return table.metadata.read_permission != "PRIVATE" or user.id == table.metadata.user_id


def create(volume: AlignedVolume, user: User, wanted: dict[str, Any]) -> Reply:
    """A new table; the answer is its bare name."""
    problems = {key: MISSING for key in ("schema_type", "table_name", "metadata") if key not in wanted}
    metadata = wanted.get("metadata", {})
    if not problems:
        required = ("description", *(f"voxel_resolution_{axis}" for axis in "xyz"))
        problems |= {key: MISSING for key in required if key not in metadata}
        problems |= {key: ["Unknown field."] for key in metadata if key not in METADATA}
    if problems:
        raise schema_errors(problems)
    name, schema = str(wanted["table_name"]), wanted["schema_type"]
    if not TABLE_NAME.fullmatch(name):
        raise hidden(422, f"Table name {name!r} must match {TABLE_NAME.pattern}")
    if schema not in schemas():
        raise hidden(422, f"Unknown annotation type: {schema}")
    if name in volume.tables:
        raise hidden(409, f"Table {name} already exists in {volume.name}")
    volume.new_table(name, schema, **settings(metadata, user))
    return plain(name)


def settings(metadata: dict[str, Any], user: User) -> dict[str, Any]:
    """The keywords of `Metadata` of a body."""
    values: dict[str, Any] = {key: metadata[key] for key in ("description", "flat_segmentation_source", "notice_text")
                              if key in metadata}  # fmt: skip
    for key in ("read_permission", "write_permission"):
        if key in metadata:
            if metadata[key] not in PERMISSIONS:
                raise schema_errors({key: [f"Must be one of: {', '.join(sorted(PERMISSIONS))}."]})
            values[key] = metadata[key]
    if any(f"voxel_resolution_{axis}" in metadata for axis in "xyz"):
        values["voxel_resolution"] = tuple(float(metadata[f"voxel_resolution_{axis}"]) for axis in "xyz")
    values["user_id"] = user.id
    if reference := (metadata.get("table_metadata") or {}).get("reference_table"):
        values["reference_table"] = reference
    return values


def change(volume: AlignedVolume, user: User, wanted: dict[str, Any]) -> Reply:
    """Other metadata for a table of one's own; answers all of it."""
    table = table_of(volume, wanted.get("table_name", ""), user)
    if user.id != table.metadata.user_id:
        raise hidden(401, f"The metadata of {table.name} can only be changed by its owner")
    for key, value in settings(wanted.get("metadata", {}), user).items():
        setattr(table.metadata, key, value)
    table.last_modified = volume.clock.tick()
    return json_reply(table.described(volume.name))


# --- annotations ----------------------------------------------------------------------------------------------------


def rows_call(volume: AlignedVolume, table: LiveTable, request: Request) -> Reply:
    """Reading and writing rows."""
    if request.method == "GET":
        if "annotation_ids" not in request.args:
            raise service_error("'NoneType' object is not iterable")
        found = [table.get(number) for number in integers(request.args["annotation_ids"].split(","))]
        return json_reply([table.as_annotation(row) for row in found if row is not None], 200, notice(table))
    body = body_of(request)
    key = "annotation_ids" if request.method == "DELETE" else "annotations"
    if not isinstance(body.get(key), list):
        raise schema_errors({key: MISSING})
    if len(body[key]) > MOST_ROWS:
        raise hidden(413, f"Insertion of {len(body[key])} annotations exceeds the limit of {MOST_ROWS}")
    match request.method:
        case "POST":
            return insert(volume, table, body[key])
        case "PUT":
            return update(table, body[key])
        case "DELETE":
            return delete(table, body[key])
    return plain("405 Method Not Allowed", 405)


def integers(values: list[Any]) -> list[int]:
    """Ids of a query or a body."""
    try:
        return [int(value) for value in values]
    except (TypeError, ValueError) as error:
        raise hidden(400, f"Not a valid integer: {error}") from error


def insert(volume: AlignedVolume, table: LiveTable, annotations: list[dict[str, Any]]) -> Reply:
    """New rows, all or none; a taken id breaks the session of the database for one more request."""
    rows = [(flattened(table, annotation), wanted_id(annotation)) for annotation in annotations]
    wanted = [number for _, number in rows if number is not None]
    taken = [number for number in wanted if table.get(number) is not None or wanted.count(number) > 1]
    if taken:
        volume.broken_session = True
        raise service_error(
            "(psycopg2.errors.UniqueViolation) duplicate key value violates unique constraint "
            f'"{table.name}_pkey"\nDETAIL:  Key (id)=({taken[0]}) already exists.\n'
        )
    return json_reply([table.insert(values, number).id for values, number in rows])


def wanted_id(annotation: dict[str, Any]) -> int | None:
    """The id that the caller chose, if any."""
    number = annotation.get("id")
    if number is None:
        return None
    if not -(2**63) <= int(number) < 2**63:
        raise service_error("(psycopg2.errors.NumericValueOutOfRange) bigint out of range\n")
    return int(number)


def flattened(table: LiveTable, annotation: dict[str, Any]) -> dict[str, Any]:
    """The values of an annotation, by column; what the schema does not know is dropped."""
    problems = table.schema.problems(annotation)
    if problems:
        raise hidden(422, str(problems))
    values: dict[str, Any] = {}
    for name, kind in table.schema.columns.items():
        if kind != "point" and name not in NOT_GIVEN and not name.endswith(SEGMENTATION):
            values[name] = annotation.get(name)
    for point in table.schema.points:
        given = annotation.get(point) or {}
        position = given.get("position")
        if position is not None and len(position) != 3:
            raise hidden(422, f"{{'{point}': ['Length must be 3.']}}")
        values |= {name: given.get(name.removeprefix(f"{point}_")) for name in values if name.startswith(f"{point}_")}
        values[f"{point}_position"] = None if position is None else [int(value) for value in position]
    return values


def existing(table: LiveTable, number: int) -> Row:
    """A row that can still be changed."""
    row = table.get(number)
    if row is None:
        raise hidden(404, f"Annotation {number} not found in {table.name}")
    if row.superceded_id is not None:
        raise hidden(409, f"Annotation {number} has been superseded by {row.superceded_id}")
    return row


def update(table: LiveTable, annotations: list[dict[str, Any]]) -> Reply:
    """New rows in the place of old ones: old id, as text, to new id."""
    changed = [(existing(table, int(annotation.get("id", -1))), flattened(table, annotation))
               for annotation in annotations]  # fmt: skip
    return json_reply({str(row.id): table.update(row, values).id for row, values in changed})


def delete(table: LiveTable, wanted: list[Any]) -> Reply:
    """Mark rows; one unknown id, and none is."""
    rows = [(number, table.get(number)) for number in integers(wanted)]
    unknown = [number for number, row in rows if row is None]
    if unknown:
        return json_reply(f"Annotations {unknown} not found in {table.name}", 404)
    for _, row in rows:
        if row is not None and row.valid:
            table.delete(row)
    return json_reply([number for number, _ in rows])
