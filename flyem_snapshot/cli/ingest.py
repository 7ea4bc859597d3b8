"""`ingest-neuprint-snapshot-using-apptainer`: make a Neo4j database of a snapshot's neuPrint folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from flyem_snapshot import __version__
from flyem_snapshot.cli.edge import guarded
from flyem_snapshot.cli.neo4j_options import add_runtime_options
from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.neo4j.command import VERSIONS

PROGRAM = "ingest-neuprint-snapshot-using-apptainer"
_EPILOG = """\
examples:
  ingest-neuprint-snapshot-using-apptainer DIR
  ingest-neuprint-snapshot-using-apptainer DIR --neo4j-version 5.26 --runtime docker
  ingest-neuprint-snapshot-using-apptainer DIR --runtime local --neo4j-home ~/neo4j-community-4.4.16

The database appears as DIR/neo4j, only when it is complete and its indexes are online; logs are in DIR/neo4j-logs.
A run that was interrupted leaves nothing in the way of the next one.
"""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the process with usage on stderr and exit 2 if it makes no sense."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Import the neuPrint files of a finished snapshot into a Neo4j database, and make its indexes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "directory", type=Path, metavar="DIR", help="a finished snapshot: the folder that has neuprint/"
    )
    parser.add_argument("--version", action="version", version=f"flyem-snapshot {__version__}")
    parser.add_argument("--overwrite", action="store_true", help="replace DIR/neo4j if there is one")
    parser.add_argument(
        "--debug-shell", action="store_true", help="prepare the import, then open a shell where it would run"
    )
    add_runtime_options(parser)
    parser.add_argument(
        "--neo4j-version", choices=VERSIONS, default="4.4", help="(default: 4.4, as neuPrint servers run)"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _ingest(arguments))


def _ingest(arguments: argparse.Namespace) -> None:
    from flyem_snapshot.log import setup_logging
    from flyem_snapshot.neo4j.ingest import Ingestion, debug_shell, ingest
    from flyem_snapshot.neo4j.machine import Machine
    from flyem_snapshot.neo4j.runtimes import choose_runtime

    setup_logging()
    version = arguments.neo4j_version
    job = Ingestion(
        arguments.directory.resolve(),
        version,
        choose_runtime(arguments.runtime, version, arguments.image, arguments.neo4j_home),
        Machine.here(arguments.memory, arguments.processors),
        arguments.scratch_dir,
        arguments.overwrite,
    )
    if not arguments.debug_shell:
        ingest(job)
    elif debug_shell(job):
        raise SnapshotError("the shell ended with an error")


if __name__ == "__main__":
    sys.exit(main())
