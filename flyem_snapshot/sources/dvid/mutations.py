"""The edits of a segmentation: the log of each node, supervoxels that were split, and the last edit of all."""

from __future__ import annotations

import json
import logging
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flyem_snapshot.sources.dvid.edits import MalformedError, Mutation, SupervoxelSplit, mutation
from flyem_snapshot.sources.dvid.failures import DvidError, Incomplete
from flyem_snapshot.sources.dvid.graph import Node
from flyem_snapshot.sources.dvid.http import require_list

__all__ = [
    "LastMutation",
    "Mutation",
    "Split",
    "SplitIds",
    "SupervoxelSplit",
    "all_splits",
    "last_mutation",
    "mutations",
    "splits",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LastMutation:
    """The last edit of a node or, if it has none, of the nearest ancestor that has.

    `asked_uuid` is the node, `uuid` the one that was edited; `timestamp` is in UTC and None if the log does not say.
    Without any edit `uuid` is the node, `mutid` 0, `action` empty and `timestamp` that of the node's last update.
    `n_in_node` counts the edits of the node itself; `has_log` is False if the server keeps no log.
    """

    asked_uuid: str
    uuid: str
    mutid: int
    timestamp: datetime | None
    action: str
    user: str
    n_in_node: int
    has_log: bool


@dataclass(frozen=True)
class Split:
    """At node `uuid`, supervoxel `old` was replaced by `remain` and `split`."""

    uuid: str
    mutid: int
    old: int
    remain: int
    split: int


@dataclass(frozen=True)
class SplitIds:
    """Supervoxel ids, each sorted and uint64, as a node sees them.

    `retired`: were split there or at an ancestor, so no voxel has them any more.  `foreign`: were made by splits at
    nodes that are no ancestors, so no voxel has them here.  Points that claim to lie on either must be looked up.
    `known` is False if the server has neither logs nor lists of splits, so that nothing can be said.
    """

    retired: NDArray[np.uint64]
    foreign: NDArray[np.uint64]
    known: bool


def mutations(node: Node, instance: str, uuid: str | None = None) -> list[Mutation] | None:
    """The edits that were made at one node (`uuid`, else the node itself), in the order of the server's log.

    None if the server keeps no log.  Of actions that are not in the table of `Mutation` a warning is logged.
    Logs of locked nodes are asked for once; no log is asked for twice at a time, which this server cannot bear.
    Raises DvidError if the log cannot be had, or if a record lacks what its action needs.
    """
    uuid = uuid or node.uuid
    data_uuid = node.instance(instance).data_uuid
    path = node.path_at(uuid, instance, "mutations")
    with node.client.lock(path):
        kept = node.client.logs.get((data_uuid, uuid))
        content = _asked(node, path) if kept is None else zlib.decompress(kept)
        if content is None:
            return None
        if kept is None and data_uuid and uuid in node.dag and node.dag[uuid].locked:
            node.client.logs[data_uuid, uuid] = zlib.compress(content, 1)
    try:
        edits = [mutation(record) for record in json.loads(content)]
    except MalformedError as error:
        problem = str(error)
    else:
        _warn_of_unknown(node, edits)
        return edits
    raise node.client.error(path, problem, hint="the log of edits is damaged, or of a kind that is new to us")


def _asked(node: Node, path: str) -> bytes | None:
    try:
        return node.client.content(path, check=_require_log)
    except DvidError as error:
        if error.status == 400 and "jsonstore" in error.words.lower():
            return None
        raise


def _require_log(content: bytes) -> None:
    try:
        records = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Incomplete(f"{len(content):,} bytes are no JSON list of mutations: {error}") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise Incomplete("a JSON list of mutations was expected")


def _warn_of_unknown(node: Node, edits: list[Mutation]) -> None:
    for action, count in Counter(edit.action for edit in edits if not edit.known).items():
        logger.debug("%d mutations '%s'", count, action)
        node.client.warn_once(f"the log has mutations '{action}', which mean nothing to us; they are ignored")


def last_mutation(node: Node, instance: str) -> LastMutation:
    """The last edit of a node or of its nearest ancestor with any (see `LastMutation`).

    It is the last record of the log, which is not the one with the highest id where edits overlapped.
    """
    n_in_node, has_log = 0, True
    for uuid in reversed(node.chain):
        edits = mutations(node, instance, uuid)
        if edits is None:
            has_log = False
            break
        if uuid == node.uuid:
            n_in_node = len(edits)
        if edits:
            last = edits[-1]
            return LastMutation(node.uuid, uuid, last.mutid, last.timestamp, last.action, last.user, n_in_node, True)
    if not has_log:
        node.client.warn_once(
            f"{node.client.server} keeps no log of edits; the node's last update stands for the last edit"
        )
    return LastMutation(node.uuid, node.uuid, 0, node.dag[node.uuid].updated, "", "", n_in_node, has_log)


def splits(node: Node, instance: str) -> list[Split] | None:
    """The supervoxel splits at a node and its ancestors, the node first; None if the server cannot list them.

    Those of body splits are among them.
    """
    node.instance(instance)
    return _splits(node, instance, node.uuid)


def _splits(node: Node, instance: str, uuid: str) -> list[Split] | None:
    path = node.path_at(uuid, instance, "supervoxel-splits")
    try:
        listed = node.client.json(path, check=_require_splits)
    except DvidError as error:
        if error.status not in (400, 404) or "JWT" in error.words:
            raise
        node.client.warn_once(f"{node.client.server} does not list supervoxel splits: {error.words or error.status}")
        return None
    pairs = zip(listed[::2], listed[1::2], strict=True)
    return [Split(str(where), *row) for where, rows in pairs for row in rows or ()]


def _require_splits(listed: Any) -> None:
    require_list(listed)
    rows = [row for rows in listed[1::2] for row in rows or ()]
    if len(listed) % 2 or not all(isinstance(row, list) and len(row) == 4 for row in rows):
        raise Incomplete("supervoxel splits must be uuids, each followed by rows of mutation, old, remain, split")
    if not all(type(number) is int and 0 <= number < 1 << 64 for row in rows for number in row):
        raise Incomplete("supervoxel splits must be made of unsigned integers")


def all_splits(node: Node, instance: str, *, elsewhere: bool = True) -> SplitIds:
    """Which supervoxel ids do not exist at a node because of splits (see `SplitIds`).

    It joins what the logs say with what the server lists, for either may be incomplete.  `elsewhere` asks the whole
    graph, as is needed for ids of unknown origin; for ids that an ancestor had, the node's own chain is enough, and
    without `elsewhere` nothing else is asked for and `foreign` is empty.
    Costs one request a node of the graph (logs of locked ones are asked for once) and one for each end of a branch.
    """
    here = _logged(node, instance, node.chain)
    listed = splits(node, instance)
    own: list[SupervoxelSplit | Split] = [*(here or ()), *(listed or ())]
    made = _ids(part for split in own for part in (split.remain, split.split))
    others: list[SupervoxelSplit | Split] = []
    known = here is not None or listed is not None
    if elsewhere:
        chain = set(node.chain)
        outside = [uuid for uuid in node.dag if uuid not in chain]
        there = _logged(node, instance, outside) if here is not None else None
        others.extend(there or ())
        known = known and (listed is not None or there is not None)
        if listed is not None:
            ends = [uuid for uuid in outside if not node.dag[uuid].children]
            for found in node.client.in_parallel(lambda uuid: _splits(node, instance, uuid), ends):
                others.extend(found or ())
    foreign = _ids(part for split in others for part in (split.remain, split.split))
    return SplitIds(_ids(split.old for split in own), np.setdiff1d(foreign, made), known)


def _logged(node: Node, instance: str, uuids: Iterable[str]) -> list[SupervoxelSplit] | None:
    """The splits in the logs of some nodes; None if the server keeps no logs."""
    found: list[SupervoxelSplit] = []
    for edits in node.client.in_parallel(lambda uuid: _splits_of_log(node, instance, uuid), uuids):
        if edits is None:
            return None
        found.extend(edits)
    return found


def _splits_of_log(node: Node, instance: str, uuid: str) -> list[SupervoxelSplit] | None:
    edits = mutations(node, instance, uuid)
    return None if edits is None else [split for edit in edits for split in edit.splits]


def _ids(values: Iterable[int]) -> NDArray[np.uint64]:
    """Sorted and without repetition."""
    return np.unique(np.fromiter(values, np.uint64))
