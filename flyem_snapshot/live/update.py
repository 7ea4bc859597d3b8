"""Newer body annotations of DVID into the database of a neuPrint server."""

from __future__ import annotations

import datetime as dt
import logging
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from flyem_snapshot.config.suggest import closest
from flyem_snapshot.engine.session import Engine, Limits
from flyem_snapshot.errors import DataError
from flyem_snapshot.live.annotations import (
    Wanted,
    annotation_frame,
    is_counted,
    is_predicted,
    property_frame,
    wanted_properties,
)
from flyem_snapshot.live.compare import Change, Comparison, compare, segments_among
from flyem_snapshot.live.files import COMMANDS, comparison_files, write_commands
from flyem_snapshot.live.meta import MetaChange, live_meta, meta_change
from flyem_snapshot.live.server import NeuprintServer
from flyem_snapshot.live.write import Writer, batches, update_statement, write_statement
from flyem_snapshot.log import progress
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient
from flyem_snapshot.sources.dvid.neuronjson import body_annotations
from flyem_snapshot.sources.versions import annotations_instance

logger = logging.getLogger(__name__)

_MEMORY: Final = 1 << 30  # for DuckDB, which only types the columns


@dataclass(frozen=True)
class Annotations:
    """DVID's annotations, and of when they are (None: the store keeps no times)."""

    table: pa.Table
    time: dt.datetime | None
    source: str


@dataclass(frozen=True)
class Update:
    """What is to be done: changes of Segments and of Meta, and the numbers of bodies behind it."""

    annotated: int
    wanted: Wanted
    comparison: Comparison
    meta: MetaChange

    @property
    def changes(self) -> list[Change]:
        """The bodies to be changed."""
        return self.comparison.changes

    @property
    def is_needed(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.changes or self.meta.statement)


def read_annotations(server: str, uuid: str, instance: str) -> Annotations:
    """The body annotations of a version; `instance` may be that of the segmentation, whose annotations are meant."""
    node = resolve(DvidClient(server), uuid)
    known = node.instances.get(instance)
    if known is not None and known.typename == "labelmap":
        instance = annotations_instance(instance)
    found = body_annotations(node, instance)
    return Annotations(found.table, found.timestamp, f"{instance} of {node.uuid}")


def plan(
    server: NeuprintServer, dataset: str, annotations: Annotations, excluded: Collection[str], folder: Path | None
) -> Update:
    """Compare both sides; nothing is written to the server.  With a folder, the tables of both sides are.

    DataError: annotations that no property can hold.
    """
    meta = live_meta(server, dataset)
    frame = annotation_frame(annotations.table)
    everything = property_frame(frame, ())
    ignored = {*excluded} | {str(name) for name in everything if is_counted(str(name)) or name in meta.rois}
    _say_what_is_ignored(ignored - {"bodyId"}, [str(name) for name in everything], excluded)
    kept = property_frame(frame, ignored)
    segments = segments_among(server, dataset, kept["bodyId"].to_numpy("int64"))
    with (
        tempfile.TemporaryDirectory(prefix="flyem-snapshot-") as scratch,
        Engine(Limits(_MEMORY, 2, Path(scratch) / "spill")) as engine,
    ):
        wanted = wanted_properties(engine, kept, segments)
    names = [one.name for one in wanted.properties]
    with comparison_files(folder, names) as add, progress("comparing", len(wanted.bodies), "bodies") as advance:
        found = compare(server, dataset, wanted, add, advance)
    change = meta_change(dataset, meta, wanted.types, annotations.time, changed=bool(found.changes))
    return Update(len(kept), wanted, found, change)


def _say_what_is_ignored(ignored: Collection[str], there: list[str], excluded: Collection[str]) -> None:
    if counted := sorted(set(ignored) - set(excluded)):
        logger.warning("left alone, since they are counts or ROIs in neuPrint: %s", ", ".join(counted))
    for name in sorted(set(excluded) - set(there)):
        if not is_predicted(name):
            near = closest(name, there)
            logger.warning(
                "--exclude %s: no annotation becomes such a property%s",
                name,
                f"; did you mean '{near}'?" if near else "",
            )


def statements(dataset: str, update: Update, batch: int) -> list[str]:
    """The queries of an update, in order: Meta first, so that no new property is there unannounced."""
    meta = [update.meta.statement] if update.meta.statement else []
    return [*meta, *(update_statement(dataset, part) for part in batches(update.changes, batch))]


def save_commands(folder: Path, dataset: str, update: Update, batch: int) -> Path:
    """Write the queries of an update to a file; returns its path."""
    write_commands(folder, statements(dataset, update, batch))
    return folder / COMMANDS


def apply(server: NeuprintServer, dataset: str, update: Update, batch: int) -> None:
    """Write an update, `batch` bodies a transaction.

    Each transaction leaves a database that is sound, so whoever is interrupted runs again and does the rest.  Errors
    are those of `Writer.write`.
    """
    if update.meta.statement:
        write_statement(server, dataset, update.meta.statement, 1)
    with progress("updating", len(update.changes), "bodies") as advance:
        Writer(server, dataset, len(update.changes), advance).write(update.changes, batch)


def summary(update: Update) -> list[str]:
    """What an update does, as lines for a person: properties by the number of bodies, then Meta."""
    found, bodies = update.comparison, len(update.wanted.bodies)
    lines = [f"{update.annotated:,} annotated bodies, {bodies:,} of them Segments; {len(update.changes):,} to update"]
    names = [one.name for one in update.wanted.properties if _total(found, one.name)]
    width = max(map(len, ["property", *names]))
    if names:
        lines.append(f"{'property':{width}}  {'added':>9}  {'changed':>9}  {'removed':>9}")
    lines += [
        f"{name:{width}}  {found.added[name]:>9,}  {found.changed[name]:>9,}  {found.removed[name]:>9,}"
        for name in names
    ]
    lines += [f"Meta.neuronProperties: {name} ({kind}) is new" for name, kind in update.meta.announced.items()]
    return lines + ([f"Meta.lastDatabaseEdit: {update.meta.last_edit}"] if update.meta.last_edit else [])


def _total(found: Comparison, name: str) -> int:
    return found.added[name] + found.changed[name] + found.removed[name]


def refuse_nothing_in_common(update: Update, dataset: str, source: str) -> None:
    """Raise DataError if no annotated body is a Segment: these are not two sides of one connectome."""
    if update.annotated and not len(update.wanted.bodies):
        raise DataError(
            f"none of the {update.annotated:,} bodies of {source} is a Segment of {dataset}",
            hint="is it the right dataset, and the right DVID server and version?",
        )
