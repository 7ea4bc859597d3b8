"""Repositories, their version graphs, and data that is inherited along them."""

from __future__ import annotations

import copy
import hashlib
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Generic, TypeVar

from tests.dvid_double.replies import Refusal

T = TypeVar("T")

FIRST_MUTATION = 1_000_000_001
"""Mutation ids do not begin at one, and no test should believe that they do."""


class Clock:
    """A clock that moves on by a minute each time it is read, so that all times can be foretold.

    `set` moves it.  Times carry nine digits of fraction, of which Python knows six.
    """

    def __init__(self, start: datetime = datetime(2024, 2, 1, 12, 0, 0, tzinfo=UTC)) -> None:
        self.time = start
        self.ticks = 0

    def set(self, time: datetime) -> None:
        """The next reading is this time."""
        self.time = time

    def read(self) -> datetime:
        """The time now; a minute passes."""
        now = self.time
        self.time += timedelta(minutes=1)
        self.ticks += 1
        return now


def rfc3339(time: datetime, nanoseconds: int = 0) -> str:
    """A time as Go writes it into JSON: up to nine digits of fraction without zeros at the end, zone as an offset."""
    digits = f"{time.microsecond * 1000 + nanoseconds:09d}".rstrip("0")
    zone = time.strftime("%z")
    offset = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:5]}"
    return f"{time:%Y-%m-%dT%H:%M:%S}{'.' + digits if digits else ''}{offset}"


@dataclass(eq=False)
class DagNode:
    """One version."""

    uuid: str
    version_id: int
    branch: str
    created: datetime
    updated: datetime
    parents: list[DagNode] = field(default_factory=list)
    children: list[DagNode] = field(default_factory=list)
    locked: bool = False
    note: str = ""
    log: list[str] = field(default_factory=list)

    def chain(self) -> list[DagNode]:
        """This node, its parent, and so on to the root; at a merge the last parent counts."""
        nodes = [self]
        while nodes[-1].parents:
            nodes.append(nodes[-1].parents[-1])
        return nodes

    def ancestors(self) -> list[DagNode]:
        """The chain from leaf to root; other parents of a merge are listed, but not followed (B.2)."""
        nodes = []
        for node in self.chain():
            nodes.append(node)
            nodes.extend(node.parents[:-1])
        return nodes

    def described(self, visible: set[str] | None) -> dict[str, Any]:
        """The node in `/info`.  Every second leaf has `null` for its children."""

        def versions(nodes: list[DagNode]) -> list[int]:
            return [node.version_id for node in nodes if visible is None or node.uuid in visible]

        children: list[int] | None = versions(self.children)
        if not self.children and self.version_id % 2 == 0:
            children = None
        return {
            "Branch": self.branch,
            "Note": self.note,
            "Log": self.log or None,
            "UUID": self.uuid,
            "VersionID": self.version_id,
            "Locked": self.locked,
            "Parents": versions(self.parents),
            "Children": children,
            "Created": rfc3339(self.created, 123),
            "Updated": rfc3339(self.updated.astimezone(timezone(timedelta(hours=-5))), 450),
        }


class Versioned(Generic[T]):
    """A value for every node, inherited from the parent until the node gets its own."""

    def __init__(self, empty: T) -> None:
        self._empty = empty
        self._own: dict[str, T] = {}

    def at(self, node: DagNode) -> T:
        """The value seen at a node: read only."""
        return next((self._own[n.uuid] for n in node.chain() if n.uuid in self._own), self._empty)

    def changing(self, node: DagNode) -> T:
        """The node's own value, copied from its parent's at first, to be changed."""
        if node.uuid not in self._own:
            self._own[node.uuid] = copy.copy(self.at(node))
        return self._own[node.uuid]

    def put(self, node: DagNode, value: T) -> None:
        """Replace the value at a node."""
        self._own[node.uuid] = value


class Graph:
    """All repositories of a server."""

    def __init__(self, dvid: Any) -> None:
        self.dvid = dvid  # the server that shows this graph
        self.clock = Clock()
        self.lock = threading.RLock()
        self.repos: list[Repo] = []
        self.versions = 0
        self.mutations = FIRST_MUTATION - 1

    def next_version(self) -> int:
        """A number for a new node, over all repositories."""
        self.versions += 1
        return self.versions

    def nodes(self) -> list[DagNode]:
        """Every node of every repository."""
        return [node for repo in self.repos for node in repo.nodes.values()]

    def repo_of(self, node: DagNode) -> Repo:
        """The repository that holds a node."""
        return next(repo for repo in self.repos if repo.nodes.get(node.uuid) is node)

    def resolve(self, expression: str) -> DagNode:
        """The node that an expression names: `PREFIX`, `[PREFIX]:BRANCH` or `[PREFIX]:BRANCH~N` (B.2)."""
        prefix, *branches = expression.split(":")
        if len(branches) > 1:
            raise Refusal(f'bad UUID specification "{expression}": more than one ":"')
        if not branches:
            return self._by_prefix(prefix)
        if prefix:
            repo = self.repo_of(self._by_prefix(prefix))
        elif len(self.repos) == 1:
            repo = self.repos[0]
        else:
            raise Refusal(f'branch specification "{expression}" without a UUID requires a server with one repo')
        return repo.on_branch(branches[0])

    def _by_prefix(self, prefix: str) -> DagNode:
        found = [node for node in self.nodes() if node.uuid.startswith(prefix)]
        exact = [node for node in found if node.uuid == prefix]
        if not found:
            raise Refusal(f"could not find UUID with partial match to {prefix}!")
        if len(found) > 1 and not exact:
            raise Refusal(f"more than one UUID matches {prefix}!")
        return (exact or found)[0]


