"""A deployment of CAVE services with one datastack, and a client of it."""

from __future__ import annotations

import pytest

from flyem_snapshot.cave import FrameworkClient
from tests.cave_double import CaveDouble

DATASTACK = "minnie65_phase3_v0"
VOLUME = "minnie65_phase3"


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """An empty home, so that no test reads or writes somebody's tokens."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def cave():
    with CaveDouble() as cave:
        yield cave


@pytest.fixture
def stack(cave):
    return cave.new_datastack(DATASTACK, VOLUME)


@pytest.fixture
def new_client(cave):
    """Makes clients of the double; a token and short pauses unless said otherwise."""
    clients = []

    def make(datastack=DATASTACK, **options):
        defaults = {"server_address": cave.url, "auth_token": cave.token, "pause": 0.001, "timeout": 5.0}
        clients.append(FrameworkClient(datastack, **{**defaults, **options}))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(stack, new_client):
    return new_client()
