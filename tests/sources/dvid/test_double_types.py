"""The double's point annotations, body annotations, keys and values, regions, and the frames that they travel in."""

from __future__ import annotations

import io
import json
import tarfile

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tests.dvid_double import DvidDouble, framing


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("mushroom")


@pytest.fixture
def http(dvid, repo):
    """Ask for a path of an instance at the root."""
    with requests.Session() as session:

        def ask(path, method="GET", **options):
            return session.request(method, f"{dvid.url}/api/node/{repo.root}/{path}", **options)

        yield ask


# --- point annotations ------------------------------------------------------------------------------------------------


def test_elements_keep_what_they_lack_and_blocks_may_be_null(repo, http):  # M24
    points = repo.annotation("nuclei")
    assert http("nuclei/all-elements").json() == {}
    full = {"Pos": [10, 20, 30], "Kind": "Note", "Tags": ["a"], "Prop": {"Size": "1.5"}, "Rels": []}
    bare = {"Pos": [70, 20, 30], "Kind": "Note", "Tags": None, "Prop": None}
    points.set(repo.root, [full, bare])
    points.set_block(repo.root, (0, 9, 9), None)
    points.set_block(repo.root, (0, 0, 1), [])
    everything = {"0,0,0": [full], "1,0,0": [bare], "0,0,1": [], "0,9,9": None}
    assert http("nuclei/all-elements").json() == everything
    assert http("nuclei/all-elements/x").status_code == 400
    assert http("nuclei/tag/a").json() == [full]


def test_blocks_hold_more_than_the_box_and_elements_do_not(dvid, repo, http):
    points = repo.annotation("nuclei")
    for x in (1, 63, 64, 200):
        points.point(repo.root, (5, 5, x), size=str(x))
    blocks = http("nuclei/blocks/10_64_64/60_0_0").json()
    assert {key: [e["Pos"][0] for e in block] for key, block in blocks.items()} == {"0,0,0": [1, 63], "1,0,0": [64]}
    assert [e["Pos"] for e in http("nuclei/elements/10_64_64/60_0_0").json()] == [[63, 5, 5], [64, 5, 5]]
    assert http("nuclei/elements/1_1_1/0_0_0").json() == []
    dvid.abilities.empty_lists = False
    assert http("nuclei/elements/1_1_1/0_0_0").json() is None


def test_an_element_replaces_the_one_at_its_position_and_can_be_removed(repo, http):
    points = repo.annotation("nuclei")
    points.point(repo.root, (1, 2, 3), size="1")
    points.point(repo.root, (1, 2, 3), size="2")
    assert [e["Prop"] for e in http("nuclei/all-elements").json()["0,0,0"]] == [{"size": "2"}]
    points.remove(repo.root, (1, 2, 3))
    assert http("nuclei/all-elements").json() == {"0,0,0": []}


# --- body annotations -------------------------------------------------------------------------------------------------


@pytest.fixture
def neurons(repo):
    neurons = repo.neuronjson("neurons")
    neurons.set(repo.root, {1: {"type": "KC", "status": "Traced"}}, user="ann", time="2024-01-02T03:04:05Z")
    neurons.set(repo.root, {2: {"type": "PN"}}, user="bob", time="2024-01-02T00:00:00-05:00")
    neurons.set_raw(repo.root, 3, {"birth_time": "early"})
    return neurons


def by_body(records):
    return {record["bodyid"]: record for record in records}


def test_companions_are_hidden_unless_they_are_asked_for(neurons, http):
    assert by_body(http("neurons/all").json()) == {
        1: {"bodyid": 1, "type": "KC", "status": "Traced"},
        2: {"bodyid": 2, "type": "PN"},
    }, "body 3 is left with its id only"
    shown = by_body(http("neurons/all?show=all").json())
    assert shown[2] == {"bodyid": 2, "type": "PN", "type_user": "bob", "type_time": "2024-01-02T00:00:00-05:00"}
    assert shown[3] == {"bodyid": 3, "birth_time": "early"}
    assert by_body(http("neurons/all?show=time&fields=type").json())[1] == {
        "bodyid": 1,
        "type": "KC",
        "type_time": "2024-01-02T03:04:05Z",
    }
    assert sorted(by_body(http("neurons/all?fields=bodyid").json())) == [1, 2, 3]


