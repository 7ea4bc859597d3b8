"""The table of bodies, row by row, and the rows that an annotation store lacks."""

import numpy as np
import pandas as pd
import pytest

from flyem_snapshot.connectome.neurotransmitter_bodies import (
    Thresholds,
    body_predictions,
    changed_rows,
    with_consensus,
    with_ground_truth,
)
from flyem_snapshot.connectome.neurotransmitters import PredictionCounts

BIG = 2**53 + 1
NAMES = ("gaba", "ach")
# body: gaba, ach, without a prediction
COUNTS = {1: (3, 0, 0), 2: (1, 2, 0), 3: (0, 0, 2), 5: (1, 4, 0), BIG: (2, 0, 1)}
TYPES = pd.Series({1: "A", 2: "A", 4: "A", 5: "B", 6: "C"}, dtype="str")  # 3 and BIG are untyped; 4, 6 have no T-bar
CONFUSION = pd.DataFrame([[0.8, 0.2], [0.4, 0.6]], index=NAMES, columns=list(NAMES))
LENIENT = Thresholds(0, 0, 0, 0)


def table(confusion=None, thresholds=LENIENT):
    counts = PredictionCounts(NAMES, np.array(list(COUNTS), np.int64), np.array(list(COUNTS.values()), np.int64))
    return body_predictions(counts, TYPES, thresholds, confusion)


def rows(frame):
    return [
        [None if pd.isna(value) else round(value, 4) if isinstance(value, float) else value for value in row]
        for row in frame.reset_index().astype(object).to_numpy().tolist()
    ]


def test_there_is_a_row_for_each_body_with_tbars_and_each_typed_body():
    found = table()

    assert list(found.columns) == [
        "cell_type",
        "total_nt_predictions",
        "predicted_nt",
        "celltype_total_nt_predictions",
        "celltype_predicted_nt",
    ]
    assert rows(found) == [
        [1, "A", 3, "gaba", 6, "gaba"],
        [2, "A", 3, "ach", 6, "gaba"],
        [3, None, 0, "unclear", 0, None],
        [4, "A", 0, "unclear", 6, "gaba"],
        [5, "B", 5, "ach", 5, "ach"],
        [6, "C", 0, "unclear", 0, "unclear"],
        [BIG, None, 2, "gaba", 2, None],
    ]
    assert found.index.dtype == "int64"
    assert [str(kind) for kind in found.dtypes] == ["str", "Int32", "str", "Int32", "str"]


def test_with_ground_truth_there_are_confidences():
    found = table(CONFUSION)[["predicted_nt_confidence", "celltype_predicted_nt_confidence"]]

    assert rows(found) == [
        [1, 0.8, 0.6],  # A: gaba 4, ach 2: (4 * 0.8 + 2 * 0.2) / 6
        [2, 0.5333, 0.6],  # (1 * 0.4 + 2 * 0.6) / 3
        [3, 0.0, None],
        [4, None, 0.6],
        [5, 0.56, 0.56],  # (1 * 0.4 + 4 * 0.6) / 5
        [6, None, None],
        [BIG, 0.8, None],
    ]
    assert [str(kind) for kind in found.dtypes] == ["float32", "float32"]


def test_a_cell_type_of_one_body_needs_no_more_tbars_than_a_body():
    found = table(CONFUSION, Thresholds(0, 5, 0, 7))

    assert found["predicted_nt"].to_dict() == {
        **dict.fromkeys([1, 2, 3, 4, 6, BIG], "unclear"),
        5: "ach",
    }
    assert found.loc[5, "celltype_predicted_nt"] == "ach", "5 T-bars are enough for the only body of B"
    assert found.loc[1, "celltype_predicted_nt"] == "unclear", "6 are not for the three bodies of A"


def test_bodies_and_cell_types_have_thresholds_of_their_own():
    found = table(CONFUSION, Thresholds(0.55, 0, 0.7, 0))

    assert found.loc[[1, 2, 5], "predicted_nt"].tolist() == ["gaba", "unclear", "ach"]
    assert found.loc[[1, 5], "celltype_predicted_nt"].tolist() == ["unclear", "unclear"]


