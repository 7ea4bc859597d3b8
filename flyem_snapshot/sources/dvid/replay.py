"""What the edits of a log change in a mapping of supervoxels to bodies that was read while they were made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flyem_snapshot.sources.dvid.edits import CLEAVE, MERGE, RENUMBER, SPLIT_BODY, SPLIT_SUPERVOXEL, Mutation

Labels = NDArray[np.uint64]
Ask = Callable[[Labels], Labels]


class Restart(Exception):  # noqa: N818 - it is an instruction
    """The edits cannot be applied to a mapping that may know some of them already: read it anew."""


@dataclass(frozen=True)
class Replayed:
    """What was applied.  `touched`: supervoxels that now have an entry of their own, sorted, for a check with the
    server; `retired`: supervoxels that were split, sorted: points on them must be looked up again.
    """

    touched: Labels
    retired: Labels


class Changes:
    """The edits as two tables: new bodies of single supervoxels, and bodies that became part of others.

    A supervoxel that is in `supervoxels` has that body; any other has the body that `bodies` has for the one it had.
    """

    def __init__(self) -> None:
        self.supervoxels = _Table()
        self.bodies = _Table()
        self.retired: set[int] = set()

    def assign(self, supervoxels: Iterable[int], body: int) -> None:
        """Give supervoxels a body."""
        for supervoxel in supervoxels:
            self.supervoxels[supervoxel] = body

    def join(self, labels: Iterable[int], target: int) -> None:
        """Make bodies part of another."""
        for label in labels:
            if label not in (0, target):
                self.supervoxels.replace(label, target)
                self.bodies.replace(label, target)
                self.bodies.setdefault(label, target)


class _Table(dict[int, int]):
    """A dict that finds the keys of a value."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[int, set[int]] = {}

    def __setitem__(self, key: int, value: int) -> None:
        if key in self:
            self._keys[self[key]].discard(key)
        super().__setitem__(key, value)
        self._keys.setdefault(value, set()).add(key)

    def setdefault(self, key: int, default: int = 0) -> int:
        """As of a dict."""
        if key not in self:
            self[key] = default
        return self[key]

    def replace(self, old: int, new: int) -> None:
        """Give every key that has one value another."""
        for key in sorted(self._keys.get(old, ())):
            self[key] = new


def changes_of(edits: Sequence[Mutation], ask: Ask) -> Changes:
    """The changes that edits make, in the order of the log, to a mapping that may know any of them already.

    `ask` says which bodies supervoxels have now, 0 if they do not exist; it is asked once, for those whose fate the
    log does not tell.
    Raises Restart after an edit of unknown kind, and if a body's label vanished and was used again.
    """
    _require_repeatable(edits)
    unclear = sorted({part for edit in edits if _is_unclear(edit) for part in _parts(edit)})
    answers = ask(np.array(unclear, np.uint64)).tolist() if unclear else []
    now = dict(zip(unclear, answers, strict=True))
    changes = Changes()
    for edit in edits:
        _apply(edit, changes, now)
    return changes


def _apply(edit: Mutation, changes: Changes, now: dict[int, int]) -> None:
    if edit.action == MERGE:
        changes.join(edit.labels, edit.target)
    elif edit.action == CLEAVE:
        changes.assign(edit.cleaved, edit.new)
        changes.assign([edit.new], 0)  # a body's label, but no supervoxel
    elif edit.action == RENUMBER:
        changes.join([edit.orig], edit.new)
        changes.assign([edit.new], 0)
    else:
        for part in _parts(edit):
            changes.assign([part], now[part] if _is_unclear(edit) else edit.target)
        old = [split.old for split in edit.splits]
        changes.assign(old, 0)
        changes.retired.update(old)


def _parts(edit: Mutation) -> list[int]:
    return [part for split in edit.splits for part in (split.remain, split.split)]


def _is_unclear(edit: Mutation) -> bool:
    """Whether the log does not say to which bodies the parts of a supervoxel belong."""
    return edit.action == SPLIT_BODY or (edit.action == SPLIT_SUPERVOXEL and not edit.target)


def _require_repeatable(edits: Sequence[Mutation]) -> None:
    gone: set[int] = set()
    for edit in edits:
        if not edit.known:
            raise Restart(f"nobody knows what '{edit.action}' (mutation {edit.mutid}) did")
        if edit.action in (MERGE, RENUMBER, CLEAVE, SPLIT_BODY) and not gone.isdisjoint({edit.target, edit.new}):
            raise Restart(f"mutation {edit.mutid} uses the label of a body that vanished shortly before")
        if edit.action == MERGE:
            gone.update(edit.labels)
        elif edit.action == RENUMBER:
            gone.add(edit.orig)
