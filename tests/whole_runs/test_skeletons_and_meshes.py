"""Skeletons and meshes of a whole run: from the settings to the files, and what a second run does."""

from __future__ import annotations

import json

import pytest
from ruamel.yaml import YAML

from tests import tiny
from tests.dvid_double import DvidDouble
from tests.running import run, run_snapshot, tree

SWC = b"1 0 1 2 3 0.5 -1\n2 0 4 5 6 0.5 1\n"


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture
def repo(dvid):
    """Skeletons and meshes of all annotated bodies but the first."""
    repo = dvid.new_repo("brain")
    bodies = bodies_of_tiny()[1:]
    repo.keyvalue("skeletons").set(repo.root, {f"{body}_swc": SWC for body in bodies})
    repo.keyvalue("meshes").set(repo.root, {f"{body}.ngmesh": b"mesh" for body in bodies})
    repo.commit(repo.root)
    return repo


def bodies_of_tiny():
    return sorted(body for body in tiny.annotations()["body"].tolist() if body)


def write(folder, dvid, uuid="master", **more):
    overrides = {
        "outputs.skeletons.main": {
            "export-skeletons": True,
            "dvid": {"server": dvid.url, "uuid": uuid, "instance": "skeletons"},
            "coordinate-resolution-nm": [8, 8, 8],
        },
        "outputs.meshes.main": {
            "export-meshes": True,
            "dvid": {"server": dvid.url, "uuid": uuid, "instance": "meshes"},
            "exclude-statuses": [],
        },
    }
    return tiny.write(folder, **(overrides | more))


def asked(dvid):
    return sorted(key for request in dvid.requests if request.path.endswith("/keyvalues") for key in request.json())


def test_files_are_in_the_manifest_and_what_is_missing_is_in_the_summary_and_nothing_is_fetched_twice(
    tmp_path, dvid, repo
):
    config = write(tmp_path, dvid)
    out = run_snapshot(config)

    files = json.loads((out / "MANIFEST.json").read_text())["files"]
    body = bodies_of_tiny()[1]
    for name in (
        f"skeletons-main/skeletons-swc/{body}.swc",
        f"skeletons-main/skeletons-precomputed/{body}",
        f"meshes-main/single-res-meshes/{body}:0",
        "meshes-main/single-res-meshes/segment_properties/info",
    ):
        assert files[name]["size"] == (out / name).stat().st_size
    stages = json.loads((out / "run-summary.json").read_text())["stages"]
    assert stages["outputs.skeletons"]["exclusions"] == [
        {"table": "skeletons 'main'", "reason": "skeletons has no key <body>_swc", "rows": 1}
    ]
    assert stages["outputs.meshes"]["exclusions"] == [
        {"table": "meshes 'main'", "reason": "meshes has no key <body>.ngmesh", "rows": 1}
    ]
    assert (out / "cache/skeletons/main.csv").exists()
    assert not list(out.glob("cache/resume/*/*"))
    final = YAML(typ="safe").load(out / "final-config.yaml")
    assert final["outputs"]["skeletons"]["main"]["dvid"]["uuid"] == repo.root

    dvid.requests.clear()
    before = tree(out)
    assert run_snapshot(config) == out
    assert asked(dvid) == []
    assert tree(out) == before


def test_a_version_that_moved_on_is_fetched_and_what_it_no_longer_has_goes(tmp_path, dvid, repo):
    config = write(tmp_path, dvid)
    out = run_snapshot(config)
    first, *_, last = bodies_of_tiny()
    new = repo.child(repo.root)
    repo.instances["skeletons"].set(new, f"{first}_swc", SWC)
    repo.instances["skeletons"].delete(new, f"{last}_swc")
    repo.commit(new)
    finished = run("-c", config)

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert f"settings changed: skeletons.main.dvid.uuid: {repo.root} -> {new}" in finished.stdout
    names = {path.name for path in (out / "skeletons-main/skeletons-precomputed").iterdir()}
    assert str(first) in names
    assert str(last) not in names
    assert not (out / f"skeletons-main/skeletons-swc/{last}.swc").exists()


def test_a_failure_ends_with_one_message_and_the_next_run_fetches_the_rest(tmp_path, dvid, repo):
    # M15, M16, D35
    body = bodies_of_tiny()[2]
    dvid.faults.panic("skeletons/keyvalues", times=None)
    dvid.faults.status(500, f"skeletons/key/{body}_swc", times=None)
    config = write(tmp_path, dvid)
    failed = run("-c", config)

    assert failed.returncode == 1
    assert f"the skeletons of 1 body could not be fetched ({body}): " in failed.stderr
    assert "Traceback" not in failed.stderr

    dvid.faults.clear()
    dvid.requests.clear()
    out = run_snapshot(config)
    assert [key for key in asked(dvid) if key.endswith("_swc")] == [f"{body}_swc"]

    undisturbed = run_snapshot(write(tmp_path / "other", dvid))
    ours, theirs = (
        {name: content for name, content in tree(root).items() if name.startswith(("skeletons", "meshes"))}
        for root in (out, undisturbed)
    )
    assert ours == theirs
    assert not list(out.glob("cache/resume/*/*"))


def test_an_instance_that_does_not_exist_is_found_before_anything_is_loaded(tmp_path, dvid, repo):
    config = write(
        tmp_path,
        dvid,
        **{
            "outputs.skeletons.main": {
                "export-skeletons": True,
                "dvid": {"server": dvid.url, "uuid": "master", "instance": "skeleton"},
                "coordinate-resolution-nm": [8, 8, 8],
            }
        },
    )
    failed = run("-c", config)

    assert failed.returncode == 1
    assert "the repository has no instance 'skeleton'\n  hint: did you mean 'skeletons'?" in failed.stderr
    assert not list(tmp_path.glob("*/flat-connectome"))
