from __future__ import annotations

import csv
import gzip
import json
import logging
from dataclasses import replace

import pytest
from ruamel.yaml import YAML

from flyem_snapshot.errors import SettingError
from flyem_snapshot.outputs.neuprint.meta import MAX_CHOICES, MetaFacts, refuse_bad_meta, write_meta
from flyem_snapshot.outputs.neuprint.meta_settings import MetaSettings
from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings
from tests.contexts import make_context

HEADER = (
    "dataset:string,tag:string,voxelSize:float[],voxelUnits:string,info:string,logo:string,description:string,"
    "postHighAccuracyThreshold:float,preHPThreshold:float,postHPThreshold:float,primaryRois:string[],"
    "nonHierarchicalROIs:string[],overviewRois:string[],overviewOrder:string,neuronColumnsVisible:string,uuid:string,"
    "latestMutationId:long,lastDatabaseEdit:string,superLevelRois:string[],totalPreCount:int,totalPostCount:int,"
    "neuronProperties:string,roiHierarchy:string,roiInfo:string,neuronColumnsOrdered:string,meshHost:string,:Label,"
    "hideDataSet:boolean"
)
META = {
    "dataset": "toy",
    "tag": "v1",
    "description": 'the "toy", with umlaut ü',
    "roiHierarchy": {"CNS": {"OL(R)": ["ME(R)", "LO(R)"], "FB": None, "SAD": None}},
    "roiDescriptions": {"FB": "fan-shaped body"},
    "nerveRois": ["SAD"],
    "excludeFromOverview": ["SAD"],
}
FACTS = MetaFacts(
    segment_types={"type": "string", "status": "string", "somaLocation": "point{srid:9157}"},
    roi_totals={"ME(R)": (1, 2), "FB": (3, 4)},
    total_pre=5,
    total_post=7,
    choices={"status": ["Anchor", "Traced"]},
)


def settings(meta=META, **others):
    return NeuprintSettings.model_validate({"meta": meta, **others})


@pytest.fixture
def written(tmp_path):
    def write(facts=FACTS, compress=None, **meta):
        write_meta(settings(META | meta, compress=compress), make_context(tmp_path), facts)
        name = tmp_path / "neuprint" / "Neuprint_Meta.csv"
        text = (
            gzip.decompress(name.with_name(f"{name.name}.gz").read_bytes()).decode() if compress else name.read_text()
        )
        (row,) = csv.DictReader(text.splitlines())
        return row

    return write


def test_the_columns_have_their_order_and_types(written, tmp_path):
    written()

    assert (tmp_path / "neuprint" / "Neuprint_Meta.csv").read_text().splitlines()[0] == HEADER


def test_values_and_lists_are_written_as_the_importer_reads_them(written):
    row = written()

    assert row["dataset:string"] == "toy"
    assert row["description:string"] == 'the "toy", with umlaut ü'
    assert row["voxelSize:float[]"] == "8.0;8.0;8.0"
    assert row["hideDataSet:boolean"] == "false"
    assert row[":Label"] == "Meta;toy_Meta"
    assert (row["totalPreCount:int"], row["totalPostCount:int"]) == ("5", "7")
    assert (row["uuid:string"], row["latestMutationId:long"], row["lastDatabaseEdit:string"]) == (
        "unknown",
        "0",
        "unknown",
    )
    assert (row["meshHost:string"], row["nonHierarchicalROIs:string[]"], row["logo:string"]) == ("", "", "")


def test_clients_learn_which_properties_of_synapses_speak_of_neurotransmitters(written, tmp_path):
    row = written(replace(FACTS, synapse_nt_types={"ntGabaProb": "float", "ntUnknownProb": "float"}))

    assert json.loads(row["ntSynapseProperties:string"]) == {"ntGabaProb": "float", "ntUnknownProb": "float"}
    debug = json.loads((tmp_path / "neuprint" / "Neuprint_Meta_debug.json").read_text())
    assert debug["ntSynapseProperties"] == {"ntGabaProb": "float", "ntUnknownProb": "float"}


