"""Which version a run is of, what it is called, and what happens if there is no such version, instance or server."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest
from ruamel.yaml import YAML

from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.http import DvidClient
from tests.dvid_double import DvidDouble
from tests.live_connectome import live_connectome
from tests.live_runs import prepare, snapshot, summary
from tests.running import run


@pytest.fixture(scope="module")
def shared_dvid():
    with DvidDouble() as dvid:
        yield dvid


@pytest.fixture(scope="module")
def live(shared_dvid):
    """Nothing of it is changed by the tests that use it."""
    return live_connectome(shared_dvid)


@pytest.fixture
def fresh():
    """One that a test may change."""
    with DvidDouble() as dvid:
        yield live_connectome(dvid)


def printed(config, flag, folder):
    finished = run("-c", config, flag, cwd=folder)
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout.strip()


def refused(config, folder):
    """The exit code and the words with which a run is refused, and what it leaves behind."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(SnapshotError) as caught:
        snapshot(config)
    return caught.value.exit_code, str(caught.value), [p for p in sorted(folder.rglob("*")) if p not in before]


@pytest.mark.parametrize("version", ["locked", "open"])
def test_the_tag_is_the_day_of_the_last_edit_and_names_the_directory(live, tmp_path, version):
    uuid = getattr(live, version)
    config = prepare(live, uuid, tmp_path, **{"job-settings": {}})
    tag = f"2024-02-01-{uuid[:6]}{'-unlocked' if version == 'open' else ''}"
    assert printed(config, "-t", tmp_path) == tag
    assert printed(config, "-d", tmp_path) == str(tmp_path / tag)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "config.yaml",
        "mito.feather",
        "partners.feather",
        "points.feather",
    ]


def test_an_explicit_tag_and_directory_win(live, tmp_path):
    config = prepare(live, live.locked, tmp_path, **{"job-settings": {"snapshot-tag": "v1.2", "output-dir": "there"}})
    assert printed(config, "-t", tmp_path.parent) == "v1.2"
    assert printed(config, "-d", tmp_path.parent) == str(tmp_path / "there")


def test_the_day_is_that_of_the_zone_in_the_settings(fresh, tmp_path):
    fresh.seg.merge(fresh.open, *two_bodies(fresh), timestamp="2024-03-02 03:30:00.5 +0000 UTC m=+1")
    tags = {}
    for zone in ("US/Eastern", "UTC"):
        config = prepare(fresh, fresh.open, tmp_path, **{"inputs.dvid-seg.tag-time-zone": zone, "job-settings": {}})
        tags[zone] = printed(config, "-t", tmp_path)
    assert tags == {
        "US/Eastern": f"2024-03-01-{fresh.open[:6]}-unlocked",
        "UTC": f"2024-03-02-{fresh.open[:6]}-unlocked",
    }


def two_bodies(live):
    first, second, *_ = live.seg.bodies(live.open)
    return first, [second]


@pytest.mark.parametrize(
    ("expression", "version"),
    [
        (":master~1", "locked"),
        (":master", "open"),
        ("master", "open"),
        ("PREFIX", "locked"),
        ("ROOT:master~1", "locked"),
    ],
)
def test_an_expression_is_written_out_in_the_final_config_which_loads_again_to_itself(
    live, tmp_path, expression, version
):
    text = expression.replace("PREFIX", live.locked[:7]).replace("ROOT", live.repo.root[:7])
    out = snapshot(prepare(live, text, tmp_path))
    final = out / "final-config.yaml"
    settings = YAML(typ="safe").load(final)
    uuid = getattr(live, version)
    assert settings["inputs"]["dvid-seg"]["uuid"] == uuid
    assert settings["inputs"]["rois"]["dvid"] == {"server": live.dvid.url, "uuid": uuid}
    assert settings["job-settings"]["snapshot-tag"].startswith(f"2024-02-01-{uuid[:6]}")
    before = final.read_text()
    assert snapshot(final) == out
    assert final.read_text() == before
    assert {stage["action"] for stage in summary(out)["stages"].values()} <= {"reuse", "skip"}


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        (":master~99", "':master~99' names no version"),
        (":nobranch", "':nobranch' names no version"),
        ("abcdef012", "'abcdef012' names no version"),
        (":master~1~2", "':master~1~2' names no version"),
    ],
)
def test_a_version_that_does_not_exist_is_an_error_of_the_config_file(live, tmp_path, expression, problem):  # M13, M22
    config = prepare(live, expression, tmp_path)
    code, words, left = refused(config, tmp_path)
    line = next(n for n, text in enumerate(config.read_text().splitlines(), 1) if "uuid" in text)
    assert code == 2
    assert f"config.yaml:{line}" in words
    assert problem in words
    assert left == []


