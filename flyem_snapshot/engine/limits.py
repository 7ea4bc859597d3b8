"""How much memory and how many CPUs this process may use, and how users write sizes."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

DEFAULT_SHARE = 0.6
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes meant by `2GB` (decimal), `1.5GiB` (binary) or `500m`; raises ValueError for anything else."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"'{text}' is not a size: write for example 8GB or 1.5GiB")
    return int(float(match[1]) * _UNITS[(match[2] or "").lower()])


def available_memory() -> int:
    """Bytes this process may use: physical memory, cut by control-group and process limits."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_cgroup_memory_limits()]
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            limits.append(soft)
    return min(limits)


def _cgroup_memory_limits(
    root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> list[int]:
    """Every memory limit on the way from this process's control group to the root (versions 1 and 2)."""
    limits = []
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            base, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = base / group.lstrip("/")
        for place in (folder, *folder.parents):
            if not place.is_relative_to(base):
                break
            try:
                text = (place / name).read_text().strip()
            except OSError:
                continue
            if text.isdigit():
                limits.append(int(text))
    return limits


def available_cpus() -> int:
    """CPUs the job was given: the batch system's word (LSF), else the scheduler affinity."""
    granted = os.environ.get("LSB_DJOB_NUMPROC", "")
    affinity = len(os.sched_getaffinity(0))
    return max(1, min(affinity, int(granted))) if granted.isdigit() else affinity
