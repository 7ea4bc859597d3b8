from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flyem_snapshot.outputs.reports.links import links_to

STATE = {"layers": [{"type": "segmentation", "name": "s"}]}


class _State(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/state" else 404)
        self.end_headers()
        self.wfile.write(json.dumps(STATE).encode())

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), _State) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_no_state_no_links():
    assert links_to(None, "https://host") is None


def test_a_state_is_read_from_a_file(tmp_path):
    (tmp_path / "state.json").write_text(json.dumps(STATE), encoding="utf-8-sig")
    links = links_to(tmp_path / "state.json", "https://host")
    assert (links.state, links.host) == (STATE, "https://host")


def test_a_state_is_read_from_a_server(server):
    assert links_to(f"{server}/state", "https://host").state == STATE


def test_a_state_is_read_from_an_object_store(tmp_path):
    (tmp_path / "state.json").write_text(json.dumps(STATE))
    assert links_to(f"file://{tmp_path}/state.json", "https://host").state == STATE


def test_a_key_in_the_address_is_not_shown(server, tmp_path, caplog):
    assert links_to(f"{server}/none?key=very-secret", "https://host") is None
    assert links_to(f"file://{tmp_path}/none?key=very-secret", "https://host") is None

    assert f"{server}/none cannot be read" in caplog.text
    assert "very-secret" not in caplog.text


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{"])
def test_a_state_that_cannot_be_used_is_one_warning(tmp_path, caplog, content):
    (tmp_path / "state.json").write_bytes(content)
    assert links_to(tmp_path / "state.json", "https://host") is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("place", ["/other", "nowhere://x/y", "http://127.0.0.1:9/state"])
def test_a_place_that_does_not_answer_is_one_warning(server, caplog, place):
    assert links_to(server + place if place.startswith("/") else place, "https://host") is None
    assert "no links in the plots" in caplog.text


def test_a_file_that_is_missing_is_one_warning(tmp_path, caplog):
    assert links_to(tmp_path / "state.json", "https://host") is None
    assert "No such file" in caplog.text
