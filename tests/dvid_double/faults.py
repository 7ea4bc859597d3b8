"""What may go wrong between a client and a server, switchable by path and occurrence."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.dvid_double.replies import Reply, Request

Answer = Callable[[Request], Reply]

PANIC = "Panic detected on request: runtime error: invalid memory address or nil pointer dereference"


class CutHere(Exception):  # noqa: N818 - an order
    """Close the connection now, whatever was promised."""


@dataclass
class Fault:
    """One way of failing, for the next `times` matching requests (None: for ever) after the first `skip` ones."""

    kind: str
    path: str
    times: int | None
    skip: int
    method: str | None
    options: dict[str, Any] = field(default_factory=dict)
    hits: int = 0

    def strikes(self, request: Request) -> bool:
        """Count a request, and say whether the fault hits it."""
        if not re.search(self.path, request.path) or self.method not in (None, request.method):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        return True


class Faults:
    """The faults that are switched on.  `path` is a regular expression that is searched for in the decoded path.

    Each method returns the `Fault`, whose `hits` count how often it struck.
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self,
        kind: str,
        path: str = "",
        *,
        times: int | None = 1,
        skip: int = 0,
        method: str | None = None,
        **options: Any,
    ) -> Fault:
        """Switch on a fault; `kind` is the name of one of the methods below."""
        fault = Fault(kind, path, times, skip, method, options)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """All is well again."""
        with self._lock:
            self._faults.clear()

    def status(
        self, code: int, path: str = "", *, text: str | None = None, retry_after: int | None = None, **when: Any
    ):
        """Answer with a status: 503 while shutting down, 429 for the block list, 401 of a login, ..."""
        return self.add("status", path, code=code, text=text, retry_after=retry_after, **when)

    def panic(self, path: str = "", **when: Any) -> Fault:
        """Answer 500 with the text of a handler that panicked."""
        return self.add("status", path, code=500, text=PANIC, retry_after=None, **when)

    def cut(self, path: str = "", *, after: int | None = None, **when: Any) -> Fault:
        """Close the connection after so many bytes of the body (default: half), with chunked framing."""
        return self.add("cut", path, after=after, **when)

    def reset(self, path: str = "", **when: Any) -> Fault:
        """Close the connection without any answer."""
        return self.add("reset", path, **when)

    def appended(
        self, path: str = "", *, text: str = "Error: input/output error", after: int | None = None, **when: Any
    ):
        """Status 200 and an error text after `after` bytes of the body (default: after all of it): the handler failed
        when it had begun to stream."""
        return self.add("appended", path, text=text, after=after, **when)

    def truncated(self, path: str = "", *, after: int | None = None, **when: Any) -> Fault:
        """Status 200, framing in order, and only the first bytes of the body (default: half): JSON cut, blocks torn."""
        return self.add("truncated", path, after=after, **when)

    def stall(self, path: str = "", *, seconds: float = 60.0, after: int | None = None, **when: Any) -> Fault:
        """Wait before the answer, or after so many bytes of its body; ends early when the server stops."""
        return self.add("stall", path, seconds=seconds, after=after, **when)

    def drop_get_bodies(self, path: str = "", *, times: int | None = None, **when: Any) -> Fault:
        """A proxy that takes the body off GET requests."""
        return self.add("drop_get_bodies", path, times=times, **when)

    def redirect(self, to: str, path: str = "", *, code: int = 307, **when: Any) -> Fault:
        """Send the client to another address."""
        return self.add("redirect", path, to=to, code=code, **when)

    def replaced(self, body: bytes, path: str = "", **when: Any) -> Fault:
        """Status 200 with another body: nonsense, an HTML page of a proxy, ..."""
        return self.add("replaced", path, body=body, **when)

    def changed(self, change: Callable[[bytes], bytes], path: str = "", **when: Any) -> Fault:
        """Status 200 with a body that a function makes of the honest one."""
        return self.add("changed", path, change=change, **when)

    def applied(self, request: Request, answer: Answer, stopping: threading.Event) -> Reply:
        """The answer to a request with the faults that strike it."""
        with self._lock:
            striking = [fault for fault in self._faults if fault.strikes(request)]
        for fault in striking:
            if fault.kind == "drop_get_bodies" and request.method == "GET":
                request = replace(request, body=b"")
        for fault in striking:
            answer = _spoilt(fault, answer, stopping)
        return answer(request)


def _spoilt(fault: Fault, answer: Answer, stopping: threading.Event) -> Answer:
    """An answer with one fault in it."""
    options = fault.options
    match fault.kind:
        case "status":
            return lambda request: _status(request, **options)
        case "reset":
            return _cut_at_once
        case "redirect":
            return lambda _: Reply(b"", status=options["code"], headers={"Location": options["to"]})
        case "stall":
            return lambda request: _stalled(request, answer, stopping, **options)
        case "replaced":
            return lambda _: Reply(options["body"])
        case "cut" | "appended" | "truncated" | "changed":
            return lambda request: _torn(fault, answer(request))
    return answer


def _status(request: Request, code: int, text: str | None, retry_after: int | None) -> Reply:
    words = text if text is not None else f"status {code} on purpose"
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    return Reply(f"{words} ({request.path}).\n".encode(), "text/plain; charset=utf-8", code, headers)


def _cut_at_once(request: Request) -> Reply:
    raise CutHere


def _torn(fault: Fault, reply: Reply) -> Reply:
    """An honest answer of which only a part arrives, or more than there should be."""
    if fault.kind == "changed":
        return replace(reply, body=fault.options["change"](_whole(reply.body)))
    after = fault.options["after"]
    if fault.kind == "appended":
        return replace(reply, body=_parts(reply.body, after, fault.options["text"].encode()))
    if after is None:  # half of it: the whole must be known
        reply = replace(reply, body=_whole(reply.body))
        after = len(reply.body) // 2  # type: ignore[arg-type]
    return replace(reply, body=_parts(reply.body, after, b"", cut=fault.kind == "cut"))


def _whole(body: bytes | Iterable[bytes]) -> bytes:
    return body if isinstance(body, bytes) else b"".join(body)


def _parts(body: bytes | Iterable[bytes], after: int | None, ending: bytes, *, cut: bool = False) -> Iterator[bytes]:
    """The first `after` bytes of a body (all: None), then `ending`, then the end or a cut."""
    left = after
    for part in [body] if isinstance(body, bytes) else body:
        if left is None:
            yield part
            continue
        yield part[:left]
        left -= min(left, len(part))
        if not left:
            break
    if cut:
        raise CutHere
    yield ending


def _stalled(request: Request, answer: Answer, stopping: threading.Event, seconds: float, after: int | None) -> Reply:
    """An answer that comes late, or stops on its way for a while."""
    if after is None:
        stopping.wait(seconds)
        return answer(request)
    reply = answer(request)

    def slowly() -> Iterator[bytes]:
        body = _whole(reply.body)
        yield body[:after]
        yield b""  # it shall have arrived
        stopping.wait(seconds)
        yield body[after:]

    return replace(reply, body=slowly())
