"""Laws about the files as such: what MANIFEST.json says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flyem_snapshot.connectome.neuprint_files import FOLDER, META_SETTINGS
from flyem_snapshot.engine.outdir import PARTIAL_MARK, file_digest
from flyem_snapshot.errors import DataError, SnapshotError
from flyem_snapshot.verify.checks import Check, Finding
from flyem_snapshot.verify.reading import feather_rows, feather_schema
from flyem_snapshot.verify.snapshot import FLAT_FOLDER, MANIFEST, Snapshot


def manifest_files(snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]:
    """What the manifest says of each file, by path below the snapshot; raises DataError if it cannot be read."""
    path = snapshot.root / MANIFEST
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
    except FileNotFoundError as error:
        raise DataError("there is no such file: this is no finished snapshot", file=path) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot be read: {error}", file=path) from error
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise DataError("does not list files", file=path)
    return files


def _present(snapshot: Snapshot) -> Iterator[tuple[str, Path, Mapping[str, Any]]]:
    for name, entry in manifest_files(snapshot).items():
        path = snapshot.root / name
        if path.is_file():
            yield name, path, entry


def _settings(snapshot: Snapshot) -> Finding:
    try:
        used = snapshot.settings
    except SnapshotError as error:
        return Finding.of(1, [error.message])
    return Finding(1 + bool(used.meta))


def _parts(snapshot: Snapshot) -> Finding:
    outputs = snapshot.settings.config.get("outputs") or {}
    asked = {
        FOLDER: (outputs.get("neuprint") or {}).get("export-neuprint-snapshot"),
        FLAT_FOLDER: (outputs.get("flat-connectome") or {}).get("export-connectome"),
    }
    missing = [name for name, wanted in asked.items() if wanted and not (snapshot.root / name).is_dir()]
    return Finding.of(len(asked), [f"{name}/ was asked for by the settings, but is missing" for name in missing])


def _exist(snapshot: Snapshot) -> Finding:
    files = manifest_files(snapshot)
    return Finding.of(len(files), [f"{name} is missing" for name in files if not (snapshot.root / name).is_file()])


def _contents(snapshot: Snapshot) -> Finding:
    wrong, rows = [], 0
    for name, path, entry in _present(snapshot):
        rows += 1
        size = path.stat().st_size
        if size != entry.get("size"):
            wrong.append(f"{name} has {size:,} bytes, not {entry.get('size')}")
        elif (digest := file_digest(path)) != entry.get("digest"):
            wrong.append(f"{name} has digest {digest}, not {entry.get('digest')}")
    return Finding.of(rows, wrong)


def _tables(snapshot: Snapshot) -> Finding:
    wrong, rows = [], 0
    for name, path, entry in _present(snapshot):
        if path.suffix == ".feather":
            rows += 1
            try:
                schema = {field.name: str(field.type) for field in feather_schema(path)}
                count = feather_rows(path)
            except DataError as error:
                wrong.append(str(error))
                continue
            if entry.get("rows") not in (None, count):
                wrong.append(f"{name} has {count:,} rows, not {entry['rows']}")
            elif entry.get("schema", schema) != schema:
                wrong.append(f"{name} has other columns than the manifest says")
    return Finding.of(rows, wrong)


def _strays(snapshot: Snapshot) -> Finding:
    known = set(manifest_files(snapshot)) | {META_SETTINGS}
    folders = sorted({name.split("/")[0] for name in known if "/" in name} | {FOLDER, FLAT_FOLDER})
    found = [
        path.relative_to(snapshot.root).as_posix()
        for folder in folders
        for path in sorted((snapshot.root / folder).rglob("*"))
        if path.is_file()
    ]
    strange = [name for name in found if name not in known]
    kinds = [
        f"{name} is left over from an interrupted run" if PARTIAL_MARK in name else f"{name} is not in the manifest"
        for name in strange
    ]
    return Finding.of(len(found), kinds)


CHECKS = (
    Check("files/settings", "the settings of the run lie beside its results and can be read", _settings),
    Check("files/parts", "what the settings ask for is there", _parts),
    Check("files/exist", "every file of the manifest exists", _exist),
    Check("files/contents", "every file has the size and the digest that the manifest says", _contents),
    Check("files/tables", "every Feather file can be opened and has the rows and columns of the manifest", _tables),
    Check("files/strays", "the output folders hold no file that the manifest does not know", _strays, warns=True),
)
