"""One service of a server: its address, the version of its protocol, and the shapes of JSON that it may answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from flyem_snapshot.cave.encoding import encode
from flyem_snapshot.cave.failures import CaveError, NotFound, VersionError
from flyem_snapshot.cave.http import Call, Incomplete, Transport

if TYPE_CHECKING:
    import requests

T = TypeVar("T")

_NO_PARAMS: Final[Mapping[str, Any]] = {}


class Service:
    """A service at a server whose address is asked for when it is first needed.

    `versions` is the path that lists the versions of the protocol it speaks, None if it has no such path; `speaks`
    are the versions that this client speaks, best first; `chosen`, if given, is used without asking.
    """

    def __init__(
        self,
        transport: Transport,
        name: str,
        server: Callable[[], str],
        *,
        speaks: tuple[int, ...],
        versions: str | None = None,
        software: str | None = None,
        chosen: int | None = None,
    ) -> None:
        self.transport, self.name, self._server = transport, name, server
        self._speaks, self._versions, self._software, self._chosen = speaks, versions, software, chosen

    @property
    def server(self) -> str:
        """The address of the server, without a slash at its end."""
        return self._server()

    @cached_property
    def version(self) -> int:
        """The version of the protocol that both sides speak; VersionError if there is none, or nobody can tell."""
        if self._chosen is not None:
            return self._chosen
        if self._versions is None:
            return self._speaks[0]
        call = Call("GET", f"{self.server}/{self._versions}")
        escape = f"api_versions={{'{self.name}': {self._speaks[0]}}} skips the question"
        try:
            known = self.transport.json(call, integers)
        except NotFound as error:
            problem = f"the service does not say which versions of '{self.name}' it speaks"
            raise VersionError("GET", call.shown, problem, status=404, hint=escape, words=error.words) from None
        for version in self._speaks:
            if version in known:
                return version
        problem = f"the service speaks versions {sorted(known)} of '{self.name}', this client {sorted(self._speaks)}"
        raise VersionError("GET", call.shown, problem, hint="another release of flyem-snapshot may speak it")

    def software_version(self) -> str | None:
        """The version of the software that the service runs on, such as `5.26.4`; None if it does not say."""
        if self._software is None:
            return None
        try:
            return self.transport.json(Call("GET", f"{self.server}/{self._software}"), text)
        except NotFound:
            return None

    def get(
        self, path: str, check: Callable[[Any], T], *, params: Mapping[str, Any] = _NO_PARAMS, body: Any = None
    ) -> T:
        """What the JSON at a path says.  A few calls have a body although they are GETs; a proxy may drop it."""
        content = None if body is None else encode(body)
        return self.transport.json(Call("GET", f"{self.server}/{path}", params, content), check)

    def ask(self, path: str, body: Any, check: Callable[[Any], T], *, params: Mapping[str, Any] = _NO_PARAMS) -> T:
        """The answer to a POST that only reads, so that it may be sent again."""
        return self.transport.json(Call("POST", f"{self.server}/{path}", params, encode(body)), check)

    def change(self, method: str, path: str, body: Any, check: Callable[[Any], T], *, in_words: bool = False) -> T:
        """The answer to a request that changes something; it is sent once.

        An answer that is no JSON is a text; with `in_words` also one that is JSON, but no text: a name may be `null`.
        """
        content = None if body is None else encode(body)

        def parse(response: requests.Response) -> T:
            words = response.content.decode("utf-8", "replace").strip()
            try:
                answer = json.loads(response.content)
            except ValueError:
                answer = words
            return check(words if in_words and not isinstance(answer, str) else answer)

        return self.transport.send(Call(method, f"{self.server}/{path}", body=content, changes=True), parse)

    def odd(self, path: str, problem: str, *, method: str = "GET", hint: str = "") -> CaveError:
        """An error, for the caller to raise, about an answer that makes no sense."""
        return self.transport.error(Call(method, f"{self.server}/{path}"), problem, hint=hint)


def anything(value: Any) -> Any:
    """A check that lets every JSON value pass."""
    return value


def record(value: Any) -> dict[str, Any]:
    """A check: the answer must be a JSON object."""
    if not isinstance(value, dict):
        raise Incomplete(f"an object was expected, not {_shown(value)}")
    return value


def records(value: Any) -> list[dict[str, Any]]:
    """A check: the answer must be a list of JSON objects."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Incomplete(f"a list of objects was expected, not {_shown(value)}")
    return value


def names(value: Any) -> list[str]:
    """A check: the answer must be a list of texts."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Incomplete(f"a list of names was expected, not {_shown(value)}")
    return value


def integers(value: Any) -> list[int]:
    """A check: the answer must be a list of integers."""
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise Incomplete(f"a list of integers was expected, not {_shown(value)}")
    return value


def integer(value: Any) -> int:
    """A check: the answer must be an integer."""
    if type(value) is not int:
        raise Incomplete(f"an integer was expected, not {_shown(value)}")
    return value


def text(value: Any) -> str:
    """A check: the answer must be a text."""
    if not isinstance(value, str):
        raise Incomplete(f"a text was expected, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return repr(value)[:80]
