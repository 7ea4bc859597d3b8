"""What a request is, what an answer is, and how a request is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

JSON: Final = "application/json"
ARROW: Final = "application/vnd.apache.arrow.stream"


class Refused(Exception):  # noqa: N818 - what happened; `HTTPError` would say less
    """A request that is not answered: the HTTP status, and the words for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class ClientGone(ConnectionError):  # noqa: N818 - what happened
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Request:
    """What a client asked.

    `names` are the parts of the path that the route leaves open; `fields` are those of the query string and of the
    JSON body, the body's first.  `still_there` raises ClientGone once the client has hung up.
    """

    names: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    token: str = ""
    still_there: Callable[[], None] = lambda: None

    def text(self, name: str) -> str:
        """A field that must be text, '' if it is not given.  Refused: anything else than text."""
        value = self.fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise Refused(400, f"{name!r} must be text")
        return value


@dataclass(frozen=True)
class Reply:
    """An answer of status 200: bytes, or a file open for reading at its beginning with its size."""

    content_type: str
    body: bytes | IO[bytes]
    size: int

    @classmethod
    def of_bytes(cls, content_type: str, body: bytes) -> Reply:
        """An answer that fits into memory."""
        return cls(content_type, body, len(body))


def json_bytes(value: object) -> bytes:
    """Compact JSON in UTF-8; `value` holds no NaN (see `values.plain`)."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def json_reply(value: object) -> Reply:
    """A small answer in JSON."""
    return Reply.of_bytes(JSON, json_bytes(value))
