"""How ROI columns become ROIs: every rule on a table small enough to be read."""

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.connectome.rois import assign, inherited_name
from flyem_snapshot.errors import DataError
from flyem_snapshot.tables.rois import RoiSet

FILE = Path("points.feather")
UN = "<unspecified>"


def table(name, **settings):
    """A set that is read from the point table."""
    return RoiSet(name, "point-table", **settings)


def union(name, source, **unions):
    return RoiSet(name, "unions-of-subrois", unions={k: tuple(v) for k, v in unions.items()}, union_source=source)


def assigned(*sets, **columns):
    """Resolve sets on columns whose every row is a combination of its own, in order of appearance."""
    rows = len(next(iter(columns.values())))
    return assign(sets, columns, np.arange(rows, dtype=np.int32), FILE)


def names(result, name):
    roi_set = result[name]
    return [roi_set.categories[code] for code in roi_set.names]


def one(roi_set, **columns):
    """(ROI of each row, id map in its order) of a single set."""
    result = assigned(roi_set, **columns)
    return names(result, roi_set.name), list(result[roi_set.name].ids.items())


# ------------------------------------------------------------------------------------------------ where ids come from


def test_names_alone_are_numbered_alphabetically_from_1():
    assert one(table("p"), p=["ME(R)", None, "LO(R)", "ME(R)"]) == (
        ["ME(R)", UN, "LO(R)", "ME(R)"],
        [(UN, 0), ("LO(R)", 1), ("ME(R)", 2)],
    )


def test_names_alone_without_any_point_outside():
    assert one(table("p"), p=["b", "a"]) == (["b", "a"], [("a", 1), ("b", 2)])


def test_a_null_name_and_the_written_name_of_nowhere_are_one():
    assert one(table("p"), p=[None, UN]) == ([UN, UN], [(UN, 0)])


def test_ids_from_settings_are_kept_though_no_point_has_them():
    assert one(table("p", ids={"b": 7, "a": 3, "never": 5}), p=["a", None, "b"]) == (
        ["a", UN, "b"],
        [(UN, 0), ("a", 3), ("never", 5), ("b", 7)],
    )


def test_a_list_of_names_is_numbered_in_its_order():
    # As the settings turn a list into ids.
    ids = {name: number for number, name in enumerate(["b", "a"], start=1)}

    assert one(table("p", ids=ids), p=["a", "b"]) == (["a", "b"], [("b", 1), ("a", 2)])


def test_names_from_labels_where_label_0_is_nowhere():
    # Fault D9: a mapping and nothing but a label column left label 0 without a name.
    assert one(table("p", ids={"a": 101, "b": 102}), p_label=[102, 0, 101]) == (
        ["b", UN, "a"],
        [(UN, 0), ("a", 101), ("b", 102)],
    )


def test_a_null_label_is_nowhere():
    assert one(table("p", ids={"a": 1}), p_label=[None, 1]) == ([UN, "a"], [(UN, 0), ("a", 1)])


def test_nowhere_may_be_listed_with_id_0():
    assert one(table("p", ids={UN: 0, "a": 1}), p_label=[0, 1]) == ([UN, "a"], [(UN, 0), ("a", 1)])


def test_names_and_labels_together_define_the_ids():
    assert one(table("p"), p=["b", None, "a", "b"], p_label=[5, 0, 9, 5]) == (
        ["b", UN, "a", "b"],
        [(UN, 0), ("b", 5), ("a", 9)],
    )


def test_names_and_labels_that_agree_with_the_settings():
    assert one(table("p", ids={"a": 1, "b": 2}), p=["b", None], p_label=[2, 0]) == (
        ["b", UN],
        [(UN, 0), ("a", 1), ("b", 2)],
    )


def test_a_template_names_the_labels():
    assert one(table("col", template="ME_R_col_{x // 100}_{x % 100}"), col_label=[1203, 0, 101, 1203]) == (
        ["ME_R_col_12_3", UN, "ME_R_col_1_1", "ME_R_col_12_3"],
        [(UN, 0), ("ME_R_col_1_1", 101), ("ME_R_col_12_3", 1203)],
    )


