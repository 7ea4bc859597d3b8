"""The tables that the checks read, and from which files each is made.

Text that should be a number and is not becomes null, and no id or count may be null: checks say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from flyem_snapshot.connectome import neuprint_files as files
from flyem_snapshot.engine.sql import identifier, literal
from flyem_snapshot.errors import DataError
from flyem_snapshot.verify.reading import Column, feather_columns, load_csv, load_feather, one_file

if TYPE_CHECKING:
    from flyem_snapshot.verify.snapshot import Snapshot

KEYS: Final = ("body", "roi", "body_batch")
"""Columns of body_elements.feather and roi_elements.feather that are no counts."""

BODY_START, BODY_END = Column(":START_ID(Body-ID)", "BIGINT"), Column(":END_ID(Body-ID)", "BIGINT")
POINT_START, POINT_END = Column(":START_ID(Element-ID)", "UBIGINT"), Column(":END_ID(Element-ID)", "UBIGINT")
COUNTS: Final = ("post", "pre", "downstream", "upstream", "synweight", "upstreamPartners", "downstreamPartners")
COMPARTMENT_WEIGHTS: Final = (
    "weightAxonDendrite",
    "weightAxonAxon",
    "weightDendriteDendrite",
    "weightDendriteAxon",
)
_SET: Final = r"^([0-9]+)_([0-9]+)_(pre|post)$"


def mean_of(score: str) -> str:
    """The column of `segments` for the mean of a probability of neurotransmitters, by the property's name."""
    return f"mean {score}"


def _segments(snapshot: Snapshot) -> None:
    """`segments`: id, body, the counts (those of body_elements.feather too), roi_info, labels, flags.

    With probabilities of neurotransmitters also total_nt, predicted_nt, and a mean of each (`mean_of`).
    """
    paths = files.csv_files_in(snapshot.neuprint / files.NEURONS_FOLDER)
    if not paths:
        raise DataError("holds no CSV file", file=snapshot.neuprint / files.NEURONS_FOLDER)
    more = [name for name in snapshot.column_sources(files.BODY_ELEMENTS) if name not in COUNTS]
    wanted = {
        "id": Column(":ID(Body-ID)", "BIGINT"),
        "body": Column("bodyId:long", "BIGINT"),
        **{name: Column(f"{name}:int", "BIGINT") for name in (*COUNTS, *more)},
        "roi_info": Column("roiInfo:string"),
        "labels": Column(":LABEL"),
    }
    if snapshot.nt_scores:
        wanted["total_nt"] = Column("totalNtPredictions:int", "BIGINT", optional=True)
        wanted["predicted_nt"] = Column("predictedNt:string", optional=True)
        wanted |= {mean_of(name): Column(f"{name}:float", "FLOAT", optional=True) for name in snapshot.nt_scores}
    load_csv(snapshot.engine, "segments", paths, wanted, flags=True)


def _connections(snapshot: Snapshot) -> None:
    """`connections`: pre, post, weightHR, weight, weightHP, [compartment weights], roi_info."""
    path = one_file(snapshot.neuprint, files.CONNECTIONS)
    header = files.csv_header(path)
    split = [name for name in COMPARTMENT_WEIGHTS if f"{name}:int" in header]
    wanted = {
        "pre": BODY_START,
        "post": BODY_END,
        **{name: Column(f"{name}:int", "BIGINT") for name in ("weightHR", "weight", "weightHP", *split)},
        "roi_info": Column("roiInfo:string"),
    }
    load_csv(snapshot.engine, "connections", [path], wanted)


def _synapses(snapshot: Snapshot) -> None:
    """`synapses`: id, type, confidence, body, location, labels, flags, probabilities of neurotransmitters."""
    paths = files.csv_files_in(snapshot.neuprint / files.SYNAPSES_FOLDER)
    if not paths:
        raise DataError("holds no CSV file", file=snapshot.neuprint / files.SYNAPSES_FOLDER)
    wanted = {
        "id": Column(":ID(Element-ID)", "UBIGINT"),
        "type": Column("type:string"),
        "confidence": Column("confidence:float", "FLOAT"),
        "body": Column("bodyId:long", "BIGINT"),
        "location": Column("location:point{srid:9157}"),
        "labels": Column(":LABEL"),
        **{name: Column(f"{name}:float", "FLOAT", optional=True) for name in snapshot.nt_scores},
    }
    load_csv(snapshot.engine, "synapses", paths, wanted, flags=True)


