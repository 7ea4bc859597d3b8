"""Skeletons from DVID: which, whence, in what form; what is missing and what fails; and going on after a kill."""

from __future__ import annotations

import json
import logging
import os
import signal
import struct
import subprocess
import sys
import time

import pandas as pd
import pytest

from flyem_snapshot.errors import ServiceError, SettingError
from flyem_snapshot.outputs.skeletons import export_skeletons
from flyem_snapshot.outputs.skeletons_settings import SkeletonsSettings
from flyem_snapshot.sources.dvid import connections
from tests.contexts import make_context
from tests.dvid_double import DvidDouble
from tests.outputs.body_stores import BIG, Store, annotated, files_below, results

SWC = b"# made by hand\n1 0 1 2 3 0.5 -1\n2 0 4 5 6 0.5 1\n"
PRECOMPUTED = struct.pack("<II", 2, 1) + struct.pack("<6f", 8, 32, 120, 32, 80, 240) + struct.pack("<2I", 1, 0)
"""`SWC` at 8 x 16 x 40 nm."""


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid
    connections.forget()


@pytest.fixture
def store(dvid):
    store = Store(dvid, "skeletons")
    store.values.set(store.uuid, {"10_swc": SWC, f"{BIG}_swc": SWC, "30_swc": SWC})
    store.repo.commit(store.uuid)
    return store


def config(store=None, *, processes=4, **entries):
    """Settings; each entry is switched on, and reads the store unless it says otherwise."""
    own = {"server": store.dvid.url, "uuid": store.uuid, "instance": "segmentation_skeletons"} if store else {}
    filled = {name: {"export-skeletons": True, "dvid": own, **entry} for name, entry in entries.items()}
    return SkeletonsSettings.model_validate({"processes": processes, **filled})


def export(root, settings, annotations=None, dvid_seg=None):
    ctx = make_context(root, "skeletons")
    export_skeletons(settings, ctx, annotations=annotations, dvid_seg=dvid_seg)
    return ctx


def test_annotated_bodies_get_an_swc_file_as_fetched_and_a_precomputed_one(tmp_path, store):
    ctx = export(tmp_path, config(main={}), annotated([30, 10, BIG]), store.dvid_seg())

    assert files_below(tmp_path) == {
        "skeletons-main/skeletons-swc/10.swc": SWC,
        "skeletons-main/skeletons-swc/30.swc": SWC,
        f"skeletons-main/skeletons-swc/{BIG}.swc": SWC,
        "skeletons-main/skeletons-precomputed/10": PRECOMPUTED,
        "skeletons-main/skeletons-precomputed/30": PRECOMPUTED,
        f"skeletons-main/skeletons-precomputed/{BIG}": PRECOMPUTED,
        "skeletons-main/skeletons-precomputed/info": (
            b'{"@type": "neuroglancer_skeletons", "segment_properties": "segment_properties"}\n'
        ),
        "skeletons-main/skeletons-precomputed/segment_properties/info": (
            b'{"@type":"neuroglancer_segment_properties","inline":{"ids":["10","30","9007199254740993"],'
            b'"properties":[{"id":"status","type":"tags","tags":[],"tag_descriptions":[],"values":[[],[],[]]}]}}\n'
        ),
    }
    assert {name for name in ctx.out.written if not name.startswith("cache/")} == set(files_below(tmp_path))
    assert ctx.exclusions.entries == []


def test_without_annotations_every_key_of_a_body_counts_and_info_is_the_least_there_can_be(tmp_path, dvid):
    store = Store(dvid, "skeletons")
    others = ["swc", "x_swc", "0_swc", "007_swc", "10_swc.bak", "10_swc_old", "-5_swc", "10.swc", "1_0_swc"]
    store.values.set(store.uuid, {"9_swc": SWC, "10_swc": SWC, **dict.fromkeys(others, SWC)})

    export(tmp_path, config(store, main={"coordinate-resolution-nm": [1, 2, 3]}))

    files = files_below(tmp_path)
    assert [name for name in files if "swc/" in name] == [
        "skeletons-main/skeletons-swc/10.swc",
        "skeletons-main/skeletons-swc/9.swc",
    ]
    assert files["skeletons-main/skeletons-precomputed/info"] == b'{"@type": "neuroglancer_skeletons"}\n'
    assert not [name for name in files if "segment_properties" in name]
    assert struct.unpack("<6f", files["skeletons-main/skeletons-precomputed/9"][8:32]) == (1, 4, 9, 4, 10, 18)
    assert results(tmp_path / "cache/skeletons/main.csv") == [("9_swc", "True", ""), ("10_swc", "True", "")]


