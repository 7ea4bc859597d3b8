"""Predictions are written back to DVID: only what differs, to bodies that are annotated, never over others' edits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from flyem_snapshot.errors import SettingError
from flyem_snapshot.outputs.neurotransmitters_backport import backport, pin_store
from flyem_snapshot.outputs.neurotransmitters_settings import NeurotransmitterExportSettings, NeurotransmitterStore
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.http import DvidError
from tests.dvid_double import DvidDouble

A, B, C, STRANGER = 2**53 + 1, 2**53 + 3, 7, 9
SESAME = "open sesame"
JOB = SimpleNamespace(job_settings=SimpleNamespace(dvid_timeout=5.0, dvid_user="ann", processes=2))


@pytest.fixture
def dvid():
    connections.forget()
    with DvidDouble(admin_token=SESAME) as double:
        yield double
    connections.forget()


@pytest.fixture
def store(dvid):
    """An open version whose annotations are those of an earlier prediction: `(settings, instance, uuid)`."""
    repo = dvid.new_repo("store")
    notes = repo.neuronjson("segmentation_annotations")
    notes.set(repo.root, {A: {"type": "Tm1", "predicted_nt": "gaba"}, B: {"type": "moved"}, C: {"type": "Tm1"}})
    settings = NeurotransmitterStore(server=dvid.url, uuid=repo.root, perform_backport=True)
    return settings, notes, repo.root


def bodies() -> pd.DataFrame:
    text = pd.StringDtype(na_value=np.nan)
    frame = pd.DataFrame(
        {
            "cell_type": pd.array(["Tm1", "Tm2", "Tm1", "Tm1"], dtype=text),
            "total_nt_predictions": pd.array([10, 20, 0, 5], dtype="Int32"),
            "predicted_nt_confidence": np.array([0.1, 0.7, np.nan, 0.5], np.float32),
            "predicted_nt": pd.array(["acetylcholine", "gaba", None, "gaba"], dtype=text),
            "celltype_total_nt_predictions": pd.array([15, 20, 15, 15], dtype="Int32"),
            "celltype_predicted_nt": pd.array(["acetylcholine", "gaba", "acetylcholine", "gaba"], dtype=text),
        },
        index=pd.Index([A, B, C, STRANGER], name="body"),
    )
    return frame.sort_index()


def held(notes, uuid, body):
    """What the store holds of a body, without who set it and when."""
    record = notes.get(uuid, body) or {}
    return {name: value for name, value in record.items() if not name.endswith(("_user", "_time"))}


def test_the_fields_are_written_as_json_that_people_would_write(store):
    settings, notes, uuid = store

    assert backport(settings, bodies(), None) == 3

    assert held(notes, uuid, A) == {
        "bodyid": A,
        "type": "Tm1",
        "total_nt_predictions": 10,
        "predicted_nt_confidence": 0.1,  # not 0.10000000149011612
        "predicted_nt": "acetylcholine",
        "celltype_total_nt_predictions": 15,
        "celltype_predicted_nt": "acetylcholine",
    }


def test_a_body_whose_type_has_changed_gets_nulls_for_what_was_said_of_the_former_type(store):
    settings, notes, uuid = store

    backport(settings, bodies(), None)

    record = held(notes, uuid, B)
    assert (record["predicted_nt"], record["total_nt_predictions"]) == ("gaba", 20)
    assert record.get("celltype_predicted_nt") is None
    assert record.get("celltype_total_nt_predictions") is None


def test_bodies_that_are_not_annotated_are_not_written(store):
    settings, notes, uuid = store

    backport(settings, bodies(), None)

    assert notes.get(uuid, STRANGER) is None


def test_doing_it_again_writes_nothing(store, dvid):
    settings, _, _ = store
    backport(settings, bodies(), None)
    posts = len(dvid.asked(method="POST"))

    assert backport(settings, bodies(), None) == 0
    assert len(dvid.asked(method="POST")) == posts > 0


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(store, dvid):  # M30
    settings, notes, uuid = store
    dvid.after(1, lambda: notes.set(uuid, {A: {"predicted_nt": "serotonin"}}), path="/all$")

    with pytest.raises(DvidError, match="was edited meanwhile"):
        backport(settings, bodies(), None)

    assert held(notes, uuid, A)["predicted_nt"] == "serotonin"


def test_a_refusal_half_way_says_how_much_was_written(store, dvid):  # M30
    settings, notes, _ = store
    notes.refuses = lambda body, record: "not by the schema" if body == B else ""

    with pytest.raises(DvidError, match=r"0 of 3 bodies have been written before.*not by the schema"):
        backport(settings, bodies(), None)


def test_the_admin_token_is_sent_with_forced_writes_only(store, dvid, monkeypatch):
    settings, notes, uuid = store
    notes.repo.commit(uuid)
    monkeypatch.setenv("DVID_ADMIN_TOKEN", SESAME)

    assert backport(settings.model_copy(update={"force": True}), bodies(), None) == 3

    with_token = [request.method for request in dvid.requests if "admintoken" in request.args]
    assert set(with_token) == {"POST"}
    assert held(notes, uuid, A)["predicted_nt"] == "acetylcholine"


@pytest.mark.parametrize(
    ("force", "token", "message"),
    [
        (False, "", "is locked: nothing can be written to it"),
        (True, "", "that can only be forced with the server's admin token"),
    ],
)
def test_a_locked_version_is_refused_before_anything_runs(store, monkeypatch, force, token, message):
    settings, notes, uuid = store
    notes.repo.commit(uuid)
    monkeypatch.setenv("DVID_ADMIN_TOKEN", token)
    config = NeurotransmitterExportSettings(
        export_neurotransmitters=True, dvid=settings.model_copy(update={"force": force})
    )

    with pytest.raises(SettingError, match=message):
        pin_store(config, JOB)


def test_the_version_is_looked_up_once(store):
    settings, _, uuid = store
    config = NeurotransmitterExportSettings(dvid=settings.model_copy(update={"uuid": ":master"}))

    assert pin_store(config, JOB).dvid.uuid == uuid


def test_a_backport_needs_a_server():
    config = NeurotransmitterExportSettings(dvid=NeurotransmitterStore(perform_backport=True))

    with pytest.raises(SettingError, match="needs a DVID server, and none is named"):
        pin_store(config, JOB)
