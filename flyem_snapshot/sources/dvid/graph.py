"""The version graph: which node a reference such as `:master` or `1d7b~2` means, and where it comes from."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from flyem_snapshot.config.suggest import closest
from flyem_snapshot.sources.dvid.failures import UnknownReference
from flyem_snapshot.sources.dvid.http import DvidClient, DvidError, Incomplete, require_list, require_object
from flyem_snapshot.sources.dvid.times import moment

logger = logging.getLogger(__name__)

MASTER: Final = "master"
"""What people call the default branch; the server's own name of it is empty."""

_REFERENCE: Final = re.compile(r"(?P<prefix>[^:~]*)(?::(?P<branch>[^:~]*)(?:~(?P<back>\d+))?)?", re.ASCII)


@dataclass(frozen=True)
class DagNode:
    """One version of a repository, as the server shows it to us; `branch` is empty for master."""

    uuid: str
    version_id: int
    branch: str
    locked: bool
    parents: tuple[str, ...]
    children: tuple[str, ...]
    created: datetime | None
    updated: datetime | None
    note: str


@dataclass(frozen=True)
class InstanceInfo:
    """One data instance of a repository.  `data_uuid` outlives its name: it belongs in cache keys."""

    name: str
    typename: str
    data_uuid: str
    extended: Mapping[str, Any]


@dataclass(frozen=True)
class Node:
    """One version, found once and named by its full uuid from then on.

    `locked` and `dag` are as of the moment when it was asked for.  `chain` holds the uuids from the repository's root
    to this node; where two versions were merged it goes through the last parent, as the server does.  A server with
    access control may hide nodes, so `dag` need not be everything.
    """

    client: DvidClient
    uuid: str
    locked: bool
    branch: str
    repo_root: str
    alias: str
    chain: tuple[str, ...]
    dag: Mapping[str, DagNode]
    instances: Mapping[str, InstanceInfo]

    def path(self, instance: str, *rest: str) -> str:
        """`api/node/<uuid>/<instance>/...`, each part quoted."""
        return self.path_at(self.uuid, instance, *rest)

    def path_at(self, uuid: str, instance: str, *rest: str) -> str:
        """The same for another node of the repository."""
        return "/".join(["api", "node", *(quote(part, safe="") for part in (uuid, instance, *rest))])

    def instance(self, name: str, *types: str) -> InstanceInfo:
        """An instance of the repository; DvidError if there is none of that name, or if it is of none of the types."""
        found = self.instances.get(name)
        if found is None:
            like = closest(name, self.instances)
            hint = f"did you mean '{like}'?" if like else f"there are: {', '.join(sorted(self.instances)) or 'none'}"
            raise self.client.error(self.path(name), f"the repository has no instance '{name}'", hint=hint)
        if types and found.typename not in types:
            problem = f"'{name}' is of type {found.typename}, not {' or '.join(types)}"
            raise self.client.error(self.path(name), problem)
        return found

    def refreshed(self) -> Node:
        """The same node as the server shows it now; it may have been locked meanwhile."""
        return _node(self.client, _repo_info(self.client, self.uuid), self.uuid)


def resolve(client: DvidClient, reference: str) -> Node:
    """The node that a reference means: a uuid or its beginning, a branch, `[uuid]:branch` or `[uuid]:branch~N`.

    `master` is the default branch, a branch means its newest node, and `~N` the N-th before that in the server's own
    list.  Without a uuid before the colon the server must hold one repository only.
    Raises DvidError if there is no such node, or more than one.
    """
    reference = reference.strip()
    if not reference or not (_REFERENCE.fullmatch(reference) or _REFERENCE.fullmatch(f":{reference}")):
        hint = "write a uuid, a branch, uuid:branch or uuid:branch~N"
        raise _meaningless(client, reference, f"'{reference}' cannot mean a node", hint)
    info, meant = _found(client, reference)
    match = _REFERENCE.fullmatch(meant)
    if match is None:
        raise _meaningless(client, meant, f"'{reference}' cannot mean a node")
    if match["branch"] is None:
        return _node(client, info, _by_prefix(client, info, match["prefix"]))
    return _node(client, info, _by_branch(client, info, match["branch"] or MASTER, int(match["back"] or 0)))


