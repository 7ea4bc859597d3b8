"""One look at each server and version for a whole job: the stages share what was found.

The description of a repository is several megabytes, and a reference such as `:master` must mean one version throughout
a job, so both are kept from the first question on, until `forget`.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from flyem_snapshot.sources.dvid.graph import Node, resolve
from flyem_snapshot.sources.dvid.http import DvidClient
from flyem_snapshot.sources.dvid.mutations import LastMutation, last_mutation


class Terms(Protocol):
    """How a job talks to servers: its settings."""

    @property
    def dvid_timeout(self) -> float:
        """Seconds to wait for an answer."""

    @property
    def dvid_user(self) -> str | None:
        """The name that servers are told."""

    @property
    def processes(self) -> int:
        """How many requests at a time."""


@dataclass(frozen=True)
class _Usual:
    dvid_timeout: float = 300.0
    dvid_user: str | None = None
    processes: int = 8


_USUAL = _Usual()
_lock = Lock()
_clients: dict[str, DvidClient] = {}
_nodes: dict[tuple[str, str], Node] = {}
_edits: dict[tuple[str, str, str], LastMutation] = {}


def forget() -> None:
    """Begin a new job: everything is asked anew."""
    with _lock:
        for client in _clients.values():
            client.close()
        _clients.clear()
        _nodes.clear()
        _edits.clear()


def node(server: str, reference: str, terms: Terms) -> Node:
    """The version that a reference stands for; DvidError if there is none."""
    with _lock:
        client = _clients.get(server)
        if client is None:
            client = DvidClient(server, user=terms.dvid_user, timeout=terms.dvid_timeout, threads=terms.processes)
            _clients[server] = client
        key = (client.server, reference)
        if key not in _nodes:
            found = resolve(client, reference)
            # However a version was named first, it is one object.
            _nodes[key] = _nodes.setdefault((client.server, found.uuid), found)
        return _nodes[key]


def known(server: str, uuid: str) -> Node:
    """A version that was looked up before, by its full uuid; on the usual terms if it was not.

    A cached table may remember an address that its server no longer has: then the version is that of the address at
    which the job looked it up.
    """
    with _lock:
        elsewhere = [found for (_, name), found in _nodes.items() if name == uuid]
        if elsewhere and server not in _clients:
            return elsewhere[0]
    return node(server, uuid, _USUAL)


def last_edit(at: Node, instance: str) -> LastMutation:
    """The last mutation of a labelmap at a version, as it was when it was first asked for."""
    with _lock:
        key = (at.client.server, at.uuid, instance)
        if key not in _edits:
            _edits[key] = last_mutation(at, instance)
        return _edits[key]