@pytest.mark.parametrize(
    ("roi_set", "columns", "says"),
    [
        (table("p", ids={"a": 1}), {"p": ["a", "zz", "b"]}, r"ROI names that roi-set 'p' does not list; first: b, zz"),
        (table("p", ids={"a": 1}), {"p_label": [1, 9, 3]}, r"ROI labels that roi-set 'p' does not list; first: 3, 9"),
        (
            table("p", ids={"a": 1, "b": 2}),
            {"p": ["a", "b"], "p_label": [1, 1]},
            r"contradict each other: 'b' stands beside label 1",
        ),
        (
            table("p", ids={"a": 1}),
            {"p": ["a", None], "p_label": [1, 1]},
            rf"contradict each other: '{UN}' stands beside label 1",
        ),
        (table("p"), {"p": ["a", "a"], "p_label": [1, 2]}, r"not one to one: 'a' and 2"),
        (table("p"), {"p": ["a", "b"], "p_label": [1, 1]}, r"not one to one: 'b' and 1"),
        (table("p"), {"p": ["a", None], "p_label": [1, 2]}, rf"not one to one: '{UN}' and 2"),
        (table("p"), {"p": ["a"], "p_label": [0]}, r"not one to one: 'a' and 0"),
        (table("p", template="{x % 100}"), {"p_label": [101, 201]}, r"gives 101 and 201 one name, '1'"),
        (
            table("p", template="roi {x}"),
            {"p": ["roi 2"], "p_label": [1]},
            r"does not list; first: roi 2",
        ),
        (table("p", ids={"a": 1}), {"p_label": [-1]}, r"must be a whole number from 0; first: -1"),
        (table("p", ids={"a": 1}), {"p_label": [0.5]}, r"must be a whole number from 0; first: 0\.5"),
        (table("p"), {"p": ["bad`name"]}, r"column 'p'"),
    ],
)
def test_columns_that_break_a_rule_are_refused(roi_set, columns, says):
    with pytest.raises(DataError, match=says) as caught:
        assigned(roi_set, **columns)

    assert str(FILE) in str(caught.value)


# --------------------------------------------------------------------------------------------------- unions, renames


def test_unions_leave_what_they_do_not_list_unspecified():
    result = assigned(
        table("p"),
        union("side", "p", right=["ME(R)", "LO(R)"], left=["ME(L)"]),
        p=["ME(R)", "LO(R)", "CRE", None, "ME(L)"],
    )

    assert names(result, "side") == ["right", "right", UN, UN, "left"]
    assert list(result["side"].ids.items()) == [(UN, 0), ("left", 1), ("right", 2)]


def test_unions_that_no_point_lies_in_vanish_and_names_are_numbered_from_1():
    result = assigned(
        table("p", ids={"a": 10, "b": 11, "c": 12}), union("u", "p", z=["a"], unused=["c"], y=["b"]), p=["b", "a"]
    )

    assert names(result, "u") == ["y", "z"]
    assert list(result["u"].ids.items()) == [("y", 1), ("z", 2)]


def test_a_union_of_an_roi_that_the_source_does_not_list_is_refused():
    with pytest.raises(DataError, match=r"'u' unites ROIs that 'p' does not list; first: ME\(L\)"):
        assigned(table("p", ids={"ME(R)": 1}), union("u", "p", ME=["ME(R)", "ME(L)"]), p=["ME(R)"])


def test_a_union_of_an_roi_without_points_is_only_said_where_the_table_names_the_rois(caplog):
    with caplog.at_level(logging.WARNING):
        result = assigned(table("p"), union("u", "p", ME=["ME(R)", "ME(L)"]), p=["ME(R)"])

    assert names(result, "u") == ["ME"]
    assert "ROIs in which no point lies: ME(L)" in caplog.text


