"""Moments as DVID writes them, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?\s*(?:([Zz])|([+-]\d\d):?(\d\d))(?:\s.*)?", re.ASCII | re.DOTALL
)
"""RFC 3339, and what Go prints: there a space stands before the zone, and its name and a clock reading follow."""


def moment(text: Any) -> datetime | None:
    """A time such as `2021-03-16T21:24:37.454557758-04:00` or `2021-03-16 21:24:37 +0000 UTC m=+0.1`, in UTC.

    None for anything else, and for Go's zero time (year 1), which means that nobody knows.  Digits beyond
    microseconds are cut off.
    """
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    day, clock, fraction, _, hours, minutes = match.groups()
    zone = f"{hours}:{minutes}" if hours else "+00:00"
    try:
        when = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):  # the 30th of February; the first hours of year 1
        return None
    return when if when.year > 1 else None
