"""Key-value instances: skeletons, meshes and other files of bodies, fetched many at a time."""

from __future__ import annotations

import io
import logging
import tarfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from flyem_snapshot.sources.dvid.http import DvidError, Incomplete, Missing

if TYPE_CHECKING:
    from flyem_snapshot.sources.dvid.graph import Node

logger = logging.getLogger(__name__)

BATCH: Final = 200
_FIRST, _LAST = " ", "\U0010ffff"
"""Bounds that no key lies beyond: keys sort by their bytes, and hold no control characters."""

_BLOCK: Final = tarfile.BLOCKSIZE
Values = list[tuple[str, bytes | None]]


def keys(node: Node, instance: str, first: str | None = None, last: str | None = None) -> list[str]:
    """All keys of an instance in the order of their bytes, or those from `first` to `last`, both included.

    To list a store of many millions of keys may take the server longer than it allows itself: ask for ranges.
    """
    node.instance(instance, "keyvalue", "neuronjson")
    if first is None and last is None:
        path = node.path(instance, "keys")
    else:
        path = node.path(instance, "keyrange", first or _FIRST, last or _LAST)
    found = node.client.json(path, check=_require_texts)
    return sorted(found or [], key=str.encode)


def values(node: Node, instance: str, keys: Iterable[str], *, batch: int = BATCH) -> Iterator[tuple[str, bytes | None]]:
    """Each key with its value, in the order of the keys; None where the server has no value for it.

    Fetched by `batch` keys a request, several requests at a time; at most twice as many batches as the client has
    threads are in memory.  A batch that keeps failing is fetched key by key; a key that cannot be fetched at all
    raises DvidError: it is not missing, we do not know.
    """
    node.instance(instance, "keyvalue", "neuronjson")
    for part in node.client.in_parallel(lambda wanted: _batch(node, instance, wanted), _batches(keys, batch)):
        yield from part


def _batches(keys: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(keys)
    while batch := list(islice(rest, size)):
        yield batch


def _batch(node: Node, instance: str, wanted: list[str]) -> Values:
    found: Values = []

    def read(content: bytes) -> None:
        found[:] = read_tar(content, wanted)

    try:
        # Only the keys of this batch are sent with it, never all of them (M24).
        node.client.content(node.path(instance, "keyvalues"), body=wanted, params={"jsontar": "true"}, check=read)
    except DvidError as error:
        # 400: an old server that knows no tar, among other things.
        if (not error.transient and error.status != 400) or not all(map(_fits_a_path, wanted)):
            raise
        logger.warning("%s; asking for its %s keys one by one", error.message, f"{len(wanted):,}")
        return [(key, value(node, instance, key)) for key in wanted]
    return found


def value(node: Node, instance: str, key: str) -> bytes | None:
    """The value of one key; None if there is none, or an empty one, as `values` cannot tell them apart.

    Raises DvidError for a key such as `a/b`, of which the server would see another one; `values` can fetch it.
    """
    path = node.path(instance, "key", key)
    if not _fits_a_path(key):
        raise node.client.error(path, f"the key '{key}' cannot be part of an address")
    try:
        return node.client.content(path) or None
    except Missing:
        return None


def _fits_a_path(key: str) -> bool:
    return key not in ("", ".", "..") and "/" not in key


def read_tar(content: bytes, wanted: list[str]) -> Values:
    """The members of a tar archive, which must be the wanted ones in their order; an empty one is None.

    Raises Incomplete unless the archive is whole.  Python's own reader takes the first thing that is no header for
    the end, so the end is looked at here: nothing but zero bytes, two blocks at least.
    """
    found: Values = []
    end = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                start, size = member.offset_data, member.size
                found.append((member.name, content[start : start + size] or None))
                end = start + -(-size // _BLOCK) * _BLOCK
    except tarfile.TarError as error:
        raise Incomplete(f"this is no tar archive: {error}") from error
    if len(content) < end + 2 * _BLOCK or any(content[end:]):
        raise Incomplete(f"the tar archive has no end after {len(found):,} of {len(wanted):,} members")
    if [key for key, _ in found] != wanted:
        raise Incomplete(f"the tar archive holds {len(found):,} members, not just the {len(wanted):,} asked for")
    return found


def _require_texts(found: Any) -> None:
    if found is not None and not (isinstance(found, list) and all(isinstance(key, str) for key in found)):
        raise Incomplete("this is not a list of keys")
