"""Sizes are read as users write them; memory and CPUs are what the job was given, not what the machine has."""

import os
import resource

import pytest

from flyem_snapshot.engine import limits
from flyem_snapshot.engine.limits import available_cpus, available_memory, parse_size

GB = 10**9


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000", 1000),
        ("17B", 17),
        ("2k", 2000),
        ("500m", 500_000_000),
        ("500MB", 500_000_000),
        ("8GB", 8_000_000_000),
        ("8 gb", 8_000_000_000),
        (" 1.5GiB ", 1_610_612_736),
        ("1.5gi", 1_610_612_736),
        ("2KiB", 2048),
        ("1MiB", 1_048_576),
        ("0.5T", 500_000_000_000),
        ("1TiB", 1_099_511_627_776),
    ],
)
def test_sizes_are_decimal_or_binary(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1,5GB", "8PB", "1e9", "8GBs", "8 G B", ".5G", "1.G", "80%"])
def test_anything_else_is_no_size(text):
    with pytest.raises(ValueError, match=r"is not a size: write for example 8GB or 1\.5GiB"):
        parse_size(text)


@pytest.fixture
def groups(tmp_path):
    """Make a tree of control groups and a membership file; returns the limits that are found in it."""

    def _groups(membership, files):
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content + "\n")
        (tmp_path / "membership").write_text(membership)
        return limits._cgroup_memory_limits(tmp_path / "cgroup", tmp_path / "membership")

    return _groups


def test_version_2_limits_hold_on_every_level(groups):
    found = groups(
        "0::/user.slice/job.scope\n",
        {
            "user.slice/job.scope/memory.max": "max",
            "user.slice/memory.max": str(4 * GB),
            "memory.max": str(6 * GB),
            "other.slice/memory.max": "1",
        },
    )

    assert sorted(found) == [4 * GB, 6 * GB]


def test_version_1_limits_are_those_of_the_memory_controller(groups):
    found = groups(
        "12:cpu,cpuacct:/jobs/7\n5:devices,memory:/jobs/7\n1:name=systemd:/jobs/8\n",
        {
            "memory/jobs/7/memory.limit_in_bytes": str(3 * GB),
            "memory/memory.limit_in_bytes": "9223372036854771712",  # how version 1 writes "no limit"
            "cpu,cpuacct/jobs/7/memory.limit_in_bytes": "1",
            "memory/jobs/8/memory.limit_in_bytes": "2",
        },
    )

    assert min(found) == 3 * GB


def test_a_group_that_is_not_mounted_has_the_limits_of_those_above(groups):
    assert groups("0::/not/seen/from/here\n", {"memory.max": "77"}) == [77]


def test_a_group_name_may_contain_colons(groups):
    assert groups("0::/jobs/a:b\n", {"jobs/a:b/memory.max": "78"}) == [78]


def test_no_limits_are_no_error(groups, tmp_path):
    assert groups("", {}) == []
    assert limits._cgroup_memory_limits(tmp_path, tmp_path / "no such file") == []


def test_available_memory_is_the_tightest_limit(monkeypatch):
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    monkeypatch.setattr(limits, "_cgroup_memory_limits", lambda: [2 * physical])
    assert available_memory() == physical

    monkeypatch.setattr(limits, "_cgroup_memory_limits", lambda: [2 * physical, 12_345])
    assert available_memory() == 12_345

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (999 if kind == resource.RLIMIT_AS else 1_000, 10_000))
    assert available_memory() == 999


@pytest.mark.parametrize(
    ("granted", "cpus"),
    [("", 4), ("1", 1), ("3", 3), ("4", 4), ("64", 4), ("0", 1), ("many", 4), ("-2", 4)],
)
def test_the_batch_system_says_how_many_cpus_but_not_more_than_there_are(monkeypatch, granted, cpus):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 4, 6})
    monkeypatch.setenv("LSB_DJOB_NUMPROC", granted)

    assert available_cpus() == cpus


def test_without_a_batch_system_the_affinity_counts(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 3, 5})
    monkeypatch.delenv("LSB_DJOB_NUMPROC", raising=False)

    assert available_cpus() == 3
