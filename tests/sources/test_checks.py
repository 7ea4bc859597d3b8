"""Broken rules are counted over all batches, shown by their first rows, and told together."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.checks import Kind, Rules, float32, header_faults

FILE = Path("points.feather")


def broken(rules):
    with pytest.raises(DataError) as caught:
        rules.verdict()
    return caught.value


@given(st.lists(st.lists(st.booleans(), max_size=5), max_size=5))
def test_rows_are_counted_over_batches_and_the_first_three_shown(batches):
    rules = Rules(FILE)
    for batch in batches:
        values = np.arange(rules.first_row, rules.first_row + len(batch)) * 10
        rules.refuse("body", "is odd", np.array(batch, bool), values, "mend it")
        rules.first_row += len(batch)

    rows = [row for row, bad in enumerate(bad for batch in batches for bad in batch) if bad]
    if not rows:
        rules.verdict()
        return
    error = broken(rules)
    assert (error.file, error.column, error.rows, error.hint) == (FILE, "body", len(rows), "mend it")
    assert list(error.examples) == [f"row {row}: {row * 10}" for row in rows[:3]]


def test_several_problems_are_one_error():
    rules = Rules(FILE)
    rules.refuse("body", "is negative", np.array([True, False]), np.array([-1, 2]), "first hint")
    rules.refuse("conf", "is negative", np.array([False, True]), pa.array([0.5, -0.5]), "second hint")
    rules.first_row = 2
    rules.refuse("body", "is negative", np.array([True]), np.array([-7]), "first hint")

    assert str(broken(rules)) == (
        "2 problems:\n"
        "points.feather: column 'body': is negative (2 rows); first: row 0: -1, row 2: -7\n"
        "  hint: first hint\n"
        "points.feather: column 'conf': is negative (1 row); first: row 1: -0.5\n"
        "  hint: second hint"
    )


def test_kept_rules_say_nothing():
    rules = Rules(FILE)
    rules.refuse("body", "is negative", np.zeros(3, bool), np.arange(3), "")

    rules.verdict()


@pytest.mark.parametrize(
    ("array", "shown"),
    [
        (pa.array(["a", "b"]), "b"),
        (pa.array(["a", "b"]).dictionary_encode(), "b"),
        (pa.array([0.5, None]), "None"),
        (np.array([1, 2**63], np.uint64), "9223372036854775808"),
        (["x", "y"], "y"),
    ],
    ids=["text", "category", "null", "numpy", "list"],
)
def test_a_value_is_shown_as_it_stands_in_the_table(array, shown):
    rules = Rules(FILE)
    rules.refuse("c", "is bad", np.array([False, True]), array, "")

    assert broken(rules).examples == (f"row 1: {shown}",)


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()])
def test_integers_of_any_width_become_int64(kind):
    rules = Rules(FILE)

    values = rules.integers("body", pa.array([0, 127], kind))

    assert values.dtype == np.int64
    assert values.tolist() == [0, 127]
    rules.verdict()


def test_integers_are_never_wrapped_and_never_null():
    rules = Rules(FILE)
    rules.first_row = 10

    values = rules.integers("body", pa.array([2**63 - 1, None, 2**63, 5], pa.uint64()), "use int64")
    rules.refuse("body", "is negative", values < 0, values, "")

    assert values.tolist() == [2**63 - 1, 0, 0, 5]
    assert [str(part) for part in broken(rules).parts] == [
        "points.feather: column 'body': is null (1 row); first: row 11: None\n  hint: use int64",
        f"points.feather: column 'body': is above 2^63 - 1 (1 row); first: row 12: {2**63}\n  hint: use int64",
    ]


def test_a_column_of_nulls_without_a_type():
    rules = Rules(FILE)

    assert rules.integers("body", pa.nulls(2)).tolist() == [0, 0]
    assert broken(rules).rows == 2


@pytest.mark.parametrize(
    "array",
    [pa.array([0.1, None, 1.0]), pa.array([0.1, None, 1.0], pa.float32()), pa.array([0.1, float("nan"), 1.0])],
)
def test_numbers_become_float32_and_null_is_nan(array):
    values = float32(array)

    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.array([0.1, np.nan, 1.0], np.float32))


def test_whole_numbers_are_numbers_too():
    assert float32(pa.array([0, None, 1], pa.int8())).tolist()[::2] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("kind", "admitted"),
    [
        (Kind.INTEGER, {"int8", "uint64"}),
        (Kind.LABEL, {"int8", "uint64", "category of int"}),
        (Kind.NUMBER, {"int8", "uint64", "float", "double"}),
        (Kind.TEXT, {"string", "large_string", "category of text"}),
    ],
)
def test_which_types_a_column_may_have(kind, admitted):
    types = {
        "int8": pa.int8(),
        "uint64": pa.uint64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "string": pa.string(),
        "large_string": pa.large_string(),
        "category of int": pa.dictionary(pa.int8(), pa.int64()),
        "category of text": pa.dictionary(pa.int8(), pa.string()),
        "list": pa.list_(pa.int64()),
    }

    assert {name for name, type_ in types.items() if kind.admits(type_)} == admitted


def test_a_column_without_any_value_has_no_kind_yet():
    schema = pa.schema([("body", pa.null())])

    assert list(header_faults(FILE, schema, {}, {"body": Kind.INTEGER, "absent": Kind.TEXT})) == []
