"""From the ROI columns of a point table to the ROI of each point in each roi-set.

Works on the distinct combinations of those columns, so its cost does not depend on the number of points.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np

from flyem_snapshot.config.formula import NameTemplate, check_roi_name
from flyem_snapshot.errors import DataError, Problem
from flyem_snapshot.tables.rois import UNSPECIFIED, AssignedSet, RoiAssignment, RoiSet

logger = logging.getLogger(__name__)

Column = Sequence[Any]
"""One value a combination, in order of first appearance in the data."""


def source_columns(sets: Sequence[RoiSet], available: Sequence[str]) -> list[str]:
    """The columns that the roi-sets of a point table are read from: its own, and those sampled from volumes."""
    columns: list[str] = []
    for roi_set in sets:
        if roi_set.source == "point-table":
            columns += [name for name in (roi_set.name, roi_set.label_column) if name in available]
        elif roi_set.source == "volume":
            columns.append(roi_set.label_column)
    return columns


def source_faults(sets: Sequence[RoiSet], available: Sequence[str], file: Path) -> Iterator[DataError]:
    """The roi-sets that do not find what they are read from among the columns of a point table."""
    for roi_set in sets:
        if roi_set.source != "point-table":
            continue
        needed = [roi_set.label_column] if roi_set.template else [roi_set.name, roi_set.label_column]
        if not set(needed) & set(available):
            yield DataError(
                f"roi-set '{roi_set.name}' is read from the point table, which has no column "
                + " or ".join(f"'{name}'" for name in needed),
                file=file,
                hint=f"name the roi-set like the column that holds it; the columns are: {', '.join(available)}",
            )
        elif roi_set.ids is None and roi_set.template is None and roi_set.name not in available:
            yield DataError(
                f"roi-set '{roi_set.name}' has labels but no names",
                file=file,
                column=roi_set.label_column,
                hint=f"give names and labels in inputs.rois.roi-sets.{roi_set.name}.rois",
            )


def definition_problems(sets: Sequence[RoiSet]) -> Iterator[Problem]:
    """What is certain to go wrong between roi-sets of one table, whatever its rows; paths begin with a set's name."""
    listed = {s.name: [s.renames.get(roi, roi) for roi in s.ids if roi != UNSPECIFIED] for s in sets if s.ids}
    for roi, first, second in _shared_names(listed):
        yield Problem((second, "rois", roi), f"the ROI '{roi}' is in two roi-sets, '{first}' and '{second}'", _RENAME)
    for roi_set in sets:
        known = listed.get(roi_set.union_source or "")
        for union, subs in (roi_set.unions or {}).items():
            if known and (missing := [sub for sub in subs if sub not in known]):
                problem = f"'{roi_set.union_source}' does not list {_quoted(missing)}"
                yield Problem((roi_set.name, "rois", union), problem, hint=f"it lists: {', '.join(known)}")
        known = listed.get(roi_set.parent or "")
        for index, roi in enumerate(roi_set.parent_rois):
            if known and roi not in known:
                problem = f"'{roi_set.parent}' does not list '{roi}'"
                yield Problem((roi_set.name, "parent-rois", index), problem, hint=f"it lists: {', '.join(known)}")


_RENAME = "rename it in one of them, with rename-rois"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def assign(
    sets: Sequence[RoiSet], combos: Mapping[str, Column], order: np.ndarray[Any, Any], file: Path
) -> RoiAssignment:
    """Resolve every roi-set.

    `combos` holds the source columns' values, one entry for each combination that occurs in the remaining points,
    in order of first appearance; `order[i]` is the combination id (`roi_combo`) of entry `i`.
    """
    names: dict[str, list[str]] = {}
    ids: dict[str, dict[str, int]] = {}
    by_name = {roi_set.name: roi_set for roi_set in sets}
    for name in _dependency_order(sets, "union_source"):
        roi_set = by_name[name]
        if roi_set.source == "unions-of-subrois":
            names[name], ids[name] = _unions(
                roi_set, names, ids, file, listed=by_name[roi_set.union_source or ""].ids is not None
            )
        else:
            names[name], ids[name] = _from_columns(roi_set, combos, file)
        names[name], ids[name] = _renamed(roi_set, names[name], ids[name], file)
        for roi in ids[name]:
            _check_name(roi, name, file)
    for name in _dependency_order(sets, "parent"):
        _inherit(by_name[name], names, ids)
    for roi, first, second in _shared_names({roi_set.name: ids[roi_set.name] for roi_set in sets}):
        raise DataError(f"the ROI '{roi}' is in two roi-sets, '{first}' and '{second}'", file=file, hint=_RENAME)
    return RoiAssignment(tuple(_assigned(s.name, names[s.name], ids[s.name], order) for s in sets))


