from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.outputs.reports.slugs import unique_slugs


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("ME(R)", "ME(R)"),
        ("mushroom body", "mushroom-body"),
        ("O'Brien (L)", "O'Brien-(L)"),
        ("a/b\\c:d", "a_b_c_d"),
        ("<b>&\"'", "_b_&_'"),
        ("..", "_."),
        (".hidden", "_hidden"),
        ("-rf", "_rf"),
        ("tab\tand\nline", "tab-and-line"),
        ("bell\a", "bell_"),
        ("Mützenkörper", "Mützenkörper"),
        ("", "_"),
    ],
)
def test_a_name_becomes_a_file_name_that_is_as_like_it_as_can_be(name, slug):
    assert unique_slugs([name]) == [slug]


def test_names_that_would_be_one_file_get_numbers():
    assert unique_slugs(["a b", "a-b", "A B", "a/b"]) == ["a-b", "a-b-2", "A-B-3", "a_b"]


def test_a_taken_name_gets_a_number():
    assert unique_slugs(["Reports"], taken=["reports"]) == ["Reports-2"]


def test_a_long_name_is_cut_and_stays_distinct():
    slugs = unique_slugs(["x" * 200 + "1", "x" * 200 + "2"])
    assert len(set(slugs)) == 2
    assert all(len(slug) == 100 for slug in slugs)


@given(st.lists(st.text()))
def test_slugs_are_safe_distinct_and_always_the_same(names):
    slugs = unique_slugs(names)
    assert len({slug.casefold() for slug in slugs}) == len(names)
    assert all(slug and len(slug.encode()) < 120 and not set(slug) & set("/\\\0\n") for slug in slugs)
    assert not {".", ".."} & set(slugs)
    assert unique_slugs(names) == slugs