def _found(client: DvidClient, reference: str) -> tuple[dict[str, Any], str]:
    """The repository's document and the reference in the server's grammar, which knows no bare names of branches."""
    try:
        return _repo_info(client, reference), reference
    except DvidError as error:
        if not _not_found(error):
            raise
        first = error
    if ":" in reference:
        raise _unknown(client, reference, [first])
    try:
        return _repo_info(client, f":{reference}"), f":{reference}"
    except DvidError as error:
        if not _not_found(error):
            raise
        second = error
    raise _unknown(client, reference, [first, second])


def _not_found(error: DvidError) -> bool:
    return error.status == 400 and "JWT" not in error.words  # refused for want of a token is not "no such node"


def _unknown(client: DvidClient, reference: str, errors: list[DvidError]) -> DvidError:
    """Why a reference means nothing here: the server's words, and the repositories if there are several."""
    roots = [] if reference.partition(":")[0] and ":" in reference else _roots(client)
    hint = "it takes the beginning of a uuid that fits one node only, a branch, or uuid:branch"
    if len(roots) > 1:
        hint = f"the server holds several repositories, so write root:branch; roots: {', '.join(roots)}"
    words = "; ".join(dict.fromkeys(error.words for error in errors))
    url = f"{client.server}/{_info_path(reference)}"
    return UnknownReference("GET", url, f"'{reference}' means no node here", status=400, hint=hint, words=words)


def _meaningless(client: DvidClient, reference: str, problem: str, hint: str = "") -> UnknownReference:
    return UnknownReference("GET", f"{client.server}/{_info_path(reference)}", problem, hint=hint)


def _roots(client: DvidClient) -> list[str]:
    try:
        repos = client.json("api/repos/info", check=require_object)
    except DvidError:
        return []  # this only adds to the message of another error
    shown = {str(root): str((repo or {}).get("Alias") or "") for root, repo in repos.items()}
    return [f"{root} ({alias})" if alias else root for root, alias in sorted(shown.items())]


def _info_path(reference: str) -> str:
    return f"api/repo/{quote(reference, safe='')}/info"


def _repo_info(client: DvidClient, reference: str) -> dict[str, Any]:
    info: dict[str, Any] = client.json(_info_path(reference), check=_require_graph)
    return info


def _require_graph(info: Any) -> None:
    require_object(info)
    dag = info.get("DAG")
    if not isinstance(dag, dict) or not isinstance(dag.get("Nodes"), dict):
        raise Incomplete("the description of a repository must hold DAG.Nodes")


def _by_prefix(client: DvidClient, info: Mapping[str, Any], prefix: str) -> str:
    nodes = info["DAG"]["Nodes"]
    fits = [prefix] if prefix in nodes else sorted(uuid for uuid in nodes if uuid.startswith(prefix))
    if len(fits) == 1:
        return fits[0]
    problem = (
        f"'{prefix}' fits {', '.join(fits)}" if fits else f"the server knows '{prefix}' but does not show it to us"
    )
    raise _meaningless(client, prefix, problem)


def _by_branch(client: DvidClient, info: Mapping[str, Any], branch: str, back: int) -> str:
    """The uuid of a branch's newest node, or of the one `back` before it; never counts from the other end."""
    dag = _dag(info)
    listed = _versions(client, info, branch, dag)
    if back < len(listed):
        return listed[back]
    reference = f"{info.get('Root', '')}:{branch}~{back}"
    if not listed:
        branches = {node.branch or MASTER for node in dag.values()}
        like = closest(branch, branches)
        hint = f"did you mean '{like}'?" if like else f"branches: {', '.join(sorted(branches))}"
        raise _meaningless(client, reference, f"there is no branch '{branch}'", hint)
    problem = f"'~{back}' goes beyond the root: branch '{branch}' has {len(listed)} versions"
    raise _meaningless(client, reference, problem, f"~{len(listed) - 1} is the root")