def test_empty_primary_rois_are_filled_with_the_rois_below_the_root(written):
    row = written()

    assert row["primaryRois:string[]"] == row["superLevelRois:string[]"] == "OL(R);FB;SAD"


def test_a_run_without_roi_sets_has_the_root_as_its_only_primary_roi(written):
    bare = {"roiDescriptions": {}, "nerveRois": [], "excludeFromOverview": [], "roiHierarchy": {"CNS": None}}
    row = written(MetaFacts({}, {}, 1, 1, {}), **bare)

    assert row["superLevelRois:string[]"] == row["overviewRois:string[]"] == "CNS"
    assert list(json.loads(row["roiInfo:string"])) == ["CNS"]
    assert json.loads(row["roiHierarchy:string"]) == {"name": "CNS"}


def test_overview_rois_are_the_primary_ones_without_the_excluded_unless_given(written):
    assert written()["overviewRois:string[]"] == "OL(R);FB"
    assert written(overviewRois=["SAD"])["overviewRois:string[]"] == "SAD"


def test_roi_info_has_every_roi_of_the_data_and_the_hierarchy_but_no_mere_heading(written):
    info = json.loads(written()["roiInfo:string"])

    assert list(info) == ["FB", "LO(R)", "ME(R)", "OL(R)", "SAD"]
    assert info["FB"] == {
        "description": "fan-shaped body",
        "excludeFromOverview": False,
        "isNerve": False,
        "isPrimary": True,
        "parent": "CNS",
        "post": 4,
        "pre": 3,
    }
    assert (info["LO(R)"]["pre"], info["LO(R)"]["post"], info["LO(R)"]["parent"]) == (0, 0, "OL(R)")
    assert (info["SAD"]["isNerve"], info["SAD"]["excludeFromOverview"]) == (True, True)


def test_the_hierarchy_is_nested_names_and_leaves_have_no_children(written):
    assert json.loads(written()["roiHierarchy:string"]) == {
        "name": "CNS",
        "children": [
            {"name": "OL(R)", "children": [{"name": "ME(R)"}, {"name": "LO(R)"}]},
            {"name": "FB"},
            {"name": "SAD"},
        ],
    }


def test_neuron_properties_are_the_header_types(written):
    assert json.loads(written()["neuronProperties:string"]) == dict(FACTS.segment_types)


def test_columns_are_described_with_choices_from_the_data(written, caplog):
    columns = json.loads(written()["neuronColumnsOrdered:string"])

    assert columns == [
        {"id": "bodyId", "name": "body ID", "choices": None, "searchable": True, "visible": True},
        {"id": "type", "name": "type", "choices": None, "searchable": True, "visible": True},
        {"id": "status", "name": "status", "choices": ["Anchor", "Traced"], "searchable": True, "visible": True},
    ]
    assert "class" not in caplog.text


def test_what_users_mistake_for_partners_is_described(written):
    ids = ["upstream", "downstreamPartners", "type"]
    columns = json.loads(written(neuronColumnsOrdered=[{"id": name} for name in ids])["neuronColumnsOrdered:string"])

    assert "not of partner bodies" in columns[0]["description"]
    assert "bodies" in columns[1]["description"]
    assert "description" not in columns[2]
    own = json.loads(
        written(neuronColumnsOrdered=[{"id": "upstream", "description": "mine"}])["neuronColumnsOrdered:string"]
    )
    assert own[0]["description"] == "mine"


def test_too_many_choices_are_left_out_with_a_warning_and_an_unknown_column_is_kept(written, caplog):
    given = [{"id": "type", "choices": "auto"}, {"id": "other", "choices": "auto"}, {"id": "roiHeatMap"}]
    facts = MetaFacts(FACTS.segment_types, {}, 0, 0, {"type": [f"t{i}" for i in range(MAX_CHOICES + 1)]})
    with caplog.at_level(logging.WARNING):
        columns = json.loads(written(facts, neuronColumnsOrdered=given)["neuronColumnsOrdered:string"])

    assert [column["choices"] for column in columns] == [None, "auto", None]
    assert "'type' has 1,001 different values" in caplog.text
    assert "no neuron has a property 'other'" in caplog.text
    assert "roiHeatMap" not in caplog.text