def _elements(snapshot: Snapshot) -> None:
    """`elements`: id, type, body, location, labels, flags; source: the folder of the element table."""
    folder = snapshot.neuprint / files.ELEMENTS_FOLDER
    paths = {path: inner.name for inner in sorted(folder.glob("*/")) for path in files.csv_files_in(inner)}
    wanted = {
        "id": Column(":ID(Element-ID)", "UBIGINT"),
        "type": Column("type:string"),
        "body": Column("bodyId:long", "BIGINT", optional=True),
        "location": Column("location:point{srid:9157}"),
        "labels": Column(":LABEL"),
    }
    load_csv(snapshot.engine, "elements", list(paths), wanted, flags=True, constants=paths)


def _single(table: str, name: str, wanted: Mapping[str, Column]) -> Callable[[Snapshot], None]:
    def make(snapshot: Snapshot) -> None:
        load_csv(snapshot.engine, table, [one_file(snapshot.neuprint, name)], wanted)

    return make


def _many(table: str, folder: str, pattern: str, wanted: Mapping[str, Column]) -> Callable[[Snapshot], None]:
    def make(snapshot: Snapshot) -> None:
        load_csv(snapshot.engine, table, files.csv_files_in(snapshot.neuprint / folder, pattern), wanted)

    return make


def _with_sets(table: str, name: str, wanted: Mapping[str, Column], *sets: str) -> Callable[[Snapshot], None]:
    """A CSV in which the columns `sets` are ids of synapse sets; each becomes <name>_pre, <name>_post, <name>_side.

    The three are null if the text is no such id.
    """

    def make(snapshot: Snapshot) -> None:
        raw = f"{table}_raw"
        load_csv(snapshot.engine, raw, [one_file(snapshot.neuprint, name)], wanted)
        parts = ", ".join(
            f"TRY_CAST(nullif(regexp_extract({s}, {literal(_SET)}, {group}), '') AS {kind}) AS {s}_{part}"
            for s in sets
            for group, part, kind in ((1, "pre", "BIGINT"), (2, "post", "BIGINT"), (3, "side", "VARCHAR"))
        )
        snapshot.engine.execute(f"CREATE TABLE {table} AS SELECT * EXCLUDE ({', '.join(sets)}), {parts} FROM {raw}")
        snapshot.engine.execute(f"DROP TABLE {raw}")

    return make


def _located(snapshot: Snapshot) -> None:
    """`located`: every SynapsesTo row: pre_id, post_id; pre, post, the bodies; confidence and flags of the PSD."""
    for table in ("synapses_to", "synapses"):
        snapshot.use(table)
    snapshot.engine.execute("""
        CREATE TABLE located AS
        SELECT pre_id, post_id, a.body AS pre, b.body AS post, b.confidence, b.flags
        FROM synapses_to JOIN synapses AS a ON a.id = pre_id JOIN synapses AS b ON b.id = post_id
    """)


def _counted_rois(table: str, source: str, keys: str) -> Callable[[Snapshot], None]:
    """A row for each ROI of each roiInfo: the keys, roi, counts (a map).  Rows without legal JSON have none."""

    def make(snapshot: Snapshot) -> None:
        snapshot.use(source)
        # A cast never ends the query: what is no JSON object of objects of numbers is found by a check of its own.
        snapshot.engine.execute(f"""
            CREATE TABLE {table} AS
            WITH parsed AS (
                SELECT {keys}, TRY_CAST(TRY_CAST(roi_info AS JSON) AS MAP(VARCHAR, MAP(VARCHAR, BIGINT))) AS rois
                FROM {source} WHERE roi_info <> '{{}}'
            ),
            entries AS (SELECT {keys}, unnest(map_entries(rois)) AS entry FROM parsed)
            SELECT {keys}, entry.key AS roi, entry.value AS counts FROM entries
        """)

    return make


