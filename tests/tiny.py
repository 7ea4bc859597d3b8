"""A connectome small enough to be read: six bodies, five T-bars and twelve PSDs that survive, every rule in it.

All points lie on the line y = 10, z = 1, so that a point is known by its x: T-bar 100, 200, ... and its PSDs 101, 102,
and so on.  `write` makes a run of it; the tables in `EXPECTED` were worked out by hand from the lists below, not by a
program.

| T-bar | body | fate                                                       |
|-------|------|------------------------------------------------------------|
| 100   | A    | PSDs in ME(R) and O'Brien (L), one of them an autapse      |
| 200   | B    | outside any ROI, two of its PSDs inside                    |
| 300   | C    | compartment null                                           |
| 400   | BIG  | body id that a float cannot hold                           |
| 500   | F    | confidence too low, takes PSD 501 with it                  |
| 600   | A    | orphan                                                     |
| 700   | 0    | body 0, takes PSD 701 with it                              |
| -800  | F    | negative coordinate, confidence exactly at the threshold   |
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
from ruamel.yaml import YAML

A, B, C, E, F = 11, 12, 13, 15, 16
BIG = 9007199254740993  # 2**53 + 1
ME, OB, UN = "ME(R)", "O'Brien (L)", "<unspecified>"
NAN = float("nan")
DELETE = object()  # as the value of an override: leave this key out of config.yaml

ORIGIN = 4398067482624  # id of x=0, y=10, z=1: (1 << 42) | (10 << 21)
UNKNOWN_POINT = ORIGIN + 999

# point_id, x, kind, conf, body, primary, layer_label, compartment
POINTS = [
    (ORIGIN + 100, 100, "PreSyn", 0.9, A, ME, 101, "axon"),
    (ORIGIN + 101, 101, "PostSyn", 0.9, B, ME, 101, "dendrite"),
    (ORIGIN + 102, 102, "PostSyn", 0.8, B, ME, 101, "axon"),
    (ORIGIN + 103, 103, "PostSyn", 0.7, B, ME, 102, "linker"),
    (ORIGIN + 104, 104, "PostSyn", 0.9, A, ME, 102, "dendrite"),
    (ORIGIN + 105, 105, "PostSyn", 0.9, C, OB, 0, "dendrite"),
    (ORIGIN + 106, 106, "PostSyn", 0.9, 0, ME, 101, "dendrite"),  # body 0
    (ORIGIN + 107, 107, "PostSyn", 0.2, B, ME, 101, "dendrite"),  # confidence too low
    (ORIGIN + 108, 108, "PostSyn", NAN, C, ME, 101, "dendrite"),  # no confidence
    (ORIGIN + 200, 200, "PreSyn", 0.8, B, None, 0, "axon"),
    (ORIGIN + 201, 201, "PostSyn", 0.6, BIG, ME, 101, "dendrite"),
    (ORIGIN + 202, 202, "PostSyn", 0.6, BIG, OB, 0, None),
    (ORIGIN + 203, 203, "PostSyn", 0.9, A, None, 0, "dendrite"),
    (ORIGIN + 300, 300, "PreSyn", 0.9, C, OB, 0, None),
    (ORIGIN + 301, 301, "PostSyn", 0.9, A, OB, 0, "axon"),
    (ORIGIN + 400, 400, "PreSyn", 0.95, BIG, ME, 102, "dendrite"),
    (ORIGIN + 401, 401, "PostSyn", 0.9, B, ME, 102, "dendrite"),
    (ORIGIN + 402, 402, "PostSyn", 0.5, F, ME, 102, "axon"),  # exactly at the threshold
    (ORIGIN + 500, 500, "PreSyn", 0.3, F, ME, 101, "axon"),  # confidence too low
    (ORIGIN + 501, 501, "PostSyn", 0.9, B, ME, 101, "dendrite"),
    (ORIGIN + 600, 600, "PreSyn", 0.9, A, ME, 101, "axon"),  # orphan T-bar
    (ORIGIN + 700, 700, "PreSyn", 0.9, 0, ME, 101, "axon"),  # body 0
    (ORIGIN + 701, 701, "PostSyn", 0.9, B, ME, 101, "dendrite"),
    (ORIGIN + 2096352, -800, "PreSyn", 0.5, F, None, 0, "linker"),  # x: 2**21 - 800
    (ORIGIN + 2096351, -801, "PostSyn", 0.9, E, None, 0, "dendrite"),
    (ORIGIN + 900, 900, "PostSyn", 0.9, B, ME, 101, "dendrite"),  # orphan PSD
    (ORIGIN + 950, 950, "Fake", 0.9, B, ME, 101, "dendrite"),
]

# pre_id, post_id
PARTNERS = [
    (ORIGIN + 400, ORIGIN + 402),
    (ORIGIN + 100, ORIGIN + 101),
    (ORIGIN + 100, ORIGIN + 106),  # body 0
    (ORIGIN + 100, ORIGIN + 102),
    (ORIGIN + 200, ORIGIN + 203),
    (ORIGIN + 200, ORIGIN + 201),
    (0, ORIGIN + 900),  # fake
    (ORIGIN + 100, ORIGIN + 107),  # confidence
    (ORIGIN + 100, ORIGIN + 104),  # autapse
    (ORIGIN + 100, UNKNOWN_POINT),
    (ORIGIN + 200, ORIGIN + 202),
    (ORIGIN + 100, ORIGIN + 103),
    (ORIGIN + 300, ORIGIN + 301),
    (ORIGIN + 500, ORIGIN + 501),  # confidence
    (ORIGIN + 950, 0),  # fake
    (ORIGIN + 100, ORIGIN + 105),
    (ORIGIN + 400, ORIGIN + 401),
    (ORIGIN + 100, ORIGIN + 108),  # confidence
    (ORIGIN + 2096352, ORIGIN + 2096351),
    (ORIGIN + 700, ORIGIN + 701),  # body 0
]

# Rows taken, each under the first rule that takes it.
EXCLUDED_POINTS = {"fake": 1, "zone": 0, "confidence": 3, "body_0": 2, "orphan": 4}
EXCLUDED_PARTNERS = {"fake": 2, "zone": 0, "confidence": 3, "body_0": 2, "missing_point": 1}

# body, status, type, instance, class, cell_body_fiber, group, soma_position, notes, all_empty
ANNOTATIONS = [
    (B, "Leaves", "Tm1", "Tm1_R", "optic", "", None, None, "internal", None),
    (A, "Traced", "KC", "KC_R", None, "FB1", BIG, [100, 10, 1], None, None),
    (BIG, "Roughly traced", None, None, "central", None, A, [-800, 10, 1], None, None),
    (0, "Unimportant", None, None, None, None, None, None, None, None),
    (C, "Sensory Anchor", None, None, "", "FB2", None, None, None, None),
    (E, "Orphan", "x", None, None, None, None, None, None, None),
    (17, "", "Tm1", None, None, None, None, None, None, None),  # no synapse
    (18, None, None, None, None, None, None, None, None, None),  # no synapse, no status
]

CONFIG: dict[str, Any] = {
    "inputs": {
        "synapses": {
            "syndir": ".",
            "synapse-points": "{syndir}/points.feather",
            "synapse-partners": "{syndir}/partners.feather",
            "min-confidence": 0.5,
            "compartment-column": "compartment",
        },
        "annotations": {"body-annotations-table": "annotations.feather"},
        "rois": {
            "roi-sets": {
                "primary": {"source": "point-table", "rois": {}},
                "layer": {"source": "point-table", "rois": {"layer 1": 101, "layer 2": 102}},
            }
        },
    },
    "outputs": {"flat-connectome": {"export-connectome": True, "roi-set": "primary"}},
    "job-settings": {"snapshot-tag": "tiny", "output-dir": "out", "processes": 1},
}


def frame(names: str, rows: list[tuple[Any, ...]], **dtypes: str) -> pd.DataFrame:
    """A table from rows; columns without a dtype hold Python values, so that no integer becomes a float."""
    columns = {n: pd.Series([r[i] for r in rows], dtype="object") for i, n in enumerate(names.split())}
    return pd.DataFrame(columns).astype(dtypes)


def points() -> pd.DataFrame:
    """points.feather: `primary` has names only, `layer` has labels only; `user` is a column that is never kept."""
    table = frame(
        "point_id x kind conf body primary layer_label compartment",
        POINTS,
        point_id="uint64",
        x="int32",
        conf="float32",
        body="int64",
        layer_label="int16",
    )
    for column in ("kind", "primary", "compartment"):
        table[column] = table[column].astype("category")
    return table.assign(y=np.int32(10), z=np.int32(1), user="somebody")


def partners() -> pd.DataFrame:
    """partners.feather: the two ids and nothing else."""
    return frame("pre_id post_id", PARTNERS, pre_id="uint64", post_id="uint64")


def annotations() -> pd.DataFrame:
    """annotations.feather: status as plain text, a group with gaps, a list per cell, one column without values."""
    return frame(
        "body status type instance class cell_body_fiber group soma_position notes all_empty",
        ANNOTATIONS,
        body="int64",
        group="Int64",
    )


TABLES = {"points": points, "partners": partners, "annotations": annotations}


def write(directory: Path, **overrides: Any) -> Path:
    """Write the tables and config.yaml into a new or existing folder; returns the path of config.yaml.

    `points`, `partners`, `annotations` replace a table (None: no such file).  Any other override is a dotted path
    into the configuration, such as `**{"inputs.synapses.min-confidence": 0.0}`; the value DELETE leaves the key out.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, make in TABLES.items():
        table = overrides.pop(name) if name in overrides else make()
        if table is not None:
            pa.feather.write_feather(pa.Table.from_pandas(table, preserve_index=False), directory / f"{name}.feather")
    config = _copy(CONFIG)
    for dotted, value in overrides.items():
        *sections, key = dotted.split(".")
        node = config
        for section in sections:
            node = node.setdefault(section, {})
        if value is DELETE:
            node.pop(key, None)
        else:
            node[key] = value
    path = directory / "config.yaml"
    YAML(typ="safe", pure=True).dump(config, path)
    return path


