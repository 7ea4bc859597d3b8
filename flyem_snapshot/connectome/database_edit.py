"""`Meta.lastDatabaseEdit`: when the segmentation was last edited, and of when the properties of its bodies are."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

UNKNOWN: Final = "unknown"
_UPDATE: Final = re.compile(r"( / [^/]* \(segment property update\))+\s*$")


def with_property_update(last_edit: object, time: dt.datetime) -> str:
    """The text that says of when the properties are, in UTC; an earlier time is replaced, a later one stays.

    `2026-01-02 10:00` -> `2026-01-02 10:00 / 2026-02-03 04:05:06+00:00 (segment property update)`
    """
    before = _UPDATE.search(last_edit) if isinstance(last_edit, str) else None
    if before is not None and _time_of(before[0]) >= time:
        return str(last_edit)
    text = last_edit if isinstance(last_edit, str) and last_edit.strip() else UNKNOWN
    when = time.astimezone(dt.UTC).isoformat(sep=" ", timespec="seconds")
    return f"{_UPDATE.sub('', text).rstrip()} / {when} (segment property update)"


def _time_of(update: str) -> dt.datetime:
    """The time in such a text; the beginning of times if it is none."""
    try:
        time = dt.datetime.fromisoformat(update.rpartition(" / ")[2].removesuffix(" (segment property update)").strip())
    except ValueError:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
