"""Nodes that are points (synapses and elements), spread over files by the ROIs in which they lie.

All that depends on ROIs is one constant text for each combination of ROIs: the computed properties and the flags, which
end a record.  DuckDB writes the beginning of the record; the end is taken by `roi_combo`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.config.formula import Formula
from flyem_snapshot.engine.csvfiles import csv_files, quoted_text
from flyem_snapshot.engine.groups import in_parallel
from flyem_snapshot.engine.sql import literal
from flyem_snapshot.engine.streams import in_background, tracked
from flyem_snapshot.errors import DataError, SettingError
from flyem_snapshot.outputs.neuprint.beside import CELLS, HAS_MORE, Beside, FollowingCells
from flyem_snapshot.outputs.neuprint.properties import POINT, check_names, integer_type
from flyem_snapshot.outputs.neuprint.scope import Scope
from flyem_snapshot.tables.rois import COMBO, UNSPECIFIED, AssignedSet, RoiAssignment

MAX_FILES = 256
_OF_THEIR_OWN = 192
"""So many of the largest groups keep a file to themselves where there are more groups than files."""

_LOCATION = ("""concat(',"{x:', x, ', y:', y, ', z:', z, '}"')""", f"location:{POINT}")

Rows = dict[int, int]
"""Number of rows of each combination that occurs."""


@dataclass(frozen=True)
class Points:
    """Nodes to write.

    `table` is a table expression with x, y, z and roi_combo; `columns` are the (header, SQL of the cell) before the
    labels; `properties` the names among them that come from the input; `fixed` those that are always there.  `what`
    says in messages what the table is.  `beside` are further properties of some of the nodes.
    """

    what: str
    folder: str
    table: str
    rois: RoiAssignment
    label: str
    columns: Sequence[tuple[str, str]]
    properties: Sequence[str]
    fixed: Sequence[str]
    beside: Beside | None = None

    @property
    def headers(self) -> list[str]:
        """The header cells before the labels."""
        further = self.beside.columns if self.beside is not None else ()
        return [header for header, _ in (*self.columns, *further)]


@dataclass(frozen=True)
class _Group:
    """Combinations with equal flags (indices into the ROI names) and equal cells of computed properties."""

    flags: tuple[int, ...]
    computed: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class _Layout:
    """`file_of[c]` and `ends[c]` are the file and the end of the record of combination `c`; one header a file."""

    headers: list[list[str]]
    file_of: np.ndarray[Any, np.dtype[np.uint16]]
    ends: pa.Array


def refuse_shared_names(scope: Scope, points: Points) -> None:
    """Raise DataError if a property has the name of an ROI or of another property."""
    sets = scope.roi_sets(points.rois)
    rois = {roi: f"an ROI of roi-set '{s.name}'" for s in sets for roi in s.ids if roi != UNSPECIFIED}
    formulas = {name for of_set in scope.config.roi_synapse_properties.values() for name in of_set}
    taken = rois | dict.fromkeys(points.fixed, "a property that every such node has")
    further = points.beside.properties if points.beside is not None else ()
    names = [*points.properties, *further]
    check_names(names, taken | dict.fromkeys(formulas, "a property computed from ROIs"), points.what)
    check_names(sorted(formulas), taken, "outputs.neuprint.roi-synapse-properties")


def write_points(scope: Scope, points: Points) -> None:
    """Write all nodes of a table to `<folder>/<6 digits>.csv`, in the table's order within a file."""
    sets = scope.roi_sets(points.rois)
    counted = scope.ctx.engine.rows(f"SELECT {COMBO}, count(*) FROM {points.table} GROUP BY {COMBO} ORDER BY {COMBO}")
    layout = _layout(scope, points, sets, dict(counted))
    if layout is None:
        return
    cells, middle = _cells(points), f"{literal(',' + quoted_text(points.label))}, {_LOCATION[0]}"
    parts, selected, further = ["begin"], f"concat({cells}, {middle}) AS begin", None
    if points.beside is not None:
        parts, further = ["begin", CELLS, "middle"], FollowingCells(scope, points.beside)
        selected = f"concat({cells}) AS begin, concat({middle}) AS middle"
        selected += f", point_id, {points.beside.condition} AS {HAS_MORE}"

    def lines(batch: pa.RecordBatch) -> tuple[pa.Array, np.ndarray[Any, Any]]:
        combos = batch[COMBO].to_numpy()
        order = np.argsort(layout.file_of[combos], kind="stable")
        ends = layout.ends.take(pa.array(combos[order]))
        texts = [batch[part].take(pa.array(order)) for part in parts]
        return pc.binary_join_element_wise(*texts, ends, ""), layout.file_of[combos[order]]

    files = [(f"{points.folder}/{number:06d}.csv", header) for number, header in enumerate(layout.headers)]
    engine, rows = scope.ctx.engine, sum(count for _, count in counted)
    with (
        csv_files(scope.ctx.out, files, scope.config.compress) as writer,
        engine.stream(f"SELECT {selected}, {COMBO} FROM {points.table}") as stream,
    ):
        batches = tracked(in_background(stream), f"writing {points.what}", rows)
        whole = batches if further is None else further.added(batches)
        for text, numbers in in_parallel(lines, whole, engine.limits.threads):
            writer.write_split(text, numbers)


