"""The whole mapping of supervoxels to bodies, sorted on disk, for hundreds of millions of entries.

A folder with two files of little-endian uint64, `supervoxels.u64` (ascending) and `bodies.u64`, and `mapping.json`,
which is written last.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from flyem_snapshot.errors import DataError, OutputError
from flyem_snapshot.log import progress, timed
from flyem_snapshot.sources.dvid.edits import MERGE, Mutation
from flyem_snapshot.sources.dvid.failures import DvidError, Incomplete
from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.sources.dvid.mutations import mutations
from flyem_snapshot.sources.dvid.parallel import TRIES
from flyem_snapshot.sources.dvid.replay import Ask, Changes, Replayed, Restart, changes_of
from flyem_snapshot.sources.dvid.sorting import sorted_pairs

__all__ = ["Replayed", "Restart", "SupervoxelMap"]

logger = logging.getLogger(__name__)

Labels = NDArray[np.uint64]
Pairs = NDArray[np.uint64]

SLICE: Final = 1 << 20
"""Entries that are looked at together: 16 MB."""

_KEYS, _BODIES, _ABOUT = "supervoxels.u64", "bodies.u64", "mapping.json"


class SupervoxelMap:
    """The mapping of one node's supervoxels to bodies, in files that are mapped into memory: 16 bytes an entry.

    Only supervoxels that are not their own bodies have an entry; body 0 marks ids that no longer stand for voxels.
    `about` names the instance and the node that it was read from.
    """

    def __init__(self, folder: Path, about: dict[str, Any], keys: Labels, bodies: Labels) -> None:
        self.folder, self.about, self._keys, self._bodies = folder, about, keys, bodies

    def __len__(self) -> int:
        return len(self._keys)

    @classmethod
    def fetch(cls, labelmap: Labelmap, folder: Path) -> Self:
        """Ask for the mapping and sort it into files in `folder`; a mapping that is there is replaced.

        About 130 MB of memory for 100 million entries, hardly more for more; 16 bytes of disk an entry in the end,
        and 32 in the meantime.  An answer that breaks off, or is empty though bodies were merged, is asked for again
        from its start, twice.
        Raises DvidError if that does not help, OutputError if the files cannot be written.
        """
        client = labelmap.node.client
        about = {"instance": labelmap.name, "data_uuid": labelmap.data_uuid, "uuid": labelmap.node.uuid}
        count = 1
        while True:
            try:
                with timed(f"mapping of '{labelmap.name}'") as timing:
                    folder.mkdir(parents=True, exist_ok=True)
                    timing.rows = _write(folder, about, sorted_pairs(_counted(labelmap), folder))
                _require_some(labelmap, timing.rows)
                return cls.open(folder)
            except OSError as error:
                raise _unwritable(folder, error) from error
            except Incomplete as error:
                problem = f"the answer was incomplete: {error}"
            if count == TRIES:
                path = labelmap.node.path(labelmap.name, "mappings")
                raise DvidError("GET", f"{client.server}/{path}", problem, tries=count, transient=True)
            logger.warning("mapping of '%s': %s; trying again", labelmap.name, problem)
            time.sleep(client.pause * 2**count)
            count += 1

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The mapping in a folder; DataError if there is none, or not all of it."""
        return cls(folder, *_opened(folder))

    def bodies(self, supervoxels: Labels) -> Labels:
        """The body of each supervoxel, shape (N,): itself where there is no entry.

        Memory: the result and 40 MB, besides the parts of the files that the ids touch, which the system may drop at
        any time.  It is fastest if the ids are sorted.
        """
        asked = np.asarray(supervoxels, np.uint64)
        result = asked.copy()
        if not len(self):
            return result
        for start in range(0, len(asked), SLICE):
            part = result[start : start + SLICE]
            at = np.searchsorted(self._keys, part)
            at[at == len(self)] = 0  # above the last key: compared with any, it differs
            found = self._keys[at] == part
            part[found] = self._bodies[at[found]]
        return result

    def supervoxels_of(self, bodies: Labels) -> tuple[Labels, Labels]:
        """All supervoxels of some bodies, and the body of each; by body, then supervoxel.

        A body whose own id has no entry counts as a supervoxel of itself; whether it exists only the server knows.
        Body 0 has none.  Reads the whole mapping once, in slices.
        """
        wanted = np.unique(np.asarray(bodies, np.uint64))
        wanted = wanted[wanted != 0]
        itself = wanted[~self.has_entry(wanted)]
        found = [np.stack([itself, itself], axis=1)]
        found.extend(pairs[np.isin(pairs[:, 1], wanted)] for pairs in self._slices())
        pairs = np.concatenate(found)
        pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
        return pairs[:, 0].copy(), pairs[:, 1].copy()

    def replay(self, edits: Sequence[Mutation], ask: Ask) -> Replayed:
        """Apply edits of the log in their order, for a mapping that was read while they were made.

        Each may be in the mapping already, wholly or in part.  `ask` (as a rule `labelmap.bodies` with `verified`) is
        asked for supervoxels whose body the log does not tell.  The files are written anew, like in `fetch`.
        Raises Restart if only reading the mapping again can help; then nothing was changed.
        """
        changes = changes_of(edits, ask)
        added = _array(changes.bodies)
        added = added[~self.has_entry(added[:, 0])]  # supervoxels that were their own bodies so far
        for supervoxel, body in added.tolist():
            changes.supervoxels.setdefault(supervoxel, body)
        touched = _array(changes.supervoxels)
        if edits:
            try:
                _write(self.folder, self.about, self._changed(touched, changes))
            except OSError as error:
                raise _unwritable(self.folder, error) from error
            self.about, self._keys, self._bodies = _opened(self.folder)
        return Replayed(touched[:, 0].copy(), np.array(sorted(changes.retired), np.uint64))

    def _changed(self, touched: Pairs, changes: Changes) -> Iterator[Pairs]:
        """The entries with the changes, in order of their supervoxels; `touched` are new or replaced ones, sorted."""
        joined = _array(changes.bodies)
        done = 0
        for pairs in self._slices():
            last = np.searchsorted(touched[:, 0], pairs[-1, 0], "right")
            kept = pairs[~np.isin(pairs[:, 0], touched[done:last, 0])]
            if len(joined):
                at = np.minimum(np.searchsorted(joined[:, 0], kept[:, 1]), len(joined) - 1)
                hit = joined[at, 0] == kept[:, 1]
                kept[hit, 1] = joined[at[hit], 1]
            both = np.concatenate([kept, touched[done:last]])
            yield both[np.argsort(both[:, 0])]
            done = int(last)
        yield touched[done:]

    def entries(self) -> Iterator[Pairs]:
        """The entries (supervoxel, body) in order of their supervoxels, in arrays of shape (M, 2)."""
        return self._slices()

    def _slices(self) -> Iterator[Pairs]:
        # Read, not mapped: pages of a map count as memory of ours once they were touched.
        with (self.folder / _KEYS).open("rb") as keys, (self.folder / _BODIES).open("rb") as bodies:
            for _ in range(0, len(self), SLICE):
                yield np.stack([np.fromfile(file, "<u8", SLICE) for file in (keys, bodies)], axis=1)

    def has_entry(self, ids: Labels) -> NDArray[np.bool_]:
        """Which ids the mapping names as supervoxels, be it with body 0."""
        if not len(self):
            return np.zeros(len(ids), np.bool_)
        at = np.minimum(np.searchsorted(self._keys, ids), len(self) - 1)
        found: NDArray[np.bool_] = self._keys[at] == ids
        return found


