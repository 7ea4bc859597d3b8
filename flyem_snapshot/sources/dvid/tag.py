"""The default name of a snapshot: the day of the last edit and the beginning of the uuid."""

from __future__ import annotations

import logging
import re
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.sources.dvid.graph import Node
from flyem_snapshot.sources.dvid.mutations import LastMutation

logger = logging.getLogger(__name__)

_SAME_ZONE: Final = {"US/Eastern": "America/New_York"}
"""Some systems come without the old names."""


def snapshot_tag(node: Node, last: LastMutation, zone: str = "US/Eastern") -> str:
    """`2024-02-01-3ddc3f`, or `2023-11-04-def456-unlocked` for a node that can still be edited.

    The day is that of the segmentation's last edit in the time zone `zone`; if nobody knows when that was, of the
    node's last update.  The uuid is the node's, not that of the edit.
    Raises SnapshotError if the zone is unknown, DvidError if there is no time to be had.
    """
    when = last.timestamp
    if when is None:
        when = node.dag[node.uuid].updated
        logger.warning("the time of the last edit is unknown; the snapshot is named by the node's last update")
    if when is None:
        hint = "name the snapshot yourself: snapshot-tag"
        raise node.client.error(f"api/repo/{node.uuid}/info", "neither an edit nor the node has a time", hint=hint)
    begin = re.sub(r"[^0-9A-Za-z_.-]", "_", node.uuid[:6])  # some nodes have other names than hexadecimal ones
    return f"{when.astimezone(_zone(zone)):%Y-%m-%d}-{begin}{'' if node.locked else '-unlocked'}"


def _zone(name: str) -> ZoneInfo:
    for candidate in (name, _SAME_ZONE.get(name, name)):
        try:
            return ZoneInfo(candidate)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    raise SnapshotError(f"there is no time zone '{name}' on this machine", hint="zones are named like America/New_York")
