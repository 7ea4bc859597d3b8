"""Keys and values: batches, what is missing, and answers that are not whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.sources.dvid import keyvalue
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient, DvidError, Incomplete
from tests.dvid_double import DvidDouble, framing

KEYS = [f"{body}_swc" for body in range(1, 1001)]


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("skeletons")


@pytest.fixture
def store(repo):
    store = repo.keyvalue("segmentation_skeletons")
    store.set(repo.root, {key: f"# {key}\n".encode() * 3 for key in KEYS})
    return store


def node_of(dvid, repo, **options):
    return resolve(DvidClient(dvid.url, user="tester", pause=0.001, **options), repo.root)


def test_keys_are_listed_in_the_order_of_their_bytes(dvid, repo):
    repo.keyvalue("kv").set(repo.root, {"b": b"1", "a/b c": b"2", "é": b"3", "B": b"4"})
    assert keyvalue.keys(node_of(dvid, repo), "kv") == ["B", "a/b c", "b", "é"]


def test_an_empty_store_has_no_keys(dvid, repo):
    repo.keyvalue("kv")
    assert keyvalue.keys(node_of(dvid, repo), "kv") == []


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [("b", "c", ["b", "bb", "c"]), ("bb", None, ["bb", "c", "d", "é"]), (None, "b", ["a", "b"]), ("x", "y", [])],
)
def test_a_range_of_keys_includes_both_ends(dvid, repo, first, last, expected):
    repo.keyvalue("kv").set(repo.root, dict.fromkeys(["a", "b", "bb", "c", "d", "é"], b"1"))
    assert keyvalue.keys(node_of(dvid, repo), "kv", first, last) == expected


def test_an_instance_of_another_type_has_no_keys(dvid, repo):
    repo.roi("region")
    with pytest.raises(DvidError, match="'region' is of type roi, not keyvalue"):
        keyvalue.keys(node_of(dvid, repo), "region")


def test_values_come_in_the_order_of_the_keys_that_were_asked_for(dvid, repo, store):
    wanted = KEYS[::-7]
    found = list(keyvalue.values(node_of(dvid, repo), store.name, wanted, batch=10))
    assert found == [(key, f"# {key}\n".encode() * 3) for key in wanted]


def test_a_request_holds_the_keys_of_its_batch_only(dvid, repo, store):  # M24
    list(keyvalue.values(node_of(dvid, repo), store.name, KEYS, batch=300))
    asked = [json.loads(request.body) for request in dvid.asked("keyvalues$")]
    assert sorted(map(len, asked)) == [100, 300, 300, 300]
    assert sorted(key for batch in asked for key in batch) == sorted(KEYS)


def test_no_more_batches_are_asked_for_than_the_reader_keeps_up_with(dvid, repo, store):
    values = keyvalue.values(node_of(dvid, repo, threads=2), store.name, KEYS, batch=10)
    next(values)
    values.close()
    assert len(dvid.asked("keyvalues$")) <= 6
    assert dvid.most_at_once("keyvalues$") <= 2


def test_without_keys_nothing_is_asked_for(dvid, repo, store):
    assert list(keyvalue.values(node_of(dvid, repo), store.name, [])) == []
    assert dvid.asked("keyvalues") == []


def test_a_missing_or_empty_value_is_none(dvid, repo):
    repo.keyvalue("kv").set(repo.root, {"there": b"\0", "empty": b""})
    found = list(keyvalue.values(node_of(dvid, repo), "kv", ["gone", "there", "empty"]))
    assert found == [("gone", None), ("there", b"\0"), ("empty", None)]


def test_keys_with_slashes_and_long_ones_come_back_as_they_are(dvid, repo):
    keys = ["a/b", "x" * 300, "ünï", "with space"]
    repo.keyvalue("kv").set(repo.root, {key: key.encode() for key in keys})
    assert list(keyvalue.values(node_of(dvid, repo), "kv", keys)) == [(key, key.encode()) for key in keys]


@pytest.mark.parametrize("fault", ["cut", "truncated", "appended"])
def test_an_answer_that_is_not_whole_is_asked_for_again(dvid, repo, store, fault):
    dvid.faults.add(fault, "keyvalues$", times=2, **({"text": "Error"} if fault == "appended" else {}), after=None)
    found = dict(keyvalue.values(node_of(dvid, repo), store.name, KEYS[:20]))
    assert found == {key: f"# {key}\n".encode() * 3 for key in KEYS[:20]}
    assert len(dvid.asked("keyvalues$")) == 3


def test_a_batch_that_keeps_failing_is_asked_for_key_by_key(dvid, repo, store):
    dvid.faults.add("truncated", "keyvalues$", times=None, after=600)
    wanted = [*KEYS[:5], "gone_swc"]
    found = list(keyvalue.values(node_of(dvid, repo), store.name, wanted))
    assert found == [*((key, f"# {key}\n".encode() * 3) for key in KEYS[:5]), ("gone_swc", None)]
    assert len(dvid.asked("/key/")) == 6


def test_a_key_that_fits_no_address_is_never_asked_for_alone(dvid, repo):
    repo.keyvalue("kv").set(repo.root, {"a": b"wrong", "a/b": b"right"})
    node = node_of(dvid, repo)
    assert list(keyvalue.values(node, "kv", ["a/b"])) == [("a/b", b"right")]
    dvid.faults.add("truncated", "keyvalues$", times=None, after=100)
    with pytest.raises(DvidError, match="incomplete"):
        list(keyvalue.values(node, "kv", ["a/b"]))
    for key in ("a/b", "", ".", ".."):
        with pytest.raises(DvidError, match="cannot be part of an address"):
            keyvalue.value(node, "kv", key)


def test_a_server_that_knows_no_tar_is_asked_key_by_key(dvid, repo, store):
    dvid.abilities.tar_keyvalues = False
    assert list(keyvalue.values(node_of(dvid, repo), store.name, ["1_swc"])) == [("1_swc", b"# 1_swc\n" * 3)]


@pytest.mark.parametrize("code", [401, 403, 429])
def test_a_refusal_is_no_missing_value_and_is_not_tried_again_for_every_key(dvid, repo, store, code):
    node = node_of(dvid, repo)
    dvid.faults.status(code, "segmentation_skeletons", times=None)
    with pytest.raises(DvidError) as caught:
        list(keyvalue.values(node, store.name, KEYS[:50]))
    assert caught.value.status == code
    assert dvid.asked("/key/") == []


def test_a_key_that_cannot_be_had_at_all_is_an_error_and_not_missing(dvid, repo, store):
    node = node_of(dvid, repo)
    dvid.faults.panic("keyvalues$|/key/", times=None)
    with pytest.raises(DvidError) as caught:
        list(keyvalue.values(node, store.name, KEYS[:3]))
    assert caught.value.status == 500


def tar(*pairs):
    return b"".join(framing.tar_stream(pairs))


def test_a_tar_needs_its_end():
    whole = tar(("a", b"1"), ("b", b"22"))
    assert keyvalue.read_tar(whole, ["a", "b"]) == [("a", b"1"), ("b", b"22")]
    for length in range(0, len(whole), 128):
        with pytest.raises(Incomplete):
            keyvalue.read_tar(whole[:length], ["a", "b"])


@pytest.mark.parametrize("pairs", [[("a", b"1")], [("b", b"2"), ("a", b"1")], [("a", b"1"), ("b", b"2"), ("c", b"")]])
def test_a_tar_must_hold_what_was_asked_for(pairs):
    with pytest.raises(Incomplete):
        keyvalue.read_tar(tar(*pairs), ["a", "b"])


def test_words_behind_or_instead_of_a_tar_are_found_out():
    for content in (tar(("a", b"1")) + b"Error: disk", tar(("a", b"1"))[:1024] + b"Error: disk", b"Error: disk"):
        with pytest.raises(Incomplete):
            keyvalue.read_tar(content, ["a"])


def test_a_member_longer_than_the_archive_is_found_out():
    whole = tar(("a", bytes(5000)))
    with pytest.raises(Incomplete):
        keyvalue.read_tar(whole[:2048] + bytes(1024), ["a"])


@given(
    st.lists(
        st.tuples(
            st.text("ab/_.é0", min_size=1, max_size=120).filter(lambda t: not t.endswith("/")), st.binary(max_size=1500)
        )
    )
)
def test_a_tar_gives_back_what_was_put_in(pairs):
    found = keyvalue.read_tar(tar(*pairs), [key for key, _ in pairs])
    assert found == [(key, value or None) for key, value in pairs]
