"""What the tests of input stages may use."""

from __future__ import annotations

import pytest

from flyem_snapshot.sources.dvid import connections
from tests.dvid_double import DvidDouble
from tests.live_stages import World


@pytest.fixture
def world(tmp_path):
    """A small segmentation in a server, with an open version."""
    connections.forget()
    with DvidDouble() as dvid:
        yield World(dvid, tmp_path)
    connections.forget()
