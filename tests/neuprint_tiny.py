"""The tiny connectome with elements and a neuPrint section."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather

from tests import tiny
from tests.tiny import ME, OB, ORIGIN, A, B, frame

LONELY = 77  # a body that has an element and no synapse

# x, body, primary, layer_label, mitoType, size, score, near
ELEMENTS = [
    (1000, A, ME, 101, "dark", 2**31, 0.396, "1,2,3"),
    (1001, A, None, 0, "dark", 5, None, None),
    (1002, LONELY, ME, 102, "light", 6, 2.5, "4,5,6.5"),
    (1003, B, OB, 0, None, 7, 3.0, "nowhere"),
    (1004, 0, ME, 101, "dark", 8, 1.0, None),  # body 0
]
META: dict[str, Any] = {
    "dataset": "tiny",
    "tag": "v1",
    "postHighAccuracyThreshold": 0.7,
    "postHPThreshold": 0.9,
    "primaryRois": [ME, OB],
    "roiHierarchy": {"brain": {ME: ["layer 1", "layer 2"], OB: None, "empty": None}},
    "excludeFromOverview": [OB],
    "neuronColumnsOrdered": [{"id": "bodyId", "name": "body ID"}, {"id": "type"}, {"id": "status", "choices": "auto"}],
}
WITH_ELEMENTS: dict[str, Any] = {
    "inputs.elements": {
        "mito": {
            "point-table": "mito.feather",
            "type": "mitochondrion",
            "distance-table": "near.feather",
        }
    },
    "outputs.neuprint.element-labels": {"mito": "Mito"},
    "outputs.neuprint.element-totals": {
        "mito": {
            "compute-segment-totals-with-name": "totalMito",
            "compute-roi-totals-with-name": "mito",
            "compute-kind-totals-for-column": "mitoType",
        }
    },
}


def elements() -> pd.DataFrame:
    """One table of mitochondria beside the synapses."""
    names = "x body primary layer_label mitoType size score nearPosition"
    table = frame(names, ELEMENTS, x="int32", body="int64", layer_label="int16", size="int64", score="float64")
    return table.assign(y=pd.Series(10, table.index, dtype="int32"), z=pd.Series(1, table.index, dtype="int32"))


def distances() -> pd.DataFrame:
    """From a PSD to a mitochondrion, and from nowhere."""
    ends = {"source_x": [101, 999], "target_x": [1000, 1001]}
    same = {f"{end}_{axis}": [v, v] for end in ("source", "target") for axis, v in (("y", 10), ("z", 1))}
    return pd.DataFrame({**ends, **same}).astype("int32").assign(distance=[1.5, 2.5])


def write(directory: Path, **overrides: Any) -> Path:
    """`tiny.write` with tables of elements and settings of neuPrint; the stage of flat files is left out."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, table in (("mito", elements()), ("near", distances())):
        pa.feather.write_feather(pa.Table.from_pandas(table, preserve_index=False), directory / f"{name}.feather")
    settings = {
        "outputs.neuprint.export-neuprint-snapshot": True,
        "outputs.neuprint.meta": META,
        "outputs.flat-connectome.export-connectome": False,
    }
    return tiny.write(directory, **(settings | overrides))


def element_id(x: int) -> str:
    """The id of a point on the line."""
    return str(ORIGIN + x)