def test_ground_truth_stands_behind_the_prediction():
    found = with_ground_truth(table(CONFUSION), {"A": "gaba", "B": "tyramine", "Z": "ach"})

    assert list(found.columns)[2:5] == ["predicted_nt_confidence", "predicted_nt", "ground_truth"]
    assert found["ground_truth"].dropna().to_dict() == {1: "gaba", 2: "gaba", 4: "gaba", 5: "tyramine"}


def experimental(**rows):
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["consensus_nt", "nt_reference", "other_nt"])
    return frame.rename_axis("cell_type").astype("str")


def test_the_consensus_is_the_experiment_then_the_cell_type_then_the_body():
    known = experimental(B=("octopamine", "Nern 2024", None), Z=("ach", None, None), C=(None, "X", "sNPF"))

    found = with_consensus(table(), known, {"gaba": "unclear", "octopamine": "never"})

    assert found["consensus_nt"].to_dict() == {
        **dict.fromkeys([1, 2, 4], "unclear"),  # gaba, overridden
        3: "unclear",
        5: "octopamine",  # an experiment is not overridden
        6: "unclear",
        BIG: "unclear",
    }
    assert found["nt_reference"].dropna().to_dict() == {5: "Nern 2024", 6: "X"}
    assert found["other_nt"].dropna().to_dict() == {6: "sNPF"}
    assert "other_nt_reference" not in found


def test_an_untyped_body_has_its_own_prediction_as_consensus():
    found = with_consensus(table(), experimental(), {})

    assert found["consensus_nt"].to_dict() == {
        1: "gaba",
        2: "gaba",
        3: "unclear",
        4: "gaba",
        5: "ach",
        6: "unclear",
    } | {BIG: "gaba"}


# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def new():
    return with_consensus(table(CONFUSION), experimental(), {})


@pytest.fixture
def stored(new):
    """A store that knows all of it already, as JSON would hold it."""
    old = new.drop(columns="cell_type").astype(object)
    return old.where(old.notna(), None).assign(type=new["cell_type"].astype(object))


def test_what_the_store_knows_is_not_written_again(stored, new):
    assert changed_rows(stored, new).empty


def test_only_changed_rows_are_written_by_body(stored, new):
    stored.loc[5, "predicted_nt"] = "gaba"
    stored.loc[1, "predicted_nt_confidence"] = None
    stored.loc[4, "predicted_nt_confidence"] = 0.5

    found = changed_rows(stored, new)

    assert found.index.tolist() == [1, 4, 5]
    assert list(found.columns) == [
        "total_nt_predictions",
        "predicted_nt",
        "predicted_nt_confidence",
        "celltype_predicted_nt",
        "celltype_predicted_nt_confidence",
        "celltype_total_nt_predictions",
        "consensus_nt",
    ]
    assert found.loc[5, "predicted_nt"] == "ach"
    assert pd.isna(found.loc[4, "predicted_nt_confidence"])


def test_bodies_that_the_store_does_not_have_are_not_made(stored, new):
    assert changed_rows(stored.drop(index=[1, 5]), new).empty
    assert changed_rows(stored.rename(index={5: 99}), new).empty


def test_of_a_body_whose_type_changed_nothing_is_said_of_its_former_type(stored, new):
    stored.loc[5, "type"] = "D"
    stored.loc[BIG, "type"] = "D"  # was untyped

    found = changed_rows(stored, new)

    assert found.index.tolist() == [5, BIG]
    assert found["predicted_nt"].tolist() == ["ach", "gaba"]
    assert found["total_nt_predictions"].tolist() == [5, 2]
    of_types = ["celltype_predicted_nt", "celltype_predicted_nt_confidence", "celltype_total_nt_predictions"]
    assert found[[*of_types, "consensus_nt"]].isna().all(axis=None)


def test_a_store_without_any_prediction_gets_all(stored, new):
    assert changed_rows(stored[["type"]], new).index.tolist() == new.index.tolist()
