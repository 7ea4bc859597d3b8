"""The database behind the bridge: queries over Bolt that only read, bounded in number and time.

Transactions that may write are for whoever asks for one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import neo4j
from neo4j.exceptions import ConfigurationError, DriverError, Neo4jError

from flyem_snapshot.bridge.replies import Refused
from flyem_snapshot.errors import ServiceError

WAIT_FOR_A_PLACE: Final = 30.0
"""Seconds a query waits while as many as allowed are running."""

WRITERS: Final = 8
"""Transactions that may write, at once, beside the queries."""

_FETCH: Final = 1000  # rows of one message: few round trips, little memory


@dataclass(frozen=True)
class Rows:
    """The result of a query: names of its columns, and its rows, to be read once and while the query is open."""

    columns: tuple[str, ...]
    rows: Iterator[list[Any]]


class Database:
    """Read access to one database of a Neo4j server, 4.4 or later.

    Each query runs in a transaction of access mode READ, in which the server refuses to write, with `timeout` seconds
    to live; at most `places` run at once.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        user: tuple[str, str] | None = None,
        timeout: float = 600.0,
        places: int = 8,
    ) -> None:
        """Prepare the connection to `url` (bolt://host:port); `user` is name and password.  ServiceError: bad URL."""
        self.url = url
        self._name = name
        self._timeout = timeout
        self._places = threading.BoundedSemaphore(places)
        try:
            self._driver = neo4j.GraphDatabase.driver(
                url,
                auth=user,
                max_connection_pool_size=places + 1 + WRITERS,
                connection_timeout=15.0,
                user_agent="flyem-snapshot",
            )
        except (ConfigurationError, ValueError) as error:
            hint = "give a Bolt address, such as bolt://localhost:7687"
            raise ServiceError("connect", url, str(error), hint=hint) from error

    def close(self) -> None:
        """End all connections."""
        self._driver.close()

    def describe(self) -> str:
        """What the server says that it is: 'Neo4j/5.26.0'.  ServiceError: it cannot be reached, or lets nobody in."""
        try:
            return self._driver.get_server_info().agent
        except (DriverError, Neo4jError, OSError) as error:
            hint = "is Neo4j running there, and is its Bolt connector on? A password is given in NEO4J_PASSWORD"
            raise ServiceError("connect", self.url, str(error), hint=hint) from error

    @contextmanager
    def read(self, cypher: str, **parameters: Any) -> Iterator[Rows]:
        """Run one query.  Refused: by the database (with its words), for want of a place, or out of time."""
        if not self._places.acquire(timeout=WAIT_FOR_A_PLACE):
            raise Refused(503, "too many queries are running; try again later")
        try:
            with (
                self._driver.session(
                    database=self._name, default_access_mode=neo4j.READ_ACCESS, fetch_size=_FETCH
                ) as session,
                session.begin_transaction(timeout=self._timeout) as transaction,
            ):
                result = transaction.run(cypher, parameters)
                yield Rows(tuple(result.keys()), (record.values() for record in result))
        except Neo4jError as error:
            raise refusal(error) from error
        except DriverError as error:
            raise Refused(502, f"the database cannot be reached: {error}") from error
        finally:
            self._places.release()

    @contextmanager
    def writing(self) -> Iterator[neo4j.Transaction]:
        """A transaction of access mode WRITE, undone at the end of the block unless it was committed within.

        It may hold locks, so Neo4j ends it by itself after the time that a query has.
        """
        with (
            self._driver.session(database=self._name, default_access_mode=neo4j.WRITE_ACCESS) as session,
            # Its own `with` would commit.
            closing(session.begin_transaction(timeout=self._timeout)) as transaction,
        ):
            yield transaction

    def fetch(self, cypher: str, **parameters: Any) -> list[list[Any]]:
        """All rows of a query whose result is small."""
        with self.read(cypher, **parameters) as result:
            return list(result.rows)


_BY_CODE: Final[Sequence[tuple[str, int, str]]] = (
    ("Neo.ClientError.Statement.AccessMode", 403, "this server is read-only: "),
    ("Neo.ClientError.Transaction.TransactionTimedOut", 504, "timeout: "),
    ("Neo.ClientError.Transaction.LockClientStopped", 504, "timeout: "),
    ("Neo.ClientError.Transaction.TransactionTerminated", 504, "timeout: "),
    ("Neo.TransientError.Transaction.Terminated", 504, "timeout: "),
    ("Neo.TransientError.Transaction.LockClientStopped", 504, "timeout: "),
    ("Neo.ClientError.Security.Forbidden", 403, "this server is read-only: "),
    ("Neo.ClientError.Security.", 502, "the database does not let the bridge in: "),
    ("Neo.TransientError.", 503, ""),
    ("Neo.ClientError.", 400, ""),
)


def refusal(error: Neo4jError) -> Refused:
    """What the client is told of an error of the database: a status by its code, and the server's words."""
    code, words = error.code or "", error.message or str(error)
    for start, status, prefix in _BY_CODE:
        if code.startswith(start):
            return Refused(status, f"{prefix}{words}")
    return Refused(500, words)
