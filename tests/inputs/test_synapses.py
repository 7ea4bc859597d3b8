"""The synapses of a run are those that a straightforward filter, row by row, would keep."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.engine.session import Engine, Limits
from flyem_snapshot.errors import DataError
from flyem_snapshot.inputs.synapses import STAGE
from flyem_snapshot.inputs.synapses.load import load_synapses
from flyem_snapshot.inputs.synapses.settings import SynapsesSettings
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.exclusions import Exclusions
from flyem_snapshot.tables.rois import COMBO, UNSPECIFIED, RoiSet, RoiSets
from flyem_snapshot.tables.synapses import PARTNERS, POINTS, Synapses
from tests.writing import write_table

NAN = float("nan")
BIG = 2**53 + 1
ROIS = RoiSets((RoiSet("primary", "point-table"),))
BORDER = 45056  # the first z of the nerve cord


# ----------------------------------------------------------------------------------------- making, loading, reading


def point(x, kind="PostSyn", body=1, conf=1.0, *, z=1, primary=None, part=None, note="n"):
    """One point at (x, 0, z), as a row of the point table."""
    return {
        "point_id": z << 42 | x,
        "kind": kind,
        "conf": conf,
        "body": body,
        "primary": primary,
        "part": part,
        "note": note,
    }


def row(pre, post, **more):
    """A partner row between points at z = 1."""
    return {"pre_id": 1 << 42 | pre, "post_id": 1 << 42 | post, **more}


TYPES = {
    "point_id": pa.uint64(),
    "conf": pa.float32(),
    "body": pa.int64(),
    "pre_id": pa.uint64(),
    "post_id": pa.uint64(),
    "conf_pre": pa.float32(),
    "conf_post": pa.float32(),
    **dict.fromkeys(("kind", "primary", "part", "note", "extra"), pa.string()),
}


def table(rows, **types):
    """Rows as an Arrow table; the types of columns that are not in `TYPES` are guessed."""
    known = {**TYPES, **types}
    return pa.table({name: pa.array([r[name] for r in rows], known.get(name)) for name in rows[0]})


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """One session for all runs; opening one takes longer than a run."""
    with Engine(Limits(1 << 28, 1, tmp_path_factory.mktemp("spill"))) as session:
        yield session


@pytest.fixture(scope="module")
def other_engine(tmp_path_factory):
    """Another session with another number of threads and other limits."""
    with Engine(Limits(96 << 20, 2, tmp_path_factory.mktemp("spill"))) as session:
        yield session


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Makes an empty directory for each run."""
    return lambda: tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def load(engine, folders):
    """Run the stage on rows; returns the context and the table."""
    return lambda *args, **kwargs: run(engine, folders(), *args, **kwargs)


def context(engine, root):
    scratch = root / "scratch"
    scratch.mkdir()
    return Context("v1", engine, OutputDir(root), Exclusions(), scratch, "cache/inputs-synapses", root)


def run(engine, root, points, partners, rois=ROIS, suffix="feather", rows=1 << 16, **config):
    points, partners = (t if isinstance(t, pa.Table) else table(t) for t in (points, partners))
    chosen = SynapsesSettings(
        synapse_points=write_table(points, root / f"points.{suffix}", rows),
        synapse_partners=write_table(partners, root / f"partners.{suffix}", rows),
        **config,
    )
    ctx = context(engine, root)
    return ctx, load_synapses(chosen, ctx, rois=rois, dvid_seg=None)


def plain(value):
    return None if value != value else value  # noqa: PLR0124  NaN equals nothing, and here it equals NaN


def read(engine, synapses):
    """(points, partners) as lists of dicts, the combination replaced by the name in `primary`, NaN by None."""
    result = []
    for view in (POINTS, PARTNERS):
        rows = engine.table(f"SELECT * FROM {view}").to_pylist()
        for entry in rows:
            combo = entry.pop(COMBO)
            if "primary" in synapses.rois:
                primary = synapses.rois["primary"]
                entry["primary"] = primary.categories[primary.names[combo]]
        result.append([{name: plain(value) for name, value in entry.items()} for entry in rows])
    return tuple(result)


# --------------------------------------------------------------------------------------------------------- the laws

SETTINGS = st.fixed_dictionaries(
    {
        "zone": st.sampled_from([None, None, "brain", "vnc"]),
        "min_confidence": st.sampled_from([0.0, 0.5]),
        "permit_body_0": st.booleans(),
        "compartment_column": st.sampled_from([None, "part"]),
    }
)
CONF = st.sampled_from([0.25, 0.5, 0.75, 1.0, NAN])


