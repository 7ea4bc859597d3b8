"""A small connectome in which every oddity that a neuPrint database must survive occurs.

Texts with quotes, newlines, semicolons, commas, blanks at their ends, backslashes and letters beyond ASCII; body ids
around 2^31, 2^32, 2^53 and 2^63; ROI names with parentheses, apostrophe, `+`, `<`, comma and umlaut; compartments,
mitochondria with distances, somata, bodies that have an element or an annotation but no synapse, autapses, pairs
all of whose connections are below the threshold, confidences exactly at it, connections between ROIs and outside.

The synapses are drawn at random from a fixed seed; everything else is written out.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyarrow import Table, feather

T, H, MIN_CONFIDENCE = 0.5, 0.75, 0.25  # each is exact as a float32

ME, OB, ABC, LO, SMP, EB = "ME(R)", "O'Brien (L)", "a'b'<1+2>", "LO+", "SMP, dorsal", "Rüssel"
PRIMARY = [ME, OB, ABC, LO, SMP, EB]
RIND = "soma rind"  # a region where only elements lie
UNIONS = {"OL <left & right>": [ME, LO], "Mitte's Teil": [OB, ABC, SMP]}
LAYERS = {"ME layer 1": 101, "ME layer 2": 102}
ALL_ROIS = sorted([*PRIMARY, RIND, *UNIONS, *LAYERS])

INT32, INT53, INT63 = 2**31, 2**53, 2**63 - 1
STRONG = [11, INT32 - 1, INT32, INT32 + 7, 2**32, 2**32 + 9, INT53 - 1, INT53 + 1, INT53 + 3, 720575940602270417, INT63]
GLIA, WEAK_ONLY = 21, 22  # many synapses, but never a Neuron; all its connections below the threshold
FRAGMENTS = list(range(100, 130))  # few synapses, not annotated
ELEMENT_ONLY, ANNOTATED_ONLY = 31, INT53 + 5

TEXTS = {
    11: ("KC", 'said "KC", λ'),
    INT32 - 1: ("KC", "two\nlines; and, a comma"),
    INT32: ("Tm1", "Größe 'µm' — ü"),
    INT32 + 7: ("Tm1", '"'),
    2**32: ("Mi<4>+", "ends with a backslash\\"),
    2**32 + 9: ("L(1)", "  blanks around  "),
    INT53 - 1: ("it's", 'tab\tand \\"backslash quote\\"'),
    INT53 + 1: ('""', "null"),
    INT53 + 3: ("a;b;c", "true"),
    720575940602270417: (None, "{x:1, y:2, z:3}"),
    INT63: ("12345", "𝛼𝛽 4-byte letters, `ticks` :Neuron"),
    GLIA: ("glia", None),
    ANNOTATED_ONLY: ("KC", "no synapse"),
}
STATUS = {
    11: "Traced",
    INT32 - 1: "Leaves",
    INT32: "Roughly traced",
    INT32 + 7: "Sensory Anchor",
    2**32: "Finalized",
    2**32 + 9: "",
    INT53 - 1: "Orphan",
    INT53 + 1: "0.5assign",
    INT53 + 3: "Traced",
    720575940602270417: "Traced",
    INT63: None,
    GLIA: "Glia",
    ANNOTATED_ONLY: "Anchor",
}
SYNONYMS = {INT32: "Schmidt 1999: abcde; Müller: XYZ", 2**32: "zabcz", 11: "ab-c"}


def encode(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Point ids: three 21-bit two's complement numbers."""
    x, y, z = (np.asarray(axis, np.int64) & ((1 << 21) - 1) for axis in (x, y, z))
    return ((z << 42) | (y << 21) | x).astype(np.uint64)


