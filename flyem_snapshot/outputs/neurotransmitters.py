"""The neurotransmitter tables: predictions of T-bars and of bodies, the confusion matrix, and plots of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.config.walk import value_at
from flyem_snapshot.engine.sql import columns, literals
from flyem_snapshot.engine.streams import dictionary_array, in_step, tracked, write_feather
from flyem_snapshot.errors import SettingError
from flyem_snapshot.outputs.neurotransmitters_backport import backport, pin_store
from flyem_snapshot.outputs.neurotransmitters_settings import NeurotransmitterExportSettings
from flyem_snapshot.plots.neurotransmitters import draw_neurotransmitters
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.neurotransmitters import Neurotransmitters
from flyem_snapshot.tables.rois import COMBO
from flyem_snapshot.tables.segmentation import Segmentation
from flyem_snapshot.tables.synapses import POINTS, Synapses

FOLDER = "nt"
_SAME_ID = "point_id of prediction"


def export_neurotransmitters(
    config: NeurotransmitterExportSettings,
    ctx: Context,
    *,
    synapses: Synapses,
    neurotransmitters: Neurotransmitters | None,
    dvid_seg: Segmentation | None,
) -> None:
    """Write the tables, and plots of them; then, if the settings say so, write the predictions back to DVID.

    `nt/tbar-neurotransmitters-<tag>.feather`, one row a T-bar, in the order of the synapses: point_id uint64, x, y, z
    int32, conf float32, [sv int64], body int64, a category for each of `roi-sets`, the probabilities float32, [split
    category].

    `nt/body-neurotransmitters-<tag>.feather`, one row a body, by body: body int64, then the columns of
    `Neurotransmitters.bodies`.

    `nt/neurotransmitter-confusion.csv`, with ground truth only: ground_truth, then a column for each transmitter.
    """
    if neurotransmitters is None or not config.export_neurotransmitters:
        return
    kept = _kept_bodies(config, ctx, synapses)
    bodies = neurotransmitters.bodies
    if kept is not None:
        inside = bodies.index.isin(kept)
        reason = f"no synapse in an ROI of '{config.restrict_export}'"
        ctx.exclusions.add("bodies with neurotransmitters", reason, int((~inside).sum()))
        bodies = bodies[inside]
    _write_tbars(config, ctx, synapses, neurotransmitters, kept)
    ctx.out.feather_from_pandas(f"{FOLDER}/body-neurotransmitters-{ctx.tag}.feather", bodies.reset_index())
    confusion = neurotransmitters.confusion
    if confusion is not None:
        with ctx.out.create(f"{FOLDER}/neurotransmitter-confusion.csv", rows=len(confusion)) as path:
            confusion.to_csv(path, lineterminator="\n")
    draw_neurotransmitters(ctx.out, FOLDER, bodies, confusion, ctx.tag)
    if config.dvid.perform_backport:
        backport(config.dvid, bodies, dvid_seg)


def check_export(config: NeurotransmitterExportSettings, whole: Any) -> list[SettingError]:
    """Without predictions there is nothing to write."""
    from_cave = value_at(whole, "inputs.cave.gives-transmitters")
    if from_cave or whole.inputs.neurotransmitters.synister_feather is not None:
        return []
    problem = "there are no neurotransmitters: inputs.neurotransmitters.synister-feather is not set"
    hint = "name the table of predictions there, or write 'export-neurotransmitters: false'"
    return [SettingError("export-neurotransmitters", problem, hint=hint)]


def _kept_bodies(config: NeurotransmitterExportSettings, ctx: Context, synapses: Synapses) -> pd.Index | None:
    """The bodies with a synapse in the roi-set of `restrict-export`; None: all."""
    if config.restrict_export is None:
        return None
    combos = synapses.rois[config.restrict_export].inside()
    condition = f"{COMBO} IN ({literals(combos)})" if combos else "FALSE"
    found = ctx.engine.table(f"SELECT DISTINCT body FROM {POINTS} WHERE {condition}")
    bodies: pd.Index = pd.Index(found["body"].to_numpy(), dtype="int64")
    return bodies


def _write_tbars(
    config: NeurotransmitterExportSettings,
    ctx: Context,
    synapses: Synapses,
    neurotransmitters: Neurotransmitters,
    kept: pd.Index | None,
) -> None:
    """The points and the predictions have one row for each T-bar, in one order: no join is needed."""
    sets = [synapses.rois[name] for name in config.roi_sets]
    own = ["point_id", "x", "y", "z", "conf", *(["sv"] if "sv" in synapses.point_columns else []), "body"]
    scores, splits = neurotransmitters.columns, neurotransmitters.splits

    def converted(batch: pa.RecordBatch) -> pa.RecordBatch:
        assert batch["point_id"].equals(batch[_SAME_ID])
        if kept is not None:
            batch = batch.filter(pa.array(kept.get_indexer(batch["body"].to_numpy()) >= 0))
        combos = batch[COMBO].to_numpy()
        made = {name: batch[name] for name in own}
        made |= {roi_set.name: roi_set.name_array(combos) for roi_set in sets}
        made |= {name: batch[name] for name in scores}
        if splits is not None:
            made["split"] = _category(batch["split"], splits)
        return pa.record_batch(list(made.values()), names=list(made))

    relative = f"{FOLDER}/tbar-neurotransmitters-{ctx.tag}.feather"
    statement = f"SELECT {columns([*own, COMBO])} FROM {POINTS} WHERE kind = 'PreSyn'"
    with ctx.engine.stream(statement) as points, ctx.out.create(relative) as path:
        predictions = map(_renamed, neurotransmitters.batches())
        shown = tracked(in_step(points, predictions), "writing T-bars", neurotransmitters.num_tbars)
        converted_batches = map(converted, shown)
        first = next(converted_batches)
        rows = write_feather(path, first.schema, chain([first], converted_batches))
    ctx.out.set_rows(relative, rows)
    reason = f"their body has no synapse in an ROI of '{config.restrict_export}'"
    ctx.exclusions.add("T-bars with neurotransmitters", reason, neurotransmitters.num_tbars - rows)


def _renamed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The predictions of T-bars under names that the points do not have."""
    plain = batch.drop_columns(["body"])
    return plain.rename_columns([_SAME_ID if name == "point_id" else name for name in plain.schema.names])


def _category(texts: pa.Array, values: Sequence[str]) -> pa.DictionaryArray:
    codes = pc.index_in(texts, value_set=pa.array(values, pa.string())).fill_null(-1)
    return dictionary_array(codes.to_numpy(), list(values))


STAGE = Stage(
    "neurotransmitters",
    "outputs",
    NeurotransmitterExportSettings,
    export_neurotransmitters,
    enabled=lambda config: config.export_neurotransmitters,
    check=check_export,
    pin=pin_store,
)