def _dependency_order(sets: Sequence[RoiSet], attribute: str) -> list[str]:
    """The sets' names, each after the one it refers to; otherwise in the settings' order."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    names = {roi_set.name for roi_set in sets}
    for roi_set in sets:
        sorter.add(roi_set.name, *(names & {getattr(roi_set, attribute)}))
    return list(sorter.static_order())


def _from_columns(roi_set: RoiSet, combos: Mapping[str, Column], file: Path) -> tuple[list[str], dict[str, int]]:
    """Names and the id map of a set that the point table carries itself."""
    given_names = combos.get(roi_set.name)
    given_labels = combos.get(roi_set.label_column)
    names = None if given_names is None else [UNSPECIFIED if name is None else str(name) for name in given_names]
    labels = None if given_labels is None else [_label(label, roi_set, file) for label in given_labels]
    if roi_set.template is not None:
        assert labels is not None  # source_faults() saw to that
        ids = _ids_from_template(roi_set, labels, file)
    elif roi_set.ids is not None:
        ids = {UNSPECIFIED: 0} | dict(roi_set.ids)
    elif labels is not None and names is not None:
        ids = _ids_from_both(roi_set, names, labels, file)
    else:
        assert names is not None  # source_faults() saw to that
        return names, _ids_from_names(names)
    return _checked(roi_set, names, labels, ids, file)


def _checked(
    roi_set: RoiSet, names: list[str] | None, labels: list[int] | None, ids: dict[str, int], file: Path
) -> tuple[list[str], dict[str, int]]:
    """Hold names and labels against the id map, and against each other where both are given."""
    if names is not None and (unknown := sorted(set(names) - set(ids))):
        raise DataError(
            f"ROI names that roi-set '{roi_set.name}' does not list",
            file=file,
            column=roi_set.name,
            examples=unknown,
            hint=f"add them to inputs.rois.roi-sets.{roi_set.name}.rois",
        )
    by_label = {label: name for name, label in ids.items()}
    if labels is not None and (unlisted := sorted(set(labels) - set(by_label))):
        raise DataError(
            f"ROI labels that roi-set '{roi_set.name}' does not list",
            file=file,
            column=roi_set.label_column,
            examples=unlisted,
            hint=f"add them to inputs.rois.roi-sets.{roi_set.name}.rois",
        )
    if labels is not None:
        from_labels = [by_label[label] for label in labels]
        if names is not None and names != from_labels:
            clash = next((n, label) for n, label, m in zip(names, labels, from_labels, strict=True) if n != m)
            raise DataError(
                f"names and labels of roi-set '{roi_set.name}' contradict each other: "
                f"'{clash[0]}' stands beside label {clash[1]}",
                file=file,
                column=roi_set.name,
                hint=f"drop one of the columns '{roi_set.name}' and '{roi_set.label_column}'",
            )
        names = from_labels
    assert names is not None
    if UNSPECIFIED not in names and roi_set.source != "volume":
        ids = {name: label for name, label in ids.items() if name != UNSPECIFIED}
    return names, ids


def _label(value: Any, roi_set: RoiSet, file: Path) -> int:
    if value is None:
        return 0
    if not isinstance(value, int) or value < 0:
        raise DataError(
            "an ROI label must be a whole number from 0",
            file=file,
            column=roi_set.label_column,
            examples=[value],
            hint="write label 0 for points in no ROI",
        )
    return value


def _ids_from_names(names: list[str]) -> dict[str, int]:
    """Observed names, sorted, numbered from 1; `<unspecified>` is 0 if it occurs."""
    return _numbered(sorted(set(names) - {UNSPECIFIED}), UNSPECIFIED in names)


def _numbered(rois: list[str], with_unspecified: bool) -> dict[str, int]:
    ids = {UNSPECIFIED: 0} if with_unspecified else {}
    return ids | {name: number for number, name in enumerate(rois, start=1)}


def _ids_from_template(roi_set: RoiSet, labels: list[int], file: Path) -> dict[str, int]:
    """Observed labels in order of first appearance, named by the set's template."""
    template = NameTemplate(roi_set.template or "")
    ids = {UNSPECIFIED: 0}
    for label in dict.fromkeys(labels):
        if label == 0:
            continue
        try:
            name = template(label)
        except ValueError as error:
            raise DataError(
                f"the name template of roi-set '{roi_set.name}' fails: {error}",
                file=file,
                column=roi_set.label_column,
                examples=[label],
                hint=f"mend the template inputs.rois.roi-sets.{roi_set.name}.rois",
            ) from error
        if name in ids:
            raise DataError(
                f"the name template of roi-set '{roi_set.name}' gives {ids[name]} and {label} one name, '{name}'",
                file=file,
                column=roi_set.label_column,
                hint=f"mend the template inputs.rois.roi-sets.{roi_set.name}.rois, so that each label has its own name",
            )
        ids[name] = label
    return ids


def _ids_from_both(roi_set: RoiSet, names: list[str], labels: list[int], file: Path) -> dict[str, int]:
    """The id map that a name column and a label column define together; they must be a bijection."""
    ids = {UNSPECIFIED: 0}
    by_label = {0: UNSPECIFIED}
    for name, label in zip(names, labels, strict=True):
        if ids.setdefault(name, label) != label or by_label.setdefault(label, name) != name:
            raise DataError(
                f"names and labels of roi-set '{roi_set.name}' are not one to one: "
                f"'{name}' and {label} also occur with others",
                file=file,
                column=roi_set.name,
                hint=f"'{UNSPECIFIED}' must have label 0, every other name one label of its own",
            )
    return dict(sorted(ids.items(), key=lambda item: item[1]))


