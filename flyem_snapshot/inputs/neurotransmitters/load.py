"""Load the predictions, join them to the T-bars of the snapshot, and sum them up by body and by cell type."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from flyem_snapshot.connectome.neurotransmitter_bodies import body_predictions, with_consensus, with_ground_truth
from flyem_snapshot.connectome.neurotransmitters import (
    PredictionCounts,
    confusion_matrix,
    mean_scores,
    prediction_counts,
    split_bodies,
    training_bodies,
)
from flyem_snapshot.engine.session import parquet
from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.inputs.neurotransmitters.columns import PredictionColumns, open_predictions
from flyem_snapshot.inputs.neurotransmitters.ground_truth import Known, read_known
from flyem_snapshot.inputs.neurotransmitters.join import Joined, join_predictions
from flyem_snapshot.inputs.neurotransmitters.settings import NeurotransmittersSettings
from flyem_snapshot.log import timed
from flyem_snapshot.sources.checks import faults_of
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.bodies import BodyAnnotations
from flyem_snapshot.tables.cave import CaveTables
from flyem_snapshot.tables.neurotransmitters import TBARS_FILE, Neurotransmitters, define_tbars
from flyem_snapshot.tables.synapses import Synapses

logger = logging.getLogger(__name__)

SPLIT_BODIES_FILE = "nt_multi_split_bodies.csv"


def load_neurotransmitters(
    config: NeurotransmittersSettings,
    ctx: Context,
    *,
    synapses: Synapses,
    annotations: BodyAnnotations | None,
    cave: CaveTables | None = None,
) -> Neurotransmitters | None:
    """The predictions of every T-bar, body and cell type; None without a table of predictions.

    The table may be one of a CAVE datastack.

    With ground truth also writes `nt_multi_split_bodies.csv` if the T-bars of some body are in several splits.
    """
    if cave is not None and cave.transmitters is not None:
        config = config.model_copy(update={"synister_feather": ctx.out.path(cave.transmitters)})
    if config.synister_feather is None:
        return None
    columns, truth, experimental = _open_inputs(config)
    with timed("predictions"):
        joined = join_predictions(columns, config, ctx, synapses, f"{ctx.cache}/{TBARS_FILE}")
    file = ctx.out.path(f"{ctx.cache}/{TBARS_FILE}")
    inside = f"(SELECT * FROM {parquet(file)} WHERE inside)"
    counts = PredictionCounts.from_table(ctx.engine.table(prediction_counts(inside, joined.names)), joined.names)
    types = _cell_types(annotations, joined.bodies)

    training: tuple[int, ...] = ()
    confusion = None
    if truth is not None:
        _write_split_bodies(ctx, inside)
        statement = training_bodies(inside, config.training_set_split_indicators)
        training = tuple(body for (body,) in ctx.engine.rows(statement))
        _note_truth(ctx, truth, joined, counts, types, training)
        confusion = confusion_matrix(counts, types, truth.transmitters, training)
    bodies = body_predictions(counts, types, config.thresholds, confusion)
    if truth is not None:
        bodies = with_ground_truth(bodies, truth.transmitters)
    if experimental is not None:
        _note(ctx, "experimental ground truth", experimental)
        bodies = with_consensus(bodies, experimental.table, config.override_celltype_before_consensus)
    _log_totals(joined, bodies)

    define_tbars(ctx.engine, file, joined.names, joined.splits, placed=synapses.placed)
    scores = _mean_scores(ctx, inside, joined) if config.export_mean_tbar_scores else None
    table = Neurotransmitters(
        engine=ctx.engine,
        names=joined.names,
        splits=joined.splits,
        num_tbars=joined.tbars,
        bodies=bodies,
        mean_scores=scores,
        confusion=confusion,
        training=training,
        file=file,
        placed=synapses.placed,
    )
    return table.keep(ctx)


def check_neurotransmitters(config: NeurotransmittersSettings, whole: Any) -> list[SnapshotError]:
    """What the header of the predictions lacks, and what is wrong with the small tables of known transmitters."""
    attempts: list[Callable[[], object]] = [lambda: _open_columns(config)]
    if (truth := config.ground_truth) is not None:
        attempts.append(lambda: read_known(truth, complete=True))
    if (experimental := config.experimental_groundtruth) is not None:
        attempts.append(lambda: read_known(experimental, complete=False))
    return faults_of(*attempts) if config.synister_feather is not None else []


def _open_inputs(config: NeurotransmittersSettings) -> tuple[PredictionColumns, Known | None, Known | None]:
    truth, experimental = config.ground_truth, config.experimental_groundtruth
    return (
        _open_columns(config),
        None if truth is None else read_known(truth, complete=True),
        None if experimental is None else read_known(experimental, complete=False),
    )


def _open_columns(config: NeurotransmittersSettings) -> PredictionColumns:
    assert config.synister_feather is not None
    needs_split = config.ground_truth is not None
    return open_predictions(config.synister_feather, config.translate_names, needs_split=needs_split)


def _cell_types(annotations: BodyAnnotations | None, with_synapse: np.ndarray[Any, np.dtype[np.int64]]) -> pd.Series:
    """The cell types (text) of the typed bodies with a synapse, by body; an empty text is no type."""
    if annotations is None or "type" not in annotations.frame:
        return pd.Series([], index=pd.Index([], dtype="int64", name="body"), dtype="str")
    types = annotations.frame["type"].dropna().astype(str)
    return types[(types != "") & types.index.isin(with_synapse)].sort_index()


def _write_split_bodies(ctx: Context, tbars: str) -> None:
    """A body in several splits may have been learned from in part, which is worth knowing."""
    rows = ctx.engine.rows(split_bodies(tbars))
    if rows:
        logger.warning("%s bodies have T-bars in several splits: see %s", f"{len(rows):,}", SPLIT_BODIES_FILE)
        lines = ["body,split", *(f"{body},{number}" for body, number in rows)]
        with ctx.out.create(SPLIT_BODIES_FILE, rows=len(rows)) as path:
            path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _note(ctx: Context, table: str, known: Known) -> None:
    for reason, rows in known.left_out.items():
        ctx.exclusions.add(table, reason, rows)


def _note_truth(
    ctx: Context,
    truth: Known,
    joined: Joined,
    counts: PredictionCounts,
    types: pd.Series,
    training: tuple[int, ...],
) -> None:
    """Tell what of the ground truth the confusion matrix cannot use."""
    _note(ctx, "ground truth", truth)
    known = types.map(truth.transmitters)
    foreign = known[known.notna() & ~known.isin(joined.names)]
    ctx.exclusions.add(
        "cell types of the ground truth",
        "their transmitter is none of those that are predicted",
        len({cell_type for cell_type, name in truth.transmitters.items() if name not in joined.names}),
    )
    usable = known.drop(foreign.index).dropna()
    learned = usable.index.isin(training)
    ctx.exclusions.add("bodies with ground truth", "the predictor learned from a T-bar of theirs", int(learned.sum()))
    tested = counts.of(usable.index[~learned].to_numpy(np.int64))[:, :-1].sum()
    if not tested:
        logger.warning("no T-bar can be compared with ground truth: every prediction will be 'unclear'")
    else:
        logger.info("%s T-bars of %s bodies tested", f"{tested:,}", f"{int((~learned).sum()):,}")


def _mean_scores(ctx: Context, tbars: str, joined: Joined) -> pd.DataFrame:
    frame: pd.DataFrame = ctx.engine.table(mean_scores(tbars, joined.names)).to_pandas()
    return frame.set_index("body")


def _log_totals(joined: Joined, bodies: pd.DataFrame) -> None:
    logger.info(
        "%s of %s T-bars have a prediction; %s bodies, %s of them typed, %s not 'unclear'",
        f"{joined.predicted:,}",
        f"{joined.tbars:,}",
        f"{len(bodies):,}",
        f"{bodies['cell_type'].notna().sum():,}",
        f"{(bodies['predicted_nt'] != 'unclear').sum():,}",
    )
