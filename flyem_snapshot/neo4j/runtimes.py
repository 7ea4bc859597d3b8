"""Where Neo4j runs: in a container of one of four kinds, or in a Neo4j home on this machine."""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.neo4j.command import Version

RuntimeName = Literal["apptainer", "singularity", "docker", "podman", "local"]
RUNTIMES: Final[tuple[RuntimeName, ...]] = get_args(RuntimeName)
IMAGES: Final[Mapping[Version, str]] = {"4.4": "neo4j:4.4.16-community", "5.26": "neo4j:5.26-community"}
Action = Literal["import", "finish", "shell", "debug"]

_HOME_IN_IMAGE: Final = Path("/var/lib/neo4j")
_SCRIPT: Final = "inner.sh"


@dataclass(frozen=True)
class Runtime:
    """One way to run Neo4j: its kind, the program, and the image or the home."""

    name: RuntimeName
    program: str
    image: str
    home: Path

    def inside(self, places: Mapping[str, Path]) -> dict[str, Path]:
        """The paths that the places have where Neo4j runs: the same, or `/<name>` in a container."""
        return dict(places) if self.name == "local" else {name: Path("/", name) for name in places}

    def command(self, action: Action, version: Version, places: Mapping[str, Path], port: int) -> list[str]:
        """The command that runs the inner script.

        `places` are the folders that it sees, by name; `work` and `logs` are among them.  Those called `snapshot` and
        `program` are read-only in a container.
        """
        seen = self.inside(places)
        program = ["/bin/bash", str(seen["program"] / _SCRIPT)]
        inner = [*program, action, version, str(self.home), str(seen["work"]), str(seen["logs"]), str(port)]
        if self.name == "local":
            return inner
        mounts = [f"--mount={_mount(places[name], seen[name])}" for name in places]
        mounts.append(f"--mount={_mount(places['work'] / 'tmp', Path('/tmp'))}")  # noqa: S108 - the container's
        if self.name in ("apptainer", "singularity"):
            return [self.program, "exec", "--containall", "--no-home", *mounts, self.image, *inner]
        terminal = ["--interactive", *(["--tty"] if action in ("shell", "debug") and sys.stdin.isatty() else [])]
        user = f"--user={os.getuid()}:{os.getgid()}"
        network = "--network=host" if action == "shell" else "--network=none"
        same_ids = ["--userns=keep-id"] if self.name == "podman" else []
        options = ["--rm", "--init", *terminal, user, *same_ids, network, "--entrypoint="]
        return [self.program, "run", *options, *mounts, self.image, *inner]


def _mount(source: Path, target: Path) -> str:
    """A bind mount in the form that all four kinds read: fields of a CSV line, so any path will do."""
    line = io.StringIO()
    fields = ["type=bind", f"source={source}", f"target={target}"]
    csv.writer(line, lineterminator="").writerow([*fields, "readonly"] if target.name in _READ_ONLY else fields)
    return line.getvalue()


_READ_ONLY: Final = ("snapshot", "program")


def choose_runtime(name: RuntimeName | None, version: Version, image: str | None, home: Path | None) -> Runtime:
    """The runtime asked for; by default `local` if a Neo4j home is given, else apptainer or its twin singularity.

    A home is given by `home` or, for `local`, by NEO4J_HOME.  Raises SnapshotError if what is needed is not there.
    """
    if name is None:
        name = "local" if home else _first_container()
    if name == "local":
        given = home or (Path(os.environ["NEO4J_HOME"]) if os.environ.get("NEO4J_HOME") else None)
        return Runtime(name, "bash", "", _checked_home(given))
    if home is not None:
        raise SnapshotError(f"--neo4j-home goes with --runtime local, not {name}")
    program = shutil.which(name)
    if program is None:
        raise SnapshotError(
            f"{name} is not installed, or not on the PATH",
            hint=f"choose another --runtime ({', '.join(RUNTIMES)}); local needs only Java and an unpacked Neo4j",
        )
    chosen = image or IMAGES[version]
    if name in ("apptainer", "singularity") and "://" not in chosen and not Path(chosen).exists():
        chosen = f"docker://{chosen}"
    return Runtime(name, program, chosen, _HOME_IN_IMAGE)


def _first_container() -> RuntimeName:
    if shutil.which("apptainer") is None and shutil.which("singularity") is not None:
        return "singularity"
    return "apptainer"


def _checked_home(home: Path | None) -> Path:
    if home is None:
        raise SnapshotError("--runtime local needs a Neo4j home: give --neo4j-home DIR or set NEO4J_HOME")
    missing = [name for name in ("neo4j", "neo4j-admin", "cypher-shell") if not (home / "bin" / name).exists()]
    if missing:
        raise SnapshotError(
            f"{home} is no Neo4j home: bin/{missing[0]} is missing",
            hint="name the folder that an archive of Neo4j unpacks to",
        )
    return home.resolve()
