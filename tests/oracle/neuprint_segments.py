"""Segments, their connections, and the intermediate tables."""

from typing import Any

import numpy as np
import pandas as pd

from tests.oracle.annotations import neuprint_view
from tests.oracle.load import Inputs
from tests.oracle.neuprint_counts import body_counts, int_columns, objects, roi_counts
from tests.oracle.neuprint_scope import Scope
from tests.oracle.neuprint_transmitters import add_predictions, replaced_names
from tests.oracle.neuprint_values import Columns, Sheet
from tests.oracle.rois import UNSPECIFIED

CRITERIA = ["rootLocation", "somaLocation", "class", "type", "instance", "group", "somaSide", "synonyms"]
NULLABLE = {"i": "Int64", "u": "UInt64", "b": "boolean"}
WEIGHTS = {
    "weightAxonDendrite": ("axon", "dendrite"),
    "weightAxonAxon": ("axon", "axon"),
    "weightDendriteDendrite": ("dendrite", "dendrite"),
    "weightDendriteAxon": ("dendrite", "axon"),
}


def segment_counts(scope: Scope, inputs: Inputs) -> pd.DataFrame:
    """One row per Segment, by body."""
    counts = body_counts(scope)
    if scope.setting("keep-non-synaptic-segments", False) and inputs.annotations is not None:
        annotated = set(inputs.annotations["body"]) - {0}
        counts = counts.reindex(sorted(annotated | set(counts.index)), fill_value=0)
    if scope.inbounds is not None:
        counts = counts[counts.index.isin(scope.inbounds)]
    return counts.rename_axis("body")


def segment_rois(scope: Scope, counts: pd.DataFrame, sets: list[str]) -> pd.DataFrame:
    """Counts per Segment and ROI, `<unspecified>` included."""
    table = roi_counts(scope, sets)
    return table[table["body"].isin(counts.index)]


def segments(scope: Scope, inputs: Inputs, counts: pd.DataFrame, rois: pd.DataFrame) -> Sheet:
    """All columns in the documented order, one flag per ROI of any Segment at the end."""
    bodies = counts.index
    columns = Columns(len(counts))
    columns.put(":ID", bodies.astype("str"), "Body-ID")
    for name, texts in int_columns(counts).items():
        columns.put(str(name), texts, "int")
    properties = annotation_properties(scope, inputs, bodies)
    for name, values in properties.items():
        columns.add(str(name), values)
    add_predictions(columns, bodies, scope)
    known = rois[rois["roi"] != UNSPECIFIED]
    info = objects(known, ["body"], scope.setting("keep-zero", [])) if len(known) else pd.Series(dtype=object)
    columns.put("roiInfo", info.reindex(bodies, fill_value="{}"), "string")
    if inputs.body_sizes is not None:
        columns.add("size", inputs.body_sizes.set_index("body")["size"].astype("Int64").reindex(bodies))
    columns.put(":LABEL", labels(scope, counts, columns), "")
    for roi, inside in known.groupby("roi")["body"]:
        columns.put(str(roi), np.where(bodies.isin(inside), "true", ""), "boolean")
    return columns.sheet()


def annotation_properties(scope: Scope, inputs: Inputs, bodies: pd.Index) -> dict[str, pd.Series]:
    """Properties of each Segment from the annotations; every Segment has its bodyId."""
    if inputs.annotations is None:
        return {"bodyId": pd.Series(bodies)}
    view = neuprint_view(inputs.annotations, scope.setting("annotation-property-names", {}))
    view.index = pd.Index(inputs.annotations.loc[inputs.annotations["body"] != 0, "body"])
    view = view.drop(columns=list(replaced_names(scope) & set(view)))
    found = {name: _with_gaps(values).reindex(bodies) for name, values in view.items()}
    return {str(k): v for k, v in (found | {"bodyId": pd.Series(bodies)}).items()}


