"""Predicted neurotransmitters: of every T-bar as Parquet in the cache, of every body and cell type in pandas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather

from flyem_snapshot.engine.session import Engine, parquet
from flyem_snapshot.engine.sql import columns
from flyem_snapshot.tables.points import coordinates_sql

if TYPE_CHECKING:
    from flyem_snapshot.stage import Context

TBARS = "tbar_neurotransmitters"
TBARS_FILE = "tbar-neurotransmitters.parquet"
UNCLEAR = "unclear"
"""The prediction of a body or cell type of which too little is known."""

_FILES = {name: f"{name.replace('_', '-')}.feather" for name in ("bodies", "mean_scores", "confusion", "training")}
_INDEXES = {"bodies": "body", "mean_scores": "body", "confusion": "ground_truth"}
_TEXT = pd.StringDtype(na_value=np.nan)


def score_column(name: str) -> str:
    """The column with the probabilities of a transmitter: `gaba` -> `nt_gaba_prob`."""
    return f"nt_{name}_prob"


@dataclass(frozen=True)
class Neurotransmitters:
    """Predictions of transmitters.

    View `tbar_neurotransmitters`, one row for each PreSyn point of the synapses, in their order:

        point_id UBIGINT   unique
        body     BIGINT
        x, y, z  INTEGER   voxels
        nt_<name>_prob FLOAT  one for each of `names`, in their order
        split    ENUM      only if `has_split`: which part of the training data the T-bar was
        pred1    ENUM      the most probable of `names` (the first of equals)

    All but the first three are null for a T-bar without a prediction, or outside the region of `restrict-to-roi`.

    `bodies`, indexed by body (int64, ascending), one row for each body with a T-bar and for each typed body with a
    synapse; counts are Int32, confidences float32 (missing: NaN), the rest text (missing: NaN):

        cell_type, total_nt_predictions, [predicted_nt_confidence], predicted_nt, [ground_truth],
        celltype_total_nt_predictions, celltype_predicted_nt, [celltype_predicted_nt_confidence],
        [consensus_nt, [nt_reference], [other_nt], [other_nt_reference]]

    Confidences and ground_truth are there with ground truth only, consensus_nt with experimental ground truth only.

    `mean_scores`, indexed by body (int64, ascending): the mean of each `nt_<name>_prob` over the T-bars of a body that
    have a prediction (float32), only bodies with one; None if the settings do not ask for it.

    `confusion` (None without ground truth): float64, one row for each true transmitter (index `ground_truth`), one
    column for each predicted one, both in the order of `names`; a row sums to 1, or to 0 if nothing is known of it.

    If the T-bars are `placed`, their coordinates stand in `file`, not in their ids.

    `training`: the bodies (ascending) that the confusion matrix leaves out, since the predictor was trained on a T-bar
    of theirs.
    """

    engine: Engine
    names: tuple[str, ...]
    splits: tuple[str, ...] | None
    num_tbars: int
    bodies: pd.DataFrame
    mean_scores: pd.DataFrame | None
    confusion: pd.DataFrame | None
    training: tuple[int, ...]
    file: Path
    placed: bool = False

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The T-bars in order, without the coordinates: point_id, body, the probabilities, [split as text].

        Read beside the session, so that the stream can go side by side with one of the session's.
        """
        kept = ["point_id", "body", *self.columns, *(["split"] if self.has_split else [])]
        with pq.ParquetFile(self.file) as file:
            yield from file.iter_batches(columns=kept)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the probabilities, in the order of `names`."""
        return tuple(score_column(name) for name in self.names)

    @property
    def has_split(self) -> bool:
        """Whether the T-bars have a column `split`."""
        return self.splits is not None

    def keep(self, ctx: Context) -> Neurotransmitters:
        """Store the tables of bodies in the stage's cache, beside the T-bars, so that a later run can reopen them."""
        tables = {
            "bodies": self.bodies,
            "mean_scores": self.mean_scores,
            "confusion": self.confusion,
            "training": pd.DataFrame({"body": np.array(self.training, np.int64)}),
        }
        for name, frame in tables.items():
            if frame is not None:
                flat = frame.reset_index() if name in _INDEXES else frame
                with ctx.out.create(f"{ctx.cache}/{_FILES[name]}", rows=len(flat)) as path:
                    feather.write_feather(_plain_table(flat), str(path), compression="lz4")
        return self

    def record(self) -> dict[str, Any]:
        """What the cache must remember besides the files."""
        return {
            "names": list(self.names),
            "splits": None if self.splits is None else list(self.splits),
            "num_tbars": self.num_tbars,
            "has_mean_scores": self.mean_scores is not None,
            "has_confusion": self.confusion is not None,
            "placed": self.placed,
        }

    @classmethod
    def reopen(cls, ctx: Context, record: dict[str, Any]) -> Neurotransmitters:
        """Define the view over the T-bars' file and read the tables of bodies."""
        names, splits = tuple(record["names"]), record["splits"]
        file = ctx.out.path(f"{ctx.cache}/{TBARS_FILE}")
        define_tbars(ctx.engine, file, names, splits, placed=record["placed"])
        return cls(
            engine=ctx.engine,
            names=names,
            splits=None if splits is None else tuple(splits),
            num_tbars=int(record["num_tbars"]),
            bodies=_stored_frame(ctx, "bodies"),
            mean_scores=_stored_frame(ctx, "mean_scores") if record["has_mean_scores"] else None,
            confusion=_stored_frame(ctx, "confusion") if record["has_confusion"] else None,
            training=tuple(_stored(ctx, "training")["body"].to_pylist()),
            file=file,
            placed=record["placed"],
        )

    def close(self) -> None:
        """Drop the view."""
        self.engine.drop_view(TBARS)


def define_tbars(
    engine: Engine, file: Path, names: Sequence[str], splits: Sequence[str] | None, *, placed: bool = False
) -> None:
    """Define the view of T-bars over their Parquet file: point_id, body, the probabilities, [split], pred1 as text.

    If they are `placed`, the file has their coordinates, too.
    """
    coordinates = {axis: axis for axis in "xyz"} if placed else coordinates_sql("point_id")
    place = ", ".join(f"{coordinates[axis]} AS {axis}" for axis in "xyz")
    pred1 = f"CAST(pred1 AS {engine.enum('neurotransmitters', list(names))}) AS pred1"
    split = ""
    if splits is not None:
        # An enumeration needs a value; a column of nulls uses none.
        kind = engine.enum("neurotransmitter splits", list(splits) or [""])
        split = f"CAST(split AS {kind}) AS split, "
    scores = columns(score_column(name) for name in names)
    engine.view(TBARS, f"SELECT point_id, body, {place}, {scores}, {split}{pred1} FROM {parquet(file)}")


def _plain_table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def _stored(ctx: Context, name: str) -> pa.Table:
    return feather.read_table(str(ctx.out.path(f"{ctx.cache}/{_FILES[name]}")), memory_map=False)


def _stored_frame(ctx: Context, name: str) -> pd.DataFrame:
    frame: pd.DataFrame = _stored(ctx, name).to_pandas(types_mapper=_pandas_dtype)
    return frame.set_index(_INDEXES[name])


def _pandas_dtype(kind: pa.DataType) -> Any:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _TEXT
    return pd.Int32Dtype() if kind == pa.int32() else None
