"""`inspect-neuprint-snapshot`: look into the Neo4j database of a snapshot with cypher-shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from flyem_snapshot import __version__
from flyem_snapshot.cli.edge import guarded
from flyem_snapshot.cli.neo4j_options import add_runtime_options
from flyem_snapshot.errors import SnapshotError

PROGRAM = "inspect-neuprint-snapshot"
_EPILOG = """\
examples:
  inspect-neuprint-snapshot DIR
  echo 'MATCH (n:Neuron) RETURN count(n);' | inspect-neuprint-snapshot DIR

The server listens on this machine only, refuses to write, and ends with the shell (:exit, Ctrl-D or Ctrl-C).
"""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the process with usage on stderr and exit 2 if it makes no sense."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Start the Neo4j database of a snapshot and open cypher-shell on it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="a snapshot with a database: it has neo4j/")
    parser.add_argument("--version", action="version", version=f"flyem-snapshot {__version__}")
    add_runtime_options(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _inspect(arguments))


def _inspect(arguments: argparse.Namespace) -> None:
    import logging

    from flyem_snapshot.neo4j.inspection import inspect, version_of
    from flyem_snapshot.neo4j.machine import Machine
    from flyem_snapshot.neo4j.runtimes import choose_runtime

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)  # stdout is for the answers
    snapshot = arguments.directory.resolve()
    version = version_of(snapshot)
    runtime = choose_runtime(arguments.runtime, version, arguments.image, arguments.neo4j_home)
    machine = Machine.here(arguments.memory, arguments.processors)
    code = inspect(snapshot, version, runtime, machine, arguments.scratch_dir)
    if code:
        raise SnapshotError(f"cypher-shell ended with exit code {code}")


if __name__ == "__main__":
    sys.exit(main())
