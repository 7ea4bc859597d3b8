"""What a labelmap answers about supervoxels, bodies and edits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tests.dvid_double.graph import DagNode
from tests.dvid_double.instances import Instance, argument
from tests.dvid_double.replies import Panic, Refusal, Reply, Request, integers, json_reply

if TYPE_CHECKING:
    from tests.dvid_double.labels import Labels

SHARDS = 32
"""Parts in which the map is sent; each is locked alone, so that edits may come between them."""

MIX = np.uint64(0x9E3779B97F4A7C15)


class LabelmapCalls(Instance):
    """The calls that deal in labels; `Labelmap` has the state."""

    typename = "labelmap"
    endpoints: ClassVar[dict[str, tuple[set[str], str]]] = {
        "mapping": ({"GET"}, "get_mapping"),
        "mappings": ({"GET"}, "get_mappings"),
        "supervoxel-splits": ({"GET"}, "get_splits"),
        "mutations": ({"GET"}, "get_mutations"),
        "size": ({"GET"}, "get_size"),
        "sizes": ({"GET"}, "get_sizes"),
        "maxlabel": ({"GET"}, "get_maxlabel"),
        "supervoxels": ({"GET"}, "get_supervoxels"),
        "merge": ({"POST"}, "post_merge"),
        "cleave": ({"POST"}, "post_cleave"),
        "renumber": ({"POST"}, "post_renumber"),
        "split-supervoxel": ({"POST"}, "post_split_supervoxel"),
        "lastmod": ({"GET"}, "get_lastmod"),
    }

    if TYPE_CHECKING:
        state: Any
        logs: dict[str, list[dict[str, Any]]]
        splits: dict[str, list[list[int]]]
        max_labels: dict[str, int]
        next_label: int
        merge: Any
        cleave: Any
        renumber: Any
        split_supervoxel: Any

    # --- the map ----------------------------------------------------------------------------------------------------

    def get_mapping(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """Bodies of supervoxels."""
        request.check_hash()
        svs = np.array(integers(request.json(), "supervoxels"), np.uint64)
        state: Labels = self.state.at(node)
        return json_reply(state.mapped(svs, verified=not request.flag("nolookup")).tolist())

    def get_mappings(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The whole map, as text or in binary, in shards that are read one after the other."""
        binary = request.args.get("format") == "binary" and self.dvid.abilities.binary_mappings
        return Reply(self._shards(node, binary=binary), "application/octet-stream" if binary else "text/plain")

    def shard_of(self, supervoxel: int) -> int:
        """The number of the part (from 0) in which an entry is sent."""
        return int(shards(np.array([supervoxel], np.uint64))[0])

    def _shards(self, node: DagNode, *, binary: bool) -> Iterator[bytes]:
        for number in range(SHARDS):
            with self.repo.lock:
                svs, bodies = self.state.at(node).entries
            chosen = shards(svs) == number
            if not self.dvid.abilities.retired_mappings:
                chosen &= bodies != 0
            pairs = np.stack([svs[chosen], bodies[chosen]], axis=1)
            pairs = pairs[np.argsort(pairs[:, 0] * MIX)]  # the order of a hash table
            if binary:
                yield pairs.astype("<u8").tobytes()
            else:
                yield "".join(f"{sv} {body}\n" for sv, body in pairs.tolist()).encode()

    def get_splits(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """Splits of supervoxels at this node, then at its ancestors."""
        if not self.dvid.abilities.supervoxel_splits:
            raise Refusal(f"Unrecognized API call for labelmap '{self.name}': supervoxel-splits")
        found = [(n.uuid, self.splits[n.uuid]) for n in node.chain() if self.splits.get(n.uuid)]
        return json_reply([item for pair in found for item in pair])

    # --- the log ----------------------------------------------------------------------------------------------------

    def get_mutations(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The log of one node; two who read it at once spoil it for each other (C.6)."""
        if not self.dvid.abilities.json_log:
            raise Refusal("no jsonstore configured")
        with self.dvid.reading_log(f"{self.data_uuid}/{node.uuid}") as crowded, self.repo.lock:
            body = json.dumps(self.logs.get(node.uuid, []), separators=(",", ":")).encode()
        if crowded and self.dvid.corrupt_overlapping_logs:
            body = body[len(body) // 2 :]
        return Reply(body, "application/json")

    # --- sizes ------------------------------------------------------------------------------------------------------

    def get_size(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """Voxels of one label."""
        label = int(argument(rest, 0, "a label"))
        if label == 0:
            raise Refusal("Label 0 is protected background value and cannot be used as sparse volume")
        sizes, exists = self.state.at(node).sizes(np.array([label], np.uint64), supervoxels=request.flag("supervoxels"))
        if not exists[0]:
            raise Refusal("", 404, bare=True)
        return json_reply({"voxels": int(sizes[0])})

    def get_sizes(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """Voxels of many labels; 0 for what does not exist."""
        request.check_hash()
        labels = np.array(integers(request.json(), "labels"), np.uint64)
        sizes, _ = self.state.at(node).sizes(labels, supervoxels=request.flag("supervoxels"))
        return json_reply(sizes.tolist())

    def get_supervoxels(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The supervoxels of a body."""
        members = self.state.at(node).members(int(argument(rest, 0, "a label")))
        if not len(members):
            raise Refusal("", 404, bare=True)
        return json_reply(members.tolist())

    def get_maxlabel(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The greatest label; old servers do not look at the parents."""
        chain = node.chain() if self.dvid.abilities.maxlabel_of_children else [node]
        found = [self.max_labels[n.uuid] for n in chain if n.uuid in self.max_labels]
        if not found:
            raise Refusal(f"No maximum label found for {self.name} version {node.uuid}")
        return json_reply({"maxlabel": max(found)})

    # --- edits ------------------------------------------------------------------------------------------------------

    def post_merge(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """`[target, merged, ...]`."""
        target, *labels = integers(request.json(), "labels")
        return json_reply({"MutationID": self.merge(node.uuid, target, labels, **who(request))})

    def post_cleave(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """`cleave/{body}` with the supervoxels to take off."""
        body = int(argument(rest, 0, "a body"))
        new = self.cleave(node.uuid, body, integers(request.json(), "supervoxels"), **who(request))
        return json_reply({"CleavedLabel": new, "MutationID": self.repo.graph.mutations})

    def post_renumber(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """`[new, old, new, old, ...]`."""
        labels = integers(request.json(), "labels")
        for new, old in zip(labels[::2], labels[1::2], strict=True):
            self.renumber(node.uuid, new, old, **who(request))
        return Reply()

    def post_split_supervoxel(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """`split-supervoxel/{supervoxel}` with the voxels of the split, as runs in x."""
        supervoxel = int(argument(rest, 0, "a supervoxel"))
        split, remain = self.split_supervoxel(node.uuid, supervoxel, voxels_of_runs(request.body), **who(request))
        ids = {"SplitSupervoxel": split, "RemainSupervoxel": remain}
        return json_reply({**ids, "MutationID": self.repo.graph.mutations})

    def get_lastmod(self, request: Request, node: DagNode, rest: list[str]) -> Reply:
        """The last edit that made a body what it is."""
        body = int(argument(rest, 0, "a label"))
        if not len(self.state.at(node).members(body)):
            raise Refusal("", 404, bare=True)
        names = ("Target", "OrigLabel", "CleavedLabel", "NewLabel", "Body")
        for version in node.chain():
            for record in reversed(self.logs.get(version.uuid, [])):
                if body in [record.get(name) for name in names]:
                    return json_reply(
                        {
                            "mutation id": record["MutationID"],
                            "last mod user": record.get("User", ""),
                            "last mod app": record.get("App", ""),
                            "last mod time": record.get("Timestamp", ""),
                        }
                    )
        return json_reply({"mutation id": 0, "last mod user": "", "last mod app": "", "last mod time": ""})


def voxels_of_runs(data: bytes) -> np.ndarray:
    """The voxels (N, 3, zyx) of a sparse volume: a head of 12 bytes, then runs `<i4 x> <i4 y> <i4 z> <i4 length>`."""
    count = int.from_bytes(data[8:12], "little")
    if len(data) != 12 + 16 * count:
        raise Refusal("bad sparse volume")
    runs = np.frombuffer(data, "<i4", offset=12).reshape(-1, 4)
    return np.concatenate([np.stack(np.broadcast_arrays(z, y, x + np.arange(n)), axis=1) for x, y, z, n in runs])


def who(request: Request) -> dict[str, str]:
    """User and program of a request, as they go into the log."""
    return {"user": request.args.get("u", ""), "app": request.args.get("app", "")}


def shards(svs: np.ndarray) -> np.ndarray:
    """The shard of each supervoxel: its hash."""
    return (svs * MIX) >> np.uint64(59)


def points_of(request: Request) -> np.ndarray:
    """The points `[[x, y, z], ...]` of a body, as (N, 3) int64 in x, y, z."""
    points = request.json()
    if points == []:
        return np.zeros((0, 3), np.int64)
    try:
        array = np.array(points)
    except ValueError as error:
        raise Refusal("bad points") from error
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind != "i" or np.abs(array).max() >= 2**31:
        raise Refusal("expected a JSON list of [x, y, z] with 32-bit integers")
    return array


def mishandled(points: np.ndarray, side: int) -> np.ndarray:
    """The voxels that the server really reads: it divides towards zero, so a negative coordinate lands in block 0.

    Its place within the block is then negative; if that makes the index negative, the handler panics (C.3).
    """
    blocks = np.trunc(points / side).astype(np.int64)
    places = points - blocks * side
    index = places @ np.array([1, side, side * side])
    if (index < 0).any():
        raise Panic(f"runtime error: index out of range [{index.min()}]")
    z, y, x = np.unravel_index(index % side**3, (side,) * 3)
    return blocks * side + np.stack([x, y, z], axis=1)
