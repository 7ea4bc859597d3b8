"""The neuPrint database as CSV files for `neo4j-admin import`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from flyem_snapshot.connectome.regions import Regions
from flyem_snapshot.engine.sql import literals
from flyem_snapshot.log import timed
from flyem_snapshot.outputs.neuprint.connections import write_connections, write_set_members
from flyem_snapshot.outputs.neuprint.counts import (
    SYNAPSES,
    count_bodies,
    count_pairs,
    point_conditions,
    regions_of_scope,
)
from flyem_snapshot.outputs.neuprint.elements import element_files, write_elements
from flyem_snapshot.outputs.neuprint.indexes import index_script
from flyem_snapshot.outputs.neuprint.meta import MetaFacts, refuse_bad_meta, write_meta
from flyem_snapshot.outputs.neuprint.neuroglancer import write_neuroglancer_state
from flyem_snapshot.outputs.neuprint.neurotransmitters import body_predictions, synapse_types
from flyem_snapshot.outputs.neuprint.point_files import write_points
from flyem_snapshot.outputs.neuprint.points import synapse_nodes, write_synapse_connections
from flyem_snapshot.outputs.neuprint.provenance import with_provenance
from flyem_snapshot.outputs.neuprint.scope import FOLDER, Scope, connected_inside, touching, whole_scope
from flyem_snapshot.outputs.neuprint.segment_files import (
    Segments,
    choices,
    known_segments,
    refuse_shared_names,
    write_segments,
)
from flyem_snapshot.outputs.neuprint.segments import CountedSegments, count_segments
from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.bodies import BodyAnnotations, BodySizes
from flyem_snapshot.tables.cave import CaveTables
from flyem_snapshot.tables.elements import Elements
from flyem_snapshot.tables.neurotransmitters import Neurotransmitters
from flyem_snapshot.tables.rois import COMBO, UNSPECIFIED
from flyem_snapshot.tables.segmentation import Segmentation
from flyem_snapshot.tables.synapses import Synapses


def export_neuprint(
    config: NeuprintSettings,
    ctx: Context,
    *,
    synapses: Synapses,
    annotations: BodyAnnotations | None,
    elements: Elements | None,
    body_sizes: BodySizes | None,
    neurotransmitters: Neurotransmitters | None,
    dvid_seg: Segmentation | None,
    cave: CaveTables | None = None,
) -> None:
    """Write every file of `neuprint/`."""
    config = with_provenance(config, dvid_seg, annotations, cave)
    whole = whole_scope(config, ctx, synapses, elements)
    regions = regions_of_scope(whole)
    scope, bodies = touching(whole)
    inner = connected_inside(scope)
    # What cannot become a property is found before anything is written.
    occurring = _occurring(scope, regions)
    refuse_bad_meta(config, occurring, _roi_sets(whole))
    predictions = body_predictions(neurotransmitters)
    refuse_shared_names(scope, occurring, annotations, body_sizes, predictions)
    synapse_files, files_of_elements = synapse_nodes(inner, neurotransmitters), element_files(inner)
    with timed("counting connections"):
        pairs = count_pairs(scope, "pairs.parquet")
    with timed("counting bodies"):
        counted = _count(scope, regions, pairs, annotations, bodies)
    segments = known_segments(scope, counted, annotations, body_sizes, predictions)
    with timed("segments", len(counted.bodies)):
        write_segments(scope, segments, regions)
    _write_description(scope, segments, synapse_types(synapse_files.beside))
    scope = replace(inner, segments=counted.table)
    if config.restrict_connectivity_to_roiset:
        pairs = count_pairs(scope, "pairs-inside.parquet")
    with timed("connections"):
        write_connections(scope, regions, pairs)
    with timed("synapses"):
        write_points(scope, synapse_files)
    with timed("synapse connections"):
        write_synapse_connections(scope)
    with timed("synapse sets"):
        write_set_members(scope)
    with timed("elements"):
        write_elements(scope, files_of_elements)


def _count(
    scope: Scope, regions: Regions, pairs: str, annotations: BodyAnnotations | None, bodies: str | None
) -> CountedSegments:
    annotated = None
    known = np.empty(0, np.int64)
    if scope.config.keep_non_synaptic_segments and annotations is not None:
        annotated, known = "annotated_bodies", annotations.frame.index.to_numpy(np.int64)
    with scope.ctx.engine.registered(annotated_bodies=pa.table({"body": known})):
        body_counts = count_bodies(scope, regions, pairs, annotated, bodies)
    return count_segments(scope, regions, body_counts)


def _write_description(scope: Scope, segments: Segments, synapse_nt_types: Mapping[str, str]) -> None:
    """Meta, the index script and the neuroglancer state."""
    counted, config = segments.counted, scope.config
    total_pre, total_post = _totals(scope, counted)
    write_meta(
        config,
        scope.ctx,
        MetaFacts(
            segment_types=segments.types,
            roi_totals=counted.roi_totals,
            total_pre=total_pre,
            total_post=total_post,
            choices=choices(segments, scope),
            roi_sets=_roi_sets(scope),
            synapse_nt_types=synapse_nt_types,
        ),
    )
    hidden = {roi for name in config.indexes.exclude_roisets for roi in _roi_sets(scope).get(name, ())}
    script = index_script(
        config, list(segments.types), list(counted.roi_totals), _element_rois(scope), excluded_rois=hidden
    )
    scope.ctx.out.write_text(f"{FOLDER}/create-indexes.cypher", script)
    write_neuroglancer_state(config, scope.ctx)


def _occurring(scope: Scope, regions: Regions) -> list[str]:
    """The ROIs in which some synapse or element lies."""
    tables = {SYNAPSES: scope.points, **{e.name: e.points for e in scope.elements if e.points is not None}}
    seen: set[int] = set()
    for name, points in tables.items():
        combos = [combo for (combo,) in scope.ctx.engine.rows(f"SELECT DISTINCT {COMBO} FROM {points}")]
        _, rois = regions.expand(np.array(combos, np.int64) + regions.offsets[name])
        seen.update(rois.tolist())
    return [regions.names[roi] for roi in sorted(seen) if roi != regions.outside]


def _roi_sets(scope: Scope) -> dict[str, list[str]]:
    """The ROIs of every roi-set, in the order of their labels."""
    assignments = (scope.synapses.rois, *(e.rois for e in scope.elements))
    found: dict[str, dict[str, None]] = {}
    for assigned in (s for rois in assignments for s in rois.sets):
        found.setdefault(assigned.name, {}).update(dict.fromkeys(n for n in assigned.ids if n != UNSPECIFIED))
    return {name: list(rois) for name, rois in found.items()}


def _totals(scope: Scope, counted: CountedSegments) -> tuple[int, int]:
    """T-bars and PSDs of all Segments; with a restriction those in the ROIs where the restricted connections end."""
    name = scope.config.restrict_connectivity_to_roiset
    if not name:
        return counted.total_pre, counted.total_post
    assigned, engine = scope.synapses.rois[name], scope.ctx.engine
    inside = set(assigned.inside())
    seen = {combo for (combo,) in engine.rows(f"SELECT DISTINCT {COMBO} FROM {scope.partners}")} & inside
    rois = {int(assigned.names[combo]) for combo in seen}
    combos = [combo for combo in inside if int(assigned.names[combo]) in rois]
    pre, post = point_conditions(scope).values()
    ((total_pre, total_post),) = engine.rows(f"""
        SELECT count(*) FILTER (WHERE {pre}), count(*) FILTER (WHERE {post}) FROM {scope.points}
        WHERE {COMBO} IN ({literals(combos)}) AND body IN (SELECT body FROM {counted.table})
    """)
    return total_pre, total_post


def _element_rois(scope: Scope) -> dict[str, list[str]]:
    """For each element label the ROIs by which its elements are to be found quickly."""
    wanted = {e.neuprint_label.lstrip(":"): e.roisets for e in scope.config.indexes.element_roisets_to_index}
    found: dict[str, set[str]] = {}
    for element in scope.elements:
        label = scope.config.label_of(element.name)
        if label is not None and element.points is not None:
            exported = scope.roi_sets(element.rois)
            names = {name for s in exported if s.name in wanted.get(label, ()) for name in s.ids}
            found.setdefault(label, set()).update(names - {UNSPECIFIED})
    return {label: sorted(names) for label, names in found.items()}
