"""What the user reads when something outside our power goes wrong."""

from __future__ import annotations

import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from flyem_snapshot.errors import DataError, OutputError, SnapshotError
from flyem_snapshot.stage import Stage
from tests.pipeline.toy import DOUBLED, LISTING, NAMES, TOTALS, Numbers, PointsSettings, Toy, load_points


@pytest.fixture
def small_disk(tmp_path):
    """A directory that holds 3 MB: a file system of its own where we may mount one, else None."""
    place = tmp_path / "disk"
    place.mkdir()
    mount, umount = shutil.which("mount") or "false", shutil.which("umount") or "false"
    command = [mount, "-t", "tmpfs", "-o", "size=3m", "none", str(place)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    yield place if mounted else None
    if mounted:
        subprocess.run([umount, str(place)], check=True)


def small_files():
    """Let no file grow over 3 MB: what an ordinary user can do in place of a small disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))


@pytest.mark.parametrize("what", ["big-csv", "big-text"])
@pytest.mark.parametrize("limited", ["disk", "files"])
def test_a_full_disk_is_told_in_one_message_and_leaves_nothing_half_written(toy, small_disk, what, limited):
    if limited == "files":
        small_disk = None
    out = small_disk / "out" if small_disk else toy.out
    toy.out = out
    toy.configure(totals=f"fail: {what}")
    toy.config.write_text(toy.config.read_text().replace("output-dir: out,", f"output-dir: {out},"))
    process = toy.start() if small_disk else toy.start(preexec_fn=small_files)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 1, stderr
    assert stderr.startswith("flyem-snapshot: no space left ")
    assert str(out) in stderr
    assert "run again" in stderr
    assert stderr.endswith(
        "note: outputs.totals failed; the stages before it are kept, and the same command resumes with it\n"
    )
    assert [path.name for path in (out / "totals").iterdir()] == ["totals-v1.feather"]
    assert not (out / "cache/scratch").exists()

    toy.config.write_text(toy.config.read_text().replace(f"fail: {what}", ""))
    assert toy.run()["doubled"] == "reuse"


def test_too_little_memory_is_told_with_what_to_change(toy):
    toy.configure(totals="fail: memory")
    with pytest.raises(SnapshotError, match=r"^out of memory: ") as caught:
        toy.run()

    assert caught.value.exit_code == 1
    assert "job-settings.memory-limit" in caught.value.hint


def test_an_input_file_that_changes_while_it_is_read_is_refused(toy):
    def load_while_it_grows(config, ctx):
        table = load_points(config, ctx)
        with config.table.open("a") as file:
            file.write("6\n")
        return table

    points = Stage("points", "inputs", PointsSettings, load_while_it_grows, produces=Numbers)
    with pytest.raises(DataError, match=r"numbers\.txt: was changed while it was being read"):
        toy.run((DOUBLED, NAMES, points, TOTALS, LISTING))

    assert toy.run()["points"] == "run", "nothing was kept of it"
    assert (toy.out / "listing/0/n6-v1.txt").exists()


def test_an_input_file_that_vanishes_is_told_by_its_setting(toy):
    def load_after_removal(config, ctx):
        config.table.unlink()
        return load_points(config, ctx)

    points = Stage("points", "inputs", PointsSettings, load_after_removal, produces=Numbers)
    with pytest.raises(DataError, match=r"numbers\.txt: cannot be read: No such file") as caught:
        toy.run((DOUBLED, NAMES, points, TOTALS, LISTING))
    assert caught.value.hint == "it is points.table"


def test_a_bug_is_reported_as_one_with_its_traceback(tmp_path):
    toy = Toy(tmp_path)
    toy.configure(totals="fail: bug")
    process = toy.start()
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 70
    assert 'raise RuntimeError("unexpected")' in stderr
    assert stderr.endswith("flyem-snapshot: this is a bug in flyem-snapshot, please report it with the lines above\n")


def test_a_reader_of_the_log_that_goes_away_does_not_end_the_run(tmp_path):
    toy = Toy(tmp_path)
    process = toy.start()
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, stderr = process.communicate(timeout=60)

    assert (process.returncode, stderr) == (0, "")
    assert (toy.out / "MANIFEST.json").exists()


def test_an_output_directory_below_a_file_is_an_output_error(toy):
    toy.out.write_text("I am a file")
    with pytest.raises(OutputError, match=r"cannot write .*out"):
        toy.run()


def test_nothing_changes_the_current_directory(toy):
    before = Path.cwd()
    toy.run()
    assert Path.cwd() == before