def test_counts_beyond_32_bits_are_long(written):
    assert written(MetaFacts({}, {}, 1, 2**31, {}))["totalPostCount:long"] == str(2**31)


def test_a_roi_set_takes_the_place_of_its_name(written, tmp_path):
    facts = MetaFacts({}, {"L1": (1, 1)}, 1, 1, {}, {"layers": ("L1", "L2")})
    tree = {"CNS": {"FB": "roiset://layers", "SAD": None}}
    row = written(facts, roiHierarchy=tree, primaryRois=["FB", "L2"])

    assert json.loads(row["roiHierarchy:string"])["children"][0]["children"] == [{"name": "L1"}, {"name": "L2"}]
    assert list(json.loads(row["roiInfo:string"])) == ["FB", "L1", "L2", "SAD"]
    resolved = YAML(typ="safe", pure=True).load(tmp_path / "neuprint-meta.yaml")
    assert resolved["roiHierarchy"] == {"CNS": {"FB": {"L1": None, "L2": None}, "SAD": None}}


def test_the_resolved_settings_load_again_and_say_the_same(written, tmp_path):
    written()
    resolved = YAML(typ="safe", pure=True).load(tmp_path / "neuprint-meta.yaml")

    assert MetaSettings.model_validate(resolved).primary_rois == ("OL(R)", "FB", "SAD")
    assert not list(MetaSettings.model_validate(resolved).problems())


def test_the_debug_file_has_the_same_as_json(written, tmp_path):
    written()
    debug = json.loads((tmp_path / "neuprint" / "Neuprint_Meta_debug.json").read_text())

    assert debug["roiInfo"]["FB"]["pre"] == 3
    assert (debug[":Label"], debug["voxelSize"]) == ("Meta;toy_Meta", [8.0, 8.0, 8.0])


def test_the_file_may_be_compressed(written):
    assert written(compress="gzip")["dataset:string"] == "toy"


@pytest.mark.parametrize(
    ("meta", "rois", "roi_sets", "words"),
    [
        ({}, ["FB", "NEW", "ODD"], {}, "lacks ROIs of the data: NEW, ODD"),
        ({"roiHierarchy": {"CNS": "roiset://layer"}}, [], {"layers": ()}, "there is no roi-set 'layer'"),
        (
            {"roiHierarchy": {"CNS": {"FB": "roiset://layers"}}},
            [],
            {"layers": ("L1", "FB")},
            "has ROIs in two places: FB",
        ),
        (
            {"roiHierarchy": {"CNS": {"FB": "roiset://layers"}}, "primaryRois": ["L3"]},
            [],
            {"layers": ("L1",)},
            "'L3' is neither",
        ),
    ],
)
def test_a_meta_file_that_does_not_fit_the_data_is_refused(meta, rois, roi_sets, words):
    bare = {"dataset": "toy", "roiHierarchy": META["roiHierarchy"]}
    with pytest.raises(SettingError) as caught:
        refuse_bad_meta(settings(bare | meta), rois, roi_sets)

    assert words in str(caught.value)
    assert caught.value.field[0] == "meta"


def test_nothing_is_written_for_a_meta_file_that_does_not_fit(tmp_path):
    facts = MetaFacts({}, {"NEW": (1, 1)}, 1, 1, {})
    with pytest.raises(SettingError, match="NEW"):
        write_meta(settings(), make_context(tmp_path), facts)

    assert not (tmp_path / "neuprint").exists()


def test_rois_of_the_data_may_be_listed_as_non_hierarchical():
    refuse_bad_meta(settings(META | {"nonHierarchicalROIs": ["NEW"]}), ["NEW"])
