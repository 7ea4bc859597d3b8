"""What the logs of an import say: whether it succeeded, and how far it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flyem_snapshot.errors import DataError

STATES_SCRIPT: Final = """\
CALL db.awaitIndexes(86400);
MATCH (n) RETURN 'nodes: ' + toString(count(n)) AS fact;
MATCH ()-[r]->() RETURN 'relationships: ' + toString(count(r)) AS fact;
CALL db.propertyKeys() YIELD propertyKey RETURN 'property: ' + propertyKey AS fact;
SHOW INDEXES YIELD name, state WHERE state = 'ONLINE' RETURN 'online: ' + name AS fact;
SHOW INDEXES YIELD name, state WHERE state <> 'ONLINE' RETURN 'not online: ' + name + ' is ' + state AS fact;
"""
"""Run after the indexes have been made; `read_outcome` reads what it prints."""

_REPORT: Final = "import.report"
_FAILURES: Final = re.compile(
    r"IMPORT FAILED|bad entries|Import error|^\S*(Exception|Error): |^Caused by: ", re.MULTILINE
)
_CYPHER_FAILURES: Final = re.compile(
    r"^(Unable to connect|Connection refused|Invalid input|Neo\.\S+Error|\S*Exception\b|.*\bfailed\b: )", re.MULTILINE
)
_NOISE: Final = re.compile(r"^(\s+at |NOTE: Picked up|Picked up |\s*$|WARNING: )")
_CLASSES: Final = re.compile(r"^(Caused by: ?)?(\S*(Exception|Error): )+|^Caused by:")
_FACT: Final = re.compile(r'^"(nodes|relationships|property|online|not online): (.*)"$', re.MULTILINE)
_IMPORTED: Final = re.compile(r"^\s*(\d+) (nodes|relationships)\s*$", re.MULTILINE)
_STAGE: Final = re.compile(r"^(?:\(\d/\d\) )?([^\n]+?),? (?:started )?\d{4}-\d\d-", re.MULTILINE)
_PERCENT: Final = re.compile(r"(\d+)%")
_STEPS: Final = {
    20: ("import.log", "neo4j-admin could not import the CSV files"),
    21: ("server.log", "the Neo4j server did not start on the imported database"),
    22: ("indexes.log", "create-indexes.cypher failed"),
    23: ("states.log", "the finished database could not be examined"),
}


@dataclass(frozen=True)
class Outcome:
    """What is in the finished database."""

    nodes: int
    relationships: int
    indexes: tuple[str, ...]


def check_import(logs: Path, code: int) -> None:
    """Raise DataError if the importer failed, by its exit code or by what it says, or if it left anything out."""
    _check_code(logs, code)
    if _text(logs / _REPORT).strip():
        raise _failure(logs, _REPORT, "some entries could not be imported")
    text = _text(logs / "import.log")
    if _FAILURES.search(text) or "IMPORT DONE" not in text:
        raise _failure(logs, *_STEPS[20])


def read_outcome(logs: Path, code: int, properties: frozenset[str] = frozenset()) -> Outcome:
    """What the finished database holds; raises DataError with the lines of a log that say why it is not finished.

    `properties` are names that it must know.
    """
    _check_code(logs, code)
    if _CYPHER_FAILURES.search(_text(logs / "indexes.log")):
        raise _failure(logs, *_STEPS[22])
    facts = _FACT.findall(_text(logs / "states.log"))
    known = {text.replace('\\"', '"').replace("\\\\", "\\") for name, text in facts if name == "property"}
    if properties - known:
        missing = sorted(properties - known)
        raise DataError("the database lacks properties", file=logs / "states.log", rows=len(missing), examples=missing)
    return _checked(logs, _text(logs / "import.log"), facts)


def _check_code(logs: Path, code: int) -> None:
    if code:
        raise _failure(logs, *_STEPS.get(code, ("console.log", f"the runtime ended with exit code {code}")))


def _checked(logs: Path, imported: str, facts: list[tuple[str, str]]) -> Outcome:
    """The facts, if they agree with each other."""
    pending = [text for name, text in facts if name == "not online"]
    if pending:
        raise DataError("indexes are not online", file=logs / "states.log", rows=len(pending), examples=pending)
    counts = {name: int(text) for name, text in facts if name in ("nodes", "relationships")}
    claimed = {name: int(number) for number, name in _IMPORTED.findall(imported)}
    if not counts or counts != claimed:
        raise DataError(f"the importer counted {claimed}, the database holds {counts}", file=logs / "states.log")
    return Outcome(**counts, indexes=tuple(text for name, text in facts if name == "online"))


def _failure(logs: Path, log: str, problem: str) -> DataError:
    """The error that shows what a log says of the cause: the innermost exception, else the first lines of a message."""
    lines = [line for line in _text(logs / log).splitlines() if not _NOISE.match(line)]
    causes = [_CLASSES.sub("", line) for line in lines if _CLASSES.match(line)]
    message = [line for line in lines if not _PERCENT.search(line)]
    telling = list(dict.fromkeys(causes[-2:])) or message[-4:]
    shown = "\n  ".join(line.strip()[:500] for line in telling)
    return DataError(f"{problem}\n  {shown}" if shown else problem, file=logs / log, hint="that file has the rest")


def importer_progress(logs: Path) -> str:
    """Where the importer is, such as `Relationship import, 35 %`; empty before it begins and when it is done."""
    text = _text(logs / "import.log")
    stages = list(_STAGE.finditer(text))
    if not stages or "IMPORT DONE" in text:
        return ""
    percents = _PERCENT.findall(text, stages[-1].end())
    return stages[-1][1] + (f", {percents[-1]} %" if percents else "")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
