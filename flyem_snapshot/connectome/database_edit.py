"""`Meta.lastDatabaseEdit`: when the segmentation was last edited, and of when the properties of its bodies are."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

UNKNOWN: Final = "unknown"
_UPDATE: Final = re.compile(r"( / [^/]* \(segment property update\))+\s*$")


def with_property_update(last_edit: object, time: dt.datetime) -> str:
    """The text that says of when the properties are, in UTC; what it said of that before is replaced.

    `2026-01-02 10:00` -> `2026-01-02 10:00 / 2026-02-03 04:05:06+00:00 (segment property update)`
    """
    text = last_edit if isinstance(last_edit, str) and last_edit.strip() else UNKNOWN
    when = time.astimezone(dt.UTC).isoformat(sep=" ", timespec="seconds")
    return f"{_UPDATE.sub('', text).rstrip()} / {when} (segment property update)"
