"""Versions and queries: exact ids, nothing left out without a word, exclusions that exclude."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from flyem_snapshot.cave import CaveError, Expired, Invalid, LimitError, NotFound, VersionError
from flyem_snapshot.cave.queries import Filters
from flyem_snapshot.cave.rows import split_notices
from tests.cave.conftest import DATASTACK
from tests.cave_double import View

ROOT_ID = 864691134988869442
SV = 109362238070465629
NUCLEI = "nuclei"


def rows(count=10):
    """Nuclei with roots that differ in the last digit; every third has none, the fourth 0."""
    roots = [None if n % 3 == 2 else ROOT_ID + n for n in range(count)]
    if count > 3:
        roots[3] = 0
    return pa.table(
        {
            "id": pa.array(range(1, count + 1), pa.int64()),
            "volume": pa.array([n / 2 for n in range(count)], pa.float32()),
            "pt_position_x": pa.array([10 * n for n in range(count)], pa.int32()),
            "pt_position_y": pa.array([7] * count, pa.int32()),
            "pt_position_z": pa.array([1] * count, pa.int32()),
            "pt_supervoxel_id": pa.array([SV + n for n in range(count)], pa.int64()),
            "pt_root_id": pa.array(roots, pa.int64()),
        }
    )


@pytest.fixture
def version(stack):
    version = stack.freeze()
    version.add_table(NUCLEI, "nucleus_detection", rows(), notice_text="mind the gap, and the rest")
    return version


@pytest.fixture
def tables(version, client):
    client.materialize.version = 1
    return client.materialize


def queries(cave):
    return [request for request in cave.requests if request.path.endswith("query")]


# --- versions --------------------------------------------------------------------------------------------------------


def test_versions_are_sorted_integers_and_new_ones_show_at_once(client, stack):
    for number in (3, 1, 2):
        stack.freeze(number)
    stack.versions[2].expire()
    assert client.materialize.get_versions() == [1, 3]
    assert client.materialize.get_versions(expired=True) == [1, 2, 3]
    stack.freeze(7)
    assert client.materialize.get_versions() == [1, 3, 7]
    assert all(type(number) is int for number in client.materialize.get_versions())


def test_w8_whole_second_times_are_read_and_all_times_are_aware(client, stack):
    version = stack.freeze()
    version.time_stamp = datetime(2026, 1, 5, 8, 10, tzinfo=UTC)
    version.expires_on = datetime(2027, 1, 1, tzinfo=UTC)
    expected = {"time_stamp": version.time_stamp, "expires_on": version.expires_on}
    found = client.materialize.get_version_metadata(1)
    assert {key: found[key] for key in expected} == expected
    (listed,) = client.materialize.get_versions_metadata()
    assert listed == found
    assert listed["time_stamp"].tzinfo is UTC
    assert client.materialize.get_timestamp(1) == version.time_stamp


def test_w8_fractions_of_a_time_are_kept(client, stack):
    version = stack.freeze()
    assert client.materialize.get_timestamp(1) == version.time_stamp
    assert version.time_stamp.microsecond == 215114


def test_w8_nothing_is_remembered_from_one_call_to_the_next(client, stack, cave):
    stack.freeze()
    assert client.materialize.most_recent_version() == 1
    stack.freeze()
    assert client.materialize.most_recent_version() == 2


def test_w13_the_most_recent_version_is_the_newest_that_can_be_read(client, stack):
    with pytest.raises(NotFound, match=f"datastack '{DATASTACK}' has no version that can be read"):
        client.materialize.most_recent_version()
    stack.freeze(9)
    stack.freeze(2)  # a number may be lower and the version newer
    stack.freeze(5).status = "RUNNING"
    stack.freeze(6).expire()
    assert client.materialize.most_recent_version() == 2
    assert type(client.materialize.most_recent_version()) is int


def test_the_version_of_a_moment_is_the_last_before_it(client, stack, cave):
    first = stack.freeze()
    cave.clock.advance(days=2)
    second = stack.freeze()
    assert client.materialize.version_at(second.time_stamp) == 2
    assert client.materialize.version_at(second.time_stamp - timedelta(microseconds=1)) == 1
    with pytest.raises(NotFound, match="has no version of .* or before"):
        client.materialize.version_at(first.time_stamp - timedelta(seconds=1))


def test_tables_are_listed_counted_and_described(tables):
    assert tables.get_tables() == [NUCLEI]
    assert tables.get_annotation_count(NUCLEI) == 10
    record = tables.get_table_metadata(NUCLEI, 1)
    assert (record["schema_type"], record["voxel_resolution"]) == ("nucleus_detection", [4.0, 4.0, 40.0])
    assert tables.get_tables_metadata() == [record]
    with pytest.raises(NotFound, match="Analysis table nothing not found"):
        tables.get_annotation_count("nothing")


def test_w13_a_version_may_be_any_integer_and_nothing_else(tables):
    assert tables.get_annotation_count(NUCLEI, np.int64(1)) == 10
    with pytest.raises(NotFound, match="No version 5"):
        tables.get_version_metadata(5)
    with pytest.raises(ValueError, match="version must be at least 1, not 0"):
        tables.get_tables(0)
    with pytest.raises(TypeError, match="version must be an integer, not 'latest'"):
        tables.get_tables("latest")


def test_without_a_version_nothing_is_read(client, version):
    with pytest.raises(CaveError, match="no version is named") as caught:
        client.materialize.query_table(NUCLEI)
    assert "most_recent_version" in caught.value.hint


def test_a_client_may_be_made_for_a_version(new_client, version):
    assert new_client(version=1).materialize.get_annotation_count(NUCLEI) == 10
    assert "version 1" in repr(new_client(version=1).materialize)


def test_an_expired_version_says_so(tables, version):
    version.expire()
    for ask in (tables.get_annotation_count, tables.query_table, lambda t: list(tables.id_windows(t))):
        with pytest.raises(Expired, match=r"the rows of version 1 of .* cannot be read: its status is EXPIRED, it was"):
            ask(NUCLEI)
    assert tables.get_version_metadata(1)["status"] == "EXPIRED"
    with pytest.raises(Expired):
        tables.require_present()


def test_old_services_describe_versions_but_answer_no_queries(cave, stack, new_client):
    cave.versions["/materialize/api/versions"] = [2]
    stack.freeze().add_table(NUCLEI, "nucleus_detection", rows())
    tables = new_client(version=1).materialize
    assert tables.get_versions() == [1]
    assert [record["table_name"] for record in tables.get_tables_metadata()] == [NUCLEI]
    assert tables.get_annotation_count(NUCLEI) == 10
    with pytest.raises(VersionError, match="speaks version 2 of 'materialize' only"):
        tables.query_table(NUCLEI)
    assert not queries(cave)


# --- queries ---------------------------------------------------------------------------------------------------------


def test_w11_rows_are_arrow_with_exact_ids_and_nulls(tables, cave):
    found = tables.query_table(NUCLEI).sort_by("id")
    assert isinstance(found, pa.Table)
    assert found["pt_root_id"].to_pylist() == rows()["pt_root_id"].to_pylist()
    assert found.schema.field("pt_root_id").type == pa.int64()
    assert found["pt_position_x"].to_pylist() == [10 * n for n in range(10)]
    (request,) = queries(cave)
    assert {
        "direct_sql_pandas": "true",
        "arrow_format": "true",
        "return_pyarrow": "true",
    }.items() <= request.args.items()
    assert request.headers["accept-encoding"] == "zstd"


def test_w11_frames_are_there_on_request_with_types_that_can_miss_values(tables):
    frame = tables.query_table(NUCLEI, format="pandas").sort_values("id", ignore_index=True)
    assert isinstance(frame, pd.DataFrame)
    assert frame["pt_root_id"].dtype == pd.Int64Dtype()
    assert frame["pt_root_id"].tolist()[:3] == [ROOT_ID, ROOT_ID + 1, pd.NA]
    assert (frame["volume"].dtype, frame["valid"].dtype) == (pd.Float32Dtype(), pd.BooleanDtype())
    assert frame.attrs["dataframe_resolution"] == "4.0, 4.0, 40.0"
    with pytest.raises(ValueError, match="format is 'arrow' or 'pandas'"):
        tables.query_table(NUCLEI, format="polars")


def roots_as(kind):
    """Changes the type of the roots in an answer."""

    def change(body):
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
        place = table.schema.get_field_index("pt_root_id")
        table = table.set_column(
            place,
            "pt_root_id",
            pa.nulls(len(table)) if kind == pa.null() else table["pt_root_id"].cast(kind, safe=False),
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue().to_pybytes()

    return change


@pytest.mark.parametrize("kind", [pa.float64(), pa.null()])
def test_ids_that_are_all_missing_are_integers_all_the_same(tables, cave, kind):
    cave.faults.changed(roots_as(kind), "query")
    found = tables.query_table(NUCLEI, filter_equal_dict={"id": 3})
    assert found["pt_root_id"].to_pylist() == [None]
    assert found.schema.field("pt_root_id").type == pa.int64()


def test_ids_that_come_as_floats_are_no_answer(tables, cave):
    """Without direct_sql_pandas a service turns ids into floats where one is missing."""

    cave.faults.changed(roots_as(pa.float64()), "query", times=None)
    with pytest.raises(CaveError, match="the ids in 'pt_root_id' came as floats and have lost digits"):
        tables.query_table(NUCLEI)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("filter_equal_dict", {"pt_root_id": np.int64(ROOT_ID + 1)}, [2]),
        ("filter_in_dict", {"id": np.array([3, 5, 99])}, [3, 5]),
        ("filter_in_dict", {NUCLEI: {"id": [3, 5]}}, [3, 5]),
        ("filter_greater_dict", {"id": 8}, [9, 10]),
        ("filter_greater_equal_dict", {"id": 9}, [9, 10]),
        ("filter_less_dict", {"id": 2}, [1]),
        ("filter_less_equal_dict", {"id": 2}, [1, 2]),
        ("filter_spatial_dict", {"pt_position": np.array([[10, 0, 0], [30, 9, 9]])}, [2, 3, 4]),
    ],
)
def test_rows_are_filtered(tables, name, value, expected):
    found = tables.query_table(NUCLEI, **{name: value})
    assert sorted(found["id"].to_pylist()) == expected


def test_w7_exclusions_exclude(tables, cave):
    excluded = {"pt_root_id": [0, ROOT_ID]}
    found = tables.query_table(NUCLEI, filter_out_dict=excluded, filter_less_dict={"id": 7})
    assert sorted(found["id"].to_pylist()) == [2, 3, 5, 6], "nulls are none of the excluded"
    assert b"filter_notin_dict" not in queries(cave)[0].body
    assert tables.query_table(NUCLEI, filter_out_dict={"id": 1})["id"].to_pylist().count(1) == 0


def test_w7_a_column_to_exclude_by_is_asked_for_and_dropped_again(tables):
    found = tables.query_table(NUCLEI, select_columns=["id"], filter_out_dict={"volume": [0.0, 0.5]})
    assert found.column_names == ["id"]
    assert sorted(found["id"].to_pylist()) == [3, 4, 5, 6, 7, 8, 9, 10]
    with pytest.raises(CaveError, match="nothing"):
        tables.query_table(NUCLEI, select_columns=["id"], filter_out_dict={"nothing": [1]})
    with pytest.raises(ValueError, match="no column 'nothing' to exclude by"):
        tables.query_table(NUCLEI, filter_out_dict={"nothing": [1]})


def test_only_the_columns_that_were_asked_for_come(tables):
    assert tables.query_table(NUCLEI, select_columns=["id", "pt_root_id"]).column_names == ["id", "pt_root_id"]
    both = ["id", "pt_supervoxel_id", "pt_root_id"]
    assert tables.query_table(NUCLEI, select_columns=both).column_names == both
    with pytest.raises(TypeError, match="select_columns is a list"):
        tables.query_table(NUCLEI, select_columns="id")
    with pytest.raises(CaveError, match="column nothing not in model"):
        tables.query_table(NUCLEI, select_columns=["nothing"])


def test_an_answer_that_was_cut_off_is_an_error(tables, cave):
    cave.query_limit = 4
    with pytest.raises(LimitError, match="the service gave 4 rows, the most that it gives at a time") as caught:
        tables.query_table(NUCLEI)
    assert "id_windows" in caught.value.hint
    with pytest.raises(LimitError):
        tables.query_table(NUCLEI, limit=5)
    assert len(tables.query_table(NUCLEI, limit=4)) == 4
    assert len(tables.query_table(NUCLEI, limit=2)) == 2
    assert len(tables.query_table(NUCLEI, limit=2, offset=9, filter_greater_dict={"id": 0})) == 1


@pytest.mark.parametrize(("limit", "kind"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("all", TypeError)])
def test_w13_a_limit_that_makes_no_sense_is_refused(tables, cave, limit, kind):
    with pytest.raises(kind, match="limit must be"):
        tables.query_table(NUCLEI, limit=limit)
    assert not queries(cave)


def test_notices_are_kept_and_logged_once(tables, caplog):
    found = tables.query_table(NUCLEI)
    assert found.schema.metadata[b"notices"] == b'["Table Owner Notice on nuclei: mind the gap, and the rest"]'
    tables.query_table(NUCLEI)
    assert caplog.text.count("mind the gap") == 1


def test_notices_are_told_apart_although_they_have_commas():
    header = 'Table Owner Notice on a: one, two,Table Owner Notice on b: three, 201 - "Limited query to 5 rows'
    assert split_notices(header) == [
        "Table Owner Notice on a: one, two",
        "Table Owner Notice on b: three",
        '201 - "Limited query to 5 rows',
    ]
    assert split_notices("") == []


def test_positions_may_be_in_another_unit(tables):
    found = tables.query_table(NUCLEI, desired_resolution=[1, 1, 1], select_columns=["id", "pt_position"])
    assert found.sort_by("id")["pt_position_x"].to_pylist()[:3] == [0.0, 40.0, 80.0]
    assert found.schema.metadata[b"dataframe_resolution"] == b"1.0, 1.0, 1.0"


def test_a_sample_and_a_count_are_made_by_the_service(tables):
    assert len(tables.query_table(NUCLEI, random_sample=3)) == 3
    assert tables.count_rows(NUCLEI) == 10
    assert tables.count_rows(NUCLEI, filter_greater_equal_dict={"id": 4}, filter_less_dict={"id": 6}) == 2
    with pytest.raises(ValueError, match="ignores exclusions"):
        tables.count_rows(NUCLEI, filter_out_dict={"id": [1]})


@pytest.mark.parametrize("after", [0, 8, 300, 700])
def test_a_stream_that_arrives_half_is_asked_for_again(tables, cave, after):
    cave.faults.truncated("query", after=after)
    assert len(tables.query_table(NUCLEI)) == 10
    assert len(queries(cave)) == 2


def test_a_stream_that_ends_between_its_columns_and_its_rows_is_asked_for_again(tables, cave):
    def columns_only(body):
        sink = pa.BufferOutputStream()
        with pa.ipc.open_stream(body) as reader, pa.ipc.new_stream(sink, reader.schema):
            pass
        return sink.getvalue().to_pybytes()[:-8]  # the last 8 bytes say that it ends

    cave.faults.changed(columns_only, "query")
    assert len(tables.query_table(NUCLEI)) == 10
    assert len(queries(cave)) == 2


def test_a_stream_that_always_arrives_half_is_an_error(tables, cave):
    cave.faults.truncated("query", after=700, times=None)
    with pytest.raises(CaveError, match="the answer was incomplete: .*stream.* after 3 tries"):
        tables.query_table(NUCLEI)


def test_a_page_instead_of_a_stream_is_told(tables, cave):
    cave.faults.login("query", page=True, times=None)
    with pytest.raises(CaveError, match="a page for people instead of data: Sign in"):
        tables.query_table(NUCLEI)


def test_a_count_that_is_none_is_told(tables, cave):
    cave.query_limit = 1
    honest = []
    cave.faults.changed(lambda body: honest.append(body) or body, "query")
    tables.query_table(NUCLEI, limit=1)
    cave.faults.replaced(honest[0], "query")
    with pytest.raises(CaveError, match="it did not count the rows"):
        tables.count_rows(NUCLEI)


def test_a_failure_of_a_version_that_is_there_stays_what_it_is(tables, cave):
    cave.faults.status(500, "count", times=None)
    with pytest.raises(CaveError, match="status 500") as caught:
        tables.get_annotation_count(NUCLEI)
    assert not isinstance(caught.value, Expired)
    cave.faults.status(503, "version/1$", times=None, retry_after=0)
    with pytest.raises(CaveError, match="status 500"):
        tables.get_annotation_count(NUCLEI)


@pytest.mark.parametrize("time", [b"5", b'"soon"'])
def test_a_time_that_is_none_is_no_answer(tables, cave, time):
    cave.faults.replaced(b'{"version": 1, "time_stamp": %s}' % time, "version/1$", times=None)
    with pytest.raises(CaveError, match="'time_stamp' is no time"):
        tables.get_version_metadata()


def test_a_version_without_a_time_shows_no_moment(tables, cave):
    cave.faults.replaced(b'{"version": 1}', "version/1$")
    with pytest.raises(CaveError, match="its record names no time"):
        tables.get_timestamp()


def test_no_rows_are_a_table_with_columns(tables):
    found = tables.query_table(NUCLEI, filter_equal_dict={"id": 99})
    assert (len(found), found.schema.field("pt_root_id").type) == (0, pa.int64())


# --- other queries ---------------------------------------------------------------------------------------------------


@pytest.fixture
def synapses(version):
    ids = pa.array(range(1, 7), pa.int64())
    pre = pa.array([ROOT_ID, ROOT_ID, 0, 0, ROOT_ID + 1, None], pa.int64())
    post = pa.array([ROOT_ID, ROOT_ID + 1, 0, ROOT_ID, ROOT_ID, ROOT_ID], pa.int64())
    table = pa.table({"id": ids, "pre_pt_root_id": pre, "post_pt_root_id": post})
    version.add_table("synapses", "synapse", table)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [2, 3, 4, 5, 6]),
        ({"remove_autapses": False}, [1, 2, 3, 4, 5, 6]),
        ({"include_zeros": False}, [2, 5, 6]),
        ({"pre_ids": ROOT_ID}, [2]),
        ({"pre_ids": [ROOT_ID + 1], "post_ids": np.array([ROOT_ID])}, [5]),
    ],
)
def test_w7_synapses_between_roots_without_those_that_are_not_wanted(tables, synapses, options, expected):
    found = tables.synapse_query(synapse_table="synapses", **options)
    assert sorted(found["id"].to_pylist()) == expected


def test_two_tables_are_joined(tables, version, cave):
    tags = pa.table({"id": pa.array([1, 2], pa.int64()), "target_id": pa.array([5, 2], pa.int64()), "tag": ["a", "b"]})
    version.add_table("tags", "reference_tag", tags)
    found = tables.join_query(
        [["tags", "target_id"], [NUCLEI, "id"]],
        suffixes={"tags": "_tag", NUCLEI: "_nucleus"},
        select_columns={"tags": ["id", "target_id"], NUCLEI: ["id", "pt_root_id"]},
    )
    pairs = sorted(zip(found["id_tag"].to_pylist(), found["pt_root_id"].to_pylist(), strict=True))
    assert pairs == [(1, ROOT_ID + 4), (2, ROOT_ID + 1)]
    with pytest.raises(ValueError, match="a join has no exclusions"):
        tables.join_query([["tags", "target_id"], [NUCLEI, "id"]], filters=Filters(out={"tags": {"id": [1]}}))


def test_a_table_can_be_read_as_it_was_at_any_time(client, stack, cave):
    live = stack.volume.new_table("live", "nucleus_detection")
    stack.freeze()
    live.insert({"pt_position": [1, 2, 3], "volume": 1.0})
    then = cave.clock.now
    cave.clock.advance(days=1)
    live.insert({"pt_position": [4, 5, 6], "volume": 2.0})
    tables = client.materialize
    now = cave.clock.now
    assert tables.live_query("live", then)["id"].to_pylist() == [1]
    assert sorted(tables.live_query("live", now)["id"].to_pylist()) == [1, 2]
    assert tables.live_query("live", now, filters=Filters(out={"id": [1]}))["id"].to_pylist() == [2]
    with pytest.warns(UserWarning, match="has no zone"):
        assert len(tables.live_query("live", now.replace(tzinfo=None))) == 2


def test_views_are_described_and_read(tables, version):
    data = pa.table({"id": pa.array([1, 2], pa.int64()), "pt_root_id": pa.array([ROOT_ID, None], pa.int64())})
    version.views["big"] = View(data, "the big ones")
    assert tables.get_views()["big"]["description"] == "the big ones"
    assert tables.get_view_metadata("big")["table_name"] == "big"
    assert tables.get_view_schema("big")["pt_root_id"] == {"type": "integer"}
    found = tables.query_view("big", filters=Filters(out={"pt_root_id": [ROOT_ID]}))
    assert found["id"].to_pylist() == [2]


def test_the_texts_of_a_table_are_listed(tables, version):
    version.add_table("tags", "bound_tag", pa.table({"id": pa.array([1, 2], pa.int64()), "tag": ["x", "y"]}))
    assert tables.get_unique_string_values("tags") == {"tag": ["x", "y"]}


def test_what_a_service_does_not_accept_is_told(tables):
    with pytest.raises(Invalid, match="the minimum of the bounding box"):
        tables.query_table(NUCLEI, filter_spatial_dict={"pt_position": [[5, 5, 5], [5, 6, 7]]})
