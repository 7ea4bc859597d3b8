"""Elements, their distances and the sets that contain them."""

import pyarrow as pa
import pytest

from flyem_snapshot.errors import DataError
from flyem_snapshot.outputs.neuprint.elements import element_files, write_elements
from tests.outputs.neuprint.scopes import make_scope, read, rois, rows

S, T = 1001, 1002  # synapses
ID, LOCATION = ":ID(Element-ID)", "location:point{srid:9157}"


def synapses():
    return {"point_id": [S, T], "kind": ["PreSyn", "PostSyn"], "conf": [0.5, 0.5], "body": [1, 2], "roi_combo": [0, 0]}


def mitos(ids=(10, 11, 12), types=("mito", "mito", "mito"), bodies=(1, 2, 1), combos=(0, 0, 0), **extra):
    return {"point_id": list(ids), "type": list(types), "body": list(bodies), **extra, "roi_combo": list(combos)}


def write(root, *tables, **settings):
    """Write element tables given as (name, columns[, distances[, rois]])."""
    elements = []
    for name, columns, *rest in tables:
        distances, assigned = (*rest, None, None)[:2]
        elements.append((name, assigned or rois(), columns, distances))
    scope = make_scope(root, points=synapses(), elements=elements, segments=[1, 2], **settings)
    write_elements(scope, element_files(scope))
    return scope


def test_an_element_has_the_columns_of_its_table_in_their_order(tmp_path):
    columns = {
        "point_id": [10],
        "size": [7],
        "body": [2**53 + 1],
        "nearLocation": ["1,2,3"],
        "type": ["a, b"],
        "locationType": ["soma"],
        "sv": [5],
        "roi_combo": [0],
    }
    write(tmp_path, ("my mito", columns, None, rois(primary=["ME"])), **{"element-labels": {"my mito": ":Mito"}})

    assert (tmp_path / "neuprint/Neuprint_Elements/my%20mito/000000.csv").read_text() == (
        ":ID(Element-ID),size:long,bodyId:long,nearLocation:point{srid:9157},type:string,locationType:string,"
        ":Label,location:point{srid:9157},ME:boolean\n"
        '10,7,9007199254740993,"{x:1, y:2, z:3}","a, b",soma,Element;ds_Element;Mito;ds_Mito,"{x:10, y:0, z:0}",true\n'
    )


def test_booleans_and_fractions_keep_their_values(tmp_path):
    write(tmp_path, ("e", mitos(good=[True, False, None], score=[0.396, 1.25, 5.0], count=[1.0, None, 3.0])))

    found = [{k: row.get(k) for k in ("good:boolean", "score:float", "count:long")} for row in rows(tmp_path, "*s/e/*")]
    assert [tuple(row.values()) for row in found] == [
        ("true", "0.396", "1"),
        ("false", "1.25", None),
        (None, "5.0", "3"),
    ]


def test_elements_in_other_rois_are_in_other_files(tmp_path):
    assigned = rois(primary=["ME", None], layer=["L1", None])
    formulas = {"roi-synapse-properties": {"layer": {"number": "x + 1"}}}
    write(tmp_path, ("e", mitos(combos=[1, 0, 1]), None, assigned), **formulas)

    found = read(tmp_path, "Neuprint_Elements/e/*")
    assert [[row[ID] for row in members] for members in found.values()] == [["10", "12"], ["11"]]
    (inside,) = found["000001"]
    assert {k: v for k, v in inside.items() if k not in (ID, LOCATION, ":Label", "type:string", "bodyId:long")} == {
        "number:int": "2",
        "ME:boolean": "true",
        "L1:boolean": "true",
    }


@pytest.mark.parametrize("name", ["location", "bodyId", "ME"])
def test_a_column_may_not_have_the_name_of_something_else(tmp_path, name):
    with pytest.raises(DataError, match=f"elements 'e': column '{name}'"):
        write(tmp_path, ("e", mitos(**{name: ["1", "2", "3"]}), None, rois(primary=["ME"])))
    assert read(tmp_path, "**/*") == {}


def test_an_element_may_have_a_confidence_of_its_own(tmp_path):
    write(tmp_path, ("e", mitos(confidence=[0.5, 0.25, 1.0])))

    assert [row["confidence:float"] for row in rows(tmp_path, "*s/e/*")] == ["0.5", "0.25", "1.0"]


def distances(*pairs, **extra):
    sources, targets = zip(*pairs, strict=True)
    coordinates = {f"{end}_{axis}": [1] * len(pairs) for end in ("source", "target") for axis in "xyz"}
    return {**coordinates, **extra, "source_id": list(sources), "target_id": list(targets)}


def test_distances_lead_from_source_to_target_in_input_order(tmp_path):
    pairs = distances((T, 11), (S, 10), (12, 20), kind=["a,b", "c", "d"], distance=[1.5, 2.0, 0.25])
    scope = write(tmp_path, ("e", mitos(), pairs), ("other", mitos([20], ["soma"], [2], [0])))

    assert (tmp_path / "neuprint/Neuprint_Elements_CloseTo_e.csv").read_text() == (
        "kind:string,distance:float,:START_ID(Element-ID),:END_ID(Element-ID)\n"
        f'"a,b",1.5,{T},11\nc,2.0,{S},10\nd,0.25,12,20\n'
    )
    assert scope.ctx.exclusions.entries == []


def test_distances_need_no_element_table_of_their_own(tmp_path):
    write(tmp_path, ("e", mitos()), ("pairs", None, distances((S, 10))))

    assert rows(tmp_path, "Neuprint_Elements_CloseTo_pairs*") == [
        {":START_ID(Element-ID)": str(S), ":END_ID(Element-ID)": "10"}
    ]


