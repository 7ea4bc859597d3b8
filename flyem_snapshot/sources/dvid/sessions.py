"""Addresses, users, how `requests` and `urllib3` are set up, and what their exceptions mean."""

from __future__ import annotations

import getpass
import logging
from typing import Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import DecodeError, HTTPError, InvalidHeader, MaxRetryError, ProtocolError
from urllib3.response import BaseHTTPResponse
from urllib3.util.retry import Retry

from flyem_snapshot import __version__
from flyem_snapshot.sources.dvid.failures import DvidError
from flyem_snapshot.sources.dvid.secrets import bearer_token, redacted

logger = logging.getLogger(__name__)

APP: Final = "flyem-snapshot"
LONGEST_WAIT: Final = 120.0
"""Seconds that a server can make us wait before the next try."""


def new_session(pause: float, *, writes: bool = False) -> requests.Session:
    """A session for one thread.  With `writes` only a connection that fails is tried again, never a request.

    Timeouts and bodies that break off are not repeated here but by the client, so that tries do not multiply.
    """
    retry = PoliteRetry(
        total=5,
        connect=5,
        read=False,
        redirect=False,
        status=0 if writes else 4,
        other=0,
        backoff_factor=pause,
        backoff_jitter=pause,
        backoff_max=LONGEST_WAIT,
        status_forcelist=() if writes else (502, 503, 504),
        allowed_methods=None,
        respect_retry_after_header=not writes,
        raise_on_status=False,
    )
    session = requests.Session()
    session.auth = _Bearer()
    session.headers["User-Agent"] = f"{APP}/{__version__}"
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=retry))
    return session


class PoliteRetry(Retry):
    """Retries as urllib3 does them, except that a server may not make us wait for ever, and 429 is an answer."""

    RETRY_AFTER_STATUS_CODES = frozenset({503})

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Seconds to wait that the server asks for, at most two minutes; None if it names none that make sense."""
        try:
            wait = super().get_retry_after(response)
        except InvalidHeader:
            return None
        return None if wait is None else min(wait, LONGEST_WAIT)

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        """Wait, and say so if the server is there but not ready."""
        if response is not None:
            logger.warning("the server is busy (status %d); trying again", response.status)
        super().sleep(response)


class _Bearer(AuthBase):
    """Sends the token of DVID_TOKEN, if there is one, and keeps `requests` from sending passwords of ~/.netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token := bearer_token():
            request.headers["Authorization"] = f"Bearer {token}"
        return request


def is_broken(error: Exception) -> bool:
    """Whether a connection was made and then failed, so that the same request may succeed."""
    if isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError):
        return False
    if isinstance(error, requests.ConnectionError):
        return not (error.args and isinstance(error.args[0], MaxRetryError))
    broken = requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError
    return isinstance(error, (*broken, ProtocolError, DecodeError))


def plainly(error: requests.RequestException | HTTPError | Exception) -> str:
    """What went wrong, without the URL that the libraries put into their texts."""
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    if isinstance(inner, MaxRetryError) and inner.reason is not None:
        inner = inner.reason
    return redacted(str(inner))


def address_of(server: str) -> str:
    """A server's address with a scheme and without a slash at its end; DvidError if it cannot be one."""
    address = server.strip()
    address = (address if "://" in address else f"http://{address}").rstrip("/")
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or parts.username is not None:
        hint = "it looks like http://server:8000; a token belongs in the environment variable DVID_TOKEN"
        raise DvidError("GET", address.partition("?")[0], "this is not the address of a server", hint=hint)
    return address


def login() -> str:
    """The user's name on this machine, or the program's if there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may have users without names
        return APP
