"""A small database in each version of Neo4j, and bridges to it, encrypted and plain, with a token and without."""

from __future__ import annotations

import contextlib
import threading

import pytest

from flyem_snapshot.bridge.database import Database
from flyem_snapshot.bridge.routes import Api
from flyem_snapshot.bridge.server import Access, BridgeServer
from flyem_snapshot.bridge.tls import self_signed, server_context
from tests import neo4j_homes
from tests.bridge import graph

TOKEN = "a-token-for-tests"  # noqa: S105 - of nothing


@pytest.fixture(scope="session", params=neo4j_homes.VERSIONS)
def bolt(request, tmp_path_factory):
    """The address of a server that holds the database of `graph`."""
    with neo4j_homes.running(request.param, tmp_path_factory.mktemp("data")) as url:
        graph.fill(url)
        yield url


@pytest.fixture(scope="session")
def database(bolt):
    with contextlib.closing(Database(bolt, timeout=60, places=4)) as opened:
        yield opened


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A snapshot's neuprint directory with a neuroglancer state, and a file beside it that is nobody's business."""
    folder = tmp_path_factory.mktemp("snapshot") / "neuprint"
    folder.mkdir()
    (folder / "tiny:v1.0.json").write_text('{"layers": []}')
    (folder / "Neuprint_Meta_debug.json").write_text("{}")
    (folder.parent / "secret.json").write_text("{}")
    return folder


@contextlib.contextmanager
def serving(api, access, encryption=None):
    """The port of a bridge that answers until the end of the block."""
    with BridgeServer(("127.0.0.1", 0), api, access, encryption) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("tls"), ["localhost", "127.0.0.1"])


@pytest.fixture(scope="session")
def secured(database, files, certificate):
    """https://localhost:..., for holders of TOKEN."""
    access = Access(TOKEN, frozenset({"localhost", "127.0.0.1"}))
    with serving(Api(database, files, public=False), access, server_context(*certificate)) as port:
        yield f"https://localhost:{port}"


@pytest.fixture(scope="session")
def plain_port(database, files):
    """The port of an unencrypted bridge that asks for no token."""
    with serving(Api(database, files, public=True), Access(None, frozenset({"localhost", "127.0.0.1"}))) as port:
        yield port


def pytest_collection_modifyitems(items):
    """Updates of a live server are tried with the version that neuPrint servers run; the transactions with both.

    That saves a minute, and what an update sends is the same for both.
    """
    newest = neo4j_homes.VERSIONS[-1]
    items[:] = [
        item for item in items if not (item.path.stem == "test_update_neuprint" and f"[{newest}" in item.nodeid)
    ]
