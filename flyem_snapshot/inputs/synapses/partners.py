"""Synapse partners: find each row's T-bar and PSD, say why a row is left out, keep the input's order.

The join finds row numbers only, so that it and the sort back into input order stay narrow (both spill).  The
points' values are then taken by row number, batch by batch, beside the partner file's own columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flyem_snapshot.engine.session import Engine, parquet
from flyem_snapshot.engine.streams import dictionary_array, in_step, tracked, write_parquet
from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.synapses.points import KINDS, Fate, Judged
from flyem_snapshot.inputs.synapses.settings import SynapsesSettings
from flyem_snapshot.sources.bigtables import BigTable
from flyem_snapshot.sources.checks import Kind, Mask, Rules, float32
from flyem_snapshot.tables.rois import COMBO, RoiSet

SIDES = ("pre", "post")
_CONFIDENCES = ("conf_pre", "conf_post")
_COMPARTMENTS = ("compartment_pre", "compartment_post")
_KINDS = {
    "pre_id": Kind.INTEGER,
    "post_id": Kind.INTEGER,
    **dict.fromkeys(_CONFIDENCES, Kind.NUMBER),
    **dict.fromkeys(_COMPARTMENTS, Kind.TEXT),
}
_TYPES = {"pre_id": pa.uint64(), "post_id": pa.uint64(), "conf_pre": pa.float32(), "conf_post": pa.float32()}
_UNKNOWN_SCHEMA = pa.schema([("pre_id", pa.uint64()), ("post_id", pa.uint64())])
_ROW = "row number"
"""The column that numbers the rows of the staged file: a name that no column of the input is likely to have."""


class Loss(IntEnum):
    """Why a partner row is left out; 0 is kept.  The first reason that holds counts."""

    KEPT = 0
    FAKE = 1
    ZONE = 2
    NO_CONFIDENCE = 3
    LOW_CONFIDENCE = 4
    BODY_0 = 5
    UNKNOWN_POINT = 6
    POINT_LEFT_OUT = 7


@dataclass(frozen=True)
class PartnerTable:
    """The partner file and which of its columns are used.

    What the run computes itself (bodies, ROIs, and compartments unless both are given) is not read.
    """

    file: BigTable
    extras: tuple[str, ...]
    confidences: tuple[str, ...]
    gives_compartments: bool

    @classmethod
    def open(cls, path: Path, sets: tuple[RoiSet, ...]) -> PartnerTable:
        """Check the header; DataError for columns that are missing or of the wrong kind."""
        made = ("body_pre", "body_post", *_CONFIDENCES, *_COMPARTMENTS, COMBO)
        file = BigTable.open(path, reserved=("pre_id", "post_id", *made), text=_COMPARTMENTS)
        file.require({"pre_id": "the T-bar's point id", "post_id": "the PSD's point id"}, _KINDS)
        names = set(file.schema.names)
        computed = {"pre_id", "post_id", *made}
        computed |= {name for s in sets for name in (s.name, s.label_column)}
        extras = tuple(name for name in file.schema.names if name not in computed)
        confidences = tuple(name for name in _CONFIDENCES if name in names)
        return cls(file, extras, confidences, set(_COMPARTMENTS) <= names)

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return [
            "pre_id",
            "post_id",
            *self.extras,
            *self.confidences,
            *(_COMPARTMENTS if self.gives_compartments else ()),
        ]


def stage_partners(table: PartnerTable, scratch: Path) -> Path:
    """Copy the partner file to Parquet with a row number, checking its ids; returns the path."""
    rules = Rules(table.file.path)
    own = {field.name: field.type for field in table.file.schema}
    types = {name: _TYPES.get(name, _plain(own[name])) for name in table.columns}
    schema = pa.schema([(_ROW, pa.int64()), *types.items()])

    def batches() -> Iterator[pa.RecordBatch]:
        row = 0
        for batch in table.file.batches(table.columns, _TYPES):
            rules.first_row = row
            arrays = [pa.array(np.arange(row, row + batch.num_rows))]
            arrays += [_staged(batch[name], name, kind, rules) for name, kind in types.items()]
            yield pa.record_batch(arrays, schema=schema)
            row += batch.num_rows

    path = scratch / "partners.parquet"
    rows = write_parquet(path, schema, tracked(batches(), "reading partners", table.file.rows))
    rules.verdict()
    if not rows:
        raise DataError(
            "the table has no rows", file=table.file.path, hint="export it again; a snapshot needs synapses"
        )
    return path


def _plain(kind: pa.DataType) -> pa.DataType:
    """Categories travel as their values."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _staged(array: pa.Array, name: str, kind: pa.DataType, rules: Rules) -> pa.Array:
    if name in ("pre_id", "post_id"):
        ids = rules.integers(name, array, "every row needs the ids of both points")
        rules.refuse(name, "is negative", ids < 0, ids, "write ids as z << 42 | y << 21 | x")
        return pa.array(ids.view(np.uint64))
    if name in _CONFIDENCES:
        return pa.array(float32(array))
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array.cast(kind)


