"""Every table of the connectivity reports equals, row for row, an independent computation in pandas."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest
from ruamel.yaml import YAML

from tests import tiny
from tests.oracle import compare, reports
from tests.oracle.load import load
from tests.running import run
from tests.tiny import ME, OB, ORIGIN

REPORTS = "outputs.connectivity-reports"
FLAT = "outputs.flat-connectome"
SETS = "inputs.rois.roi-sets"


def assert_equal_to_oracle(config: Path) -> None:
    """Run the program and the oracle on one config, and compare every table of the reports."""
    finished = run("-c", config)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    folder = config.parent / "out" / "reports"
    expected = reports.outputs(load(config))
    written = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.suffix in (".feather", ".csv")}
    assert written == set(expected)
    for name, frame in expected.items():
        ours = read(folder / name)
        assert list(ours) == list(frame), name
        compare.assert_frames_equal(ours, frame, name)


def read(path: Path) -> pd.DataFrame:
    """A table of the reports; in CSV all but names and the reports' index are floats, read to the last bit."""
    if path.suffix != ".csv":
        return compare.read(path)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    floats = [c for c in table if c not in ("name", "status", "report_index")]
    # Python's own conversion is exact, that of read_csv depends on the version.
    exact = {c: pd.Series(table[c].map(float), dtype="float64") for c in floats}
    return table.assign(**exact).astype({"report_index": "int64"} if "report_index" in table else {})


# --- tiny: a run takes seconds, so that one run makes many sets of reports --------------------------------------------


def some_reports(roiset: str) -> list[dict[str, Any]]:
    """Reports on everything, on one ROI and on two ROIs of a copy of `primary`."""
    me, other = f"{roiset} {ME}", f"{roiset} {OB}"
    return [{"rois": []}, {"rois": [other], "name": "the other"}, {"rois": [other, me], "name": "both of them"}]


def each_report(roiset: str) -> list[dict[str, Any]]:
    """Two more, of which `nowhere` has one T-bar and no PSD."""
    return [*some_reports(roiset), {"rois": [f"{roiset} {ME}"]}, {"rois": [f"{roiset} nowhere"], "name": "nowhere"}]


def write(folder: Path, sets: dict[str, dict[str, Any]], **overrides: Any) -> Path:
    """The tiny connectome with a copy of the set `primary` and reports on it under each name, by settings."""
    points = overrides.pop("points", tiny.points())
    names = points["primary"].astype(object).mask(points["point_id"] == ORIGIN + 200, "nowhere")  # B's T-bar
    columns = {roiset: (f"{roiset} " + names).astype("category") for roiset in sets}
    given = {
        FLAT: {"export-connectome": False, "roi-set": next(iter(sets))},
        SETS: {roiset: {"source": "point-table"} for roiset in sets},
        REPORTS: [{"roiset": roiset, "reports": some_reports(roiset), **own} for roiset, own in sets.items()],
    }
    return tiny.write(folder, points=points.assign(**columns), **(given | overrides))


def with_bodies(bodies: dict[int, int]) -> pd.DataFrame:
    """The tiny connectome's points with some on other bodies, by x."""
    points = tiny.points()
    moved = {np.uint64(ORIGIN + x): body for x, body in bodies.items()}
    return points.assign(body=[moved.get(i, b) for i, b in zip(points["point_id"], points["body"], strict=True)])


