"""Settings of the ROI sets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from flyem_snapshot.config.dvid import DvidVersion
from flyem_snapshot.config.formula import NameTemplate, check_roi_name
from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import DataError, Problem
from flyem_snapshot.sources.checks import raise_all
from flyem_snapshot.tables import rois as tables
from flyem_snapshot.tables.rois import UNSPECIFIED

MAX_ID = 2**63 - 1

# Column names of the synapse and element tables, which an ROI set's column must not take.
RESERVED = frozenset(
    [
        *("point_id", "x", "y", "z", "kind", "conf", "body", "sv", "type", "roi_combo"),
        *("pre_id", "post_id", "conf_pre", "conf_post", "body_pre", "body_post"),
    ]
)


class RoiSet(Section):
    """A layer of regions that do not overlap: each synapse lies in at most one ROI of the set."""

    rois: str | tuple[str, ...] | Mapping[str, int] | Mapping[str, tuple[str, ...]] = setting(
        {},
        input_file=".json",
        examples=({"ME(R)": 1, "LO(R)": 2}, "ME_R_col_{x // 100}_{x % 100}"),
        doc="""The ROIs of the set. For point-table: a list of names (their ids are 1, 2, 3, ...), names with ids
        {name: id}, a template that makes a name from the id x in column <name of the set>_label, or nothing: the
        names in the table are taken as they are. For dvid-rois: the names of ROI instances, as a list or with ids. For
        dvid-labelmap: names of the labels, likewise or by a template. For unions-of-subrois: {union: [ROI, ROI, ...]}.
        Or a .json file that holds a list or a mapping.""",
    )
    rename_rois: Mapping[str, str] = setting(
        {},
        examples=({"AOT": "AOTU"},),
        doc="New names of some ROIs, {old: new}, given right after the set is loaded.",
    )
    source: Literal["dvid-rois", "dvid-labelmap", "point-table", "unions-of-subrois"] = setting(
        "dvid-rois",
        examples=("point-table",),
        doc="""Where the ROI of a synapse comes from. point-table: a column of the synapse table (and of each element
        table) named like this set, or <name of the set>_label with ids. unions-of-subrois: ROIs of another set,
        joined. dvid-rois: ROI instances of a DVID server; where they overlap, the one listed last counts.
        dvid-labelmap: a labelmap in a DVID server whose voxels are 32 times as large as those of the segmentation.""",
    )
    labelmap: str | None = setting(None, doc="For dvid-labelmap: the name of the labelmap instance.")
    overlaps: Literal["last", "error"] = setting(
        "last",
        doc="For dvid-rois: what to do where ROIs overlap. last: the ROI listed last counts. error: stop.",
    )
    union_source_roiset: str | None = setting(
        None, doc="For unions-of-subrois: the ROI set whose ROIs are joined.", one_of="inputs.rois.roi-sets.*"
    )
    parent_roiset: str | None = setting(
        None,
        one_of="inputs.rois.roi-sets.*",
        doc="""ROI set of larger regions that contain the regions of this set. Synapses that lie in one of parent-rois,
        but in no ROI of this set, get a new ROI here, such as MB-unspecified(R) for the parent MB(R).""",
    )
    parent_rois: tuple[str, ...] = setting((), doc="The ROIs of parent-roiset for which that is done.")

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the settings list, before renaming; empty if they come from a file, template or table."""
        return () if isinstance(self.rois, str) else tuple(self.rois)

    def problems(self) -> Iterator[Problem]:
        """`rois` must have the form that `source` asks for, and every name must be usable."""
        if self.is_of_dvid:
            yield from self._dvid_problems()
        if self.source == "unions-of-subrois":
            yield from self._union_problems()
        else:
            yield from self._table_problems()
        yield from self._name_problems()
        yield from self._parent_problems()

    @property
    def is_of_dvid(self) -> bool:
        """Whether a DVID server is asked for the ROIs."""
        return self.source.startswith("dvid")

    def _dvid_problems(self) -> Iterator[Problem]:
        """A labelmap is named exactly where one is read, and the ROIs are listed."""
        if (self.labelmap is None) == (self.source == "dvid-labelmap"):
            wrong = "is required for source: dvid-labelmap" if self.labelmap is None else "is for dvid-labelmap only"
            yield Problem(("labelmap",), wrong, hint="name a labelmap" if self.labelmap is None else "remove it")
        if not self.rois:
            yield Problem(("rois",), f"must list the ROIs for source: {self.source}", hint="write a list of names")
        elif isinstance(self.rois, str) and not self.rois.endswith(".json") and self.source == "dvid-rois":
            yield Problem(("rois",), "a template has no meaning for source: dvid-rois", hint="list the names")

    def _table_problems(self) -> Iterator[Problem]:
        """Ids are positive and distinct, names are listed once, a template gives names."""
        if self.union_source_roiset is not None:
            yield Problem(("union-source-roiset",), f"has no meaning for source: {self.source}", hint="remove it")
        if isinstance(self.rois, str):
            yield from _template_problems(self.rois)
        elif isinstance(self.rois, tuple):
            for name, count in Counter(self.rois).items():
                if name == UNSPECIFIED:
                    yield Problem(("rois", _last_index(self.rois, name)), f"'{name}' is no ROI; do not list it")
                elif count > 1:
                    yield Problem(("rois", _last_index(self.rois, name)), f"'{name}' is listed {count} times")
        else:
            owners: dict[int, str] = {}
            for name, value in self.rois.items():
                if not isinstance(value, int):
                    yield Problem(
                        ("rois", name),
                        f"a list of ROIs has no meaning for source: {self.source}",
                        hint="write an id, or source: unions-of-subrois",
                    )
                elif problem := _id_problem(name, value, owners):
                    yield Problem(("rois", name), problem)

    def _union_problems(self) -> Iterator[Problem]:
        """Unions are lists of ROIs of another set, and no ROI is in two of them."""
        if self.union_source_roiset is None:
            yield Problem(("union-source-roiset",), "is required for source: unions-of-subrois", hint="name an ROI set")
        if isinstance(self.rois, str) and self.rois.endswith(".json"):
            return
        if isinstance(self.rois, str | tuple) or not self.rois:
            yield Problem(("rois",), "must map each union to a list of ROIs", hint="write {union: [ROI, ROI, ...]}")
            return
        owners: dict[str, str] = {}
        for union, subs in self.rois.items():
            if isinstance(subs, int):
                yield Problem(("rois", union), f"must be a list of ROIs, not {subs}")
                continue
            for index, sub in enumerate(subs):
                if sub in owners:
                    yield Problem(("rois", union, index), f"'{sub}' is already part of '{owners[sub]}'")
                owners.setdefault(sub, union)

    def _name_problems(self) -> Iterator[Problem]:
        """Names that end up in tables and databases are usable, and renaming keeps them apart."""
        for index, name in enumerate(self.names):
            if name not in self.rename_rois and name != UNSPECIFIED:
                yield from _usable(name, ("rois", index if isinstance(self.rois, tuple) else name))
        taken = {name: name for name in self.names if name not in self.rename_rois}
        for old, new in self.rename_rois.items():
            yield from _usable(new, ("rename-rois", old))
            if new in taken:
                yield Problem(("rename-rois", old), f"'{old}' and '{taken[new]}' would both be called '{new}'")
            taken.setdefault(new, old)

    def _parent_problems(self) -> Iterator[Problem]:
        """Inheritance needs a parent set, and names from which a new name can be made."""
        if self.parent_rois and self.parent_roiset is None:
            yield Problem(("parent-rois",), "needs parent-roiset, the ROI set that these belong to")
        for index, name in enumerate(self.parent_rois):
            if "unspecified" in name:
                yield Problem(("parent-rois", index), f"'{name}' must not contain the word 'unspecified'")

    def defined(self, name: str) -> tables.RoiSet:
        """The set called `name` as the tables are given it.

        A JSON file is read, and its content held to the rules that bind the settings; DataError if it breaks one.
        """
        entry = self._with_content(name)
        rois, is_union = entry.rois, entry.source == "unions-of-subrois"
        by_name: dict[str, Any] = dict(rois) if isinstance(rois, Mapping) else {}
        if isinstance(rois, tuple):
            by_name = {roi: number for number, roi in enumerate(rois, start=1)}
        return tables.RoiSet(
            name=name,
            source="unions-of-subrois" if is_union else "volume" if entry.is_of_dvid else "point-table",
            ids=by_name if by_name and not is_union else None,
            template=rois if isinstance(rois, str) and rois else None,
            unions={union: tuple(subs) for union, subs in by_name.items()} if is_union else None,
            union_source=entry.union_source_roiset,
            renames=dict(entry.rename_rois),
            parent=entry.parent_roiset,
            parent_rois=entry.parent_rois,
        )

    def _with_content(self, name: str) -> RoiSet:
        """The same settings with the content of the JSON file, if one is named, written out."""
        if not (isinstance(self.rois, str) and self.rois.endswith(".json")):
            return self
        file = Path(self.rois)
        entry = self.model_copy(update={"rois": _json_content(file)})
        raise_all(
            DataError(f"roi-set '{name}': {p.message}", file=file, hint=p.hint or _JSON_FORM) for p in entry.problems()
        )
        return entry


