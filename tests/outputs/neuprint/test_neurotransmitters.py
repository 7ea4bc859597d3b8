"""Predicted neurotransmitters stand on the Synapses of T-bars and on Segments; nothing else of the predictor does."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyem_snapshot.errors import DataError
from flyem_snapshot.outputs.neuprint import beside as beside_module
from flyem_snapshot.outputs.neuprint.beside import CELLS, HAS_MORE, Beside, FollowingCells
from flyem_snapshot.outputs.neuprint.neurotransmitters import (
    body_predictions,
    neurotransmitter_property,
    synapse_types,
)
from flyem_snapshot.outputs.neuprint.point_files import write_points
from flyem_snapshot.outputs.neuprint.points import synapse_nodes
from flyem_snapshot.outputs.neuprint.segment_files import known_segments, refuse_shared_names
from flyem_snapshot.outputs.neuprint.segments import CountedSegments
from flyem_snapshot.tables.bodies import BodyAnnotations
from flyem_snapshot.tables.neurotransmitters import TBARS, Neurotransmitters
from tests.outputs.neuprint.scopes import make_scope, read, rois, rows, table

FIRST, PSD, SECOND, OTHER_PSD = (1 << 42 | 2 << 21 | x for x in (10, 11, 12, 13))
A, B = 2**53 + 1, 7


def points(**extra):
    """T-bar, PSD, T-bar, PSD; the second T-bar is on another body."""
    kinds = ["PreSyn", "PostSyn", "PreSyn", "PostSyn"]
    ids = [FIRST, PSD, SECOND, OTHER_PSD]
    return {"point_id": ids, "kind": kinds, "conf": [0.9] * 4, "body": [A, B, B, A], **extra, "roi_combo": [0, 1, 1, 0]}


def predicted(scope, ids=(FIRST, SECOND), bodies=(A, B), of_bodies=None, means=None, **probabilities):
    """Predictions of T-bars: `gaba=[0.25, None]`."""
    columns = {f"nt_{name}_prob": pa.array(values, pa.float32()) for name, values in probabilities.items()}
    given = {"point_id": list(ids), "body": list(bodies), **columns}
    given |= {"split": pa.array(["train"] * len(ids)), "pred1": pa.array([None] * len(ids), pa.string())}
    table(scope.ctx.engine, TBARS, given)
    nothing = pd.DataFrame(index=pd.Index([], dtype="int64", name="body"))
    return Neurotransmitters(
        engine=scope.ctx.engine,
        names=tuple(probabilities),
        splits=("train",),
        num_tbars=len(ids),
        file=Path("is not read"),
        bodies=nothing if of_bodies is None else of_bodies,
        mean_scores=means,
        confusion=None,
        training=(),
    )


def written(root, scope, neurotransmitters):
    """The properties of each Synapse that speak of neurotransmitters or of how they were predicted."""
    nodes = synapse_nodes(scope, neurotransmitters)
    write_points(scope, nodes)
    return {
        int(row[":ID(Element-ID)"]): {k: v for k, v in row.items() if k.startswith(("nt", "split", "pred"))}
        for row in rows(root, "Neuprint_Synapses/*")
    }


def test_a_tbar_has_its_probabilities_and_a_psd_has_none(tmp_path):
    scope = make_scope(tmp_path, points=points(), assigned=rois(primary=["ME", "LO"]))
    found = written(tmp_path, scope, predicted(scope, gaba=[0.25, 1.0], acetylcholine=[4.6116715e-05, 0.0]))

    assert found == {
        FIRST: {"ntGabaProb:float": "0.25", "ntAcetylcholineProb:float": "4.6116715e-05"},
        PSD: {},
        SECOND: {"ntGabaProb:float": "1.0", "ntAcetylcholineProb:float": "0.0"},
        OTHER_PSD: {},
    }


def test_the_bytes_are_what_the_importer_expects(tmp_path):
    scope = make_scope(tmp_path, points=points(note=["a,b", "", "", "c"]))
    scope.ctx.engine.execute(f"UPDATE {scope.points} SET roi_combo = 0")
    written(tmp_path, scope, predicted(scope, gaba=[0.25, None], glutamate=[0.5, 0.75]))

    label = "Synapse;ds_Synapse;Element;ds_Element"
    assert (tmp_path / "neuprint/Neuprint_Synapses/000000.csv").read_text() == (
        ":ID(Element-ID),type:string,confidence:float,bodyId:long,note:string,ntGabaProb:float,ntGlutamateProb:float,"
        ":Label,location:point{srid:9157}\n"
        f'{FIRST},pre,0.9,{A},"a,b",0.25,0.5,{label},"{{x:10, y:2, z:1}}"\n'
        f'{PSD},post,0.9,{B},,,,{label},"{{x:11, y:2, z:1}}"\n'
        f'{SECOND},pre,0.9,{B},,,0.75,{label},"{{x:12, y:2, z:1}}"\n'
        f'{OTHER_PSD},post,0.9,{A},c,,,{label},"{{x:13, y:2, z:1}}"\n'
    )


def test_whether_a_tbar_served_for_training_is_no_property(tmp_path):
    """D39: neither `split` nor the most probable transmitter of the table leaves it."""
    scope = make_scope(tmp_path, points=points(split=["train"] * 4))
    found = written(tmp_path, scope, predicted(scope, gaba=[0.25, 0.5]))

    assert {name for properties in found.values() for name in properties} == {"ntGabaProb:float"}


def test_a_name_in_capitals_gives_the_same_property(tmp_path):
    """D45."""
    assert neurotransmitter_property("nt_GABA_prob") == neurotransmitter_property("nt_gaba_prob") == "ntGabaProb"
    assert neurotransmitter_property("nt_nitric_oxide_prob") == "ntNitricOxideProb"
    scope = make_scope(tmp_path, points=points())
    assert written(tmp_path, scope, predicted(scope, GABA=[0.25, None]))[FIRST] == {"ntGabaProb:float": "0.25"}


def test_a_transmitter_without_any_value_is_no_property(tmp_path):
    scope = make_scope(tmp_path, points=points())
    nodes = synapse_nodes(scope, predicted(scope, gaba=[None, None], glutamate=[None, 0.5]))

    assert synapse_types(nodes.beside) == {"ntGlutamateProb": "float"}


def test_without_any_prediction_nothing_is_said_of_transmitters(tmp_path):
    scope = make_scope(tmp_path, points=points())
    neurotransmitters = predicted(scope, gaba=[None, None])

    assert synapse_types(synapse_nodes(scope, neurotransmitters).beside) == {}
    assert synapse_types(synapse_nodes(scope, None).beside) == {}
    assert set(map(len, written(tmp_path, scope, neurotransmitters).values())) == {0}


def test_predictions_on_body_0_are_left_out_with_its_synapses(tmp_path):
    scope = make_scope(tmp_path, points=points())
    ids = [FIRST - 1, FIRST, SECOND]
    found = written(tmp_path, scope, predicted(scope, ids, [0, A, B], gaba=[0.5, 0.25, 0.75]))

    assert {key: value.get("ntGabaProb:float") for key, value in found.items() if value} == {
        FIRST: "0.25",
        SECOND: "0.75",
    }


def test_predictions_outside_of_a_restriction_are_left_out_with_their_synapses(tmp_path):
    restriction = {"restrict-connectivity-to-roiset": "primary"}
    scope = make_scope(tmp_path, points=points(), assigned=rois(primary=["ME", "LO"]), **restriction)
    ids = [FIRST - 2, FIRST, FIRST + 100, SECOND, SECOND + 100]
    found = written(tmp_path, scope, predicted(scope, ids, [A] * 5, gaba=[0.1, 0.2, 0.3, 0.4, 0.5]))

    assert {key: value.get("ntGabaProb:float") for key, value in found.items() if value} == {
        FIRST: "0.2",
        SECOND: "0.4",
    }


@pytest.mark.parametrize("extra", [{"ntGabaProb": [1, 2, 3, 4]}, {}])
def test_a_probability_may_not_have_the_name_of_something_else(tmp_path, extra):
    assigned = rois(primary=["ME", "LO"]) if extra else rois(primary=["ntGabaProb", "LO"])
    scope = make_scope(tmp_path, points=points(**extra), assigned=assigned)

    with pytest.raises(DataError, match="synapses: column 'ntGabaProb'"):
        synapse_nodes(scope, predicted(scope, gaba=[0.25, 0.5]))


POINTS = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40)


@settings(max_examples=60)
@given(POINTS, st.lists(st.integers(0, 40)), st.integers(1, 5))
def test_cells_follow_their_points_whatever_the_batches(tmp_path_factory, kinds, cuts, piece):
    """`kinds`: whether a point is a T-bar, and whether a T-bar has a row in the other table."""
    scope = make_scope(tmp_path_factory.mktemp("beside"))
    # In no order but that of the table.
    ids = np.random.default_rng(len(kinds)).permutation(len(kinds)).astype(np.uint64) + np.uint64(2**63)
    own = [int(i) for i, (tbar, has_row) in zip(ids, kinds, strict=True) if tbar and has_row]
    some = table(scope.ctx.engine, "some", {"point_id": own, "value": pa.array([str(i) for i in own], pa.string())})
    batch = pa.record_batch({"point_id": pa.array(ids), HAS_MORE: pa.array([tbar for tbar, _ in kinds], pa.bool_())})
    bounds = sorted({0, len(kinds), *(cut for cut in cuts if cut < len(kinds))})
    batches = [batch.slice(start, end - start) for start, end in pairwise(bounds)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beside_module, "_ROWS", piece)
        following = FollowingCells(scope, Beside(some, "", [("a", "value"), ("b", "'x'")], ["a", "b"]))
        found = [cell for made in following.added(batches) for cell in made[CELLS].to_pylist()]

    assert found == [f",{i},x" if tbar and row else ",," for i, (tbar, row) in zip(ids, kinds, strict=True)]


def of_bodies(**columns):
    """The body table that the input stage gives."""
    made = {
        "cell_type": pd.Series(["KC", None], dtype="str"),
        "total_nt_predictions": pd.Series([3, 0], dtype="Int32"),
        "predicted_nt_confidence": pd.Series([1.0, np.nan], dtype="float32"),
        "predicted_nt": pd.Series(["gaba", "unclear"], dtype="str"),
        "ground_truth": pd.Series(["gaba", None], dtype="str"),
        **columns,
    }
    return pd.DataFrame(made).set_index(pd.Index([A, B], name="body"))


def means(**columns):
    """Mean probabilities of the first body, the only one that has any."""
    made = {f"nt_{name}_prob": np.array([value], np.float32) for name, value in columns.items()}
    return pd.DataFrame(made, index=pd.Index([A], name="body"))


def annotations(**columns):
    return BodyAnnotations(pd.DataFrame(columns, index=pd.Index([B, 9], name="body")))


def segments(scope, known=None, neurotransmitters=None, bodies=(A, B, 9)):
    """The properties of Segments: name to type and to the value of each body."""
    counted = CountedSegments("", (), [], np.empty(0, np.int64), np.array(sorted(bodies)), {}, 0, 0)
    predictions = body_predictions(neurotransmitters)
    refuse_shared_names(scope, [], known, None, predictions)
    found = known_segments(scope, counted, known, None, predictions)
    values = {
        p.name: dict(zip(found.described.tolist(), p.cells.to_pylist()[:-1], strict=True)) for p in found.properties
    }
    assert all(p.cells[-1].as_py() == "" and not p.content[-1].is_valid for p in found.properties)
    return found, values


def test_a_segment_has_what_is_predicted_and_its_mean_probabilities(tmp_path):
    """D2, D24: a count is an int although one Segment has none, a probability a float although it is whole."""
    scope = make_scope(tmp_path)
    nt = predicted(scope, of_bodies=of_bodies(), means=means(GABA=1.0, glutamate=0.25))
    found, values = segments(scope, annotations(type=["KC", "x"]), nt)

    assert found.types == {
        "type": "string",
        "bodyId": "long",
        "totalNtPredictions": "int",
        "predictedNtConfidence": "float",
        "predictedNt": "string",
        "ntGabaProb": "float",
        "ntGlutamateProb": "float",
        "roiInfo": "string",
    }
    assert values["totalNtPredictions"] == {A: "3", B: "0", 9: ""}
    assert values["predictedNtConfidence"] == {A: "1.0", B: "", 9: ""}
    assert values["predictedNt"] == {A: "gaba", B: "unclear", 9: ""}
    assert (values["ntGabaProb"], values["ntGlutamateProb"]) == ({A: "1.0", B: "", 9: ""}, {A: "0.25", B: "", 9: ""})
    assert values["type"] == {A: "", B: "KC", 9: "x"}


def test_text_of_the_ground_truth_is_quoted_where_it_must_be(tmp_path):
    scope = make_scope(tmp_path)
    reference = pd.Series(['Ito, "2013"', None], dtype="str")
    nt = predicted(scope, of_bodies=of_bodies(nt_reference=reference, other_nt=pd.Series([None, None], dtype="str")))
    found, values = segments(scope, None, nt)

    assert values["ntReference"][A] == '"Ito, ""2013"""'
    assert "otherNt" not in found.types


