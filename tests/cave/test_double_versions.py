"""The double's frozen versions: what is in them, and what happens to ids on their way."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pytest
import requests

from tests.cave_double import CaveDouble, View
from tests.cave_double.sample import real_rows, sample_datastack
from tests.cave_double.synthetic import load_rows, synthetic_datastack

GOOD = {"direct_sql_pandas": "true", "arrow_format": "true"}
A, B = (1 << 56) + 1, (1 << 56) + 2


@pytest.fixture
def cave():
    with CaveDouble() as cave:
        yield cave


@pytest.fixture
def stack(cave):
    return cave.new_datastack("minnie")


@pytest.fixture
def http(cave):
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {cave.token}"
        yield session


def ask(http, cave, path, body=None, **arguments):
    url = f"{cave.url}/materialize/api/v3/datastack/minnie/{path}"
    if body is None:
        return http.get(url, params=arguments, timeout=5)
    return http.post(url, json=body, params={**GOOD, **arguments}, timeout=5)


def rows(answer):
    assert answer.status_code == 200, answer.text
    with pa.ipc.open_stream(answer.content) as reader:
        return reader.read_all()


def table_of(http, cave, name, version=1, **body):
    return rows(ask(http, cave, f"version/{version}/table/{name}/query", body))


def tags(stack, *supervoxels):
    """A table `tags` with a row for each supervoxel, with ids 1, 2, ..."""
    columns = {"id": list(range(1, len(supervoxels) + 1)), "tag": [f"tag {n}" for n in range(len(supervoxels))]}
    columns |= {f"pt_position_{axis}": [10, 20, 30][: len(supervoxels)] for axis in "xyz"}
    columns["pt_supervoxel_id"] = pa.array(supervoxels, pa.int64())
    return load_rows(stack, "tags", "bound_tag", pa.table(columns))


# --- root codes -------------------------------------------------------------------------------------------------------


def test_what_was_not_looked_up_is_null_in_a_merged_version_and_1_in_another(cave, stack, http):
    root = stack.graph.new_body([A])
    tags(stack, A, 0, None)
    stack.freeze()
    stack.freeze(is_merged=False)
    assert table_of(http, cave, "tags")["pt_root_id"].to_pylist() == [root, 0, None]
    unmerged = table_of(http, cave, "tags", 2)
    assert unmerged["pt_root_id"].to_pylist() == [root, 0, 1]
    assert unmerged["pt_supervoxel_id"].to_pylist() == [A, 0, 1]


def test_one_null_turns_ids_into_floats_unless_the_request_knows_better(cave, stack, http):
    root = stack.graph.new_body([A])
    tags(stack, A, None)
    stack.freeze()
    path = "version/1/table/tags/query"
    spoilt = rows(ask(http, cave, path, {}, direct_sql_pandas="false"))
    assert spoilt.schema.field("pt_root_id").type == pa.float64()
    assert spoilt.schema.field("id").type == pa.int64()
    assert int(spoilt["pt_root_id"][0].as_py()) == int(float(root)) != root
    assert rows(ask(http, cave, path, {}))["pt_root_id"].to_pylist() == [root, None]
    text = ask(http, cave, path, {}, direct_sql_pandas="false", return_pyarrow="false").text
    assert f'"pt_root_id": {float(root)}' in text


# --- history ----------------------------------------------------------------------------------------------------------


def test_a_version_keeps_what_the_live_table_loses(cave, stack, http):
    stack.graph.new_body([A])
    table = tags(stack, A, A)
    stack.freeze()
    table.update(table.get(1), {"tag": "changed"})
    table.insert({"pt_position": [1, 2, 3], "tag": "new"})
    table.delete(table.get(2))
    stack.freeze()
    assert table_of(http, cave, "tags").select(["id", "tag"]).to_pylist() == [
        {"id": 1, "tag": "tag 0"},
        {"id": 2, "tag": "tag 1"},
    ]
    later = table_of(http, cave, "tags", 2)
    assert later["id"].to_pylist() == [3, 4], "what was updated stands at the end"
    assert later["tag"].to_pylist() == ["changed", "new"]
    assert later["pt_position_x"].to_pylist() == [10, 1]
    assert len(table) == 4, "the live count has deleted rows"


def test_roots_are_those_of_the_version_s_time(cave, stack, http):
    one, two = stack.graph.new_body([A]), stack.graph.new_body([B])
    tags(stack, A, B)
    stack.freeze()
    merged = stack.graph.merge(one, two)
    stack.freeze()
    assert table_of(http, cave, "tags")["pt_root_id"].to_pylist() == [one, two]
    assert table_of(http, cave, "tags", 2)["pt_root_id"].to_pylist() == [merged, merged]


def test_a_live_query_answers_for_any_time(cave, stack, http):
    one, two = stack.graph.new_body([A]), stack.graph.new_body([B])
    tags(stack, A, B)
    before = stack.freeze().time_stamp
    merged = stack.graph.merge(one, two)
    for time, roots in ((before, [one, two]), (cave.clock.tick(), [merged, merged])):
        answer = ask(http, cave, "query", {"table": "tags", "timestamp": time.isoformat()})
        assert rows(answer)["pt_root_id"].to_pylist() == roots
    naive = ask(http, cave, "query", {"table": "tags", "timestamp": "2026-01-05T08:10:00"})
    assert naive.status_code == 500
    assert "Not a valid aware datetime" in naive.json()["message"]


def test_a_posted_point_gets_the_supervoxel_at_its_place(cave, stack, http):
    root = stack.graph.new_body([A])
    table = stack.volume.new_table("tags", "bound_tag")
    stack.volume.places[1, 2, 3] = A
    for x in (1, 9):
        table.insert({"pt_position": [x, 2, 3], "tag": "t"})
    stack.freeze()
    assert table_of(http, cave, "tags")["pt_root_id"].to_pylist() == [root, 0]


# --- versions ---------------------------------------------------------------------------------------------------------


def test_versions_come_in_no_order_and_expired_ones_only_on_demand(cave, stack, http):
    for _ in range(6):
        stack.freeze()
    stack.versions[2].expire()
    lists = [ask(http, cave, "versions").json() for _ in range(5)]
    assert [sorted(found) for found in lists] == [[1, 3, 4, 5, 6]] * 5
    assert any(found != sorted(found) for found in lists)
    assert sorted(ask(http, cave, "versions", expired="true").json()) == [1, 2, 3, 4, 5, 6]
    record = ask(http, cave, "version/2").json()
    assert (record["valid"], record["status"]) == (False, "EXPIRED")


def test_times_have_a_fraction_or_not(cave, stack, http):
    stack.freeze(117, lifetime=dt.timedelta(days=30))
    record = ask(http, cave, "version/117").json()
    assert record["time_stamp"] == "2026-01-05T08:10:01.215114"
    assert record["expires_on"] == "2026-02-04T08:10:01"


def test_rows_may_be_frozen_just_as_they_are_given(cave, stack, http):
    given = pa.table({"id": [9, 3], "pt_root_id": [864691134988869443, None], "tag": ["a", None]})
    stack.freeze().add_table("tags", "bound_tag", given, voxel_resolution=(1.0, 1.0, 1.0))
    assert table_of(http, cave, "tags").select(given.column_names).to_pylist() == given.to_pylist()
    assert ask(http, cave, "version/1/table/tags/metadata").json()["voxel_resolution_x"] == 1.0


# --- limits and notices -----------------------------------------------------------------------------------------------


def test_the_server_s_limit_holds_whatever_is_asked(cave, stack, http):
    tags(stack, A, A, A)
    stack.freeze()
    cave.query_limit = 2
    for body in ({}, {"limit": 1000}):
        answer = ask(http, cave, "version/1/table/tags/query", body)
        assert rows(answer)["id"].to_pylist() == [1, 2]
        assert answer.headers["Warning"] == '201 - "Limited query to 2 rows'


def test_rows_that_fill_the_limit_exactly_look_limited_too(cave, stack, http):
    tags(stack, A, A)
    stack.freeze()
    cave.query_limit = 2
    assert "Limited" in ask(http, cave, "version/1/table/tags/query", {}).headers["Warning"]


def test_notices_share_a_header(cave, stack, http):
    tags(stack, A).metadata.notice_text = "cite us"
    stack.freeze()
    answer = ask(http, cave, "version/1/table/tags/query", {"limit": 1})
    assert answer.headers["Warning"] == 'Table Owner Notice on tags: cite us,201 - "Limited query to 1 rows'


# --- queries of more than a table -------------------------------------------------------------------------------------


def test_two_tables_are_joined_with_suffixes_where_names_are_shared(cave, stack, http):
    stack.graph.new_body([A])
    tags(stack, A, A)
    about = pa.table({"id": [10, 11], "target_id": [2, 1], "tag": ["x", "y"]})
    load_rows(stack, "more", "reference_tag", about, reference_table="tags")
    stack.freeze()
    body = {"tables": [["more", "target_id"], ["tags", "id"]], "suffix_map": {"more": "", "tags": "_target"}}
    answer = ask(http, cave, "version/1/query", body)
    found = rows(answer).sort_by("id").select(["id", "target_id", "tag", "id_target", "tag_target", "pt_position_x"])
    assert found.to_pylist() == [
        {"id": 10, "target_id": 2, "tag": "x", "id_target": 2, "tag_target": "tag 1", "pt_position_x": 20},
        {"id": 11, "target_id": 1, "tag": "y", "id_target": 1, "tag_target": "tag 0", "pt_position_x": 10},
    ]


def test_views_have_records_schemas_and_rows(cave, stack, http):
    version = stack.freeze()
    data = pa.table({"id": [1, 2], "pt_position_x": [1, 2], "pt_position_y": [3, 4], "pt_position_z": [5, 6]})
    version.views["somas"] = View(data, "one soma a cell")
    assert list(ask(http, cave, "version/1/views").json()) == ["somas"]
    assert ask(http, cave, "version/1/views/somas/metadata").json()["description"] == "one soma a cell"
    kinds = {"id": {"type": "integer"}, "pt_position": {"type": "SpatialPoint"}}
    assert ask(http, cave, "version/1/views/somas/schema").json() == kinds
    assert ask(http, cave, "version/1/views/schemas").json() == {"somas": kinds}
    body = {"filter_equal_dict": {"somas": {"id": 2}}}
    assert rows(ask(http, cave, "version/1/views/somas/query", body))["pt_position_z"].to_pylist() == [6]


def test_texts_of_a_table_are_listed(cave, stack, http):
    tags(stack, A, A)
    stack.freeze()
    assert ask(http, cave, "table/tags/unique_string_values").json() == {"tag": ["tag 0", "tag 1"]}


def test_texts_are_matched_by_regular_expressions(cave, stack, http):
    tags(stack, A, A, A)
    stack.freeze()
    assert table_of(http, cave, "tags", filter_regex_dict={"tags": {"tag": "[02]$"}})["id"].to_pylist() == [1, 3]


# --- data -------------------------------------------------------------------------------------------------------------


def test_real_synapses_come_back_as_they_are_in_the_file(cave, http):
    stack = sample_datastack(cave, "minnie", "minnie_volume")
    found = table_of(http, cave, "synapses")
    expected = real_rows()
    assert found.select(expected.column_names).equals(expected)
    assert set(found["pre_pt_root_id"].to_pylist()) <= set(stack.graph.roots)
    assert min(stack.graph.roots) > 2**53


def test_a_synthetic_table_has_gaps_heap_order_odd_codes_and_is_the_same_each_time(cave, http):
    stack = synthetic_datastack(cave, 5000, name="minnie")
    found = table_of(http, cave, "synapses")
    ids = found["id"].to_numpy()
    assert len(set(ids.tolist())) == 5000 < ids.max()
    assert (np.diff(ids) < 0).any()
    roots = found["pre_pt_root_id"]
    assert roots.null_count > 0
    assert 0 in roots.to_pylist()
    assert len(set(roots.to_pylist()) - {0, None}) > 40
    again = synthetic_datastack(CaveDouble(), 5000, name="minnie")
    assert again.versions[1].tables["synapses"].data.equals(stack.versions[1].tables["synapses"].data)


@pytest.mark.parametrize("schema", ["fly_synapse", "fly_nt_synapse", "nocleft_synapse", "nocenter_synapse"])
def test_synthetic_tables_come_in_every_schema_of_synapses(cave, http, schema):
    stack = synthetic_datastack(cave, 300, name="minnie", schema=schema)
    record = ask(http, cave, "version/1/table/synapses/metadata").json()
    assert record["schema_type"] == schema
    assert ("neuropils" in stack.volume.tables) == schema.startswith("fly")
    assert table_of(http, cave, "synapses").num_rows == 300


def test_bodies_have_nuclei_and_types(cave, http):
    synthetic_datastack(cave, 5000, name="minnie")
    nuclei = table_of(http, cave, "nuclei").to_pylist()
    roots = [row["pt_root_id"] for row in nuclei]
    assert len(roots) == len(set(roots)) + 1, "one body of 50 has two"
    types = table_of(http, cave, "cell_types_of_nuclei").to_pylist()
    assert {row["target_id"] for row in types} == {row["id"] for row in nuclei}
    text = json.dumps(nuclei[0]["pt_root_id"])
    assert int(text) == nuclei[0]["pt_root_id"] > 2**53
