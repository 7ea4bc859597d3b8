"""What a DVID server promises about annotations, keys and values, and regions."""

from __future__ import annotations

import io
import json
import tarfile

import pytest


def varint(value):
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number, data):
    return bytes([number << 3 | 2]) + varint(len(data)) + data


def pairs_message(pairs):
    return b"".join(field(1, field(1, key.encode()) + field(2, value)) for key, value in pairs.items())


@pytest.fixture
def store(server, root):
    path = server.new_instance(root, "keyvalue", "kv")
    server.post(f"{path}/keyvalues", data=pairs_message({"a": b"\x00\xff", "b c": b'{"x":1}', "d": b'{"y":2}'}))
    return path


def test_keys_and_ranges_are_in_byte_order(server, store):
    server.post(f"{store}/key/B", data=b"4")
    assert server.get(f"{store}/keys").json() == ["B", "a", "b c", "d"]
    assert server.get(f"{store}/keyrange/a/b%20c").json() == ["a", "b c"]
    assert server.get(f"{store}/key/a").content == b"\x00\xff"
    assert server.ask("GET", f"{store}/key/z").status_code == 404
    assert [server.ask("HEAD", f"{store}/key/{key}").status_code for key in ("a", "z")] == [200, 404]


def test_many_values_come_as_tar_json_and_protobuf_with_missing_ones_empty(server, store):
    tar = server.get(f"{store}/keyvalues?jsontar=true", json=["d", "none", "b c"]).content
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        members = [(member.name, archive.extractfile(member).read()) for member in archive]
    assert members == [("d", b'{"y":2}'), ("none", b""), ("b c", b'{"x":1}')]
    assert tar[-1024:] == bytes(1024)
    found = server.get(f"{store}/keyvalues?json=true", json=["d", "none", "b c"]).json()
    assert found == {"d": {"y": 2}, "none": {}, "b c": {"x": 1}}
    keys = b"".join(field(1, key.encode()) for key in ("d", "b c"))
    assert server.get(f"{store}/keyvalues", data=keys).content == pairs_message({"d": b'{"y":2}', "b c": b'{"x":1}'})


def test_body_annotations_need_a_user_merge_fields_and_hide_companions(server, root):
    path = server.new_instance(root, "neuronjson", "neurons")
    records = {"1": b'{"bodyid":1,"type":"KC"}', "2": b'{"bodyid":2,"type":"PN"}'}
    refused = server.ask("POST", f"{path}/keyvalues", data=pairs_message(records), params={"u": ""})
    assert refused.status_code == 400
    server.post(f"{path}/keyvalues", data=pairs_message(records))
    server.post(f"{path}/key/1", json={"bodyid": 1, "status": "Traced"})
    plain = {record["bodyid"]: record for record in server.get(f"{path}/all").json()}
    assert plain == {1: {"bodyid": 1, "type": "KC", "status": "Traced"}, 2: {"bodyid": 2, "type": "PN"}}
    shown = {record["bodyid"]: record for record in server.get(f"{path}/all?show=all").json()}
    assert set(shown[2]) == {"bodyid", "type", "type_user", "type_time"}
    assert shown[2]["type_user"] == "tester"
    assert sorted(server.get(f"{path}/keys").json()) == ["1", "2"]
    assert server.ask("GET", f"{path}/key/9").status_code == 404
    assert server.get(f"{path}/keyvalues?json=true", json=["2", "9"]).json() == {"2": {"bodyid": 2, "type": "PN"}}
    assert server.get(f"{path}/query?onlyid=true", json={"type": ["KC", "X"]}).json() == [1]
    assert {"type", "status"} <= set(server.get(f"{path}/fields").json())


def test_point_annotations_come_by_block_and_by_box(server, root):
    path = server.new_instance(root, "annotation", "points")
    assert server.get(f"{path}/all-elements").json() == {}
    elements = [
        {"Pos": [x, 5, 5], "Kind": "Note", "Tags": ["t"], "Prop": {"size": str(x)}, "Rels": []} for x in (1, 63, 64)
    ]
    server.post(f"{path}/elements", data=json.dumps(elements))
    blocks = server.get(f"{path}/all-elements").json()
    assert {name: sorted(e["Pos"][0] for e in block) for name, block in blocks.items()} == {
        "0,0,0": [1, 63],
        "1,0,0": [64],
    }
    assert blocks["1,0,0"][0]["Prop"] == {"size": "64"}
    inside = server.get(f"{path}/elements/10_64_64/60_0_0").json()
    assert sorted(e["Pos"][0] for e in inside) == [63, 64]
    touched = server.get(f"{path}/blocks/10_64_64/60_0_0").json()
    assert sum(len(block) for block in touched.values()) == 3
    assert server.ask("GET", f"{path}/all-elements/more").status_code == 400


def test_a_region_is_spans_and_may_be_asked_by_points_when_locked(server, root):
    path = server.new_instance(root, "roi", "FB(R)")
    assert server.get(f"{path}/roi").json() == []
    assert server.get(f"{path}/info").json()["Extended"]["BlockSize"] == [32, 32, 32]
    spans = [[0, 0, 0, 3], [1, 0, 5, 5]]
    server.post(f"{path}/roi", json=spans)
    server.commit(root)
    assert server.get(f"{path}/roi").json() == spans
    points = [[40, 0, 0], [127, 31, 31], [128, 0, 0], [160, 0, 32]]
    assert server.post(f"{path}/ptquery", json=points).json() == [True, True, False, True]
