"""Predictions find their T-bars whatever form the table has, and what does not fit is refused or counted."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.connectome.status import as_status_category
from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.inputs.neurotransmitters import STAGE, load_neurotransmitters
from flyem_snapshot.inputs.neurotransmitters.columns import transmitter_of
from flyem_snapshot.inputs.neurotransmitters.settings import SHORT_NAMES, NeurotransmittersSettings
from flyem_snapshot.tables.bodies import BodyAnnotations, frame_from_arrow
from flyem_snapshot.tables.neurotransmitters import TBARS, Neurotransmitters
from flyem_snapshot.tables.points import encode
from flyem_snapshot.tables.rois import AssignedSet, RoiAssignment
from flyem_snapshot.tables.synapses import PARTNERS, POINTS, Synapses
from tests.contexts import make_context
from tests.writing import write_table

BIG = 2**53 + 1


def at(x):
    """The id of a point on the line y = 10, z = 1."""
    return int(encode(np.array([x]), np.array([10]), np.array([1]))[0])


# id, kind, body, combination of ROIs; not in the order of ids
POINTS_ROWS = [
    (at(300), "PreSyn", BIG, 0),
    (at(101), "PostSyn", 2, 1),
    (at(100), "PreSyn", 1, 0),
    (at(-20), "PreSyn", 1, 0),
    (at(301), "PostSyn", 3, 2),
    (at(-21), "PostSyn", 2, 0),
    (at(200), "PreSyn", 2, 1),
    (at(201), "PostSyn", 4, 2),
]
PARTNER_ROWS = [(100, 101, 1, 2, 1), (300, 301, BIG, 3, 2), (-20, -21, 1, 2, 0), (200, 201, 2, 4, 2)]
ROIS = RoiAssignment((AssignedSet("primary", {"<unspecified>": 0, "ME": 1, "LO": 2}, np.array([0, 1, 2], np.int32)),))
# One prediction at no T-bar; T-bar 200 has none.
TABLE = {
    "x": [100, -20, 55, 300],
    "y": [10, 10, 10, 10],
    "z": [1, 1, 1, 1],
    "nts_8.gaba": [0.7, 0.4, 0.5, None],
    "nts_8.ach": [0.2, 0.4, 0.3, 0.25],
}
EXPECTED = [
    (at(300), BIG, 300, None, 0.25, "acetylcholine"),
    (at(100), 1, 100, 0.7, 0.2, "gaba"),
    (at(-20), 1, -20, 0.4, 0.4, "gaba"),
    (at(200), 2, 200, None, None, None),
]


@pytest.fixture
def ctx(tmp_path):
    context = make_context(tmp_path, "inputs-neurotransmitters")
    points = ", ".join(str(row) for row in POINTS_ROWS)
    partners = ", ".join(str((at(pre), at(post), *rest)) for pre, post, *rest in PARTNER_ROWS)
    columns = "point_id::UBIGINT AS point_id, kind, body::BIGINT AS body, roi_combo"
    context.engine.view(POINTS, f"SELECT {columns} FROM (VALUES {points}) AS t(point_id, kind, body, roi_combo)")
    names = "pre_id, post_id, body_pre, body_post, roi_combo"
    context.engine.view(PARTNERS, f"SELECT * FROM (VALUES {partners}) AS t({names})")
    yield context
    context.engine.close()


def annotations(**types):
    bodies = [int(body.removeprefix("b")) for body in types]
    frame = frame_from_arrow(pa.table({"body": pa.array(bodies, pa.int64()), "type": list(types.values())}))
    frame["status"] = as_status_category([None] * len(bodies))
    return BodyAnnotations(frame)


@pytest.fixture
def load(ctx, tmp_path):
    """Run the stage on a table of predictions (columns, or a file)."""

    def _load(table=None, suffix="feather", types=None, **settings):
        path = write_table(TABLE if table is None else table, tmp_path / f"predictions.{suffix}", 2)
        synapses = Synapses(ctx.engine, ROIS, 0.0, None, (), {}, len(POINTS_ROWS), len(PARTNER_ROWS))
        config = NeurotransmittersSettings(synister_feather=path, **settings)
        return load_neurotransmitters(config, ctx, synapses=synapses, annotations=types)

    return _load


def tbars(found):
    columns = f"point_id, body, x, {', '.join(found.columns)}, pred1"
    rows = found.engine.rows(f"SELECT {columns} FROM {TBARS}")
    return [tuple(round(v, 6) if isinstance(v, float) else v for v in row) for row in rows]


def csv(path, text):
    path.write_text(text)
    return path


# ---------------------------------------------------------------------------------------------------------------------
# Where T-bars are


@pytest.mark.parametrize("suffix", ["feather", "parquet", "csv"])
def test_every_tbar_has_a_row_in_the_order_of_the_synapses_with_nulls_where_nothing_is_predicted(load, ctx, suffix):
    found = load(suffix=suffix)

    assert found.names == ("gaba", "acetylcholine")
    assert found.columns == ("nt_gaba_prob", "nt_acetylcholine_prob")
    assert not found.has_split
    assert tbars(found) == EXPECTED
    assert [(e.table, e.reason, e.rows) for e in ctx.exclusions.entries] == [
        ("neurotransmitter predictions", "at no T-bar of the snapshot", 1)
    ]


@pytest.mark.parametrize("form", ["pre_{}", "{}_pre"])
def test_coordinates_may_be_those_of_the_tbar_of_a_connection(load, form):
    assert tbars(load({form.format(k) if k in "xyz" else k: v for k, v in TABLE.items()})) == EXPECTED


@pytest.mark.parametrize("with_coordinates", [True, False])
def test_point_ids_do_as_well(load, with_coordinates):
    ids = {"point_id": pa.array([at(x) for x in TABLE["x"]], pa.uint64())}
    table = {k: v for k, v in TABLE.items() if with_coordinates or k not in "xyz"}

    assert tbars(load({**ids, **table})) == EXPECTED


@pytest.mark.parametrize("scale", [0.5, (0.5, 0.5, 0.5)])
@pytest.mark.parametrize("kind", [pa.int32(), pa.uint64(), pa.float32(), pa.float64()])
def test_coordinates_are_rescaled_and_cut_towards_zero(load, scale, kind):
    x = [201, 41, 111, 601] if kind == pa.uint64() else [201, -41, 111, 601]
    table = {**TABLE, "x": pa.array(x, kind), "y": pa.array([21] * 4, kind), "z": pa.array([3] * 4, kind)}

    found = tbars(load(table, rescale_coords=scale))

    expected = list(EXPECTED)
    if kind == pa.uint64():
        expected[2] = (at(-20), 1, -20, None, None, None)
    assert found == expected


def test_each_axis_may_have_a_scale_of_its_own(load):
    table = {**TABLE, "x": [50, -10, 27, 150], "y": [5] * 4, "z": [3] * 4}

    assert tbars(load(table, rescale_coords=(2, 2, 0.4))) == EXPECTED


def test_point_ids_alone_are_rescaled_too(load):
    ids = encode(np.array([200, -40, 3, 600]), np.full(4, 20), np.full(4, 2))
    table = {"point_id": ids, **{k: v for k, v in TABLE.items() if k not in "xyz"}}

    assert tbars(load(table, rescale_coords=0.5)) == EXPECTED


# ---------------------------------------------------------------------------------------------------------------------
# Which transmitter a column is of


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("nts_8.acetylcholine", "acetylcholine"),
        ("nt_acetylcholine_prob", "acetylcholine"),
        ("nt_acetylcholine_probability", "acetylcholine"),
        ("nts_8.glut", "glutamate"),  # fault D1: was gluatmate
        ("nt_da_prob", "dopamine"),  # fault D1: was dopmaine
        ("nts.neither", "unknown"),
        ("nts_8.5HT", "serotonin"),
        ("nt_GABA_prob", "gaba"),  # fault D45: capitals
        ("nt_glutamate_prob", "glutamate"),
        ("nt_nitric_oxide_prob", "oxide"),
    ],
)
def test_the_name_of_a_transmitter_is_the_last_part_of_the_columns_name(column, name):
    assert transmitter_of(column, SHORT_NAMES) == name


def test_own_names_replace_all_of_the_default_whatever_their_case(load):
    found = load({**TABLE, "nts_8.da": [0.1] * 4}, translate_names={"GABA": "Gaba", "da": "DA"})

    assert found.names == ("Gaba", "ach", "DA")


def test_two_columns_of_one_transmitter_are_refused(load):
    # Fault D16.
    with pytest.raises(DataError, match="columns 'nts_8.ach' and 'nt_acetylcholine_prob' are both of 'acetylcholine'"):
        load({**TABLE, "nt_acetylcholine_prob": [0.1] * 4})


def test_names_that_differ_in_case_only_are_refused(load):
    with pytest.raises(DataError, match="'gaba' and 'GABA' differ only in upper and lower case"):
        load({**TABLE, "nts_8.g": [0.1] * 4}, translate_names={"g": "GABA"})


# ---------------------------------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nts_8.gaba": None, "nts_8.ach": None}, "there is no column of probabilities"),
        ({"x": None}, "there are neither columns 'x', 'y', 'z'"),
        ({"nts_8.gaba": list("abcd")}, "column 'nts_8.gaba': is of type string, but must be a number"),
        ({"nts_8.gaba": [0.1, 1.01, -0.1, 0.3]}, "'nts_8.gaba': is no probability: it is outside 0 .. 1 (2 rows)"),
        (
            {"nts_8.gaba": [0.1, float("inf"), 0.1, 0.3]},
            "is no probability: it is outside 0 .. 1 (1 row); first: row 1: inf",
        ),
        ({"x": [100, None, 55, 300]}, "column 'x': has no value (1 row); first: row 1: None"),
        ({"y": [10, 10, 2**20, 10]}, "column 'y': is outside -1048576 .. 1048575 (1 row); first: row 2: 1048576.0"),
        ({"x": [1, 2, 3, 4]}, "none of the predictions lies at a T-bar of the snapshot (4 rows)"),
        ({"x": [100, 100, 100, 300]}, "T-bars have several predictions (3 rows); first: x 100, y 10, z 1"),
        (
            {"point_id": [at(100), at(-20), at(56), at(300)]},
            "column 'point_id': does not belong to the coordinates beside",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(load, change, message):
    with pytest.raises(DataError) as raised:
        load({name: values for name, values in {**TABLE, **change}.items() if values is not None})

    assert message in str(raised.value)
    assert raised.value.hint


def test_an_empty_table_is_refused(load):
    with pytest.raises(DataError, match="the table has no rows"):
        load({name: pa.array([], pa.float64()) for name in TABLE})


def test_predictions_of_one_place_that_is_no_tbar_do_no_harm(load):
    table = {name: [*values, values[2]] for name, values in TABLE.items()}

    assert tbars(load(table)) == EXPECTED


def test_probabilities_a_trifle_beyond_one_and_nan_are_usual(load):
    found = load({**TABLE, "nts_8.ach": [1.0000001, float("nan"), 0.1, -1e-9]})

    assert [row[4] for row in tbars(found)] == [0, 1, None, None]


# ---------------------------------------------------------------------------------------------------------------------
# Bodies, ground truth, splits


def test_mean_probabilities_are_made_unless_they_are_not_wanted(load):
    # Fault D2: the setting had no effect.
    found = load().mean_scores

    assert found.index.tolist() == [1, BIG]
    assert found["nt_gaba_prob"].tolist() == [pytest.approx(0.55), pytest.approx(float("nan"), nan_ok=True)]
    assert [str(kind) for kind in found.dtypes] == ["float32", "float32"]
    assert load(export_mean_tbar_scores=False).mean_scores is None


def test_bodies_have_types_if_they_have_a_synapse(load):
    found = load(types=annotations(b1="A", b4="B", b9="C", b3=""))

    assert found.bodies["cell_type"].dropna().to_dict() == {1: "A", 4: "B"}
    assert found.bodies.index.tolist() == [1, 2, 4, BIG]


def test_ground_truth_gives_confidences_and_leaves_out_what_was_learned_from(load, ctx, tmp_path):
    truth = csv(tmp_path / "truth.csv", "mcns_type,ground_truth\nA,gaba\nB,gaba\nZ,nitric oxide\n")
    table = {**TABLE, "split": pa.array(["test", "train", None, "test"]).dictionary_encode()}

    found = load(table, types=annotations(b1="A", b2="B", **{f"b{BIG}": "B"}), ground_truth=truth, min_body_presyn=0)

    assert found.training == (1,)
    assert found.splits == ("test", "train")
    assert found.confusion.to_numpy().tolist() == [[0, 1], [0, 0]]
    assert found.bodies.loc[BIG, "predicted_nt"] == "unclear"
    assert found.bodies["ground_truth"].dropna().to_dict() == {1: "gaba", 2: "gaba", BIG: "gaba"}
    assert [(e.reason, e.rows) for e in ctx.exclusions.entries][1:] == [
        ("their transmitter is none of those that are predicted", 1),
        ("the predictor learned from a T-bar of theirs", 1),
    ]
    assert (tmp_path / "nt_multi_split_bodies.csv").read_text() == "body,split\n1,2\n"


def test_ground_truth_needs_to_know_what_was_learned_from(load, tmp_path):
    with pytest.raises(DataError, match="there is no column 'split'"):
        load(ground_truth=csv(tmp_path / "truth.csv", "cell_type,ground_truth\nA,gaba\n"))


def test_ground_truth_without_cell_types_is_warned_of(load, tmp_path, caplog):
    truth = csv(tmp_path / "truth.csv", "cell_type,ground_truth\nA,gaba\n")

    found = load({**TABLE, "split": [None] * 4}, ground_truth=truth)

    assert found.splits == ()
    assert set(found.bodies["predicted_nt"]) == {"unclear"}
    assert "no T-bar can be compared with ground truth" in caplog.text


def test_experiments_decide_the_consensus(load, tmp_path):
    known = csv(tmp_path / "known.csv", "type,consensusNt,otherNt\nA,octopamine,sNPF\n")

    found = load(types=annotations(b1="A"), experimental_groundtruth=known).bodies

    assert found["consensus_nt"].to_dict() == {1: "octopamine", 2: "unclear", BIG: "acetylcholine"}
    assert list(found.columns)[-2:] == ["consensus_nt", "other_nt"]


# ---------------------------------------------------------------------------------------------------------------------
# A part of the connectome


@pytest.mark.parametrize(
    ("region", "inside"),
    [
        ({"roiset": "primary", "roi": "ME"}, [at(100)]),
        ({"roiset": "primary", "roi": "LO"}, [at(300), at(200)]),
        ({"roiset": "primary"}, [at(300), at(100), at(200)]),
    ],
)
def test_only_tbars_with_a_psd_in_the_region_count(load, ctx, region, inside):
    found = load(restrict_to_roi=region)

    empty = [(*row[:3], None, None, None) for row in EXPECTED]
    assert tbars(found) == [row if row[0] in inside else none for row, none in zip(EXPECTED, empty, strict=True)], (
        "those outside stay in their place, without a prediction"
    )
    assert found.bodies.index.tolist() == sorted({row[1] for row in EXPECTED if row[0] in inside})
    assert ctx.exclusions.entries[-1].rows == 4 - len(inside)


def test_types_are_of_bodies_with_a_synapse_in_the_region(load):
    found = load(restrict_to_roi={"roiset": "primary", "roi": "ME"}, types=annotations(b1="A", b2="B", b3="C"))

    assert found.bodies["cell_type"].to_dict() == {1: "A", 2: "B"}
    assert found.bodies["total_nt_predictions"].to_dict() == {1: 1, 2: 0}


def test_an_unknown_roi_is_refused(load):
    with pytest.raises(SettingError, match="there is no ROI 'me' in 'primary'") as raised:
        load(restrict_to_roi={"roiset": "primary", "roi": "me"})

    assert raised.value.field == ("restrict-to-roi", "roi")
    assert raised.value.hint == "did you mean 'ME'?"


def test_an_roi_needs_a_set():
    assert [p.path for p in NeurotransmittersSettings(restrict_to_roi={"roi": "ME"}).restrict_to_roi.problems()] == [
        ("roi",)
    ]


# ---------------------------------------------------------------------------------------------------------------------
# The cache, the settings


def test_a_later_run_reopens_the_same_tables(load, ctx, tmp_path):
    truth = csv(tmp_path / "truth.csv", "cell_type,ground_truth\nA,gaba\n")
    known = csv(tmp_path / "known.csv", "type,consensusNt\nA,octopamine\n")
    types = annotations(b1="A", b2="B")
    found = load(
        {**TABLE, "split": ["a", None, None, "b"]}, types=types, ground_truth=truth, experimental_groundtruth=known
    )
    rows, record = tbars(found), json.loads(json.dumps(found.record()))
    found.close()

    again = Neurotransmitters.reopen(ctx, record)

    assert tbars(again) == rows
    assert (again.names, again.splits, again.training) == (found.names, found.splits, found.training)
    for name in ("bodies", "mean_scores", "confusion"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(found, name), check_column_type=False)
    batches = pa.Table.from_batches(again.batches())
    assert batches["point_id"].to_pylist() == [row[0] for row in rows]
    assert batches["split"].to_pylist() == ["b", "a", None, None]


def test_without_a_table_there_is_nothing_to_load():
    assert not STAGE.enabled(NeurotransmittersSettings())
    assert load_neurotransmitters(NeurotransmittersSettings(), None, synapses=None, annotations=None) is None


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"rescale_coords": (1, 2)}, ("rescale-coords",)),
        ({"rescale_coords": 0}, ("rescale-coords",)),
        ({"translate_names": {"a": ""}}, ("translate-names", "a")),
        ({"translate_names": {"a": "b", "A": "c"}}, ("translate-names", "A")),
    ],
)
def test_settings_without_sense_are_refused(settings, path):
    assert [problem.path for problem in NeurotransmittersSettings(**settings).problems()] == [path]


@given(st.permutations(range(4)))
def test_the_order_of_the_predictions_does_not_matter(tmp_path_factory, order):
    context = make_context(tmp_path_factory.mktemp("order"), "inputs-neurotransmitters")
    points = ", ".join(str(row) for row in POINTS_ROWS)
    columns = "point_id::UBIGINT AS point_id, kind, body::BIGINT AS body, roi_combo"
    context.engine.view(POINTS, f"SELECT {columns} FROM (VALUES {points}) AS t(point_id, kind, body, roi_combo)")
    table = {name: [values[i] for i in order] for name, values in TABLE.items()}
    path = write_table(table, context.out.root / "p.feather", 3)
    synapses = Synapses(context.engine, ROIS, 0.0, None, (), {}, 8, 4)

    found = load_neurotransmitters(
        NeurotransmittersSettings(synister_feather=path), context, synapses=synapses, annotations=None
    )

    assert tbars(found) == EXPECTED
    context.engine.close()
