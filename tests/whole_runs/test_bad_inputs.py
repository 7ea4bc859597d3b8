"""Bad settings and bad data: one message that says where, what, how many and how to mend it, and nothing half-written.

Each case is the tiny connectome with one thing wrong, run by the command line program.  `{dir}` stands for its folder.
"""

from __future__ import annotations

import io
import json
import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from flyem_snapshot.cli.main import main
from tests import tiny
from tests.running import run
from tests.tiny import DELETE, ORIGIN, annotations, partners, points

SYNAPSES, ROIS, FLAT = "inputs.synapses.", "inputs.rois.roi-sets.", "outputs.flat-connectome."
POINTS, PARTNERS, ANNOTATIONS = (f"{{dir}}/{name}.feather: " for name in ("points", "partners", "annotations"))
DAMAGED = "\n  hint: the file is damaged or incomplete: copy or export it again"
INTEGERS = "\n  hint: write the column as int64 or uint64: a floating point number cannot hold ids above 2^53"
TEXTS = "\n  hint: write the column as text, or as a category of texts"
LABELS = "\n  hint: write the column as integers; a point in no ROI has label 0 (or null, if the type has one)"
NUMBERS = "\n  hint: write the column as float32 or float64"
ENCODED = "\n  hint: write ids as z << 42 | y << 21 | x"
BODY_0 = "\n  hint: points in no body must have body 0"
JSON_FORM = "\n  hint: write a JSON list of names, or {name: id}, or for unions {union: [ROI, ROI, ...]}"
UNION = {"source": "unions-of-subrois", "union-source-roiset": "layer", "rois": {"both": ["layer 1", "layer 2"]}}


@dataclass(frozen=True)
class Case:
    """One thing wrong, and what is said of it.

    `stage` is the stage that fails; without one the fault is found before any stage begins.  `files` are written beside
    the config file, `overrides` are those of `tiny.write`.  A message that ends in `...` is pinned to that place.
    """

    name: str
    message: str
    stage: str = ""
    code: int = 1
    files: dict[str, bytes] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """The config file of the case."""
        config = tiny.write(folder, **self.overrides)
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return config

    def expected(self, folder: Path) -> str:
        """All of stderr."""
        note = f"\n  note: {self.stage} failed; the stages before it are kept, and the same command resumes with it"
        return f"flyem-snapshot: {self.message.replace('{dir}', str(folder))}{note if self.stage else ''}\n"


def setting(name: str, message: str, files: dict[str, bytes] | None = None, **overrides: Any) -> Case:
    """The config file is at fault."""
    return Case(name, "{dir}/config.yaml:" + message, code=2, files=files or {}, overrides=overrides)


def header(name: str, message: str, files: dict[str, bytes] | None = None, **overrides: Any) -> Case:
    """A header, or a small file, is at fault: found before any work."""
    return Case(name, message, files=files or {}, overrides=overrides)


def rows(name: str, message: str, files: dict[str, bytes] | None = None, **overrides: Any) -> Case:
    """Rows of the synapse tables are at fault."""
    return Case(name, message, stage="inputs.synapses", files=files or {}, overrides=overrides)


def changed(table: pd.DataFrame, column: str, row: int, value: Any, dtype: str | None = None) -> pd.DataFrame:
    """A copy in which one cell has another value."""
    cells = table[column].astype(dtype or object)
    cells[row] = value
    return table.assign(**{column: cells})