@dataclass
class KeptPartners:
    """What the join wrote: how many rows met which loss, and which points they need (one byte a point)."""

    losses: np.ndarray[Any, np.dtype[np.int64]]
    is_tbar: Mask
    is_psd: Mask

    @property
    def rows(self) -> int:
        """Rows kept."""
        return int(self.losses[Loss.KEPT])

    @property
    def points(self) -> Mask:
        """The points that some kept row needs."""
        return self.is_tbar | self.is_psd


def join_partners(
    engine: Engine, table: PartnerTable, staged: Path, judged: Judged, config: SynapsesSettings, path: Path
) -> KeptPartners:
    """Write the kept partner rows in input order as Parquet; returns the losses and the points that are needed."""
    kept = KeptPartners(np.zeros(len(Loss), np.int64), np.zeros(judged.rows, bool), np.zeros(judged.rows, bool))
    own = pq.ParquetFile(staged)
    columns = [name for name in own.schema_arrow.names if name != _ROW]
    schema = _schema(own.schema_arrow, table, config)
    unknown = staged.with_name("unknown-partners.parquet")
    with engine.stream(_found_sql(staged, judged)) as found, pq.ParquetWriter(unknown, _UNKNOWN_SCHEMA) as aside:
        rows = in_step(own.iter_batches(columns=columns), found)
        join = _Join(table, judged, config, schema, kept, aside)
        write_parquet(path, schema, tracked(join.batches(rows), "joining partners", own.metadata.num_rows))
    if kept.losses[Loss.UNKNOWN_POINT]:
        _refuse_wrong_kinds(engine, table, unknown, judged)
    _refuse_shared_psds(engine, table, path, kept)
    return kept


def _found_sql(staged: Path, judged: Judged) -> str:
    """Row numbers of each partner row's T-bar and PSD, in input order; an unknown id has the row after the last."""
    ids, nobody = parquet(judged.ids), judged.rows
    return f"""
        WITH
            pre AS (SELECT point_id, row FROM {ids} WHERE kind = {KINDS["PreSyn"]}),
            post AS (SELECT point_id, row FROM {ids} WHERE kind = {KINDS["PostSyn"]})
        SELECT coalesce(pre.row, {nobody}) AS "pre {_ROW}", coalesce(post.row, {nobody}) AS "post {_ROW}"
        FROM {parquet(staged)} AS p
        LEFT JOIN pre ON p.pre_id = pre.point_id
        LEFT JOIN post ON p.post_id = post.point_id
        ORDER BY p."{_ROW}"
    """


def _schema(own: pa.Schema, table: PartnerTable, config: SynapsesSettings) -> pa.Schema:
    """The columns of the kept rows: ids, the file's further columns, then what the points say."""
    ids = [own.field(name) for name in ("pre_id", "post_id", *table.extras)]
    conf = [(name, pa.float32()) for name in _CONFIDENCES]
    bodies = [(f"body_{side}", pa.int64()) for side in SIDES]
    has_compartments = table.gives_compartments or config.compartment_column
    kind = pa.string() if table.gives_compartments else pa.dictionary(pa.int8(), pa.string())
    compartments = [(name, kind) for name in _COMPARTMENTS] if has_compartments else []
    return pa.schema([*ids, *conf, *bodies, *compartments, (COMBO, pa.int32())])


