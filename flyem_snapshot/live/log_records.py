"""The log of a neuPrint server: one request a record, in JSON that is not quite JSON.

The server fills a template (the first field only in newer versions):

    {"dataset": "...", "uri": "...", "status": 200, "bytes_in": 120, "bytes_out": 3456, "duration": 12.34,
     "time": 1700000000, "user": "...", "category": "custom/custom", "debug": "MATCH (n) ..."}

`time` is in seconds since 1970, `duration` in milliseconds, `debug` is the query.  It puts a backslash before double
quotes within texts, but leaves backslashes and line breaks as they are: a query of several lines is a record of several
lines, and a JSON parser fails on it or reads something else.  A status may come in colours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

LONGEST: Final = 32 * 2**20
"""Bytes of a record; what goes on for longer is none."""

LATEST: Final = 2**36
"""No request was made later, in seconds since 1970: it is the year 4147, and a time in milliseconds is beyond it."""

_EXAMPLES: Final = 3
_BEGIN: Final = re.compile(rb'\{\s*"[a-z_]+"\s*:')
_END: Final = re.compile(rb'(?<!\\)"\}\s*\Z')
_NUMBER: Final = r"(?:\x1b\[[0-9;]*m)*(-?[0-9]+(?:\.[0-9]+)?)?(?:\x1b\[[0-9;]*m)*"
_TEMPLATE: Final = re.compile(
    r'\{(?:"dataset": "?(?P<dataset>.*?)"?, )?"uri": "(?P<uri>.*?)", '
    + "".join(f'"{name}": {_NUMBER}, ' for name in ("status", "bytes_in", "bytes_out", "duration", "time"))
    + r'"user": "(?P<user>.*?)", "category": "(?P<category>.*?)", "debug": "(?P<debug>.*)"\}\s*',
    re.DOTALL,
)


@dataclass(frozen=True)
class LogRecord:
    """One request: `time` in seconds since 1970 (UTC), `duration` in milliseconds, texts '' where there is none."""

    time: int
    status: int
    duration: float
    bytes_in: int
    bytes_out: int
    user: str
    category: str
    dataset: str
    uri: str
    query: str


@dataclass
class Faults:
    """Lines that belong to no record: how many, and the numbers of the first three.

    `cut` is the number of lines before the first record, where reading began in the middle of the log.
    """

    lines: int = 0
    first: list[int] = field(default_factory=list)
    cut: int = 0

    def add(self, line: int, number: int) -> None:
        """Note `number` lines from `line` on."""
        self.lines += number
        self.first += list(range(line, line + number))[: _EXAMPLES - len(self.first)]


def records(lines: Iterable[bytes], faults: Faults, *, mid_record: bool = False) -> Iterator[LogRecord]:
    """The records of a log, one at a time.  What is none is counted in `faults`, never passed over in silence.

    With `mid_record` the first lines may be the rest of a record that began before.
    """
    pending: list[bytes] = []
    size, began, whole = 0, 0, mid_record
    for number, line in enumerate(lines, 1):
        if _BEGIN.match(line):
            yield from _closed(pending, began, faults)
            pending, size, began, whole = [line], len(line), number, False
        elif pending:
            pending.append(line)
            size += len(line)
        elif whole:
            faults.cut += 1
        elif line.strip():
            faults.add(number, 1)
        if pending and (_END.search(line) or size > LONGEST):
            record = parsed(b"".join(pending)) if size <= LONGEST else None
            if record is not None:
                yield record
                pending = []
            elif size > LONGEST:
                faults.add(began, len(pending))
                pending = []
    yield from _closed(pending, began, faults)


def _closed(pending: list[bytes], began: int, faults: Faults) -> Iterator[LogRecord]:
    """The record that ended where the next one begins, if it is one."""
    if not pending:
        return
    record = parsed(b"".join(pending))
    if record is not None:
        yield record
        return
    # Perhaps one line is a whole record, and what followed is not part of it.
    first = parsed(pending[0])
    if first is not None:
        yield first
    rest = pending if first is None else pending[1:]
    faults.add(began + len(pending) - len(rest), sum(1 for line in rest if line.strip()))


def parsed(text: bytes) -> LogRecord | None:
    """One record, as the server writes it or as proper JSON; None if it is neither."""
    line = text.decode("utf-8", errors="replace")
    match = _TEMPLATE.fullmatch(line)
    if match is None:
        return _from_json(line)
    numbers = [float(number or 0) for number in match.groups()[2:7]]
    if not all(map(_is_number, numbers)):
        return None
    status, bytes_in, bytes_out, duration, time = numbers
    texts = (match[name] or "" for name in ("user", "category", "dataset", "uri", "debug"))
    sizes = int(bytes_in), int(bytes_out)
    record = LogRecord(int(time), int(status), duration, *sizes, *(text.replace('\\"', '"') for text in texts))
    return record if 0 <= record.time <= LATEST else None


def _from_json(line: str) -> LogRecord | None:
    """A record that went through a log shipper, which writes JSON anew."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or "uri" not in found or not _is_number(found.get("time")):
        return None
    numbers = [found.get(name) or 0 for name in ("status", "duration", "bytes_in", "bytes_out")]
    if not all(map(_is_number, numbers)):
        return None
    status, duration, bytes_in, bytes_out = numbers
    texts = (str(found.get(name) or "") for name in ("user", "category", "dataset", "uri", "debug"))
    record = LogRecord(int(found["time"]), int(status), float(duration), int(bytes_in), int(bytes_out), *texts)
    return record if 0 <= record.time <= LATEST else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**53
