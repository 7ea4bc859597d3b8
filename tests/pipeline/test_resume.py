"""Running again: the files on disk are always those of the present config and input."""

from __future__ import annotations

import json

import pytest

from flyem_snapshot.errors import ConfigError
from tests.pipeline.toy import Toy

ALL_RUN = {"names": "skip", "points": "run", "doubled": "run", "totals": "run", "listing": "run"}
ALL_DONE = {"names": "skip", "points": "skip", "doubled": "skip", "totals": "reuse", "listing": "reuse"}


@pytest.fixture
def expected(tmp_path):
    """The files of an undisturbed run."""
    other = Toy(tmp_path / "undisturbed")
    assert other.run() == ALL_RUN
    return other.files()


def test_a_rerun_changes_nothing(toy, expected):
    toy.run()

    assert toy.run() == ALL_DONE
    assert toy.files() == expected


@pytest.mark.parametrize(
    "b",
    [
        {"points": "minimum: 3"},
        {"listing": "prefix: item"},
        {"names": "load-names: true"},
        {"job": "snapshot-tag: v2"},
        {"doubled": "factor: 7"},
    ],
    ids=str,
)
def test_configs_a_b_a_give_the_files_of_a(toy, expected, b):
    toy.run()
    toy.configure(**b)
    toy.run()
    assert toy.files() != expected
    toy.configure()
    toy.run()

    # What the other config's optional input left in the cache may stay: it is nobody's result.
    assert {name: digest for name, digest in toy.files().items() if "inputs-names" not in name} == expected


def test_files_that_a_new_config_no_longer_writes_are_removed_with_their_directories(toy):
    toy.run()
    toy.configure(points="minimum: 5")
    toy.run()

    assert [name for name in toy.files() if name.startswith("listing/")] == ["listing/2/n5-v1.txt"]
    assert [path.name for path in (toy.out / "listing").iterdir()] == ["2"]


def test_a_foreign_file_is_never_removed(toy):
    toy.run()
    note = toy.out / "listing/1/note.txt"
    note.write_text("mine")
    toy.configure(points="minimum: 5")
    toy.run()

    assert note.read_text() == "mine"


@pytest.mark.parametrize("name", ["totals/totals-v1.feather", "listing/2/n5-v1.txt", "cache/inputs-points/numbers.txt"])
def test_deleted_files_are_made_again_once_they_are_needed(toy, expected, name):
    toy.run()
    (toy.out / name).unlink()
    (toy.out / "totals/totals-v1.txt").write_text("truncated")
    (toy.out / "listing/0/n3-v1.txt").write_text("")
    toy.run()

    assert toy.files() == expected
    assert toy.run() == ALL_DONE


def test_a_damaged_cache_table_of_the_right_size_is_made_again_before_it_is_used(toy, expected, caplog):
    toy.run()
    (toy.out / "cache/inputs-points/numbers.txt").write_text("1\n2\n3\n4\n7")
    (toy.out / "listing/0/n3-v1.txt").unlink()

    assert toy.run() == {**ALL_DONE, "points": "run", "listing": "run"}
    assert toy.files() == expected
    assert "cache/inputs-points/numbers.txt is damaged: its stage runs again" in caplog.messages
    assert toy.summary()["stages"]["inputs.points"]["reason"] == "cache/inputs-points/numbers.txt is damaged"


def test_a_corrupt_record_costs_only_its_stage(toy, expected):
    toy.run()
    (toy.out / "cache/totals.json").write_text("{")

    assert toy.run() == {**ALL_DONE, "doubled": "reuse", "totals": "run"}
    assert toy.files() == expected


def test_a_corrupt_record_does_not_make_the_stages_old_files_unknown(toy):
    toy.run()
    (toy.out / "cache/listing.json").write_text("{")
    toy.configure(listing="prefix: item", points="minimum: 5")
    toy.run()

    assert [name for name in toy.files() if name.startswith("listing/")] == ["listing/2/item5-v1.txt"]


def test_a_path_in_a_damaged_journal_cannot_remove_files_elsewhere(toy):
    toy.run()
    outside = toy.folder / "outside.txt"
    outside.write_text("mine")
    (toy.out / "cache/listing.files").write_text('"../outside.txt"\n"listing/gone.txt"\n"torn')
    toy.configure(listing="prefix: item")
    toy.run()

    assert outside.read_text() == "mine"


@pytest.mark.parametrize("memory", ["", "{", "[]", '{"a": 1}', '{"a": {"b": 1}}'])
def test_a_damaged_memory_of_digests_is_made_anew(toy, memory, expected):
    toy.run()
    (toy.out / "cache/file-digests.json").write_text(memory)

    assert toy.run() == ALL_DONE
    assert toy.files() == expected


