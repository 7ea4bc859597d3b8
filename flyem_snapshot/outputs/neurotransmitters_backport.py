"""Writing predicted neurotransmitters back to the body annotations in DVID."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pandas as pd

from flyem_snapshot.connectome.neurotransmitter_bodies import STORED_FIELDS, changed_rows
from flyem_snapshot.errors import SettingError
from flyem_snapshot.outputs.neurotransmitters_settings import NeurotransmitterExportSettings, NeurotransmitterStore
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.neuronjson import body_annotations, post_annotations
from flyem_snapshot.sources.dvid.secrets import ADMIN_VARIABLE, admin_token
from flyem_snapshot.sources.versions import annotations_instance, pinned
from flyem_snapshot.tables.bodies import frame_from_arrow
from flyem_snapshot.tables.segmentation import Segmentation

logger = logging.getLogger(__name__)


def pin_store(config: NeurotransmitterExportSettings, whole: Any) -> NeurotransmitterExportSettings:
    """The settings with the full uuid of the version to be written to; SettingError if it may not be written to."""
    store = config.dvid
    if not store.perform_backport:
        return config
    if store.server is None:
        hint = "set inputs.dvid-seg.server or outputs.neurotransmitters.dvid.server"
        raise SettingError(("dvid", "perform-backport"), "needs a DVID server, and none is named", hint=hint)
    store = store.model_copy(update={"uuid": pinned(store, ("dvid",), whole).uuid})
    assert store.server is not None, "it was demanded"
    node = connections.known(store.server, store.uuid or "")
    if node.locked and not store.force:
        raise SettingError(
            ("dvid", "uuid"),
            f"{node.uuid} is locked: nothing can be written to it",
            hint="name a version that is open, such as ':master', or force it (dvid.force) with the admin token",
        )
    if node.locked and not admin_token():
        problem = f"{node.uuid} is locked: that can only be forced with the server's admin token"
        raise SettingError(("dvid", "force"), problem, hint=f"set the environment variable {ADMIN_VARIABLE}")
    return config.model_copy(update={"dvid": store})


def backport(store: NeurotransmitterStore, bodies: pd.DataFrame, dvid_seg: Segmentation | None) -> int:
    """Write what the annotations lack of `STORED_FIELDS`, body by body; returns the number of bodies written.

    `bodies` is the body table.  Only bodies that are annotated are written, and only if a field differs; a body whose
    type has changed since the snapshot gets nulls for what was said of its former type.  Each batch is refused if
    somebody changed these fields meanwhile, and read back.  Raises DvidError if the server refuses or fails.
    """
    assert store.server is not None, "the version was looked up"
    node = connections.known(store.server, store.uuid or "")
    segmentation = dvid_seg.instance if dvid_seg else "segmentation"
    instance = store.neuronjson_instance or annotations_instance(segmentation)
    held = body_annotations(node, instance)
    old = frame_from_arrow(held.table)
    changed = changed_rows(old, bodies)
    fields = [field for field in STORED_FIELDS if field in changed]
    rows = _records(changed[fields])
    # As the server has them: in the table an empty text is null, for example.
    before = {body: {field: held.records[body].get(field) for field in fields} for body in rows}
    logger.info("%s of %s bodies differ in '%s' at %s", f"{len(rows):,}", f"{len(bodies):,}", instance, node.uuid)
    if rows:
        post_annotations(node, instance, rows, force=store.force, before=before)
    return len(rows)


def _records(frame: pd.DataFrame) -> dict[int, dict[str, Any]]:
    """The fields of each body as JSON values: whole numbers stay whole, confidences get the fewest digits."""
    values = [[_plain(value) for value in frame[field].array] for field in frame]
    rows = zip(*values, strict=True) if values else (() for _ in frame.index)
    return {int(body): dict(zip(frame.columns, row, strict=True)) for body, row in zip(frame.index, rows, strict=True)}


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float | np.floating) and math.isnan(value)):
        return None
    if isinstance(value, np.float32):
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value
