"""Requests to CAVE services: timeouts, retries that do no harm, and a token that goes to these services only."""

from __future__ import annotations

import json
import logging
import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, MaxRetryError, NameResolutionError, NewConnectionError, ReadTimeoutError

from flyem_snapshot import __version__
from flyem_snapshot.cave.failures import CaveError, TimedOut, TooManyRequests
from flyem_snapshot.cave.pool import abandonable, waited
from flyem_snapshot.cave.refusals import understood

logger = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_WAIT: Final = 120.0
"""Seconds that a service can make us wait before the next try."""

_NEVER_SENT: Final = (requests.exceptions.SSLError, requests.exceptions.ProxyError)
_BREAKS: Final = (
    requests.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    HTTPError,
)
_AWAY: Final = "check the server's address, and whether this machine may reach it"
_UNKNOWN: Final = "whether the service has done it is unknown; look before you send it again"
_NO_FIELDS: Final[Mapping[str, Any]] = {}


class Incomplete(Exception):  # noqa: N818 - it is asked for again
    """An answer that is cut off or garbled; whoever reads an answer raises it."""


@dataclass(frozen=True)
class Call:
    """One request.  `changes` says that it changes something, so that it is sent once, whatever happens."""

    method: str
    url: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    changes: bool = False

    @property
    def query(self) -> str:
        """The parameters as they are sent; commas stay, True is `true`, and None is left out."""
        given = {key: _as_text(value) for key, value in self.params.items() if value is not None}
        return urlencode(given, safe=",:[]", quote_via=quote)

    @property
    def target(self) -> str:
        """The URL with its query."""
        return f"{self.url}?{self.query}" if self.query else self.url

    @property
    def shown(self) -> str:
        """The URL as an error shows it."""
        return self.target if len(self.target) <= 300 else f"{self.target[:300]}..."


