"""Requests: what is tried again, what is not, that answers are whole, and that no secret is ever shown."""

from __future__ import annotations

import http.server
import json
import logging
import socket
import threading
import time
import traceback

import pytest

from flyem_snapshot.errors import ServiceError
from flyem_snapshot.sources.dvid import sessions
from flyem_snapshot.sources.dvid.failures import DvidError, Incomplete, Missing
from flyem_snapshot.sources.dvid.http import DvidClient, require_list, require_object
from flyem_snapshot.sources.dvid.parallel import halving
from flyem_snapshot.sources.dvid.secrets import redacted
from tests.dvid_double import DvidDouble

INFO = "api/server/info"
SECRETS = {"DVID_TOKEN": "bearer+secret/1", "DVID_ADMIN_TOKEN": "admin&secret 2"}  # need quoting in a URL


@pytest.fixture
def dvid():
    with DvidDouble(admin_token=SECRETS["DVID_ADMIN_TOKEN"]) as dvid:
        yield dvid


@pytest.fixture
def client(dvid):
    with client_of(dvid) as client:
        yield client


@pytest.fixture
def secrets(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def client_of(dvid, **options):
    return DvidClient(dvid.url, **{"user": "tester", "timeout": 5.0, "threads": 4, "pause": 0.001, **options})


def store_of(dvid, values=None):
    """A key-value instance at an open node: (its path, the double's instance)."""
    repo = dvid.new_repo("things")
    store = repo.keyvalue("store")
    store.set(repo.root, values or {"key": b"value"})
    return f"api/node/{repo.root}/store", repo


# --- what is sent ----------------------------------------------------------------------------------------------------


def test_the_servers_info_is_a_dict_of_strings(client):
    assert client.server_info()["DVID Version"] == "v1.0.0-254-g3400c2cb"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("host:8000", "http://host:8000"),
        (" https://host/ ", "https://host"),
        ("http://host/dvid/", "http://host/dvid"),
        ("emdata7", "http://emdata7"),
    ],
)
def test_an_address_needs_no_scheme_and_no_slash(given, expected):
    assert DvidClient(given).server == expected


@pytest.mark.parametrize("given", ["", "ftp://host", "http://", "host:port", "http://me:secret@host", "host?x=1"])
def test_what_is_no_address_is_refused_without_showing_passwords(given):
    with pytest.raises(DvidError, match="this is not the address of a server") as caught:
        DvidClient(given)
    assert "secret" not in str(caught.value)


def test_every_call_says_who_asks_and_that_it_can_wait(dvid, client):
    path, _ = store_of(dvid)
    client.server_info()
    client.content(f"{path}/key/key")
    client.post(f"{path}/key/other", body=b"1")
    assert len(dvid.requests) == 3
    for request in dvid.requests:
        sent = {name: request.args[name] for name in ("u", "app", "interactive")}
        assert sent == {"u": "tester", "app": "flyem-snapshot", "interactive": "false"}
        assert request.headers["user-agent"].startswith("flyem-snapshot/")


def test_a_user_without_a_name_is_the_program(monkeypatch):
    def nobody():
        raise OSError("No username set in the environment")

    monkeypatch.setattr(sessions.getpass, "getuser", nobody)
    assert DvidClient("host").user == "flyem-snapshot"


def test_a_get_carries_its_body_and_the_md5_of_it(dvid, client):
    labels = dvid.new_repo("r")
    labels.labelmap("seg")
    assert client.json(f"api/node/{labels.root}/seg/mapping", body=[5, 2**53 + 1], hashed=True) == [0, 0]
    (request,) = dvid.asked("mapping")
    assert request.body == b"[5,9007199254740993]"
    assert request.args["hash"] == "077a12c1cf28db56567115650109df65"


def test_integers_of_64_bits_come_and_go_unchanged(dvid, client):
    repo = dvid.new_repo("r")
    repo.labelmap("seg")
    ids = [2**53 + 1, 2**63 + 1, 2**64 - 1]
    assert client.json(f"api/node/{repo.root}/seg/mapping", body=ids, params={"nolookup": "true"}) == ids


def test_connections_are_used_again(dvid, client):
    for _ in range(5):
        client.server_info()
    assert {request.connection for request in dvid.requests} == {dvid.requests[0].connection}


