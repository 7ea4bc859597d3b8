"""Requests: what is sent again and what is not, timeouts, and errors with the services' words."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from flyem_snapshot.cave import (
    AuthError,
    CaveError,
    Conflict,
    Forbidden,
    FrameworkClient,
    Invalid,
    LimitError,
    NotFound,
    TimedOut,
    TooManyRequests,
)
from flyem_snapshot.cave.refusals import understood
from flyem_snapshot.errors import ServiceError
from tests.cave.conftest import DATASTACK

STATE = {"layers": []}


def posts(cave):
    return [request for request in cave.requests if request.method == "POST"]


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["reset", "cut", "truncated"])
def test_a_read_that_breaks_is_sent_again(client, cave, fault):
    getattr(cave.faults, fault)("datastacks", times=2)
    assert client.info.get_datastacks() == [DATASTACK]


@pytest.mark.parametrize("fault", ["reset", "cut", "truncated"])
def test_a_read_that_keeps_breaking_fails_after_three_tries(client, cave, fault):
    strikes = getattr(cave.faults, fault)("datastacks", times=None)
    with pytest.raises(
        CaveError, match=r"^GET \S+: the answer (broke off|was incomplete): [^('].*after 3 tries"
    ) as caught:
        client.info.get_datastacks()
    assert (strikes.hits, caught.value.transient, caught.value.uncertain) == (3, True, False)


@pytest.mark.parametrize("code", [502, 503])
def test_a_service_that_is_away_for_a_moment_is_asked_again(client, cave, code):
    cave.faults.html(code, "datastacks", title="Bad Gateway", times=4)
    assert client.info.get_datastacks() == [DATASTACK]


def test_a_service_that_stays_away_is_one_line_without_its_page(client, cave):
    cave.faults.html(503, "datastacks", title="Service Temporarily Unavailable", times=None)
    with pytest.raises(CaveError) as caught:
        client.info.get_datastacks()
    url = f"{cave.url}/info/api/v2/datastacks"
    assert caught.value.message == (
        f"GET {url}: the service says: a page for people instead of data: "
        "503 Service Temporarily Unavailable (status 503) after 5 tries"
    )
    assert caught.value.hint == "the service is away or busy; try again later"


def test_a_bare_500_is_asked_once_more_but_a_hidden_404_is_not(client, cave):
    bare = cave.faults.status(500, "datastacks", times=None)
    with pytest.raises(CaveError):
        client.info.get_datastacks()
    assert bare.hits == 2
    cave.faults.clear()
    hidden = cave.faults.hidden(404, "nothing here", "datastacks", times=None)
    with pytest.raises(NotFound, match="nothing here"):
        client.info.get_datastacks()
    assert hidden.hits == 1


@pytest.mark.parametrize("retry_after", [None, 0])
def test_too_many_requests_are_sent_again_later(client, cave, retry_after):
    cave.faults.limited("datastacks", retry_after=retry_after, times=3)
    assert client.info.get_datastacks() == [DATASTACK]


def test_a_limiter_that_does_not_relent_has_an_error_of_its_own(client, cave):
    cave.faults.limited("datastacks", times=None)
    with pytest.raises(TooManyRequests, match="10 per 1 minute.*after 5 tries"):
        client.info.get_datastacks()


def test_a_page_of_a_proxy_is_no_data(client, cave):
    cave.faults.login("datastacks", page=True, times=None)
    with pytest.raises(CaveError, match="it is not JSON: a page for people instead of data: Sign in"):
        client.info.get_datastacks()


@pytest.mark.parametrize(
    ("path", "body", "ask", "expected"),
    [
        ("datastacks", b"{}", lambda client: client.info.get_datastacks(), "a list of names"),
        ("full", b"[]", lambda client: client.info.get_datastack_info(), "an object"),
        ("info/api/versions", b'["2"]', lambda client: client.info.get_datastacks(), "a list of integers"),
        ("count", b"1.5", lambda client: client.annotation.get_annotation_count("t"), "an integer"),
        ("annotations", b"[1]", lambda client: client.annotation.get_annotation("t", 1), "a list of objects"),
        ("info/version", b"5", lambda client: client.info.server_version, "a text"),
    ],
)
def test_json_of_another_kind_is_no_answer(client, cave, path, body, ask, expected):
    cave.faults.replaced(body, path, times=None)
    with pytest.raises(CaveError, match=f"the answer was incomplete: {expected} was expected, not"):
        ask(client)


def test_a_restart_of_the_services_goes_unnoticed(cave, stack, new_client):
    client = new_client(pause=0.05)
    client.info.get_datastacks()
    cave.stop()
    threading.Timer(0.1, cave.listen).start()
    assert client.info.get_datastacks() == [DATASTACK]


# --- timeouts --------------------------------------------------------------------------------------------------------


def test_w3_a_silent_service_is_given_up(cave, stack, new_client):
    cave.faults.stall("datastacks", times=None)
    start = time.monotonic()
    with pytest.raises(TimedOut, match=r"no answer within 0.2 s after 2 tries"):
        new_client(timeout=0.2).info.get_datastacks()
    assert time.monotonic() - start < 3


def test_w3_a_service_that_falls_silent_within_an_answer_is_given_up(cave, stack, new_client):
    cave.faults.stall("datastacks", after=3, times=None)
    with pytest.raises(TimedOut, match="stopped in the middle"):
        new_client(timeout=0.2).info.get_datastacks()


def test_w3_a_host_that_does_not_take_the_call_is_given_up():
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for caller in (first, second):  # the queue is full now, and nobody takes calls out of it
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        client = FrameworkClient(server_address=address, connect_timeout=0.1, pause=0.001)
        start = time.monotonic()
        with pytest.raises(CaveError, match=r"no connection within 0.1 s"):
            client.info.get_datastacks()
    assert time.monotonic() - start < 3


def test_w3_there_are_timeouts_unless_one_asks_for_others():
    transport = FrameworkClient()._transport
    assert (transport.timeout, transport.connect_timeout) == (300, 10)
    with pytest.raises(ValueError, match="a timeout must be"):
        FrameworkClient(timeout=0)


def test_a_server_that_is_not_there_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CaveError, match="(?s)refused.*after 4 tries.*check the server's address"):
            FrameworkClient(server_address=address, pause=0.001).info.get_datastacks()


# --- changing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["reset", "cut", "lost_answer", "unavailable_after", "stall"])
def test_w4_a_post_that_may_have_been_done_is_never_sent_again(cave, stack, new_client, fault):
    client = new_client(timeout=0.3)
    getattr(cave.faults, fault)("nglstate", times=None)
    with pytest.raises(CaveError) as caught:
        client.state.upload_state_json(STATE)
    assert len(posts(cave)) == 1
    assert caught.value.uncertain
    assert "whether the service has done it is unknown" in caught.value.hint


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_w4_nor_is_one_after_a_status_that_leaves_it_open(client, cave, code):
    cave.faults.status(code, "nglstate", times=None, retry_after=0)
    with pytest.raises(CaveError) as caught:
        client.state.upload_state_json(STATE)
    assert (len(posts(cave)), caught.value.uncertain) == (1, True)


def test_w4_a_post_that_was_refused_for_now_is_sent_again(client, cave):
    cave.faults.limited("nglstate", times=2)
    assert client.state.get_state_json(client.state.upload_state_json(STATE)) == STATE
    assert len(posts(cave)) == 3
    assert len(cave.states.texts) == 1


def test_w4_a_change_never_goes_through_a_connection_that_lay_idle(client, cave):
    client.info.get_datastacks()
    client.state.upload_state_json(STATE)
    connections = [request.connection for request in cave.requests]
    assert connections[-1] not in connections[:-1]


# --- words -----------------------------------------------------------------------------------------------------------


def test_w12_an_error_has_the_services_words_and_no_traceback(client, cave, stack):
    with pytest.raises(Invalid) as caught:
        client.annotation.create_table("Bad Name", "synapse")
    assert "must match" in caught.value.words
    assert caught.value.status == 422
    assert len(str(caught.value)) < 400
    assert "Traceback" not in str(caught.value)
    assert issubclass(Invalid, ServiceError)


def test_w12_the_fields_that_are_wrong_are_told_one_by_one(client, cave, stack):
    path = f"annotation/api/v2/aligned_volume/{stack.volume.name}/table"
    body = {"schema_type": "synapse", "table_name": "t", "metadata": {}}
    with pytest.raises(Invalid, match="description: Missing data for required field") as caught:
        client.annotation._service.change("POST", path, body, str)
    assert set(caught.value.fields) == {"description", *(f"voxel_resolution_{axis}" for axis in "xyz")}


def test_a_missing_right_says_which(cave, stack, new_client):
    token = cave.accounts.add(**{DATASTACK: {"view"}})
    with pytest.raises(Forbidden, match="Missing permission") as caught:
        new_client(auth_token=token).annotation.get_tables()
    assert caught.value.data["required_permission"] == "view"
    assert caught.value.hint == f"ask for the right 'view' on '{stack.volume.name}'"
    assert isinstance(caught.value, AuthError)


def test_terms_that_are_not_accepted_are_named_and_no_browser_is_opened(cave, stack, new_client):
    token = cave.accounts.add()
    cave.accounts.unsigned(token, DATASTACK)
    with pytest.raises(Forbidden) as caught:
        new_client(auth_token=token).info.get_datastack_info()
    assert caught.value.data["tos_form_url"] == "https://forms.example.org/tos/7"
    assert caught.value.hint == (
        "the terms 'Terms of the consortium' must be accepted first, at https://forms.example.org/tos/7"
    )


def test_no_token_and_a_bad_one_are_told_apart_by_the_services_words(cave, stack, new_client):
    with pytest.raises(AuthError, match="No Token Provided"):
        new_client(auth_token=None).info.get_datastacks()
    with pytest.raises(AuthError, match="Invalid or Expired") as caught:
        new_client(auth_token="f" * 32).info.get_datastacks()
    assert (caught.value.status, caught.value.data["error"]) == (401, "invalid_token")


@pytest.mark.parametrize(
    ("status", "body", "kind", "real", "words"),
    [
        (500, '{"message": "404 Not Found: Table t", "traceback": ["x"]}', NotFound, 404, "Table t"),
        (500, '{"message": "413 Request Entity Too Large: 10001 rows"}', LimitError, 413, "10001 rows"),
        (500, '{"message": "409 Conflict: exists"}', Conflict, 409, "exists"),
        (500, '{"message": "(psycopg2.errors.UniqueViolation) duplicate key\\n[SQL: INSERT"}', Conflict, 409, None),
        (500, '{"message": "I am a 404 Not Found:"}', CaveError, 500, "I am a 404 Not Found:"),
        (500, "500", CaveError, 500, "500"),
        (404, '"No version 5"', NotFound, 404, "No version 5"),
        (413, "<html><head><title>413 Too Large</title></head></html>", LimitError, 413, None),
        (400, '{"error": "bad_auth_header", "message": "m"}', AuthError, 400, "m"),
        (418, "", CaveError, 418, ""),
        (400, "[1, 2]", Invalid, 400, "[1, 2]"),
        (500, '{"message": {"a": 1}}', CaveError, 500, '{"a": 1}'),
    ],
)
def test_the_real_status_is_found_in_the_words(status, body, kind, real, words):
    refusal = understood(status, body.encode())
    assert (refusal.kind, refusal.status) == (kind, real)
    assert words is None or refusal.words == words
    assert "SQL" not in refusal.words


def test_an_address_that_is_none_is_refused_without_showing_passwords():
    for address in ("ftp://host", "https://", "https://me:secret@host", "https://host?x=1"):
        with pytest.raises(CaveError, match="this is not the address of a server") as caught:
            FrameworkClient(server_address=address)
        assert "secret" not in str(caught.value)
    assert FrameworkClient(server_address="cave.example/").server_address == "https://cave.example"