def _cells(points: Points) -> str:
    """SQL arguments of concat: the cells before the labels."""
    texts = [text for _, text in points.columns]
    return f", {literal(',')}, ".join(texts)


def _layout(scope: Scope, points: Points, sets: Sequence[AssignedSet], rows: Rows) -> _Layout | None:
    """Decide on the files; None if there are no rows."""
    if not rows:
        return None
    names = [roi for s in sets for roi in s.ids if roi != UNSPECIFIED]
    groups = _groups(scope, points.rois, sets, names, rows)
    kinds = _kinds_of_computed(scope, groups.values())
    size: dict[_Group, int] = {}
    for combo, group in groups.items():
        size[group] = size.get(group, 0) + rows[combo]
    headers: list[list[str]] = []
    end_of: dict[_Group, tuple[int, str]] = {}
    for number, members in enumerate(_packed(size)):
        computed = [name for name in kinds if any(name in dict(group.computed) for group in members)]
        flags = sorted({flag for group in members for flag in group.flags})
        own = [*(f"{name}:{kinds[name]}" for name in computed), *(f"{names[flag]}:boolean" for flag in flags)]
        headers.append([*points.headers, ":Label", _LOCATION[1], *own])
        end_of |= {group: (number, _end(group, computed, flags)) for group in members}
    file_of = np.zeros(max(groups) + 1, np.uint16)
    ends = [""] * (max(groups) + 1)
    for combo, group in groups.items():
        file_of[combo], ends[combo] = end_of[group]
    return _Layout(headers, file_of, pa.array(ends, pa.string()))


def _end(group: _Group, computed: Sequence[str], flags: Sequence[int]) -> str:
    """What follows the location in the records of a group, in a file with these columns."""
    values, own = dict(group.computed), set(group.flags)
    cells = [str(values.get(name, "")) for name in computed] + ["true" if flag in own else "" for flag in flags]
    return "".join(f",{text}" for text in cells) + "\n"


def _packed(size: dict[_Group, int]) -> list[list[_Group]]:
    """The groups of each file, large ones first; small ones share a file with those that are in similar ROIs."""
    largest_first = sorted(size, key=lambda group: (-size[group], group.flags, group.computed))
    if len(size) <= MAX_FILES:
        return [[group] for group in largest_first]
    alone, rest = largest_first[:_OF_THEIR_OWN], largest_first[_OF_THEIR_OWN:]
    rest.sort(key=lambda group: (group.flags, group.computed))
    bounds = np.linspace(0, len(rest), MAX_FILES - _OF_THEIR_OWN + 1).astype(int).tolist()
    shared = [rest[start:end] for start, end in pairwise(bounds) if end > start]
    return [*([group] for group in alone), *shared]


def _groups(
    scope: Scope, rois: RoiAssignment, sets: Sequence[AssignedSet], names: Sequence[str], rows: Rows
) -> dict[int, _Group]:
    """The group of each combination that occurs."""
    index = {roi: number for number, roi in enumerate(names)}
    # The last entry stands for the code -1.
    flags = [(s.names, [*(index.get(roi) for roi in s.ids), None]) for s in sets]
    computed = _computed(scope, rois, rows)
    groups = {}
    for combo in rows:
        own = (numbers[codes[combo]] for codes, numbers in flags)
        groups[combo] = _Group(tuple(flag for flag in own if flag is not None), computed[combo])
    return groups


def _computed(scope: Scope, rois: RoiAssignment, rows: Rows) -> dict[int, tuple[tuple[str, int], ...]]:
    """The properties of each combination that formulas compute from its ROI labels; label 0 gives none."""
    found: dict[int, dict[str, int]] = {combo: {} for combo in rows}
    owner: dict[tuple[int, str], str] = {}
    for roi_set, formulas in scope.config.roi_synapse_properties.items():
        if roi_set not in rois:
            continue
        labels = rois[roi_set].labels()
        for name, text in formulas.items():
            values = _values(roi_set, name, Formula(text), {int(label) for label in labels[list(rows)]} - {0})
            for combo in rows:
                if not (label := int(labels[combo])):
                    continue
                if name in found[combo]:
                    raise DataError(
                        f"roi-sets '{owner[combo, name]}' and '{roi_set}' both give property '{name}' to one point",
                        rows=rows[combo],
                        hint="give it two names in outputs.neuprint.roi-synapse-properties",
                    )
                found[combo][name], owner[combo, name] = values[label], roi_set
    return {combo: tuple(values.items()) for combo, values in found.items()}


def _values(roi_set: str, name: str, formula: Formula, labels: set[int]) -> dict[int, int]:
    try:
        values = {label: formula(label) for label in labels}
        integer_type(min(values.values(), default=0), max(values.values(), default=0))
    except ValueError as problem:
        raise SettingError(
            ("roi-synapse-properties", roi_set, name), str(problem), hint=f"mind the labels of roi-set '{roi_set}'"
        ) from problem
    return values


def _kinds_of_computed(scope: Scope, groups: Any) -> dict[str, str]:
    """The type of each computed property that occurs, in the settings' order."""
    values: dict[str, list[int]] = {
        name: [] for of_set in scope.config.roi_synapse_properties.values() for name in of_set
    }
    for group in set(groups):
        for name, value in group.computed:
            values[name].append(value)
    return {name: integer_type(min(those), max(those)) for name, those in values.items() if those}