def test_an_output_that_is_switched_off_keeps_its_files_but_leaves_the_manifest(toy, caplog):
    toy.run()
    toy.configure(listing="export-listing: false")
    toy.run()

    assert (toy.out / "listing/1/n1-v1.txt").exists()
    assert list(toy.manifest()["files"]) == ["totals/totals-v1.feather", "totals/totals-v1.txt"]
    assert (
        caplog.messages.count(
            "outputs.listing is switched off (export-listing is false): "
            f"5 files of an earlier run stay in {toy.out}, but not in MANIFEST.json"
        )
        == 1
    )

    toy.configure()
    assert toy.run() == ALL_DONE, "they are still the files of this config"


def test_a_failed_stage_is_resumed_with_and_what_was_before_it_is_kept(toy, expected):
    toy.configure(totals="fail: setting")
    with pytest.raises(ConfigError) as caught:
        toy.run()

    place = toy.config.read_text().splitlines()
    line = next(number for number, text in enumerate(place, 1) if "totals:" in text)
    assert str(caught.value) == (f"{toy.config}:{line}:3: outputs.totals.pause: cannot be so\n  hint: try another")
    assert caught.value.__notes__ == [
        "outputs.totals failed; the stages before it are kept, and the same command resumes with it"
    ]
    assert not (toy.out / "MANIFEST.json").exists()
    assert not (toy.out / "cache/scratch").exists()

    toy.configure()
    assert toy.run() == {**ALL_RUN, "points": "reuse", "doubled": "reuse"}
    assert toy.files() == expected


def test_what_describes_the_old_snapshot_is_gone_once_a_new_one_has_begun(toy):
    toy.run()
    toy.configure(doubled="factor: 3", totals="fail: bug")
    with pytest.raises(RuntimeError, match="unexpected"):
        toy.run()

    assert not (toy.out / "MANIFEST.json").exists()
    assert not (toy.out / "run-summary.json").exists()


def test_leftovers_of_a_failed_run_are_removed_even_if_the_next_config_does_not_write_them(toy):
    toy.configure(totals="fail: bug")
    with pytest.raises(RuntimeError, match="unexpected"):
        toy.run()
    assert (toy.out / "totals/totals-v1.feather").exists()

    toy.configure(job="snapshot-tag: v2")
    toy.run()

    assert [name for name in toy.files() if name.startswith("totals/")] == [
        "totals/totals-v2.feather",
        "totals/totals-v2.txt",
    ]


def test_partial_files_of_killed_runs_are_removed(toy, expected):
    toy.run()
    leftovers = [
        "listing/1/.n1-v1.txt.partial-123",
        "cache/.totals.json.partial-7",
        ".MANIFEST.json.partial-1",
        "totals/tmp_.totals-v1.txt.partial-9",
    ]
    for name in leftovers:
        (toy.out / name).write_text("half")
    (toy.out / "cache/scratch").mkdir()
    toy.run()

    assert toy.files() == expected


def test_a_scratch_directory_elsewhere_is_left_empty(toy):
    toy.configure(job="scratch-dir: scratch")
    toy.run()
    assert list((toy.folder / "scratch").iterdir()) == []


def test_the_final_config_runs_alike(toy):
    toy.run()
    toy.config.write_text((toy.out / "final-config.yaml").read_text())

    assert toy.run() == ALL_DONE


def test_the_summary_says_what_was_left_out_even_if_the_stage_was_not_needed_again(toy):
    toy.configure(points="minimum: 3")
    toy.run()
    toy.run()

    left_out = {"table": "points", "reason": "below 3", "rows": 2}
    assert toy.summary()["stages"]["inputs.points"]["exclusions"] == [left_out]


def test_manifests_of_equal_snapshots_in_two_directories_are_equal(tmp_path):
    first, second = Toy(tmp_path / "a"), Toy(tmp_path / "b")
    first.run()
    second.run()

    assert (first.out / "MANIFEST.json").read_bytes() == (second.out / "MANIFEST.json").read_bytes()
    assert first.manifest()["files"]["totals/totals-v1.feather"] == {
        "size": (first.out / "totals/totals-v1.feather").stat().st_size,
        "rows": 1,
        "digest": first.files()["totals/totals-v1.feather"],
        "schema": {"total": "int64"},
    }


def test_the_summary_names_programs_and_input_files(toy):
    toy.run()
    summary = json.loads((toy.out / "run-summary.json").read_text())

    assert set(summary["versions"]) == {"flyem-snapshot", "python", "duckdb", "pyarrow", "pandas"}
    assert list(summary["input-files"]) == [str(toy.table)]
    assert summary["stages"]["outputs.totals"]["rows"] == 1
    assert summary["totals"]["stages-run"] == 4
    assert summary["totals"]["peak-memory"] > 1_000_000