def _unions(
    roi_set: RoiSet, names: Mapping[str, list[str]], ids: Mapping[str, dict[str, int]], file: Path, *, listed: bool
) -> tuple[list[str], dict[str, int]]:
    """Merge ROIs of another set; what belongs to no union is `<unspecified>`; unions that do not occur vanish."""
    assert roi_set.unions is not None
    assert roi_set.union_source is not None
    source_ids = ids[roi_set.union_source]
    union_of = {sub: union for union, subs in roi_set.unions.items() for sub in subs}
    if missing := [sub for sub in union_of if sub not in source_ids]:
        if listed:
            raise DataError(
                f"roi-set '{roi_set.name}' unites ROIs that '{roi_set.union_source}' does not list",
                file=file,
                examples=missing,
                hint=f"'{roi_set.union_source}' lists: {', '.join(name for name in source_ids if name != UNSPECIFIED)}",
            )
        # The source's names are those observed, and a small region may have no point left: not an error by itself.
        logger.warning("roi-set '%s' unites ROIs in which no point lies: %s", roi_set.name, ", ".join(missing))
    merged = [union_of.get(name, UNSPECIFIED) for name in names[roi_set.union_source]]
    return merged, _ids_from_names(merged)


def _renamed(roi_set: RoiSet, names: list[str], ids: dict[str, int], file: Path) -> tuple[list[str], dict[str, int]]:
    """Apply the set's renames to names and id map."""
    renames = roi_set.renames
    renamed = {renames.get(name, name): label for name, label in ids.items()}
    if len(renamed) != len(ids):
        twice = [new for new, count in Counter(renames.get(name, name) for name in ids).items() if count > 1]
        raise DataError(
            f"the renames of roi-set '{roi_set.name}' give two ROIs one name",
            file=file,
            column=roi_set.name,
            examples=twice,
            hint="to merge ROIs, define a roi-set with source: unions-of-subrois",
        )
    return [renames.get(name, name) for name in names], renamed


def listed_rois(roi_set: RoiSet) -> tuple[str, ...] | None:
    """The ROIs of a set by its definition, in order of their ids; None if they come from the table."""
    by_name = roi_set.unions if roi_set.unions is not None else roi_set.ids
    if by_name is None:
        return None
    names = [roi_set.renames.get(name, name) for name in by_name if name != UNSPECIFIED]
    return (*names, *map(inherited_name, roi_set.parent_rois))


def inherited_name(parent: str) -> str:
    """The ROI of points inside `parent` but in none of its child ROIs: `MB(R)` gives `MB-unspecified(R)`."""
    for side in ("(L)", "(R)"):
        if parent.endswith(side):
            return f"{parent.removesuffix(side)}-unspecified{side}"
    return f"{parent}-unspecified"


def _inherit(roi_set: RoiSet, names: dict[str, list[str]], ids: dict[str, dict[str, int]]) -> None:
    """Put points that are in no ROI of the set, but in one of its parent ROIs, into an ROI of their own."""
    if roi_set.parent is None or not roi_set.parent_rois:
        return
    own, own_ids = names[roi_set.name], ids[roi_set.name]
    parents = set(roi_set.parent_rois)
    if absent := [roi for roi in roi_set.parent_rois if roi not in ids[roi_set.parent]]:
        logger.warning("roi-set '%s' inherits from ROIs in which no point lies: %s", roi_set.name, ", ".join(absent))
    for position, (child, parent) in enumerate(zip(own, names[roi_set.parent], strict=True)):
        if child == UNSPECIFIED and parent in parents:
            roi = inherited_name(parent)
            own_ids.setdefault(roi, max(own_ids.values(), default=0) + 1)
            own[position] = roi
    if UNSPECIFIED not in own:
        own_ids.pop(UNSPECIFIED, None)


def _shared_names(names: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str, str]]:
    """ROI names, by roi-set, that two sets have: names are flags of one namespace in every output."""
    owner: dict[str, str] = {}
    for roi_set, rois in names.items():
        for roi in rois:
            if roi != UNSPECIFIED and owner.setdefault(roi, roi_set) != roi_set:
                yield roi, owner[roi], roi_set


def _check_name(roi: str, roi_set: str, file: Path) -> None:
    try:
        check_roi_name(roi)
    except ValueError as problem:
        raise DataError(
            str(problem), file=file, column=roi_set, hint=f"rename it with inputs.rois.roi-sets.{roi_set}.rename-rois"
        ) from problem


def _assigned(name: str, names: list[str], ids: dict[str, int], order: np.ndarray[Any, Any]) -> AssignedSet:
    """Turn the names of the observed combinations into codes, indexed by combination id."""
    ordered = dict(sorted(ids.items(), key=lambda item: item[1]))
    index = {roi: position for position, roi in enumerate(ordered)}
    codes = np.full(int(order.max(initial=-1)) + 1, -1, np.int32)
    codes[order] = [index[roi] for roi in names]
    return AssignedSet(name, ordered, codes)
