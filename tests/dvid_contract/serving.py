"""A DVID server, real or not, and what the tests put into it."""

from __future__ import annotations

import time
import uuid
from typing import Any

import numpy as np
import requests

CUBE = np.zeros((64, 64, 192), np.uint64)
"""Blocks at x = 0 (labels 11, 12, 13, 14 in layers along y) and x = 128 (label 15), none between them."""
for number in range(4):
    CUBE[:, 16 * number : 16 * number + 16, :64] = 11 + number
CUBE[:, :, 128:] = 15


class Server:
    """A DVID server, real or not, spoken to by plain HTTP."""

    def __init__(self, url: str, admin_token: str) -> None:
        self.url, self.admin_token = url.rstrip("/"), admin_token
        self.http = requests.Session()
        self.http.params = {"u": "tester", "app": "contract"}

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Any request, whatever its answer."""
        return self.http.request(method, f"{self.url}/api/{path}", timeout=60, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        """A GET that must succeed."""
        return self._good(self.ask("GET", path, **options))

    def post(self, path: str, **options: Any) -> requests.Response:
        """A POST that must succeed."""
        return self._good(self.ask("POST", path, **options))

    @staticmethod
    def _good(answer: requests.Response) -> requests.Response:
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        return answer

    def new_repo(self) -> str:
        """A new repository; gives back its root."""
        body = {"alias": f"contract-{uuid.uuid4()}", "description": "made by a test"}
        return self.post("repos", json=body, params={"admintoken": self.admin_token}).json()["root"]

    def new_instance(self, root: str, typename: str, name: str, **settings: str) -> str:
        """A new data instance; gives back the path of its calls at the root."""
        self.post(f"repo/{root}/instance", json={"typename": typename, "dataname": name, **settings})
        return f"node/{root}/{name}"

    def commit(self, node: str) -> str:
        """Lock a node; gives back its uuid."""
        self.post(f"node/{node}/commit", json={"note": "done", "log": ["by a test"]})
        return node

    def child(self, node: str) -> str:
        """A new version on the same branch."""
        return self.post(f"node/{node}/newversion", json={"note": "next"}).json()["child"]

    def branch(self, node: str, name: str) -> str:
        """A new version on a new branch."""
        return self.post(f"node/{node}/branch", json={"branch": name, "note": "aside"}).json()["child"]

    def wait_for_sizes(self, path: str, sizes: dict[int, int], patience: float = 30) -> None:
        """Wait until a labelmap has counted the voxels of what it was given, which it does in the background."""
        end = time.monotonic() + patience
        while self.get(f"{path}/sizes", json=list(sizes)).json() != list(sizes.values()):
            assert time.monotonic() < end, "the server does not index what it was given"
            time.sleep(0.05)
