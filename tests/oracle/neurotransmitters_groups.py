"""What the T-bars of a body, or of a cell type, say together about its transmitter."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

UNCLEAR = "unclear"


def first_predictions(probabilities: pd.DataFrame) -> pd.Series:
    """Per row the name of the column with the greatest value, the first one on a tie; null where all are null."""
    best = [
        None if all(np.isnan(v) for v in row) else max(range(len(row)), key=lambda i, r=row: _comparable(r[i]))
        for row in probabilities.to_numpy("float32")
    ]
    names = list(probabilities)
    return pd.Series([None if i is None else names[i] for i in best], index=probabilities.index, dtype=object)


def _comparable(value: float) -> float:
    """`max` finds the first of equals; null is less than all."""
    return -np.inf if np.isnan(value) else float(value)


def confusion_of(truth: Iterable[Any], predicted: Iterable[Any], names: list[str]) -> pd.DataFrame:
    """Rows: what the T-bar's cell type is known to use.  Columns: what is predicted.  A row sums to 1, or to 0."""
    counts = Counter(zip(truth, predicted, strict=True))
    rows = np.array([[float(counts[t, p]) for p in names] for t in names]).reshape(len(names), len(names))
    sums = rows.sum(axis=1, keepdims=True)
    shares = np.divide(rows, sums, out=np.zeros_like(rows), where=sums > 0)
    return pd.DataFrame(shares, index=pd.Index(names, name="ground_truth"), columns=names)


def top_prediction(predicted: list[Any]) -> str:
    """The most frequent prediction; the first by name on a tie.

    T-bars without one count as if that were a name after all others; if they win, the group is unclear.
    """
    counts = Counter(None if pd.isna(p) else p for p in predicted)
    if not counts:
        return UNCLEAR
    top = min(counts, key=lambda p: (-counts[p], p is None, p or ""))
    return UNCLEAR if top is None else top


def confidence_of(top: str, predicted: list[Any], confusion: pd.DataFrame) -> float | None:
    """Mean over the T-bars with a prediction of how often T-bars of a `top` cell are predicted so.

    0 if there are T-bars, but none to take a mean of; None if there are no T-bars.
    """
    if not predicted:
        return None
    seen = [p for p in predicted if not pd.isna(p)]
    if top == UNCLEAR or not seen:
        return 0.0
    return float(sum(confusion.at[top, p] for p in seen) / len(seen))


def group_predictions(
    keys: Iterable[Any], predicted: Iterable[Any], listed: Iterable[Any], confusion: pd.DataFrame | None
) -> pd.DataFrame:
    """Index key (all of `listed`): `num` predictions, `top`, and `confidence` where there is a confusion matrix.

    A null key is no group.
    """
    members: dict[Any, list[Any]] = {key: [] for key in listed}
    for key, value in zip(keys, predicted, strict=True):
        if not pd.isna(key):
            members[key].append(value)
    table = pd.DataFrame(index=pd.Index(list(members), dtype=object))
    table["num"] = [sum(not pd.isna(p) for p in group) for group in members.values()]
    table["top"] = pd.Series([top_prediction(g) for g in members.values()], index=table.index, dtype=object)
    if confusion is not None:
        values = [confidence_of(t, g, confusion) for t, g in zip(table["top"], members.values(), strict=True)]
        table["confidence"] = pd.Series(values, index=table.index, dtype="float64")
    return table


def clear_enough(table: pd.DataFrame, min_confidence: float, min_num: Iterable[int]) -> pd.DataFrame:
    """Groups of too little confidence or too few predictions become unclear; numbers stay.

    Confidences are compared as they are published, in float32.
    """
    if "confidence" not in table:
        return table
    low = (table["confidence"].astype("float32") < np.float32(min_confidence)) | (
        table["num"] < np.array(list(min_num), dtype="int64")
    )
    return table.assign(top=table["top"].mask(low, UNCLEAR))
