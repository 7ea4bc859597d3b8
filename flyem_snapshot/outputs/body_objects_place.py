"""Where skeletons and meshes are read from: the settings of an entry, completed by those of the segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from flyem_snapshot.errors import SettingError, SnapshotError
from flyem_snapshot.outputs.body_objects_settings import KeyValueInstance
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.graph import Node
from flyem_snapshot.sources.dvid.http import DvidError
from flyem_snapshot.sources.versions import pinned


class HasSource(Protocol):
    """An entry of the settings."""

    @property
    def dvid(self) -> KeyValueInstance:
        """Where it is read from."""


class Known(Protocol):
    """The segmentation: its settings, or the table that is made from them."""

    @property
    def server(self) -> str | None:
        """The server's address."""

    @property
    def uuid(self) -> str:
        """The version."""

    @property
    def instance(self) -> str:
        """The labelmap."""


@dataclass(frozen=True)
class Place:
    """A key-value instance at a version."""

    server: str
    uuid: str
    instance: str

    def node(self) -> Node:
        """The version; DvidError if there is none, or if the instance is none of keys and values."""
        node = connections.known(self.server, self.uuid)
        node.instance(self.instance, "keyvalue")
        return node


def place_of(name: str, entry: HasSource, segmentation: Known | None, suffix: str) -> Place:
    """Where an entry is read from; what it does not say is that of the segmentation, and `<segmentation>_<suffix>`.

    Raises SettingError for what neither says.
    """
    own = entry.dvid
    known = segmentation if segmentation is not None and segmentation.server is not None else None
    server = own.server or (known and known.server)
    uuid = own.uuid or (known and known.uuid)
    instance = own.instance or (known and f"{known.instance}_{suffix}")
    if server and uuid and instance:
        return Place(server, uuid, instance)
    key = "server" if not server else "uuid" if not uuid else "instance"
    hint = "set it here, or name the segmentation's server in inputs.dvid-seg"
    raise SettingError((name, "dvid", key), "is not set, and there is no segmentation in inputs.dvid-seg", hint=hint)


def pinned_entries(config: Any, whole: Any) -> Any:
    """The settings of a stage with each `uuid` of an entry replaced by the full one that it stands for."""
    update = {}
    for name, entry in config.entries.items():
        if entry.dvid.server is not None and entry.dvid.uuid is not None:
            update[name] = entry.model_copy(update={"dvid": pinned(entry.dvid, (name, "dvid"), whole)})
    return config.model_copy(update=update)


def source_of(entries: Mapping[str, HasSource], whole: Any, suffix: str) -> dict[str, Any] | None:
    """What the entries are read from, for the key of the stage: uuid, identity of the instance, and whether locked.

    Raises SettingError for an entry that does not say where it is read from, DvidError if nothing can be read there.
    """
    state = {}
    for name, entry in entries.items():
        place = place_of(name, entry, whole.inputs.dvid_seg, suffix)
        node = place.node()
        info = node.instance(place.instance)
        state[name] = {"uuid": node.uuid, "data-uuid": info.data_uuid, "locked": node.locked}
    return state or None


def place_problems(entries: Mapping[str, HasSource], whole: Any, suffix: str) -> list[SnapshotError]:
    """Entries that do not say where they are read from, or name an instance that is not there."""
    problems: list[SnapshotError] = []
    for name, entry in entries.items():
        try:
            place_of(name, entry, whole.inputs.dvid_seg, suffix).node()
        except (SettingError, DvidError) as error:
            problems.append(error)
    return problems
