"""`update-neuprint-annotations`: newer body annotations of DVID into a neuPrint server that is in use."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from flyem_snapshot import __version__
from flyem_snapshot.cli.edge import guarded, say

_EPILOG = """\
examples:
  update-neuprint-annotations --dry-run -o changes http://dvid:8000 :master segmentation neuprint.example.org cns:v1.0
  update-neuprint-annotations -e synonyms,class http://dvid:8000 1d7b1a segmentation neuprint.example.org cns:v1.0

environment:
  NEUPRINT_APPLICATION_CREDENTIALS  your neuPrint token; writing needs that of an administrator
  DVID_TOKEN                        your DVID token, where DVID asks for one
  REQUESTS_CA_BUNDLE                certificates to trust besides the usual ones

Annotations become properties as in an export (cell_body_fiber -> cellBodyFiber, status -> statusLabel and status, ...).
Only bodies that are annotated and Segments are touched.  A field that is empty removes its property.  Predicted
neurotransmitters, counts and ROIs are never touched, nor are labels: no Segment becomes a Neuron.  What was interrupted
is finished by running the same command again.
"""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the process with usage on stderr and exit 2 if it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="update-neuprint-annotations",
        description="Bring the Segment properties of a neuPrint server up to date with the body annotations in DVID.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dvid_server", help="DVID, such as http://dvid.example.org:8000")
    parser.add_argument("uuid", help="the version whose annotations count: a UUID, :master, :master~1, ...")
    parser.add_argument(
        "instance", help="the annotations (segmentation_annotations), or the segmentation they belong to"
    )
    parser.add_argument("neuprint_server", help="neuPrint, such as neuprint.example.org (https)")
    parser.add_argument("dataset", help="its full name, such as hemibrain:v1.2.1")
    parser.add_argument("-o", "--output-dir", type=Path, metavar="DIR", help="write both sides and the queries to DIR")
    parser.add_argument(
        "-b", "--batch-size", type=_count, default=200, metavar="N", help="bodies of one transaction (default: 200)"
    )
    parser.add_argument("--dry-run", action="store_true", help="compare, but change nothing on the server")
    parser.add_argument(
        "-e",
        "--exclude",
        action="append",
        default=[],
        metavar="PROPS",
        help="neuPrint properties to leave alone, separated by commas; may be repeated",
    )
    parser.add_argument("--version", action="version", version=f"flyem-snapshot {__version__}")
    arguments = parser.parse_args(argv)
    names = [name.strip() for text in arguments.exclude for name in text.split(",")]
    arguments.exclude = frozenset(name for name in names if name)
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parse_arguments(words)
    return guarded(lambda: update(arguments), resume=shlex.join(["update-neuprint-annotations", *words]))


def update(arguments: argparse.Namespace) -> None:
    """Compare and, unless it is a dry run, write.  SnapshotError: whatever keeps it from being done."""
    from flyem_snapshot.live import meta, update
    from flyem_snapshot.live.credentials import load_token
    from flyem_snapshot.live.server import NeuprintServer
    from flyem_snapshot.log import setup_logging

    setup_logging()
    folder: Path | None = arguments.output_dir
    with contextlib.closing(NeuprintServer(arguments.neuprint_server, load_token())) as server:
        dataset = meta.the_dataset(server, arguments.dataset)
        annotations = update.read_annotations(arguments.dvid_server, arguments.uuid, arguments.instance)
        todo = update.plan(server, dataset, annotations, arguments.exclude, folder)
        update.refuse_nothing_in_common(todo, dataset, annotations.source)
        say("\n".join([f"{annotations.source} -> {dataset} at {server.url}", *update.summary(todo)]))
        if folder is not None:
            say(f"queries: {update.save_commands(folder, dataset, todo, arguments.batch_size)}")
        if not todo.is_needed:
            say("nothing to do")
        elif arguments.dry_run:
            say("dry run: nothing was changed")
        else:
            update.apply(server, dataset, todo, arguments.batch_size)
            say("done")


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10_000:
        raise argparse.ArgumentTypeError("from 1 to 10000")
    return value


if __name__ == "__main__":
    sys.exit(main())
