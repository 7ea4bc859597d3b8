"""Every table of neurotransmitters equals, row for row, an independent computation in pandas."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from flyem_snapshot.verify.checks import Status
from flyem_snapshot.verify.run import checked
from flyem_snapshot.verify.snapshot import opened
from tests.neuprint_tiny import META
from tests.oracle import compare, neurotransmitters
from tests.oracle.load import load
from tests.oracle.neurotransmitters_made_up import (
    ACH,
    EXPORT,
    GABA,
    GLU,
    NAMES,
    NT,
    NULL,
    PARTNER,
    UNKNOWN,
    Tbar,
    many,
    predictions_of,
    write,
)
from tests.running import run, tree
from tests.tiny import BIG, ME, OB
from tests.writing import write_table

# A mean of float32 may be added up in another order.
CLOSE = 1e-6


def assert_equal_to_oracle(config: Path) -> dict[str, pd.DataFrame]:
    """Run the program and the oracle on one config, and compare every table; verification must agree.

    Returns the expected tables.
    """
    finished = run("-c", config)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    out = config.parent / "out"
    expected = neurotransmitters.outputs(load(config))
    written = {name for name in tree(out) if name.startswith("nt") and name.endswith((".feather", ".csv"))}
    assert written == set(expected)
    for name, frame in expected.items():
        ours = read(out / name)
        assert list(ours) == list(frame), name
        compare.assert_frames_equal(*without_means(ours, frame, name), name)
    with opened(out) as snapshot:
        assert [result for result in checked(snapshot) if result.status in (Status.FAIL, Status.UNCHECKED)] == []
    return expected


def read(path: Path) -> pd.DataFrame:
    """A table as it was written; the numbers of the confusion matrix may look like integers."""
    table = compare.read(path)
    if "confusion" in path.name:
        table = table.astype(dict.fromkeys(table.columns[1:], "float64"))
    return table


def without_means(ours: pd.DataFrame, frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare what is a mean but for its last digits, and give back both tables without these columns."""
    means = [c for c in frame if c.endswith("_confidence") or (c in NAMES and "confusion" in name)]
    for column in means:
        assert ours[column].dtype == frame[column].dtype, (name, column)
        np.testing.assert_allclose(ours[column], frame[column], rtol=0, atol=CLOSE, err_msg=f"{name}, {column}")
    return ours.drop(columns=means), frame.drop(columns=means)


# --- made up: every rule in a few T-bars ------------------------------------------------------------------------------

A_TIE = (0.1, 0.4, 0.4, 0.1)
ALL_EQUAL = (0.25, 0.25, 0.25, 0.25)
TBARS = [
    *many(1, (ACH, 3), (GLU, 1), split="test"),
    *many(2, (ACH, 2), (A_TIE, 2), (GABA, 1)),
    *many(3, (GABA, 2), (GLU, 2), split="x"),  # a tie that the alphabet decides
    *many(4, (GLU, 2), (ACH, 2)),  # leaks
    Tbar(4, GLU, split="train"),
    *many(5, (UNKNOWN, 1), (NULL, 1), (None, 1)),
    *many(6, (GLU, 1), (None, 2)),  # nulls win
    *many(7, (None, 2)),
    *many(8, (ALL_EQUAL, 2), roi=None),
    *many(9, (GLU, 2), roi_post=None),
    *many(BIG, (GABA, 2), roi_post=OB, to=11),
    *many(10, (GLU, 1), (GABA, 1), split="validation"),
    Tbar(10, GLU, split="test", roi=OB, roi_post=OB),
]
TYPES: dict[int, str | None] = {
    1: "a",
    2: "a",
    3: "g",
    4: "g",
    5: None,
    6: "six",
    7: "seven",
    8: "a",
    BIG: "big",
    10: "u",
    11: "no T-bar",
    12: "no synapse",
    13: "a",  # no synapse: does not count as a cell of its type
    PARTNER: "u",
}
TRUTH = {"cell_type": ["a", "g", "u", "big", "no synapse"], "ground_truth": [ACH, GABA, "tyramine", GABA, GLU]}
EXPERIMENTS = {
    "type": ["g", "six", "no T-bar", "a", "elsewhere"],
    "consensusNt": [GLU, "histamine", "dopamine", None, GABA],
    "ntReference": ["X & Y, 2020", None, "Größe; 2021", "only a reference", "Z"],
    "otherNt": ["nitric oxide, sNPF", None, None, None, None],
    "otherNtReference": ["b", None, None, None, None],
}
LOW = {f"{NT}.min-body-presyn": 1, f"{NT}.min-celltype-presyn": 1}
KNOWN: dict[str, Any] = {"ground_truth": TRUTH, "experiments": EXPERIMENTS}
OVERRIDE = {f"{NT}.override-celltype-before-consensus": {ACH: "unclear", "unclear": "nothing", GLU: GABA}}
RENAMED = dict(
    zip(
        (f"nts_8.{name}" for name in NAMES), ("nt_GABA_prob", "nts.ach", "nt_Glut_prob_x", "nts_8.neither"), strict=True
    )
)
NEUPRINT = {"outputs.neuprint": {"export-neuprint-snapshot": True, "meta": META}}

