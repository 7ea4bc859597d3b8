"""The address of a neuPrint server, its token, and answers that are none."""

from __future__ import annotations

import contextlib
import json

import pytest

from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.live.credentials import VARIABLE, load_token
from flyem_snapshot.live.server import NeuprintError, NeuprintServer, address
from tests.live.answering import TOKEN, answering, ok


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("neuprint.example.org", "https://neuprint.example.org"),
        ("https://neuprint.example.org/", "https://neuprint.example.org"),
        ("http://localhost:11000", "http://localhost:11000"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
    ],
)
def test_an_address_is_https_unless_it_is_on_this_machine(server, expected):
    assert address(server) == expected


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("http://neuprint.example.org", "unencrypted"),
        ("ftp://neuprint.example.org", "no address"),
        ("https://", "no address"),
        ("https://me:secret@neuprint.example.org", "user name or a password"),
    ],
)
def test_an_address_that_would_give_the_token_away_is_refused(server, words):
    with pytest.raises(SnapshotError, match=words) as refused:
        address(server)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("given", [TOKEN, f" {TOKEN}\n", f'"{TOKEN}"', json.dumps({"token": TOKEN})])
def test_a_token_is_taken_as_it_is_or_from_json(monkeypatch, given):
    monkeypatch.setenv(VARIABLE, given)
    assert load_token() == TOKEN


@pytest.mark.parametrize("given", ["", "{}", "{", "two words", "tökén"])
def test_what_holds_no_token_is_refused_and_not_shown(monkeypatch, given):
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(SnapshotError) as refused:
        load_token()
    assert not given or given not in str(refused.value)


def test_a_read_is_repeated_while_the_server_is_away():
    with answering((503, {}, b"away"), (502, {}, b""), ok({"columns": ["x"], "data": [[2**53 + 1]]})) as (
        server,
        asked,
    ):
        assert server.rows("RETURN 1", "d") == [[2**53 + 1]]
    assert len(asked) == 3
    assert asked[0] == ("/api/custom/custom", f"Bearer {TOKEN}")


def test_a_write_is_never_repeated_and_is_undone():
    with (
        answering(ok({"transaction_id": 7}), (503, {}, b'{"error": "busy"}'), ok({})) as (server, asked),
        pytest.raises(NeuprintError, match="busy") as failed,
        server.transaction("d") as transaction,
    ):
        transaction.run("X")
    raw = "/api/raw/cypher/transaction"
    assert [path for path, _ in asked] == [raw, f"{raw}/7/cypher", f"{raw}/7/kill"]
    assert failed.value.status == 503


def test_a_commit_that_fails_is_an_error_though_killing_fails_too():
    gone = (400, {}, b'{"error": "Transaction id not found"}')
    with (
        answering(ok({"transaction_id": 7}), ok({"data": [[1]]}), (400, {}, b'{"error": "deadlock"}'), gone) as (s, _),
        pytest.raises(NeuprintError, match="deadlock"),
        s.transaction("d") as transaction,
    ):
        assert transaction.run("X") == [[1]]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ok({"columns": ["a"], "data": 5}), "no table"),
        (ok([1]), "no table"),
        ((200, {}, b"<html>"), "no JSON"),
        ((302, {"Location": "https://evil.example/"}, b""), "redirects"),
        ((401, {}, b"bad token"), "is the token right"),
        ((400, {}, f'{{"error": "I saw {TOKEN}"}}'.encode()), "I saw ..."),
    ],
)
def test_an_answer_that_is_none_is_an_error_without_the_token(answer, words):
    with answering(answer) as (server, asked), pytest.raises(NeuprintError) as failed:
        server.rows("RETURN 1", "d")
    assert words in str(failed.value)
    assert TOKEN not in str(failed.value)
    assert len(asked) == 1


def test_goes_empty_list_of_rows_is_no_rows():
    with answering(ok({"columns": ["a"], "data": None})) as (server, _):
        assert server.rows("RETURN 1", "d") == []


def test_a_server_that_is_not_there_is_said_to_be_out_of_reach():
    with (
        pytest.raises(NeuprintError, match="cannot be reached") as failed,
        contextlib.closing(NeuprintServer("http://127.0.0.1:1", TOKEN)) as server,
        server.transaction("d"),
    ):
        pass
    assert not failed.value.reached
