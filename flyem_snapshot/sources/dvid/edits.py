"""What the records of a mutation log mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flyem_snapshot.sources.dvid.times import moment

MERGE: Final = "merge-complete"
CLEAVE: Final = "cleave-complete"
RENUMBER: Final = "renumber-complete"
SPLIT_SUPERVOXEL: Final = "split-supervoxel-complete"
SPLIT_BODY: Final = "split-complete"


@dataclass(frozen=True)
class SupervoxelSplit:
    """Supervoxel `old` no longer exists; its voxels are in `remain` and `split`."""

    old: int
    remain: int
    split: int


@dataclass(frozen=True)
class Mutation:
    """One edit.  `record` is what the server logged; the other fields are what it means.

    | action | fields |
    | --- | --- |
    | `merge-complete` | bodies `labels` became part of body `target` |
    | `cleave-complete` | supervoxels `cleaved` of body `orig` became body `new` |
    | `renumber-complete` | body `orig` became body `new` |
    | `split-supervoxel-complete` | `splits` has one supervoxel, of body `target` (0: an old log does not say) |
    | `split-complete` | a part of body `target` became body `new`; `splits` has the supervoxels cut by that |

    `known` is False for any other action: what it did, we cannot say.  Fields that do not apply are 0 or empty; `sizes`
    are the voxels of (remaining, new) body or supervoxel, None if the log does not say.  `timestamp` is in UTC.
    """

    action: str
    uuid: str
    mutid: int
    timestamp: datetime | None
    user: str
    app: str
    record: Mapping[str, Any]
    target: int = 0
    labels: tuple[int, ...] = ()
    orig: int = 0
    new: int = 0
    cleaved: tuple[int, ...] = ()
    splits: tuple[SupervoxelSplit, ...] = ()
    sizes: tuple[int, int] | None = None
    known: bool = True


class MalformedError(Exception):
    """A record lacks a field that its action needs."""


def mutation(record: Mapping[str, Any]) -> Mutation:
    """The meaning of one record; MalformedError if it lacks what its action needs."""
    action = str(record.get("Action") or "")
    if not action.endswith("-complete"):  # older logs
        action = f"{action}-complete"
    reader = _READERS.get(action)
    return Mutation(
        action=action,
        uuid=str(record.get("UUID") or ""),
        mutid=_number(record, "MutationID", missing=0),
        timestamp=moment(record.get("Timestamp")),
        user=str(record.get("User") or ""),
        app=str(record.get("App") or ""),
        record=record,
        known=reader is not None,
        **(reader(record) if reader else {}),
    )


def _merge(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"target": _number(record, "Target"), "labels": _numbers(record, "Labels")}


def _cleave(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "orig": _number(record, "OrigLabel"),
        "new": _number(record, "CleavedLabel"),
        "cleaved": _numbers(record, "CleavedSupervoxels"),
        "sizes": _sizes(record, "CleavedSize"),
    }


def _renumber(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"orig": _number(record, "OrigLabel"), "new": _number(record, "NewLabel")}


def _split_supervoxel(record: Mapping[str, Any]) -> dict[str, Any]:
    old = _number(record, "Supervoxel")
    split = SupervoxelSplit(old, _number(record, "RemainSupervoxel"), _number(record, "SplitSupervoxel"))
    return {
        "target": _number(record, "Body", missing=0),  # logged since 2022
        "splits": (split,),
        "sizes": _sizes(record, "SplitSize"),
    }


def _split_body(record: Mapping[str, Any]) -> dict[str, Any]:
    cut = record.get("SVSplits", record.get("SVSplit")) or {}
    if not isinstance(cut, dict):
        raise _malformed(record, "SVSplits")
    splits = []
    for old, parts in cut.items():
        if not old.isdecimal() or not isinstance(parts, dict):
            raise _malformed(record, "SVSplits")
        splits.append(SupervoxelSplit(int(old), _number(parts, "Remain"), _number(parts, "Split")))
    return {"target": _number(record, "Target"), "new": _number(record, "NewLabel"), "splits": tuple(splits)}


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    MERGE: _merge,
    CLEAVE: _cleave,
    RENUMBER: _renumber,
    SPLIT_SUPERVOXEL: _split_supervoxel,
    SPLIT_BODY: _split_body,
}


def _sizes(record: Mapping[str, Any], new: str) -> tuple[int, int] | None:
    if "RemainSize" not in record or new not in record:  # logged since 2022
        return None
    return _number(record, "RemainSize"), _number(record, new)


def _number(record: Mapping[str, Any], field: str, missing: int | None = None) -> int:
    value = record.get(field, missing)
    if not _is_id(value):
        raise _malformed(record, field)
    return int(value)


def _numbers(record: Mapping[str, Any], field: str) -> tuple[int, ...]:
    values = record.get(field) or []
    if not isinstance(values, list) or not all(map(_is_id, values)):
        raise _malformed(record, field)
    return tuple(values)


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 64


def _malformed(record: Mapping[str, Any], field: str) -> MalformedError:
    return MalformedError(f"mutation without a usable '{field}': {json.dumps(record)[:300]}")
