"""MaterializationEngine over HTTP (2.6): versions, their tables and views, and queries of them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tests.cave_double.arrow import query_reply
from tests.cave_double.clock import UTC, iso
from tests.cave_double.datastacks import Datastack, Frozen, Version, View
from tests.cave_double.query import JOIN, LIVE, ONE_TABLE, check_keys, join, notices, one_table
from tests.cave_double.replies import Refusal, Reply, Request, body_of, hidden, json_reply, plain, service_error

if TYPE_CHECKING:
    from tests.cave_double.server import CaveDouble


def materialize_call(cave: CaveDouble, stack: Datastack, request: Request, api: int, rest: list[str]) -> Reply:
    """`/materialize/api/v{api}/datastack/{ds}/...`."""
    with_expired = request.args.get("expired", "").lower() == "true"
    shown = [version for version in cave.in_any_order(stack.versions.values()) if version.valid or with_expired]
    match request.method, rest:
        case "GET", ["versions"]:
            return json_reply([version.number for version in shown])
        case "GET", ["metadata"]:
            return json_reply([version.described() for version in shown])
        case "GET", ["version", number]:
            return json_reply(version_of(stack, number).described())
        case "POST", ["query"] if api == 3:
            with cave.lock:  # what it reads may be written to
                return live_query(cave, stack, request)
        case "GET", ["table", name, "unique_string_values"]:
            return json_reply(unique_strings(stack, name))
        case method, ["version", number, "views", *more]:
            return view_call(cave, version_of(stack, number), request, method, more)
        case method, ["version", number, *more]:
            return version_call(cave, version_of(stack, number), request, api, [method, *more])
    return plain("404 Not Found", 404)


def version_of(stack: Datastack, text: str) -> Version:
    """A version of the path, expired or not."""
    if not text.isdigit() or int(text) not in stack.versions:
        raise Refusal(json_reply(f"No version {text} exists in datastack {stack.name}", 404))
    return stack.versions[int(text)]


def frozen_of(version: Version, name: str) -> Frozen:
    """A table whose rows are there; the database of an expired version is gone."""
    check_present(version)
    if name not in version.tables:
        raise hidden(404, f"Analysis table {name} not found in version {version.number} of {version.datastack}")
    return version.tables[name]


def check_present(version: Version) -> None:
    """Refuse what would need the database of a version that has none."""
    if not version.present:
        raise service_error(
            f'(psycopg2.OperationalError) connection to server failed: FATAL:  database "{version.datastack}'
            f'__mat{version.number}" does not exist\n'
        )


def version_call(cave: CaveDouble, version: Version, request: Request, api: int, rest: list[str]) -> Reply:
    """Tables of a version; `rest` begins with the method."""
    match rest:
        case ["GET", "tables"]:
            return json_reply(list(version.tables))
        case ["GET", "tables", "metadata"] if api == 3:
            records = [frozen.record for frozen in version.tables.values()]
            text = ",".join(text for frozen in version.tables.values() for text in notices(frozen))
            return json_reply(records, 200, {"Warning": text} if text else {})
        case ["GET", "table", name, "metadata"]:
            frozen = frozen_of(version, name)
            text = ",".join(notices(frozen))
            return json_reply(frozen.record, 200, {"Warning": text} if text else {})
        case ["GET", "table", name, "count"]:
            return json_reply(len(frozen_of(version, name).data))
        case ["POST", "table" | "query", *_] if api == 2:
            raise service_error("'arrow_format'")  # a KeyError of a v3-only argument
        case ["POST", "table", name, "query"]:
            body = body_of(request)
            check_keys(body, ONE_TABLE)
            return query_reply(one_table(frozen_of(version, name), body, request.args, cave.query_limit), request)
        case ["POST", "query"]:
            return join_query(cave, version, request)
    return plain("404 Not Found", 404)


def join_query(cave: CaveDouble, version: Version, request: Request) -> Reply:
    """A query of two tables of a version."""
    body = body_of(request)
    check_keys(body, JOIN)
    if len(body.get("tables", [])) != 2:
        raise hidden(400, "tables must name two tables and a column of each")
    sides = [(frozen_of(version, name), key) for name, key in body["tables"]]
    wanted = body.get("select_column_map") or {}
    answer = join(sides, body.get("suffix_map") or {}, wanted, body, request.args, cave.query_limit)
    return query_reply(answer, request)


def live_query(cave: CaveDouble, stack: Datastack, request: Request) -> Reply:
    """A query of a table as it was, or is, at any time."""
    body = body_of(request)
    check_keys(body, LIVE)
    time = aware(body.get("timestamp"))
    if not stack.versions:
        raise hidden(400, "no version of the datastack is there to start from")

    def at_time(name: str) -> Frozen:
        if name not in stack.volume.tables:
            raise hidden(404, f"Analysis table {name} not found in {stack.name}")
        table = stack.volume.tables[name]
        return Frozen(name, table.schema, stack.rows_at(table, time), table.described(stack.volume.name))

    frozen = at_time(body.get("table", ""))
    wanted = body.get("select_columns") or {}
    joins = body.get("join_tables") or []
    if joins:
        one, key, other, other_key = joins[0]
        sides = [(at_time(one), key), (at_time(other), other_key)]
        answer = join(sides, body.get("suffixes") or {}, wanted, body, request.args, cave.query_limit)
    else:
        single = {**body, "select_columns": wanted.get(frozen.name) if isinstance(wanted, dict) else wanted}
        answer = one_table(frozen, single, request.args, cave.query_limit)
    return query_reply(answer, request)


def aware(text: str | None) -> dt.datetime:
    """The time of a live query, which must say its zone."""
    if text is None:
        raise hidden(422, "{'json': {'timestamp': ['Missing data for required field.']}}")
    time = dt.datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise hidden(422, "{'json': {'timestamp': ['Not a valid aware datetime.']}}")
    return time.astimezone(UTC)


def unique_strings(stack: Datastack, name: str) -> dict[str, list[str]]:
    """The texts that occur in each text column of a table."""
    version = max(stack.versions.values(), key=lambda version: version.number, default=None)
    if version is None:
        raise hidden(404, f"{stack.name} has no version")
    frozen = frozen_of(version, name)
    texts = [field.name for field in frozen.data.schema if pa.types.is_string(field.type)]
    return {name: sorted(set(frozen.data[name].drop_null().to_pylist())) for name in texts}


# --- views ----------------------------------------------------------------------------------------------------------

KINDS = {pa.int64(): "integer", pa.int32(): "integer", pa.string(): "string", pa.bool_(): "boolean"}


def view_call(cave: CaveDouble, version: Version, request: Request, method: str, rest: list[str]) -> Reply:
    """`/version/{v}/views...`."""
    match method, rest:
        case "GET", []:
            return json_reply({name: view_record(version, name, view) for name, view in version.views.items()})
        case "GET", ["schemas"]:
            return json_reply({name: view_schema(view) for name, view in version.views.items()})
    view = version.views.get(rest[0]) if rest else None
    if view is None:
        raise hidden(404, f"View {'/'.join(rest)} not found in {version.datastack}")
    match method, rest[1:]:
        case "GET", ["metadata"]:
            return json_reply(view_record(version, rest[0], view))
        case "GET", ["schema"]:
            return json_reply(view_schema(view))
        case "POST", ["query"]:
            check_present(version)
            body = body_of(request)
            check_keys(body, ONE_TABLE)
            record = {"notice_text": view.notice_text, **{f"voxel_resolution_{axis}": 1.0 for axis in "xyz"}}
            frozen = Frozen(rest[0], None, view.data, record)  # type: ignore[arg-type]
            return query_reply(one_table(frozen, body, request.args, cave.query_limit), request)
    return plain("404 Not Found", 404)


def view_record(version: Version, name: str, view: View) -> dict[str, Any]:
    """The metadata of a view."""
    resolution = {f"voxel_resolution_{axis}": 1.0 for axis in "xyz"}
    return {
        "table_name": name,
        "description": view.description,
        "datastack_name": version.datastack,
        "live_compatible": view.live_compatible,
        "notice_text": view.notice_text,
        "created": iso(version.time_stamp),
        **resolution,
    }


def view_schema(view: View) -> dict[str, dict[str, str]]:
    """The kinds of a view's columns; split positions count as one."""
    kinds = {}
    for field in view.data.schema:
        if field.name.endswith("_position_x"):
            kinds[field.name[:-2]] = {"type": "SpatialPoint"}
        elif field.name[:-1].endswith("_position_"):
            continue
        else:
            kinds[field.name] = {"type": KINDS.get(field.type, "float")}
    return kinds