def without(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return table.drop(columns=list(columns))


def columns_of(table: pd.DataFrame) -> str:
    return f"\n  hint: its columns are: {', '.join(table.columns)}"


def feather_bytes(table: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    pa.feather.write_feather(pa.Table.from_pandas(table, preserve_index=False), sink)
    return sink.getvalue()


def parquet_bytes(table: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), sink)
    return sink.getvalue()


def csv_bytes(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode()


def garbled(content: bytes, start: int, end: int) -> bytes:
    damaged = bytearray(content)
    damaged[start:end] = b"\xff" * len(damaged[start:end])
    return bytes(damaged)


SETTINGS = [
    setting(
        "a misspelt setting",
        "11:68: inputs.synapses.min-confidnce: unknown setting\n  hint: did you mean 'min-confidence'?",
        **{SYNAPSES + "min-confidnce": 0.5},
    ),
    setting(
        "a required setting is missing",
        "11:3: inputs.synapses.synapse-points: is required, but missing\n  hint: Table (Feather, Parquet or CSV) ...",
        **{SYNAPSES + "synapse-points": DELETE},
    ),
    setting(
        "text in place of a number",
        "11:47: inputs.synapses.min-confidence: must be a number between 0 and 1, not 'high'",
        **{SYNAPSES + "min-confidence": "high"},
    ),
    setting(
        "a number out of its range",
        "11:47: inputs.synapses.min-confidence: must be a number between 0 and 1, not 2",
        **{SYNAPSES + "min-confidence": 2},
    ),
    setting(
        "meshes without a server",
        "18:5: outputs.meshes.main.dvid.server: is not set, and there is no segmentation in inputs.dvid-seg\n"
        "  hint: set it here, or name the segmentation's server in inputs.dvid-seg",
        **{"outputs.meshes.main": {"export-meshes": True}},
    ),
    setting(
        "ROIs from DVID without a server",
        "7:9: inputs.rois.roi-sets.layer.source: 'dvid-rois' needs a DVID server, and none is named\n"
        "  hint: set inputs.dvid-seg.server or inputs.rois.dvid.server, or write source: point-table",
        **{ROIS + "layer.source": "dvid-rois"},
    ),
    setting(
        "a table that does not exist",
        "12:54: inputs.synapses.synapse-points: there is no file {dir}/points.feather\n"
        "  hint: did you mean partners.feather or annotations.feather?",
        points=None,
    ),
    setting(
        "a directory in place of a table",
        "12:54: inputs.synapses.synapse-points: {dir}/folder is not a file\n  hint: name a file",
        {"folder/x": b""},
        **{SYNAPSES + "synapse-points": "folder"},
    ),
    setting(
        "a JSON file that does not exist",
        "5:15: inputs.rois.roi-sets.layer.rois: there is no file {dir}/rois.json\n"
        "  hint: nothing in {dir} has a name like it",
        **{ROIS + "layer.rois": "rois.json"},
    ),
    setting(
        "one ROI name listed in two roi-sets",
        "9:9: inputs.rois.roi-sets.primary.rois.ME(R): the ROI 'ME(R)' is in two roi-sets, 'layer' and 'primary'\n"
        "  hint: rename it in one of them, with rename-rois",
        **{
            ROIS + "primary": {"source": "point-table", "rois": ["ME(R)", "O'Brien (L)"]},
            ROIS + "layer.rois": {"ME(R)": 101, "layer 2": 102},
        },
    ),
    setting(
        "a union of an ROI that its source does not list",
        "13:11: inputs.rois.roi-sets.u.rois.both: 'layer' does not list 'layer 3'\n  hint: it lists: layer 1, layer 2",
        **{ROIS + "u": {**UNION, "rois": {"both": ["layer 1", "layer 3"]}}},
    ),
    setting(
        "inheritance from an ROI that the parent does not list",
        "9:23: inputs.rois.roi-sets.primary.parent-rois.0: 'layer' does not list 'layr 1'\n"
        "  hint: it lists: layer 1, layer 2",
        **{ROIS + "primary.parent-roiset": "layer", ROIS + "primary.parent-rois": ["layr 1"]},
    ),
    setting(
        "a compartment column that has another meaning",
        "11:14: inputs.synapses.compartment-column: column 'primary' of the point table has another meaning\n"
        "  hint: name a column that holds axon, dendrite, ..., or remove the setting",
        **{SYNAPSES + "compartment-column": "primary"},
    ),
    setting(
        "compartments that the synapses do not have",
        "16:21: outputs.flat-connectome.compartment-column: is 'part', but inputs.synapses.compartment-column is "
        "compartment\n  hint: write the same name in both, or only there",
        **{FLAT + "compartment-column": "part"},
    ),
    setting(
        "a store of which nothing is known",
        "16:46: outputs.flat-connectome.gcs-bucket-dir: nothing is known of a store foo://\n"
        "  hint: write a bucket, or a URL such as gs://, s3:// or file://",
        **{FLAT + "gcs-bucket-dir": "foo://bucket"},
    ),
    setting(
        "a replacement in a column that does not exist",
        "6:7: inputs.annotations.replace-values.0.source-column: there is no annotation column 'statu'\n"
        "  hint: did you mean 'status'? the columns are: status, type, ...",
        **{"inputs.annotations.replace-values": [{"source-column": "statu", "replacements": {"a": "b"}}]},
    ),
    *(
        setting(
            f"{what} in an ROI name of the settings",
            f"6:{column}: inputs.rois.roi-sets.layer.rois.{roi}: the ROI name {roi!r} contains {what}\n"
            "  hint: choose another name",
            **{ROIS + "layer.rois": {roi: 101, "layer 2": 102}},
        )
        for roi, column, what in [
            ("M`E", 16, "a back-tick"),
            ("M:E", 16, "a colon"),
            ('M"E', 16, "a double quote"),
            ("M;E", 16, "a semicolon"),
            ("M\nE", 18, "a line break or another invisible character"),
        ]
    ),
]

COLUMNS = [
    *(
        header(
            f"no column {column}",
            f"{POINTS}there is no column '{column}' ({purpose}){columns_of(without(points(), column))}",
            points=without(points(), column),
        )
        for column, purpose in [
            ("kind", "PreSyn or PostSyn"),
            ("conf", "confidence of the prediction"),
            ("body", "the neuron the point is on"),
            ("compartment", "inputs.synapses.compartment-column"),
        ]
    ),
    header(
        "neither ids nor coordinates",
        f"{POINTS}there is neither a column 'point_id' nor columns 'x', 'y', 'z'"
        + columns_of(without(points(), "point_id", "x")),
        points=without(points(), "point_id", "x"),
    ),
    *(
        header(
            f"no column {column}",
            f"{PARTNERS}there is no column '{column}' (the {what}'s point id){columns_of(without(partners(), column))}",
            partners=without(partners(), column),
        )
        for column, what in [("pre_id", "T-bar"), ("post_id", "PSD")]
    ),
    header(
        "annotations of no body",
        f"{ANNOTATIONS}there is no column 'body'\n  hint: the columns are: status, type, instance, ...",
        annotations=without(annotations(), "body"),
    ),
    header(
        "no column of a roi-set",
        f"{POINTS}roi-set 'primary' is read from the point table, which has no column 'primary' or 'primary_label'\n"
        "  hint: name the roi-set like the column that holds it; the columns are: point_id, ...",
        points=without(points(), "primary"),
    ),
    header(
        "no labels for a name template",
        f"{POINTS}roi-set 'primary' is read from the point table, which has no column 'primary_label'\n"
        "  hint: name the roi-set like the column that holds it; the columns are: point_id, ...",
        **{ROIS + "primary.rois": "column {x}"},
    ),
    header(
        "labels without names",
        f"{POINTS}column 'layer_label': roi-set 'layer' has labels but no names\n"
        "  hint: give names and labels in inputs.rois.roi-sets.layer.rois",
        **{ROIS + "layer.rois": {}},
    ),
    header(
        "points: columns that differ in case",
        f"{POINTS}column 'Body' differs from 'body' only in upper and lower case\n  hint: rename one of them",
        points=points().assign(Body=1),
    ),
    header(
        "partners: columns that differ in case",
        f"{PARTNERS}column 'PRE_ID' differs from 'pre_id' only in upper and lower case\n  hint: rename one of them",
        partners=partners().assign(PRE_ID=1),
    ),
    *(
        header(
            f"{column} is {kind}",
            f"{POINTS}column '{column}': is of type {kind}, but must be {words}",
            points=points().assign(**{column: value}),
        )
        for column, value, kind, words in [
            ("body", 1.0, "double", f"an integer{INTEGERS}"),
            ("x", 100.0, "double", f"an integer{INTEGERS}"),
            ("point_id", "1", "large_string", f"an integer{INTEGERS}"),
            ("conf", "0.9", "large_string", f"a number{NUMBERS}"),
            ("conf", True, "bool", f"a number{NUMBERS}"),
            ("kind", 1, "int64", f"text{TEXTS}"),
            ("compartment", 1, "int64", f"text{TEXTS}"),
            ("primary", 1.5, "double", f"text{TEXTS}"),
            ("layer_label", 101.0, "double", f"an integer{LABELS}"),
        ]
    ),
    header(
        "both partner ids are floats",
        f"{PARTNERS}column 'pre_id': is of type double, but must be an integer{INTEGERS}\n"
        f"{PARTNERS}column 'post_id': is of type double, but must be an integer{INTEGERS}",
        partners=partners().astype(float),
    ),
    header(
        "confidence of partners is text",
        f"{PARTNERS}column 'conf_pre': is of type large_string, but must be a number{NUMBERS}",
        partners=partners().assign(conf_pre="high"),
    ),
    header(
        "annotated bodies are text",
        f"{ANNOTATIONS}column 'body': must hold whole numbers, but holds large_string\n"
        "  hint: write the column as 64-bit integers",
        annotations=annotations().astype({"body": "str"}),
    ),
]

DEFINITIONS = [
    header(
        f"JSON file: {name}",
        f"{{dir}}/rois.json: {message}",
        {"rois.json": content},
        **{ROIS + "layer.rois": "rois.json"},
    )
    for name, content, message in [
        (
            "broken",
            b"{",
            "cannot be read: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)" + JSON_FORM,
        ),
        ("not UTF-8", b'["\xff"]', "cannot be read: 'utf-8' codec can't decode byte 0xff in position 2: ..."),
        ("a number", b"3", "holds neither a list nor a mapping" + JSON_FORM),
        ("nested", b'[["a"], "b"]', "holds entries of another kind; first: ['a']" + JSON_FORM),
        ("truth for an id", b'{"a": true}', "holds entries of another kind; first: 'a': True" + JSON_FORM),
        ("nested deeply", b"[" * 100_000, "is nested too deeply" + JSON_FORM),
        ("a key twice", b'{"a": 1, "a": 2}', "cannot be read: 'a' is listed twice" + JSON_FORM),
        ("a name twice", b'["a", "a"]', "roi-set 'layer': 'a' is listed 2 times" + JSON_FORM),
        (
            "an id twice",
            b'{"a": 1, "b": 1}',
            "roi-set 'layer': 'b' and 'a' have the same id, 1" + JSON_FORM,
        ),
        (
            "a name with a colon",
            b'{"a:b": 101, "layer 2": 102}',
            "roi-set 'layer': the ROI name 'a:b' contains a colon\n  hint: choose another name",
        ),
    ]
] + [
    header(
        f"JSON file of unions: {name}",
        f"{{dir}}/unions.json: {message}",
        {"unions.json": content},
        **{ROIS + "u": {**UNION, "rois": "unions.json"}},
    )
    for name, content, message in [
        (
            "a list",
            b'["a"]',
            "roi-set 'u': must map each union to a list of ROIs\n  hint: write {union: [ROI, ROI, ...]}",
        ),
        ("text", b'{"a": "layer 1"}', "holds entries of another kind; first: 'a': 'layer 1'" + JSON_FORM),
        (
            "overlapping",
            b'{"a": ["layer 1"], "b": ["layer 1"]}',
            "roi-set 'u': 'layer 1' is already part of 'a'" + JSON_FORM,
        ),
    ]
]

_POINTS_BYTES, _PARTNERS_BYTES, _ANNOTATIONS_BYTES = map(feather_bytes, (points(), partners(), annotations()))
_FEATHER_V1 = b"FEA1" + bytes(100) + b"FEA1"
_CSV, _PARQUET = csv_bytes(points()), parquet_bytes(points())


DAMAGES = [
    *(
        header(
            f"Feather cut off after {what}",
            POINTS + message + DAMAGED,
            {"points.feather": _POINTS_BYTES[:length]},
        )
        for what, length, message in [
            ("nothing", 0, "the file is empty (0 bytes)"),
            ("3 bytes", 3, "is cut off: it has only 3 bytes"),
            ("its mark", 6, "cannot be read as Feather: File is too small: 6"),
            ("its head", 100, "cannot be read as Feather: Not an Arrow file"),
            ("half of it", len(_POINTS_BYTES) // 2, "cannot be read as Feather: Not an Arrow file"),
            ("all but its foot", -100, "cannot be read as Feather: Not an Arrow file"),
            ("all but a byte", -1, "cannot be read as Feather: Not an Arrow file"),
        ]
    ),
    header(
        "partners cut off",
        f"{PARTNERS}cannot be read as Feather: Not an Arrow file{DAMAGED}",
        {"partners.feather": _PARTNERS_BYTES[:-1]},
    ),
    header(
        "annotations cut off",
        f"{ANNOTATIONS}cannot be read as Feather: Not an Arrow file{DAMAGED}",
        {"annotations.feather": _ANNOTATIONS_BYTES[:-1]},
    ),
    header(
        "Feather of version 1",
        f"{PARTNERS}is a Feather file of version 1, which is no longer read\n  hint: convert it once: python -c ...",
        {"partners.feather": _FEATHER_V1},
    ),
    header(
        "CSV under another name",
        f"{POINTS}is named .feather but does not hold Feather: it looks like CSV\n"
        "  hint: if that is right, rename it to points.csv; otherwise export it again",
        {"points.feather": _CSV},
    ),
    header(
        "Parquet cut off",
        "{dir}/p.parquet: cannot be read as Parquet: Parquet magic bytes not found in footer. ...",
        {"p.parquet": _PARQUET[:-9]},
        **{SYNAPSES + "synapse-points": "p.parquet"},
    ),
    rows(
        "Parquet with damaged pages",
        "{dir}/p.parquet: cannot be read: ...",
        {"p.parquet": garbled(_PARQUET, 20, 200)},
        **{SYNAPSES + "synapse-points": "p.parquet"},
    ),
    header(
        "CSV with a short row",
        "{dir}/p.csv: cannot be read as CSV: CSV parse error: Row #29: Expected 11 columns, got 3: 1,2,3" + DAMAGED,
        {"p.csv": _CSV + b"1,2,3\n"},
        **{SYNAPSES + "synapse-points": "p.csv"},
    ),
    header(
        "CSV with a word among numbers",
        f"{{dir}}/p.csv: column 'body': is of type large_string, but must be an integer{INTEGERS}",
        {"p.csv": _CSV.replace(b",11,", b",eleven,", 1)},
        **{SYNAPSES + "synapse-points": "p.csv"},
    ),
    header(
        "CSV in another encoding",
        "{dir}/p.csv: is not UTF-8 text: invalid start byte\n  hint: save it with the encoding UTF-8",
        {"p.csv": _CSV.replace(b"somebody", b"some\xf6ne", 1)},
        **{SYNAPSES + "synapse-points": "p.csv"},
    ),
    rows(
        "CSV of a header only",
        "{dir}/p.csv: the table has no rows\n  hint: export it again; a snapshot needs at least one point",
        {"p.csv": _CSV.splitlines(keepends=True)[0]},
        **{SYNAPSES + "synapse-points": "p.csv"},
    ),
]

NO_KIND = "column 'kind': is neither PreSyn nor PostSyn (1 row); first: row 3: {}\n  hint: mend or remove these points"

VALUES = [
    rows("a null kind", POINTS + NO_KIND.replace("{}", "None"), points=changed(points(), "kind", 3, None)),
    rows("an unknown kind", POINTS + NO_KIND.replace("{}", "presyn"), points=changed(points(), "kind", 3, "presyn")),
    rows(
        "one point twice",
        f"{POINTS}column 'point_id': 1 point id occurs more than once (2 rows); first: {ORIGIN + 101} "
        "(x 101, y 10, z 1)\n  hint: remove the duplicates; two points may not lie on one voxel",
        points=pd.concat([points(), points().iloc[[1]]]),
    ),
    rows(
        "one voxel twice",
        f"{POINTS}column 'point_id': 1 point id occurs more than once (2 rows); first: {ORIGIN + 101} "
        "(x 101, y 10, z 1)\n  hint: remove the duplicates; two points may not lie on one voxel",
        points=without(pd.concat([points(), points().iloc[[1]]]), "point_id"),
    ),
    rows(
        "ids that are not those of the coordinates",
        f"{POINTS}column 'point_id': does not belong to the coordinates beside it (27 rows); first: "
        f"row 0: {ORIGIN + 100}, row 1: {ORIGIN + 101}, row 2: {ORIGIN + 102}\n"
        "  hint: an id is z << 42 | y << 21 | x; drop the column to have it computed",
        points=points().assign(y=np.int32(11)),
    ),
    rows(
        "a coordinate out of range",
        f"{POINTS}column 'z': is outside -1048576 .. 1048575 (1 row); first: row 2: 1048576\n"
        "  hint: point ids have 21 bits for each coordinate",
        points=changed(points(), "z", 2, 2**20, "int64"),
    ),
    rows(
        "a null body",
        f"{POINTS}column 'body': is null (1 row); first: row 4: None{BODY_0}",
        points=changed(points(), "body", 4, pd.NA, "Int64"),
    ),
    rows(
        "a body beyond 63 bits",
        f"{POINTS}column 'body': is above 2^63 - 1 (1 row); first: row 4: 9223372036854775813{BODY_0}",
        points=changed(points(), "body", 4, 2**63 + 5, "uint64"),
    ),
    rows(
        "a negative body",
        f"{POINTS}column 'body': is negative (1 row); first: row 4: -7{BODY_0}",
        points=changed(points(), "body", 4, -7),
    ),
    rows(
        "several rules broken at once",
        "2 problems:\n"
        f"{POINTS}column 'kind': is neither PreSyn nor PostSyn (1 row); first: row 3: psd\n"
        "  hint: mend or remove these points\n"
        f"{POINTS}column 'body': is negative (1 row); first: row 4: -7{BODY_0}",
        points=changed(changed(points(), "body", 4, -7), "kind", 3, "psd"),
    ),
    rows(
        "no points",
        f"{POINTS}the table has no rows\n  hint: export it again; a snapshot needs at least one point",
        points=points().iloc[:0],
    ),
    rows(
        "no partners",
        f"{PARTNERS}the table has no rows\n  hint: export it again; a snapshot needs synapses",
        partners=partners().iloc[:0],
    ),
    rows(
        "a null partner id",
        f"{PARTNERS}column 'pre_id': is null (1 row); first: row 3: None\n"
        "  hint: every row needs the ids of both points",
        partners=changed(partners(), "pre_id", 3, pd.NA, "UInt64"),
    ),
    rows(
        "negative partner ids",
        f"{PARTNERS}column 'pre_id': is negative (20 rows); first: row 0: -1, row 1: -1, row 2: -1{ENCODED}",
        partners=partners().astype("int64").assign(pre_id=-1),
    ),
    rows(
        "pre and post swapped",
        f"{PARTNERS}pre_id must name a PreSyn point and post_id a PostSyn point, but they name points of another kind "
        f"(17 rows); first: pre_id {ORIGIN + 101}, post_id {ORIGIN + 100}, pre_id {ORIGIN + 102}, "
        f"post_id {ORIGIN + 100}, pre_id {ORIGIN + 103}, post_id {ORIGIN + 100}\n"
        "  hint: the columns may be swapped, or the kind column of the points wrong",
        partners=partners().rename(columns={"pre_id": "post_id", "post_id": "pre_id"}),
    ),
    rows(
        "a PSD with two T-bars",
        f"{PARTNERS}column 'post_id': 1 PSD has more than one T-bar (2 rows); first: {ORIGIN + 101}\n"
        "  hint: a PostSyn point may occur in one row only; keep the best pair of each",
        partners=pd.concat([partners(), partners().iloc[[1]].assign(pre_id=np.uint64(ORIGIN + 200))]),
    ),
    rows(
        "tables that do not belong together",
        f"{PARTNERS}none of 20 partner rows is left after filtering; the log says why for each\n"
        "  hint: do the two tables belong together?",
        partners=partners() + np.uint64(10**6),
    ),
    rows(
        "no point is sure enough",
        f"{PARTNERS}none of 20 partner rows is left after filtering; the log says why for each\n"
        "  hint: lower inputs.synapses.min-confidence",
        points=points().assign(conf=np.float32(0.1)),
    ),
    rows(
        "no point has a confidence",
        f"{PARTNERS}none of 20 partner rows is left after filtering; the log says why for each\n"
        "  hint: set inputs.synapses.min-confidence to 0.0",
        points=points().assign(conf=np.float32("nan")),
    ),
    rows(
        "nothing in the zone",
        f"{PARTNERS}none of 20 partner rows is left after filtering; the log says why for each\n"
        "  hint: look at inputs.synapses.zone",
        **{SYNAPSES + "zone": "vnc"},
    ),
]

REGIONS = [
    *(
        rows(
            f"{what} in an ROI name of the table",
            f"{POINTS}column 'primary': the ROI name {roi!r} contains {what}\n"
            "  hint: rename it with inputs.rois.roi-sets.primary.rename-rois",
            points=points().assign(primary=roi),
        )
        for roi, what in [
            ("M`E", "a back-tick"),
            ("M:E", "a colon"),
            ('M"E', "a double quote"),
            ("M;E", "a semicolon"),
            ("M\nE", "a line break or another invisible character"),
        ]
    ),
    rows(
        "an ROI name that is not listed",
        f"{POINTS}column 'primary': ROI names that roi-set 'primary' does not list; first: O'Brien (L)\n"
        "  hint: add them to inputs.rois.roi-sets.primary.rois",
        **{ROIS + "primary.rois": ["ME(R)"]},
    ),
    rows(
        "an ROI label that is not listed",
        f"{POINTS}column 'layer_label': ROI labels that roi-set 'layer' does not list; first: 102\n"
        "  hint: add them to inputs.rois.roi-sets.layer.rois",
        **{ROIS + "layer.rois": {"layer 1": 101}},
    ),
    rows(
        "names and labels that contradict each other",
        f"{POINTS}column 'layer': names and labels of roi-set 'layer' contradict each other: "
        "'layer 1' stands beside label 102\n  hint: drop one of the columns 'layer' and 'layer_label'",
        points=points().assign(layer="layer 1"),
    ),
    rows(
        "names and labels that are not one to one",
        f"{POINTS}column 'primary': names and labels of roi-set 'primary' are not one to one: "
        "'O'Brien (L)' and 7 also occur with others\n"
        "  hint: '<unspecified>' must have label 0, every other name one label of its own",
        points=points().assign(primary_label=7),
    ),
    rows(
        "a negative label",
        f"{POINTS}column 'layer_label': an ROI label must be a whole number from 0; first: -1\n"
        "  hint: write label 0 for points in no ROI",
        points=points().assign(layer_label=np.int16(-1)),
    ),
    rows(
        "one ROI name in two roi-sets of the table",
        f"{POINTS}the ROI 'ME(R)' is in two roi-sets, 'layer' and 'primary'\n"
        "  hint: rename it in one of them, with rename-rois",
        points=without(points().assign(layer=points()["primary"]), "layer_label"),
        **{
            ROIS + "primary": {"source": "point-table", "rois": {}},
            ROIS + "layer": {"source": "point-table", "rois": {}},
        },
    ),
    rows(
        "a union named like an ROI",
        f"{POINTS}the ROI 'layer 1' is in two roi-sets, 'layer' and 'u'\n"
        "  hint: rename it in one of them, with rename-rois",
        **{ROIS + "u": {**UNION, "rois": {"layer 1": ["layer 1"]}}},
    ),
    rows(
        "renames that give two ROIs one name",
        f"{POINTS}column 'primary': the renames of roi-set 'primary' give two ROIs one name; first: O'Brien (L)\n"
        "  hint: to merge ROIs, define a roi-set with source: unions-of-subrois",
        **{ROIS + "primary.rename-rois": {"ME(R)": "O'Brien (L)"}},
    ),
    Case(
        "no connection inside the roi-set",
        "no connection lies inside roi-set 'primary'\n"
        "  hint: unset outputs.flat-connectome.restrict-connectivity-to-roiset, or choose another roi-set",
        stage="outputs.flat-connectome",
        overrides={
            "points": points().assign(primary=pd.Series([None] * 27, dtype=object)),
            FLAT + "restrict-connectivity-to-roiset": "primary",
        },
    ),
]

BODIES = [
    Case(name, ANNOTATIONS + message, stage="inputs.annotations", overrides={"annotations": table})
    for name, message, table in [
        (
            "a body annotated twice",
            f"column 'body': repeats an earlier row (1 row); first: {tiny.A}\n  hint: keep one row for each body",
            pd.concat([annotations(), annotations().iloc[[1]]]),
        ),
        (
            "an annotation of no body",
            "column 'body': has no value (1 row); first: row 3\n  hint: fill in or remove these rows",
            changed(annotations(), "body", 2, pd.NA, "Int64"),
        ),
        (
            "an unknown status",
            "column 'status': unknown status: 'traced' (1 row)\n  hint: did you mean 'Traced' for 'traced'? labels ...",
            changed(annotations(), "status", 0, "traced"),
        ),
    ]
]

PLACES = [
    header(
        "output below a file",
        "cannot write {dir}/file/out/cache: Not a directory\n"
        "  hint: choose another job-settings.output-dir (or scratch-dir) or mend the permissions",
        {"file": b"x"},
        **{"job-settings.output-dir": "file/out"},
    ),
    header(
        "output in place of a file",
        "cannot write {dir}/file/cache: Not a directory\n"
        "  hint: choose another job-settings.output-dir (or scratch-dir) or mend the permissions",
        {"file": b"x"},
        **{"job-settings.output-dir": "file"},
    ),
    header(
        "scratch below a file",
        "cannot write {dir}/file/scratch/...",
        {"file": b"x"},
        **{"job-settings.scratch-dir": "file/scratch"},
    ),
    Case(
        "a file in place of flat-connectome/",
        "cannot write {dir}/out/flat-connectome: File exists\n"
        "  hint: choose another job-settings.output-dir (or scratch-dir) or mend the permissions",
        stage="outputs.flat-connectome",
        files={"out/flat-connectome": b"x"},
    ),
]

CASES = [*SETTINGS, *COLUMNS, *DEFINITIONS, *DAMAGES, *VALUES, *REGIONS, *BODIES, *PLACES]


@pytest.fixture
def command() -> Iterator[Callable[..., int]]:
    """The command line program within this process, which is left as it was."""
    root, package = logging.getLogger(), logging.getLogger("flyem_snapshot")
    handlers, level, terminate = list(root.handlers), package.level, signal.getsignal(signal.SIGTERM)
    yield lambda *words: main([str(word) for word in words])
    root.handlers[:] = handlers
    package.setLevel(level)
    logging.captureWarnings(False)
    signal.signal(signal.SIGTERM, terminate)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_bad_input_ends_in_one_message_and_no_half_written_file(case, tmp_path, command, capsys):
    code = command("-c", case.write(tmp_path))

    assert_message(capsys.readouterr().err, case.expected(tmp_path))
    assert code == case.code
    assert_nothing_half_written(tmp_path / "out", case.stage)


def assert_message(stderr: str, expected: str) -> None:
    """Equal, except for what stands in place of dots at the end of a message."""
    beginning, dots, end = expected.rpartition("...\n")
    if not dots:
        assert stderr == expected
        return
    assert stderr.startswith(beginning)
    assert stderr.endswith(f"\n{end}")
    assert stderr.count("flyem-snapshot: ") == 1
    assert "Traceback" not in stderr
    assert "\n  hint: " in stderr


def assert_nothing_half_written(out: Path, stage: str) -> None:
    """Of the stages before the failed one everything is there, of it and those after it nothing."""
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} if out.is_dir() else set()
    assert not [name for name in files if ".partial-" in name or "scratch" in name]
    finished = {name.split("/")[1].rsplit("-", 1)[0] for name in files if name.endswith(".sentinel")}
    results = {name.split("/")[0] for name in files if name.startswith(("flat-connectome/", "tables/"))}
    assert results <= finished & {"tables"}
    room, _, name = stage.partition(".")
    assert (f"inputs-{name}" if room == "inputs" else name) not in finished
    assert stage or not finished


@pytest.mark.parametrize("name", ["one point twice", "text in place of a number", "Feather of version 1"])
def test_the_command_in_a_process_of_its_own_says_the_same(name, tmp_path):
    case = next(case for case in CASES if case.name == name)

    finished = run("-c", case.write(tmp_path))

    assert_message(finished.stderr, case.expected(tmp_path))
    assert finished.returncode == case.code


def test_a_failed_run_is_mended_and_resumed(tmp_path, command, capsys):
    """What an earlier run made is neither taken for the new result nor left half replaced."""
    assert command("-c", tiny.write(tmp_path)) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out" / "flat-connectome").iterdir()}
    assert command("-c", tiny.write(tmp_path, points=changed(points(), "kind", 3, None))) == 1
    assert not (tmp_path / "out" / "MANIFEST.json").exists()

    assert command("-c", tiny.write(tmp_path)) == 0

    assert {path.name: path.read_bytes() for path in (tmp_path / "out" / "flat-connectome").iterdir()} == before


def exclusions(out: Path, table: str) -> dict[str, int]:
    """The rows left out of a table, by reason, as the run summary has them."""
    summary = json.loads((out / "run-summary.json").read_text())
    entries = summary["stages"]["inputs.synapses"]["exclusions"]
    return {entry["reason"]: entry["rows"] for entry in entries if entry["table"] == table}


def test_points_without_a_confidence_are_left_out_and_counted(tmp_path, command, capsys):
    table = changed(changed(points(), "conf", 1, np.nan, "float32"), "conf", 2, np.nan, "float32")

    assert command("-c", tiny.write(tmp_path, points=table)) == 0

    reason = "no confidence (NaN), and min-confidence is 0.5"
    assert exclusions(tmp_path / "out", "synapse points")[reason] == 3
    assert exclusions(tmp_path / "out", "synapse partners")[f"a point has {reason}"] == 3
    assert f"left out 3 rows of synapse points: {reason}" in capsys.readouterr().out


def test_partners_that_name_no_point_are_left_out_and_counted(tmp_path, command, capsys):
    table = partners().assign(post_id=partners()["post_id"].replace(ORIGIN + 101, ORIGIN + 998))

    assert command("-c", tiny.write(tmp_path, partners=table)) == 0

    reason = "pre_id or post_id is not in the point table"
    assert exclusions(tmp_path / "out", "synapse partners")[reason] == 2
    assert f"left out 2 rows of synapse partners: {reason}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "overrides",
    [
        {"points": points().assign(conf=points()["conf"] * 100, roi_combo=7, row=1)},
        {"partners": partners().assign(row=1, pre_row=2, post_row=3, roi_combo=4)},
        {"annotations": annotations().assign(Type="other", Status="other")},
        {"inputs.rois.roi-sets.layer.parent-roiset": "primary", "inputs.rois.roi-sets.layer.parent-rois": ["MX(R)"]},
    ],
    ids=["confidence above 1", "names that are used within", "names that differ in case", "a parent without points"],
)
def test_what_looks_odd_but_does_no_harm_is_accepted(overrides, tmp_path, command, capsys):
    assert command("-c", tiny.write(tmp_path, **overrides)) == 0
    assert capsys.readouterr().err == ""
    expected = tiny.EXPECTED["connectome-weights"][["body_pre", "body_post", "weight"]]
    written = pa.feather.read_table(
        tmp_path / "out" / "flat-connectome" / "connectome-weights-tiny-minconf-0.5.feather"
    )
    if "points" not in overrides:  # with these, more points are sure enough
        assert written.select(expected.columns).to_pandas().equals(expected)
