"""Reading a real export: CSV files by kind, and the intermediate Feathers in the same form."""

import csv
import gzip
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pandas as pd

from tests.oracle.neuprint_values import Sheet
from tests.oracle.tables import is_null, plain, read


@dataclass
class Found:
    """All files of one kind together; `headers` are the property names of each file in order."""

    sheet: Sheet
    headers: dict[str, list[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def kinds(folder: Path) -> dict[str, list[Path]]:
    """Files by kind: a kind is a file, or a folder of numbered files."""
    found: dict[str, list[Path]] = {}
    for path in sorted([*folder.rglob("*.csv"), *folder.rglob("*.csv.gz")]):
        relative = path.relative_to(folder)
        stem = relative.name.removesuffix(".gz").removesuffix(".csv")
        kind = str(relative.parent) if stem.isdecimal() else str(relative.parent / stem)
        found.setdefault(kind, []).append(path)
    return found


def read_csvs(folder: Path) -> dict[str, Found]:
    """Every kind of a finished export."""
    return {kind: _together(paths, folder) for kind, paths in kinds(folder).items()}


def _open(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8", newline="") if path.suffix == ".gz" else path.open(newline="")


def _property(cell: str) -> tuple[str, str]:
    """`name:type` at the first colon; `:ID(Body-ID)` is the name `:ID` with its space as type."""
    name, _, kind = cell.partition(":")
    if name:
        return name, kind
    special, _, space = kind.partition("(")
    return f":{special.upper()}", space.removesuffix(")")


def _together(paths: list[Path], folder: Path) -> Found:
    found = Found(Sheet(pd.DataFrame(), {}))
    parts = []
    for path in paths:
        file = str(path.relative_to(folder))
        with _open(path) as stream:
            header = [_property(cell) for cell in next(csv.reader(stream))]
        names = [name for name, _ in header]
        found.headers[file] = names
        if len(set(names)) != len(names):
            found.faults.append(f"{file}: a property has two columns: {names}")
        for name, kind in header:
            known = found.sheet.types.setdefault(name, (kind,))
            if known != (kind,):
                found.faults.append(f"{file}: {name} is {kind}, elsewhere {known[0]}")
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False, na_filter=False, header=0, names=names, index_col=False
        )
        parts.append(table)
        found.faults += _empty_texts(path, file)
    found.sheet.rows = pd.concat(parts, ignore_index=True).fillna("").astype("str")
    return found


def _empty_texts(path: Path, file: str) -> list[str]:
    """The importer takes `""` for a property that is an empty text, where there should be none."""
    with _open(path) as stream:
        text = stream.read()
    suspicious = any(f'{before}""{after}' in text for before in ",\n" for after in ",\n")
    # Inside a quoted cell the same letters may be a quoted text, so whole cells are looked at.
    if suspicious and any(cell[0] == '""' for cell in re.finditer(r'"[^"]*(?:""[^"]*)*"', text)):
        return [f"{file}: an empty text instead of no value"]
    return []


def read_feather(path: Path) -> Found:
    """A table whose columns have the names of a CSV header."""
    table = read(path)
    header = [_property(c) for c in table]
    rows = pd.DataFrame({name: _texts(table[c]) for c, (name, _) in zip(table, header, strict=True)}, dtype="str")
    return Found(Sheet(rows, {n: (kind,) for n, kind in header}), {path.name: [n for n, _ in header]})


def _texts(values: pd.Series) -> list[str]:
    return [_text(plain(v)) for v in values.astype(object)]


def _text(value: Any) -> str:
    if is_null(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ";".join(map(_text, value))
    return str(value)


def read_meta_json(text: str) -> Any:
    """Decoded JSON; an object with a key twice is an error."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(items)) != len(items):
            raise ValueError(f"a key occurs twice: {[k for k, _ in items]}")
        return dict(items)

    return json.loads(text, object_pairs_hook=pairs)
