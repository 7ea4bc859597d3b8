"""An HTTP server in a thread, with faults, hooks and a log of what was asked; what it answers is the subclass's."""

from __future__ import annotations

import abc
import itertools
import re
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Self

from tests.cave_double.faults import ServiceFaults
from tests.cave_double.replies import Refusal, Reply, Request
from tests.dvid_double.server import Hook
from tests.dvid_double.transport import Handler, Server


class ServiceHandler(Handler):
    """The transport of the DVID double with answers of another server."""

    def _reply(self, request: Request) -> Reply:
        """The honest answer, errors included."""
        services: Any = self.server.dvid
        try:
            return services.answer(request)
        except Refusal as refusal:
            return refusal.reply
        except Exception:  # noqa: BLE001 - a mistake of the double must be seen by the test, not by its client only
            services.crashes.append(f"{request.method} {request.path}\n{traceback.format_exc()}")
            return Reply(b"the double itself failed\n", "text/plain", 500)


class HttpDouble(abc.ABC):
    """Life cycle, hooks and the log of requests.

    A mistake of the double itself answers 500 and is raised when the `with` block ends.
    """

    def __init__(self, *, port: int = 0, log: bool = True) -> None:
        self.faults = ServiceFaults()
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

    @abc.abstractmethod
    def answer(self, request: Request) -> Reply:
        """The honest answer to a request; may raise `Refusal`."""

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
        self._server = Server(("127.0.0.1", self._port), ServiceHandler, self)  # type: ignore[arg-type]
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="cave", daemon=True)
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

        self._restart = threading.Thread(target=away, name="cave-restart", daemon=True)
        self._restart.start()

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
        """Run a function after the k-th request from now (from 1) whose path matches, before its answer is sent.

        The client cannot send its next request sooner, so the order is certain.  `path` is a regular expression that
        is searched for; without it every request counts.
        """
        self._hooks.append(Hook(k, function, path, "after"))

    def before(self, k: int, function: Callable[[], Any], path: str | None = None) -> None:
        """Run a function when the k-th request that matches has arrived, before it is looked at."""
        self._hooks.append(Hook(k, function, path, "before"))

    def due(self, request: Request) -> list[Hook]:
        """The hooks that wait for this request; each is given out once."""
        with self._hooks_lock:
            return [hook for hook in self._hooks if hook.due(request)]

    # --- what was asked ---------------------------------------------------------------------------------------------

    def asked(self, pattern: str = "", method: str | None = None) -> list[Request]:
        """The requests whose path matches a regular expression (searched for), in order of arrival."""
        return [r for r in self.requests if re.search(pattern, r.path) and method in (None, r.method)]

    def most_at_once(self, pattern: str = "") -> int:
        """The greatest number of matching requests that were in flight together."""
        events = [
            event
            for request in self.asked(pattern)
            for event in ((request.started, 1), (request.ended or float("inf"), -1))
        ]
        return max(itertools.accumulate((step for _, step in sorted(events)), initial=0))
