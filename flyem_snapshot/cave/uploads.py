"""Uploads in batches that can lose an answer without losing a row, or having one twice."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, ClassVar, Final

from flyem_snapshot.cave.failures import CaveError, Conflict, Unfinished

logger = logging.getLogger(__name__)

Row = dict[str, Any]

TRIES: Final = 3
KEPT_BY_SERVICE: Final = frozenset({"created", "deleted", "valid", "superceded_id"})
LOWEST: Final = 1 << 52
"""Random ids lie from here up to 2**53: too many to meet by chance, and still exact in a float."""


class Upload:
    """One upload.  `insert` sends a batch and returns its ids; `look_up` returns those rows of given ids that exist."""

    BATCH: ClassVar[int] = 10_000
    """The most that the service takes in one request."""

    def __init__(
        self, insert: Callable[[list[Row]], list[int]], look_up: Callable[[list[int]], list[Row]], *, choose_ids: bool
    ) -> None:
        self._insert, self._look_up, self._choose_ids = insert, look_up, choose_ids

    def run(self, rows: Iterable[Row]) -> list[int]:
        """Upload all rows; their ids, in order.  Unfinished if it fails after the first batch, or nobody knows."""
        done: list[int] = []
        for batch in _batches(iter(rows)):
            if self._choose_ids:
                for row in batch:
                    if row.get("id") is None:
                        row["id"] = LOWEST + secrets.randbelow(LOWEST)
            unknown = range(0)
            failure: CaveError | None = None
            try:
                done += self._sent(batch)
            except CaveError as error:
                failure = error
                unknown = range(len(done), len(done) + len(batch)) if error.uncertain else range(0)
            if failure is not None:
                if not done and not unknown:
                    raise failure
                raise Unfinished(failure, done, unknown)
        return done

    def _sent(self, batch: list[Row]) -> list[int]:
        """The ids of a batch, sent once, or as often as can do no harm."""
        ids = [row["id"] for row in batch if row.get("id") is not None]
        failure: CaveError | None = None
        for _ in range(TRIES):
            try:
                return self._insert(batch)
            except CaveError as error:
                # Our ids, taken after an answer was lost: that is the lost batch itself, which was slow.
                late = failure is not None and isinstance(error, Conflict)
                if len(ids) < len(batch) or not (error.uncertain or late):
                    raise
                failure = failure or error
            logger.warning("%s; looking up whether it was done", failure.message)
            if self._are_there(batch, ids, failure):
                return ids
        raise failure or AssertionError("there is at least one try")

    def _are_there(self, batch: list[Row], ids: list[int], failure: CaveError) -> bool:
        """Whether a batch was inserted: all of it or nothing.  Conflict if its ids belong to other annotations."""
        try:
            found = {row["id"]: row for row in self._look_up(ids)}
        except CaveError:
            raise failure from None  # that one says that nobody knows; this one would not
        if not found:
            return False
        others = [row["id"] for row in batch if not _same(row, found.get(row["id"], {}))]
        if not others:
            return True
        raise Conflict(
            failure.method,
            failure.url,
            f"the service has other annotations under {len(others):,} of these ids, such as {others[0]}",
            status=409,
            hint="none of this batch was inserted",
        )


def _same(sent: Row, stored: Row) -> bool:
    """Whether a stored annotation is one that was sent, as far as the service keeps its fields."""
    if not stored.get("valid", False):
        return False
    for name, value in sent.items():
        if isinstance(value, dict):
            name, value = f"{name}_position", [int(part) for part in value.get("position") or ()]  # noqa: PLW2901
        if name in stored and name not in KEPT_BY_SERVICE and not _equal(value, stored[name]):
            return False
    return True


def _equal(sent: Any, stored: Any) -> bool:
    """Whether a value came back; a database may keep floats in 32 bits."""
    if isinstance(sent, float) and isinstance(stored, int | float):
        return math.isclose(sent, stored, rel_tol=1e-6, abs_tol=1e-30)
    return bool(sent == stored)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, Upload.BATCH)):
        yield batch
