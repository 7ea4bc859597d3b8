"""A labelmap at one moment, while others may go on editing it.

Nothing in the server can be held still.  But its log says what happened, so the mapping of supervoxels to bodies is
read whole and brought up to one position of the log; that position is the moment.  A supervoxel that is looked
up later may be a part of one that was whole at that moment: the splits since then are undone.  A version that is locked
cannot change, and needs none of this.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.sources.dvid.mapping import Restart, SupervoxelMap
from flyem_snapshot.sources.dvid.mutations import Mutation, mutations

logger = logging.getLogger(__name__)

Labels = np.ndarray[Any, np.dtype[np.uint64]]
ROUNDS: Final = 3
"""How often to begin again when edits come in between, before the state is called inconsistent."""


@dataclass(frozen=True)
class Moment:
    """A position in the log of a version: `records` entries; the last is `last`, the mutation `mutid` (0: none)."""

    records: int = 0
    mutid: int = 0
    consistent: bool = True
    last: Mutation | None = None


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
        return there | np.isin(ids, self.undo().retired)

    def undo(self) -> Undo:
        """What takes supervoxels that were looked up until now back to the moment."""
        return Undo(self._since())

    def labels(self, zyx: np.ndarray[Any, Any]) -> tuple[Labels, Labels]:
        """Supervoxel and body of each point (rows of z, y, x in voxels); for some thousands of points."""
        found = self.undo_all(self.labelmap.supervoxels(zyx))
        return found, self.bodies(found)

    def undo_all(self, supervoxels: Labels) -> Labels:
        """Supervoxels that were just looked up, as they were at the moment."""
        return self.undo()(supervoxels)

    def sizes(self, bodies: Labels) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The number of voxels of each body at the moment; 0 for bodies that did not exist."""
        return self.taken_back(bodies, self.labelmap.sizes(bodies))

    def taken_back(
        self, bodies: Labels, sizes: np.ndarray[Any, np.dtype[np.int64]]
    ) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Sizes that were just asked for, as they were at the moment: those of edited bodies are summed up anew."""
        sizes = sizes.copy()
        for _ in range(ROUNDS):
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
        parts, places = Undo(since).parts(supervoxels)
        sizes = self.labelmap.sizes(parts, supervoxels=True)
        order = np.argsort(bodies)
        place = order[np.searchsorted(bodies, owners[places], sorter=order)]
        summed = np.zeros(len(bodies), np.int64)
        np.add.at(summed, place, sizes)
        return summed


class Undo:
    """Supervoxels before and after some mutations: each split made two of one."""

    def __init__(self, records: Iterable[Mutation]) -> None:
        self._whole: dict[int, int] = {}
        self._parts: dict[int, tuple[int, ...]] = {}
        for mutation in records:
            for split in mutation.splits:
                self._parts[split.old] = (split.remain, split.split)
                for part in (split.remain, split.split):
                    self._whole[part] = self._whole.get(split.old, split.old)

    def __bool__(self) -> bool:
        return bool(self._whole)

    @property
    def retired(self) -> Labels:
        """The supervoxels that were there before."""
        return np.fromiter(self._parts, np.uint64)

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
        mapping = SupervoxelMap.fetch(labelmap, folder)
        before, log = log, _log(labelmap)
        if before is None or log is None:
            logger.warning("the server keeps no log: nobody can tell whether the mapping is of one moment")
            return Frozen(labelmap, Moment(consistent=False), mapping)
        if _caught_up(mapping, labelmap, log[len(before) :]):
            return Frozen(labelmap, _moment(log), mapping)
        logger.warning("others edited while the mapping was read (try %d of %d): reading it again", attempt, ROUNDS)
    logger.warning("others edit too fast: the mapping may be of no single moment")
    return Frozen(labelmap, replace(_moment(log), consistent=False), mapping)


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
