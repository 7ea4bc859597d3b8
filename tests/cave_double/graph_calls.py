"""The chunkedgraph over HTTP (2.7): statuses are what they are here, unlike in the other services."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from typing import Any

import numpy as np

from tests.cave_double.clock import UTC
from tests.cave_double.graph import LAYERS, ChunkedGraph, Operation
from tests.cave_double.replies import Refusal, Reply, Request, json_reply, service_error


def graph_error(status: int, message: str) -> Refusal:
    """The error object of the chunkedgraph service."""
    return service_error(message, status, timestamp="2026-01-05T08:10:00.215114", duration=1.5)


def graph_call(graph: ChunkedGraph, request: Request, rest: list[str]) -> Reply:
    """`/segmentation/api/v1/table/{table}/...`."""
    match request.method, rest:
        case "POST", ["roots_binary"]:
            return roots_binary(graph, request)
        case "POST", ["roots"]:
            roots = graph.roots_at(node_ids(request), time_of(request))
            return numbers(request, {"root_ids": roots.tolist()})
        case "GET", ["node", node, "root"]:
            return one_root(graph, request, node)
        case "GET", ["node", node, "leaves"]:
            return numbers(request, {"leaf_ids": leaves(graph, request, number(node)).tolist()})
        case "POST", ["node", "leaves_many"]:
            return numbers(request, {str(n): graph.leaves(n).tolist() for n in node_ids(request).tolist()})
        case "GET", ["node", node, "children"]:
            return numbers(request, {"children_ids": children(graph, number(node))})
        case "GET", ["node", node, ("lvl2_graph" | "subgraph") as what]:
            return numbers(request, connections(graph, number(node), what))
        case _:
            return roots_call(graph, request, rest)


def roots_call(graph: ChunkedGraph, request: Request, rest: list[str]) -> Reply:
    """What is known of roots one by one."""
    match request.method, rest:
        case "POST", [("is_latest_roots" | "root_timestamps") as what]:
            return about_roots(graph, request, what)
        case "GET", ["root", root, "change_log"]:
            return numbers(request, change_log(graph, number(root)))
        case "GET", ["root", root, "merge_log"]:
            return numbers(request, merge_log(graph, number(root)))
        case "GET", ["tabular_change_log_many"]:
            return json_reply({str(r): tabular(graph, r) for r in body(request)["root_ids"]})
        case "GET", ["operation_details"]:
            wanted = json.loads(request.args["operation_ids"])
            return json_reply({str(n): details(graph.operations[n]) for n in wanted if n in graph.operations})
        case _:
            return lineage_call(graph, request, rest)


def lineage_call(graph: ChunkedGraph, request: Request, rest: list[str]) -> Reply:
    """How roots followed each other."""
    past, future = time_of(request, "timestamp_past"), time_of(request, "timestamp_future")
    match request.method, rest:
        case "GET", ["past_id_mapping"]:
            return past_ids(graph, request, past, future)
        case "POST", ["lineage_graph_multiple"]:
            return numbers(request, lineage(graph, body(request)["root_ids"], past, future))
        case "GET", ["root", root, "lineage_graph"]:
            return numbers(request, lineage(graph, [number(root)], past, future))
        case "GET", ["delta_roots"]:
            old, new = (set(np.unique(graph.state(time)).tolist()) for time in (past, future))
            return numbers(request, {"old_roots": sorted(old - new), "new_roots": sorted(new - old)})
        case "GET", ["oldest_timestamp"]:
            return json_reply({"iso": graph.times[0].isoformat()})
        case "GET", ["valid_nodes"]:
            wanted = body(request)["node_ids"]
            end = time_of(request, "end_timestamp")
            return numbers(request, {"valid_roots": [node for node in wanted if graph.is_latest(node, end)]})
    if request.method == "POST" and rest and rest[0] in {"merge", "split", "undo", "redo"}:
        raise graph_error(403, "the double lets nobody edit over HTTP")
    raise graph_error(404, "The requested URL was not found on the server.")


# --- arguments ------------------------------------------------------------------------------------------------------


def time_of(request: Request, name: str = "timestamp") -> dt.datetime | None:
    """A time of the query: POSIX seconds, in UTC."""
    text = request.args.get(name)
    if text is None:
        return None
    try:
        return dt.datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError) as error:
        raise graph_error(400, f"Timestamp parameter is not a valid unix timestamp: {text}") from error


def number(text: str) -> int:
    """A node of the path."""
    if not text.isdigit() or int(text) >= 2**64:
        raise graph_error(400, f"Node ID {text} is not an unsigned 64-bit integer")
    return int(text)


def body(request: Request) -> dict[str, Any]:
    """The JSON of the body, which some GETs have, too; a proxy that drops it makes this fail."""
    try:
        return dict(json.loads(request.body))
    except (ValueError, TypeError) as error:
        raise graph_error(400, f"the body is no JSON object: {error}") from error


def node_ids(request: Request) -> np.ndarray:
    """The nodes of the body, uint64."""
    return np.array([int(node) for node in body(request)["node_ids"]], np.uint64)


def numbers(request: Request, value: Any) -> Reply:
    """JSON with ids as bare numbers, or as text if the request wants them so."""
    if request.args.get("int64_as_str", "").lower() in {"true", "1"}:
        value = texts(value)
    return json_reply(value)


def texts(value: Any) -> Any:
    """The same with integers as text."""
    if isinstance(value, dict):
        return {key: texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [texts(item) for item in value]
    return str(value) if type(value) is int else value


# --- answers --------------------------------------------------------------------------------------------------------


def roots_binary(graph: ChunkedGraph, request: Request) -> Reply:
    """Little-endian uint64 in, as many out; with `stop_layer=2` the nodes of layer 2."""
    if len(request.body) % 8:
        raise graph_error(400, f"body of {len(request.body)} bytes is no array of uint64")
    nodes = np.frombuffer(request.body, "<u8").astype(np.uint64)
    roots = graph.roots_at(nodes, time_of(request))
    if request.args.get("stop_layer") == "2":
        roots = graph.level2_of(nodes, roots)
    return Reply(roots.astype("<u8").tobytes(), "application/octet-stream")


def one_root(graph: ChunkedGraph, request: Request, node: str) -> Reply:
    """The root of a supervoxel at a time."""
    supervoxels = np.array([number(node)], np.uint64)
    roots = graph.roots_at(supervoxels, time_of(request))
    if not roots[0]:
        raise graph_error(400, f"{node} has no root at this time")
    if request.args.get("stop_layer") == "2":
        roots = graph.level2_of(supervoxels, roots)
    return numbers(request, {"root_id": int(roots[0])})


def leaves(graph: ChunkedGraph, request: Request, node: int) -> np.ndarray:
    """Supervoxels (or, with `stop_layer=2`, the nodes above them) of a root.

    The double has no voxels: bounds are checked for their form, and leave all supervoxels in.
    """
    if bounds := request.args.get("bounds"):
        spans = [span.split("-") for span in bounds.split("_")]
        if len(spans) != 3 or any(len(span) != 2 or not all(end.isdigit() for end in span) for span in spans):
            raise graph_error(400, f"bad bounds {bounds}")
    if node not in graph.roots and not len(graph.leaves(node)):
        raise graph_error(400, f"{node} is no node of {graph.name}")
    if request.args.get("stop_layer") == "2":
        return np.array(graph.level2(node), np.uint64)
    return graph.leaves(node)


def children(graph: ChunkedGraph, node: int) -> list[int]:
    """What is directly below a node: nodes of layer 2 below a root, supervoxels below those."""
    return graph.level2(node) if node in graph.roots else graph.leaves(node).tolist()


def about_roots(graph: ChunkedGraph, request: Request, what: str) -> Reply:
    """Whether roots are the latest ones, or since when they exist."""
    roots = node_ids(request).tolist()
    if what == "is_latest_roots":
        time = time_of(request)
        return json_reply({"is_latest": [graph.is_latest(root, time) for root in roots]})
    unknown = [root for root in roots if root not in graph.roots]
    if unknown:
        raise graph_error(400, f"{unknown[0]} is no root of {graph.name}")
    return json_reply({"timestamp": [graph.roots[root].created.timestamp() for root in roots]})


def past_ids(graph: ChunkedGraph, request: Request, past: dt.datetime | None, future: dt.datetime | None) -> Reply:
    """For each root those at the past time, and those at the future time, that share supervoxels with it."""

    def mapped(time: dt.datetime | None, wanted: bool) -> dict[str, list[int]]:
        if not wanted:
            return {}
        roots = body(request)["root_ids"]
        return {str(root): np.unique(graph.roots_at(graph.leaves(int(root)), time)).tolist() for root in roots}

    maps = {"past_id_map": mapped(past, past is not None), "future_id_map": mapped(future, future is not None)}
    return numbers(request, maps)


def operations_of(graph: ChunkedGraph, root: int) -> list[Operation]:
    """The edits that led to a root, oldest first."""
    before = graph.history([root], None, graph.roots[root].created) if root in graph.roots else set()
    found = {graph.roots[r].operation.id for r in before if graph.roots[r].operation is not None}  # type: ignore[union-attr]
    return [graph.operations[number] for number in sorted(found)]


def change_log(graph: ChunkedGraph, root: int) -> dict[str, Any]:
    """How often a root was merged and split, by which operations and users."""
    operations = operations_of(graph, root)
    users: dict[str, dict[str, int]] = {}
    for operation in operations:
        counts = users.setdefault(operation.user, {"n_mergers": 0, "n_splits": 0})
        counts["n_mergers" if operation.kind == "merge" else "n_splits"] += 1
    return {
        "n_mergers": sum(operation.kind == "merge" for operation in operations),
        "n_splits": sum(operation.kind == "split" for operation in operations),
        "operations_ids": [operation.id for operation in operations],
        "past_ids": sorted({old for operation in operations for old in operation.old}),
        "user_info": users,
    }


def merge_log(graph: ChunkedGraph, root: int) -> dict[str, Any]:
    """The edges that merges put in, as supervoxels and as places (which the double makes of the supervoxels)."""
    edges = [list(operation.edge) for operation in operations_of(graph, root) if operation.kind == "merge"]
    places = [[[node % 1000, node % 997, node % 991] for node in edge] for edge in edges]
    return {"merge_edges": edges, "merge_edge_coords": places}


def connections(graph: ChunkedGraph, root: int, what: str) -> dict[str, Any]:
    """What touches what within a root: in the double each node the one after it."""
    if what == "lvl2_graph":
        nodes = graph.level2(root)
        return {"edge_graph": [list(pair) for pair in itertools.pairwise(nodes)]}
    edges = [list(pair) for pair in itertools.pairwise(graph.leaves(root).tolist())]
    return {"nodes": edges, "affinities": [0.9] * len(edges), "areas": [100] * len(edges)}


def tabular(graph: ChunkedGraph, root: int) -> str:
    """The edits of a root as a table, which travels as JSON within JSON: column, row, value."""
    operations = operations_of(graph, int(root))
    columns: dict[str, list[Any]] = {
        "operation_id": [operation.id for operation in operations],
        "timestamp": [int(operation.time.timestamp() * 1000) for operation in operations],
        "user_id": [operation.user for operation in operations],
        "before_root_ids": [operation.old for operation in operations],
        "after_root_ids": [operation.new for operation in operations],
        "is_merge": [operation.kind == "merge" for operation in operations],
    }
    return json.dumps({name: {str(row): value for row, value in enumerate(values)} for name, values in columns.items()})


def lineage(
    graph: ChunkedGraph, roots: list[int], past: dt.datetime | None, future: dt.datetime | None
) -> dict[str, Any]:
    """The graph of descent in the form that networkx calls node-link."""
    members = graph.history([int(root) for root in roots], past, future)
    nodes = []
    for root in sorted(members):
        entry: dict[str, Any] = {"id": root, "timestamp": graph.roots[root].created.timestamp()}
        if graph.roots[root].operation is not None:
            entry["operation_id"] = graph.roots[root].operation.id  # type: ignore[union-attr]
        nodes.append(entry)
    links = [
        {"source": former, "target": root}
        for root in sorted(members)
        for former in graph.roots[root].former
        if former in members
    ]
    return {"directed": True, "multigraph": False, "graph": {}, "nodes": nodes, "links": links}


def details(operation: Operation) -> dict[str, Any]:
    """An operation in full."""
    return {
        "user": operation.user,
        "timestamp": operation.time.isoformat(sep=" "),
        "operation_status": 0,
        "roots": operation.new,
    }


def segmentation_info(graph: ChunkedGraph) -> dict[str, Any]:
    """`/segmentation/table/{table}/info`: what a viewer needs to know, and how the graph is cut."""
    scale = {
        "chunk_sizes": [[256, 256, 32]],
        "encoding": "compressed_segmentation",
        "compressed_segmentation_block_size": [8, 8, 8],
        "key": "8_8_40",
        "resolution": [8, 8, 40],
        "size": [192424, 131051, 13008],
        "voxel_offset": [26385, 30308, 14850],
    }
    cuts = {"chunk_size": [256, 256, 512], "bounding_box": [2048, 2048, 512], "n_layers": LAYERS}
    return {
        "app": {"supported_api_versions": [0, 1]},
        "data_dir": f"gs://bucket/{graph.name}",
        "data_type": "uint64",
        "graph": {**cuts, "n_bits_for_layer_id": 8, "spatial_bit_masks": {"1": 10, "2": 10, "12": 1}},
        "mesh": "graphene_meshes",
        "num_channels": 1,
        "scales": [scale],
        "type": "segmentation",
    }
