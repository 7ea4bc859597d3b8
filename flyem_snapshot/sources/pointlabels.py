"""Supervoxel and body of every point of a table, asked of a DVID server.

Points are asked for in the order of the blocks in which the server keeps voxels, so that each block is read once; the
answers are put into a file by row number.  Nothing here grows with the number of points except files: 34 bytes a
point in the scratch directory, and 8 a point asked for in the resume directory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from flyem_snapshot.engine.session import Engine, parquet
from flyem_snapshot.engine.streams import Rechunker, write_parquet
from flyem_snapshot.errors import DataError
from flyem_snapshot.log import progress
from flyem_snapshot.sources.answers import Answers
from flyem_snapshot.sources.checks import Mask, Rules
from flyem_snapshot.sources.dvid.frozen import Frozen, Labels
from flyem_snapshot.sources.dvid.mutations import all_splits
from flyem_snapshot.sources.pointtables import PointBatch, PointTable
from flyem_snapshot.tables import points as point_ids

logger = logging.getLogger(__name__)

LOOKUP_ROWS: Final = 400_000
"""Points between two marks from which an interrupted run goes on; about 40 requests."""

MAPPED_ROWS: Final = 1 << 20
_SHOWN: Final = 3
_SAMPLE: Final = 100
_OF_BATCH: Final = 20
_BLOCK_BITS: Final = 21
_LOOKUPS: Final = pa.schema([("row", pa.int64()), ("block", pa.int64()), *((axis, pa.int32()) for axis in "zyx")])


@dataclass(frozen=True)
class PointLabels:
    """`sv` and `body` (int64) by row number of the table, mapped from files; 0 where there is none.

    `outside` is the number of points outside the segmented volume, which have neither.
    """

    sv: np.ndarray[Any, np.dtype[np.int64]]
    body: np.ndarray[Any, np.dtype[np.int64]]
    outside: int


def label_points(
    table: PointTable,
    frozen: Frozen,
    engine: Engine,
    scratch: Path,
    resume: Path,
    *,
    columns: Sequence[str] = (),
    check: Callable[[PointBatch, Rules], None] | None = None,
) -> PointLabels:
    """Look up the supervoxel of every point and the body of every supervoxel, as they were at the frozen moment.

    Where the table has a column `sv`, only those are looked up that some split may have changed since.  An
    interrupted run goes on with the answers in `resume`.  Before anything is asked, `check` sees every batch, with
    `columns`.  Raises DvidError if the server fails, and DataError if
    points lie on supervoxels that belong to no body.
    """
    scratch.mkdir(parents=True)
    doubtful = _doubtful(frozen) if "sv" in table.file.schema.names else None
    seen = _Seen(table, tuple(columns), check)
    asked = _staged(seen, frozen, scratch, doubtful)
    if _is_wrong(asked.sample, frozen):
        logger.warning("%s: the supervoxels are not those of these points, so all are looked up", table.path)
        asked = _staged(seen, frozen, scratch, None)
    _look_up(asked, frozen, engine, resume)
    undo = frozen.undo(asked.sv[part] for part in _parts(asked.rows))
    if undo:
        for part in _parts(asked.rows):
            asked.sv[part] = undo(asked.sv[part])
    body = _mapped(asked, frozen, engine, scratch, resume)
    _ask_again(table, asked, body, frozen)
    return PointLabels(signed(asked.sv, table.path, "sv"), signed(body, table.path, "body"), asked.outside)


@dataclass
class _Asked:
    """The supervoxels as far as they are known, by row, and a file of the points that must be looked up.

    `sample` holds some points (z, y, x) with supervoxels that the table says of them, for a check.
    """

    sv: Labels
    lookups: Path
    wanted: int
    rows: int
    outside: int
    given: bool
    sample: list[tuple[np.ndarray[Any, Any], Labels]] = field(default_factory=list)


@dataclass(frozen=True)
class _Seen:
    """A table whose batches are checked as they are read."""

    table: PointTable
    columns: tuple[str, ...]
    check: Callable[[PointBatch, Rules], None] | None

    def batches(self, columns: Sequence[str], rules: Rules) -> Iterator[PointBatch]:
        """The batches, with these columns besides those of the check."""
        for batch in self.table.batches([*self.columns, *columns], rules):
            if self.check is not None:
                self.check(batch, rules)
            yield batch


def _staged(table: _Seen, frozen: Frozen, scratch: Path, doubtful: Labels | None) -> _Asked:
    """Read the table once: take supervoxels that are surely right, and note the points of all others.

    `doubtful` are supervoxels that may be out of date; None says that all are.
    """
    given = doubtful is not None
    box = frozen.labelmap.info.box_zyx
    rules, path = Rules(table.table.path), scratch / "sv.bin"
    asked = _Asked(np.zeros(0, np.uint64), scratch / "lookups.parquet", 0, 0, 0, given)

    def batches() -> Iterator[pa.RecordBatch]:
        with path.open("wb") as file:
            for batch in table.batches(["sv"] if given else [], rules):
                known = np.zeros(len(batch.ids), np.uint64)
                wanted = np.ones(len(batch.ids), bool)
                if doubtful is not None:
                    # A null asks for a look-up; 0 says that there is nothing.
                    null = batch.raw["sv"].is_null().to_numpy(zero_copy_only=False)
                    known = _unsigned(batch.raw["sv"].fill_null(0), rules)
                    wanted = null | np.isin(known, doubtful)
                zyx = np.stack(point_ids.decode(batch.ids)[::-1], axis=1)
                inside = _inside(zyx, box)
                _take_sample(asked.sample, zyx, known, inside & ~wanted & (known != 0))
                asked.outside += int(np.count_nonzero(~inside))
                known[~inside | wanted] = 0
                file.write(known.data)
                yield _lookups(np.flatnonzero(wanted & inside), batch.first_row, zyx)
                asked.rows += len(known)

    asked.wanted = write_parquet(asked.lookups, _LOOKUPS, batches())
    rules.verdict()
    asked.sv = np.memmap(path, np.uint64, mode="r+")
    if asked.outside:
        logger.warning("%s points lie outside the segmented volume; they are on body 0", f"{asked.outside:,}")
    if given:
        logger.info("%s of %s supervoxels of the table may be out of date", f"{asked.wanted:,}", f"{asked.rows:,}")
    return asked


def _take_sample(
    sample: list[tuple[np.ndarray[Any, Any], Labels]], zyx: np.ndarray[Any, Any], known: Labels, usable: Mask
) -> None:
    """Add a few points of a batch, spread over it, until there are enough."""
    rows = np.flatnonzero(usable)
    few = min(len(rows), _OF_BATCH, _SAMPLE - sum(len(found) for _, found in sample))
    if few > 0:
        chosen = rows[np.linspace(0, len(rows) - 1, few).astype(np.int64)]
        sample.append((zyx[chosen], known[chosen].copy()))


def _is_wrong(sample: Sequence[tuple[np.ndarray[Any, Any], Labels]], frozen: Frozen) -> bool:
    """Whether the server says otherwise of some of the points that stand for a table: its rows may be shifted."""
    if not sample:
        return False
    zyx, said = (np.concatenate(parts) for parts in zip(*sample, strict=True))
    return bool((frozen.undo_all(frozen.labelmap.supervoxels(zyx)) != said).any())


def _doubtful(frozen: Frozen) -> Labels | None:
    """Supervoxels that a table may hold although they do not exist at this version: split, or made elsewhere.

    Nobody knows at which version the table was made, so the whole graph is asked.  None if the server cannot say.
    """
    found = all_splits(frozen.labelmap.node, frozen.labelmap.name)
    if not found.known:
        logger.warning(
            "the server cannot list splits, so the supervoxels of the table are of no use: all are looked up"
        )
        return None
    return np.union1d(found.retired, found.foreign)


def _unsigned(values: pa.Array, rules: Rules) -> Labels:
    numbers: Labels = rules.integers("sv", values, "write 0 for points in no supervoxel").view(np.uint64)
    return numbers.copy()


def _inside(zyx: np.ndarray[Any, Any], box: np.ndarray[Any, Any] | None) -> Mask:
    """Points within the volume; a server misreads negative coordinates, so they must not be asked for."""
    if box is None:
        return np.zeros(len(zyx), bool)
    inside: Mask = ((zyx >= np.maximum(box[0], 0)) & (zyx < box[1])).all(axis=1)
    return inside


def _lookups(rows: np.ndarray[Any, Any], first_row: int, zyx: np.ndarray[Any, Any]) -> pa.RecordBatch:
    z, y, x = zyx[rows].T
    block = np.zeros(len(rows), np.int64)
    for axis in (z, y, x):
        block = (block << _BLOCK_BITS) | (axis.astype(np.int64) >> 6)
    return pa.record_batch([pa.array(c) for c in (rows + first_row, block, z, y, x)], schema=_LOOKUPS)


def _look_up(asked: _Asked, frozen: Frozen, engine: Engine, resume: Path) -> None:
    """Ask for the supervoxels, block after block."""
    answers = Answers(resume / "supervoxels.bin")
    statement = f"SELECT row, z, y, x FROM {parquet(asked.lookups)} ORDER BY block, row"
    with engine.stream(statement) as stream, progress("looking up supervoxels", asked.wanted) as advance, answers:
        for batch in Rechunker(LOOKUP_ROWS).all(stream):
            row, *zyx = (column.to_numpy() for column in batch.columns)
            points = np.stack(zyx, axis=1)
            asked.sv[row] = answers.next(points, frozen.labelmap.supervoxels)
            advance(len(row))
    if answers.resumed:
        logger.info("%s supervoxels were known from an interrupted run", f"{answers.resumed:,}")


def _mapped(asked: _Asked, frozen: Frozen, engine: Engine, scratch: Path, resume: Path) -> Labels:
    """The body of each row's supervoxel."""
    body: Labels = np.memmap(scratch / "body.bin", np.uint64, mode="w+", shape=(max(asked.rows, 1),))[: asked.rows]
    if frozen.mapping is not None and not asked.given:
        for part in _parts(asked.rows):
            body[part] = frozen.bodies(asked.sv[part])
        return body
    keys, values = _mapping_of_distinct(asked, frozen, engine, scratch, resume)
    for part in _parts(asked.rows):
        body[part] = values[np.searchsorted(keys, asked.sv[part])]
    return body


