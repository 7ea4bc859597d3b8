"""Files that DVID keeps for each body, such as skeletons and meshes: fetched in bulk, written in batches, resumable."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pandas as pd

from flyem_snapshot.connectome.segment_properties import properties_text, segment_properties
from flyem_snapshot.engine.manyfiles import Done, Journal, open_journal, write_files
from flyem_snapshot.errors import ServiceError
from flyem_snapshot.log import progress
from flyem_snapshot.sources.dvid import keyvalue
from flyem_snapshot.sources.dvid.graph import Node
from flyem_snapshot.sources.dvid.http import DvidClient, DvidError
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.bodies import BodyAnnotations

logger = logging.getLogger(__name__)

MISSING: Final = "missing"
"""The reason in the result table for a key that the server does not hold."""

THREADS: Final = 8
_BATCH_FILES: Final = 500
_BATCH_BYTES: Final = 1 << 26
_MOST_FAILURES: Final = 10
_PROPERTIES: Final = "segment_properties"


class UnusableError(ValueError):
    """What the server holds for a key cannot be used; the text says why, for the result table."""


@dataclass(frozen=True)
class Objects:
    """What is to be fetched, and what is made of it.

    `name` is that of the entry in the settings; `noun` is what its objects are called, in the plural.  The value of
    the key `<body><suffix>` becomes files by `files_of(body, value)`: content by path relative to the output
    directory, or UnusableError.  `per_request` keys are asked for at once.  `identity` is a JSON value that says what
    else the files depend on.
    """

    name: str
    noun: str
    node: Node
    instance: str
    suffix: str
    files_of: Callable[[int, bytes], Mapping[str, bytes]]
    per_request: int
    identity: Any = None

    def key(self, body: int) -> str:
        """The key of a body's object."""
        return f"{body}{self.suffix}"


def with_own_client(node: Node, processes: int) -> Node:
    """The node with a client that makes at most so many requests at a time, and no more than is polite."""
    shared = node.client
    threads = min(processes, THREADS)
    client = DvidClient(shared.server, user=shared.user, timeout=shared.timeout, threads=threads, pause=shared.pause)
    return replace(node, client=client)


def all_bodies(objects: Objects) -> list[int]:
    """Every body that has an object in the instance, in ascending order."""
    # Keys of bodies begin with a digit; the colon is the character after 9.
    keys = keyvalue.keys(objects.node, objects.instance, "0", ":")
    pattern = re.compile(rf"([1-9]\d*){re.escape(objects.suffix)}", re.ASCII)
    return sorted(int(match[1]) for match in map(pattern.fullmatch, keys) if match)


def annotated_bodies(bodies: pd.Index) -> list[int]:
    """The bodies of an annotation table, in ascending order; 0 is no body."""
    numbers = np.sort(bodies.to_numpy())
    found: list[int] = numbers[numbers > 0].tolist()
    return found


def export_objects(ctx: Context, objects: Objects, bodies: Sequence[int]) -> list[int]:
    """Write the files of the bodies' objects; returns the bodies that have some, in the given order.

    `cache/<stage>/<name>.csv` has a row for each body: key, success, and the reason where there was none, which is
    `missing` or what is wrong with the value.  A body of which that cannot be said, because the server fails, raises
    ServiceError; all that was written counts when the stage is run again.
    """
    node = objects.node
    if not node.locked:
        logger.warning("%s can still change: what is fetched may not be of one moment", node.uuid)
    # Of another node, instance or setting nothing counts; the runner's key may not know that the instance is new.
    identity = [node.uuid, node.instance(objects.instance).data_uuid, objects.suffix, objects.identity]
    with open_journal(ctx.resume / f"{objects.name}.journal", identity) as journal:
        reasons = _Export(ctx, objects, journal).run(bodies)
    _report(ctx, objects, reasons)
    return [body for body in bodies if not reasons[body]]


def write_info(
    ctx: Context, folder: str, kind: str, annotations: BodyAnnotations | None, bodies: Sequence[int]
) -> None:
    """Write `info`, which tells neuroglancer what is in a folder, and the properties of its bodies if there are any."""
    text = f'{{"@type": "{kind}"}}\n'
    if annotations is not None:
        content = segment_properties(annotations.frame, bodies)
        ctx.out.write_text(f"{folder}/{_PROPERTIES}/info", properties_text(content))
        text = f'{{"@type": "{kind}", "{_PROPERTIES}": "{_PROPERTIES}"}}\n'
    ctx.out.write_text(f"{folder}/info", text)


