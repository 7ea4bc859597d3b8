"""What a service means by an answer that is no success: its real status, its words, and the error to raise."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Final

from flyem_snapshot.cave.failures import (
    AuthError,
    CaveError,
    Conflict,
    Forbidden,
    Invalid,
    LimitError,
    NotFound,
    TimedOut,
    TooManyRequests,
)

_HIDDEN: Final = re.compile(r"^\s*([45]\d\d) [A-Z][A-Za-z' -]+(?::\s*|$)")
"""`404 Not Found: ...` at the beginning of the text of a 500."""

_DUPLICATE: Final = re.compile(r"UniqueViolation|duplicate key", re.IGNORECASE)
_ROLLED_BACK: Final = re.compile(r"PendingRollbackError|Can't reconnect until invalid transaction is rolled back")
"""What the request after a failed insert is told, once: it was not begun."""

_DATABASE: Final = re.compile(r"\s*(\[SQL:|\[parameters:|\(Background on this error).*", re.DOTALL)
_KINDS: Final[Mapping[int, type[CaveError]]] = {
    400: Invalid,
    401: AuthError,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: LimitError,
    422: Invalid,
    429: TooManyRequests,
    504: TimedOut,
}
_LOG_IN: Final = "client.auth.get_new_token() says how to get a token, client.auth.save_token(token=...) keeps it"


@dataclass(frozen=True)
class Refusal:
    """A refused request; `status` is the real one."""

    status: int
    words: str
    data: Mapping[str, Any]
    kind: type[CaveError]
    hint: str
    hidden: bool = False
    """Whether the status was in the text of a 500: then the service is well, and asking again is no use."""

    untouched: bool = False
    """Whether the service said that it did not begin, so that any request may be sent again."""

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status >= 500 and not self.hidden and self.kind in (CaveError, TimedOut)


def understood(status: int, body: bytes, location: str = "") -> Refusal:
    """What an answer with that status and body means; `location` is where a redirect leads."""
    if 300 <= status < 400:
        # A request without a good token is sent to a page for people; to follow would take the token along.
        where = location.partition("?")[0].partition("#")[0]
        words = f"it answers with a redirect to {where}" if where else "it answers with a redirect"
        return Refusal(status, words, {}, AuthError, f"redirects are not followed; {_LOG_IN}")
    words, data = _said(body)
    hidden = False
    if status == 500 and (match := _HIDDEN.match(words)):
        status, words, hidden = int(match[1]), words[match.end() :] or words.strip(), True
    if _DUPLICATE.search(words):
        return Refusal(409, words, data, Conflict, "an id or a name exists already", hidden=True)
    kind = Invalid if "schema_errors" in data else _KINDS.get(status, CaveError)
    if data.get("error") in ("bad_auth_header", "no_token", "invalid_token"):
        kind = AuthError
    untouched = status == 500 and bool(_ROLLED_BACK.search(words))
    return Refusal(status, words, data, kind, _hint(kind, status, data), hidden=hidden, untouched=untouched)


def _hint(kind: type[CaveError], status: int, data: Mapping[str, Any]) -> str:
    if kind is AuthError:
        return _LOG_IN
    if kind is Forbidden and data.get("error") == "missing_tos":
        return f"the terms '{data.get('tos_name')}' must be accepted first, at {data.get('tos_form_url')}"
    if kind is Forbidden and "required_permission" in data:
        return f"ask for the right '{data['required_permission']}' on '{data.get('auth_dataset')}'"
    if kind is LimitError:
        return "ask for less at a time"
    if status in (502, 503, 504):
        return "the service is away or busy; try again later"
    return ""


def _said(body: bytes) -> tuple[str, dict[str, Any]]:
    """The words in a body, and the fields that a program may want; tracebacks are for the server's own log."""
    text = body.decode("utf-8", "replace").strip()
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return _plain_text(text), {}
    if isinstance(answer, str):
        return _tidy(answer), {}
    if not isinstance(answer, dict):
        return _tidy(text), {}
    inner = answer.get("data")
    data = {**(inner if isinstance(inner, dict) else {})}
    data |= {key: answer[key] for key in ("error", "schema_errors") if key in answer}
    words = answer.get("message") or answer.get("error") or ""
    if isinstance(fields := answer.get("schema_errors"), dict):
        words = "; ".join(f"{name}: {_listed(problems)}" for name, problems in fields.items())
    return _tidy(words if isinstance(words, str) else json.dumps(words)), data


def _listed(problems: Any) -> str:
    return " ".join(map(str, problems)) if isinstance(problems, list) else str(problems)


def _tidy(words: str) -> str:
    """A database's complaint without the statement and the page that explains the library."""
    words = words.partition("Traceback (most recent call last)")[0]
    return _DATABASE.sub("", words).strip()


def _plain_text(text: str) -> str:
    if not re.match(r"(?i)\s*<(!doctype|html|head|title|body|h1)", text):
        return _tidy(text)
    page = _Page()
    page.feed(text)
    page.close()
    shown = " ".join(" ".join(page.title or page.words).split())[:120]
    return f"a page for people instead of data: {shown}"


class _Page(HTMLParser):
    """The title and the words of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.title: list[str] = []
        self.words: list[str] = []
        self._within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - HTMLParser's
        self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._within:
            while self._within.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "title" in self._within:
            self.title.append(data)
        elif not {"script", "style"} & set(self._within):
            self.words.append(data)
