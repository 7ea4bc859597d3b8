"""Log lines, timings and progress."""

from __future__ import annotations

import logging
import re
import subprocess
import sys

import pytest

from flyem_snapshot import log

logger = logging.getLogger("flyem_snapshot.test")


@pytest.fixture
def console(capsys):
    """Logging set up as for a run, and taken down again."""
    root, package = logging.getLogger(), logging.getLogger("flyem_snapshot")
    level = package.level
    log.setup_logging()
    yield capsys
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, log.ConsoleHandler)]
    package.setLevel(level)
    logging.captureWarnings(False)


def lines(console):
    return [
        re.sub(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] ", "", line)
        for line in console.readouterr().out.splitlines()
    ]


def test_a_line_has_time_level_and_nested_prefixes(console):
    logger.info("before")
    with log.prefixed("synapses"), log.prefixed("roi-set 'primary'"):
        logger.warning("%d points", 7)
    logger.info("after")

    assert lines(console) == ["INFO before", "WARNING synapses: roi-set 'primary': 7 points", "INFO after"]


def test_setting_up_twice_does_not_double_the_lines(console):
    log.setup_logging()
    logger.info("once")
    assert lines(console) == ["INFO once"]


def test_the_logging_config_is_applied_on_top(console):
    log.setup_logging({"loggers": {"flyem_snapshot": {"level": "WARNING"}}, "incremental": False})
    logger.info("not shown")
    logger.warning("shown")
    assert lines(console) == ["WARNING shown"]


def test_a_logging_config_that_is_none_is_refused(console):
    with pytest.raises(ValueError, match="flyem_snapshot"):
        log.setup_logging({"loggers": {"flyem_snapshot": {"level": "LOUD"}}})


def test_timed_tells_rows_and_seconds(console):
    with log.timed("load"):
        pass
    with log.timed("count", rows=1234567):
        pass
    with log.timed("filter") as timing:
        timing.rows = 12
    assert lines(console) == [
        "INFO load: 0.0 s",
        "INFO count: 1,234,567 rows in 0.0 s",
        "INFO filter: 12 rows in 0.0 s",
    ]
    assert timing.seconds > 0


def test_plain_progress_is_at_most_one_line_in_ten_seconds(console):
    now = iter([0.0, 1.0, 11.0, 12.0, 30.0])
    plain = log.PlainProgress("points", 1000, "rows", clock=lambda: next(now))
    for _ in range(4):
        plain.advance(100)
    assert lines(console) == [
        "INFO points: 200 of 1,000 rows (20 %), 18/s, about 44.0 s left",
        "INFO points: 400 of 1,000 rows (40 %), 13/s, about 45.0 s left",
    ]


def test_progress_without_a_total_tells_only_the_rate(console):
    now = iter([0.0, 20.0])
    log.PlainProgress("pages", None, "pages", clock=lambda: next(now)).advance(40)
    assert lines(console) == ["INFO pages: 40 pages, 2/s"]


def test_short_work_logs_no_progress(console):
    with log.progress("points", 10) as advance:
        advance(10)
    assert lines(console) == []


def test_a_terminal_shows_a_bar(console, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with log.progress("points", 1000) as advance:
        advance(500)
        logger.info("meanwhile")
    assert "meanwhile" in console.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (12.34, "12.3 s"),
        (59.94, "59.9 s"),
        (59.99, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7620, "2 h 07 min"),
    ],
)
def test_durations_read_well(seconds, text):
    assert log.format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (999_949, "999.9 kB"),
        (999_960, "1.0 MB"),
        (12 * 10**9, "12.0 GB"),
        (3 * 10**15, "3000.0 TB"),
    ],
)
def test_sizes_read_well(count, text):
    assert log.format_bytes(count) == text


PEAK = """
from flyem_snapshot import log
block = bytearray(200_000_000)
high = log.peak_rss_bytes()
del block
log.reset_peak_rss()
print(high, log.peak_rss_bytes())
"""


def test_the_peak_memory_is_measured_anew_after_a_reset():
    # In a process of its own: what other tests left in memory is no matter of ours.
    said = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout
    high, later = map(int, said.split())

    assert high > 200_000_000
    assert later < high - 100_000_000
