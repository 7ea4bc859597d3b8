"""Transactions that clients hold open over several requests, and in which they may write.

As on neuPrint's own server: begun with the name of a dataset, then used by number until they are committed or killed.
Queries run as they are: labels are not rewritten here.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import neo4j
from neo4j.exceptions import DriverError, Neo4jError

from flyem_snapshot.bridge.database import WRITERS, Database, Rows, refusal
from flyem_snapshot.bridge.datasets import the_dataset
from flyem_snapshot.bridge.replies import ClientGone, Refused, Reply, Request, json_reply
from flyem_snapshot.bridge.tables import json_table

PATIENCE: Final = 120.0
"""Seconds without a request after which a transaction is undone: whoever began it has died, and it holds locks."""


@dataclass
class _Held:
    transaction: neo4j.Transaction
    end: Callable[[], None]
    used: float
    busy: threading.Lock = field(default_factory=threading.Lock)


class Transactions:
    """The open transactions by number.

    Numbers are drawn at random, so that nobody can use a transaction that somebody else began.
    """

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._database = database
        self._patience = patience
        self._held: dict[int, _Held] = {}
        self._lock = threading.Lock()

    def begin(self, request: Request) -> Reply:
        """Begin one: {"transaction_id": n}.  Refused: unknown dataset, too many are open, database out of reach."""
        self._end_forgotten()
        the_dataset(self._database, request.text("dataset"))
        with contextlib.ExitStack() as stack, _told():
            transaction = stack.enter_context(self._database.writing())
            number = 1 + secrets.randbelow(2**53 - 1)  # a JSON number that every client reads exactly
            with self._lock:
                if len(self._held) >= WRITERS:
                    raise Refused(503, f"{WRITERS} transactions are open; end one of them, or try again later")
                self._held[number] = _Held(transaction, stack.pop_all().close, time.monotonic())
        return json_reply({"transaction_id": number})

    def query(self, request: Request) -> Reply:
        """Run a query in one, and answer with its rows.  It stays open, also if the query fails.

        If the client has hung up meanwhile, it will not commit either, and the locks are let go.
        """
        cypher = request.text("cypher")
        if not cypher.strip():
            raise Refused(400, "the request has no query: give 'cypher'")
        held = self._find(request)
        try:
            with held.busy, _told():
                result = held.transaction.run(cypher)
                rows = Rows(tuple(result.keys()), (record.values() for record in result))
                reply = json_table(rows, request.still_there)
                held.used = time.monotonic()
        except ClientGone:
            self.kill(request)
            raise
        return reply

    def commit(self, request: Request) -> Reply:
        """Make its changes last.  It is over in any case."""
        held = self._taken(request)
        with held.busy, contextlib.closing(_Ending(held)), _told():
            held.transaction.commit()
        return json_reply({"msg": "committed"})

    def kill(self, request: Request) -> Reply:
        """Undo its changes."""
        held = self._taken(request)
        with held.busy, contextlib.closing(_Ending(held)), _told():
            held.transaction.rollback()
        return json_reply({"msg": "killed"})

    def close(self) -> None:
        """Undo whatever is open."""
        self._end_forgotten(patience=-1.0)

    def _find(self, request: Request) -> _Held:
        self._end_forgotten()
        with self._lock:
            held = self._held.get(_number(request))
        if held is None:
            raise Refused(400, "Transaction id not found")
        held.used = time.monotonic()
        return held

    def _taken(self, request: Request) -> _Held:
        held = self._find(request)
        with self._lock:
            self._held.pop(_number(request), None)
        return held

    def _end_forgotten(self, patience: float | None = None) -> None:
        before = time.monotonic() - (self._patience if patience is None else patience)
        with self._lock:
            old = [n for n, held in self._held.items() if held.used < before and not held.busy.locked()]
            forgotten = [self._held.pop(number) for number in old]
        for held in forgotten:
            _Ending(held).close()


@dataclass(frozen=True)
class _Ending:
    held: _Held

    def close(self) -> None:
        """Give the connection back; what was not committed is undone."""
        with contextlib.suppress(DriverError, Neo4jError):  # the database has ended it already
            self.held.end()


def _number(request: Request) -> int:
    text = request.names[0]
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Refused(400, "the number of a transaction is a whole number")
    return int(text)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Pass on what the database says against a request, with the status of neuPrint's server, which knows no other."""
    try:
        yield
    except Neo4jError as error:
        raise Refused(400, refusal(error).message) from error
    except DriverError as error:
        raise Refused(400, f"the transaction is over, or the database cannot be reached: {error}") from error