def test_segment_properties_let_neuroglancer_search_for_type_instance_and_status(tmp_path, store):
    # D36
    annotations = annotated(
        [10, 20, 30, BIG],
        ["Roughly traced", "Traced", None, "Anchor"],
        type=["Tm3", "Tm4", None, "Δ7"],
        instance=[None, "Tm4_R", None, "Δ7_L"],
        group=["1", "2", "3", "4"],
    )
    export(tmp_path, config(main={}), annotations, store.dvid_seg())

    content = json.loads((tmp_path / "skeletons-main/skeletons-precomputed/segment_properties/info").read_text())
    assert content == {
        "@type": "neuroglancer_segment_properties",
        "inline": {
            "ids": ["10", "30", str(BIG)],  # 20 has no skeleton
            "properties": [
                {"id": "label", "type": "label", "values": ["Tm3", "", "Δ7_L"]},
                {"id": "type", "type": "string", "values": ["Tm3", "", "Δ7"]},
                {"id": "instance", "type": "string", "values": ["", "", "Δ7_L"]},
                {
                    "id": "status",
                    "type": "tags",
                    "tags": ["Anchor", "Roughly_traced"],
                    "tag_descriptions": ["Anchor", "Roughly traced"],
                    "values": [[1], [], [0]],
                },
            ],
        },
    }


def test_what_is_missing_and_what_is_no_skeleton_are_counted_apart_and_nothing_of_them_is_written(
    tmp_path, store, caplog
):
    # M15: neither is a failed request.
    child = store.repo.child(store.uuid)
    store.values.set(child, {"30_swc": b"1 0 1 2 3 4 -1\n2 0 1 2\n", "40_swc": b""})
    store.repo.commit(child)
    store.uuid = child
    with caplog.at_level(logging.INFO, "flyem_snapshot"):
        ctx = export(tmp_path, config(store, main={}), annotated([40, 30, 20, 10]), store.dvid_seg())

    assert results(tmp_path / "cache/skeletons/main.csv") == [
        ("10_swc", "True", ""),
        ("20_swc", "False", "missing"),
        ("30_swc", "False", "not SWC: line 2 has 4 columns, not 7"),
        ("40_swc", "False", "missing"),
    ]
    assert [(e.table, e.reason, e.rows) for e in ctx.exclusions.entries] == [
        ("skeletons 'main'", "segmentation_skeletons has no key <body>_swc", 2),
        ("skeletons 'main'", "what the server holds for the key is unusable", 1),
    ]
    assert [name for name in files_below(tmp_path) if name.endswith((".swc", "/10", "/30"))] == [
        "skeletons-main/skeletons-precomputed/10",
        "skeletons-main/skeletons-swc/10.swc",
    ]
    assert "what the server holds for 30_swc is unusable: not SWC: line 2 has 4 columns, not 7" in caplog.text
    assert "wrote the skeletons of 1 of 4 bodies" in caplog.text


def test_values_are_asked_for_in_bulk_and_each_key_once(tmp_path, dvid):
    # M15: not one request a body.
    store = Store(dvid, "skeletons")
    bodies = range(1, 1101)
    store.values.set(store.uuid, {f"{body}_swc": SWC for body in bodies})
    export(tmp_path, config(store, main={}), annotated(bodies), store.dvid_seg())

    assert store.requests_for_values() == 6
    assert sorted(store.asked_keys()) == sorted(f"{body}_swc" for body in bodies)
    assert len(list((tmp_path / "skeletons-main/skeletons-precomputed").glob("[0-9]*"))) == 1100


@pytest.mark.parametrize("kind", ["cut", "truncated", "appended"])
def test_an_answer_that_breaks_off_is_asked_for_again_and_no_file_is_torn(tmp_path, store, kind):
    # M15: a torn answer once left a torn file.
    fault = getattr(store.dvid.faults, kind)("/keyvalues")
    export(tmp_path, config(main={}), annotated([10, 30]), store.dvid_seg())

    assert fault.hits == 1
    assert (tmp_path / "skeletons-main/skeletons-swc/30.swc").read_bytes() == SWC
    assert [success for _, success, _ in results(tmp_path / "cache/skeletons/main.csv")] == ["True", "True"]


@pytest.mark.parametrize("code", [401, 403, 400, 500, 503])
def test_a_server_that_fails_fails_the_stage_and_nothing_is_called_missing(tmp_path, store, code):
    # M15: every status but success was once "missing".
    store.dvid.faults.status(code, "/key", times=None)
    with pytest.raises(ServiceError) as caught:
        export(tmp_path, config(main={}), annotated([10, 30]), store.dvid_seg())

    assert "the skeletons of 2 bodies could not be fetched (10, 30): " in caught.value.message
    assert f"(status {code})" in caught.value.message
    assert caught.value.hint
    assert not (tmp_path / "cache/skeletons/main.csv").exists()
    assert files_below(tmp_path) == {}


