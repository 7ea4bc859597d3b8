"""Measure a process as a whole, and hold it to a limit of memory."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

CGROUPS = Path("/sys/fs/cgroup")
# Version of control groups: folder, file of the limit, file that says the peak, file that counts kills.
VERSIONS = {
    1: (CGROUPS / "memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control"),
    2: (CGROUPS, "memory.max", "memory.peak", "memory.events"),
}


class Failed(Exception):  # noqa: N818
    """A measured process did not end well."""


@dataclass(frozen=True)
class Usage:
    """What a process took: seconds, and bytes of its largest resident set (pages of mapped files included).

    `group_peak` is the peak of its control group, page cache included, and `kills` how often the group had to kill.
    """

    wall: float
    user: float
    system: float
    rss: int
    group_peak: int | None = None
    kills: int | None = None


class Cap:
    """A limit of memory for one process at a time; without a limit it does nothing."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.version = next((v for v in VERSIONS if limit and _works(v, limit)), None)

    def __str__(self) -> str:
        if self.limit is None:
            return "none"
        if self.version:
            return f"memory control group (version {self.version}), page cache included"
        return "RLIMIT_DATA (no control group can be made here): heap and anonymous mappings, no page cache"

    @contextmanager
    def entered(self) -> Iterator[Path | None]:
        """A control group for one run; None if there is to be none."""
        if self.limit is None or self.version is None:
            yield None
            return
        group = _make(self.version, self.limit)
        try:
            yield group
        finally:
            group.rmdir()

    def run(self, command: list[str], log: Path) -> Usage:
        """Run a command to its end; raises Failed, with the end of what it printed, unless it succeeds."""
        with self.entered() as group:

            def enter() -> None:
                if group:
                    (group / "cgroup.procs").write_text(str(os.getpid()))
                elif self.limit is not None:
                    resource.setrlimit(resource.RLIMIT_DATA, (self.limit, self.limit))

            usage, status = _run(command, log, enter)
            if status:
                end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise Failed(f"{' '.join(command)} ended with {status}:\n{end}")
            if group is None or self.version is None:
                return Usage(*usage)
            _, _, peak, events = VERSIONS[self.version]
            words = (group / events).read_text().split()
            kills = int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else None
            return Usage(*usage, int((group / peak).read_text()) if (group / peak).exists() else None, kills)


def _run(command: list[str], log: Path, enter: Callable[[], None]) -> tuple[tuple[float, float, float, int], int]:
    """Wall, user and system seconds and peak RSS of a command, and its exit status."""
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, preexec_fn=enter)  # noqa: PLW1509
        watch = _PeakWatch(process.pid)
        watch.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            watch.ended.set()
            watch.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = max(used.ru_maxrss * 1024, watch.peak)
    return (wall, used.ru_utime, used.ru_stime, peak), process.returncode


class _PeakWatch(Thread):
    """Reads a process's peak RSS while it lives.

    What the kernel says at the end is not enough: a process may reset its peak, and the product does so at the
    start of each stage, to report one for every stage.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.status, self.peak, self.ended = Path(f"/proc/{pid}/status"), 0, Event()

    def run(self) -> None:
        while not self.ended.wait(0.02):
            try:
                found = re.search(r"VmHWM:\s*(\d+) kB", self.status.read_text())
            except OSError:  # it is gone, or the system has no such file
                return
            if found:
                self.peak = max(self.peak, int(found[1]) * 1024)


def _make(version: int, limit: int) -> Path:
    folder, limit_file, _, _ = VERSIONS[version]
    group = folder / f"flyem-snapshot-bench-{os.getpid()}"
    group.mkdir()
    try:
        (group / limit_file).write_text(str(limit))
        for swap in (group / "memory.memsw.limit_in_bytes", group / "memory.swap.max"):
            if swap.exists():  # else the process could move to swap what exceeds the limit
                swap.write_text(str(limit if version == 1 else 0))
    except OSError:
        group.rmdir()
        raise
    return group


def _works(version: int, limit: int) -> bool:
    if not (VERSIONS[version][0] / "cgroup.procs").exists():
        return False
    try:
        _make(version, limit).rmdir()
    except OSError:
        return False
    return True
