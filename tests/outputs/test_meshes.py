"""Meshes from DVID: which, in what form; what is missing and what fails; and going on after a failure."""

from __future__ import annotations

import json

import pytest

from flyem_snapshot.errors import ServiceError, SettingError
from flyem_snapshot.outputs.meshes import export_meshes
from flyem_snapshot.outputs.meshes_settings import MeshesSettings
from flyem_snapshot.sources.dvid import connections
from tests.contexts import make_context
from tests.dvid_double import DvidDouble
from tests.outputs.body_stores import BIG, Store, annotated, files_below, results


@pytest.fixture
def dvid():
    with DvidDouble() as dvid:
        yield dvid
    connections.forget()


@pytest.fixture
def store(dvid):
    store = Store(dvid, "meshes")
    store.values.set(store.uuid, {f"{body}.ngmesh": mesh(body) for body in (10, 20, 30, BIG)})
    return store


def mesh(body):
    """A value that is not text, and not that of another body."""
    return b"\x00\xff\n" + str(body).encode() * 700


def config(**entries):
    filled = {name: {"export-meshes": True, **entry} for name, entry in entries.items()}
    return MeshesSettings.model_validate({"processes": 4, **filled})


def export(root, settings, annotations=None, dvid_seg=None):
    ctx = make_context(root, "meshes")
    export_meshes(settings, ctx, annotations=annotations, dvid_seg=dvid_seg)
    return ctx


def test_each_mesh_is_written_as_fetched_with_a_manifest_beside_it(tmp_path, store):
    ctx = export(tmp_path, config(main={}), None, store.dvid_seg())

    folder = "meshes-main/single-res-meshes"
    expected = {f"{folder}/info": b'{"@type": "neuroglancer_legacy_mesh"}\n'}
    for body in (10, 20, 30, BIG):
        expected[f"{folder}/{body}.ngmesh"] = mesh(body)
        expected[f"{folder}/{body}:0"] = f'{{"fragments": ["{body}.ngmesh"]}}'.encode()
    assert files_below(tmp_path) == dict(sorted(expected.items()))
    assert set(expected) == {name for name in ctx.out.written if not name.startswith("cache/")}
    assert json.loads(expected[f"{folder}/{BIG}:0"]) == {"fragments": ["9007199254740993.ngmesh"]}


def test_bodies_of_excluded_statuses_are_left_out_and_bodies_without_a_status_are_not(tmp_path, store):
    statuses = ["Glia", "Unimportant", None, "Traced", "Glia"]
    annotations = annotated([30, 20, 10, BIG, 0], statuses, type=["a", "b", "c", "d", ""])
    ctx = export(tmp_path, config(main={}), annotations, store.dvid_seg())

    assert results(tmp_path / "cache/meshes/main.csv") == [("10.ngmesh", "True", ""), (f"{BIG}.ngmesh", "True", "")]
    assert [(e.table, e.reason, e.rows) for e in ctx.exclusions.entries] == [
        ("meshes 'main'", "their status is one of Unimportant, Glia", 2)
    ]
    folder = tmp_path / "meshes-main/single-res-meshes"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["10.ngmesh", "10:0", f"{BIG}.ngmesh", f"{BIG}:0", "info", "segment_properties"]
    )
    assert json.loads((folder / "info").read_text()) == {
        "@type": "neuroglancer_legacy_mesh",
        "segment_properties": "segment_properties",  # D36
    }
    inline = json.loads((folder / "segment_properties/info").read_text())["inline"]
    assert inline["ids"] == ["10", str(BIG)]
    assert [(p["type"], p["values"]) for p in inline["properties"]] == [
        ("label", ["c", "d"]),
        ("string", ["c", "d"]),
        ("tags", [[], [0]]),
    ]


def test_other_statuses_may_be_excluded_or_none(tmp_path, store):
    annotations = annotated([30, 20, 10], ["Glia", "Unimportant", "Traced"])
    settings = config(all={"exclude-statuses": []}, few={"exclude-statuses": ["Traced", "Glia"]})
    export(tmp_path, settings, annotations, store.dvid_seg())

    assert [key for key, _, _ in results(tmp_path / "cache/meshes/all.csv")] == ["10.ngmesh", "20.ngmesh", "30.ngmesh"]
    assert [key for key, _, _ in results(tmp_path / "cache/meshes/few.csv")] == ["20.ngmesh"]


def test_missing_meshes_are_counted_and_have_no_manifest(tmp_path, store):
    # M15
    ctx = export(tmp_path, config(main={}), annotated([10, 11, 12]), store.dvid_seg())

    assert results(tmp_path / "cache/meshes/main.csv") == [
        ("10.ngmesh", "True", ""),
        ("11.ngmesh", "False", "missing"),
        ("12.ngmesh", "False", "missing"),
    ]
    assert [(e.reason, e.rows) for e in ctx.exclusions.entries] == [("segmentation_meshes has no key <body>.ngmesh", 2)]
    assert not (tmp_path / "meshes-main/single-res-meshes/11:0").exists()


def test_a_failure_keeps_what_was_written_and_the_next_run_asks_for_the_rest_only(tmp_path, dvid):
    # M15, M16, D35
    store = Store(dvid, "meshes")
    bodies = range(1, 401)
    store.values.set(store.uuid, {f"{body}.ngmesh": mesh(body) for body in bodies})
    dvid.faults.status(401, "/keyvalues", times=None, skip=8)
    with pytest.raises(
        ServiceError, match=r"the meshes of \d+ bodies could not be fetched \(\d+, .* more\): "
    ) as caught:
        export(tmp_path, config(main={}), annotated(bodies), store.dvid_seg())
    kept = {path.name for path in (tmp_path / "meshes-main/single-res-meshes").glob("*.ngmesh")}
    assert f"of {len(bodies)} bodies" not in caught.value.message
    assert not (tmp_path / "meshes-main/single-res-meshes/info").exists()

    dvid.faults.clear()
    dvid.requests.clear()
    export(tmp_path, config(main={}), annotated(bodies), store.dvid_seg())
    assert sorted(store.asked_keys()) == sorted({f"{body}.ngmesh" for body in bodies} - kept)
    assert all((tmp_path / f"meshes-main/single-res-meshes/{b}.ngmesh").read_bytes() == mesh(b) for b in bodies)


def test_meshes_are_asked_for_in_bulk(tmp_path, dvid):
    # M15
    store = Store(dvid, "meshes")
    bodies = range(1, 101)
    store.values.set(store.uuid, {f"{body}.ngmesh": mesh(body) for body in bodies})
    export(tmp_path, config(main={}), annotated(bodies), store.dvid_seg())
    assert store.requests_for_values() == 4


def test_an_entry_that_is_switched_off_writes_nothing_and_breaks_nothing(tmp_path, store):
    # M17, D35
    export(tmp_path, config(main={"export-meshes": False}), annotated([10]), store.dvid_seg())
    assert files_below(tmp_path) == {}


def test_an_entry_must_say_where_it_is_read_from(tmp_path):
    with pytest.raises(SettingError) as caught:
        export(tmp_path, config(main={"dvid": {"server": "s"}}))
    assert caught.value.field == ("main", "dvid", "uuid")
