"""Annotations are read from any format, checked, replaced, renamed, and given an ordered status."""

import json
import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from flyem_snapshot.connectome.status import STATUS_DTYPE, STATUS_ORDER
from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.inputs.annotations import STAGE, load_annotations
from flyem_snapshot.inputs.annotations_settings import AnnotationsSettings
from flyem_snapshot.tables.bodies import BodyAnnotations
from tests.contexts import make_context

BIG = 720575940596125869

TABLE = pa.table(
    {
        "body": pa.array([BIG, 12, 0]),
        "status": ["Leaves", None, "Orphan"],
        "type": ["Tm1", "Tm2", None],
        "n": pa.array([1, None, 3]),
    }
)


@pytest.fixture
def load(tmp_path):
    def _load(table=TABLE, kind="feather", **settings):
        path = tmp_path / f"ann.{kind}"
        if isinstance(table, str):
            path.write_text(table)
        elif kind == "parquet":
            pq.write_table(table, path)
        else:
            feather.write_feather(table, str(path))
        config = AnnotationsSettings.model_validate({"body-annotations-table": str(path), **settings})
        return load_annotations(config, make_context(tmp_path, "annotations"), dvid_seg=None)

    return _load


def cells(annotations, column):
    values = annotations.frame[column]
    return [None if missing else value for value, missing in zip(values.tolist(), values.isna(), strict=True)]


def replace(source, replacements, target=None):
    item = {"source-column": source, "replacements": replacements}
    return [{**item, "target-column": target} if target else item]


def test_the_table_is_indexed_by_body_in_the_order_of_the_file(load):
    annotations = load()

    assert isinstance(annotations, BodyAnnotations)
    assert annotations.frame.index.tolist() == [BIG, 12, 0]
    assert annotations.frame.index.name == "body"
    assert list(annotations.frame) == ["status", "type", "n"]
    assert cells(annotations, "type") == ["Tm1", "Tm2", None]
    assert cells(annotations, "n") == [1, None, 3]
    assert annotations.frame["n"].dtype == "int64[pyarrow]"
    assert annotations.status.dtype == STATUS_DTYPE


def test_without_a_table_there_are_no_annotations(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        assert load_annotations(AnnotationsSettings(), make_context(tmp_path), dvid_seg=None) is None

    assert "no body is annotated" in caplog.text


def test_the_stage_can_be_reopened(load, tmp_path):
    annotations = load()
    record = json.loads(json.dumps(annotations.record()))

    again = STAGE.produces.reopen(make_context(tmp_path, "annotations"), record)

    pd.testing.assert_frame_equal(again.frame, annotations.frame)
    assert STAGE.field == "annotations"
    assert STAGE.needs == ("dvid_seg", "cave")


def test_feather_parquet_and_csv_give_the_same_annotations(load):
    text = f"body,status,type,n,real,yes,nothing\n{BIG},Leaves,Tm1,1,0.5,True,\n12,,Tm2,,2.0,,\n0,Orphan,,3,,False,\n"
    table = pa.table(
        {
            **{name: TABLE[name] for name in TABLE.column_names},
            "real": [0.5, 2.0, None],
            "yes": [True, None, False],
            "nothing": pa.nulls(3),
        }
    )

    from_feather, from_parquet, from_csv = load(table), load(table, "parquet"), load(text, "csv")

    pd.testing.assert_frame_equal(from_parquet.frame, from_feather.frame)
    pd.testing.assert_frame_equal(from_csv.frame, from_feather.frame)


@pytest.mark.parametrize(
    "status",
    [
        pa.array(["Leaves", None, ""]),
        pa.array(["Leaves", None, ""], pa.string_view()),
        pa.array(["Leaves", None, ""]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([1, None, 2], pa.int8()), ["unused", "Leaves", ""], ordered=True),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 3], pa.int8()), ["Leaves", None, "Leaves", ""]),
    ],
    ids=["text", "view", "category", "ordered otherwise, with unknown categories that no row uses", "unsound category"],
)
def test_status_becomes_the_ordered_category_from_any_source(load, status):
    annotations = load(pa.table({"body": [1, 2, 3], "status": status}))

    assert annotations.status.dtype == STATUS_DTYPE
    assert cells(annotations, "status") == ["Leaves", None, ""]
    assert annotations.has_status


def test_a_table_without_status_has_null_for_every_body(load, caplog):
    annotations = load(pa.table({"body": [1, 2], "type": ["a", "b"]}))

    assert annotations.status.dtype == STATUS_DTYPE
    assert annotations.status.isna().all()
    assert not annotations.has_status
    assert "no column 'status'" in caplog.text


