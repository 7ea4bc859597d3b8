"""A run that reads everything from a server writes what a run from files does that were worked out with numpy."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from tests.dvid_double import DvidDouble
from tests.live_connectome import live_connectome, write_config
from tests.live_runs import contents, differences, pairs, prepare, snapshot, table
from tests.live_truth import LAYERS, ROIS, UNSPECIFIED, Truth, write_flat, zyx_of

META = {
    "dataset": "live",
    "postHighAccuracyThreshold": 0.6,
    "postHPThreshold": 0.8,
    "primaryRois": list(ROIS),
    "roiHierarchy": {"brain": dict.fromkeys([*ROIS, *LAYERS])},
}
EVERYTHING = {
    "inputs.synapses.permit-body-0": False,
    "outputs.neuprint": {
        "export-neuprint-snapshot": True,
        "meta": META,
        "element-labels": {"mito": "Mito", "nuclei": "Nucleus"},
    },
    "outputs.connectivity-reports": [{"roiset": "primary", "reports": [{}]}],
    "job-settings": {"output-dir": "out", "processes": 4, "snapshot-tag": "same"},
}
ONLY_LIVE = {"last-mutation.json", "tables/body-size-cache-same.feather"}


@pytest.fixture(scope="module")
def live():
    with DvidDouble() as dvid:
        yield live_connectome(dvid)


@pytest.fixture(scope="module", params=["locked", "open"])
def version(request):
    return request.param


@pytest.fixture(scope="module")
def ours(live, version, tmp_path_factory):
    """The output directory of the run that asks the server."""
    uuid = getattr(live, version)
    return snapshot(prepare(live, uuid, tmp_path_factory.mktemp(version), **EVERYTHING))


@pytest.fixture(scope="module")
def theirs(live, version, tmp_path_factory):
    """The output directory of the run from files, whose meta file says what the server would."""
    uuid = getattr(live, version)
    folder = tmp_path_factory.mktemp("flat") / version
    config = write_flat(live, uuid, folder, live.config(uuid, **EVERYTHING))
    config["outputs"]["flat-connectome"] = {"export-connectome": True, "roi-set": "primary"}
    last = live.seg.logs[live.repo.root][-1]
    records = live.repo.instances["segmentation_annotations"].records.at(live.repo.node(uuid)).values()
    times = [value for record in records for name, value in record.items() if name.endswith("_time")]
    annotated = max(map(datetime.fromisoformat, times)).astimezone(UTC)
    edited = datetime.fromisoformat(last["Timestamp"][:19]).replace(tzinfo=UTC)
    said = {
        "uuid": uuid,
        "latestMutationId": last["MutationID"],
        "lastDatabaseEdit": f"{edited} / {annotated.isoformat(sep=' ', timespec='seconds')} (segment property update)",
    }
    config["outputs"]["neuprint"] = {**config["outputs"]["neuprint"], "meta": {**META, **said}}
    return snapshot(write_config(folder, config))


def decoded(files):
    """Tables with text in place of categories, whose order depends on where they come from; the rest as it is."""
    return {
        name: {c: content[c].to_pylist() for c in content.column_names} if hasattr(content, "column_names") else content
        for name, content in files.items()
    }


def test_every_file_of_flat_tables_neuprint_and_reports_is_the_same(ours, theirs):
    live, flat = decoded(contents(ours)), decoded(contents(theirs))
    only = {name for name in live if name in ONLY_LIVE or name.startswith(("volumes/", "tables/complete"))}
    assert differences({name: live[name] for name in live.keys() - only}, flat) == []
    assert len(flat) > 60
    assert only >= ONLY_LIVE
    for name, columns in flat.items():
        if isinstance(columns, dict):
            assert list(columns) == list(live[name]), f"order of columns of {name}"


def test_no_two_bodies_that_only_an_integer_can_tell_apart_are_mixed_up(ours, live, version):
    truth = Truth.at(live, getattr(live, version))
    found = table(ours, "flat-connectome/syn-points-same-*.feather")
    assert max(found["body"].to_pylist()) > 2**53
    assert found["body"].to_pylist() == truth.bodies(zyx_of(found)).tolist()
    assert found["sv"].to_pylist() == truth.supervoxels(zyx_of(found)).tolist()


def test_categories_of_rois_are_all_that_are_listed_with_none_at_all_first(ours):
    found = table(ours, "flat-connectome/syn-points-same-*.feather")
    assert found["primary"].chunk(0).dictionary.to_pylist() == [UNSPECIFIED, *ROIS]
    assert found["layers"].chunk(0).dictionary.to_pylist() == [UNSPECIFIED, *LAYERS]


def test_sizes_are_those_of_all_bodies_that_occur(ours, live, version):
    uuid = getattr(live, version)
    truth = Truth.at(live, uuid)
    assert pairs(ours, "tables/body-size-cache-*.feather") == truth.sizes


def test_the_mapping_has_each_supervoxel_of_every_body_that_has_several(ours, live, version):
    mapping = pairs(ours, "tables/complete-nonsingleton-mapping-*.feather")
    truth = Truth.at(live, getattr(live, version)).mapping()
    assert {sv: body for sv, body in mapping.items() if sv in truth} == truth
    # Ids that stand for no voxels any more are not there.
    assert {body for sv, body in mapping.items() if sv not in truth} == set()
    assert list(mapping) == sorted(mapping)
    name = {"locked": "", "open": "-mutid-0"}[version]
    assert (ours / f"tables/complete-nonsingleton-mapping-same{name}.feather").exists()


def test_the_volumes_are_beside_the_tables(ours):
    box = json.loads((ours / "volumes/primary-box-zyx.json").read_text())
    assert box == [[0, 0, 0], [4, 4, 6]]
    volume = np.load(ours / "volumes/primary-vol.npy")
    assert volume.dtype == np.uint8
    assert volume[0, 0].tolist() == [1, 1, 2, 2, 2, 3]  # of two that overlap, the one listed last
    assert json.loads((ours / "volumes/layers-ids.json").read_text()) == LAYERS
    (overlap,) = json.loads((ours / "volumes/primary-overlaps.json").read_text())
    assert overlap == {"a": "A(R)", "b": "B(L)", "blocks": 16}


def test_the_last_edit_and_the_version_asked_for_are_two_things(ours, live, version):  # M11
    found = json.loads((ours / "last-mutation.json").read_text())
    last = live.seg.logs[live.repo.root][-1]
    assert found["uuid"] == live.repo.root
    assert (found["mutid"], found["action"], found["user"]) == (last["MutationID"], last["Action"], last["User"])
    assert found["snapshot"]["uuid"] == getattr(live, version)
    assert found["snapshot"]["locked"] is (version == "locked")
    assert found["snapshot"]["records"] == 0


@pytest.mark.parametrize("how", ["whole", "batches"])
def test_mapping_whole_or_in_batches_gives_the_same(live, ours, version, tmp_path, how):
    if version == "open":
        how = "whole"  # which `auto` does as well; batches are refused, see test_live_versions
    config = prepare(live, getattr(live, version), tmp_path, **EVERYTHING, **{"inputs.dvid-seg.mapping": how})
    live.dvid.requests.clear()
    out = snapshot(config)
    # Those of the export see whether ids exist; those for points know that they do.
    batches = [request for request in live.dvid.asked("/segmentation/mapping$") if "nolookup" in request.args]
    assert bool(batches) == (how == "batches")
    assert differences(contents(out), contents(ours)) == []
