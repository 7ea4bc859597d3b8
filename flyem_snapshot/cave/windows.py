"""A whole table by windows of ids: each row once, whatever the service's row limit is, and proof that none is missing.

Offsets would not do: rows have no order, and every page reads those before it again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.cave.failures import LimitError, TimedOut
from flyem_snapshot.cave.pool import Pool
from flyem_snapshot.cave.rows import is_limited

logger = logging.getLogger(__name__)

WIDTH: Final = 200_000
"""Ids in the first window, and the row limit of a service as it comes: such a window has no more rows than that."""

SLOW: Final = 1_000
"""A window that is not answered in time is halved down to so many ids."""

END: Final = 1 << 62
"""Ids are below this, so that twice an id still is an int64."""


@dataclass(frozen=True)
class IdWindow:
    """The rows of a table with lo <= id < hi, sorted by id."""

    lo: int
    hi: int
    table: pa.Table


class Ask(Protocol):
    """Rows with low <= id < high (None: no end); with a limit only their ids, and at most so many."""

    def __call__(self, low: int, high: int | None, limit: int | None = None) -> pa.Table:
        """The rows."""
        ...


@dataclass(frozen=True)
class _Asked:
    lo: int
    hi: int
    answer: Future[pa.Table | None]


class Windows:
    """One reading of a table.  `odd` makes the error for rows that cannot be."""

    def __init__(self, ask: Ask, count: Callable[[], int], what: str, odd: Callable[[str], Exception]) -> None:
        self._ask, self._count, self._what, self._odd = ask, count, what, odd
        self._most: int | None = None
        """The row limit of the service, once it has shown."""

    def run(self, lo: int, width: int | None, workers: int) -> Iterator[IdWindow]:
        """Windows from `lo` on, ascending and without gaps, until nothing is left.

        The first failure ends it, in whichever window; what is still under way then is given up.
        """
        expected, found = self._count(), 0
        logger.info("%s: %s rows from id %s on", self._what, f"{expected:,}", f"{lo:,}")
        pool = Pool(workers)
        asked: deque[_Asked] = deque()
        width, reach = width or WIDTH, lo
        try:
            while found <= expected and (asked or reach < END):
                while len(asked) < 2 * workers and reach < END:
                    asked.append(self._submit(pool, reach, min(reach + width, END)))
                    reach = asked[-1].hi
                table = pool.first_of([window.answer for window in asked])
                first = asked.popleft()
                if table is None:
                    # Those behind it are as wide, and would be cut off as well.
                    while asked:
                        asked.pop().answer.cancel()
                    reach, width = first.lo, (first.hi - first.lo) // 2
                    logger.info("%s: windows of %s ids from now on", self._what, f"{width:,}")
                    continue
                found += len(table)
                yield IdWindow(first.lo, first.hi, table)
                if found == expected and not len(pool.submit(self._ask, first.hi, None, limit=1).result()):
                    break
                if not len(table):
                    width *= 2
                elif self._is_sparse(first, table):
                    width = max(width, 2 * (first.hi - first.lo))
        finally:
            pool.give_up()
        if found != expected:
            raise self._odd(f"{self._what} gave {found:,} rows from id {lo:,} on, and should have {expected:,}")

    def _submit(self, pool: Pool, lo: int, hi: int) -> _Asked:
        return _Asked(lo, hi, pool.submit(self._window, lo, hi))

    def _window(self, lo: int, hi: int) -> pa.Table | None:
        """The rows of a window, sorted by id; None if they are too many for one answer: then it has two ids or more."""
        try:
            table = self._ask(lo, hi)
        except LimitError:
            if hi - lo == 1:
                raise
            return None
        except TimedOut:
            if hi - lo <= SLOW:
                raise
            return None
        ids = table["id"]
        # A service that does not know the filter ignores it.
        if len(table) and (ids.null_count or pc.min(ids).as_py() < lo or pc.max(ids).as_py() >= hi):
            raise self._odd(f"{self._what} gave rows outside of {lo:,} <= id < {hi:,}")
        if pc.count_distinct(ids).as_py() != len(table):
            raise self._odd(f"{self._what} has several rows with the same id")
        # As many rows as ids are all there can be, although the service says the same then as when it leaves some out.
        # No rows at all are no answer that a limit cuts off; the count shows whether that was true.
        if 0 < len(table) < hi - lo and is_limited(table):
            self._most = len(table)
            return None
        return table.sort_by("id").combine_chunks()

    def _is_sparse(self, asked: _Asked, table: pa.Table) -> bool:
        """Whether a window twice as wide would do as well."""
        if self._most is not None:
            return 2 * len(table) < self._most
        return 4 * len(table) < asked.hi - asked.lo
