"""A real export equals the expected one, or a list of sentences says where they first differ."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.oracle.neuprint import Export
from tests.oracle.neuprint_meta import TYPES
from tests.oracle.neuprint_read import Found, read_csvs, read_feather, read_meta_json
from tests.oracle.neuprint_values import NUMBER, Sheet
from tests.oracle.rois import UNSPECIFIED
from tests.oracle.tables import read

FIXED_ORDER = ("Neuprint_Neurons", "Neuprint_Neuron_Connections")
KEYS = (":ID", ":START_ID", ":END_ID")


def assert_export_equals(folder: Path, expected: Export) -> None:
    """Compare every file of a finished `neuprint/` folder that holds data."""
    found = differences(folder, expected)
    assert not found, "\n".join(["the neuPrint export differs from the oracle:", *found[:40]])


def differences(folder: Path, expected: Export) -> list[str]:
    """All kinds of files; one sentence a difference."""
    csvs = read_csvs(folder)
    wrong = [f"{kind}: not expected" for kind in csvs if kind not in {"Neuprint_Meta", *expected.sheets}]
    for kind, sheet in expected.sheets.items():
        if kind in csvs:
            wrong += sheet_differences(kind, csvs[kind], sheet)
        elif len(sheet.rows):
            wrong.append(f"{kind}: no file, but {len(sheet.rows)} rows are expected")
    wrong += meta_differences(csvs["Neuprint_Meta"], expected) if "Neuprint_Meta" in csvs else ["no Neuprint_Meta"]
    for kind in FIXED_ORDER:
        without = set(expected.flags()) if kind == "Neuprint_Neurons" else set()
        wrong += feather_differences(folder / f"{kind}.feather", expected.sheets[kind], without)
    return wrong + count_differences(folder, expected)


def sheet_differences(kind: str, found: Found, expected: Sheet) -> list[str]:
    """Columns, types, rows, then cells; what makes the rest meaningless is reported alone."""
    ours = found.sheet
    wrong = [f"{kind}: {fault}" for fault in found.faults]
    filled = {c for c in ours.rows if (ours.rows[c] != "").any()}
    needed = {c for c in expected.rows if (expected.rows[c] != "").any()}
    wrong += [f"{kind}: property {c} is missing" for c in sorted(needed - filled)]
    wrong += [f"{kind}: property {c} is not expected, {_example(ours.rows, c)}" for c in sorted(filled - needed)]
    if len(ours.rows):
        wrong += [f"{kind}: column {c} has no value in any row" for c in sorted(set(ours.rows) - filled - needed)]
        wrong += _type_differences(kind, ours, expected, needed & filled)
    if kind in FIXED_ORDER:
        wrong += _order_differences(kind, found, expected)
    keys = [k for k in KEYS if k in expected.rows]
    if not set(keys) <= set(ours.rows):
        return wrong
    both = sorted(needed & filled - set(keys))
    tables = [_sorted(s.rows, keys, both) for s in (ours, expected)]
    lost = _row_differences(kind, *tables, keys)
    return wrong + (lost or _cell_differences(kind, tables, keys, both, expected))


def _example(rows: pd.DataFrame, column: str) -> str:
    row = rows[rows[column] != ""].iloc[0]
    return f"e.g. {row[column]!r} in {_named(row, [k for k in KEYS if k in rows])}"


def _named(row: pd.Series, keys: list[str]) -> str:
    return " ".join(f"{k}={row[k]}" for k in keys) or "the only row"


def _type_differences(kind: str, ours: Sheet, expected: Sheet, names: set[str]) -> list[str]:
    wrong = []
    for name in sorted(names):
        (given,), allowed = ours.types[name], expected.types[name]
        if given not in allowed:
            wrong.append(f"{kind}: {name} has type {given!r} instead of {' or '.join(map(repr, allowed))}")
        elif given in {"int", "long"} and not ours.rows[name].str.fullmatch(r"(-?\d+)?").all():
            wrong.append(f"{kind}: {name} is {given} but has a cell that is no integer")
    return wrong


def _order_differences(kind: str, found: Found, expected: Sheet) -> list[str]:
    wrong = []
    for file, header in found.headers.items():
        order = [c for c in expected.rows if c in header]
        flags = [c for c in header if expected.types.get(c) == ("boolean",)]
        ours = [c for c in header if c not in flags and c in order]
        theirs = [c for c in order if c not in flags]
        if ours != theirs:
            at = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
            wrong.append(f"{kind}: {file} has columns in the order {ours[at:]} instead of {theirs[at:]}")
            break
    return wrong


def _sorted(rows: pd.DataFrame, keys: list[str], rest: list[str]) -> pd.DataFrame:
    """By key; rows of one key by all their cells."""
    by = keys if not rows.duplicated(keys).any() else [*keys, *rest]
    return rows.sort_values(by, ignore_index=True)


def _row_differences(kind: str, ours: pd.DataFrame, expected: pd.DataFrame, keys: list[str]) -> list[str]:
    """Rows whose key only one side has, or has more often."""
    if len(ours) == len(expected) and (ours[keys].to_numpy() == expected[keys].to_numpy()).all():
        return []
    counts = [t[keys].value_counts() if len(t) else pd.Series(dtype="int64") for t in (ours, expected)]
    change = counts[0].sub(counts[1], fill_value=0)
    missing, surplus = change[change < 0], change[change > 0]
    text = f"{kind}: {len(ours)} rows instead of {len(expected)}; {len(missing)} keys missing, first "
    return [text + f"{list(missing.index[:3])}; {len(surplus)} keys not expected, first {list(surplus.index[:3])}"]


def _cell_differences(
    kind: str, tables: list[pd.DataFrame], keys: list[str], names: list[str], expected: Sheet
) -> list[str]:
    """The first differing row of each property."""
    wrong = []
    for name in names:
        ours, theirs = (t[name].to_numpy(object) for t in tables)
        at = np.flatnonzero(ours != theirs)
        at = [i for i in at if not same(name, ours[i], theirs[i], expected)]
        if at:
            row = tables[1].loc[at[0]]
            wrong.append(
                f"{kind}: {name} differs in {len(at)} of {len(ours)} rows, first {_named(row, keys)}: "
                f"found {ours[at[0]]!r}, expected {theirs[at[0]]!r}"
            )
    return wrong


def same(name: str, ours: str, expected: str, sheet: Sheet) -> bool:
    """Whether two different texts are one value: numbers, points without blanks, JSON with its order of keys."""
    if not (ours and expected):
        return False
    types = sheet.types[name]
    if "float" in types:
        width = np.float32 if name in sheet.single else np.float64
        return bool(width(ours) == width(expected))
    if types == ("float[]",):
        return list(map(float, ours.split(";"))) == list(map(float, expected.split(";")))
    if any("point" in t for t in types):
        return _numbers(ours) == _numbers(expected)
    if name == "roiInfo":
        pairs = [json.loads(t, object_pairs_hook=list) for t in (ours, expected)]
        return pairs[0] == pairs[1]
    return False


def _numbers(text: str) -> list[float] | None:
    found = re.fullmatch(rf"{{x:({NUMBER}),y:({NUMBER}),z:({NUMBER})}}", text.replace(" ", ""))
    return [float(v) for v in found.groups()] if found else None


def meta_differences(found: Found, expected: Export) -> list[str]:
    """The one row of Meta, property by property."""
    types = {name: kinds[0] for name, kinds in found.sheet.types.items()}
    allowed = TYPES | {name: ("string",) for name in ("ntSynapseProperties",) if name in expected.meta}
    wrong = [f"Meta: {name} is missing in the header" for name in allowed.keys() - types.keys()]
    for name, kind in types.items():
        if name not in allowed:
            wrong.append(f"Meta: {name} is not expected")
        elif kind not in allowed[name]:
            wrong.append(f"Meta: {name} has type {kind!r} instead of {' or '.join(map(repr, allowed[name]))}")
    if len(found.sheet.rows) != 1:
        return [*wrong, f"Meta: {len(found.sheet.rows)} rows"]
    row = found.sheet.rows.iloc[0]
    for name, value in expected.meta.items():
        if name in row:
            ours = meta_value(name, row[name], value)
            if ours != value:
                wrong.append(f"Meta: {name} is {_shorter(ours, value)}")
    return wrong + _property_differences(row, expected)


def meta_value(name: str, text: str, expected: Any) -> Any:
    """A cell of Meta in the form of the expected value; what may be left out or empty is made alike."""
    if isinstance(expected, list) and not name.startswith("neuron"):
        items = text.split(";") if text else []
        return list(map(float, items)) if TYPES[name] == ("float[]",) else items
    if isinstance(expected, bool):
        return {"true": True, "false": False}.get(text)
    if isinstance(expected, int | float):
        return float(text) if text else None
    if isinstance(expected, str):
        return text
    value = read_meta_json(text)
    if name == "neuronColumnsOrdered":
        return [{k: v for k, v in item.items() if (k, v) != ("choices", None)} for item in value]
    if name == "roiInfo":
        assert list(value) == sorted(value), f"Meta.roiInfo: not in the order of names: {list(value)}"
        root = {
            roi: info for roi, info in expected.items() if info["parent"] is None and not info["pre"] + info["post"]
        }
        # The root of the hierarchy is no ROI of its own unless there are points in it.
        return root | {roi: {**info, "description": info["description"] or ""} for roi, info in value.items()}
    return value


def _shorter(ours: Any, expected: Any) -> str:
    """Of two objects only the parts that differ."""
    if isinstance(ours, dict) and isinstance(expected, dict):
        keys = [k for k in {**ours, **expected} if ours.get(k) != expected.get(k)]
        ours, expected = ({k: d.get(k) for k in keys[:5]} for d in (ours, expected))
    return f"{ours!r} instead of {expected!r}"


def _property_differences(row: pd.Series, expected: Export) -> list[str]:
    """Meta.neuronProperties names every Segment property but id, label and flags, with its type."""
    listed = read_meta_json(row["neuronProperties"])
    sheet = expected.sheets["Neuprint_Neurons"]
    flags = expected.flags()
    wanted = {n: t for n, t in sheet.types.items() if n not in {":ID", ":LABEL", *flags}}
    wrong = [f"Meta.neuronProperties: {n} is missing" for n in wanted.keys() - listed.keys()]
    wrong += [f"Meta.neuronProperties: {n} is not expected" for n in listed.keys() - wanted.keys()]
    return wrong + [
        f"Meta.neuronProperties: {n} is {listed[n]!r} instead of {' or '.join(map(repr, t))}"
        for n, t in wanted.items()
        if n in listed and listed[n] not in t
    ]


def feather_differences(path: Path, sheet: Sheet, without: set[str]) -> list[str]:
    """An intermediate table holds what its CSV files hold, without flags."""
    if not path.exists():
        return [f"{path.name}: no such file"]
    found = read_feather(path)
    found.sheet.rows = found.sheet.rows.drop(columns="roiset_hash", errors="ignore")
    kept = [c for c in sheet.rows if c not in without]
    sheet = Sheet(sheet.rows[kept], {c: sheet.types[c] for c in kept}, sheet.single)
    return sheet_differences(path.name, found, sheet)


def count_differences(folder: Path, expected: Export) -> list[str]:
    """body_elements and roi_elements; numbers of partners may be there or not."""
    wrong = []
    for name, table, keys in (
        ("body_elements", expected.body_elements, ["body"]),
        ("roi_elements", expected.roi_elements, ["body", "roi"]),
    ):
        path = folder / f"{name}.feather"
        if not path.exists():
            wrong.append(f"{path.name}: no such file")
            continue
        wrong += _count_differences(path.name, read(path), table, keys)
    return wrong


def _count_differences(name: str, ours: pd.DataFrame, expected: pd.DataFrame, keys: list[str]) -> list[str]:
    wrong = []
    if "body_batch" in ours:
        if not ours["body_batch"].is_monotonic_increasing or (len(ours) < 10_000 and ours["body_batch"].any()):
            wrong.append(f"{name}: body_batch is not the running number // 10000")
        ours = ours.drop(columns="body_batch")
    elif "roi" in keys:
        wrong.append(f"{name}: no body_batch")
    optional = {"upstreamPartners", "downstreamPartners"} - set(ours)
    expected = expected.drop(columns=list(optional & set(expected)))
    if set(ours) != set(expected):
        return [*wrong, f"{name}: columns {list(ours)} instead of {list(expected)}"]
    tables = []
    for table in (ours, expected):
        text = table.astype({"roi": object}).fillna({"roi": UNSPECIFIED}) if "roi" in keys else table
        tables.append(text[list(expected)].astype("str").sort_values(keys, ignore_index=True))
    lost = _row_differences(name, *tables, keys)
    sheet = Sheet(tables[1], dict.fromkeys(expected, ("int",)))
    return wrong + (lost or _cell_differences(name, tables, keys, [c for c in expected if c not in keys], sheet))
