"""Predictions of T-bars, bodies and cell types, and how much they are worth, by numbers worked out by hand."""

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.connectome.neurotransmitters import (
    PredictionCounts,
    confusion_matrix,
    mean_scores,
    most_probable,
    predict,
    prediction_counts,
    split_bodies,
    training_bodies,
)

NAMES = ("gaba", "ach", "glu")
TBARS = pa.table(
    {
        "body": [2, 1, 1, 1, 2, 3],
        "nt_gaba_prob": pa.array([0.1, 0.5, 0.2, None, 0.4, None], pa.float32()),
        "nt_ach_prob": pa.array([0.6, 0.5, 0.3, 0.2, 0.1, None], pa.float32()),
        "nt_glu_prob": pa.array([0.3, 0.0, 0.5, None, 0.5, None], pa.float32()),
        "pred1": ["ach", "gaba", "glu", "ach", "glu", None],
        "split": ["test", "train", "test", None, "test", "validation"],
    }
)


def query(statement, tbars=TBARS):
    with duckdb.connect() as session:
        session.register("tbars", tbars)
        return session.sql(statement).fetchall()


def counts(bodies, rows, names=NAMES):
    return PredictionCounts(names, np.array(bodies, np.int64), np.array(rows, np.int64).reshape(-1, len(names) + 1))


def confusion(rows, names=NAMES):
    return pd.DataFrame(rows, index=pd.Index(names, name="ground_truth"), columns=list(names), dtype="float64")


def test_the_prediction_of_a_tbar_is_the_most_probable_one_the_first_column_of_equals_and_null_if_all_are():
    found = query(f"SELECT {most_probable(NAMES)}, pred1 FROM tbars")

    assert [one for one, _ in found] == ["ach", "gaba", "glu", "ach", "glu", None]
    assert all(one == given for one, given in found)


def test_names_with_quotes_are_names():
    tbars = pa.table({"nt_5'\"ht_prob": pa.array([0.5], pa.float32())})

    assert query(f"SELECT {most_probable(['5' + chr(39) + chr(34) + 'ht'])} FROM tbars", tbars) == [("5'\"ht",)]


def test_predictions_are_counted_by_body_those_that_are_missing_too():
    assert query(prediction_counts("tbars", NAMES)) == [(1, 1, 1, 1, 0), (2, 0, 1, 1, 0), (3, 0, 0, 0, 1)]


def test_mean_probabilities_leave_out_what_is_missing():
    found = query(mean_scores("tbars", NAMES))

    assert [row[0] for row in found] == [1, 2], "body 3 has no prediction"
    assert found[0][1:] == pytest.approx([0.35, 1 / 3, 0.25])
    assert found[1][1:] == pytest.approx([0.25, 0.35, 0.4])


def test_small_mean_probabilities_keep_their_digits():
    tbars = pa.table(
        {"body": [1, 1], "nt_gaba_prob": pa.array([3e-12, 1e-12], pa.float32()), "pred1": ["gaba", "gaba"]}
    )

    assert np.float32(query(mean_scores("tbars", ["gaba"]), tbars)[0][1]) == np.float32(2e-12)


@given(st.permutations(range(6)))
def test_mean_probabilities_do_not_depend_on_the_order_of_the_tbars(order):
    assert query(mean_scores("tbars", NAMES), TBARS.take(pa.array(order))) == query(mean_scores("tbars", NAMES))


def test_bodies_with_a_tbar_that_the_predictor_learned_from_are_found():
    assert query(training_bodies("tbars", ["train", "validation"])) == [(1,), (3,)]
    assert query(training_bodies("tbars", ["train's"])) == []
    assert query(training_bodies("tbars", [])) == []


def test_bodies_with_tbars_in_several_splits_are_found_null_is_no_split():
    tbars = TBARS.set_column(5, "split", pa.array(["test", "train", "test", None, None, None]))

    assert query(split_bodies("tbars"), tbars) == [(1, 2)]


def test_counts_of_bodies_that_have_no_tbar_are_zero():
    found = counts([3, 7], [[1, 2, 3, 4], [5, 6, 7, 8]])

    assert found.of(np.array([7, 1, 3, 9])).tolist() == [[5, 6, 7, 8], [0] * 4, [1, 2, 3, 4], [0] * 4]
    assert counts([], []).of(np.array([1])).tolist() == [[0] * 4]


