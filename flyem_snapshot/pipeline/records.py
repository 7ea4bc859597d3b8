"""What is remembered of a finished stage: its key in clear, its files, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import xxhash

from flyem_snapshot.engine.outdir import FileRecord, replace_atomically


class CacheCorruptError(Exception):
    """A record in the cache cannot be trusted: it is not what we wrote."""


@dataclass(frozen=True)
class Record:
    """A finished stage, as kept in `cache/<stage>.json`.

    `parts` are the named parts of its key in clear, `files` what it wrote (relative path to size, digest and
    rows), `table` what an input stage's table needs to be reopened.
    """

    parts: Mapping[str, Any]
    files: Mapping[str, FileRecord]
    seconds: float = 0.0
    peak_memory: int = 0
    exclusions: tuple[Mapping[str, Any], ...] = ()
    table: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """What names the sentinel: the digest of the parts."""
        return digest_of(self.parts)

    @property
    def rows(self) -> int:
        """Rows in all files whose rows are known."""
        return sum(file.rows or 0 for file in self.files.values())

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.size for file in self.files.values())

    def save(self, path: Path) -> None:
        """Write atomically, with a checksum over everything."""
        # Through JSON and back, so that the checksum is over what a reader will see.
        content = json.loads(json.dumps({"key": self.key, **asdict(self)}))
        text = json.dumps({**content, "checksum": digest_of(content)}, indent=1, ensure_ascii=False)
        replace_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """The record in a file, None if there is no such file; raises CacheCorruptError if it is not what we wrote."""
        try:
            content = json.loads(path.read_bytes())
            if content.pop("checksum") != digest_of(content):
                raise CacheCorruptError("its checksum does not fit")
            del content["key"]
            files = {safe_path(relative): FileRecord(**file) for relative, file in content.pop("files").items()}
            return cls(files=files, exclusions=tuple(content.pop("exclusions")), **content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CacheCorruptError(str(error)) from error


def digest_of(content: Any) -> str:
    """xxh3-128, in hex, of a JSON document in canonical form (keys sorted, nothing spare)."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))


def safe_path(relative: str) -> str:
    """The path itself; raises CacheCorruptError if it could lead out of the output directory."""
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise CacheCorruptError(f"not a path within the output directory: {relative!r}")
    return relative
