"""`--check` reads headers and settings only, and tells at once everything in them that would make a run fail."""

from __future__ import annotations

import json
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest

from flyem_snapshot.cli.main import main
from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.elements import load_elements
from flyem_snapshot.inputs.elements_settings import ElementsSettings
from tests import tiny
from tests.contexts import make_context
from tests.running import run
from tests.tiny import annotations, partners, points

RENAMED = "inputs.annotations.rename-annotation-columns.type"
NO_COLUMN = "is read from the point table, which has no column"
ELEMENTS = pd.DataFrame({"x": [5, 6], "y": [1, 1], "z": [1, 1], "body": [11, 12], "type": ["mito", "mito"]})
DISTANCES = pd.DataFrame(
    {f"{end}_{axis}": [1, 2] for end in ("source", "target") for axis in "xyz"} | {"distance": [0.5, 1.5]}
)


def put(folder, name, table):
    folder.mkdir(parents=True, exist_ok=True)
    pa.feather.write_feather(pa.Table.from_pandas(table, preserve_index=False), folder / name)


def check(config, capsys):
    """Exit code, stdout, and the lines of stderr without the folder."""
    code = main(["-c", str(config), "--check"])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.replace(f"{config.parent}/", "").splitlines()


def test_a_sound_config_says_so_and_nothing_is_written(tmp_path):
    put(tmp_path, "mito.feather", ELEMENTS)
    put(tmp_path, "distances.feather", DISTANCES)
    put(tmp_path, "sizes.feather", pd.DataFrame({"body": [1], "size": [2]}))
    config = tiny.write(
        tmp_path,
        **{
            "inputs.elements": {
                "mito": {
                    "point-table": "mito.feather",
                    "distance-table": "distances.feather",
                    "roi-set-names": [],
                }
            },
            "inputs.body-sizes": {"load-sizes": True, "cache-file": "sizes.feather"},
        },
    )
    before = sorted(tmp_path.iterdir())

    finished = run("-c", config, "--check")

    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == f"{config}: no problems found\n"
    assert sorted(tmp_path.iterdir()) == before


def test_all_problems_of_all_files_and_settings_are_told_at_once(tmp_path, capsys):
    put(tmp_path, "mito.feather", ELEMENTS.drop(columns=["type", "body"]).astype({"x": float}))
    put(tmp_path, "distances.feather", DISTANCES.drop(columns="source_x").assign(distance="near"))
    put(tmp_path, "sizes.feather", pd.DataFrame({"body": ["a"]}))
    (tmp_path / "rois.json").write_text('["a", "b:c"]')
    config = tiny.write(
        tmp_path,
        points=points().drop(columns=["kind", "primary"]).assign(conf="high"),
        partners=partners().astype(float),
        annotations=annotations().drop(columns="body"),
        **{
            "inputs.annotations.rename-annotation-columns": {"type": "class"},
            "inputs.rois.roi-sets.more": {"source": "point-table", "rois": "rois.json"},
            "inputs.elements": {"mito": {"point-table": "mito.feather", "distance-table": "distances.feather"}},
            "inputs.body-sizes": {"load-sizes": True, "cache-file": "sizes.feather"},
            "outputs.flat-connectome.gcs-bucket-dir": "nowhere://bucket",
        },
    )

    code, out, err = check(config, capsys)

    assert (code, out) == (2, "")
    hints = [line for line in err if line.startswith("  hint: ")]
    assert [line for line in err if line not in hints] == [
        f"flyem-snapshot: config.yaml:4:33: {RENAMED}: two columns would be called 'class': 'type' and 'class'",
        "config.yaml:22:46: outputs.flat-connectome.gcs-bucket-dir: nothing is known of a store nowhere://",
        "annotations.feather: there is no column 'body'",
        "rois.json: roi-set 'more': the ROI name 'b:c' contains a colon",
        "points.feather: there is no column 'kind' (PreSyn or PostSyn)",
        "points.feather: column 'conf': is of type large_string, but must be a number",
        "partners.feather: column 'pre_id': is of type double, but must be an integer",
        "partners.feather: column 'post_id': is of type double, but must be an integer",
        "mito.feather: there is no column 'body' (the neuron the element is on)",
        "mito.feather: there is no column 'type' (what the element is; or set inputs.elements.mito.type)",
        "mito.feather: column 'x': is of type double, but must be an integer",
        "distances.feather: there is no column 'source_x' (a coordinate of the source)",
        "distances.feather: column 'distance': is of type large_string, but must be a number",
        "sizes.feather: there is no column 'size' (its number of voxels)",
        "sizes.feather: column 'body': must hold whole numbers, but holds large_string",
    ]
    assert len(hints) == 15, "each has a remedy"


def test_a_missing_file_does_not_hide_what_is_wrong_with_the_others(tmp_path, capsys):
    config = tiny.write(tmp_path, points=None, partners=partners().rename(columns={"pre_id": "pre"}))

    code, _, err = check(config, capsys)

    assert code == 2
    assert err == [
        "flyem-snapshot: config.yaml:12:54: inputs.synapses.synapse-points: there is no file points.feather",
        "  hint: did you mean partners.feather or annotations.feather?",
        "partners.feather: there is no column 'pre_id' (the T-bar's point id)",
        "  hint: its columns are: pre, post_id",
    ]