def _copy(node: Any) -> Any:
    return {k: _copy(v) for k, v in node.items()} if isinstance(node, dict) else node


# ---------------------------------------------------------------------------------------------------------------------
# What a run makes of it, written out by hand.

_SYN_POINTS = frame(
    "point_id x y z kind conf body primary primary_label layer layer_label compartment",
    [
        (ORIGIN + 100, 100, 10, 1, "PreSyn", 0.9, A, ME, 1, "layer 1", 101, "axon"),
        (ORIGIN + 101, 101, 10, 1, "PostSyn", 0.9, B, ME, 1, "layer 1", 101, "dendrite"),
        (ORIGIN + 102, 102, 10, 1, "PostSyn", 0.8, B, ME, 1, "layer 1", 101, "axon"),
        (ORIGIN + 103, 103, 10, 1, "PostSyn", 0.7, B, ME, 1, "layer 2", 102, "linker"),
        (ORIGIN + 104, 104, 10, 1, "PostSyn", 0.9, A, ME, 1, "layer 2", 102, "dendrite"),
        (ORIGIN + 105, 105, 10, 1, "PostSyn", 0.9, C, OB, 2, UN, 0, "dendrite"),
        (ORIGIN + 200, 200, 10, 1, "PreSyn", 0.8, B, UN, 0, UN, 0, "axon"),
        (ORIGIN + 201, 201, 10, 1, "PostSyn", 0.6, BIG, ME, 1, "layer 1", 101, "dendrite"),
        (ORIGIN + 202, 202, 10, 1, "PostSyn", 0.6, BIG, OB, 2, UN, 0, "unknown"),
        (ORIGIN + 203, 203, 10, 1, "PostSyn", 0.9, A, UN, 0, UN, 0, "dendrite"),
        (ORIGIN + 300, 300, 10, 1, "PreSyn", 0.9, C, OB, 2, UN, 0, "unknown"),
        (ORIGIN + 301, 301, 10, 1, "PostSyn", 0.9, A, OB, 2, UN, 0, "axon"),
        (ORIGIN + 400, 400, 10, 1, "PreSyn", 0.95, BIG, ME, 1, "layer 2", 102, "dendrite"),
        (ORIGIN + 401, 401, 10, 1, "PostSyn", 0.9, B, ME, 1, "layer 2", 102, "dendrite"),
        (ORIGIN + 402, 402, 10, 1, "PostSyn", 0.5, F, ME, 1, "layer 2", 102, "axon"),
        (ORIGIN + 2096352, -800, 10, 1, "PreSyn", 0.5, F, UN, 0, UN, 0, "linker"),
        (ORIGIN + 2096351, -801, 10, 1, "PostSyn", 0.9, E, UN, 0, UN, 0, "dendrite"),
    ],
    point_id="uint64",
    conf="float32",
    **dict.fromkeys(["x", "y", "z"], "int32"),
    **dict.fromkeys(["body", "primary_label", "layer_label"], "int64"),
)

