"""Runs of a `LiveConnectome`: in this process, which is quick, with what they leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import feather

from flyem_snapshot.pipeline.job import open_job
from flyem_snapshot.pipeline.registry import INPUTS, OUTPUTS
from flyem_snapshot.pipeline.runner import run_job
from flyem_snapshot.sources.dvid import frozen
from tests.live_connectome import LiveConnectome, write_config
from tests.live_truth import mito

STAGES = (*INPUTS, *OUTPUTS)
PLAIN: dict[str, Any] = {
    "outputs.flat-connectome": {"export-connectome": True, "roi-set": "primary"},
    "outputs.tables": {"export-mapping": True},
    "inputs.synapses.permit-body-0": True,
    "job-settings": {"output-dir": "out", "processes": 4},
}
"""What most tests want: points, bodies, sizes and mapping, quickly."""


def prepare(live: LiveConnectome, uuid: str, folder: Path, **changes: Any) -> Path:
    """Write the synapses (without bodies), the elements and the configuration; returns the latter's path."""
    live.write_synapses(folder)
    feather.write_feather(mito(live), str(folder / "mito.feather"))
    elements = {"inputs.elements.mito": {"point-table": "mito.feather"}}
    return write_config(folder, live.config(uuid, **elements, **{**PLAIN, **changes}))


def snapshot(config: Path) -> Path:
    """Make the snapshot; returns the output directory.

    The double logs an edit at once unless a test makes it late, so the waits for a quiet log are short.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen, "QUIET", 0.02)
        job = open_job(config, STAGES)
        run_job(job)
    return job.root


def summary(out: Path) -> dict[str, Any]:
    """`run-summary.json`."""
    return json.loads((out / "run-summary.json").read_text())


def actions(out: Path) -> dict[str, str]:
    """What was done with each stage of the config in the last run."""
    stages = summary(out)["stages"].items()
    return {name: stage["action"] for name, stage in stages if stage["action"] != "skip"}


def table(out: Path, pattern: str) -> pa.Table:
    """The one Feather file of that name (a glob pattern below the output directory)."""
    (path,) = out.glob(pattern)
    return feather.read_table(path)


def pairs(out: Path, pattern: str) -> dict[Any, Any]:
    """The first two columns of a Feather file."""
    found = table(out, pattern)
    return dict(zip(found.column(0).to_pylist(), found.column(1).to_pylist(), strict=True))


def contents(out: Path, tag: str = "") -> dict[str, Any]:
    """Every file of a snapshot by relative path: Feather as tables, the rest as bytes.

    Left out are caches and what describes the run.  The tag is taken out of names and texts.
    """
    files = {}
    left_out = {"cache", "run-summary.json", "MANIFEST.json", "final-config.yaml"}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        relative = path.relative_to(out)
        if relative.parts[0] not in left_out:
            name = str(relative).replace(tag, "TAG") if tag else str(relative)
            content = feather.read_table(path) if path.suffix == ".feather" else path.read_bytes()
            files[name] = content
    return files


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names of files that only one has, or that differ; order of rows and columns counts."""
    return [name for name in sorted(one.keys() | other.keys()) if not _equal(one.get(name), other.get(name))]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, pa.Table) and isinstance(other, pa.Table):
        return one.equals(other)
    return bool(one == other)