def synapses() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and partners: 180 T-bars of the strong bodies and GLIA, about 4 PSDs each, and some special ones."""
    random = np.random.default_rng(7)
    senders = random.choice([*STRONG, GLIA], 180)
    psds = random.integers(1, 8, len(senders))
    owner = np.repeat(np.arange(len(senders)), psds)
    receivers = np.where(
        random.random(len(owner)) < 0.3, random.choice(FRAGMENTS, len(owner)), random.choice(STRONG, len(owner))
    )
    receivers[random.random(len(owner)) < 0.05] = GLIA
    receivers[random.random(len(owner)) < 0.02] = 0
    same = random.random(len(owner)) < 0.06
    receivers[same] = senders[owner[same]]  # autapses

    # A body with nothing but weak connections, both ways.
    senders = np.append(senders, [WEAK_ONLY, 11])
    owner = np.append(owner, [180, 180, 181])
    receivers = np.append(receivers, [11, 11, WEAK_ONLY])

    tbars, count = len(senders), len(senders) + len(owner)
    rank = np.arange(count)
    points = pd.DataFrame({"x": rank * 3 - 900, "y": 10 + rank % 7, "z": 1 + rank % 5}, dtype="int32")
    points.insert(0, "point_id", encode(points["x"], points["y"], points["z"]))
    points["kind"] = pd.Categorical(np.where(rank < tbars, "PreSyn", "PostSyn"))
    conf = random.choice([0.125, 0.25, 0.4, 0.5, 0.51, 0.7, 0.75, 0.9, 0.97], count, p=[0.04, *[0.12] * 8])
    conf[[180, 181]] = 0.9
    conf[-3:] = 0.4
    points["conf"] = conf.astype("float32")
    points["body"] = np.concatenate([senders, receivers]).astype("int64")
    roi = random.choice([*PRIMARY, None], count)
    near = np.append(roi[:tbars][owner][: len(owner)], [])
    roi[tbars:] = np.where(random.random(len(owner)) < 0.8, near, roi[tbars:])  # most connections within one ROI
    points["primary"] = pd.Categorical(roi, categories=PRIMARY)
    points["layer_label"] = np.where(roi == ME, random.choice([0, 101, 102], count), 0).astype("int16")
    points["compartment"] = pd.Categorical(random.choice(["axon", "dendrite", "linker", None], count))
    points["rind"] = pd.Categorical([None] * count, categories=[RIND])
    ids = points["point_id"].to_numpy()
    partners = pd.DataFrame({"pre_id": ids[owner], "post_id": ids[tbars:]})
    return points.sample(frac=1, random_state=3), partners.sample(frac=1, random_state=4)


def annotations() -> pd.DataFrame:
    """One row a body of TEXTS: texts, integers with gaps, booleans with gaps, points, and a column without values."""
    bodies = list(TEXTS)
    table = pd.DataFrame({"body": pd.Series(bodies, dtype="int64")})
    table["status"] = pd.Series([STATUS[b] for b in bodies], dtype="object")
    table["type"] = pd.Series([TEXTS[b][0] for b in bodies], dtype="object")
    table["instance"] = pd.Series([TEXTS[b][1] for b in bodies], dtype="object")
    table["class"] = pd.Series(["optic" if b % 2 else "" for b in bodies], dtype="object")
    table["synonyms"] = pd.Series([SYNONYMS.get(b) for b in bodies], dtype="object")
    table["group"] = pd.Series([b if b > INT32 else None for b in bodies], dtype="Int64")
    table["serial"] = pd.Series([i if i % 3 else None for i in range(len(bodies))], dtype="Int64")
    table["soma_radius"] = pd.Series([None if i % 2 else i + 0.25 for i in range(len(bodies))], dtype="float64")
    table["cropped"] = pd.Series([[True, False, None][i % 3] for i in range(len(bodies))], dtype="object")
    table["soma_position"] = pd.Series([[b % 1000, -3, i] if i % 2 else None for i, b in enumerate(bodies)])
    table["all_empty"] = pd.Series([None] * len(bodies), dtype="object")
    return table


def mitochondria() -> pd.DataFrame:
    """40 mitochondria on bodies with and without synapses, some in a region where no synapse lies."""
    random, count = np.random.default_rng(8), 40
    rank = np.arange(count)
    table = pd.DataFrame({"x": 5000 + rank, "y": 40 - rank, "z": 7 + rank * 0}, dtype="int32")
    table["body"] = random.choice([*STRONG, *FRAGMENTS[:4], ELEMENT_ONLY], count).astype("int64")
    table.loc[0, "body"] = ELEMENT_ONLY
    table["mitoType"] = pd.Categorical(random.choice(["dark", "medium", "light"], count))
    table["size"] = random.integers(10, 2**31 - 1, count)
    for number, axis in enumerate(("r0", "r1", "r2")):
        table[axis] = (random.random(count) * 100 + number).round(3).astype("float32")
    table["checked"] = pd.Series(random.choice([True, False], count))
    roi = random.choice([*PRIMARY, None], count)
    table["primary"] = pd.Categorical(roi, categories=PRIMARY)
    table["layer_label"] = np.where(roi == ME, 101, 0).astype("int16")
    return table


def distances(points: pd.DataFrame) -> pd.DataFrame:
    """The closest mitochondrion of 60 synapses that survive the filters."""
    mito = mitochondria()
    near = points[(points["conf"] >= MIN_CONFIDENCE) & (points["body"] != 0)].sort_values("x")
    table = pd.DataFrame(index=range(60))
    for axis in "xyz":
        table[f"source_{axis}"] = near[axis].to_numpy()[:60]
        table[f"target_{axis}"] = mito[axis].to_numpy()[table.index % len(mito)]
    table["distance"] = (np.arange(60) * 1.37 + 0.1).astype("float32")
    return table


def somata() -> pd.DataFrame:
    """Three somata in a region of their own."""
    table = pd.DataFrame({"x": [7000, 7001, 7002], "y": [1, 2, 3], "z": [9, 9, 9]}, dtype="int32")
    table["body"] = pd.Series([11, INT53 + 1, INT63], dtype="int64")
    table["note"] = pd.Series(['a "soma"', "b; c,\nd", None], dtype="object")
    table["rind"] = pd.Categorical([RIND, RIND, None])
    return table


def sizes() -> pd.DataFrame:
    """Voxels of some bodies, more than 32 bits hold."""
    return pd.DataFrame({"body": [11, INT32, INT63, 100], "size": [5, 2**40, INT53 + 1, 7]}, dtype="int64")


META: dict[str, Any] = {
    "dataset": "odd",
    "tag": "v1.0",
    "description": 'Ein "seltsames" Konnektom; it\'s odd,\nüber zwei Zeilen',
    "postHighAccuracyThreshold": T,
    "postHPThreshold": H,
    "uuid": "abc123",
    "lastDatabaseEdit": "2024-01-01 00:00:00",
    "primaryRois": PRIMARY,
    "excludeFromOverview": [SMP],
    "overviewRois": [r for r in PRIMARY if r != SMP],
    "roiDescriptions": {OB: 'the "left", one'},
    "roiHierarchy": {
        "brain": {
            "OL <left & right>": {ME: "roiset://layer", LO: None},
            "Mitte's Teil": [OB, ABC, SMP],
            EB: None,
            RIND: None,
        }
    },
    "neuronColumnsOrdered": [
        {"id": "bodyId", "name": "body ID"},
        {"id": "type"},
        {"id": "status", "choices": "auto"},
    ],
}

CONFIG: dict[str, Any] = {
    "inputs": {
        "synapses": {
            "syndir": ".",
            "synapse-points": "{syndir}/points.feather",
            "synapse-partners": "{syndir}/partners.feather",
            "min-confidence": MIN_CONFIDENCE,
            "compartment-column": "compartment",
            "roi-set-names": ["primary", "layer", "unions", "rind"],
        },
        "annotations": {"body-annotations-table": "annotations.feather"},
        "body-sizes": {"load-sizes": True, "cache-file": "sizes.feather"},
        "elements": {
            "mito": {
                "point-table": "mito.feather",
                "type": "mitochondrion",
                "distance-table": "distances.feather",
                "roi-set-names": ["primary", "layer", "unions"],
            },
            "soma": {"point-table": "soma.feather", "type": "soma", "roi-set-names": ["rind"]},
        },
        "rois": {
            "roi-sets": {
                "primary": {"source": "point-table", "rois": PRIMARY},
                "layer": {"source": "point-table", "rois": LAYERS},
                "unions": {"source": "unions-of-subrois", "union-source-roiset": "primary", "rois": UNIONS},
                "rind": {"source": "point-table", "rois": [RIND]},
            }
        },
    },
    "outputs": {
        "flat-connectome": {"export-connectome": True, "roi-set": "primary"},
        "neuprint": {
            "export-neuprint-snapshot": True,
            "meta": "neuprint-meta.yaml",
            "roi-set-names": ["primary", "layer", "unions", "rind"],
            "roi-synapse-properties": {"layer": {"layerNumber": "x % 100"}},
            "neuron-label-criteria": {"synweight": 60, "pre": 30, "post": 60},
            "keep-non-synaptic-segments": True,
            "element-labels": {"mito": ":Mito", "soma": "Soma"},
            "element-totals": {
                "mito": {
                    "compute-segment-totals-with-name": "mito",
                    "compute-roi-totals-with-name": "mito",
                    "compute-kind-totals-for-column": "mitoType",
                },
                "soma": {"compute-segment-totals-with-name": "somas", "compute-roi-totals-with-name": "soma"},
            },
            "indexes": {"element-roisets-to-index": [{"neuprint-label": ":Mito", "roisets": ["primary"]}]},
        },
    },
    "job-settings": {"snapshot-tag": "odd", "output-dir": "out", "processes": 1},
}


def write(directory: Path, **overrides: Any) -> Path:
    """Write the tables, neuprint-meta.yaml and config.yaml into a folder; returns the path of config.yaml.

    An override is a dotted path into the configuration: `**{"outputs.neuprint.max-segment-files": 3}`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    points, partners = synapses()
    tables = {
        "points": points,
        "partners": partners,
        "annotations": annotations(),
        "mito": mitochondria(),
        "distances": distances(points),
        "soma": somata(),
        "sizes": sizes(),
    }
    for name, table in tables.items():
        feather.write_feather(Table.from_pandas(table, preserve_index=False), str(directory / f"{name}.feather"))
    (directory / "neuprint-meta.yaml").write_text(json.dumps(META, indent=1))  # JSON is YAML
    config = json.loads(json.dumps(CONFIG))
    for dotted, value in overrides.items():
        *sections, key = dotted.split(".")
        node = config
        for section in sections:
            node = node[section]
        node[key] = value
    path = directory / "config.yaml"
    path.write_text(json.dumps(config, indent=1))
    return path
