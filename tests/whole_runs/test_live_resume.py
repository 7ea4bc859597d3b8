"""A run that was killed while it asked a server goes on where it was, and what changed in the server is noticed."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from tests.dvid_double import DvidDouble
from tests.live_connectome import live_connectome
from tests.live_runs import actions, contents, differences, pairs, prepare, snapshot, table
from tests.live_truth import Truth
from tests.running import COMMAND

SAME_TAG = {"job-settings.snapshot-tag": "same"}
OBJECTS = {
    "outputs.skeletons.main": {
        "export-skeletons": True,
        "dvid": {"instance": "segmentation_skeletons"},
        "coordinate-resolution-nm": [8, 8, 8],
    },
    "outputs.meshes.main": {
        "export-meshes": True,
        "dvid": {"instance": "segmentation_meshes"},
        "exclude-statuses": [],
    },
}
# Small marks, so that a small connectome has several of them; started like the program itself.
IMPATIENT = """
import sys
from flyem_snapshot.cli import main
from flyem_snapshot.inputs import body_sizes
from flyem_snapshot.outputs import body_objects, meshes, skeletons
from flyem_snapshot.sources import pointlabels
from flyem_snapshot.sources.dvid import labelmap
pointlabels.LOOKUP_ROWS = labelmap.POINTS = 100
body_sizes.BODIES = labelmap.SIZES = 5
labelmap.SUPERVOXELS = 40
body_objects._BATCH_FILES = skeletons._PER_REQUEST = meshes._PER_REQUEST = 3
body_objects.THREADS = 1
sys.exit(main.main(sys.argv[1:]))
"""


@pytest.fixture
def live():
    with DvidDouble() as dvid:
        yield live_connectome(dvid, psds=300)


def started(config):
    command = [COMMAND[0], "-c", IMPATIENT, "-c", str(config)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(config):
    with started(config) as process:
        words, _ = process.communicate()
        assert process.returncode == 0, words
    return words


def killed(live, config, request, path):
    """Start a run and kill it, as the kernel does, when it has sent a request for the k-th time."""
    with started(config) as process:
        live.dvid.before(request, lambda: process.send_signal(signal.SIGKILL), path)
        words, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, words


def items(live, path):
    """How many things were asked for in the requests for a path."""
    return sum(len(request.json()) for request in live.dvid.asked(path))


SETTINGS = {**OBJECTS, **SAME_TAG, "job-settings.processes": 1}
PATHS = ("segmentation/labels$", "segmentation/sizes$", "skeletons/keyvalues$", "meshes/keyvalues$")


@pytest.fixture(scope="module")
def quiet():
    """A connectome that nobody edits."""
    with DvidDouble() as dvid:
        yield live_connectome(dvid, psds=300)


@pytest.fixture(scope="module")
def undisturbed(quiet, tmp_path_factory):
    """The files of runs that nothing disturbs, by version, and how much they ask for."""
    found = {}
    for version in ("locked", "open"):
        folder = tmp_path_factory.mktemp(version)
        quiet.dvid.requests.clear()
        finished(prepare(quiet, getattr(quiet, version), folder, **SETTINGS))
        found[version] = (contents(folder / "out"), {path: items(quiet, path) for path in PATHS})
    return found


@pytest.mark.parametrize(
    ("version", "request_number", "path", "kept"),
    [
        ("locked", 5, "segmentation/labels$", 100),
        ("open", 5, "segmentation/labels$", 100),
        ("locked", 6, "segmentation/sizes$", 20),
        ("open", 6, "segmentation/sizes$", 20),
        ("locked", 5, "skeletons/keyvalues$", 3),
        ("open", 5, "meshes/keyvalues$", 3),
    ],
)
def test_a_killed_run_goes_on_with_what_it_was_told(quiet, undisturbed, tmp_path, version, request_number, path, kept):
    files, from_scratch = undisturbed[version]
    config = prepare(quiet, getattr(quiet, version), tmp_path, **SETTINGS)
    killed(quiet, config, request_number, path)
    assert not (tmp_path / "out/MANIFEST.json").exists()
    quiet.dvid.requests.clear()
    finished(config)
    assert items(quiet, path) <= from_scratch[path] - kept
    assert differences(contents(tmp_path / "out"), files) == []
    left = [p for p in (tmp_path / "out/cache").rglob("*") if "resume" in p.parts or ".partial-" in p.name]
    assert [p for p in left if p.is_file()] == []


def test_an_edit_between_the_kill_and_the_next_run_makes_it_begin_again(live, tmp_path):
    """What a killed run was told of one moment is of no use for another."""
    config = prepare(live, live.open, tmp_path, **SAME_TAG, **{"job-settings.processes": 1})
    killed(live, config, 5, "segmentation/labels$")
    first, second, *_ = live.seg.bodies(live.open)
    live.seg.merge(live.open, first, [second])
    live.dvid.requests.clear()
    out = snapshot(config)
    truth = Truth(live.seg.labels(live.open))
    found = table(out, "flat-connectome/syn-points-*-minconf-0.0.feather")
    assert second not in set(found["body"].to_pylist())
    assert pairs(out, "tables/body-size-cache-*.feather") == {
        body: truth.sizes[body] for body in pairs(out, "tables/body-size-cache-*.feather")
    }


def test_one_version_then_another_then_the_first_gives_the_files_of_the_first(live, tmp_path):
    a, b = live.locked, live.repo.child(live.locked, "side")
    live.seg.merge(b, *merged(live, b))
    live.repo.commit(b)
    of = {}
    for number, uuid in enumerate([a, b, a, b]):
        out = snapshot(prepare(live, uuid, tmp_path, **SAME_TAG))
        files = contents(out)
        assert json.loads((out / "last-mutation.json").read_text())["snapshot"]["uuid"] == uuid
        if number < 2:
            of[uuid] = files
        assert differences(files, of[uuid]) == []
    assert differences(of[a], of[b]) != []


def merged(live, uuid):
    first, second, *_ = live.seg.bodies(uuid)
    return first, [second]


def edit_roi(live):
    live.repo.instances["C"].set(live.open, [[0, 0, 0, 5]])


def edit_label_rois(live):
    layers = live.repo.instances["layers"]
    cube = layers.labels(live.open).cube.copy()
    cube[cube == 12] = 13
    layers.write(live.open, cube)


def edit_annotation(live):
    records = live.repo.instances["segmentation_annotations"]
    records.set(live.open, {live.seg.bodies(live.open)[0]: {"type": "new"}})


def edit_nuclei(live):
    live.repo.instances["nuclei"].point(live.open, (1, 2, 3), radius="99.5")


NOTICED = {
    edit_roi: {"inputs.rois", "inputs.synapses", "inputs.elements"},
    edit_label_rois: {"inputs.rois", "inputs.synapses", "inputs.elements"},
    edit_annotation: {"inputs.annotations"},
    edit_nuclei: {"inputs.annotations", "inputs.elements"},
}


@pytest.mark.parametrize("edit", NOTICED)
def test_an_edit_of_what_is_beside_the_segmentation_is_noticed_and_the_rest_is_kept(live, tmp_path, edit):  # M9
    config = prepare(live, live.open, tmp_path, **SAME_TAG)
    out = snapshot(config)
    before = contents(out)
    edit(live)
    snapshot(config)
    inputs = {name for name, action in actions(out).items() if action == "run" and name.startswith("inputs.")}
    # Sizes are of the bodies of all tables, so they run again with any of them.
    assert inputs - {"inputs.body-sizes"} == NOTICED[edit]
    assert differences(contents(out), before) != []
    snapshot(config)
    assert set(actions(out).values()) == {"reuse"}
    fresh = snapshot(prepare(live, live.open, tmp_path / "fresh", **SAME_TAG))
    assert differences(contents(out), contents(fresh)) == []


def test_an_instance_of_the_same_name_in_another_repository_is_another(live, tmp_path):  # M9, keys by name
    config = prepare(live, live.locked, tmp_path, **SAME_TAG)
    snapshot(config)
    with DvidDouble() as other:
        twin = live_connectome(other, psds=300)
        twin.repo.instances["C"].data_uuid = "another"
        assert twin.locked == live.locked
        out = snapshot(prepare(twin, twin.locked, tmp_path, **SAME_TAG))
    assert actions(out)["inputs.rois"] == "run"
    assert actions(out)["inputs.dvid-seg"] == "reuse"


def test_annotations_that_change_while_they_are_read_are_those_that_were_read(live, tmp_path):  # M10
    config = prepare(live, live.open, tmp_path, **SAME_TAG)
    body = live.seg.bodies(live.open)[0]
    records = live.repo.instances["segmentation_annotations"]
    for number in range(1, 6):
        live.dvid.after(number, lambda n=number: records.set(live.open, {body: {"type": f"t{n}"}}), "_annotations/all$")
    out = snapshot(config)
    asked = len(live.dvid.asked("_annotations/all$"))
    annotated = pairs_of(out, "type")
    # The answer to the k-th question was made before the k-th edit.
    assert annotated[body] == (f"t{asked - 1}" if asked > 1 else "T0")
    while len(live.dvid.asked("_annotations/all$")) <= 5:  # until nobody edits any more
        snapshot(config)
    snapshot(config)
    assert pairs_of(out, "type")[body] == "t5"
    snapshot(config)
    assert set(actions(out).values()) == {"reuse"}


def pairs_of(out, column):
    found = table(out, "tables/body-annotations-*.feather")
    return dict(zip(found["body"].to_pylist(), found[column].to_pylist(), strict=True))
