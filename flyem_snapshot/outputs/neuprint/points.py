"""Synapse nodes, and which T-bar reaches which PSD."""

from __future__ import annotations

from collections.abc import Iterable

from flyem_snapshot.connectome.neuprint_files import SYNAPSE_CONNECTIONS, SYNAPSES_FOLDER
from flyem_snapshot.engine.csvfiles import csv_files
from flyem_snapshot.engine.sql import literal
from flyem_snapshot.engine.streams import in_background, tracked
from flyem_snapshot.outputs.neuprint.neurotransmitters import tbar_properties
from flyem_snapshot.outputs.neuprint.point_files import Points, refuse_shared_names
from flyem_snapshot.outputs.neuprint.properties import float_cell, typed_properties
from flyem_snapshot.outputs.neuprint.scope import FOLDER, Scope
from flyem_snapshot.tables.neurotransmitters import Neurotransmitters
from flyem_snapshot.tables.rois import COMBO

NOT_EXPORTED = ("point_id", "x", "y", "z", COMBO, "sv", "split")
"""Columns that are no property: the id and the location say the first four; neuPrint has no use for the others."""

_LINE_END = literal("\n")
_OWN_COLUMNS = ("kind", "conf", "body")
_FIXED = {
    ":ID(Element-ID)": "point_id",
    "type:string": f"CASE WHEN kind = 'PreSyn' THEN {literal('pre')} ELSE {literal('post')} END",
    "confidence:float": float_cell("conf"),
    "bodyId:long": "body",
}


def synapse_nodes(scope: Scope, neurotransmitters: Neurotransmitters | None = None) -> Points:
    """The Synapse nodes, `Neuprint_Synapses/<6 digits>.csv`.

    Properties: type (pre or post), confidence, bodyId, the input's other columns, of T-bars the probabilities of
    neurotransmitters, location, those computed from ROIs, and a flag for each ROI in which the synapse lies.  Raises
    DataError for a column that cannot be a property.
    """
    hidden = {*NOT_EXPORTED, *_OWN_COLUMNS, *roi_columns(scope)}
    extras = {name: name for name in scope.synapses.point_columns if name not in hidden}
    found = typed_properties(scope.ctx.engine, scope.points, extras, "the synapse points")
    points = Points(
        "synapses",
        f"{FOLDER}/{SYNAPSES_FOLDER}",
        scope.points,
        scope.synapses.rois,
        scope.labels("Synapse", "Element"),
        [*_FIXED.items(), *((p.header, p.cell) for p in found)],
        [p.name for p in found],
        ("type", "confidence", "bodyId", "location"),
        tbar_properties(scope, neurotransmitters),
    )
    refuse_shared_names(scope, points)
    return points


def write_synapse_connections(scope: Scope) -> None:
    """Write SynapsesTo, `Neuprint_Synapse_Connections.csv`: T-bar and PSD of every partner row, in input order."""
    files = [(f"{FOLDER}/{SYNAPSE_CONNECTIONS}", [":START_ID(Element-ID)", ":END_ID(Element-ID)"])]
    line = f"concat(pre_id, ',', post_id, {_LINE_END})"
    with (
        csv_files(scope.ctx.out, files, scope.config.compress) as writer,
        scope.ctx.engine.stream(f"SELECT {line} AS line FROM {scope.partners}") as stream,
    ):
        for batch in tracked(in_background(stream), "writing synapse connections"):
            writer.write(batch["line"])


def roi_columns(scope: Scope) -> set[str]:
    """Columns that belong to any roi-set, whether or not it is exported: flags say what they would."""
    assignments: Iterable[str] = (
        s.name for rois in (scope.synapses.rois, *(e.rois for e in scope.elements)) for s in rois.sets
    )
    return {column for name in assignments for column in (name, f"{name}_label")}
