"""The addresses that the bridge answers, and with what."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flyem_snapshot import __version__
from flyem_snapshot.bridge.cached import Summaries
from flyem_snapshot.bridge.database import Database, Rows
from flyem_snapshot.bridge.datasets import datasets, the_dataset
from flyem_snapshot.bridge.labels import rewrite
from flyem_snapshot.bridge.replies import JSON, Refused, Reply, Request, json_reply
from flyem_snapshot.bridge.tables import arrow_table, json_table
from flyem_snapshot.bridge.transactions import Transactions

API_VERSION: Final = "1.9.2"
"""The version of neuPrintHTTP whose answers these are; clients ask for Arrow from 1.7.3."""

MODEL_VERSION: Final = "0.5.0"
"""The version of neuPrint's data model."""

READ: Final = frozenset({"GET"})
ASK: Final = frozenset({"GET", "POST"})
WRITE: Final = frozenset({"POST"})
_ANY: Final = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH"})


@dataclass(frozen=True)
class Route:
    """An address: its parts, where `*` stands for one of any name and a last `**` for any number, and its answer."""

    path: str
    methods: frozenset[str]
    summary: str
    answer: Callable[[Request], Reply]

    def match(self, parts: list[str]) -> tuple[str, ...] | None:
        """The names at the places of `*`; None if this is another address."""
        pattern = self.path.strip("/").split("/")
        if pattern[-1] == "**" and len(parts) >= len(pattern) - 1:
            pattern, parts = pattern[:-1], parts[: len(pattern) - 1]
        if len(pattern) != len(parts):
            return None
        pairs = list(zip(pattern, parts, strict=True))
        return tuple(part for wanted, part in pairs if wanted == "*") if all(_fits(*pair) for pair in pairs) else None


def _fits(wanted: str, part: str) -> bool:
    return wanted == part or (wanted == "*" and part != "")


