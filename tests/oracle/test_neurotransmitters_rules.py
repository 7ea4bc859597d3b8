"""The oracle's neurotransmitters against values worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.oracle import neurotransmitters
from tests.oracle.compare import assert_frames_equal
from tests.oracle.load import load
from tests.oracle.neurotransmitters import Transmitters, neurotransmitters_of
from tests.oracle.neurotransmitters_groups import confidence_of, confusion_of, first_predictions, top_prediction
from tests.oracle.neurotransmitters_made_up import (
    ACH,
    EXPORT,
    GABA,
    GLU,
    NAMES,
    NT,
    NULL,
    PARTNER,
    UNKNOWN,
    Tbar,
    many,
    predictions_of,
    write,
)
from tests.oracle.neurotransmitters_read import TRANSLATIONS, transmitter
from tests.tiny import ME, OB, ORIGIN, frame

TRUTH = {"cell_type": ["a", "g"], "ground_truth": [ACH, GABA]}
LOW = {f"{NT}.min-body-presyn": 1, f"{NT}.min-celltype-presyn": 1}


def made(folder: Path, tbars: list[Tbar], types: dict[int, str | None], **settings: Any) -> Transmitters:
    """The oracle's answer to a list of T-bars."""
    result = neurotransmitters_of(load(write(folder, tbars, types, **settings)))
    assert result is not None
    return result


def column(result: Transmitters, name: str) -> dict[int, Any]:
    """One column of the body table, None for null."""
    values = result.bodies.set_index("body")[name]
    return {body: None if pd.isna(v) else v for body, v in values.items()}


# --- names and voxels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nts_8.gaba", "gaba"),
        ("nts_8.GABA", "gaba"),
        ("nt_gaba_prob", "gaba"),
        ("nt_gaba_prob_mean", "gaba"),
        ("nts.Glut", "glutamate"),
        ("nts_8.da", "dopamine"),
        ("nt_5HT_prob", "serotonin"),
        ("nt_ser", "serotonin"),
        ("nt_oct_prob", "octopamine"),
        ("nts_8.ach", "acetylcholine"),
        ("nts_8.neither", "unknown"),
        ("nts_8.dopamine", "dopamine"),
        ("nt_nitric_oxide_prob", "oxide"),
    ],
)
def test_a_column_holds_the_transmitter_at_the_end_of_its_name(name, expected):
    assert transmitter(name, TRANSLATIONS) == expected


def test_a_mapping_given_by_the_user_replaces_all_translations(tmp_path):
    predictions = predictions_of([Tbar(1)]).rename(columns={"nts_8.glutamate": "nt_glut", "nts_8.gaba": "nt_x"})
    result = made(tmp_path, [Tbar(1)], {}, predictions=predictions, **{f"{NT}.translate-names": {"x": "gaba"}})
    assert result.names == ["gaba", "acetylcholine", "glut", "unknown"]


@pytest.mark.parametrize("form", ["{}", "pre_{}", "{}_pre"])
def test_coordinates_have_three_names_and_are_cut_off_towards_zero_after_rescaling(tmp_path, form):
    predictions = predictions_of([Tbar(1), Tbar(1)])
    where = {"x": [10.7, 20.9], "y": [40.0, 43.9], "z": [-1.0, 1.0]}
    predictions = predictions.drop(columns=["pre_x", "pre_y", "pre_z"])
    predictions = predictions.assign(**{form.format(axis): v for axis, v in where.items()})
    settings = {f"{NT}.rescale-coords": [1, 0.25, 1.9]}
    result = made(tmp_path, [Tbar(1), Tbar(1)], {}, predictions=predictions, **settings)
    assert list(result.tbars["pred1"].isna()) == [True, False]
    assert list(result.tbars["point_id"]) == [ORIGIN + 10, ORIGIN + 20]


