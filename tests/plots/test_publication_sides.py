"""Sides are read from names in the forms that are documented, and in no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.plots.publication_sides import Place, place_of


@pytest.mark.parametrize(
    ("roi", "base", "side"),
    [
        ("ME(R)", "ME", "R"),
        ("ME(L)", "ME", "L"),
        ("LO (L)", "LO", "L"),
        ("ME_R", "ME", "R"),
        ("AL-L", "AL", "L"),
        ("ME R", "ME", "R"),
        ("ME(right)", "ME", "R"),
        ("ME_Left", "ME", "L"),
        ("right ME", "ME", "R"),
        ("Left-Hippocampus", "Hippocampus", "L"),
        # Of the hemibrain
        ("a'L(R)", "a'L", "R"),
        ("CRE(-ROB,-RUB)(R)", "CRE(-ROB,-RUB)", "R"),
        ("PB(L3)", "PB(3)", "L"),
        ("AL-DL1(L)", "AL-DL1", "L"),
        # Of MANC and the optic lobe
        ("LegNp(T1)(L)", "LegNp(T1)", "L"),
        ("ME_R_layer_03", "ME_layer_03", "R"),
        ("ME(R)_col_10_15", "ME_col_10_15", "R"),
        # Reports on several ROIs
        ("ME(R)-LO(R)", "ME-LO", "R"),
        ("ME_R-LO_R", "ME-LO", "R"),
    ],
)
def test_a_name_with_one_side_lies_there(roi, base, side):
    assert place_of(roi) == Place(base, side)


@pytest.mark.parametrize(
    "roi", ["EB", "gL", "EBr1", "FB-column3", "AL-DL1", "ME(L)-ME(R)", "(L)", "_R", "me(r)", "me_l", "VL_Rx", "", "all"]
)
def test_any_other_name_is_of_the_middle_and_keeps_its_name(roi):
    assert place_of(roi) == Place(roi, "C")


bases = st.text(st.sampled_from("abcMEO123'"), min_size=1, max_size=6)
forms = st.sampled_from(["{0}({1})", "{0} ({1})", "{0}_{1}", "{0}-{1}", "{0} {1}", "{0}_{1}_layer_3", "{0}({1}4)"])


@given(bases, forms)
def test_left_and_right_are_alike(base, form):
    left, right = place_of(form.format(base, "L")), place_of(form.format(base, "R"))

    assert (left.side, right.side) == ("L", "R")
    assert left.base == right.base


@given(bases, st.sampled_from(["{0}({1})", "{0} ({1})", "{0}_{1}", "{0}-{1}", "{0} {1}"]), st.sampled_from("LR"))
def test_a_region_has_no_side_of_its_own(base, form, side):
    assert place_of(place_of(form.format(base, side)).base) == Place(base, "C")
