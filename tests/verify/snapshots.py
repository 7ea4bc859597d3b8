"""A snapshot of a handful of bodies, written out by hand, and the means to spoil it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
from pyarrow import feather, ipc

from flyem_snapshot.engine.outdir import file_digest

DS = "tiny"
SYNAPSE = "Synapse;tiny_Synapse;Element;tiny_Element"
SET = "SynapseSet;tiny_SynapseSet;ElementSet;tiny_ElementSet"
MITO = "Element;tiny_Element;Mito;tiny_Mito"


def point(x: int, y: int = 2, z: int = 3) -> int:
    return z << 42 | y << 21 | x


# T-bars t1, t2 of body 10, t3 of body 20; PSDs p1..p4; ROI sets primary (A, B) and shell (S).
T1, T2, T3, P1, P2, P3, P4, M1, M2 = (point(x) for x in range(1, 10))

FINAL_CONFIG = """\
inputs:
  synapses: {min-confidence: 0.0, permit-body-0: false}
outputs:
  flat-connectome: {export-connectome: true, restrict-connectivity-to-roiset: null}
  neuprint:
    export-neuprint-snapshot: true
    roi-set-names: [primary, shell]
    compartment-column: null
    element-labels: {mito: ':Mito'}
    element-totals:
      mito: {compute-segment-totals-with-name: mitos, compute-roi-totals-with-name: mito}
    keep-zero: []
