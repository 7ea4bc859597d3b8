"""Elements keep their values, get ids, ROIs and distances, and share no voxel with anything else."""

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.engine.session import Engine, Limits
from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.elements import STAGE, load_elements
from flyem_snapshot.inputs.elements_settings import ElementsSettings
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.elements import Elements
from flyem_snapshot.tables.exclusions import Exclusions
from flyem_snapshot.tables.rois import UNSPECIFIED, RoiSet, RoiSets
from flyem_snapshot.tables.synapses import POINTS
from tests.writing import write_table

ROIS = RoiSets((RoiSet("primary", "point-table"), RoiSet("layer", "point-table", ids={"a": 101})))
AT = {"x": [1, -2, 3], "y": [10, 10, 10], "z": [5, 5, 5]}
IDS = [5 << 42 | 10 << 21 | 1, 5 << 42 | 10 << 21 | 0x1FFFFE, 5 << 42 | 10 << 21 | 3]
MITO = {**AT, "body": [7, 0, 2**53 + 1], "type": ["dark", "light", "dark"]}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """One session for all runs, with one synapse at (9, 9, 9)."""
    with Engine(Limits(1 << 28, 1, tmp_path_factory.mktemp("spill"))) as session:
        session.view(POINTS, f"SELECT {9 << 42 | 9 << 21 | 9}::UBIGINT AS point_id")
        yield session


@pytest.fixture(scope="module")
def load(engine, tmp_path_factory):
    """Run the stage; tables are given as columns, and written as `suffix`.  Returns the context and the elements."""

    def _load(rois=None, suffix="feather", rows=2, **entries):
        root = tmp_path_factory.mktemp("run")
        tables = {}
        for name, entry in entries.items():
            tables[name] = dict(entry)
            for key in ("point_table", "distance_table"):
                if key in entry:
                    tables[name][key] = write_table(entry[key], root / f"{name.replace('/', '_')}-{key}.{suffix}", rows)
        ctx = Context("v1", engine, OutputDir(root), Exclusions(), root, "cache/inputs-elements", root)
        return ctx, load_elements(ElementsSettings(**tables), ctx, rois=rois, synapses=None, dvid_seg=None)

    return _load


def rows(engine, view):
    return engine.table(f'SELECT * FROM "{view}"').to_pylist()


def test_elements_need_no_server_and_keep_their_columns(load, engine):
    # Fault D10: without a segmentation server any element table was an error; here the table's own bodies count.
    ctx, elements = load(mito={"point_table": {**MITO, "size": [1, 2, 3]}, "permit_body_0": True})

    assert rows(engine, "elements mito") == [
        {"x": 1, "y": 10, "z": 5, "body": 7, "type": "dark", "size": 1, "point_id": IDS[0], "roi_combo": 0},
        {"x": -2, "y": 10, "z": 5, "body": 0, "type": "light", "size": 2, "point_id": IDS[1], "roi_combo": 0},
        {"x": 3, "y": 10, "z": 5, "body": 2**53 + 1, "type": "dark", "size": 3, "point_id": IDS[2], "roi_combo": 0},
    ]
    assert (elements.sets["mito"].num_points, elements.sets["mito"].num_distances) == (3, None)
    assert ctx.exclusions.entries == []
    assert [record.rows for record in ctx.out.written.values()] == [3]


@pytest.mark.parametrize("suffix", ["feather", "parquet", "csv"])
def test_elements_on_body_0_are_left_out_and_counted(load, engine, suffix):
    ctx, elements = load(mito={"point_table": MITO}, suffix=suffix, rows=1)

    assert [row["body"] for row in rows(engine, "elements mito")] == [7, 2**53 + 1]
    assert elements.sets["mito"].num_points == 2
    assert [(e.table, e.reason, e.rows) for e in ctx.exclusions.entries] == [("elements 'mito'", "on body 0", 1)]


