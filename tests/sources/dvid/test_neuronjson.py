"""Body annotations: what becomes of records, and how they are written."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.errors import DataError
from flyem_snapshot.sources.dvid import neuronjson
from flyem_snapshot.sources.dvid.graph import resolve
from flyem_snapshot.sources.dvid.http import DvidClient, DvidError
from flyem_snapshot.sources.dvid.neuronjson import body_annotations, post_annotations
from tests.dvid_double import DvidDouble

TOKEN = "s3cret-adm1n"  # noqa: S105 - of a server that lives as long as a test


@pytest.fixture
def dvid():
    with DvidDouble(admin_token=TOKEN) as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    return dvid.new_repo("annotated")


@pytest.fixture
def neurons(repo):
    return repo.neuronjson("segmentation_annotations")


def node_of(dvid, repo, uuid=None):
    return resolve(DvidClient(dvid.url, user="tester", pause=0.001), uuid or repo.root)


def annotations(dvid, repo, neurons):
    return body_annotations(node_of(dvid, repo), neurons.name)


def test_records_become_a_table_by_body_with_fields_by_name(dvid, repo, neurons):
    neurons.set(repo.root, {30: {"type": "Mi1", "status": "Traced"}, 4: {"status": "Anchor", "group": 30}})
    table = annotations(dvid, repo, neurons).table
    assert table.schema.names == ["body", "group", "status", "type"]
    assert [str(kind) for kind in table.schema.types] == ["int64", "int64", "string", "string"]
    assert table.to_pylist() == [
        {"body": 4, "group": 30, "status": "Anchor", "type": None},
        {"body": 30, "group": None, "status": "Traced", "type": "Mi1"},
    ]


@pytest.mark.parametrize("lists", [True, False])
def test_no_annotations_make_an_empty_table(dvid, repo, neurons, lists):
    dvid.abilities.empty_lists = lists
    found = annotations(dvid, repo, neurons)
    assert found.table.schema == pa.schema([("body", pa.int64())])
    assert found.timestamp is None


def test_everything_is_fetched_by_one_streamed_call(dvid, repo, neurons):  # M29
    neurons.set(repo.root, {body: {"type": "a"} for body in range(1, 2000)})
    assert annotations(dvid, repo, neurons).table.num_rows == 1999
    assert [request.path.rsplit("/", 1)[1] for request in dvid.asked(neurons.name)] == ["all"]


def test_fields_about_fields_are_left_out_and_genuine_ones_are_not(dvid, repo, neurons):  # M6
    neurons.set(repo.root, {1: {"type": "a", "birth_time": "E13", "super_user": "yes"}})
    found = annotations(dvid, repo, neurons)
    assert found.table.to_pylist() == [{"body": 1, "birth_time": "E13", "super_user": "yes", "type": "a"}]
    assert found.timestamp is not None, "that of `type`, not of `birth_time`"


def test_the_timestamp_is_the_latest_moment_whatever_the_zones(dvid, repo, neurons):  # M6
    neurons.set(repo.root, {1: {"type": "a"}}, time="2024-03-01T23:30:00-05:00")
    neurons.set(repo.root, {2: {"type": "b"}}, time="2024-03-02T01:00:00Z")
    neurons.set(repo.root, {3: {"type": "c", "status": "x"}}, time="2024-03-02T03:59:59.123456789Z")
    assert annotations(dvid, repo, neurons).timestamp == datetime(2024, 3, 2, 4, 30, tzinfo=UTC)


def test_without_any_time_there_is_no_timestamp(dvid, repo, neurons):  # M6
    neurons.set_raw(repo.root, 1, {"type": "a", "type_time": "yesterday"})
    neurons.set_raw(repo.root, 2, {"type": "b"})
    assert annotations(dvid, repo, neurons).timestamp is None


def test_empty_texts_are_null_but_a_status_is_text(dvid, repo, neurons):
    neurons.set_raw(repo.root, 1, {"type": "", "status": "", "side": None})
    neurons.set_raw(repo.root, 2, {"type": "b", "side": "L"})
    assert annotations(dvid, repo, neurons).table.to_pylist() == [
        {"body": 1, "side": None, "status": "", "type": None},
        {"body": 2, "side": "L", "status": "", "type": "b"},
    ]


def test_values_keep_their_kinds(dvid, repo, neurons):
    first = {
        "n": 1,
        "f": 0.5,
        "b": True,
        "t": "x",
        "soma_position": [1, 2, 3],
        "tags": ["p", "q"],
        "big": 2**63,
        "e": "",
    }
    neurons.set_raw(repo.root, 1, first)
    neurons.set_raw(repo.root, 2, {"n": 2**53 + 1, "f": 2, "soma_position": [], "b": False})
    table = annotations(dvid, repo, neurons).table
    kinds = {name: str(table.schema.field(name).type) for name in table.schema.names}
    assert kinds == {
        "body": "int64",
        "b": "bool",
        "big": "uint64",
        "e": "string",
        "f": "double",
        "n": "int64",
        "soma_position": "list<item: int64>",
        "t": "string",
        "tags": "list<item: string>",
    }
    assert table["n"].to_pylist() == [1, 2**53 + 1]
    assert table["soma_position"].to_pylist() == [[1, 2, 3], []]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["12", 12, 0.5], ["12", "12", "0.5"]),
        ([True, "yes", 1], ["true", "yes", "1"]),
        ([[1, 2], "1,2", None], ["[1, 2]", "1,2", None]),
        ([{"x": 1}, None, {"y": [2]}], ['{"x": 1}', None, '{"y": [2]}']),
        ([2**53 + 1, 0.5, None], ["9007199254740993", "0.5", None]),
        ([2**64, 1, None], ["18446744073709551616", "1", None]),
        ([-1, 2**63, None], ["-1", "9223372036854775808", None]),
        ([[1, "a"], [2], None], ['[1, "a"]', "[2]", None]),
    ],
)
def test_values_of_several_kinds_become_text(dvid, repo, neurons, caplog, values, expected):
    for body, value in enumerate(values, 1):
        neurons.set_raw(repo.root, body, {"field": value, "other": 1})
    table = annotations(dvid, repo, neurons).table
    assert table["field"].type == pa.string()
    assert table["field"].to_pylist() == expected
    mixed = not all(isinstance(value, dict | list | None) for value in values)
    assert ("field 'field' holds values of several kinds" in caplog.text) == mixed


def test_fields_without_a_name_and_one_named_body_are_left_out(dvid, repo, neurons, caplog):
    neurons.set_raw(repo.root, 1, {"": "x", "body": 7, "type": "a"})
    assert annotations(dvid, repo, neurons).table.to_pylist() == [{"body": 1, "type": "a"}]
    assert "the field 'body' is left out" in caplog.text


def test_the_digest_depends_on_what_is_said_only(dvid, repo, neurons):
    said = {1: {"type": "a", "status": "x"}, 2: {"type": "b"}}
    neurons.set(repo.root, said, user="one", time="2024-01-01T00:00:00Z")
    first = annotations(dvid, repo, neurons)
    other = repo.neuronjson("other")
    other.set(repo.root, dict(reversed(said.items())), user="two", time="2025-01-01T00:00:00Z")
    assert annotations(dvid, repo, other).digest == first.digest
    other.set(repo.root, {2: {"type": "c"}})
    assert annotations(dvid, repo, other).digest != first.digest


@pytest.mark.parametrize("fault", ["truncated", "cut", "appended"])
def test_an_answer_that_is_not_whole_is_asked_for_again(dvid, repo, neurons, fault):
    neurons.set(repo.root, {body: {"type": f"t{body}"} for body in range(1, 400)})
    dvid.faults.add(fault, "/all$", times=2, **({"text": "Error"} if fault == "appended" else {}), after=None)
    assert annotations(dvid, repo, neurons).table.num_rows == 399


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[1]", b'[{"type": "a"}]', b'[{"bodyid": "1"}]', b'[{"bodyid": true}]', b'[{"bodyid": 1}, {"bodyid": 1}]'],
)
def test_what_is_no_list_of_records_is_refused(dvid, repo, neurons, body):
    node = node_of(dvid, repo)
    dvid.faults.replaced(body, "/all$", times=None)
    with pytest.raises(DvidError, match="incomplete"):
        body_annotations(node, neurons.name)


def test_bodies_beyond_63_bits_are_refused(dvid, repo, neurons):
    neurons.set_raw(repo.root, 2**63, {"type": "a"})
    with pytest.raises(DataError, match="must be 0 to 2"):
        annotations(dvid, repo, neurons)


def test_older_repositories_keep_them_by_key_and_value(dvid, repo):
    store = repo.keyvalue("bodies")
    store.set(
        repo.root, {"30": {"type": "Mi1", "body ID": 30}, "4": {"status": ""}, "schema": "<x>", "007": {"type": "x"}}
    )
    store.set(repo.root, "5", b"")
    found = annotations(dvid, repo, store)
    assert found.table.to_pylist() == [
        {"body": 4, "body ID": None, "status": "", "type": None},
        {"body": 30, "body ID": 30, "status": "", "type": "Mi1"},
    ]
    assert found.timestamp is None
    assert dvid.asked("keyrangevalues") == []  # M29


@pytest.mark.parametrize("value", [b"{", b"[1]"])
def test_a_stored_value_that_is_no_object_names_its_body(dvid, repo, value):
    store = repo.keyvalue("bodies")
    store.set(repo.root, "30", value)
    with pytest.raises(DataError, match="body 30 in 'bodies' is not"):
        annotations(dvid, repo, store)


@given(
    st.lists(
        st.none() | st.integers(-(2**64), 2**65) | st.floats(allow_nan=False) | st.booleans() | st.text(max_size=3)
    )
)
def test_a_column_holds_its_values_or_their_texts(values):
    column = neuronjson._column(values, "instance", "field")
    for value, kept in zip(values, column.to_pylist(), strict=True):
        if column.type != pa.string() or isinstance(value, str | None):
            assert kept == value
        else:
            assert json.loads(kept) == value


# --- writing ---------------------------------------------------------------------------------------------------------


def test_only_the_fields_that_are_named_are_written(dvid, repo, neurons):
    neurons.set(repo.root, {1: {"type": "a", "nt": "old", "gone": "x"}}, user="before")
    post_annotations(
        node_of(dvid, repo), neurons.name, {1: {"nt": "gaba", "gone": None}, 2: {"nt": "ach", "n": np.int64(3)}}
    )
    first, second = neurons.get(repo.root, 1), neurons.get(repo.root, 2)
    assert (first["type"], first["type_user"], first["nt"], first["nt_user"]) == ("a", "before", "gaba", "tester")
    assert first.get("gone") is None
    assert (second["nt"], second["n"]) == ("ach", 3)


def test_many_bodies_are_written_in_batches(dvid, repo, neurons):  # M30
    rows = {body: {"nt": f"t{body}", "p": body / 7} for body in range(1, 1201)}
    post_annotations(node_of(dvid, repo), neurons.name, rows, batch=500)
    assert len(dvid.asked("keyvalues", "POST")) == 3
    assert all(neurons.get(repo.root, body)["p"] == body / 7 for body in rows)


def test_nothing_is_written_if_there_is_nothing_to_write(dvid, repo, neurons):
    post_annotations(node_of(dvid, repo), neurons.name, {})
    post_annotations(node_of(dvid, repo), neurons.name, {1: {}})
    assert dvid.asked("", "POST") == []


def test_a_locked_node_is_refused_also_if_it_was_open_before(dvid, repo, neurons, monkeypatch):
    monkeypatch.setenv("DVID_ADMIN_TOKEN", TOKEN)
    node = node_of(dvid, repo)
    repo.commit(repo.root)
    with pytest.raises(DvidError, match="is locked"):
        post_annotations(node, neurons.name, {1: {"nt": "gaba"}})
    assert dvid.asked("", "POST") == []


def test_a_locked_node_is_written_by_force_with_the_admin_token_on_that_request_only(dvid, repo, neurons, monkeypatch):
    monkeypatch.setenv("DVID_ADMIN_TOKEN", TOKEN)
    repo.commit(repo.root)
    post_annotations(node_of(dvid, repo), neurons.name, {1: {"nt": "gaba"}}, force=True)
    assert neurons.get(repo.root, 1)["nt"] == "gaba"
    tokens = [("admintoken" in request.args, request.method) for request in dvid.requests]
    assert {method for with_token, method in tokens if with_token} == {"POST"}  # M21


def test_an_open_node_is_written_without_the_admin_token(dvid, repo, neurons, monkeypatch):
    monkeypatch.setenv("DVID_ADMIN_TOKEN", TOKEN)
    post_annotations(node_of(dvid, repo), neurons.name, {1: {"nt": "gaba"}}, force=True)
    assert not any("admintoken" in request.args for request in dvid.requests)


def test_a_failure_half_way_says_what_was_written(dvid, repo, neurons, monkeypatch):  # M30
    monkeypatch.setenv("DVID_ADMIN_TOKEN", TOKEN)
    neurons.refuses = lambda body, record: "no such nt" if body == 750 else ""
    with pytest.raises(DvidError, match="no such nt") as caught:
        post_annotations(node_of(dvid, repo), neurons.name, {body: {"nt": "x"} for body in range(1, 1001)}, batch=500)
    assert "500 of 1,000 bodies have been written before; of the next 500 some may have been" in str(caught.value)
    assert caught.value.status == 400
    assert "s3cret" not in str(caught.value)


def test_what_the_server_does_not_keep_is_found_out(dvid, repo, neurons):  # M30
    def forgetful(request):
        return request.replace(b'"gaba"', b'"GABA"')

    dvid.faults.changed(forgetful, "keyvalues$", method="GET", times=None)
    with pytest.raises(DvidError, match="body 1: field 'nt' does not hold what was written: 'GABA' instead of 'gaba'"):
        post_annotations(node_of(dvid, repo), neurons.name, {1: {"nt": "gaba"}})


def test_fields_that_somebody_edited_meanwhile_are_not_overwritten(dvid, repo, neurons):  # M30
    neurons.set(repo.root, {1: {"nt": "old"}, 2: {"nt": "edited"}})
    before = {1: {"nt": "old"}, 2: {"nt": "old"}, 3: {"nt": None}}
    rows = {1: {"nt": "new"}, 2: {"nt": "new"}, 3: {"nt": "new"}}
    with pytest.raises(DvidError, match="body 2: field 'nt' was edited meanwhile: 'edited' instead of 'old'"):
        post_annotations(node_of(dvid, repo), neurons.name, rows, before=before)
    assert dvid.asked("", "POST") == []
    neurons.set(repo.root, {2: {"nt": "old"}})
    post_annotations(node_of(dvid, repo), neurons.name, rows, before=before)
    assert [neurons.get(repo.root, body)["nt"] for body in rows] == ["new"] * 3


def test_a_server_that_is_away_for_a_moment_gets_the_batch_again(dvid, repo, neurons):
    node = node_of(dvid, repo)
    dvid.faults.status(503, "keyvalues$", method="POST", times=1)
    post_annotations(node, neurons.name, {1: {"nt": "gaba"}})
    assert neurons.get(repo.root, 1)["nt"] == "gaba"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ({0: {"a": 1}}, "0 is no body"),
        ({2**63: {"a": 1}}, "is no body"),
        ({1: {"": 1}}, "field without a name"),
        ({1: {"bodyid": 2}}, "one named bodyid"),
        ({5: {"a": float("nan")}}, "body 5 cannot be written as JSON"),
        ({5: {"a": object()}}, "body 5 cannot be written as JSON"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(dvid, repo, neurons, rows, problem):
    with pytest.raises(DataError, match=problem):
        post_annotations(node_of(dvid, repo), neurons.name, {7: {"a": 1}, **rows})
    assert dvid.asked("", "POST") == []


def test_a_keyvalue_instance_is_not_written_to(dvid, repo):
    repo.keyvalue("bodies")
    with pytest.raises(DvidError, match="'bodies' is of type keyvalue, not neuronjson"):
        post_annotations(node_of(dvid, repo), "bodies", {1: {"a": 1}})
