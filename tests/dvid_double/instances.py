"""What all data instances have in common."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar

from tests.dvid_double.replies import Refusal, Reply, Request, json_reply

if TYPE_CHECKING:
    from tests.dvid_double.graph import DagNode, Repo


class Instance:
    """A named piece of data of one type in a repository.

    A type names its endpoints in `endpoints`: the name in the URL and the methods that it allows, to a method of the
    class that takes the request, the node and the rest of the path.
    """

    typename: ClassVar[str] = ""
    endpoints: ClassVar[dict[str, tuple[set[str], str]]] = {}
    read_only_posts: ClassVar[set[str]] = set()
    """Endpoints that use POST to ask, which a locked node allows."""

    def __init__(self, repo: Repo, name: str) -> None:
        self.repo, self.name = repo, name
        seed = f"{repo.root}/{name}/{len(repo.instances)}"
        self.data_uuid = hashlib.md5(seed.encode(), usedforsecurity=False).hexdigest()
        repo.instances[name] = self

    @property
    def dvid(self) -> Any:
        """The server."""
        return self.repo.graph.dvid

    def extended(self) -> dict[str, Any]:
        """The part of `/info` that depends on the type."""
        return {}

    def described(self) -> dict[str, Any]:
        """The instance in `/info`."""
        return {
            "Base": {
                "TypeName": self.typename,
                "TypeURL": f"github.com/janelia-flyem/dvid/datatype/{self.typename}",
                "TypeVersion": "0.1",
                "DataUUID": self.data_uuid,
                "Name": self.name,
                "RepoUUID": self.repo.root,
                "Compression": "LZ4 compression, level -1",
                "Checksum": "No checksum",
                "Syncs": None,
                "Versioned": True,
                "KVStore": "badger",
                "LogStore": "filelog",
                "Tags": {},
            },
            "Extended": self.extended(),
        }

    def handle(self, request: Request, node: DagNode, endpoint: str, rest: list[str]) -> Reply:
        """Answer a request, or refuse it."""
        if endpoint == "info":
            return self.info(node)
        if endpoint not in self.endpoints:
            raise Refusal(f"Unrecognized API call for {self.typename} '{self.name}': {endpoint}")
        methods, function = self.endpoints[endpoint]
        if request.method not in methods:
            raise Refusal(f"{endpoint} does not support {request.method} requests")
        return getattr(self, function)(request, node, rest)

    def info(self, node: DagNode) -> Reply:
        """`GET info`."""
        return json_reply(self.described())


def triple(text: str) -> tuple[int, int, int]:
    """`x_y_z` of a URL, as three integers in the order given."""
    parts = text.split("_")
    try:
        x, y, z = (int(part) for part in parts)
    except ValueError as error:
        raise Refusal(f"bad 3d specification {text!r}") from error
    return x, y, z


def argument(rest: list[str], index: int, what: str) -> str:
    """A part of the path that must be there."""
    if len(rest) <= index:
        raise Refusal(f"expected {what} in the URL")
    return rest[index]