@st.composite
def connectomes(draw):
    """(points, partners, settings): every kind of row that the filters know, in any order."""
    kinds = [
        "PreSyn",
        "PostSyn",
        *draw(st.lists(st.sampled_from(["PreSyn", "PostSyn", "PostSyn", "Fake"]), max_size=12)),
    ]
    points = [
        point(
            x,
            kind,
            draw(st.sampled_from([0, 1, BIG - 1, BIG])),
            draw(CONF),
            z=draw(st.sampled_from([1, BORDER - 1, BORDER])),
            primary=draw(st.sampled_from([None, "ME(R)", "LO(R)"])),
            part=draw(st.sampled_from([None, "axon", "dendrite"])),
            note=draw(st.sampled_from(["a", "b"])),
        )
        for x, kind in enumerate(kinds, start=1)
    ]
    known = {kind: [p["point_id"] for p in points if p["kind"] == kind] for kind in ("PreSyn", "PostSyn", "Fake")}
    others = [0, 5 << 42 | 7, *known["Fake"]]
    posts = draw(st.lists(st.sampled_from(known["PostSyn"]), unique=True, min_size=1))
    partners = [{"pre_id": draw(st.sampled_from(known["PreSyn"] * 3 + others)), "post_id": post} for post in posts]
    partners += [
        {"pre_id": draw(st.sampled_from(known["PreSyn"] + others)), "post_id": draw(st.sampled_from(others))}
        for _ in range(draw(st.integers(0, 2)))
    ]
    gives_confidence = draw(st.booleans())
    for number, entry in enumerate(partners):
        entry["extra"] = f"row {number}"
        if gives_confidence:
            entry |= {"conf_pre": draw(CONF), "conf_post": draw(CONF)}
    return draw(st.permutations(points)), draw(st.permutations(partners)), draw(SETTINGS)


def filtered(points, partners, config):
    """The documented steps, one row after the other."""
    threshold, zone = config["min_confidence"], config["zone"]

    def confident(conf):
        return not threshold or conf >= threshold  # false for NaN

    def stays(p):
        in_brain = p["point_id"] >> 42 < BORDER
        return (
            p["kind"] != "Fake"
            and (zone is None or in_brain == (zone == "brain"))
            and confident(p["conf"])
            and (config["permit_body_0"] or p["body"] != 0)
        )

    known = {p["point_id"]: p for p in points if stays(p)}
    rows = []
    for r in partners:
        pre, post = known.get(r["pre_id"]), known.get(r["post_id"])
        if pre is None or post is None:
            continue
        conf = {"conf_pre": r.get("conf_pre", pre["conf"]), "conf_post": r.get("conf_post", post["conf"])}
        if not (confident(conf["conf_pre"]) and confident(conf["conf_post"])):
            continue
        made = {"pre_id": r["pre_id"], "post_id": r["post_id"], "extra": r["extra"], **conf}
        made |= {"body_pre": pre["body"], "body_post": post["body"]}
        if config["compartment_column"]:
            made |= {"compartment_pre": pre["part"] or "unknown", "compartment_post": post["part"] or "unknown"}
        rows.append({**made, "primary": post["primary"] or UNSPECIFIED})
    needed = {r[f"{side}_id"] for r in rows for side in ("pre", "post")}
    kept = []
    for p in points:
        if p["point_id"] in needed:
            part = (p["part"] or "unknown") if config["compartment_column"] else p["part"]
            x, z = p["point_id"] & 0xFFFFF, p["point_id"] >> 42
            kept.append({**p, "part": part, "primary": p["primary"] or UNSPECIFIED, "x": x, "y": 0, "z": z})
    return tuple([{n: plain(v) for n, v in entry.items()} for entry in rows] for rows in (kept, rows))


@settings(max_examples=60)
@given(connectomes())
def test_what_is_kept_is_what_a_filter_row_by_row_keeps(load, engine, connectome):
    points, partners, config = connectome
    expected = filtered(*connectome)
    if not expected[1]:
        with pytest.raises(DataError, match="partner rows is left"):
            load(points, partners, **config)
        return

    ctx, synapses = load(points, partners, **config)

    found = read(engine, synapses)
    assert found == expected, "the input's order, too"
    assert (synapses.num_points, synapses.num_partners) == tuple(map(len, expected))
    assert [record.rows for record in ctx.out.written.values()] == [len(expected[1]), len(expected[0])]
    lost = {name: sum(e.rows for e in ctx.exclusions.entries if e.table == name) for name in TABLES}
    assert lost == {
        "synapse points": len(points) - len(expected[0]),
        "synapse partners": len(partners) - len(expected[1]),
    }
    assert all(entry.rows > 0 for entry in ctx.exclusions.entries)


