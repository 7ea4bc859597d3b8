"""What importing our CAVE client costs beside `caveclient`: seconds, memory, modules, and disk of an installation.

Both are measured in the same way: a fresh process each time, the two taking turns.  `caveclient` is installed with pip
into a virtual environment of its own, ours is that of the Python that runs this.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import venv
from importlib import metadata
from pathlib import Path

PROGRAM = """
import json, resource, sys, time
start = time.perf_counter()
{statement}
took = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({{"seconds": took, "rss": peak, "modules": len(sys.modules)}}))
"""
OURS = "from flyem_snapshot.cave import FrameworkClient"
MADE = f"{OURS}; FrameworkClient('minnie65_public', auth_token='0').materialize"
THEIRS = "from caveclient import CAVEclient"
NOTHING = "pass"
CLIENT_NEEDS = ("numpy", "pyarrow", "pandas", "requests")
"""What our client can load; the last but one only for DataFrames."""


def measured(python: Path, statement: str) -> dict[str, float]:
    """One process: seconds of the statement, and peak memory and modules after it."""
    command = [python, "-c", PROGRAM.format(statement=statement)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def folder_of(python: Path) -> Path:
    """Where a Python keeps what is installed for it."""
    command = [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


def distributions(roots: tuple[str, ...]) -> set[str]:
    """The distributions that some need, themselves included, of those that are installed here."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        for requirement in metadata.requires(name) or []:
            if ";" in requirement and "extra ==" in requirement:
                continue
            needed = requirement.split(";")[0].strip()
            end = next((i for i, letter in enumerate(needed) if not (letter.isalnum() or letter in "._-")), len(needed))
            try:
                metadata.distribution(needed[:end])
            except metadata.PackageNotFoundError:  # for another system or version of Python
                continue
            waiting.append(needed[:end])
    return found


def size_of(names: set[str]) -> int:
    """Bytes of the files of distributions that are installed here."""
    paths = {Path(str(file.locate())) for name in names for file in metadata.files(name) or []}
    return sum(path.stat().st_size for path in paths if path.is_file())


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--theirs", default="caveclient", help="what pip installs to compare with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        empty = sum(path.stat().st_size for path in folder_of(python).rglob("*") if path.is_file())
        subprocess.run([python, "-m", "pip", "install", "--quiet", options.theirs], check=True)
        subprocess.run([python, "-m", "compileall", "-q", folder_of(python)], check=False, capture_output=True)
        cases = {
            "Python itself": (Path(sys.executable), NOTHING),
            "flyem_snapshot.cave": (Path(sys.executable), OURS),
            "... and a client of a datastack": (Path(sys.executable), MADE),
            "caveclient": (python, THEIRS),
        }
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
        for _ in range(options.repeat):
            for name, case in cases.items():
                runs[name].append(measured(*case))
        print(f"{'':34}{'seconds':>10}{'peak MB':>10}{'modules':>10}   (median of {options.repeat})")
        for name, found in runs.items():
            seconds, rss, modules = (
                statistics.median(run[key] for run in found) for key in ("seconds", "rss", "modules")
            )
            print(f"{name:34}{seconds:>10.3f}{rss / 1e6:>10.0f}{modules:>10.0f}")
        sizes = sum(path.stat().st_size for path in folder_of(python).rglob("*") if path.is_file()) - empty
        theirs = [
            path for path in folder_of(python).glob("*.dist-info") if not path.name.startswith(("pip-", "setuptools-"))
        ]
        needed = distributions(CLIENT_NEEDS)
        print(f"\n{options.theirs}: {len(theirs)} distributions, {sizes / 1e6:.0f} MB")
        print(f"what our client can load: {len(needed)} distributions, {size_of(needed) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
