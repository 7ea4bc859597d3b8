"""The oracle's neuPrint tables on the tiny connectome, worked out by hand."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests import neuprint_tiny, tiny
from tests.neuprint_tiny import LONELY, META, WITH_ELEMENTS, element_id
from tests.oracle.load import load
from tests.oracle.neuprint import Export, export
from tests.oracle.neuprint_meta import TYPES
from tests.oracle.neuprint_values import Columns, Sheet, point
from tests.tiny import BIG, ME, OB, A, B, C, E, F

NEURON = "Segment;tiny_Segment;Neuron;tiny_Neuron"
SEGMENT = "Segment;tiny_Segment"
SYNAPSE = "Synapse;tiny_Synapse;Element;tiny_Element"
COUNTS = [
    "post",
    "pre",
    "downstream",
    "upstream",
    "synweight",
    "upstreamPartners",
    "downstreamPartners",
    "axonIn",
    "dendriteIn",
    "axonOut",
    "dendriteOut",
]
A_INFO = (
    '{"ME(R)":{"post":1,"pre":1,"downstream":4,"upstream":1,"synweight":5,"dendriteIn":1,"axonOut":4},'
    '"O\'Brien (L)":{"post":1,"downstream":1,"upstream":1,"synweight":2,"axonIn":1,"axonOut":1},'
    '"layer 1":{"pre":1,"downstream":2,"synweight":2,"axonOut":2},'
    '"layer 2":{"post":1,"downstream":2,"upstream":1,"synweight":3,"dendriteIn":1,"axonOut":2}}'
)


def made(folder: Path, **settings: Any) -> Export:
    return export(load(neuprint_tiny.write(folder, **settings)))


def table(sheet: Sheet, *keys: str) -> dict[Any, dict[str, str]]:
    """Rows by key, without what is absent."""
    rows = sheet.rows.to_dict("records")
    filled = [{k: v for k, v in row.items() if v != ""} for row in rows]
    return {tuple(r[k] for k in keys) if len(keys) > 1 else r[keys[0]]: r for r in filled}


def segments(result: Export) -> dict[int, dict[str, str]]:
    return {int(body): row for body, row in table(result.sheets["Neuprint_Neurons"], ":ID").items()}


def ends(result: Export, kind: str) -> list[tuple[str, str]]:
    return sorted(result.sheets[kind].rows[[":START_ID", ":END_ID"]].itertuples(index=False, name=None))


# --- Segments --------------------------------------------------------------------------------------------------------


def test_counts_of_segments(tmp_path):
    rows = segments(made(tmp_path))
    expected = {
        A: [3, 1, 5, 3, 8, 3, 3, 1, 2, 5, 0],
        B: [4, 1, 1, 4, 5, 2, 2, 1, 2, 1, 0],
        BIG: [2, 1, 1, 2, 3, 1, 2, 0, 1, 0, 1],
        C: [1, 1, 1, 1, 2, 1, 1, 0, 1, 0, 0],
        F: [1, 1, 1, 1, 2, 1, 1, 1, 0, 0, 0],
        E: [1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0],
    }
    assert {body: [int(row[c]) for c in COUNTS] for body, row in rows.items()} == expected


def test_a_whole_segment(tmp_path):
    result = made(tmp_path)
    row = segments(result)[A]
    counts = [row.pop(name) for name in COUNTS]
    assert counts == ["3", "1", "5", "3", "8", "3", "3", "1", "2", "5", "0"]
    assert row == {
        ":ID": "11",
        "statusLabel": "Traced",
        "status": "Traced",
        "type": "KC",
        "instance": "KC_R",
        "cellBodyFiber": "FB1",
        "group": str(BIG),
        "somaLocation": "{x:100, y:10, z:1}",
        "bodyId": "11",
        "roiInfo": A_INFO,
        ":LABEL": NEURON,
        ME: "true",
        OB: "true",
        "layer 1": "true",
        "layer 2": "true",
    }
    assert {r: segments(result)[r]["roiInfo"] for r in (E, F)} == {
        E: "{}",
        F: '{"ME(R)":{"post":1,"upstream":1,"synweight":1,"axonIn":1},'
        '"layer 2":{"post":1,"upstream":1,"synweight":1,"axonIn":1}}',
    }
    sheet = result.sheets["Neuprint_Neurons"]
    assert list(sheet.rows) == [
        ":ID",
        *COUNTS,
        *[
            "statusLabel",
            "type",
            "instance",
            "class",
            "cellBodyFiber",
            "group",
            "somaLocation",
            "bodyId",
            "status",
            "roiInfo",
            ":LABEL",
        ],
        ME,
        OB,
        "layer 1",
        "layer 2",
    ]
    assert sheet.types["group"] == ("long",)
    assert sheet.types["somaLocation"] == ("point{srid:9157}",)


@pytest.mark.parametrize(
    ("criteria", "neurons"),
    [
        ({}, {A, B, BIG, C, E}),
        ({"properties": [], "status": []}, set()),
        ({"properties": [], "status": [], "post": 3}, {A, B}),
        ({"properties": [], "status": [], "synweight": 3}, {A, B, BIG}),
        ({"properties": [], "status": ["Orphan"]}, {E}),
        ({"properties": ["type", "nothing"], "status": [], "excluded-status": ["Orphan"]}, {A, B}),
        ({"properties": [], "status": [], "pre": 0, "excluded-status": []}, {A, B, BIG, C, E, F}),
    ],
)
def test_label_criteria(tmp_path, criteria, neurons):
    rows = segments(made(tmp_path, **{"outputs.neuprint.neuron-label-criteria": criteria}))
    assert {body for body, row in rows.items() if row[":LABEL"] == NEURON} == neurons
    assert {row[":LABEL"] for row in rows.values()} <= {NEURON, SEGMENT}


def test_annotated_bodies_without_synapses_are_kept_on_request(tmp_path):
    rows = segments(made(tmp_path, **{"outputs.neuprint.keep-non-synaptic-segments": True}))
    assert set(rows) == {A, B, BIG, C, E, F, 17, 18}
    assert (rows[17]["type"], rows[17]["bodyId"], rows[17]["roiInfo"], rows[17]["post"]) == ("Tm1", "17", "{}", "0")
    assert (rows[17][":LABEL"], rows[18][":LABEL"]) == (NEURON, SEGMENT)


def test_consistent_totals_count_confident_points_only(tmp_path):
    rows = segments(made(tmp_path, **{"outputs.neuprint.consistent-totals": True}))
    assert [int(rows[BIG][c]) for c in COUNTS] == [0, 1, 1, 0, 1, 1, 2, 0, 0, 0, 1]
    assert [int(rows[F][c]) for c in COUNTS] == [0, 0, 1, 0, 1, 1, 1, 0, 0, 0, 0]  # T-bar -800 has 0.5
    assert rows[F]["roiInfo"] == "{}"


def test_zeros_are_kept_on_request_in_the_rois_of_a_segment(tmp_path):
    rows = segments(made(tmp_path, **{"outputs.neuprint.keep-zero": ["pre", "post"]}))
    assert rows[F]["roiInfo"] == (
        '{"ME(R)":{"post":1,"pre":0,"upstream":1,"synweight":1,"axonIn":1},'
        '"layer 2":{"post":1,"pre":0,"upstream":1,"synweight":1,"axonIn":1}}'
    )
    assert rows[E]["roiInfo"] == "{}"


def test_without_annotations_a_segment_has_its_id(tmp_path):
    result = made(tmp_path, annotations=None, **{"inputs.annotations": tiny.DELETE})
    assert list(result.sheets["Neuprint_Neurons"].rows)[len(COUNTS) + 1 :][:3] == ["bodyId", "roiInfo", ":LABEL"]
    assert {row[":LABEL"] for row in segments(result).values()} == {SEGMENT}


def test_without_roi_sets_there_are_no_flags(tmp_path):
    meta = META | {"primaryRois": [], "roiHierarchy": {"brain": [ME]}}
    result = made(tmp_path, **{"inputs.rois.roi-sets": tiny.DELETE, "outputs.neuprint.meta": meta})
    assert {row["roiInfo"] for row in segments(result).values()} == {"{}"}
    assert list(result.sheets["Neuprint_Neurons"].rows)[-2:] == ["roiInfo", ":LABEL"]
    assert {row["roiInfo"] for row in table(result.sheets["Neuprint_Neuron_Connections"], ":END_ID").values()} == {"{}"}


# --- connections and synapses ----------------------------------------------------------------------------------------


def test_connections(tmp_path):
    sheet = made(tmp_path).sheets["Neuprint_Neuron_Connections"]
    in_me = '{"ME(R)":{"post":1,"weight%s":1},"layer 2":{"post":1,"weight%s":1}}'
    expected = [
        (A, A, 1, 1, 1, 1, 0, 0, 0, in_me % (("AxonDendrite",) * 2)),
        (
            *(A, B, 3, 3, 1, 1, 1, 0, 0),
            (
                '{"ME(R)":{"post":3,"weightAxonDendrite":1,"weightAxonAxon":1},'
                '"layer 1":{"post":2,"weightAxonDendrite":1,"weightAxonAxon":1},"layer 2":{"post":1}}'
            ),
        ),
        (A, C, 1, 1, 1, 1, 0, 0, 0, '{"O\'Brien (L)":{"post":1,"weightAxonDendrite":1}}'),
        (B, A, 1, 1, 1, 1, 0, 0, 0, "{}"),
        (B, BIG, 2, 0, 0, 0, 0, 0, 0, "{}"),
        (C, A, 1, 1, 1, 0, 0, 0, 0, '{"O\'Brien (L)":{"post":1}}'),
        (F, E, 1, 1, 1, 0, 0, 0, 0, "{}"),
        (BIG, B, 1, 1, 1, 0, 0, 1, 0, in_me % (("DendriteDendrite",) * 2)),
        (BIG, F, 1, 0, 0, 0, 0, 0, 0, "{}"),
    ]
    assert sheet.rows.to_numpy().tolist() == [list(map(str, row)) for row in expected]
    assert list(sheet.rows)[2:5] == ["weightHR", "weight", "weightHP"]


def test_a_high_threshold_below_the_other_gives_weight_too(tmp_path):
    meta = META | {"postHPThreshold": 0.6}
    rows = table(
        made(tmp_path, **{"outputs.neuprint.meta": meta}).sheets["Neuprint_Neuron_Connections"], ":START_ID", ":END_ID"
    )
    row = rows[str(B), str(BIG)]
    assert [row[n] for n in ("weightHR", "weight", "weightHP", "weightAxonDendrite")] == ["2", "2", "2", "0"]
    assert row["roiInfo"] == "{}"


def test_synapses_and_their_sets(tmp_path):
    formulas = {"layer": {"layerNumber": "x % 100", "area": "x // 100"}}
    points = tiny.points().assign(split="train", pieces=range(len(tiny.POINTS)))
    result = made(tmp_path, points=points, **{"outputs.neuprint.roi-synapse-properties": formulas})
    rows = table(result.sheets["Neuprint_Synapses"], ":ID")
    assert len(rows) == 17
    assert rows[element_id(103)] == {
        ":ID": element_id(103),
        "type": "post",
        "confidence": "0.7",
        "bodyId": str(B),
        "compartment": "linker",
        "pieces": "3",
        ":LABEL": SYNAPSE,
        "location": "{x:103, y:10, z:1}",
        "layerNumber": "2",
        "area": "1",
        ME: "true",
        "layer 2": "true",
    }
    assert rows[str(tiny.ORIGIN + 2096352)]["location"] == "{x:-800, y:10, z:1}"
    assert len(ends(result, "Neuprint_Synapse_Connections")) == 12
    assert ends(result, "Neuprint_SynapseSet_to_SynapseSet")[0] == ("11_11_pre", "11_11_post")
    assert [e for e in ends(result, "Neuprint_SynapseSet_to_Synapses") if e[0].startswith("11_12_")] == [
        *(("11_12_post", element_id(x)) for x in (101, 102, 103)),
        ("11_12_pre", element_id(100)),
    ]
    sets = table(result.sheets["Neuprint_SynapseSet"], ":ID")
    assert len(sets) == 18
    assert sets["11_12_post"]["type"] == "post"
    assert ("12", "11_12_post") in ends(result, "Neuprint_Neuron_to_SynapseSet")


def test_sets_that_are_not_exported_leave_no_property(tmp_path):
    result = made(tmp_path, **{"outputs.neuprint.roi-set-names": ["layer"]})
    assert list(result.sheets["Neuprint_Synapses"].rows) == [
        ":ID",
        *["type", "confidence", "bodyId", "compartment", ":LABEL", "location"],
        "layer 1",
        "layer 2",
    ]
    assert ME not in segments(result)[A]["roiInfo"]


# --- restrictions ----------------------------------------------------------------------------------------------------


def test_restricted_totals(tmp_path):
    result = made(tmp_path, **{"outputs.neuprint.restrict-info-totals-to-roiset": "primary"})
    rows = segments(result)
    assert set(rows) == {A, B, BIG, C, F}  # -801 and 203 are outside, and -800 with them; 402 keeps F
    assert [int(rows[B][c]) for c in COUNTS] == [4, 1, 0, 4, 4, 2, 1, 1, 2, 0, 0]
    assert len(result.sheets["Neuprint_Synapses"].rows) == 14


def test_restricted_connectivity(tmp_path):
    """Layers hold PSDs 101 to 104, 201, 401, 402: bodies A, B, BIG and F are in; E and C are not."""
    result = made(tmp_path, **{"outputs.neuprint.restrict-connectivity-to-roiset": "layer"})
    rows = segments(result)
    assert set(rows) == {A, B, BIG, F}
    assert [int(rows[A][c]) for c in COUNTS] == [3, 1, 5, 3, 8, 3, 3, 1, 2, 5, 0]
    assert OB in rows[A]
    pairs = ends(result, "Neuprint_Neuron_Connections")
    assert sorted(pairs) == sorted((str(a), str(b)) for a, b in [(A, A), (A, B), (B, BIG), (BIG, B), (BIG, F)])
    ids = {element_id(x) for x in (100, 101, 102, 103, 104, 200, 201, 400, 401, 402)}
    assert set(result.sheets["Neuprint_Synapses"].rows[":ID"]) == ids
    assert result.meta["totalPreCount"] == 2  # T-bars 100 and 400
    assert result.meta["totalPostCount"] == 7


# --- elements --------------------------------------------------------------------------------------------------------


def test_elements_count_for_segments_and_may_make_them(tmp_path):
    rows = segments(made(tmp_path, **WITH_ELEMENTS))
    totals = {body: [row[n] for n in ("totalMito", "dark", "light")] for body, row in rows.items()}
    assert {b: t for b, t in totals.items() if t != ["0", "0", "0"]} == {
        A: ["2", "2", "0"],
        B: ["1", "0", "0"],
        LONELY: ["1", "0", "1"],
    }
    assert rows[LONELY]["roiInfo"] == '{"ME(R)":{"mito":1,"light":1},"layer 2":{"mito":1,"light":1}}'
    assert rows[LONELY][":LABEL"] == SEGMENT
    assert rows[A]["roiInfo"].startswith(A_INFO[: A_INFO.index("}")] + ',"mito":1,"dark":1}')


def test_nodes_of_elements(tmp_path):
    result = made(tmp_path, **WITH_ELEMENTS)
    sheet = result.sheets["Neuprint_Elements/mito"]
    rows = table(sheet, ":ID")
    assert rows[element_id(1000)] == {
        ":ID": element_id(1000),
        "bodyId": str(A),
        "mitoType": "dark",
        "size": str(2**31),
        "score": "0.396",
        "nearPosition": "{x:1, y:2, z:3}",
        "type": "mitochondrion",
        ":LABEL": "Element;tiny_Element;Mito;tiny_Mito",
        "location": "{x:1000, y:10, z:1}",
        ME: "true",
        "layer 1": "true",
    }
    assert rows[element_id(1002)]["nearPosition"] == "{x:4, y:5, z:6.5}"
    assert "nearPosition" not in rows[element_id(1003)]
    assert len(rows) == 4
    assert sheet.types["score"] == ("float",)
    assert sheet.types["size"] == ("long",)


def test_sets_of_elements_and_distances(tmp_path):
    result = made(tmp_path, **WITH_ELEMENTS)
    assert table(result.sheets["Neuprint_Elements_CloseTo_mito"], ":START_ID") == {
        element_id(101): {"distance": "1.5", ":START_ID": element_id(101), ":END_ID": element_id(1000)}
    }
    sets = table(result.sheets["Neuprint_ElementSets/Neuprint_ElementSet_mitochondrion"], ":ID")
    assert set(sets) == {"11_mitochondrion", "12_mitochondrion", "77_mitochondrion"}
    assert sets["77_mitochondrion"][":LABEL"] == "ElementSet;tiny_ElementSet"
    assert len(ends(result, "Neuprint_Neuron_to_ElementSet_mitochondrion")) == 3
    assert len(ends(result, "Neuprint_ElementSet_to_Element_mitochondrion")) == 4
    without = made(tmp_path, **{"inputs.elements": WITH_ELEMENTS["inputs.elements"]})
    assert len(ends(without, "Neuprint_Neuron_to_ElementSet_mitochondrion")) == 2  # LONELY is no Segment


def test_elements_restricted_to_a_set(tmp_path):
    result = made(tmp_path, **WITH_ELEMENTS, **{"outputs.neuprint.restrict-elements-to-roiset": "layer"})
    assert set(table(result.sheets["Neuprint_Elements/mito"], ":ID")) == {element_id(1000), element_id(1002)}
    assert segments(result)[A]["totalMito"] == "2"


# --- Meta ------------------------------------------------------------------------------------------------------------


def test_meta(tmp_path):
    meta = made(tmp_path).meta
    assert (meta["totalPreCount"], meta["totalPostCount"], meta["overviewRois"]) == (5, 12, [ME])
    assert {roi: (i["pre"], i["post"], i["parent"]) for roi, i in meta["roiInfo"].items()} == {
        "brain": (0, 0, None),
        "empty": (0, 0, "brain"),
        ME: (2, 7, "brain"),
        OB: (1, 3, "brain"),
        "layer 1": (1, 3, ME),
        "layer 2": (1, 4, ME),
    }
    assert meta["roiHierarchy"]["children"][1] == {"name": OB}
    assert meta["neuronColumnsOrdered"][2]["choices"] == ["Anchor", "Orphan", "Traced"]
    assert meta.keys() <= TYPES.keys()


def test_the_hierarchy_may_name_a_roi_set(tmp_path):
    meta = META | {"roiHierarchy": {"brain": "roiset://primary"}, "primaryRois": []}
    found = made(tmp_path, **{"outputs.neuprint.meta": meta}).meta
    assert found["roiHierarchy"] == {"name": "brain", "children": [{"name": ME}, {"name": OB}]}
    assert found["primaryRois"] == found["superLevelRois"] == [ME, OB]


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([1, 2, 3], "{x:1, y:2, z:3}"),
        ([1, 2.5, 3], "{x:1.0, y:2.5, z:3.0}"),
        ({"x": 1, "y": 2, "z": 3}, "{x:1, y:2, z:3}"),
        ({"coordinates": [1, 2, 3]}, "{x:1, y:2, z:3}"),
        ("1,2,3", "{x:1, y:2, z:3}"),
        ("[1, 2, 3]", "{x:1, y:2, z:3}"),
        ("{x: 1, y:2.5, z:-3}", "{x:1, y:2.5, z:-3}"),
        *((bad, None) for bad in ("(1,2,3)", "1 2 3", "1e3,2,3", [1, 2], ["a", "b", "c"], None, 5)),
    ],
)
def test_points(given, text):
    assert point(given) == text


@pytest.mark.parametrize(
    ("name", "values", "texts", "types"),
    [
        ("a", pd.Series([1, None], dtype="Int64"), ["1", ""], ("int",)),
        ("a", [2**31, 0], [str(2**31), "0"], ("long",)),
        ("a", [5.0, None], ["5", ""], ("int", "long")),
        ("a", [0.5, None], ["0.5", ""], ("float",)),
        ("hemibrainBodyId", [2.0**40, None], [str(2**40), ""], ("long",)),
        ("group", ["12", "x"], ["12", ""], ("long",)),
        ("a", pd.Series([True, None], dtype=object), ["true", ""], ("boolean",)),
        ("a", pd.Series([True, None], dtype="boolean"), ["true", ""], ("boolean",)),
        ("a", pd.Series(["é", None], dtype="category"), ["é", ""], ("string",)),
        ("a", pd.Series([["p", "q"], None], dtype=object), ["p;q", ""], ("string[]",)),
        ("locationType", ["x", None], ["x", ""], ("string",)),
    ],
)
def test_types_of_columns(name, values, texts, types):
    columns = Columns(2)
    columns.add(name, values)
    assert list(columns.texts[name]) == texts
    assert columns.types[name] == types


def test_a_column_without_values_does_not_exist():
    columns = Columns(2)
    columns.add("a", [None, None])
    columns.add("somaLocation", ["nowhere", "x"])
    assert not columns.texts
