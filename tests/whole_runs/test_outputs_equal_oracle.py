"""Every file of a run equals, row for row, an independent computation in pandas."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import tiny
from tests.oracle import compare, flat
from tests.oracle.load import load
from tests.running import run_snapshot

STAGES = {
    "inputs": {"synapses", "elements", "annotations", "rois", "body-sizes"},
    "outputs": {"flat-connectome", "tables"},
}


def assert_equal_to_oracle(config: Path) -> None:
    """Run the program and the oracle on one config, and compare every file."""
    out = run_snapshot(config)
    inputs = load(config)
    expected = flat.outputs(inputs)
    written = {str(p.relative_to(out)) for p in out.rglob("*") if p.parent.name in ("flat-connectome", "tables")}
    assert written == {flat.file_name(key, inputs.config) for key in expected}
    for key, frame in expected.items():
        ours = compare.read(out / flat.file_name(key, inputs.config))
        compare.assert_frames_equal(ours, frame, key)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"outputs.flat-connectome.restrict-connectivity-to-roiset": "primary"},
        {"inputs.synapses.min-confidence": 0.0},
        {"inputs.synapses.permit-body-0": True},
        {"inputs.synapses.compartment-column": ""},
        {"inputs.synapses.zone": "brain"},
        {"inputs.rois": tiny.DELETE, "outputs.flat-connectome.roi-set": tiny.DELETE},
        {"inputs.annotations": tiny.DELETE, "annotations": None},
    ],
    ids=lambda settings: ", ".join(settings) or "as it is",
)
def test_tiny_connectome(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert_equal_to_oracle(tiny.write(tmp_path, **settings))


@pytest.mark.parametrize("psds", [1_000, 1_000_000])
def test_synthetic_connectome_with_every_feature(tmp_path: Path, shared: Path, psds: int) -> None:
    assert_equal_to_oracle(synthetic(tmp_path, shared, psds))


def test_synthetic_connectome_restricted_to_a_union(tmp_path: Path, shared: Path) -> None:
    config = synthetic(
        tmp_path, shared, 20_000, {"flat-connectome": {"restrict-connectivity-to-roiset": "shell", "roi-set": "layer"}}
    )
    assert_equal_to_oracle(config)


def synthetic(folder: Path, shared: Path, psds: int, outputs: dict[str, Any] | None = None) -> Path:
    """A generated data set and its config, without the sections of stages that do not exist yet."""
    script = shared / "tools" / "make_connectome.py"
    command = [sys.executable, str(script), "--psds", str(psds), "--out", str(folder), "--fake", "--seed", "7"]
    subprocess.run(command, check=True, capture_output=True)
    yaml = YAML(typ="safe")
    config = yaml.load(folder / "config.yaml")
    for room, stages in STAGES.items():
        config[room] = {name: section for name, section in config[room].items() if name in stages}
    config["outputs"] |= outputs or {}
    config["job-settings"]["output-dir"] = "out"
    path = folder / "flat.yaml"
    yaml.dump(config, path)
    return path


def test_full_hemibrain_mushroom_body(tmp_path: Path, shared: Path) -> None:
    config = hemibrain(tmp_path, shared)
    assert_equal_to_oracle(config)
    out = tmp_path / "out" / "flat-connectome"
    partners = compare.read(out / "syn-partners-mb-minconf-0.0.feather")
    ours = partners.astype({"roi_post": "str"}).value_counts(["body_pre", "body_post", "roi_post"])
    edges = compare.read(shared / "data" / "hemibrain_mb" / "edges.feather").fillna({"roi": "<unspecified>"})
    theirs = edges.set_index(["body_pre", "body_post", "roi"])["weight"]
    assert len(theirs) == 64_316
    assert ours.to_dict() == theirs.to_dict()


def hemibrain(folder: Path, shared: Path) -> Path:
    """The whole mushroom body data set; its ROI column is called `roi`."""
    data = shared / "data" / "hemibrain_mb"
    config = {
        "inputs": {
            "synapses": {
                "synapse-points": str(data / "points.feather"),
                "synapse-partners": str(data / "partners.feather"),
            },
            "annotations": {"body-annotations-table": str(data / "annotations.feather")},
            "rois": {"roi-sets": {"roi": {"source": "point-table"}}},
        },
        "outputs": {"flat-connectome": {"roi-set": "roi"}},
        "job-settings": {"snapshot-tag": "mb", "output-dir": "out"},
    }
    path = folder / "mb.yaml"
    YAML(typ="safe").dump(config, path)
    return path