_SYN_PARTNERS = frame(
    "x_pre body_pre conf_pre x_post body_post conf_post primary_post compartment_pre compartment_post",
    [
        (400, BIG, 0.95, 402, F, 0.5, ME, "dendrite", "axon"),
        (100, A, 0.9, 101, B, 0.9, ME, "axon", "dendrite"),
        (100, A, 0.9, 102, B, 0.8, ME, "axon", "axon"),
        (200, B, 0.8, 203, A, 0.9, UN, "axon", "dendrite"),
        (200, B, 0.8, 201, BIG, 0.6, ME, "axon", "dendrite"),
        (100, A, 0.9, 104, A, 0.9, ME, "axon", "dendrite"),
        (200, B, 0.8, 202, BIG, 0.6, OB, "axon", "unknown"),
        (100, A, 0.9, 103, B, 0.7, ME, "axon", "linker"),
        (300, C, 0.9, 301, A, 0.9, OB, "unknown", "axon"),
        (100, A, 0.9, 105, C, 0.9, OB, "axon", "dendrite"),
        (400, BIG, 0.95, 401, B, 0.9, ME, "dendrite", "dendrite"),
        (-800, F, 0.5, -801, E, 0.9, UN, "linker", "dendrite"),
    ],
    **dict.fromkeys(["x_pre", "x_post"], "int32"),
    **dict.fromkeys(["body_pre", "body_post"], "int64"),
    **dict.fromkeys(["conf_pre", "conf_post"], "float32"),
).assign(**{f"{axis}_{side}": np.int32(v) for axis, v in (("y", 10), ("z", 1)) for side in ("pre", "post")})

