"""A connectome that is a list of T-bars with their predictions, for whoever wants to look at neurotransmitters only.

T-bar i lies at x = 10 i and has one PSD at x = 10 i + 1, on the body PARTNER unless it is told otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather

from tests import tiny

PARTNER = 900  # has no T-bar, and a type only if it is given one
NAMES = ("gaba", "acetylcholine", "glutamate", "unknown")  # the order of the columns is not that of the alphabet
ACH, GLU, GABA, UNKNOWN = "acetylcholine", "glutamate", "gaba", "unknown"
NULL = "null"  # as a prediction: there is a row, and all its numbers are null
NT = "inputs.neurotransmitters"
EXPORT = "outputs.neurotransmitters"


@dataclass(frozen=True)
class Tbar:
    """One T-bar and what is predicted: a name, numbers in the order of NAMES, NULL, or None for no row."""

    body: int
    predicted: str | tuple[float, ...] | None = ACH
    split: str | None = None
    roi: str | None = tiny.ME
    roi_post: str | None = tiny.ME
    to: int = PARTNER

    def probabilities(self) -> tuple[float, ...]:
        """0.7 for what is predicted and 0.1 for each other one."""
        if self.predicted == NULL:
            return (np.nan,) * len(NAMES)
        if isinstance(self.predicted, tuple):
            return self.predicted
        return tuple(0.7 if name == self.predicted else 0.1 for name in NAMES)


def many(body: int, *counts: tuple[str | tuple[float, ...] | None, int], **others: Any) -> list[Tbar]:
    """T-bars of one body by (prediction, how many)."""
    return [Tbar(body, predicted, **others) for predicted, n in counts for _ in range(n)]


def write(folder: Path, tbars: Sequence[Tbar], types: Mapping[int, str | None] | None, **settings: Any) -> Path:
    """Write the tables and config.yaml with nothing but neurotransmitters to export; returns the path of the config.

    `types` are the annotated bodies, None for no annotations at all.  `predictions` replaces the table of predictions,
    `ground_truth` and `experiments` are written as CSV files if given; other settings are dotted paths of the
    configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    predictions = settings.pop("predictions", predictions_of(tbars))
    given: dict[str, Any] = {
        "inputs.neurotransmitters.synister-feather": "predictions.feather",
        "outputs.neurotransmitters.export-neurotransmitters": True,
        "outputs.flat-connectome.export-connectome": False,
    }
    for name, key in (("ground_truth", "ground-truth"), ("experiments", "experimental-groundtruth")):
        if name in settings:
            pd.DataFrame(settings.pop(name)).to_csv(folder / f"{name}.csv", index=False)
            given[f"{NT}.{key}"] = f"{name}.csv"
    table = pa.Table.from_pandas(predictions, preserve_index=False)
    pa.feather.write_feather(table, folder / "predictions.feather")
    points, partners = synapses_of(tbars)
    annotations = None
    if types is None:
        given["inputs.annotations"] = tiny.DELETE
    else:
        annotations = tiny.frame("body type status", [(b, t, "Traced") for b, t in types.items()], body="int64")
    return tiny.write(folder, points=points, partners=partners, annotations=annotations, **(given | settings))


def predictions_of(tbars: Sequence[Tbar], prefix: str = "nts_8.") -> pd.DataFrame:
    """pre_x, pre_y, pre_z, one column for each of NAMES, and `split` if any T-bar has one."""
    rows = [(10 * i, 10, 1, *t.probabilities(), t.split) for i, t in enumerate(tbars, 1) if t.predicted is not None]
    columns = ["pre_x", "pre_y", "pre_z", *(f"{prefix}{name}" for name in NAMES), "split"]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[:3], "int32"))
    table = table.astype(dict.fromkeys(columns[3:-1], "float32") | {"split": object})
    return table if table["split"].notna().any() else table.drop(columns="split")


def synapses_of(tbars: Sequence[Tbar]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """points.feather and partners.feather."""
    rows, pairs = [], []
    for i, t in enumerate(tbars, 1):
        pre, post = tiny.ORIGIN + 10 * i, tiny.ORIGIN + 10 * i + 1
        rows.append((pre, "PreSyn", 0.9, t.body, t.roi, 0, "axon"))
        rows.append((post, "PostSyn", 0.9, t.to, t.roi_post, 0, "dendrite"))
        pairs.append((pre, post))
    columns = "point_id kind conf body primary layer_label compartment"
    points = tiny.frame(
        columns, rows, point_id="uint64", conf="float32", body="int64", layer_label="int16", primary="category"
    )
    return points, tiny.frame("pre_id post_id", pairs, pre_id="uint64", post_id="uint64")
