"""That our client, `flyem_snapshot.cave`, reads and writes all of these services."""

from __future__ import annotations

import datetime as dt
import uuid

import numpy as np
import pyarrow as pa
import pytest

from flyem_snapshot.cave import FrameworkClient


@pytest.fixture
def client(services):
    with FrameworkClient(services.datastack, services.url, services.token, version=services.version) as client:
        yield client


def test_it_reads_the_record(client, services):
    assert client.info.get_datastack_info()["synapse_table"] == services.synapses
    assert services.datastack in client.info.get_datastacks()


def test_it_reads_versions_and_tables(client, services):
    record = client.materialize.get_version_metadata()
    assert record["version"] == services.version
    assert record["time_stamp"].tzinfo is not None
    assert services.version in client.materialize.get_versions()
    assert services.synapses in client.materialize.get_tables()
    count = client.materialize.get_annotation_count(services.synapses)
    assert count >= len(services.some)


def test_it_reads_rows_without_spoiling_ids(client, services):
    ids = services.some["id"].to_pylist()[:10]
    found = client.materialize.query_table(services.synapses, filter_in_dict={"id": ids}).sort_by("id")
    wanted = services.some.filter(pa.compute.is_in(services.some["id"], pa.array(ids))).sort_by("id")
    assert found.select(wanted.column_names).to_pylist() == wanted.to_pylist()


def test_it_excludes_rows_whatever_the_service_does(client, services):
    ids = services.some["id"].to_pylist()[:10]
    filters = {"filter_in_dict": {"id": ids}, "filter_out_dict": {"id": ids[:4]}}
    found = client.materialize.query_table(services.synapses, **filters)
    assert sorted(found["id"].to_pylist()) == sorted(ids[4:])


def test_it_reads_the_smallest_table_whole_by_windows(client):
    counts = {name: client.materialize.get_annotation_count(name) for name in client.materialize.get_tables()}
    table = min((name for name in counts if counts[name]), key=lambda name: counts[name])
    windows = list(client.materialize.id_windows(table, window=max(1, counts[table] // 3)))
    assert sum(len(window.table) for window in windows) == counts[table]


def test_roots_of_a_version_are_those_that_the_graph_had(client, services):
    rows = services.some.select(["pre_pt_supervoxel_id", "pre_pt_root_id"]).to_pylist()
    known = {row["pre_pt_supervoxel_id"]: row["pre_pt_root_id"] for row in rows if row["pre_pt_root_id"]}
    time = client.materialize.get_timestamp()
    found = client.chunkedgraph.get_roots(np.array(list(known), np.uint64), timestamp=time)
    assert found.tolist() == list(known.values())


def test_a_root_of_now_is_the_latest_one(client, services):
    supervoxel = next(number for number in services.some["pre_pt_supervoxel_id"].to_pylist() if number)
    root = client.chunkedgraph.get_root_id(supervoxel)
    assert client.chunkedgraph.is_latest_roots([root]).tolist() == [True]
    assert supervoxel in client.chunkedgraph.get_leaves(root).tolist()
    later = client.chunkedgraph.get_past_ids([root], timestamp_future=dt.datetime.now(dt.UTC))
    assert later["future_id_map"] == {root: [root]}


def test_it_reads_schemas_and_keeps_states(client):
    assert "synapse" in client.schema.schema()
    assert client.schema.schema_definition("synapse")["$ref"]
    state = {"layers": [{"name": "seg", "segments": ["864691134988869442"]}]}
    assert client.state.get_state_json(client.state.upload_state_json(state)) == state


def test_it_writes_annotations_and_changes_them(writable):
    with FrameworkClient(writable.datastack, writable.url, writable.token) as client:
        table = f"conformance_{uuid.uuid4().hex}"
        client.annotation.create_table(table, "bound_tag", "made by a test", voxel_resolution=[4, 4, 40])
        ids = client.annotation.post_annotation(
            table, [{"pt": {"position": [x, 2, 3]}, "tag": f"tag {x}"} for x in range(3)]
        )
        assert [row["tag"] for row in client.annotation.get_annotation(table, ids)] == ["tag 0", "tag 1", "tag 2"]
        client.annotation.update_annotation(table, {"id": ids[0], "pt": {"position": [9, 9, 9]}, "tag": "new"})
        assert client.annotation.delete_annotation(table, ids[1:]) == ids[1:]
        assert client.annotation.get_annotation_count(table) == 4
