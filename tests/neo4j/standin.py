"""A program called `apptainer` for machines without it: mounts what it is told to, and nothing else, and runs it there.

It makes a root directory of its own in a user and mount namespace: the system's programs read-only, Neo4j where its
image has it, and the bind mounts of the command line.  It knows only the options that it was written for.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

KNOWN = {"--containall", "--no-home"}
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc", "/sbin", "/dev", "/proc", "/opt")
STARTER = Path(__file__)


def install(folder: Path, home: Path) -> None:
    """Put an executable `apptainer` into `folder` whose only image is a Neo4j in `home`."""
    script = folder / "apptainer"
    script.write_text(f"#!{sys.executable}\nimport runpy, sys\nsys.argv[1:1] = [{str(home)!r}]\n")
    with script.open("a") as file:
        file.write(f"runpy.run_path({str(STARTER)!r}, run_name='__main__')\n")
    script.chmod(0o755)


def main(words: list[str]) -> None:
    home, action, *rest = words
    assert action == "exec", action
    mounts = [(home, "/var/lib/neo4j", True)]
    while rest and rest[0].startswith("--"):
        option = rest.pop(0)
        if option.startswith("--mount="):
            mounts.append(parse_mount(option.removeprefix("--mount=")))
        else:
            assert option in KNOWN, option
    image, *command = rest
    assert image.startswith("docker://neo4j:"), image
    unshare = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, __file__, "--inside"]
    os.execvp(unshare[0], [*unshare, repr(mounts), *command])  # noqa: S606 - a list, no shell


def parse_mount(text: str) -> tuple[str, str, bool]:
    (fields,) = csv.reader([text])
    parts = dict(field.partition("=")[::2] for field in fields)
    assert parts["type"] == "bind", text
    assert set(parts) <= {"type", "source", "target", "readonly"}, text
    return parts["source"], parts["target"], "readonly" in parts


def inside(mounts: list[tuple[str, str, bool]], command: list[str]) -> None:
    """In the namespace: build the root, enter it, become the command."""
    with tempfile.TemporaryDirectory() as empty:
        subprocess.run(["mount", "-t", "tmpfs", "none", empty], check=True)
        root = Path(empty)
        for path in map(Path, SYSTEM):
            if path.is_symlink():
                (root / path.name).symlink_to(path.readlink())
            elif path.exists():
                bind(path, root / path.name, recursive=True)
        for source, target, read_only in mounts:
            bind(Path(source), root / target.lstrip("/"), read_only=read_only)
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "NEO4J_HOME": "/var/lib/neo4j", "LANG": "C.UTF-8"}
        os.chroot(root)
        os.chdir("/")
        os.execvpe(command[0], command, environment)  # noqa: S606 - a list, no shell


def bind(source: Path, target: Path, *, recursive: bool = False, read_only: bool = False) -> None:
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--rbind" if recursive else "--bind", source, target], check=True)
    if read_only:
        subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        import ast

        inside(ast.literal_eval(sys.argv[2]), sys.argv[3:])
    else:
        main(sys.argv[1:])
