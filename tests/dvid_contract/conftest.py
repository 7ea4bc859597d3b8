"""The servers of which the contract is asserted: the double always, a real DVID where there is one.

DVID_TEST_SERVER   address of a server whose content does not matter: every run leaves repositories behind
DVID_ADMIN_TOKEN   its admin token, without which a server of 2026 makes no repository
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from tests.dvid_contract.serving import CUBE, Server
from tests.dvid_double import DvidDouble

REAL_SERVER = os.environ.get("DVID_TEST_SERVER", "")
ADMIN = "admin-of-the-double"


@pytest.fixture(scope="module", params=["double", *(["real"] if REAL_SERVER else [])])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of each kind."""
    if request.param == "real":
        server = Server(REAL_SERVER, os.environ.get("DVID_ADMIN_TOKEN", ""))
        yield server
        server.http.close()
        return
    with DvidDouble(admin_token=ADMIN) as dvid:
        server = Server(dvid.url, ADMIN)
        yield server
        server.http.close()


@pytest.fixture
def root(server: Server) -> str:
    """The root of a new repository."""
    return server.new_repo()


@pytest.fixture
def seg(server: Server, root: str) -> str:
    """The path of a labelmap with `CUBE` in it, when the server has counted the voxels."""
    path = server.new_instance(root, "labelmap", "seg", MaxDownresLevel="2")
    for x in (0, 128):
        block = np.ascontiguousarray(CUBE[:, :, x : x + 64])
        server.post(f"{path}/raw/0_1_2/64_64_64/{x}_0_0", data=block.tobytes())
    server.wait_for_sizes(path, {11: 65536, 12: 65536, 13: 65536, 14: 65536, 15: 262144})
    return path
