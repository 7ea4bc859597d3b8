"""A real piece of a connectome: 1,000 synapses of minnie65 (see tests/data/cave/README.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import feather

from tests.cave_double.datastacks import Datastack
from tests.cave_double.graph import FIRST_ROOT
from tests.cave_double.server import CaveDouble
from tests.cave_double.synthetic import load_rows

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "cave" / "minnie-synapses.feather"

BODIES = 40


def real_rows() -> pa.Table:
    """Ids, positions (pre, post and centre; three columns each), supervoxels and sizes."""
    return feather.read_table(SAMPLE)


def sample_datastack(cave: CaveDouble, name: str = "minnie65_phase3_v0", volume: str = "minnie65_phase3") -> Datastack:
    """A datastack with the real synapses as `synapses`, frozen once.

    Bodies are ours: a supervoxel belongs to body number (chunk mod 40), and has a root above 2^53.
    """
    stack = cave.new_datastack(name, volume, graph=f"{volume}_graph", synapse_table="synapses")
    rows = real_rows()
    for side in ("pre_pt", "post_pt"):
        supervoxels = rows[f"{side}_supervoxel_id"].to_numpy().astype(np.uint64)
        bodies = (supervoxels >> np.uint64(36)) % np.uint64(BODIES)
        stack.graph.load(supervoxels, np.uint64(FIRST_ROOT) + bodies)
    load_rows(stack, "synapses", "synapse", rows, voxel_resolution=(4.0, 4.0, 40.0), description="real synapses")
    stack.freeze()
    return stack
