"""Body annotations: JSON objects by body, with who and when beside each field."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from tests.dvid_double import framing
from tests.dvid_double.graph import DagNode, Repo, Versioned, rfc3339
from tests.dvid_double.instances import Instance, argument
from tests.dvid_double.keyvalue import wants_tar
from tests.dvid_double.replies import Refusal, Reply, Request, json_reply

Record = dict[str, Any]
COMPANIONS = ("_user", "_time")


class NeuronJson(Instance):
    """An instance of type neuronjson."""

    typename = "neuronjson"
    endpoints: ClassVar[dict[str, tuple[set[str], str]]] = {
        "all": ({"GET"}, "get_all"),
        "fields": ({"GET"}, "get_fields"),
        "fieldtimes": ({"GET"}, "get_fieldtimes"),
        "keys": ({"GET"}, "get_keys"),
        "key": ({"GET", "HEAD", "POST", "DELETE"}, "key"),
        "keyvalues": ({"GET", "POST"}, "keyvalues"),
        "query": ({"GET", "POST"}, "query"),
    }

    def __init__(self, repo: Repo, name: str) -> None:
        super().__init__(repo, name)
        self.records: Versioned[dict[int, Record]] = Versioned({})
        self.forgotten_fields = True
        """Whether `/fields` names a field that no record has any more by an empty string."""
        self.refuses: Callable[[int, Record], str] = lambda body, record: ""
        """Words with which a record of a POST is refused (a schema); those before it in the batch stay written."""

    # --- for tests --------------------------------------------------------------------------------------------------

    def set(
        self,
        uuid: str,
        records: Mapping[int, Mapping[str, Any]],
        *,
        user: str = "annotator",
        time: str | datetime | None = None,
        replace: bool = False,
    ) -> None:
        """Merge fields into the records of bodies, as a user at a time (RFC3339; default: now)."""
        with self.repo.lock:
            node = self.repo.open_node(uuid)
            for body, fields in records.items():
                self._write(node, body, dict(fields), user, time, replace=replace)

    def set_raw(self, uuid: str, body: int, record: Record | None) -> None:
        """Put a record exactly as given (without companions, say); None deletes it."""
        with self.repo.lock:
            records = self.records.changing(self.repo.open_node(uuid))
            if record is None:
                records.pop(body, None)
            else:
                records[body] = {"bodyid": body, **record}

    def get(self, uuid: str, body: int) -> Record | None:
        """A whole record, companions included."""
        return self.records.at(self.repo.node(uuid)).get(body)

    def _write(
        self, node: DagNode, body: int, fields: Record, user: str, time: str | datetime | None, *, replace: bool
    ) -> None:
        stamp = time if isinstance(time, str) else rfc3339(time or self.repo.graph.clock.read())
        records = self.records.changing(node)
        old = {} if replace else records.get(body, {})
        new = dict(old, bodyid=body)
        for name, value in fields.items():
            if name == "bodyid" or (name in old and old[name] == value):
                continue
            new[name] = value
            if not name.endswith(COMPANIONS):
                new[f"{name}_user"] = fields.get(f"{name}_user", user)
                new[f"{name}_time"] = fields.get(f"{name}_time", stamp)
        records[body] = new

    # --- over HTTP --------------------------------------------------------------------------------------------------

    def get_all(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """All records with something in them, in no particular order."""
        shown = [shown_part(request, record) for record in self.records.at(node).values()]
        only_ids = request.args.get("fields") == "bodyid"
        found = [record for record in shown if only_ids or set(record) != {"bodyid"}]
        if self.dvid.shuffle:
            found = found[len(found) // 2 :] + found[: len(found) // 2]
        reply = json_reply(found if found or self.dvid.abilities.empty_lists else None)
        if "gzip" in request.headers.get("accept-encoding", ""):
            reply.body = gzip.compress(bytes(reply.body), 1)  # type: ignore[arg-type]
            reply.headers["Content-Encoding"] = "gzip"
        return reply

    def get_fields(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The names of fields, or how often each occurs."""
        counts = Counter(name for record in self.records.at(node).values() for name in record)
        if request.flag("counts"):
            return json_reply(dict(counts))
        return json_reply([*counts, ""] if self.forgotten_fields and counts else [*counts])

    def get_fieldtimes(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The last time of each field, for the newest version of master only."""
        if node is not self.repo.leaf(""):
            raise Refusal("fieldtimes needs a version that is held in memory")
        times: dict[str, str] = {}
        for record in self.records.at(node).values():
            for name, value in record.items():
                field = name.removesuffix("_time")
                if name.endswith("_time") and field in record:
                    times[field] = max(times.get(field, value), value, key=datetime.fromisoformat)
        return json_reply(times)

    def get_keys(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The bodies, as strings."""
        keys = sorted(map(str, self.records.at(node)))
        return json_reply(keys if keys or self.dvid.abilities.empty_lists else None)

    def key(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """One record: read, merge into, delete."""
        body = body_id(argument(rest, 0, "a key"))
        if request.method == "POST":
            self._post(request, node, [(body, request.json())])
            return Reply()
        if request.method == "DELETE":
            self.records.changing(node).pop(body, None)
            return Reply()
        record = self.records.at(node).get(body)
        if record is None:
            raise Refusal(f'Key "{body}" not found', 404)
        return json_reply(shown_part(request, record))

    def keyvalues(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """Many records; the JSON form leaves missing ones out, the others answer with empty values."""
        if request.method == "POST":
            pairs = framing.pairs_of(request.body)
            self._post(request, node, [(body_id(key), json.loads(value)) for key, value in pairs])
            return Reply()
        records = self.records.at(node)
        in_json = request.flag("json") or wants_tar(request)
        keys = [str(key) for key in request.json()] if in_json else framing.keys_of(request.body)
        pairs = [
            (key, json_reply(shown_part(request, records[body_id(key)])).body if body_id(key) in records else b"")
            for key in keys
        ]
        if request.flag("json"):
            return Reply(framing.json_stream([pair for pair in pairs if pair[1]]), "application/json")
        if wants_tar(request):
            return Reply(framing.tar_stream(pairs), "application/tar")
        return Reply(framing.pairs_message(pairs))

    def query(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The records that match any of some objects, each of which asks for all of its fields."""
        wanted = request.json()
        objects = wanted if isinstance(wanted, list) else [wanted]
        found = [r for r in self.records.at(node).values() if any(matches(r, one) for one in objects)]
        if request.flag("onlyid"):
            return json_reply([record["bodyid"] for record in found])
        return json_reply([shown_part(request, record) for record in found])

    def _post(self, request: Request, node: DagNode, pairs: list[tuple[int, Record]]) -> None:
        user = request.args.get("u")
        if not user:
            raise Refusal("cannot alter neuronjson data without a valid user")
        kept = {name for name in request.args.get("conditional", "").split(",") if name}
        for body, fields in pairs:
            if body == 0:
                raise Refusal("body id 0 is not allowed")
            if words := self.refuses(body, fields):
                raise Refusal(words)
            old = self.records.at(node).get(body, {})
            new = {name: value for name, value in fields.items() if name not in kept or name not in old}
            self._write(node, body, new, user, None, replace=request.flag("replace"))


def body_id(key: Any) -> int:
    """A body id from a key."""
    try:
        return int(key)
    except ValueError as error:
        raise Refusal(f"neuronjson keys must be body ids: {key!r}") from error


def shown_part(request: Request, record: Record) -> Record:
    """A record without the companions, unless `show` asks for them, and with the fields that `fields` asks for.

    A field that merely ends like a companion is hidden with them: the server knows no better.
    """
    show = request.args.get("show", "")
    hidden = {"all": (), "user": ("_time",), "time": ("_user",)}.get(show, COMPANIONS)
    wanted = {name for name in request.args.get("fields", "").split(",") if name}
    if wanted:
        wanted |= {name + end for name in wanted for end in COMPANIONS}
    return {
        name: value
        for name, value in record.items()
        if name == "bodyid" or (not name.endswith(hidden or "\0") and (not wanted or name in wanted))
    }


def matches(record: Record, wanted: Record) -> bool:
    """Whether a record fulfils every field of a query object."""
    return all(any(fulfils(record, name, one) for one in as_list(value)) for name, value in wanted.items())


def as_list(value: Any) -> list[Any]:
    """A value or alternatives, as a list."""
    return value if isinstance(value, list) else [value]


def fulfils(record: Record, name: str, wanted: Any) -> bool:
    """Whether a field has a value, or fits `re/...` at its start, or `exists/0`, `exists/1`."""
    if wanted in ("exists/0", "exists/1"):
        return (record.get(name) not in (None, "")) == (wanted == "exists/1")
    values = as_list(record.get(name)) if name in record else []
    if isinstance(wanted, str) and wanted.startswith("re/"):
        return any(isinstance(value, str) and re.match(wanted[3:], value) for value in values)
    return wanted in values