def test_old_predictions_among_the_annotations_give_way(tmp_path):
    scope = make_scope(tmp_path)
    known = annotations(predicted_nt=["old", "old"], predictedNt=["older", "older"], type=["KC", "x"])
    _, values = segments(scope, known, predicted(scope, of_bodies=of_bodies()))

    assert values["predictedNt"] == {A: "gaba", B: "unclear", 9: ""}


def test_predictions_change_no_other_property(tmp_path):
    """A whole number stays a float where every annotated body has one, although a body without annotations is added."""
    known = annotations(score=[1.0, 2.0], group=pd.array([1, None], "Int64"), status=["Traced", None])
    scopes = make_scope(tmp_path / "without"), make_scope(tmp_path / "with")
    (before, old), (after, new) = (
        segments(scopes[0], known),
        segments(scopes[1], known, predicted(scopes[1], of_bodies=of_bodies())),
    )

    assert before.types.items() <= after.types.items()
    assert before.types["score"] == "float"
    for name, values in old.items():
        assert {body: cell for body, cell in new[name].items() if body in values} == values
    place = {body: row for row, body in enumerate(after.described)}
    assert [bool(after.criteria[place[body]]) for body in before.described] == before.criteria[:-1].tolist()


def test_a_prediction_makes_a_neuron_only_where_the_settings_name_it(tmp_path):
    for name, wanted in (("type", []), ("predictedNtConfidence", [A]), ("predictedNt", [A, B])):
        rules = {"neuron-label-criteria": {"properties": [name], "status": []}}
        scope = make_scope(tmp_path / name, **rules)
        found, _ = segments(scope, None, predicted(scope, of_bodies=of_bodies()))
        assert found.described[found.criteria[:-1]].tolist() == wanted
        assert not found.criteria[-1]


