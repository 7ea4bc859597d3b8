"""Services of CAVE, real or not, and how they are asked: plain HTTP, no redirects, no proxies."""

from __future__ import annotations

import functools
import re
from typing import Any, Self

import pyarrow as pa
import requests

WELL = {"direct_sql_pandas": "true", "arrow_format": "true", "return_pyarrow": "true"}
"""The arguments without which an answer is spoilt on its way through pandas."""


class Services:
    """The global services at an address and the local ones of a datastack."""

    def __init__(self, url: str, token: str, datastack: str) -> None:
        self.url, self.token, self.datastack = url.rstrip("/"), token, datastack
        self.http = requests.Session()
        self.http.trust_env = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.http.close()

    def ask(self, method: str, url: str, *, headers: dict[str, str] | None = None, **options: Any) -> requests.Response:
        """Any request, whatever its answer; `headers` take the place of the token."""
        headers = {"Authorization": f"Bearer {self.token}"} if headers is None else headers
        return self.http.request(method, url, headers=headers, timeout=60, allow_redirects=False, **options)

    def get(self, url: str, **options: Any) -> Any:
        """The JSON of a GET that must succeed."""
        return good(self.ask("GET", url, **options)).json()

    # --- where things are -------------------------------------------------------------------------------------------

    @functools.cached_property
    def record(self) -> dict[str, Any]:
        """The record of the datastack."""
        return self.get(f"{self.url}/info/api/v2/datastack/full/{self.datastack}")

    @property
    def local(self) -> str:
        """The address of the local services."""
        return self.record["local_server"].rstrip("/")

    @property
    def annotation(self) -> str:
        """The base of the annotation service."""
        return f"{self.local}/annotation/api/v2/aligned_volume/{self.record['aligned_volume']['name']}"

    @property
    def materialize(self) -> str:
        """The base of the materialize service."""
        return f"{self.local}/materialize/api/v3/datastack/{self.datastack}"

    @property
    def graph(self) -> str:
        """The base of the chunkedgraph."""
        return f"{self.local}/segmentation/api/v1/table/{self.record['segmentation_source'].rpartition('/')[2]}"

    @property
    def synapses(self) -> str:
        """The name of the synapse table."""
        return self.record["synapse_table"]

    @functools.cached_property
    def version(self) -> int:
        """The newest version."""
        return max(self.get(f"{self.materialize}/versions"))

    # --- queries ----------------------------------------------------------------------------------------------------

    def query(
        self,
        body: dict[str, Any],
        table: str | None = None,
        *,
        encoding: str = "identity",
        **arguments: str,
    ) -> requests.Response:
        """A query of a table of the newest version, whatever its answer."""
        url = f"{self.materialize}/version/{self.version}/table/{table or self.synapses}/query"
        headers = {"Authorization": f"Bearer {self.token}", "Accept-Encoding": encoding}
        return self.ask("POST", url, json=body, params={**WELL, **arguments}, headers=headers)

    def rows(self, body: dict[str, Any], table: str | None = None, **arguments: str) -> pa.Table:
        """The rows of a query that must succeed."""
        return arrow(good(self.query(body, table, **arguments)))

    @functools.cached_property
    def some(self) -> pa.Table:
        """A hundred synapses."""
        return self.rows({"limit": 100})


def good(answer: requests.Response) -> requests.Response:
    """An answer that must be one of success."""
    assert answer.status_code in {200, 201}, f"{answer.status_code} {answer.text}"
    return answer


def arrow(answer: requests.Response) -> pa.Table:
    """The rows of an Arrow stream."""
    with pa.ipc.open_stream(answer.content) as reader:
        return reader.read_all()


def hidden_status(answer: requests.Response) -> int:
    """The status in the message of a 500."""
    assert answer.status_code == 500
    found = re.match(r"(\d{3}) [A-Z]", answer.json()["message"])
    assert found, answer.text
    return int(found[1])
