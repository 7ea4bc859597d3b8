"""The double's chunkedgraph: edits, and what is known of roots at any time."""

from __future__ import annotations

import json

import numpy as np
import pytest
import requests

from tests.cave_double import CaveDouble

A, B, C, D = ((1 << 56) + n for n in (11, 12, 13, 14))
FAR = (1 << 56) + (5 << 32) + 15


@pytest.fixture
def cave():
    with CaveDouble() as cave:
        yield cave


@pytest.fixture
def graph(cave):
    return cave.new_datastack("minnie", graph="seg").graph


@pytest.fixture
def http(cave):
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {cave.token}"
        yield session


@pytest.fixture
def ask(cave, graph, http):
    """Ask the graph; a body makes no POST of a GET."""

    def asked(path, body=None, method="GET", **arguments):
        url = f"{cave.url}/segmentation/api/v1/table/seg/{path}"
        return http.request(method, url, json=body, params=arguments, timeout=5)

    return asked


@pytest.fixture
def edited(graph):
    """Bodies (A, B) and (C,) merged, then (A, C) split off; gives back all roots and the times between edits."""
    one, two = graph.new_body([A, B]), graph.new_body([C])
    before = graph.clock.tick()
    merged = graph.merge(one, two, user="ann@example.org")
    between = graph.clock.tick()
    rest, part = graph.split(merged, [A, C], user="bob@example.org")
    return {"roots": (one, two, merged, rest, part), "before": before.timestamp(), "between": between.timestamp()}


def roots(ask, ids, **arguments):
    return ask("roots", {"node_ids": ids}, "POST", **arguments).json()["root_ids"]


def test_each_time_has_its_roots(ask, edited):
    one, two, merged, rest, part = edited["roots"]
    assert roots(ask, [A, B, C], timestamp=edited["before"]) == [one, one, two]
    assert roots(ask, [A, B, C], timestamp=edited["between"]) == [merged] * 3
    assert roots(ask, [A, B, C]) == [part, rest, part]
    assert roots(ask, [A], timestamp=0) == [one], "before the oldest time it is as at that"


def test_an_edit_counts_from_its_very_time(ask, graph, edited):
    merge, split = graph.operations.values()
    assert roots(ask, [A], timestamp=repr(merge.time.timestamp())) == [edited["roots"][2]]
    assert roots(ask, [A], timestamp=repr(split.time.timestamp() - 1e-5)) == [edited["roots"][2]]


def test_a_root_is_a_node_too(ask, edited):
    one, two, merged, *_ = edited["roots"]
    assert roots(ask, [one, two, 0, D], timestamp=edited["between"]) == [merged, merged, 0, 0]


def test_an_unknown_supervoxel_alone_is_refused_with_a_real_status(ask):
    answer = ask(f"node/{D}/root")
    assert answer.status_code == 400
    assert {"code", "message", "timestamp", "duration"} <= set(answer.json())


def test_leaves_are_those_of_the_root_whenever_it_lived(ask, edited):
    one, two, merged, rest, part = edited["roots"]
    leaves = ask("node/leaves_many", {"node_ids": [one, two, merged, rest, part]}, "POST").json()
    assert [leaves[str(root)] for root in edited["roots"]] == [[A, B], [C], [A, B, C], [B], [A, C]]
    assert ask(f"node/{part}/leaves").json() == {"leaf_ids": [A, C]}
    assert ask(f"node/{part}/leaves", bounds="0-10_0-10_0-10").status_code == 200
    assert ask(f"node/{part}/leaves", bounds="0-10_0-10").status_code == 400


def test_layer_2_lies_between(ask, graph):
    root = graph.new_body([A, B, FAR])
    nodes = ask(f"node/{root}/children").json()["children_ids"]
    assert [node >> 56 for node in nodes] == [2, 2]
    assert [ask(f"node/{node}/children").json()["children_ids"] for node in nodes] == [[A, B], [FAR]]
    assert ask(f"node/{root}/leaves", stop_layer=2).json()["leaf_ids"] == nodes
    assert ask(f"node/{FAR}/root", stop_layer=2).json() == {"root_id": nodes[1]}
    assert ask(f"node/{root}/lvl2_graph").json() == {"edge_graph": [nodes]}


def test_binary_roots_stop_where_they_are_told(cave, graph, http):
    root = graph.new_body([A, FAR])
    url = f"{cave.url}/segmentation/api/v1/table/seg/roots_binary"
    body = np.array([FAR, A, D], "<u8").tobytes()

    def found(**arguments):
        return np.frombuffer(http.post(url, data=body, params=arguments).content, "<u8").tolist()

    first, second = graph.level2(root)
    assert found() == [root, root, 0]
    assert found(stop_layer="2") == [second, first, 0]
    assert http.post(url, data=b"123").status_code == 400


