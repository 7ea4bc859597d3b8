"""A whole table of a materialization, downloaded in windows of ids that a killed run finds again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from flyem_snapshot.engine.outdir import replace_atomically
from flyem_snapshot.engine.streams import parquet_options
from flyem_snapshot.errors import DataError
from flyem_snapshot.log import progress

if TYPE_CHECKING:
    from flyem_snapshot.cave import FrameworkClient

logger = logging.getLogger(__name__)

MANIFEST: Final = "manifest.jsonl"


@dataclass(frozen=True)
class Part:
    """The rows with ids from `lo` to before `hi`, in a file of its own, sorted by id."""

    lo: int
    hi: int
    rows: int
    file: str
    sha256: str


def download(
    client: FrameworkClient, table: str, version: int, expected: int, folder: Path, workers: int = 2
) -> list[Path]:
    """The Parquet files with all rows of a table, ids ascending from row to row and from file to file.

    What `folder` holds of an earlier run is used as far as it is whole.  Raises DataError if the rows are not as many
    as the server counts, CaveError if it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = known_parts(folder)
    if parts:
        logger.info("%s: %s rows were downloaded before", table, f"{sum(part.rows for part in parts):,}")
    done = sum(part.rows for part in parts)
    if parts and done == expected:
        return _files(parts, folder)
    with progress(f"downloading {table}", expected) as advance, (folder / MANIFEST).open("a", encoding="utf-8") as log:
        advance(done)
        # The width that worked last will do again.
        width = next((part.hi - part.lo for part in reversed(parts) if part.rows), None)
        start = parts[-1].hi if parts else 0
        for window in client.materialize.id_windows(table, version, lo=start, window=width, workers=workers):
            part = _kept(window.table, window.lo, window.hi, folder)
            log.write(json.dumps(asdict(part)) + "\n")
            log.flush()
            os.fsync(log.fileno())
            parts.append(part)
            advance(part.rows)
    found = sum(part.rows for part in parts)
    if found != expected:
        shutil.rmtree(folder)  # none of it can be trusted
        raise DataError(
            f"table '{table}' of version {version} has {expected:,} rows by the server's count, but {found:,} came",
            hint="run again; if it stays so, ask the administrator of the datastack",
        )
    return _files(parts, folder)


def _files(parts: Sequence[Part], folder: Path) -> list[Path]:
    """The files with rows; one without, if there are none."""
    return [folder / part.file for part in parts if part.rows] or [folder / parts[0].file]


def known_parts(folder: Path) -> list[Part]:
    """The parts of an earlier run from the first id on, up to the first that is missing or damaged; the rest goes."""
    path, parts = folder / MANIFEST, list[Part]()
    for part in noted_parts(folder):
        if _sha256(folder / part.file) != part.sha256:
            break
        parts.append(part)
    text = "".join(json.dumps(asdict(part)) + "\n" for part in parts)
    replace_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    kept = {MANIFEST, "table.json", *(part.file for part in parts)}
    for other in [file for file in folder.iterdir() if file.name not in kept]:
        other.unlink()
    return parts


def noted_parts(folder: Path) -> list[Part]:
    """The parts that are noted, from the first id on, up to the first of which there is no file."""
    path, parts = folder / MANIFEST, list[Part]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            part = Part(**json.loads(line))
        except (ValueError, TypeError):
            break  # the line at which the run was killed
        if not (folder / part.file).is_file() or part.lo != (parts[-1].hi if parts else 0):
            break
        parts.append(part)
    return parts


def _kept(rows: pa.Table, lo: int, hi: int, folder: Path) -> Part:
    """Store the rows of one window, sorted: a server gives them in no order."""
    ordered = rows.sort_by("id").replace_schema_metadata(None)
    name = f"part-{lo:020d}.parquet"

    def write(path: Path) -> None:
        pq.write_table(ordered, path, **parquet_options(ordered.schema))

    replace_atomically(folder / name, write)
    return Part(lo, hi, ordered.num_rows, name, _sha256(folder / name))


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
