"""Who an input file is: the digest of its content, remembered so that no big file is read twice for it."""

from __future__ import annotations

import json
import logging
import mmap
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import xxhash

from flyem_snapshot.engine.outdir import replace_atomically
from flyem_snapshot.errors import DataError

logger = logging.getLogger(__name__)

_CHUNK: Final = 1 << 24
_SETTLED_NS: Final = 2_000_000_000
"""A file modified within the last two seconds may change again without a new time stamp: not remembered."""


@dataclass(frozen=True)
class FileIdentity:
    """An input file as it was when its content was read: `digest` is the xxh3-128 of all its bytes, in hex."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    digest: str


class FileDigests:
    """Content digests of input files, remembered in `memory` by absolute path, size, mtime and inode."""

    def __init__(self, memory: Path) -> None:
        self.memory = memory
        self.known: dict[str, FileIdentity] = {}
        self._remembered = _load(memory)

    def identify(self, path: Path) -> FileIdentity:
        """The identity of a file, read at most once a run.

        Raises DataError if it cannot be read, is not a file, or changes while it is read.
        """
        name = str(path.absolute())
        if name not in self.known:
            with _reading(path):
                now = _stat(path)
                identity = self._remembered.get(name)
                if identity is None or not _is_same(identity, now):
                    identity = FileIdentity(name, now.st_size, now.st_mtime_ns, now.st_ino, _content_digest(path))
                    _require_unchanged(identity, path)
            self.known[name] = identity
        return self.known[name]

    def require_unchanged(self, path: Path) -> None:
        """Raise DataError if an identified file is no longer the one that was identified."""
        with _reading(path):
            _require_unchanged(self.known[str(path.absolute())], path)

    def save(self) -> None:
        """Remember what is known for later runs."""
        settled = time.time_ns() - _SETTLED_NS
        remembered = {**self._remembered, **self.known}
        content = {n: asdict(i) for n, i in sorted(remembered.items()) if i.mtime_ns < settled}
        replace_atomically(self.memory, lambda temporary: temporary.write_text(json.dumps(content, indent=1)))


def _load(memory: Path) -> dict[str, FileIdentity]:
    try:
        content: Any = json.loads(memory.read_text())
        return {name: FileIdentity(**identity) for name, identity in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        logger.warning("%s is unreadable (%s): input files are digested again", memory, error)
        return {}


def _stat(path: Path) -> os.stat_result:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DataError("is not a file", file=path)
    return status


def _is_same(identity: FileIdentity, status: os.stat_result) -> bool:
    found = (status.st_size, status.st_mtime_ns, status.st_ino)
    return found == (identity.size, identity.mtime_ns, identity.inode)


def _require_unchanged(identity: FileIdentity, path: Path) -> None:
    if not _is_same(identity, _stat(path)):
        raise DataError(
            "was changed while it was being read, so that the result would belong to neither version",
            file=path,
            hint="wait until the file is complete, then run again",
        )


def _content_digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size:
            # Mapped, not read: half the time for a file that is in the page cache.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
                for start in range(0, len(view), _CHUNK):
                    with view[start : start + _CHUNK] as chunk:
                        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror}", file=path, hint="check the path in the config file"
        ) from error