def test_a_union_of_unions_in_any_order_of_the_settings():
    result = assigned(union("v", "u", all=["x"]), union("u", "p", x=["a", "b"], y=["c"]), table("p"), p=["a", "c", "b"])

    assert names(result, "u") == ["x", "y", "x"]
    assert names(result, "v") == ["all", UN, "all"]
    assert [s.name for s in result.sets] == ["v", "u", "p"], "the settings' order is kept"


def test_renamed_rois_keep_their_ids():
    assert one(table("p", ids={"AOT": 4, "b": 2}, renames={"AOT": "AOTU", "absent": "x"}), p=["AOT", "b"]) == (
        ["AOTU", "b"],
        [("b", 2), ("AOTU", 4)],
    )


def test_names_may_be_exchanged():
    assert one(table("p", renames={"a": "b", "b": "a"}), p=["a", "b"]) == (["b", "a"], [("b", 1), ("a", 2)])


@pytest.mark.parametrize("renames", [{"a": "c", "b": "c"}, {"a": "b"}])
def test_two_rois_cannot_get_one_name(renames):
    with pytest.raises(DataError, match="give two ROIs one name") as caught:
        assigned(table("p", renames=renames), p=["a", "b"])

    assert "unions-of-subrois" in caught.value.hint


def test_unions_see_the_new_names():
    result = assigned(table("p", renames={"AOT": "AOTU"}), union("u", "p", optic=["AOTU"]), p=["AOT"])

    assert names(result, "u") == ["optic"]


def test_a_name_that_is_mended_by_renaming_is_fine():
    assert one(table("p", renames={"bad`name": "good"}), p=["bad`name"])[0] == ["good"]


def test_one_name_in_two_sets_is_refused():
    with pytest.raises(DataError, match=r"the ROI 'a' is in two roi-sets, 'p' and 'q'"):
        assigned(table("p"), table("q"), p=["a", None], q=[None, "a"])


def test_a_name_listed_in_two_sets_is_refused_though_no_point_has_it():
    with pytest.raises(DataError, match=r"the ROI 'a' is in two roi-sets, 'p' and 'q'"):
        assigned(table("p", ids={"a": 1, "b": 2}), table("q", ids={"a": 1, "c": 2}), p=["b"], q=["c"])


def test_nowhere_may_be_in_every_set():
    result = assigned(table("p"), table("q"), p=[None, "a"], q=["b", None])

    assert names(result, "p") == [UN, "a"]
    assert names(result, "q") == ["b", UN]


# ---------------------------------------------------------------------------------------------------------- parents


@pytest.mark.parametrize(
    ("parent", "name"),
    [
        ("Brain", "Brain-unspecified"),
        ("MB(R)", "MB-unspecified(R)"),
        ("MB(L)", "MB-unspecified(L)"),
        ("MB(M)", "MB(M)-unspecified"),
        ("a(R)b", "a(R)b-unspecified"),
        ("(R)", "-unspecified(R)"),
    ],
)
def test_the_name_of_the_rest_of_a_parent_keeps_its_side(parent, name):
    assert inherited_name(parent) == name


def test_points_outside_all_child_rois_inherit_from_the_listed_parents_only():
    result = assigned(
        table("region"),
        table("primary", parent="region", parent_rois=("Brain",)),
        region=["Brain", "Brain", "VNC"],
        primary=["ME(R)", None, None],
    )

    assert names(result, "region") == ["Brain", "Brain", "VNC"]
    assert names(result, "primary") == ["ME(R)", "Brain-unspecified", UN]
    assert list(result["primary"].ids.items()) == [(UN, 0), ("ME(R)", 1), ("Brain-unspecified", 2)]


def test_new_ids_follow_the_largest_in_order_of_first_appearance_and_nowhere_leaves_if_empty():
    result = assigned(
        table("region"),
        table("primary", ids={"a": 50, "never": 90}, parent="region", parent_rois=("VNC", "Brain", "unseen")),
        region=["Brain", "VNC", "Brain", "VNC"],
        primary=[None, None, "a", None],
    )

    assert names(result, "primary") == ["Brain-unspecified", "VNC-unspecified", "a", "VNC-unspecified"]
    assert list(result["primary"].ids.items()) == [
        ("a", 50),
        ("never", 90),
        ("Brain-unspecified", 91),
        ("VNC-unspecified", 92),
    ]


