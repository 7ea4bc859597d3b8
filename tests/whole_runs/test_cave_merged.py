"""T-bars that connections share, through every file of a snapshot; and what makes a snapshot of files run again."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flyem_snapshot.verify.checks import Status
from flyem_snapshot.verify.run import checked
from flyem_snapshot.verify.snapshot import opened
from tests.cave_runs import META, columns, config, frame, report, snapshot
from tests.writing import write_table

ROWS = 3000
OUTPUTS = {
    "flat-connectome": {"export-connectome": True},
    "neuprint": {"export-neuprint-snapshot": True, "meta": META},
    "tables": {"export-tables": False},
}


def prepared(folder: Path, rows: dict[str, object], **cave: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_table(rows, folder / "synapses.feather", rows=500)
    static = {"preset": "microns", "tables": {"synapses": {"file": "synapses.feather"}}}
    return config(folder, {"static": static, **cave}, outputs=OUTPUTS, job={"snapshot-tag": "v1"})


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    """Connections that begin at one of 700 places, each of which is on one body and in one supervoxel."""
    place = np.random.default_rng(4).integers(0, 700, ROWS)
    made = columns(ROWS, seed=5, pre_pt_root_id=864691134988869440 + place % 9, pre_pt_supervoxel_id=10**17 + place)
    for axis, factor in (("x", 3), ("y", 5), ("z", 7)):
        made[f"pre_pt_position_{axis}"] = place * factor
    return made


def test_counts_of_tbars_and_connections_differ_and_everything_agrees(rows, tmp_path):
    out = snapshot(prepared(tmp_path, rows, **{"merge-presyn": "exact"}))

    table = pd.DataFrame({"id": rows["id"], "place": rows["pre_pt_supervoxel_id"], "pre": rows["pre_pt_root_id"]})
    table["tbar"] = table.groupby("place")["id"].transform("min")
    points = frame(out, "flat-connectome/syn-points-*")
    assert (points["kind"] == "PreSyn").sum() == table["place"].nunique()
    partners = frame(out, "flat-connectome/syn-partners-*-0.0.feather")
    np.testing.assert_array_equal(partners["pre_id"], 2 * table["tbar"])
    np.testing.assert_array_equal(partners["x_pre"], rows["pre_pt_position_x"])
    segments = {}
    for path in (out / "neuprint/Neuprint_Neurons").glob("*.csv"):
        with path.open(newline="") as file:
            segments |= {int(row["bodyId:long"]): row for row in csv.DictReader(file)}
    for body, own in table.groupby("pre"):
        found = segments[body]
        assert int(found["pre:int"]) == own["place"].nunique()
        assert int(found["downstream:int"]) == len(own)
    assert report(out)["counts"]["connections whose T-bar is that of another"] == ROWS - table["place"].nunique()
    with opened(out) as finished:
        assert [r for r in checked(finished) if r.status in (Status.FAIL, Status.UNCHECKED)] == []


def actions(out: Path) -> dict[str, str]:
    stages = json.loads((out / "run-summary.json").read_text())["stages"].items()
    return {name: stage["action"] for name, stage in stages if stage["action"] != "skip"}


def test_a_snapshot_of_files_runs_again_when_a_file_or_a_setting_changes(rows, tmp_path):
    path = prepared(tmp_path, rows)
    out = snapshot(path)
    before = {p: p.read_bytes() for p in out.rglob("*.feather")}
    snapshot(path)
    assert set(actions(out).values()) == {"reuse"}

    prepared(tmp_path, rows, **{"merge-presyn": 100})
    snapshot(path)
    assert actions(out)["inputs.cave"] == "run"

    snapshot(prepared(tmp_path, {**rows, "post_pt_root_id": rows["post_pt_root_id"] + 1}))
    assert {p: p.read_bytes() for p in out.rglob("*.feather")} != before

    snapshot(prepared(tmp_path, rows))
    assert {p: p.read_bytes() for p in out.rglob("*.feather")} == before, "as the first time"


def test_connections_without_a_score_pass_the_checks(tmp_path):
    score = np.where(np.arange(60) < 20, np.nan, 100.0)
    confidence = {"column": "score", "one": 255}

    out = snapshot(prepared(tmp_path, columns(60, score=score), confidence=confidence))

    with opened(out) as finished:
        assert [r for r in checked(finished) if r.status in (Status.FAIL, Status.UNCHECKED)] == []


def test_a_wrong_upstream_is_found_beside_connections_without_a_score(tmp_path):
    score = np.where(np.arange(60) < 2, np.nan, 100.0)
    out = snapshot(prepared(tmp_path, columns(60, score=score), confidence={"column": "score", "one": 255}))
    for path in (out / "neuprint/Neuprint_Neurons").glob("*.csv"):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            row["upstream:int"] = str(int(row["upstream:int"]) + 1)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    with opened(out) as finished:
        assert "segments/incoming" in [r.name for r in checked(finished) if r.status is Status.FAIL]