def _with_gaps(values: pd.Series) -> pd.Series:
    """A type that has nulls, so that integers stay integers."""
    dtype = values.dtype
    return values.astype(NULLABLE[dtype.kind]) if isinstance(dtype, np.dtype) and dtype.kind in NULLABLE else values


def labels(scope: Scope, counts: pd.DataFrame, columns: Columns) -> np.ndarray:
    """A Segment is a Neuron by its synapses, by a property or by its status, unless its status excludes it."""

    def criterion(key: str, default: Any) -> Any:
        return scope.setting(f"neuron-label-criteria.{key}", default)

    neuron = np.zeros(len(counts), bool)
    for column in ("synweight", "pre", "post"):
        neuron |= (counts[column] >= criterion(column, 100)).to_numpy()
    for name in criterion("properties", CRITERIA):
        if name in columns.texts:
            neuron |= (columns.texts[name] != "").to_numpy()
    status = columns.texts.get("status", pd.Series([""] * len(counts)))
    neuron |= status.isin(criterion("status", ["Traced", "Anchor"])).to_numpy()
    neuron &= ~status.isin(criterion("excluded-status", ["Unimportant", "Glia"])).to_numpy()
    return np.where(neuron, scope.label("Segment", "Neuron"), scope.label("Segment"))


def connections(scope: Scope) -> Sheet:
    """One row per pair of bodies; weight counts confident connections, weightHR all, weightHP the best.

    Classes are given in the order low, middle, high: what reaches only a lower high threshold has weight too.
    """
    partners = scope.partners
    middle, high = (partners["conf_post"] >= t for t in (scope.threshold, scope.high_threshold))
    rows = partners[["body_pre", "body_post"]].assign(weightHR=1, weight=middle | high, weightHP=high)
    names = WEIGHTS if scope.compartment_column else {}
    for name, (pre, post) in names.items():
        ends = (partners["compartment_pre"].astype(object) == pre, partners["compartment_post"].astype(object) == post)
        rows[name] = ends[0] & ends[1] & (partners["conf_post"] >= scope.threshold)
    keys = ["body_pre", "body_post"]
    table = rows.astype("int64").groupby(keys).sum()
    columns = Columns(len(table))
    columns.put(":START_ID", table.index.get_level_values(0).astype("str"), "Body-ID")
    columns.put(":END_ID", table.index.get_level_values(1).astype("str"), "Body-ID")
    for name, texts in int_columns(table).items():
        columns.put(str(name), texts, "int")
    columns.put("roiInfo", _connection_rois(scope, rows[middle], list(names), table.index), "string")
    return columns.sheet()


def _connection_rois(scope: Scope, rows: pd.DataFrame, names: list[str], pairs: pd.MultiIndex) -> pd.Series:
    """Confident connections of each pair by the ROI of the PSD."""
    keys = ["body_pre", "body_post"]
    parts = []
    for name in scope.sets:
        numbers = rows[[*keys, *names]].assign(roi=scope.partners.loc[rows.index, name].astype(object), post=1)
        numbers = numbers[numbers["roi"] != UNSPECIFIED]
        parts.append(numbers.astype(dict.fromkeys(names, "int64")).groupby([*keys, "roi"]).sum().reset_index())
    table = pd.concat(parts) if parts else pd.DataFrame()
    if not len(table):
        return pd.Series("{}", index=pairs, dtype=object)
    return objects(table[[*keys, "roi", "post", *names]].reset_index(drop=True), keys).reindex(pairs, fill_value="{}")


def roi_elements(scope: Scope, rois: pd.DataFrame) -> pd.DataFrame:
    """body, roi and counts; of the rows outside any ROI only those of the set whose name comes first."""
    first = min(scope.sets, default="")
    kept = rois[(rois["roi"] != UNSPECIFIED) | (rois["roi_set"] == first)]
    return kept.drop(columns="roi_set").sort_values(["body", "roi"], ignore_index=True)
