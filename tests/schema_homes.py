"""The real emannotationschemas, in an environment of its own, as the oracle for what the CAVE double serves.

`python -m tests.schema_homes` writes tests/data/cave/schemas.json anew.  The environment lives in the user's cache
folder, outside the repository, and is made once for all checkouts (from PyPI, in about 15 seconds).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PARTS = Path(__file__).with_name("schema_home")
_TELL = _PARTS / "tell.py"
_REQUIREMENTS = _PARTS / "requirements.txt"

SHIPPED = Path(__file__).with_name("data") / "cave" / "schemas.json"


def interpreter() -> Path:
    """The Python that has emannotationschemas."""
    content = f"{sys.version} {sys.base_prefix}".encode() + _REQUIREMENTS.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flyem-snapshot-tests"
    finished = cache / f"emannotationschemas-{digest}"
    if not finished.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".emannotationschemas-") as made:
            _assemble(Path(made) / "home")
            with contextlib.suppress(OSError):  # somebody else was faster, with the same content
                (Path(made) / "home").rename(finished)
    return finished / "bin" / "python"


def _assemble(folder: Path) -> None:
    venv.create(folder, with_pip=True)
    command = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for attempt in range(3):  # a registry may be slow for a moment; what was fetched is kept
        done = subprocess.run(
            [*command, "--no-deps", f"--requirement={_REQUIREMENTS}"],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode == 0:
            return
        time.sleep(2 * attempt)
    raise RuntimeError(f"pip failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def _told(what: str, text: str = "") -> str:
    command: list[str | Path] = [interpreter(), "-W", "ignore", _TELL, what]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=True).stdout


def schemas() -> dict[str, Any]:
    """The package's version and, for each of its `types`, the `definition` and the kinds of flattened `columns`."""
    return dict(json.loads(_told("schemas")))


def problems(annotations: Iterable[tuple[str, dict[str, Any]]]) -> list[list[str]]:
    """For each pair of a schema type and an annotation the names of the fields that are wrong."""
    lines = "\n".join(json.dumps(pair) for pair in annotations)
    return [json.loads(line) for line in _told("problems", lines).splitlines()]


def shipped_form(told: dict[str, Any]) -> str:
    """What is shipped: a line for each type; keys of definitions sorted, for the package gives them in any order."""
    lines = []
    for name, entry in told["types"].items():
        parts = [_short(entry["columns"]), _short(entry["definition"], sort_keys=True)]
        lines.append(f'{json.dumps(name)}: {{"columns":{parts[0]},"definition":{parts[1]}}}')
    return f'{{\n"version": {json.dumps(told["version"])},\n"types": {{\n' + ",\n".join(lines) + "\n}\n}\n"


def _short(value: Any, *, sort_keys: bool = False) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=sort_keys)


if __name__ == "__main__":
    SHIPPED.write_text(shipped_form(schemas()))
    print(SHIPPED)