def _mapping_of_distinct(
    asked: _Asked, frozen: Frozen, engine: Engine, scratch: Path, resume: Path
) -> tuple[Labels, Labels]:
    """Every supervoxel that occurs, ascending, and its body; both mapped from files."""
    schema = pa.schema([("sv", pa.uint64())])
    batches = (pa.record_batch([pa.array(asked.sv[part])], schema=schema) for part in _parts(asked.rows))
    write_parquet(scratch / "sv.parquet", schema, batches)
    statement = f"SELECT DISTINCT sv FROM {parquet(scratch / 'sv.parquet')} ORDER BY sv"
    answers, keys = Answers(resume / "bodies.bin"), scratch / "keys.bin"
    bodies = scratch / "values.bin"
    with engine.stream(statement) as stream, answers, keys.open("wb") as first, bodies.open("wb") as second:
        for batch in Rechunker(LOOKUP_ROWS).all(stream):
            supervoxels = batch["sv"].to_numpy()
            # Those of a file may not exist; those that the server has just named do.
            found = answers.next(supervoxels, partial(frozen.bodies, verified=asked.given))
            first.write(supervoxels.data)
            second.write(np.ascontiguousarray(found).data)
    return np.memmap(keys, np.uint64, mode="r"), np.memmap(bodies, np.uint64, mode="r")