def _versions(client: DvidClient, info: Mapping[str, Any], branch: str, dag: Mapping[str, DagNode]) -> list[str]:
    """The uuids from a branch's newest node to the root, in the server's list if it gives one, else by the graph."""
    root = str(info.get("Root") or "")
    anchor = root if root in dag else next(iter(dag), root)  # one that we may see
    path = f"api/repo/{quote(anchor, safe='')}/branch-versions/{quote(branch, safe='')}"
    try:
        listed = client.json(path, check=require_list)
    except DvidError as error:
        if error.status not in (400, 404):
            raise
        listed = []  # an older server
    shown = [str(uuid) for uuid in listed if uuid in dag]
    if len(shown) < len(listed):
        count = len(listed) - len(shown)
        logger.warning("the server hides %d versions of branch '%s' from us; they do not count", count, branch)
    return shown or list(_leaf_to_root(branch, dag))


def _leaf_to_root(branch: str, dag: Mapping[str, DagNode]) -> Iterator[str]:
    """As the server lists a branch: at a merge all parents are named, and the list goes on from the last one."""
    name = "" if branch == MASTER else branch
    leaves = [
        node
        for node in dag.values()
        if node.branch == name and not any(dag[child].branch == name for child in node.children)
    ]
    node = max(leaves, key=lambda leaf: leaf.version_id, default=None)
    if node is None:
        return
    yield node.uuid
    seen = {node.uuid}
    while node.parents:
        fresh = [uuid for uuid in node.parents if uuid not in seen]
        yield from fresh
        seen.update(fresh)
        if node.parents[-1] not in fresh:
            return
        node = dag[node.parents[-1]]


def _node(client: DvidClient, info: Mapping[str, Any], uuid: str) -> Node:
    dag = _dag(info)
    if uuid not in dag:
        raise client.error(_info_path(uuid), "the server no longer shows this node")
    node = dag[uuid]
    return Node(
        client=client,
        uuid=uuid,
        locked=node.locked,
        branch=node.branch,
        repo_root=str(info.get("Root") or info["DAG"].get("Root") or ""),
        alias=str(info.get("Alias") or ""),
        chain=tuple(reversed(list(ancestry(dag, uuid)))),
        dag=dag,
        instances=dict(_instances(info.get("DataInstances") or {})),
    )


def ancestry(dag: Mapping[str, DagNode], uuid: str) -> Iterator[str]:
    """A node's uuid, then its ancestors up to the root, by the last parent where there are several."""
    seen: set[str] = set()
    while uuid not in seen:
        yield uuid
        seen.add(uuid)
        uuid = (dag[uuid].parents or (uuid,))[-1]


def _dag(info: Mapping[str, Any]) -> dict[str, DagNode]:
    nodes = info["DAG"]["Nodes"]
    uuids = {node.get("VersionID"): str(uuid) for uuid, node in nodes.items()}

    def named(versions: Iterable[int] | None) -> tuple[str, ...]:
        return tuple(uuids[version] for version in versions or () if version in uuids)  # some may be hidden from us

    return {
        str(uuid): DagNode(
            uuid=str(uuid),
            version_id=int(node.get("VersionID") or 0),
            branch="" if node.get("Branch") == MASTER else str(node.get("Branch") or ""),
            locked=bool(node.get("Locked")),
            parents=named(node.get("Parents")),
            children=named(node.get("Children")),
            created=moment(node.get("Created")),
            updated=moment(node.get("Updated")),
            note=str(node.get("Note") or ""),
        )
        for uuid, node in nodes.items()
    }


def _instances(described: Mapping[str, Any]) -> Iterator[tuple[str, InstanceInfo]]:
    for name, instance in described.items():
        base = instance.get("Base") or {}
        extended = instance.get("Extended")
        yield (
            str(name),
            InstanceInfo(
                name=str(name),
                typename=str(base.get("TypeName") or ""),
                data_uuid=str(base.get("DataUUID") or ""),
                extended=extended if isinstance(extended, dict) else {},
            ),
        )
