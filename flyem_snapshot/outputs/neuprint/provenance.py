"""What a live segmentation says of itself, for those settings of the meta file that are not set."""

from __future__ import annotations

import datetime as dt
from typing import Any

from flyem_snapshot.connectome.database_edit import with_property_update
from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings
from flyem_snapshot.tables.bodies import BodyAnnotations
from flyem_snapshot.tables.cave import CaveTables
from flyem_snapshot.tables.segmentation import Segmentation


def with_provenance(
    config: NeuprintSettings,
    segmentation: Segmentation | None,
    annotations: BodyAnnotations | None,
    cave: CaveTables | None = None,
) -> NeuprintSettings:
    """The settings with the version, the last edit and its time, as far as the meta file leaves them out.

    The uuid is that of the version asked for, also if the last edit was made in an ancestor of it; of a CAVE datastack,
    it is the name and version of the materialization, and the last edit is the moment that it is of.
    """
    if cave is not None:
        return _of_materialization(config, cave)
    if segmentation is None:
        return config
    assert config.meta is not None, "the stage has a meta file"
    meta = config.meta
    update: dict[str, Any] = {
        "uuid": meta.uuid or segmentation.uuid,
        "latest_mutation_id": meta.latest_mutation_id or int(segmentation.last["mutid"]),
        "last_database_edit": meta.last_database_edit or _last_edit(segmentation, annotations),
    }
    return config.model_copy(update={"meta": meta.model_copy(update=update)})


def _of_materialization(config: NeuprintSettings, cave: CaveTables) -> NeuprintSettings:
    assert config.meta is not None, "the stage has a meta file"
    meta, when = config.meta, cave.time_stamp
    update: dict[str, Any] = {
        "uuid": meta.uuid or cave.version,
        "last_database_edit": meta.last_database_edit or (when and _shown(dt.datetime.fromisoformat(when))),
    }
    if not {"voxel_size", "voxel_units"} & meta.model_fields_set:
        update |= {"voxel_size": cave.voxel_size, "voxel_units": "nanometers"}
    return config.model_copy(update={"meta": meta.model_copy(update=update)})


def _last_edit(segmentation: Segmentation, annotations: BodyAnnotations | None) -> str | None:
    """The time of the last edit of the segmentation, and of the last annotation if it is known."""
    when = segmentation.last["timestamp"]
    text = None if when is None else _shown(dt.datetime.fromisoformat(when))
    if annotations is None or annotations.timestamp is None:
        return text
    return with_property_update(text, dt.datetime.fromisoformat(annotations.timestamp))


def _shown(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).isoformat(sep=" ", timespec="seconds")
