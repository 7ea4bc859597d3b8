"""A neuPrint folder of two bodies, written by hand from the description of the files: small, and odd on purpose."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

BIG_BODY = 2**53 + 1
SMALL_BODY = 11
ODD_TEXT = 'a "quote", a comma; a semicolon\nand a line: µ\\\'`<b>'
ROIS = ("ME(R)", "O'Brien (L)", "a+b<c d")
PRE, POST = 5321639619346102, 2564061237685424

_SYNAPSE = "Synapse;tst_Synapse;Element;tst_Element"
_SET = "SynapseSet;tst_SynapseSet;ElementSet;tst_ElementSet"
_SEGMENT = "Segment;tst_Segment;Neuron;tst_Neuron"
_FLAGS = [f"{roi}:boolean" for roi in ROIS]

FILES = {
    "Neuprint_Meta.csv": [
        ["dataset:string", "primaryRois:string[]", "totalPreCount:int", ":Label", "hideDataSet:boolean"],
        ["tst", ";".join(ROIS), "1", "Meta;tst_Meta", "false"],
    ],
    "Neuprint_Neurons/0.csv": [
        [":ID(Body-ID)", "bodyId:long", "post:int", "type:string", "roiInfo:string", "size:long", ":LABEL", *_FLAGS],
        [BIG_BODY, BIG_BODY, 1, ODD_TEXT, '{"ME(R)": {"post": 1}}', 2**40, _SEGMENT, "true", "true", "true"],
    ],
    "Neuprint_Neurons/1.csv": [
        [":ID(Body-ID)", "bodyId:long", "pre:int", "roiInfo:string", ":LABEL"],
        [SMALL_BODY, SMALL_BODY, 1, "{}", "Segment;tst_Segment"],
    ],
    "Neuprint_Neuron_Connections.csv": [
        [":START_ID(Body-ID)", ":END_ID(Body-ID)", "weightHR:int", "weight:int", "roiInfo:string"],
        [SMALL_BODY, BIG_BODY, 1, 1, '{"ME(R)": {"post": 1}}'],
    ],
    "Neuprint_Synapses/000000.csv": [
        [":ID(Element-ID)", "type:string", "confidence:float", "bodyId:long", ":Label", "location:point{srid:9157}"],
        [PRE, "pre", "0.542", SMALL_BODY, _SYNAPSE, "{x:147126, y:1593, z:1210}"],
        [POST, "post", "1.0", BIG_BODY, _SYNAPSE, "{x:147127, y:1593, z:1210}"],
    ],
    "Neuprint_Synapse_Connections.csv": [[":START_ID(Element-ID)", ":END_ID(Element-ID)"], [PRE, POST]],
    "Neuprint_SynapseSet.csv": [
        [":ID(SynSet-ID)", "type:string", ":Label"],
        ["s_pre", "pre", _SET],
        ["s_post", "post", _SET],
    ],
    "Neuprint_Neuron_to_SynapseSet.csv": [
        [":START_ID(Body-ID)", ":END_ID(SynSet-ID)"],
        [SMALL_BODY, "s_pre"],
        [BIG_BODY, "s_post"],
    ],
    "Neuprint_SynapseSet_to_SynapseSet.csv": [[":START_ID(SynSet-ID)", ":END_ID(SynSet-ID)"], ["s_pre", "s_post"]],
    "Neuprint_SynapseSet_to_Synapses.csv": [
        [":START_ID(SynSet-ID)", ":END_ID(Element-ID)"],
        ["s_pre", PRE],
        ["s_post", POST],
    ],
    "Neuprint_Elements/my%20mitos (µ,=)/000000.csv": [
        [":ID(Element-ID)", "bodyId:long", "type:string", ":Label", "location:point{srid:9157}"],
        [7, SMALL_BODY, "mitochondrion", "Element;tst_Element;Mito;tst_Mito", "{x:10, y:1, z:100}"],
    ],
    "Neuprint_Elements_CloseTo_my%20mitos.csv": [
        ["distance:float", ":START_ID(Element-ID)", ":END_ID(Element-ID)"],
        ["1.5", PRE, 7],
    ],
    "Neuprint_ElementSets/Neuprint_ElementSet_mitochondrion.csv": [
        [":ID(ElementSet-ID)", "type:string", ":Label"],
        ["11_mitochondrion", "mitochondrion", "ElementSet;tst_ElementSet"],
    ],
    "Neuprint_Neuron_to_ElementSet_mitochondrion.csv": [
        [":START_ID(Body-ID)", ":END_ID(ElementSet-ID)"],
        [SMALL_BODY, "11_mitochondrion"],
    ],
    "Neuprint_ElementSet_to_Element_mitochondrion.csv": [
        [":START_ID(ElementSet-ID)", ":END_ID(Element-ID)"],
        ["11_mitochondrion", 7],
    ],
}
NODES = 1 + 2 + 2 + 2 + 1 + 1
RELATIONSHIPS = 1 + 1 + 2 + 1 + 2 + 1 + 1 + 1

INDEXES = """\
CREATE CONSTRAINT `tst_SegmentBody` FOR (n:`tst_Segment`) REQUIRE n.`bodyId` IS UNIQUE;
CREATE POINT INDEX `tstElementLocation` FOR (n:`tst_Element`) ON (n.`location`);
CREATE INDEX `flag` FOR (n:`tst_Neuron`) ON (n.`O'Brien (L)`);
CREATE FULLTEXT INDEX `find_neurons_fulltext_properties_index` FOR (n:`tst_Neuron`) ON EACH [n.`type`];
CALL db.awaitIndexes(86400);
"""


def write_snapshot(root: Path, *, compress: bool = False, optional: bool = True) -> Path:
    """Write `root`/neuprint and return `root`; `optional=False` leaves out the files that only elements have."""
    for name, rows in FILES.items():
        if optional or "Element" not in name:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(rows)
            write(root, name, text.getvalue(), compress=compress)
    write(root, "create-indexes.cypher", INDEXES)
    return root


def write(root: Path, name: str, text: str, *, compress: bool = False) -> None:
    path = root / "neuprint" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if compress:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
