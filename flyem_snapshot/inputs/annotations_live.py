"""Body annotations, and positions of annotated points, that are read from the server of the segmentation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.config.dvid import DvidPoints
from flyem_snapshot.errors import SettingError
from flyem_snapshot.inputs.annotations_settings import AnnotationsSettings
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.annotation import PointAnnotation, all_elements, annotation_columns
from flyem_snapshot.sources.dvid.neuronjson import BodyRecords, body_annotations
from flyem_snapshot.sources.pointlabels import signed
from flyem_snapshot.sources.segmentation import reconnected
from flyem_snapshot.sources.versions import annotations_instance, digest_of_points, require_instance
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.segmentation import Segmentation

if TYPE_CHECKING:
    from flyem_snapshot.sources.dvid.graph import Node

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Live:
    """What a server says: the annotations (None: there are none), where they are from, and tables of points.

    Each table of points has `body` (int64, unique) and the columns that it adds or replaces.
    """

    table: pa.Table | None = None
    where: Path | str = "the point annotations"
    timestamp: str | None = None
    points: tuple[pa.Table, ...] = ()
    source: Mapping[str, Any] | None = None


def require_server(config: AnnotationsSettings, whole: Any) -> None:
    """Raise SettingError if points are to be read, but no segmentation says from where and on which bodies they are."""
    if config.point_annotations and not whole.inputs.dvid_seg.server:
        raise SettingError(
            "point-annotations",
            "points are read from the DVID server of the segmentation, which inputs.dvid-seg does not name",
            hint="set inputs.dvid-seg.server, or put the positions into the annotations table",
        )
    for number, points in enumerate(config.point_annotations):
        place = ("point-annotations", number, "instance")
        if points.instance is None:
            raise SettingError(place, "is required, but not set", hint="name an annotation instance")
        seg = whole.inputs.dvid_seg
        require_instance(connections.known(seg.server, seg.uuid), points.instance, place, "annotation")


def point_columns(points: DvidPoints) -> list[str]:
    """The columns that annotated points add to the bodies, or replace: the position first."""
    return [points.column_name or points.instance or "", *points.extract_properties.values()]


def read_live(config: AnnotationsSettings, segmentation: Segmentation | None, ctx: Context) -> Live:
    """Read what the settings ask a server for; nothing if there is no segmentation."""
    if segmentation is None:
        return Live()
    node = connections.known(segmentation.server, segmentation.uuid)
    instance = annotations_instance(segmentation.instance)
    records = _records(config, node, instance)
    elements = {p.instance or "": all_elements(node, p.instance or "") for p in config.point_annotations}
    points = [_points(p, elements[p.instance or ""], segmentation, ctx) for p in config.point_annotations]
    when = records.timestamp if records else None
    return Live(
        records.table if records else None,
        f"{node.client.server}/{node.path(instance)}" if records else Live.where,
        when.isoformat() if when else None,
        tuple(points),
        _state(config, node, instance, records, elements),
    )


def state(config: AnnotationsSettings, whole: Any) -> Mapping[str, Any] | None:
    """What identifies the annotations in the server: instances and version, or if that can change, their content."""
    seg = whole.inputs.dvid_seg
    if not seg.server:
        return None
    node = connections.known(seg.server, seg.uuid)
    instance = annotations_instance(seg.instance)
    if node.locked:
        return _state(config, node, instance, None, {})
    elements = {p.instance or "": all_elements(node, p.instance or "") for p in config.point_annotations}
    return _state(config, node, instance, _records(config, node, instance), elements)


def _records(config: AnnotationsSettings, node: Node, instance: str) -> BodyRecords | None:
    if config.body_annotations_table is not None:
        return None
    if instance not in node.instances:
        logger.warning("there is no instance '%s' at %s: no body is annotated", instance, node.client.server)
        return None
    return body_annotations(node, instance)


def _state(
    config: AnnotationsSettings,
    node: Node,
    instance: str,
    records: BodyRecords | None,
    elements: Mapping[str, Sequence[PointAnnotation]],
) -> dict[str, Any] | None:
    """None if nothing of a server is used."""
    names = [points.instance or "" for points in config.point_annotations]
    if config.body_annotations_table is None and instance in node.instances:
        names.append(instance)
    if not names:
        return None
    found: dict[str, Any] = {
        "uuid": node.uuid,
        "instances": {name: node.instance(name).data_uuid for name in sorted(names)},
    }
    if node.locked:
        return found
    contents = {name: digest_of_points(points) for name, points in elements.items()}
    if records is not None:
        # Who said it and when is not in the digest, but the time of the last edit stands in the outputs.
        contents[instance] = f"{records.digest} {records.timestamp}"
    return found | {"contents": dict(sorted(contents.items()))}


def _points(
    settings: DvidPoints, elements: Sequence[PointAnnotation], segmentation: Segmentation, ctx: Context
) -> pa.Table:
    """One row for each body that a point lies on: the first point by z, y, x, and its properties."""
    position, *_ = point_columns(settings)
    table = annotation_columns(elements, settings.extract_properties)
    zyx = np.stack([table[axis].to_numpy() for axis in "zyx"], axis=1).reshape(-1, 3)
    _, bodies = reconnected(segmentation, ctx.out.root).labels(zyx)
    what = f"point annotations '{settings.instance}'"
    on_body = bodies != 0
    ctx.exclusions.add(what, "on body 0", int(np.count_nonzero(~on_body)))
    _, first = np.unique(bodies[on_body], return_index=True)
    rows = np.sort(np.flatnonzero(on_body)[first])
    ctx.exclusions.add(what, "on a body that has another point before", int(np.count_nonzero(on_body)) - len(rows))
    kept = table.take(pa.array(rows)).drop_columns(["kind", "tags"])
    xyz = pa.array(
        [list(p) for p in zip(*(kept[axis].to_pylist() for axis in "xyz"), strict=True)], pa.list_(pa.int64())
    )
    properties = {name: kept[name] for name in kept.column_names if name not in ("z", "y", "x")}
    return pa.table({"body": pa.array(signed(bodies[rows], what, "body")), position: xyz, **properties})


def with_points(table: pa.Table, points: Sequence[pa.Table]) -> pa.Table:
    """The table with the columns of the points, which replace columns of the same name.

    A body that has a point but no annotation gets a row, after those that are there.
    """
    for found in points:
        bodies = pa.concat_arrays([*_chunks(table["body"]), *_chunks(_others(found["body"], table["body"]))])
        columns = {}
        for name in dict.fromkeys([*table.column_names, *found.column_names]):
            if name != "body":
                source = found if name in found.column_names else table
                columns[name] = source[name].combine_chunks().take(pc.index_in(bodies, source["body"].combine_chunks()))
        table = pa.table({"body": bodies, **columns})
    return table


def _others(bodies: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.ChunkedArray:
    return bodies.filter(pc.invert(pc.is_in(bodies, value_set=known.combine_chunks())))


def _chunks(bodies: pa.ChunkedArray) -> list[pa.Array]:
    return list(bodies.cast(pa.int64()).chunks) or [pa.array([], pa.int64())]
