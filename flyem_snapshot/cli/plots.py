"""`flyem-snapshot-plots`: publication figures from the connectivity reports of finished snapshots."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from flyem_snapshot import __version__
from flyem_snapshot.cli.edge import guarded, say
from flyem_snapshot.errors import OutputError, SnapshotError

PROGRAM = "flyem-snapshot-plots"
_FORMATS = ("html", "png", "pdf", "svg")
_MEASURES = ("connections", "synweight", "presyn", "postsyn")
_EPILOG = """\
examples:
  flyem-snapshot-plots DIR                                    completion of each ROI, on both sides, pre and post
  flyem-snapshot-plots DIR --rois 'ME,LO,LOP' --format pdf    some regions, for a paper
  flyem-snapshot-plots A B --labels hemibrain,male-cns        the same, and the snapshots beside each other

Figures go to <output>/html, <output>/png and so on (of several snapshots: <output>/<label>/html), their numbers
to <output>/roi-completeness.csv.  Pictures are drawn by Chromium or Chrome; without one there are only pages.
"""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the process with usage on stderr and exit 2 if it makes no sense."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Draw how complete each ROI of one or several finished snapshots is.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="a snapshot with connectivity reports")
    parser.add_argument("--version", action="version", version=f"flyem-snapshot {__version__}")

    numbers = parser.add_argument_group("what is shown")
    numbers.add_argument("--roiset", metavar="NAME", help="the reports' roi-set (default: the only one, or primary)")
    numbers.add_argument("--group", metavar="NAME", help="a group of capture-summary-subsets (default: all reports)")
    numbers.add_argument(
        "--status",
        metavar="STATUS",
        help="a body counts as traced at this status or a better one (default: Leaves, or the best that there is)",
    )
    numbers.add_argument(
        "--measure", choices=_MEASURES, default=_MEASURES[0], help="what is complete (default: connections)"
    )
    numbers.add_argument(
        "--rois",
        action="append",
        default=[],
        metavar="A,B",
        help="only these, in this order: reports by name, or regions for both of their sides (may be repeated)",
    )
    numbers.add_argument(
        "--labels", type=_list, metavar="A,B", help="what to call each snapshot (default: its directory's name)"
    )

    files = parser.add_argument_group("the files")
    files.add_argument("-o", "--output", type=Path, default=Path("plots"), metavar="DIR", help="(default: plots)")
    files.add_argument(
        "--format",
        type=_formats,
        default=("html", "png"),
        metavar="A,B",
        help="html, png, pdf, svg (default: html,png)",
    )
    files.add_argument("--width", type=_width, default=1200, metavar="PIXELS", help="of a figure (default: 1200)")
    arguments = parser.parse_args(argv)
    if arguments.labels is None:
        arguments.labels = _names(arguments.directories)
    elif len(arguments.labels) != len(arguments.directories):
        parser.error(f"{len(arguments.labels)} labels for {len(arguments.directories)} snapshots")
    if len(set(arguments.labels)) < len(arguments.labels):
        parser.error("two snapshots have one name: tell them apart with --labels A,B")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _draw(arguments))


def _draw(arguments: argparse.Namespace) -> None:
    import logging

    from flyem_snapshot.engine.outdir import OutputDir
    from flyem_snapshot.plots.publication import Wishes, publish, read_snapshots
    from flyem_snapshot.plots.publication_numbers import weighted_mean
    from flyem_snapshot.plots.publication_style import MEASURES, percent

    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    for chatty in ("kaleido", "choreographer"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if arguments.output.exists() and not arguments.output.is_dir():
        raise SnapshotError(f"{arguments.output} is a file", hint="name a folder with -o")
    wishes = Wishes(
        measure=MEASURES[arguments.measure],
        roiset=arguments.roiset,
        group=arguments.group,
        status=arguments.status,
        rois=arguments.rois,
        width=arguments.width,
        formats=arguments.format,
    )
    tables = read_snapshots(list(zip(arguments.labels, arguments.directories, strict=True)), wishes)
    for label, table in zip(arguments.labels, tables, strict=True):
        mean = weighted_mean(table[wishes.measure.stat], table["PostSyn"])
        share = "no synapses" if mean is None else f"{percent(mean)} of {wishes.measure.words}, weighted by PSDs"
        say(f"{label}: {len(table)} ROIs, status '{table['status'].iloc[0]}' or better: {share}")
    out = OutputDir(arguments.output)
    try:
        publish(out, tables, wishes)
    except OutputError as error:
        raise OutputError(error.message, hint="choose another folder with -o, or mend this one") from error
    for name in out.written:
        say(f"wrote {out.path(name)}")


def _list(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError("an empty name")
    return parts


def _formats(text: str) -> tuple[str, ...]:
    formats = tuple(dict.fromkeys(_list(text.lower())))
    for name in formats:
        if name not in _FORMATS:
            raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(_FORMATS)}")
    return formats


def _width(text: str) -> int:
    try:
        width = int(text)
    except ValueError:
        width = 0
    if not 500 <= width <= 6000:
        raise argparse.ArgumentTypeError("a width lies between 500 and 6000 pixels")
    return width


def _names(directories: Sequence[Path]) -> list[str]:
    """What to call snapshots whose user does not say: like their directories, with the one above if two are alike."""
    names = [directory.resolve().name for directory in directories]
    if len(set(names)) == len(names):
        return names
    return [f"{directory.resolve().parent.name}/{name}" for directory, name in zip(directories, names, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