job-settings: {snapshot-tag: v1, processes: 2, memory-limit: 500MB}
"""
META_YAML = """\
dataset: tiny
tag: v1
postHighAccuracyThreshold: 0.5
postHPThreshold: 0.7
primaryRois: [A, B]
"""

ROI_INFO = {
    "A": {
        "description": "",
        "excludeFromOverview": False,
        "isNerve": False,
        "isPrimary": True,
        "parent": "S",
        "post": 2,
        "pre": 2,
    },
    "B": {
        "description": "",
        "excludeFromOverview": False,
        "isNerve": False,
        "isPrimary": True,
        "parent": "S",
        "post": 1,
        "pre": 0,
    },
    "S": {
        "description": "",
        "excludeFromOverview": False,
        "isNerve": False,
        "isPrimary": False,
        "parent": None,
        "post": 3,
        "pre": 2,
    },
}
PROPERTIES = {
    "post": "int",
    "pre": "int",
    "downstream": "int",
    "upstream": "int",
    "synweight": "int",
    "upstreamPartners": "int",
    "downstreamPartners": "int",
    "mitos": "int",
    "type": "string",
    "bodyId": "long",
    "roiInfo": "string",
}
HIERARCHY = {"name": "S", "children": [{"name": "A"}, {"name": "B"}]}


def quoted(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return '"' + text.replace('"', '""') + '"'


META = (
    "dataset:string,tag:string,voxelSize:float[],postHighAccuracyThreshold:float,postHPThreshold:float,"
    "primaryRois:string[],superLevelRois:string[],overviewRois:string[],overviewOrder:string,uuid:string,"
    "lastDatabaseEdit:string,totalPreCount:int,totalPostCount:int,neuronProperties:string,roiHierarchy:string,"
    "roiInfo:string,neuronColumnsOrdered:string,neuronColumnsVisible:string,:Label,hideDataSet:boolean\n"
    "tiny,v1,8.0;8.0;8.0,0.5,0.7,A;B,A;B,A;B,clustered,abc,today,3,4,"
    f"{quoted(PROPERTIES)},{quoted(HIERARCHY)},{quoted(ROI_INFO)},[],[],Meta;tiny_Meta,false\n"
)
HEAD = (
    ":ID(Body-ID),post:int,pre:int,downstream:int,upstream:int,synweight:int,upstreamPartners:int,"
    "downstreamPartners:int,mitos:int,type:string,bodyId:long,roiInfo:string,:LABEL"
)
NEURON = "Segment;tiny_Segment;Neuron;tiny_Neuron"
# Body 10: T-bars in A and S.  Body 20: PSDs p1 (A, S), p2 (B, S).  Body 30: PSDs p3 (A, S), p4 (nowhere, low).
INFO_10 = (
    '{"A":{"pre":2,"downstream":2,"synweight":2},"B":{"downstream":1,"synweight":1},"S":{"pre":2,'
    '"downstream":3,"synweight":3}}'
)
INFO_20 = (
    '{"A":{"post":1,"upstream":1,"synweight":1,"mito":1},"B":{"post":1,"upstream":1,"synweight":1},'
    '"S":{"post":2,"upstream":2,"synweight":2,"mito":1}}'
)
INFO_30 = '{"A":{"post":1,"upstream":1,"synweight":1},"S":{"post":1,"upstream":1,"synweight":1}}'
ODD = '"He said ""x, y""\nTürk"'

CSV = {
    "Neuprint_Meta.csv": META,
    "Neuprint_Neurons/0.csv": f"{HEAD},A:boolean,B:boolean,S:boolean\n"
    f"10,0,2,3,0,3,0,2,0,{ODD},10,{quoted(INFO_10)},{NEURON},true,true,true\n"
    f"20,2,1,0,2,2,1,1,1,,20,{quoted(INFO_20)},Segment;tiny_Segment,true,true,true\n",
    "Neuprint_Neurons/1.csv": f"{HEAD},A:boolean,S:boolean\n"
    f"30,2,0,0,2,2,2,0,0,KC,30,{quoted(INFO_30)},{NEURON},true,true\n",
    "Neuprint_Neurons/2.csv": f"{HEAD}\n40,0,0,0,0,0,0,0,1,,40,{{}},Segment;tiny_Segment\n",
    # t1 -> p1 (0.9), t1 -> p2 (0.6), t2 -> p3 (0.8), t3 -> p4 (0.2)
    "Neuprint_Neuron_Connections.csv": ":START_ID(Body-ID),:END_ID(Body-ID),weightHR:int,weight:int,weightHP:int,"
    "roiInfo:string\n"
    '10,20,2,2,1,"{""A"":{""post"":1},""B"":{""post"":1},""S"":{""post"":2}}"\n'
    '10,30,1,1,1,"{""A"":{""post"":1},""S"":{""post"":1}}"\n'
    "20,30,1,0,0,{}\n",
    "Neuprint_Synapses/000000.csv": ":ID(Element-ID),type:string,confidence:float,bodyId:long,:Label,"
    "location:point{srid:9157},S:boolean,A:boolean,B:boolean\n"
    f'{T1},pre,0.9,10,{SYNAPSE},"{{x:1, y:2, z:3}}",true,true,\n'
    f'{T2},pre,0.9,10,{SYNAPSE},"{{x:2, y:2, z:3}}",true,true,\n'
    f'{P1},post,0.9,20,{SYNAPSE},"{{x:4, y:2, z:3}}",true,true,\n'
    f'{P2},post,0.6,20,{SYNAPSE},"{{x:5, y:2, z:3}}",true,,true\n'
    f'{P3},post,0.8,30,{SYNAPSE},"{{x:6, y:2, z:3}}",true,true,\n',
    "Neuprint_Synapses/000001.csv": ":ID(Element-ID),type:string,confidence:float,bodyId:long,:Label,"
    "location:point{srid:9157}\n"
    f'{T3},pre,0.9,20,{SYNAPSE},"{{x:3, y:2, z:3}}"\n'
    f'{P4},post,0.2,30,{SYNAPSE},"{{x:7, y:2, z:3}}"\n',
    "Neuprint_Synapse_Connections.csv": ":START_ID(Element-ID),:END_ID(Element-ID)\n"
    f"{T1},{P1}\n{T1},{P2}\n{T2},{P3}\n{T3},{P4}\n",
    "Neuprint_SynapseSet.csv": ":ID(SynSet-ID),type:string,:Label\n"
    + "".join(f"{pair}_{side},{side},{SET}\n" for side in ("pre", "post") for pair in ("10_20", "10_30", "20_30")),
    "Neuprint_Neuron_to_SynapseSet.csv": ":START_ID(Body-ID),:END_ID(SynSet-ID)\n"
    "10,10_20_pre\n10,10_30_pre\n20,20_30_pre\n20,10_20_post\n30,10_30_post\n30,20_30_post\n",
    "Neuprint_SynapseSet_to_SynapseSet.csv": ":START_ID(SynSet-ID),:END_ID(SynSet-ID)\n"
    "10_20_pre,10_20_post\n10_30_pre,10_30_post\n20_30_pre,20_30_post\n",
    "Neuprint_SynapseSet_to_Synapses.csv": ":START_ID(SynSet-ID),:END_ID(Element-ID)\n"
    f"10_20_pre,{T1}\n10_30_pre,{T2}\n20_30_pre,{T3}\n"
    f"10_20_post,{P1}\n10_20_post,{P2}\n10_30_post,{P3}\n20_30_post,{P4}\n",
    "Neuprint_Elements/mito/000000.csv": ":ID(Element-ID),bodyId:long,size:long,type:string,:Label,"
    "location:point{srid:9157},S:boolean,A:boolean\n"
    f'{M1},20,5,mito,{MITO},"{{x:8, y:2, z:3}}",true,true\n{M2},40,6,mito,{MITO},"{{x:9, y:2, z:3}}",,\n',
    "Neuprint_Elements_CloseTo_mito.csv": f"distance:float,:START_ID(Element-ID),:END_ID(Element-ID)\n1.5,{T1},{M1}\n",
    "Neuprint_ElementSets/Neuprint_ElementSet_mito.csv": ":ID(ElementSet-ID),type:string,:Label\n"
    "20_mito,mito,ElementSet;tiny_ElementSet\n40_mito,mito,ElementSet;tiny_ElementSet\n",
    "Neuprint_Neuron_to_ElementSet_mito.csv": ":START_ID(Body-ID),:END_ID(ElementSet-ID)\n20,20_mito\n40,40_mito\n",
    "Neuprint_ElementSet_to_Element_mito.csv": ":START_ID(ElementSet-ID),:END_ID(Element-ID)\n"
    f"20_mito,{M1}\n40_mito,{M2}\n",
}

COUNTS = ("post", "pre", "downstream", "upstream", "synweight")
BODIES = {
    "body": [10, 20, 30, 40],
    "post": [0, 2, 2, 0],
    "pre": [2, 1, 0, 0],
    "downstream": [3, 0, 0, 0],
    "upstream": [0, 2, 2, 0],
    "synweight": [3, 2, 2, 0],
    "mitos": [0, 1, 0, 1],
}
NOWHERE = "<unspecified>"
ROIS = {
    "body": [10, 10, 10, 20, 20, 20, 20, 30, 30, 30, 40],
    "roi": ["A", "B", "S", NOWHERE, "A", "B", "S", NOWHERE, "A", "S", NOWHERE],
    "post": [0, 0, 0, 0, 1, 1, 2, 1, 1, 1, 0],
    "pre": [2, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0],
    "downstream": [2, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0],
    "upstream": [0, 0, 0, 0, 1, 1, 2, 1, 1, 1, 0],
    "synweight": [2, 1, 3, 0, 1, 1, 2, 1, 1, 1, 0],
    "mito": [0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1],
}
POINTS = {
    "kind": ["PreSyn"] * 3 + ["PostSyn"] * 4,
    "conf": [0.9, 0.9, 0.9, 0.9, 0.6, 0.8, 0.2],
    "body": [10, 10, 20, 20, 20, 30, 30],
    "primary": ["A", "A", NOWHERE, "A", "B", "A", NOWHERE],
    "primary_label": [1, 1, 0, 1, 2, 1, 0],
    "shell": ["S", "S", NOWHERE, "S", "S", "S", NOWHERE],
    "shell_label": [1, 1, 0, 1, 1, 1, 0],
    "point_id": [T1, T2, T3, P1, P2, P3, P4],
}
PARTNERS = {
    "x_pre": [1, 1, 2, 3],
    "y_pre": [2] * 4,
    "z_pre": [3] * 4,
    "body_pre": [10, 10, 10, 20],
    "conf_pre": [0.9] * 4,
    "x_post": [4, 5, 6, 7],
    "y_post": [2] * 4,
    "z_post": [3] * 4,
    "body_post": [20, 20, 30, 30],
    "conf_post": [0.9, 0.6, 0.8, 0.2],
}
WEIGHTS = {"body_pre": [10, 10, 20], "body_post": [20, 30, 30], "weight": [2, 1, 1]}
STATS = {
    "body": [10, 20, 30],
    "pre": [2, 1, 0],
    "post": [0, 2, 2],
    "downstream": [3, 1, 0],
    "synweight": [3, 3, 2],
    "rank": [1, 2, 3],
}
TRACED = (
    {name: values[:2] for name, values in PARTNERS.items()},
    {name: values[:1] for name, values in WEIGHTS.items()},
)
NEURONS = {
    "bodyId:long": [10, 20, 30, 40],
    "synweight:int": [3, 2, 2, 0],
    "roiInfo:string": [INFO_10, INFO_20, INFO_30, "{}"],
}
CONNECTIONS = {
    ":START_ID(Body-ID)": [10, 10, 20],
    ":END_ID(Body-ID)": [20, 30, 30],
    "weightHR:int": [2, 1, 1],
    "weight:int": [2, 1, 0],
    "weightHP:int": [1, 1, 0],
    "roiInfo:string": [
        '{"A":{"post":1},"B":{"post":1},"S":{"post":2}}',
        '{"A":{"post":1},"S":{"post":1}}',
        "{}",
    ],
}
FEATHERS = {
    "neuprint/body_elements.feather": BODIES,
    "neuprint/roi_elements.feather": ROIS,
    "neuprint/Neuprint_Neurons.feather": NEURONS,
    "neuprint/Neuprint_Neuron_Connections.feather": CONNECTIONS,
    "flat-connectome/syn-points-v1-minconf-0.0.feather": POINTS,
    "flat-connectome/syn-partners-v1-minconf-0.0.feather": PARTNERS,
    "flat-connectome/connectome-weights-v1-minconf-0.0.feather": WEIGHTS,
    "flat-connectome/body-stats-v1-minconf-0.0.feather": STATS,
    **{
        f"flat-connectome/{stem}-v1-minconf-0.0-{level}-only.feather": columns
        for level in ("significant", "traced")
        for stem, columns in (("syn-partners", TRACED[0]), ("connectome-weights", TRACED[1]))
    },
}


def write_feather(path: Path, columns: dict[str, list]) -> None:
    table = pa.table(columns)
    for name in ("kind", "primary", "shell"):
        if name in columns:
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, table[name].combine_chunks().dictionary_encode())
    if "point_id" in columns:
        place = table.schema.get_field_index("point_id")
        table = table.set_column(place, "point_id", pa.array(columns["point_id"], pa.uint64()))
    for name in ("conf", "conf_pre", "conf_post"):
        if name in columns:
            table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(pa.float32()))
    feather.write_feather(table, str(path))


def write_snapshot(root: Path, *, gzipped: tuple[str, ...] = ("Neuprint_Synapses/000000.csv",)) -> None:
    (root / "final-config.yaml").write_text(FINAL_CONFIG)
    (root / "neuprint-meta.yaml").write_text(META_YAML)
    for name, text in CSV.items():
        path = root / "neuprint" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name in gzipped:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(text.encode(), mtime=0))
        else:
            path.write_text(text, encoding="utf-8", newline="")
    (root / "flat-connectome").mkdir()
    for name, columns in FEATHERS.items():
        write_feather(root / name, columns)
    write_manifest(root)


def write_manifest(root: Path) -> None:
    files = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.parent != root):
        entry = {"size": path.stat().st_size, "rows": None, "digest": file_digest(path)}
        if path.suffix == ".feather":
            with pa.memory_map(str(path)) as source:
                entry["schema"] = {field.name: str(field.type) for field in ipc.open_file(source).schema}
            entry["rows"] = feather.read_table(path).num_rows
        files[path.relative_to(root).as_posix()] = entry
    (root / "MANIFEST.json").write_text(json.dumps({"snapshot-tag": "v1", "digests": "xxh3-64", "files": files}))