@pytest.mark.parametrize("status", [pa.nulls(2), pa.array([None, None], pa.string())])
def test_status_may_be_null_for_every_body(load, status):
    assert load(pa.table({"body": [1, 2], "status": status})).status.isna().all()


def test_unknown_status_names_file_rows_and_remedy(load, tmp_path):
    with pytest.raises(DataError) as caught:
        load(pa.table({"body": [1, 2, 3], "status": ["Completed", "leaves", "Completed"]}))

    assert str(caught.value).startswith(
        f"{tmp_path / 'ann.feather'}: column 'status': unknown status: 'Completed' (2 rows), 'leaves' (1 row)"
    )
    assert "did you mean 'Leaves' for 'leaves'?" in str(caught.value)


def test_a_foreign_status_can_be_mapped_to_a_known_one(load):
    table = pa.table({"body": [1, 2], "status": ["Completed", None]})

    annotations = load(table, **{"replace-values": replace("status", {"Completed": "Traced"})})

    assert cells(annotations, "status") == ["Traced", None]


def test_a_column_can_be_renamed_to_status(load):
    table = pa.table({"body": [1, 2], "proofread": ["done", "Orphan"]})

    annotations = load(
        table,
        **{
            "replace-values": replace("proofread", {"done": "Traced"}),
            "rename-annotation-columns": {"proofread": "status"},
        },
    )

    assert cells(annotations, "status") == ["Traced", "Orphan"]
    assert annotations.status.dtype == STATUS_DTYPE


def test_all_kinds_of_columns_survive(load):
    table = pa.table(
        {
            "body": pa.array([1, 2], pa.uint32()),
            "yes": [True, None],
            "time": pa.array([0, None], pa.timestamp("ns")),
            "soma": pa.array([[1, 2, 3], None]),
            "nested": pa.array([{"x": [1]}, None]),
            "side": pa.array(["L", None]).dictionary_encode(),
            "real": pa.array([0.25, float("nan")]),
        }
    )

    written = load(table).to_arrow()

    assert written.schema.field("body").type == pa.int64()
    for name in ("yes", "time", "soma", "nested"):
        assert written[name].equals(table[name]), name
    assert written["side"].to_pylist() == ["L", None]
    assert written["real"].to_pylist() == [0.25, None], "NaN is no value"


def test_array_cells_are_lists(load):
    frame = pd.DataFrame({"body": [1, 2], "soma": [np.array([1, 2, 3]), None]})

    annotations = load(pa.Table.from_pandas(frame))

    assert annotations.frame["soma"].tolist() == [[1, 2, 3], pd.NA]


def test_an_empty_table_has_no_bodies(load):
    annotations = load(TABLE.slice(0, 0))

    assert len(annotations.frame) == 0
    assert annotations.frame.index.dtype == np.int64
    assert annotations.status.dtype == STATUS_DTYPE
    assert len(load("body,status\n", "csv").frame) == 0


# ---- bodies


def test_the_column_body_is_required(load, tmp_path):
    with pytest.raises(DataError) as caught:
        load(pa.table({"bodyId": [1], "type": ["a"]}))

    assert str(caught.value) == (
        f"{tmp_path / 'ann.feather'}: there is no column 'body'\n"
        "  hint: did you mean 'bodyId'? the columns are: bodyId, type"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("body\n1\n2\n1\n", "column 'body': repeats an earlier row (1 row); first: 1"),
        ("body,type\n1,a\n,b\n", "column 'body': has no value (1 row); first: row 2"),
        ("body\n1.5\n", "column 'body': is not a whole number (1 row); first: 1.5"),
        ("body\n-1\n", "column 'body': is negative (1 row); first: -1"),
        ("body\nx\n", "column 'body': must hold whole numbers, but holds large_string"),
        (f"body\n{BIG}.0\n", "column 'body': is kept as a floating-point number"),
        ("body\n9223372036854775808\n", "column 'body': does not fit a signed 64-bit integer (1 row)"),
        (
            "body\n99999999999999999999\n",
            "column 'body': must hold whole numbers, but holds large_string",
        ),
    ],
)
def test_faulty_bodies_are_refused(load, tmp_path, text, says):
    with pytest.raises(DataError) as caught:
        load(text, "csv")

    assert str(caught.value).startswith(f"{tmp_path / 'ann.csv'}: {says}")
    assert not (tmp_path / "cache" / "annotations").exists(), "nothing is written"


