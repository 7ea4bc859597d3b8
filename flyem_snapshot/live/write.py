"""Changes into the database: a transaction for each batch, smaller and smaller ones where a batch is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.live.compare import Change, segment_label
from flyem_snapshot.live.cypher import mapping
from flyem_snapshot.live.server import NeuprintError, NeuprintServer

logger = logging.getLogger(__name__)

MOST_REFUSED: Final = 10
"""So many bodies may be refused before we take it that all will be."""

MOST_AWAY: Final = 3
"""So often may a server be too slow, or away behind its proxy."""

_AWAY: Final = (502, 503, 504)


def update_statement(dataset: str, changes: Sequence[Change]) -> str:
    """One query that changes all these bodies and returns how many there were.

    One query and not one a body: some versions of neuPrint's server run each query of a "transaction" on its own, and
    a query is done wholly or not at all everywhere.

        UNWIND [
          {body: 11, new: {`type`: 'ADM01', `somaSide`: null}},
          {body: 12, new: {`somaLocation`: point({x: 7, y: 8, z: 9, srid: 9157})}}
        ] AS change
        MATCH (n:`hemibrain_Segment` {bodyId: change.body})
        SET n += change.new
        RETURN count(n)
    """
    rows = ",\n  ".join(f"{{body: {change.body}, new: {mapping(change.new)}}}" for change in changes)
    match = f"MATCH (n:{segment_label(dataset)} {{bodyId: change.body}})"
    return f"UNWIND [\n  {rows}\n] AS change\n{match}\nSET n += change.new\nRETURN count(n)"


def batches(changes: Sequence[Change], size: int) -> list[Sequence[Change]]:
    """The changes in batches of `size` bodies."""
    return [changes[start : start + size] for start in range(0, len(changes), size)]


def write_statement(server: NeuprintServer, dataset: str, statement: str, nodes: int) -> None:
    """Run one query that changes `nodes` nodes, in a transaction of its own.

    NeuprintError: the server refused it, or found another number of nodes, and then nothing is changed.
    """
    with server.transaction(dataset) as transaction:
        rows = transaction.run(statement)
        found = rows[0][0] if len(rows) == 1 and rows[0] else None
        if found != nodes:
            raise NeuprintError("POST", server.url, f"{found} of {nodes} nodes were found, so nothing was changed")


class Writer:
    """Writes changes; remembers how many bodies were written, and which were refused."""

    def __init__(self, server: NeuprintServer, dataset: str, total: int, advance: Callable[[int], None]) -> None:
        self._server, self._dataset, self._total, self._advance = server, dataset, total, advance
        self._refused: list[tuple[int, NeuprintError]] = []
        self._written = self._away = 0

    def write(self, changes: Sequence[Change], size: int) -> None:
        """Write everything that can be written.

        SnapshotError: some bodies were refused; they are named, and all others are written.  NeuprintError: the
        server cannot be reached, or lets us not write at all; a note says how far we came.
        """
        waiting = batches(changes, size)[::-1]
        while waiting:
            batch = waiting.pop()
            try:
                write_statement(self._server, self._dataset, update_statement(self._dataset, batch), len(batch))
            except NeuprintError as error:
                self._judge(error, batch)
                if len(batch) > 1:
                    half = len(batch) // 2
                    logger.warning("a batch of %d bodies was refused: %s; trying halves", len(batch), error.args[0])
                    waiting += [batch[half:], batch[:half]]
            else:
                self._written += len(batch)
                self._advance(len(batch))
        if self._refused:
            raise self._failure("")

    def _judge(self, error: NeuprintError, batch: Sequence[Change]) -> None:
        """Whether there is any use in going on after an error; raises if there is not."""
        self._away += error.status in _AWAY or error.late
        if error.forbidden or not error.reached or self._away > MOST_AWAY:
            error.add_note(
                f"{self._written:,} of {self._total:,} bodies are written; run the same command again to go on"
            )
            raise error
        if len(batch) == 1:
            self._refused.append((batch[0].body, error))
            if len(self._refused) >= MOST_REFUSED:
                raise self._failure(" and perhaps more") from error

    def _failure(self, more: str) -> SnapshotError:
        lines = [f"  body {body}: {error.args[0]}" for body, error in self._refused]
        return SnapshotError(
            "\n".join([f"the server refused {_bodies(len(lines))}{more}; {self._written:,} were written:", *lines]),
            hint="mend the annotation in DVID, or leave the property out with --exclude, and run again",
        )


def _bodies(number: int) -> str:
    return "1 body" if number == 1 else f"{number} bodies"