_COUNTS = [
    "weight",
    "weightAxonDendrite",
    "weightAxonAxon",
    "weightDendriteDendrite",
    "weightDendriteAxon",
]


def _weights(rows: list[tuple[Any, ...]], extra: str = "") -> pd.DataFrame:
    integers = dict.fromkeys(["body_pre", "body_post", *_COUNTS], "int64")
    return frame(f"body_pre body_post {' '.join(_COUNTS)} {extra}", rows, **integers)


_WEIGHTS = _weights(
    [
        (A, B, 3, 1, 1, 0, 0),
        (B, BIG, 2, 1, 0, 0, 0),
        (A, A, 1, 1, 0, 0, 0),
        (A, C, 1, 1, 0, 0, 0),
        (B, A, 1, 1, 0, 0, 0),
        (C, A, 1, 0, 0, 0, 0),
        (F, E, 1, 0, 0, 0, 0),
        (BIG, B, 1, 0, 0, 1, 0),
        (BIG, F, 1, 0, 0, 0, 1),
    ]
)

_SIGNIFICANT_WEIGHTS = _weights(
    [
        (A, B, 3, 1, 1, 0, 0, "KC", "Tm1"),
        (B, BIG, 2, 1, 0, 0, 0, "Tm1", None),
        (A, A, 1, 1, 0, 0, 0, "KC", "KC"),
        (A, C, 1, 1, 0, 0, 0, "KC", None),
        (B, A, 1, 1, 0, 0, 0, "Tm1", "KC"),
        (C, A, 1, 0, 0, 0, 0, None, "KC"),
        (BIG, B, 1, 0, 0, 1, 0, None, "Tm1"),
    ],
    "type_pre type_post",
)

_TRACED_WEIGHTS = _weights(
    [
        (A, B, 3, 1, 1, 0, 0, "KC", "Tm1"),
        (B, BIG, 2, 1, 0, 0, 0, "Tm1", None),
        (A, A, 1, 1, 0, 0, 0, "KC", "KC"),
        (B, A, 1, 1, 0, 0, 0, "Tm1", "KC"),
        (BIG, B, 1, 0, 0, 1, 0, None, "Tm1"),
    ],
    "type_pre type_post",
)

