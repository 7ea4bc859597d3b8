"""Synapses are written once each, with what is known of them, grouped by ROI."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.outputs.neuprint import point_files
from flyem_snapshot.outputs.neuprint.point_files import write_points
from flyem_snapshot.outputs.neuprint.points import synapse_nodes, write_synapse_connections
from flyem_snapshot.tables.points import encode
from tests.outputs.neuprint.scopes import make_scope, read, rois, rows

NODES = "Neuprint_Synapses/*"
LOCATION = "location:point{srid:9157}"
FIRST, SECOND, THIRD = (1 << 42 | 2 << 21 | x for x in (10, 11, 12))


def synapses(ids=(FIRST, SECOND, THIRD), combos=(0, 1, 1), **extra):
    n = len(ids)
    kinds = ["PreSyn", *["PostSyn"] * (n - 1)]
    given = {"point_id": list(ids), "kind": kinds, "conf": [0.5, math.nan, 0.7][:n], "body": [5, 2**53 + 1, 7][:n]}
    return {**given, **extra, "roi_combo": list(combos)}


PLAIN = {
    ":ID(Element-ID)": str(FIRST),
    "type:string": "pre",
    "confidence:float": "0.5",
    "bodyId:long": "5",
    ":Label": "Synapse;ds_Synapse;Element;ds_Element",
    LOCATION: "{x:10, y:2, z:1}",
}


def write_synapses(scope):
    write_points(scope, synapse_nodes(scope))


def test_each_synapse_has_its_properties_and_the_flags_of_its_rois(tmp_path):
    scope = make_scope(tmp_path, points=synapses(), assigned=rois(primary=["ME", "LO"], layer=[None, "LO 1"]))
    write_synapses(scope)

    flags = {"LO:boolean": "true", "LO 1:boolean": "true"}
    second = {":ID(Element-ID)": str(SECOND), "bodyId:long": "9007199254740993", LOCATION: "{x:11, y:2, z:1}"}
    third = {":ID(Element-ID)": str(THIRD), "bodyId:long": "7", LOCATION: "{x:12, y:2, z:1}", "confidence:float": "0.7"}
    without_confidence = {key: cell for key, cell in PLAIN.items() if key != "confidence:float"}
    assert read(tmp_path, NODES) == {
        "000000": [
            without_confidence | second | {"type:string": "post"} | flags,
            PLAIN | third | {"type:string": "post"} | flags,
        ],
        "000001": [PLAIN | {"ME:boolean": "true"}],
    }


def test_the_bytes_are_what_the_importer_expects(tmp_path):
    points = synapses([FIRST], [0], compartment=["a,x"], near=[1])
    write_synapses(make_scope(tmp_path, points=points, assigned=rois(primary=["O'Brien, (L)"])))

    assert (tmp_path / "neuprint/Neuprint_Synapses/000000.csv").read_text() == (
        ":ID(Element-ID),type:string,confidence:float,bodyId:long,compartment:string,near:int,:Label,"
        'location:point{srid:9157},"O\'Brien, (L):boolean"\n'
        f'{FIRST},pre,0.5,5,"a,x",1,Synapse;ds_Synapse;Element;ds_Element,"{{x:10, y:2, z:1}}",true\n'
    )


def test_negative_coordinates_are_written(tmp_path):
    (point,) = encode(np.array([-7]), np.array([-1]), np.array([0])).tolist()
    write_synapses(make_scope(tmp_path, points=synapses([point], [0])))

    assert rows(tmp_path, NODES)[0][LOCATION] == "{x:-7, y:-1, z:0}"


def test_internal_columns_and_those_of_rois_are_not_exported(tmp_path):
    points = synapses(sv=[1, 2, 3], split=["train", "test", None], layer_label=[1, 2, 3], primary=["a", "b", "c"])
    scope = make_scope(
        tmp_path,
        points=points,
        assigned=rois(primary=["ME", "LO"], layer=["L1", None]),
        **{"roi-set-names": ["primary"]},
    )
    write_synapses(scope)

    names = {name for row in rows(tmp_path, NODES) for name in row}
    assert names == {*PLAIN, "ME:boolean", "LO:boolean"}


def test_without_roi_sets_there_is_one_file(tmp_path):
    write_synapses(make_scope(tmp_path, points=synapses(combos=[0, 0, 0])))

    assert [row[":ID(Element-ID)"] for row in read(tmp_path, NODES)["000000"]] == [str(FIRST), str(SECOND), str(THIRD)]


def test_without_synapses_there_is_no_file(tmp_path):
    write_synapses(make_scope(tmp_path))

    assert read(tmp_path, NODES) == {}


def test_properties_are_computed_from_labels_where_there_is_an_roi(tmp_path):
    formulas = {"layer": {"layerNumber": "x * 10", "large": "x * 3000000000"}, "column": {"layerNumber": "0 - x"}}
    assigned = rois(primary=["ME", "ME", "ME"], layer=["b", None, "a"], column=[None, None, None])
    write_synapses(
        make_scope(
            tmp_path,
            points=synapses(combos=[0, 1, 2]),
            assigned=assigned,
            **{"roi-synapse-properties": formulas, "roi-set-names": ["primary"]},
        )
    )

    names = ("layerNumber:int", "large:long")
    computed = {
        row[":ID(Element-ID)"]: {name: row[name] for name in names if name in row} for row in rows(tmp_path, NODES)
    }
    assert computed == {
        str(FIRST): {"layerNumber:int": "20", "large:long": "6000000000"},
        str(SECOND): {},
        str(THIRD): {"layerNumber:int": "10", "large:long": "3000000000"},
    }


def failing(tmp_path, match, error=DataError, **settings):
    extra = settings.pop("extra", {})
    scope = make_scope(
        tmp_path,
        points=synapses(**extra),
        assigned=rois(primary=["ME", "LO"], layer=["L1", None]),
        **settings,
    )
    with pytest.raises(error, match=match):
        write_synapses(scope)
    assert read(tmp_path, NODES) == {}


def test_two_roi_sets_may_not_give_one_synapse_the_same_property(tmp_path):
    formulas = {"layer": {"number": "x"}, "primary": {"number": "x + 1"}}
    failing(tmp_path, "'layer' and 'primary' both give property 'number'", **{"roi-synapse-properties": formulas})


def test_a_formula_that_fails_for_a_label_is_an_error_of_the_settings(tmp_path):
    formulas = {"layer": {"number": "5 // (x - 1)"}}
    failing(tmp_path, "layer.number: .* divides by zero", SettingError, **{"roi-synapse-properties": formulas})


def test_a_computed_number_beyond_64_bits_is_an_error_of_the_settings(tmp_path):
    formulas = {"layer": {"number": f"x * {2**62} * 2"}}
    failing(tmp_path, "64-bit", SettingError, **{"roi-synapse-properties": formulas})


@pytest.mark.parametrize("name", ["ME", "L1", "type", "confidence", "bodyId", "location", "number", "a:int"])
def test_a_column_may_not_have_the_name_of_something_else(tmp_path, name):
    formulas = {"layer": {"number": "x"}}
    extra = {"extra": {name: [1, 2, 3]}}
    failing(tmp_path, f"synapses: column '{name}'", **extra, **{"roi-synapse-properties": formulas})


@pytest.mark.parametrize("name", ["ME", "type"])
def test_a_computed_property_may_not_have_the_name_of_something_else(tmp_path, name):
    failing(tmp_path, f"roi-synapse-properties: column '{name}'", **{"roi-synapse-properties": {"layer": {name: "x"}}})


REGIONS = st.lists(st.tuples(st.sampled_from("ABC"), st.none() | st.sampled_from("xyz")), min_size=1, max_size=12)


@settings(max_examples=40)
@given(REGIONS, st.data(), st.integers(1, 4), st.sampled_from([None, "gzip"]))
def test_every_synapse_is_written_once_with_exactly_its_flags(tmp_path_factory, regions, data, files, compress):
    root = tmp_path_factory.mktemp("points")
    combos = data.draw(st.lists(st.integers(0, len(regions) - 1), min_size=1, max_size=40))
    ids = [1000 + i for i in range(len(combos))]
    points = {
        "point_id": ids,
        "kind": pa.array(["PreSyn"] * len(ids)),
        "conf": [0.5] * len(ids),
        "body": [1] * len(ids),
        "roi_combo": combos,
    }
    assigned = rois(big=[a for a, _ in regions], small=[b for _, b in regions])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(point_files, "MAX_FILES", files)
        patch.setattr(point_files, "_OF_THEIR_OWN", files // 2)
        formulas = {"roi-synapse-properties": {"small": {"n": "x"}}}
        write_synapses(make_scope(root, points=points, assigned=assigned, compress=compress, **formulas))

    found = read(root, NODES)
    assert len(found) <= files
    for members in found.values():
        written = [int(row[":ID(Element-ID)"]) for row in members]
        assert written == sorted(written)
    flags = {
        int(row[":ID(Element-ID)"]): ({k for k in row if k.endswith(":boolean")}, row.get("n:int"))
        for row in (row for members in found.values() for row in members)
    }
    labels = {roi: str(label) for label, roi in enumerate(sorted({b for _, b in regions if b}), start=1)}
    assert flags == {
        i: ({f"{roi}:boolean" for roi in regions[combo] if roi}, labels.get(regions[combo][1]))
        for i, combo in zip(ids, combos, strict=True)
    }
    assert sum(map(len, found.values())) == len(ids)


def test_connections_of_synapses_are_in_input_order(tmp_path):
    partners = {"pre_id": [2**63 + 5, 3, 4], "post_id": [9, 8, 2**64 - 1]}
    write_synapse_connections(make_scope(tmp_path, partners=partners))

    assert (tmp_path / "neuprint/Neuprint_Synapse_Connections.csv").read_text() == (
        f":START_ID(Element-ID),:END_ID(Element-ID)\n{2**63 + 5},9\n3,8\n4,{2**64 - 1}\n"
    )