TABLES = ("synapse points", "synapse partners")


def usable(connectome):
    return bool(filtered(*connectome)[1])


def state(ctx, synapses):
    """Everything by which two runs could differ: record, rows, ledger."""
    entries = [(e.table, e.reason, e.rows) for e in ctx.exclusions.entries]
    return synapses.record(), read(ctx.engine, synapses), entries


@settings(max_examples=25)
@given(connectomes().filter(usable), st.sampled_from(["feather", "parquet", "csv"]), st.integers(1, 5))
def test_format_batches_threads_and_memory_change_nothing(engine, other_engine, folders, connectome, suffix, rows):
    points, partners, config = connectome

    one = state(*run(engine, folders(), points, partners, **config))
    other = state(*run(other_engine, folders(), points, partners, suffix=suffix, rows=rows, **config))

    assert one == other


@settings(max_examples=25)
@given(connectomes().filter(usable))
def test_a_table_reopened_from_the_cache_is_the_same(load, other_engine, connectome):
    points, partners, config = connectome
    ctx, synapses = load(points, partners, **config)
    record = json.loads(json.dumps(synapses.record()))

    elsewhere = Context("v1", other_engine, ctx.out, Exclusions(), ctx.scratch, ctx.cache, ctx.resume)
    again = Synapses.reopen(elsewhere, record)

    assert read(other_engine, again) == read(ctx.engine, synapses)
    assert again.record() == record
    for view in (POINTS, PARTNERS):
        statement = f"SELECT * FROM {view}"
        assert other_engine.table(statement).schema == ctx.engine.table(statement).schema
    again.close()
    assert other_engine.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal") == []


@settings(max_examples=25)
@given(connectomes().filter(usable))
def test_what_was_kept_once_is_kept_again(load, engine, connectome):
    points, partners, config = connectome
    kept_points, kept_partners = read(engine, load(points, partners, **config)[1])

    def input_again(rows):
        computed = ("body_pre", "body_post", "primary") if "pre_id" in rows[0] else ()
        kept = [{name: value for name, value in r.items() if name not in computed} for r in rows]
        return [{**r, "conf": NAN if r["conf"] is None else r["conf"]} if "conf" in r else r for r in kept]

    ctx, again = load(input_again(kept_points), input_again(kept_partners), **config)

    assert read(engine, again) == (kept_points, kept_partners)
    assert ctx.exclusions.entries == []


# ------------------------------------------------------------------------------------------------- rules written out

TBAR, PSD = point(10, "PreSyn"), point(11)


def test_a_threshold_is_compared_in_the_precision_of_the_column(load):
    # 0.4 as float32 is 0.4000000059..., 0.7 is 0.6999999880...: both are exactly at their threshold.
    for threshold in (0.4, 0.7):
        _, synapses = load([point(10, "PreSyn", conf=threshold), PSD], [row(10, 11)], min_confidence=threshold)
        assert synapses.num_partners == 1


def test_without_a_threshold_a_missing_confidence_is_no_reason(load, engine):
    _, synapses = load([TBAR, point(11, conf=NAN)], [row(10, 11)])

    assert read(engine, synapses)[1][0]["conf_post"] is None


@pytest.mark.parametrize(
    ("pre", "post", "kept"), [(1.0, 1.0, 1), (0.1, 1.0, 0), (1.0, 0.1, 0), (NAN, 1.0, 0), (1.0, NAN, 0)]
)
@pytest.mark.parametrize("of_points", [False, True])
def test_a_row_needs_confidence_in_its_own_columns_and_in_its_points(load, pre, post, kept, of_points):
    points = [point(10, "PreSyn", conf=pre if of_points else 1.0), point(11, conf=post if of_points else 1.0)]
    others = [point(20, "PreSyn"), point(21)]
    own = {"conf_pre": 1.0, "conf_post": 1.0} if of_points else {"conf_pre": pre, "conf_post": post}
    partners = [row(10, 11, **own), row(20, 21, conf_pre=1.0, conf_post=1.0)]

    _, synapses = load([*points, *others], partners, min_confidence=0.5)

    assert (synapses.num_partners, synapses.num_points) == (1 + kept, 2 + 2 * kept)


