"""Requests to a DVID server: sessions, retries, proof that an answer is whole, and no secret in any message."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from threading import Lock
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlencode

import requests
from urllib3.exceptions import HTTPError

from flyem_snapshot.sources.dvid.failures import DvidError, Incomplete, Missing
from flyem_snapshot.sources.dvid.parallel import TRIES, in_parallel
from flyem_snapshot.sources.dvid.secrets import (
    ADMIN_VARIABLE,
    TOKEN_VARIABLE,
    admin_token,
    bearer_token,
    guard_library_logs,
    redacted,
)
from flyem_snapshot.sources.dvid.sessions import APP, address_of, is_broken, login, new_session, plainly

__all__ = ["DvidClient", "DvidError", "Incomplete", "Missing", "require_list", "require_object"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Check = Callable[[Any], None]

CHUNK: Final = 1 << 20
_WORDS: Final = 2048
_NONE: Final[Mapping[str, str]] = {}
_UNREACHABLE: Final = "check the server's address, and whether this machine may reach it"


class DvidClient:
    """One DVID server, for any number of threads.

    `server` is its address (`http://` if it names no scheme); `user` is the name under which it logs our requests;
    `timeout` is the longest silence within an answer and `connect_timeout` the time for a host to take the call, in
    seconds; `threads` is the number of requests at a time; `pause`, in seconds, is what growing pauses begin with.
    A bearer token is taken from DVID_TOKEN; the admin token of DVID_ADMIN_TOKEN goes with `post(admin=True)` only.

    A GET is repeated after a connection that fails (5 times) and after 502, 503 or 504 (4 times, with growing
    pauses, or those of Retry-After), after a timeout or a 500 (once), and after an answer that breaks off or proves
    incomplete (twice).  Every other status is final.  All methods raise DvidError; 404 is Missing.
    """

    def __init__(
        self,
        server: str,
        *,
        user: str | None = None,
        timeout: float = 300.0,
        connect_timeout: float = 10.0,
        threads: int = 8,
        pause: float = 0.5,
    ) -> None:
        self.server = address_of(server)
        self.user = user or login()
        self.timeout, self.connect_timeout = timeout, connect_timeout
        self.threads, self.pause = max(1, threads), pause
        self._idle: deque[requests.Session] = deque()
        self._locks: dict[str, Lock] = {}
        self._warned: set[str] = set()
        self.logs: dict[tuple[str, str], bytes] = {}
        """Mutation logs of locked nodes, compressed, by data uuid and uuid: they cannot change any more."""
        guard_library_logs()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that lie idle; the client may be used again."""
        while self._idle:
            self._idle.pop().close()

    def json(
        self,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] = _NONE,
        check: Check | None = None,
        hashed: bool = False,
        tries: int = TRIES,
    ) -> Any:
        """What the JSON at `path` (such as `api/server/info`) says; a `body` is sent as JSON, `hashed` with its md5.

        `check` gets the parsed value and raises Incomplete if it cannot be the whole answer.
        """
        parsed: list[Any] = []

        def parse(content: bytes) -> None:
            try:
                parsed.append(json.loads(content))
            except (ValueError, RecursionError) as error:
                raise Incomplete(f"it is not the JSON that was asked for: {_excerpt(content)}") from error
            if check:
                check(parsed[-1])

        self.content(path, body=body, params=params, check=parse, hashed=hashed, tries=tries)
        return parsed[-1]

    def content(
        self,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] = _NONE,
        check: Check | None = None,
        hashed: bool = False,
        tries: int = TRIES,
    ) -> bytes:
        """The whole answer at `path`.  `body` is sent as it is if it is bytes, else as JSON; `hashed` with its md5.

        The server may append an error's text to a body, or stop in the middle, and still say 200 (OK): `check` gets
        the body and raises Incomplete unless it is whole.
        """
        request = self._request("GET", path, params, _encoded(body), hashed=hashed)

        def ask() -> bytes:
            with self._session() as session:
                content = self._answer(session, request)
            if check:
                check(content)
            return content

        return self._tried(request, ask, tries)

    @contextmanager
    def stream(self, path: str, *, params: Mapping[str, str] = _NONE) -> Iterator[Iterator[bytes]]:
        """The answer at `path` in chunks of about 1 MB; the iterator raises Incomplete where the body breaks off.

        To begin again is up to the reader, who knows what to throw away.
        """
        request = self._request("GET", path, params, None)
        with self._session() as session:
            response = self._tried(request, lambda: self._response(session, request, stream=True), TRIES)
            try:
                yield _chunks(response)
            finally:
                response.close()

    def post(
        self, path: str, *, body: bytes, params: Mapping[str, str] = _NONE, admin: bool = False, retry: bool = False
    ) -> bytes:
        """Send a body and return the answer.  `admin` adds the admin token, with which locked nodes may be changed.

        A POST is sent once, unless `retry` says that sending it again does no harm.
        """
        request = self._request("POST", path, params, body, admin=admin)
        if retry:
            with self._session() as session:
                return self._tried(request, lambda: self._answer(session, request), TRIES)
        # On a connection of its own: one that lay idle may be dead, and nobody could say what was sent through it.
        with new_session(self.pause, writes=True) as session:
            return self._tried(request, lambda: self._answer(session, request), 1)

    def in_parallel(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """The results in the order of the items, by `threads` workers, at most twice as many in flight.

        The first failure stops all and is raised.
        """
        return in_parallel(function, items, self.threads)

    def server_info(self) -> dict[str, str]:
        """What the server says of itself, such as `DVID Version`; only for the record, never to decide on."""
        info = self.json("api/server/info", check=require_object)
        return {str(key): str(value) for key, value in info.items()}

    def error(self, path: str, problem: str, *, hint: str = "") -> DvidError:
        """An error, for the caller to raise, about an answer that is whole but not what it should be."""
        return DvidError("GET", f"{self.server}/{path}", problem, hint=hint)

    def lock(self, path: str) -> Lock:
        """The lock of a path that must not be asked for twice at a time."""
        return self._locks.setdefault(path, Lock())

    def warn_once(self, message: str) -> None:
        """Log a warning, unless this client has said the same before."""
        if message not in self._warned:
            self._warned.add(message)
            logger.warning("%s", message)

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: bytes | None,
        *,
        admin: bool = False,
        hashed: bool = False,
    ) -> _Request:
        shown = f"{self.server}/{path}" + (f"?{urlencode(params)}" if params else "")
        if not (bearer_token().isascii() and bearer_token().isprintable()):
            problem = f"the token in {TOKEN_VARIABLE} has characters that cannot be sent"
            raise DvidError(method, shown, problem, hint="a token is one word of one line")
        added = {"u": self.user, "app": APP, "interactive": "false"}
        if admin:
            if not admin_token():
                hint = f"set the environment variable {ADMIN_VARIABLE}"
                raise DvidError(method, shown, "this needs the server's admin token", hint=hint)
            added["admintoken"] = admin_token()
        if hashed and body is not None:
            # Some proxies drop the body of a GET; the server compares, so that they are found out.
            added["hash"] = md5(body, usedforsecurity=False).hexdigest()
        return _Request(method, f"{self.server}/{path}", {**params, **added}, body, shown)

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
        """A session that no other thread uses meanwhile."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = new_session(self.pause)
        try:
            yield session
        finally:
            self._idle.append(session)

    def _answer(self, session: requests.Session, request: _Request) -> bytes:
        return self._response(session, request).content

    def _response(self, session: requests.Session, request: _Request, *, stream: bool = False) -> requests.Response:
        response = session.request(
            request.method,
            request.url,
            params=request.params,
            data=request.body,
            headers={"Content-Type": "application/octet-stream"} if request.body is not None else None,
            timeout=(self.connect_timeout, self.timeout),
            allow_redirects=False,  # a redirect would take the tokens along
            stream=stream,
        )
        if response.status_code not in (200, 201, 202, 204):
            try:
                failure = request.refused(response)
            finally:
                response.close()
            raise failure
        return response

    def _tried(self, request: _Request, ask: Callable[[], R], tries: int) -> R:
        """What `ask` returns, after at most `tries` tries; every failure becomes a DvidError without secrets."""
        count = 1
        while True:
            try:
                return ask()
            except (Incomplete, requests.RequestException, HTTPError) as error:
                failure, most = self._judged(request, error, count)
            except DvidError as error:
                failure, most = error.after(count), {500: 2, 206: TRIES}.get(error.status or 0, 1)
            # Raised here, outside of `except`: the library's own exception would come along, and holds the secrets.
            if count >= min(most, tries):
                raise failure
            logger.warning("%s; trying again", failure.message)
            time.sleep(self.pause * 2**count)
            count += 1

    def _judged(self, request: _Request, error: Exception, count: int) -> tuple[DvidError, int]:
        """What a failure means, and how often to try in all."""
        if isinstance(error, Incomplete):
            return request.error(f"the answer was incomplete: {error}", tries=count, transient=True), TRIES
        if isinstance(error, requests.ConnectTimeout):
            return request.error(f"no connection within {self.connect_timeout:g} s", hint=_UNREACHABLE), 1
        if isinstance(error, requests.Timeout):
            hint = "the server is slow or busy; a longer timeout may help"
            problem = f"no answer within {self.timeout:g} s"
            return request.error(problem, tries=count, hint=hint, transient=True), 2
        if is_broken(error):
            return request.error(f"the answer broke off: {plainly(error)}", tries=count, transient=True), TRIES
        return request.error(plainly(error), hint=_UNREACHABLE), 1


@dataclass(frozen=True)
class _Request:
    """One request; `shown` is its URL without what we add to every one, and without secrets."""

    method: str
    url: str
    params: Mapping[str, str]
    body: bytes | None
    shown: str

    def error(self, problem: str, *, tries: int = 1, hint: str = "", transient: bool = False) -> DvidError:
        if self.method == "POST" and transient:
            hint = "whether the server has done it is unknown; look before you send it again"
        return DvidError(self.method, self.shown, problem, tries=tries, hint=hint, transient=transient)

    def refused(self, response: requests.Response) -> DvidError:
        """The error for an answer whose status is no success, with the first 2 kB of what the server says."""
        status = response.status_code
        words = _words(response)
        retries = getattr(response.raw, "retries", None)
        kind = Missing if status == 404 else DvidError
        return kind(
            self.method,
            self.shown,
            "the server says" if words else "the server gives no reason",
            status=status,
            tries=len(retries.history) + 1 if retries else 1,
            hint=self._hint(status, words, redacted(response.headers.get("Location", ""))),
            words=words,
            transient=status == 206 or status >= 500,
        )

    def _hint(self, status: int, words: str, location: str) -> str:
        if status in (401, 403) or (status == 400 and "JWT" in words):
            return "the environment variable DVID_TOKEN must hold a token that this server accepts"
        if status == 429:
            return f"the server blocks user '{self.params['u']}' or this machine; its administrator knows why"
        if 300 <= status < 400 and location:
            return f"it points to {location}, and redirects are not followed; give the address behind it as the server"
        if status == 400 and "hash" in self.params:
            return "if it complains of a hash or of missing JSON, a proxy on the way drops the bodies of GET requests"
        return ""


def require_object(value: Any) -> None:
    """A check: the JSON must be an object."""
    if not isinstance(value, dict):
        raise Incomplete(f"a JSON object was expected, not {_excerpt(json.dumps(value).encode())}")


def require_list(value: Any) -> None:
    """A check: the JSON must be a list."""
    if not isinstance(value, list):
        raise Incomplete(f"a JSON list was expected, not {_excerpt(json.dumps(value).encode())}")


def _chunks(response: requests.Response) -> Iterator[bytes]:
    failure = ""
    try:
        yield from response.iter_content(CHUNK)
    except (requests.RequestException, HTTPError) as error:
        failure = plainly(error)
    if failure:
        raise Incomplete(f"the answer broke off: {failure}")


def _words(response: requests.Response) -> str:
    try:
        content = next(response.iter_content(_WORDS), b"")
    except (requests.RequestException, HTTPError):
        return ""
    return content[:_WORDS].decode("utf-8", "replace")


def _excerpt(content: bytes) -> str:
    """The end of a body, which is where an appended error or a cut shows."""
    text = content[-160:].decode("utf-8", "replace")
    return f"{len(content):,} bytes that end with {text!r}" if content else "nothing"


def _encoded(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return json.dumps(body, separators=(",", ":")).encode()