def test_roi_sets_that_find_no_column_are_all_named(tmp_path, capsys):
    code, _, err = check(tiny.write(tmp_path, points=points().drop(columns=["primary", "layer_label"])), capsys)

    assert code == 1
    assert [line for line in err if "hint" not in line] == [
        f"flyem-snapshot: points.feather: roi-set 'layer' {NO_COLUMN} 'layer' or 'layer_label'",
        f"points.feather: roi-set 'primary' {NO_COLUMN} 'primary' or 'primary_label'",
    ]


def test_clashes_within_the_settings_are_found_before_any_point_is_read(tmp_path, capsys):
    (tmp_path / "rois.json").write_text(json.dumps({"ME(R)": 1, "O'Brien (L)": 2}))
    config = tiny.write(
        tmp_path,
        **{
            "inputs.rois.roi-sets": {
                "layer": {"source": "point-table", "rois": {"ME(R)": 101, "layer 2": 102}},
                "primary": {"source": "point-table", "rois": "rois.json"},
                "union": {
                    "source": "unions-of-subrois",
                    "union-source-roiset": "layer",
                    "rois": {"both": ["layer 1", "layer 2"]},
                },
            }
        },
    )

    code, _, err = check(config, capsys)

    assert code == 2
    assert [line.split(": ")[-1] for line in err if "hint" not in line] == [
        "the ROI 'ME(R)' is in two roi-sets, 'layer' and 'primary'",
        "'layer' does not list 'layer 1'",
    ]


def test_a_roi_set_that_no_table_uses_clashes_with_none(tmp_path, capsys):
    config = tiny.write(
        tmp_path,
        **{
            "inputs.rois.roi-sets.primary.rois": ["ME(R)", "O'Brien (L)"],
            "inputs.rois.roi-sets.other": {"source": "point-table", "rois": ["ME(R)"]},
            "inputs.synapses.roi-set-names": ["primary", "layer"],
        },
    )

    assert check(config, capsys)[0] == 0


@pytest.mark.parametrize("scheme", ["gs://bucket", "bucket"])
def test_a_store_without_its_library_is_told_before_the_work(scheme, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    config = tiny.write(tmp_path, **{"outputs.flat-connectome.gcs-bucket-dir": scheme})

    code, _, err = check(config, capsys)

    assert code == 2
    assert err[0].startswith(
        "flyem-snapshot: config.yaml:16:46: outputs.flat-connectome.gcs-bucket-dir: "
        "uploading to gs:// needs a library that is not installed: "
    )
    assert err[1].startswith("  hint: install flyem-snapshot[gcs] for gs://")


def test_a_store_that_is_there_is_no_problem(tmp_path, capsys):
    config = tiny.write(tmp_path, **{"outputs.flat-connectome.gcs-bucket-dir": f"file://{tmp_path}/bucket"})

    assert check(config, capsys)[0] == 0


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (ELEMENTS.drop(columns="body"), "there is no column 'body' (the neuron the element is on)"),
        (ELEMENTS.drop(columns="type"), "there is no column 'type' (what the element is; or set "),
        (ELEMENTS.drop(columns="x"), "there is neither a column 'point_id' nor columns 'x', 'y', 'z'"),
        (ELEMENTS.astype({"body": float}), "column 'body': is of type double, but must be an integer"),
        (ELEMENTS.assign(type=["mito", None]), "column 'type': is null (1 row); first: row 1: None"),
        (ELEMENTS.assign(x=2**21), "column 'x': is outside -1048576 .. 1048575 (2 rows); first: row 0: 2097152"),
        (ELEMENTS.assign(body=-3), "column 'body': is negative (2 rows); first: row 0: -3, row 1: -3"),
        (ELEMENTS.iloc[:0], "the table has no rows"),
    ],
)
def test_faulty_elements_are_refused_when_they_are_read(table, says, tmp_path):
    put(tmp_path, "mito.feather", table)
    config = ElementsSettings.model_validate({"mito": {"point-table": tmp_path / "mito.feather"}})
    context = make_context(tmp_path, "elements")

    with pytest.raises(DataError) as caught, context.engine:
        load_elements(config, context, rois=None, synapses=None, dvid_seg=None)

    assert str(caught.value).startswith(f"{tmp_path}/mito.feather: {says}")
    assert caught.value.hint
    assert not list(tmp_path.rglob("*.parquet"))


def test_elements_on_body_0_are_counted_in_a_csv_too(tmp_path):
    """A CSV does not say how many rows it has."""
    (tmp_path / "mito.csv").write_text("x,y,z,body,type\n5,1,1,11,mito\n6,1,1,0,mito\n7,1,1,0,mito\n")
    config = ElementsSettings.model_validate({"mito": {"point-table": tmp_path / "mito.csv"}})
    context = make_context(tmp_path, "elements")

    with context.engine as engine:
        engine.execute("CREATE VIEW synapse_points AS SELECT 0::UBIGINT AS point_id")
        elements = load_elements(config, context, rois=None, synapses=None, dvid_seg=None)

    assert elements.sets["mito"].num_points == 1
    assert [(e.table, e.reason, e.rows) for e in context.exclusions.entries] == [("elements 'mito'", "on body 0", 2)]