def _roi_sets(snapshot: Snapshot) -> None:
    """`roi_sets`: roi_set, roi."""
    snapshot.engine.execute("CREATE TABLE roi_sets (roi_set VARCHAR, roi VARCHAR)")
    rows = [(name, roi) for name, rois in snapshot.roi_sets.items() for roi in rois]
    for name, roi in rows:
        snapshot.engine.execute(f"INSERT INTO roi_sets VALUES ({literal(name)}, {literal(roi)})")


def _counts_feather(table: str, name: str) -> Callable[[Snapshot], None]:
    """body_elements.feather or roi_elements.feather: body, [roi], counts as BIGINT."""

    def make(snapshot: Snapshot) -> None:
        counts = snapshot.column_sources(name)
        keys = [key for key in ("body", "roi") if key in feather_columns(snapshot.neuprint / name)]
        wanted = {column: column for column in (*keys, *counts)}
        kinds = {"body": "BIGINT", "roi": "VARCHAR"} | dict.fromkeys(counts, "BIGINT")
        load_feather(snapshot.engine, table, snapshot.neuprint / name, wanted, kinds)

    return make


def _typed_feather(table: str, name: str, wanted: Mapping[str, str]) -> Callable[[Snapshot], None]:
    """A Feather file whose columns are called as in the CSV, with or without the type; `wanted`: property to column."""

    def make(snapshot: Snapshot) -> None:
        path = snapshot.neuprint / name
        names = {files.property_name(column) if ":" in column else column: column for column in feather_columns(path)}
        found = {names.get(prop, prop): column for prop, column in wanted.items()}
        kinds = {c: "VARCHAR" if c == "roi_info" else "BIGINT" for c in found.values()}
        load_feather(snapshot.engine, table, path, found, kinds)

    return make


def _flat(table: str, stem: str, kinds: Mapping[str, str], level: str = "") -> Callable[[Snapshot], None]:
    """A table of the flat connectome; a column whose type ends in `?` may be missing from the file."""

    def make(snapshot: Snapshot) -> None:
        path = snapshot.flat_file(stem, level)
        names = feather_columns(path)
        present = {name: kind.rstrip("?") for name, kind in kinds.items() if not kind.endswith("?") or name in names}
        load_feather(snapshot.engine, table, path, {name: name for name in present}, present)
        for name in kinds.keys() - present.keys():
            snapshot.engine.execute(f"ALTER TABLE {table} ADD COLUMN {identifier(name)} {kinds[name].rstrip('?')}")

    return make


def encoded(x: str, y: str, z: str) -> str:
    """SQL: the point id of three expressions of coordinates."""
    mask = (1 << 21) - 1
    fields = (f"(CAST(CAST({axis} AS BIGINT) & {mask} AS UBIGINT) << {21 * n})" for n, axis in enumerate((x, y, z)))
    return " | ".join(fields)


def _flat_partners(snapshot: Snapshot) -> None:
    """`flat_partners`: pre_id, post_id, body_pre, body_post, conf_pre, conf_post, compartment_pre, compartment_post.

    The ids are those of the coordinates, unless the file has ids of its own.
    """
    kinds = {f"{axis}_{side}": "INTEGER" for side in ("pre", "post") for axis in "xyz"}
    kinds |= {f"body_{side}": "BIGINT" for side in ("pre", "post")} | {f"conf_{s}": "FLOAT" for s in ("pre", "post")}
    kinds |= {f"compartment_{side}": "VARCHAR?" for side in ("pre", "post")}
    kinds |= {f"{side}_id": "UBIGINT?" for side in ("pre", "post")}
    _flat("flat_partners_raw", "syn-partners", kinds)(snapshot)
    rest = "body_pre, body_post, conf_pre, conf_post, compartment_pre, compartment_post"
    snapshot.engine.execute(
        f"CREATE TABLE flat_partners AS SELECT coalesce(pre_id, {encoded('x_pre', 'y_pre', 'z_pre')}) AS pre_id, "
        f"coalesce(post_id, {encoded('x_post', 'y_post', 'z_post')}) AS post_id, {rest} "
        "FROM flat_partners_raw"
    )
    snapshot.engine.execute("DROP TABLE flat_partners_raw")