def test_the_answer_may_be_packed(neurons, http):
    answer = http("neurons/all", headers={"Accept-Encoding": "gzip"}, stream=True)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.raw.read(2) == b"\x1f\x8b"
    assert "Content-Encoding" not in http("neurons/all", headers={"Accept-Encoding": "identity"}).headers


def test_nothing_is_null_on_old_servers(dvid, repo, http):
    repo.neuronjson("neurons")
    assert (http("neurons/all").json(), http("neurons/keys").json()) == ([], [])
    dvid.abilities.empty_lists = False
    assert (http("neurons/all").json(), http("neurons/keys").json()) == (None, None)


def test_fields_may_hold_an_empty_name(neurons, http):
    fields = http("neurons/fields").json()
    assert "" in fields
    assert {"type", "type_user", "status", "birth_time"} <= set(fields)
    assert http("neurons/fields?counts=true").json()["type"] == 2
    assert http("neurons/fieldtimes").json()["type"] == "2024-01-02T00:00:00-05:00", "the later one, five hours west"


def test_single_records_and_many(neurons, http):
    assert http("neurons/key/1").json() == {"bodyid": 1, "type": "KC", "status": "Traced"}
    assert http("neurons/key/9").status_code == 404
    assert http("neurons/key/x").status_code == 400
    assert http("neurons/keys").json() == ["1", "2", "3"]
    assert http("neurons/keyvalues?json=true", json=[2, "9"]).json() == {"2": {"bodyid": 2, "type": "PN"}}
    answer = http("neurons/keyvalues", data=framing.keys_message(["9", "2"])).content
    assert framing.pairs_of(answer) == [("9", b""), ("2", b'{"bodyid":2,"type":"PN"}')]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"type": "KC"}, [1]),
        ({"type": ["KC", "PN"]}, [1, 2]),
        ([{"type": "KC"}, {"type": "PN"}], [1, 2]),
        ({"type": "re/^K"}, [1]),
        ({"status": "exists/0"}, [2, 3]),
        ({"status": "exists/1", "type": "PN"}, []),
    ],
)
def test_a_query_finds_records(neurons, http, query, expected):
    assert sorted(http("neurons/query?onlyid=true", json=query).json()) == expected


def test_a_post_needs_a_user_and_merges_fields(neurons, repo, http):
    body = framing.pairs_message([("1", b'{"type":"KCg"}'), ("7", b'{"status":"New"}')])
    refused = http("neurons/keyvalues", "POST", data=body)
    assert (refused.status_code, "without a valid user" in refused.text) == (400, True)
    assert http("neurons/keyvalues?u=cat", "POST", data=body).status_code == 200
    record = neurons.get(repo.root, 1)
    assert (record["type"], record["type_user"], record["status"], record["status_user"]) == (
        "KCg",
        "cat",
        "Traced",
        "ann",
    )
    assert neurons.get(repo.root, 7)["status"] == "New"
    http("neurons/key/7?u=cat&replace=true", "POST", json={"type": "X"})
    assert "status" not in neurons.get(repo.root, 7)
    http("neurons/key/1?u=cat&conditional=type", "POST", json={"type": "Y", "side": "L"})
    assert [neurons.get(repo.root, 1)[name] for name in ("type", "side")] == ["KCg", "L"]


def test_a_batch_may_stay_half_written(neurons, repo, http):
    neurons.refuses = lambda body, record: "schema: no" if body == 6 else ""
    pairs = [(str(body), b'{"type":"N"}') for body in (5, 6, 7)]
    assert http("neurons/keyvalues?u=cat", "POST", data=framing.pairs_message(pairs)).status_code == 400
    assert [neurons.get(repo.root, body) is not None for body in (5, 6, 7)] == [True, False, False]
    assert http("neurons/key/0?u=cat", "POST", json={"a": 1}).status_code == 400


# --- keys and values --------------------------------------------------------------------------------------------------


@pytest.fixture
def store(repo):
    store = repo.keyvalue("kv")
    store.set(repo.root, {"a": b"\x00\xff", "b c": '{"x":1}', "é": {"y": 2}})
    return store