TWO_RULES: dict[str, dict[str, Any]] = {
    "both-ends": {"non-synaptic-bodies": "none"},
    "psd-decides": {"roi-rule": "post", "non-synaptic-bodies": "all"},
}
TINY: dict[str, tuple[dict[str, dict[str, Any]], dict[str, Any]]] = {
    "settings": (
        {
            "as-it-is": {"reports": each_report("as-it-is")},
            "both-ends": {"reports": each_report("both-ends"), "non-synaptic-bodies": "none"},
            "psd-decides": {"reports": each_report("psd-decides"), "roi-rule": "post"},
            "everybody": {"reports": each_report("everybody"), "non-synaptic-bodies": "all"},
            "three-ranks": {"stop-at-rank": 3},
            "three-ranks-of-all": {"stop-at-rank": 3, "non-synaptic-bodies": "all", "roi-rule": "post"},
            "no-rank": {"reports": [{}], "stop-at-rank": 0},
            "no-connection-table": {"reports": [{}], "write-connection-table": False},
            "groups": {"capture-summary-subsets": {"some of them": ["the other", "both of them"], "one": ["all"]}},
            "orphans-captured": {"reports": [{}], "capture-statuses": ["Orphan"]},
            "others-captured": {"capture-statuses": ["Orphan", "Leaves"]},
            "nothing-captured": {"reports": [{}], "capture-statuses": [], "stop-at-rank": 2.5},
            "one-by-one": {"reports": [{"name": "x"}, {"name": "y", "non-synaptic-bodies": "all"}]},
            "outside": {"reports": [{"rois": ["<unspecified>"], "name": "outside"}]},
            "nothing-there": {"reports": [{"rois": ["nothing-there nowhere"], "name": "nowhere"}]},
        },
        {},
    ),
    "body 0 and every confidence": (
        {
            **TWO_RULES,
            "captured": {"capture-statuses": ["Unimportant", "Traced"]},
            "fed-by-body-0-only": {"capture-statuses": ["Sensory Anchor"]},
        },
        {
            "points": with_bodies({105: tiny.B, 108: tiny.B, 701: tiny.C}),  # C has no input but from body 0
            "inputs.synapses.permit-body-0": True,
            "inputs.synapses.min-confidence": 0.0,
        },
    ),
    "no status": ({"as-it-is": {}}, {"annotations": tiny.annotations().drop(columns="status")}),
    "no annotations": (TWO_RULES, {"annotations": None, "inputs.annotations": tiny.DELETE}),
    "a single body": (TWO_RULES, {"points": tiny.points().assign(body=tiny.BIG)}),
    "equal statuses": (
        {"everybody": {"non-synaptic-bodies": "all"}},
        {"annotations": tiny.annotations().assign(status="Traced")},
    ),
    "statuses worse than none": (TWO_RULES, {"annotations": tiny.annotations().assign(status="Orphan")}),
}


@pytest.mark.parametrize("name", TINY)
def test_tiny_connectome(tmp_path: Path, name: str) -> None:
    sets, overrides = TINY[name]
    assert_equal_to_oracle(write(tmp_path, sets, **overrides))


def test_bodies_that_have_elements_only(tmp_path: Path) -> None:
    """One of them is annotated, in ME(R) only; another is not annotated at all."""
    soma = pd.DataFrame({"x": [1, 2, 3, 4], "y": 5, "z": 5, "body": [77, tiny.B, 18, 99]})
    names = pd.Series([ME, OB, None, ME], dtype=object)
    sets = {choice: {"non-synaptic-bodies": choice} for choice in ("element-presence", "none", "all")}
    soma = soma.assign(**{roiset: f"{roiset} " + names for roiset in sets})
    pa.feather.write_feather(pa.Table.from_pandas(soma, preserve_index=False), tmp_path / "soma.feather")
    lonely = tiny.annotations().iloc[:1].assign(body=77, status="RT Orphan")
    settings = {
        "annotations": pd.concat([tiny.annotations(), lonely]),
        "inputs.elements": {"soma": {"point-table": "soma.feather", "type": "soma"}},
    }
    assert_equal_to_oracle(write(tmp_path, sets, **settings))


# --- larger -----------------------------------------------------------------------------------------------------------


