"""What changes between plan and reading, or between two runs, leads to no wrong result."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from flyem_snapshot.errors import DataError, ServiceError
from flyem_snapshot.sources import pointlabels
from tests.dvid_double import DvidDouble
from tests.live_connectome import live_connectome
from tests.live_edits import Editor, disagreements
from tests.live_runs import actions, prepare, snapshot
from tests.live_truth import Truth

NOTES = "segmentation_annotations"


@pytest.fixture
def live():
    with DvidDouble() as dvid:
        yield live_connectome(dvid, psds=100)


def annotate(live, cell_type):
    body = live.seg.bodies(live.open)[0]
    live.repo.instances[NOTES].set(live.open, {body: {"type": cell_type}})


def kept_types(out):
    record = json.loads((out / "cache" / "inputs-annotations.json").read_text())
    table = pa.ipc.open_file(pa.memory_map(str(out / record["table"]["file"]))).read_all()
    return set(table["type"].to_pylist())


def test_annotations_that_change_between_plan_and_reading_are_those_that_were_read(live, tmp_path):
    config = prepare(live, live.open, tmp_path)
    snapshot(config)
    annotate(live, "known to the plan")
    live.dvid.after(1, lambda: annotate(live, "read"), f"{NOTES}/all$")

    out = snapshot(config)

    assert "read" in kept_types(out)
    assert "known to the plan" not in kept_types(out)
    assert actions(out)["inputs.annotations"] == "run"
    assert set(actions(snapshot(config)).values()) <= {"reuse", "skip"}


def test_the_segmentation_and_the_annotations_may_both_change_while_they_are_read(live, tmp_path):
    config = prepare(live, live.open, tmp_path)
    live.dvid.before(1, Editor(live).merge, "segmentation/mappings$")
    live.dvid.after(1, lambda: annotate(live, "read"), f"{NOTES}/all$")

    out = snapshot(config)

    assert "read" in kept_types(out)
    assert set(actions(snapshot(config)).values()) <= {"reuse", "skip"}


def test_a_server_that_moved_is_asked_at_its_new_address_only(tmp_path):
    with DvidDouble() as dvid:
        live = live_connectome(dvid, psds=100)
        config = prepare(live, live.locked, tmp_path)
        snapshot(config)
        before = len(dvid.requests)
        content = json.loads(config.read_text())
        content["inputs"]["dvid-seg"]["server"] = f"http://localhost:{dvid.port}"
        content["inputs"]["synapses"]["min-confidence"] = 0.5
        config.write_text(json.dumps(content))

        out = snapshot(config)

        assert actions(out)["inputs.dvid-seg"] == "reuse"
        assert actions(out)["inputs.synapses"] == "run"
        hosts = {request.headers["host"] for request in dvid.requests[before:]}
        assert hosts == {f"localhost:{dvid.port}"}


def test_a_split_that_comes_before_a_resumed_labelling_does_not_shift_its_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(pointlabels, "LOOKUP_ROWS", 20)
    with DvidDouble() as dvid:
        live = live_connectome(dvid, psds=200)
        editor = Editor(live)
        editor.merge()
        config = prepare(live, live.open, tmp_path)
        supervoxels = live.supervoxels(live.open, live.zyx)
        unknown = np.random.default_rng(3).random(len(supervoxels)) < 0.5
        live.write_synapses(tmp_path, sv=pa.array(supervoxels, pa.int64(), mask=unknown))
        dvid.faults.status(400, "segmentation/labels$", times=None, skip=5)
        with pytest.raises(ServiceError):
            snapshot(config)
        dvid.faults.clear()
        moment = len(editor.log)
        dvid.before(1, lambda: [editor.split_supervoxel() for _ in range(3)], "supervoxel-splits$")

        out = snapshot(config)

        assert len(editor.log) == moment + 3
        assert disagreements(out, Truth(editor.states[moment]), live) == []


@pytest.mark.parametrize("column", ["kind", "pre_id"])
def test_a_fault_of_the_tables_is_found_before_the_server_is_asked_about_points(live, tmp_path, column):
    config = prepare(live, live.locked, tmp_path)
    path = tmp_path / ("points.feather" if column == "kind" else "partners.feather")
    table = feather.read_table(path)
    values = table[column].to_pylist()
    values[-1] = "Preesyn" if column == "kind" else None
    table = table.set_column(table.schema.get_field_index(column), column, pa.array(values))
    feather.write_feather(table, str(path))

    with pytest.raises(DataError, match=f"column '{column}'"):
        snapshot(config)

    # Only those of the annotated points were looked up.
    assert len(live.dvid.asked("segmentation/labels$")) == 1
