"""What a DVID server promises about versions, errors and locks."""

from __future__ import annotations

import pytest


def info(server, expression):
    return server.get(f"repo/{expression}/info").json()


def test_nodes_name_their_parents_and_children_by_version(server, root):
    server.commit(root)
    child, side = server.child(root), server.branch(root, "side")
    document = info(server, child)
    nodes = document["DAG"]["Nodes"]
    versions = {uuid: nodes[uuid]["VersionID"] for uuid in (root, child, side)}
    assert document["Root"] == document["DAG"]["Root"] == root
    assert set(nodes) == {root, child, side}
    assert set(nodes[root]["Children"]) == {versions[child], versions[side]}
    assert nodes[child]["Parents"] == nodes[side]["Parents"] == [versions[root]]
    assert not nodes[child]["Children"]
    assert [nodes[uuid]["Branch"] for uuid in (root, child, side)] == ["", "", "side"]
    assert [nodes[uuid]["Locked"] for uuid in (root, child, side)] == [True, False, False]
    assert versions[root] < versions[child] < versions[side]


def test_branches_and_steps_back_are_resolved(server, root):
    server.commit(root)
    child = server.commit(server.child(root))
    leaf = server.child(child)
    assert server.get(f"repo/{root}/branch-versions/master").json() == [leaf, child, root]
    assert server.get(f"repo/{root}/branch-versions/nowhere").json() == []
    server.new_instance(leaf, "keyvalue", "kv")
    server.post(f"node/{leaf}/kv/key/where", data=b"leaf")
    assert server.get(f"node/{root[:12]}:master/kv/key/where").content == b"leaf"
    assert server.get(f"node/{root[:12]}:master~0/kv/key/where").content == b"leaf"
    assert server.ask("GET", f"node/{root[:12]}:master~1/kv/key/where").status_code == 404
    assert server.ask("GET", f"node/{root[:12]}:master~3/kv/key/where").status_code == 400


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("repo/zzzz/info", 400, "could not find UUID with partial match to"),
        ("repo/{root}:nowhere/info", 400, "not found in repo"),
        ("repo/{root}:a:b/info", 400, ""),
        ("node/{root}/nothing/info", 400, "invalid data instance name"),
        ("nothing", 404, ""),
    ],
)
def test_what_does_not_exist_is_said_in_plain_text(server, root, path, status, words):
    answer = server.ask("GET", path.format(root=root))
    assert answer.status_code == status
    assert words in answer.text
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_a_locked_node_takes_no_data_but_answers(server, root):
    path = server.new_instance(root, "keyvalue", "kv")
    server.post(f"{path}/key/a", data=b"1")
    assert server.get(f"node/{root}/commit").json() == {"Locked": False}
    server.commit(root)
    assert server.get(f"node/{root}/commit").json() == {"Locked": True}
    answer = server.ask("POST", f"{path}/key/a", data=b"2")
    assert answer.status_code == 400
    assert "locked node" in answer.text
    assert server.get(f"{path}/key/a").content == b"1"


def test_a_child_sees_the_data_of_its_parent_until_it_has_its_own(server, root):
    path = server.new_instance(root, "keyvalue", "kv")
    server.post(f"{path}/key/a", data=b"1")
    child = server.child(server.commit(root))
    assert server.get(f"node/{child}/kv/key/a").content == b"1"
    server.post(f"node/{child}/kv/key/a", data=b"2")
    assert [server.get(f"node/{uuid}/kv/key/a").content for uuid in (root, child)] == [b"1", b"2"]


def test_an_instance_tells_its_type_and_identity(server, root):
    path = server.new_instance(root, "roi", "FB(R)", BlockSize="16,16,16")
    base = server.get(f"{path}/info").json()["Base"]
    assert (base["TypeName"], base["Name"], len(base["DataUUID"])) == ("roi", "FB(R)", 32)
    assert info(server, root)["DataInstances"]["FB(R)"]["Base"]["DataUUID"] == base["DataUUID"]


def test_the_server_describes_itself_in_strings(server):
    described = server.get("server/info").json()
    assert "DVID Version" in described
    assert all(isinstance(value, str) for value in described.values())