def test_body_0_has_no_predictions(tmp_path):
    scope = make_scope(tmp_path)
    table_of_bodies = of_bodies()
    table_of_bodies.index = pd.Index([0, A], name="body")
    found, values = segments(scope, None, predicted(scope, of_bodies=table_of_bodies), bodies=(0, A))

    assert list(found.described) == [A]
    assert values["predictedNt"] == {A: "unclear"}


def test_a_prediction_may_not_have_the_name_of_another_property(tmp_path):
    scope = make_scope(tmp_path)
    predictions = body_predictions(predicted(scope, of_bodies=of_bodies()))

    with pytest.raises(DataError, match="two properties of Segments would be called 'predictedNt'"):
        refuse_shared_names(scope, ["ME", "predictedNt"], None, None, predictions)


def test_rows_without_an_order_of_their_own_are_not_mixed_up(tmp_path):
    """Points in one file keep the order of the input, with and without predictions."""
    scope = make_scope(tmp_path, points=points(), assigned=rois(primary=["ME", "LO"]))
    written(tmp_path, scope, predicted(scope, [SECOND], [B], gaba=[0.5]))
    files = read(tmp_path, "Neuprint_Synapses/*")

    assert [[int(row[":ID(Element-ID)"]) for row in members] for members in files.values()] == [
        [PSD, SECOND],
        [FIRST, OTHER_PSD],
    ]