def test_distances_to_what_is_not_exported_are_left_out_and_counted(tmp_path):
    pairs = distances((S, 10), (S, 99), (98, 10), (T, 12))
    scope = write(tmp_path, ("e", mitos(), pairs))

    ends = [(row[":START_ID(Element-ID)"], row[":END_ID(Element-ID)"]) for row in rows(tmp_path, "*CloseTo*")]
    assert ends == [(str(S), "10"), (str(T), "12")]
    assert [(e.table, e.rows) for e in scope.ctx.exclusions.entries] == [("distances 'e'", 2)]


def test_many_distances_stay_in_order(tmp_path):
    ids = list(range(5000, 8000))
    pairs = distances(*((S, element) for element in reversed(ids)))
    write(tmp_path, ("e", mitos(ids, ["mito"] * 3000, [1] * 3000, [0] * 3000), pairs))

    assert [int(row[":END_ID(Element-ID)"]) for row in rows(tmp_path, "*CloseTo*")] == ids[::-1]


def test_distances_none_of_which_joins_anything_are_an_error(tmp_path):
    with pytest.raises(DataError, match="distances 'e'.*not one row .*2 rows.*first: 98 -> 10, 1001 -> 99") as caught:
        write(tmp_path, ("e", mitos(), distances((98, 10), (S, 99))))
    assert "coordinates" in caught.value.hint
    assert read(tmp_path, "*CloseTo*") == {}


@pytest.mark.parametrize("restriction", ["info-totals", "connectivity", "elements"])
def test_a_restriction_may_leave_no_distance(tmp_path, restriction):
    settings = {f"restrict-{restriction}-to-roiset": "primary"}
    scope = write(tmp_path, ("e", mitos(), distances((98, 10))), **settings)

    assert read(tmp_path, "*CloseTo*") == {"Neuprint_Elements_CloseTo_e": []}
    assert [e.rows for e in scope.ctx.exclusions.entries] == [1]


def test_the_elements_of_one_type_on_a_body_are_a_set_whichever_table_they_are_in(tmp_path):
    first = mitos([10, 11, 12], ["mito", "soma", "mito"], [2, 2, 9], [0, 0, 0])
    write(tmp_path, ("a", first), ("b", mitos([20, 21], ["mito", "mito"], [2, 1], [0, 0])))

    assert (tmp_path / "neuprint/Neuprint_ElementSets/Neuprint_ElementSet_mito.csv").read_text() == (
        ":ID(ElementSet-ID),type:string,:Label\n"
        "1_mito,mito,ElementSet;ds_ElementSet\n2_mito,mito,ElementSet;ds_ElementSet\n"
        "9_mito,mito,ElementSet;ds_ElementSet\n"
    )
    # Body 9 is no Segment.
    assert (tmp_path / "neuprint/Neuprint_Neuron_to_ElementSet_mito.csv").read_text() == (
        ":START_ID(Body-ID),:END_ID(ElementSet-ID)\n1,1_mito\n2,2_mito\n"
    )
    assert (tmp_path / "neuprint/Neuprint_ElementSet_to_Element_mito.csv").read_text() == (
        ":START_ID(ElementSet-ID),:END_ID(Element-ID)\n2_mito,10\n9_mito,12\n2_mito,20\n1_mito,21\n"
    )
    assert rows(tmp_path, "Neuprint_ElementSet_to_Element_soma*") == [
        {":START_ID(ElementSet-ID)": "2_soma", ":END_ID(Element-ID)": "11"}
    ]


@pytest.mark.parametrize(
    ("kind", "file"), [("a, b", "a%2C%20b"), ('o"0', "o%220"), ("ü/~", "%C3%BC%2F%7E"), ("it's ", "it%27s%20")]
)
def test_any_type_of_element_has_its_sets(tmp_path, kind, file):
    write(tmp_path, ("e", mitos([10], [kind], [1], [0])))

    set_id = f"1_{kind}"
    (made,) = rows(tmp_path, f"Neuprint_ElementSets/Neuprint_ElementSet_{file}.csv")
    assert made == {":ID(ElementSet-ID)": set_id, "type:string": kind, ":Label": "ElementSet;ds_ElementSet"}
    (contained,) = rows(tmp_path, f"Neuprint_Neuron_to_ElementSet_{file}.csv")
    assert contained == {":START_ID(Body-ID)": "1", ":END_ID(ElementSet-ID)": set_id}
    (member,) = rows(tmp_path, f"Neuprint_ElementSet_to_Element_{file}.csv")
    assert member == {":START_ID(ElementSet-ID)": set_id, ":END_ID(Element-ID)": "10"}


def test_compressed_files_hold_the_same(tmp_path):
    for folder, settings in (("plain", {}), ("packed", {"compress": "gzip"})):
        write(tmp_path / folder, ("e", mitos(), distances((S, 10))), **settings)

    plain, packed = (read(tmp_path / folder, "**/*.csv*") for folder in ("plain", "packed"))
    assert plain == packed
    assert len(plain) == 5
    assert list((tmp_path / "packed").rglob("*.csv")) == []


def test_without_elements_nothing_is_written(tmp_path):
    empty = mitos([], [], [], []) | {"type": pa.array([], pa.string())}

    assert write(tmp_path / "none").ctx.out.written == {}
    assert write(tmp_path / "empty", ("e", empty)).ctx.out.written == {}
