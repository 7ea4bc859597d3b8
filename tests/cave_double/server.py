"""The services of one CAVE deployment as a test sees them: data, accounts, and who answers which request."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from tests.cave_double.accounts import SERVICE_TOKEN, Accounts, User, auth_call, error
from tests.cave_double.annotation import annotation_call
from tests.cave_double.clock import Clock
from tests.cave_double.datastacks import AlignedVolume, Datastack
from tests.cave_double.faults import LOGIN_PAGE, ServiceFaults
from tests.cave_double.graph import ChunkedGraph
from tests.cave_double.graph_calls import graph_call, graph_error, segmentation_info
from tests.cave_double.info import info_call
from tests.cave_double.materialize import materialize_call
from tests.cave_double.replies import Refusal, Reply, Request, hidden, json_reply, plain
from tests.cave_double.schemas import schema_call
from tests.cave_double.serving import ServiceHandler
from tests.cave_double.states import States, state_call
from tests.http_double import HttpDouble

QUERY_LIMIT = 200_000

VERSIONS = {
    "/info/api/versions": [2],
    "/annotation/api/versions": [2],
    "/materialize/api/versions": [2, 3],
    "/segmentation/api/versions": [0, 1],
    "/schema/versions": [2],
    "/info/version": "4.3.1",
    "/materialize/version": "5.26.4",
    "/segmentation/api/version": "2.21.1",
}
"""What the services say of themselves (2.2); a test may change or remove an entry."""


class CaveDouble(HttpDouble):
    """The global and the local services of a deployment, in memory, at one address.

        with CaveDouble() as cave:
            stack = cave.new_datastack("minnie65_phase3_v0", "minnie65_phase3")
            nuclei = stack.volume.new_table("nuclei", "nucleus_detection")
            version = stack.freeze()
            requests.get(f"{cave.url}/info/api/v2/datastacks", headers={"Authorization": f"Bearer {cave.token}"})

    `requests` lists what was asked; `faults` makes it misbehave; `after` and `before` change its data at a point of
    the conversation; `accounts` says who may do what; `query_limit` is the most rows of an answer; `versions` is what
    the services say of themselves.
    """

    handler = ServiceHandler

    def __init__(self, *, port: int = 0, log: bool = True) -> None:
        super().__init__(ServiceFaults(), port=port, log=log)
        self.lock = threading.RLock()
        self.clock = Clock()
        self.accounts = Accounts()
        self.token = self.accounts.add(SERVICE_TOKEN, admin=True)
        self.volumes: dict[str, AlignedVolume] = {}
        self.datastacks: dict[str, Datastack] = {}
        self.graphs: dict[str, ChunkedGraph] = {}
        self.states = States()
        self.versions: dict[str, Any] = dict(VERSIONS)
        self.query_limit = QUERY_LIMIT
        self.shuffle = True
        """Whether what has no order comes in a changed one."""
        self._dice = np.random.default_rng(7)

    # --- data -------------------------------------------------------------------------------------------------------

    def new_volume(self, name: str) -> AlignedVolume:
        """An aligned volume without tables."""
        self.volumes[name] = AlignedVolume(name, len(self.volumes) + 1, self.clock)
        return self.volumes[name]

    def new_datastack(self, name: str, volume: str | None = None, graph: str | None = None, **record: Any) -> Datastack:
        """A datastack over a volume (default: of its name) and a chunkedgraph, both made if there are none.

        Keywords replace or add entries of its record: `synapse_table=`, `soma_table=`, `local_server=`, ...
        """
        volume, graph = volume or name, graph or f"{name}_graph"
        if volume not in self.volumes:
            self.new_volume(volume)
        if graph not in self.graphs:
            self.graphs[graph] = ChunkedGraph(graph, self.clock)
        stack = Datastack(name, self.volumes[volume], self.graphs[graph])
        stack.record = record
        self.datastacks[name] = stack
        return stack

    def in_any_order(self, things: Iterable[Any]) -> list[Any]:
        """What has no order, in one that is never the sorted one for long."""
        found = list(things)
        return [found[i] for i in self._dice.permutation(len(found))] if self.shuffle else found

    # --- answers ----------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        """The honest answer to a request; may raise `Refusal`."""
        path = request.path.rstrip("/")
        if path in VERSIONS:
            return json_reply(self.versions[path]) if path in self.versions else plain("404 Not Found", 404)
        match request.segments:
            case ["sticky_auth", *_]:
                return plain(LOGIN_PAGE)
            case ["auth", "api", "v1", *rest]:
                return auth_call(self.accounts, request, rest)
            case ["schema", "api", "v2", *rest]:
                return schema_call(request, rest)
            case ["nglstate", "api", "v1", *rest]:
                user = self.accounts.user(request)
                return state_call(self.states, self.url, request, rest, admin=user.admin)
            case ["info", "api", "v2", *rest]:
                return info_call(self, self.accounts.user(request), request, rest)
            case ["materialize", "api", ("v2" | "v3") as api, "datastack", name, *rest]:
                self.accounts.check(request, name)
                return materialize_call(self, self._datastack(name), request, int(api[1]), rest)
        with self.lock:
            return self._edited(request)

    def _edited(self, request: Request) -> Reply:
        """The answer of a service whose data requests change; frozen versions answer several at a time."""
        match request.segments:
            case ["annotation", "api", "v2", "aligned_volume", name, *rest]:
                user = self.accounts.check(request, name, right(request))
                return annotation_call(self._volume(name), user, request, rest)
            case ["segmentation", "table", name, "info"]:
                return json_reply(segmentation_info(self._graph(name, request)))
            case ["segmentation", "api", "v1", "table", name, *rest]:
                return graph_call(self._graph(name, request), request, rest)
        return plain("<!doctype html>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n", 404)

    def _volume(self, name: str) -> AlignedVolume:
        if name not in self.volumes:
            raise hidden(400, f"aligned volume {name} not found")
        return self.volumes[name]

    def _datastack(self, name: str) -> Datastack:
        if name not in self.datastacks:
            raise Refusal(json_reply({"message": f"datastack {name} not found"}, 404))
        return self.datastacks[name]

    def _graph(self, name: str, request: Request) -> ChunkedGraph:
        user: User = self.accounts.user(request)
        if name not in self.graphs:
            if self.accounts.required:
                raise error(400, "invalid_table_id", f"Invalid table_id for service: {name}")
            raise graph_error(404, f"table {name} not found")
        stacks = [stack.name for stack in self.datastacks.values() if stack.graph.name == name]
        if stacks and not any(user.may("view", stack) for stack in stacks):
            self.accounts.check(request, stacks[0])
        return self.graphs[name]


def right(request: Request) -> str:
    """The permission that a request to the annotation service needs."""
    return "view" if request.method == "GET" else "edit"
