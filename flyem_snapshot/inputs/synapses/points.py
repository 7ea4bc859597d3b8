"""Synapse points: the first pass judges every point, the second keeps those that a partner row needs.

The first pass writes what the partners will look up: a narrow table of ids for the join, and columns that are
taken by row number (18 bytes a point).  The second pass filters the input by a mask of one byte a point, so the
input's order is kept without a sort and no column is ever joined back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flyem_snapshot.engine.columns import RowColumns
from flyem_snapshot.engine.session import Engine, parquet
from flyem_snapshot.engine.streams import FirstSeen, Vocabulary, tracked, write_parquet
from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.inputs.synapses.settings import SynapsesSettings, given_path
from flyem_snapshot.sources.checks import Kind, Mask, Rules, float32
from flyem_snapshot.sources.pointtables import AXES, PointBatch, PointTable, Volume
from flyem_snapshot.tables import points as point_ids
from flyem_snapshot.tables.rois import COMBO, RoiSet

KINDS = {"PreSyn": 1, "PostSyn": 2, "Fake": 3}
DROPPED_COLUMNS = ("roi_label", "user", "tbar_region", COMBO)
MAX_COMPARTMENTS = 127
MAX_CATEGORIES = 1 << 16
ZONE_BORDER_Z = 45056
"""Male CNS: the brain lies below this z, the nerve cord from it on."""

IDS_SCHEMA = pa.schema([("point_id", pa.uint64()), ("row", pa.uint32()), ("kind", pa.uint8())])
COLUMNS = {"body": np.int64, "conf": np.float32, "compartment": np.int8, COMBO: np.int32, "fate": np.uint8}


class Fate(IntEnum):
    """Why a point is left out; 0 is kept.  The first reason that holds counts."""

    KEPT = 0
    FAKE = 1
    ZONE = 2
    NO_CONFIDENCE = 3
    LOW_CONFIDENCE = 4
    BODY_0 = 5
    UNKNOWN = 6


@dataclass
class Judged:
    """What the first pass learned.

    `ids` is a Parquet file (point_id, row, kind); `columns` holds the rest by row number, and after the last row
    one more that stands for any point that does not exist.  `fates` counts the points by fate.
    """

    ids: Path
    columns: RowColumns
    rows: int = 0
    fates: np.ndarray[Any, np.dtype[np.int64]] = field(default_factory=lambda: np.zeros(len(Fate), np.int64))
    has_fakes: bool = False
    compartments: Vocabulary = field(default_factory=Vocabulary)


def open_points(
    config: SynapsesSettings,
    sets: Sequence[RoiSet],
    *,
    labelled: bool = False,
    placed: bool = False,
    volumes: Mapping[str, Volume] | None = None,
) -> PointTable:
    """The point table, its header checked: DataError for all that is wrong with it.

    `labelled` says that bodies come from a server, `placed` that coordinates are not in the ids but beside them,
    `volumes` are those of roi-sets.

    Raises SettingError if the compartment column is one that has another meaning.
    """
    taken = {"kind", *DROPPED_COLUMNS, *(name for s in sets for name in (s.name, s.label_column))}
    if config.compartment_column in taken:
        raise SettingError(
            "compartment-column",
            f"column '{config.compartment_column}' of the point table has another meaning",
            hint="name a column that holds axon, dendrite, ..., or remove the setting",
        )
    needed = {
        "kind": "PreSyn or PostSyn",
        "conf": "confidence of the prediction",
        "body": "the neuron the point is on",
    }
    kinds = {"kind": Kind.TEXT, "conf": Kind.NUMBER}
    if config.compartment_column:
        needed[config.compartment_column] = "inputs.synapses.compartment-column"
        kinds[config.compartment_column] = Kind.TEXT
    return PointTable(
        given_path(config.synapse_points), sets, needed, kinds, labelled=labelled, placed=placed, volumes=volumes
    )


def judge_points(table: PointTable, config: SynapsesSettings, scratch: Path) -> Judged:
    """First pass: check every rule of the points, decide each point's fate, write what the partners look up."""
    rules = Rules(table.path)
    judged = Judged(scratch / "ids.parquet", RowColumns(scratch / "points", COLUMNS))
    batches = tracked(_judged_batches(table, config, rules, judged), "reading points", table.file.rows)
    with judged.columns:
        judged.rows = write_parquet(judged.ids, IDS_SCHEMA, batches)
        rules.verdict()
        nobody = {"body": -1, "conf": np.inf, "compartment": 0, COMBO: -1, "fate": Fate.UNKNOWN}
        judged.columns.append(**{name: np.array([value]) for name, value in nobody.items()})
    return judged