class Repo:
    """A version graph and the data instances in it; made by `DvidDouble.new_repo`."""

    def __init__(self, graph: Graph, alias: str, root: str | None = None) -> None:
        self.graph, self.alias = graph, alias
        self.lock = graph.lock
        self.nodes: dict[str, DagNode] = {}
        self.instances: dict[str, Any] = {}
        self.root = self._new_node("", [], root).uuid

    def _new_node(self, branch: str, parents: list[str], uuid: str | None) -> DagNode:
        with self.lock:
            version, now = self.graph.next_version(), self.graph.clock.read()
            if uuid is None:
                seed = f"{self.alias}/{version}"
                uuid = hashlib.md5(seed.encode(), usedforsecurity=False).hexdigest()
            if any(node.uuid == uuid for node in self.graph.nodes()):
                raise ValueError(f"there is a node {uuid} already")
            node = DagNode(uuid, version, branch, now, now, [self.nodes[parent] for parent in parents])
            for parent in node.parents:
                if not parent.locked:
                    raise Refusal(f"can't create new version from open node {parent.uuid}")
                parent.children.append(node)
                parent.updated = now
            self.nodes[uuid] = node
            return node

    def node(self, uuid: str) -> DagNode:
        """A node by its full uuid."""
        return self.nodes[uuid]

    def commit(self, uuid: str, note: str = "") -> str:
        """Lock a node; gives back its uuid."""
        with self.lock:
            node = self.nodes[uuid]
            node.locked, node.note, node.updated = True, note or node.note, self.graph.clock.read()
            return uuid

    def touch(self, uuid: str, note: str) -> None:
        """Write a note, which a locked node permits and which moves its `Updated`."""
        node = self.nodes[uuid]
        node.note, node.updated = note, self.graph.clock.read()
        node.log.append(f"{rfc3339(node.updated)}  {note}")

    def child(self, uuid: str, branch: str | None = None, *, new_uuid: str | None = None) -> str:
        """A new open version of a locked node, on the same branch unless another is named ('' is master)."""
        return self._new_node(self.nodes[uuid].branch if branch is None else branch, [uuid], new_uuid).uuid

    def merge(self, first: str, last: str) -> str:
        """A new open version with two parents, on the branch of the last one, whose data it inherits."""
        return self._new_node(self.nodes[last].branch, [first, last], None).uuid

    def leaf(self, branch: str) -> DagNode:
        """The newest node of a branch ('' or 'master' is the default one)."""
        wanted = "" if branch == "master" else branch
        for node in reversed(self.nodes.values()):
            if node.branch == wanted and not any(child.branch == wanted for child in node.children):
                return node
        raise Refusal(f'branch "{branch}" not found in repo')

    def on_branch(self, expression: str) -> DagNode:
        """The node that `BRANCH` or `BRANCH~N` names."""
        branch, tilde, steps = expression.partition("~")
        leaf = self.leaf(branch)
        if not tilde:
            return leaf
        chain = leaf.ancestors()
        if not steps.isdigit() or int(steps) >= len(chain):
            raise Refusal(f'bad number of versions "{steps}" before leaf of branch "{branch}"')
        return chain[int(steps)]

    def next_mutation(self) -> int:
        """A mutation id."""
        self.graph.mutations += 1
        return self.graph.mutations

    def open_node(self, uuid: str) -> DagNode:
        """A node that may be written to; a test that writes to a locked one has a mistake in it."""
        node = self.nodes[uuid]
        if node.locked:
            raise ValueError(f"node {uuid} is locked")
        return node

    def described(self, visible: set[str] | None = None) -> dict[str, Any]:
        """The document of `/info`, with only the nodes that may be seen."""
        nodes = [node for node in self.nodes.values() if visible is None or node.uuid in visible]
        return {
            "Root": self.root,
            "Alias": self.alias,
            "Description": "",
            "Log": None,
            "Properties": {},
            "DataInstances": {name: instance.described() for name, instance in self.instances.items()},
            "DAG": {"Root": self.root, "Nodes": {node.uuid: node.described(visible) for node in nodes}},
            "Created": rfc3339(self.nodes[self.root].created, 7),
            "Updated": rfc3339(max(node.updated for node in self.nodes.values())),
        }

    def labelmap(
        self,
        name: str,
        cube: Any = None,
        offset_zyx: tuple[int, int, int] = (0, 0, 0),
        voxel_size: tuple[float, float, float] = (8, 8, 8),
        **options: Any,
    ) -> Any:
        """A labelmap whose supervoxels are `cube` (uint64, zyx) at the root; `voxel_size` is x, y, z in nm."""
        from tests.dvid_double.labelmap import Labelmap  # noqa: PLC0415 - the types know the graph, not it them

        return Labelmap(self, name, cube, offset_zyx, voxel_size, **options)

    def annotation(self, name: str, **options: Any) -> Any:
        """Point annotations."""
        from tests.dvid_double.annotation import Annotation  # noqa: PLC0415

        return Annotation(self, name, **options)

    def neuronjson(self, name: str) -> Any:
        """Body annotations."""
        from tests.dvid_double.neuronjson import NeuronJson  # noqa: PLC0415

        return NeuronJson(self, name)

    def keyvalue(self, name: str) -> Any:
        """Values by key."""
        from tests.dvid_double.keyvalue import KeyValue  # noqa: PLC0415

        return KeyValue(self, name)

    def roi(self, name: str, block_size: int = 32) -> Any:
        """A region of interest, in blocks."""
        from tests.dvid_double.roi import Roi  # noqa: PLC0415

        return Roi(self, name, block_size)
