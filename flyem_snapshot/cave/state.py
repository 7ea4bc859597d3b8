"""The state service: Neuroglancer states that are kept by number."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from flyem_snapshot.cave.encoding import for_javascript, one_id, plain
from flyem_snapshot.cave.service import Service, record, text

if TYPE_CHECKING:
    from flyem_snapshot.cave.http import Transport

_BASE: Final = "nglstate/api/v1"
_NUMBER: Final = re.compile(r"(?:.*/)?(\d+)/?")


class StateClient:
    """States of Neuroglancer; `viewer` says the address of the Neuroglancer to use unless one is named."""

    def __init__(self, transport: Transport, server: Callable[[], str], viewer: Callable[[], str | None]) -> None:
        self._service = Service(transport, "nglstate", server, speaks=(1,), software=f"{_BASE}/version")
        self._viewer = viewer

    def __repr__(self) -> str:
        return f"<StateClient at {self._service.server}>"

    @property
    def state_service_endpoint(self) -> str:
        """The address below which the states are."""
        return f"{self._service.server}/{_BASE}"

    def get_state_json(self, state_id: int | str) -> dict[str, Any]:
        """The state with that number, which may also be given as its URL at this very service.

        NotFound if there is none.  ValueError for a URL at another server: nothing is sent there.
        """
        return self._service.get(f"{_BASE}/{self._number(state_id)}", record)

    def upload_state_json(self, json_state: Mapping[str, Any]) -> int:
        """Keep a state, and return its number; there is no list of states, so do not lose it.

        Arrays become lists, and integers beyond 2**53 texts, which is how Neuroglancer writes ids: as numbers they
        would lose their last digits in a browser.
        """
        path = f"{_BASE}/post"
        answer = self._service.change("POST", path, for_javascript(plain(json_state)), text)
        match = _NUMBER.fullmatch(answer)
        if match is None:
            raise self._service.odd(path, f"the number of the new state is not in {answer!r}", method="POST")
        return int(match[1])

    def build_neuroglancer_url(
        self,
        state_id: int,
        ngl_url: str | None = None,
        target_site: Literal["seunglab", "spelunker"] = "seunglab",
    ) -> str:
        """The address that opens a state in a Neuroglancer, by default that of the datastack's record.

        `spelunker` is the form that newer Neuroglancers read.  The viewer itself is never asked anything.  If there
        is none, the address of the state.
        """
        if target_site not in ("seunglab", "spelunker"):
            raise ValueError(f"target_site is 'seunglab' or 'spelunker', not {target_site!r}")
        state = f"{self.state_service_endpoint}/{one_id(state_id)}"
        site = self._viewer() if ngl_url is None else ngl_url
        if not site:
            return state
        slash = "" if site.endswith("/") else "/"
        if target_site == "spelunker":
            return f"{site}{slash}#!middleauth+{state}"
        return f"{site}{slash}?json_url={state}"

    def _number(self, state_id: int | str) -> int:
        if not isinstance(state_id, str):
            return one_id(state_id)
        if state_id.isdigit():
            return int(state_id)
        own = state_id.removeprefix("middleauth+").removeprefix(f"{self.state_service_endpoint}/").rstrip("/")
        if own.isdigit():
            return int(own)
        raise ValueError(f"a state is a number or an address below {self.state_service_endpoint}, not {state_id!r}")