def test_a_confusion_matrix_has_shares_of_each_truth_without_the_bodies_learned_from():
    found = confusion_matrix(
        counts([1, 2, 3, 4, 5], [[3, 1, 0, 9], [1, 0, 0, 0], [9, 9, 9, 9], [0, 5, 5, 0], [7, 7, 7, 7]]),
        pd.Series({1: "A", 2: "A", 3: "A", 4: "B", 5: "C", 6: "A"}),
        {"A": "gaba", "B": "glu", "C": "dopamine", "D": "ach"},
        training=(3,),
    )

    assert found.index.name == "ground_truth"
    assert found.index.tolist() == found.columns.tolist() == ["gaba", "ach", "glu"]
    assert found.to_numpy().tolist() == [[0.8, 0.2, 0.0], [0.0, 0.0, 0.0], [0.0, 0.5, 0.5]]


def test_a_confusion_matrix_without_any_type_is_all_zero():
    found = confusion_matrix(counts([1], [[1, 1, 1, 1]]), pd.Series([], dtype="str"), {"A": "gaba"}, ())

    assert found.to_numpy().sum() == 0


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1, 2, 1, 0], ("ach", 4)),
        ([2, 2, 2, 0], ("ach", 6)),  # the first of the alphabet, not of the columns
        ([2, 0, 2, 2], ("gaba", 4)),  # a name wins against as many missing predictions
        ([2, 0, 2, 3], ("unclear", 4)),
        ([0, 0, 0, 3], ("unclear", 0)),
        ([0, 0, 0, 0], ("unclear", 0)),
    ],
)
def test_the_most_frequent_prediction_is_that_of_the_group(row, expected):
    found = predict(np.array([row]), NAMES, None)

    assert (found.label[0], found.total[0]) == expected
    assert found.confidence is None


def test_a_confidence_is_the_mean_of_what_the_confusion_matrix_says_of_each_tbar():
    names = ("ach", "glu", "gaba", "unk")
    shares = confusion([[0.7, 0.1, 0.1, 0.1], [0] * 4, [0] * 4, [0] * 4], names)

    found = predict(np.array([[7, 6, 4, 4, 0], [7, 6, 4, 4, 5]]), names, shares)

    expected = np.float32((7 * 0.7 + 6 * 0.1 + 4 * 0.1 + 4 * 0.1) / 21)
    assert found.confidence.tolist() == [expected, expected], "T-bars without a prediction say nothing"


def test_a_confidence_is_zero_without_a_usable_score_and_missing_without_tbars():
    shares = confusion([[1, 0, 0], [0, 1, 0], [0, 0, 0]])

    found = predict(np.array([[0, 0, 0, 2], [0, 0, 3, 0], [1, 0, 0, 2], [0, 0, 0, 0]]), NAMES, shares)

    assert found.label.tolist() == ["unclear", "glu", "unclear", "unclear"]
    assert found.confidence.tolist()[:3] == [0, 0, 0]
    assert np.isnan(found.confidence[3])
    assert found.confidence.dtype == np.float32


def test_weak_predictions_are_unclear_and_keep_their_numbers():
    shares = confusion(np.eye(3) * 0.4)
    found = predict(np.array([[0, 5, 0, 0], [0, 4, 0, 0], [0, 5, 1, 0]]), NAMES, shares)

    judged = found.with_thresholds(0.4, 5)

    assert judged.label.tolist() == ["ach", "unclear", "unclear"], "0.4 as float32 passes a threshold of 0.4"
    assert judged.total.tolist() == [5, 4, 6]
    assert judged.confidence.tolist() == found.confidence.tolist()


def test_without_confidences_no_prediction_is_too_weak():
    found = predict(np.array([[0, 1, 0, 0]]), NAMES, None)

    assert found.with_thresholds(0.9, 100).label.tolist() == ["ach"]


MATRIX = st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=8)


@given(MATRIX)
def test_a_perfect_predictor_gives_the_share_of_the_most_frequent_prediction(rows):
    found = predict(np.array(rows), NAMES, confusion(np.eye(3)))

    for row, label, confidence in zip(rows, found.label, found.confidence, strict=True):
        known = sum(row[:3])
        if not sum(row):
            assert np.isnan(confidence)
        elif label == "unclear":
            assert confidence == 0
            assert row[3] > max(row[:3])
        else:
            assert row[NAMES.index(label)] == max(row[:3])
            assert confidence == np.float32(max(row[:3]) / known)
