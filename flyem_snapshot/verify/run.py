"""Making every check of a snapshot, in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb

from flyem_snapshot.errors import DataError, SnapshotError
from flyem_snapshot.verify import counts, flat, graph, manifest, meta, neurotransmitters, rois
from flyem_snapshot.verify.checks import Check, Finding, Result, Status
from flyem_snapshot.verify.report import show
from flyem_snapshot.verify.snapshot import Snapshot, opened

FILES: Sequence[Check] = manifest.CHECKS
FLAT: Sequence[Check] = flat.CHECKS
NEUPRINT: Sequence[Check] = (*graph.CHECKS, *counts.CHECKS, *rois.CHECKS, *neurotransmitters.CHECKS, *meta.CHECKS)


def verify(root: Path, write: Callable[[str], None]) -> None:
    """Make every check that fits a snapshot and print what became of it; nothing is written into the snapshot.

    Raises SnapshotError if any check fails or cannot be made.
    """
    if not root.is_dir():
        raise DataError("there is no such directory", file=root)
    with opened(root) as snapshot:
        results = show(root, checked(snapshot), write)
    bad = [result.name for result in results if result.status in (Status.FAIL, Status.UNCHECKED)]
    if bad:
        raise SnapshotError(f"{root}: {len(bad)} of {len(results)} checks did not pass: {', '.join(bad)}")


def checked(snapshot: Snapshot) -> Iterator[Result]:
    """The result of every check, as it is made."""
    yield from (result_of(check, snapshot) for check in FILES)
    for part, present, checks in (
        ("flat-connectome", snapshot.has_flat, FLAT),
        ("neuprint", snapshot.has_neuprint, NEUPRINT),
    ):
        if present:
            yield from (result_of(check, snapshot) for check in checks)
        else:
            reason = f"there is no folder {part}/"
            yield Result(part, f"all of {part}/", Status.NOT_APPLICABLE, reason=reason)


def result_of(check: Check, snapshot: Snapshot) -> Result:
    """Make one check."""
    start = time.perf_counter()
    try:
        reason = check.unless(snapshot)
        finding = None if reason else check.find(snapshot)
    except SnapshotError as error:
        return Result(check.name, check.proves, Status.UNCHECKED, reason=error.message)
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        said = f"no room: {str(error).splitlines()[0]}; set TMPDIR to a directory on a larger disk"
        return Result(check.name, check.proves, Status.UNCHECKED, reason=said)
    if finding is None:
        return Result(check.name, check.proves, Status.NOT_APPLICABLE, reason=reason)
    return Result(check.name, check.proves, _status(check, finding), time.perf_counter() - start, finding)


def _status(check: Check, finding: Finding) -> Status:
    if not finding.offenders:
        return Status.PASS
    return Status.WARNING if check.warns else Status.FAIL