def test_a_version_of_the_rois_alone_that_does_not_exist_is_blamed_on_its_line(live, tmp_path):
    config = prepare(live, live.locked, tmp_path, **{"inputs.rois.dvid": {"uuid": "fedcba98"}})
    code, words, left = refused(config, tmp_path)
    line = next(n for n, text in enumerate(config.read_text().splitlines(), 1) if "fedcba98" in text)
    assert code == 2
    assert f"config.yaml:{line}" in words
    assert "inputs.rois.dvid.uuid" in words
    assert left == []


def test_a_server_that_is_not_there_is_one_error(tmp_path, live, monkeypatch):
    monkeypatch.setattr(connections, "DvidClient", partial(DvidClient, pause=0.02))
    config = prepare(live, live.locked, tmp_path, **{"inputs.dvid-seg.server": "http://127.0.0.1:9"})
    code, words, left = refused(config, tmp_path)
    assert code == 1
    assert "127.0.0.1:9" in words
    assert left == []


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("inputs.dvid-seg.instance", "segmentatio", "no instance 'segmentatio'"),
        ("inputs.dvid-seg.instance", "nuclei", "'nuclei' is"),
        ("inputs.annotations.point-annotations", [{"instance": "nukes"}], "no instance 'nukes'"),
        ("inputs.annotations.point-annotations", [{"instance": "segmentation"}], "'segmentation' is"),
        ("inputs.rois.roi-sets.primary.rois", ["A(R)", "D"], "no instance 'D'"),
        ("inputs.rois.roi-sets.layers.labelmap", "nuclei", "'nuclei' is"),
        ("inputs.elements.nuclei.dvid-point-annotations", {"instance": "C"}, "'C' is"),
    ],
)
@pytest.mark.parametrize("version", ["locked", "open"])
def test_an_instance_that_is_not_there_or_of_another_type_is_one_error_before_anything_is_written(
    live, tmp_path, setting, value, problem, version
):
    config = prepare(live, getattr(live, version), tmp_path, **{setting: value})
    code, words, left = refused(config, tmp_path)
    assert code in (1, 2)
    assert problem in words
    assert [path for path in left if path.suffix in (".feather", ".csv", ".parquet")] == []
    assert not (tmp_path / "out" / "MANIFEST.json").exists()


def test_batches_of_a_version_that_is_open_are_refused(live, tmp_path):
    config = prepare(live, live.open, tmp_path, **{"inputs.dvid-seg.mapping": "batches"})
    code, words, _ = refused(config, tmp_path)
    assert code == 2
    assert re.search(r"config\.yaml:\d+", words)
    assert "inputs.dvid-seg.mapping" in words
    assert "can still change" in words


@pytest.mark.parametrize("flag", ["-t", "--plan", "--check"])
def test_asking_what_would_be_done_writes_nothing(live, tmp_path, flag):
    config = prepare(live, live.open, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    printed(config, flag, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("question", range(1, 7))
def test_master_that_moves_between_the_questions_leaves_tag_and_version_in_agreement(fresh, tmp_path, question):  # M12
    before = fresh.open

    def move():
        fresh.repo.commit(before)
        fresh.repo.child(before)

    fresh.dvid.after(question, move)
    out = snapshot(prepare(fresh, ":master", tmp_path, **{"job-settings": {"output-dir": "out"}}))
    final = YAML(typ="safe").load(out / "final-config.yaml")
    uuid = final["inputs"]["dvid-seg"]["uuid"]
    assert final["job-settings"]["snapshot-tag"].split("-")[3] == uuid[:6]
    assert final["inputs"]["rois"]["dvid"]["uuid"] == uuid
    assert json.loads((out / "last-mutation.json").read_text())["snapshot"]["uuid"] == uuid
    assert {re.search("/api/node/([^/]+)", r.path)[1] for r in fresh.dvid.asked("/api/node/.*/(labels|all|roi)$")} == {
        uuid
    }
    assert summary(out)["sources"]["inputs.dvid-seg"]["uuid"] == uuid


def test_what_is_refused_is_said_in_one_message_without_a_traceback(live, tmp_path):
    finished = run("-c", prepare(live, ":nobranch", tmp_path), cwd=tmp_path)
    assert finished.returncode == 2
    assert "config.yaml:" in finished.stderr
    assert "':nobranch' names no version" in finished.stderr
    assert "Traceback" not in finished.stdout + finished.stderr


def test_two_repositories_on_one_server_need_the_beginning_of_a_uuid(fresh, tmp_path):
    fresh.dvid.new_repo("other")
    config = prepare(fresh, ":master", tmp_path)
    code, words, _ = refused(config, tmp_path)
    assert code == 2
    assert fresh.repo.root[:6] in words
    config.write_text(config.read_text().replace(":master", f"{fresh.repo.root[:8]}:master"))
    assert printed(config, "-t", tmp_path).endswith(f"{fresh.open[:6]}-unlocked")
