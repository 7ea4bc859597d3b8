"""What Neo4j 4.4 and 5.26 want to be told: the importer's arguments and the server's settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, get_args

from flyem_snapshot.neo4j.files import ImportFile
from flyem_snapshot.neo4j.machine import Machine, mebibytes

Version = Literal["4.4", "5.26"]
VERSIONS: Final[tuple[Version, ...]] = get_args(Version)
DATABASE: Final = "data"
"""The database that neuPrintHTTP asks, and the only one on its server."""


def import_arguments(files: Sequence[ImportFile], version: Version, machine: Machine, report: Path) -> list[str]:
    """The arguments of `neo4j-admin import` (4.4) or `neo4j-admin database import full` (5.26) after those words.

    Ids are text, since those of synapse sets are; numbers keep the types that the headers declare; nothing that does
    not fit is left out silently.  5.26 says what is wrong only when it is asked to be verbose.
    """
    new = version != "4.4"
    return [
        "--overwrite-destination=true" if new else "--force=true",
        "--id-type=string" if new else "--id-type=STRING",
        "--multiline-fields=true",
        "--normalize-types=false",
        "--skip-bad-relationships=false",
        "--skip-duplicate-nodes=false",
        "--ignore-extra-columns=false",
        "--bad-tolerance=0",
        "--auto-skip-subsequent-headers=true",  # the own header of a file that was given another
        *(["--strict=true", "--high-parallel-io=on", "--verbose"] if new else ["--high-io=true"]),
        f"--{'max-off-heap-memory' if new else 'max-memory'}={mebibytes(machine.off_heap)}",
        f"--{'threads' if new else 'processors'}={machine.processors}",
        f"--report-file={report}",
        *(f"--nodes={file.words}" for file in files if file.relationship is None),
        *(f"--relationships={file.relationship}={file.words}" for file in files if file.relationship is not None),
    ]


def argument_file(arguments: Sequence[str]) -> str:
    """Arguments as the text of an `@file`: one a line, quoted, since there may be more than a command line holds."""
    return "".join(f'"{_escaped(argument)}"\n' for argument in arguments)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def server_settings(version: Version, folders: dict[str, Path], machine: Machine, port: int) -> str:
    """neo4j.conf of a server on the loopback without passwords; `folders` holds its `data`, `logs`, `run`, ...

    Paths must be plain (see `plain_places`): in this file Neo4j reads a backslash as a slash, and text as Latin-1.
    """
    new = version != "4.4"
    base, connector = ("server", "server") if new else ("dbms", "dbms.connector")
    memory = "server.memory" if new else "dbms.memory"
    lines = [
        f"{'initial.dbms.default_database' if new else 'dbms.default_database'}={DATABASE}",
        "dbms.security.auth_enabled=false",
        "dbms.security.procedures.unrestricted=apoc.*",
        *(["dbms.usage_report.enabled=false"] if new else []),
        f"{'db' if new else 'dbms'}.tx_log.preallocate=false",  # else 256 MB of nothing for each database
        *(f"{base}.directories.{name}={path}" for name, path in folders.items()),
        f"{memory}.heap.initial_size={mebibytes(machine.heap)}",
        f"{memory}.heap.max_size={mebibytes(machine.heap)}",
        f"{memory}.pagecache.size={mebibytes(machine.off_heap * 2 // 3)}",
        f"{connector}.bolt.enabled=true",
        f"{connector}.bolt.listen_address=127.0.0.1:{port}",
        f"{connector}.bolt.advertised_address=127.0.0.1:{port}",
        f"{connector}.http.enabled=false",
        f"{connector}.https.enabled=false",
        *(f"{base}.jvm.additional={option}" for option in _JVM_OPTIONS),
    ]
    return "".join(f"{line}\n" for line in lines)


# What Neo4j's own neo4j.conf asks of Java; ours takes its place.
_JVM_OPTIONS: Final = (
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "-Dio.netty.tryReflectionSetAccessible=true",
)


def read_only(version: Version) -> str:
    """The setting that keeps a finished database as it is."""
    return f"{'dbms' if version == '4.4' else 'server'}.databases.default_to_read_only=true\n"


def delivered_settings(version: Version) -> str:
    """neo4j.conf beside a finished database: what whoever serves it must not forget."""
    name = "dbms.default_database" if version == "4.4" else "initial.dbms.default_database"
    return f"{name}={DATABASE}\ndbms.security.auth_enabled=false\ndbms.security.procedures.unrestricted=apoc.*\n"
