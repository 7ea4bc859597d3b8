"""What the user sees of a run: log lines with the stage they belong to, timings, progress and peak memory."""

from __future__ import annotations

import logging
import logging.config
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

logger = logging.getLogger(__name__)

PACKAGE: Final = "flyem_snapshot"
PLAIN_INTERVAL: Final = 10.0
"""Seconds between two plain progress lines."""

_STATUS: Final = Path("/proc/self/status")
_CLEAR_REFS: Final = Path("/proc/self/clear_refs")

_prefixes: ContextVar[tuple[str, ...]] = ContextVar("prefixes", default=())


class ConsoleHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever `sys.stdout` is at the moment, so that progress bars and log lines share a terminal."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self.addFilter(_add_prefix)
        self.setFormatter(logging.Formatter("[%(asctime)s] %(levelname)s %(prefix)s%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self.stream = sys.stdout
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """A reader of the log that goes away (`... | head`) must not end hours of work."""
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)


def _add_prefix(record: logging.LogRecord) -> bool:
    record.prefix = "".join(f"{prefix}: " for prefix in _prefixes.get())
    return True


def setup_logging(config: Mapping[str, Any] | None = None) -> None:
    """Log to stdout, our package from INFO up; then apply `config`, a dictConfig, incrementally.

    May be called again, as soon as the configuration is known.  Raises ValueError if `config` is not one.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, ConsoleHandler) for handler in root.handlers):
        root.addHandler(ConsoleHandler())
        logging.getLogger(PACKAGE).setLevel(logging.INFO)
        logging.captureWarnings(True)
    if config:
        logging.config.dictConfig({**config, "version": 1, "incremental": True})


@contextmanager
def prefixed(prefix: str) -> Iterator[None]:
    """Begin every log line of the `with` block with `prefix: ` (nested prefixes follow each other)."""
    token = _prefixes.set((*_prefixes.get(), prefix))
    try:
        yield
    finally:
        _prefixes.reset(token)


@dataclass
class Timing:
    """What `timed` reports: set `rows` within the block if their number is not known before."""

    rows: int | None = None
    seconds: float = 0.0


@contextmanager
def timed(what: str, rows: int | None = None) -> Iterator[Timing]:
    """Log how long the block took and, if known, how many rows it handled; nothing is logged if it fails."""
    timing = Timing(rows)
    start = time.perf_counter()
    yield timing
    timing.seconds = time.perf_counter() - start
    if timing.rows is None:
        logger.info("%s: %s", what, format_seconds(timing.seconds))
    else:
        logger.info("%s: %s rows in %s", what, f"{timing.rows:,}", format_seconds(timing.seconds))


@contextmanager
def progress(what: str, total: int | None = None, unit: str = "rows") -> Iterator[Callable[[int], None]]:
    """Show how far a long loop is: a bar on a terminal, otherwise a log line every ten seconds at most.

    Yields a function to be called with the number of `unit` done since the last call.
    """
    if sys.stdout.isatty():
        # Only here, since every module may import this one and few of them run on a terminal.
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        rate = TextColumn("{task.fields[rate]}")
        with Progress(
            TextColumn("{task.description}"), BarColumn(), rate, TimeRemainingColumn(), transient=True
        ) as bars:
            task = bars.add_task(what, total=total, rate="")

            def advance(count: int) -> None:
                speed = bars.tasks[task].speed or 0.0
                bars.update(task, advance=count, rate=f"{speed:,.0f} {unit}/s")

            yield advance
    else:
        yield PlainProgress(what, total, unit).advance


class PlainProgress:
    """Progress as log lines, for logs that are files; silent until the first interval has passed."""

    def __init__(self, what: str, total: int | None, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.what, self.total, self.unit, self.clock = what, total, unit, clock
        self.done = 0
        self.start = self.last = clock()

    def advance(self, count: int) -> None:
        """Note `count` more units; log a line if ten seconds have passed since the last one."""
        self.done += count
        now = self.clock()
        if now - self.last < PLAIN_INTERVAL:
            return
        self.last = now
        rate = self.done / (now - self.start)
        if self.total is None or not rate:
            logger.info("%s: %s %s, %s/s", self.what, f"{self.done:,}", self.unit, f"{rate:,.0f}")
        else:
            logger.info(
                "%s: %s of %s %s (%.0f %%), %s/s, about %s left",
                self.what,
                f"{self.done:,}",
                f"{self.total:,}",
                self.unit,
                100 * self.done / max(self.total, 1),
                f"{rate:,.0f}",
                format_seconds(max(self.total - self.done, 0) / rate),
            )


def format_seconds(seconds: float) -> str:
    """`0.3 s`, `12.0 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def format_bytes(count: int) -> str:
    """`512 B`, `1.5 MB`, `12.0 GB` (decimal, as disks are sold)."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.95:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} TB"


def reset_peak_rss() -> None:
    """Begin a new measurement of `peak_rss_bytes`, where the kernel lets us; else the peak is that of the process."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return


def peak_rss_bytes() -> int:
    """The most physical memory this process has held since `reset_peak_rss`, in bytes."""
    try:
        status = _STATUS.read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
