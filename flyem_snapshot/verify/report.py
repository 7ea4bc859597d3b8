"""What the user reads of the checks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flyem_snapshot.log import format_seconds
from flyem_snapshot.verify.checks import Result, Status

_STYLES = {Status.PASS: "green", Status.FAIL: "bold red", Status.UNCHECKED: "red", Status.WARNING: "yellow"}


def show(root: Path, results: Iterable[Result], write: Callable[[str], None]) -> list[Result]:
    """Print a line for each check as it ends, or a table on a terminal; returns the results."""
    if sys.stdout.isatty():
        shown = list(results)
        _print_table(root, shown)
    else:
        shown = []
        for result in results:
            shown.append(result)
            write("\n".join([_line(result), *(f"    {line}" for line in details(result))]))
    write(summary(root, shown))
    return shown


def _line(result: Result) -> str:
    rows = f"{result.finding.rows:,} rows, {format_seconds(result.seconds)}" if result.finding else ""
    return f"{result.status.value:<14}  {result.name:<24}  {rows or result.reason}".rstrip()


def details(result: Result) -> list[str]:
    """What there is to say of a check that found something: the law, how many rows break it, the first three."""
    if result.finding is None or not result.finding.offenders:
        return []
    return [f"should hold: {result.proves}", f"{result.finding.offenders:,} do not:", *result.finding.examples]


def _print_table(root: Path, results: list[Result]) -> None:
    table = Table("check", "result", "rows", "time", "what", title=Text(str(root)))
    table.columns[2].justify = table.columns[3].justify = "right"
    for result in results:
        rows = f"{result.finding.rows:,}" if result.finding else ""
        seconds = format_seconds(result.seconds) if result.finding else ""
        what = "\n".join(details(result)) or result.reason or result.proves
        status = Text(result.status.value, _STYLES.get(result.status, "dim"))
        table.add_row(Text(result.name), status, rows, seconds, Text(what))
    Console().print(table)


def summary(root: Path, results: list[Result]) -> str:
    """One line: how many checks ended how."""
    said = {
        Status.PASS: "passed",
        Status.FAIL: "failed",
        Status.UNCHECKED: "could not be made",
        Status.WARNING: "with a warning",
        Status.NOT_APPLICABLE: "not applicable",
    }
    counts = {status: sum(result.status is status for result in results) for status in Status}
    parts = [f"{counts[status]} {words}" for status, words in said.items() if counts[status]]
    return f"{root}: {len(results)} checks: {', '.join(parts)}"