CASES: dict[str, dict[str, Any]] = {
    "no ground truth": {},
    "ground truth": {"ground_truth": TRUTH},
    "ground truth, low thresholds": KNOWN | LOW,
    "body confidence": KNOWN | LOW | {f"{NT}.min-body-confidence": 0.6},
    "type confidence": KNOWN | LOW | {f"{NT}.min-celltype-confidence": 0.4},
    "nothing is confident enough": KNOWN | LOW | {f"{NT}.min-body-confidence": 1, f"{NT}.min-celltype-confidence": 1},
    "no threshold": KNOWN
    | {
        f"{NT}.{k}": 0
        for k in ("min-body-confidence", "min-celltype-confidence", "min-body-presyn", "min-celltype-presyn")
    },
    "four predictions": KNOWN | {f"{NT}.min-body-presyn": 4, f"{NT}.min-celltype-presyn": 8},
    "five predictions": KNOWN | {f"{NT}.min-body-presyn": 5, f"{NT}.min-celltype-presyn": 9},
    "other training": KNOWN | LOW | {f"{NT}.training-set-split-indicators": ["test"]},
    "no training": KNOWN | LOW | {f"{NT}.training-set-split-indicators": []},
    "override": KNOWN | LOW | OVERRIDE,
    "experiments only": {"experiments": EXPERIMENTS} | OVERRIDE,
    "one ROI": KNOWN | LOW | {f"{NT}.restrict-to-roi": {"roiset": "primary", "roi": ME}},
    "another ROI": KNOWN | LOW | {f"{NT}.restrict-to-roi": {"roiset": "primary", "roi": OB}},
    "any ROI": KNOWN | LOW | {f"{NT}.restrict-to-roi": {"roiset": "primary", "roi": ""}},
    "restricted export": KNOWN
    | LOW
    | {f"{EXPORT}.restrict-export": "primary", f"{EXPORT}.roi-sets": ["primary", "layer"]},
    "both restrictions": KNOWN
    | {f"{NT}.restrict-to-roi": {"roiset": "primary", "roi": OB}, f"{EXPORT}.restrict-export": "primary"},
    "ROI columns": {f"{EXPORT}.roi-sets": ["layer"]},
    "other names": KNOWN | LOW | {"predictions": predictions_of(TBARS).rename(columns=RENAMED)},
    "own translations": {
        "predictions": predictions_of(TBARS).rename(columns=RENAMED),
        f"{NT}.translate-names": {"ach": "acetylcholine", "x": "y"},
    },
    "off": {"ground_truth": TRUTH, f"{EXPORT}.export-neurotransmitters": False},
    "neuPrint only": {"ground_truth": TRUTH, f"{EXPORT}.export-neurotransmitters": False, **NEUPRINT},
    "no predictions": {f"{NT}.synister-feather": "", f"{EXPORT}.export-neurotransmitters": False},
    "no types": {"types": dict.fromkeys(TYPES)},
    "no types, ground truth": {"types": dict.fromkeys(TYPES), **KNOWN},
    "no annotations": {"types": None},
    "no annotations, ground truth": {"types": None, **KNOWN, **LOW},
    "body 0": {
        "tbars": [*TBARS, *many(0, (GLU, 3)), Tbar(1, to=0)],
        "inputs.synapses.permit-body-0": True,
        **LOW,
        **KNOWN,
    },
    "body 0 goes": {"tbars": [*TBARS, *many(0, (GLU, 3)), Tbar(1, to=0)], **LOW, **KNOWN},
}