@dataclass
class _Join:
    """Turns partner rows with the row numbers of their points into the kept rows; rows of unknown points go `aside`."""

    table: PartnerTable
    judged: Judged
    config: SynapsesSettings
    schema: pa.Schema
    kept: KeptPartners
    aside: pq.ParquetWriter

    def batches(self, rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The kept rows of each batch, with what their points say; counts the others by loss."""
        for batch in rows:
            loss = self._losses(batch)
            self.kept.losses += np.bincount(loss, minlength=len(Loss))
            unknown = batch.filter(pa.array(loss == Loss.UNKNOWN_POINT))
            if unknown.num_rows:
                self.aside.write_batch(unknown.select(_UNKNOWN_SCHEMA.names))
            yield self._completed(batch.filter(pa.array(loss == Loss.KEPT)))

    def _completed(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Kept rows in the columns of the written table; marks their points as needed."""
        points, names = self.judged.columns, list(map(str, self.judged.compartments.values[1:]))
        row = {side: rows[f"{side} {_ROW}"].to_numpy(zero_copy_only=False) for side in SIDES}
        self.kept.is_tbar[row["pre"]] = True
        self.kept.is_psd[row["post"]] = True
        made = {COMBO: pa.array(points[COMBO][row["post"]])}
        for side in SIDES:
            made[f"body_{side}"] = pa.array(points["body"][row[side]])
            made[f"conf_{side}"] = pa.array(points["conf"][row[side]])
            made[f"compartment_{side}"] = dictionary_array(points["compartment"][row[side]] - 1, names)
        # What the partner file gives itself is taken as it is.
        made |= {name: rows[name] for name in rows.schema.names}
        if self.config.compartment_column and self.table.gives_compartments:
            made |= {name: made[name].cast(pa.string()).fill_null("unknown") for name in _COMPARTMENTS}
        return pa.record_batch([made[field.name].cast(field.type) for field in self.schema], schema=self.schema)

    def _losses(self, batch: pa.RecordBatch) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The first reason to leave each row out, in the documented order; a known end is judged first."""
        loss = np.zeros(batch.num_rows, np.uint8)

        def leave_out(reason: Loss, mask: Mask) -> None:
            loss[mask & (loss == Loss.KEPT)] = reason

        points, given = self.judged.columns, batch.schema.names
        rows = [batch[f"{side} {_ROW}"].to_numpy() for side in SIDES]
        pre, post = (points["fate"][row] for row in rows)
        if self.judged.has_fakes:
            ids = [batch[f"{side}_id"].to_numpy() for side in SIDES]
            leave_out(Loss.FAKE, (ids[0] == 0) | (ids[1] == 0))
        leave_out(Loss.ZONE, (pre == Fate.ZONE) | (post == Fate.ZONE))
        if self.config.min_confidence:
            conf = [
                batch[name].to_numpy() if name in given else points["conf"][row]
                for name, row in zip(_CONFIDENCES, rows, strict=True)
            ]
            leave_out(Loss.NO_CONFIDENCE, np.isnan(conf[0]) | np.isnan(conf[1]))
            leave_out(Loss.LOW_CONFIDENCE, np.minimum(*conf) < np.float32(self.config.min_confidence))
        leave_out(Loss.BODY_0, (pre == Fate.BODY_0) | (post == Fate.BODY_0))
        leave_out(Loss.UNKNOWN_POINT, (pre == Fate.UNKNOWN) | (post == Fate.UNKNOWN))
        leave_out(Loss.POINT_LEFT_OUT, (pre != Fate.KEPT) | (post != Fate.KEPT))
        return loss


def _refuse_wrong_kinds(engine: Engine, table: PartnerTable, unknown: Path, judged: Judged) -> None:
    """Rows that name an unknown point are left out; rows whose ids are known, but of the wrong kind, are an error."""
    swapped = f"""
        WITH known AS (SELECT point_id FROM {parquet(judged.ids)} WHERE kind <> {KINDS["Fake"]})
        SELECT p.pre_id, p.post_id
        FROM {parquet(unknown)} AS p
        JOIN known AS pre ON p.pre_id = pre.point_id
        JOIN known AS post ON p.post_id = post.point_id
    """
    rows = engine.scalar(f"SELECT count(*) FROM ({swapped})")
    if rows:
        pairs = engine.rows(f"SELECT * FROM ({swapped}) ORDER BY pre_id, post_id LIMIT 3")
        examples = [f"pre_id {pre}, post_id {post}" for pre, post in pairs]
        raise DataError(
            "pre_id must name a PreSyn point and post_id a PostSyn point, but they name points of another kind",
            file=table.file.path,
            rows=rows,
            examples=examples,
            hint="the columns may be swapped, or the kind column of the points wrong",
        )


def _refuse_shared_psds(engine: Engine, table: PartnerTable, path: Path, kept: KeptPartners) -> None:
    """A PSD belongs to one T-bar: with two, every count of connections would exceed the count of PSDs."""
    if np.count_nonzero(kept.is_psd) == kept.rows:
        return
    twice = f"SELECT post_id, count(*) AS n FROM {parquet(path)} GROUP BY post_id HAVING count(*) > 1"
    groups, rows = engine.rows(f"SELECT count(*), sum(n) FROM ({twice})")[0]
    examples = [row[0] for row in engine.rows(f"SELECT post_id FROM ({twice}) ORDER BY post_id LIMIT 3")]
    raise DataError(
        f"{groups:,} PSD{'s have' if groups > 1 else ' has'} more than one T-bar",
        file=table.file.path,
        column="post_id",
        rows=int(rows),
        examples=examples,
        hint="a PostSyn point may occur in one row only; keep the best pair of each",
    )
