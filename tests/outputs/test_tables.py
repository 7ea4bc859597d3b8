"""The tables of bodies say what the annotations were and how many bodies have each status."""

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather

from flyem_snapshot.connectome.status import STATUS_ORDER, as_status_category
from flyem_snapshot.outputs.tables import STAGE, export_tables
from flyem_snapshot.outputs.tables_settings import TablesSettings
from flyem_snapshot.tables.bodies import BodyAnnotations, frame_from_arrow
from tests.contexts import make_context

COUNTS = "tables/body-status-counts-v1.csv"
ANNOTATIONS = "tables/body-annotations-v1.feather"
PLOT = "reports/html/body-status-counts-v1.html"


def annotations(status, **columns):
    table = pa.table({"body": pa.array(range(len(status)), pa.int64()), **columns})
    frame = frame_from_arrow(table)
    frame["status"] = as_status_category(status)
    return BodyAnnotations(frame)


def export(root, table):
    ctx = make_context(root)
    export_tables(TablesSettings(), ctx, annotations=table, body_sizes=None, dvid_seg=None)
    return ctx.out.written


def test_statuses_are_counted_from_best_to_worst(tmp_path):
    export(tmp_path, annotations(["Orphan", "Leaves", "", None, "Orphan", "Traced", "Glia"]))

    assert (tmp_path / COUNTS).read_bytes() == b"status,count\nTraced,1\nLeaves,1\nOrphan,2\nGlia,1\n"


def test_status_counts_are_drawn_beside_the_reports(tmp_path, pictures):
    written = export(tmp_path, annotations(["Orphan", "Leaves", "", None, "Orphan"]))

    assert {PLOT, "reports/png/body-status-counts-v1.png"} <= set(written)
    assert "body status counts (v1)" in (tmp_path / PLOT).read_text()


@pytest.mark.parametrize("status", [[], ["", None]])
def test_without_any_status_there_is_only_the_header(tmp_path, status):
    export(tmp_path, annotations(status))

    assert (tmp_path / COUNTS).read_bytes() == b"status,count\n"


@settings(max_examples=30)
@given(st.lists(st.sampled_from([*STATUS_ORDER, None])))
def test_counts_add_up_to_the_bodies_with_a_status(tmp_path_factory, status):
    root = tmp_path_factory.mktemp("counts")
    export(root, annotations(status))

    counts = pd.read_csv(root / COUNTS, keep_default_na=False)

    assert counts["count"].sum() == sum(1 for label in status if label)
    assert (counts["count"] > 0).all()
    assert counts["status"].tolist() == [label for label in reversed(STATUS_ORDER) if label and label in status]


def test_annotations_are_written_with_body_first_and_all_else_as_it_is(tmp_path):
    columns = {
        "type": pa.array(["a", None], pa.large_string()),
        "soma": pa.array([[1, 2, 3], None], pa.list_(pa.int32())),
        "id": pa.array([2**53 + 1, None]),
    }

    written = export(tmp_path, annotations(["Leaves", None], **columns))

    table = feather.read_table(str(tmp_path / ANNOTATIONS))
    assert table.column_names == ["body", "type", "soma", "id", "status"]
    assert table.schema.field("body").type == pa.int64()
    for name, column in columns.items():
        assert table[name].combine_chunks().equals(column), name
    assert pd.read_feather(tmp_path / ANNOTATIONS)["status"].cat.ordered
    assert set(written) == {ANNOTATIONS, COUNTS, PLOT, "reports/plotly.min.js"}
    assert written[ANNOTATIONS].rows == 2


def test_the_same_annotations_give_the_same_bytes(tmp_path):
    runs = [export(tmp_path / name, annotations(["Leaves", "Orphan"], type=["a", "b"])) for name in ("one", "two")]

    assert runs[0] == runs[1]


def test_nothing_is_written_without_annotations(tmp_path):
    assert export(tmp_path, None) == {}
    assert not (tmp_path / "tables").exists()


def test_nothing_is_written_if_not_wanted(tmp_path):
    ctx = make_context(tmp_path)

    export_tables(
        TablesSettings(export_tables=False), ctx, annotations=annotations(["Leaves"]), body_sizes=None, dvid_seg=None
    )

    assert ctx.out.written == {}
    assert not STAGE.enabled(TablesSettings(export_tables=False))


def test_the_stage_reads_the_annotations():
    assert STAGE.needs == ("annotations", "body_sizes", "dvid_seg")
