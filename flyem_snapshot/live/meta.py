"""The Meta node of a dataset that is in use: what it says of Segment properties, and how that is to change."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flyem_snapshot.config.suggest import closest
from flyem_snapshot.connectome.database_edit import with_property_update
from flyem_snapshot.errors import DataError, SnapshotError
from flyem_snapshot.live.compare import segment_label
from flyem_snapshot.live.cypher import mapping
from flyem_snapshot.live.server import NeuprintServer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveMeta:
    """What the Meta node says: Segment properties with their types (None: it does not list them), edits, ROIs."""

    properties: Mapping[str, str] | None
    last_edit: Any
    rois: frozenset[str]


@dataclass(frozen=True)
class MetaChange:
    """What is to become of the Meta node; nothing if empty."""

    announced: Mapping[str, str] = field(default_factory=dict)
    last_edit: str = ""
    statement: str = ""


def the_dataset(server: NeuprintServer, dataset: str) -> str:
    """The dataset's full name, if the server has it.  SnapshotError: it has not."""
    known = server.datasets()
    if dataset in known:
        return dataset
    bare = {name.partition(":")[0]: name for name in known}
    meant = bare.get(dataset) or closest(dataset, known)
    hint = f"did you mean '{meant}'? " if meant else ""
    raise SnapshotError(
        f"{server.url} has no dataset '{dataset}'", hint=f"{hint}it has: {', '.join(known) or 'none at all'}"
    )


def live_meta(server: NeuprintServer, dataset: str) -> LiveMeta:
    """The Meta node of a dataset.  DataError: there is none, or more than one goes by its name."""
    label = segment_label(dataset, "Meta")
    rows = server.rows(f"MATCH (m:{label}) RETURN m.neuronProperties, m.lastDatabaseEdit, m.roiInfo", dataset)
    if len(rows) != 1 or len(rows[0]) != 3:
        raise DataError(f"there are {len(rows)} nodes {label} instead of one", file=server.url)
    properties, last_edit, roi_info = rows[0]
    return LiveMeta(_object(properties), last_edit, frozenset(_object(roi_info) or {}))


def meta_change(
    dataset: str, live: LiveMeta, types: Mapping[str, str], time: dt.datetime | None, *, changed: bool
) -> MetaChange:
    """What Meta should say after the update.

    `types` has every property that some body has; `time` is that of the newest annotation (None: the store keeps no
    times, so the moment of the update counts, and only if something is `changed`).
    """
    new: dict[str, str] = {}
    announced: dict[str, str] = {}
    if live.properties is None:
        logger.warning("Meta.neuronProperties is absent or no JSON object, and stays so: clients look for themselves")
    else:
        announced = {name: kind for name, kind in types.items() if name not in live.properties}
    if announced:
        whole = {**(live.properties or {}), **announced}
        new["neuronProperties"] = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
    if time is None and (changed or announced):
        time = dt.datetime.now(dt.UTC)
    edit = with_property_update(live.last_edit, time) if time is not None else live.last_edit
    if edit != live.last_edit:
        new["lastDatabaseEdit"] = edit
    if not new:
        return MetaChange()
    statement = f"MATCH (n:{segment_label(dataset, 'Meta')})\nSET n += {mapping(new)}\nRETURN count(n)"
    return MetaChange(announced, new.get("lastDatabaseEdit", ""), statement)


def _object(text: Any) -> dict[str, Any] | None:
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