# --- what is tried again ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_server_that_is_away_for_a_moment_is_asked_again(dvid, client, status):  # M19
    fault = dvid.faults.status(status, "server/info", times=4)
    assert client.server_info()
    assert fault.hits == 4
    assert len(dvid.requests) == 5


def test_a_server_that_stays_away_fails_with_its_words_after_five_tries(dvid, client):
    dvid.faults.status(503, "server/info", text="shutting down", times=None)
    with pytest.raises(DvidError, match=r"shutting down .*\(status 503\) after 5 tries") as caught:
        client.server_info()
    assert len(dvid.requests) == 5
    assert (caught.value.status, caught.value.transient, caught.value.tries) == (503, True, 5)
    assert caught.value.words == "shutting down (/api/server/info)."


def test_the_server_says_how_long_to_wait(dvid, client):
    dvid.faults.status(503, "server/info", retry_after=1)
    start = time.monotonic()
    client.server_info()
    assert 1 <= time.monotonic() - start < 3


def test_an_unreasonable_wish_to_wait_is_cut_short():
    from flyem_snapshot.sources.dvid.sessions import PoliteRetry  # noqa: PLC0415

    class Response:
        def __init__(self, text):
            self.headers = {"Retry-After": text}

    waits = [PoliteRetry().get_retry_after(Response(text)) for text in ("7", "86400", "in a while")]
    assert waits == [7, 120, None]


def test_a_panic_is_tried_once_more(dvid, client):
    dvid.faults.panic("server/info")
    assert client.server_info()
    dvid.faults.panic("server/info", times=None)
    with pytest.raises(DvidError, match=r"Panic detected.*\(status 500\) after 2 tries"):
        client.server_info()
    assert len(dvid.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 416, 429])
def test_an_answer_that_means_no_is_not_asked_for_again(dvid, client, status):
    dvid.faults.status(status, "server/info", text="no", times=None, retry_after=1 if status == 429 else None)
    with pytest.raises(DvidError, match="no ") as caught:
        client.server_info()
    assert len(dvid.requests) == 1
    assert caught.value.status == status
    assert not caught.value.transient
    assert isinstance(caught.value, Missing) == (status == 404)


def test_a_blocked_user_is_told_so(dvid, client):
    dvid.access.blocked.add("tester")
    with pytest.raises(DvidError, match="the server blocks user 'tester'"):
        client.server_info()


@pytest.mark.parametrize("mode", ["jwt", "dsg"])
def test_a_missing_token_is_named_and_a_good_one_is_sent(dvid, client, monkeypatch, mode):
    path, _ = store_of(dvid)
    dvid.access.mode = mode
    dvid.access.tokens.add("good")
    monkeypatch.delenv("DVID_TOKEN", raising=False)
    with pytest.raises(DvidError, match="DVID_TOKEN must hold a token"):
        client.content(f"{path}/key/key")
    monkeypatch.setenv("DVID_TOKEN", "good")
    assert client.content(f"{path}/key/key") == b"value"
    assert dvid.requests[-1].headers["authorization"] == "Bearer good"