def test_each_row_left_out_is_told_with_its_first_reason(load):
    points = [
        TBAR,
        PSD,
        point(12, conf=0.1, body=0),
        point(13, conf=NAN),
        point(14, body=0),
        point(15),
        point(16, "Fake", conf=NAN),
        point(17, z=BORDER, conf=0.1),
    ]
    far = {"pre_id": row(10, 0)["pre_id"], "post_id": points[-1]["point_id"]}
    partners = [row(10, 11), row(10, 12), row(10, 13), row(10, 14), row(10, 99), {"pre_id": 0, "post_id": 0}, far]

    ctx, _ = load(points, partners, min_confidence=0.5, zone="brain")

    assert [(e.table, e.reason, e.rows) for e in ctx.exclusions.entries] == [
        ("synapse partners", "pre_id or post_id is 0 (beside Fake points)", 1),
        ("synapse partners", "pre_id or post_id is not in the point table", 1),
        ("synapse partners", "a point is outside the zone 'brain'", 1),
        ("synapse partners", "a point has no confidence (NaN), and min-confidence is 0.5", 1),
        ("synapse partners", "a point has a confidence below 0.5", 1),
        ("synapse partners", "a point is on body 0", 1),
        ("synapse points", "kind is Fake", 1),
        ("synapse points", "outside the zone 'brain'", 1),
        ("synapse points", "no confidence (NaN), and min-confidence is 0.5", 1),
        ("synapse points", "confidence below 0.5", 1),
        ("synapse points", "on body 0", 1),
        ("synapse points", "in no remaining partner row", 1),
    ]


def test_columns_of_the_user_ride_along_whatever_they_are_called(load, engine):
    mine = {"row": 5, "pre_row": "x", "kind": "k", "my col": 1.5, "select": True}
    points = [{**TBAR, "row": 7, "fate": "f", "select": None}, {**PSD, "row": 8, "fate": "g", "select": True}]

    _, synapses = load(points, table([row(10, 11, **mine)], kind=pa.string()))

    found_points, (found,) = read(engine, synapses)
    assert {name: found[name] for name in mine} == mine
    assert [(p["row"], p["fate"], p["select"]) for p in found_points] == [(7, "f", None), (8, "g", True)]


def test_columns_keep_their_order_and_what_the_run_computes_replaces_what_is_given(load, engine):
    given_points = [
        {"roi_label": 1, "user": "u", "tbar_region": "t", "roi_combo": 9, "sv": 3, **p} for p in (TBAR, PSD)
    ]
    stale = {"body_pre": 77, "body_post": 78, "primary": "stale", "primary_label": 3, "roi_combo": 9, "z_extra": 1}

    _, synapses = load(given_points, [row(10, 11, **stale)])

    assert engine.table(f"SELECT * FROM {POINTS}").column_names == [
        *("sv", "point_id", "kind", "conf", "body", "part", "note", "x", "y", "z", "roi_combo")
    ]
    assert engine.table(f"SELECT * FROM {PARTNERS}").column_names == [
        *("pre_id", "post_id", "z_extra", "conf_pre", "conf_post", "body_pre", "body_post", "roi_combo")
    ]
    assert (read(engine, synapses)[1][0]["body_pre"], read(engine, synapses)[1][0]["primary"]) == (1, UNSPECIFIED)


@pytest.mark.parametrize("missing", ["compartment_pre", "compartment_post", ""])
def test_compartments_of_the_partner_table_count_only_if_both_are_given(load, engine, missing):
    own = {"compartment_pre": "axon", "compartment_post": None}
    own.pop(missing, None)
    content = table([row(10, 11, **own)], **dict.fromkeys(own, pa.string()))
    points = [point(10, "PreSyn", part="dendrite"), point(11, part=None)]

    _, synapses = load(points, content, compartment_column="part")

    found = read(engine, synapses)[1][0]
    expected = ("dendrite", "unknown") if missing else ("axon", "unknown")
    assert (found["compartment_pre"], found["compartment_post"]) == expected