def test_a_table_that_lies_on_body_0_entirely_is_empty(load, engine):
    ctx, elements = load(
        rois=ROIS, mito={"point_table": {**MITO, "body": [0] * 3, "primary": ["r"] * 3, "layer": ["a"] * 3}}
    )

    assert rows(engine, "elements mito") == []
    assert elements.sets["mito"].num_points == 0
    assert [dict(s.ids) for s in elements.sets["mito"].rois.sets] == [{}, {"a": 101}]
    assert ctx.exclusions.entries[0].rows == 3


def test_numbers_keep_their_values_and_types(load, engine):
    # Fault D25: a column whose values all had a fraction was cut to integers, whole ones became floats.
    columns = {
        "r0": [0.5, 1.25, 0.75],
        "r1": pa.array([1.0, 2.0, None], pa.float32()),
        "size": pa.array([1, None, 2**53 + 1], pa.int64()),
        "small": pa.array([1, 2, 255], pa.uint8()),
        "flag": [True, None, False],  # fault D26
        "locationType": ["a", None, "b"],  # fault D27
        "side": pa.array(["L", "R", None]).dictionary_encode(),
    }

    load(mito={"point_table": {**MITO, **columns}, "permit_body_0": True})

    found = engine.table('SELECT * FROM "elements mito"').select(list(columns))
    assert found.to_pydict() == {name: pa.array(values).to_pylist() for name, values in columns.items()}
    assert [str(kind) for kind in found.schema.types] == [
        "double",
        "float",
        "int64",
        "uint8",
        "bool",
        "string",
        "string",
    ]


def test_a_column_that_is_called_like_one_of_ours(load, engine):
    load(mito={"point_table": {**MITO, "roi_combo": ["x", "y", "z"]}})

    assert [row["roi_combo"] for row in rows(engine, "elements mito")] == [0, 0]


def test_ids_may_be_given_instead_of_coordinates(load, engine):
    load(mito={"point_table": {"point_id": IDS, "body": [1, 2, 3]}, "type": "mito"})

    assert [(row["x"], row["y"], row["z"], row["type"]) for row in rows(engine, "elements mito")] == [
        (1, 10, 5, "mito"),
        (-2, 10, 5, "mito"),
        (3, 10, 5, "mito"),
    ]


def test_rois_are_those_of_the_elements_own_table(load, engine):
    columns = {"primary": ["ME(R)", "LO(R)", None], "layer_label": [101, 0, 101]}

    _, elements = load(rois=ROIS, mito={"point_table": {**MITO, **columns}})

    assignment = elements.sets["mito"].rois
    combos = engine.table('SELECT roi_combo FROM "elements mito"')["roi_combo"].to_numpy()
    assert assignment["primary"].name_array(combos).to_pylist() == ["ME(R)", UNSPECIFIED]
    assert assignment["layer"].name_array(combos).to_pylist() == ["a", "a"]
    assert dict(assignment["primary"].ids) == {UNSPECIFIED: 0, "ME(R)": 1}, "LO(R) has body 0 only"
    assert "primary" not in rows(engine, "elements mito")[0]


def test_each_table_has_the_roi_sets_that_it_names(load, engine):
    soma = {"x": [4], "y": [4], "z": [4], "body": [1], "primary": ["ME(R)"]}

    _, elements = load(
        rois=ROIS,
        mito={"point_table": MITO, "roi_set_names": ()},
        soma={"point_table": soma, "type": "soma", "roi_set_names": ("primary",)},
    )

    assert [[s.name for s in elements.sets[name].rois.sets] for name in ("mito", "soma")] == [[], ["primary"]]
    assert list(elements.sets) == ["mito", "soma"]


# --------------------------------------------------------------------------------------------------------- distances

DISTANCES = {
    "distance": pa.array([1.5, None, 0.25], pa.float32()),
    **{f"source_{axis}": values for axis, values in AT.items()},
    "note": pa.array(["a", "b", "a"]).dictionary_encode(),
    **{f"target_{axis}": [-1, 0, 1] for axis in AT},
}
ONES = 0x1FFFFF << 42 | 0x1FFFFF << 21 | 0x1FFFFF
TARGETS = [ONES, 0, 1 << 42 | 1 << 21 | 1]


