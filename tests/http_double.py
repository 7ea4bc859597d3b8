"""An HTTP server in a thread, with faults, hooks and a log of what was asked; what it answers is up to the doubles."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from tests.dvid_double.replies import Request
from tests.dvid_double.transport import Handler, Server


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


class HttpDouble:
    """Life cycle, hooks and the log of requests of a double.

    `requests` lists what was asked; `faults` makes it misbehave; `after`, `before` and `midway` change its data at a
    point of the conversation.  A mistake of the double itself answers 500 and is raised when the `with` block ends.
    """

    handler: type[Handler] = Handler

    def __init__(self, faults: Any, *, port: int = 0, log: bool = True) -> None:
        self.faults = faults
        self.log = log
        self.requests: list[Request] = []
        self.crashes: list[str] = []
        self.stopping = threading.Event()
        self.connections = itertools.count(1)
        self._hooks: list[Hook] = []
        self._hooks_lock = threading.Lock()
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._restart: threading.Thread | None = None
        self._port = port

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
        self._server = Server(("127.0.0.1", self._port), self.handler, self)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="double", daemon=True)
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

        self._restart = threading.Thread(target=away, name="double-restart", daemon=True)
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
