"""Make a synthetic connectome of any size, with the settings of a run on it.

    python benchmarks/make_synapses.py --psds 20000000 --out benchmarks/output/20000000

Every value of a row is a hash of the seed and of what the row stands for, so rows are made chunk by chunk in constant
memory, and equal seeds give equal files on every machine.  The rows are in no useful order: neither table is sorted by
anything, and the order of one says nothing about that of the other, which is the hard case for a join.

Points come in blocks of 64 slots: 8 T-bars, and 56 PSDs that each belong to one of the 8.  A block fills a cell of a
grid, each slot a part of the cell, so that no two points can share a voxel.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from dice import Dice

CHUNK = 1 << 18
TBARS, PSDS = 8, 56  # slots of a block
CELL = 256  # voxels: edge of a cell; a slot is a cube of CELL / 4
ORIGIN = 4096  # smallest coordinate
PSDS_PER_NEURON = 1500
ROWS_PER_PARTNER = 8  # gives about 3 rows for each pair of bodies, fragments included
PSDS_PER_FRAGMENT = 15  # a fifth of the PSDs lie on fragments, so each of these has about 3
FIRST_NEURON, FIRST_FRAGMENT = 10_000, 1_000_000_000
UNKNOWN = np.uint64(1 << 40)  # set in an id, it moves y far outside of the grid

LAYERS = {"ME(R)": 10, "ME(L)": 10, "FB": 9, "LO(R)": 6, "LO(L)": 6}
SIDED = ("LOP", "AME", "MB", "AL", "LH", "SMP", "SLP", "AVLP", "LAL", "WED")
ROIS = [*LAYERS, *(f"{name}({side})" for name in SIDED for side in "RL"), "EB", "PB", "NO", "GNG", "SAD"]
OPTIC = ("ME", "LO", "LOP", "AME")
REGIONS = {
    "OL(R)": [f"{name}(R)" for name in OPTIC],
    "OL(L)": [f"{name}(L)" for name in OPTIC],
    "CX": ["FB", "EB", "PB", "NO"],
}
REGIONS["CentralBrain"] = [roi for roi in ROIS if not any(roi in region for region in REGIONS.values())]
LAYER_NAMES = [f"{roi}_layer_{number:02}" for roi, layers in LAYERS.items() for number in range(1, layers + 1)]
LAYER_START = np.cumsum([0, *LAYERS.values()])
CLASSES = ["intrinsic", "sensory", "motor"]
KINDS = ["PreSyn", "PostSyn"]
TRANSMITTERS = ["acetylcholine", "gaba", "glutamate", "dopamine", "serotonin", "octopamine", "histamine"]
SPLITS = ["train", "validation", "test"]
COMPARTMENTS = ["axon", "dendrite", "linker"]
NEURON_STATUS = ["Roughly traced"] * 12 + ["Traced"] * 3 + ["Leaves", "Sensory Anchor", "Anchor", "Anchor", None]
FRAGMENT_STATUS = ["Orphan"] * 10 + ["Anchor"] * 5 + ["Orphan-artifact", None, None, None, None]

CONFIG = """\
inputs:
  synapses:
    synapse-points: points.feather
    synapse-partners: partners.feather
    min-confidence: 0.4
    compartment-column: compartment
  annotations:
    body-annotations-table: annotations.feather
{inputs}  rois:
    roi-sets:
      primary: {{source: point-table}}
      layer: {{source: point-table}}
      region:
        source: unions-of-subrois
        union-source-roiset: primary
        rois: {regions}
outputs:
  flat-connectome:
    roi-set: primary
{more}job-settings:
  snapshot-tag: synthetic
  output-dir: output
  memory-limit: {memory_limit}
"""
NEUROTRANSMITTERS = """\
  neurotransmitters:
    synister-feather: predictions.feather
    ground-truth: ground-truth.csv
"""
NEUROTRANSMITTER_TABLES = """\
  neurotransmitters:
    export-neurotransmitters: true
    roi-sets: [primary]
"""
NEUPRINT = """\
  neuprint:
    export-neuprint-snapshot: true
    compress: {compress}
    meta:
      dataset: synthetic
      postHighAccuracyThreshold: 0.5
      postHPThreshold: 0.7
      roiHierarchy: {hierarchy}
