"""Configurations of the shipped example, of the whole collection it was taken from, and of a synthetic connectome."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "hemibrain-mb"


def example(folder: Path) -> Path:
    """A copy of the shipped example as it is; returns its config.yaml."""
    for file in EXAMPLE.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    return folder / "config.yaml"


def collection(folder: Path, shared: Path) -> Path:
    """The example's settings on the whole collection; returns config.yaml."""
    config = example(folder)
    data = shared / "data" / "hemibrain_mb"
    points = pd.read_feather(data / "points.feather").drop(columns="src", errors="ignore")
    points.to_feather(folder / "points.feather")
    for name in ("partners", "annotations"):
        shutil.copy(data / f"{name}.feather", folder)
    rois = sorted(points["roi"].dropna().astype(str).unique())
    meta = _load(folder / "neuprint-meta.yaml")
    meta |= {"primaryRois": rois, "roiHierarchy": {"hemibrain": ["vertical-lobe(R)", "medial-lobe(R)", *rois]}}
    meta |= {"overviewRois": rois, "roiDescriptions": {}, "excludeFromOverview": [], "nonHierarchicalROIs": []}
    (folder / "neuprint-meta.yaml").write_text(json.dumps(meta))
    return config


def synthetic(folder: Path, shared: Path, psds: int) -> Path:
    """A made connectome of that many PSDs, with elements; returns a config.yaml without what is no part of neuPrint."""
    script = shared / "tools" / "make_connectome.py"
    make = [sys.executable, str(script), "--psds", str(psds), "--out", str(folder), "--seed", "5"]
    subprocess.run(make, check=True, capture_output=True)
    config = _load(folder / "config.yaml")
    config["inputs"].pop("neurotransmitters")
    for output in ("neurotransmitters", "connectivity-reports"):
        config["outputs"].pop(output)
    config["job-settings"]["output-dir"] = "out"
    path = folder / "neuprint.yaml"
    path.write_text(json.dumps(config))
    # Columns of neurotransmitters do not exist without them.
    meta = _load(folder / "neuprint-meta.yaml")
    meta["neuronColumnsOrdered"] = [c for c in meta["neuronColumnsOrdered"] if c["id"] != "consensusNt"]
    (folder / "neuprint-meta.yaml").write_text(json.dumps(meta))
    return path


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(path)
    return loaded
