"""Death and interruption of real processes, at any instant."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.pipeline.toy import Toy, results

SLOW = {"points": "pause: 0.05", "totals": "pause: 0.05", "listing": "pause: 0.03"}
SLOW_OTHER = {**SLOW, "points": "pause: 0.05, minimum: 3", "job": "snapshot-tag: v2"}


def wait_for(condition, seconds=30.0):
    """Poll until something is there; a process under test gives no other sign."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)
    return found


def kill_and_wait(process, number=signal.SIGKILL):
    process.send_signal(number)
    output = process.communicate(timeout=60)
    return process.returncode, *output


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The files of an undisturbed run, and of one with another config."""
    files = []
    for name in ("numbers.txt", "other"):
        toy = Toy(tmp_path_factory.mktemp("undisturbed") / name.split(".")[0])
        if name == "other":
            toy.configure(points="minimum: 3", job="snapshot-tag: v2")
        toy.run()
        files.append(toy.files())
    return files


def test_killed_at_random_instants_and_run_again_the_files_are_those_of_an_undisturbed_run(tmp_path, expected):
    chance = random.Random(20)
    toy = Toy(tmp_path)
    for attempt in range(12):
        # Every other time another config, so that leftovers of both must be told apart.
        other = attempt % 2
        toy.configure(**(SLOW_OTHER if other else SLOW))
        process = toy.start()
        wait_for(lambda: (toy.out / "cache/.lock").exists() and (toy.out / "cache/.lock").read_text())
        time.sleep(chance.uniform(0, 0.8))
        kill_and_wait(process)
        if attempt % 4 >= 2:
            toy.configure()
            toy.run()
            # A killed run may have made a table of the other config; it stays until some output needs one.
            assert results(toy.files()) == results(expected[0])
    toy.configure(points="minimum: 3", job="snapshot-tag: v2")
    toy.run()
    assert results(toy.files()) == results(expected[1])


def test_a_table_that_a_killed_run_made_for_another_config_is_not_taken_for_this_ones(tmp_path, expected):
    toy = Toy(tmp_path)
    toy.run()
    toy.configure(points="minimum: 3", doubled="pause: 20")
    process = toy.start()
    wait_for(lambda: not list(toy.out.glob("cache/inputs-doubled-*.sentinel")))  # taken away as `doubled` begins
    kill_and_wait(process)
    toy.configure()
    assert toy.run()["points"] == "skip", "the outputs are still those of this config"
    assert results(toy.files()) == results(expected[0])

    (toy.out / "listing/0/n3-v1.txt").unlink()
    assert toy.run()["points"] == "run", "now the table is needed, and what lies in the cache is another's"
    assert results(toy.files()) == results(expected[0])


@pytest.mark.parametrize(
    "border",
    [
        "cache/file-digests.json",
        "cache/inputs-points.files",
        "cache/inputs-points/numbers.txt",
        "cache/inputs-points.json",
        "cache/inputs-points-*.sentinel",
        "cache/totals.files",
        "totals/totals-v1.feather",
        "totals/totals-v1.txt",
        "cache/totals.json",
        "cache/totals-*.sentinel",
        "listing/*/*",
        "cache/listing-*.sentinel",
        "run-summary.json",
        "MANIFEST.json",
    ],
)
def test_killed_as_soon_as_a_file_appears(tmp_path, expected, border):
    toy = Toy(tmp_path)
    process = toy.start()
    wait_for(lambda: list(toy.out.glob(border)))
    kill_and_wait(process)
    toy.run()

    assert toy.files() == expected[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_with_130_and_the_command_that_resumes(tmp_path, expected, number):
    toy = Toy(tmp_path)
    toy.configure(listing="pause: 20")
    process = toy.start()
    wait_for(lambda: list(toy.out.glob("cache/listing.files")))
    code, _, stderr = kill_and_wait(process, number)

    assert code == 130
    assert stderr == (f"flyem-snapshot: interrupted; finished stages are kept, and this resumes:\n  toy {toy.config}\n")
    assert not (toy.out / "cache/scratch").exists()
    toy.configure()
    assert toy.run() == {"names": "skip", "points": "reuse", "doubled": "skip", "totals": "reuse", "listing": "run"}
    assert toy.files() == expected[0]


def test_an_interruption_stops_a_long_query_at_once(tmp_path):
    toy = Toy(tmp_path)
    toy.configure(totals="fail: sql")
    process = toy.start()
    wait_for(lambda: list(toy.out.glob("totals/totals-v1.feather")))
    time.sleep(0.5)
    start = time.monotonic()
    code, _, stderr = kill_and_wait(process, signal.SIGINT)

    assert code == 130
    assert "Traceback" not in stderr
    assert time.monotonic() - start < 10


def test_a_second_run_is_refused_while_the_first_runs_and_a_dead_one_is_taken_over(tmp_path):
    toy = Toy(tmp_path)
    toy.configure(listing="pause: 20")
    first = toy.start()
    wait_for(lambda: list(toy.out.glob("cache/listing.files")))
    second = toy.start()
    _, stderr = second.communicate(timeout=60)

    assert second.returncode == 1
    assert stderr.startswith(f"flyem-snapshot: another run is writing to {toy.out}: process {first.pid} on ")
    assert f"kill {first.pid})" in stderr

    kill_and_wait(first)
    toy.configure()
    toy.run()
    assert (toy.out / "MANIFEST.json").exists()