def test_passwords_of_netrc_stay_at_home(dvid, client, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client.server_info()
    assert "authorization" not in dvid.requests[0].headers


def test_a_redirect_is_not_followed_but_named(dvid, client, secrets):
    path, _ = store_of(dvid)
    dvid.faults.redirect("http://elsewhere.example/?admintoken=admin%26secret+2", "key/key", times=None)
    with pytest.raises(DvidError, match=r"points to http://elsewhere.example/\?admintoken=\*\*\*"):
        client.post(f"{path}/key/key", body=b"1", admin=True)
    assert len(dvid.requests) == 1


# --- timeouts --------------------------------------------------------------------------------------------------------


def test_a_silent_server_is_given_up_after_two_tries(dvid):  # M19
    dvid.faults.stall("server/info", times=None)
    start = time.monotonic()
    with pytest.raises(DvidError, match=r"no answer within 0.2 s after 2 tries") as caught:
        client_of(dvid, timeout=0.2).server_info()
    assert time.monotonic() - start < 2
    assert caught.value.transient
    assert caught.value.status is None


def test_a_server_that_falls_silent_within_an_answer_is_asked_again(dvid):
    path, _ = store_of(dvid, {"key": bytes(100_000)})
    dvid.faults.stall("key/key", after=10)
    assert client_of(dvid, timeout=0.2).content(f"{path}/key/key") == bytes(100_000)


def test_a_host_that_does_not_take_the_call_is_given_up_long_before_the_timeout_of_answers():  # M20
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for caller in (first, second):  # the queue is full now, and nobody takes calls out of it
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        client = DvidClient(f"127.0.0.1:{deaf.getsockname()[1]}", timeout=300, connect_timeout=0.1, pause=0.001)
        start = time.monotonic()
        with pytest.raises(DvidError, match=r"no connection within 0.1 s"):
            list(client.in_parallel(lambda _: client.server_info(), range(2)))
    assert time.monotonic() - start < 5


def test_a_host_has_ten_seconds_to_take_the_call():
    client = DvidClient("host")
    assert (client.connect_timeout, client.timeout) == (10, 300)


def test_a_server_that_is_not_there_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        client = DvidClient(f"127.0.0.1:{taken.getsockname()[1]}", pause=0.001)
        with pytest.raises(DvidError, match="(?s)Connection refused.*check the server's address") as caught:
            client.server_info()
    assert not caught.value.transient


def test_a_restart_of_the_server_goes_unnoticed(dvid, client):
    client.server_info()
    dvid.stop()
    threading.Timer(0.05, dvid.listen).start()
    patient = client_of(dvid, pause=0.05)
    assert patient.server_info()
    assert client.server_info()


# --- whether an answer is whole --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut", "reset", "truncated", "appended"])
def test_json_that_is_not_whole_is_asked_for_again(dvid, client, fault):  # M19
    getattr(dvid.faults, fault)("server/info", times=2)
    assert client.server_info()["Host"] == f"127.0.0.1:{dvid.port}"
    assert len(dvid.requests) == 3


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("cut", "the answer broke off"),
        ("reset", "the answer broke off"),
        ("truncated", "the answer was incomplete: it is not the JSON that was asked for"),
        ("appended", "the answer was incomplete: it is not the JSON .*Error: input/output error"),
    ],
)
def test_an_answer_that_is_never_whole_fails_after_three_tries(dvid, client, fault, words):
    getattr(dvid.faults, fault)("server/info", times=None)
    with pytest.raises(DvidError, match=f"{words}.* after 3 tries") as caught:
        client.server_info()
    assert caught.value.transient
    assert len(dvid.requests) == 3


def test_content_is_what_its_check_accepts(dvid, client):
    path, _ = store_of(dvid, {"key": b"12345"})
    dvid.faults.truncated("key/key")

    def five(content):
        if len(content) != 5:
            raise Incomplete(f"{len(content)} of 5 bytes")

    assert client.content(f"{path}/key/key", check=five) == b"12345"
    assert len(dvid.requests) == 2


def test_a_page_of_a_proxy_is_no_json(dvid, client):
    dvid.faults.replaced(b"<html>Sign in</html>", "server/info", times=None)
    with pytest.raises(DvidError, match=r"20 bytes that end with '<html>Sign in</html>'"):
        client.server_info()


@pytest.mark.parametrize(("check", "body"), [(require_object, b"[]"), (require_list, b"{}"), (require_list, b"null")])
def test_json_of_another_kind_is_no_answer(dvid, client, check, body):
    dvid.faults.replaced(body, "server/info", times=None)
    with pytest.raises(DvidError, match="was expected, not"):
        client.json(INFO, check=check)


def test_a_partial_answer_means_later(dvid, client):
    dvid.faults.status(206, "server/info", text="{}")
    assert client.server_info()
    assert len(dvid.requests) == 2


def test_a_proxy_that_drops_the_bodies_of_gets_is_found_out(dvid, client):
    repo = dvid.new_repo("r")
    repo.labelmap("seg")
    dvid.faults.drop_get_bodies("mapping")
    with pytest.raises(DvidError, match="(?s)hash.*a proxy on the way drops the bodies of GET requests"):
        client.json(f"api/node/{repo.root}/seg/mapping", body=[1], hashed=True)


def test_a_stream_comes_in_chunks(dvid, client):
    path, _ = store_of(dvid, {"key": bytes(3_000_000)})
    with client.stream(f"{path}/key/key") as chunks:
        assert sum(map(len, chunks)) == 3_000_000


