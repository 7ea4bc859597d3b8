"""What a run leaves for readers: the manifest of the snapshot, the summary of the run, and a table on the screen."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from rich.console import Console
from rich.table import Table

import flyem_snapshot
from flyem_snapshot.log import format_bytes, format_seconds
from flyem_snapshot.pipeline.digests import FileIdentity
from flyem_snapshot.pipeline.plan import Step
from flyem_snapshot.pipeline.records import Record

logger = logging.getLogger(__name__)

MANIFEST: Final = "MANIFEST.json"
SUMMARY: Final = "run-summary.json"
_LIBRARIES: Final = ("duckdb", "pyarrow", "pandas")


@dataclass(frozen=True)
class Report:
    """A step and what became of it; `record` is None for a stage that was skipped."""

    step: Step
    record: Record | None


def manifest(root: Path, tag: str, reports: Iterable[Report]) -> dict[str, Any]:
    """Every file of the snapshot: size, rows, xxh3-64 digest, and the columns of a Feather file.

    Says nothing of times, so equal snapshots have equal manifests.  Left out are `cache/` and the three files that
    describe the run rather than the snapshot (this one, run-summary.json, final-config.yaml).
    """
    files = {
        relative: {"size": file.size, "rows": file.rows, "digest": file.digest, **_schema(root / relative)}
        for report in reports
        if report.record is not None
        for relative, file in report.record.files.items()
        if not relative.startswith("cache/")
    }
    return {"snapshot-tag": tag, "digests": "xxh3-64", "files": dict(sorted(files.items()))}


def _schema(path: Path) -> dict[str, dict[str, str]]:
    """The columns of a Feather file, name to type; nothing for other files."""
    if path.suffix != ".feather":
        return {}
    with pa.memory_map(str(path)) as source:
        schema = pa.ipc.open_file(source).schema
    return {"schema": {column.name: str(column.type) for column in schema}}


def run_summary(
    tag: str, reports: Sequence[Report], inputs: Mapping[str, FileIdentity], seconds: float
) -> dict[str, Any]:
    """What was done, why, at what cost, with which programs and from which files.

    Seconds, memory and exclusions of a reused stage are those of the run that made it.
    """
    records = [report.record for report in reports if report.record is not None]
    return {
        "snapshot-tag": tag,
        "totals": {
            "seconds": round(seconds, 3),
            "stages-run": sum(report.step.action == "run" for report in reports),
            "files": sum(len(record.files) for record in records),
            "bytes": sum(record.bytes for record in records),
            "peak-memory": max((record.peak_memory for record in records), default=0),
        },
        "stages": {".".join(report.step.unit.section): _stage(report) for report in reports},
        "input-files": {name: {"size": i.size, "digest": i.digest} for name, i in sorted(inputs.items())},
        "versions": {
            "flyem-snapshot": flyem_snapshot.__version__,
            "python": platform.python_version(),
            **{library: version(library) for library in _LIBRARIES},
        },
    }


def _stage(report: Report) -> dict[str, Any]:
    content: dict[str, Any] = {"action": report.step.action, "reason": report.step.reason}
    if (record := report.record) is not None:
        content |= {
            "seconds": round(record.seconds, 3),
            "peak-memory": record.peak_memory,
            "rows": record.rows,
            "bytes": record.bytes,
            "files": len(record.files),
            "exclusions": list(record.exclusions),
        }
    return content


def show_plan(rows: Sequence[tuple[str, str, str]]) -> None:
    """Log what will be done, a line a stage."""
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, action, reason in rows:
        logger.info("plan: %s  %-5s  %s", name.ljust(width), action, reason)


def show_summary(root: Path, reports: Sequence[Report], seconds: float) -> None:
    """A table on a terminal, otherwise a line a stage; then where the results are."""
    if sys.stdout.isatty():
        table = Table("stage", "action")
        for column in ("rows", "bytes", "time", "peak memory"):
            table.add_column(column, justify="right")
        for report in reports:
            table.add_row(_name(report), report.step.action, *_amounts(report))
        Console().print(table)
    else:
        for report in reports:
            amounts = described(*_amounts(report))
            logger.info("%s: %s%s", _name(report), report.step.action, f" ({amounts})" if amounts else "")
    logger.info("snapshot complete in %s: %s", format_seconds(seconds), root)


def _name(report: Report) -> str:
    return ".".join(report.step.unit.section)


def _amounts(report: Report) -> tuple[str, str, str, str]:
    """What a stage took; of a reused stage only what there is."""
    if report.record is None or report.step.action == "skip":
        return ("", "", "", "")
    rows, size, seconds, memory = costs(report.record)
    return (rows, size, seconds, memory) if report.step.action == "run" else (rows, size, "", "")


def costs(record: Record) -> tuple[str, str, str, str]:
    """Rows (if known), bytes, seconds and peak memory of a stage, as text."""
    rows = f"{record.rows:,}" if record.rows else ""
    return (rows, format_bytes(record.bytes), format_seconds(record.seconds), format_bytes(record.peak_memory))


def described(rows: str, size: str, seconds: str, memory: str) -> str:
    """What `costs` says, in words."""
    parts = (rows and f"rows: {rows}", size, seconds, memory and f"peak memory {memory}")
    return ", ".join(filter(None, parts))