def test_keys_and_ranges_are_in_byte_order(store, http):
    assert http("kv/keys").json() == ["a", "b c", "é"]
    assert http("kv/keyrange/a/b%20c").json() == ["a", "b c"]
    assert framing.pairs_of(http("kv/keyrangevalues/b/z").content) == [("b c", b'{"x":1}')]


def test_one_value_and_parts_of_it(store, http):
    answer = http("kv/key/a")
    assert (answer.status_code, answer.content) == (200, b"\x00\xff")
    assert [http(f"kv/key/{key}", "HEAD").status_code for key in ("a", "z")] == [200, 404]
    assert http("kv/key/z").status_code == 404
    part = http("kv/key/b%20c", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b'"x"')
    assert http("kv/key/a", headers={"Range": "bytes=9-"}).status_code == 416
    assert http("kv/key/a", "DELETE").status_code == 200
    assert http("kv/keys").json() == ["b c", "é"]


def test_many_values_come_in_three_forms_with_missing_ones_empty(store, http):
    keys = ["é", "nothing", "b c"]
    expected = [("é", b'{"y": 2}'), ("nothing", b""), ("b c", b'{"x":1}')]
    tar = http("kv/keyvalues?jsontar=true", json=keys).content
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        assert [(member.name, archive.extractfile(member).read()) for member in archive] == expected
    assert tar[-1024:] == bytes(1024)
    assert framing.pairs_of(http("kv/keyvalues", data=framing.keys_message(keys)).content) == expected
    assert http("kv/keyvalues?json=true", json=keys).json() == {"é": {"y": 2}, "nothing": {}, "b c": {"x": 1}}
    assert http("kv/keyvalues?jsontar=true", json={"a": 1}).status_code == 400
    assert http("kv/keyvalues?json=true&check=true", json=["a"]).status_code == 400


def test_old_servers_send_json_that_is_none_and_no_tar(dvid, store, http):
    dvid.abilities.valid_json_keyvalues = dvid.abilities.tar_keyvalues = False
    with pytest.raises(ValueError, match="Expecting|Illegal"):
        json.loads(http("kv/keyvalues?json=true", json=["é"]).content)
    assert http("kv/keyvalues?tar=true", json=["é"]).status_code == 400


def test_values_are_posted_one_by_one_or_together(store, repo, http):
    http("kv/key/new", "POST", data=b"1")
    http("kv/keyvalues", "POST", data=framing.pairs_message([("p", b"2"), ("q", b"")]))
    assert [store.get(repo.root, key) for key in ("new", "p", "q", "a")] == [b"1", b"2", b"", b"\x00\xff"]


# --- regions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("block_size", "expected"), [(32, [True, True, False]), (16, [True, False, False])])
def test_a_region_is_asked_by_points_also_on_a_locked_node(repo, http, block_size, expected):
    roi = repo.roi("FB(R)", block_size)
    assert http("FB(R)/roi").json() == []
    roi.set(repo.root, [[1, 0, 5, 5], [0, 0, 0, 1], [0, 0, 2, 3]])
    repo.commit(repo.root)
    assert http("FB(R)/roi").json() == [[0, 0, 0, 3], [1, 0, 5, 5]]
    assert http("FB(R)/info").json()["Extended"]["BlockSize"] == [block_size] * 3
    points = [[40, 0, 0], [127, 31, 31], [128, 0, 0]]
    assert http("FB(R)/ptquery", "POST", json=points).json() == expected
    assert http("FB(R)/roi", "POST", json=[]).status_code == 400


# --- frames -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=300), st.binary(max_size=300)), max_size=5))
def test_pairs_survive_protobuf(pairs):
    assert framing.pairs_of(framing.pairs_message(pairs)) == pairs


def test_protobuf_is_written_as_the_standard_says():
    assert framing.varint(300) == b"\xac\x02"
    assert framing.pairs_message([("a", b"xy")]) == b"\x0a\x07\x0a\x01a\x12\x02xy"
    unknown = b"\x18\x05" + b"\x0a\x01k" + b"\x21" + bytes(8) + b"\x2d" + bytes(4)
    assert framing.keys_of(unknown) == ["k"], "fields of other numbers and types are passed over"
