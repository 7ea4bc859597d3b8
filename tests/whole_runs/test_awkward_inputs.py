"""Input that is unusual but right is taken as it is; input that is almost right is refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from pyarrow import feather
from ruamel.yaml import YAML

from tests import tiny
from tests.oracle import compare
from tests.running import run, run_snapshot

WEIGHTS = "flat-connectome/connectome-weights-tiny-minconf-0.5.feather"
POINTS = "flat-connectome/syn-points-tiny-minconf-0.5.feather"


def weights(config: Path) -> list[tuple[Any, ...]]:
    return list(compare.read(run_snapshot(config) / WEIGHTS).itertuples(index=False, name=None))


def settings(config: Path, change: Any) -> Path:
    """The config after `change(document)`."""
    yaml = YAML()
    document = yaml.load(config)
    change(document)
    yaml.dump(document, config)
    return config


@pytest.fixture
def expected(tmp_path: Path) -> list[tuple[Any, ...]]:
    (tmp_path / "plain").mkdir()
    return weights(tiny.write(tmp_path / "plain"))


def test_pandas_opens_every_feather_file_of_a_snapshot(tmp_path: Path) -> None:
    annotations = tiny.annotations()
    annotations["soma_position"] = [[1, 2, 3]] + [None] * (len(annotations) - 1)
    out = run_snapshot(tiny.write(tmp_path, annotations=annotations))
    files = [path for path in out.rglob("*.feather") if "cache" not in path.parts]
    assert len(files) >= 9
    for path in files:
        pd.read_feather(path)
    assert pd.read_feather(out / POINTS).index.name == "point_id"


def test_text_views_are_read_like_text(tmp_path: Path, expected: list[tuple[Any, ...]]) -> None:
    config = tiny.write(tmp_path)
    table = feather.read_table(tmp_path / "points.feather")
    views = [
        pa.field(f.name, pa.string_view())
        if isinstance(f.type, pa.DictionaryType) or pa.types.is_large_string(f.type)
        else f
        for f in table.schema
    ]
    columns = [
        (c.cast(pa.string()) if f.type == pa.string_view() else c).cast(f.type)
        for c, f in zip(table.columns, views, strict=True)
    ]
    assert pa.string_view() in [f.type for f in views]
    feather.write_feather(pa.table(columns, schema=pa.schema(views)), str(tmp_path / "points.feather"))
    assert weights(config) == expected


def test_roi_names_of_a_csv_may_look_like_numbers_and_come_late(
    tmp_path: Path, expected: list[tuple[Any, ...]]
) -> None:
    points = tiny.points()
    points["primary"] = points["primary"].astype(object).where(points["primary"].notna(), None)
    names = {name: str(number) for number, name in enumerate(points["primary"].dropna().unique())}
    points["primary"] = points["primary"].map(names)
    config = tiny.write(tmp_path, points=points, **{"outputs.flat-connectome.roi-set": "primary"})
    table = pa.Table.from_pandas(points, preserve_index=False)
    table = pa.table(
        {
            f.name: c.cast(pa.string()) if isinstance(f.type, pa.DictionaryType) else c
            for f, c in zip(table.schema, table.columns, strict=True)
        }
    )
    pacsv.write_csv(table, tmp_path / "points.csv")

    def change(document: Any) -> None:
        document["inputs"]["synapses"]["synapse-points"] = str(tmp_path / "points.csv")
        document["inputs"]["rois"] = {"roi-sets": {"primary": {"source": "point-table"}}}
        document["outputs"]["flat-connectome"]["roi-set"] = "primary"

    assert weights(settings(config, change)) == expected


def test_a_category_that_sql_cannot_name_becomes_plain_text(tmp_path: Path) -> None:
    points = tiny.points()
    points["label"] = pd.Categorical([f"p\0{i}" for i in range(len(points))])
    points["side"] = pd.Categorical(["L"] * len(points))
    written = feather.read_table(run_snapshot(tiny.write(tmp_path, points=points)) / POINTS)
    assert pa.types.is_string(written.schema.field("label").type)
    assert isinstance(written.schema.field("side").type, pa.DictionaryType)
    given = dict(zip(points["point_id"], points["label"], strict=True))
    assert written["label"].to_pylist() == [given[point] for point in written["point_id"].to_pylist()]


def test_a_parent_set_without_parent_rois_changes_nothing(tmp_path: Path, expected: list[tuple[Any, ...]]) -> None:
    def change(document: Any) -> None:
        sets = document["inputs"]["rois"]["roi-sets"]
        first, second = list(sets)[:2]
        sets[second].pop("parent-rois", None)
        sets[second]["parent-roiset"] = first
        document["inputs"]["synapses"]["roi-set-names"] = [second]
        document["outputs"]["flat-connectome"]["roi-set"] = second

    assert weights(settings(tiny.write(tmp_path), change)) == expected


REFUSED = {
    "a given compartment in another spelling": (
        {"partners": tiny.partners().assign(Compartment_Pre="axon", Compartment_Post="axon")},
        1,
        "column 'Compartment_Pre' differs from 'compartment_pre' only in upper and lower case",
    ),
    "a supervoxel above 2^63": (
        {"points": tiny.points().assign(sv=np.uint64(2**63 + 5))},
        1,
        "column 'sv': is above 2^63 - 1",
    ),
    "a password in the bucket": (
        {"outputs.flat-connectome.gcs-bucket-dir": "ftp://me:hunter2@localhost/x"},
        2,
        "must not hold a user, password or token",
    ),
    "an element table that no output reads, and that is not there": (
        {"inputs.elements": {"mito": {"point-table": "nope.feather", "type": "mito"}}},
        2,
        "nope.feather",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_almost_right_input_is_refused(tmp_path: Path, name: str) -> None:
    overrides, code, words = REFUSED[name]
    finished = run("-c", tiny.write(tmp_path, **overrides))
    assert (finished.returncode, finished.stderr.count("flyem-snapshot: ")) == (code, 1), finished.stderr
    assert words in finished.stderr
    assert "hint: " in finished.stderr
    assert "hunter2" not in finished.stdout + finished.stderr


def test_a_template_that_fails_for_a_label_is_refused(tmp_path: Path) -> None:
    points = tiny.points()
    points["column_label"] = np.arange(len(points), dtype=np.int32)

    def change(document: Any) -> None:
        document["inputs"]["rois"] = {"roi-sets": {"column": {"source": "point-table", "rois": "C{x // (x - 3)}"}}}
        document["outputs"]["flat-connectome"]["roi-set"] = "column"

    finished = run("-c", settings(tiny.write(tmp_path, points=points), change))
    assert finished.returncode == 1, finished.stderr
    assert "the name template of roi-set 'column' fails" in finished.stderr
    assert "column 'column_label'" in finished.stderr
