"""Every file of the flat connectome and of `tables/`, as data frames."""

import pandas as pd

from tests.oracle.annotations import STATUSES, neuprint_view, status_counts
from tests.oracle.config import Config
from tests.oracle.ids import decode
from tests.oracle.load import Inputs
from tests.oracle.rois import UNSPECIFIED

SUBSETS = {"significant-only": "Sensory Anchor", "traced-only": "Leaves"}
PAIR = ["body_pre", "body_post"]


def outputs(inputs: Inputs) -> dict[str, pd.DataFrame]:
    """All tables by file stem without tag: `syn-points`, ..., `tables/body-status-counts`.

    Files that a run does not write have no key.
    """
    points, partners = restricted(inputs)
    compartments = bool(inputs.config.compartment_column)
    weights = connectome_weights(partners, compartments)
    tables = {
        "syn-points": points,
        "syn-partners": syn_partners(partners, inputs.config),
        "connectome-weights": weights,
        "body-stats": body_stats(points, partners, inputs),
    }
    if inputs.annotations is not None:
        tables["tables/body-annotations"] = inputs.annotations
        tables["tables/body-status-counts"] = status_counts(inputs.annotations)
        names = inputs.config.get("outputs.neuprint.annotation-property-names", {})
        tables["body-annotations"] = neuprint_view(inputs.annotations, names)
        for subset, worst in SUBSETS.items() if inputs.annotations["status"].notna().any() else ():
            bodies = qualifying(inputs.annotations, worst)
            rows = partners["body_pre"].isin(bodies) & partners["body_post"].isin(bodies)
            tables[f"syn-partners-{subset}"] = tables["syn-partners"][rows].reset_index(drop=True)
            pairs = weights["body_pre"].isin(bodies) & weights["body_post"].isin(bodies)
            tables[f"connectome-weights-{subset}"] = _with_types(weights[pairs], inputs.annotations)
    return tables


def file_name(key: str, config: Config) -> str:
    """Where the table of a key is written, relative to the output directory."""
    tag = config.get("job-settings.snapshot-tag", "")
    if key.startswith("tables/"):
        return f"{key}-{tag}.{'csv' if key.endswith('counts') else 'feather'}"
    subset = next((f"-{s}" for s in SUBSETS if key.endswith(s)), "")
    full_tag = f"{tag}-minconf-{config.min_confidence}" + (f"-{config.restriction}" if config.restriction else "")
    return f"flat-connectome/{key.removesuffix(subset)}-{full_tag}{subset}.feather"


