"""`serve-neuprint-snapshot`: serve a snapshot's database to neuprint-python."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flyem_snapshot import __version__
from flyem_snapshot.cli.edge import complain, guarded, say
from flyem_snapshot.cli.neo4j_options import add_runtime_options
from flyem_snapshot.errors import DataError, ServiceError, SnapshotError

if TYPE_CHECKING:
    from flyem_snapshot.bridge.database import Database
    from flyem_snapshot.bridge.server import BridgeServer

_EPILOG = """\
examples:
  serve-neuprint-snapshot DIR                                  start the database in DIR/neo4j and serve it
  serve-neuprint-snapshot DIR --bolt bolt://localhost:7687     serve a Neo4j that runs already
  serve-neuprint-snapshot DIR --token-file ~/bridge-token      only for holders of the token
  serve-neuprint-snapshot DIR --bolt URL --allow-writes        clients may change that database

environment:
  NEUPRINT_BRIDGE_TOKEN  the token, unless --token-file is given
  NEO4J_PASSWORD         the password of --bolt-user

Ctrl-C ends it.  neuprint-python speaks to https only, so the connection is encrypted with a certificate made on the
spot, unless --tls-cert or --plain say otherwise.  Queries can read everything in the database and write nothing, but
with --allow-writes neuPrint's raw transactions are open, as update-neuprint-annotations uses them.
"""


_PATIENCE = 600.0
"""Seconds for Neo4j to start: a container image may have to be fetched first."""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the process with usage on stderr and exit 2 if it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="serve-neuprint-snapshot",
        description="Serve the neuPrint database of a snapshot to neuprint-python and other clients.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="a finished snapshot")
    parser.add_argument("--version", action="version", version=f"flyem-snapshot {__version__}")

    database = parser.add_argument_group("the database")
    database.add_argument("--bolt", metavar="URL", help="a Neo4j that runs already, such as bolt://localhost:7687")
    database.add_argument("--bolt-user", metavar="NAME", help="its user, if it asks for one")
    database.add_argument("--database", metavar="NAME", help="one of its databases (default: its own default)")
    database.add_argument(
        "--timeout", type=_seconds, default=600.0, metavar="SECONDS", help="of a query (default: 600)"
    )
    database.add_argument("--queries", type=_count, default=8, metavar="N", help="at most so many at once (default: 8)")

    add_runtime_options(parser)

    address = parser.add_argument_group("the address")
    address.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1, this machine only)")
    address.add_argument("--port", type=_port, default=11000, help="0 takes any free one (default: 11000)")
    address.add_argument("--token-file", type=Path, metavar="FILE", help="a file (mode 0600) with the clients' token")
    address.add_argument("--public", action="store_true", help="let other machines ask without a token")
    address.add_argument(
        "--allow-writes", action="store_true", help="let clients change the database of --bolt, in transactions"
    )
    tls = address.add_mutually_exclusive_group()
    tls.add_argument("--tls", action="store_true", help="https with a certificate made on the spot (the default)")
    tls.add_argument("--tls-cert", type=Path, metavar="FILE", help="https with this certificate (PEM)")
    tls.add_argument("--plain", action="store_true", help="http, as behind a proxy that encrypts")
    address.add_argument("--tls-key", type=Path, metavar="FILE", help="the certificate's key (PEM)")
    address.add_argument("--tls-dir", type=Path, metavar="DIR", help="where a certificate made on the spot is kept")

    arguments = parser.parse_args(argv)
    if (arguments.tls_cert is None) != (arguments.tls_key is None):
        parser.error("--tls-cert and --tls-key go together")
    if arguments.bolt is None and (arguments.bolt_user or arguments.database):
        parser.error("--bolt-user and --database go with --bolt")
    if arguments.bolt is None and arguments.allow_writes:
        parser.error("--allow-writes goes with --bolt: the database of a finished snapshot is never changed")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: serve(arguments))


def serve(arguments: argparse.Namespace) -> None:
    """Serve until interrupted.  SnapshotError: whatever keeps the server from starting."""
    try:
        from flyem_snapshot.bridge import database, tls  # noqa: F401 - asks for both libraries before anything starts
    except ModuleNotFoundError as error:
        raise SnapshotError(f"{error.name} is not installed", hint="pip install 'flyem-snapshot[serve]'") from error
    import logging

    logging.basicConfig(level=logging.INFO, format="[%(asctime)s] %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("neo4j").setLevel(logging.ERROR)
    if not arguments.directory.is_dir():
        raise DataError(
            "there is no such directory", file=arguments.directory, hint="name a snapshot's output directory"
        )
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(_database(arguments))
        names = _check(opened)
        server, lines = _server(arguments, opened, names)
        stack.enter_context(server)
        say(lines)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
        say("stopped")


@contextlib.contextmanager
def _started(arguments: argparse.Namespace) -> Iterator[str]:
    """The Bolt address of the snapshot's own database, which runs, read-only, until the end of the block."""
    from flyem_snapshot.neo4j.inspection import shell, version_of
    from flyem_snapshot.neo4j.machine import Machine
    from flyem_snapshot.neo4j.runtimes import choose_runtime

    snapshot = arguments.directory.resolve()
    version = version_of(snapshot)
    runtime = choose_runtime(arguments.runtime, version, arguments.image, arguments.neo4j_home)
    machine = Machine.here(arguments.memory, arguments.processors)
    # The shell, and the server with it, ends when its input does: even if this process is killed.
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    with shell(snapshot, version, runtime, machine, arguments.scratch_dir, **pipes) as opened:
        yield _answering(opened.address, opened.process, opened.log)


