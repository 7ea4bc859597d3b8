"""Snapshots of datastacks that the double serves: the configuration, a run in this process, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import feather
from ruamel.yaml import YAML

from flyem_snapshot.pipeline.job import open_job
from flyem_snapshot.pipeline.registry import INPUTS, OUTPUTS
from flyem_snapshot.pipeline.runner import run_job
from tests.cave_double import CaveDouble, Datastack

STAGES = (*INPUTS, *OUTPUTS)
META = {"dataset": "minnie", "primaryRois": [], "roiHierarchy": {"brain": None}}
FLAT: dict[str, Any] = {"flat-connectome": {"export-connectome": True}, "tables": {"export-tables": False}}
"""The files without plots, which are what takes longest."""


def config(folder: Path, cave: dict[str, Any], **rest: Any) -> Path:
    """Write config.yaml in a folder; keywords are sections such as `outputs=`, or `synapses=` and `rois=` of inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {"cave": cave, **{name: rest.pop(name) for name in ("synapses", "rois", "annotations") if name in rest}}
    content = {
        "inputs": inputs,
        "outputs": rest.pop("outputs", FLAT),
        "job-settings": {"output-dir": "out", "processes": 2, **rest.pop("job", {})},
    }
    assert not rest
    path = folder / "config.yaml"
    YAML(typ="safe", pure=True).dump(content, path)
    return path


def live(double: CaveDouble, stack: Datastack, folder: Path, **changes: Any) -> dict[str, Any]:
    """The settings of a datastack on its server, with a token in a file that nobody else can read."""
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "token.json"
    token.touch(mode=0o600)
    token.write_text(json.dumps({"token": double.token}))
    own = {"datastack": stack.name, "server-address": double.url, "auth-token-file": "token.json"}
    return {**own, "version": "latest", **{name.replace("_", "-"): value for name, value in changes.items()}}


def snapshot(path: Path) -> Path:
    """Make the snapshot of a config file; returns the output directory."""
    job = open_job(path, STAGES)
    run_job(job)
    return job.root


def frame(out: Path, pattern: str) -> pd.DataFrame:
    """The one Feather file of that name (a glob pattern below the output directory), integers as they are."""
    (path,) = out.glob(pattern)
    table: pa.Table = feather.read_table(path)
    return table.to_pandas()


def report(out: Path) -> dict[str, Any]:
    """`cave-input.json`."""
    return json.loads((out / "cave-input.json").read_text())


def columns(rows: int, seed: int = 0, **given: Any) -> dict[str, Any]:
    """Columns of a synapse table as CAVE names them: ids 0, 3, 6, ..., bodies that differ in the last digit only."""
    dice = np.random.default_rng(seed)
    made: dict[str, Any] = {"id": 3 * np.arange(rows)}
    for side in ("pre", "post"):
        made |= {f"{side}_pt_position_{axis}": dice.integers(0, 1000, rows).astype(np.int32) for axis in "xyz"}
        made[f"{side}_pt_root_id"] = 864691134988869440 + dice.integers(0, 9, rows)
        made[f"{side}_pt_supervoxel_id"] = 109362238070465000 + dice.integers(0, 1 << 20, rows)
    return {**made, **given}