@dataclass
class _Export:
    """The export of one entry while it runs."""

    ctx: Context
    objects: Objects
    journal: Journal
    reasons: dict[int, str] = field(default_factory=dict)
    """Of each body that is done: why it has no files, or ""."""
    waiting: dict[str, tuple[str, Mapping[str, bytes]]] = field(default_factory=dict)
    """By key, what is to be written next: the reason, or the files."""
    waiting_bytes: int = 0

    def run(self, bodies: Sequence[int]) -> dict[int, str]:
        """Fetch and write what is not done; the reason of each body."""
        self._take_over(bodies)
        wanted = [body for body in bodies if body not in self.reasons]
        failures: list[DvidError] = []
        with progress(f"fetching {self.objects.noun}", len(wanted), "bodies") as advance:
            while wanted:
                try:
                    self._fetch(wanted, advance)
                except DvidError as error:
                    self._flush()  # what has arrived is kept for the next run
                    failures.append(error)
                    culprit = self._culprit(error, wanted)
                    if culprit is None or len(failures) >= _MOST_FAILURES:
                        raise self._failed(bodies, failures) from error
                    # One value that the server cannot give says nothing of the others.
                    wanted = [body for body in wanted if body not in self.reasons and body != culprit]
                else:
                    wanted = []
        self._flush()
        if failures:
            raise self._failed(bodies, failures) from failures[0]
        return self.reasons

    def _take_over(self, bodies: Sequence[int]) -> None:
        """Count what an earlier run has done, if its files are still what it wrote."""
        for body in bodies:
            done = self.journal.done.get(self.objects.key(body))
            if done is not None and all(f.stands(self.ctx.out.path(name)) for name, f in done.files.items()):
                self.ctx.out.written.update({name: file.record for name, file in done.files.items()})
                self.reasons[body] = done.reason
        if self.reasons:
            counts = f"{len(self.reasons):,} of {len(bodies):,}"
            logger.info("%s %s were fetched by an earlier run", counts, self.objects.noun)

    def _fetch(self, bodies: Sequence[int], advance: Callable[[int], None]) -> None:
        objects = self.objects
        keys = map(objects.key, bodies)
        values = keyvalue.values(objects.node, objects.instance, keys, batch=objects.per_request)
        # Whatever ends the loop, no further requests are made.
        with closing(cast("Generator[tuple[str, bytes | None]]", values)):
            for body, (key, value) in zip(bodies, values, strict=True):
                self._add(body, key, value)
                advance(1)

    def _add(self, body: int, key: str, value: bytes | None) -> None:
        reason, files = MISSING, dict[str, bytes]()
        if value is not None:
            try:
                reason, files = "", dict(self.objects.files_of(body, value))
            except UnusableError as error:
                reason = str(error)
        self.waiting[key] = (reason, files)
        self.waiting_bytes += sum(map(len, files.values()))
        self.reasons[body] = reason
        if len(self.waiting) >= _BATCH_FILES or self.waiting_bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Write what waits, and only then note it as done."""
        stored = write_files(self.ctx.out, {name: c for _, files in self.waiting.values() for name, c in files.items()})
        done = {key: Done(reason, {n: stored[n] for n in files}) for key, (reason, files) in self.waiting.items()}
        self.journal.add(done)
        self.waiting, self.waiting_bytes = {}, 0

    def _culprit(self, error: DvidError, wanted: Sequence[int]) -> int | None:
        """The body whose value alone the server could not give; None if the server fails altogether."""
        last = error.url.partition("?")[0].rpartition("/key/")[2]
        if error.status in (None, 401, 403, 429, 502, 503, 504):
            return None
        return next((body for body in wanted if self.objects.key(body) == last), None)

    def _failed(self, bodies: Sequence[int], failures: Sequence[DvidError]) -> ServiceError:
        """Which bodies are not there, and why; the first failure speaks for all."""
        left = [body for body in bodies if body not in self.reasons]
        shown = ", ".join(str(body) for body in islice(left, _MOST_FAILURES))
        more = f" and {len(left) - _MOST_FAILURES:,} more" if len(left) > _MOST_FAILURES else ""
        first = failures[0]
        said = first.message.removeprefix(f"{first.method} {first.url}: ")
        noun, done = self.objects.noun, f"{len(self.reasons):,} of {len(bodies):,}"
        bodies_left = f"{len(left):,} bodies" if len(left) > 1 else "1 body"
        problem = f"the {noun} of {bodies_left} could not be fetched ({shown}{more}): {said}"
        hint = f"run again when the server is well: {done} {noun} are kept and not fetched again"
        return ServiceError(first.method, first.url, problem, hint=first.hint or hint)


def _report(ctx: Context, objects: Objects, reasons: Mapping[int, str]) -> None:
    """The result table, and what is left out, counted for the log and the summary of the run."""
    with ctx.out.create(f"{ctx.cache}/{objects.name}.csv", rows=len(reasons)) as path:
        _write_table(path, ((objects.key(body), reason) for body, reason in reasons.items()))
    missing = sum(reason == MISSING for reason in reasons.values())
    unusable = {body: reason for body, reason in reasons.items() if reason and reason != MISSING}
    table = f"{objects.noun} '{objects.name}'"
    ctx.exclusions.add(table, f"{objects.instance} has no key <body>{objects.suffix}", missing)
    for body, reason in islice(unusable.items(), 3):
        logger.warning("what the server holds for %s is unusable: %s", objects.key(body), reason)
    ctx.exclusions.add(table, "what the server holds for the key is unusable", len(unusable))
    written = len(reasons) - missing - len(unusable)
    logger.info("wrote the %s of %s of %s bodies", objects.noun, f"{written:,}", f"{len(reasons):,}")


def _write_table(path: Path, rows: Iterator[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", "success", "reason"])
        writer.writerows((key, not reason, reason) for key, reason in rows)
