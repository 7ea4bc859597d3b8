"""`flyem-snapshot`: make a snapshot of a connectome from a config file."""

from __future__ import annotations

import argparse
import functools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flyem_snapshot import __version__
from flyem_snapshot.cli.edge import complain, guarded, say

if TYPE_CHECKING:
    from flyem_snapshot.pipeline.job import Job

_EPILOG = """\
examples:
  flyem-snapshot -Y > config.yaml         a config file with every setting explained, to be edited
  flyem-snapshot -c config.yaml --check   find mistakes in the settings and the input files, in seconds
  flyem-snapshot -c config.yaml --plan    what a run would do, and why
  flyem-snapshot -c config.yaml           make the snapshot; the same command resumes after an interruption
  flyem-snapshot --verify DIR             prove that a finished snapshot is whole and agrees with itself

exit codes:
  0    done
  1    an input file, the output directory or a service is at fault
  2    the config file or the command line is at fault
  70   a bug in flyem-snapshot
  130  interrupted (Ctrl-C or SIGTERM)
"""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the process with usage on stderr and exit 2 if it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="flyem-snapshot",
        description="Freeze a connectome at one moment and publish it in the forms the field consumes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="the config file (YAML); run all it asks for")
    parser.add_argument(
        "--verify", type=Path, metavar="DIR", help="check a finished snapshot; nothing is written there"
    )
    parser.add_argument("--version", action="version", version=f"flyem-snapshot {__version__}")

    with_config = parser.add_argument_group("instead of running, with -c")
    without_config = parser.add_argument_group("instead of running, without -c")
    # A group with a title cannot be exclusive itself, so each flag says what it excludes by writing to `show`.
    for group, short, name, text in (
        (with_config, "-t", "print-snapshot-tag", "print the snapshot tag"),
        (with_config, "-d", "print-output-directory", "print the absolute path of the output directory"),
        (with_config, "", "plan", "print what a run would do, stage by stage, and why; nothing is written"),
        (with_config, "", "check", "check settings, input files and free space; nothing is written"),
        (without_config, "-y", "dump-default-yaml", "print a config file with every default"),
        (without_config, "-Y", "dump-verbose-yaml", "the same, with each setting explained"),
        (without_config, "-m", "dump-neuprint-default-meta", "print a meta file for neuPrint with every default"),
        (without_config, "-M", "dump-verbose-neuprint-default-meta", "the same, with each setting explained"),
        (without_config, "", "schema", "print the JSON Schema of config files, for editors"),
    ):
        flags = [flag for flag in (short, f"--{name}") if flag]
        group.add_argument(*flags, dest="show", action="append_const", const=name, help=text)

    arguments = parser.parse_args(argv)
    shown = arguments.show or []
    if len(shown) > 1:
        parser.error(f"only one of {', '.join(f'--{name}' for name in shown)} can be printed at a time")
    arguments.show = shown[0] if shown else None
    if arguments.verify is not None and (arguments.config is not None or arguments.show):
        parser.error("--verify goes alone: it takes the settings from the snapshot")
    if arguments.config is not None and arguments.show in _WITHOUT_CONFIG:
        parser.error(f"--{arguments.show} does not go with --config")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = parse_arguments(words)
    if arguments.show in _WITHOUT_CONFIG:
        action = functools.partial(_print_model, arguments.show)
    elif arguments.verify is not None:
        action = functools.partial(_verify, arguments.verify)
    elif arguments.config is None:
        complain("no config file given: use -c FILE; -Y prints one to start from, --help explains")
        return 1
    else:
        action = functools.partial(_with_job, arguments.config, arguments.show)
    makes_snapshot = arguments.config is not None and arguments.show is None
    return guarded(action, resume=shlex.join(["flyem-snapshot", *words]) if makes_snapshot else "")


_META = {"dump-neuprint-default-meta": "dump-default-yaml", "dump-verbose-neuprint-default-meta": "dump-verbose-yaml"}
"""What prints the meta file's model, by what prints the whole configuration likewise."""

_WITHOUT_CONFIG = frozenset({"dump-default-yaml", "dump-verbose-yaml", "schema", *_META})


def _print_model(what: str) -> None:
    """Print something that follows from the settings models alone."""
    from flyem_snapshot.config.schema import schema_text
    from flyem_snapshot.config.template import default_yaml, verbose_yaml
    from flyem_snapshot.outputs.neuprint.meta_settings import MetaSettings
    from flyem_snapshot.pipeline.job import composed_model
    from flyem_snapshot.pipeline.registry import INPUTS, OUTPUTS

    text = {"dump-default-yaml": default_yaml, "dump-verbose-yaml": verbose_yaml, "schema": schema_text}
    model = MetaSettings if what in _META else composed_model((*INPUTS, *OUTPUTS))
    say(text[_META.get(what, what)](model))


def _with_job(config: Path, show: str | None) -> None:
    """Load the config file, then run it or print what was asked for."""
    from flyem_snapshot.pipeline.job import open_job
    from flyem_snapshot.pipeline.registry import INPUTS, OUTPUTS

    job = open_job(config, (*INPUTS, *OUTPUTS))
    if show is None:
        _run(job)
    elif show == "print-snapshot-tag":
        say(job.tag)
    elif show == "print-output-directory":
        say(str(job.root))
    elif show == "plan":
        from flyem_snapshot.pipeline.runner import plan_job

        say(_aligned(plan_job(job).rows()))
    else:
        from flyem_snapshot.pipeline.runner import check_job

        check_job(job)
        say(f"{config}: no problems found")


def _verify(root: Path) -> None:
    """Make every check of a finished snapshot."""
    from flyem_snapshot.verify.run import verify

    verify(root, say)


def _run(job: Job) -> None:
    from flyem_snapshot.errors import SettingError
    from flyem_snapshot.log import setup_logging
    from flyem_snapshot.pipeline.runner import run_job

    try:
        setup_logging(job.config.job_settings.logging_config)
    except ValueError as error:
        raise job.loaded.blame(("job-settings",), SettingError("logging-config", str(error))) from error
    run_job(job)


def _aligned(rows: Sequence[tuple[str, str, str]]) -> str:
    """Three columns, the last of any length."""
    lines = [("stage", "action", "reason"), *rows]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    return "\n".join(f"{name:<{widths[0]}}  {action:<{widths[1]}}  {reason}" for name, action, reason in lines)


if __name__ == "__main__":
    sys.exit(main())
