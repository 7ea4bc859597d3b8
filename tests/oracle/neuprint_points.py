"""Synapses and elements, the relationships between them, and the sets that contain them."""

from urllib.parse import quote

import numpy as np
import pandas as pd

from tests.oracle.neuprint_scope import ElementTable, Scope
from tests.oracle.neuprint_transmitters import add_scores
from tests.oracle.neuprint_values import POINT, Columns, Sheet, points_of
from tests.oracle.template import fill

Sheets = dict[str, Sheet]
PAIR = ["body_pre", "body_post"]


def file_part(name: str) -> str:
    """A name as a part of a file's name."""
    return quote(name, safe="").replace("~", "%7E")


def synapses(scope: Scope) -> Sheet:
    """One row per point."""
    points = scope.points
    columns = Columns(len(points))
    columns.put(":ID", points["point_id"].astype("str"), "Element-ID")
    columns.put("type", np.where(points["kind"].astype(object) == "PreSyn", "pre", "post"), "string")
    columns.put("confidence", points["conf"].astype("str"), "float")
    columns.single.add("confidence")
    columns.put("bodyId", points["body"].astype("str"), "long")
    never = {"point_id", "kind", "conf", "body"}
    for name in _property_columns(scope, points, never):
        columns.add(name, points[name])
    add_scores(columns, scope)
    columns.put(":LABEL", scope.label("Synapse", "Element"), "")
    _finish(columns, scope, points, list(scope.sets))
    return columns.sheet()


def _property_columns(scope: Scope, points: pd.DataFrame, never: set[str]) -> list[str]:
    """Columns that are neither coordinates nor ROI names or labels, nor of internal use."""
    never = never | {"x", "y", "z", "sv", "split"}
    for name in scope.config.roi_sets:
        never |= {name, f"{name}_label"}
    return [c for c in points if c not in never]


def _finish(columns: Columns, scope: Scope, points: pd.DataFrame, sets: list[str]) -> None:
    """Location, the properties made from ROI labels, and the ROI flags."""
    columns.put("location", points_of(points), POINT)
    for name, values in roi_properties(scope, points).items():
        columns.add(name, values)
    columns.flags(points, sets)


def roi_properties(scope: Scope, points: pd.DataFrame) -> dict[str, pd.Series]:
    """Each formula applied to the label of its set where there is one; a row cannot have two values."""
    found: dict[str, pd.Series] = {}
    for roi_set, formulas in scope.setting("roi-synapse-properties", {}).items():
        if f"{roi_set}_label" not in points:
            continue
        roi_labels = points[f"{roi_set}_label"]
        for name, formula in formulas.items():
            results = {v: int(fill(f"{{{formula or 'x'}}}", int(v))) for v in roi_labels.unique() if v != 0}
            values = roi_labels.map(results).astype("Int64")
            if name in found:
                if (found[name].notna() & values.notna()).any():
                    raise ValueError(f"{name}: two values for one point")
                values = found[name].fillna(values)
            found[name] = values
    return found


def pairs_of_ids(start: pd.Series, end: pd.Series, spaces: tuple[str, str]) -> Sheet:
    """A relationship without properties."""
    columns = Columns(len(start))
    columns.put(":START_ID", start.astype("str"), spaces[0])
    columns.put(":END_ID", end.astype("str"), spaces[1])
    return columns.sheet()


