"""The input stage for the segmentation: which labelmap, at which version, and its state at one moment."""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from collections.abc import Mapping
from typing import Any, Final

from flyem_snapshot.config.dvid import DvidVersion
from flyem_snapshot.errors import SettingError
from flyem_snapshot.inputs.dvid_seg_settings import DvidSegSettings
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.frozen import Frozen, Moment, freeze
from flyem_snapshot.sources.dvid.graph import Node
from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.sources.dvid.mutations import last_mutation
from flyem_snapshot.sources.dvid.tag import snapshot_tag
from flyem_snapshot.sources.versions import pinned, require_instance
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.segmentation import Segmentation, identity

logger = logging.getLogger(__name__)

MAPPING: Final = "mapping"


def pin_version(config: DvidSegSettings, whole: Any) -> DvidSegSettings:
    """The settings with the full uuid of the version that their expression stands for now.

    Raises SettingError if there is no such version, or no such labelmap.
    """
    server, reference, instance = config.version
    found = pinned(DvidVersion(server=server, uuid=reference), (), whole)
    config = config.model_copy(update={"uuid": found.uuid})
    require_instance(_node(config), instance, ("instance",), "labelmap")
    return config


def _node(config: DvidSegSettings) -> Node:
    """The version, once it was looked up."""
    server, uuid, _ = config.version
    return connections.known(server, uuid)


def default_tag(config: DvidSegSettings, whole: Any) -> str:
    """The date of the last edit of the segmentation, and the beginning of the uuid; "" without a server."""
    if config.server is None:
        return ""
    node = _node(config)
    return snapshot_tag(node, connections.last_edit(node, config.version[2]), config.tag_time_zone)


def state(config: DvidSegSettings, whole: Any) -> Mapping[str, Any]:
    """What identifies the state of the segmentation, as it was when the job began."""
    node, instance = _node(config), config.version[2]
    if config.mapping == "batches" and not node.locked:
        problem = f"bodies can be asked for in batches only once the version is locked; {node.uuid} can still change"
        raise SettingError("mapping", problem, hint="write 'mapping: auto', or name a version that is locked")
    last = connections.last_edit(node, instance)
    return identity(
        repo=node.repo_root,
        data_uuid=node.instance(instance, "labelmap").data_uuid,
        uuid=node.uuid,
        locked=node.locked,
        records=last.n_in_node,
        mutid=last.mutid if last.n_in_node else 0,
    )


def state_afterwards(config: DvidSegSettings, whole: Any) -> Mapping[str, Any]:
    """Whether the version is locked, and how long its log is, after everything is done; the time, and the server."""
    node = _node(config).refreshed()
    last = last_mutation(node, config.version[2])
    return {
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "server": node.client.server,
        "server-version": node.client.server_info().get("DVID Version", ""),
        "locked": node.locked,
        "records": last.n_in_node,
        "mutid": last.mutid if last.n_in_node else 0,
    }


def load_segmentation(config: DvidSegSettings, ctx: Context) -> Segmentation:
    """The state of the segmentation, with the whole mapping of supervoxels if the version can still change.

    Raises DvidError if there is no such labelmap, or if the server fails.
    """
    server, _, instance = config.version
    node = _node(config)
    labelmap = Labelmap.open(node, instance)
    whole = config.mapping == "whole" or not node.locked
    frozen = freeze(labelmap, ctx.scratch / MAPPING if whole else None)
    moment = frozen.moment
    logger.info("%s of %s at %s, %s", instance, node.client.server, node.uuid, _described(node, moment))
    folder = _kept(ctx, frozen)
    return Segmentation(
        server=server,
        uuid=node.uuid,
        instance=instance,
        repo=node.repo_root,
        data_uuid=labelmap.data_uuid,
        locked=node.locked,
        records=moment.records,
        mutid=moment.mutid,
        consistent=moment.consistent,
        last=_last(node, instance, moment),
        map_folder=folder,
        next_label=moment.next_label,
        content="" if moment.consistent else _content(ctx),
    )


def _described(node: Node, moment: Moment) -> str:
    if node.locked:
        return "which is locked"
    return f"which is not locked: as it was after {moment.records:,} edits (mutation {moment.mutid})"


def _last(node: Node, instance: str, moment: Moment) -> dict[str, Any]:
    """The last edit before the moment, of the version itself or of an ancestor; see `Segmentation.last`."""
    edit = moment.last
    if edit is not None:
        about = {"uuid": edit.uuid or node.uuid, "mutid": edit.mutid, "action": edit.action, "user": edit.user}
        return about | {"timestamp": _iso(edit.timestamp), "record": dict(edit.record)}
    last = connections.last_edit(node, instance)
    about = {"uuid": last.uuid, "mutid": last.mutid, "action": last.action, "user": last.user}
    return about | {"timestamp": _iso(last.timestamp), "record": None}


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()


def _kept(ctx: Context, frozen: Frozen) -> str | None:
    """Move the files of the mapping to the cache; returns their directory."""
    if frozen.mapping is None:
        return None
    folder = f"{ctx.cache}/{MAPPING}"
    for file in sorted(frozen.mapping.folder.iterdir()):
        with ctx.out.create(f"{folder}/{file.name}") as path:
            shutil.move(file, path)
    return folder


def _content(ctx: Context) -> str:
    """A digest of the files of the mapping."""
    return " ".join(record.digest for name, record in sorted(ctx.out.written.items()) if name.endswith(".u64"))


STAGE = Stage(
    "dvid-seg",
    "inputs",
    DvidSegSettings,
    load_segmentation,
    produces=Segmentation,
    enabled=lambda config: config.server is not None,
    pin=pin_version,
    default_tag=default_tag,
    source=state,
    afterwards=state_afterwards,
)