def _require_some(labelmap: Labelmap, entries: int) -> None:
    """No entry may be the truth, or an answer of which nothing arrived; a merge in the log rules the former out."""
    if entries:
        return
    for uuid in reversed(labelmap.node.chain):
        if any(edit.action == MERGE for edit in mutations(labelmap.node, labelmap.name, uuid) or ()):
            raise Incomplete(f"it is empty, but the log of {uuid} tells of merged bodies")


def _counted(labelmap: Labelmap) -> Iterator[Pairs]:
    with progress(f"mapping of '{labelmap.name}'", unit="entries") as advance:
        for pairs in labelmap.mapping_pairs():
            yield pairs
            advance(len(pairs))


def _array(table: dict[int, int]) -> Pairs:
    """The items of a dict, by key, as shape (N, 2)."""
    return np.array(sorted(table.items()), np.uint64).reshape(-1, 2)


def _opened(folder: Path) -> tuple[dict[str, Any], Labels, Labels]:
    try:
        about = json.loads((folder / _ABOUT).read_text())
        keys, bodies = (_mapped(folder / name, int(about["entries"])) for name in (_KEYS, _BODIES))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"this is no whole mapping: {error}", file=folder) from error
    return about, keys, bodies


def _mapped(file: Path, entries: int) -> Labels:
    if file.stat().st_size != 8 * entries:
        raise ValueError(f"{file.name} does not hold {entries:,} entries")
    if not entries:
        return np.zeros(0, np.uint64)  # nothing cannot be mapped
    return np.memmap(file, np.dtype("<u8"), "r", shape=(entries,))


def _write(folder: Path, about: dict[str, Any], pieces: Iterable[Pairs]) -> int:
    """Write pairs in their order; returns how many.  Until all are there, the folder holds what it held before."""
    names = (_KEYS, _BODIES)
    count = 0
    parts = [folder / f"{name}.part" for name in names]
    try:
        with parts[0].open("wb") as keys, parts[1].open("wb") as bodies:
            for pairs in pieces:
                keys.write(np.ascontiguousarray(pairs[:, 0], "<u8").data)
                bodies.write(np.ascontiguousarray(pairs[:, 1], "<u8").data)
                count += len(pairs)
            for file in (keys, bodies):
                file.flush()
                os.fsync(file.fileno())
        (folder / _ABOUT).unlink(missing_ok=True)
        for part, name in zip(parts, names, strict=True):
            os.replace(part, folder / name)
        written = folder / f"{_ABOUT}.part"
        written.write_text(json.dumps({**about, "entries": count}, indent=2) + "\n")
        os.replace(written, folder / _ABOUT)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return count


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"{folder}: cannot write the mapping: {error.strerror or error}")
