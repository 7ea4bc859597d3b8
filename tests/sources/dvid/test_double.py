"""The double of a DVID server: its graph, its transport, its faults, and how it tells what it was asked."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import numpy as np
import pytest
import requests

from tests.dvid_double import DvidDouble, Refusal

CUBE = np.arange(1, 9, dtype=np.uint64).repeat(8 * 64 * 64).reshape(64, 64, 64)
"""Supervoxels 1 to 8, each eight layers in z."""


ADMIN = "only-for-writes"


@pytest.fixture
def dvid():
    with DvidDouble(admin_token=ADMIN) as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("mushroom")


@pytest.fixture
def http():
    with requests.Session() as session:
        yield session


def info(http, dvid, expression):
    return http.get(f"{dvid.url}/api/repo/{expression}/info")


def five_nodes(repo):
    """root - a - b (merge of a and c) with c on a branch, b open; gives back the uuids."""
    root = repo.commit(repo.root)
    a, c = repo.commit(repo.child(root)), repo.commit(repo.child(root, "side"))
    return root, a, c, repo.merge(c, a)


# --- graph ------------------------------------------------------------------------------------------------------------


def test_the_graph_names_parents_and_children_by_version(dvid, repo, http):
    root, a, c, b = five_nodes(repo)
    document = info(http, dvid, root).json()
    nodes = document["DAG"]["Nodes"]
    assert document["Root"] == document["DAG"]["Root"] == root
    assert {uuid: node["VersionID"] for uuid, node in nodes.items()} == {root: 1, a: 2, c: 3, b: 4}
    assert {uuid: node["Parents"] for uuid, node in nodes.items()} == {root: [], a: [1], c: [1], b: [3, 2]}
    assert {uuid: node["Children"] for uuid, node in nodes.items()} == {root: [2, 3], a: [4], c: [4], b: None}
    assert {uuid: node["Branch"] for uuid, node in nodes.items()} == {root: "", a: "", c: "side", b: ""}
    assert {uuid: node["Locked"] for uuid, node in nodes.items()} == {root: True, a: True, c: True, b: False}
    assert nodes[root]["Created"] == "2024-02-01T12:00:00.000000123Z"
    assert nodes[root]["Updated"] == "2024-02-01T07:04:00.00000045-05:00"


def test_uuids_depend_on_alias_and_order_only(dvid):
    with DvidDouble() as other:
        assert other.new_repo("x").root == dvid.new_repo("x").root


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{a}", "a"),
        ("{a:.9}", "a"),
        (":master", "b"),
        (":", "b"),
        (":side", "c"),
        ("{c:.9}:master", "b"),
        (":master~0", "b"),
        (":master~1", "c"),  # a merge: the parents that are not the last one are listed, the last one is followed
        (":master~2", "a"),
        (":master~3", "root"),
        (":side~1", "root"),
    ],
)
def test_an_expression_names_a_node(dvid, repo, http, expression, expected):
    uuids = dict(zip(("root", "a", "c", "b"), five_nodes(repo), strict=True))
    repo.keyvalue("which")
    for name in ("root", "a", "c", "b"):
        repo.instances["which"].values.put(repo.node(uuids[name]), {"node": name.encode()})
    answer = http.get(f"{dvid.url}/api/node/{expression.format(**uuids)}/which/key/node")
    assert answer.text == expected


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("zzz", "could not find UUID with partial match to zzz"),
        (":nowhere", 'branch "nowhere" not found in repo'),
        (":master~4", "number of versions"),
        (":master~-1", "number of versions"),
        (":a:b", "more than one"),
    ],
)
def test_an_expression_that_names_no_node_is_a_400(dvid, repo, http, expression, words):
    five_nodes(repo)
    repo.keyvalue("kv")
    answer = http.get(f"{dvid.url}/api/node/{expression}/kv/keys")
    assert answer.status_code == 400
    assert words in answer.text


def test_a_prefix_of_two_nodes_is_a_400_and_a_whole_uuid_is_not(dvid, repo, http):
    repo.commit(repo.root)
    for uuid in ("abc1", "abc1234"):
        repo.child(repo.root, "b" + uuid, new_uuid=uuid)
    assert "more than one UUID matches abc" in info(http, dvid, "abc").text
    assert info(http, dvid, "abc1").status_code == 200


def test_with_two_repositories_a_branch_needs_a_prefix(dvid, repo, http):
    other = dvid.new_repo("other")
    assert info(http, dvid, ":master").status_code == 400
    assert info(http, dvid, f"{other.root[:8]}:master").json()["Root"] == other.root
    assert set(http.get(f"{dvid.url}/api/repos/info").json()) == {repo.root, other.root}


def test_versions_of_a_branch_are_listed_from_the_leaf(dvid, repo, http):
    root, a, c, b = five_nodes(repo)
    url = f"{dvid.url}/api/repo/{root}/branch-versions"
    assert http.get(f"{url}/master").json() == [b, c, a, root]
    assert http.get(f"{url}/side").json() == [c, root]
    assert http.get(f"{url}/nowhere").json() == []


def test_old_servers_know_neither_steps_back_nor_versions_of_a_branch(dvid, repo, http):
    dvid.abilities.steps_back = dvid.abilities.branch_versions = False
    assert info(http, dvid, ":master~0").status_code == 400
    assert http.get(f"{dvid.url}/api/repo/{repo.root}/branch-versions/master").status_code == 400


def test_a_note_on_a_locked_node_moves_its_update(dvid, repo, http):
    repo.commit(repo.root)
    before = info(http, dvid, repo.root).json()["DAG"]["Nodes"][repo.root]
    repo.touch(repo.root, "seen")
    after = info(http, dvid, repo.root).json()["DAG"]["Nodes"][repo.root]
    assert after["Updated"] > before["Updated"]
    assert (after["Note"], after["Log"]) == ("seen", ["2024-02-01T12:02:00Z  seen"])


def test_data_is_inherited_from_the_last_parent_and_changes_stay_below(dvid, repo, http):
    store = repo.keyvalue("kv")
    store.set(repo.root, "k", b"root")
    repo.commit(repo.root)
    left, right = repo.child(repo.root, "left"), repo.child(repo.root)
    store.set(left, "k", b"left")
    repo.commit(left), repo.commit(right)
    merged = repo.merge(right, left)
    assert [store.get(u, "k") for u in (repo.root, left, right, merged)] == [b"root", b"left", b"root", b"left"]


def test_a_locked_node_is_written_to_with_the_admin_token_only(dvid, repo, http):
    repo.keyvalue("kv")
    repo.commit(repo.root)
    url = f"{dvid.url}/api/node/{repo.root}/kv/key/a"
    refused = http.post(url, data=b"1")
    assert (refused.status_code, refused.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert refused.text == (
        f'Cannot do POST on endpoint "key" of locked node {repo.root} (/api/node/{repo.root}/kv/key/a).\n'
    )
    assert http.post(url, data=b"1", params={"admintoken": "wrong"}).status_code == 400
    assert http.post(url, data=b"1", params={"admintoken": ADMIN}).status_code == 200
    assert http.get(url).content == b"1"
    with pytest.raises(ValueError, match="locked"):
        repo.instances["kv"].set(repo.root, "b", b"2")
    with pytest.raises(Refusal):
        repo.child(repo.child(repo.root))


def test_an_unknown_instance_is_a_400_and_an_unknown_address_a_404(dvid, repo, http):
    repo.keyvalue("kv")
    answer = http.get(f"{dvid.url}/api/node/{repo.root}/nothing/keys")
    assert (answer.status_code, "invalid data instance name" in answer.text) == (400, True)
    assert http.get(f"{dvid.url}/api/node/{repo.root}/kv/nothing").status_code == 400
    assert http.get(f"{dvid.url}/nothing").status_code == 404
    assert http.head(f"{dvid.url}/api/repo/{repo.root}").status_code == 200


def test_a_name_with_a_slash_cannot_be_asked_for(dvid, repo, http):
    repo.keyvalue("FB(R) 1").set(repo.root, {"a b": b"1", "c/d": b"2"})
    url = f"{dvid.url}/api/node/{repo.root}/FB%28R%29%201/key"
    assert http.get(f"{url}/a%20b").content == b"1"
    assert http.get(f"{url}/c%2Fd").status_code == 404


def test_the_server_describes_itself_in_strings(dvid, http):
    described = http.get(f"{dvid.url}/api/server/info").json()
    assert described["DVID Version"] == "v1.0.0-254-g3400c2cb"
    assert all(isinstance(value, str) for value in described.values())


# --- who may read -----------------------------------------------------------------------------------------------------


def test_with_dsg_a_reader_needs_a_token_except_for_public_versions(dvid, repo, http):
    repo.keyvalue("kv").set(repo.root, "a", b"1")
    child = repo.child(repo.commit(repo.root))
    dvid.access.mode, dvid.access.tokens, dvid.access.strangers = "dsg", {"good"}, {"stranger"}
    dvid.access.public = {repo.root}

    def status(uuid, token=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return http.get(f"{dvid.url}/api/node/{uuid}/kv/key/a", headers=headers).status_code

    assert [status(child), status(child, "bad"), status(child, "stranger"), status(child, "good")] == [
        401,
        401,
        403,
        200,
    ]
    assert status(repo.root) == 200
    assert list(info(http, dvid, repo.root).json()["DAG"]["Nodes"]) == [repo.root], "the others are left out"
    assert info(http, dvid, repo.root).json()["DAG"]["Nodes"][repo.root]["Children"] == []
    assert http.get(f"{dvid.url}/api/node/{child}/kv/key/a", headers={"Cookie": "dsg_token=good"}).status_code == 200
    dvid.access.service_down = True
    assert status(child, "good") == 502


def test_with_jwt_a_missing_token_is_a_400(dvid, repo, http):
    dvid.access.mode, dvid.access.tokens = "jwt", {"good"}
    assert info(http, dvid, repo.root).status_code == 400
    assert "JWT required" in info(http, dvid, repo.root).text
    assert http.get(f"{dvid.url}/api/server/token").text == "good"


def test_a_blocked_user_gets_a_429(dvid, repo, http):
    dvid.access.blocked = {"greedy"}
    assert http.get(f"{dvid.url}/api/repo/{repo.root}/info", params={"u": "greedy"}).status_code == 429


# --- transport and log of requests ------------------------------------------------------------------------------------


def test_requests_are_written_down_and_connections_are_kept(dvid, repo, http):
    repo.labelmap("seg", CUBE)
    url = f"{dvid.url}/api/node/{repo.root}/seg"
    assert http.get(f"{url}/labels", params={"u": "me", "app": "x"}, json=[[1, 2, 3]]).json() == [1]
    assert http.get(f"{url}/blocks/64_64_64/0_0_0").status_code == 200, "a long answer, in chunks"
    assert http.get(f"{url}/size/77").status_code == 404
    first = dvid.requests[0]
    assert (first.method, first.path, first.args) == (
        "GET",
        f"/api/node/{repo.root}/seg/labels",
        {"u": "me", "app": "x"},
    )
    assert (first.body, first.body_size, first.status) == (b"[[1, 2, 3]]", 11, 200)
    assert first.started <= first.ended
    assert {request.connection for request in dvid.requests} == {first.connection}
    assert [request.status for request in dvid.asked("size")] == [404]


def test_a_body_in_chunks_is_read(dvid, repo, http):
    repo.keyvalue("kv")
    http.post(f"{dvid.url}/api/node/{repo.root}/kv/key/a", data=iter([b"one ", b"two"]))
    assert repo.instances["kv"].get(repo.root, "a") == b"one two"


@pytest.mark.parametrize("endpoint", ["labels", "mapping", "sizes"])
def test_calls_that_ask_with_a_body_are_get_only_and_check_its_hash(dvid, repo, http, endpoint):
    repo.labelmap("seg", CUBE)
    url = f"{dvid.url}/api/node/{repo.root}/seg/{endpoint}"
    body = b"[[0,0,0]]" if endpoint == "labels" else b"[1]"
    right = hashlib.md5(body, usedforsecurity=False).hexdigest()
    assert http.post(url, data=body).status_code == 400
    assert http.get(url, data=body, params={"hash": right}).status_code == 200
    assert http.get(url, data=body, params={"hash": "0" * 32}).status_code == 400
    dvid.faults.drop_get_bodies(endpoint)
    assert http.get(url, data=body, params={"hash": right}).status_code == 400, "the proxy took the body away"


def test_overlapping_reads_of_one_log_are_found_and_spoilt(dvid, repo):
    seg = repo.labelmap("seg", CUBE)
    for label in range(2, 8):
        seg.merge(repo.root, 1, [label])
    dvid.log_pause = 0.2
    url = f"{dvid.url}/api/node/{repo.root}/seg/mutations"
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(requests.get(url, timeout=9))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(dvid.overlapping("mutations")) == 1
    assert dvid.most_at_once("mutations") == 2
    for answer in answers:
        with pytest.raises(ValueError, match="Extra data|Expecting"):
            json.loads(answer.content)
    assert len(requests.get(url, timeout=9).json()) == 6
    assert len(dvid.overlapping("mutations")) == 1, "one after the other is all right"


# --- hooks ------------------------------------------------------------------------------------------------------------


def test_a_hook_runs_after_the_kth_request_before_the_client_goes_on(dvid, repo, http):
    seg = repo.labelmap("seg", CUBE)
    dvid.after(2, lambda: seg.merge(repo.root, 1, [2]), "/size/1$")
    url = f"{dvid.url}/api/node/{repo.root}/seg/size"
    sizes = [http.get(f"{url}/{label}").json()["voxels"] for label in (1, 3, 1, 1, 1)]
    assert sizes == [32768, 32768, 32768, 65536, 65536]


def test_a_hook_may_come_before_a_request(dvid, repo, http):
    seg = repo.labelmap("seg", CUBE)
    dvid.before(1, lambda: seg.merge(repo.root, 1, [2]))
    assert http.get(f"{dvid.url}/api/node/{repo.root}/seg/size/1").json() == {"voxels": 65536}


def test_an_edit_in_the_middle_of_the_map_is_half_seen(dvid, repo, http):
    seg = repo.labelmap("seg", CUBE)
    seg.merge(repo.root, 1, range(2, 9))
    early, late = min(range(2, 9), key=seg.shard_of), max(range(2, 9), key=seg.shard_of)
    dvid.midway(1, seg.shard_of(late), lambda: seg.cleave(repo.root, 1, [early, late]), "mappings")
    url = f"{dvid.url}/api/node/{repo.root}/seg/mappings?format=binary"
    entries = dict(np.frombuffer(http.get(url).content, "<u8").reshape(-1, 2).tolist())
    assert seg.shard_of(early) < seg.shard_of(late)
    assert (entries[early], entries[late]) == (1, 9)


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def big(dvid, repo):
    """The address of a value of 100 kB."""
    repo.keyvalue("kv").set(repo.root, "big", b'["' + b"x" * 99_996 + b'"]')
    return f"{dvid.url}/api/node/{repo.root}/kv/key/big"


def test_a_status_may_be_sent_some_times_at_some_paths(dvid, big, http):
    fault = dvid.faults.status(503, "key/big", times=2, skip=1, retry_after=0)
    assert [http.get(big).status_code for _ in range(4)] == [200, 503, 503, 200]
    assert fault.hits == 2
    dvid.faults.status(429, "elsewhere")
    assert http.get(big).status_code == 200


def test_a_panic_is_a_500_with_its_text(dvid, big, http):
    dvid.faults.panic()
    answer = http.get(big)
    assert (answer.status_code, answer.text[:14]) == (500, "Panic detected")


@pytest.mark.parametrize("after", [None, 0, 5000])
def test_a_connection_that_is_cut_breaks_the_chunked_body(dvid, big, http, after):
    dvid.faults.cut("big", after=after)
    got = []
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        got.extend(http.get(big, stream=True).iter_content(1000))
    assert sum(map(len, got)) <= (50_000 if after is None else after)
    assert len(http.get(big).content) == 100_000


def test_an_error_text_may_be_appended_to_a_good_answer(dvid, big, http):
    dvid.faults.appended(text="leveldb: corrupted", after=10)
    answer = http.get(big)
    assert (answer.status_code, answer.content) == (200, b'["xxxxxxxxleveldb: corrupted')


def test_an_answer_may_end_too_early_with_its_framing_in_order(dvid, big, http):
    dvid.faults.truncated()
    assert len(http.get(big).content) == 50_000


def test_a_slow_answer_outlasts_the_clients_patience(dvid, big, http):
    dvid.faults.stall("big", after=10)
    with pytest.raises(requests.exceptions.ConnectionError):
        assert http.get(big, timeout=0.1).content
    dvid.faults.stall("big")
    with pytest.raises(requests.exceptions.ReadTimeout):
        http.get(big, timeout=0.1)


def test_answers_may_be_replaced_changed_and_redirected(dvid, big, http):
    dvid.faults.replaced(b"<html>")
    assert http.get(big).content == b"<html>"
    dvid.faults.changed(lambda body: body[::-1])
    assert http.get(big).content[:2] == b']"'
    dvid.faults.redirect("http://elsewhere.invalid/")
    answer = http.get(big, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "http://elsewhere.invalid/")
    dvid.faults.reset()
    with pytest.raises(requests.exceptions.ConnectionError):
        http.get(big)


def test_a_restart_comes_back_on_the_same_port_with_the_same_data(dvid, big, http):
    url = dvid.url
    assert http.get(big).status_code == 200
    dvid.after(1, lambda: dvid.restart(0.1))
    http.get(big)
    time.sleep(0.05)
    with pytest.raises(requests.exceptions.ConnectionError):
        http.get(big)
    dvid.wait_until_back()
    assert dvid.url == url
    assert len(http.get(big).content) == 100_000


def test_a_mistake_of_the_double_is_not_hidden(http):
    dvid = DvidDouble()
    dvid.new_repo().keyvalue("kv").get_keys = None
    dvid.listen()
    assert http.get(f"{dvid.url}/api/node/:master/kv/keys").status_code == 500
    with pytest.raises(RuntimeError, match="the double itself failed"):
        dvid.__exit__(None, None, None)


def test_the_clock_can_be_set(dvid, repo, http):
    dvid.clock.set(datetime(2025, 3, 4, 5, 6, 7, 890, tzinfo=UTC))
    repo.commit(repo.root, "done")
    node = info(http, dvid, repo.root).json()["DAG"]["Nodes"][repo.root]
    assert (node["Updated"], node["Note"]) == ("2025-03-04T00:06:07.00089045-05:00", "done")


def test_a_large_synthetic_server_runs_from_the_command_line(root, http):
    command = [sys.executable, "-m", "tests.dvid_double", "--points", "20000"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        url = f"{process.stdout.readline().split()[0]}/api/node/:master/segmentation"
        points = [[x, 70, 700] for x in (10**9, 0, 63, 64, 300, 10**6)]
        supervoxels = http.get(f"{url}/labels?supervoxels=true", json=points).json()
        bodies = http.get(f"{url}/mapping", json=supervoxels).json()
        entries = np.frombuffer(http.get(f"{url}/mappings?format=binary").content, "<u8").reshape(-1, 2)
        elements = http.get(url.replace("segmentation", "points/all-elements")).json()
        process.terminate()
    mapped = dict(entries.tolist())
    assert supervoxels[0] == supervoxels[5] == bodies[0] == 0
    assert supervoxels[1] == supervoxels[2] != supervoxels[3]
    assert bodies[1:5] == [mapped[sv] for sv in supervoxels[1:5]]
    assert bodies[1] == bodies[3] != bodies[4]
    assert sum(map(len, elements.values())) == 20000