"""


class Connectome:
    """The synthetic connectome as functions of point numbers: 64 to a block, slot 0 to 7 a T-bar, the others PSDs."""

    def __init__(self, psds: int, seed: int) -> None:
        self.psds, self.dice = psds, Dice(seed)
        self.blocks = -(-psds // PSDS)
        self.neurons = max(50, psds // PSDS_PER_NEURON)
        self.fragments = max(50, psds // PSDS_PER_FRAGMENT)
        self.grid_bits = -(-max(1, (self.blocks - 1).bit_length()) // 3)  # per axis
        # How often `few` yields each neuron; the number of its partners follows from that.
        share = np.diff(np.sqrt(np.arange(self.neurons + 1) / self.neurons))
        self.num_partners = np.ceil(share * psds / ROWS_PER_PARTNER).astype(np.int64)

    def rows(self, count: int, what: str) -> Iterator[np.ndarray]:
        """The numbers 0 .. count - 1 in a pseudo-random order, in chunks."""
        bits = max(2, count.bit_length())
        for start in range(0, 1 << bits, CHUNK):
            numbers = np.arange(start, min(start + CHUNK, 1 << bits), dtype=np.uint64)
            numbers = self.dice.shuffled(numbers, bits, what).astype(np.int64)
            yield numbers[numbers < count]

    def xyz(self, points: np.ndarray) -> list[np.ndarray]:
        """Coordinates: the block's cell, the slot's part of it, and a random voxel in there."""
        cell = self.dice.shuffled((points >> 6).astype(np.uint64), 3 * self.grid_bits, "cells").astype(np.int64)
        jitter = self.dice.bits("jitter", points).astype(np.int64)
        in_grid = (1 << self.grid_bits) - 1
        return [
            ORIGIN
            + CELL * (cell >> (axis * self.grid_bits) & in_grid)
            + CELL // 4 * (points >> (2 * axis) & 3)
            + (jitter >> (6 * axis) & CELL // 4 - 1)
            for axis in range(3)
        ]

    def tbars(self, points: np.ndarray) -> np.ndarray:
        """The T-bar of each point: itself, or the one that a PSD belongs to."""
        of_psd = (points & ~63) | self.dice.below(TBARS, "tbar", points)
        return np.where((points & 63) < TBARS, points, of_psd)

    def bodies(self, points: np.ndarray, tbars: np.ndarray) -> np.ndarray:
        """The body of each point, given its T-bar: neurons have a list of partners and prefer the first of them."""
        dice = self.dice
        pre = dice.few(self.neurons, "neuron", tbars)
        partner = dice.few(self.num_partners[pre], "partner", points)
        post = dice.few(self.neurons, "partners", pre, partner)
        is_tbar = points == tbars
        body = FIRST_NEURON + np.where(is_tbar, pre, post)
        on_fragment = dice.uniform("on fragment", points) < np.where(is_tbar, 0.04, 0.2)
        body = np.where(on_fragment, FIRST_FRAGMENT + dice.below(self.fragments, "fragment", points), body)
        return np.where(dice.uniform("on nothing", points) < 0.01, 0, body)

    def rois(self, tbars: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions in ROIS and LAYER_NAMES, or -1: a neuron has a few ROIs, and a PSD lies where its T-bar does."""
        dice = self.dice
        place = dice.few(4, "place", tbars)
        roi = dice.few(len(ROIS), "roi", dice.few(self.neurons, "neuron", tbars), place)
        roi[dice.uniform("outside", tbars) < 0.06] = -1
        layered = (roi >= 0) & (roi < len(LAYERS)) & (dice.uniform("between layers", tbars) >= 0.1)
        start, stop = (LAYER_START[np.where(layered, roi + end, end)] for end in (0, 1))
        return roi, np.where(layered, start + dice.below(stop - start, "layer", tbars), -1)

    def compartments(self, points: np.ndarray, tbars: np.ndarray) -> np.ndarray:
        """Positions in COMPARTMENTS, or -1."""
        u, axon = self.dice.uniform("compartment", points), np.where(points == tbars, 0.8, 0.2)
        return np.select([u < 0.03, u < axon, u < 0.95], [-1, 0, 1], 2)

    def points(self) -> Iterator[pa.RecordBatch]:
        """The synapse points."""
        for points in self.rows(self.blocks * (TBARS + PSDS), "points"):
            slot = points & 63
            exists = (slot < TBARS) | ((points >> 6) * PSDS + slot - TBARS < self.psds)
            yield self.point_batch(points[exists])

    def point_batch(self, points: np.ndarray) -> pa.RecordBatch:
        """The rows of these points."""
        tbars, xyz, dice = self.tbars(points), self.xyz(points), self.dice
        body, (roi, layer) = self.bodies(points, tbars), self.rois(tbars)
        u = dice.uniform("conf", points)
        return batch(
            point_id=ids(*xyz),
            **{axis: values.astype(np.int32) for axis, values in zip("xyz", xyz, strict=True)},
            kind=category(points != tbars, KINDS),
            conf=(1 - 0.62 * u * u * u).astype(np.float32),
            body=body,
            sv=body * 64 + dice.below(64, "sv", points),
            primary=category(roi, ROIS),
            layer=category(layer, LAYER_NAMES),
            compartment=category(self.compartments(points, tbars), COMPARTMENTS),
        )

    def partners(self) -> Iterator[pa.RecordBatch]:
        """Each PSD with its T-bar; a few rows name points that do not exist."""
        for psds in self.rows(self.psds, "partners"):
            points = psds // PSDS * (TBARS + PSDS) + psds % PSDS + TBARS
            strange = self.dice.uniform("strange", psds)
            pre, post = ids(*self.xyz(self.tbars(points))), ids(*self.xyz(points))
            yield batch(
                pre_id=np.where(strange < 0.0002, pre | UNKNOWN, pre),
                post_id=np.where(strange > 0.9998, post | UNKNOWN, post),
            )

    def types(self, bodies: np.ndarray) -> np.ndarray:
        """The number of each body's cell type; -1 for an untyped one, as all fragments are."""
        types = self.dice.below(max(1, self.neurons // 6), "type", bodies)
        types[(bodies >= FIRST_FRAGMENT) | (self.dice.uniform("untyped", bodies) < 0.05)] = -1
        return types

    def transmitters(self, types: np.ndarray) -> np.ndarray:
        """The position in TRANSMITTERS of what each cell type releases."""
        return self.dice.few(len(TRANSMITTERS), "transmitter", types)

    def predictions(self) -> Iterator[pa.RecordBatch]:
        """The probabilities of transmitters of nearly every T-bar; five in six are right about the cell type."""
        for tbars in self.rows(self.blocks * TBARS, "predictions"):
            points = tbars // TBARS * (TBARS + PSDS) + tbars % TBARS
            points = points[self.dice.uniform("predicted", points) < 0.97]
            yield self.prediction_batch(points)

    def prediction_batch(self, points: np.ndarray) -> pa.RecordBatch:
        """The predictions of these T-bars."""
        dice = self.dice
        bodies = self.bodies(points, points)
        wrong = dice.uniform("wrong", points) < 1 / 6
        best = np.where(wrong, dice.below(len(TRANSMITTERS), "mistake", points), self.transmitters(self.types(bodies)))
        scores = np.stack([dice.uniform(name, points) for name in TRANSMITTERS])
        scores[best, np.arange(len(points))] += 3
        scores = (scores / scores.sum(axis=0)).astype(np.float32)
        trained = dice.uniform("trained", bodies) < 0.02
        split = np.where(trained, dice.below(len(SPLITS), "split", points), -1)
        return batch(
            **dict(zip("xyz", (axis.astype(np.int32) for axis in self.xyz(points)), strict=True)),
            **{f"nts_8.{name}": column for name, column in zip(TRANSMITTERS, scores, strict=True)},
            split=category(split, SPLITS),
        )

    def ground_truth(self) -> str:
        """The transmitters of a quarter of the cell types, as CSV."""
        types = np.arange(0, max(1, self.neurons // 6), 4)
        names = np.array(TRANSMITTERS)[self.transmitters(types)]
        return "cell_type,ground_truth\n" + "".join(f"Syn{t:05},{name}\n" for t, name in zip(types, names, strict=True))

    def annotations(self) -> Iterator[pa.RecordBatch]:
        """All neurons, and a fiftieth of the fragments, which have a status and nothing else."""
        dice, neurons = self.dice, np.arange(self.neurons)
        bodies = np.concatenate([FIRST_NEURON + neurons, FIRST_FRAGMENT + np.arange(0, self.fragments, 50)])
        is_neuron = bodies < FIRST_FRAGMENT
        twentieth = dice.below(20, "status", bodies)
        types = self.types(bodies)
        names = [f"Syn{number:05}" if number >= 0 else None for number in types]
        yield batch(
            body=bodies,
            status=np.where(is_neuron, np.array(NEURON_STATUS)[twentieth], np.array(FRAGMENT_STATUS)[twentieth]),
            type=names,
            instance=[name and f"{name}_{'RL'[body % 2]}" for name, body in zip(names, bodies, strict=True)],
            **{"class": [name and CLASSES[number % 3] for name, number in zip(names, types, strict=True)]},
        )


def ids(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Point ids of coordinates."""
    return (z << 42 | y << 21 | x).astype(np.uint64)


def category(codes: np.ndarray, values: list[str]) -> pa.DictionaryArray:
    """A category column; code -1 is null."""
    codes = codes.astype(np.int8)
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(values))


def batch(**columns: pa.Array | np.ndarray | list[str | None]) -> pa.RecordBatch:
    """Columns as a record batch."""
    return pa.record_batch({name: pa.array(values) for name, values in columns.items()})


def write(path: Path, batches: Iterator[pa.RecordBatch]) -> None:
    """Stream a Feather file; the name appears when it is complete."""
    partial = path.with_suffix(".partial")
    first = next(batches)
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, first.schema, options=options) as writer:
        for rows in chain([first], batches):
            writer.write_batch(rows)
    partial.rename(path)


def make(folder: Path, psds: int, seed: int, memory_limit: str, reports: int, *, neurotransmitters: bool) -> None:
    """Write the tables that are not there, and the settings, which ask for so many connectivity reports."""
    folder.mkdir(parents=True, exist_ok=True)
    connectome = Connectome(psds, seed)
    tables = {"points": connectome.points, "partners": connectome.partners, "annotations": connectome.annotations}
    if neurotransmitters:
        tables["predictions"] = connectome.predictions
        (folder / "ground-truth.csv").write_text(connectome.ground_truth())
    for name, batches in tables.items():
        path = folder / f"{name}.feather"
        if not path.exists():
            write(path, batches())
    tree = {region: {roi: dict.fromkeys(layers_of(roi)) for roi in rois} for region, rois in REGIONS.items()}
    hierarchy = json.dumps({"CNS": tree})
    about = [{}, *({"rois": [roi]} for roi in ROIS)][:reports]
    sets = json.dumps([{"roiset": "primary", "reports": about}] if about else [])
    for name, more in {
        "config": "",
        "neuprint-plain": NEUPRINT.format(hierarchy=hierarchy, compress='""'),
        "neuprint-gzip": NEUPRINT.format(hierarchy=hierarchy, compress="gzip"),
    }.items():
        text = CONFIG.format(
            inputs=NEUROTRANSMITTERS if neurotransmitters else "",
            regions=json.dumps(REGIONS),
            memory_limit=memory_limit,
            more=f"{NEUROTRANSMITTER_TABLES if neurotransmitters else ''}{more}  connectivity-reports: {sets}\n",
        )
        (folder / f"{name}.yaml").write_text(text)


def layers_of(roi: str) -> list[str]:
    """The names of the layers of a region."""
    return [name for name in LAYER_NAMES if name.startswith(f"{roi}_layer_")]


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a synthetic connectome, unless the tables are there already.")
    parser.add_argument("--psds", type=int, default=1_000_000, help="number of PSDs, and so of partner rows")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives another connectome")
    parser.add_argument("--memory-limit", default="2GB", help="what the settings allow the run (default: 2GB)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the three tables and config.yaml")
    parser.add_argument("--reports", type=int, default=0, help="ask for so many connectivity reports (default: none)")
    parser.add_argument("--neurotransmitters", action="store_true", help="add predictions of neurotransmitters")
    arguments = parser.parse_args()
    make(
        arguments.out,
        arguments.psds,
        arguments.seed,
        arguments.memory_limit,
        arguments.reports,
        neurotransmitters=arguments.neurotransmitters,
    )


if __name__ == "__main__":
    main()
