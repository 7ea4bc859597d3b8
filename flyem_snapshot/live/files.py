"""The files that show an update: both sides, where they differ, and the queries that mend it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.live.compare import Row
from flyem_snapshot.live.cypher import Point, Value

FROM_DVID: Final = "from-dvid.csv"
ORIGINAL: Final = "neuprint-original.csv"
MASK: Final = "changemask.csv"
COMMANDS: Final = "cypher-update-commands.cypher"


@contextmanager
def comparison_files(folder: Path | None, names: Sequence[str]) -> Iterator[Callable[[list[Row]], None]]:
    """A function that adds rows to the three tables of a comparison; without a folder it does nothing.

    All have the columns bodyId and the properties, and one row for each body of both sides.  They appear when the
    block ends well.
    """
    if folder is None:
        yield lambda _: None
        return
    with ExitStack() as stack:
        out = OutputDir(folder)
        writers = []
        for file in (FROM_DVID, ORIGINAL, MASK):
            path = stack.enter_context(out.create(file))
            stream = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
            writers.append(csv.writer(stream, lineterminator="\n"))
            writers[-1].writerow(["bodyId", *names])

        def add(rows: list[Row]) -> None:
            wanted, live, mask = writers
            wanted.writerows([row.body, *map(cell, row.wanted)] for row in rows)
            live.writerows([row.body, *map(cell, row.live)] for row in rows)
            mask.writerows([row.body, *map(cell, row.differs)] for row in rows)

        yield add


def write_commands(folder: Path, statements: Sequence[str]) -> None:
    """Write the queries as cypher-shell takes them."""
    OutputDir(folder).write_text(COMMANDS, "".join(f"{statement};\n" for statement in statements))


def cell(value: Value | None) -> str:
    """A value as text: true, 7, 0.5, {x:1, y:2, z:3}; lists with `;` between; nothing for what is absent."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, str):
        return value
    if isinstance(value, Point):
        return "{{x:{}, y:{}, z:{}}}".format(*map(_number, (value.x, value.y, value.z)))
    return ";".join(map(cell, value))


def _number(value: float) -> str:
    """A number, the same text whether a whole one comes as integer or as float."""
    return str(int(value)) if value % 1 == 0 else repr(value)
