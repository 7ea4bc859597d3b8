"""Datastacks of any size, made up or from rows that are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.cave_double.datastacks import Datastack
from tests.cave_double.graph import FIRST_ROOT
from tests.cave_double.schemas import schemas
from tests.cave_double.server import CaveDouble
from tests.cave_double.tables import LiveTable

SUPERVOXELS_A_BODY = 4
TYPES = ("23P", "4P", "5P-IT", "BC", "MC", "BPC", "NGC", "astrocyte")
NEUROPILS = ("ME_R", "LO_R", "LOP_R", "AME_R", "MB_CA_R")
TRANSMITTERS = ("gaba", "ach", "glut", "oct", "ser", "da")


def load_rows(stack: Datastack, name: str, schema: str, rows: pa.Table, **metadata: Any) -> LiveTable:
    """Put given rows into a new table of a datastack's volume.

    Positions are three columns (`pt_position_x`, ...) or one of lists.  Root ids, where given, go into the
    chunkedgraph as the roots of the supervoxels beside them, if it does not know these yet; from then on roots come
    from there.
    """
    rows = with_split_positions(rows)
    for point in schemas()[schema].bound:
        if {f"{point}_root_id", f"{point}_supervoxel_id"} <= set(rows.column_names):
            known = rows.filter(pc.greater(rows[f"{point}_root_id"], 1))
            stack.graph.load(known[f"{point}_supervoxel_id"].to_numpy(), known[f"{point}_root_id"].to_numpy())
    table = stack.volume.new_table(name, schema, **metadata)
    table.load(rows)
    return table


def with_split_positions(rows: pa.Table) -> pa.Table:
    """Rows whose positions are three columns each."""
    columns = {}
    for field in rows.schema:
        if pa.types.is_list(field.type):
            for at, axis in enumerate("xyz"):
                columns[f"{field.name}_{axis}"] = pc.list_element(rows[field.name], at)
        else:
            columns[field.name] = rows[field.name]
    return pa.table(columns)


def synthetic_datastack(
    cave: CaveDouble,
    rows: int = 200_000,
    *,
    name: str = "minnie65_public",
    schema: str = "synapse",
    bodies: int | None = None,
    seed: int = 0,
    odd_share: float = 0.002,
    **freezing: Any,
) -> Datastack:
    """A datastack with a synapse table, nuclei and cell types, frozen once (keywords: those of `Datastack.freeze`).

    Tables: `synapses` (schema `synapse`, `fly_synapse`, `fly_nt_synapse`, `nocleft_synapse` or `nocenter_synapse`; a
    fly's come with `neuropils`), `nuclei` (one a body, two for every 50th), `cell_types` (bound to supervoxels),
    `cell_types_of_nuclei` (about nuclei) and `proofreading`.
    Ids have gaps and stand in heap order.  A share of the synapses has a supervoxel 0, as large a one has none yet.
    """
    dice = np.random.default_rng(seed)
    bodies = bodies or max(10, rows // 100)
    entries = {"synapse_table": "synapses", "soma_table": "nuclei", "cell_identification_table": "cell_types"}
    stack = cave.new_datastack(name, f"{name}_volume", **entries, proofreading_status_table="proofreading")
    supervoxels = _segmentation(stack, bodies, dice)
    _synapses(stack, schema, rows, supervoxels, dice, odd_share)
    _body_tables(stack, supervoxels, dice)
    stack.freeze(**freezing)
    return stack


def _segmentation(stack: Datastack, bodies: int, dice: np.random.Generator) -> np.ndarray:
    """Bodies with as many supervoxels each, (bodies, 4) int64; roots differ in their last digits only."""
    chunks = dice.integers(1 << 16, 1 << 23, (bodies, SUPERVOXELS_A_BODY)).astype(np.int64)
    local = np.arange(1, bodies * SUPERVOXELS_A_BODY + 1).reshape(bodies, SUPERVOXELS_A_BODY)
    supervoxels = (1 << 56) + (chunks << 32) + local
    stack.graph.load(supervoxels.ravel(), np.repeat(FIRST_ROOT + np.arange(bodies), SUPERVOXELS_A_BODY))
    return supervoxels


def _synapses(
    stack: Datastack, schema: str, rows: int, supervoxels: np.ndarray, dice: np.random.Generator, odd_share: float
) -> None:
    """Rows between bodies, some of which have far more than others."""
    columns: dict[str, Any] = {"id": _heap(np.cumsum(dice.integers(1, 4, rows)), dice)}
    pre = dice.integers(1000, 400_000, (rows, 3))
    offsets = {"pre_pt": 0, "post_pt": 24, "ctr_pt": 12}
    for point in schemas()[schema].points:
        for at, axis in enumerate("xyz"):
            columns[f"{point}_position_{axis}"] = pre[:, at] // (1 if at < 2 else 10) + offsets.get(point, 0)
    for point in schemas()[schema].bound:
        body = (len(supervoxels) * dice.random(rows) ** 2).astype(np.int64)
        ids = supervoxels[body, dice.integers(0, SUPERVOXELS_A_BODY, rows)]
        odd = dice.random(rows)
        ids = np.where(odd < odd_share, 0, ids)
        columns[f"{point}_supervoxel_id"] = pa.array(ids, mask=(odd >= odd_share) & (odd < 2 * odd_share))
    for column, kind in schemas()[schema].columns.items():
        if kind == "float":
            columns[column] = (dice.random(rows) * (255 if "score" in column else 1)).astype(np.float32)
    if "size" in schemas()[schema].columns:
        columns["size"] = dice.integers(100, 20_000, rows).astype(np.float32)
    load_rows(stack, "synapses", schema, pa.table(columns), description="all synapses")
    if schema.startswith("fly"):
        stack.volume.tables["synapses"].metadata.voxel_resolution = (4.0, 4.0, 40.0)
        neuropils = np.array(NEUROPILS)[dice.integers(0, len(NEUROPILS), rows)]
        about = pa.table({"id": np.arange(1, rows + 1), "target_id": columns["id"], "neuropil": pa.array(neuropils)})
        load_rows(stack, "neuropils", "fly_neuropil", about, reference_table="synapses")


def _heap(ids: np.ndarray, dice: np.random.Generator) -> np.ndarray:
    """Ids as an old table has them: mostly in order, with every tenth moved to the end."""
    moved = dice.random(len(ids)) < 0.1
    return np.concatenate([ids[~moved], dice.permutation(ids[moved])])


def _body_tables(stack: Datastack, supervoxels: np.ndarray, dice: np.random.Generator) -> None:
    """Nuclei, cell types and proofreading, one row or a few a body."""
    bodies = len(supervoxels)
    body = np.concatenate([np.arange(bodies), np.arange(0, bodies, 50)])
    nuclei = {"id": np.arange(1, len(body) + 1) * 7, **_anchors(supervoxels[body, 0], dice)}
    nuclei["volume"] = dice.random(len(body)).astype(np.float32) * 400
    load_rows(stack, "nuclei", "nucleus_detection", pa.table(nuclei), voxel_resolution=(4.0, 4.0, 40.0))
    types = pa.array(np.array(TYPES)[dice.integers(0, len(TYPES), len(body))])
    system = pa.array(["aibs_coarse"] * len(body))
    about = {"id": np.arange(1, len(body) + 1), "target_id": nuclei["id"], "classification_system": system}
    load_rows(
        stack, "cell_types_of_nuclei", "cell_type_reference", pa.table({**about, "cell_type": types}),
        reference_table="nuclei",
    )  # fmt: skip
    typed = np.flatnonzero(dice.random(bodies) < 0.6)
    own = {"id": np.arange(1, len(typed) + 1) + 500, **_anchors(supervoxels[typed, 1], dice)}
    own |= {"classification_system": pa.array(["manual"] * len(typed))}
    own["cell_type"] = pa.array(np.array(TYPES)[dice.integers(0, len(TYPES), len(typed))])
    load_rows(stack, "cell_types", "cell_type_local", pa.table(own), notice_text="read the paper before use")
    proofread = np.flatnonzero(dice.random(bodies) < 0.1)
    status = {"id": np.arange(1, len(proofread) + 1), **_anchors(supervoxels[proofread, 2], dice)}
    columns = schemas()["proofread_status"].columns
    values = pa.array(np.array(["non", "clean", "extended"])[dice.integers(0, 3, len(proofread))])
    status |= {column: values for column, kind in columns.items() if kind == "text"}
    load_rows(stack, "proofreading", "proofread_status", pa.table(status))


def _anchors(supervoxels: np.ndarray, dice: np.random.Generator) -> dict[str, Any]:
    """A bound point `pt` in each of some supervoxels."""
    position = dice.integers(1000, 40_000, (len(supervoxels), 3))
    return {
        **{f"pt_position_{axis}": position[:, at] for at, axis in enumerate("xyz")},
        "pt_supervoxel_id": supervoxels,
    }
