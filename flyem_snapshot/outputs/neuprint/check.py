"""What would make the neuPrint export fail, found from settings and headers before anything is read."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from flyem_snapshot.config.formula import name_fault
from flyem_snapshot.config.suggest import closest
from flyem_snapshot.connectome.properties import property_name
from flyem_snapshot.connectome.rois import listed_rois
from flyem_snapshot.errors import DataError, Problem, SnapshotError
from flyem_snapshot.outputs.neuprint.meta import meta_problems
from flyem_snapshot.outputs.neuprint.neuroglancer import state_text
from flyem_snapshot.outputs.neuprint.roi_tree import unresolved
from flyem_snapshot.outputs.neuprint.settings import ElementTotals, NeuprintSettings
from flyem_snapshot.sources.checks import faults_of
from flyem_snapshot.sources.files import open_header

logger = logging.getLogger(__name__)

SEGMENT_COUNTS: Final = frozenset(
    [
        *("post", "pre", "downstream", "upstream", "synweight", "upstreamPartners", "downstreamPartners"),
        *("axonIn", "dendriteIn", "axonOut", "dendriteOut"),
    ]
)
SEGMENT_PROPERTIES: Final = SEGMENT_COUNTS | {"bodyId", "roiInfo", "size", "status", "statusLabel"}
PREDICTED_PROPERTIES: Final = frozenset(
    [
        *("totalNtPredictions", "predictedNt", "predictedNtConfidence"),
        *("celltypeTotalNtPredictions", "celltypePredictedNt", "celltypePredictedNtConfidence"),
        *("consensusNt", "ntReference", "otherNt", "otherNtReference"),
    ]
)
"""Those of Segments that neurotransmitters may give, apart from one for each transmitter, which the table names."""
ELEMENT_PROPERTIES: Final = frozenset({"type", "bodyId", "location"})
POINT_PROPERTIES: Final = ELEMENT_PROPERTIES | {"confidence"}
_NOT_EXPORTED: Final = frozenset({"x", "y", "z", "point_id", "sv", "body", "conf", "kind", "split"})


def check_neuprint(config: NeuprintSettings, whole: Any) -> list[Problem | SnapshotError]:
    """Everything that settings and headers tell; the meta file's own rules were checked when it was loaded."""
    if config.meta is None:
        return [Problem(("meta",), "is required for the neuPrint export, but not set")]
    found = _Check(config, whole)
    problems: list[Problem | SnapshotError] = [
        *found.meta(),
        *found.compartments(),
        *found.synapse_properties(),
        *found.elements(),
        *found.indexes(),
        *found.name_clashes(),
    ]
    if config.neuroglancer.json_state is not None and config.neuroglancer.json_state.is_file():
        problems += faults_of(lambda: state_text(config))
    return problems


