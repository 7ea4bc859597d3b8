"""Answers of the services, errors with their odd shapes included.  Requests are those of the DVID double."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from tests.dvid_double.replies import Reply, Request

__all__ = ["Refusal", "Reply", "Request", "body_of", "hidden", "json_reply", "plain", "schema_errors", "service_error"]

JSON = "application/json"
HTML = "text/html; charset=utf-8"

TRACEBACK = [
    "Traceback (most recent call last):\n",
    '  File "/usr/local/lib/python3.12/site-packages/flask/app.py", line 1516, in full_dispatch_request\n',
    "    rv = self.dispatch_request()\n",
]


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake
    """An answer other than the one that was hoped for."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def json_reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """An answer in JSON with a line's end, as Flask writes it; integers of any size are bare numbers."""
    return Reply(json.dumps(value).encode() + b"\n", JSON, status, headers or {})


def plain(text: str, status: int = 200) -> Reply:
    """A bare text, which Flask calls HTML."""
    return Reply(text.encode(), HTML, status)


def service_error(message: str, status: int = 500, **more: Any) -> Refusal:
    """The error object of AnnotationEngine and MaterializationEngine, with the traceback that they give away."""
    return Refusal(json_reply({"code": status, "message": message, "traceback": TRACEBACK, **more}, status))


def hidden(status: int, words: str) -> Refusal:
    """A status that the services bury in the message of a 500 (2.1)."""
    return service_error(f"{status} {HTTPStatus(status).phrase}: {words}")


def schema_errors(errors: dict[str, list[str]]) -> Refusal:
    """What AnnotationEngine says of a body whose fields are wrong: a 500."""
    return Refusal(json_reply({"schema_errors": errors}, 500))


def body_of(request: Request) -> Any:
    """The JSON object in a request's body."""
    try:
        value = json.loads(request.body or b"{}")
    except ValueError as error:
        raise hidden(400, f"Failed to decode JSON object: {error}") from error
    if not isinstance(value, dict):
        raise hidden(400, "the body is no JSON object")
    return value
