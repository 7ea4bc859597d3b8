"""Real Neo4j servers for the tests, assembled from the jars that their makers publish to Maven Central.

`python -m tests.neo4j_homes 4.4 5.26` prints the homes, assembling those that are missing (needs `mvn` and Java 17);
they live in the user's cache folder, outside the repository, and are made once for all checkouts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import neo4j

VERSIONS = ("4.4", "5.26")
_PARTS = Path(__file__).with_name("neo4j_home")


def home(version: str) -> Path:
    """The home of Neo4j `4.4` or `5.26`: bin/, lib/, plugins/ (APOC), shell/, conf/ (empty)."""
    files = [_PARTS / f"pom-{version}.xml", _PARTS / "pom-shell.xml", *sorted((_PARTS / "bin").iterdir())]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flyem-snapshot-tests"
    finished = cache / f"neo4j-{version}-{digest}"
    if not finished.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=f".neo4j-{version}-") as made:
            _assemble(version, Path(made) / "home")
            with contextlib.suppress(OSError):  # somebody else was faster, with the same content
                (Path(made) / "home").rename(finished)
    return finished


def _assemble(version: str, folder: Path) -> None:
    shutil.copytree(_PARTS / "bin", folder / "bin")
    _fetch(_PARTS / f"pom-{version}.xml", folder / "plugins", "--include=org.neo4j.procedure")
    _fetch(_PARTS / f"pom-{version}.xml", folder / "lib", "--exclude=org.neo4j.procedure")
    _fetch(_PARTS / "pom-shell.xml", folder / "shell")
    for name in ("conf", "data", "import", "logs", "run"):
        (folder / name).mkdir()


def _fetch(pom: Path, folder: Path, groups: str = "") -> None:
    """Copy the jars that a pom names, and what they need, into a folder."""
    which, _, group = groups.removeprefix("--").partition("=")
    command = ["mvn", "--batch-mode", "--quiet", f"--file={pom}", "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={folder}", "-DincludeScope=runtime", "-DincludeTypes=jar"]
    command += [f"-D{which}GroupIds={group}"] if group else []
    for attempt in range(3):  # a registry may be slow for a moment; what was fetched is kept
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode == 0:
            return
        time.sleep(2 * attempt)
    raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}")


def free_ports(count: int) -> list[int]:
    """Ports on the loopback that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def running(
    version: str, data: Path, *, database: str = "data", heap: str = "512m", settings: Sequence[str] = ()
) -> Iterator[str]:
    """Start Neo4j on the data directory `data` (holds databases/ and transactions/; made if missing).

    Yields its Bolt address (`bolt://127.0.0.1:port`, no authentication; `database` is the default database) as
    soon as it answers, and stops it in the end.  `settings` are further lines of neo4j.conf.
    """
    folder = home(version)
    with tempfile.TemporaryDirectory(prefix="neo4j-") as scratch:
        (port,) = free_ports(1)
        data.mkdir(parents=True, exist_ok=True)
        (Path(scratch) / "data").symlink_to(data.resolve())  # neo4j.conf cannot hold every path
        conf = Path(scratch) / "neo4j.conf"
        conf.write_text("\n".join([*_conf(version, Path(scratch), database, heap, port), *settings, ""]))
        log = Path(scratch) / "console.log"
        with log.open("wb") as stdout:
            server = subprocess.Popen(
                [folder / "bin" / "neo4j", "console"],
                env={**os.environ, "NEO4J_CONF": scratch},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            address = f"bolt://127.0.0.1:{port}"
            _wait_for_answer(server, address, log)
            yield address
        finally:
            _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the launcher and the server that it started, and nothing else: they have a process group of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    server.wait(timeout=120)


def _conf(version: str, scratch: Path, database: str, heap: str, port: int) -> list[str]:
    old = version.startswith("4.")
    server, connector = ("dbms", "dbms.connector") if old else ("server", "server")
    memory = "dbms.memory" if old else "server.memory"
    return [
        f"{'dbms.default_database' if old else 'initial.dbms.default_database'}={database}",
        "dbms.security.auth_enabled=false",
        "dbms.security.procedures.unrestricted=apoc.*",
        *(f"{server}.directories.{name}={scratch / name}" for name in ("data", "logs", "run", "import")),
        f"{memory}.heap.max_size={heap}",
        f"{memory}.pagecache.size=128m",
        f"{connector}.bolt.enabled=true",
        f"{connector}.bolt.listen_address=127.0.0.1:{port}",
        f"{connector}.bolt.advertised_address=127.0.0.1:{port}",
        f"{connector}.http.enabled=false",
        f"{connector}.https.enabled=false",
    ]


def _wait_for_answer(server: subprocess.Popen[bytes], address: str, log: Path, seconds: float = 120) -> None:
    last = time.monotonic() + seconds
    while True:
        try:
            with neo4j.GraphDatabase.driver(address, auth=None) as driver, driver.session() as session:
                session.run("RETURN 1").consume()
                return
        except (neo4j.exceptions.ServiceUnavailable, neo4j.exceptions.TransientError, neo4j.exceptions.ClientError):
            if server.poll() is not None or time.monotonic() > last:
                raise RuntimeError(f"Neo4j does not answer at {address}:\n{log.read_text()[-4000:]}") from None
            time.sleep(0.2)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or VERSIONS:
        print(home(wanted))
