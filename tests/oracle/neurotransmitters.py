"""The neurotransmitters of T-bars, bodies and cell types, and the files of `nt/`."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from tests.oracle.config import Config
from tests.oracle.load import Inputs
from tests.oracle.neurotransmitters_groups import (
    clear_enough,
    confusion_of,
    first_predictions,
    group_predictions,
)
from tests.oracle.neurotransmitters_read import read_experiments, read_ground_truth, read_predictions
from tests.oracle.rois import UNSPECIFIED

TRAINING = ["train", "validation"]


@dataclass(frozen=True)
class Transmitters:
    """`tbars`: a row for each T-bar of the synapses in the restriction, in input order.  `bodies`, `scores`: by `body`.

    `scores` are the means of a body's T-bars, `multi_split` bodies whose T-bars were put into several splits.
    """

    names: list[str]
    tbars: pd.DataFrame
    bodies: pd.DataFrame
    scores: pd.DataFrame
    confusion: pd.DataFrame | None
    multi_split: pd.DataFrame | None

    @property
    def columns(self) -> list[str]:
        """The columns of the probabilities."""
        return [f"nt_{name}_prob" for name in self.names]


def neurotransmitters_of(inputs: Inputs) -> Transmitters | None:
    """None if the configuration names no predictions."""
    config = inputs.config
    settings = config.get("inputs.neurotransmitters", {})
    if not settings.get("synister-feather"):
        return None
    is_tbar = inputs.points["kind"].astype(object) == "PreSyn"
    predictions = read_predictions(config, inputs.points.loc[is_tbar, "point_id"])
    columns = [c for c in predictions if c not in ("point_id", "split")]
    names = [c.removeprefix("nt_").removesuffix("_prob") for c in columns]
    points = restricted(inputs)
    tbars = points.loc[points["kind"].astype(object) == "PreSyn", ["point_id", "body", "x", "y", "z"]]
    tbars = tbars.merge(predictions, how="left", on="point_id", validate="one_to_one")
    tbars["pred1"] = first_predictions(tbars[columns].set_axis(names, axis=1))
    types = types_of(inputs, set(points["body"]))
    tbars_types = tbars["body"].map(types).astype(object)
    truth, confusion, multi_split = None, None, None
    if settings.get("ground-truth"):
        truth = read_ground_truth(config.path(settings["ground-truth"]))
        splits = tbars["split"].astype(object)
        trained = tbars.loc[splits.isin(settings.get("training-set-split-indicators", TRAINING)), "body"]
        used = ~tbars["body"].isin(trained)
        confusion = confusion_of(tbars_types[used].map(truth), tbars.loc[used, "pred1"], names)
        multi_split = tbars.groupby("body")["split"].nunique()
        multi_split = multi_split[multi_split > 1].reset_index()
    bodies = body_table(tbars.assign(cell_type=tbars_types), types, confusion, truth, config)
    scores = tbars.groupby("body")[columns].agg(lambda c: c.astype("float64").mean()).astype("float32").reset_index()
    return Transmitters(names, tbars, bodies, scores, confusion, multi_split)


def restricted(inputs: Inputs) -> pd.DataFrame:
    """The points that are named by a connection whose PSD is in the ROI of the setting, or in any of its set."""
    setting = inputs.config.get("inputs.neurotransmitters.restrict-to-roi", {})
    if not setting.get("roiset"):
        return inputs.points
    names = inputs.partners[setting["roiset"]].astype(object)
    rows = inputs.partners[names == setting["roi"] if setting.get("roi") else names != UNSPECIFIED]
    ids = inputs.points["point_id"]
    return inputs.points[ids.isin(rows["pre_id"]) | ids.isin(rows["post_id"])].reset_index(drop=True)


def types_of(inputs: Inputs, bodies: set[int]) -> "pd.Series[Any]":
    """Cell type by body, only for bodies that have one and any synapse."""
    if inputs.annotations is None or "type" not in inputs.annotations:
        return pd.Series([], index=pd.Index([], dtype="int64"), dtype=object)
    types = inputs.annotations.set_index("body")["type"].astype(object)
    return types[types.notna() & (types != "") & types.index.isin(bodies)]


def body_table(
    tbars: pd.DataFrame,
    types: "pd.Series[Any]",
    confusion: pd.DataFrame | None,
    truth: "pd.Series[Any] | None",
    config: Config,
) -> pd.DataFrame:
    """A row for every body with a T-bar and every typed body with a synapse; see `Transmitters`."""
    settings = config.get("inputs.neurotransmitters", {})
    bodies = pd.Index(sorted(set(tbars["body"]) | set(types.index)), dtype="int64", name="body")
    table = pd.DataFrame({"cell_type": types.reindex(bodies)}, index=bodies)
    min_presyn = settings.get("min-body-presyn", 50)
    own = group_predictions(tbars["body"], tbars["pred1"], bodies, confusion)
    own = clear_enough(own, settings.get("min-body-confidence", 0.5), [min_presyn] * len(own)).set_axis(bodies)
    of_types = group_predictions(tbars["cell_type"], tbars["pred1"], types.unique(), confusion)
    sizes = table["cell_type"].value_counts()
    presyn = [min_presyn if sizes[t] <= 1 else settings.get("min-celltype-presyn", 100) for t in of_types.index]
    of_types = clear_enough(of_types, settings.get("min-celltype-confidence", 0.5), presyn)

    def of_type(column: str) -> "pd.Series[Any]":
        return table["cell_type"].map(of_types[column])

    table["total_nt_predictions"] = own["num"].astype("Int32")
    if confusion is not None:
        table["predicted_nt_confidence"] = own["confidence"].astype("float32")
    table["predicted_nt"] = own["top"]
    if truth is not None:
        table["ground_truth"] = table["cell_type"].map(truth)
    untyped = table["cell_type"].isna()
    table["celltype_total_nt_predictions"] = of_type("num").where(~untyped, own["num"]).astype("Int32")
    table["celltype_predicted_nt"] = of_type("top").astype(object)
    if confusion is not None:
        table["celltype_predicted_nt_confidence"] = of_type("confidence").astype("float32")
    if settings.get("experimental-groundtruth"):
        table = _with_consensus(table, settings, config)
    return table.reset_index()


def _with_consensus(table: pd.DataFrame, settings: dict[str, Any], config: Config) -> pd.DataFrame:
    """The type's prediction, a body's own if untyped, put in other words if asked; an experiment outdoes them."""
    experiments = read_experiments(config.path(settings["experimental-groundtruth"]))
    words = settings.get("override-celltype-before-consensus", {})
    consensus = table["celltype_predicted_nt"].where(table["cell_type"].notna(), table["predicted_nt"])
    consensus = pd.Series([words.get(nt, nt) for nt in consensus], index=table.index, dtype=object)
    known = table["cell_type"].map(experiments["consensus_nt"]).astype(object)
    table["consensus_nt"] = known.where(known.notna(), consensus)
    for name, values in experiments.items():
        if name != "consensus_nt":
            table[name] = table["cell_type"].map(values).astype(object)
    return table


def outputs(inputs: Inputs) -> dict[str, pd.DataFrame]:
    """The tables that a run writes of neurotransmitters, by path below the output directory.

    Bodies with several splits are a matter of every run that uses predictions, the other tables are for the export.
    """
    export = inputs.config.get("outputs.neurotransmitters.export-neurotransmitters", False)
    if not (export or inputs.config.get("outputs.neuprint.export-neuprint-snapshot", False)):
        return {}
    nt = neurotransmitters_of(inputs)
    if nt is None:
        return {}
    tag = inputs.config.get("job-settings.snapshot-tag", "")
    tables = {} if nt.multi_split is None or nt.multi_split.empty else {"nt_multi_split_bodies.csv": nt.multi_split}
    settings = inputs.config.get("outputs.neurotransmitters", {})
    if not export:
        return tables
    tbars, bodies = tbar_table(inputs, nt), nt.bodies
    if settings.get("restrict-export"):
        inside = inputs.points.loc[inputs.points[settings["restrict-export"]] != UNSPECIFIED, "body"]
        tbars = tbars[tbars["body"].isin(inside)].reset_index(drop=True)
        bodies = bodies[bodies["body"].isin(inside)].reset_index(drop=True)
    tables[f"nt/tbar-neurotransmitters-{tag}.feather"] = tbars
    tables[f"nt/body-neurotransmitters-{tag}.feather"] = bodies
    if nt.confusion is not None:
        tables["nt/neurotransmitter-confusion.csv"] = nt.confusion.reset_index()
    return tables


def tbar_table(inputs: Inputs, nt: Transmitters) -> pd.DataFrame:
    """All T-bars of the snapshot in input order, with what is predicted of those in the restriction."""
    sets = inputs.config.get("outputs.neurotransmitters.roi-sets", [])
    points = inputs.points[inputs.points["kind"].astype(object) == "PreSyn"]
    own = [c for c in ("point_id", "x", "y", "z", "conf", "sv", "body", *sets) if c in points]
    predicted = nt.tbars[["point_id", *nt.columns, *(c for c in ["split"] if c in nt.tbars)]]
    return points[own].merge(predicted, how="left", on="point_id", validate="one_to_one")