def test_the_types_of_the_views(load, engine):
    points = table([TBAR, PSD])
    narrow = points.set_column(3, "body", points["body"].cast(pa.int32())).append_column(
        "sv", pa.array([1, 2], pa.uint32())
    )
    category = narrow.append_column("split", pa.array(["train", None]).dictionary_encode())

    load(category, [row(10, 11)], compartment_column="part")

    kinds = {
        view: dict(engine.rows(f"SELECT column_name, column_type FROM (DESCRIBE {view})"))
        for view in (POINTS, PARTNERS)
    }
    assert kinds[POINTS] == {
        "point_id": "UBIGINT",
        "kind": "ENUM('PreSyn', 'PostSyn')",
        "conf": "FLOAT",
        "body": "BIGINT",
        "part": "ENUM('unknown')",
        "note": "VARCHAR",
        "sv": "BIGINT",
        "split": "ENUM('train')",
        "x": "INTEGER",
        "y": "INTEGER",
        "z": "INTEGER",
        "roi_combo": "INTEGER",
    }
    assert kinds[PARTNERS] == {
        **dict.fromkeys(("pre_id", "post_id"), "UBIGINT"),
        **dict.fromkeys(("conf_pre", "conf_post"), "FLOAT"),
        **dict.fromkeys(("body_pre", "body_post"), "BIGINT"),
        **dict.fromkeys(("compartment_pre", "compartment_post"), "ENUM('unknown')"),
        "roi_combo": "INTEGER",
    }


def test_a_category_that_has_no_value_left(load, engine):
    points = table([TBAR, PSD]).append_column("split", pa.array([None, None], pa.string()).dictionary_encode())

    load(points, [row(10, 11)])

    assert engine.rows(f"SELECT split FROM {POINTS}") == [(None,), (None,)]


def test_a_run_without_roi_sets(load, engine):
    for rois in (None, RoiSets()):
        _, synapses = load([TBAR, PSD], [row(10, 11)], rois=rois)
        assert synapses.rois.sets == ()
        assert engine.rows(f"SELECT roi_combo FROM {PARTNERS}") == [(0,)]


def test_only_the_roi_sets_asked_for_are_columns(load):
    rois = RoiSets((RoiSet("note", "point-table"), *ROIS.sets))

    _, synapses = load([TBAR, PSD], [row(10, 11)], rois=rois, roi_set_names=("primary",))

    assert [s.name for s in synapses.rois.sets] == ["primary"]
    assert "note" in synapses.point_columns


def test_several_problems_of_the_points_are_told_at_once(load):
    points = [TBAR, point(11, body=-4), point(12, "postsyn"), {**point(13), "body": None}]

    with pytest.raises(DataError) as caught:
        load(points, [row(10, 11)])

    assert {(part.column, part.rows, part.examples) for part in caught.value.parts} == {
        ("body", 1, ("row 1: -4",)),
        ("body", 1, ("row 3: None",)),
        ("kind", 1, ("row 2: postsyn",)),
    }


@pytest.mark.parametrize(
    ("points", "partners", "says"),
    [
        (
            [TBAR, PSD, PSD],
            [row(10, 11)],
            "1 point id occurs more than once (2 rows); first: 4398046511115 (x 11, y 0, z 1)",
        ),
        ([TBAR, PSD], [row(11, 10)], "pre_id must name a PreSyn point and post_id a PostSyn point"),
        (
            [TBAR, PSD, point(12)],
            [row(10, 11), row(12, 10)],
            "(1 row); first: pre_id 4398046511116, post_id 4398046511114",
        ),
        (
            [TBAR, point(20, "PreSyn"), PSD],
            [row(10, 11), row(20, 11)],
            "column 'post_id': 1 PSD has more than one T-bar (2 rows); first: 4398046511115",
        ),
        ([TBAR, PSD], [{"pre_id": 1, "post_id": None}], "column 'post_id': is null (1 row); first: row 0: None"),
        ([TBAR, PSD], [row(98, 99)], "none of 1 partner rows is left after filtering"),
        ([TBAR, {**PSD, "kind": None}], [row(10, 11)], "column 'kind': is neither PreSyn nor PostSyn (1 row)"),
    ],
)
def test_tables_that_break_a_rule_are_refused(load, points, partners, says):
    with pytest.raises(DataError) as caught:
        load(points, partners)

    assert says in str(caught.value)
    assert str(caught.value.file).endswith(".feather")
    assert caught.value.hint


def test_fake_points_may_have_the_ids_of_partner_rows_on_either_side(load):
    _, synapses = load([TBAR, PSD, point(12, "Fake")], [row(10, 11), row(12, 11), row(10, 12)])

    assert synapses.num_partners == 1


