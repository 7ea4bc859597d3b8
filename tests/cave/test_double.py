"""The double of the CAVE services: its transport, faults and accounts, and how it tells what it was asked."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
import time

import pyarrow as pa
import pytest
import requests

from tests.cave_double import CaveDouble
from tests.cave_double.sample import sample_datastack

STACK = "minnie65_phase3_v0"
QUERY = f"/materialize/api/v3/datastack/{STACK}/version/1/table/synapses/query"
GOOD = {"direct_sql_pandas": "true", "arrow_format": "true"}


@pytest.fixture
def cave():
    with CaveDouble() as cave:
        sample_datastack(cave)
        yield cave


@pytest.fixture
def http(cave):
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {cave.token}"
        yield session


def query(http, cave, **body):
    url, plain = f"{cave.url}{QUERY}", {"Accept-Encoding": "identity"}
    return http.post(url, params=GOOD, json=body, headers=plain, timeout=5, allow_redirects=False)


def rows(answer):
    assert answer.status_code == 200, answer.text
    with pa.ipc.open_stream(answer.content) as reader:
        return reader.read_all()


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_page_of_a_proxy_comes_once_after_those_that_are_let_through(cave, http):
    fault = cave.faults.html(503, "query", title="Service Unavailable", skip=1)
    answers = [query(http, cave, limit=1) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 503, 200]
    assert answers[1].headers["Content-Type"] == "text/html"
    assert "<h1>503 Service Unavailable</h1>" in answers[1].text
    assert fault.hits == 1


def test_a_status_hides_in_a_500(cave, http):
    cave.faults.hidden(413, "too much", "query")
    answer = query(http, cave)
    assert answer.status_code == 500
    assert answer.json()["message"] == "413 Request Entity Too Large: too much"
    assert answer.json()["traceback"]


@pytest.mark.parametrize("wait", [None, 3])
def test_a_limiter_says_how_long_to_wait_or_not(cave, http, wait):
    cave.faults.limited(retry_after=wait)
    answer = query(http, cave)
    assert answer.status_code == 429
    assert answer.headers.get("Retry-After") == (None if wait is None else str(wait))


def test_a_login_page_is_a_redirect_or_comes_at_once(cave, http):
    cave.faults.login("query", to="https://accounts.example.org/login")
    assert query(http, cave).headers["Location"] == "https://accounts.example.org/login"
    cave.faults.login("query", page=True)
    answer = query(http, cave)
    assert answer.status_code == 200
    assert "Sign in" in answer.text


def test_a_stream_is_cut_on_the_wire_or_ends_too_soon(cave, http):
    cave.faults.cut("query")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        query(http, cave)
    cave.faults.truncated("query", after=2000)
    answer = query(http, cave)
    assert answer.status_code == 200
    assert len(answer.content) == 2000
    with pytest.raises((pa.ArrowInvalid, OSError)):
        rows(answer)


@pytest.mark.parametrize("kind", ["lost_answer", "unavailable_after"])
def test_a_request_is_done_although_its_answer_does_not_say_so(cave, http, kind):
    volume = cave.datastacks[STACK].volume
    table = volume.new_table("tags", "bound_tag")
    getattr(cave.faults, kind)("annotations")
    body = {"annotations": [{"pt": {"position": [1, 2, 3]}, "tag": "here"}]}
    url = f"{cave.url}/annotation/api/v2/aligned_volume/{volume.name}/table/tags/annotations"
    if kind == "lost_answer":
        with pytest.raises(requests.exceptions.ConnectionError):
            http.post(url, json=body, timeout=5)
    else:
        assert http.post(url, json=body, timeout=5).status_code == 503
    assert len(table) == 1


def test_a_proxy_may_drop_the_body_of_a_get(cave, http):
    url = f"{cave.url}/segmentation/api/v1/table/minnie65_phase3_graph/past_id_mapping"
    (root, *_) = sorted(cave.graphs["minnie65_phase3_graph"].roots)
    ask = functools.partial(http.get, url, json={"root_ids": [root]}, params={"timestamp_past": "1767000000"})
    assert ask().json()["past_id_map"] == {str(root): [root]}
    cave.faults.drop_get_bodies("past_id_mapping")
    assert ask().status_code == 400
    cave.faults.clear()
    assert ask().status_code == 200


def test_an_answer_stalls_until_the_server_stops(cave, http):
    cave.faults.stall("query", seconds=60)
    with pytest.raises(requests.exceptions.ReadTimeout):
        http.post(f"{cave.url}{QUERY}", json={}, timeout=0.2)
    started = time.monotonic()
    cave.stop()
    assert time.monotonic() - started < 5


# --- hooks and the log ------------------------------------------------------------------------------------------------


def test_a_hook_changes_the_row_limit_in_the_middle_of_a_conversation(cave, http):
    cave.after(2, functools.partial(setattr, cave, "query_limit", 10), path="query")
    assert [len(rows(query(http, cave))) for _ in range(4)] == [1000, 1000, 10, 10]


def test_a_hook_expires_a_version_between_two_requests(cave, http):
    cave.before(2, cave.datastacks[STACK].versions[1].expire, path="query")
    assert query(http, cave).status_code == 200
    answer = query(http, cave)
    assert answer.status_code == 500
    assert "does not exist" in answer.json()["message"]


def test_requests_are_logged_with_their_arguments_and_connections(cave, http):
    query(http, cave, limit=1)
    query(http, cave, limit=2)
    one, two = cave.asked("/query$", "POST")
    assert one.args == GOOD
    assert (one.json(), two.json()) == ({"limit": 1}, {"limit": 2})
    assert one.connection == two.connection, "connections are kept"
    assert one.headers["authorization"] == f"Bearer {cave.token}"
    assert cave.asked("nothing like it") == []


def test_requests_at_once_are_counted(cave):
    meeting = threading.Barrier(3)
    for k in (1, 2):
        cave.before(k, meeting.wait)
    headers = {"Authorization": f"Bearer {cave.token}"}
    ask = functools.partial(requests.get, f"{cave.url}/info/api/v2/datastacks", headers=headers, timeout=5)
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    meeting.wait()
    for thread in threads:
        thread.join()
    assert cave.most_at_once() == 2


def test_a_restarted_server_has_its_data_and_port(cave, http):
    port = cave.port
    cave.restart(0.05)
    deadline = time.monotonic() + 5
    while True:
        try:
            assert len(rows(query(http, cave))) == 1000
            break
        except requests.exceptions.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert cave.port == port


def test_a_mistake_of_the_double_itself_is_raised_at_its_end():
    cave = CaveDouble()
    cave.listen()
    cave.datastacks = None
    headers = {"Authorization": f"Bearer {cave.token}"}
    assert requests.get(f"{cave.url}/info/api/v2/datastacks", headers=headers, timeout=5).status_code == 500
    with pytest.raises(RuntimeError, match="the double itself failed"):
        cave.__exit__(None, None, None)


def test_it_is_served_from_the_command_line():
    command = [sys.executable, "-m", "tests.cave_double", "--rows", "500"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        words = process.stdout.readline().split()
        url, stack, token = words[0], words[2], words[6]
        headers = {"Authorization": f"Bearer {token}"}
        count = f"{url}/materialize/api/v3/datastack/{stack}/version/1/table/synapses/count"
        assert requests.get(count, headers=headers, timeout=5).json() == 500
        process.terminate()


# --- accounts ---------------------------------------------------------------------------------------------------------


def ask(cave, token, path=f"/info/api/v2/datastack/full/{STACK}", method="GET", **options):
    headers = {"Authorization": f"Bearer {token}"}
    return requests.request(method, f"{cave.url}{path}", headers=headers, timeout=5, **options)


def test_who_lacks_a_permission_is_told_which(cave):
    token = cave.accounts.add(other={"view"})
    answer = ask(cave, token)
    assert answer.status_code == 403
    assert answer.json()["error"] == "missing_permission"
    assert answer.json()["data"] == {"required_permission": "view", "auth_dataset": STACK}
    assert ask(cave, token, "/info/api/v2/datastacks").json() == []


def test_who_may_only_view_may_not_write(cave):
    token = cave.accounts.add(**{"*": {"view"}})
    path = "/annotation/api/v2/aligned_volume/minnie65_phase3/table"
    assert ask(cave, token, path).status_code == 200
    answer = ask(cave, token, path, "POST", json={})
    assert answer.status_code == 403
    assert answer.json()["data"]["required_permission"] == "edit"


def test_terms_that_are_not_accepted_are_named(cave):
    cave.accounts.unsigned(cave.token, STACK)
    answer = ask(cave, cave.token)
    assert (answer.status_code, answer.json()["error"]) == (403, "missing_tos")
    assert set(answer.json()["data"]) == {"tos_id", "tos_name", "tos_form_url"}


def test_an_expired_token_is_an_invalid_one(cave):
    cave.accounts.expired.add(cave.token)
    assert ask(cave, cave.token).json()["error"] == "invalid_token"


def test_tables_of_others_are_not_written_to_or_not_even_read(cave):
    other = cave.accounts.add()
    volume = cave.volumes["minnie65_phase3"]
    volume.new_table("secret", "bound_tag", read_permission="PRIVATE")
    base = f"/annotation/api/v2/aligned_volume/{volume.name}/table"
    assert ask(cave, other, base).json() == ["synapses"]
    for method, path in (("GET", f"{base}/secret"), ("DELETE", f"{base}/synapses")):
        answer = ask(cave, other, path, method)
        assert answer.status_code == 500
        assert answer.json()["message"].startswith("401 Unauthorized: ")


def test_an_unknown_graph_is_an_invalid_table(cave):
    answer = ask(cave, cave.token, "/segmentation/api/v1/table/elsewhere/node/1/root")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_table_id")


def test_tokens_are_made_and_refreshed_unless_there_are_several(cave):
    made = ask(cave, cave.token, "/auth/api/v1/create_token").json()
    assert len(made) == 32
    assert ask(cave, made).status_code == 200
    assert ask(cave, made, "/auth/api/v1/refresh_token").status_code == 400
    assert {entry["token"] for entry in ask(cave, made, "/auth/api/v1/user/token").json()} == {cave.token, made}
    alone = cave.accounts.add()
    fresh = ask(cave, alone, "/auth/api/v1/refresh_token").json()
    assert [ask(cave, token).status_code for token in (alone, fresh)] == [401, 200]


def test_accounts_are_described(cave):
    me = ask(cave, cave.token, "/auth/api/v1/user/cache").json()
    assert (me["id"], me["admin"], me["permissions_v2"]) == (1, True, {"*": ["edit", "view"]})
    assert ask(cave, cave.token, "/auth/api/v1/user?id=1").json() == [
        {"id": 1, "email": "user1@example.org", "name": "User 1"}
    ]


def test_without_accounts_everybody_is_user_0(cave):
    cave.accounts.required = False
    assert requests.get(f"{cave.url}/info/api/v2/datastacks", timeout=5).json() == [STACK]


def test_a_token_in_the_address_opens_too_which_is_why_nobody_should_put_it_there(cave):
    url = f"{cave.url}/info/api/v2/datastacks"
    assert requests.get(url, params={"middle_auth_token": cave.token}, timeout=5).json() == [STACK]
    assert requests.get(url, params={"middle_auth_token": "0" * 32}, timeout=5).status_code == 401


# --- what the services say of themselves ------------------------------------------------------------------------------


def test_a_service_may_be_of_another_version_or_say_nothing(cave):
    cave.versions["/materialize/api/versions"] = [2]
    del cave.versions["/schema/versions"]
    assert ask(cave, cave.token, "/materialize/api/versions").json() == [2]
    assert ask(cave, cave.token, "/schema/versions").status_code == 404


def test_the_local_services_may_be_elsewhere(cave):
    with CaveDouble() as local:
        cave.new_datastack("far", "volume", "seg", local_server=local.url)
        record = ask(cave, cave.token, "/info/api/v2/datastack/full/far").json()
        assert record["local_server"] == local.url
        assert record["segmentation_source"] == f"graphene://{local.url}/segmentation/table/seg"


# --- states -----------------------------------------------------------------------------------------------------------


def test_a_state_is_deflated_for_who_knows_gzip_and_refusals_are_opaque(cave, http):
    base = f"{cave.url}/nglstate/api/v1"
    address = http.post(f"{base}/post", data=b'{"a": 1}').json()
    assert address == f"{base}/5762925562167296"
    packed = http.get(address, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "deflate"
    assert packed.json() == {"a": 1}
    assert "Content-Encoding" not in http.get(address, headers={"Accept-Encoding": "identity"}).headers
    missing = http.get(f"{base}/1234567890123456")
    assert missing.status_code == 500
    assert missing.text.startswith("<!doctype html>")
    cave.states.largest = 4
    assert http.post(f"{base}/post", data=b'{"a": 1}').status_code == 500