def test_three_generations_whatever_the_order_of_the_settings():
    result = assigned(
        table("layer", parent="primary", parent_rois=("ME(R)", "LO(R)")),
        table("primary", parent="region", parent_rois=("Brain",)),
        table("region"),
        region=["Brain", "Brain", "Brain", "VNC", None],
        primary=["ME(R)", "ME(R)", None, None, "LO(R)"],
        layer=["M1", None, None, None, None],
    )

    assert names(result, "primary") == ["ME(R)", "ME(R)", "Brain-unspecified", UN, "LO(R)"]
    assert names(result, "layer") == ["M1", "ME-unspecified(R)", UN, UN, "LO-unspecified(R)"]
    assert list(result["layer"].ids.items()) == [(UN, 0), ("M1", 1), ("ME-unspecified(R)", 2), ("LO-unspecified(R)", 3)]


def test_unions_are_made_before_anything_is_inherited():
    result = assigned(
        table("region"),
        table("primary", parent="region", parent_rois=("Brain",)),
        union("u", "primary", optic=["ME(R)"]),
        region=["Brain", "Brain"],
        primary=["ME(R)", None],
    )

    assert names(result, "u") == ["optic", UN]


def test_a_union_can_inherit():
    result = assigned(
        table("p"),
        table("region"),
        RoiSet(
            "u", "unions-of-subrois", unions={"x": ("a",)}, union_source="p", parent="region", parent_rois=("S(L)",)
        ),
        p=["a", "b"],
        region=["S(L)", "S(L)"],
    )

    assert names(result, "u") == ["x", "S-unspecified(L)"]
    assert dict(result["u"].ids) == {"x": 1, "S-unspecified(L)": 2}


def test_a_set_with_a_parent_but_no_parent_rois_inherits_nothing():
    result = assigned(table("region"), table("p", parent="region"), region=["Brain"], p=[None])

    assert names(result, "p") == [UN]


# ------------------------------------------------------------------------------------------------------- a whole law

VALUES = {
    "region": st.sampled_from(["Brain", "VNC", None]),
    "primary": st.sampled_from(["ME(R)", "LO(R)", None]),
    "col_label": st.sampled_from([0, 101, 202, None]),
}
SETS = (
    table("col", template="col_{x // 100}_{x % 100}", parent="primary", parent_rois=("ME(R)",)),
    table("primary", parent="region", parent_rois=("Brain", "VNC")),
    table("region", ids={"Brain": 3, "VNC": 8}),
    union("optic", "primary", both=["ME(R)", "LO(R)"]),
)


@given(st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=12), st.data())
def test_the_assignment_does_not_depend_on_how_combinations_are_numbered(rows, data):
    columns = {name: [row[name] for row in rows] for name in VALUES}
    # Combinations that no remaining point has leave gaps in the numbering.
    numbers = data.draw(st.lists(st.integers(0, 40), min_size=len(rows), max_size=len(rows), unique=True))
    order = np.array(numbers, np.int32)

    numbered = assign(SETS, columns, order, FILE)
    plain = assigned(*SETS, **columns)

    for roi_set in plain.sets:
        other = numbered[roi_set.name]
        assert list(other.ids.items()) == list(roi_set.ids.items())
        assert other.names[order].tolist() == roi_set.names.tolist()
        assert set(np.delete(other.names, order).tolist()) <= {-1}
        assert other.names.dtype == np.int32
        assert sorted(other.ids.values()) == list(other.ids.values()), "in order of label"


def test_no_points_are_no_error():
    result = assign(SETS, {name: [] for name in VALUES}, np.zeros(0, np.int32), FILE)

    assert [len(s.names) for s in result.sets] == [0, 0, 0, 0]
    assert dict(result["region"].ids) == {"Brain": 3, "VNC": 8}
    assert dict(result["primary"].ids) == {}
