"""Element nodes, what they are close to, and the sets of elements of each body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flyem_snapshot.connectome.neuprint_files import (
    CLOSE_TO,
    ELEMENT_SET_TO_ELEMENTS,
    ELEMENT_SETS,
    ELEMENT_SETS_FOLDER,
    ELEMENTS_FOLDER,
    NEURON_TO_ELEMENT_SET,
    in_file_name,
)
from flyem_snapshot.engine.csvfiles import cell, csv_files, quoted_text
from flyem_snapshot.engine.sql import identifier, literal
from flyem_snapshot.engine.streams import in_background, tracked
from flyem_snapshot.errors import DataError
from flyem_snapshot.outputs.neuprint.point_files import Points, refuse_shared_names, write_points
from flyem_snapshot.outputs.neuprint.points import NOT_EXPORTED, roi_columns
from flyem_snapshot.outputs.neuprint.properties import Property, check_names, typed_properties
from flyem_snapshot.outputs.neuprint.scope import FOLDER, ElementScope, Scope

_ID = "CAST(point_id AS VARCHAR)"
_ENDS = ("source_id", "target_id")
_BOTH_ENDS = " AND ".join(f"{end} IN (SELECT point_id FROM nodes)" for end in _ENDS)
_OWN_CELLS = {"body": ("bodyId:long", "body"), "type": ("type:string", cell("type"))}
_LINE_END = literal("\n")
_RESTRICTIONS = (
    "restrict_info_totals_to_roiset",
    "restrict_connectivity_to_roiset",
    "restrict_elements_to_roiset",
)


@dataclass(frozen=True)
class ElementFiles:
    """The Element nodes of each table that has any, and the CloseTo of each that has distances."""

    nodes: tuple[Points, ...]
    distances: tuple[_Distances, ...]


@dataclass(frozen=True)
class _Distances:
    """`table` is a table expression with source_id and target_id, `properties` the other columns to write."""

    name: str
    table: str
    properties: Sequence[Property]

    @property
    def where(self) -> str:
        return f"distances '{self.name}'"


def element_files(scope: Scope) -> ElementFiles:
    """What is to be written for elements.

    Raises DataError for a column that cannot be a property, and for distances none of which joins two nodes although
    the settings restrict nothing: their coordinates must mean something else.
    """
    nodes = tuple(_nodes(scope, e, e.points) for e in scope.elements if e.points is not None)
    distances = tuple(_distances(scope, e.name, e.distances) for e in scope.elements if e.distances is not None)
    return ElementFiles(nodes, distances)


def write_elements(scope: Scope, files: ElementFiles) -> None:
    """Write Element nodes, CloseTo and ElementSets of all element tables; nothing for a table that has no rows."""
    for points in files.nodes:
        write_points(scope, points)
    for distances in files.distances:
        _write_close_to(scope, distances)
    _write_sets(scope)


def _nodes(scope: Scope, element: ElementScope, table: str) -> Points:
    """`Neuprint_Elements/<name>/<6 digits>.csv`: the table's columns in their order, body as bodyId."""
    where = f"elements '{element.name}'"
    hidden = {*NOT_EXPORTED, *roi_columns(scope)}
    names = [name for name in _columns(scope, table) if name not in hidden]
    extras = {name: name for name in names if name not in _OWN_CELLS}
    found = {p.name: (p.header, p.cell) for p in typed_properties(scope.ctx.engine, table, extras, where)}
    label = scope.config.label_of(element.name)
    points = Points(
        where,
        f"{FOLDER}/{ELEMENTS_FOLDER}/{in_file_name(element.name)}",
        table,
        element.rois,
        scope.labels("Element", *([label] if label else [])),
        [
            (":ID(Element-ID)", _ID),
            *((found | _OWN_CELLS)[name] for name in names if name in found or name in _OWN_CELLS),
        ],
        list(found),
        ("type", "bodyId", "location"),
    )
    refuse_shared_names(scope, points)
    return points


def _columns(scope: Scope, table: str) -> list[str]:
    return [str(row[0]) for row in scope.ctx.engine.rows(f"DESCRIBE SELECT * FROM {table}")]


def _distances(scope: Scope, name: str, table: str) -> _Distances:
    """The columns to write; see `element_files` for what is refused."""
    engine = scope.ctx.engine
    given = [f"{end}_{axis}" for end in ("source", "target") for axis in "xyz"]
    extras = {column: column for column in _columns(scope, table) if column not in (*given, *_ENDS)}
    check_names(extras, {}, f"distances '{name}'")
    found = _Distances(name, table, typed_properties(engine, table, extras, f"distances '{name}'"))
    if not any(getattr(scope.config, setting) for setting in _RESTRICTIONS):
        rows = engine.scalar(f"SELECT count(*) FROM {table}")
        if rows and not engine.rows(f"WITH nodes AS ({_ids(scope)}) SELECT 1 FROM {table} WHERE {_BOTH_ENDS} LIMIT 1"):
            raise _no_ends(scope, found, rows)
    return found


