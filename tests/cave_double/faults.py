"""What may go wrong between a client and the services, switchable by path and occurrence.

To the faults of any HTTP server (statuses, cuts, stalls, redirects: `tests.dvid_double.faults`) come those in which
these services fail: pages of a proxy, statuses inside of a 500, the login page, a limiter.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from tests.cave_double.replies import HTML, Reply, Request, hidden, json_reply
from tests.dvid_double.faults import Answer, CutHere, Fault, Faults

LOGIN_PAGE = "<!doctype html><html><head><title>Sign in</title></head><body>Log in with Google</body></html>"


@dataclass
class Instead:
    """A reply (None: a closed connection) in the place of the honest answer, with or without what that would do."""

    fault: Fault
    reply: Reply | None
    done: bool


class ServiceFaults(Faults):
    """The faults that are switched on; each method returns the `Fault`, whose `hits` count how often it struck."""

    def __init__(self) -> None:
        super().__init__()
        self._instead: list[Instead] = []

    def clear(self) -> None:
        """All is well again."""
        super().clear()
        with self._lock:
            self._instead.clear()

    def answered(
        self,
        reply: Reply | None,
        path: str = "",
        *,
        done: bool = False,
        times: int | None = 1,
        skip: int = 0,
        method: str | None = None,
    ) -> Fault:
        """Answer with a reply of the test's own (None: close the connection); with `done`, do first what is asked."""
        fault = Fault("answered", path, times, skip, method)
        with self._lock:
            self._instead.append(Instead(fault, reply, done))
        return fault

    def html(self, code: int, path: str = "", *, title: str = "", **when: Any) -> Fault:
        """The page of a proxy in front of the service (502, 503, 504, 413 of nginx)."""
        return self.answered(_page(code, title), path, **when)

    def hidden(self, code: int, words: str, path: str = "", **when: Any) -> Fault:
        """A 500 in whose message the real status hides."""
        return self.answered(hidden(code, words).reply, path, **when)

    def limited(self, path: str = "", *, retry_after: int | None = None, **when: Any) -> Fault:
        """429 of the limiter of MaterializationEngine; with or without the time to wait."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        reply = json_reply({"code": 429, "message": "429 Too Many Requests: 10 per 1 minute"}, 429, headers)
        return self.answered(reply, path, **when)

    def login(self, path: str = "", *, page: bool = False, to: str = "/sticky_auth/login", **when: Any) -> Fault:
        """A redirect to the login page, or (with `page`) the page itself under status 200."""
        if page:
            return self.answered(Reply(LOGIN_PAGE.encode(), HTML), path, **when)
        return self.answered(Reply(b"", HTML, 302, {"Location": to}), path, **when)

    def lost_answer(self, path: str = "", **when: Any) -> Fault:
        """Do what is asked, then close the connection before a byte of the answer: nobody knows that it was done."""
        return self.answered(None, path, done=True, **when)

    def unavailable_after(self, path: str = "", *, code: int = 503, **when: Any) -> Fault:
        """Do what is asked, then let the proxy answer 503: to repeat the request is to do it twice."""
        return self.answered(_page(code, "Service Temporarily Unavailable"), path, done=True, **when)

    def applied(self, request: Request, answer: Answer, stopping: threading.Event) -> Reply:
        """The answer to a request with the faults that strike it."""

        def mine(request: Request) -> Reply:
            with self._lock:
                striking = [instead for instead in self._instead if instead.fault.strikes(request)]
            reply = answer(request) if not striking or striking[0].done else None
            if not striking:
                return reply  # type: ignore[return-value]
            if striking[0].reply is None:
                raise CutHere
            return striking[0].reply

        return super().applied(request, mine, stopping)


def _page(code: int, title: str) -> Reply:
    head = f"<html><head><title>{code} {title}</title></head>"
    body = f"<body><center><h1>{code} {title}</h1></center><hr><center>nginx</center></body></html>"
    return Reply(f"{head}\n{body}\n".encode(), "text/html", code)
