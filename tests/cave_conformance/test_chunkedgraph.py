"""The chunkedgraph of a datastack (2.7)."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from tests.cave_conformance.serving import good


@pytest.fixture(scope="module")
def supervoxels(services):
    """Some supervoxels of synapses, uint64."""
    ids = services.some["pre_pt_supervoxel_id"].drop_null().to_numpy().astype(np.uint64)
    return np.unique(ids[ids > 1])[:20]


def binary(services, ids, **arguments):
    """Roots of supervoxels."""
    answer = services.ask("POST", f"{services.graph}/roots_binary", data=ids.astype("<u8").tobytes(), params=arguments)
    return np.frombuffer(good(answer).content, "<u8")


def post(services, path, ids, **arguments):
    body = {"root_ids" if "lineage" in path else "node_ids": [int(number) for number in ids]}
    return good(services.ask("POST", f"{services.graph}/{path}", json=body, params=arguments)).json()


def test_roots_in_binary_one_by_one_and_in_json_are_the_same(services, supervoxels):
    roots = binary(services, supervoxels)
    assert len(roots) == len(supervoxels)
    assert post(services, "roots", supervoxels)["root_ids"] == roots.tolist()
    one = services.get(f"{services.graph}/node/{supervoxels[0]}/root")
    assert one == {"root_id": int(roots[0])}


def test_the_layer_stands_in_the_top_byte(services, supervoxels):
    roots = binary(services, supervoxels)
    assert set((supervoxels >> np.uint64(56)).tolist()) == {1}
    assert len(set((roots >> np.uint64(56)).tolist())) == 1
    assert roots.min() > 2**53


def test_nothing_has_no_root(services, supervoxels):
    found = binary(services, np.array([0, supervoxels[0]], np.uint64))
    assert found[0] == 0
    assert found[1] != 0


def test_the_roots_of_a_frozen_table_are_those_of_its_time(services, supervoxels):
    record = services.get(f"{services.materialize}/version/{services.version}")
    time = dt.datetime.fromisoformat(record["time_stamp"]).replace(tzinfo=dt.UTC).timestamp()
    rows = services.some.select(["pre_pt_supervoxel_id", "pre_pt_root_id"]).to_pylist()
    known = {row["pre_pt_supervoxel_id"]: row["pre_pt_root_id"] for row in rows}
    found = binary(services, supervoxels, timestamp=repr(time))
    assert found.tolist() == [known[number] for number in supervoxels.tolist()]


def test_a_root_has_its_supervoxels_as_leaves(services, supervoxels):
    root = int(binary(services, supervoxels)[0])
    leaves = services.get(f"{services.graph}/node/{root}/leaves")["leaf_ids"]
    assert int(supervoxels[0]) in leaves
    assert post(services, "node/leaves_many", [root]) == {str(root): leaves}


def test_a_node_has_children_one_layer_down_or_more(services, supervoxels):
    root = int(binary(services, supervoxels)[0])
    children = services.get(f"{services.graph}/node/{root}/children")["children_ids"]
    assert children
    assert max(child >> 56 for child in children) < root >> 56


def test_ids_are_text_on_demand(services, supervoxels):
    root = int(binary(services, supervoxels)[0])
    found = services.get(f"{services.graph}/node/{supervoxels[0]}/root", params={"int64_as_str": "true"})
    assert found == {"root_id": str(root)}


def test_a_root_of_now_is_a_latest_one_since_some_time(services, supervoxels):
    root = int(binary(services, supervoxels)[0])
    assert post(services, "is_latest_roots", [root]) == {"is_latest": [True]}
    (since,) = post(services, "root_timestamps", [root])["timestamp"]
    oldest = dt.datetime.fromisoformat(services.get(f"{services.graph}/oldest_timestamp")["iso"])
    oldest = oldest if oldest.tzinfo else oldest.replace(tzinfo=dt.UTC)
    assert oldest.timestamp() <= since


def test_a_root_descends_from_itself_or_others(services, supervoxels):
    root = int(binary(services, supervoxels)[0])
    graph = post(services, "lineage_graph_multiple", [root])
    assert {"nodes", "links", "directed", "multigraph", "graph"} <= set(graph)
    nodes = {node["id"] for node in graph["nodes"]}
    assert root in nodes
    assert all({link["source"], link["target"]} <= nodes for link in graph["links"])


def test_past_ids_are_asked_for_by_a_get_with_a_body(services, supervoxels):
    root = int(binary(services, supervoxels)[0])
    oldest = dt.datetime.fromisoformat(services.get(f"{services.graph}/oldest_timestamp")["iso"])
    oldest = oldest if oldest.tzinfo else oldest.replace(tzinfo=dt.UTC)
    found = services.get(
        f"{services.graph}/past_id_mapping",
        json={"root_ids": [root]},
        params={"timestamp_past": repr(oldest.timestamp() + 1)},
    )
    assert list(found["past_id_map"]) == [str(root)]


def test_the_log_of_changes_counts_them(services, supervoxels):
    root = int(binary(services, supervoxels)[0])
    log = services.get(f"{services.graph}/root/{root}/change_log", params={"filtered": "true"})
    assert {"n_mergers", "n_splits", "operations_ids", "past_ids", "user_info"} <= set(log)
    assert len(log["operations_ids"]) == log["n_mergers"] + log["n_splits"]


def test_the_segmentation_describes_itself(services):
    table = services.graph.rpartition("/")[2]
    info = services.get(f"{services.local}/segmentation/table/{table}/info")
    assert info["data_type"] == "uint64"
    assert info["graph"]["chunk_size"]
    assert [len(scale["resolution"]) for scale in info["scales"]] == [3] * len(info["scales"])
