"""When a stage counts as done, and whose files are whose: sentinels, records and claims.

A stage keeps three files in `cache/`:

    <stage>-<key>.sentinel   zero bytes: the stage is done for this key
    <stage>.json             its `Record`
    <stage>.files            its claims: every file that it has, may have, or is about to write

The order of events makes every instant safe to die at.  Sentinels are removed before the first write; a file is
claimed before anything of it exists; after the last file is in place, files that are claimed but were not written
this time are removed; then the record is replaced, and the sentinel comes last.  So a sentinel means that the files
are complete, and a file that no sentinel stands for is known by its claim.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flyem_snapshot.engine.outdir import (
    PARTIAL_MARK,
    file_digest,
    fsync_directory,
    output_errors,
    replace_atomically,
)
from flyem_snapshot.pipeline.records import CacheCorruptError, Record, safe_path

logger = logging.getLogger(__name__)

# DuckDB puts `tmp_` before the name it was given while it writes.
_PARTIAL: Final = re.compile(rf"(tmp_)?\..*{re.escape(PARTIAL_MARK)}\d+")


class StageCache:
    """The traces of one stage in the `cache/` of an output directory."""

    def __init__(self, root: Path, slug: str) -> None:
        self.root, self.slug = root, slug
        self.folder = root / "cache"
        self.record_path = self.folder / f"{slug}.json"
        self.claims_path = self.folder / f"{slug}.files"

    def sentinel(self, key: str) -> Path:
        """The sentinel of a key."""
        return self.folder / f"{self.slug}-{key}.sentinel"

    def record(self) -> Record | None:
        """What is remembered of the stage's last success; None if nothing is, or nothing that can be trusted."""
        try:
            return Record.load(self.record_path)
        except CacheCorruptError:
            return None

    def claims(self) -> set[str]:
        """Every file the stage may have left, by relative path."""
        try:
            lines = self.claims_path.read_bytes().splitlines()
        except FileNotFoundError:
            return set()
        return set(_readable(lines))

    def fault(self, record: Record) -> str:
        """Why what is recorded does not count as done; empty if it does.  Sizes are compared, nothing is read."""
        if not self.sentinel(record.key).is_file():
            return "its last run did not finish"
        for relative, file in record.files.items():
            try:
                size = (self.root / relative).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return f"{relative} is missing"
            if size != file.size:
                return f"{relative} has {size:,} bytes, expected {file.size:,}"
        return ""

    def damage(self, record: Record) -> str:
        """Which recorded file no longer has its content; empty if all are whole.  Reads every file."""
        for relative, file in record.files.items():
            if file_digest(self.root / relative) != file.digest:
                return f"{relative} is damaged"
        return ""

    @contextmanager
    def rewriting(self, others: Collection[str]) -> Iterator[tuple[Callable[..., None], Callable[[Record], None]]]:
        """Take the stage's sentinels away and let it write.

        Yields `claim(*relatives)`, to be called before files appear, and `finish(record)`, to be called once all
        files are in place.  `others` are files of other stages, which are never removed.
        """
        with output_errors(self.root):
            record = self.record()
            claimed = self.claims() | set(record.files if record else ())
            self._remove_sentinels()
            self._write_claims(claimed)
            journal = self.claims_path.open("ab")
        with journal:

            def claim(*relatives: str) -> None:
                if new := [relative for relative in relatives if relative not in claimed]:
                    journal.writelines(map(_line, new))
                    journal.flush()
                    os.fsync(journal.fileno())
                    claimed.update(new)

            def finish(record: Record) -> None:
                with output_errors(self.root):
                    self._remove_files(claimed.difference(record.files, others))
                    record.save(self.record_path)
                    self._write_claims(record.files)
                    self.sentinel(record.key).touch()
                    fsync_directory(self.folder)

            yield claim, finish

    def _remove_sentinels(self) -> None:
        ours = re.compile(rf"{re.escape(self.slug)}-[0-9a-f]{{32}}\.sentinel")
        for path in [path for path in self.folder.iterdir() if ours.fullmatch(path.name)]:
            path.unlink()
        fsync_directory(self.folder)

    def _write_claims(self, claims: Collection[str]) -> None:
        content = b"".join(map(_line, sorted(claims)))
        replace_atomically(self.claims_path, lambda temporary: temporary.write_bytes(content))

    def _remove_files(self, relatives: Collection[str]) -> None:
        """Remove files of earlier runs, and the directories that this empties."""
        for relative in sorted(relatives):
            path = self.root / relative
            if path.is_file() or path.is_symlink():
                logger.info("removing %s: no longer written", relative)
                path.unlink()
                fsync_directory(path.parent)
            for folder in [self.root / parent for parent in Path(relative).parents[:-1]]:
                if folder == self.folder or not _remove_if_empty(folder):
                    break


def _line(relative: str) -> bytes:
    # JSON, because a file name may contain anything, a line break included.
    return json.dumps(relative).encode() + b"\n"


def _readable(lines: Collection[bytes]) -> Iterator[str]:
    """The paths in a journal; a torn last line names a file that was not yet begun."""
    for line in lines:
        try:
            yield safe_path(str(json.loads(line)))
        except (ValueError, CacheCorruptError):
            continue


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:  # not empty, or already gone
        return not folder.exists()
    return True


def remove_partial_files(root: Path, caches: Collection[StageCache]) -> None:
    """Remove what killed runs left under temporary names.  Only the holder of the lock may do this."""
    claims = {root / relative for cache in caches for relative in cache.claims()}
    for folder in {root, root / "cache", *(path.parent for path in claims)}:
        if folder.is_dir():
            for path in [path for path in folder.iterdir() if _PARTIAL.fullmatch(path.name)]:
                logger.info("removing %s: left by an interrupted run", path.relative_to(root))
                path.unlink()
