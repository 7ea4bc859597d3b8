"""Body annotations as the snapshot keeps them, and the view of them that the flat files and neuPrint share."""

from typing import Any

import pandas as pd

from tests.oracle.config import Config
from tests.oracle.tables import is_null, read

# statusLabel -> status, worst to best; None is null.
STATUSES: dict[str, str | None] = {
    "Unimportant": "Unimportant",
    "Glia": "Glia",
    "Hard to trace": "Orphan",
    "Orphan-artifact": "Orphan",
    "Orphan": "Orphan",
    "Orphan hotknife": "Orphan",
    "Putative Leaves": None,
    "Out of scope": None,
    "Not examined": None,
    "": None,
    "0.5assign": "Assign",
    "Anchor": "Anchor",
    "Cleaved Anchor": "Anchor",
    "Will be merged": "Anchor",
    "Partially traced": "Anchor",
    "Sensory Anchor": "Anchor",
    "Cervical Anchor": "Anchor",
    "Soma Anchor": "Anchor",
    "Examined Soma Anchor": "Anchor",
    "Primary Anchor": "Anchor",
    "Leaves": "Traced",
    "PRT Orphan": "Traced",
    "Reviewed": "Traced",
    "Prelim Roughly traced": "Traced",
    "RT Hard to trace": "Traced",
    "RT Orphan": "Traced",
    "Roughly traced": "Traced",
    "Traced in ROI": "Traced",
    "Traced": "Traced",
    "Finalized": "Traced",
}
NT_COLUMNS = [
    "predicted_nt",
    "predicted_nt_confidence",
    "total_nt_predictions",
    "celltype_predicted_nt",
    "celltype_predicted_nt_confidence",
    "celltype_total_nt_predictions",
    "consensus_nt",
]
PROPERTIES = {
    "bodyid": "bodyId",
    "hemibrain_bodyid": "hemibrainBodyId",
    "status": "statusLabel",
    "position": "location",
    "soma_position": "somaLocation",
    "tosoma_position": "tosomaLocation",
    "root_position": "rootLocation",
    "position_type": "locationType",
}
DROPPED_PROPERTIES = {
    "last_modified_by",
    "old_bodyids",
    "old_type",
    "reviewer",
    "to_review",
    "typing_notes",
    "user",
    "notes",
    "halfbrain_body",
    "halfbrainBody",
    "group_old",
    "confidence",
}


def load_annotations(config: Config) -> pd.DataFrame | None:
    """`body` first, then the columns of the file with replaced values and new names; status is the ordered category.

    Rows keep the order of the file.  A body occurs once.  None if the configuration names no table.
    """
    source = config.get("inputs.annotations.body-annotations-table", "")
    if not source:
        return None
    table = read(config.path(source))
    if table["body"].isna().any() or table["body"].duplicated().any():
        raise ValueError("annotations: a body is null or occurs twice")
    table = table[["body", *(c for c in table if c != "body")]].astype({"body": "int64"})
    for item in config.get("inputs.annotations.replace-values", []):
        column = item["source-column"]
        table[item.get("target-column") or column] = _replaced(table[column], item.get("replacements") or {})
    renames = config.get("inputs.annotations.rename-annotation-columns", dict.fromkeys(NT_COLUMNS, ""))
    table = table.drop(columns=["group_old", *(c for c, new in renames.items() if new == "")], errors="ignore")
    table = table.rename(columns=renames)
    if not table.columns.is_unique:
        raise ValueError("annotations: two columns have one name")
    # Without the column, every status is null.
    return table.assign(status=_as_status(table["status"] if "status" in table else pd.Series([None] * len(table))))


def _replaced(values: pd.Series, replacements: dict[Any, Any]) -> pd.Series:
    """Listed values change, all others stay; the replacements do not chain."""
    if not any(v in replacements for v in values if not isinstance(v, list)):
        return values.copy()
    new = [v if isinstance(v, list) or v not in replacements else replacements[v] for v in values]
    return pd.Series(new, index=values.index, dtype=object).infer_objects()


def _as_status(values: pd.Series) -> pd.Categorical:
    """Any source's status becomes the ordered category; a status that it does not know is an error."""
    labels = [None if is_null(v) else v for v in values]
    unknown = set(labels) - set(STATUSES) - {None}
    if unknown:
        raise ValueError(f"unknown status: {sorted(map(str, unknown))}")
    return pd.Categorical(labels, list(STATUSES), ordered=True)


def status_counts(annotations: pd.DataFrame) -> pd.DataFrame:
    """Bodies per status, best first, without '' and without zeros."""
    counts = annotations["status"].value_counts()
    rows = [(s, int(counts[s])) for s in reversed(STATUSES) if s and counts[s] > 0]
    return pd.DataFrame(rows, columns=["status", "count"]).astype({"count": "int64"})


def property_name(column: str, names: dict[str, str] | None = None) -> str:
    """The property that a column becomes; '' drops it.

    `cell_body_fiber` and `cell body fiber` -> cellBodyFiber, empty parts ignored; then Position -> Location in names
    that contain it; then the fixed table; a name given by the user wins over all.
    """
    if names and column in names:
        return names[column]
    if column in DROPPED_PROPERTIES:
        return ""
    if column in PROPERTIES:
        return PROPERTIES[column]
    if "Position" in column:
        return column.replace("Position", "Location")
    head, *tail = [part for part in column.replace(" ", "_").split("_") if part] or [""]
    return head + "".join(part[0].upper() + part[1:] for part in tail)


def neuprint_view(annotations: pd.DataFrame, names: dict[str, str] | None = None) -> pd.DataFrame:
    """One row per annotated body but 0, columns under their property names, the simplified status last.

    Columns with one property: the first non-null value per row, at the first one's place.  '' is null.
    Columns without any value go, except statusLabel.
    """
    table = annotations[annotations["body"] != 0].reset_index(drop=True)
    table["bodyid"] = table["body"]
    view: dict[str, pd.Series] = {}
    for column in table.columns.drop("body"):
        name = property_name(column, names)
        if name in view:
            first = view[name].astype(object)
            view[name] = first.where(first.notna(), table[column].astype(object)).infer_objects()
        elif name:
            view[name] = table[column]
    view = {name: _without_empty_text(values) for name, values in view.items()}
    view["status"] = pd.Series([_simplified(v) for v in view["statusLabel"]], dtype=object)
    return pd.DataFrame({n: v for n, v in view.items() if n == "statusLabel" or v.notna().any()}, index=table.index)


def _simplified(label: Any) -> Any:
    return None if is_null(label) else STATUSES.get(label, label)


def _without_empty_text(values: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values
    return pd.Series([None if is_null(v) or v == "" else v for v in values], index=values.index, dtype=object)
