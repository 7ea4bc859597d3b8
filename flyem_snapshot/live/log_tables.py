"""Tables from the records of a log: one row a request, or one row a user."""

from __future__ import annotations

import datetime as dt
import heapq
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final
from zoneinfo import ZoneInfo

from flyem_snapshot.live.log_records import LogRecord

NEAR: Final = 1_000_000
"""A record is a duplicate if it is equal to one of so many before it; some 100 MB of memory."""

_MAIL: Final = re.compile(r"[\w.+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)

Row = tuple[object, ...]

REQUEST_COLUMNS: Final = (
    ("time", "time"),
    ("status", "int"),
    ("duration_ms", "float"),
    ("bytes_in", "int"),
    ("bytes_out", "int"),
    ("user", "text"),
    ("category", "text"),
    ("dataset", "text"),
    ("uri", "text"),
    ("query", "text"),
)
"""Name and kind of each column of the table of requests."""

USER_COLUMNS: Final = (
    ("user", "text"),
    ("requests", "int"),
    ("errors", "int"),
    ("seconds", "float"),
    ("slowest_ms", "float"),
    ("bytes_out", "int"),
    ("first", "time"),
    ("last", "time"),
)
"""Name and kind of each column of the table of users."""


class Pseudonyms:
    """Names in place of users: `user-1`, `user-2`, ... in order of appearance, and so different in every table."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def hidden(self, record: LogRecord) -> LogRecord:
        """The record without e-mail addresses, also where one stands in its address or query."""
        user = self._names.setdefault(record.user, f"user-{len(self._names) + 1}") if record.user else ""
        return replace(
            record, user=user, uri=_MAIL.sub("(e-mail)", record.uri), query=_MAIL.sub("(e-mail)", record.query)
        )


@dataclass
class Distinct:
    """Leaves out records that are equal in everything to one not long before: log shippers deliver some twice."""

    dropped: int = 0
    _seen: set[int] = field(default_factory=set)
    _order: deque[int] = field(default_factory=deque)

    def of(self, records: Iterable[LogRecord]) -> Iterator[LogRecord]:
        """The records that are not duplicates."""
        for record in records:
            key = hash(record)
            if key in self._seen:
                self.dropped += 1
                continue
            self._seen.add(key)
            self._order.append(key)
            if len(self._order) > NEAR:
                self._seen.discard(self._order.popleft())
            yield record


def request_rows(records: Iterable[LogRecord], zone: ZoneInfo, slowest: int = 0) -> Iterator[Row]:
    """Rows of `REQUEST_COLUMNS` in the order of the log; with `slowest`, only so many, the longest request first."""
    if slowest:
        records = heapq.nlargest(slowest, records, key=lambda record: record.duration)
    for r in records:
        when = dt.datetime.fromtimestamp(r.time, zone)
        yield (when, r.status, r.duration, r.bytes_in, r.bytes_out, r.user, r.category, r.dataset, r.uri, r.query)


@dataclass
class _Uses:
    requests: int = 0
    errors: int = 0
    milliseconds: float = 0.0
    slowest: float = 0.0
    bytes_out: int = 0
    first: int = 2**62
    last: int = -(2**62)


def user_rows(records: Iterable[LogRecord], zone: ZoneInfo, most: int = 0) -> Iterator[Row]:
    """Rows of `USER_COLUMNS`, the user with most requests first; with `most`, only so many.

    An error is a status of 400 or more.  Requests without a user are one row with an empty name.
    """
    users: dict[str, _Uses] = {}
    for record in records:
        uses = users.setdefault(record.user, _Uses())
        uses.requests += 1
        uses.errors += record.status >= 400
        uses.milliseconds += record.duration
        uses.slowest = max(uses.slowest, record.duration)
        uses.bytes_out += record.bytes_out
        uses.first, uses.last = min(uses.first, record.time), max(uses.last, record.time)
    ordered = sorted(users.items(), key=lambda item: (-item[1].requests, item[0]))
    for user, u in ordered[: most or None]:
        first, last = (dt.datetime.fromtimestamp(time, zone) for time in (u.first, u.last))
        seconds = round(u.milliseconds / 1000, 3)
        yield (user, u.requests, u.errors, seconds, u.slowest, u.bytes_out, first, last)
