"""Predicted neurotransmitters in the database: of each T-bar on its Synapse, and of each body on its Segment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pandas as pd
from pandas.api.types import is_float_dtype, is_integer_dtype

from flyem_snapshot.connectome.properties import property_name
from flyem_snapshot.engine.sql import columns, identifier
from flyem_snapshot.outputs.neuprint.beside import Beside
from flyem_snapshot.outputs.neuprint.properties import float_cell
from flyem_snapshot.outputs.neuprint.scope import Scope, in_order
from flyem_snapshot.tables.neurotransmitters import TBARS, Neurotransmitters

_TBAR: Final = "kind = 'PreSyn'"
_NO_PREDICTIONS: Final = ("cell_type", "ground_truth")
"""Columns of the body table that stay out: the annotations tell the type, and the truth was there to compare with."""


def neurotransmitter_property(column: str) -> str:
    """The property of a column of predictions: `nt_gaba_prob` -> `ntGabaProb`, and so does `nt_GABA_prob`."""
    return property_name(column.lower())


def tbar_properties(scope: Scope, neurotransmitters: Neurotransmitters | None) -> Beside | None:
    """The probabilities of each T-bar, `ntGabaProb:float` and so on, in the order of the input's columns.

    A transmitter without any value among the exported T-bars is no property, and None says that there is none at all.
    Of the table only probabilities are taken: whether a T-bar served to train the predictor (`split`) is no property.
    """
    if neurotransmitters is None:
        return None
    table = _of_scope(scope, neurotransmitters)
    counted = ", ".join(f"count({identifier(column)})" for column in neurotransmitters.columns)
    (numbers,) = scope.ctx.engine.rows(f"SELECT {counted} FROM {table}")
    filled = [column for column, number in zip(neurotransmitters.columns, numbers, strict=True) if number]
    if not filled:
        return None
    return Beside(
        table,
        _TBAR,
        [(f"{neurotransmitter_property(column)}:float", float_cell(identifier(column))) for column in filled],
        [neurotransmitter_property(column) for column in filled],
    )


def _of_scope(scope: Scope, neurotransmitters: Neurotransmitters) -> str:
    """A table expression of point_id and probabilities: the T-bars among the points of the scope, in their order."""
    rows = f"SELECT {columns(['point_id', *neurotransmitters.columns])} FROM {identifier(TBARS)}"
    if not scope.restricted:
        return f"({rows} WHERE body <> 0)"
    inside = f"point_id IN (SELECT point_id FROM {scope.points} WHERE {_TBAR})"
    return scope.materialised(in_order(rows, inside), "tbar-neurotransmitters.parquet")


def body_predictions(neurotransmitters: Neurotransmitters | None) -> pd.DataFrame:
    """What is predicted for each body except 0, named like properties; the index is the body (int64).

    The mean probabilities over a body's T-bars come last, and have the names that a T-bar's own have on Synapses.

              totalNtPredictions  predictedNt  celltypeTotalNtPredictions  celltypePredictedNt  ntGabaProb
        body
          11                   3  gaba                                 12  gaba                      0.813
          12                   0  unclear                              12  gaba                        NaN
    """
    if neurotransmitters is None:
        return pd.DataFrame(index=pd.Index([], dtype="int64", name="body"))
    bodies = neurotransmitters.bodies
    kept = bodies.drop(columns=[name for name in _NO_PREDICTIONS if name in bodies]).drop(index=0, errors="ignore")
    if neurotransmitters.mean_scores is not None:
        kept = kept.join(neurotransmitters.mean_scores)
    return kept.rename(columns=neurotransmitter_property)


def declared_kinds(predictions: pd.DataFrame) -> dict[str, str]:
    """The type of each property, whatever its values: a count stays a count where some bodies have none."""
    return {str(name): _kind(predictions[name]) for name in predictions}


def _kind(values: pd.Series) -> str:
    if is_integer_dtype(values.dtype):
        return "int"
    return "float" if is_float_dtype(values.dtype) else "string"


def synapse_types(beside: Beside | None) -> Mapping[str, str]:
    """Property to type, as `Meta.ntSynapseProperties` tells clients."""
    return {} if beside is None else dict.fromkeys(beside.properties, "float")
