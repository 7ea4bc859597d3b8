"""From a request to whoever answers it: access, the server's own calls, the graph's, the data instances'."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.dvid_double.graph import DagNode, Repo
from tests.dvid_double.replies import Refusal, Reply, Request, json_reply

if TYPE_CHECKING:
    from tests.dvid_double.server import DvidDouble

WRITES = {"POST", "PUT", "DELETE"}


@dataclass
class Access:
    """Who may do what: `mode` is 'none', 'jwt' (400 without a token) or 'dsg' (401, 403, 502).

    `tokens` are good ones; `strangers` are known but not let in (dsg); `public` uuids may be read by everybody;
    `blocked` users get 429.
    """

    admin_token: str | None = None
    mode: str = "none"
    tokens: set[str] = field(default_factory=set)
    strangers: set[str] = field(default_factory=set)
    public: set[str] = field(default_factory=set)
    blocked: set[str] = field(default_factory=set)
    service_down: bool = False

    def is_admin(self, request: Request) -> bool:
        """Whether the request carries the admin token."""
        return self.admin_token is not None and request.args.get("admintoken") == self.admin_token

    def token(self, request: Request) -> str | None:
        """The token that a request carries."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token
        cookies = dict(part.strip().partition("=")[::2] for part in request.headers.get("cookie", "").split(";"))
        return cookies.get("dsg_token") if self.mode == "dsg" else None

    def visible(self, request: Request) -> set[str] | None:
        """The uuids that this request may see; None for all."""
        known = self.mode == "none" or self.token(request) in self.tokens
        return None if known else self.public

    def check(self, request: Request, node: DagNode) -> None:
        """Refuse who may not read this node."""
        if self.mode == "none" or (request.method not in WRITES and node.uuid in self.public):
            return
        token = self.token(request)
        if self.mode == "jwt":
            if token not in self.tokens:
                raise Refusal("JWT required for this request")
            return
        if self.service_down:
            raise Refusal("could not reach DatasetGateway", 502)
        if token in self.strangers:
            raise Refusal("no access to this dataset", 403)
        if token not in self.tokens:
            raise Refusal("missing or bad token", 401)


def route(dvid: DvidDouble, request: Request) -> Reply:
    """The answer to a request."""
    if request.args.get("u") in dvid.access.blocked:
        raise Refusal("user or IP is blocked", 429)
    match request.segments:
        case ["api", "server", what]:
            return server_call(dvid, request, what)
        case ["api", "heartbeat"]:
            return json_reply({"status": "alive"})
        case ["api", "repos", "info"]:
            visible = dvid.access.visible(request)
            return json_reply({repo.root: repo.described(visible) for repo in dvid.repos})
        case ["api", "repos"] if request.method == "POST":
            if dvid.access.admin_token is not None and not dvid.access.is_admin(request):
                raise Refusal("creating a repo needs the admin token", 401)
            with dvid.lock:
                return json_reply({"root": dvid.new_repo((request.json() or {}).get("alias", "")).root})
        case ["api", "repo", expression, *rest]:
            with dvid.lock:
                return repo_call(dvid, request, resolved(dvid, request, expression), rest)
        case ["api", "node", expression, what] if what in NODE_CALLS:
            with dvid.lock:
                return node_call(dvid, request, resolved(dvid, request, expression), what)
        case ["api", "node", expression, instance, endpoint, *rest]:
            return data_call(dvid, request, expression, instance, endpoint, rest)
    raise Refusal("404 page not found", 404, bare=True)


def resolved(dvid: DvidDouble, request: Request, expression: str) -> DagNode:
    """The node of an expression, if the request may see it."""
    if "~" in expression and not dvid.abilities.steps_back:
        raise Refusal(f'branch "{expression.partition(":")[2]}" not found in repo')
    node = dvid.graph.resolve(expression)
    dvid.access.check(request, node)
    return node


def server_call(dvid: DvidDouble, request: Request, what: str) -> Reply:
    """`/api/server/...`."""
    if what == "info":
        return json_reply(
            {
                "DVID Version": dvid.abilities.version,
                "Datastore Version": "0.9",
                "Server time": "2024-02-01 12:00:00.123456789 +0000 UTC m=+10.000000001",
                "Server uptime": "10.5s",
                "Storage backend": "badger",
                "Host": f"127.0.0.1:{dvid.port}",
                "Note": "",
            }
        )
    if what == "token":
        if dvid.access.mode == "dsg":
            raise Refusal("tokens come from DatasetGateway")
        return Reply(next(iter(dvid.access.tokens), "").encode(), "text/plain")
    raise Refusal("404 page not found", 404, bare=True)