def run_with(source: Path, changes: dict[str, Any]) -> None:
    """Compare on a config beside the first one that has the reports as its only output."""
    yaml = YAML()  # keeps the order of keys, which the order of ROI sets hangs on
    config = yaml.load(source)
    flat = {"export-connectome": False, "roi-set": next(iter(config["inputs"]["rois"]["roi-sets"]))}
    config["outputs"] = {"flat-connectome": flat, **changes}
    config["inputs"].pop("neurotransmitters", None)
    config["job-settings"]["output-dir"] = "out"
    target = source.with_name("reports.yaml")
    yaml.dump(config, target)
    assert_equal_to_oracle(target)


def synthetic(folder: Path, shared: Path, psds: int) -> list[dict[str, Any]]:
    """A generated data set; the report sets of its config."""
    script = shared / "tools" / "make_connectome.py"
    command = [sys.executable, str(script), "--psds", str(psds), "--out", str(folder), "--fake", "--seed", "7"]
    subprocess.run(command, check=True, capture_output=True)
    return YAML(typ="safe").load(folder / "config.yaml")["outputs"]["connectivity-reports"]


def test_synthetic_connectome_with_every_report(tmp_path: Path, shared: Path) -> None:
    sets = synthetic(tmp_path, shared, 200_000)
    run_with(tmp_path / "config.yaml", {"connectivity-reports": sets})


@pytest.mark.parametrize(
    "settings",
    [
        {"roi-rule": "post", "non-synaptic-bodies": "all"},
        {"stop-at-rank": 100, "non-synaptic-bodies": "none", "capture-statuses": ["Anchor", "Traced", "", "Orphan"]},
    ],
    ids=", ".join,
)
def test_synthetic_connectome_with_other_settings(tmp_path: Path, shared: Path, settings: dict[str, Any]) -> None:
    sets = synthetic(tmp_path, shared, 20_000)
    sets[0]["reports"] = [spec for spec in sets[0]["reports"] if spec.get("rois") != ["LO(R)"]]
    sets[0]["capture-summary-subsets"].pop("optic")
    layers = {"roiset": "layer", "reports": [{"rois": ["FB_layer_01", "FB_layer_02"]}]}
    sets = [s | settings for s in (*sets, layers)]
    run_with(tmp_path / "config.yaml", {"connectivity-reports": sets})


def test_the_shipped_example(tmp_path: Path, root: Path) -> None:
    for path in (root / "examples" / "hemibrain-mb").glob("*.*"):
        if path.is_file():
            shutil.copy(path, tmp_path)
    rois = [{"rois": [roi]} for roi in ("CA(R)", "aL(R)", "a'L(R)", "gL(R)")]
    sets = [
        {"roiset": "roi", "reports": [{}, *rois], "capture-summary-subsets": {"lobes": ["a'L(R)", "aL(R)"]}},
        {"roiset": "lobes", "reports": [{"rois": ["vertical-lobe(R)"]}], "roi-rule": "post"},
    ]
    run_with(tmp_path / "config.yaml", {"connectivity-reports": sets})


def test_full_hemibrain_mushroom_body(tmp_path: Path, shared: Path) -> None:
    data = shared / "data" / "hemibrain_mb"
    synapses = {"synapse-points": str(data / "points.feather"), "synapse-partners": str(data / "partners.feather")}
    config = {
        "inputs": {
            "synapses": synapses,
            "annotations": {"body-annotations-table": str(data / "annotations.feather")},
            "rois": {"roi-sets": {"roi": {"source": "point-table"}}},
        },
        "job-settings": {"snapshot-tag": "mb"},
    }
    path = tmp_path / "mb.yaml"
    YAML(typ="safe").dump(config, path)
    reports = [{}, {"rois": ["CA(R)"]}, {"rois": ["aL(R)", "a'L(R)", "bL(R)", "b'L(R)", "gL(R)"], "name": "lobes"}]
    # The connections themselves are compared on the shipped part of these data.
    report_set = {"roiset": "roi", "reports": reports, "write-connection-table": False}
    run_with(path, {"connectivity-reports": [report_set]})
