"""What a CAVE service can answer instead of data; every class here is what a caller may want to tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flyem_snapshot.errors import ServiceError, SnapshotError

LONGEST_WORDS: Final = 600
"""Characters of a server's words that an error shows."""

_NOTHING: Final[Mapping[str, Any]] = {}


class CaveError(ServiceError):
    """A service refused, failed or answered nonsense.

    `status` is the real status: services often hide it in the text of a 500; None if there was no answer.  `words`
    is what the server said, without its traceback.  `data` holds the fields that came with it, such as
    `required_permission`.  `transient`: the same request may succeed later.  `uncertain`: the request was one that
    changes something, and nobody knows whether it was done.  No text holds a token.
    """

    def __init__(
        self,
        method: str,
        url: str,
        problem: str,
        *,
        status: int | None = None,
        tries: int = 1,
        hint: str = "",
        words: str = "",
        data: Mapping[str, Any] = _NOTHING,
        transient: bool = False,
        uncertain: bool = False,
    ) -> None:
        self.problem, self.words, self.data = problem, words[:LONGEST_WORDS], dict(data)
        self.transient, self.uncertain = transient, uncertain
        said = f"{problem}: {self.words}" if words else problem
        super().__init__(method, url, said, status=status, tries=tries, hint=hint)


class NotFound(CaveError):  # noqa: N818 - often it is no error but an answer
    """Status 404: there is no such datastack, table, version, annotation or state."""


class AuthError(CaveError):
    """No token, a bad or an expired one (status 401), or a redirect to a page where one can log in."""


class Forbidden(AuthError):  # noqa: N818 - the name of status 403
    """Status 403: the token is good, but a right is missing, or terms of service are not accepted.

    `data` has `required_permission` and `auth_dataset`, or `tos_id`, `tos_name` and `tos_form_url`.
    """


class Invalid(CaveError):  # noqa: N818 - what was sent is
    """Status 400 or 422: the service does not accept what was sent; `fields` says what is wrong with which field."""

    @property
    def fields(self) -> dict[str, Any]:
        """Field name -> what the service has against it; empty if it named no fields."""
        return dict(self.data.get("schema_errors") or {})


class Expired(NotFound):
    """The rows of a materialization version are gone, or not yet there; its metadata may still be asked for."""


class Conflict(CaveError):  # noqa: N818 - as above
    """Status 409, or an id or a name that exists already."""


class LimitError(CaveError):
    """Status 413, or an answer that the service cut off at its row limit: ask for less at a time."""


class TooManyRequests(CaveError):  # noqa: N818 - the name of status 429
    """Status 429, still after several tries: too many requests in a short time."""


class TimedOut(CaveError):  # noqa: N818 - as above
    """Status 504, or no answer in time: a smaller request may succeed."""


class VersionError(CaveError):
    """A service does not speak the version of the protocol that this client speaks, or does not say what it speaks."""


class Unfinished(CaveError):  # noqa: N818 - it says how far it came
    """A long upload stopped in the middle.

    `ids` are those that the service gave to the rows before the batch that failed; `unknown` is the range of rows,
    counted from 0, of which nobody knows whether they are there (empty if it is known that they are not).
    """

    def __init__(self, cause: CaveError, ids: list[int], unknown: range) -> None:
        self.ids, self.unknown = ids, unknown
        rows = f"rows {unknown.start:,} to {unknown.stop - 1:,} may be there or not" if unknown else "all else is not"
        super().__init__(
            cause.method,
            cause.url,
            f"{len(ids):,} annotations are uploaded, {rows}; {cause.problem}",
            status=cause.status,
            tries=cause.tries,
            hint=cause.hint,
            words=cause.words,
            data=cause.data,
            transient=cause.transient,
            uncertain=bool(unknown),
        )


class GlobalClientError(SnapshotError):
    """A client that was made without a datastack was asked for something that only a datastack has."""


class TokenFileError(SnapshotError, ValueError):
    """A token cannot be used, or a file of tokens cannot be read or written, or would lose a token."""
