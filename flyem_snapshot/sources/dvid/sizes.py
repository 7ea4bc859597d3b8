"""Body sizes brought up to date: those known from another version, and the log of what changed since."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.dvid import edits
from flyem_snapshot.sources.dvid.http import DvidError
from flyem_snapshot.sources.dvid.mutations import Mutation, mutations

if TYPE_CHECKING:
    from flyem_snapshot.sources.dvid.graph import DagNode, Node
    from flyem_snapshot.sources.dvid.labelmap import Labelmap

logger = logging.getLogger(__name__)

Bodies = np.ndarray[Any, np.dtype[np.uint64]]
Counts = np.ndarray[Any, np.dtype[np.int64]]

SPOT_CHECKS: Final = 100


@dataclass(frozen=True)
class SizesReport:
    """What became of the known sizes, in bodies: `kept` as they were, `dropped` (gone or changed), `fetched` anew.

    `missing` of the bodies asked about do not exist.  `checked` of the kept ones were compared with the server.
    `refreshed` says why all sizes were fetched anew; empty if they were not.
    """

    kept: int
    dropped: int
    fetched: int
    missing: int
    checked: int
    refreshed: str = ""


def updated_sizes(
    labelmap: Labelmap,
    cached: tuple[Bodies, Counts],
    cache_uuid: str,
    wanted: Bodies,
    *,
    refresh: bool = False,
    locked_then: bool = False,
) -> tuple[Bodies, Counts, SizesReport]:
    """Sizes in voxels of the cached and the wanted bodies at the labelmap's node: bodies (ascending), sizes, report.

    `cached` holds bodies and sizes as they were at `cache_uuid`, which may be any node of the same repository: the
    edits between it and the node are read from the log, on both sides of their common ancestor.  Its own edits are
    read too, since it may have been open when the sizes were made, unless `locked_then`.  Bodies that the log says
    are gone are dropped; changed and new ones, and wanted ones without a size, are fetched; those that do not exist
    have no size.  A hundred of the rest are compared with the server; if one differs, something was written that
    is not in the log, and all sizes are fetched anew, with a warning; `refresh` does so at once.

    Raises DataError if the cache is unsound, DvidError if the server does not know its node.
    """
    known = _sound(*cached)
    wanted = np.unique(np.asarray(wanted, np.uint64))
    wanted = wanted[wanted > 0]
    nothing = np.empty(0, np.uint64)
    old = _Old(np.zeros(len(known[0]), np.bool_), nothing, nothing, 0, "as asked for")
    if not refresh:
        old = _judged(labelmap, known, _cache_node(labelmap.node, cache_uuid), locked_then=locked_then)
    bodies, sizes = known[0][old.kept], known[1][old.kept]
    if old.refresh:
        logger.warning("all body sizes are fetched anew: %s", old.refresh)
        asked = np.unique(np.concatenate([known[0], old.changed, wanted]))
    else:
        asked = np.setdiff1d(np.union1d(old.changed, wanted), np.union1d(bodies, old.gone))
    found = labelmap.sizes(asked) if len(asked) else np.empty(0, np.int64)
    bodies = np.concatenate([bodies, asked[found > 0]])
    sizes = np.concatenate([sizes, found[found > 0]])
    order = np.argsort(bodies)
    kept = int(old.kept.sum())
    report = SizesReport(
        kept=kept,
        dropped=len(known[0]) - kept,
        fetched=len(asked),
        missing=len(wanted) - int(np.isin(wanted, bodies).sum()),
        checked=old.checked,
        refreshed=old.refresh,
    )
    logger.info("body sizes: %s kept, %s fetched", f"{report.kept:,}", f"{report.fetched:,}")
    return bodies[order], sizes[order], report


@dataclass(frozen=True)
class _Old:
    """What the log says of known sizes: which rows are `kept`, which bodies changed or are gone, and how many were
    checked; `refresh` says why nothing of this can be relied upon.
    """

    kept: np.ndarray[Any, np.dtype[np.bool_]]
    changed: Bodies
    gone: Bodies
    checked: int
    refresh: str = ""


def _judged(labelmap: Labelmap, known: tuple[Bodies, Counts], cache: DagNode, *, locked_then: bool) -> _Old:
    logs = _logs(labelmap, cache, locked_then=locked_then)
    if isinstance(logs, str):
        nothing = np.empty(0, np.uint64)
        return _Old(np.zeros(len(known[0]), np.bool_), nothing, nothing, 0, logs)
    changed, gone = _touched(*logs)
    kept = ~np.isin(known[0], np.concatenate([changed, gone]))
    sample = _sample(np.flatnonzero(kept), f"{cache.uuid} {labelmap.node.uuid}")
    differ = int((labelmap.sizes(known[0][sample]) != known[1][sample]).sum()) if len(sample) else 0
    if not differ:
        return _Old(kept, changed, gone, len(sample))
    why = f"{differ} of {len(sample)} sizes in the cache are not those of the server, though the log has no such edit"
    return _Old(np.zeros_like(kept), changed, gone, len(sample), why)


def _sound(bodies: Bodies, sizes: Counts) -> tuple[Bodies, Counts]:
    """Cached sizes, without body 0 and without sizes that no body has."""
    bodies, sizes = np.asarray(bodies, np.uint64), np.asarray(sizes, np.int64)
    if bodies.shape != sizes.shape or bodies.ndim != 1:
        raise DataError(f"cached body sizes: {len(bodies):,} bodies, but {len(sizes):,} sizes")
    twice = len(bodies) - len(np.unique(bodies))
    if twice:
        raise DataError("cached body sizes: bodies are there more than once", rows=twice, hint="make the cache anew")
    real = (bodies > 0) & (sizes > 0)
    return bodies[real], sizes[real]


def _cache_node(node: Node, cache_uuid: str) -> DagNode:
    """The node that a cache was made at, by its uuid or the beginning of it."""
    fits = [found for uuid, found in node.dag.items() if cache_uuid and uuid.startswith(cache_uuid)]
    exact = [found for found in fits if found.uuid == cache_uuid]
    if len(exact or fits) == 1:
        return (exact or fits)[0]
    found = f"fits {len(fits)} nodes" if fits else "is no node"
    raise DvidError(
        "GET",
        f"{node.client.server}/api/repo/{node.uuid}/info",
        f"the uuid of the body size cache, '{cache_uuid}', {found} of the repository of {node.uuid}",
        hint="name the node that the sizes were made at, or do without the cache",
    )


def _ancestors(dag: Mapping[str, DagNode], uuid: str) -> set[str]:
    """A node and all that it comes from, by all parents."""
    found: set[str] = set()
    rest = [uuid]
    while rest:
        uuid = rest.pop()
        if uuid not in found:
            found.add(uuid)
            rest += dag[uuid].parents
    return found


def _logs(labelmap: Labelmap, cache: DagNode, *, locked_then: bool) -> tuple[list[Mutation], list[Mutation]] | str:
    """The edits that only mark bodies as changed, and those on the way to the node, in order; or why that is unknown.

    The first are those of the cache's side, which are undone on the way, and of branches that were merged in.
    """
    node = labelmap.node
    ours, theirs = _ancestors(node.dag, node.uuid), _ancestors(node.dag, cache.uuid)
    if not ours & theirs:
        return "the server shows no version that both come from"
    straight = [uuid for uuid in node.chain if uuid not in theirs]
    aside = (ours ^ theirs) - set(straight)
    if not locked_then:
        aside.add(cache.uuid)
    versions = {uuid: node.dag[uuid].version_id for uuid in aside}
    uuids = [*sorted(aside, key=lambda uuid: (versions[uuid], uuid)), *straight]
    logs = list(node.client.in_parallel(lambda uuid: mutations(node, labelmap.name, uuid), uuids))
    parts = [log for log in logs if log is not None]
    if len(parts) < len(logs):
        return "the server keeps no log of edits"
    new = sorted({edit.action for log in parts for edit in log if not edit.known})
    if new:
        return f"the log of edits has actions that are new to us: {', '.join(new)}"
    return list(chain.from_iterable(parts[: len(aside)])), list(chain.from_iterable(parts[len(aside) :]))


def _touched(aside: Iterable[Mutation], straight: Iterable[Mutation]) -> tuple[Bodies, Bodies]:
    """Bodies that have another size than in the cache or may have, and those that are gone; the last edit counts.

    What was edited aside may be there or not.
    """
    exists: dict[int, bool] = {}
    for edit in aside:
        gone, there = _effect(edit)
        exists.update(dict.fromkeys((*gone, *there), True))
    for edit in straight:
        gone, there = _effect(edit)
        exists.update(dict.fromkeys(gone, False))
        exists.update(dict.fromkeys(there, True))
    exists.pop(0, None)
    changed = np.array([label for label, there in exists.items() if there], np.uint64)
    return changed, np.array([label for label, there in exists.items() if not there], np.uint64)


def _effect(edit: Mutation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Bodies that an edit takes away, and those that exist after it with another size than before.

    A split of a supervoxel changes no body.
    """
    match edit.action:
        case edits.MERGE:
            return edit.labels, (edit.target,)
        case edits.CLEAVE:
            return (), (edit.orig, edit.new)
        case edits.SPLIT_BODY:
            return (), (edit.target, edit.new)
        case edits.RENUMBER:
            return (edit.orig,), (edit.new,)
    return (), ()


def _sample(rows: np.ndarray[Any, np.dtype[np.int64]], seed: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Some rows at random; the same for the same versions, so that a run can be repeated."""
    random = np.random.default_rng(zlib.crc32(seed.encode()))
    return random.choice(rows, min(SPOT_CHECKS, len(rows)), replace=False)