def _ids(scope: Scope) -> str:
    """SQL: the ids of all nodes that are points."""
    tables = (scope.points, *(e.points for e in scope.elements if e.points))
    return " UNION ALL ".join(f"SELECT point_id FROM {nodes}" for nodes in tables)


def _write_close_to(scope: Scope, distances: _Distances) -> None:
    """`Neuprint_Elements_CloseTo_<name>.csv`, from source to target, in input order.

    Rows with an end that is no node are left out and counted.
    """
    engine, table, found = scope.ctx.engine, distances.table, distances.properties
    # A semi-join loses the input's order, so rows are numbered before and sorted after it; all of it spills.
    numbered = f"SELECT *, row_number() OVER () AS {identifier('input row')} FROM {table}"
    cells = [*(p.cell for p in found), *(f"CAST({end} AS VARCHAR)" for end in _ENDS)]
    line = f"concat_ws(',', {', '.join(cells)}) || {_LINE_END}"
    statement = f"""
        WITH nodes AS ({_ids(scope)}), kept AS (SELECT * FROM ({numbered}) WHERE {_BOTH_ENDS})
        SELECT {line} AS line FROM kept ORDER BY {identifier("input row")}
    """
    rows = engine.scalar(f"SELECT count(*) FROM {table}")
    relative = f"{FOLDER}/{CLOSE_TO.format(in_file_name(distances.name))}"
    header = [*(p.header for p in found), ":START_ID(Element-ID)", ":END_ID(Element-ID)"]
    kept = 0
    with (
        csv_files(scope.ctx.out, [(relative, header)], scope.config.compress) as writer,
        engine.stream(statement) as stream,
    ):
        for batch in tracked(in_background(stream), f"writing {distances.where}", rows):
            writer.write(batch["line"])
            kept += batch.num_rows
    scope.ctx.exclusions.add(distances.where, "an end is no synapse or element that is exported", rows - kept)


def _no_ends(scope: Scope, distances: _Distances, rows: int) -> DataError:
    first = scope.ctx.engine.rows(f"SELECT source_id, target_id FROM {distances.table} LIMIT 3")
    return DataError(
        "not one row joins two points that are synapses or elements",
        file=distances.where,
        column="source_id -> target_id",
        rows=rows,
        examples=[f"{source} -> {target}" for source, target in first],
        hint="source and target must have the coordinates, in voxels, of points in the synapse and element tables",
    )


def _write_sets(scope: Scope) -> None:
    """The ElementSets: one for each body and type of element, whichever table the elements are in."""
    tables = [e.points for e in scope.elements if e.points is not None]
    if not tables:
        return
    engine = scope.ctx.engine
    kinds = {kind for table in tables for (kind,) in engine.rows(f"SELECT DISTINCT type FROM {table}")}
    for kind in sorted(kinds):
        whole = " UNION ALL ".join(
            f"SELECT body, point_id FROM {table} WHERE type = {literal(kind)}" for table in tables
        )
        _write_sets_of_type(scope, kind, whole)


def _write_sets_of_type(scope: Scope, kind: str, elements: str) -> None:
    """The sets by body, the Segments that contain them, and their elements in input order."""
    quoted_id = quoted_text(f"0_{kind}")
    before, _, after = quoted_id.partition("0")
    set_id = f"{literal(before)}, body, {literal(after)}"
    label = scope.labels("ElementSet")
    bodies = f"SELECT DISTINCT body FROM ({elements})"
    ends = [":START_ID({})", ":END_ID({})"]
    name = in_file_name(kind)
    files = [
        (
            f"{FOLDER}/{ELEMENT_SETS_FOLDER}/{ELEMENT_SETS.format(name)}",
            [":ID(ElementSet-ID)", "type:string", ":Label"],
            f"concat({set_id}, {literal(f',{quoted_text(kind)},{quoted_text(label)}')}, {_LINE_END})",
            f"({bodies}) ORDER BY body",
        ),
        (
            f"{FOLDER}/{NEURON_TO_ELEMENT_SET.format(name)}",
            [ends[0].format("Body-ID"), ends[1].format("ElementSet-ID")],
            f"concat(body, ',', {set_id}, {_LINE_END})",
            f"({bodies}) WHERE body IN (SELECT body FROM {scope.segments}) ORDER BY body",
        ),
        (
            f"{FOLDER}/{ELEMENT_SET_TO_ELEMENTS.format(name)}",
            [ends[0].format("ElementSet-ID"), ends[1].format("Element-ID")],
            f"concat({set_id}, ',', point_id, {_LINE_END})",
            f"({elements})",
        ),
    ]
    for relative, header, line, source in files:
        with (
            csv_files(scope.ctx.out, [(relative, header)], scope.config.compress) as writer,
            scope.ctx.engine.stream(f"SELECT {line} AS line FROM {source}") as stream,
        ):
            for batch in in_background(stream):
                writer.write(batch["line"])
