"""Downloaded tables of a materialization: they stay in the cache, since a version expires and never changes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from flyem_snapshot.engine.outdir import replace_atomically
from flyem_snapshot.inputs.cave.download import noted_parts
from flyem_snapshot.inputs.cave.settings import CaveSettings

_DATASTACK: Final = "datastack.json"
_TABLE: Final = "table.json"


class Kept:
    """The folder of a version, below `cache/downloads/` of the output; it does not belong to the key of a stage.

    So whoever changes a setting, however late, finds its tables again.  `datastack.json` says what the server said of
    the version, and `table.json` in the folder of each table that is whole what it said of that.
    """

    def __init__(self, output: Path, config: CaveSettings) -> None:
        of_server = hashlib.sha256(f"{config.server_address} {config.datastack}".encode()).hexdigest()[:16]
        self.folder = output / "cache" / "downloads" / f"cave-{of_server}-v{config.version}"

    def claim(self) -> None:
        """Make the folder, and remove those of other versions and servers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for other in [path for path in self.folder.parent.glob("cave-*") if path != self.folder]:
            shutil.rmtree(other)

    def table(self, name: str) -> Path:
        """The folder of a table."""
        return self.folder / name

    def datastack(self) -> dict[str, Any] | None:
        """What is known of the version; None if nothing is."""
        return _read(self.folder / _DATASTACK)

    def keep_datastack(self, about: dict[str, Any]) -> None:
        """Note what the server said of the version."""
        _write(self.folder / _DATASTACK, about)

    def known(self, name: str) -> dict[str, Any] | None:
        """What is known of a table of which every row is here; None if one is missing."""
        about = _read(self.table(name) / _TABLE)
        if about is None or sum(part.rows for part in noted_parts(self.table(name))) != about.get("rows"):
            return None
        return about

    def keep(self, name: str, about: dict[str, Any]) -> None:
        """Note that a table is whole."""
        _write(self.table(name) / _TABLE, about)

    def columns(self, name: str) -> list[str]:
        """The names of the columns of a table that is whole."""
        return list(pq.read_schema(next(_files(self.table(name)))).names)


def _files(folder: Path) -> Iterator[Path]:
    yield from (folder / part.file for part in noted_parts(folder))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write(path: Path, about: dict[str, Any]) -> None:
    text = json.dumps(about, indent=1)
    replace_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
