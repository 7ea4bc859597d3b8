"""The time of the services: it stands still but for what is written, and can be set."""

from __future__ import annotations

import datetime as dt

UTC = dt.UTC

START = dt.datetime(2026, 1, 5, 8, 10, 0, 215114, UTC)


class Clock:
    """Each thing that is written happens a second after the one before; times are aware, in UTC."""

    def __init__(self) -> None:
        self.now = START

    def tick(self) -> dt.datetime:
        """The time of something that happens now."""
        self.now += dt.timedelta(seconds=1)
        return self.now

    def advance(self, **step: float) -> dt.datetime:
        """Let time pass: `days=`, `hours=`, ..."""
        self.now += dt.timedelta(**step)
        return self.now


def spaced(time: dt.datetime) -> str:
    """A time as AnnotationEngine prints it: without a zone, with a space."""
    return str(time.astimezone(UTC).replace(tzinfo=None))


def iso(time: dt.datetime) -> str:
    """A time as MaterializationEngine prints it: without a zone; without a fraction if that is zero."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat()
