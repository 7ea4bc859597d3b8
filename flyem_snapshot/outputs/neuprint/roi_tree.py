"""The hierarchy of ROIs: from the nested mapping of the meta file to a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flyem_snapshot.config.formula import check_roi_name
from flyem_snapshot.config.words import shown
from flyem_snapshot.errors import Problem

ROISET: Final = "roiset://"
"""Stands before the name of a roi-set whose ROIs take the place of the text."""

_FORM = f"write names of ROIs as a mapping or a list, {ROISET}NAME, or nothing"
_ONE_ROOT = "name the whole animal or tissue at the top, and everything else below it: {CNS: {...}}"


@dataclass(frozen=True)
class Roi:
    """One ROI of the hierarchy and the ROIs within it."""

    name: str
    children: tuple[Roi, ...] = ()

    def names(self) -> Iterator[str]:
        """This ROI and all within it, in order."""
        yield self.name
        for child in self.children:
            yield from child.names()

    def parents(self) -> Iterator[tuple[str, str]]:
        """Each ROI within this one, and the ROI right above it."""
        for child in self.children:
            yield child.name, self.name
            yield from child.parents()

    def as_json(self) -> dict[str, Any]:
        """{name, children: [...]}, without `children` where there are none."""
        if not self.children:
            return {"name": self.name}
        return {"name": self.name, "children": [child.as_json() for child in self.children]}

    def as_mapping(self) -> dict[str, Any]:
        """The ROIs within this one as nested mappings, as the meta file has them."""
        return {child.name: child.as_mapping() or None for child in self.children}


def roots(value: Any, roi_sets: Mapping[str, Sequence[str]]) -> tuple[Roi, ...]:
    """The trees of a hierarchy without problems; `roi_sets` has the ROIs of every roi-set that it names."""
    if value is None:
        return ()
    if isinstance(value, str):
        if value.startswith(ROISET):
            return tuple(Roi(name) for name in roi_sets[value.removeprefix(ROISET)])
        return (Roi(value),)
    if isinstance(value, Mapping):
        return tuple(Roi(name, roots(inner, roi_sets)) for name, inner in value.items())
    return tuple(roi for entry in value for roi in roots(entry, roi_sets))


def unresolved(value: Any) -> tuple[str, ...]:
    """The roi-sets that a hierarchy names, each once."""
    return tuple(dict.fromkeys(name for _, name in _references(value, ())))


def _references(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where a hierarchy names which roi-set."""
    if isinstance(value, str) and value.startswith(ROISET):
        yield path, value.removeprefix(ROISET)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _references(inner, (*path, name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _references(inner, (*path, index))


def references(value: Any, path: tuple[str | int, ...]) -> dict[tuple[str | int, ...], str]:
    """The roi-sets that a hierarchy names, by the place (below `path`) where it does."""
    return dict(_references(value, path))


def hierarchy_problems(value: Any, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """What is wrong with a hierarchy, whatever the roi-sets hold: its form, its names, a name twice, several roots."""
    named = list(_named(value, path))
    yield from (entry for entry in named if isinstance(entry, Problem))
    places = [entry for entry in named if not isinstance(entry, Problem)]
    first: dict[str, tuple[str | int, ...]] = {}
    for place, name in places:
        if name in first:
            above = " > ".join(str(key) for key in first[name][len(path) : -1] if isinstance(key, str))
            yield Problem(place, f"'{name}' is in the hierarchy twice{f' (also in {above})' if above else ''}")
        first.setdefault(name, place)
    number = len(value) if isinstance(value, Mapping | list) else 1
    if isinstance(value, str):
        if value.startswith(ROISET):
            yield Problem(path, "must have exactly one root, not the ROIs of a roi-set", _ONE_ROOT)
    elif number != 1:
        found = ", ".join(str(name) for name in list(value)[:4]) if number else ""
        yield Problem(path, f"must have exactly one root, not {number}{f' ({found})' if found else ''}", _ONE_ROOT)


def _named(
    value: Any, path: tuple[str | int, ...], *, leaf: bool = False
) -> Iterator[Problem | tuple[tuple[str | int, ...], str]]:
    """Every ROI with its place, and a problem wherever something is no ROI; `leaf` if a text may be one."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _checked(name, (*path, name))
            yield from _named(inner, (*path, name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _named(inner, (*path, index), leaf=True)
    elif isinstance(value, str) and leaf and not value.startswith(ROISET):
        yield from _checked(value, path)
    elif not (value is None and not leaf) and not (isinstance(value, str) and value.startswith(ROISET)):
        yield Problem(path, f"is {shown(value)}, which is no ROI", _FORM)


def _checked(name: str, path: tuple[str | int, ...]) -> Iterator[Problem | tuple[tuple[str | int, ...], str]]:
    try:
        check_roi_name(name)
    except ValueError as error:
        yield Problem(path, str(error))
    else:
        yield path, name


def twice(root: Roi) -> list[str]:
    """The names that stand in a tree more than once, now that its roi-sets are resolved."""
    return [name for name, count in Counter(root.names()).items() if count > 1]