@pytest.mark.parametrize("name", CASES)
def test_made_up_connectome(tmp_path: Path, name: str) -> None:
    settings = dict(CASES[name])
    assert_equal_to_oracle(write(tmp_path, settings.pop("tbars", TBARS), settings.pop("types", TYPES), **settings))


@pytest.mark.parametrize("truth", [{"ground_truth": TRUTH}, {}], ids=["ground truth", "no ground truth"])
def test_the_overview_of_reports_shows_how_good_predictions_with_ground_truth_are(tmp_path: Path, truth: Any) -> None:
    reports = {"outputs.connectivity-reports": [{"roiset": "primary", "reports": [{}]}]}
    assert run("-c", write(tmp_path, TBARS, TYPES, **truth, **reports)).returncode == 0

    page = (tmp_path / "out" / "reports" / "index.html").read_text()
    assert ('href="neurotransmitters/html/neurotransmitter-confusion-tiny.html"' in page) == bool(truth)
    assert (tmp_path / "out" / "reports" / "neurotransmitters").is_dir() == bool(truth)


@pytest.mark.parametrize("header", ["cell_type", "type", "mcns_type"])
@pytest.mark.parametrize("value", ["consensusNt", "consensus_nt", "ground_truth"])
def test_every_header_of_experiments(tmp_path: Path, header: str, value: str) -> None:
    names = {"type": header, "consensusNt": value}
    if value != "consensusNt":
        names |= {"ntReference": "nt_reference", "otherNt": "other_nt", "otherNtReference": "other_nt_reference"}
    experiments = {names.get(k, k): v for k, v in EXPERIMENTS.items()}
    if header == "mcns_type":
        del experiments[names.get("otherNt", "otherNt")]
    truth = {{"type": "cell_type"}.get(header, header): TRUTH["cell_type"], "ground_truth": TRUTH["ground_truth"]}
    assert_equal_to_oracle(write(tmp_path, TBARS, TYPES, experiments=experiments, ground_truth=truth, **LOW))


def test_experiments_say_nothing_where_they_have_gaps(tmp_path: Path) -> None:
    """A row without a cell type, and a type with its values in two rows."""
    experiments = {
        "mcns_type": [None, "a", "a", "g", "g"],
        "consensus_nt": [ACH, None, GLU, "histamine", None],
        "other_nt": ["x", "dopamine", None, None, None],
    }
    tables = assert_equal_to_oracle(write(tmp_path, TBARS, TYPES, experiments=experiments))
    bodies = tables["nt/body-neurotransmitters-tiny.feather"].set_index("body")
    assert bodies.loc[[1, 3], "consensus_nt"].to_list() == [GLU, "histamine"]
    assert bodies.loc[1, "other_nt"] == "dopamine"


@pytest.mark.parametrize("form", ["{}", "pre_{}", "{}_pre"])
@pytest.mark.parametrize("suffix", [".feather", ".parquet", ".csv"])
def test_every_form_of_predictions(tmp_path: Path, form: str, suffix: str) -> None:
    """Coordinates are in other units, and not whole."""
    table = predictions_of(TBARS)
    factors = {"x": 4.0, "y": 2.0, "z": 0.3}
    moved = {form.format(a): table[f"pre_{a}"] / f + (0.1 if a == "x" else 0) for a, f in factors.items()}
    table = table.drop(columns=[f"pre_{axis}" for axis in "xyz"]).assign(**moved)
    settings = KNOWN | LOW | {f"{NT}.rescale-coords": list(factors.values()), f"{NT}.synister-feather": f"nt{suffix}"}
    config = write(tmp_path, TBARS, TYPES, **settings)
    write_table({c: pd.array(table[c].to_numpy()) for c in table}, tmp_path / f"nt{suffix}", rows=7)
    assert_equal_to_oracle(config)


def test_one_factor_rescales_all_axes(tmp_path: Path) -> None:
    table = predictions_of(TBARS)
    halves = {f"pre_{axis}": table[f"pre_{axis}"] / 2 for axis in "xyz"}
    assert_equal_to_oracle(
        write(tmp_path, TBARS, TYPES, predictions=table.assign(**halves), **{f"{NT}.rescale-coords": 2})
    )


