"""Predictions in the order of the snapshot's T-bars: checked as they stream by, joined by place, written as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.config.suggest import closest
from flyem_snapshot.connectome.neurotransmitters import most_probable
from flyem_snapshot.connectome.restrict import points_referenced
from flyem_snapshot.engine.session import Engine, parquet
from flyem_snapshot.engine.sql import columns as quoted
from flyem_snapshot.engine.sql import literals
from flyem_snapshot.engine.streams import tracked, write_parquet
from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.inputs.neurotransmitters.columns import SPLIT, PredictionColumns
from flyem_snapshot.inputs.neurotransmitters.settings import NeurotransmittersSettings
from flyem_snapshot.sources.checks import Rules, float32
from flyem_snapshot.sources.pointtables import AXES
from flyem_snapshot.stage import Context
from flyem_snapshot.tables import points as point_ids
from flyem_snapshot.tables.neurotransmitters import score_column
from flyem_snapshot.tables.rois import COMBO, UNSPECIFIED
from flyem_snapshot.tables.synapses import PARTNERS, POINTS, Synapses

_TABLE = "neurotransmitter predictions"
_TOLERANCE = 1e-3
"""Networks write probabilities as float32 or less, so 1.0000001 is one."""

_OTHER_SCALE = "the coordinates must be voxels of the synapses: look at inputs.neurotransmitters.rescale-coords"


@dataclass(frozen=True)
class Joined:
    """What the file of T-bars holds.

    `splits` are the values of the column `split` (None: there is none), `tbars` counts the T-bars, `predicted` those
    with a prediction, and `bodies` are all bodies with a synapse (ascending), within the region if there is one.
    """

    names: tuple[str, ...]
    splits: tuple[str, ...] | None
    tbars: int
    predicted: int
    bodies: np.ndarray[Any, np.dtype[np.int64]]


def join_predictions(
    columns: PredictionColumns, config: NeurotransmittersSettings, ctx: Context, synapses: Synapses, relative: str
) -> Joined:
    """Write one row for each T-bar, in the order of the synapses.

    point_id UBIGINT, body BIGINT, the probabilities FLOAT, [split VARCHAR], pred1 VARCHAR, inside BOOLEAN: whether it
    lies in the region that the settings restrict predictions to.  T-bars outside have nulls.
    """
    engine, region = ctx.engine, _region(config, synapses)
    staged = ctx.scratch / "predictions.parquet"
    rows = _stage(columns, config, staged, numbered=synapses.placed)
    _require_one_each(engine, staged, columns.file.path, ctx, rows)
    with ctx.out.create(relative) as path:
        engine.copy_to_parquet(_joined(columns, staged, region, placed=synapses.placed), path)
    file = parquet(ctx.out.path(relative))
    tbars, inside, predicted = engine.rows(
        f"SELECT count(*), count(*) FILTER (WHERE inside), count(pred1) FROM {file}"
    )[0]
    ctx.out.set_rows(relative, tbars)
    if region is not None:
        if not inside:
            raise DataError(
                "no connection lies inside the region that neurotransmitters are restricted to",
                hint="change or remove inputs.neurotransmitters.restrict-to-roi",
            )
        ctx.exclusions.add("T-bars with neurotransmitters", f"outside {_in_words(config)}", tbars - inside)
    splits = None
    if columns.has_split:
        found = engine.rows(f"SELECT DISTINCT split FROM {file} WHERE split IS NOT NULL ORDER BY split")
        splits = tuple(value for (value,) in found)
    return Joined(columns.names, splits, tbars, predicted, _bodies(engine, region))


def _region(config: NeurotransmittersSettings, synapses: Synapses) -> str | None:
    """The partner rows in the region that the settings name, as a table expression; None: there is no region."""
    chosen = config.restrict_to_roi
    if chosen.roiset is None:
        return None
    roi_set = synapses.rois[chosen.roiset]
    combos = roi_set.inside()
    if chosen.roi is not None:
        if chosen.roi not in roi_set.ids or chosen.roi == UNSPECIFIED:
            known = [name for name in roi_set.ids if name != UNSPECIFIED]
            similar = closest(chosen.roi, known)
            raise SettingError(
                ("restrict-to-roi", "roi"),
                f"there is no ROI '{chosen.roi}' in '{chosen.roiset}'",
                hint=f"did you mean '{similar}'?" if similar else f"some of its ROIs: {', '.join(known[:10])}",
            )
        combos = np.flatnonzero(roi_set.names == roi_set.categories.index(chosen.roi)).tolist()
    condition = f"{COMBO} IN ({literals(combos)})" if combos else "FALSE"
    return f"(SELECT * FROM {PARTNERS} WHERE {condition})"


def _in_words(config: NeurotransmittersSettings) -> str:
    chosen = config.restrict_to_roi
    return f"every ROI of '{chosen.roiset}'" if chosen.roi is None else f"'{chosen.roi}' of '{chosen.roiset}'"


def _bodies(engine: Engine, region: str | None) -> np.ndarray[Any, np.dtype[np.int64]]:
    points = POINTS if region is None else f"({points_referenced(POINTS, region)})"
    found: np.ndarray[Any, np.dtype[np.int64]] = engine.table(f"SELECT DISTINCT body FROM {points} ORDER BY body")[
        "body"
    ].to_numpy()
    return found


def _joined(columns: PredictionColumns, staged: Path, region: str | None, *, placed: bool) -> str:
    """The query of all T-bars with their predictions, in input order; with their coordinates if ids lack them."""
    place = AXES if placed else ()
    own, of_tbar = (quoted(["point_id", "body", *place], table) for table in ("", "t"))
    scores = [score_column(name) for name in columns.names]
    inside = "TRUE" if region is None else f"point_id IN (SELECT pre_id FROM {region})"
    values = [*scores, *([SPLIT] if columns.has_split else [])]
    return f"""
        WITH tbars AS (
            SELECT input_row, {own}, {inside} AS inside
            FROM (SELECT row_number() OVER () AS input_row, {own}, kind FROM {POINTS})
            WHERE kind = 'PreSyn'
        )
        SELECT {of_tbar}, {quoted(values, "p")}, {most_probable(columns.names)} AS pred1, t.inside
        FROM tbars AS t LEFT JOIN {parquet(staged)} AS p ON t.point_id = p.point_id AND t.inside
        ORDER BY t.input_row
    """


def _require_one_each(engine: Engine, staged: Path, file: Path, ctx: Context, rows: int) -> None:
    """Count the predictions at no T-bar; raise DataError if there are no others, or two of one T-bar."""
    tbars = f"SELECT point_id FROM {POINTS} WHERE kind = 'PreSyn'"
    matched = f"SELECT point_id, count(*) AS n FROM {parquet(staged)} WHERE point_id IN ({tbars}) GROUP BY point_id"
    sums = "coalesce(sum(n), 0), coalesce(sum(n) FILTER (WHERE n > 1), 0), count(*)"
    found, repeated, places = (int(number) for number in engine.rows(f"SELECT {sums} FROM ({matched})")[0])
    if not places:
        problem = "none of the predictions lies at a T-bar of the snapshot"
        raise DataError(problem, file=file, rows=rows, hint=_OTHER_SCALE)
    if repeated:
        twice = f"SELECT point_id FROM ({matched}) WHERE n > 1 ORDER BY point_id LIMIT 3"
        shown = [_placed(point_id) for (point_id,) in engine.rows(twice)]
        hint = f"keep one row for each T-bar; {_OTHER_SCALE}"
        raise DataError("T-bars have several predictions", file=file, rows=repeated, examples=shown, hint=hint)
    ctx.exclusions.add(_TABLE, "at no T-bar of the snapshot", rows - found)


def _placed(point_id: int) -> str:
    x, y, z = (int(axis[0]) for axis in point_ids.decode(np.array([point_id], np.uint64)))
    return f"x {x}, y {y}, z {z}"


def _stage(columns: PredictionColumns, config: NeurotransmittersSettings, path: Path, *, numbered: bool) -> int:
    """Check every row and write point_id, the probabilities and the split; returns the number of rows.

    If points are `numbered`, their ids are not made of their coordinates, so those of the table are taken as they are.
    """
    rules = Rules(columns.file.path)
    split = [(SPLIT, pa.string())] if columns.has_split else []
    scores = [(score_column(name), pa.float32()) for name in columns.names]
    schema = pa.schema([("point_id", pa.uint64()), *scores, *split])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in columns.file.batches(columns.read, columns.csv_types):
            if numbered:
                ids = rules.integers("point_id", batch["point_id"]).view(np.uint64)
            else:
                ids = _ids(columns, config.scale, batch, rules)
            values = [_probabilities(column, batch[column], rules) for column in columns.scores.values()]
            texts = [_text(batch[SPLIT])] if columns.has_split else []
            yield pa.record_batch([pa.array(ids), *values, *texts], schema=schema)
            rules.first_row += batch.num_rows

    rows = write_parquet(path, schema, tracked(batches(), "reading predictions", columns.file.rows))
    rules.verdict()
    if not rows:
        raise DataError("the table has no rows", file=columns.file.path, hint="export it again, or remove the setting")
    return rows


def _ids(
    columns: PredictionColumns, scale: tuple[float, float, float], batch: pa.RecordBatch, rules: Rules
) -> point_ids.Ids:
    """The point id of each row: of its rescaled coordinates where it has coordinates."""
    ids: np.ndarray[Any, Any] | None = None
    if columns.has_ids:
        signed = rules.integers("point_id", batch["point_id"])
        rules.refuse("point_id", "is negative", signed < 0, signed, "write ids as z << 42 | y << 21 | x")
        ids = signed.view(np.uint64)
    if columns.place is None:
        assert ids is not None
        given = dict(zip(AXES, (axis.astype(np.float64) for axis in point_ids.decode(ids)), strict=True))
    else:
        given = {name: _coordinates(name, batch[name], rules) for name in columns.place}
    plain = _encoded(given, (1.0, 1.0, 1.0), rules)
    scaled = plain if scale == (1.0, 1.0, 1.0) else _encoded(given, scale, rules)
    if ids is not None and columns.place is not None:
        # An id may have been made before or after the coordinates were rescaled.
        other = (ids != plain) & (ids != scaled)
        rules.refuse("point_id", "does not belong to the coordinates beside it", other, ids, "drop the column")
    return scaled


def _coordinates(name: str, values: pa.Array, rules: Rules) -> np.ndarray[Any, np.dtype[np.float64]]:
    numbers = pc.cast(values, pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    missing = np.isnan(numbers)
    rules.refuse(name, "has no value", missing, values, "every prediction needs a place")
    return np.where(missing, 0.0, numbers)


def _encoded(
    given: dict[str, np.ndarray[Any, np.dtype[np.float64]]], scale: tuple[float, float, float], rules: Rules
) -> point_ids.Ids:
    voxels = []
    for (name, values), factor in zip(given.items(), scale, strict=True):
        scaled = np.trunc(values * factor)
        outside = ~((scaled >= point_ids.COORDINATE_MIN) & (scaled <= point_ids.COORDINATE_MAX))
        rules.refuse(name, f"is outside {point_ids.RANGE}", outside, scaled, _OTHER_SCALE)
        voxels.append(np.where(outside, 0, scaled).astype(np.int64))
    return point_ids.encode(*voxels)


def _probabilities(name: str, values: pa.Array, rules: Rules) -> pa.Array:
    """The column as float32, NaN as null."""
    numbers = float32(values)
    outside = (numbers < -_TOLERANCE) | (numbers > 1 + _TOLERANCE)
    rules.refuse(name, "is no probability: it is outside 0 .. 1", outside, numbers, "mend these rows")
    return pa.array(numbers, mask=np.isnan(numbers))


def _text(values: pa.Array) -> pa.Array:
    """The split as text; an empty text says nothing."""
    plain = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    text = plain.cast(pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
