"""Answers of a server are kept for an interrupted run, but only for the questions that they belong to."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.sources.answers import Answers

LOTS = [np.arange(0, 5), np.arange(5, 8), np.arange(8, 20)]


def double(questions):
    return np.asarray(questions, np.uint64) * np.uint64(2)


def ask_all(path, lots, fail_at=None):
    """Ask lot after lot; returns the answers, how many were known, and the questions that were really asked."""
    asked, found = [], []

    def ask(questions):
        if len(asked) == fail_at:
            raise InterruptedError
        asked.append(list(questions))
        return double(questions)

    with Answers(path) as answers, contextlib.suppress(InterruptedError):
        found.extend(list(answers.next(lot, ask)) for lot in lots)
    return found, answers.resumed, asked


def expected(lots):
    return [[2 * int(question) for question in lot] for lot in lots]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    ask_all(tmp_path / "a" / "answers.bin", LOTS, fail_at=2)

    found, resumed, asked = ask_all(tmp_path / "a" / "answers.bin", LOTS)

    assert found == expected(LOTS)
    assert (resumed, asked) == (8, [list(LOTS[2])])


def test_answers_are_not_taken_for_those_to_other_questions(tmp_path):
    ask_all(tmp_path / "answers.bin", LOTS)
    others = [LOTS[0], LOTS[1] + 1, LOTS[2]]

    found, resumed, asked = ask_all(tmp_path / "answers.bin", others)

    assert found == expected(others)
    assert (resumed, asked) == (5, [list(others[1]), list(others[2])])


def test_a_lot_of_another_length_is_asked_anew(tmp_path):
    ask_all(tmp_path / "answers.bin", LOTS)
    longer = [np.arange(0, 6), *LOTS[1:]]

    assert ask_all(tmp_path / "answers.bin", longer)[:2] == (expected(longer), 0)


@pytest.mark.parametrize("torn", ["answers.bin", "answers.marks"])
@pytest.mark.parametrize("left", [0, 1, 17, 33, 40])
def test_a_file_that_a_kill_left_torn_is_believed_as_far_as_it_is_whole(tmp_path, torn, left):
    ask_all(tmp_path / "answers.bin", LOTS)
    path = tmp_path / torn
    path.write_bytes(path.read_bytes()[:left])

    found, resumed, _ = ask_all(tmp_path / "answers.bin", LOTS)

    assert found == expected(LOTS)
    assert resumed in (0, 5, 8)
    assert ask_all(tmp_path / "answers.bin", LOTS)[1] == 20


def test_large_numbers_stay_what_they_are(tmp_path):
    ids = np.array([2**64 - 1, 2**53 + 1, 0], np.uint64)

    for _ in range(2):
        with Answers(tmp_path / "answers.bin") as answers:
            assert answers.next(ids, lambda questions: questions).tolist() == ids.tolist()


def test_too_few_answers_are_no_answers(tmp_path):
    with Answers(tmp_path / "answers.bin") as answers, pytest.raises(ValueError, match="1 answers to 5 questions"):
        answers.next(LOTS[0], lambda questions: questions[:1])


runs = st.lists(
    st.tuples(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=5), st.none() | st.integers(0, 4)), max_size=4
)


@given(runs)
def test_whatever_earlier_runs_asked_the_answers_are_right(earlier):
    with tempfile.TemporaryDirectory() as folder:
        for lots, fail_at in [*earlier, (LOTS, None)]:
            arrays = [np.array(lot, np.int64) for lot in lots]
            found, _, _ = ask_all(Path(folder) / "answers.bin", arrays, fail_at)
            if fail_at is None:
                assert found == expected(arrays)
