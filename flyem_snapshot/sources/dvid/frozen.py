"""A labelmap at one moment, while others may go on editing it.

Nothing in the server can be held still.  But its log says what happened, so the mapping of supervoxels to bodies is
read whole and brought up to one position of the log; that position is the moment.  A supervoxel that is looked
up later may be a part of one that was whole at that moment: the splits since then are undone.  A version that is locked
cannot change, and needs none of this.

An edit stands in the log only when it is complete: voxels and mapping change a little earlier.  So the log must have
been quiet for a while when the moment is taken, and if a supervoxel is new and the log does not explain it, we wait.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.sources.dvid.mapping import Restart, SupervoxelMap
from flyem_snapshot.sources.dvid.mutations import Mutation, SupervoxelSplit, mutations

logger = logging.getLogger(__name__)

Labels = np.ndarray[Any, np.dtype[np.uint64]]
ROUNDS: Final = 3
"""How often to begin again when edits come in between, before the state is called inconsistent."""

QUIET: Final = 0.3
"""Seconds for which the log must tell of nothing new; an edit is usually logged within this time."""

WAITS: Final = 20
"""How many such times to wait at most for a log that is busy or late."""


@dataclass(frozen=True)
class Moment:
    """A position in the log of a version: `records` entries; the last is `last`, the mutation `mutid` (0: none).

    `next_label` is the first label that the server gave to anything later than that; None if it does not tell.
    """

    records: int = 0
    mutid: int = 0
    consistent: bool = True
    last: Mutation | None = None
    next_label: int | None = None


class Frozen:
    """The labelmap as it was at a moment.

    `mapping` is the whole map of that moment; None asks the server, which a locked version allows.
    """

    def __init__(self, labelmap: Labelmap, moment: Moment, mapping: SupervoxelMap | None) -> None:
        if mapping is None and not labelmap.node.locked:
            raise ValueError("the mapping of a version that is not locked must be read whole")
        self.labelmap, self.moment, self.mapping = labelmap, moment, mapping

    def bodies(self, supervoxels: Labels, *, verified: bool = False) -> Labels:
        """The body of each supervoxel; 0 for 0, and for those that are known not to exist.

        Ids that the server has just named do exist.  For others `verified` makes it look for those without an entry.
        """
        if self.mapping is None:
            return self.labelmap.bodies(supervoxels, verified=verified)
        found = self.mapping.bodies(supervoxels)
        if verified:
            itself = np.flatnonzero((found == supervoxels) & (found != 0))
            found[itself[~self.exist(found[itself])]] = 0
        return found

    def exist(self, ids: Labels) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which ids were supervoxels at the moment, of those for which the mapping has no entry: the server is asked.

        The id of a body need not be that of a supervoxel.
        """
        there: np.ndarray[Any, np.dtype[np.bool_]] = self.labelmap.bodies(ids, verified=True) != 0
        return there | np.isin(ids, self._undo().retired)

    def undo(self, looked_up: Iterable[Labels]) -> Undo:
        """What takes supervoxels that were looked up since back to the moment.

        Those that the server has made since must be explained by the log, which may come a little later: DvidError if
        it does not, because nobody can say then on which body they were.
        """
        new = self._made_since(looked_up)
        for _ in range(WAITS):
            undo = self._undo()
            unexplained = new[~(undo.knows(new) | self._has_entry(new))]
            if not len(unexplained):
                return undo
            time.sleep(QUIET)
        node = self.labelmap.node
        some = f"{len(unexplained):,} supervoxels are new, such as {unexplained[0]}"
        problem = f"{some}, but no split in the log made them"
        hint = "were voxels written past the log of edits meanwhile? run again, or take a version that is locked"
        raise node.client.error(node.path(self.labelmap.name, "mutations"), problem, hint=hint)

    def _made_since(self, looked_up: Iterable[Labels]) -> Labels:
        """Which of the supervoxels have labels that were given after the moment; none if that cannot be told."""
        first = self.moment.next_label
        last = None if self.labelmap.node.locked or first is None else self.labelmap.next_label()
        if first is None or last is None or last <= first:
            return np.zeros(0, np.uint64)
        found = [np.unique(part[(part >= np.uint64(first)) & (part < np.uint64(last))]) for part in looked_up]
        return np.unique(np.concatenate([*found, np.zeros(0, np.uint64)]))

    def _has_entry(self, ids: Labels) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.zeros(len(ids), bool) if self.mapping is None else self.mapping.has_entry(ids)

    def _undo(self) -> Undo:
        """The splits since the moment, without those that the mapping knows already: they were not yet in the log."""
        splits = [split for mutation in self._since() for split in mutation.splits]
        if self.mapping is not None and splits:
            gone = self.mapping.bodies(np.array([split.old for split in splits], np.uint64)) == 0
            splits = [split for split, known in zip(splits, gone, strict=True) if not known]
        return Undo(splits)

    def labels(self, zyx: np.ndarray[Any, Any]) -> tuple[Labels, Labels]:
        """Supervoxel and body of each point (rows of z, y, x in voxels); for some thousands of points."""
        found = self.undo_all(self.labelmap.supervoxels(zyx))
        return found, self.bodies(found)

    def undo_all(self, supervoxels: Labels) -> Labels:
        """Supervoxels that were just looked up, as they were at the moment."""
        return self.undo([supervoxels])(supervoxels)

    def sizes(self, bodies: Labels) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The number of voxels of each body at the moment; 0 for bodies that did not exist."""
        return self.taken_back(bodies, self.labelmap.sizes(bodies))

    def taken_back(
        self, bodies: Labels, sizes: np.ndarray[Any, np.dtype[np.int64]]
    ) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Sizes that were just asked for, as they were at the moment: those of edited bodies are summed up anew."""
        if self.labelmap.node.locked:
            return sizes
        sizes = sizes.copy()
        for _ in range(ROUNDS):
            time.sleep(QUIET)  # what was under way while the sizes were read should stand in the log now
            since = self._since()
            touched = np.flatnonzero(np.isin(bodies, np.fromiter(_bodies_of(since), np.uint64)))
            if not len(touched):
                return sizes
            sizes[touched] = self._summed(bodies[touched], since)
            if len(self._since()) == len(since):
                return sizes
        logger.warning("bodies are being edited so fast that the sizes of %d of them may be newer", len(touched))
        return sizes

    def _since(self) -> list[Mutation]:
        """What happened in this version after the moment."""
        if self.labelmap.node.locked:
            return []
        return (mutations(self.labelmap.node, self.labelmap.name) or [])[self.moment.records :]

    def _summed(self, bodies: Labels, since: Sequence[Mutation]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Sizes from those of the supervoxels that the bodies had, or of the parts into which these were split."""
        assert self.mapping is not None, "a version that can change is mapped whole"
        supervoxels, owners = self.mapping.supervoxels_of(bodies)
        parts, places = Undo(split for mutation in since for split in mutation.splits).parts(supervoxels)
        sizes = self.labelmap.sizes(parts, supervoxels=True)
        order = np.argsort(bodies)
        place = order[np.searchsorted(bodies, owners[places], sorter=order)]
        summed = np.zeros(len(bodies), np.int64)
        np.add.at(summed, place, sizes)
        return summed


class Undo:
    """Supervoxels before and after some splits, in the order of the log: each made two of one."""

    def __init__(self, splits: Iterable[SupervoxelSplit]) -> None:
        self._whole: dict[int, int] = {}
        self._parts: dict[int, tuple[int, ...]] = {}
        for split in splits:
            self._parts[split.old] = (split.remain, split.split)
            for part in (split.remain, split.split):
                self._whole[part] = self._whole.get(split.old, split.old)

    def __bool__(self) -> bool:
        return bool(self._whole)

    @property
    def retired(self) -> Labels:
        """The supervoxels that were there before."""
        return np.fromiter(self._parts, np.uint64)

    def knows(self, supervoxels: Labels) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of the supervoxels the splits have made."""
        return np.isin(supervoxels, np.fromiter(self._whole, np.uint64))

    def __call__(self, supervoxels: Labels) -> Labels:
        """Each supervoxel, or the one that it was a part of before."""
        if not self._whole:
            return supervoxels
        new = np.fromiter(sorted(self._whole), np.uint64, len(self._whole))
        old = np.array([self._whole[int(part)] for part in new], np.uint64)
        place = np.minimum(np.searchsorted(new, supervoxels), len(new) - 1)
        return np.where(new[place] == supervoxels, old[place], supervoxels)

    def parts(self, supervoxels: Labels) -> tuple[Labels, np.ndarray[Any, np.dtype[np.int64]]]:
        """What became of each supervoxel, and for each of these the position of the one that it was a part of."""
        found: list[int] = []
        places: list[int] = []
        for place, supervoxel in enumerate(supervoxels.tolist()):
            pending = [supervoxel]
            while pending:
                current = pending.pop()
                if current in self._parts:
                    pending.extend(self._parts[current])
                else:
                    found.append(current)
                    places.append(place)
        return np.array(found, np.uint64), np.array(places, np.int64)


def freeze(labelmap: Labelmap, folder: Path | None) -> Frozen:
    """The labelmap as it is now; with a `folder` the whole mapping is read into it.

    A version that is not locked must be mapped whole.  Edits that come while the mapping is read are taken from
    the log and made to what was read: so the moment is one position of the log, at the end of the reading.
    """
    log = _log(labelmap)
    if folder is None:
        return Frozen(labelmap, _moment(log), None)
    if labelmap.node.locked:
        return Frozen(labelmap, _moment(log), SupervoxelMap.fetch(labelmap, folder))
    for attempt in range(1, ROUNDS + 1):
        next_label = labelmap.next_label()
        mapping = SupervoxelMap.fetch(labelmap, folder)
        if log is None:
            logger.warning("the server keeps no log: nobody can tell whether the mapping is of one moment")
            return Frozen(labelmap, Moment(consistent=False), mapping)
        log, consistent = _settled(mapping, labelmap, log)
        if consistent:
            return Frozen(labelmap, replace(_moment(log), next_label=next_label), mapping)
        logger.warning("others edited while the mapping was read (try %d of %d): reading it again", attempt, ROUNDS)
    logger.warning("others edit too fast: the mapping may be of no single moment")
    return Frozen(labelmap, replace(_moment(log), consistent=False), mapping)


def _settled(mapping: SupervoxelMap, labelmap: Labelmap, log: list[Mutation]) -> tuple[list[Mutation], bool]:
    """Make to the mapping what the log tells of, until it is quiet for a while or has been busy for long.

    Returns the log as far as the mapping knows it, and whether the mapping is right.
    """
    for _ in range(WAITS):
        time.sleep(QUIET)
        newer = _log(labelmap) or log
        if len(newer) == len(log):
            return log, True
        since, log = newer[len(log) :], newer
        if not _caught_up(mapping, labelmap, since):
            return log, False
    return log, True


def _caught_up(mapping: SupervoxelMap, labelmap: Labelmap, since: Sequence[Mutation]) -> bool:
    """Make the mutations to the mapping; whether the result is what the server says, as far as that can be asked."""
    if not since:
        return True
    logger.info("%d mutations came while the mapping was read; making them to it", len(since))
    try:
        mapping.replay(since, partial(labelmap.bodies, verified=True))
    except Restart as reason:
        logger.warning("%s", reason)
        return False
    touched = np.array(sorted({*_supervoxels_of(since), *_bodies_of(since)}), np.uint64)
    if (labelmap.bodies(touched, verified=False) == mapping.bodies(touched)).all():
        return True
    time.sleep(QUIET)
    newer = _log(labelmap) or []
    # If yet more mutations came, the comparison says nothing, and the log is to be trusted.
    return bool(newer) and newer[-1].mutid != since[-1].mutid


def _log(labelmap: Labelmap) -> list[Mutation] | None:
    return mutations(labelmap.node, labelmap.name)


def _moment(log: Sequence[Mutation] | None) -> Moment:
    return Moment(len(log), log[-1].mutid, last=log[-1]) if log else Moment()


def _bodies_of(records: Iterable[Mutation]) -> set[int]:
    """The bodies that the mutations changed, made or removed."""
    return {label for m in records for label in (m.target, *m.labels, m.orig, m.new) if label}


def _supervoxels_of(records: Iterable[Mutation]) -> set[int]:
    """The supervoxels that the mutations moved, made or removed."""
    of_splits = {label for m in records for split in m.splits for label in (split.old, split.remain, split.split)}
    return of_splits | {label for m in records for label in m.cleaved}