def test_a_stream_that_breaks_off_says_so_where_it_does(dvid, client):
    path, _ = store_of(dvid, {"key": bytes(3_000_000)})
    dvid.faults.cut("key/key", after=2_500_000)
    sizes = []
    with client.stream(f"{path}/key/key") as chunks, pytest.raises(Incomplete, match="the answer broke off"):
        sizes.extend(map(len, chunks))
    assert 0 < sum(sizes) <= 2_500_000
    assert client.content(f"{path}/key/key") == bytes(3_000_000), "the connection is not used again"


def test_a_stream_that_is_refused_fails_at_once(dvid, client):
    path, _ = store_of(dvid)
    with pytest.raises(Missing), client.stream(f"{path}/key/absent"):
        pytest.fail("there is nothing to read")


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["reset", "cut", "panic"])
def test_a_post_is_sent_once_only(dvid, client, fault):
    path, _ = store_of(dvid)
    getattr(dvid.faults, fault)("key/key", times=None)
    with pytest.raises(DvidError) as caught:
        client.post(f"{path}/key/key", body=b"1")
    assert len(dvid.requests) == 1
    assert fault == "panic" or "whether the server has done it is unknown" in caught.value.hint


@pytest.mark.parametrize("status", [502, 503])
def test_a_post_is_not_sent_again_to_a_server_that_is_away(dvid, client, status):
    path, _ = store_of(dvid)
    dvid.faults.status(status, "key/key", retry_after=1)
    with pytest.raises(DvidError, match=str(status)):
        client.post(f"{path}/key/key", body=b"1")
    assert len(dvid.requests) == 1


def test_a_post_that_may_be_sent_again_is(dvid, client):
    path, _ = store_of(dvid)
    dvid.faults.reset("key/key")
    dvid.faults.status(503, "key/key")
    client.post(f"{path}/key/key", body=b"1", retry=True)
    assert client.content(f"{path}/key/key") == b"1"


def test_only_a_post_that_asks_for_it_carries_the_admin_token(dvid, client, secrets):  # M21
    path, repo = store_of(dvid)
    repo.commit(repo.root)
    client.content(f"{path}/key/key")
    with pytest.raises(DvidError, match="locked node"):
        client.post(f"{path}/key/key", body=b"1")
    client.post(f"{path}/key/key", body=b"2", admin=True)
    assert ["admintoken" in request.args for request in dvid.requests] == [False, False, True]
    assert client.content(f"{path}/key/key") == b"2"


def test_without_an_admin_token_nothing_is_sent(dvid, client, monkeypatch):
    monkeypatch.delenv("DVID_ADMIN_TOKEN", raising=False)
    with pytest.raises(DvidError, match="set the environment variable DVID_ADMIN_TOKEN"):
        client.post("api/node/x/y", body=b"", admin=True)
    assert not dvid.requests


# --- secrets ---------------------------------------------------------------------------------------------------------

QUOTED = ["bearer+secret", "bearer%2Bsecret", "admin&secret", "admin%26secret", "secret 2", "secret%202", "secret+2"]


def shows_a_secret(text):
    return [form for form in QUOTED if form in text]


def everything_about(error):
    """The texts of an error and of all that it hangs on to."""
    seen, texts = error, []
    while seen is not None:
        texts += [str(seen), repr(seen), repr(vars(seen))]
        seen = seen.__cause__ or seen.__context__
    return "\n".join([*texts, *traceback.format_exception(error)])


@pytest.mark.parametrize("fault", ["reset", "cut", "panic", "refused", "stall", "echo"])
def test_no_error_and_no_log_line_shows_a_token(dvid, client, secrets, fault, caplog):  # M21
    caplog.set_level(logging.DEBUG)
    path, _ = store_of(dvid)
    client = client_of(dvid, timeout=0.3)
    if fault == "refused":
        dvid.stop()
    elif fault == "echo":
        said = "admintoken=admin%26secret+2 Bearer bearer+secret/1 admin&secret 2"
        dvid.faults.status(400, "key", text=said, times=None)
    else:
        getattr(dvid.faults, fault)("key", times=None)
    with pytest.raises(DvidError) as caught:
        client.post(f"{path}/key/key", body=b"1", admin=True)
    assert not shows_a_secret(everything_about(caught.value))
    with pytest.raises(DvidError) as caught:
        client.content(f"{path}/key/key", params={"x": "1"})
    assert not shows_a_secret(everything_about(caught.value))
    assert "?x=1" in caught.value.url
    assert caplog.text
    assert not shows_a_secret(caplog.text)