def test_whole_floats_are_bodies(load):
    assert load("body\n16743.0\n", "csv").frame.index.tolist() == [16743]


# ---- replace-values


def test_the_target_of_replaced_values_is_by_default_their_source(load):
    annotations = load(**{"replace-values": replace("type", {"Tm1": "T1", "absent": "x"})})

    assert cells(annotations, "type") == ["T1", "Tm2", None]
    assert list(annotations.frame) == ["status", "type", "n"]


def test_a_new_target_gets_replaced_and_kept_values_at_the_end(load):
    annotations = load(**{"replace-values": replace("type", {"Tm1": None}, "kind")})

    assert cells(annotations, "kind") == [None, "Tm2", None]
    assert cells(annotations, "type") == ["Tm1", "Tm2", None]
    assert list(annotations.frame) == ["status", "type", "n", "kind"]


def test_an_existing_target_is_replaced_where_it_stands(load):
    annotations = load(
        **{"replace-values": replace("type", {}, "status") + replace("status", {"Tm1": "Traced", "Tm2": ""})}
    )

    assert list(annotations.frame) == ["status", "type", "n"]
    assert cells(annotations, "status") == ["Traced", "", None]


def test_replacements_do_not_chain_within_an_item_but_do_between_items(load):
    swap = replace("type", {"Tm1": "Tm2", "Tm2": "Tm1"})

    assert cells(load(**{"replace-values": swap}), "type") == ["Tm2", "Tm1", None]
    assert cells(load(**{"replace-values": swap + swap}), "type") == ["Tm1", "Tm2", None]


@pytest.mark.parametrize(
    ("column", "replacements", "expected", "kind"),
    [
        (pa.array([1, None, 2**60 + 1]), {"1": 7, "5": 6}, [7, None, 2**60 + 1], pa.int64()),
        (pa.array([1, 2, 3]), {"1": 7.0, "2": None}, [7, None, 3], pa.int64()),
        (pa.array([0.5, None, 2.0]), {"0.5": 1, "2": 3.5}, [1.0, None, 3.5], pa.float64()),
        (pa.array([True, None, False]), {"true": False}, [False, None, False], pa.bool_()),
        (pa.array(["L", None, "R"]), {"L": 1, "R": "right"}, ["1", None, "right"], pa.large_string()),
        (pa.array(["L", None, "R"]).dictionary_encode(), {"L": "left"}, ["left", None, "R"], pa.large_string()),
        (pa.nulls(3), {"x": "y"}, [None, None, None], pa.large_string()),
    ],
)
def test_replacing_keeps_the_type_of_the_column(load, column, replacements, expected, kind):
    table = pa.table({"body": [1, 2, 3], "c": column})

    written = load(table, **{"replace-values": replace("c", replacements)}).to_arrow()

    assert written["c"].to_pylist() == expected
    assert written.schema.field("c").type == kind


@pytest.mark.parametrize(
    ("column", "key", "value", "shown"),
    [
        (pa.array([1]), "1", "one", "'one' does not fit column 'c', which holds int64"),
        (pa.array([1]), "1", "1", "'1' does not fit column 'c', which holds int64"),
        (pa.array([1]), "1", 1.5, "1.5 does not fit column 'c', which holds int64"),
        (pa.array([1]), "1", True, "True does not fit column 'c', which holds int64"),
        (pa.array([1], pa.int8()), "1", 300, "300 does not fit column 'c', which holds int8"),
        (pa.array([1]), "one", 1, "'one' does not fit column 'c', which holds int64"),
        (pa.array([True]), "true", "yes", "'yes' does not fit column 'c', which holds bool"),
        (pa.array([0.5]), "0.5", "half", "'half' does not fit column 'c', which holds double"),
        (pa.array(["a"]), "a", True, "True does not fit column 'c', which holds large_string"),
        (pa.array([[1]]), "1", "2", "'1' does not fit column 'c', which holds list<item: int64>"),
    ],
)
def test_a_replacement_of_another_kind_is_a_fault_of_the_settings(load, column, key, value, shown):
    items = replace("type", {}) + replace("c", {key: value})

    with pytest.raises(SettingError) as caught:
        load(pa.table({"body": [1], "type": ["t"], "c": column}), **{"replace-values": items})

    assert caught.value.field == ("replace-values", 1, "replacements", key)
    assert caught.value.problem == shown


def test_replacing_values_of_a_column_that_does_not_exist_is_refused(load):
    with pytest.raises(SettingError) as caught:
        load(**{"replace-values": replace("statsu", {"a": "b"})})

    assert caught.value.field == ("replace-values", 0, "source-column")
    assert "did you mean 'status'?" in caught.value.hint


