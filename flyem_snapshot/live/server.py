"""A neuPrint server over HTTP: what it serves, queries that read, and transactions that write."""

from __future__ import annotations

import ipaddress
import json
import logging
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from flyem_snapshot import __version__
from flyem_snapshot.errors import ServiceError, SnapshotError

logger = logging.getLogger(__name__)

_CONNECT: Final = 10.0
_WORDS: Final = 500
"""Characters of a server's answer that are shown."""

_LAST_RESORT: Final = 10.0
"""Seconds for a transaction to be undone: a server that is gone must not keep us from saying so."""


class NeuprintError(ServiceError):
    """neuPrint's server refused, failed, or answered nonsense.

    `reached` is False if there was no connection, or it broke; `late` is True if no answer came in time.
    """

    def __init__(
        self,
        method: str,
        url: str,
        problem: str,
        *,
        status: int | None = None,
        reached: bool = True,
        late: bool = False,
        hint: str = "",
    ) -> None:
        super().__init__(method, url, problem, status=status, hint=hint)
        self.reached, self.late = reached, late

    @property
    def forbidden(self) -> bool:
        """Whether this user may not do this at all."""
        return self.status in (401, 403)


def address(server: str) -> str:
    """The base address of a server: `neuprint.example.org` -> `https://neuprint.example.org`.

    SnapshotError: not an address, or one to which a token would travel in the open.
    """
    url = server if "://" in server else f"https://{server}"
    parts = urllib.parse.urlsplit(url.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SnapshotError(f"'{server}' is no address of a server", hint="give https://host or https://host:port")
    if parts.username or parts.password:
        hint = "leave them out; the token comes from the environment"
        raise SnapshotError("the server's address holds a user name or a password", hint=hint)
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        hint = "use https; http is for a server on this machine"
        raise SnapshotError(f"http://{parts.netloc} would send your token unencrypted", hint=hint)
    return url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class NeuprintServer:
    """One dataset's view of a server, for one thread.

    Reads are repeated when the connection breaks or a proxy says that the server is away; what may write never is.
    """

    def __init__(self, server: str, token: str, *, timeout: float = 300.0) -> None:
        """`timeout` is the number of seconds within which an answer must come."""
        self.url = address(server)
        self._timeout = (_CONNECT, timeout)
        self._token = token
        self._session = requests.Session()
        self._session.auth = _Bearer(token)
        self._session.headers["User-Agent"] = f"flyem-snapshot/{__version__}"
        again = Retry(
            total=4, backoff_factor=0.5, status_forcelist=(502, 503, 504), allowed_methods=None, raise_on_status=False
        )
        for path in ("/api/custom/", "/api/dbmeta/"):
            self._session.mount(self.url + path, HTTPAdapter(max_retries=again))

    def close(self) -> None:
        """End the connections."""
        self._session.close()

    def datasets(self) -> list[str]:
        """The full names of the datasets: `hemibrain:v1.2.1`."""
        found = self._ask("GET", "/api/dbmeta/datasets")
        if not isinstance(found, dict):
            raise NeuprintError("GET", f"{self.url}/api/dbmeta/datasets", "the answer is no list of datasets")
        return sorted(found)

    def rows(self, cypher: str, dataset: str) -> list[list[Any]]:
        """The rows of a query that reads.  Integers are exact; points are mappings with `coordinates`."""
        return self._rows("/api/custom/custom", {"cypher": cypher, "dataset": dataset})

    @contextmanager
    def transaction(self, dataset: str) -> Iterator[Transaction]:
        """A transaction: committed at the end of the block, undone if anything happens within, Ctrl-C included."""
        path = "/api/raw/cypher/transaction"
        begun = self._ask("POST", path, {"dataset": dataset})
        number = begun.get("transaction_id") if isinstance(begun, dict) else None
        if not isinstance(number, int):
            raise NeuprintError("POST", self.url + path, "the answer names no transaction")
        try:
            yield Transaction(self, dataset, f"{path}/{number}")
            self._ask("POST", f"{path}/{number}/commit")
        except BaseException:
            self._undo(f"{path}/{number}/kill")
            raise

    def _undo(self, path: str) -> None:
        """Let go of the locks that a transaction holds; if that fails too, only its server can."""
        try:
            self._ask("POST", path, timeout=_LAST_RESORT)
        except NeuprintError as error:
            # A commit that failed has ended it as well, and then there is nothing to undo.
            logger.debug("the transaction was not undone: %s", error)

    def _rows(self, path: str, body: Mapping[str, Any]) -> list[list[Any]]:
        answer = self._ask("POST", path, body)
        rows = answer.get("data") if isinstance(answer, dict) else None
        if rows is None and isinstance(answer, dict) and "columns" in answer:
            return []  # Go's empty list
        if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
            raise NeuprintError("POST", self.url + path, "the answer is no table")
        return rows

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout: float = 0.0) -> Any:
        url = self.url + path
        wait = (_CONNECT, timeout) if timeout else self._timeout
        try:
            # Wherever a redirection leads, the token must not follow it, and a POST would become a GET.
            answer = self._session.request(method, url, json=body, timeout=wait, allow_redirects=False)
        except requests.Timeout as error:
            late = not isinstance(error, requests.ConnectTimeout)
            raise NeuprintError(method, url, "no answer in time", reached=late, late=late) from error
        except requests.RequestException as error:
            hint = "is the server running there, and is its certificate one that this machine trusts?"
            raise NeuprintError(method, url, _cause(error), reached=False, hint=hint) from error
        if answer.status_code != 200:
            raise _refused(method, url, answer, self._token)
        try:
            return json.loads(answer.content)
        except ValueError as error:
            raise NeuprintError(method, url, "the answer is no JSON") from error


class Transaction:
    """An open transaction."""

    def __init__(self, server: NeuprintServer, dataset: str, path: str) -> None:
        self._server, self._dataset, self._path = server, dataset, path

    def run(self, cypher: str) -> list[list[Any]]:
        """Run a query, which may write; labels are those of the database."""
        return self._server._rows(f"{self._path}/cypher", {"cypher": cypher, "dataset": self._dataset})  # noqa: SLF001


class _Bearer(requests.auth.AuthBase):
    """Else `requests` would take a password from the user's .netrc instead."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _refused(method: str, url: str, answer: requests.Response, token: str) -> NeuprintError:
    try:
        found = json.loads(answer.content)
        words = str(found.get("error") or found.get("message") or found) if isinstance(found, dict) else str(found)
    except ValueError:
        words = answer.text
    words = " ".join(words.replace(token, "...").split())[:_WORDS] or "no reason given"
    hint = ""
    if answer.status_code in (401, 403):
        hint = "writing needs an administrator's token" if "/raw/" in url else "is the token right, and not too old?"
    elif answer.is_redirect:
        words, hint = "the server redirects to elsewhere", "give the address to which it leads"
    return NeuprintError(method, url, words, status=answer.status_code, hint=hint)


def _cause(error: requests.RequestException) -> str:
    """The innermost reason, without the address and the retries around it."""
    inner: BaseException = error
    while (deeper := inner.__cause__ or inner.__context__) is not None and len(str(deeper)) > 0:
        inner = deeper
    return f"cannot be reached: {inner}"
