"""Elements that are annotated points in the server of the segmentation."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq

from flyem_snapshot.errors import SettingError
from flyem_snapshot.inputs.elements_settings import ElementsSettings, ElementTable
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.annotation import all_elements, annotation_columns
from flyem_snapshot.sources.versions import digest_of_points, require_instance
from flyem_snapshot.tables.segmentation import Segmentation

logger = logging.getLogger(__name__)

_CONTENTS = "contents-{}.txt"


def is_live(settings: ElementTable) -> bool:
    """Whether the elements are read from a server."""
    return settings.dvid_point_annotations.instance is not None


def require_server(config: ElementsSettings, whole: Any) -> None:
    """Raise SettingError if elements are to be read from a server, but no segmentation says from which."""
    seg = whole.inputs.dvid_seg
    for name, settings in config.tables.items():
        instance = settings.dvid_point_annotations.instance
        if instance is None:
            continue
        if not seg.server:
            raise SettingError(
                (name, "dvid-point-annotations"),
                "points are read from the DVID server of the segmentation, which inputs.dvid-seg does not name",
                hint="set inputs.dvid-seg.server, or give a point-table",
            )
        place = (name, "dvid-point-annotations", "instance")
        require_instance(connections.known(seg.server, seg.uuid), instance, place, "annotation")


def fetched(settings: ElementTable, segmentation: Segmentation | None, scratch: Path, number: int) -> Path | None:
    """A table of the points, by z, y, x: their coordinates and the properties that are asked for.

    None if the elements are not read from a server, or if there are none.
    """
    instance = settings.dvid_point_annotations.instance
    if instance is None or segmentation is None:
        return None
    node = connections.known(segmentation.server, segmentation.uuid)
    elements = all_elements(node, instance)
    (scratch / _CONTENTS.format(number)).write_text(digest_of_points(elements))
    table = annotation_columns(elements, settings.dvid_point_annotations.extract_properties)
    table = table.drop_columns(["kind", "tags"])
    if not table.num_rows:
        logger.warning("'%s' at %s holds no points", instance, node.client.server)
        return None
    # An error about these points names the file, so it is called after what it holds.
    path = scratch / f"{quote(instance, safe='')} at {node.uuid} ({number}).parquet"
    pq.write_table(table, path)
    return path


def state(config: ElementsSettings, whole: Any) -> Mapping[str, Any] | None:
    """What identifies the points in the server: instances and version, or if that can change, their content."""
    seg = whole.inputs.dvid_seg
    if not seg.server or not any(map(is_live, config.tables.values())):
        return None
    node = connections.known(seg.server, seg.uuid)
    contents = {}
    if not node.locked:
        contents = {
            str(number): digest_of_points(all_elements(node, settings.dvid_point_annotations.instance or ""))
            for number, settings in enumerate(config.tables.values())
            if is_live(settings)
        }
    return _state(config, seg.server, seg.uuid, contents)


def state_as_read(
    config: ElementsSettings, segmentation: Segmentation | None, scratch: Path
) -> Mapping[str, Any] | None:
    """The same, of what `fetched` read."""
    if segmentation is None or not any(map(is_live, config.tables.values())):
        return None
    node = connections.known(segmentation.server, segmentation.uuid)
    contents = {}
    if not node.locked:
        contents = {
            str(number): (scratch / _CONTENTS.format(number)).read_text()
            for number, settings in enumerate(config.tables.values())
            if is_live(settings)
        }
    return _state(config, segmentation.server, segmentation.uuid, contents)


def _state(config: ElementsSettings, server: str, uuid: str, contents: Mapping[str, str]) -> dict[str, Any]:
    node = connections.known(server, uuid)
    names = sorted(s.dvid_point_annotations.instance or "" for s in config.tables.values() if is_live(s))
    found: dict[str, Any] = {"uuid": uuid, "instances": {name: node.instance(name).data_uuid for name in names}}
    return found | {"contents": dict(contents)} if contents else found