def synapse_sheets(scope: Scope) -> Sheets:
    """Synapses, SynapsesTo and everything of SynapseSets."""
    partners = scope.partners
    pairs = partners[PAIR].drop_duplicates().astype("str")
    name = pairs["body_pre"] + "_" + pairs["body_post"]
    sets = Columns(2 * len(pairs))
    sets.put(":ID", pd.concat([name + "_pre", name + "_post"]), "SynSet-ID")
    sets.put("type", np.repeat(["pre", "post"], len(pairs)), "string")
    sets.put(":LABEL", scope.label("SynapseSet", "ElementSet"), "")
    bodies = pd.concat([pairs["body_pre"], pairs["body_post"]])
    tbars = partners.drop_duplicates(["pre_id", "body_post"])
    inside = [_set_name(tbars) + "_pre", _set_name(partners) + "_post"]
    points = pd.concat([tbars["pre_id"], partners["post_id"]])
    ends = {
        "Neuprint_Synapse_Connections": (partners["pre_id"], partners["post_id"], "Element-ID", "Element-ID"),
        "Neuprint_Neuron_to_SynapseSet": (bodies, sets.texts[":ID"], "Body-ID", "SynSet-ID"),
        "Neuprint_SynapseSet_to_SynapseSet": (name + "_pre", name + "_post", "SynSet-ID", "SynSet-ID"),
        "Neuprint_SynapseSet_to_Synapses": (pd.concat(inside), points, "SynSet-ID", "Element-ID"),
    }
    relationships = {kind: pairs_of_ids(start, end, spaces) for kind, (start, end, *spaces) in ends.items()}
    return {"Neuprint_Synapses": synapses(scope), "Neuprint_SynapseSet": sets.sheet()} | relationships


def _set_name(partners: pd.DataFrame) -> pd.Series:
    return partners["body_pre"].astype("str") + "_" + partners["body_post"].astype("str")


def element_sheets(scope: Scope, segments: pd.Index) -> Sheets:
    """Elements, CloseTo and everything of ElementSets."""
    sheets = {f"Neuprint_Elements/{file_part(n)}": elements(scope, n, e) for n, e in scope.elements.items()}
    ids = scope.ids()
    for name, table in scope.elements.items():
        if table.distances is not None:
            sheets[f"Neuprint_Elements_CloseTo_{file_part(name)}"] = close_to(table.distances, ids)
    points = [e.points[["point_id", "body", "type"]].astype({"type": object}) for e in scope.elements.values()]
    if points:
        for kind, members in pd.concat(points).groupby("type"):
            sheets |= element_set(scope, str(kind), members, segments)
    return sheets


def elements(scope: Scope, name: str, table: ElementTable) -> Sheet:
    """One row per element of one configured table."""
    points = table.points
    columns = Columns(len(points))
    columns.put(":ID", points["point_id"].astype("str"), "Element-ID")
    for column in _property_columns(scope, points, {"point_id"}):
        if column == "body":
            columns.put("bodyId", points["body"].astype("str"), "long")
        else:
            columns.add(column, points[column])
    own = scope.setting("element-labels", {}).get(name, "").lstrip(":")
    columns.put(":LABEL", scope.label("Element", *([own] if own else [])), "")
    _finish(columns, scope, points, table.sets)
    return columns.sheet()


def close_to(distances: pd.DataFrame, ids: set[int]) -> Sheet:
    """Distances whose two ends exist; properties are the columns that are no coordinates."""
    rows = distances[distances["source_id"].isin(ids) & distances["target_id"].isin(ids)]
    columns = Columns(len(rows))
    coordinates = {f"{end}_{part}" for end in ("source", "target") for part in ("x", "y", "z", "id")}
    for name in rows.columns.difference(coordinates, sort=False):
        columns.add(name, rows[name])
    columns.put(":START_ID", rows["source_id"].astype("str"), "Element-ID")
    columns.put(":END_ID", rows["target_id"].astype("str"), "Element-ID")
    return columns.sheet()


def element_set(scope: Scope, kind: str, members: pd.DataFrame, segments: pd.Index) -> Sheets:
    """Per body the set of its elements of one type; only Segments contain theirs."""
    part = file_part(kind)
    bodies = members["body"].drop_duplicates()
    sets = Columns(len(bodies))
    sets.put(":ID", bodies.astype("str") + f"_{kind}", "ElementSet-ID")
    sets.put("type", kind, "string")
    sets.put(":LABEL", scope.label("ElementSet"), "")
    own = bodies[bodies.isin(segments)]
    names = members["body"].astype("str") + f"_{kind}"
    return {
        f"Neuprint_ElementSets/Neuprint_ElementSet_{part}": sets.sheet(),
        f"Neuprint_Neuron_to_ElementSet_{part}": pairs_of_ids(
            own, own.astype("str") + f"_{kind}", ("Body-ID", "ElementSet-ID")
        ),
        f"Neuprint_ElementSet_to_Element_{part}": pairs_of_ids(
            names, members["point_id"], ("ElementSet-ID", "Element-ID")
        ),
    }
