"""Tokens: which file counts, how they are kept, that a change reaches every part, and that nobody else gets them."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import threading
import traceback
from urllib.parse import urlsplit

import pytest

from flyem_snapshot.cave import AuthError, CaveError, FrameworkClient, TokenFileError
from flyem_snapshot.cave.http import Call
from tests.cave.conftest import DATASTACK
from tests.cave_double import CaveDouble

SERVER = "https://cave.example:8443"
OWN, ALL, OLD = "cave.example:8443-cave-secret.json", "cave-secret.json", "chunkedgraph-secret.json"


@pytest.fixture
def secrets(home):
    folder = home / ".cloudvolume" / "secrets"
    folder.mkdir(parents=True)
    return folder


def write(path, **keys):
    path.write_text(json.dumps(keys))
    path.chmod(0o600)
    return path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# --- where a token comes from ----------------------------------------------------------------------------------------


def test_without_any_token_there_is_none():
    assert FrameworkClient(server_address=SERVER).auth.token is None


def test_the_first_file_that_has_the_key_counts(secrets):
    write(secrets / OLD, token="old", other="old-other")
    assert FrameworkClient(server_address=SERVER).auth.token == "old"
    write(secrets / ALL, token="all")
    assert FrameworkClient(server_address=SERVER).auth.token == "all"
    write(secrets / OWN, token="own")
    assert FrameworkClient(server_address=SERVER).auth.token == "own"
    assert FrameworkClient(server_address="https://elsewhere.example").auth.token == "all"
    assert FrameworkClient(server_address=SERVER, auth_token_key="other").auth.token == "old-other"
    assert FrameworkClient(server_address=SERVER, auth_token="given").auth.token == "given"


def test_a_file_that_is_named_is_the_only_one_that_is_read(secrets, tmp_path, caplog):
    write(secrets / ALL, token="all")
    mine = write(tmp_path / "mine.json", work="secret")
    assert FrameworkClient(server_address=SERVER, auth_token_file=mine, auth_token_key="work").auth.token == "secret"
    assert FrameworkClient(server_address=SERVER, auth_token_file=str(mine)).auth.token is None
    assert f"{mine} has no token under the key 'token', or does not exist" in caplog.text


@pytest.mark.parametrize("content", [b"{not json, secret", b"[1]", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named_without_what_is_in_it(secrets, content):
    (secrets / ALL).write_bytes(content)
    with pytest.raises(TokenFileError, match="cave-secret.json") as caught:
        FrameworkClient(server_address=SERVER)
    assert "secret" not in str(caught.value).replace("cave-secret.json", "").replace(str(secrets), "")


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "", "ü", 5])
def test_what_cannot_be_a_token_is_refused_and_not_shown(token):
    with pytest.raises(TokenFileError, match="the token cannot be used") as caught:
        FrameworkClient(server_address=SERVER, auth_token=token)
    assert not token or str(token) not in str(caught.value)


def test_a_token_that_others_can_read_is_used_with_a_warning(secrets, caplog):
    write(secrets / ALL, token="hidden-word").chmod(0o644)
    assert FrameworkClient(server_address=SERVER).auth.token == "hidden-word"
    assert "chmod 600" in caplog.text
    assert "hidden-word" not in caplog.text


# --- saving ----------------------------------------------------------------------------------------------------------


def test_a_saved_token_is_found_by_the_next_client(secrets):
    client = FrameworkClient(server_address=SERVER)
    assert client.auth.save_token(token="fake_token_123", overwrite=True) is None
    assert client.auth.token == "fake_token_123"
    assert json.loads((secrets / OLD).read_text()) == {"token": "fake_token_123"}
    assert FrameworkClient(server_address=SERVER).auth.token == "fake_token_123"


def test_a_file_that_would_hide_the_new_token_gets_it_too(secrets):
    write(secrets / OWN, token="own")
    write(secrets / ALL, unrelated="x")
    FrameworkClient(server_address=SERVER).auth.save_token("new", overwrite=True)
    assert json.loads((secrets / OWN).read_text()) == {"token": "new"}
    assert json.loads((secrets / ALL).read_text()) == {"unrelated": "x"}
    assert FrameworkClient(server_address=SERVER).auth.token == "new"


def test_other_keys_of_a_file_stay(secrets):
    write(secrets / OLD, work="w", token="old")
    FrameworkClient(server_address=SERVER).auth.save_token("new", overwrite=True)
    assert json.loads((secrets / OLD).read_text()) == {"work": "w", "token": "new"}


def test_another_token_under_the_key_is_not_overwritten_unless_it_is_said(secrets):
    write(secrets / OLD, token="old")
    client = FrameworkClient(server_address=SERVER)
    with pytest.raises(
        ValueError, match=r"chunkedgraph-secret.json already has a token under the key 'token'"
    ) as caught:
        client.auth.save_token("new")
    assert "overwrite=True" in caught.value.hint
    assert (client.auth.token, json.loads((secrets / OLD).read_text())) == ("old", {"token": "old"})


def test_a_token_may_be_kept_without_being_used(tmp_path):
    client = FrameworkClient(server_address=SERVER, auth_token="now")
    client.auth.save_token("later", token_key="spare", token_file=tmp_path / "t.json", switch_token=False)
    assert client.auth.token == "now"
    assert json.loads((tmp_path / "t.json").read_text()) == {"spare": "later"}


def test_w6_token_files_are_private_and_atomic_and_a_named_file_can_be_saved_to(tmp_path, secrets):
    mine = tmp_path / "deep" / "mine.json"
    client = FrameworkClient(server_address=SERVER, auth_token_file=mine, auth_token="first")
    client.auth.save_token()
    assert (json.loads(mine.read_text()), mode(mine)) == ({"token": "first"}, 0o600)
    mine.chmod(0o644)
    before = mine.stat().st_ino
    client.auth.save_token("second", overwrite=True)
    assert (mode(mine), mine.stat().st_ino == before) == (0o600, False), "a new file in the place of the old one"
    assert [path.name for path in mine.parent.iterdir()] == ["mine.json"], "nothing is left over"


def test_a_link_to_a_file_of_tokens_stays_a_link(secrets, tmp_path):
    write(tmp_path / "dotfiles.json", token="old")
    (secrets / OLD).symlink_to(tmp_path / "dotfiles.json")
    FrameworkClient(server_address=SERVER).auth.save_token("new", overwrite=True)
    assert (secrets / OLD).is_symlink()
    assert json.loads((tmp_path / "dotfiles.json").read_text()) == {"token": "new"}


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TokenFileError, match="mine.json cannot be (read|written)"):
        FrameworkClient(server_address=SERVER).auth.save_token("t", token_file=tmp_path / "file" / "mine.json")


def test_a_place_where_no_file_can_be_is_named():
    with pytest.raises(TokenFileError, match="token.json cannot be written"):
        FrameworkClient(server_address=SERVER).auth.save_token("t", token_file="/proc/token.json")


def test_two_that_save_at_once_leave_a_whole_file(secrets):
    clients = [FrameworkClient(server_address=SERVER) for _ in range(8)]
    threads = [
        threading.Thread(target=client.auth.save_token, args=(f"token{n}", None, True))
        for n, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads((secrets / OLD).read_text())["token"] in {f"token{n}" for n in range(8)}


# --- new tokens ------------------------------------------------------------------------------------------------------


def test_instructions_name_the_page_of_today(capsys):
    assert FrameworkClient(server_address=SERVER).auth.get_new_token() is None
    printed = capsys.readouterr().out
    assert f"1) Go to {SERVER}/auth/api/v1/create_token" in printed
    assert 'client.auth.save_token(token="PASTE_YOUR_TOKEN_HERE")' in printed
    assert "client.auth.token = " in printed


def test_with_open_a_browser_shows_that_page(tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/shown\n')
    browser.chmod(0o700)
    program = (
        f"from flyem_snapshot.cave import *; FrameworkClient(server_address='{SERVER}').auth.get_new_token(open=True)"
    )
    environment = {**os.environ, "BROWSER": f"{browser} %s"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
    assert (tmp_path / "shown").read_text().strip() == f"{SERVER}/auth/api/v1/create_token"


def test_the_server_tells_about_tokens_and_users(client, cave):
    assert [record["token"] for record in client.auth.get_tokens()] == [cave.token]
    assert client.auth.get_user_information([1])[0]["email"] == "user1@example.org"
    assert client.auth.token_file.name == OLD
    cave.faults.replaced(b'[{"id": 1, "name": "User 1"}]', "group/7/user")
    assert client.auth.get_group_users(7) == [{"id": 1, "name": "User 1"}]
    assert client.auth.get_permissions()["permissions_v2"] == {"*": ["edit", "view"]}


# --- one token for all parts -----------------------------------------------------------------------------------------


def test_w14_a_change_of_token_reaches_the_parts_that_are_there(cave, stack, new_client, tmp_path):
    client = new_client(auth_token=None)
    parts = client.info, client.state, client.annotation, client.materialize, client.chunkedgraph
    with pytest.raises(AuthError):
        client.info.get_datastacks()
    client.auth.token = cave.token
    assert parts[0].get_datastacks() == [DATASTACK]
    assert parts[2].get_tables() == []
    assert parts[3].get_versions() == []
    client.auth.token = None
    with pytest.raises(AuthError):
        parts[3].get_versions()


def test_w14_a_change_of_auth_keeps_the_file_and_the_key(new_client, tmp_path):
    mine = write(tmp_path / "mine.json", work="first")
    client = new_client(auth_token=None, auth_token_file=mine, auth_token_key="work")
    write(mine, work="second")
    client.change_auth()
    assert (client.auth.token, client.auth.token_file, client.auth.token_key) == ("second", mine, "work")
    client.change_auth(auth_token="third")
    client.auth.save_token(overwrite=True)
    assert json.loads(mine.read_text()) == {"work": "third"}
    write(tmp_path / "other.json", work="fourth")
    client.change_auth(auth_token_file=tmp_path / "other.json")
    assert client.auth.token == "fourth"


# --- who gets it -----------------------------------------------------------------------------------------------------


def test_the_token_goes_in_a_header_only(client, cave):
    client.info.get_datastacks()
    for request in cave.requests:
        assert request.headers["authorization"] == f"Bearer {cave.token}"
        assert "cookie" not in request.headers
        assert cave.token not in json.dumps([request.path, request.args])


def test_w5_a_redirect_is_reported_and_not_followed(client, cave):
    with CaveDouble() as stranger:
        cave.faults.login("datastacks", to=f"{stranger.url}/sticky_auth/login?redirect=x", times=None)
        with pytest.raises(AuthError, match=r"redirect to .*/sticky_auth/login \(status 302\)") as caught:
            client.info.get_datastacks()
        assert not stranger.requests
    assert "get_new_token" in caught.value.hint


def test_w5_the_state_of_another_host_is_refused_and_the_viewer_is_not_asked(client, cave):
    with CaveDouble() as stranger:
        with pytest.raises(ValueError, match="a state is a number or an address below"):
            client.state.get_state_json(f"{stranger.url}/nglstate/api/v1/5")
        url = client.state.build_neuroglancer_url(5, stranger.url)
        assert url == f"{stranger.url}/?json_url={cave.url}/nglstate/api/v1/5"
        assert not stranger.requests


def test_w5_cookies_that_a_service_sets_are_not_sent_back(client, cave):
    from tests.cave_double import Reply  # noqa: PLC0415

    cave.faults.answered(
        Reply(b"[]", "application/json", 200, {"Set-Cookie": "middle_auth_token=x; Path=/"}), "datastacks"
    )
    client.info.get_datastacks()
    client.info.get_datastacks()
    assert all("cookie" not in request.headers for request in cave.requests)


def test_a_local_server_gets_the_token_because_the_record_names_it(cave, new_client):
    with CaveDouble() as local:
        local.new_datastack(DATASTACK, "volume").volume.new_table("nuclei", "nucleus_detection")
        local.accounts.users = cave.accounts.users
        cave.new_datastack(DATASTACK, "volume", local_server=local.url)
        client = new_client()
        assert client.annotation.get_tables() == ["nuclei"]
        assert {request.headers["authorization"] for request in local.requests} == {f"Bearer {cave.token}"}


@pytest.mark.parametrize("address", ["http://cave.example", "ftp://cave.example", "https://me:pw@cave.example"])
def test_a_record_cannot_send_the_token_to_a_place_that_is_not_safe(address, new_client):
    """The global server speaks https, so its record may not name one that does not."""
    client = FrameworkClient("d", server_address="https://global.example", auth_token="t")
    client.info._stored["d"] = {"local_server": address}
    with pytest.raises(CaveError) as caught:
        client.local_server  # noqa: B018
    assert "pw" not in str(caught.value)
    assert not client._transport.trusts(f"{address}/annotation")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://global.example/x", True),
        ("https://GLOBAL.example:443/x", True),
        ("http://global.example/x", False),
        ("https://global.example.evil.org/x", False),
        ("https://global.example@evil.org/x", False),
        ("https://global.example:8443/x", False),
    ],
)
def test_the_token_is_for_one_origin(url, expected):
    client = FrameworkClient(server_address="https://global.example", auth_token="t")
    assert client._transport.trusts(url) is expected


def test_w5_a_request_to_any_other_server_would_carry_no_token(client, cave):
    with CaveDouble() as stranger:
        with pytest.raises(AuthError, match="No Token Provided"):
            client._transport.json(Call("GET", f"{stranger.url}/info/api/v2/datastacks"), list)
        assert "authorization" not in stranger.requests[0].headers


def test_passwords_of_netrc_are_not_sent(cave, stack, new_client, home):
    (home / ".netrc").write_text(f"machine {urlsplit(cave.url).hostname} login me password pw\n")
    (home / ".netrc").chmod(0o600)
    with pytest.raises(AuthError):
        new_client(auth_token=None).info.get_datastacks()
    assert all("authorization" not in request.headers for request in cave.requests)


@pytest.mark.parametrize("fault", ["reset", "cut", "stall", "echo", "redirect"])
def test_no_error_and_no_log_line_shows_the_token(cave, stack, new_client, fault, caplog):
    caplog.set_level(logging.DEBUG)
    client = new_client(timeout=0.2)
    if fault == "echo":
        cave.faults.status(400, "datastacks", text=f"bad token {cave.token}", times=None)
    elif fault == "redirect":
        cave.faults.redirect(f"https://x.example/?token={cave.token}", "datastacks", times=None)
    else:
        getattr(cave.faults, fault)("datastacks", times=None)
    with pytest.raises(CaveError) as caught:
        client.info.get_datastacks()
    seen, texts = caught.value, []
    while seen is not None:
        texts += [str(seen), repr(seen), repr(vars(seen))]
        seen = seen.__cause__ or seen.__context__
    assert cave.token not in "\n".join(
        [*texts, *traceback.format_exception(caught.value), caplog.text, repr(client.auth)]
    )