def test_latest_roots_are_so_at_a_time(ask, edited):
    def latest(**arguments):
        body = {"node_ids": list(edited["roots"])}
        return ask("is_latest_roots", body, "POST", **arguments).json()["is_latest"]

    assert latest() == [False, False, False, True, True]
    assert latest(timestamp=edited["between"]) == [False, False, True, False, False]
    assert latest(timestamp=edited["before"]) == [True, True, False, False, False]


def test_roots_have_been_there_since_their_edit(ask, graph, edited):
    times = ask("root_timestamps", {"node_ids": list(edited["roots"])}, "POST").json()["timestamp"]
    merge, split = (operation.time.timestamp() for operation in graph.operations.values())
    oldest = graph.times[0].timestamp()
    assert times == [oldest, oldest, merge, split, split]
    assert ask("root_timestamps", {"node_ids": [1]}, "POST").status_code == 400


def test_past_and_future_ids_share_supervoxels(ask, edited):
    one, two, merged, rest, part = edited["roots"]
    body = {"root_ids": [merged, part]}
    found = ask("past_id_mapping", body, timestamp_past=edited["before"], timestamp_future=edited["between"]).json()
    assert found["past_id_map"] == {str(merged): [one, two], str(part): [one, two]}
    assert found["future_id_map"] == {str(merged): [merged], str(part): [merged]}
    now = ask("past_id_mapping", {"root_ids": [one]}, timestamp_future=2e9).json()
    assert now == {"past_id_map": {}, "future_id_map": {str(one): [rest, part]}}


def test_lineage_is_the_edits_before_and_after(ask, edited):
    one, two, merged, rest, part = edited["roots"]

    def lineage(root, **arguments):
        graph = ask("lineage_graph_multiple", {"root_ids": [root]}, "POST", **arguments).json()
        return {node["id"] for node in graph["nodes"]}, {(link["source"], link["target"]) for link in graph["links"]}

    links = {(one, merged), (two, merged), (merged, rest), (merged, part)}
    assert lineage(merged) == ({one, two, merged, rest, part}, links)
    assert lineage(merged, timestamp_past=edited["between"]) == ({merged, rest, part}, {(merged, rest), (merged, part)})
    assert lineage(merged, timestamp_future=edited["between"])[0] == {one, two, merged}
    assert lineage(part)[0] == {one, two, merged, part}
    assert ask(f"root/{merged}/lineage_graph").json()["directed"] is True


def test_changed_roots_between_two_times(ask, edited):
    one, two, _, rest, part = edited["roots"]
    found = ask("delta_roots", timestamp_past=edited["before"], timestamp_future=2e9).json()
    assert found == {"old_roots": [one, two], "new_roots": [rest, part]}


def test_changes_are_logged_with_their_users(ask, edited):
    one, two, merged, _, part = edited["roots"]
    log = ask(f"root/{part}/change_log").json()
    assert (log["n_mergers"], log["n_splits"], log["operations_ids"]) == (1, 1, [1, 2])
    assert log["past_ids"] == sorted([one, two, merged])
    assert log["user_info"] == {
        "ann@example.org": {"n_mergers": 1, "n_splits": 0},
        "bob@example.org": {"n_mergers": 0, "n_splits": 1},
    }
    table = json.loads(ask("tabular_change_log_many", {"root_ids": [part]}).json()[str(part)])
    assert table["is_merge"] == {"0": True, "1": False}
    assert table["before_root_ids"]["1"] == [merged]
    assert ask(f"root/{part}/merge_log").json()["merge_edges"] == [[A, C]]
    details = ask("operation_details", operation_ids="[2, 99]").json()
    assert list(details) == ["2"]
    assert details["2"]["user"] == "bob@example.org"


def test_valid_nodes_and_text_for_numbers(ask, edited):
    one, *_, rest, _ = edited["roots"]
    assert ask("valid_nodes", {"node_ids": [one, rest]}).json() == {"valid_roots": [rest]}
    assert ask(f"node/{rest}/leaves", int64_as_str="true").json() == {"leaf_ids": [str(B)]}


def test_nobody_edits_over_http(ask):
    assert ask("merge", [[1, 2]], "POST").status_code == 403


def test_roots_that_are_loaded_are_kept_and_new_ones_come_after_them(graph):
    fly = [720575940379283216, 720575940379283217]
    graph.load(np.array([A, B, C]), np.array([fly[0], fly[1], fly[1]]))
    assert graph.merge(*fly) == fly[1] + 1
    assert graph.roots_at(np.array([A, B, C], np.uint64), graph.times[0]).tolist() == [fly[0], fly[1], fly[1]]
