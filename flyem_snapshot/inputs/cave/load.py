"""The input stage for a CAVE datastack: everything is brought to our disk first, then made into ordinary tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from flyem_snapshot.config.walk import value_at
from flyem_snapshot.errors import SettingError, SnapshotError
from flyem_snapshot.inputs.cave.annotations import write_annotations
from flyem_snapshot.inputs.cave.fetched import Tables
from flyem_snapshot.inputs.cave.kept import Kept
from flyem_snapshot.inputs.cave.live import LiveTables, connected, missing_kept, missing_names, require_available
from flyem_snapshot.inputs.cave.merge import merged_tbars
from flyem_snapshot.inputs.cave.references import roi_sources, write_transmitters
from flyem_snapshot.inputs.cave.settings import CaveSettings
from flyem_snapshot.inputs.cave.static import StaticTables, missing_columns
from flyem_snapshot.inputs.cave.synapses import CONNECTIONS, Connections, define_connections, write_synapses
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.cave import CaveTables

logger = logging.getLogger(__name__)

REPORT: Final = "cave-input.json"


def load_cave(config: CaveSettings, ctx: Context) -> CaveTables:
    """The tables of a datastack as those of the other input stages, and `cave-input.json`, which says what was read.

    Raises DataError for tables that cannot be used, CaveError if a server refuses or fails.
    """
    tables: Tables
    if config.datastack is None:
        tables = StaticTables(config, ctx.engine, ctx.scratch)
    else:
        kept = Kept(ctx.out.root, config)
        kept.claim()
        tables = LiveTables(config, ctx.engine, kept)
    _fetch_all(config, tables)
    counts: dict[str, int] = {}
    synapses = tables.fetch(config.synapse_table or tables.synapse_table(), synapses=True)
    rois = roi_sources(config, ctx, tables, synapses, counts)
    found = define_connections(config, ctx, synapses, rois, counts)
    points, partners = f"{ctx.cache}/points.parquet", f"{ctx.cache}/partners.parquet"
    merged = merged_tbars(config, ctx, found)
    num_tbars = write_synapses(found, merged, ctx, points, partners)
    if merged is not None:
        counts["connections whose T-bar is that of another"] = merged.rows
    logger.info("%s connections, %s T-bars", f"{found.rows:,}", f"{num_tbars:,}")
    transmitters = annotations = None
    if config.transmitters is not None:
        transmitters = f"{ctx.cache}/transmitters.parquet"
        write_transmitters(config, config.transmitters, ctx, tables, synapses, merged, transmitters)
    if config.annotations_given:
        annotations = f"{ctx.cache}/annotations.feather"
        write_annotations(config, ctx, tables, found.voxel, counts, annotations)
    ctx.engine.drop_view(CONNECTIONS)
    about = tables.about() | _settled(config, found)
    for what, number in counts.items():
        if number:
            logger.info("%s: %s", what, f"{number:,}")
    ctx.out.write_json(REPORT, about | {"counts": counts})
    return CaveTables(points, partners, annotations, transmitters, about, counts)


def _settled(config: CaveSettings, found: Connections) -> dict[str, Any]:
    """What was made of the synapse table."""
    return {
        "synapse-table": found.table.name,
        "voxel-size": list(found.voxel),
        "rounding": "down, to the voxel of the lower corner",
        "merge-presyn": config.merge_presyn,
    }


def _fetch_all(config: CaveSettings, tables: Tables) -> None:
    """Everything is fetched before anything else, because a materialization expires."""
    tables.fetch(config.synapse_table or tables.synapse_table(), synapses=True)
    names = [entry.table for entry in config.annotations]
    names += [tables.soma_table() if config.soma.table is None else config.soma.table] if config.soma else []
    names += [source.table for source in config.rois.values() if source.table]
    names += [config.transmitters.table] if config.transmitters and config.transmitters.table else []
    for name in dict.fromkeys(names):
        table = tables.fetch(name)
        if table.reference is not None:
            tables.fetch(table.reference)


def _missing_live(config: CaveSettings, output: Path | None) -> Sequence[SnapshotError]:
    """What a version does not have; it may have expired if everything was downloaded before."""
    found = None if output is None else missing_kept(config, Kept(output, config))
    if found is not None:
        return found
    with connected(config) as client:
        require_available(config, client)
        return missing_names(config, client)


def check_cave(config: CaveSettings, whole: Any) -> list[SnapshotError]:
    """A version or tables that are not there, files that cannot be read, and roi-sets that do not fit."""
    faults: list[SnapshotError] = []
    if config.datastack is not None:
        faults += _missing_live(config, value_at(whole, "job-settings.output-dir"))
    else:
        faults += missing_columns(config)
    defined = value_at(whole, "inputs.rois.roi-sets") or {}
    for name in config.rois:
        if name not in defined:
            hint = f"define it in inputs.rois.roi-sets, with 'source: point-table'; known are: {', '.join(defined)}"
            faults.append(SettingError(("rois", name), "is no roi-set", hint=hint))
        elif defined[name].source != "point-table":
            hint = f"write 'source: point-table' for '{name}'"
            faults.append(SettingError(("rois", name), "its ROIs do not come from the points", hint=hint))
    wanted = [name for name, entry in defined.items() if entry.source == "point-table" and name not in config.rois]
    if wanted:
        hint = f"say in inputs.cave.rois where the names of '{wanted[0]}' stand"
        faults.append(SettingError("rois", f"nothing says in which ROI of '{wanted[0]}' a synapse lies", hint=hint))
    return faults
