"""What an endpoint is given and what it answers, whatever the transport does with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake
    """An answer with a status other than 200: the server's words, to which the path is appended (A.5).

    With `bare` the text goes out as it is (an empty 404, the text of a panic).
    """

    def __init__(self, message: str, status: int = 400, *, bare: bool = False) -> None:
        super().__init__(message)
        self.message, self.status, self.bare = message, status, bare


class Panic(Exception):  # noqa: N818
    """What a Go server would have died of; it becomes a 500."""


@dataclass
class Reply:
    """A status, a body (bytes, or an iterable of parts that is streamed) and its headers."""

    body: bytes | Iterable[bytes] = b""
    content_type: str = "application/octet-stream"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    """One request as the server saw it.

    `path` is decoded; `args` holds the query (last value of each name); `body` is kept up to 1 MB, `body_size` always;
    `started` and `ended` are `time.monotonic()`, `ended` is None while the answer is being sent; `connection` numbers
    the TCP connections, so that a test sees whether they are pooled.
    """

    method: str
    path: str
    args: dict[str, str]
    headers: dict[str, str]
    body: bytes
    body_size: int
    thread: str
    started: float
    connection: int = 0
    ended: float | None = None
    status: int | None = None

    @property
    def segments(self) -> list[str]:
        """The parts of the path; a value that holds a slash falls apart, encoded or not (A.1)."""
        return [part for part in self.path.split("/") if part]

    def flag(self, name: str) -> bool:
        """Whether a query argument is on, as Go code of the server reads it."""
        return self.args.get(name, "").lower() in {"true", "on", "1"}

    def json(self) -> Any:
        """The body as JSON, or the server's refusal."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refusal(f"bad JSON in request body: {error}") from error

    def check_hash(self) -> None:
        """Refuse a body that is not the one the client meant (a proxy may have dropped it)."""
        wanted = self.args.get("hash")
        found = hashlib.md5(self.body, usedforsecurity=False).hexdigest()
        if wanted and wanted != found:
            raise Refusal(f"MD5 hash of request body {found} does not match hash given in query string {wanted}")


def json_reply(value: Any) -> Reply:
    """An answer in JSON, without spaces as Go prints it."""
    return Reply(json.dumps(value, separators=(",", ":")).encode(), "application/json")


def integers(value: Any, what: str) -> list[int]:
    """A JSON list of integers in the range of uint64; anything else is refused."""
    if not isinstance(value, list) or any(type(item) is not int or not 0 <= item < 2**64 for item in value):
        raise Refusal(f"expected a JSON list of {what}")
    return value