_WEIGHTS: Final = {
    "body_pre": "BIGINT",
    "body_post": "BIGINT",
    "weight": "BIGINT",
    **dict.fromkeys(COMPARTMENT_WEIGHTS, "BIGINT?"),
}
_SETS: Final = {"id": Column(":ID(SynSet-ID)"), "type": Column("type:string"), "labels": Column(":LABEL")}
_STATS: Final = ("pre", "post", "downstream", "synweight", "rank")

TABLES: Final[Mapping[str, Callable[[Snapshot], None]]] = {
    "segments": _segments,
    "connections": _connections,
    "synapses": _synapses,
    "elements": _elements,
    "synapses_to": _single("synapses_to", files.SYNAPSE_CONNECTIONS, {"pre_id": POINT_START, "post_id": POINT_END}),
    "sets": _with_sets("sets", files.SYNAPSE_SETS, _SETS, "id"),
    "body_sets": _with_sets(
        "body_sets", files.NEURON_TO_SYNAPSE_SET, {"body": BODY_START, "owner": Column(":END_ID(SynSet-ID)")}, "owner"
    ),
    "set_pairs": _with_sets(
        "set_pairs",
        files.SYNAPSE_SET_TO_SYNAPSE_SET,
        {"start": Column(":START_ID(SynSet-ID)"), "stop": Column(":END_ID(SynSet-ID)")},
        "start",
        "stop",
    ),
    "members": _with_sets(
        "members",
        files.SYNAPSE_SET_TO_SYNAPSES,
        {"owner": Column(":START_ID(SynSet-ID)"), "synapse": POINT_END},
        "owner",
    ),
    "close_to": _many("close_to", ".", files.CLOSE_TO, {"start": POINT_START, "stop": POINT_END}),
    "element_sets": _many(
        "element_sets",
        files.ELEMENT_SETS_FOLDER,
        files.ELEMENT_SETS,
        {"id": Column(":ID(ElementSet-ID)"), "type": Column("type:string"), "labels": Column(":LABEL")},
    ),
    "body_element_sets": _many(
        "body_element_sets",
        ".",
        files.NEURON_TO_ELEMENT_SET,
        {"body": BODY_START, "owner": Column(":END_ID(ElementSet-ID)")},
    ),
    "element_members": _many(
        "element_members",
        ".",
        files.ELEMENT_SET_TO_ELEMENTS,
        {"owner": Column(":START_ID(ElementSet-ID)"), "element": POINT_END},
    ),
    "located": _located,
    "segment_rois": _counted_rois("segment_rois", "segments", "body"),
    "connection_rois": _counted_rois("connection_rois", "connections", "pre, post"),
    "roi_sets": _roi_sets,
    "body_elements": _counts_feather("body_elements", files.BODY_ELEMENTS),
    "roi_elements": _counts_feather("roi_elements", files.ROI_ELEMENTS),
    "neurons_table": _typed_feather(
        "neurons_table", files.NEURONS_TABLE, {"bodyId": "body", "synweight": "synweight", "roiInfo": "roi_info"}
    ),
    "connections_table": _typed_feather(
        "connections_table",
        files.CONNECTIONS_TABLE,
        {
            ":START_ID": "pre",
            ":END_ID": "post",
            "weightHR": "weightHR",
            "weight": "weight",
            "weightHP": "weightHP",
            "roiInfo": "roi_info",
        },
    ),
    "flat_points": _flat(
        "flat_points", "syn-points", {"point_id": "UBIGINT", "kind": "VARCHAR", "body": "BIGINT", "conf": "FLOAT"}
    ),
    "flat_partners": _flat_partners,
    "flat_weights": _flat("flat_weights", "connectome-weights", _WEIGHTS),
    "flat_stats": _flat("flat_stats", "body-stats", {"body": "BIGINT", **dict.fromkeys(_STATS, "BIGINT")}),
    **{
        f"flat_{table}_{level}": _flat(
            f"flat_{table}_{level}",
            stem,
            _WEIGHTS if table == "weights" else {"body_pre": "BIGINT", "body_post": "BIGINT"},
            f"-{level}-only",
        )
        for level in ("significant", "traced")
        for table, stem in (("weights", "connectome-weights"), ("partners", "syn-partners"))
    },
}