def repo_call(dvid: DvidDouble, request: Request, node: DagNode, rest: list[str]) -> Reply:
    """`/api/repo/{uuid}/...`."""
    repo = dvid.graph.repo_of(node)
    match request.method, rest:
        case "HEAD" | "GET", []:
            return json_reply({})
        case "GET", ["info"]:
            return json_reply(repo.described(dvid.access.visible(request)))
        case "GET", ["log"]:
            return json_reply({"log": []})
        case "GET", ["branch-versions", branch] if dvid.abilities.branch_versions:
            try:
                return json_reply([n.uuid for n in repo.leaf(branch).ancestors()])
            except Refusal:
                return json_reply([])
        case "POST", ["instance"]:
            return new_instance(repo, request.json())
        case "POST", ["merge"]:
            parents = [dvid.graph.resolve(parent).uuid for parent in request.json()["parents"]]
            return json_reply({"child": repo.merge(*parents)})
    raise Refusal(f"Unrecognized API call {'/'.join(rest)}")


def new_instance(repo: Repo, wanted: dict[str, Any]) -> Reply:
    """Make a data instance over HTTP."""
    name, typename = wanted.get("dataname"), wanted.get("typename")
    if not name or name in repo.instances:
        raise Refusal(f"data instance name {name!r} is missing or taken")
    voxel_size = tuple(float(size) for size in str(wanted.get("VoxelSize", "8,8,8")).split(","))
    makers = {
        "labelmap": lambda n: repo.labelmap(n, voxel_size=voxel_size, max_scale=int(wanted.get("MaxDownresLevel", 2))),
        "annotation": repo.annotation,
        "neuronjson": repo.neuronjson,
        "keyvalue": repo.keyvalue,
        "roi": lambda n: repo.roi(n, int(str(wanted.get("BlockSize", "32,32,32")).split(",")[0])),
    }
    if typename not in makers:
        raise Refusal(f"unknown data type {typename!r}")
    makers[typename](name)
    return json_reply({"result": f"Added {name} [{typename}] to node"})


NODE_CALLS = {"commit", "status", "note", "log", "newversion", "branch"}


def node_call(dvid: DvidDouble, request: Request, node: DagNode, what: str) -> Reply:
    """`/api/node/{uuid}/...` about the node itself."""
    repo = dvid.graph.repo_of(node)
    match request.method, what:
        case "GET", "commit" | "status":
            return json_reply({"Locked": node.locked})
        case "GET", "note":
            return json_reply({"note": node.note})
        case "GET", "log":
            return json_reply({"log": node.log})
        case "POST", "commit":
            repo.commit(node.uuid, (request.json() if request.body else {}).get("note", ""))
            return json_reply({"committed": node.uuid})
        case "POST", "note":
            repo.touch(node.uuid, request.json().get("note", ""))
            return Reply()
        case "POST", "newversion":
            return json_reply({"child": repo.child(node.uuid)})
        case "POST", "branch":
            return json_reply({"child": repo.child(node.uuid, request.json()["branch"])})
    raise Refusal(f"Unrecognized API call {what}")


def data_call(dvid: DvidDouble, request: Request, expression: str, name: str, endpoint: str, rest: list[str]) -> Reply:
    """`/api/node/{uuid}/{instance}/{endpoint}/...`."""
    with dvid.lock:
        node = resolved(dvid, request, expression)
        instance = dvid.graph.repo_of(node).instances.get(name)
        if instance is None:
            raise Refusal(f"invalid data instance name '{name}'")
        writes = request.method in WRITES and endpoint not in instance.read_only_posts
        if writes and node.locked and not dvid.access.is_admin(request):
            raise Refusal(f'Cannot do {request.method} on endpoint "{endpoint}" of locked node {node.uuid}')
        if endpoint != "mutations":
            return instance.handle(request, node, endpoint, rest)
    return instance.handle(request, node, endpoint, rest)  # takes its time, and must not hold up the others
