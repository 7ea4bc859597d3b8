"""Which transmitter a T-bar, a body and a cell type most likely have, and how sure one may be of it.

A T-bar has a probability for each transmitter.  The most probable one is its prediction (`pred1`); bodies and cell
types take the most frequent prediction of their T-bars.  Ground truth for some cell types tells how often T-bars are
confused, and from that follows how much a body's prediction is worth.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from flyem_snapshot.engine.sql import columns, identifier, literal, literals
from flyem_snapshot.tables.neurotransmitters import UNCLEAR, score_column

Int64Array = np.ndarray[Any, np.dtype[np.int64]]
Float32Array = np.ndarray[Any, np.dtype[np.float32]]
Texts = np.ndarray[Any, np.dtype[np.object_]]

_UNPREDICTED: Final = "unpredicted"
_UNITS: Final = literal(2.0**80)
"""Probabilities are summed as multiples of 2^-80 in 128 bits: a sum of integers does not depend on their order, and
float32 of 2^-56 or more is exact."""


def most_probable(names: Sequence[str]) -> str:
    """The SQL expression of `pred1`: the name with the largest probability, the first of equals; null if all are."""
    scores = [identifier(score_column(name)) for name in names]
    largest = f"greatest({', '.join(scores)})"
    cases = " ".join(f"WHEN {s} = {largest} THEN {literal(n)}" for n, s in zip(names, scores, strict=True))
    return f"CASE {cases} END"


def prediction_counts(tbars: str, names: Sequence[str]) -> str:
    """Query: one row for each body with a T-bar, by body: how many of its T-bars have each prediction, or none.

    body BIGINT; n0, n1, ... BIGINT in the order of `names`; unpredicted BIGINT.
    """
    counts = [
        f"count(*) FILTER (WHERE pred1 = {literal(name)}) AS {identifier(f'n{number}')}"
        for number, name in enumerate(names)
    ]
    missing = f"count(*) FILTER (WHERE pred1 IS NULL) AS {_UNPREDICTED}"
    return f"SELECT body, {', '.join([*counts, missing])} FROM {tbars} GROUP BY body ORDER BY body"


def mean_scores(tbars: str, names: Sequence[str]) -> str:
    """Query: one row for each body with a prediction, by body: body BIGINT and the mean of each probability, FLOAT."""

    def mean(column: str) -> str:
        total = f"CAST(sum(CAST(round(CAST({column} AS DOUBLE) * {_UNITS}) AS HUGEINT)) AS DOUBLE)"
        # Nulls of single transmitters do not count.
        return f"CAST({total} / {_UNITS} / nullif(count({column}), 0) AS FLOAT) AS {column}"

    means = ", ".join(mean(identifier(score_column(name))) for name in names)
    return f"SELECT body, {means} FROM {tbars} WHERE pred1 IS NOT NULL GROUP BY body ORDER BY body"


def training_bodies(tbars: str, indicators: Sequence[str]) -> str:
    """Query: the bodies, ascending, of which some T-bar was used to train the predictor."""
    trained = f"split IN ({literals(indicators)})" if indicators else "FALSE"
    return f"SELECT DISTINCT body FROM {tbars} WHERE {trained} ORDER BY body"


def split_bodies(tbars: str) -> str:
    """Query: the bodies, ascending, whose T-bars are in several splits, and in how many (body, split)."""
    return f"""
        SELECT body, count(DISTINCT split) AS split FROM {tbars}
        GROUP BY body HAVING count(DISTINCT split) > 1 ORDER BY body
    """


@dataclass(frozen=True)
class PredictionCounts:
    """How many T-bars of each body have each prediction.

    `counts` has shape (bodies, names + 1): the last column counts the T-bars without a prediction.  `bodies` ascend.
    """

    names: tuple[str, ...]
    bodies: Int64Array
    counts: Int64Array

    @classmethod
    def from_table(cls, table: pa.Table, names: Sequence[str]) -> PredictionCounts:
        """The result of `prediction_counts`."""
        counts = np.column_stack([column.to_numpy() for column in table.drop_columns(["body"]).columns])
        return cls(tuple(names), table["body"].to_numpy(), counts.reshape(len(table), len(names) + 1))

    def of(self, bodies: Int64Array) -> Int64Array:
        """The counts of these bodies, zeros for those without T-bars."""
        if not len(self.bodies):
            return np.zeros((len(bodies), len(self.names) + 1), np.int64)
        places = np.minimum(np.searchsorted(self.bodies, bodies), len(self.bodies) - 1)
        known = self.bodies[places] == bodies
        return np.where(known[:, None], self.counts[places], 0)


def confusion_matrix(
    counts: PredictionCounts, types: pd.Series, truth: Mapping[str, str], training: Collection[int]
) -> pd.DataFrame:
    """How T-bars of each true transmitter (row) are predicted (column): each row sums to 1, or to 0 without data.

    `types` are the cell types by body, `truth` the transmitters by cell type.  T-bars of `training` bodies, without a
    prediction, or of a transmitter that is never predicted do not count.
    """
    position = {name: number for number, name in enumerate(counts.names)}
    truths = types.map(truth).map(position)
    known = truths[truths.notna() & ~truths.index.isin(list(training))]
    rows = counts.of(known.index.to_numpy(np.int64))[:, :-1]
    matrix = np.zeros((len(position), len(position)))
    np.add.at(matrix, known.to_numpy(np.int64), rows)
    sums = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, sums, out=np.zeros_like(matrix), where=sums > 0)
    names = list(counts.names)
    return pd.DataFrame(shares, index=pd.Index(names, name="ground_truth", dtype="str"), columns=names)


@dataclass(frozen=True)
class GroupPredictions:
    """The prediction of each group of T-bars (of a body, of a cell type).

    `label` is a name or 'unclear', `total` the number of T-bars with a prediction, `confidence` (None without a
    confusion matrix) is NaN for a group without T-bars.
    """

    label: Texts
    total: Int64Array
    confidence: Float32Array | None

    def with_thresholds(self, min_confidence: float, min_presyn: int | Int64Array) -> GroupPredictions:
        """The same, but 'unclear' where there are too few predictions or too little confidence.

        Without confidences nothing changes.  They are compared as float32, which is how they are written.
        """
        if self.confidence is None:
            return self
        weak = (self.confidence < np.float32(min_confidence)) | (self.total < min_presyn)
        return GroupPredictions(np.where(weak, UNCLEAR, self.label), self.total, self.confidence)


def predict(counts: Int64Array, names: Sequence[str], confusion: pd.DataFrame | None) -> GroupPredictions:
    """The most frequent prediction of each group, from counts of shape (groups, names + 1).

    T-bars without a prediction stand for 'unclear', which wins only if it is more frequent than any name; of equally
    frequent names the first of the alphabet wins.  The confidence is the mean of confusion[label, prediction] over the
    T-bars with a prediction, 0 if there are none or the label is 'unclear'.
    """
    order = [*sorted(range(len(names)), key=names.__getitem__), len(names)]
    top = np.array(order)[np.argmax(counts[:, order], axis=1)]
    all_tbars, predicted = counts.sum(axis=1), counts[:, :-1]
    total = predicted.sum(axis=1)
    label = np.array([*names, UNCLEAR], object)[np.where(all_tbars > 0, top, len(names))]
    if confusion is None:
        return GroupPredictions(label, total, None)
    shares = np.vstack([confusion.to_numpy(), np.zeros(len(names))])[top]
    score = np.divide((predicted * shares).sum(axis=1), total, out=np.zeros(len(total)), where=total > 0)
    confidence = np.where(all_tbars > 0, score, np.nan).astype(np.float32)
    return GroupPredictions(label, total, confidence)


def score_columns(names: Sequence[str]) -> str:
    """The columns of the probabilities, quoted for SQL."""
    return columns(score_column(name) for name in names)