def _ask_again(table: PointTable, asked: _Asked, body: Labels, frozen: Frozen) -> None:
    """A supervoxel without a body is a contradiction: look such points up once more, then give up loudly."""
    rows = [np.flatnonzero((asked.sv[p] != 0) & (body[p] == 0)) + p.start for p in _parts(asked.rows)]
    lost = np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int64)
    if not len(lost):
        return
    logger.warning("%s points are on supervoxels without a body: looking them up again", f"{len(lost):,}")
    zyx = _coordinates(table, lost)
    asked.sv[lost] = frozen.undo_all(frozen.labelmap.supervoxels(zyx))
    body[lost] = frozen.bodies(asked.sv[lost], verified=True)
    still = lost[(asked.sv[lost] != 0) & (body[lost] == 0)]
    if len(still):
        sample = zyx[np.isin(lost, still)][:_SHOWN]
        raise DataError(
            "points lie on supervoxels that belong to no body in DVID",
            file=table.path,
            rows=len(still),
            examples=[
                f"supervoxel {asked.sv[r]} (x {x}, y {y}, z {z})" for r, (z, y, x) in zip(still, sample, strict=False)
            ],
            hint="is this the version of the segmentation that the table belongs to? "
            "if so, its server contradicts itself there",
        )


def _coordinates(table: PointTable, rows: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, Any]:
    """The coordinates (z, y, x) of some rows, ascending; reads the table again."""
    found = []
    for batch in table.batches([], Rules(table.path)):
        low, high = np.searchsorted(rows, [batch.first_row, batch.first_row + len(batch.ids)])
        ids = batch.ids[rows[low:high] - batch.first_row]
        found.append(np.stack(point_ids.decode(ids)[::-1], axis=1))
    return np.concatenate(found)


def _parts(rows: int) -> Iterable[slice]:
    return (slice(start, min(start + MAPPED_ROWS, rows)) for start in range(0, rows, MAPPED_ROWS))


def signed(labels: Labels, file: Path | str, column: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The same memory, read as signed numbers: ours are; DataError for an id of DVID that does not fit."""
    signed = labels.view(np.int64)
    for part in _parts(len(signed)):
        if (signed[part] < 0).any():
            found = labels[part][signed[part] < 0][:_SHOWN].tolist()
            raise DataError("DVID names ids that do not fit 63 bits", file=file, column=column, examples=found)
    return signed
