"""Names and values from data reach DuckDB exactly as they are, whatever they contain."""

import math

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flyem_snapshot.engine.sql import columns, identifier, literal, literals

# Lone surrogates are no text: neither UTF-8 nor Arrow can hold them.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAMES = st.one_of(TEXT.filter(bool), st.sampled_from(["select", 'a"b', '"', "ME(R)", "O'Brien (L)", "x; DROP TABLE t"]))


@pytest.fixture(scope="module")
def database():
    with duckdb.connect() as connection:
        yield connection


@given(TEXT)
@example("it's")
@example("''")
@example('"quoted"')
@example("back\\slash\\'")
@example("line\nbreak\r\n\ttab")
@example("'; DROP TABLE points; --")
@example("$$ $tag$ {x} %s ?")
@example("<unspecified> Ω ✗ \N{PILE OF POO}")
def test_text_comes_back_from_the_database(database, text):
    assert database.execute(f"SELECT {literal(text)}").fetchone() == (text,)


@given(NAMES)
@example("line\nbreak")
@example("--")
def test_a_column_of_any_name_can_be_made_and_read(database, name):
    query = f"SELECT {identifier(name)} FROM (SELECT 7 AS {identifier(name)})"

    result = database.execute(query)

    assert [column[0] for column in result.description] == [name]
    assert result.fetchone() == (7,)


@given(st.integers(-(2**63), 2**64 - 1))
def test_integers_of_any_size_are_exact(database, number):
    assert database.execute(f"SELECT {literal(number)}").fetchone() == (number,)


@given(st.floats())
@example(math.nan)
@example(-math.inf)
@example(-0.0)
@example(5e-324)
def test_floats_are_exact(database, number):
    (found,) = database.execute(f"SELECT {literal(number)}").fetchone()

    assert repr(found) == repr(number)


@pytest.mark.parametrize("value", [None, True, False])
def test_null_and_truth_keep_their_types(database, value):
    assert database.execute(f"SELECT {literal(value)}").fetchone() == (value,)


@given(st.lists(st.one_of(TEXT, st.none()), min_size=1, max_size=5))
def test_a_list_of_constants_keeps_order_and_nulls(database, values):
    assert database.execute(f"SELECT {literals(values)}").fetchone() == tuple(values)


@given(st.lists(TEXT, min_size=1, max_size=5, unique=True))
def test_constants_serve_as_categories(database, values):
    database.execute("DROP TYPE IF EXISTS category")
    database.execute(f"CREATE TYPE category AS ENUM ({literals(values)})")

    assert database.execute("SELECT enum_range(NULL::category)").fetchone() == (values,)


def test_columns_are_separated_and_may_name_their_table():
    assert columns(["body", 'a"b']) == '"body", "a""b"'
    assert columns(["body", "x"], table="p") == '"p"."body", "p"."x"'


@pytest.mark.parametrize("quote", [identifier, literal])
def test_a_nul_character_is_refused(quote):
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0b")