def _judged_batches(
    table: PointTable, config: SynapsesSettings, rules: Rules, judged: Judged
) -> Iterator[pa.RecordBatch]:
    kinds = Vocabulary(KINDS)
    columns = ["kind", "conf", "body", *([config.compartment_column] if config.compartment_column else [])]
    # Other integer types cannot hold what does not fit.
    wide = [name for name in ("sv",) if name in table.schema.names and table.schema.field(name).type == pa.uint64()]
    for batch in table.batches([*columns, *wide], rules):
        kind = _kinds(batch, kinds, rules)
        body = rules.integers("body", batch.raw["body"], "points in no body must have body 0")
        rules.refuse("body", "is negative", body < 0, body, "points in no body must have body 0")
        for name in wide:
            rules.integers(name, batch.raw[name].fill_null(0), "ids are signed 64-bit numbers")
        conf = float32(batch.raw["conf"])
        fate = _fates(batch, kind, body, conf, config)
        judged.fates += np.bincount(fate, minlength=len(Fate))
        judged.has_fakes |= bool((kind == KINDS["Fake"]).any())
        compartment = _compartments(batch, config, judged, table.path)
        judged.columns.append(body=body, conf=conf, compartment=compartment, fate=fate, **{COMBO: batch.combos})
        rows = np.arange(batch.first_row, batch.first_row + len(body))
        # The codes of an illegal kind do not matter: the verdict stops the run before anything reads them.
        arrays = [batch.ids, rows, np.minimum(kind, len(KINDS) + 1)]
        yield pa.record_batch(
            [pa.array(a).cast(f.type) for a, f in zip(arrays, IDS_SCHEMA, strict=True)], schema=IDS_SCHEMA
        )


def check_points(batch: PointBatch, rules: Rules) -> None:
    """Hold a batch with the column `kind` to the rules that need no body, before hours are spent on bodies."""
    _kinds(batch, Vocabulary(KINDS), rules)


def _kinds(batch: PointBatch, kinds: Vocabulary, rules: Rules) -> np.ndarray[Any, np.dtype[np.int32]]:
    """The code of each point's kind; what is no kind breaks a rule."""
    kind = kinds.encode(batch.raw["kind"])
    is_other = (kind == 0) | (kind > len(KINDS))
    rules.refuse("kind", "is neither PreSyn nor PostSyn", is_other, batch.raw["kind"], "mend or remove these points")
    return kind


def _compartments(batch: PointBatch, config: SynapsesSettings, judged: Judged, file: Path) -> np.ndarray[Any, Any]:
    if not config.compartment_column:
        return np.zeros(len(batch.ids), np.int8)
    codes = judged.compartments.encode(batch.raw[config.compartment_column])
    codes[codes == 0] = judged.compartments.encode(pa.array(["unknown"]))[0]
    if len(judged.compartments) > MAX_COMPARTMENTS:
        raise DataError(
            f"has more than {MAX_COMPARTMENTS} different values",
            file=file,
            column=config.compartment_column,
            hint="inputs.synapses.compartment-column must name a column of compartments (axon, dendrite, ...)",
        )
    return codes.astype(np.int8)


