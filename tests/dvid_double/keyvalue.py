"""Values by key (skeletons, meshes, body annotations of old repositories)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from tests.dvid_double import framing
from tests.dvid_double.graph import DagNode, Repo, Versioned
from tests.dvid_double.instances import Instance, argument
from tests.dvid_double.replies import Refusal, Reply, Request, json_reply


class KeyValue(Instance):
    """An instance of type keyvalue."""

    typename = "keyvalue"
    endpoints: ClassVar[dict[str, tuple[set[str], str]]] = {
        "keys": ({"GET"}, "get_keys"),
        "keyrange": ({"GET"}, "get_keyrange"),
        "key": ({"GET", "HEAD", "POST", "DELETE"}, "key"),
        "keyvalues": ({"GET", "POST"}, "keyvalues"),
        "keyrangevalues": ({"GET"}, "get_keyrangevalues"),
    }

    def __init__(self, repo: Repo, name: str) -> None:
        super().__init__(repo, name)
        self.values: Versioned[dict[str, bytes]] = Versioned({})

    # --- for tests --------------------------------------------------------------------------------------------------

    def set(self, uuid: str, values: Mapping[str, Any] | str, value: Any = None) -> None:
        """Put values: bytes as they are, text in UTF-8, anything else as JSON."""
        pairs = {values: value} if isinstance(values, str) else values
        with self.repo.lock:
            self.values.changing(self.repo.open_node(uuid)).update({k: encoded(v) for k, v in pairs.items()})

    def delete(self, uuid: str, key: str) -> None:
        """Take a key away."""
        with self.repo.lock:
            self.values.changing(self.repo.open_node(uuid)).pop(key, None)

    def get(self, uuid: str, key: str) -> bytes | None:
        """A value as it stands at a node."""
        return self.values.at(self.repo.node(uuid)).get(key)

    # --- over HTTP --------------------------------------------------------------------------------------------------

    def get_keys(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """All keys, in byte order."""
        return json_reply(in_order(self.values.at(node)))

    def get_keyrange(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The keys from the first to the last, both included."""
        return json_reply(self._between(node, rest))

    def get_keyrangevalues(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The values of a range, in one of the three forms; the default is protobuf."""
        values = self.values.at(node)
        return self._framed(request, [(key, values[key]) for key in self._between(node, rest)])

    def key(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """One value: read, ask for, write, delete."""
        key = argument(rest, 0, "a key")
        if request.method == "POST":
            self.values.changing(node)[key] = request.body
            return Reply()
        if request.method == "DELETE":
            self.values.changing(node).pop(key, None)
            return Reply()
        value = self.values.at(node).get(key)
        if value is None:
            raise Refusal(f'Key "{key}" not found', 404)
        return partial(request, value)

    def keyvalues(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """Many values; what is missing comes back empty, in order of the request."""
        if request.method == "POST":
            self.values.changing(node).update(dict(framing.pairs_of(request.body)))
            return Reply()
        values = self.values.at(node)
        return self._framed(request, [(key, values.get(key, b"")) for key in wanted_keys(request)])

    def _between(self, node: DagNode, rest: list[str]) -> list[str]:
        first, last = argument(rest, 0, "a first key").encode(), argument(rest, 1, "a last key").encode()
        return [key for key in in_order(self.values.at(node)) if first <= key.encode() <= last]

    def _framed(self, request: Request, pairs: list[tuple[str, bytes]]) -> Reply:
        if request.flag("json"):
            if request.flag("check") and not all(is_json(value) for _, value in pairs if value):
                raise Refusal("a value is not JSON")
            parts = framing.json_stream(pairs, valid=self.dvid.abilities.valid_json_keyvalues)
            return Reply(parts, "application/json")
        if wants_tar(request):
            if not self.dvid.abilities.tar_keyvalues:
                raise Refusal("unknown query")
            return Reply(framing.tar_stream(pairs), "application/tar")
        return Reply(framing.pairs_message(pairs))


def wants_tar(request: Request) -> bool:
    """Whether the values shall come as a tar."""
    return request.flag("jsontar") or request.flag("tar")


def wanted_keys(request: Request) -> list[str]:
    """The keys in the body: JSON for the JSON and tar forms, protobuf for the default one."""
    if not (request.flag("json") or wants_tar(request)):
        return framing.keys_of(request.body)
    keys = request.json()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Refusal("expected a JSON list of strings")
    return keys


def in_order(keys: Iterable[str]) -> list[str]:
    """Keys by their bytes."""
    return sorted(keys, key=str.encode)


def encoded(value: Any) -> bytes:
    """A value as it is stored."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def is_json(value: bytes) -> bool:
    """Whether a value is a JSON document."""
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


def partial(request: Request, value: bytes) -> Reply:
    """All of a value, or the bytes that a Range asks for."""
    wanted = request.headers.get("range")
    if not wanted:
        return Reply(value)
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
    first = int(found[1]) if found else len(value)
    if first >= len(value):
        raise Refusal("bad range", 416)
    last = min(int(found[2]) if found and found[2] else len(value) - 1, len(value) - 1)
    headers = {"Content-Range": f"bytes {first}-{last}/{len(value)}"}
    return Reply(value[first : last + 1], status=206, headers=headers)