class Transport:
    """The connections of one client, for any number of threads.

    `timeout` is the longest silence within an answer and `connect_timeout` the time for a host to take the call, in
    seconds; growing pauses begin with `pause` seconds.

    A request that only reads is sent again after a connection that fails or breaks, after an answer that is not
    whole (3 tries in all), after 502, 503, 504 (5), a timeout or a 500 that gives no other status (2).  A request that
    changes something is sent again only if it cannot have been done: no connection came about, or the service said
    429, or that it did not begin.  Redirects are not followed, cookies neither kept nor sent.
    """

    def __init__(self, *, timeout: float, connect_timeout: float, pause: float) -> None:
        if timeout <= 0 or connect_timeout <= 0:
            raise ValueError("a timeout must be a number of seconds above 0")
        self.timeout, self.connect_timeout, self.pause = timeout, connect_timeout, pause
        self.token: str | None = None
        self._origins: set[tuple[str, str]] = set()
        self._idle: deque[requests.Session] = deque()
        self._warned: set[str] = set()

    def trust(self, server: str) -> None:
        """Let the token go to that server, too."""
        self._origins.add(_origin(server))

    def trusts(self, url: str) -> bool:
        """Whether a URL is at one of the servers that may see the token."""
        return _origin(url) in self._origins

    def close(self) -> None:
        """Close the connections that lie idle; the client may be used again."""
        while self._idle:
            self._idle.pop().close()

    def json(self, call: Call, check: Callable[[Any], T]) -> T:
        """What the JSON of an answer says, after `check`, which raises Incomplete if it is not what it should be."""

        def parse(response: requests.Response) -> T:
            try:
                answer = json.loads(response.content)
            except (ValueError, RecursionError):
                words = understood(response.status_code, response.content).words[:120]
                raise Incomplete(f"it is not JSON: {words or 'it is empty'}") from None
            return check(answer)

        return self.send(call, parse)

    def send(self, call: Call, parse: Callable[[requests.Response], T]) -> T:
        """What `parse` makes of the answer; CaveError if there is none that is a success and whole."""
        tries = 1
        while True:
            outcome = self._attempt(call, parse, tries)
            if not isinstance(outcome, _Failure):
                return outcome.value
            # Raised here, outside of `except`: the library's own exception would come along, and holds the token.
            if tries >= outcome.most:
                raise outcome.error
            wait = outcome.wait if outcome.wait is not None else self._backoff(tries)
            logger.warning("%s; trying again in %.1f s", outcome.error.message, wait)
            if not waited(wait):
                raise outcome.error
            tries += 1

    def error(self, call: Call, problem: str, *, hint: str = "") -> CaveError:
        """An error, for the caller to raise, about an answer that is whole but not what it should be."""
        return CaveError(call.method, call.shown, self.redacted(problem), hint=hint)

    def redacted(self, text: str) -> str:
        """A text without the token."""
        return text.replace(self.token, "***") if self.token else text

    def warn_once(self, message: str) -> None:
        """Log a warning, unless this client has said the same before."""
        if message not in self._warned:
            self._warned.add(message)
            logger.warning("%s", self.redacted(message))

    def _backoff(self, tries: int) -> float:
        growth: int = 2 ** (tries - 1)
        return min(self.pause * growth * random.uniform(1.0, 1.5), LONGEST_WAIT)  # noqa: S311 - no secret

    def _attempt(self, call: Call, parse: Callable[[requests.Response], T], tries: int) -> _Success[T] | _Failure:
        try:
            with self._session(call) as session, abandonable():
                response = session.request(
                    call.method,
                    call.target,
                    data=call.body,
                    headers={**({"Content-Type": call.kind} if call.body is not None else {}), **call.headers},
                    timeout=(self.connect_timeout, self.timeout),
                    allow_redirects=False,  # a redirect would take the token along
                )
            if response.status_code >= 300:
                return self._refused(call, response, tries)
            return _Success(parse(response))
        except Incomplete as error:
            return self._broken(call, f"the answer was incomplete: {error}", tries, most=3)
        except requests.ReadTimeout:
            hint = "the service is slow or busy; a longer timeout= or a smaller request may help"
            return self._broken(call, f"no answer within {self.timeout:g} s", tries, most=2, hint=hint, kind=TimedOut)
        except (requests.RequestException, HTTPError) as error:
            return self._unreached(call, error, tries)

    def _unreached(self, call: Call, error: Exception, tries: int) -> _Failure:
        """What a failing connection means: none came about, or it broke."""
        if isinstance(error, requests.ConnectTimeout):
            return self._failure(call, f"no connection within {self.connect_timeout:g} s", tries, most=2, hint=_AWAY)
        inner = _inner(error)
        if isinstance(inner, ReadTimeoutError):  # in the middle of a body
            problem = f"the answer stopped in the middle for {self.timeout:g} s"
            return self._broken(call, problem, tries, most=2, kind=TimedOut)
        if isinstance(inner, NewConnectionError | NameResolutionError):
            return self._failure(call, _plainly(error), tries, most=4, hint=_AWAY)
        if isinstance(error, _NEVER_SENT) or not isinstance(error, _BREAKS):
            return self._failure(call, _plainly(error), tries, most=1, hint=_AWAY)
        return self._broken(call, f"the answer broke off: {_plainly(error)}", tries, most=3)

    def _refused(self, call: Call, response: requests.Response, tries: int) -> _Failure:
        refusal = understood(response.status_code, response.content, response.headers.get("Location", ""))
        uncertain = call.changes and refusal.transient and not refusal.untouched
        error = refusal.kind(
            call.method,
            call.shown,
            "the service says" if refusal.words else "the service gives no reason",
            status=refusal.status,
            tries=tries,
            hint=_UNKNOWN if uncertain else self.redacted(refusal.hint),
            words=self.redacted(refusal.words),
            data=refusal.data,
            transient=refusal.transient or refusal.kind is TooManyRequests,
            uncertain=uncertain,
        )
        most = 1
        if refusal.kind is TooManyRequests:
            most = 5
        elif refusal.transient and not uncertain:
            most = 5 if refusal.status in (502, 503, 504) else 2
        return _Failure(error, most, _retry_after(response))

    def _broken(
        self, call: Call, problem: str, tries: int, *, most: int, hint: str = "", kind: type[CaveError] = CaveError
    ) -> _Failure:
        """The failure of a request that was sent, and of which nobody knows what became."""
        if call.changes:
            return self._failure(call, problem, tries, most=1, hint=_UNKNOWN, kind=kind, uncertain=True)
        return self._failure(call, problem, tries, most=most, hint=hint, kind=kind)

    def _failure(
        self,
        call: Call,
        problem: str,
        tries: int,
        *,
        most: int,
        hint: str = "",
        kind: type[CaveError] = CaveError,
        uncertain: bool = False,
    ) -> _Failure:
        error = kind(
            call.method,
            call.shown,
            self.redacted(problem),
            tries=tries,
            hint=hint,
            transient=most > 1 or uncertain,
            uncertain=uncertain,
        )
        return _Failure(error, most)

    @contextmanager
    def _session(self, call: Call) -> Iterator[requests.Session]:
        """A session that no other thread uses meanwhile."""
        if call.changes:
            # A connection that lay idle may be dead, and nobody could say what was sent through it.
            with self._new_session() as session:
                yield session
            return
        try:
            session = self._idle.pop()
        except IndexError:
            session = self._new_session()
        try:
            yield session
        finally:
            self._idle.append(session)

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.auth = _Bearer(self)
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Without X-Requested-With a service sends who has no token to a page for people instead of saying so.
        session.headers.update({"User-Agent": f"flyem-snapshot/{__version__}", "X-Requested-With": "flyem-snapshot"})
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0))
        return session


@dataclass(frozen=True)
class _Success(Generic[T]):
    value: T


@dataclass(frozen=True)
class _Failure:
    """A failed try: what to raise, how many tries are worth it in all, and how long the service wants us to wait."""

    error: CaveError
    most: int
    wait: float | None = None


class _Bearer(AuthBase):
    """Sends the token of the moment to the servers that may see it, and no passwords of ~/.netrc to anybody."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = self._transport.token
        if token and request.url and self._transport.trusts(request.url):
            request.headers["Authorization"] = f"Bearer {token}"
        return request


def segment(name: object) -> str:
    """A name as one part of a path; ValueError if it cannot be one."""
    text = str(name)
    if text in ("", ".", ".."):
        raise ValueError(f"{text!r} cannot be a name")
    return quote(text, safe="")


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    default = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return parts.scheme.lower(), parts.netloc.lower().removesuffix(default) if default else parts.netloc.lower()


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that the service wants us to wait, at most two minutes; None if it names none that make sense."""
    text = response.headers.get("Retry-After", "")
    try:
        wait = float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError):
        return None
    return min(max(wait, 0.0), LONGEST_WAIT)


def _inner(error: Exception) -> Exception:
    """What is behind the exceptions that the libraries wrap around each other."""
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    return inner.reason if isinstance(inner, MaxRetryError) and inner.reason is not None else inner


def _plainly(error: Exception) -> str:
    """What went wrong, without the URL that the libraries put into their texts."""
    inner = _inner(error)
    words = ": ".join(str(part).strip(".") for part in inner.args) or str(inner)
    return re.sub(r"^HTTPS?Connection(Pool)?\(.*?\): ", "", words)
