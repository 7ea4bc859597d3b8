"""What neuPrint says of neurotransmitters is, cell for cell, what an independent computation in pandas says."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from tests import neuprint_tiny, tiny
from tests.neuprint_tiny import META, WITH_ELEMENTS
from tests.oracle.neuprint_read import read_csvs
from tests.tiny import BIG, ME, A, B, C, F
from tests.whole_runs.test_neuprint_equals_oracle import assert_equal_to_oracle, settings, synthetic
from tests.writing import write_table

NT = "inputs.neurotransmitters"
NONE = float("nan")

# x of the T-bar, probabilities of GABA, glutamate and octopamine, split
PREDICTIONS = [
    (100, 0.75, 0.25, NONE, "train"),  # A
    (200, 0.5, 0.5, NONE, "test"),  # B: as much the one as the other
    (300, NONE, NONE, NONE, None),  # C: there is a row, and nothing in it
    (400, 4.6116715e-05, 1.0, NONE, "test"),  # BIG
    (600, 0.9, 0.1, NONE, "test"),  # an orphan
    (700, 0.1, 0.9, NONE, "test"),  # body 0
]  # F's T-bar has no row


def predictions() -> pd.DataFrame:
    """The table of predictions; octopamine is predicted nowhere."""
    names = ["x", "nts_8.GABA", "nts_8.glut", "nt_oct_prob", "split"]
    table = pd.DataFrame(PREDICTIONS, columns=names).astype(dict.fromkeys(names[1:4], "float32"))
    return table.assign(y=10, z=1)


def write(folder: Path, **overrides: Any) -> Path:
    """The tiny connectome with predictions; thresholds are such that two T-bars make a prediction."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(pa.Table.from_pandas(predictions(), preserve_index=False), folder / "predictions.feather")
    (folder / "truth.csv").write_text("cell_type,ground_truth\nKC,gaba\nTm1,glutamate\n")
    (folder / "experiments.csv").write_text(
        'type,consensusNt,ntReference,otherNt\nKC,dopamine,"Ito, ""2013""",\nTm1,histamine,,gaba\n'
    )
    given = {
        f"{NT}.synister-feather": "predictions.feather",
        **{f"{NT}.{name}": value for name, value in LOW.items()},
    }
    return neuprint_tiny.write(folder, **(given | overrides))


LOW = {"min-body-presyn": 1, "min-celltype-presyn": 1, "min-body-confidence": 0.0, "min-celltype-confidence": 0.0}
TRUTH = {f"{NT}.ground-truth": "truth.csv", f"{NT}.training-set-split-indicators": []}
CASES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "training bodies": TRUTH | {f"{NT}.training-set-split-indicators": ["train"]},
    "experiments, compressed": {f"{NT}.experimental-groundtruth": "experiments.csv"}
    | settings(compress="gzip", max_segment_files=1),
    "everything known, also of non-synaptic segments": TRUTH
    | {f"{NT}.experimental-groundtruth": "experiments.csv"}
    | settings(keep_non_synaptic_segments=True),
    "no means": {f"{NT}.export-mean-tbar-scores": False},
    "one region": {f"{NT}.restrict-to-roi": {"roiset": "primary", "roi": ME}},
    "connectivity": settings(restrict_connectivity_to_roiset="layer"),
    "both restrictions": settings(restrict_info_totals_to_roiset="primary", restrict_connectivity_to_roiset="layer"),
    "elements": WITH_ELEMENTS | TRUTH,
    "body 0": {"inputs.synapses.permit-body-0": True},
    "body 0 as a Segment": {
        "inputs.synapses.permit-body-0": True,
        **WITH_ELEMENTS,
        "inputs.elements": {"mito": WITH_ELEMENTS["inputs.elements"]["mito"] | {"permit-body-0": True}},
    },
    "no annotations": {"annotations": None, "inputs.annotations": tiny.DELETE},
    "no ROI sets": {
        "inputs.rois.roi-sets": tiny.DELETE,
        "outputs.flat-connectome.roi-set": tiny.DELETE,
        **settings(meta=META | {"primaryRois": [ME]}),
    },
    "an annotation of the same name": settings(annotation_property_names={"class": "predictedNt"}),
    "labels by predictions": settings(
        neuron_label_criteria={"properties": ["predictedNtConfidence"], "status": [], "synweight": 1000}
    )
    | TRUTH,
    "columns of the web page": settings(
        meta=META | {"neuronColumnsOrdered": [{"id": "predictedNt", "choices": "auto"}, {"id": "totalNtPredictions"}]}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_tiny_connectome_with_neurotransmitters(tmp_path: Path, name: str) -> None:
    assert_equal_to_oracle(write(tmp_path, **CASES[name]))


def rows_of(folder: Path, kind: str) -> dict[str, dict[str, str]]:
    """By id, the properties that a node has."""
    rows = read_csvs(folder)[kind].sheet.rows.to_dict("records")
    return {row[":ID"]: {name: text for name, text in row.items() if text} for row in rows}


def test_the_tiny_database_says_this_of_neurotransmitters(tmp_path: Path) -> None:
    """Worked out by hand from the list above."""
    folder = assert_equal_to_oracle(write(tmp_path))
    synapses = rows_of(folder, "Neuprint_Synapses")
    scores = {
        int(key) - tiny.ORIGIN: (row["ntGabaProb"], row["ntGlutamateProb"])
        for key, row in synapses.items()
        if "ntGabaProb" in row
    }
    names = {name for row in synapses.values() for name in row}
    segments = rows_of(folder, "Neuprint_Neurons")
    (meta,) = csv.DictReader((folder / "Neuprint_Meta.csv").read_text().splitlines())

    assert scores == {100: ("0.75", "0.25"), 200: ("0.5", "0.5"), 400: ("4.6116715e-05", "1.0")}
    assert {name for name in names if name.startswith(("nt", "split", "pred"))} == {"ntGabaProb", "ntGlutamateProb"}
    assert {int(body): (row.get("predictedNt"), row.get("totalNtPredictions")) for body, row in segments.items()} == {
        A: ("gaba", "1"),
        B: ("gaba", "1"),
        C: ("unclear", "0"),
        BIG: ("glutamate", "1"),
        F: ("unclear", "0"),
        tiny.E: ("unclear", "0"),  # has a type and no T-bar
    }
    assert (segments[str(A)]["ntGabaProb"], segments[str(A)]["ntGlutamateProb"]) == ("0.75", "0.25")
    assert json.loads(meta["ntSynapseProperties:string"]) == {"ntGabaProb": "float", "ntGlutamateProb": "float"}
    types = json.loads(meta["neuronProperties:string"])
    assert (types["totalNtPredictions"], types["celltypeTotalNtPredictions"]) == ("int", "int")
    assert types["ntGabaProb"] == "float"


def test_without_predictions_nothing_is_said_of_neurotransmitters(tmp_path: Path) -> None:
    folder = assert_equal_to_oracle(neuprint_tiny.write(tmp_path))
    header = (folder / "Neuprint_Meta.csv").read_text().splitlines()[0]

    assert "ntSynapseProperties" not in header
    assert not [name for row in rows_of(folder, "Neuprint_Synapses").values() for name in row if name[:2] == "nt"]


def test_synthetic_connectome_in_one_region(tmp_path: Path, shared: Path) -> None:
    changes = settings(restrict_info_totals_to_roiset="primary", restrict_connectivity_to_roiset="shell")
    changes[f"{NT}.restrict-to-roi"] = {"roiset": "primary", "roi": "ME(R)"}
    assert_equal_to_oracle(synthetic(tmp_path, shared, 20_000, **changes))
