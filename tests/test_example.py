"""The shipped example, run as a user runs it; what the documentation says of its results is true."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "hemibrain-mb"
INPUTS = ("config.yaml", "neuprint-meta.yaml", "points.feather", "partners.feather", "annotations.feather")
TAG = "hemibrain-mb-minconf-0.4"


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """The output directory of a run on a copy of the example."""
    folder = tmp_path_factory.mktemp("example")
    for name in INPUTS:
        shutil.copy(EXAMPLE / name, folder)
    command = [sys.executable, "-m", "flyem_snapshot.cli.main", "-c", str(folder / "config.yaml")]
    subprocess.run(command, check=True)
    return folder / "output"


def test_weights_count_the_confident_connections_of_each_pair(output):
    points = pd.read_feather(EXAMPLE / "points.feather").set_index("point_id")
    confident = points[points["conf"] >= 0.4]
    partners = pd.read_feather(EXAMPLE / "partners.feather")
    ends = [partners[side].map(confident["body"]) for side in ("pre_id", "post_id")]
    kept = ends[0].notna() & ends[1].notna()
    expected = Counter(zip(ends[0][kept].astype(int), ends[1][kept].astype(int), strict=True))

    weights = pd.read_feather(output / "flat-connectome" / f"connectome-weights-{TAG}.feather")
    assert (
        dict(zip(zip(weights["body_pre"], weights["body_post"], strict=True), weights["weight"], strict=True))
        == expected
    )
    assert weights["weight"].sum() == 82_151


def test_a_union_of_regions_has_the_points_of_its_parts(output):
    points = pd.read_feather(output / "flat-connectome" / f"syn-points-{TAG}.feather")
    union = (
        points["roi"]
        .astype(str)
        .map(
            {
                "aL(R)": "vertical-lobe(R)",
                "a'L(R)": "vertical-lobe(R)",
                "bL(R)": "medial-lobe(R)",
                "b'L(R)": "medial-lobe(R)",
                "gL(R)": "medial-lobe(R)",
            }
        )
    )
    assert (points["lobes"].astype(str) == union.fillna("<unspecified>")).all()


def test_pieces_without_a_status_are_missing_from_the_traced_tables_only(output):
    stats = pd.read_feather(output / "flat-connectome" / f"body-stats-{TAG}.feather").set_index("body")
    traced = pd.read_feather(output / "flat-connectome" / f"connectome-weights-{TAG}-traced-only.feather")

    assert (stats["status_fine"] == "").sum() == 79
    assert set(stats.loc[traced["body_pre"], "status_fine"]) == {"Traced"}


def test_the_readme_shows_what_the_glance_prints(output):
    glance = [sys.executable, str(ROOT / "examples" / "glance.py"), str(output)]
    printed = subprocess.run(glance, check=True, capture_output=True, text=True).stdout
    shown = re.findall(r"<!-- glance -->\n\n```\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)

    assert shown
    for block in shown:
        assert block in printed


def test_every_column_is_in_the_data_dictionary(output):
    described = (ROOT / "docs" / "flat-connectome.md").read_text()
    described = set(re.findall(r"`([^`]+)`", described))
    own = {"roi", "roi_label", "roi_post", "lobes", "lobes_label"}  # the example's ROI sets
    columns = {
        column
        for path in (output / "flat-connectome").glob("*.feather")
        if not path.name.startswith("body-annotations")
        for column in feather.read_table(path).column_names
    }
    assert columns - own <= described


def test_categories_have_signed_indices_which_every_version_of_pandas_reads(output):
    schemas = {path.name: feather.read_table(path).schema for path in output.glob("*/*.feather")}
    kinds = {(file, field.name): field.type for file, schema in schemas.items() for field in schema}
    indices = {place: kind.index_type for place, kind in kinds.items() if pa.types.is_dictionary(kind)}

    assert indices
    assert not [place for place, kind in indices.items() if not pa.types.is_signed_integer(kind)]


def test_a_second_run_reuses_everything(output):
    files = {path: path.stat().st_mtime_ns for path in output.glob("*/*.feather")}
    command = [sys.executable, "-m", "flyem_snapshot.cli.main", "-c", str(output.parent / "config.yaml")]
    subprocess.run(command, check=True)

    assert {path: path.stat().st_mtime_ns for path in output.glob("*/*.feather")} == files
