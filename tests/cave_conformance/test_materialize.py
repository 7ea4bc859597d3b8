"""MaterializationEngine as it behaves when it is run for real (2.6, 5.3)."""

from __future__ import annotations

import ast
import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.cave_conformance.serving import arrow, good, hidden_status

VERSION = {"id", "version", "datastack", "time_stamp", "expires_on", "valid", "status", "is_merged"}
TABLE = {
    "table_name",
    "id",
    "aligned_volume",
    "created",
    "schema",
    "valid",
    "schema_type",
    "user_id",
    "description",
    "notice_text",
    "reference_table",
    "flat_segmentation_source",
    "voxel_resolution_x",
    "voxel_resolution_y",
    "voxel_resolution_z",
    "write_permission",
    "read_permission",
    "last_modified",
}


def where(services, **filters):
    """A body whose filters are about columns of the synapse table."""
    return {key: {services.synapses: value} for key, value in filters.items()}


def median_id(services):
    return pc.quantile(services.some["id"], interpolation="nearest")[0].as_py()


# --- versions and tables ----------------------------------------------------------------------------------------------


def test_a_version_is_described_alone_and_among_all(services):
    alone = services.get(f"{services.materialize}/version/{services.version}")
    among = services.get(f"{services.materialize}/metadata")
    assert set(alone) >= VERSION
    assert alone in among
    assert {record["version"] for record in among} == set(services.get(f"{services.materialize}/versions"))
    assert (alone["valid"], alone["status"]) == (True, "AVAILABLE")


def test_times_of_a_version_have_no_zone(services):
    record = services.get(f"{services.materialize}/version/{services.version}")
    times = [dt.datetime.fromisoformat(record[key]) for key in ("time_stamp", "expires_on")]
    assert [time.tzinfo for time in times] == [None, None]
    assert times[0] < times[1]


def test_expired_versions_are_listed_on_demand(services):
    shown = set(services.get(f"{services.materialize}/versions"))
    assert shown <= set(services.get(f"{services.materialize}/versions", params={"expired": "true"}))


def test_an_unknown_version_is_a_404_in_json_text(services):
    answer = services.ask("GET", f"{services.materialize}/version/999999")
    assert answer.status_code == 404
    assert isinstance(answer.json(), str)


def test_tables_are_listed_described_and_counted(services):
    base = f"{services.materialize}/version/{services.version}"
    names = services.get(f"{base}/tables")
    records = services.get(f"{base}/tables/metadata")
    assert services.synapses in names
    assert {record["table_name"] for record in records} == set(names)
    for record in records:
        assert set(record) >= TABLE
    alone = services.get(f"{base}/table/{services.synapses}/metadata")
    assert alone in records
    assert {"pcg_table_name", "segmentation_source", "annotation_table"} <= set(alone)
    count = services.get(f"{base}/table/{services.synapses}/count")
    assert type(count) is int
    assert count >= len(services.some)


def test_the_list_of_tables_is_there_in_v2_too_but_queries_are_not(services):
    base = f"{services.materialize}/version/{services.version}".replace("/api/v3/", "/api/v2/")
    assert services.synapses in services.get(f"{base}/tables")
    answer = services.ask("POST", f"{base}/table/{services.synapses}/query", json={"limit": 1})
    assert answer.status_code == 500


def test_a_table_that_is_not_there_is_a_404_in_a_500(services):
    assert hidden_status(services.query({}, "there_is_no_such_table")) == 404


# --- the form of an answer --------------------------------------------------------------------------------------------


def test_rows_come_as_an_arrow_stream_of_one_batch(services):
    answer = good(services.query({"limit": 50}))
    assert answer.headers["Content-Type"] == "data.arrow"
    with pa.ipc.open_stream(answer.content) as reader:
        assert [len(batch) for batch in reader] == [50]


def test_ids_are_int64_and_positions_three_columns_of_int32(services):
    schema = services.some.schema
    points = [name.removesuffix("_root_id") for name in schema.names if name.endswith("_root_id")]
    assert sorted(points) == ["post_pt", "pre_pt"]
    for name in ("id", *(f"{point}_{what}_id" for point in points for what in ("root", "supervoxel"))):
        assert schema.field(name).type == pa.int64()
    for name in (f"{point}_position_{axis}" for point in points for axis in "xyz"):
        assert schema.field(name).type == pa.int32()
    assert schema.field("valid").type == pa.bool_()


def test_an_empty_answer_has_its_columns(services):
    empty = services.rows(where(services, filter_equal_dict={"id": -1}))
    assert len(empty) == 0
    assert empty.schema.names == services.some.schema.names


@pytest.mark.parametrize("encoding", ["identity", "zstd", "lz4"])
def test_the_stream_is_compressed_inside_as_the_request_knows_how(services, encoding):
    answer = good(services.query({"limit": 100}, encoding=encoding))
    assert "Content-Encoding" not in answer.headers
    assert len(arrow(answer)) == len(services.some)


