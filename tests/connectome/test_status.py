"""Status labels have one order, from whatever source they come."""

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.connectome.status import (
    SIGNIFICANT,
    SIMPLE_STATUS,
    STATUS_DTYPE,
    STATUS_ORDER,
    TRACED,
    as_status_category,
    simplified_status,
)
from flyem_snapshot.errors import DataError


def test_the_vocabulary_is_the_one_of_the_field():
    assert len(STATUS_ORDER) == 30
    assert STATUS_ORDER[0] == "Unimportant"
    assert STATUS_ORDER[9] == ""
    assert STATUS_ORDER[15] == SIGNIFICANT == "Sensory Anchor"
    assert STATUS_ORDER[20] == TRACED == "Leaves"
    assert STATUS_ORDER[29] == "Finalized"
    assert set(SIMPLE_STATUS.values()) == {"Unimportant", "Glia", "Orphan", None, "Assign", "Anchor", "Traced"}


@pytest.mark.parametrize(
    "values",
    [
        ["Traced", None, "", "Orphan"],
        pd.Series(["Traced", None, "", "Orphan"], dtype="str"),
        pd.Series(["Traced", None, "", "Orphan"], dtype=object),
        pd.Series(["Traced", None, "", "Orphan"], dtype=pd.ArrowDtype(pa.string())),
        pd.Categorical(["Traced", None, "", "Orphan"], categories=["Traced", "", "Orphan", "never used"]),
    ],
    ids=["list", "str", "object", "arrow", "category in another order"],
)
def test_every_source_gives_the_same_ordered_category(values):
    category = as_status_category(values)

    assert category.dtype == STATUS_DTYPE
    assert category.ordered
    assert [None if pd.isna(value) else value for value in category] == ["Traced", None, "", "Orphan"]


@pytest.mark.parametrize("values", [[], [None, float("nan"), pd.NA], pd.Series([None], dtype=pd.ArrowDtype(pa.null()))])
def test_null_stays_null(values):
    category = as_status_category(values)

    assert category.dtype == STATUS_DTYPE
    assert category.isna().all()
    assert len(category) == len(values)


def test_significant_and_traced_are_comparisons():
    status = pd.Series(as_status_category(["Primary Anchor", "Partially traced", "Leaves", None, "Finalized"]))

    assert (status >= SIGNIFICANT).tolist() == [True, False, True, False, True]
    assert (status >= TRACED).tolist() == [False, False, True, False, True]


@given(st.lists(st.sampled_from([*STATUS_ORDER, None])))
def test_a_category_sorts_like_the_vocabulary(labels):
    ranks = pd.Series(as_status_category(labels)).cat.codes.tolist()

    assert ranks == [-1 if label is None else STATUS_ORDER.index(label) for label in labels]


def test_unknown_labels_are_listed_with_their_rows_and_a_remedy():
    with pytest.raises(DataError) as caught:
        as_status_category(["Completed", "roughly Traced", "Traced", None, "Completed"], file="ann.csv")

    message = str(caught.value)
    assert message.startswith(
        "ann.csv: column 'status': unknown status: 'Completed' (2 rows), 'roughly Traced' (1 row)\n"
    )
    assert "did you mean 'Roughly traced' for 'roughly Traced'?" in message
    assert "inputs.annotations.replace-values" in message
    assert "'Completed': Traced" in message


@pytest.mark.parametrize(
    ("label", "meant"),
    [("traced", "Traced"), (" Leaves ", "Leaves"), ("SensoryAnchor", "Sensory Anchor"), ("RT Orphen", "RT Orphan")],
)
def test_case_blanks_and_misspellings_are_errors_with_the_right_spelling(label, meant):
    with pytest.raises(DataError, match=f"did you mean '{meant}' for '{label}'"):
        as_status_category([label])


def test_numbers_are_no_status():
    with pytest.raises(DataError, match=r"unknown status: '3' \(1 row\)"):
        as_status_category([3])


def test_many_unknown_labels_are_counted_not_listed():
    with pytest.raises(DataError, match="and 15 more"):
        as_status_category([f"label {number}" for number in range(25)])


def test_simplified_status_follows_the_table_and_leaves_other_labels_alone():
    labels = pd.Series(
        ["Traced", "Sensory Anchor", "0.5assign", "Hard to trace", "Out of scope", "", None, "Completed"],
        index=range(10, 18),
    )

    simple = simplified_status(labels)

    assert simple.index.equals(labels.index)
    assert simple.dtype == "str"
    assert simple.astype(object).where(simple.notna(), None).tolist() == (
        ["Traced", "Anchor", "Assign", "Orphan", None, None, None, "Completed"]
    )


@given(st.lists(st.sampled_from([*STATUS_ORDER, None])))
def test_text_and_category_are_simplified_alike(labels):
    from_text = simplified_status(pd.Series(labels, dtype=object))
    from_category = simplified_status(pd.Series(as_status_category(labels)))

    pd.testing.assert_series_equal(from_text, from_category)