def test_a_value_that_the_server_cannot_give_is_named_and_the_others_are_kept_and_not_asked_for_again(tmp_path, dvid):
    store = Store(dvid, "skeletons")
    bodies = [*range(1, 451)]
    store.values.set(store.uuid, {f"{body}_swc": SWC for body in bodies})
    broken = ["7_swc", "300_swc"]
    faults = [dvid.faults.status(500, f"/key/{key}$", times=None) for key in broken]
    first = dvid.faults.cut("/keyvalues", times=None)
    with pytest.raises(ServiceError) as caught:
        export(tmp_path, config(store, main={}), annotated(bodies), store.dvid_seg())
    assert "the skeletons of 2 bodies could not be fetched (7, 300): " in caught.value.message
    assert "status 500 on purpose" in caught.value.message
    assert "448 of 450 skeletons are kept and not fetched again" in caught.value.hint
    assert len(list((tmp_path / "skeletons-main/skeletons-swc").iterdir())) == 448
    assert faults[0].hits
    assert first.hits

    # M16: what failed, and nothing else, is tried again.
    dvid.faults.clear()
    dvid.requests.clear()
    ctx = export(tmp_path, config(store, main={}), annotated(bodies), store.dvid_seg())
    assert store.asked_keys() == broken
    assert len(results(tmp_path / "cache/skeletons/main.csv")) == 450
    assert len(list((tmp_path / "skeletons-main/skeletons-swc").iterdir())) == 450
    assert sum(name.endswith(".swc") for name in ctx.out.written) == 450


def test_a_missing_key_is_not_asked_for_again_when_a_run_goes_on(tmp_path, dvid):
    # D35, M16
    store = Store(dvid, "skeletons")
    store.values.set(store.uuid, {"1_swc": SWC})
    annotations = annotated([1, 2])
    export(tmp_path, config(store, main={}), annotations, store.dvid_seg())
    dvid.requests.clear()
    export(tmp_path, config(store, main={}), annotations, store.dvid_seg())

    assert store.asked_keys() == []
    assert results(tmp_path / "cache/skeletons/main.csv") == [("1_swc", "True", ""), ("2_swc", "False", "missing")]


@pytest.mark.parametrize("change", ["replaced", "damaged", "gone"])
def test_a_file_that_is_no_longer_what_was_written_is_fetched_again(tmp_path, store, change):
    annotations = annotated([10, 30])
    export(tmp_path, config(main={}), annotations, store.dvid_seg())
    path = tmp_path / "skeletons-main/skeletons-precomputed/10"
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(PRECOMPUTED[::-1] if change == "replaced" else b"")
    store.dvid.requests.clear()
    export(tmp_path, config(main={}), annotations, store.dvid_seg())

    assert store.asked_keys() == ["10_swc"]
    assert path.read_bytes() == PRECOMPUTED


@pytest.mark.parametrize("change", ["resolution", "version"])
def test_what_was_made_from_something_else_is_not_taken_over(tmp_path, store, change):
    export(tmp_path, config(main={}), annotated([10]), store.dvid_seg())
    entry = {}
    if change == "resolution":
        entry = {"coordinate-resolution-nm": [1, 1, 1]}
    else:
        store.uuid = store.repo.child(store.uuid)
        store.values.set(store.uuid, {"10_swc": SWC + b"3 0 0 0 0 1 1\n"})
    export(tmp_path, config(store, main=entry), annotated([10]), store.dvid_seg())

    made = (tmp_path / "skeletons-main/skeletons-precomputed/10").read_bytes()
    assert made != PRECOMPUTED


def test_an_entry_that_is_switched_off_writes_nothing_and_breaks_nothing(tmp_path, store):
    # M17, D35
    settings = config(main={}, off={"export-skeletons": False, "dvid": {"instance": "there is none"}})
    export(tmp_path, settings, annotated([10]), store.dvid_seg())

    assert {path.name for path in tmp_path.iterdir()} == {"cache", "skeletons-main"}
    assert [path.name for path in (tmp_path / "cache/skeletons").iterdir()] == ["main.csv"]


def test_no_annotated_body_at_all_is_an_empty_export(tmp_path, store):
    export(tmp_path, config(main={}), annotated([0]), store.dvid_seg())  # 0 is no body

    assert results(tmp_path / "cache/skeletons/main.csv") == []
    assert [name for name in files_below(tmp_path) if not name.endswith("info")] == []