_BODY_STATS = frame(
    "body pre post status_fine type instance class downstream synweight rank axonIn dendriteIn axonOut dendriteOut",
    [
        (A, 1, 3, "Traced", "KC", "KC_R", None, 5, 8, 1, 1, 2, 5, 0),
        (B, 1, 4, "Leaves", "Tm1", "Tm1_R", "optic", 3, 7, 2, 1, 2, 3, 0),
        (BIG, 1, 2, "Roughly traced", None, None, "central", 2, 4, 3, 0, 1, 0, 2),
        (C, 1, 1, "Sensory Anchor", None, None, "", 1, 2, 4, 0, 1, 0, 0),
        (F, 1, 1, "", None, None, None, 1, 2, 5, 1, 0, 0, 0),
        (E, 0, 1, "Orphan", "x", None, None, 0, 1, 6, 0, 1, 0, 0),
    ],
    **dict.fromkeys(["pre", "post"], "int32"),
    **dict.fromkeys(
        ["body", "downstream", "synweight", "rank", "axonIn", "dendriteIn", "axonOut", "dendriteOut"], "int64"
    ),
)

_BODY_ANNOTATIONS = frame(
    "statusLabel type instance class cellBodyFiber group somaLocation bodyId status",
    [
        ("Leaves", "Tm1", "Tm1_R", "optic", None, None, None, B, "Traced"),
        ("Traced", "KC", "KC_R", None, "FB1", BIG, [100, 10, 1], A, "Traced"),
        ("Roughly traced", None, None, "central", None, A, [-800, 10, 1], BIG, "Traced"),
        ("Sensory Anchor", None, None, None, "FB2", None, None, C, "Anchor"),
        ("Orphan", "x", None, None, None, None, None, E, "Orphan"),
        (None, "Tm1", None, None, None, None, None, 17, None),
        (None, None, None, None, None, None, None, 18, None),
    ],
    bodyId="int64",
    group="Int64",
)

_STATUS_COUNTS = frame(
    "status count",
    [
        ("Traced", 1),
        ("Roughly traced", 1),
        ("Leaves", 1),
        ("Sensory Anchor", 1),
        ("Orphan", 1),
        ("Unimportant", 1),
    ],
    count="int64",
)

# By file stem without tag.
EXPECTED: dict[str, pd.DataFrame] = {
    "syn-points": _SYN_POINTS,
    "syn-partners": _SYN_PARTNERS,
    "connectome-weights": _WEIGHTS,
    "syn-partners-significant-only": _SYN_PARTNERS.iloc[[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]].reset_index(drop=True),
    "syn-partners-traced-only": _SYN_PARTNERS.iloc[[1, 2, 3, 4, 5, 6, 7, 10]].reset_index(drop=True),
    "connectome-weights-significant-only": _SIGNIFICANT_WEIGHTS,
    "connectome-weights-traced-only": _TRACED_WEIGHTS,
    "body-stats": _BODY_STATS,
    "body-annotations": _BODY_ANNOTATIONS,
    "tables/body-annotations": annotations(),
    "tables/body-status-counts": _STATUS_COUNTS,
}

# With restrict-connectivity-to-roiset: primary; the connections to PSD 203 and PSD -801 are gone, T-bar 200 stays.
RESTRICTED_IDS = [ORIGIN + x for x in (100, 101, 102, 103, 104, 105, 200, 201, 202, 300, 301, 400, 401, 402)]
RESTRICTED_WEIGHTS = _weights(
    [
        (A, B, 3, 1, 1, 0, 0),
        (B, BIG, 2, 1, 0, 0, 0),
        (A, A, 1, 1, 0, 0, 0),
        (A, C, 1, 1, 0, 0, 0),
        (C, A, 1, 0, 0, 0, 0),
        (BIG, B, 1, 0, 0, 1, 0),
        (BIG, F, 1, 0, 0, 0, 1),
    ]
)

# With the ROI set `primary` under the name `roi`: most frequent ROI of the PSDs that the body feeds, and receives from.
# F feeds only an unassigned PSD.  A tie goes to the first name: B feeds ME(R), O'Brien (L) and <unspecified> once each.
TOP_ROIS = frame(
    "body top_output_roi top_output_roi_weight top_input_roi top_input_roi_weight",
    [
        (A, ME, 4, UN, 1),
        (B, UN, 1, ME, 4),
        (BIG, ME, 2, ME, 1),
        (C, OB, 1, OB, 1),
        (F, UN, 1, ME, 1),
        (E, None, None, UN, 1),
    ],
    body="int64",
    top_output_roi_weight="Int64",
    top_input_roi_weight="Int64",
)