def test_gzip_compresses_the_body(services):
    answer = good(services.query({"limit": 100}, encoding="gzip"))
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(arrow(answer)) == len(services.some)


def test_headers_say_the_unit_of_positions_and_where_columns_come_from(services):
    answer = good(services.query({"limit": 10}))
    assert len([float(size) for size in answer.headers["dataframe_resolution"].split(", ")]) == 3
    names = ast.literal_eval(answer.headers["column_names"])
    assert set(names[services.synapses].values()) == set(arrow(answer).column_names)


def test_without_arrow_rows_are_json_records_with_bare_ids(services):
    rows = good(services.query({"limit": 5}, return_pyarrow="false")).json()
    assert len(rows) == 5
    assert type(rows[0]["pre_pt_root_id"]) is int


def test_a_count_is_one_row(services):
    total = services.get(f"{services.materialize}/version/{services.version}/table/{services.synapses}/count")
    assert services.rows({}, count="true").to_pylist() == [{"count": total}]


# --- filters ----------------------------------------------------------------------------------------------------------


def test_windows_of_ids_have_no_row_twice(services):
    middle = median_id(services)
    for low, high in ((middle - 20, middle), (middle, middle + 20)):
        body = where(services, filter_greater_equal_dict={"id": low}, filter_less_dict={"id": high})
        ids = services.rows(body)["id"].to_pylist()
        assert len(set(ids)) == len(ids)
        assert all(low <= number < high for number in ids)


def test_inequalities_are_strict_or_not_as_they_say(services):
    middle = median_id(services)
    for name, expected in (("greater", False), ("greater_equal", True), ("less", False), ("less_equal", True)):
        key = f"filter_{name}_dict"
        other = "filter_less_equal_dict" if "greater" in name else "filter_greater_equal_dict"
        found = services.rows(where(services, **{key: {"id": middle}, other: {"id": middle}}))
        assert (len(found) == 1) is expected, name


def test_equality_and_membership(services):
    ids = services.some["id"].to_pylist()[:5]
    assert sorted(services.rows(where(services, filter_in_dict={"id": ids}))["id"].to_pylist()) == sorted(ids)
    assert services.rows(where(services, filter_equal_dict={"id": ids[0]}))["id"].to_pylist() == ids[:1]


def test_exclusion_is_accepted_and_ignored(services):
    """The weakness for which nobody may rely on it; a server that excludes has been mended."""
    ids = services.some["id"].to_pylist()[:5]
    body = where(services, filter_in_dict={"id": ids}, filter_notin_dict={"id": ids[:3]})
    assert len(services.rows(body)) == 5


def test_a_box_has_both_its_ends_in_voxels_of_the_table(services):
    row = services.some.slice(0, 1).to_pylist()[0]
    here = [row[f"pre_pt_position_{axis}"] for axis in "xyz"]
    for low, high in ((here, [value + 1 for value in here]), ([value - 1 for value in here], here)):
        found = services.rows(where(services, filter_spatial_dict={"pre_pt_position": [low, high]}))
        assert row["id"] in found["id"].to_pylist()
    answer = services.query(where(services, filter_spatial_dict={"pre_pt_position": [here, here]}))
    assert answer.status_code == 500


def test_unknown_keys_are_refused(services):
    assert hidden_status(services.query({"filter_out_dict": {}})) == 422


# --- columns, limits, units -------------------------------------------------------------------------------------------


def test_who_asks_for_a_root_gets_its_supervoxel_too(services):
    found = services.rows({"select_columns": ["id", "pre_pt_root_id"], "limit": 1})
    assert set(found.column_names) == {"id", "pre_pt_root_id", "pre_pt_supervoxel_id"}


def test_a_limit_is_told_when_it_may_have_cut(services):
    answer = good(services.query({"limit": 7}))
    assert len(arrow(answer)) == 7
    assert '201 - "Limited query to 7 rows' in answer.headers["Warning"]
    middle = median_id(services)
    answer = good(services.query({**where(services, filter_equal_dict={"id": middle}), "limit": 7}))
    assert "Limited" not in answer.headers.get("Warning", "")


def test_an_offset_skips_rows(services):
    body = where(services, filter_in_dict={"id": services.some["id"].to_pylist()[:10]})
    assert len(services.rows({**body, "offset": 4})) == 6


def test_positions_are_scaled_to_another_resolution(services):
    number = median_id(services)
    body = where(services, filter_equal_dict={"id": number})
    native = services.query(body)
    (row,) = arrow(good(native)).to_pylist()
    sizes = [float(size) for size in native.headers["dataframe_resolution"].split(", ")]
    scaled = good(services.query({**body, "desired_resolution": [1, 1, 1]}))
    (fine,) = arrow(scaled).to_pylist()
    assert scaled.headers["dataframe_resolution"] == "1.0, 1.0, 1.0"
    for axis, size in zip("xyz", sizes, strict=True):
        name = f"post_pt_position_{axis}"
        assert float(fine[name]) == row[name] * size
