"""The table of bodies with their predicted transmitters, and which rows of it an annotation store lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from flyem_snapshot.connectome.neurotransmitters import GroupPredictions, Int64Array, PredictionCounts, predict

EXPERIMENTAL_COLUMNS: Final = ("nt_reference", "other_nt", "other_nt_reference")
"""What experiments may tell of a cell type besides its transmitter (`consensus_nt`)."""

_TEXT = pd.StringDtype(na_value=np.nan)
_TYPE_FIELDS: Final = (
    "celltype_predicted_nt",
    "celltype_predicted_nt_confidence",
    "celltype_total_nt_predictions",
    "consensus_nt",
)
STORED_FIELDS: Final = ("total_nt_predictions", "predicted_nt", "predicted_nt_confidence", *_TYPE_FIELDS)
"""The columns of the body table that an annotation store keeps."""


@dataclass(frozen=True)
class Thresholds:
    """Below these a prediction is 'unclear': confidences, and numbers of T-bars with a prediction."""

    body_confidence: float = 0.5
    body_presyn: int = 50
    celltype_confidence: float = 0.5
    celltype_presyn: int = 100


def body_predictions(
    counts: PredictionCounts, types: pd.Series, thresholds: Thresholds, confusion: pd.DataFrame | None
) -> pd.DataFrame:
    """One row for each body with a T-bar and each typed body, by body (index, int64).

    cell_type, total_nt_predictions, [predicted_nt_confidence], predicted_nt, celltype_total_nt_predictions,
    celltype_predicted_nt, [celltype_predicted_nt_confidence]: counts Int32, confidences float32 (only with a confusion
    matrix), the rest text.  An untyped body has its own total as that of its cell type, and no prediction for it.

    `types` holds the cell types of the typed bodies with a synapse, by body.
    """
    bodies = np.union1d(counts.bodies, types.index.to_numpy(np.int64))
    cell_type = types.reindex(bodies).astype(_TEXT)
    codes, names = pd.factorize(cell_type)
    of_bodies = counts.of(bodies)
    own = predict(of_bodies, counts.names, confusion)
    own = own.with_thresholds(thresholds.body_confidence, thresholds.body_presyn)
    of_types = _celltype_predictions(of_bodies, codes, len(names), counts.names, thresholds, confusion)

    typed = codes >= 0
    place = np.where(typed, codes, len(names))  # the last entry stands for no type
    type_total = np.where(typed, np.append(of_types.total, 0)[place], own.total)
    table: dict[str, Any] = {"cell_type": cell_type.array, "total_nt_predictions": _counts(own.total)}
    if own.confidence is not None:
        table["predicted_nt_confidence"] = own.confidence
    table["predicted_nt"] = _texts(own.label)
    table["celltype_total_nt_predictions"] = _counts(type_total)
    table["celltype_predicted_nt"] = _texts(np.append(of_types.label, np.array([None], object))[place])
    if of_types.confidence is not None:
        table["celltype_predicted_nt_confidence"] = np.append(of_types.confidence, np.float32("nan"))[place]
    return pd.DataFrame(table, index=pd.Index(bodies, name="body"))


def _celltype_predictions(
    of_bodies: Int64Array,
    codes: Int64Array,
    num_types: int,
    names: tuple[str, ...],
    thresholds: Thresholds,
    confusion: pd.DataFrame | None,
) -> GroupPredictions:
    """The prediction of each cell type; one that has a single body needs no more T-bars than a body does."""
    typed = codes >= 0
    sums = np.zeros((num_types, len(names) + 1), np.int64)
    np.add.at(sums, codes[typed], of_bodies[typed])
    members = np.bincount(codes[typed], minlength=num_types)
    min_presyn = np.where(members <= 1, thresholds.body_presyn, thresholds.celltype_presyn)
    return predict(sums, names, confusion).with_thresholds(thresholds.celltype_confidence, min_presyn)


def with_ground_truth(bodies: pd.DataFrame, truth: Mapping[str, str]) -> pd.DataFrame:
    """The body table with a column `ground_truth`, the transmitter that is known of the body's cell type."""
    place = bodies.columns.get_loc("predicted_nt")
    assert isinstance(place, int)
    bodies = bodies.copy()
    bodies.insert(place + 1, "ground_truth", _looked_up(bodies["cell_type"], truth))
    return bodies


def with_consensus(bodies: pd.DataFrame, experimental: pd.DataFrame, overrides: Mapping[str, str]) -> pd.DataFrame:
    """The body table with `consensus_nt` and what else `experimental` (indexed by cell type) tells.

    The consensus is the prediction of the cell type, or of an untyped body itself, with `overrides` applied; where
    there is an experimental `consensus_nt` for the cell type, it is that.
    """
    predicted = bodies["celltype_predicted_nt"].where(bodies["cell_type"].notna(), bodies["predicted_nt"])
    predicted = predicted.map(lambda name: overrides.get(name, name), na_action="ignore")
    measured = _looked_up(bodies["cell_type"], experimental["consensus_nt"].dropna())
    bodies = bodies.assign(consensus_nt=measured.where(measured.notna(), predicted).astype(_TEXT))
    for column in EXPERIMENTAL_COLUMNS:
        if column in experimental:
            bodies[column] = _looked_up(bodies["cell_type"], experimental[column].dropna())
    return bodies


def changed_rows(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The rows to be written to an annotation store so that it holds the predictions of `new`.

    `old` is what the store holds now, indexed by body, with `type` and those of `STORED_FIELDS` that it has; `new` is a
    body table.  Returns the stored fields (those that `new` has) of the bodies that are in both and differ, by body.  A
    body whose type is no longer the one that `new` knows gets nulls for what was said of its former type.
    """
    fields = [field for field in STORED_FIELDS if field in new]
    bodies = new.index.intersection(old.index).sort_values()
    before = old.reindex(index=bodies, columns=["type", *fields])
    after = new.loc[bodies, fields].copy()
    moved = ~_equal(before["type"], new.loc[bodies, "cell_type"])
    for field in set(fields).intersection(_TYPE_FIELDS):
        after[field] = after[field].mask(moved)
    same = np.logical_and.reduce([_equal(before[field], after[field]) for field in fields])
    changed: pd.DataFrame = after[~same]
    return changed


def _equal(left: pd.Series, right: pd.Series) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where two columns hold the same, nulls included; confidences are compared as float32, which they are here."""
    missing = left.isna().to_numpy(), right.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(right.dtype):
        kind = np.float32 if pd.api.types.is_float_dtype(right.dtype) else np.float64
        sides = (pd.to_numeric(side, errors="coerce").astype("Float64") for side in (left, right))
        values = [side.to_numpy(np.float64, na_value=np.nan).astype(kind) for side in sides]
    else:
        values = [side.astype(object).to_numpy() for side in (left, right)]
    same = np.asarray(values[0] == values[1], bool)
    return np.where(missing[0] | missing[1], missing[0] & missing[1], same)


def _looked_up(cell_type: pd.Series, known: Mapping[str, str] | pd.Series) -> pd.Series:
    return cell_type.map(dict(known), na_action="ignore").astype(_TEXT)


def _counts(values: Int64Array) -> pd.api.extensions.ExtensionArray:
    return pd.array(values, dtype="Int32")


def _texts(values: np.ndarray[Any, Any]) -> pd.api.extensions.ExtensionArray:
    return pd.array(values, dtype=_TEXT)