class RoisSettings(Section):
    """Regions of interest, in sets: each set is a layer of regions that do not overlap, and a column of the tables."""

    dvid: DvidVersion = Field(
        default_factory=DvidVersion, description="Where the ROIs are, if they are read from DVID."
    )
    roi_sets: Mapping[str, RoiSet] = setting(
        {},
        doc="The ROI sets by name. The name is that of the set's column in all tables.",
        examples=({"primary": {"source": "point-table"}},),
    )
    processes: int | None = setting(
        None,
        ge=1,
        inherits="job-settings.processes",
        affects_result=False,
        doc="Number of CPUs to use for the ROI sets.",
    )

    def defined(self) -> tables.RoiSets:
        """All sets as the tables are given them, in the settings' order; one DataError for all faulty JSON files."""
        sets, errors = [], []
        for name, entry in self.roi_sets.items():
            try:
                sets.append(entry.defined(name))
            except DataError as error:
                errors.append(error)
        if errors:
            raise DataError.all_of(errors)
        return tables.RoiSets(tuple(sets))

    def problems(self) -> Iterator[Problem]:
        """The sets' own names are usable, and neither inheritance nor unions go in a circle."""
        lowered: dict[str, str] = {}
        for name in self.roi_sets:
            yield from _set_name_problems(name, lowered)
        yield from self._circle("parent-roiset", {name: entry.parent_roiset for name, entry in self.roi_sets.items()})
        yield from self._circle(
            "union-source-roiset", {name: entry.union_source_roiset for name, entry in self.roi_sets.items()}
        )

    def _circle(self, key: str, edges: Mapping[str, str | None]) -> Iterator[Problem]:
        try:
            TopologicalSorter({name: {other} for name, other in edges.items() if other is not None}).prepare()
        except CycleError as error:
            circle = list(reversed(error.args[1]))
            first = min(set(circle), key=list(self.roi_sets).index)
            yield Problem(("roi-sets", first, key), f"goes in a circle: {' -> '.join(circle)}")