@pytest.mark.parametrize("suffix", ["feather", "parquet", "csv"])
def test_both_ends_of_a_distance_get_ids(load, engine, suffix):
    # Fault D19: an entry with nothing but distances was an error.
    ctx, elements = load(near={"distance_table": DISTANCES}, suffix=suffix)

    found = engine.table('SELECT * FROM "distances near"')
    assert found.column_names == [*DISTANCES, "source_id", "target_id"]
    assert found["source_id"].to_pylist() == IDS
    assert found["target_id"].to_pylist() == TARGETS
    assert found["distance"].to_pylist() == [1.5, None, 0.25]
    assert found["note"].to_pylist() == ["a", "b", "a"]
    assert {str(found.schema.field(f"{end}_id").type) for end in ("source", "target")} == {"uint64"}
    assert (elements.sets["near"].num_points, elements.sets["near"].num_distances) == (None, 3)
    assert [record.rows for record in ctx.out.written.values()] == [3]


def test_stale_ids_in_a_distance_table_are_made_anew(load, engine):
    load(near={"distance_table": {"source_id": [1, 2, 3], "target_id": ["x", "y", "z"], **DISTANCES}})

    assert [row["target_id"] for row in rows(engine, "distances near")] == TARGETS


def test_distances_without_a_distance_are_kept_and_said(load, engine, caplog):
    columns = {name: values for name, values in DISTANCES.items() if name != "distance"}

    _, elements = load(near={"distance_table": columns})

    assert elements.sets["near"].num_distances == 3
    assert "there is no column 'distance'" in caplog.text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"target_z": [0, 0, 2**20]},
            "column 'target_z': is outside -1048576 .. 1048575 (1 row); first: row 2: 1048576",
        ),
        ({"source_x": pa.array([1, None, 2])}, "column 'source_x': is null (1 row); first: row 1: None"),
        ({"source_x": [1.0, 2.0, 3.0]}, "column 'source_x': is of type double, but must be an integer"),
        ({"source_x": None}, "there is no column 'source_x' (a coordinate of the source)"),
    ],
)
def test_faulty_distances_are_refused(load, change, says):
    columns = {name: values for name, values in {**DISTANCES, **change}.items() if values is not None}

    with pytest.raises(DataError) as caught:
        load(near={"distance_table": columns})

    assert says in str(caught.value)


# ------------------------------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (
            {"point_table": MITO, "type": "dark"},
            "column 'type': is not 'dark', the type in the settings (1 row); first: row 1: light",
        ),
        (
            {"point_table": {**MITO, "type": ["dark", None, "dark"]}},
            "column 'type': is null (1 row); first: row 1: None",
        ),
        ({"point_table": {**AT, "body": [1, 2, 3]}}, "there is no column 'type' (what the element is; or set"),
        ({"point_table": {**AT, "type": ["a"] * 3}}, "there is no column 'body'"),
        (
            {"point_table": {**MITO, "body": pa.array([1, None, 2])}},
            "column 'body': is null (1 row); first: row 1: None",
        ),
        ({"point_table": {**MITO, "x": [1, 2**20, 3]}}, "column 'x': is outside -1048576 .. 1048575 (1 row)"),
        ({"point_table": {**MITO, "point_id": [*IDS[:2], 5]}}, "column 'point_id': does not belong to the coordinates"),
    ],
)
def test_faulty_elements_are_refused(load, entry, says):
    with pytest.raises(DataError) as caught:
        load(mito=entry)

    assert says in str(caught.value)


def test_a_type_in_the_settings_may_repeat_that_of_the_table(load, engine):
    load(mito={"point_table": {**MITO, "type": pa.array(["mito"] * 3).dictionary_encode()}, "type": "mito"})

    assert {row["type"] for row in rows(engine, "elements mito")} == {"mito"}


