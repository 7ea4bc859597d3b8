"""What a finished snapshot says of neurotransmitters follows from the probabilities of its T-bars."""

from __future__ import annotations

import gzip

import pytest

from flyem_snapshot.verify import neurotransmitters
from flyem_snapshot.verify.checks import Status
from flyem_snapshot.verify.run import checked
from flyem_snapshot.verify.snapshot import opened
from tests.verify.snapshots import HIERARCHY, P1, PROPERTIES, SYNAPSE, T1, T2, quoted, write_manifest, write_snapshot

LAWS = {check.name for check in neurotransmitters.CHECKS}
FIRST, SECOND = "Neuprint_Synapses/000000.csv.gz", "Neuprint_Synapses/000001.csv"
META, NEURONS = "Neuprint_Meta.csv", "Neuprint_Neurons/0.csv"
CONFIG = "inputs:\n  neurotransmitters: {synister-feather: a.feather, export-mean-tbar-scores: true}\n"
SCORES = {"ntGabaProb": "float", "ntAcetylcholineProb": "float"}
AS_DOUBLE = SCORES | {"ntGabaProb": "double"}
OF_BODIES = {"totalNtPredictions": "int", "predictedNt": "string", **SCORES}
# Body 10 has T-bars t1 and t2, which is as much the one as the other; body 20 has t3, which has no prediction.
OF_TBARS = {T1: "0.75,0.25", T2: "0.5,0.5"}
OF_SEGMENTS = {10: "2,gaba,0.625,0.375", 20: "0,unclear,,", 30: ",,,", 40: ",,,"}


def changed(root, name, *replacements):
    """Replace texts of a file of `neuprint/`, each of which must be there."""
    path = root / "neuprint" / name
    packed = path.suffix == ".gz"
    text = gzip.decompress(path.read_bytes()).decode() if packed else path.read_bytes().decode()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    write_manifest(root)


def header(properties):
    return "".join(f"{name}:{kind}," for name, kind in properties.items())


@pytest.fixture
def root(tmp_path):
    write_snapshot(tmp_path)
    config = tmp_path / "final-config.yaml"
    config.write_text(config.read_text().replace("inputs:\n", CONFIG))
    for name in (FIRST, SECOND):
        changed(tmp_path, name, (":Label,", f"{header(SCORES)}:Label,"), (f",{SYNAPSE},", f",,,{SYNAPSE},"))
    changed(tmp_path, FIRST, *((f"{i},pre,0.9,10,,,", f"{i},pre,0.9,10,{cells},") for i, cells in OF_TBARS.items()))
    bodies = {"0.csv": ('10,"{', '20,"{'), "1.csv": ('30,"{',), "2.csv": ("40,{}",)}
    for name, begins in bodies.items():
        cells = [(f",{b}", f",{b[:3]}{OF_SEGMENTS[int(b[:2])]},{b[3:]}") for b in begins]
        changed(tmp_path, f"Neuprint_Neurons/{name}", ("roiInfo:string", f"{header(OF_BODIES)}roiInfo:string"), *cells)
    changed(
        tmp_path,
        META,
        ("roiHierarchy:string,", "ntSynapseProperties:string,roiHierarchy:string,"),
        (f"{quoted(PROPERTIES)},", f"{quoted(PROPERTIES | OF_BODIES)},{quoted(SCORES)},"),
    )
    assert quoted(HIERARCHY) in (tmp_path / "neuprint" / META).read_text()
    return tmp_path


def results(root):
    with opened(root) as snapshot:
        return {result.name: result for result in checked(snapshot)}


def test_a_sound_snapshot_with_neurotransmitters_passes(root):
    found = results(root)

    assert {r.name: r.finding for r in found.values() if r.status not in (Status.PASS, Status.NOT_APPLICABLE)} == {}
    assert {found[name].status for name in LAWS} == {Status.PASS}


