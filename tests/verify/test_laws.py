"""A sound snapshot passes; each law finds the snapshot that breaks it, and shows where."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field

import pytest

from flyem_snapshot.verify import neurotransmitters
from flyem_snapshot.verify.checks import Status
from flyem_snapshot.verify.run import FILES, FLAT, NEUPRINT, checked, result_of
from flyem_snapshot.verify.snapshot import opened
from tests.verify.snapshots import (
    FEATHERS,
    M1,
    P1,
    P2,
    P3,
    P4,
    T1,
    T2,
    T3,
    write_feather,
    write_manifest,
    write_snapshot,
)

FLAT_POINTS, FLAT_PARTNERS, FLAT_WEIGHTS, FLAT_STATS = (
    f"flat-connectome/{stem}-v1-minconf-0.0.feather"
    for stem in ("syn-points", "syn-partners", "connectome-weights", "body-stats")
)
META, NEURONS, CONNECTIONS = "Neuprint_Meta.csv", "Neuprint_Neurons/0.csv", "Neuprint_Neuron_Connections.csv"
SYNAPSES, MORE_SYNAPSES = "Neuprint_Synapses/000000.csv.gz", "Neuprint_Synapses/000001.csv"
SETS, MEMBERS = "Neuprint_SynapseSet.csv", "Neuprint_SynapseSet_to_Synapses.csv"
ELEMENTS = "Neuprint_Elements/mito/000000.csv"
PREDICTIONS = {check.name for check in neurotransmitters.CHECKS}  # test_neurotransmitters.py


@dataclass(frozen=True)
class Fault:
    """What is changed, the law that breaks, and a part of the example that is shown.

    `text`: (file of neuprint/, old, new); `cells`: (Feather file, column, row, value).
    """

    law: str
    example: str
    text: tuple[tuple[str, str, str], ...] = ()
    cells: tuple[tuple[str, str, int, object], ...] = field(default=())


def fault(law, example, *changes):
    text = tuple(change for change in changes if len(change) == 3)
    return Fault(law, example, text, tuple(change for change in changes if len(change) == 4))


FAULTS = [
    fault("flat/points", f"point {T1} is there 2 times", (FLAT_POINTS, "point_id", 1, T1)),
    fault("flat/partners", f"row {T1} to {P1}: a body differs", (FLAT_PARTNERS, "body_pre", 0, 20)),
    fault("flat/psd-once", f"PSD {P2} is in 0 partner rows", (FLAT_PARTNERS, "x_post", 1, 4)),
    fault("flat/t-bars", f"T-bar {T3} has no partner", (FLAT_PARTNERS, "x_pre", 3, 2)),
    fault("flat/weights", "10 to 30 weighs 5 for 1 partner rows", (FLAT_WEIGHTS, "weight", 1, 5)),
    fault("flat/sum", "the weights sum to 8, but there are 4", (FLAT_WEIGHTS, "weight", 1, 5)),
    fault("flat/stats-points", "body 20 has pre 2, post 2, but 1 T-bars, 2 PSDs", (FLAT_STATS, "pre", 1, 2)),
    fault("flat/stats-partners", "body 20 has downstream 2, synweight 3", (FLAT_STATS, "downstream", 1, 2)),
    fault("flat/ranks", "body 10 has rank 2, but is number 1", (FLAT_STATS, "rank", 0, 2), (FLAT_STATS, "rank", 1, 1)),
    fault(
        "flat/subsets",
        "traced: 10 to 20 weighs 7",
        (FLAT_WEIGHTS.replace(".feather", "-traced-only.feather"), "weight", 0, 7),
    ),
    fault("ids/segments", "Segment 20 has bodyId 21", (NEURONS, ",20,", ",21,")),
    fault("ids/segments", "20 is there 2 times", ("Neuprint_Neurons/1.csv", "30,2,0,0", "20,2,0,0")),
    fault("ids/points", f"{T2} is there 2 times", (ELEMENTS, f"{M1},", f"{T2},")),
    fault("ids/synapse-sets", "10_20_pre is there 2 times", (SETS, "10_30_pre,", "10_20_pre,")),
    fault("ids/synapse-sets", "is there 1 times", (SETS, "10_30_pre,", "10_30_both,")),
    fault(
        "ids/element-sets",
        "20_mito is there 2 times",
        ("Neuprint_ElementSets/Neuprint_ElementSet_mito.csv", "40_mito,", "20_mito,"),
    ),
    fault(
        "labels/segments",
        "20 has labels Segment;other_Segment",
        (NEURONS, "Segment;tiny_Segment,t", "Segment;other_Segment,t"),
    ),
    fault("labels/segments", "10 has labels Segment;tiny_Segment;Neuron", (NEURONS, ";tiny_Neuron", "")),
    fault("labels/synapses", f"{T3} has labels Synapse;tiny_Synapse", (MORE_SYNAPSES, ";Element;tiny_Element", "")),
    fault("labels/sets", "10_20_pre has labels SynapseSet", (SETS, ";tiny_SynapseSet", "")),
    fault("labels/elements", f"{M1} has labels Element;tiny_Element", (ELEMENTS, ";Mito;tiny_Mito", "")),
    fault(
        "labels/element-sets",
        "20_mito has labels ElementSet",
        ("Neuprint_ElementSets/Neuprint_ElementSet_mito.csv", ";tiny_ElementSet", ""),
    ),
    fault("synapses/values", "location {x:1, y:9, z:3}", (SYNAPSES, "{x:1, y:2", "{x:1, y:9")),
    fault("synapses/values", f"synapse {P4}: type post, body , ", (MORE_SYNAPSES, "0.2,30,", "0.2,30.0,")),
    fault("synapses/ends", f"{T1} to {T2}: not from", ("Neuprint_Synapse_Connections.csv", f"{P1}", f"{T2}")),
    fault("synapses/psd-once", f"PSD {P2} is in 2", ("Neuprint_Synapse_Connections.csv", f",{P3}", f",{P2}")),
    fault("connections/ends", "99 is no Segment", (CONNECTIONS, "20,30,1", "20,99,1")),
    fault("connections/once", "10 to 20 is there 2 times", (CONNECTIONS, "10,30,1", "10,20,1")),
    fault("connections/rows", "weightHR sums to 5", (CONNECTIONS, "20,30,1", "20,30,2")),
    fault("connections/weights", "20 to 30: weight 2 of weightHR 1", (CONNECTIONS, "20,30,1,0", "20,30,1,2")),
    fault("connections/weight-hp", "20 to 30: weightHP 1 of weight 0", (CONNECTIONS, "1,0,0", "1,0,1")),
    fault("connections/recounted", "but by SynapsesTo 1, 0, 0", (CONNECTIONS, "1,0,0", "1,1,0")),
    fault(
        "connections/feather", "10 to 30 differs", ("neuprint/Neuprint_Neuron_Connections.feather", "weight:int", 1, 0)
    ),
    fault("segments/counts", "Segment 10 lacks a count", (NEURONS, "10,0,2,", "10,0,2.0,")),
    fault("segments/upstream", "Segment 10: post 0, upstream 1", (NEURONS, "10,0,2,3,0,", "10,0,2,3,1,")),
    fault("segments/points", "Segment 20 has pre 2, post 2, but Synapses 1, 2", (NEURONS, "20,2,1,", "20,2,2,")),
    fault(
        "segments/downstream", "Segment 10 has downstream 4, but its connections 3", (NEURONS, "2,3,0,3,", "2,4,0,4,")
    ),
    fault("segments/partners", "has upstreamPartners 3, but its connections 1", (NEURONS, "0,2,2,1,1", "0,2,2,3,1")),
    fault("segments/partners", "has downstreamPartners 5", (NEURONS, "0,3,0,2,0", "0,3,0,5,0")),
    fault("segments/elements", "Segment 20 has mitos 3, but Elements 1", (NEURONS, "1,1,1,,", "1,1,3,,")),
    fault("segments/body-elements", "body 20 has other counts", ("neuprint/body_elements.feather", "mitos", 1, 2)),
    fault("segments/body-elements", "body 99 is only in", ("neuprint/body_elements.feather", "body", 1, 99)),
    fault("segments/feather", "body 30 differs", ("neuprint/Neuprint_Neurons.feather", "synweight:int", 2, 1)),
    fault(
        "sets/connections",
        "set 20_30_pre of type none: it is missing",
        (CONNECTIONS.replace("Neuron_Connections", "SynapseSet"), "20_30_pre,pre", "20_10_pre,pre"),
    ),
    fault("sets/connections", "id and type differ", (SETS, "20_30_pre,pre", "20_30_pre,post")),
    fault(
        "sets/pairs",
        "set 10_20_pre: 1 ConnectsTo rows, to its own",
        ("Neuprint_SynapseSet_to_SynapseSet.csv", "10_20_pre,10_20_post", "10_20_pre,10_30_post"),
    ),
    fault(
        "sets/bodies",
        "set 10_20_post belongs to 30",
        ("Neuprint_Neuron_to_SynapseSet.csv", "20,10_20_post", "30,10_20_post"),
    ),
    fault("sets/members", f"set 10_30_pre contains {T3}", (MEMBERS, f"10_30_pre,{T2}", f"10_30_pre,{T3}")),
    fault("sets/members-once", f"10_20_post contains {P1} 2 times", (MEMBERS, f"10_20_post,{P2}", f"10_20_post,{P1}")),
    fault(
        "sets/counts",
        "pair 20 to 30: sets of 1 and 2, but 1 T-bars in 1",
        (MEMBERS, f"10_30_post,{P3}", f"20_30_post,{P3}"),
    ),
    fault("elements/distances", "12345 is no point", ("Neuprint_Elements_CloseTo_mito.csv", f"{T1}", "12345")),
    fault("elements/sets", "set 50_mito", ("Neuprint_ElementSets/Neuprint_ElementSet_mito.csv", "40_mito", "50_mito")),
    fault(
        "elements/members",
        f"element {M1} of body 20 is in 40_mito",
        ("Neuprint_ElementSet_to_Element_mito.csv", "20_mito", "40_mito"),
    ),
    fault(
        "elements/bodies",
        "set 20_mito of Segment 20: 0 rows",
        ("Neuprint_Neuron_to_ElementSet_mito.csv", "20,20_mito\n", ""),
    ),
    fault("flat/neuprint-weights", "10 to 30: weightHR 1, flat weight 3", (FLAT_WEIGHTS, "weight", 1, 3)),
    fault(
        "flat/neuprint-points",
        f"point {P4} differs",
        (FLAT_POINTS, "conf", 6, 0.3),
        (FLAT_PARTNERS, "conf_post", 3, 0.3),
    ),
    fault("rois/json", "20 to 30 has roiInfo (nothing)", (CONNECTIONS, ",{}", ",")),
    fault("rois/json", "30 has roiInfo", ("Neuprint_Neurons/1.csv", '""synweight"":1}', '""synweight"":1.0}')),
    fault("rois/json", "30 has roiInfo", ("Neuprint_Neurons/1.csv", '{""A""', '""A""')),
    fault(
        "rois/zeros",
        "Segment 30 in A: {post=1, upstream=1, synweight=1, pre=0}",
        ("Neuprint_Neurons/1.csv", '""synweight"":1}', '""synweight"":1,""pre"":0}'),
    ),
    fault(
        "rois/flags", "Segment 30 has flags [S], roiInfo of [A, S]", ("Neuprint_Neurons/1.csv", "true,true", ",true")
    ),
    fault("rois/flags", "Segment 30 has flags ['A=false', S]", ("Neuprint_Neurons/1.csv", "true,true", "false,true")),
    fault("rois/roi-elements", "Segment 20 in A", ("neuprint/roi_elements.feather", "mito", 4, 2)),
    fault("rois/totals", "Segment 30 in A", ("Neuprint_Neurons/1.csv", '""upstream"":1', '""upstream"":2')),
    fault(
        "rois/synapses",
        "Segment 10 in S: pre 2, post 0, but Synapses 1, 0",
        (SYNAPSES, '{x:1, y:2, z:3}",true,true', '{x:1, y:2, z:3}",,true'),
    ),
    fault(
        "rois/downstream",
        "Segment 10 in B: downstream 9, but its connections 1",
        (NEURONS, '""downstream"":1', '""downstream"":9'),
    ),
    fault(
        "rois/connections",
        "10 to 30 in S: post 1, but PSDs 0",
        (SYNAPSES, '{x:6, y:2, z:3}",true', '{x:6, y:2, z:3}",'),
    ),
    fault(
        "rois/connection-sums",
        "10 to 30: shell holds 2 of weight 1",
        (CONNECTIONS, '""S"":{""post"":1}', '""S"":{""post"":2}'),
    ),
    fault(
        "rois/segment-sums",
        "Segment 30: primary holds 3 of post 2",
        ("Neuprint_Neurons/1.csv", '""A"":{""post"":1', '""A"":{""post"":3'),
    ),
    fault("rois/unassigned", "Segment 30: pre 0, post 3", ("neuprint/roi_elements.feather", "post", 8, 2)),
    fault("meta/legal", "superLevelRois differs", (META, "A;B,A;B,A;B", "A;B,A,A;B")),
    fault("meta/legal", "superLevelRois is missing", (META, "A;B,A;B,A;B", "A;B,,A;B")),
    fault("meta/legal", "hideDataSet is 'no'", (META, "Meta;tiny_Meta,false", "Meta;tiny_Meta,no")),
    fault("meta/legal", "the labels are 'Meta'", (META, "Meta;tiny_Meta", "Meta")),
    fault("meta/legal", "totalPreCount has the type 'string'", (META, "totalPreCount:int", "totalPreCount:string")),
    fault("meta/legal", "neuronColumnsOrdered is not JSON", (META, ",[],[],", ",[,[],")),
    fault("meta/settings", "postHPThreshold is '0.8'", (META, ",0.5,0.7,", ",0.5,0.8,")),
    fault("meta/settings", "tag is 'v2'", (META, "tiny,v1,", "tiny,v2,")),
    fault("meta/totals", "totalPreCount is 4, but the Segments sum to 3", (META, "today,3,4", "today,4,4")),
    fault(
        "meta/roi-info",
        "A has pre 3, post 2, but the Segments 2, 2",
        (META, '""post"":2,""pre"":2', '""post"":2,""pre"":3'),
    ),
    fault("meta/properties", "neuronProperties differ in type", (META, '""type"":""string""', '""type"":""int""')),
    fault("meta/hierarchy", "B has the parent S in roiInfo, None", (META, '{""name"":""B""}', '{""name"":""C""}')),
]


def results(root):
    with opened(root) as snapshot:
        return {result.name: result for result in checked(snapshot)}


def spoil(root, broken):
    for name, old, new in broken.text:
        path = root / "neuprint" / name
        packed = path.suffix == ".gz"
        text = gzip.decompress(path.read_bytes()).decode() if packed else path.read_bytes().decode()
        assert old in text
        changed = text.replace(old, new, 1).encode()
        path.write_bytes(gzip.compress(changed) if packed else changed)
    frames = {}
    for name, column, row, value in broken.cells:
        columns = frames.setdefault(name, {key: list(values) for key, values in FEATHERS[name].items()})
        columns[column][row] = value
    for name, columns in frames.items():
        write_feather(root / name, columns)
    write_manifest(root)


@pytest.fixture
def root(tmp_path):
    write_snapshot(tmp_path)
    return tmp_path


def test_a_sound_snapshot_passes_and_nothing_is_written_into_it(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}

    found = results(root)

    assert {r.name: r.finding for r in found.values() if r.status not in (Status.PASS, Status.NOT_APPLICABLE)} == {}
    assert {r.name for r in found.values() if r.status is Status.NOT_APPLICABLE} == {
        "connections/compartments",
        "segments/incoming",
        *PREDICTIONS,
    }
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize("broken", FAULTS, ids=lambda broken: f"{broken.law}:{broken.example}")
def test_a_broken_law_is_found_and_shown(root, broken):
    spoil(root, broken)
    (check,) = (check for check in (*FLAT, *NEUPRINT) if check.name == broken.law)

    with opened(root) as snapshot:
        found = result_of(check, snapshot)

    assert found.status is Status.FAIL
    assert any(broken.example in example for example in found.finding.examples), found.finding


def test_every_law_has_a_snapshot_that_breaks_it():
    elsewhere = {"connections/compartments", "segments/incoming", "meta/primary-rois", *PREDICTIONS}
    names = {check.name for check in (*FLAT, *NEUPRINT)}

    assert {broken.law for broken in FAULTS} | elsewhere == names
    assert {check.name for check in FILES} == {
        "files/settings",
        "files/parts",
        "files/exist",
        "files/contents",
        "files/tables",
        "files/strays",
    }


def change_settings(root, old, new, name="final-config.yaml"):
    path = root / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_compartments_that_exceed_the_weight_are_found(root):
    change_settings(root, "compartment-column: null", "compartment-column: part")
    path = root / "neuprint" / CONNECTIONS
    head, *rows = path.read_text().splitlines()
    rows = [row.replace(",", ",", 1).replace(',"', ',3,"', 1).replace(",{}", ",0,{}") for row in rows]
    path.write_text("\n".join([head.replace("roiInfo", "weightAxonAxon:int,roiInfo"), *rows]) + "\n")
    write_manifest(root)

    found = results(root)["connections/compartments"]

    assert (found.status, found.finding.offenders) == (Status.FAIL, 2)
    assert found.finding.examples == ("10 to 20: 3 of 2", "10 to 30: 3 of 1")


def test_incoming_weights_are_compared_where_the_inputs_were_filtered_by_the_same_threshold(root):
    change_settings(root, "min-confidence: 0.0", "min-confidence: 0.5")

    found = results(root)["segments/incoming"]

    assert found.finding.examples == ("Segment 30 has upstream 2, but its connections 1",)


def test_a_primary_roi_without_synapses_is_a_warning(root):
    path = root / "neuprint" / META
    path.write_text(path.read_text().replace("A;B,A;B", "A;B;C,A;B;C"))
    write_manifest(root)

    found = results(root)["meta/primary-rois"]

    assert found.status is Status.WARNING
    assert found.finding.examples == ("C holds nothing: it is not in roiInfo",)


@pytest.mark.parametrize(
    ("old", "new", "laws"),
    [
        (
            "compartment-column: null",
            "restrict-connectivity-to-roiset: shell",
            {
                "segments/points",
                "segments/downstream",
                "segments/partners",
                "rois/synapses",
                "meta/totals",
                "flat/neuprint-weights",
            },
        ),
        ("restrict-connectivity-to-roiset: null", "restrict-connectivity-to-roiset: primary", {"flat/neuprint-points"}),
        ("permit-body-0: false", "permit-body-0: true", {"flat/neuprint-points"}),
        ("roi-set-names: [primary, shell]", "roi-set-names: []", {"rois/segment-sums", "rois/unassigned"}),
        (
            "element-totals:\n      mito: {compute-segment-totals-with-name: mitos,",
            "ignored:\n      mito: {",
            {"segments/elements"},
        ),
    ],
)
def test_a_law_that_the_settings_suspend_is_not_reported_as_kept(root, old, new, laws):
    change_settings(root, old, new)

    found = results(root)

    assert {name: found[name].status for name in laws} == dict.fromkeys(laws, Status.NOT_APPLICABLE)
    assert all(found[name].reason for name in laws)


def test_a_high_threshold_below_the_other_suspends_their_order(root):
    change_settings(root, "postHPThreshold: 0.7", "postHPThreshold: 0.1", "neuprint-meta.yaml")

    assert results(root)["connections/weight-hp"].status is Status.NOT_APPLICABLE


@pytest.mark.parametrize(("least", "status"), [("0.0", Status.PASS), ("0.1", Status.FAIL)])
def test_a_synapse_may_lack_a_confidence_only_where_none_was_asked_for(root, least, status):
    spoil(root, fault("synapses/values", "", (MORE_SYNAPSES, ",0.2,30,", ",,30,")))
    change_settings(root, "min-confidence: 0.0", f"min-confidence: {least}")

    assert results(root)["synapses/values"].status is status


def test_without_flat_connectome_its_laws_are_not_applicable(root):
    for path in (root / "flat-connectome").iterdir():
        path.unlink()
    (root / "flat-connectome").rmdir()
    change_settings(root, "export-connectome: true", "export-connectome: false")
    write_manifest(root)

    found = results(root)

    bad = [r for r in found.values() if r.status not in (Status.PASS, Status.NOT_APPLICABLE)]
    assert bad == []
    assert "syn-points" in found["rois/segment-sums"].reason
    assert found["flat-connectome"].reason == "there is no folder flat-connectome/"


def test_consistent_totals_leave_points_below_the_threshold_out(root):
    change_settings(root, "keep-zero: []", "consistent-totals: true")

    found = results(root)

    assert found["segments/points"].finding.examples == ("Segment 30 has pre 0, post 2, but Synapses 0, 1",)
    assert found["segments/incoming"].status is Status.FAIL


def test_keep_zero_demands_what_it_permits(root):
    change_settings(root, "keep-zero: []", "keep-zero: [pre, post]")

    found = results(root)["rois/zeros"]

    assert found.status is Status.FAIL
    assert "Segment 10 in A: {pre=2, downstream=2, synweight=2}" in found.finding.examples
