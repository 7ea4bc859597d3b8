"""The synthetic connectome of the benchmarks: repeatable, and an input like any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import feather

from flyem_snapshot.cli.main import main
from tests.conftest import ROOT
from tests.whole_runs.test_outputs_equal_oracle import assert_equal_to_oracle

PSDS = 5_000
TABLES = ("points.feather", "partners.feather", "annotations.feather")


def make(folder: Path, seed: int, *options: str) -> Path:
    script = ROOT / "benchmarks" / "make_synapses.py"
    command = [sys.executable, str(script), "--psds", str(PSDS), "--seed", str(seed), "--out", str(folder), *options]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def connectome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("connectome"), seed=1)


def contents(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in TABLES]


def test_outputs_equal_the_oracle(connectome):
    assert_equal_to_oracle(connectome / "config.yaml")


def test_the_same_seed_gives_the_same_bytes(connectome, tmp_path):
    assert contents(make(tmp_path, seed=1)) == contents(connectome)


def test_another_seed_gives_another_connectome(connectome, tmp_path):
    assert not set(contents(make(tmp_path, seed=2))) & set(contents(connectome))


def test_it_has_as_many_psds_as_asked_for_each_at_a_voxel_of_its_own(connectome):
    points = feather.read_table(connectome / "points.feather").to_pandas()

    assert (points["kind"] == "PostSyn").sum() == PSDS
    assert points["point_id"].is_unique
    assert not points[["x", "y", "z"]].duplicated().any()


def test_nearly_every_tbar_has_probabilities_of_transmitters_if_they_are_asked_for(connectome, tmp_path):
    predictions = feather.read_table(make(tmp_path, 1, "--neurotransmitters") / "predictions.feather").to_pandas()
    points = feather.read_table(connectome / "points.feather").to_pandas()
    tbars = points[points["kind"] == "PreSyn"]

    merged = tbars.merge(predictions, on=["x", "y", "z"], validate="one_to_one")
    assert len(merged) == len(predictions)
    assert 0.9 < len(predictions) / len(tbars) < 1
    assert predictions.filter(like="nts_8.").sum(axis=1).between(0.999, 1.001).all()
    assert not (connectome / "predictions.feather").exists()
    assert main(["-c", str(tmp_path / "config.yaml"), "--check"]) == 0