def test_two_columns_of_one_transmitter_no_column_and_one_voxel_twice_are_errors(tmp_path):
    predictions = predictions_of([Tbar(1)])
    with pytest.raises(ValueError, match="two columns of one"):
        made(tmp_path, [Tbar(1)], {}, predictions=predictions.assign(nt_glut_prob=0.5))
    with pytest.raises(ValueError, match="no transmitter"):
        made(tmp_path, [Tbar(1)], {}, predictions=predictions[["pre_x", "pre_y", "pre_z"]])
    with pytest.raises(ValueError, match="predicted twice"):
        made(tmp_path, [Tbar(1)], {}, predictions=pd.concat([predictions, predictions]))


def test_a_voxel_without_a_tbar_may_be_predicted_twice(tmp_path):
    predictions = predictions_of([Tbar(1)])
    elsewhere = predictions.assign(pre_x=np.int32(5))
    result = made(tmp_path, [Tbar(1)], {}, predictions=pd.concat([predictions, elsewhere, elsewhere]))
    assert list(result.tbars["pred1"]) == [ACH]


# --- predictions ------------------------------------------------------------------------------------------------------


def test_the_first_column_wins_a_tie_and_a_null_number_is_less_than_any():
    nan = np.nan
    rows = [(0.2, 0.4, 0.4), (0.5, 0.5, 0), (nan, 0, nan), (nan, nan, nan), (0, nan, 0.1)]
    table = pd.DataFrame(rows, columns=["z", "b", "a"])
    assert [None if pd.isna(p) else p for p in first_predictions(table)] == ["b", "z", "b", None, "a"]


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ([], "unclear"),
        ([None], "unclear"),
        ([GABA, GABA, ACH], GABA),
        ([GLU, GABA], GABA),
        ([UNKNOWN, None], UNKNOWN),
        ([GABA, None, None], "unclear"),
        ([GABA, GLU, None, None, GLU], GLU),
    ],
)
def test_the_most_frequent_prediction_wins_then_the_first_by_name_and_nulls_are_a_name_after_all_others(
    predicted, expected
):
    assert top_prediction(predicted) == expected


