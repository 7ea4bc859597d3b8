"""Moments: what services send becomes aware UTC times, and what they are sent is exact to the microsecond."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def aware(moment: datetime, *, stacklevel: int = 3) -> datetime:
    """A time in UTC.  One without a zone is taken to be UTC, with a warning; TypeError if it is no datetime."""
    if not isinstance(moment, datetime):
        raise TypeError(f"a time must be a datetime, not {type(moment).__name__}")
    if moment.tzinfo is None:
        message = f"the time {moment} has no zone and is taken to be UTC; say datetime.now(UTC), or give tzinfo="
        warnings.warn(message, UserWarning, stacklevel=stacklevel)
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)


def posix_seconds(moment: datetime, *, stacklevel: int = 4) -> str:
    """Seconds since 1970 (UTC) as decimal text, with as many digits of a fraction as the time has.

    Reckoned in integers: no local time and no float takes part.
    """
    ticks = (aware(moment, stacklevel=stacklevel) - _EPOCH) // timedelta(microseconds=1)
    sign, (seconds, rest) = "-" if ticks < 0 else "", divmod(abs(ticks), 1_000_000)
    return f"{sign}{seconds}.{rest:06}".rstrip("0").rstrip(".")


def parsed(text: str) -> datetime:
    """The moment that a service wrote: ISO, with or without a fraction, UTC unless it names a zone; or ValueError."""
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def from_posix(seconds: float) -> datetime:
    """The moment so many seconds after 1970 (UTC), to the microsecond."""
    return _EPOCH + timedelta(seconds=seconds)
