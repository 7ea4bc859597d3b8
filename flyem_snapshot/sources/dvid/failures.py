"""How a request can fail: for good (`DvidError`, `Missing`) or for now (`Incomplete`)."""

from __future__ import annotations

from typing import Self

from flyem_snapshot.errors import ServiceError
from flyem_snapshot.sources.dvid.secrets import redacted


class DvidError(ServiceError):
    """The server refused, failed or answered nonsense.

    `status` is the HTTP status, None if there was no answer; `words` are the first 2 kB of the server's text.
    `transient` says that a later or a smaller request may well succeed: a timeout, a body that broke off, a 5xx.
    All texts are without secrets.
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
        transient: bool = False,
    ) -> None:
        self.words, self.problem, self.transient = redacted(words.strip()), redacted(problem), transient
        said = f"{self.problem}: {self.words}" if self.words else self.problem
        super().__init__(method, redacted(url), said, status=status, tries=tries, hint=hint)

    def after(self, tries: int) -> Self:
        """The same failure, after so many tries in all."""
        return type(self)(
            self.method,
            self.url,
            self.problem,
            status=self.status,
            tries=max(tries, self.tries),
            hint=self.hint,
            words=self.words,
            transient=self.transient,
        )


class UnknownReference(DvidError):  # noqa: N818 - as above
    """What was written does not mean one node of the server."""


class Missing(DvidError):  # noqa: N818 - often it is no error but an answer
    """Status 404: there is no such key or label, which may be an answer rather than a mistake."""


class Incomplete(Exception):  # noqa: N818 - nor is this the last word
    """An answer that proves to be cut off or garbled; whoever checks an answer raises it, and it is asked for again."""
