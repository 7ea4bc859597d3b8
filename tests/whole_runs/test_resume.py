"""A snapshot that was disturbed, in any way, ends up as one that was not."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.running import COMMAND, run, run_snapshot, tree

STAGES = ("annotations", "rois", "synapses", "tables", "flat-connectome", "neuprint", "connectivity-reports")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The shipped example, copied."""
    folder = tmp_path_factory.mktemp("data")
    shutil.copytree(
        root / "examples" / "hemibrain-mb", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("output")
    )
    return folder


def config(data: Path, output: Path, name: str = "config.yaml", **flat: object) -> Path:
    """The example's config with another output directory, and other settings of the flat connectome."""
    yaml = YAML()
    document = yaml.load(data / "config.yaml")
    document["job-settings"]["output-dir"] = str(output)
    document["outputs"]["flat-connectome"].update(flat)
    path = data / f"{output.name}-{name}"
    yaml.dump(document, path)
    return path


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file of a run that nothing disturbs."""
    return files(run_snapshot(config(data, tmp_path_factory.mktemp("undisturbed"))))


def files(out: Path) -> dict[str, bytes]:
    """The snapshot's files, without those that name the output directory or hold timings."""
    return tree(out, without=("cache", "run-summary.json", "final-config.yaml"))


def leftovers(out: Path) -> list[Path]:
    return [path for path in out.rglob("*") if ".partial-" in path.name or path.name == "scratch"]


def kill(path: Path, moment: Callable[[subprocess.Popen[str]], None]) -> None:
    """Start a run and kill it, as the kernel kills for want of memory, when `moment` returns."""
    with subprocess.Popen(
        [*COMMAND, "-c", str(path)], stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT
    ) as process:
        moment(process)
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_twenty_kills_at_random_instants(data: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    start = time.monotonic()
    run_snapshot(config(data, tmp_path / "timed"))
    whole = time.monotonic() - start
    path = config(data, tmp_path / "killed")
    chance = random.Random(20)
    for _ in range(20):
        kill(path, lambda process: time.sleep(chance.uniform(0.3, 1) * whole))
        for name, content in files(tmp_path / "killed").items():
            # Whatever has its final name is complete.
            assert ".partial-" in name or content == undisturbed[name], name
        if chance.random() < 0.2:
            assert files(run_snapshot(path)) == undisturbed
            shutil.rmtree(tmp_path / "killed")
    assert files(run_snapshot(path)) == undisturbed
    assert leftovers(tmp_path / "killed") == []


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("event", ["running:", "done:"])
def test_kill_at_the_border_of_a_stage(
    data: Path, tmp_path: Path, undisturbed: dict[str, bytes], stage: str, event: str
) -> None:
    def border(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert any(f"{stage}: {event}" in line for line in process.stdout), "the run ended before"

    path = config(data, tmp_path / "out")
    kill(path, border)
    assert files(run_snapshot(path)) == undisturbed
    assert leftovers(tmp_path / "out") == []


def test_config_a_then_b_then_a_gives_the_files_of_a(data: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    a = config(data, out)
    b = config(data, out, "b.yaml", **{"restrict-connectivity-to-roiset": "roi"})
    assert files(run_snapshot(a)) == undisturbed
    of_b = files(run_snapshot(b))
    assert of_b != undisturbed
    assert not any(name.endswith("minconf-0.4.feather") for name in of_b), "files of A that B does not write are gone"
    assert files(run_snapshot(a)) == undisturbed


def spoil_deleted(path: Path) -> None:
    path.unlink()


def spoil_truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("spoil", [spoil_deleted, spoil_truncated])
@pytest.mark.parametrize(
    "name", ["flat-connectome/syn-points-*", "tables/body-status-*", "flat-connectome/body-stats-*"]
)
def test_a_spoiled_output_is_made_anew(
    data: Path, tmp_path: Path, undisturbed: dict[str, bytes], spoil: Callable[[Path], None], name: str
) -> None:
    path = config(data, tmp_path / "out")
    (victim,) = run_snapshot(path).glob(name)
    spoil(victim)
    assert files(run_snapshot(path)) == undisturbed


@pytest.mark.parametrize(
    "name", ["inputs-synapses/points.parquet", "inputs-synapses/partners.parquet", "inputs-synapses.json"]
)
def test_a_corrupted_cache_is_noticed_and_made_anew(
    data: Path, tmp_path: Path, undisturbed: dict[str, bytes], name: str
) -> None:
    path = config(data, tmp_path / "out")
    out = run_snapshot(path)
    with (out / "cache" / name).open("r+b") as file:
        file.seek(100)
        file.write(b"\0garbage\0")
    shutil.rmtree(out / "flat-connectome")  # so that the cached tables are needed
    assert files(run_snapshot(path)) == undisturbed


def test_replaced_input_under_the_same_name_is_noticed(
    data: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    path = config(copy, tmp_path / "out")
    out = run_snapshot(path)
    points = copy / "points.feather"
    times = points.stat()
    shutil.copy(copy / "partners.feather", points)
    os.utime(points, ns=(times.st_atime_ns, times.st_mtime_ns))
    finished = run("-c", path)
    assert finished.returncode == 1
    assert "points.feather" in finished.stderr
    assert not (out / "MANIFEST.json").exists() or files(out) == undisturbed


def test_a_second_run_in_the_same_directory_refuses(data: Path, tmp_path: Path) -> None:
    path = config(data, tmp_path / "out")

    def started(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert any("synapses: running:" in line for line in process.stdout)
        process.send_signal(signal.SIGSTOP)
        second = run("-c", path)
        assert second.returncode == 1
        assert f"{process.pid}" in second.stderr
        assert "Traceback" not in second.stderr

    kill(path, started)
    run_snapshot(path)