_JSON_FORM = "write a JSON list of names, or {name: id}, or for unions {union: [ROI, ROI, ...]}"


def _json_content(file: Path) -> tuple[str, ...] | dict[str, Any]:
    """A list of names, or a mapping of names to ids or to lists of names; anything else is a DataError."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_without_repeats)
    except RecursionError as error:
        raise DataError("is nested too deeply", file=file, hint=_JSON_FORM) from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", file=file, hint=_JSON_FORM) from error
    if isinstance(content, list):
        odd = [repr(entry) for entry in content if not isinstance(entry, str)]
    elif isinstance(content, dict):
        odd = [f"{name!r}: {value!r}" for name, value in content.items() if not _is_id_or_names(value)]
    else:
        raise DataError("holds neither a list nor a mapping", file=file, hint=_JSON_FORM)
    if odd:
        raise DataError("holds entries of another kind", file=file, examples=odd, hint=_JSON_FORM)
    return tuple(content) if isinstance(content, list) else content


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"'{twice}' is listed twice")
    return content


def _is_id_or_names(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(name, str) for name in value)
    return isinstance(value, int) and not isinstance(value, bool)


def _set_name_problems(name: str, lowered: dict[str, str]) -> Iterator[Problem]:
    """A set's name becomes a column and part of file names; `lowered` collects the names seen, in lower case."""
    path = ("roi-sets", name)
    yield from _usable(name, path, what="name of an ROI set")
    if "/" in name:
        yield Problem(path, f"the name of an ROI set may not contain '/', as '{name}' does")
    if name.lower() in RESERVED:
        yield Problem(path, f"'{name}' is the name of another column of the tables", hint="choose another name")
    if name.lower() in lowered:
        yield Problem(path, f"differs from '{lowered[name.lower()]}' only in upper and lower case")
    lowered.setdefault(name.lower(), name)


def _usable(name: str, path: tuple[str | int, ...], what: str = "ROI name") -> Iterator[Problem]:
    try:
        check_roi_name(name)
    except ValueError as error:
        yield Problem(path, str(error).replace("ROI name", what), hint="choose another name")


def _template_problems(text: str) -> Iterator[Problem]:
    if not text or text.endswith(".json"):  # empty text means the table's own names, as {} does
        return
    try:
        NameTemplate(text)
    except ValueError as error:
        yield Problem(("rois",), str(error), hint="write a template, a list, a mapping, or the name of a .json file")


def _id_problem(name: str, value: int, owners: dict[int, str]) -> str:
    """What is wrong with the id of one ROI; `owners` collects the ids seen.  0 is the id of `<unspecified>` alone."""
    if (name == UNSPECIFIED) != (value == 0):
        return f"id 0 is that of '{UNSPECIFIED}' and of nothing else, but '{name}' has id {value}"
    if not 0 <= value <= MAX_ID:
        return f"an id must be a positive whole number below 2^63, not {value}"
    if (owner := owners.setdefault(value, name)) != name:
        return f"'{name}' and '{owner}' have the same id, {value}"
    return ""


def _last_index(names: tuple[str, ...], name: str) -> int:
    return len(names) - 1 - names[::-1].index(name)
