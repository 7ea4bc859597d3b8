"""What a check is: a law about the files of a snapshot, and a query that finds what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flyem_snapshot.verify.snapshot import Snapshot

EXAMPLES = 3


class Status(Enum):
    """What became of a check.  `UNCHECKED`: a file that it needs cannot be read."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "FAIL"
    WARNING = "WARNING"
    UNCHECKED = "UNCHECKED"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Finding:
    """How many rows were looked at, how many of them break the law, and the first of those."""

    rows: int
    offenders: int = 0
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: int, offenders: Sequence[str]) -> Finding:
        """The finding of a check that has all offenders at hand."""
        return cls(rows, len(offenders), tuple(offenders[:EXAMPLES]))


@dataclass(frozen=True)
class Check:
    """One law.

    `name` is `<part>/<what>`; `proves` is the law as a sentence; `find` looks for what breaks it; `unless` gives the
    reason why the snapshot need not keep it, or nothing.  What breaks a law that only `warns` is no failure.
    """

    name: str
    proves: str
    find: Callable[[Snapshot], Finding]
    unless: Callable[[Snapshot], str] = lambda snapshot: ""
    warns: bool = False


@dataclass(frozen=True)
class Result:
    """A check, and what became of it; `reason` says why it was not made."""

    name: str
    proves: str
    status: Status
    seconds: float = 0.0
    finding: Finding | None = None
    reason: str = ""


def law(
    name: str,
    proves: str,
    tables: Sequence[str],
    offenders: str | Callable[[Snapshot], str],
    unless: Callable[[Snapshot], str] = lambda snapshot: "",
    *,
    warns: bool = False,
) -> Check:
    """A check whose offenders are found by SQL.

    `tables` are the tables of verify/tables.py that the statement reads; `offenders` yields one text for each
    offending row, which says what is wrong with it.
    """

    def find(snapshot: Snapshot) -> Finding:
        rows = sum(snapshot.rows_of(table) for table in tables)
        statement = offenders if isinstance(offenders, str) else offenders(snapshot)
        ((count, examples),) = snapshot.engine.rows(
            f"SELECT count(*), min(coalesce(example, 'nothing'), {EXAMPLES}) FROM ({statement}) AS found(example)"
        )
        return Finding(rows, count, tuple(examples or ()))

    return Check(name, proves, find, unless, warns)


def absent(table: str, key: str, others: str, other_key: str, what: str) -> str:
    """SQL: an example for each row of `table` whose `key` is no `other_key` of the table `others`."""
    return f"""
        SELECT concat({key}, ' {what}') FROM {table}
        WHERE {key} IS NULL OR {key} NOT IN (SELECT {other_key} FROM {others} WHERE {other_key} IS NOT NULL)
    """
