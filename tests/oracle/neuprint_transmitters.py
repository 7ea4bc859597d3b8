"""Neurotransmitters in the neuPrint export: properties of Synapses, of Segments and of Meta."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from tests.oracle.annotations import property_name
from tests.oracle.neuprint_scope import Scope
from tests.oracle.neuprint_values import Columns

KINDS = {"total_nt_predictions": "int", "celltype_total_nt_predictions": "int"}
KINDS |= {"predicted_nt_confidence": "float", "celltype_predicted_nt_confidence": "float"}


def transmitter_property(column: str) -> str:
    """`nt_GABA_prob` -> `ntGabaProb`: in lower case first."""
    return property_name(column.lower())


def add_scores(columns: Columns, scope: Scope) -> None:
    """The probabilities of each T-bar; a transmitter that no T-bar has a number for is none."""
    if scope.transmitters is None:
        return
    predicted = scope.transmitters.tbars.set_index("point_id").reindex(scope.points["point_id"])
    for name in scope.transmitters.columns:
        _put(columns, name, predicted[name].reset_index(drop=True), "float")


def _put(columns: Columns, column: str, values: pd.Series, kind: str) -> None:
    if values.notna().any():
        columns.put(transmitter_property(column), values.astype("str").where(values.notna(), ""), kind)
        if kind == "float":
            columns.single.add(transmitter_property(column))


def add_predictions(columns: Columns, bodies: pd.Index, scope: Scope) -> None:
    """What is predicted of each Segment, then the means of its T-bars; counts are integers, with gaps or without."""
    for name, values in of_bodies(scope).items():
        kind = KINDS.get(name, "float" if name.endswith("_prob") else "string")
        _put(columns, name, values.reindex(bodies).reset_index(drop=True), kind)


def of_bodies(scope: Scope) -> dict[str, pd.Series]:
    """Each column of the tables of bodies that becomes a property, by body; body 0 is none."""
    nt = scope.transmitters
    if nt is None:
        return {}
    table = nt.bodies.set_index("body").drop(columns=["cell_type", "ground_truth"], errors="ignore")
    if scope.config.get("inputs.neurotransmitters.export-mean-tbar-scores", True):
        table = table.join(nt.scores.set_index("body"))
    table = table.drop(index=0, errors="ignore")
    return {str(name): table[name] for name in table}


def replaced_names(scope: Scope) -> set[str]:
    """Properties that no annotation may give."""
    return {transmitter_property(name) for name in of_bodies(scope)}


def meta_properties(synapse_properties: Iterable[str], scope: Scope) -> dict[str, Any]:
    """Meta.ntSynapseProperties, if the exported Synapses have any."""
    nt = scope.transmitters
    wanted = {transmitter_property(name) for name in nt.columns} if nt is not None else set()
    found = {name: "float" for name in synapse_properties if name in wanted}
    return {"ntSynapseProperties": found} if found else {}
