"""Which version on a server a setting means, and whether what it holds is still the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import xxhash

from flyem_snapshot.config.dvid import DvidVersion
from flyem_snapshot.errors import SettingError
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.annotation import PointAnnotation
from flyem_snapshot.sources.dvid.failures import DvidError, UnknownReference
from flyem_snapshot.sources.dvid.graph import Node


def pinned(version: DvidVersion, path: tuple[str | int, ...], whole: Any) -> DvidVersion:
    """The same with the full uuid; `path` is where it stands in the settings of its stage.

    Raises SettingError if there is no such version, DvidError if the server cannot be asked.
    """
    assert version.server is not None, "the caller saw to that"
    if version.uuid is None:
        raise SettingError((*path, "uuid"), "is required, but not set", hint="name a version, such as ':master~1'")
    try:
        node = connections.node(version.server, version.uuid, whole.job_settings)
    except UnknownReference as error:
        problem = f"'{version.uuid}' names no version: {error.words or error.problem}"
        raise SettingError((*path, "uuid"), problem, hint=error.hint) from None
    return version.model_copy(update={"uuid": node.uuid})


def annotations_instance(segmentation: str) -> str:
    """The name of the instance that annotates the bodies of a labelmap."""
    return f"{segmentation}_annotations"


def require_instance(node: Node, name: str, path: tuple[str | int, ...], *types: str) -> None:
    """Raise SettingError, about the setting at `path`, unless a version has an instance of one of these types."""
    try:
        node.instance(name, *types)
    except DvidError as error:
        raise SettingError(path, f"{error.problem}, at {node.client.server}", hint=error.hint) from None


def digest_of_points(points: Iterable[PointAnnotation]) -> str:
    """Equal for equal positions and properties: what outputs are made of."""
    digest = xxhash.xxh3_64()
    for point in points:
        digest.update(f"{point.zyx} {sorted(point.props.items())}\n".encode())
    return digest.hexdigest()