def test_splits_may_be_numbers(tmp_path: Path) -> None:
    table = predictions_of(TBARS)
    table["split"] = table["split"].map({"test": 1, "train": 2, "x": 3, "validation": 4}).astype("Int32")
    training = {f"{NT}.training-set-split-indicators": ["2", "4"]}
    assert_equal_to_oracle(write(tmp_path, TBARS, TYPES, predictions=table, **KNOWN, **LOW, **training))


def test_files_made_again_from_the_cache_are_the_same(tmp_path: Path) -> None:
    config = write(tmp_path, TBARS, TYPES, **KNOWN, **LOW)
    assert_equal_to_oracle(config)
    before = {k: v for k, v in tree(tmp_path / "out").items() if k.startswith("nt")}
    shutil.rmtree(tmp_path / "out" / "nt")
    assert_equal_to_oracle(config)
    assert {k: v for k, v in tree(tmp_path / "out").items() if k.startswith("nt")} == before


def test_a_changed_file_or_setting_changes_the_tables_and_changing_it_back_changes_them_back(tmp_path: Path) -> None:
    first = assert_equal_to_oracle(write(tmp_path, TBARS, TYPES, **KNOWN, **LOW))
    changes: list[dict[str, Any]] = [
        {"experiments": EXPERIMENTS | {"consensusNt": [GABA, None, None, ACH, None]}},
        {"ground_truth": TRUTH | {"ground_truth": [GLU, GABA, GABA, GABA, GLU]}},
        {"predictions": predictions_of(TBARS).iloc[:-3]},
        {"predictions": predictions_of(TBARS).assign(split="test")},  # no body has several splits
        {f"{NT}.min-body-confidence": 0.9},
    ]
    for change in changes:
        there = assert_equal_to_oracle(write(tmp_path, TBARS, TYPES, **(KNOWN | LOW | change)))
        name = "nt/body-neurotransmitters-tiny.feather"
        assert not there[name].equals(first[name])
    assert_equal_to_oracle(write(tmp_path, TBARS, TYPES, **KNOWN, **LOW))


# --- synthetic --------------------------------------------------------------------------------------------------------


def synthetic(folder: Path, shared: Path, psds: int, changes: dict[str, Any]) -> Path:
    """A generated data set and a config that exports neurotransmitters only; `changes` by dotted path."""
    script = shared / "tools" / "make_connectome.py"
    command = [sys.executable, str(script), "--psds", str(psds), "--out", str(folder), "--fake", "--seed", "11"]
    subprocess.run(command, check=True, capture_output=True)
    yaml = YAML()  # keeps the order of keys, which the order of ROI sets hangs on
    config = yaml.load(folder / "config.yaml")
    config["outputs"] = {
        "neurotransmitters": config["outputs"]["neurotransmitters"],
        "flat-connectome": {"export-connectome": False, "roi-set": "primary"},
    }
    config["inputs"].pop("elements")
    config["job-settings"]["output-dir"] = "out"
    for dotted, value in changes.items():
        *sections, key = dotted.split(".")
        node = config
        for section in sections:
            node = node[section]
        node[key] = value
    yaml.dump(config, folder / "nt.yaml")
    return folder / "nt.yaml"


def test_synthetic_connectome(tmp_path: Path, shared: Path) -> None:
    tables = assert_equal_to_oracle(synthetic(tmp_path, shared, 200_000, {}))
    bodies = tables["nt/body-neurotransmitters-synth-v1.feather"]
    assert {"unclear", "acetylcholine"} < set(bodies["predicted_nt"]) & set(bodies["celltype_predicted_nt"].dropna())


SYNTHETIC: dict[str, dict[str, Any]] = {
    "low thresholds": LOW | {f"{NT}.min-body-confidence": 0.3, f"{NT}.min-celltype-confidence": 0.7},
    "one ROI": LOW | {f"{NT}.restrict-to-roi": {"roiset": "shell", "roi": "OL(R)"}},
    "any layer, restricted export": {
        f"{NT}.restrict-to-roi": {"roiset": "layer", "roi": ""},
        f"{EXPORT}.restrict-export": "layer",
        f"{EXPORT}.roi-sets": ["shell", "layer", "primary"],
    },
    "body 0, no ground truth": {f"{NT}.ground-truth": "", "inputs.synapses.permit-body-0": True},
    "neither truth nor experiment": {f"{NT}.ground-truth": "", f"{NT}.experimental-groundtruth": ""},
}