def restricted(inputs: Inputs) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows whose PSD is inside the restricting ROI set, and the points that these rows name."""
    points, partners = inputs.points, inputs.partners
    if inputs.config.restriction:
        partners = partners[partners[inputs.config.restriction] != UNSPECIFIED].reset_index(drop=True)
        used = points["point_id"].isin(partners["pre_id"]) | points["point_id"].isin(partners["post_id"])
        points = points[used].reset_index(drop=True)
    return points, partners


def syn_partners(partners: pd.DataFrame, config: Config) -> pd.DataFrame:
    """One row per connection in input order; coordinates are decoded from the ids; the ROI is that of the PSD."""
    table = pd.DataFrame(index=partners.index)
    for side in ("pre", "post"):
        for axis, values in decode(partners[f"{side}_id"]).items():
            table[f"{axis}_{side}"] = values
        table[f"body_{side}"] = partners[f"body_{side}"]
        table[f"conf_{side}"] = partners[f"conf_{side}"]
    roi_set = config.get("outputs.flat-connectome.roi-set", "primary")
    if config.roi_sets and roi_set:
        table[f"{roi_set}_post"] = partners[roi_set]
    for side in ("pre", "post") if config.compartment_column else ():
        table[f"compartment_{side}"] = partners[f"compartment_{side}"]
    return table


def connectome_weights(partners: pd.DataFrame, compartments: bool) -> pd.DataFrame:
    """Connections per pair of bodies, a body with itself included; heaviest first, then by body_pre, body_post.

    Four more counts by compartments of the two ends; any other combination counts in `weight` only.
    """
    counted = partners[PAIR].assign(weight=1)
    for pre in ("axon", "dendrite") if compartments else ():
        for post in ("axon", "dendrite"):
            both = (partners["compartment_pre"] == pre) & (partners["compartment_post"] == post)
            counted[f"weight{pre.title()}{post.title()}"] = both.astype("int64")
    table = counted.groupby(PAIR, sort=True).sum().reset_index().astype("int64")
    return table.sort_values(["weight", *PAIR], ascending=[False, True, True], ignore_index=True)


def roi_weights(partners: pd.DataFrame, roi_set: str) -> pd.DataFrame:
    """Connections per pair of bodies and ROI of the PSD, in the order of these three."""
    rows = partners[PAIR].assign(roi=partners[roi_set].astype(object))
    return rows.groupby([*PAIR, "roi"], sort=True).size().rename("weight").reset_index()


def qualifying(annotations: pd.DataFrame, worst: str) -> pd.Series:
    """Bodies whose status is `worst` or better; without status a body does not qualify."""
    good = list(STATUSES)[list(STATUSES).index(worst) :]
    return annotations.loc[annotations["status"].isin(good), "body"]


def _with_types(weights: pd.DataFrame, annotations: pd.DataFrame) -> pd.DataFrame:
    """type_pre and type_post, if the annotations have types."""
    weights = weights.reset_index(drop=True)
    if "type" not in annotations:
        return weights
    types = annotations.set_index("body")["type"].astype(object)
    return weights.assign(type_pre=weights["body_pre"].map(types), type_post=weights["body_post"].map(types))


def body_stats(points: pd.DataFrame, partners: pd.DataFrame, inputs: Inputs) -> pd.DataFrame:
    """Counts of every body with a synapse but 0; rank 1 has most connections, ties go to the smaller body.

    downstream = rows with the body as pre; synweight = downstream + post.
    """
    bodies = pd.Index(sorted(set(points["body"]) - {0}), dtype="int64", name="body")

    def count(of: pd.Series) -> pd.Series:
        return of.value_counts().reindex(bodies, fill_value=0).astype("int64")

    kind = points["kind"].astype(object)
    stats = pd.DataFrame(index=bodies)
    stats["pre"] = count(points.loc[kind == "PreSyn", "body"]).astype("int32")
    stats["post"] = count(points.loc[kind == "PostSyn", "body"]).astype("int32")
    if inputs.annotations is not None:
        annotated = inputs.annotations.set_index("body")
        status = annotated["status"].astype(object)
        stats["status_fine"] = status.where(status.notna(), "").reindex(bodies, fill_value="")
        for column in ("superclass", "class", "type", "instance"):
            if column in annotated:
                stats[column] = annotated[column].astype(object).reindex(bodies)
    stats["downstream"] = count(partners["body_pre"])
    stats["synweight"] = stats["downstream"] + stats["post"]
    if "roi" in inputs.roi_ids:
        for name, side in (("output", "body_pre"), ("input", "body_post")):
            top = top_roi(partners, side).reindex(bodies)
            stats[f"top_{name}_roi"] = top["roi"]
            stats[f"top_{name}_roi_weight"] = top["weight"]
    for compartment in ("axon", "dendrite") if inputs.config.compartment_column else ():
        inside = points[inputs.config.compartment_column] == compartment
        stats[f"{compartment}In"] = count(points.loc[inside & (kind == "PostSyn"), "body"])
        stats[f"{compartment}Out"] = count(partners.loc[partners["compartment_pre"] == compartment, "body_pre"])
    stats = stats.reset_index().sort_values(["synweight", "body"], ascending=[False, True], ignore_index=True)
    return stats.assign(rank=range(1, len(stats) + 1)).astype({"synweight": "int64", "rank": "int64"})


def top_roi(partners: pd.DataFrame, side: str) -> pd.DataFrame:
    """Per body: the ROI of most of its connections' PSDs and how many; on a tie the first by name."""
    rows = pd.DataFrame({"body": partners[side], "roi": partners["roi"].astype(object)})
    sizes = rows.groupby(["body", "roi"]).size().rename("weight").reset_index().astype({"weight": "Int64"})
    sizes = sizes.sort_values(["body", "weight", "roi"], ascending=[True, False, True])
    return sizes.drop_duplicates("body").set_index("body")
