"""Settings of skeletons and meshes: what they may be, what is refused, and where."""

from __future__ import annotations

import pytest

from flyem_snapshot.config.load import load_config
from flyem_snapshot.config.resolve import resolve
from flyem_snapshot.config.root import config_model
from flyem_snapshot.config.schema import json_schema
from flyem_snapshot.config.template import verbose_yaml
from flyem_snapshot.errors import ConfigError
from flyem_snapshot.inputs.dvid_seg_settings import DvidSegSettings
from flyem_snapshot.outputs.meshes import check_meshes
from flyem_snapshot.outputs.meshes_settings import MeshesSettings
from flyem_snapshot.outputs.skeletons import check_skeletons
from flyem_snapshot.outputs.skeletons_settings import SkeletonsSettings
from flyem_snapshot.sources.dvid import connections
from tests.dvid_double import DvidDouble

JOB = "job-settings: {snapshot-tag: v1}\n"


@pytest.fixture(scope="module")
def model():
    return config_model(
        [
            ("inputs", "dvid-seg", DvidSegSettings),
            ("outputs", "skeletons", SkeletonsSettings),
            ("outputs", "meshes", MeshesSettings),
        ]
    )


@pytest.fixture
def load(model, tmp_path):
    def load_text(text):
        path = tmp_path / "config.yaml"
        path.write_text(text + JOB)
        return load_config(path, model)

    return load_text


@pytest.fixture
def complaint(load, tmp_path):
    def message(text):
        with pytest.raises(ConfigError) as caught:
            load(text)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message


def test_the_defaults(load):
    config = resolve(load("outputs: {skeletons: {a: {}}, meshes: {a: {}}}\n")).outputs
    assert config.skeletons.processes == config.meshes.processes == 16
    assert (config.skeletons.entries, config.meshes.entries) == ({}, {})

    config = resolve(load("outputs: {skeletons: {a: {export-skeletons: true}}, meshes: {a: {export-meshes: true}}}\n"))
    assert config.outputs.skeletons.entries["a"].coordinate_resolution_nm == (0, 0, 0)
    assert config.outputs.meshes.entries["a"].exclude_statuses == ("Unimportant", "Glia")


def test_sections_of_existing_files_that_ask_for_nothing_are_accepted(load):
    load(
        """\
outputs:
  skeletons:
    processes:
    seg: {export-skeletons: false, dvid: {server: '', uuid: '', instance: ''}, coordinate-resolution-nm: [0, 0, 0]}
  meshes: {}
"""
    )


def test_server_and_version_are_those_of_the_segmentation_unless_given(load):
    text = """\
inputs: {dvid-seg: {server: 'http://main', uuid: abc}}
outputs: {skeletons: {a: {export-skeletons: true}, b: {export-skeletons: true, dvid: {uuid: def, instance: own}}}}
"""
    entries = resolve(load(text)).outputs.skeletons.entries
    assert [(e.dvid.server, e.dvid.uuid, e.dvid.instance) for e in entries.values()] == [
        ("http://main", "abc", None),
        ("http://main", "def", "own"),
    ]


@pytest.mark.parametrize(
    ("entry", "column", "field", "message", "hint"),
    [
        (
            "skeletons: {a: {coordinate-resolution-nm: [8, 8]}}",
            27,
            "skeletons.a.coordinate-resolution-nm",
            "must be three positive numbers, not [8, 8]",
            "write nanometers along x, y and z, or [0, 0, 0] for the voxel size of the segmentation",
        ),
        (
            "skeletons: {a: {coordinate-resolution-nm: [8, 8, 0]}}",
            27,
            "skeletons.a.coordinate-resolution-nm",
            "must be three positive numbers, not [8, 8, 0]",
            "write nanometers along x, y and z, or [0, 0, 0] for the voxel size of the segmentation",
        ),
        (
            "skeletons: {a/b: {}}",
            23,
            "skeletons.a/b",
            "becomes the name of a folder, skeletons-<name>: write letters and digits",
            "",
        ),
        (
            "meshes: {a: {exclude-statuses: [Gila]}}",
            43,
            "meshes.a.exclude-statuses.0",
            "'Gila' is not a known status",
            "did you mean 'Glia'?",
        ),
        (
            "meshes: {a: {export-meshes: true}, b: {export-meshes: true}}",
            46,
            "meshes.b",
            "says the same as 'a': one would be the copy of the other",
            "remove one",
        ),
        ("skeletons: {a: {}, a: {}}", 30, "skeletons.a", "given twice; it is also on line 1", ""),
    ],
)
def test_what_is_refused_and_where(complaint, entry, column, field, message, hint):
    expected = f"config.yaml:1:{column}: outputs.{field}: {message}" + (f"\n  hint: {hint}" if hint else "")
    assert complaint(f"outputs: {{{entry}}}\n") == expected


def test_the_template_shows_an_entry(model):
    assert "# all:" in verbose_yaml(model)
    assert json_schema(model)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, ["main.dvid.server", "main.coordinate-resolution-nm"]),
        ({"dvid": {"server": "s", "uuid": "u"}, "coordinate-resolution-nm": [8, 8, 8]}, ["main.dvid.instance"]),
        ({"dvid": "store"}, ["main.coordinate-resolution-nm"]),
        ({"dvid": "store", "coordinate-resolution-nm": [8, 8, 8]}, []),
    ],
)
def test_what_would_fail_later_is_found_before_the_run(model, entry, expected):
    with DvidDouble() as dvid:
        repo = dvid.new_repo("brain")
        repo.keyvalue("store")
        if entry.get("dvid") == "store":
            entry = entry | {"dvid": {"server": dvid.url, "uuid": repo.root, "instance": "store"}}
        config = model.model_validate({"outputs": {"skeletons": {"main": {"export-skeletons": True, **entry}}}})
        found = check_skeletons(config.outputs.skeletons, config)
        connections.forget()
    assert [".".join(error.field) for error in found] == expected


def test_an_instance_that_is_not_there_is_found_before_the_run(model):
    with DvidDouble() as dvid:
        repo = dvid.new_repo("brain")
        repo.keyvalue("meshes")
        own = {"server": dvid.url, "uuid": repo.root, "instance": "mesh"}
        config = model.model_validate({"outputs": {"meshes": {"main": {"export-meshes": True, "dvid": own}}}})
        (found,) = check_meshes(config.outputs.meshes, config)
        connections.forget()
    assert (found.message.partition(": ")[2], found.hint) == (
        "the repository has no instance 'mesh'",
        "did you mean 'meshes'?",
    )
