"""Missing, torn and strange files are failures with a message, and the command says so with its exit code."""

from __future__ import annotations

import gzip
import tempfile

import pytest

from flyem_snapshot.cli.main import main
from flyem_snapshot.verify.checks import Status
from flyem_snapshot.verify.run import checked
from flyem_snapshot.verify.snapshot import opened
from tests.verify.snapshots import write_manifest, write_snapshot

STATS = "flat-connectome/body-stats-v1-minconf-0.0.feather"
CONNECTIONS = "neuprint/Neuprint_Neuron_Connections.csv"


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "snapshot"
    path.mkdir()
    write_snapshot(path)
    return path


def results(root):
    with opened(root) as snapshot:
        return {result.name: result for result in checked(snapshot)}


def test_the_command_prints_a_line_a_check_and_ends_with_0(root, capsys):
    assert main(["--verify", str(root)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("pass            ids/segments") for line in lines)
    assert lines[-1] == f"{root}: 80 checks: 73 passed, 7 not applicable"


def test_a_failure_shows_the_law_and_examples_and_ends_with_1(root, capsys):
    path = root / CONNECTIONS
    path.write_text(path.read_text().replace("20,30,1,0", "20,30,1,2"))

    assert main(["--verify", str(root)]) == 1

    out, err = capsys.readouterr()
    assert "FAIL            connections/weights" in out
    assert (
        "    should hold: weight is at most weightHR, and none is below 0\n    1 do not:\n    20 to 30: weight 2" in out
    )
    assert "checks did not pass: files/contents, " in err


def test_the_temporary_directory_is_removed(root, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    assert main(["--verify", str(root)]) == 0
    assert list(scratch.iterdir()) == []


def test_a_directory_that_is_not_there_is_said(tmp_path, capsys):
    assert main(["--verify", str(tmp_path / "none")]) == 1
    assert "none: there is no such directory" in capsys.readouterr().err


@pytest.mark.parametrize("also", [["-c", "config.yaml"], ["-y"]])
def test_it_goes_with_no_other_flag(also, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--verify", "dir", *also])
    assert "--verify goes alone" in capsys.readouterr().err


def test_a_file_that_is_gone_is_named(root):
    (root / STATS).unlink()

    found = results(root)

    assert found["files/exist"].finding.examples == (f"{STATS} is missing",)
    assert found["flat/ranks"].status is Status.UNCHECKED
    assert "body-stats-*.feather: there is no such file" in found["flat/ranks"].reason


def test_other_bytes_of_the_same_length_are_found(root):
    path = root / CONNECTIONS
    path.write_bytes(path.read_bytes().replace(b"20,30,1", b"20,30,2"))

    (example,) = results(root)["files/contents"].finding.examples
    assert example.startswith(f"{CONNECTIONS} has digest ")


def test_another_length_is_found(root):
    path = root / CONNECTIONS
    path.write_bytes(path.read_bytes() + b"\n")

    (example,) = results(root)["files/contents"].finding.examples
    assert f"{CONNECTIONS} has {path.stat().st_size} bytes, not {path.stat().st_size - 1}" == example


def test_a_torn_feather_file_is_found(root):
    path = root / STATS
    path.write_bytes(path.read_bytes()[:300])

    found = results(root)

    assert STATS in found["files/tables"].finding.examples[0]
    assert found["flat/ranks"].status is Status.UNCHECKED


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("Neuprint_Neuron_Connections.csv", lambda raw: raw[:-30], "unterminated quote"),
        ("Neuprint_Neuron_Connections.csv", lambda raw: raw + b"1,2\n", "Expected Number of Columns: 6 Found: 2"),
        (
            "Neuprint_Neuron_Connections.csv",
            lambda raw: raw.replace(b"weight:int", b"wait:int"),
            "lacks the column 'weight:int'",
        ),
        (
            "Neuprint_Neuron_Connections.csv",
            lambda raw: raw.replace(b"weightHP:", b"weightHR:"),
            "two columns are called 'weightHR:int'",
        ),
        ("Neuprint_Neuron_Connections.csv", lambda raw: b"", "is empty"),
        ("Neuprint_Neuron_Connections.csv", lambda raw: b"\xff" + raw, "the header cannot be read"),
        ("Neuprint_Synapses/000000.csv.gz", lambda raw: raw[:-20], "cannot be read"),
        ("Neuprint_Synapses/000000.csv.gz", gzip.decompress, "the header cannot be read"),
    ],
)
def test_a_torn_csv_is_no_bug_but_a_message(root, name, damage, said):
    path = root / "neuprint" / name
    path.write_bytes(damage(path.read_bytes()))
    write_manifest(root)

    found = results(root)["connections/recounted"]

    assert found.status is Status.UNCHECKED
    assert said in found.reason
    assert path.name in found.reason


def test_a_csv_that_is_there_plain_and_gzipped_is_refused(root):
    path = root / CONNECTIONS
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))

    assert "twice, plain and gzipped" in results(root)["connections/weights"].reason


def test_strange_files_and_leftovers_are_warnings(root):
    (root / "neuprint/notes.txt").write_text("mine")
    (root / "flat-connectome/.x.feather.partial-12").write_text("torn")

    found = results(root)["files/strays"]

    assert found.status is Status.WARNING
    assert found.finding.examples == (
        "flat-connectome/.x.feather.partial-12 is left over from an interrupted run",
        "neuprint/notes.txt is not in the manifest",
    )


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}'])
def test_a_manifest_that_is_none_is_said(root, text):
    (root / "MANIFEST.json").write_text(text)

    assert results(root)["files/exist"].status is Status.UNCHECKED


def test_settings_that_are_gone_are_a_failure(root):
    (root / "neuprint-meta.yaml").unlink()

    found = results(root)

    assert found["files/settings"].status is Status.FAIL
    assert found["connections/recounted"].status is Status.UNCHECKED


def test_a_part_that_the_settings_ask_for_must_be_there(root):
    for path in sorted((root / "flat-connectome").iterdir()):
        path.unlink()
    (root / "flat-connectome").rmdir()
    write_manifest(root)

    found = results(root)["files/parts"]

    assert found.finding.examples == ("flat-connectome/ was asked for by the settings, but is missing",)


def test_every_csv_may_be_gzipped_and_of_several_members(tmp_path):
    write_snapshot(tmp_path)
    for path in sorted((tmp_path / "neuprint").rglob("*.csv")):
        raw = path.read_bytes()
        half = raw.index(b"\n") + 1
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(raw[:half]) + gzip.compress(raw[half:]))
        path.unlink()
    write_manifest(tmp_path)

    assert {r.status for r in results(tmp_path).values()} == {Status.PASS, Status.NOT_APPLICABLE}