def _fates(
    batch: PointBatch,
    kind: np.ndarray[Any, Any],
    body: np.ndarray[Any, Any],
    conf: np.ndarray[Any, Any],
    config: SynapsesSettings,
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The first reason to leave each point out, in the documented order of the filters."""
    fate = np.zeros(len(body), np.uint8)

    def leave_out(mask: Mask, reason: Fate) -> None:
        fate[mask & (fate == Fate.KEPT)] = reason

    leave_out(kind == KINDS["Fake"], Fate.FAKE)
    if config.zone:
        z = batch.coordinates()[2]
        leave_out(z >= ZONE_BORDER_Z if config.zone == "brain" else z < ZONE_BORDER_Z, Fate.ZONE)
    if config.min_confidence:
        # Compared as float32, the type of the column: 0.4 stored as float32 passes a threshold of 0.4.
        leave_out(np.isnan(conf), Fate.NO_CONFIDENCE)
        leave_out(conf < np.float32(config.min_confidence), Fate.LOW_CONFIDENCE)
    if not config.permit_body_0:
        leave_out(body == 0, Fate.BODY_0)
    return fate


def refuse_duplicates(engine: Engine, ids: Path, file: Path, *, placed: bool = False) -> None:
    """Raise DataError if two points have one id: their synapses would be counted twice."""
    twice = f"SELECT point_id, count(*) AS n FROM {parquet(ids)} GROUP BY point_id HAVING count(*) > 1"
    groups, rows = engine.rows(f"SELECT count(*), sum(n) FROM ({twice})")[0]
    if groups:
        first = [row[0] for row in engine.rows(f"SELECT point_id FROM ({twice}) ORDER BY point_id LIMIT 3")]
        hint = "remove the duplicates; two points may not lie on one voxel"
        raise DataError(
            f"{groups:,} point id{'s occur' if groups > 1 else ' occurs'} more than once",
            file=file,
            column="point_id",
            rows=int(rows),
            examples=first if placed else [_placed(point_id) for point_id in first],
            hint="remove the duplicates" if placed else hint,
        )


def _placed(point_id: int) -> str:
    """A point id with its coordinates, since the table may have only these."""
    x, y, z = (int(axis[0]) for axis in point_ids.decode(np.array([point_id], np.uint64)))
    return f"{point_id} (x {x}, y {y}, z {z})"


@dataclass
class KeptPoints:
    """What the second pass wrote: columns, category values, and the ROI combinations by first appearance."""

    columns: list[str]
    categories: dict[str, list[str]]
    rows: int
    combos: np.ndarray[Any, np.dtype[np.int32]]


def write_kept_points(table: PointTable, config: SynapsesSettings, keep: Mask, path: Path) -> KeptPoints:
    """Second pass: write the points of the mask, all columns, in input order, as Parquet."""
    plan = _Columns(table, config)
    first_seen = FirstSeen()
    batches = tracked(_kept_batches(table, plan, keep, first_seen), "keeping points", int(np.count_nonzero(keep)))
    rows = write_parquet(path, plan.schema, batches)
    categories = {name: [str(v) for v in vocabulary.values[1:]] for name, vocabulary in plan.categories().items()}
    return KeptPoints(plan.names, categories, rows, first_seen.order())


def _kept_batches(table: PointTable, plan: _Columns, keep: Mask, first_seen: FirstSeen) -> Iterator[pa.RecordBatch]:
    for batch in table.batches(plan.read, Rules(table.path)):
        mask = keep[batch.first_row : batch.first_row + len(batch.ids)]
        kept = batch.filter(mask)
        first_seen.add(kept.combos)
        yield plan.convert(kept)


class _Columns:
    """Which columns the kept points have, and how each is made.

    `names`: the input's columns in their order, without those dropped on load and without ROI columns (they are
    in the combinations); ids or coordinates that the input lacks come after them.  Where coordinates are in the ids,
    the file (`schema`) leaves them out.
    """

    def __init__(self, table: PointTable, config: SynapsesSettings) -> None:
        roi_columns = {name for s in table.sets for name in (s.name, s.label_column)}
        schema = table.schema
        given = [name for name in schema.names if name not in roi_columns and name not in DROPPED_COLUMNS]
        self.names = [*given, *(name for name in ("point_id", *AXES) if name not in given), COMBO]
        decoded = () if table.placed else AXES
        self.read = [name for name in given if name not in decoded]
        self.compartment = config.compartment_column
        self.vocabularies = {
            name: Vocabulary()
            for name in self.read
            if name in ("kind", self.compartment) or _is_text_category(schema.field(name).type)
        }
        types = {field.name: field.type for field in schema}
        types |= dict.fromkeys(self.vocabularies, pa.string())
        types |= {
            "point_id": pa.uint64(),
            "body": pa.int64(),
            "sv": pa.int64(),
            "conf": pa.float32(),
            COMBO: pa.int32(),
            **dict.fromkeys(AXES, pa.int32()),
        }
        self.schema = pa.schema([(name, types[name]) for name in self.names if name not in decoded])

    def convert(self, batch: PointBatch) -> pa.RecordBatch:
        """The columns of one batch, in the order and with the types of the schema."""
        return pa.record_batch([self._column(f, batch) for f in self.schema], schema=self.schema)

    def _column(self, field: pa.Field, batch: PointBatch) -> pa.Array:
        name = field.name
        if name == COMBO:
            return pa.array(batch.combos)
        if name == "point_id":
            return pa.array(batch.ids)
        array = batch.raw[name]
        if name == "conf":
            return pa.array(float32(array))
        if name not in self.vocabularies:
            return array.cast(field.type)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        array = array.cast(pa.string())
        if name == self.compartment:
            array = array.fill_null("unknown")
        if len(self.vocabularies[name]) <= MAX_CATEGORIES:
            self.vocabularies[name].encode(array)
        return array

    def categories(self) -> dict[str, Vocabulary]:
        """The columns that are enumerations.  A further column of very many values, or with a NUL, is plain text."""

        def fits(vocabulary: Vocabulary) -> bool:
            return len(vocabulary) <= MAX_CATEGORIES and not any("\0" in value for value in vocabulary.values[1:])

        always = ("kind", self.compartment)
        return {name: values for name, values in self.vocabularies.items() if name in always or fits(values)}


def _is_text_category(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.DictionaryType) and kind.value_type in (pa.string(), pa.large_string())