def test_several_entries_are_kept_apart(tmp_path, store):
    store.repo.keyvalue("others")
    settings = config(
        main={}, coarse={"coordinate-resolution-nm": [100, 100, 100]}, other={"dvid": {"instance": "others"}}
    )
    export(tmp_path, settings, annotated([10]), store.dvid_seg())

    files = files_below(tmp_path)
    assert files["skeletons-main/skeletons-precomputed/10"] == PRECOMPUTED
    assert files["skeletons-coarse/skeletons-precomputed/10"] != PRECOMPUTED
    assert "skeletons-other/skeletons-precomputed/10" not in files
    assert sorted(path.name for path in (tmp_path / "cache/skeletons").iterdir()) == [
        "coarse.csv",
        "main.csv",
        "other.csv",
    ]


@pytest.mark.parametrize(
    ("entry", "field", "problem"),
    [
        ({}, ("main", "dvid", "server"), "is not set, and there is no segmentation in inputs.dvid-seg"),
        (
            {"dvid": {"server": "s", "uuid": "u", "instance": "i"}},
            ("main", "coordinate-resolution-nm"),
            "is not set, and there is no inputs.dvid-seg whose voxel size could be asked for",
        ),
    ],
)
def test_what_neither_the_entry_nor_the_segmentation_says_is_asked_for(tmp_path, entry, field, problem):
    with pytest.raises(SettingError) as caught:
        export(tmp_path, config(main=entry))
    assert (caught.value.field, caught.value.problem) == (field, problem)


def test_a_voxel_size_that_is_not_in_nanometers_is_refused(tmp_path, store):
    store.dvid.faults.changed(lambda body: body.replace(b"nanometers", b"microns"), "segmentation/info")
    with pytest.raises(SettingError) as caught:
        export(tmp_path, config(main={}), annotated([10]), store.dvid_seg())
    assert caught.value.field == ("main", "coordinate-resolution-nm")
    assert caught.value.problem == (
        "is not set, and the voxel size of segmentation is not known in nanometers: it is 8 x 16 x 40 microns"
    )


def test_an_instance_that_does_not_exist_or_is_of_another_type_is_named(tmp_path, store):
    with pytest.raises(ServiceError, match="no instance 'segmentation_skeleton'") as caught:
        export(tmp_path, config(main={"dvid": {"instance": "segmentation_skeleton"}}), None, store.dvid_seg())
    assert caught.value.hint == "did you mean 'segmentation_skeletons'?"
    with pytest.raises(ServiceError, match="'segmentation' is of type labelmap, not keyvalue"):
        export(tmp_path, config(main={"dvid": {"instance": "segmentation"}}), None, store.dvid_seg())


def test_a_version_that_can_still_change_is_warned_of(tmp_path, dvid, caplog):
    store = Store(dvid, "skeletons")
    export(tmp_path, config(store, main={}), annotated([1]), store.dvid_seg())
    assert "can still change" in caplog.text


CHILD = """
import sys
from pathlib import Path
from tests.outputs.test_skeletons import SkeletonsSettings, annotated, export
from tests.outputs.body_stores import Store
from flyem_snapshot.tables.segmentation import Segmentation
root, url, uuid, count = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
own = {"server": url, "uuid": uuid, "instance": "segmentation_skeletons"}
entry = {"export-skeletons": True, "dvid": own, "coordinate-resolution-nm": [8, 16, 40]}
export(root, SkeletonsSettings.model_validate({"processes": 2, "main": entry}), annotated(range(1, count + 1)))
"""


def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path, dvid):
    # M15, M16, D35: what was written whole is neither fetched again nor torn.
    count = 6000
    store = Store(dvid, "skeletons")
    store.values.set(store.uuid, {f"{body}_swc": SWC for body in range(1, count + 1) if body % 10})
    store.repo.commit(store.uuid)
    dvid.faults.stall("/keyvalues", seconds=60, times=None, skip=27)
    command = [sys.executable, "-c", CHILD, str(tmp_path), dvid.url, store.uuid, str(count)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    journal = tmp_path / "cache/resume/skeletons/main.journal"
    deadline = time.monotonic() + 60
    while not journal.exists() or len(journal.read_bytes().splitlines()) < 5001:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()

    dvid.faults.clear()
    dvid.requests.clear()
    ctx = export(tmp_path, config(store, main={}), annotated(range(1, count + 1)), store.dvid_seg())

    noted = 5000
    asked = store.asked_keys()
    assert len(asked) <= count - noted
    assert set(asked).isdisjoint(f"{body}_swc" for body in range(1, noted + 1))
    table = pd.read_csv(tmp_path / "cache/skeletons/main.csv", keep_default_na=False)
    assert len(table) == count
    assert table["success"].sum() == count * 9 // 10
    files = files_below(tmp_path)
    assert sum(name.endswith(".swc") for name in files) == count * 9 // 10
    assert {content for name, content in files.items() if name.endswith(".swc")} == {SWC}
    assert {content for name, content in files.items() if name.rpartition("/")[2].isdigit()} == {PRECOMPUTED}
    assert set(files) == {name for name in ctx.out.written if not name.startswith("cache/")}