@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_connectome_with_other_settings(tmp_path: Path, shared: Path, name: str) -> None:
    assert_equal_to_oracle(synthetic(tmp_path, shared, 20_000, SYNTHETIC[name]))


def test_threads_and_memory_do_not_change_a_byte(tmp_path: Path, shared: Path) -> None:
    trees = []
    for processes, limit in ((1, "512MB"), (4, "4GB")):
        job = {"job-settings.processes": processes, "job-settings.memory-limit": limit}
        config = synthetic(tmp_path / str(processes), shared, 20_000, LOW | job)
        finished = run("-c", config)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        trees.append({k: v for k, v in tree(config.parent / "out").items() if k.startswith("nt")})
    assert len(trees[0]) > 3
    assert trees[0] == trees[1]


def test_synthetic_connectome_with_ties_everywhere(tmp_path: Path, shared: Path) -> None:
    """Probabilities in steps of a third: most T-bars have two transmitters at the top, and some none at all."""
    config = synthetic(tmp_path, shared, 20_000, LOW)
    table = compare.read(tmp_path / "synister.feather")
    columns = [c for c in table if c.startswith("nts_")]
    coarse = (table[columns] * 3).round() / 3
    coarse[np.random.default_rng(3).random(coarse.shape) < 0.2] = np.nan
    coarse[::17] = np.nan
    shutil.move(tmp_path / "synister.feather", tmp_path / "before.feather")
    write_table(
        {c: pd.array(s.to_numpy()) for c, s in table.assign(**coarse).items()}, tmp_path / "synister.feather", 10_000
    )
    assert_equal_to_oracle(config)


# --- real -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["202506-hemibrain_gt_data.csv", "gt_data.csv"])
def test_published_experiments_and_the_full_hemibrain_mushroom_body(tmp_path: Path, shared: Path, name: str) -> None:
    """The T-bars, cell types and experiments are real, the predictions are made up: right in four of five cases."""
    data = shared / "data" / "hemibrain_mb"
    points, annotations = (compare.read(data / f"{table}.feather") for table in ("points", "annotations"))
    tbars = points.loc[points["kind"].astype(str) == "PreSyn", ["x", "y", "z", "body"]].reset_index(drop=True)
    rng = np.random.default_rng(5)
    types = tbars.pop("body").map(annotations.set_index("body")["type"].astype(object))
    right = {"KC": 1, "PN": 1, "APL": 0}
    true = np.array([next((i for k, i in right.items() if k in str(t)), 2) for t in types])
    predicted = np.where(rng.random(len(tbars)) < 0.8, true, rng.integers(0, len(NAMES), len(tbars)))
    scores = (rng.random((len(tbars), len(NAMES))) * 0.3).astype("float32")
    scores[np.arange(len(tbars)), predicted] += np.float32(0.5)
    columns = {f"nts_8.{n}": scores[:, i] for i, n in enumerate(NAMES)}
    split = pd.Series(np.where(rng.random(len(tbars)) < 0.0001, "train", "test"))
    write_table(
        {c: s.to_numpy() for c, s in tbars.assign(**columns, split=split).items()}, tmp_path / "nt.feather", 10**5
    )
    truth = str(shared / "data" / "nt" / name)
    transmitters = {"synister-feather": "nt.feather", "ground-truth": truth, "experimental-groundtruth": truth}
    synapses = {"synapse-points": str(data / "points.feather"), "synapse-partners": str(data / "partners.feather")}
    config = {
        "inputs": {
            "synapses": synapses,
            "annotations": {"body-annotations-table": str(data / "annotations.feather")},
            "rois": {"roi-sets": {"roi": {"source": "point-table"}}},
            "neurotransmitters": transmitters,
        },
        "outputs": {
            "flat-connectome": {"export-connectome": False, "roi-set": "roi"},
            "neurotransmitters": {"export-neurotransmitters": True, "roi-sets": ["roi"]},
        },
        "job-settings": {"snapshot-tag": "mb", "output-dir": "out"},
    }
    YAML(typ="safe").dump(config, tmp_path / "mb.yaml")
    tables = assert_equal_to_oracle(tmp_path / "mb.yaml")
    bodies = tables["nt/body-neurotransmitters-mb.feather"]
    assert bodies.groupby("cell_type")["consensus_nt"].first()["APL"] == GABA
    assert {"acetylcholine", "gaba", "unclear"} <= set(bodies["consensus_nt"])
