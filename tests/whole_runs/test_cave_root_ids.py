"""The 139,255 root ids of FlyWire, all above 2^53, reach every file of a snapshot to the last digit."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from flyem_snapshot.connectome.segment_properties import properties_text, segment_properties
from flyem_snapshot.tables.bodies import frame_from_arrow
from tests.cave_runs import config, frame, snapshot
from tests.writing import write_table

META = {"dataset": "flywire", "tag": "v783", "primaryRois": [], "roiHierarchy": {"brain": None}}


@pytest.fixture(scope="module")
def made(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A snapshot in which each neuron has one synapse onto the next, from files as FlyWire publishes them."""
    folder = tmp_path_factory.mktemp("flywire")
    neurons = feather.read_table(shared / "data" / "flywire783" / "annotations.feather")
    bodies = neurons["body"].to_numpy()
    assert len(bodies) == 139_255
    assert bodies.min() > 2**53
    rows = len(bodies)
    place = np.arange(rows, dtype=np.float64)
    synapses = {"id": np.arange(rows) + 10, "pre_pt_root_id": bodies, "post_pt_root_id": np.roll(bodies, -1)}
    synapses |= {f"{side}_pt_position_{axis}": place * 16 for side in ("pre", "post") for axis in "xyz"}
    synapses |= {"cleft_score": np.full(rows, 150), "neuropil": ["ME_R"] * rows}
    write_table(synapses, folder / "synapses.feather", rows=20_000)
    write_table(neurons.append_column("id", pa.array(np.arange(rows))), folder / "neurons.feather", rows=20_000)
    tables = {
        "synapses": {"file": "synapses.feather"},
        "neurons": {"file": "neurons.feather", "columns": {"pt_root_id": "body"}},
    }
    cave = {
        "static": {"preset": "flywire", "tables": tables},
        "annotations": [{"table": "neurons", "columns": {"type": "type", "superclass": "superclass"}}],
    }
    outputs = {
        "flat-connectome": {"export-connectome": True},
        "neuprint": {"export-neuprint-snapshot": True, "meta": META},
        "tables": {"export-tables": False},
    }
    out = snapshot(config(folder, cave, outputs=outputs, job={"snapshot-tag": "v783"}))
    return SimpleNamespace(out=out, bodies=bodies, neurons=neurons)


def ids_of(paths: list[Path], column: str) -> list[str]:
    """A column of CSV files, as text."""
    found = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            place = next(reader).index(column)
            found += [row[place] for row in reader]
    return found


def test_feather(made):
    points = frame(made.out, "flat-connectome/syn-points-*")
    np.testing.assert_array_equal(points["body"].to_numpy()[0::2], made.bodies)
    np.testing.assert_array_equal(points["body"].to_numpy()[1::2], np.roll(made.bodies, -1))
    assert points["body"].dtype == "int64"
    partners = frame(made.out, "flat-connectome/syn-partners-*-0.0.feather")
    np.testing.assert_array_equal(partners["body_pre"], made.bodies)
    weights = frame(made.out, "flat-connectome/connectome-weights-*-0.0.feather")
    assert set(weights["body_pre"]) == set(weights["body_post"]) == set(made.bodies)
    annotations = frame(made.out, "flat-connectome/body-annotations-*")
    np.testing.assert_array_equal(annotations["bodyId"], np.sort(made.bodies))
    stats = frame(made.out, "flat-connectome/body-stats-*")
    assert set(stats.get("body", stats.index)) == set(made.bodies)


def test_csv_for_the_database(made):
    neurons = sorted((made.out / "neuprint/Neuprint_Neurons").glob("*.csv"))
    expected = {str(body) for body in made.bodies.tolist()}

    assert set(ids_of(neurons, ":ID(Body-ID)")) == set(ids_of(neurons, "bodyId:long")) == expected
    synapses = sorted((made.out / "neuprint/Neuprint_Synapses").glob("*.csv"))
    assert set(ids_of(synapses, "bodyId:long")) == expected
    edges = [made.out / "neuprint/Neuprint_Neuron_Connections.csv"]
    following = dict(zip(map(str, made.bodies.tolist()), map(str, np.roll(made.bodies, -1).tolist()), strict=True))
    found = dict(zip(ids_of(edges, ":START_ID(Body-ID)"), ids_of(edges, ":END_ID(Body-ID)"), strict=True))
    assert found == following
    sets = ids_of([made.out / "neuprint/Neuprint_SynapseSet.csv"], ":ID(SynSet-ID)")
    assert {tuple(name.split("_")[:2]) for name in sets} == set(following.items())


def test_the_types_are_those_of_their_neurons(made):
    annotations = frame(made.out, "flat-connectome/body-annotations-*").set_index("bodyId")

    types = dict(zip(made.bodies.tolist(), made.neurons["type"].to_pylist(), strict=True))
    found = {body: name if isinstance(name, str) else None for body, name in annotations["type"].items()}
    assert found == types


def test_json(made):
    stored = feather.read_table(made.out / "cache/inputs-annotations/annotations.feather")
    bodies = frame(made.out, "neuprint/Neuprint_Neurons.feather")
    column = next(name for name in bodies if name.startswith("bodyId") or name == "body")
    text = properties_text(segment_properties(frame_from_arrow(stored), bodies[column].tolist()))

    ids = json.loads(text)["inline"]["ids"]
    assert all(isinstance(body, str) for body in ids), "JavaScript would round numbers"
    assert sorted(map(int, ids)) == sorted(made.bodies.tolist())


def test_positions_in_nanometers_become_voxels(made):
    points = frame(made.out, "flat-connectome/syn-points-*")

    place = 16 * np.arange(len(made.bodies))
    np.testing.assert_array_equal(points["x"].to_numpy()[0::2], place // 4)
    np.testing.assert_array_equal(points["z"].to_numpy()[1::2], place // 40)
    assert points["x"].max() > 2**19, "beyond what 21 bits with a sign would hold in nanometers"
