"""Run the command line program as a user does, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

COMMAND = (sys.executable, "-m", "flyem_snapshot.cli.main")


def run(
    *arguments: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The finished process; its output is text."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def run_snapshot(config: Path, *arguments: str) -> Path:
    """Make the snapshot of a config file; returns the output directory, and fails the test if the run fails."""
    finished = run("-c", config, *arguments)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    said = re.search(r"snapshot complete in [^:]*: (.+)$", finished.stdout, re.MULTILINE)
    # Asking with -d would start another process, and there are hundreds of runs; some log nothing, though.
    return Path(said[1] if said else run("-c", config, "-d").stdout.strip())


def tree(root: Path, without: Sequence[str] = ("cache", "run-summary.json")) -> dict[str, bytes]:
    """Every file below a directory, by relative path; `cache/` and timings left out."""
    files = {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name.split("/")[0] not in without}