class Api:
    """The answers to requests, from a database and the files of a snapshot's `neuprint` directory."""

    def __init__(
        self, database: Database, files: Path, *, public: bool, transactions: Transactions | None = None
    ) -> None:
        """`public` says that no token is asked for; without `transactions` nothing can be written."""
        self._database = database
        self._transactions = transactions
        self._files = files
        self._public = public
        self._summaries = Summaries(database)
        self.routes = self._routes()

    def answer(self, method: str, path: str, request: Request) -> Reply:
        """The answer to one request.  Refused: 404 no such address, 405 not in this way, or what the answer says."""
        # Split before unquoting: a ROI's name may hold a slash.
        parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
        for route in self.routes:
            names = route.match(parts)
            if names is not None:
                if method not in route.methods:
                    raise Refused(405, f"{method} is not allowed here; use {' or '.join(sorted(route.methods))}")
                return route.answer(Request(names, request.fields, request.token, request.still_there))
        raise Refused(404, "there is nothing at this address; /api/available lists what there is")

    def _routes(self) -> tuple[Route, ...]:
        one, summaries = self._one, self._summaries
        return (
            one("/api/version", "version of the interface", lambda _: {"Version": API_VERSION, "Bridge": __version__}),
            one("/api/serverinfo", "whether everybody may ask", lambda _: {"IsPublic": self._public}),
            one("/api/available", "this list", lambda _: self._available()),
            Route("/api/help/swagger.yaml", READ, "this list as OpenAPI", lambda _: self._openapi()),
            one("/profile", "who asks", lambda _: self._profile()),
            one("/token", "the token that was shown", lambda request: {"token": request.token}),
            one("/api/dbmeta/database", "where the database is", lambda _: self._location()),
            one("/api/dbmeta/datasets", "the datasets", lambda _: self._datasets()),
            one("/api/dbmeta/instances", "further stores: none", lambda _: {}),
            one("/api/dbmeta/version", "version of the data model", lambda _: {"Version": MODEL_VERSION}),
            Route("/api/custom/custom", ASK, "a Cypher query, answered in JSON", self._custom(json_table)),
            Route("/api/custom/arrow", ASK, "a Cypher query, answered in Arrow", self._custom(arrow_table)),
            one("/api/cached/roicompleteness", "completeness of ROIs", lambda r: summaries.completeness(_dataset(r))),
            one("/api/cached/roiconnectivity", "ROI to ROI", lambda r: summaries.connectivity(_dataset(r))),
            one("/api/cached/dailytype", "type of the day", lambda r: summaries.type_of_the_day(_dataset(r))),
            Route("/api/npexplorer/nglayers/*", READ, "neuroglancer state", self._layers),
            _without("/api/roimeshes/**", "a snapshot's database has no ROI meshes"),
            _without("/api/skeletons/**", "a snapshot's database has no skeletons"),
            _without("/api/raw/keyvalue/**", "a snapshot's database has no key-value stores"),
            *self._writing(),
        )

    def _writing(self) -> tuple[Route, ...]:
        """Transactions, if there are any; what else neuPrint's server has there is refused."""
        refused = _without("/api/raw/cypher/**", "this server is read-only: there are no transactions here", status=403)
        if self._transactions is None:
            return (refused,)
        path, held = "/api/raw/cypher/transaction", self._transactions
        return (
            Route(path, WRITE, "begin a transaction", held.begin),
            Route(f"{path}/*/cypher", WRITE, "a query that may write, in a transaction", held.query),
            Route(f"{path}/*/commit", WRITE, "make a transaction's changes last", held.commit),
            Route(f"{path}/*/kill", WRITE, "undo a transaction's changes", held.kill),
            _without("/api/raw/cypher/**", "here one writes in transactions only", status=403),
        )

    def _profile(self) -> dict[str, str]:
        return {"ImageURL": "", "Email": "", "AuthLevel": "readonly" if self._transactions is None else "admin"}

    @staticmethod
    def _one(path: str, summary: str, value: Callable[[Request], object]) -> Route:
        return Route(path, READ, summary, lambda request: json_reply(value(request)))

    def _available(self) -> list[dict[str, str]]:
        return [{"method": method, "path": r.path} for r in self.routes for method in sorted(r.methods)]

    def _openapi(self) -> Reply:
        lines = ["openapi: 3.0.3", "info:", "  title: neuPrint bridge", f"  version: '{API_VERSION}'", "paths:"]
        for route in self.routes:
            lines.append(f"  {route.path.replace('**', '{rest}').replace('*', '{name}')}:")
            for method in sorted(route.methods):
                lines += [f"    {method.lower()}:", f"      summary: '{route.summary.replace(chr(39), chr(39) * 2)}'"]
                lines += ["      responses:", "        default:", "          description: JSON, or as the summary says"]
        return Reply.of_bytes("application/yaml", "\n".join([*lines, ""]).encode())

    def _location(self) -> dict[str, str]:
        return {"Location": self._database.url, "Description": self._database.describe()}

    def _datasets(self) -> Mapping[str, Any]:
        return {name: dataset.summary() for name, dataset in datasets(self._database).items()}

    def _custom(self, table: Callable[[Rows, Callable[[], None]], Reply]) -> Callable[[Request], Reply]:
        def answer(request: Request) -> Reply:
            cypher = request.text("cypher")
            if not cypher.strip():
                raise Refused(400, "the request has no query: give 'cypher' and 'dataset'")
            dataset = the_dataset(self._database, request.text("dataset"))
            with self._database.read(rewrite(cypher, dataset.name)) as result:
                return table(result, request.still_there)

        return answer

    def _layers(self, request: Request) -> Reply:
        (file,) = request.names
        known = [name for full in datasets(self._database) for name in (full, full.partition(":")[0])]
        # Only names that belong to a dataset are looked for, so no request leads elsewhere in the file system.
        if file not in {f"{name}{kind}.json" for name in known for kind in ("", "-actions")}:
            raise Refused(404, f"no dataset of this server has a neuroglancer state {file!r}")
        try:
            return Reply.of_bytes(JSON, (self._files / file).read_bytes())
        except OSError as error:
            raise Refused(404, f"the snapshot has no file {file!r} in its neuprint directory") from error


def _dataset(request: Request) -> str:
    name = request.text("dataset")
    if not name:
        raise Refused(400, "name the dataset: ?dataset=...")
    return name


def _without(path: str, words: str, status: int = 404) -> Route:
    def refuse(_: Request) -> Reply:
        raise Refused(status, words)

    return Route(path, _ANY, words, refuse)
