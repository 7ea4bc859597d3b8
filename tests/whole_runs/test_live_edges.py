"""Settings and data of a live segmentation that are unusual: they work, or are refused early and in plain words."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from flyem_snapshot.errors import SnapshotError
from tests.dvid_double import DvidDouble
from tests.live_connectome import live_connectome
from tests.live_runs import actions, pairs, prepare, snapshot, table
from tests.live_truth import Truth

POINTS = "inputs.annotations.point-annotations"


@pytest.fixture
def live():
    with DvidDouble() as dvid:
        yield live_connectome(dvid, psds=100)


def refused(config):
    """The words with which a run is refused before it has asked for a single point."""
    with pytest.raises(SnapshotError) as caught:
        snapshot(config)
    return caught.value.exit_code, str(caught.value)


@pytest.mark.parametrize(
    "points",
    [
        {"column-name": "body"},
        {"column-name": "s", "extract-properties": {"radius": "body"}},
        {"column-name": "s", "extract-properties": {"radius": "s"}},
        {"column-name": "s", "extract-properties": {"radius": "x"}},
    ],
)
def test_columns_of_points_that_would_hide_another_are_refused(live, tmp_path, points):
    code, words = refused(prepare(live, live.locked, tmp_path, **{POINTS: [{"instance": "nuclei", **points}]}))
    assert code == 2
    assert "config.yaml:" in words
    assert live.dvid.asked("/labels$") == []


def test_two_instances_of_points_cannot_share_a_column(live, tmp_path):
    live.repo.annotation("more")
    twice = [{"instance": name, "column-name": "soma_position"} for name in ("nuclei", "more")]
    code, words = refused(prepare(live, live.locked, tmp_path, **{POINTS: twice}))
    assert code == 2
    assert "soma_position" in words


@pytest.mark.parametrize("expression", [":master~1", "PREFIX", "WHOLE"])
def test_the_table_of_sizes_of_one_run_serves_the_next(live, tmp_path, expression):  # M7, M8
    made = snapshot(prepare(live, live.locked, tmp_path / "first"))
    (cache,) = made.glob("tables/body-size-cache-*.feather")
    second = tmp_path / "second"
    config = prepare(live, live.open, second)
    shutil.copy(cache, second / "sizes.feather")
    first, *others = live.seg.bodies(live.open)
    live.seg.merge(live.open, first, others[:2])
    text = expression.replace("PREFIX", live.locked[:7]).replace("WHOLE", live.locked)
    sizes = {"load-sizes": True, "cache-file": "sizes.feather", "cache-uuid": text}
    config = prepare(live, live.open, second, **{"inputs.body-sizes": sizes})
    live.dvid.requests.clear()
    out = snapshot(config)
    found = pairs(out, "tables/body-size-cache-*.feather")
    truth = Truth.at(live, live.open).sizes
    assert found == {body: truth[body] for body in found}
    assert first in found
    assert not set(others[:2]) & set(found)
    fetched = [request for request in live.dvid.asked("/sizes$") if "supervoxels" not in request.args]
    assert sum(len(request.json()) for request in fetched) <= 100 + 5  # a hundred are compared


def test_a_table_of_sizes_of_an_unknown_version_is_refused_with_its_line(live, tmp_path):  # M8
    made = snapshot(prepare(live, live.locked, tmp_path / "first"))
    (cache,) = made.glob("tables/body-size-cache-*.feather")
    shutil.copy(cache, tmp_path / "sizes.feather")
    live.dvid.requests.clear()
    sizes = {"load-sizes": True, "cache-file": "sizes.feather", "cache-uuid": "nonsense"}
    code, words = refused(prepare(live, live.locked, tmp_path, **{"inputs.body-sizes": sizes}))
    assert code == 2
    assert "cache-uuid" in words
    assert live.dvid.asked("/labels$") == []


def test_rois_in_a_json_file_are_looked_for_before_anything_else(live, tmp_path):
    (tmp_path / "rois.json").write_text('["A(R)", "nope"]')
    sets = {"primary": {"source": "dvid-rois", "rois": "rois.json"}}
    _, words = refused(prepare(live, live.locked, tmp_path, **{"inputs.rois.roi-sets": sets}))
    assert "nope" in words
    assert live.dvid.asked("/labels$") == []


def test_names_of_rois_may_hold_anything_that_the_server_takes(live, tmp_path):
    name = "it's a(R), ü b"
    live.repo.roi(name).set(live.open, [[0, 0, 0, 5]])
    sets = {"primary": {"source": "dvid-rois", "rois": [name, "A(R)"]}}
    out = snapshot(prepare(live, live.open, tmp_path, **{"inputs.rois.roi-sets": sets}))
    assert json.loads((out / "volumes/primary-ids.json").read_text()) == {name: 1, "A(R)": 2}


def test_instances_without_content_make_empty_columns(live, tmp_path):
    live.repo.annotation("empty")
    live.repo.roi("E1")
    changes = {
        "inputs.elements.nuclei": {"dvid-point-annotations": {"instance": "empty"}, "type": "n"},
        POINTS: [{"instance": "empty", "column-name": "soma", "extract-properties": {"radius": "r"}}],
        "inputs.rois.roi-sets": {"primary": {"source": "dvid-rois", "rois": ["E1"]}},
    }
    out = snapshot(prepare(live, live.locked, tmp_path, **changes))
    annotated = table(out, "tables/body-annotations-*.feather")
    assert annotated["soma"].null_count == annotated["r"].null_count == annotated.num_rows > 0
    points = table(out, "flat-connectome/syn-points-*-minconf-0.0.feather")
    assert set(points["primary"].to_pylist()) == {"<unspecified>"}


def test_an_element_on_the_voxel_of_a_synapse_is_an_error(live, tmp_path):
    clash = live.repo.annotation("clash")
    clash.point(live.open, live.zyx[live.pairs[0, 0]].tolist())
    elements = {"c": {"dvid-point-annotations": {"instance": "clash"}, "type": "n"}}
    code, words = refused(prepare(live, live.open, tmp_path, **{"inputs.elements": elements}))
    assert code == 1
    assert "elements lie on the voxel of a synapse" in words


def test_an_element_too_far_for_an_id_is_an_error_that_names_the_instance(live, tmp_path):
    live.repo.annotation("far").point(live.open, (5, 5, 1 << 22))
    elements = {"c": {"dvid-point-annotations": {"instance": "far"}, "type": "n"}}
    code, words = refused(prepare(live, live.open, tmp_path, **{"inputs.elements": elements}))
    assert code == 1
    assert "far" in words


def test_a_body_under_a_point_that_does_not_fit_63_bits_is_an_error_and_no_negative_body(live, tmp_path):
    used = set(live.bodies(live.open, live.zyx).tolist())
    body = next(int(b) for b in live.seg.bodies(live.open) if int(b) not in used) if len(used) < 41 else 0
    if not body:  # every body has a synapse: then the error is that of the synapses
        body = int(live.seg.bodies(live.open)[0])
    supervoxel = live.seg.supervoxels(live.open, body)[0]
    place = np.argwhere(live.seg.labels(live.open).cube == np.uint64(supervoxel))[0]
    live.repo.annotation("one").point(live.open, place.tolist())
    live.seg.renumber(live.open, (1 << 63) + 5, body)
    _, words = refused(prepare(live, live.open, tmp_path, **{POINTS: [{"instance": "one", "column-name": "s"}]}))
    assert "63 bits" in words


def test_a_damaged_table_is_made_anew_also_if_a_source_moves_meanwhile(live, tmp_path):
    config = prepare(live, live.open, tmp_path)
    out = snapshot(config)
    files = [path for path in (out / "cache/inputs-synapses").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    whole = largest.read_bytes()
    body = live.seg.bodies(live.open)[0]
    notes = live.repo.instances["segmentation_annotations"]

    for moves in (False, True):
        content = bytearray(whole)
        content[len(content) // 2] ^= 0xFF
        largest.write_bytes(content)
        notes.set(live.open, {body: {"type": f"seen {moves}"}})
        if moves:
            live.dvid.after(1, lambda: notes.set(live.open, {body: {"type": "moved"}}), "_annotations/all$")
        snapshot(config)
        assert largest.read_bytes() == whole
        assert actions(out)["inputs.synapses"] == "run"
