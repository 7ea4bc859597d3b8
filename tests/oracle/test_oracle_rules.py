"""Single rules of the oracle on a few rows each."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest

from tests import tiny
from tests.oracle import flat
from tests.oracle.annotations import property_name
from tests.oracle.compare import assert_frames_equal
from tests.oracle.config import Config
from tests.oracle.ids import decode, encode
from tests.oracle.load import load
from tests.oracle.rois import add_rois, inherited_name
from tests.oracle.template import fill

SETS = "inputs.rois.roi-sets"


def run(config: Path) -> dict[str, pd.DataFrame]:
    return flat.outputs(load(config))


def with_rois(points: dict[str, list[Any]], sets: dict[str, Any], folder: Path = Path()) -> pd.DataFrame:
    """The ROI columns of a few points."""
    config = Config({"inputs": {"rois": {"roi-sets": sets}}}, folder)
    return add_rois(pd.DataFrame(points), config, list(sets))[0]


def point_table(rois: Any = None, **more: Any) -> dict[str, Any]:
    return {"source": "point-table", "rois": rois or {}, **more}


# --- ids and names ---------------------------------------------------------------------------------------------------


def test_ids_hold_signed_coordinates():
    assert encode([76976], [58], [583])[0] == 2564061237685424
    low, high = -(2**20), 2**20 - 1
    there = decode(encode([low, -1, high], [0, high, low], [high, low, -1]))
    assert {axis: list(v) for axis, v in there.items()} == {
        "x": [low, -1, high],
        "y": [0, high, low],
        "z": [high, low, -1],
    }
    with pytest.raises(ValueError, match="21 bits"):
        encode([high + 1], [0], [0])


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("cell_body_fiber", "cellBodyFiber"),
        ("Big Name", "BigName"),
        ("two__parts_", "twoParts"),
        ("anyPosition", "anyLocation"),
        ("soma_position", "somaLocation"),
        ("status", "statusLabel"),
        ("notes", ""),
        ("cropped", "cropped"),
    ],
)
def test_columns_become_properties(column, name):
    assert property_name(column) == name


def test_a_template_is_an_f_string_of_small_arithmetic():
    assert fill("layer_{x // 100}_{x % 100:02d}", 305) == "layer_3_05"
    with pytest.raises(ValueError, match="not allowed"):
        fill("{x.__class__}", 1)


# --- ROI sets --------------------------------------------------------------------------------------------------------


def test_rois_as_list_dict_file_and_template_agree(tmp_path):
    (tmp_path / "list.json").write_text(json.dumps(["r1", "r2"]))
    (tmp_path / "dict.json").write_text(json.dumps({"r1": 1, "r2": 2}))
    for rois in (["r1", "r2"], {"r1": 1, "r2": 2}, "list.json", "dict.json", "r{x}"):
        table = with_rois({"S_label": [2, 0, 1]}, {"S": point_table(rois)}, tmp_path)
        assert list(table["S"]) == ["r2", "<unspecified>", "r1"], rois
        assert list(table["S_label"]) == [2, 0, 1], rois
    with pytest.raises(ValueError, match="one name to every label"):
        with_rois({"S_label": [1]}, {"S": point_table("r")})


def test_ids_that_are_not_given_follow_the_names():
    assert list(with_rois({"S": ["b", None, "B", "'a"]}, {"S": point_table()})["S_label"]) == [3, 0, 2, 1]
    assert list(with_rois({"S": ["b", "a"]}, {"S": point_table()})["S_label"]) == [2, 1]


@pytest.mark.parametrize(
    ("points", "rois"),
    [
        ({"S": ["a", "b"]}, ["a"]),  # not listed
        ({"S_label": [1, 2]}, ["a"]),
        ({"S": ["a"], "S_label": [2]}, ["a"]),  # contradiction
        ({"S": ["a", "b"], "S_label": [1, 1]}, None),
        ({"S": ["a"]}, {"a": 0}),  # 0 is reserved
        ({"S_label": [1]}, None),  # no names
        ({"S": ["a"]}, "r{x}"),  # no labels
    ],
)
def test_names_and_labels_that_do_not_fit_are_errors(points, rois):
    with pytest.raises(ValueError, match=r"^(S|S_label): |^id 0 is reserved"):
        with_rois(points, {"S": point_table(rois)})


def test_renames_come_before_unions_and_duplicates_are_refused():
    sets = {
        "S": point_table(["a", "b", "c"], **{"rename-rois": {"a": "A"}}),
        "U": {
            "source": "unions-of-subrois",
            "union-source-roiset": "S",
            "rois": {"two": ["A", "b"], "never": ["c"]},
        },
    }
    table = with_rois({"S": ["a", "b", None, "a"]}, sets)
    assert list(table["S"]) == ["A", "b", "<unspecified>", "A"]
    assert list(table["U"]) == ["two", "two", "<unspecified>", "two"]
    assert list(table["U_label"]) == [1, 1, 0, 1]
    sets["U"]["rois"] = {"b": ["A"]}
    with pytest.raises(ValueError, match="ROI b is in S and U"):
        with_rois({"S": ["a", "b"]}, sets)
    sets["U"]["rois"] = {"two": ["a"]}
    with pytest.raises(ValueError, match="not in S"):
        with_rois({"S": ["a"]}, sets)


def test_children_inherit_from_listed_parents_in_order_of_first_appearance():
    sets = {
        "child": point_table({"x": 7}, **{"parent-roiset": "shell", "parent-rois": ["Brain", "MB(R)"]}),
        "shell": point_table(),
    }
    points = {"shell": ["VNC", "MB(R)", "Brain", "Brain", "MB(R)"], "child": [None, None, "x", None, None]}
    table = with_rois(points, sets)
    assert list(table["child"]) == [
        "<unspecified>",
        "MB-unspecified(R)",
        "x",
        "Brain-unspecified",
        "MB-unspecified(R)",
    ]
    assert list(table["child_label"]) == [0, 8, 7, 9, 8]
    assert inherited_name("Brain(X)") == "Brain(X)-unspecified"


# --- elements, sizes, annotations ------------------------------------------------------------------------------------


def test_elements_have_rois_type_and_distances(tmp_path):
    soma = pd.DataFrame({"x": [1, 2], "y": [5, 5], "z": [5, 5], "body": [0, tiny.BIG], "primary": ["ME(R)", "ME(R)"]})
    near = pd.DataFrame(
        {f"{end}_{axis}": [v] for end in ("source", "target") for axis, v in zip("xyz", (76976, 58, 583), strict=True)}
    ).assign(distance=1.5)
    soma.to_csv(tmp_path / "soma.csv", index=False)
    pa.feather.write_feather(near, tmp_path / "near.feather")
    spec = {"point-table": "soma.csv", "type": "soma", "distance-table": "near.feather", "roi-set-names": ["primary"]}
    elements = load(tiny.write(tmp_path, **{"inputs.elements": {"soma": spec, "processes": None}})).elements["soma"]
    row = elements.points.iloc[0]
    assert len(elements.points) == 1
    assert (row["body"], row["type"], row["primary"], row["primary_label"]) == (tiny.BIG, "soma", "ME(R)", 1)
    assert row["point_id"] == (5 << 42) | (5 << 21) | 2
    assert list(elements.distances["target_id"]) == [2564061237685424]


def test_elements_and_synapses_share_one_space_of_ids(tmp_path):
    tiny.points().iloc[:1].assign(type="soma").to_csv(tmp_path / "soma.csv", index=False)
    elements = {"soma": {"point-table": "soma.csv", "roi-set-names": []}}
    with pytest.raises(ValueError, match="two points have one id"):
        load(tiny.write(tmp_path, **{"inputs.elements": elements}))


def test_body_sizes_come_from_the_cache_if_asked_for(tmp_path):
    pa.feather.write_feather(pd.DataFrame({"body": [tiny.BIG], "size": [2**40]}), tmp_path / "sizes.feather")
    sizes = {"inputs.body-sizes.cache-file": "sizes.feather"}
    assert load(tiny.write(tmp_path, **sizes)).body_sizes is None
    table = load(tiny.write(tmp_path, **sizes, **{"inputs.body-sizes.load-sizes": True})).body_sizes
    assert table.to_numpy().tolist() == [[tiny.BIG, 2**40]]


def test_values_are_replaced_then_columns_renamed(tmp_path):
    settings = {
        "inputs.annotations.replace-values": [
            {"source-column": "type", "replacements": {"KC": "Tm1", "Tm1": None}},
            {"source-column": "type", "target-column": "kind", "replacements": {"x": "y"}},
        ],
        "inputs.annotations.rename-annotation-columns": {"kind": "flavor", "instance": "", "absent": "z"},
    }
    table = load(tiny.write(tmp_path, **settings)).annotations.set_index("body")
    assert table.loc[[tiny.A, tiny.B, tiny.E], "type"].fillna("null").tolist() == ["Tm1", "null", "x"]
    assert table.loc[tiny.E, "flavor"] == "y"
    assert "instance" not in table


def test_status_from_csv_is_the_same_ordered_category(tmp_path):
    table = tiny.annotations()
    table.drop(columns="soma_position").to_csv(tmp_path / "annotations.csv", index=False)
    source = {"inputs.annotations.body-annotations-table": "annotations.csv"}
    tables = run(tiny.write(tmp_path, annotations=None, **source))
    for key in tiny.EXPECTED:
        if key.startswith(("syn-", "connectome-")):
            assert_frames_equal(tables[key], tiny.EXPECTED[key], key)
    assert list(tables["tables/body-annotations"]["group"].dropna()) == [tiny.BIG, tiny.A]


def test_bad_annotations_are_errors(tmp_path):
    table = tiny.annotations()
    with pytest.raises(ValueError, match="unknown status: \\['Nearly'\\]"):
        load(tiny.write(tmp_path, annotations=table.replace({"status": {"Leaves": "Nearly"}})))
    with pytest.raises(ValueError, match="occurs twice"):
        load(tiny.write(tmp_path, annotations=pd.concat([table, table.iloc[:1]])))


def test_without_status_or_annotations_the_subsets_are_not_written(tmp_path):
    for annotations in (tiny.annotations().drop(columns="status"), tiny.annotations().assign(status=None)):
        tables = run(tiny.write(tmp_path, annotations=annotations))
        assert not [key for key in tables if key.endswith("-only")]
        assert set(tables["body-stats"]["status_fine"]) == {""}
        assert "status" not in tables["body-annotations"]
        assert tables["body-annotations"]["statusLabel"].isna().all()
    tables = run(tiny.write(tmp_path, **{"inputs.annotations": tiny.DELETE}))
    assert set(tables) == {"syn-points", "syn-partners", "connectome-weights", "body-stats"}
    assert "status_fine" not in tables["body-stats"]