FAULTS = [
    ("properties", "000001.csv has ntGabaProb:float, but Meta", SECOND, "ntAcetylcholineProb:float", "more:float"),
    ("properties", "000001.csv has split:string", SECOND, "confidence:float,", "split:string,confidence:float,"),
    ("properties", "but Meta lists none", META, f"{quoted(SCORES)},", ","),
    ("properties", "ntGabaProb is double, not float", META, f",{quoted(SCORES)},", f",{quoted(AS_DOUBLE)},"),
    ("values", f"synapse {P1} of type post: 0.5", FIRST, f"{P1},post,0.9,20,,,", f"{P1},post,0.9,20,0.5,,"),
    ("values", f"synapse {T1} of type pre: 1.5", FIRST, "0.75,0.25", "1.5,0.25"),
    ("values", f"synapse {T1} of type pre: nan", FIRST, "0.75,0.25", "nan,0.25"),
    ("counts", "Segment 10 has totalNtPredictions 3, but 2 T-bars", NEURONS, "2,gaba", "3,gaba"),
    ("counts", "Segment 20 has totalNtPredictions 1, but 0 T-bars", NEURONS, "0,unclear", "1,unclear"),
    ("counts", "Segment 10 has totalNtPredictions 2, but 1 T-bars", FIRST, "0.75,0.25", ","),
    ("means", "Segment 10 has ntGabaProb 0.6, but its T-bars a mean of 0.625", NEURONS, "0.625", "0.6"),
    ("means", "Segment 20 has ntGabaProb 0.5, but its T-bars a mean of ", NEURONS, "unclear,,", "unclear,0.5,"),
    ("means", "Segment 10 has ntAcetylcholineProb , but its T-bars a mean of 0.375", NEURONS, "0.375", ""),
    ("predicted", "Segment 10 has predictedNt acetylcholine, which 0", NEURONS, "2,gaba", "2,acetylcholine"),
    ("predicted", "Segment 10 has predictedNt magic, which 0 T-bars", NEURONS, "2,gaba", "2,magic"),
    ("predicted", "Segment 20 has predictedNt gaba, which 0 T-bars", NEURONS, "0,unclear", "0,gaba"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "example", "file", "old", "new"), FAULTS)
def test_a_broken_law_is_found_and_shown(root, name, example, file, old, new):
    changed(root, file, (old, new))
    found = results(root)[f"neurotransmitters/{name}"]

    assert found.status is Status.FAIL
    assert any(example in shown for shown in found.finding.examples), found.finding


def test_every_law_has_a_snapshot_that_breaks_it():
    assert {f"neurotransmitters/{name}" for name, *_ in FAULTS} == LAWS


def test_a_prediction_is_not_compared_with_those_that_are_unclear(root):
    changed(root, NEURONS, ("2,gaba", "2,unclear"))

    assert results(root)["neurotransmitters/predicted"].status is Status.PASS


@pytest.mark.parametrize(
    ("old", "new", "laws"),
    [
        ("synister-feather: a.feather, ", "", LAWS),
        ("scores: true", "scores: false", {"neurotransmitters/means"}),
        *(
            (
                "    compartment-column: null\n",
                f"    restrict-{what}-to-roiset: shell\n",
                LAWS - {"neurotransmitters/properties", "neurotransmitters/values"},
            )
            for what in ("connectivity", "info-totals")
        ),
    ],
)
def test_a_law_that_the_settings_suspend_is_not_reported_as_kept(root, old, new, laws):
    path = root / "final-config.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    found = results(root)

    assert {name for name in LAWS if found[name].status is Status.NOT_APPLICABLE} == laws
    assert all(found[name].reason for name in laws)


def test_damaged_json_in_meta_is_told_once(root):
    changed(root, META, (quoted(SCORES), '"{"'))
    found = results(root)

    assert "ntSynapseProperties is not JSON" in found["meta/legal"].finding.examples[0]
    assert not [r.name for r in found.values() if r.status is Status.UNCHECKED]