def test_the_confusion_matrix_gives_shares_of_each_known_transmitter():
    truth = [ACH, ACH, ACH, ACH, GABA, None, "tyramine", GLU, GABA]
    predicted = [ACH, ACH, ACH, GLU, GLU, ACH, ACH, None, None]
    matrix = confusion_of(truth, predicted, list(NAMES))
    expected = [[0, 0, 1, 0], [0, 0.75, 0.25, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert matrix.to_numpy().tolist() == expected
    assert list(matrix.index) == list(matrix) == list(NAMES)


def test_confidence_is_the_mean_share_over_the_predicted_tbars():
    rows = [[0.7, 0.1, 0.2, 0], [0.1, 0.6, 0.2, 0.1], [0, 0.3, 0.5, 0.2], [0, 0, 0, 0]]
    matrix = pd.DataFrame(rows, index=NAMES, columns=NAMES)
    predicted = [ACH] * 7 + [GLU] * 6 + [GABA] * 4 + [UNKNOWN] * 4
    assert confidence_of(ACH, predicted, matrix) == pytest.approx((7 * 0.6 + 6 * 0.2 + 4 * 0.1 + 4 * 0.1) / 21)
    assert confidence_of(ACH, [ACH, None, GLU], matrix) == pytest.approx(0.4)
    assert confidence_of("unclear", [None, None, ACH], matrix) == 0
    assert confidence_of(UNKNOWN, [UNKNOWN], matrix) == 0
    assert confidence_of("unclear", [], matrix) is None


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_the_body_table_without_any_ground_truth(tmp_path):
    tbars = [*many(3, (GABA, 2), (None, 1)), *many(1, (ACH, 1), (GLU, 1)), Tbar(2, NULL), Tbar(2, GLU, to=6), Tbar(4)]
    types = {1: "a", 2: "a", 3: None, 5: "no synapse", 6: "no T-bar", PARTNER: "no T-bar", 4: ""}
    expected = frame(
        "body cell_type total_nt_predictions predicted_nt celltype_total_nt_predictions celltype_predicted_nt",
        [
            (1, "a", 2, ACH, 3, GLU),
            (2, "a", 1, GLU, 3, GLU),
            (3, None, 2, GABA, 2, None),
            (4, None, 1, ACH, 1, None),
            (6, "no T-bar", 0, "unclear", 0, "unclear"),
            (PARTNER, "no T-bar", 0, "unclear", 0, "unclear"),
        ],
        body="int64",
        total_nt_predictions="Int32",
        celltype_total_nt_predictions="Int32",
    )
    result = made(tmp_path, tbars, types)
    assert_frames_equal(result.bodies, expected, "bodies")
    assert list(result.bodies) == list(expected)
    assert result.confusion is None


def test_all_tbars_of_a_body_in_training_are_out_of_the_confusion_matrix_but_not_of_its_prediction(tmp_path):
    tbars = [
        *many(1, (GLU, 5)),  # leaks
        Tbar(1, GLU, split="train"),
        *many(2, (ACH, 3), (GLU, 1), split="test"),
        *many(3, (GABA, 2)),
        Tbar(3, ACH, split="validation"),
        *many(4, (GABA, 1), (UNKNOWN, 1), (NULL, 1)),
    ]
    types: dict[int, str | None] = {1: "a", 2: "a", 3: "g", 4: "g"}
    result = made(tmp_path, tbars, types, ground_truth=TRUTH, **LOW)
    assert result.confusion is not None
    assert result.confusion.to_numpy().tolist() == [[0.5, 0, 0, 0.5], [0, 0.75, 0.25, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert column(result, "total_nt_predictions")[1] == 6
    # 1 is predicted glutamate, of which nothing is known.  2: (3 * 0.75 + 0.25) / 4.  4: gaba before unknown.
    expected = {1: 0.0, 2: 0.625, 3: np.float32(1 / 3), 4: 0.5, PARTNER: None}
    assert column(result, "predicted_nt_confidence") == {b: v for b, v in expected.items() if b != PARTNER}
    assert column(result, "predicted_nt") == {1: "unclear", 2: ACH, 3: "unclear", 4: GABA}
    # Type a: 7 of 10 say glutamate.  Type g: gaba 3, unknown 1, acetylcholine 1.
    assert column(result, "celltype_predicted_nt_confidence") == {1: 0, 2: 0, 3: np.float32(0.4), 4: np.float32(0.4)}
    assert column(result, "ground_truth") == {1: ACH, 2: ACH, 3: GABA, 4: GABA}
    split_only_once = made(
        tmp_path, tbars, types, ground_truth=TRUTH, **{f"{NT}.training-set-split-indicators": ["test"]}
    )
    assert split_only_once.confusion is not None
    assert split_only_once.confusion.loc[ACH].tolist() == [0, 0, 1, 0]


def certain(body: int, n: int) -> list[Tbar]:
    """T-bars that are all predicted alike; with the body 8 in ground truth, confidences are 1."""
    return many(body, (ACH, n), split="test")


@pytest.mark.parametrize(("n", "expected"), [(49, "unclear"), (50, ACH)])
def test_a_body_needs_50_predictions(tmp_path, n, expected):
    result = made(tmp_path, certain(1, n), {1: "a"}, ground_truth=TRUTH)
    assert column(result, "predicted_nt") == {1: expected}
    assert column(result, "predicted_nt_confidence") == {1: 1.0}
    assert column(result, "celltype_predicted_nt") == {1: expected}, "a type of one cell asks for no more"


def test_a_type_of_several_cells_needs_100_predictions_even_if_the_others_have_no_tbar(tmp_path):
    tbars = [*certain(1, 98), Tbar(1, None), Tbar(1, ACH, to=2)]
    result = made(tmp_path / "99", tbars, {1: "a", 2: "a"}, ground_truth=TRUTH, predictions=predictions_of(tbars))
    assert column(result, "total_nt_predictions") == {1: 99, 2: 0}
    assert column(result, "celltype_predicted_nt") == {1: "unclear", 2: "unclear"}
    assert column(result, "celltype_predicted_nt_confidence") == {1: 1.0, 2: 1.0}
    assert column(result, "predicted_nt_confidence") == {1: 1.0, 2: None}
    tbars.append(Tbar(1))
    result = made(tmp_path / "100", tbars, {1: "a", 2: "a"}, ground_truth=TRUTH, predictions=predictions_of(tbars))
    assert column(result, "celltype_predicted_nt") == {1: ACH, 2: ACH}


def test_thresholds_ask_nothing_where_there_are_no_confidences(tmp_path):
    assert column(made(tmp_path, [Tbar(1)], {1: "a"}), "predicted_nt") == {1: ACH}


def test_a_confidence_at_the_threshold_suffices(tmp_path):
    tbars = [*many(1, (ACH, 1), (GLU, 1), split="test")]
    truth = {"mcns_type": ["a"], "ground_truth": [ACH]}
    result = made(tmp_path, tbars, {1: "a"}, ground_truth=truth, **LOW)
    assert (column(result, "predicted_nt"), column(result, "predicted_nt_confidence")) == ({1: ACH}, {1: 0.5})


@pytest.mark.parametrize("setting", ["min-body-confidence", "min-celltype-confidence"])
def test_bodies_and_types_have_thresholds_of_their_own(tmp_path, setting):
    settings = LOW | {f"{NT}.{setting}": 0.51}
    tbars = many(1, (ACH, 1), (GLU, 1), split="test")
    result = made(tmp_path, tbars, {1: "a"}, ground_truth={"cell_type": ["a"], "ground_truth": [ACH]}, **settings)
    of_body = setting == "min-body-confidence"
    assert column(result, "predicted_nt") == {1: "unclear" if of_body else ACH}
    assert column(result, "celltype_predicted_nt") == {1: ACH if of_body else "unclear"}


# --- consensus --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["cell_type", "type", "mcns_type"])
@pytest.mark.parametrize("value", ["consensusNt", "consensus_nt", "ground_truth"])
@pytest.mark.parametrize("others", [("ntReference", "otherNt", "otherNtReference"), ("nt_reference",), ()])
def test_an_experiment_outdoes_predictions_and_an_override_outdoes_them_before(tmp_path, header, value, others):
    tbars = [Tbar(1, ACH), Tbar(2, GLU), Tbar(3, GABA), Tbar(4, GLU), Tbar(5, UNKNOWN)]
    types = {1: "a", 2: "b", 3: "c", 4: None}
    experiments = {header: ["a", "b", "z"], value: ["histamine", None, ACH]}
    experiments |= {name: [None, f"about {name}", "x"] for name in others}
    settings = {f"{NT}.override-celltype-before-consensus": {GLU: "unclear", UNKNOWN: "nothing", "histamine": "no"}}
    result = made(tmp_path, tbars, types, experiments=experiments, **settings)
    assert column(result, "consensus_nt") == {1: "histamine", 2: "unclear", 3: GABA, 4: "unclear", 5: "nothing"}
    assert column(result, "celltype_predicted_nt") == {1: ACH, 2: GLU, 3: GABA, 4: None, 5: None}
    assert column(result, "predicted_nt")[2] == GLU
    snake = {"ntReference": "nt_reference", "otherNt": "other_nt", "otherNtReference": "other_nt_reference"}
    expected = [snake.get(name, name) for name in others]
    assert list(result.bodies)[list(result.bodies).index("consensus_nt") + 1 :] == expected
    for name, written in zip(expected, others, strict=True):
        assert column(result, name) == {1: None, 2: f"about {written}", 3: None, 4: None, 5: None}


@pytest.mark.parametrize("types", [("7", "08"), ("NA", "nan"), ("1e3", "True")])
def test_cell_types_that_look_like_numbers_or_like_nothing_are_names(tmp_path, types):
    experiments = {"type": types, "consensusNt": ["x", "y"]}
    result = made(tmp_path, [Tbar(1), Tbar(2)], dict(enumerate(types, 1)), experiments=experiments)
    assert column(result, "consensus_nt") == {1: "x", 2: "y"}


def test_a_type_may_be_listed_twice_but_not_with_two_values_and_ground_truth_has_no_gaps(tmp_path):
    twice = {"type": ["a", "a"], "consensusNt": ["x", "x"]}
    assert column(made(tmp_path, [Tbar(1)], {1: "a"}, experiments=twice), "consensus_nt") == {1: "x"}
    with pytest.raises(ValueError, match="two values"):
        made(tmp_path, [Tbar(1)], {1: "a"}, experiments=twice | {"consensusNt": ["x", "y"]})
    gap = {"cell_type": ["a", None], "ground_truth": [ACH, ACH]}
    with pytest.raises(ValueError, match="empty"):
        made(tmp_path, [Tbar(1, split="test")], {1: "a"}, ground_truth=gap)


EVIDENCE = {
    "bodyid": [1, 1, 1, 2, 3, 4, 5],
    "type": ["a", "a", "a", "b", "c", "d", "d"],
    "neurotransmitter_verified": [
        "gaba",
        "acetylcholine, gaba-negative, serotonin, nitric oxide",
        "glutamate",
        "gaba-negative, acetylcholine-negative",
        "gaba-negative, histamine",
        None,
        "tyramine",
    ],
    "neurotransmitter_verified_source": ["low", "high", "later", "negative", "x", "nothing", "d"],
    "neurotransmitter_verified_confidence": [2, 5, 5, 5, 1, 5, 0],
}
TRANSMITTERS = ["acetylcholine", "gaba", "glutamate", "serotonin", "tyramine", "histamine", "nitric_oxide"]


def evidence_by_columns() -> dict[str, Any]:
    """The same with a column for each transmitter: 1 found, -1 looked for in vain, 0 not looked for."""
    table = {k: v for k, v in EVIDENCE.items() if k not in ("bodyid", "neurotransmitter_verified")}
    table["cell_type"] = table.pop("type")
    listed = [(text or "").split(", ") for text in EVIDENCE["neurotransmitter_verified"]]
    for column in TRANSMITTERS:
        name = column.replace("_", " ")
        table[column] = [1 if name in names else -1 if f"{name}-negative" in names else 0 for names in listed]
    return table


@pytest.mark.parametrize("form", ["names", "columns"])
def test_of_a_collection_of_experiments_the_surest_that_found_something_counts(tmp_path, form):
    evidence = EVIDENCE if form == "names" else evidence_by_columns()
    tbars = [Tbar(body, ACH, split="test") for body in (1, 2, 3, 4)]
    types: dict[int, str | None] = {1: "a", 2: "b", 3: "c", 4: "d"}
    result = made(tmp_path, tbars, types, experiments=evidence, ground_truth=evidence, **LOW)
    assert column(result, "consensus_nt") == {1: ACH, 2: ACH, 3: "histamine", 4: "tyramine"}
    assert column(result, "nt_reference") == {1: "high", 2: None, 3: "x", 4: "d"}
    assert column(result, "other_nt") == {1: "serotonin, nitric oxide", 2: None, 3: None, 4: None}
    assert column(result, "ground_truth") == {1: ACH, 2: None, 3: "histamine", 4: "tyramine"}
    assert "other_nt_reference" not in result.bodies


# --- restrictions and files -------------------------------------------------------------------------------------------

PLACES = [Tbar(1, ACH), Tbar(1, GLU, roi_post=OB), Tbar(2, GLU, roi=None, roi_post=ME), Tbar(3, GABA, roi_post=None)]


@pytest.mark.parametrize(
    ("roi", "kept"),
    [
        (ME, {1: ACH, 2: GLU, PARTNER: "unclear"}),
        ("", {1: ACH, 2: GLU, PARTNER: "unclear"}),
        (OB, {1: GLU, PARTNER: "unclear"}),
    ],
)
def test_a_restriction_looks_at_the_roi_of_the_psd_and_forgets_all_other_bodies(tmp_path, roi, kept):
    settings = {f"{NT}.restrict-to-roi": {"roiset": "primary", "roi": roi}}
    path = write(tmp_path, PLACES, {PARTNER: "p", 3: "c"}, **settings)
    result = neurotransmitters_of(load(path))
    assert result is not None
    assert column(result, "predicted_nt") == kept
    table = neurotransmitters.outputs(load(path))["nt/tbar-neurotransmitters-tiny.feather"]
    assert list(table["body"]) == [1, 1, 2, 3], "T-bars elsewhere are listed, without a prediction"
    assert list(table["nt_gaba_prob"].notna()) == [roi != OB, roi != ME, roi != OB, False]


def test_a_restricted_export_keeps_bodies_with_a_synapse_inside_and_all_their_numbers(tmp_path):
    tbars = [
        Tbar(1, roi=None, roi_post=None),
        Tbar(1, GABA),
        Tbar(2, roi=None, to=3),
        Tbar(4, roi=None, roi_post=None, to=5),
    ]
    settings = {f"{EXPORT}.restrict-export": "primary", f"{EXPORT}.roi-sets": ["layer", "primary"]}
    tables = neurotransmitters.outputs(load(write(tmp_path, tbars, {3: "c", 5: "e"}, **settings)))
    bodies = tables["nt/body-neurotransmitters-tiny.feather"]
    assert list(bodies["body"]) == [1, 3]
    assert list(bodies["total_nt_predictions"]) == [2, 0]
    table = tables["nt/tbar-neurotransmitters-tiny.feather"]
    assert list(table) == [
        "point_id",
        "x",
        "y",
        "z",
        "conf",
        "body",
        "layer",
        "primary",
        *(f"nt_{n}_prob" for n in NAMES),
    ]
    assert list(table["x"]) == [10, 20]


def test_files_and_bodies_with_several_splits(tmp_path):
    tbars = [
        Tbar(1, split="test"),
        Tbar(1, split="train"),
        Tbar(1, split="x"),
        Tbar(2, split="test"),
        Tbar(2),
        Tbar(3, GABA),
    ]
    path = write(tmp_path, tbars, {1: "a"}, ground_truth=TRUTH)
    tables = neurotransmitters.outputs(load(path))
    assert tables["nt_multi_split_bodies.csv"].to_numpy().tolist() == [[1, 3]]
    confusion = tables["nt/neurotransmitter-confusion.csv"]
    assert list(confusion) == ["ground_truth", *NAMES]
    assert list(confusion["ground_truth"]) == list(NAMES)
    settings = {f"{EXPORT}.export-neurotransmitters": False}
    off = write(tmp_path / "off", tbars, {1: "a"}, ground_truth=TRUTH, **settings)
    assert neurotransmitters.outputs(load(off)) == {}
    settings["outputs.neuprint.export-neuprint-snapshot"] = True
    neuprint = write(tmp_path / "neuprint", tbars, {1: "a"}, ground_truth=TRUTH, **settings)
    assert set(neurotransmitters.outputs(load(neuprint))) == {"nt_multi_split_bodies.csv"}
    none = write(tmp_path / "none", tbars, {1: "a"}, **{f"{NT}.synister-feather": ""})
    assert neurotransmitters.outputs(load(none)) == {}


def test_mean_scores_are_of_the_tbars_that_have_any(tmp_path):
    tbars = [Tbar(1, (0.5, 0.25, 0.25, 0)), Tbar(1, (0, 0.75, 0.25, 0)), Tbar(1, NULL), Tbar(2, NULL), Tbar(3, None)]
    result = made(tmp_path, tbars, {PARTNER: "p"})
    expected = {"body": [1, 2, 3], "nt_gaba_prob": [0.25, None, None], "nt_acetylcholine_prob": [0.5, None, None]}
    scores = result.scores[list(expected)]
    types = dict.fromkeys(list(expected)[1:], "float32")
    assert_frames_equal(scores, pd.DataFrame(expected).astype(types), "scores")