class _Check:
    """The checks of one configuration; each yields problems whose paths begin within the stage's section."""

    def __init__(self, config: NeuprintSettings, whole: Any) -> None:
        self.config = config
        self.inputs = whole.inputs
        elements = getattr(whole.inputs, "elements", None)
        self.tables: Mapping[str, Any] = elements.tables if elements is not None else {}

    @cached_property
    def rois(self) -> dict[str, tuple[str, ...] | None]:
        """The ROIs of each roi-set, in order of their ids; None for a set whose ROIs only the tables know."""
        section = getattr(self.inputs, "rois", None)
        try:
            defined = section.defined().sets if section is not None else ()
        except DataError:  # the stage that defines them tells of that
            return {}
        return {roi_set.name: listed_rois(roi_set) for roi_set in defined}

    @property
    def exported_rois(self) -> dict[str, str]:
        """The ROIs that become flags, as far as they are known, with the name of their roi-set."""
        names = self.config.roi_set_names if self.config.roi_set_names is not None else tuple(self.rois)
        return {roi: name for name in names for roi in self.rois.get(name) or ()}

    @property
    def predicted(self) -> frozenset[str]:
        """The properties of Segments that say something of neurotransmitters, as far as they are known."""
        section = getattr(self.inputs, "neurotransmitters", None)
        from_cave = getattr(getattr(self.inputs, "cave", None), "gives_transmitters", False)
        predicted = from_cave or (section is not None and section.synister_feather is not None)
        return PREDICTED_PROPERTIES if predicted else frozenset()

    def meta(self) -> Iterator[Problem]:
        """The hierarchy with its roi-sets put in, if their ROIs are known; a missing ROI is wrong only if it occurs."""
        meta = self.config.meta
        assert meta is not None
        wanted = unresolved(meta.roi_hierarchy)
        if wanted and all(name in self.rois for name in wanted) and None in map(self.rois.get, wanted):
            return  # their ROIs stand in the tables
        resolved = {name: rois or () for name, rois in self.rois.items()}
        for problem in meta_problems(meta, (), resolved):
            yield Problem(("meta", *problem.path), problem.message, problem.hint)

    def compartments(self) -> Iterator[Problem]:
        """Compartments are those of the synapses."""
        column = getattr(getattr(self.inputs, "synapses", None), "compartment_column", None)
        if self.config.compartment_column not in (None, column):
            shown = column or "not set"
            message = f"is '{self.config.compartment_column}', but inputs.synapses.compartment-column is {shown}"
            yield Problem(("compartment-column",), message, "write the same name in both, or only there")

    def synapse_properties(self) -> Iterator[Problem]:
        """Properties are computed for roi-sets that are exported."""
        known = self.config.roi_set_names if self.config.roi_set_names is not None else tuple(self.rois)
        for name in self.config.roi_synapse_properties:
            if name not in known:
                yield _unknown(("roi-synapse-properties", name), name, known, "an ROI set of roi-set-names")

    def elements(self) -> Iterator[Problem]:
        """Labels and totals are for element tables that exist, and each total has a name of its own."""
        for key, named in (
            ("element-labels", self.config.element_labels),
            ("element-totals", self.config.element_totals),
        ):
            for name in named:
                if name not in self.tables:
                    yield _unknown((key, name), name, self.tables, "an entry of inputs.elements")
        owners: dict[tuple[str, str], str] = {}
        for name, totals in self.config.element_totals.items():
            yield from self._totals(name, totals, owners)

    def _totals(self, element: str, totals: ElementTotals, owners: dict[tuple[str, str], str]) -> Iterator[Problem]:
        path = ("element-totals", element)
        for key, name in totals.names.items():
            taken = SEGMENT_COUNTS if "roi" in key else SEGMENT_PROPERTIES | self.predicted
            owner = owners.setdefault((key, name), element)
            if name in taken:
                yield Problem((*path, key), f"'{name}' is a property of Segments already", "choose another name")
            elif owner != element:
                yield Problem((*path, key), f"'{name}' is the name for '{owner}' already", "choose another name")
        columns = self._columns(element)
        if element in self.tables and self.tables[element].point_table is None and totals != ElementTotals():
            yield Problem(path, f"'{element}' has no point-table whose elements could be counted", "remove the entry")
        column = totals.compute_kind_totals_for_column
        if column is not None and columns is not None and column not in columns - _NOT_EXPORTED:
            place = (*path, "compute-kind-totals-for-column")
            yield _unknown(
                place, column, sorted(columns - _NOT_EXPORTED), f"a column of {self.tables[element].point_table}"
            )

    def _columns(self, element: str) -> frozenset[str] | None:
        """The columns of an element table, with the type that the settings may give; None if they are not known."""
        table = self.tables.get(element)
        if table is None or table.point_table is None:
            return None
        names = _header(table.point_table)
        return None if names is None else names | {"type"}

    def indexes(self) -> Iterator[Problem]:
        """Element indexes are for labels that some elements have; an unknown excluded roi-set excludes nothing."""
        labels = {label for name in self.config.element_labels if (label := self.config.label_of(name))}
        for number, entry in enumerate(self.config.indexes.element_roisets_to_index):
            plain = entry.neuprint_label.lstrip(":")
            if plain not in labels:
                path = ("indexes", "element-roisets-to-index", number, "neuprint-label")
                yield _unknown(path, plain, sorted(labels), "a label of element-labels")
        for name in self.config.indexes.exclude_roisets:
            if name not in self.rois:
                logger.warning("outputs.neuprint.indexes.exclude-roisets: there is no roi-set '%s'", name)

    def name_clashes(self) -> Iterator[Problem | SnapshotError]:
        """An ROI is a property of Segments, Synapses and Elements, so nothing else may be called like it."""
        rois = self.exported_rois
        for kind, names in self._properties().items():
            for name in sorted(names & rois.keys()):
                message = f"ROI '{name}' of roi-set '{rois[name]}' has the name of a property of {kind}"
                hint = "rename the ROI (inputs.rois.roi-sets.<name>.rename-rois) or the property"
                yield DataError(message, hint=hint)
            for name in sorted(names):
                if fault := name_fault(name):
                    hint = "rename the column in the input table, or leave it out"
                    yield DataError(f"{kind} would have a property {name!r}, whose name {fault}", hint=hint)
        for roi_set, formulas in self.config.roi_synapse_properties.items():
            for name in formulas:
                if name in POINT_PROPERTIES:
                    path = ("roi-synapse-properties", roi_set, name)
                    yield Problem(path, f"'{name}' is a property of every synapse already", "choose another name")

    def _properties(self) -> dict[str, frozenset[str]]:
        """The properties of each kind of node, ROIs aside, as far as they are known."""
        config = self.config
        computed = {name for formulas in config.roi_synapse_properties.values() for name in formulas}
        totals = {name for t in config.element_totals.values() for name in t.names.values()}
        points = _header(getattr(getattr(self.inputs, "synapses", None), "synapse_points", None)) or frozenset()
        sets = self.rois.keys() | {f"{name}_label" for name in self.rois}
        found = {
            "Segments": SEGMENT_PROPERTIES | self.predicted | totals | self._annotations(),
            "Synapses": POINT_PROPERTIES | computed | (points - _NOT_EXPORTED - sets),
        }
        for name in self.tables:
            columns = self._columns(name) or frozenset()
            found[f"elements '{name}'"] = ELEMENT_PROPERTIES | computed | (columns - _NOT_EXPORTED - sets)
        return found

    def _annotations(self) -> set[str]:
        """The properties that annotations become."""
        section = getattr(self.inputs, "annotations", None)
        columns = _header(section.body_annotations_table) if section is not None else None
        if section is None or columns is None:
            return set()
        renamed = {section.rename_annotation_columns.get(name, name) for name in columns - {"body"}}
        chosen = self.config.annotation_property_names
        return {chosen.get(name, property_name(name)) for name in renamed if name} - {""}


def _header(path: Any) -> frozenset[str] | None:
    """The columns of a table; None if there is none or it cannot be read, which others tell of."""
    if path is None:
        return None
    try:
        return frozenset(open_header(path)[0].names)
    except DataError:
        return None


def _unknown(path: tuple[str | int, ...], name: str, known: Any, what: str) -> Problem:
    """A problem with a name that is not among the known ones."""
    similar = closest(name, known)
    hint = f"did you mean '{similar}'?" if similar else f"known are: {', '.join(known) or 'none'}"
    return Problem(path, f"'{name}' is not {what}", hint)
