"""A `Scope` over small tables, and what the files that are written from it say."""

import csv
import gzip

import numpy as np
import pyarrow as pa

from flyem_snapshot.engine.sql import identifier
from flyem_snapshot.outputs.neuprint.scope import ElementScope, Scope
from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings
from flyem_snapshot.tables.points import decode
from flyem_snapshot.tables.rois import AssignedSet, RoiAssignment
from flyem_snapshot.tables.synapses import Synapses
from tests.contexts import make_context

IDS = {"point_id": pa.uint64(), "pre_id": pa.uint64(), "post_id": pa.uint64(), "body": pa.int64()}
IDS |= {"source_id": pa.uint64(), "target_id": pa.uint64(), "roi_combo": pa.int32(), "conf": pa.float32()}


def rois(**sets):
    """Roi-sets from the ROI of each combination: `rois(primary=["ME", None])`; labels count from 1, None is 0."""
    return RoiAssignment(tuple(_assigned(name, names) for name, names in sets.items()))


def _assigned(name, names):
    listed = ["<unspecified>", *sorted({n for n in names if n is not None})]
    codes = [listed.index(n or "<unspecified>") for n in names]
    return AssignedSet(name, {n: label for label, n in enumerate(listed)}, np.array(codes, np.int32))


def table(engine, name, columns):
    """A table of the session, with the coordinates of its points; returns its table expression."""
    arrays = {column: pa.array(values, IDS.get(column)) for column, values in columns.items()}
    if "point_id" in arrays:
        axes = decode(arrays["point_id"].to_numpy(zero_copy_only=False))
        arrays |= {axis: pa.array(values) for axis, values in zip("xyz", axes, strict=True)}
    with engine.registered(given=pa.table(arrays)):
        engine.execute(f"CREATE TABLE {identifier(name)} AS SELECT * FROM given")
    return identifier(name)


def make_scope(root, *, points=None, partners=None, assigned=None, elements=(), segments=(), **settings):
    """`elements` are tuples of name, rois, point columns and distance columns (None: no such table)."""
    ctx = make_context(root)
    assigned = rois() if assigned is None else assigned
    points = points or {"point_id": [], "kind": pa.array([], pa.string()), "conf": [], "body": [], "roi_combo": []}
    synapses = Synapses(ctx.engine, assigned, 0.0, None, (*points, "x", "y", "z"), {}, 0, 0)
    made = [
        ElementScope(
            name,
            sets,
            None if columns is None else table(ctx.engine, f"elements {name}", columns),
            None if distances is None else table(ctx.engine, f"distances {name}", distances),
        )
        for name, sets, columns, distances in elements
    ]
    meta = {"dataset": "ds", "postHighAccuracyThreshold": 0.5, "postHPThreshold": 0.5, "primaryRois": ["ME"]}
    meta |= {"roiHierarchy": {"brain": {"ME": None}}}
    return Scope(
        NeuprintSettings.model_validate({"meta": meta, **settings}),
        ctx,
        synapses,
        table(ctx.engine, "points", points),
        table(ctx.engine, "partners", partners or {"pre_id": [], "post_id": []}),
        tuple(made),
        table(ctx.engine, "segments", {"body": list(segments)}),
    )


def read(root, pattern):
    """The rows of each file, as mappings without empty cells, by the file's name without endings."""
    found = {}
    for path in sorted(root.glob(f"neuprint/{pattern}")):
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
        header, *rows = csv.reader(text.splitlines(keepends=True), strict=True)
        assert all(len(row) == len(header) for row in rows)
        assert len(set(header)) == len(header)
        name = path.name.split(".csv")[0]
        found[name] = [{k: v for k, v in zip(header, row, strict=True) if v} for row in rows]
    return found


def rows(root, pattern):
    """The rows of all files."""
    return [row for members in read(root, pattern).values() for row in members]