def test_two_elements_of_a_table_on_one_voxel_are_refused(load):
    columns = {"x": [1, 1, 2], "y": [0, 0, 0], "z": [0, 0, 0], "body": [1, 2, 3]}

    with pytest.raises(DataError, match=r"elements share a voxel.*\(2 rows\); first: 1\b") as caught:
        load(mito={"point_table": columns, "type": "mito"})

    assert caught.value.file.name == "mito-point_table.feather"


def test_elements_of_two_tables_on_one_voxel_are_refused(load):
    one = {"x": [1, 2], "y": [0, 0], "z": [0, 0], "body": [1, 1]}
    other = {"x": [3, 2], "y": [0, 0], "z": [0, 0], "body": [1, 1]}

    with pytest.raises(DataError, match=r"elements share a voxel.*\(2 rows\); first: 2\b"):
        load(mito={"point_table": one, "type": "m"}, soma={"point_table": other, "type": "s"})


def test_an_element_on_the_voxel_of_a_synapse_is_refused(load):
    columns = {"x": [8, 9], "y": [9, 9], "z": [9, 9], "body": [1, 1]}

    with pytest.raises(DataError, match=r"elements lie on the voxel of a synapse.*\(1 row\); first: 39582437474313"):
        load(mito={"point_table": columns, "type": "m"})


def test_an_element_on_body_0_collides_with_nothing_because_it_is_left_out(load, engine):
    columns = {"x": [8, 9], "y": [9, 9], "z": [9, 9], "body": [1, 0]}

    load(mito={"point_table": columns, "type": "m"})

    assert len(rows(engine, "elements mito")) == 1


def test_no_tables_are_no_error(load):
    _, elements = load()

    assert elements.sets == {}


def test_elements_come_back_from_the_cache(load, tmp_path):
    ctx, elements = load(
        rois=RoiSets(ROIS.sets[:1]),
        **{'my "mito" / 1': {"point_table": {**MITO, "primary": ["ME(R)"] * 3}, "distance_table": DISTANCES}},
        near={"distance_table": DISTANCES},
    )
    record = json.loads(json.dumps(elements.record()))
    before = [rows(ctx.engine, view.replace('"', '""')) for s in elements.sets.values() for view in views(s)]

    with Engine(Limits(1 << 28, 1, tmp_path / "spill")) as engine:
        again = Elements.reopen(Context("v1", engine, ctx.out, Exclusions(), tmp_path, ctx.cache, tmp_path), record)

        assert [rows(engine, view.replace('"', '""')) for s in again.sets.values() for view in views(s)] == before
        assert again.record() == record
        again.close()
        assert engine.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal") == []


def views(elements):
    known = {elements.points_view: elements.num_points, elements.distances_view: elements.num_distances}
    return [view for view, count in known.items() if count is not None]


COORDINATE = st.integers(-(2**20), 2**20 - 1)
ELEMENT = st.tuples(
    COORDINATE, COORDINATE, COORDINATE, st.sampled_from([0, 1, 2**53 + 1]), st.sampled_from(["a", "b"]), st.floats(0, 1)
)


@settings(max_examples=25)
@given(
    st.lists(ELEMENT, min_size=1, max_size=12, unique_by=lambda e: e[:3]),
    st.sampled_from(["feather", "parquet", "csv"]),
    st.integers(1, 5),
    st.booleans(),
)
def test_elements_are_kept_in_order_whatever_the_format_and_batches(load, engine, elements, suffix, rows_, permit):
    names = ("x", "y", "z", "body", "type", "value")
    columns = dict(zip(names, map(list, zip(*elements, strict=True)), strict=True))

    load(mito={"point_table": columns, "permit_body_0": permit}, suffix=suffix, rows=rows_)

    found = [tuple(row[name] for name in names) for row in rows(engine, "elements mito")]
    assert found == [element for element in elements if permit or element[3]]


def test_the_stage_reads_synapses_and_roi_sets():
    assert STAGE.needs == ("rois", "synapses", "dvid_seg")
    assert STAGE.produces is Elements