def test_a_token_that_cannot_be_sent_is_not_shown(dvid, client, monkeypatch):
    monkeypatch.setenv("DVID_TOKEN", "bearer\nsecret")
    with pytest.raises(DvidError) as caught:
        client.server_info()
    assert "secret" not in everything_about(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /x?admintoken=abc&u=me", "GET /x?admintoken=***&u=me"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("http://me:pw@host/x", "http://***@host/x"),
        ("nothing to hide @ all", "nothing to hide @ all"),
    ],
)
def test_secrets_are_cut_out_of_texts(text, expected):
    assert redacted(text) == expected


# --- in parallel -----------------------------------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_items(client):
    def slow_at_first(number):
        time.sleep(0.02 if number < 3 else 0)
        return number * number

    assert list(client.in_parallel(slow_at_first, range(50))) == [number * number for number in range(50)]


def test_no_more_than_twice_the_threads_are_ahead_of_the_reader(client):
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = client.in_parallel(lambda number: number, items())
    for done in range(20):
        next(results)
        assert len(taken) <= done + 1 + 8


def test_at_most_so_many_requests_are_in_flight(dvid, client):
    dvid.faults.stall("server/info", seconds=0.02, times=None)
    list(client.in_parallel(lambda _: client.server_info(), range(24)))
    assert dvid.most_at_once("server/info") == 4


def test_the_first_failure_stops_the_others(client):
    started = []

    def work(number):
        started.append(number)
        if number == 2:
            raise DvidError("GET", "http://x", "no")
        time.sleep(0.2)

    start = time.monotonic()
    with pytest.raises(DvidError, match="no"):
        list(client.in_parallel(work, range(1000)))
    assert time.monotonic() - start < 0.19, "it does not wait for those before it"
    time.sleep(0.3)
    assert len(started) <= 8


def test_closing_the_iterator_stops_the_workers(client):
    results = client.in_parallel(lambda number: number, iter(range(10**9)))
    next(results)
    results.close()
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("dvid-") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_log_lines_of_workers_know_their_stage(client):
    from flyem_snapshot import log  # noqa: PLC0415

    with log.prefixed("annotations"):
        prefixes = list(client.in_parallel(lambda _: log._prefixes.get(), range(3)))
    assert prefixes == [("annotations",)] * 3


def test_a_failing_batch_is_halved_down_to_a_sixteenth(caplog):
    asked = []

    def ask(batch, tries):
        asked.append((len(batch), tries))
        if 70 in batch and len(batch) > 10:
            raise DvidError("GET", "http://x", "no answer", transient=True)
        return batch

    parts = halving(ask, list(range(160)))
    assert [item for part in parts for item in part] == list(range(160))
    assert asked == [(160, 3), (80, 1), (40, 1), (40, 1), (20, 1), (20, 1), (10, 3), (10, 3), (80, 1)]
    assert "trying again with 80 items instead of 160" in caplog.text


def test_a_batch_is_not_halved_for_ever_nor_when_the_answer_is_final():
    asked = []

    def ask(batch, tries):
        asked.append(len(batch))
        raise DvidError("GET", "http://x", "no", transient=len(batch) != 100)

    with pytest.raises(DvidError):
        halving(ask, list(range(1600)), smallest=1)
    assert asked == [1600, 800, 400, 200, 100]
    asked.clear()
    with pytest.raises(DvidError):
        halving(ask, list(range(100)))
    assert asked == [100]


def test_it_is_a_service_error_like_any_other(client):
    assert issubclass(DvidError, ServiceError)
    error = client.error("api/x", "is odd", hint="look")
    assert str(error) == f"GET {client.server}/api/x: is odd\n  hint: look"


def test_a_body_without_a_length_that_ends_early_is_caught_by_its_json():
    """Framing that ends with the connection cannot tell; the check of the content can."""

    class Short(http.server.BaseHTTPRequestHandler):
        count = 0

        def do_GET(self):
            Short.count += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"Host": "h"}).encode()[: None if Short.count == 3 else 5])

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Short) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        assert DvidClient(f"127.0.0.1:{server.server_port}", pause=0.001).server_info() == {"Host": "h"}
        server.shutdown()
    assert Short.count == 3