def _answering(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    """The address, once the server answers there.  DataError: it ended instead, or took minutes."""
    from flyem_snapshot.bridge.database import Database

    last = time.monotonic() + _PATIENCE
    while True:
        try:
            with contextlib.closing(Database(url)) as database:
                database.describe()
        except ServiceError as error:
            if process.poll() is not None or time.monotonic() > last:
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
                raise DataError("the database did not start: " + "\n  ".join(lines[-5:]), file=url) from error
            time.sleep(0.5)
        else:
            return url


@contextlib.contextmanager
def _database(arguments: argparse.Namespace) -> Iterator[Database]:
    """The database to serve, running and reachable."""
    from flyem_snapshot.bridge.database import Database

    with contextlib.ExitStack() as stack:
        url = arguments.bolt or stack.enter_context(_started(arguments))
        user = (arguments.bolt_user, os.environ.get("NEO4J_PASSWORD", "")) if arguments.bolt_user else None
        database = Database(
            url, name=arguments.database, user=user, timeout=arguments.timeout, places=arguments.queries
        )
        stack.callback(database.close)
        say(f"database: {database.describe()} at {url}")
        yield database


def _check(database: Database) -> list[str]:
    """Say what is wrong with the database; the names of its datasets.  DataError: it cannot be served."""
    from flyem_snapshot.bridge.datasets import datasets
    from flyem_snapshot.bridge.replies import Refused
    from flyem_snapshot.bridge.soundness import findings

    try:
        found = findings(database)
        names = list(datasets(database))
    except Refused as refused:
        raise DataError(refused.message, file=database.url) from refused
    fatal = [str(finding) for finding in found if finding.fatal]
    if fatal:
        raise DataError.all_of([DataError(text, file=database.url) for text in fatal])
    for finding in found:
        complain(f"warning: {finding}")
    if not found:
        say("Meta is sound")
    return names


def _server(arguments: argparse.Namespace, database: Database, names: Sequence[str]) -> tuple[BridgeServer, str]:
    """The listening server, and what the user is told."""
    from flyem_snapshot.bridge.routes import Api
    from flyem_snapshot.bridge.server import Access, BridgeServer, is_loopback
    from flyem_snapshot.bridge.tls import self_signed, server_context
    from flyem_snapshot.bridge.tokens import load_token
    from flyem_snapshot.bridge.transactions import Transactions

    token = load_token(arguments.token_file)
    local = is_loopback(arguments.host)
    if token is None and not local and arguments.allow_writes:
        hint = "give --token-file; --public is for servers that only read"
        raise SnapshotError(f"--host {arguments.host} would let every machine that reaches it write", hint=hint)
    if token is None and not local and not arguments.public:
        hint = "give --token-file, or --public if that is what you want"
        raise SnapshotError(f"--host {arguments.host} would let every machine that reaches it read the data", hint=hint)
    hosts = {"localhost", "127.0.0.1", "::1", arguments.host} if local else {_name(arguments.host), "localhost"}
    certificate, context = None, None
    if arguments.tls_cert:
        context = server_context(arguments.tls_cert, arguments.tls_key)
    elif not arguments.plain:
        certificate, key = self_signed(arguments.tls_dir or _state_directory(), hosts)
        context = server_context(certificate, key)
    transactions = Transactions(database) if arguments.allow_writes else None
    api = Api(database, arguments.directory / "neuprint", public=token is None, transactions=transactions)
    access = Access(token, frozenset(hosts) if local else None)
    server = BridgeServer((arguments.host, arguments.port), api, access, context)
    host = "localhost" if arguments.host == "127.0.0.1" else _name(arguments.host)
    url = f"{'http' if context is None else 'https'}://{f'[{host}]' if ':' in host else host}:{server.port}"
    return server, _instructions(url, names, token_of=_token_source(arguments, token), certificate=certificate)


def _instructions(url: str, names: Sequence[str], token_of: str, certificate: Path | None) -> str:
    """Where the server is, and three lines of Python that use it."""
    lines = [f"serving {', '.join(names)} at {url} (Ctrl-C ends it)"]
    if url.startswith("http:"):
        return "\n".join([*lines, "neuprint-python speaks to https only: leave --plain out, or put a proxy in between"])
    verify = f", verify={str(certificate)!r}" if certificate else ""
    return "\n".join(
        [
            *lines,
            "",
            "    import os, neuprint",
            f"    client = neuprint.Client({url!r}, dataset={names[0]!r}, token={token_of}{verify})",
            '    print(client.fetch_custom("MATCH (n:Neuron) RETURN n.bodyId, n.type LIMIT 10"))',
            "",
        ]
    )


def _token_source(arguments: argparse.Namespace, token: str | None) -> str:
    """Python that yields the token: never the token itself, since terminals are looked at and logged."""
    if token is None:
        return repr("any")
    if arguments.token_file is not None:
        return f"open({str(arguments.token_file.absolute())!r}).read().strip()"
    return 'os.environ["NEUPRINT_BRIDGE_TOKEN"]'


def _state_directory() -> Path:
    """Where a certificate is kept from one start to the next: with the user, never in the snapshot, which travels."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "flyem-snapshot" / "tls"


def _name(host: str) -> str:
    """What clients on other machines call this one."""
    import socket

    return socket.gethostname() if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("seconds are a positive number")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 256:
        raise argparse.ArgumentTypeError("from 1 to 256")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return value


if __name__ == "__main__":
    sys.exit(main())