@pytest.mark.parametrize(
    ("points", "config", "remedy"),
    [
        ([TBAR, point(11, conf=0.2)], {"min_confidence": 0.5}, "lower inputs.synapses.min-confidence"),
        ([TBAR, point(11, conf=NAN)], {"min_confidence": 0.5}, "set inputs.synapses.min-confidence to 0.0"),
        ([TBAR, point(11, body=0)], {}, "set inputs.synapses.permit-body-0"),
        ([TBAR, PSD], {"zone": "vnc"}, "look at inputs.synapses.zone"),
        ([TBAR, point(12)], {}, "do the two tables belong together?"),
    ],
)
def test_if_nothing_is_left_the_remedy_is_named(load, points, config, remedy):
    with pytest.raises(DataError) as caught:
        load(points, [row(10, 11)], **config)

    assert caught.value.hint == remedy


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"point_id": [1], "kind": ["PreSyn"], "body": [1]}, "there is no column 'conf'"),
        ({"point_id": [1], "kind": ["PreSyn"], "conf": [1.0]}, "there is no column 'body'"),
        ({"point_id": [1], "conf": [1.0], "body": [1]}, "there is no column 'kind'"),
        ({"kind": ["PreSyn"], "conf": [1.0], "body": [1]}, "there is neither a column 'point_id' nor"),
        ({"point_id": [1], "kind": ["PreSyn"], "conf": ["high"], "body": [1]}, "column 'conf': is of type string"),
        ({"point_id": [1], "kind": ["PreSyn"], "conf": [1.0], "body": [1.0]}, "column 'body': is of type double"),
        ({"point_id": [1], "kind": [1], "conf": [1.0], "body": [1]}, "column 'kind': is of type int64"),
    ],
)
def test_headers_of_points_that_lack_something(load, content, says):
    with pytest.raises(DataError) as caught:
        load(pa.table(content), [row(10, 11)], rois=None)

    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"pre_id": [1]}, "there is no column 'post_id' (the PSD's point id)"),
        ({"pre_id": [1.0], "post_id": [2]}, "column 'pre_id': is of type double"),
        ({"pre_id": [1], "post_id": [2], "conf_pre": ["x"]}, "column 'conf_pre': is of type string"),
        ({"pre_id": pa.array([], pa.int64()), "post_id": pa.array([], pa.int64())}, "the table has no rows"),
    ],
)
def test_headers_of_partners_that_lack_something(load, content, says):
    with pytest.raises(DataError) as caught:
        load([TBAR, PSD], pa.table(content))

    assert says in str(caught.value)


def test_a_column_with_very_many_values_is_no_column_of_compartments(load):
    points = [TBAR, *(point(x, part=f"part {x}") for x in range(11, 160))]

    with pytest.raises(DataError, match=r"column 'part': has more than 127 different values"):
        load(points, [row(10, 11)], compartment_column="part")


def test_large_tables_cross_all_batch_borders(engine, folders):
    # More rows than any of the batches: 150,000 T-bars with two PSDs each, T-bars last, partner rows backwards.
    tbars, psds = np.arange(150_000), np.arange(300_000)
    ids = np.concatenate([psds + (1 << 21), tbars])
    kinds = np.where(ids < 1 << 21, "PreSyn", "PostSyn")
    bodies = ids % 1000
    points = pa.table(
        {"point_id": ids, "kind": pa.array(kinds).dictionary_encode(), "conf": np.ones(len(ids), "f4"), "body": bodies}
    )
    partners = pa.table({"pre_id": (psds // 2)[::-1], "post_id": (psds + (1 << 21))[::-1]})

    _, synapses = run(engine, folders(), points, partners, rois=None, permit_body_0=True)

    assert (synapses.num_points, synapses.num_partners) == (450_000, 300_000)
    found = engine.table(f"SELECT * FROM {PARTNERS}")
    assert np.array_equal(found["post_id"].to_numpy(), (psds + (1 << 21))[::-1])
    assert np.array_equal(found["body_pre"].to_numpy(), (psds // 2)[::-1] % 1000)
    assert np.array_equal(found["body_post"].to_numpy(), (psds + (1 << 21))[::-1] % 1000)
    assert np.array_equal(engine.table(f"SELECT point_id FROM {POINTS}")["point_id"].to_numpy(), ids)


def test_the_stage_is_known_by_its_table():
    assert STAGE.produces is Synapses
    assert STAGE.needs == ("rois", "dvid_seg", "cave")
    assert STAGE.field == "synapses"
    assert isinstance(Path(SynapsesSettings(synapse_points="a", synapse_partners="b").synapse_points), Path)