def test_bodies_cannot_be_replaced(load):
    with pytest.raises(SettingError, match="target-column: 'body' is the id of the body"):
        load(**{"replace-values": replace("n", {}, "body")})


# ---- rename-annotation-columns


def test_old_predictions_are_dropped_by_default(load):
    table = pa.table({"body": [1], "predicted_nt": ["gaba"], "consensus_nt": ["gaba"], "type": ["a"]})

    assert list(load(table).frame) == ["type", "status"]


def test_new_names_replace_the_default_whole(load):
    table = pa.table({"body": [1], "status": ["Leaves"], "predicted_nt": ["gaba"], "type": ["a"], "x": [1]})

    annotations = load(table, **{"rename-annotation-columns": {"type": "cell_type", "x": ""}})

    assert list(annotations.frame) == ["status", "predicted_nt", "cell_type"]


def test_two_columns_can_swap_names(load):
    table = pa.table({"body": [1], "a": ["A"], "b": ["B"]})

    annotations = load(table, **{"rename-annotation-columns": {"a": "b", "b": "a"}})

    assert annotations.frame[["a", "b"]].to_dict("records") == [{"a": "B", "b": "A"}]


@pytest.mark.parametrize(
    ("names", "culprit"), [({"type": "n"}, "type"), ({"n": "type"}, "n"), ({"type": "same", "n": "same"}, "n")]
)
def test_a_name_that_is_taken_is_refused(load, names, culprit):
    with pytest.raises(SettingError, match="two columns would be called") as caught:
        load(**{"rename-annotation-columns": names})

    assert caught.value.field == ("rename-annotation-columns", culprit)


@pytest.mark.parametrize("names", [{"body": "bodyId"}, {"n": "body"}])
def test_the_body_keeps_its_name(load, names):
    with pytest.raises(SettingError, match="'body' is the id of the body"):
        load(**{"rename-annotation-columns": names})


def test_new_names_for_columns_that_do_not_exist_are_told(load, caplog):
    load(**{"rename-annotation-columns": {"tpye": "kind", "predicted_nt": ""}})

    assert "there is no column 'tpye'" in caplog.text
    assert "predicted_nt" not in caplog.text


def test_group_old_is_removed_even_under_a_new_name(load):
    assert list(load(pa.table({"body": [1], "group_old": [1], "status": ["Leaves"]})).frame) == ["status"]
    renamed = load(
        pa.table({"body": [1], "g": [1], "status": ["Leaves"]}), **{"rename-annotation-columns": {"g": "group_old"}}
    )
    assert list(renamed.frame) == ["status"]


# ---- real tables


def test_real_hemibrain_annotations_are_as_pandas_reads_them(tmp_path, shared):
    path = shared / "data" / "hemibrain_mb" / "annotations.feather"
    expected = pd.read_feather(path)

    loaded = load_annotations(
        AnnotationsSettings(body_annotations_table=path), make_context(tmp_path), dvid_seg=None
    ).frame

    assert loaded.index.tolist() == expected["body"].tolist()
    assert list(loaded) == list(expected.drop(columns="body"))
    assert loaded["status"].value_counts()["Traced"] == 21739
    for name in ("type", "somaLocation", "notes"):
        assert loaded[name].fillna("null").tolist() == expected[name].fillna("null").tolist()
    assert loaded["in_points"].sum() == expected["in_points"].sum()
    assert loaded["n_pre_release"].dtype == "double[pyarrow]"


def test_real_flywire_annotations_need_their_status_mapped_and_keep_their_ids(tmp_path, shared):
    path = shared / "data" / "flywire783" / "annotations.feather"
    with pytest.raises(DataError, match=r"unknown status: 'Completed' \(138,639 rows\)"):
        load_annotations(AnnotationsSettings(body_annotations_table=path), make_context(tmp_path), dvid_seg=None)

    config = AnnotationsSettings.model_validate(
        {"body-annotations-table": path, "replace-values": replace("status", {"Completed": "Traced"})}
    )
    loaded = load_annotations(config, make_context(tmp_path), dvid_seg=None)

    assert (loaded.status == "Traced").sum() == 138639
    assert loaded.status.isna().sum() == 616
    assert loaded.frame.index.tolist() == feather.read_table(str(path))["body"].to_pylist()
    assert loaded.frame.index[0] == 720575940596125868
    assert list(STATUS_ORDER) == list(loaded.status.cat.categories)
