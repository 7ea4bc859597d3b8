"""The server as a test sees it: life cycle, data, hooks, and the log of requests."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from tests.dvid_double.faults import Faults
from tests.dvid_double.graph import Graph, Repo
from tests.dvid_double.replies import Request
from tests.dvid_double.routing import Access
from tests.dvid_double.transport import Handler, Server


@dataclass
class Abilities:
    """What a server of the age in question can do; switch off to get an older one."""

    binary_mappings: bool = True
    retired_mappings: bool = True  # entries with body 0, since 2022
    supervoxel_splits: bool = True
    json_log: bool = True
    branch_versions: bool = True
    steps_back: bool = True  # `:branch~N`
    maxlabel_of_children: bool = True
    valid_json_keyvalues: bool = True
    tar_keyvalues: bool = True
    cleave_sizes: bool = True  # sizes in records of the log
    empty_lists: bool = True  # `[]` where older servers send `null`
    version: str = "v1.0.0-254-g3400c2cb"


@dataclass
class Hook:
    """A function that runs once, at the `k`-th request that matches."""

    k: int
    function: Callable[[], Any]
    path: str | None
    when: str  # before, after, midway
    chunk: int = 0
    seen: int = field(default=0)

    def due(self, request: Request) -> bool:
        """Count a request; True for the one that the hook waits for."""
        if self.path is not None and not re.search(self.path, request.path):
            return False
        self.seen += 1
        return self.seen == self.k


class DvidDouble:
    """A DVID server in memory.

        with DvidDouble() as dvid:
            repo = dvid.new_repo("mushroom")
            seg = repo.labelmap("segmentation", cube)
            requests.get(f"{dvid.url}/api/node/{repo.root}/segmentation/mappings")

    `requests` lists what was asked; `faults` makes it misbehave; `after`, `before` and `midway` change its data at a
    point of the conversation; `abilities` makes it old; `access` says who may read.
    A mistake of the double itself answers 500 and is raised when the `with` block ends.
    """

    def __init__(self, *, admin_token: str | None = None, port: int = 0, log: bool = True) -> None:
        self.graph = Graph(self)
        self.abilities = Abilities()
        self.access = Access(admin_token)
        self.faults = Faults()
        self.log = log
        self.log_pause = 0.002
        """Seconds for which a mutation log is being read, so that two readers at once are found out."""
        self.corrupt_overlapping_logs = True
        self.shuffle = True
        """Whether what has no order comes in a changed one."""
        self.requests: list[Request] = []
        self.crashes: list[str] = []
        self.stopping = threading.Event()
        self._hooks: list[Hook] = []
        self._hooks_lock = threading.Lock()
        self._log_readers: dict[str, int] = {}
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._restart: threading.Thread | None = None
        self._port = port
        self.connections = itertools.count(1)

    # --- life cycle -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        if self._restart is not None:
            self._restart.join()
            self.stop()
        if self.crashes and exc[0] is None:
            raise RuntimeError("the double itself failed:\n" + "\n".join(self.crashes))

    def listen(self) -> None:
        """Begin to answer, on the port of last time if there was one."""
        self.stopping.clear()
        self._server = Server(("127.0.0.1", self._port), Handler, self)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="dvid", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and cut every connection; the data stays."""
        if self._server is None or self._thread is None:
            return
        self.stopping.set()
        server, self._server = self._server, None
        server.shutdown()
        self._thread.join()
        server.cut_connections()
        server.server_close()

    def restart(self, pause: float = 0.5) -> None:
        """Go away now, cutting all connections, and come back on the same port after `pause` seconds.

        May be called from a hook: it does not wait.
        """

        def away() -> None:
            self.stop()
            time.sleep(pause)
            self.listen()

        self._restart = threading.Thread(target=away, name="dvid-restart", daemon=True)
        self._restart.start()

    def wait_until_back(self) -> None:
        """Wait for a `restart` to be over."""
        if self._restart is not None:
            self._restart.join()

    @property
    def port(self) -> int:
        """The TCP port."""
        return self._port

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        return f"http://127.0.0.1:{self._port}"

    # --- data -------------------------------------------------------------------------------------------------------

    @property
    def lock(self) -> threading.RLock:
        """Held while data is read or changed."""
        return self.graph.lock

    @property
    def repos(self) -> list[Repo]:
        """All repositories."""
        return self.graph.repos

    @property
    def clock(self) -> Any:
        """Where times of nodes and mutations come from."""
        return self.graph.clock

    def new_repo(self, alias: str = "repo", *, root: str | None = None) -> Repo:
        """An empty repository with an open root; uuids depend on the alias and the order of creation only."""
        with self.lock:
            self.repos.append(Repo(self.graph, alias, root))
            return self.repos[-1]

    # --- hooks ------------------------------------------------------------------------------------------------------

    def after(self, k: int, function: Callable[[], Any], path: str | None = None) -> None:
        """Run a function after the k-th request from now (from 1) whose path matches, before its answer is complete.

        The client cannot send its next request sooner, so the order is certain.  `path` is a regular expression that
        is searched for; without it every request counts.
        """
        self._hooks.append(Hook(k, function, path, "after"))

    def before(self, k: int, function: Callable[[], Any], path: str | None = None) -> None:
        """Run a function when the k-th request that matches has arrived, before it is looked at."""
        self._hooks.append(Hook(k, function, path, "before"))

    def midway(self, k: int, chunk: int, function: Callable[[], Any], path: str | None = None) -> None:
        """Run a function when `chunk` parts of the streamed answer to the k-th request that matches have been sent."""
        self._hooks.append(Hook(k, function, path, "midway", chunk))

    def due(self, request: Request) -> list[Hook]:
        """The hooks that wait for this request; each is given out once."""
        with self._hooks_lock:
            return [hook for hook in self._hooks if hook.due(request)]

    # --- what was asked ---------------------------------------------------------------------------------------------

    def asked(self, pattern: str = "", method: str | None = None) -> list[Request]:
        """The requests whose path matches a regular expression (searched for), in order of arrival."""
        return [r for r in self.requests if re.search(pattern, r.path) and method in (None, r.method)]

    def overlapping(self, pattern: str) -> list[tuple[Request, Request]]:
        """Pairs of requests for the same matching path that were in flight at the same time."""
        found = self.asked(pattern)
        return [
            (one, two)
            for one, two in itertools.combinations(found, 2)
            if one.path == two.path and two.started < (one.ended or float("inf"))
        ]

    def most_at_once(self, pattern: str = "") -> int:
        """The greatest number of matching requests that were in flight together."""
        events = [
            event
            for request in self.asked(pattern)
            for event in ((request.started, 1), (request.ended or float("inf"), -1))
        ]
        return max(itertools.accumulate((step for _, step in sorted(events)), initial=0))

    @contextlib.contextmanager
    def reading_log(self, key: str) -> Iterator[bool]:
        """Mark a mutation log as being read; True if somebody else reads it too, which spoils it (C.6)."""
        with self._hooks_lock:
            self._log_readers[key] = self._log_readers.get(key, 0) + 1
            crowded = self._log_readers[key] > 1
        try:
            self.stopping.wait(self.log_pause)
            yield crowded or self._log_readers[key] > 1
        finally:
            with self._hooks_lock:
                self._log_readers[key] -= 1
