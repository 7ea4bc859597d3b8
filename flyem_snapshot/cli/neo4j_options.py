"""What the commands that run a Neo4j have in common on their command lines."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from flyem_snapshot.neo4j.runtimes import IMAGES, RUNTIMES

MEMORY_HELP = "for Neo4j in all, such as 24GB (default: 80 %% of what this machine, cgroup or batch job grants)"


def add_runtime_options(parser: argparse.ArgumentParser) -> None:
    """Add --runtime and what belongs to it."""
    group = parser.add_argument_group("Neo4j")
    group.add_argument(
        "--runtime",
        choices=RUNTIMES,
        help="what runs Neo4j (default: local with --neo4j-home, else apptainer, or singularity if only that exists)",
    )
    images = " or ".join(f"{image} for {version}" for version, image in IMAGES.items())
    group.add_argument("--image", help=f"the container image, a name or a .sif file (default: {images})")
    group.add_argument(
        "--neo4j-home", type=Path, metavar="DIR", help="an unpacked Neo4j, for --runtime local (default: $NEO4J_HOME)"
    )
    group.add_argument("--memory", type=_size, metavar="SIZE", help=MEMORY_HELP)
    group.add_argument("--processors", type=_positive, metavar="N", help="(default: as many as are granted)")
    group.add_argument(
        "--scratch-dir",
        type=Path,
        metavar="DIR",
        help="where Neo4j works meanwhile: fast and local (default: /scratch if it is there, else DIR itself)",
    )


def _size(text: str) -> int:
    from flyem_snapshot.engine.limits import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]*", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number")
    return int(text)
