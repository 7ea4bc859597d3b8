"""Settings of the neuPrint database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, field_validator

from flyem_snapshot.config.formula import Formula, check_roi_name
from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.errors import Problem
from flyem_snapshot.outputs.neuprint.meta_settings import MetaSettings

RESERVED_LABELS = frozenset({"Cell", "ElementSet", "Meta", "Neuron", "Segment", "Synapse", "SynapseSet"})
"""Labels that have a meaning of their own, so that no kind of element can have them."""


class Replacements(Section):
    """Texts that are replaced in the neuroglancer template, and what with. Further ones may be added by any name."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"SEGMENTATION_NAME": "segments-v1"}]})
    __pydantic_extra__: dict[str, str]

    DATASET_AND_TAG: str | None = setting(
        None,
        alias="DATASET_AND_TAG",
        doc="Replaces the text DATASET_AND_TAG. If not set: dataset:tag of the meta file, without :tag if it has none.",
    )
    DVID_UUID: str | None = setting(
        None, alias="DVID_UUID", doc="Replaces the text DVID_UUID. If not set: uuid of the meta file."
    )
    VERSION_TAG: str | None = setting(
        None, alias="VERSION_TAG", doc="Replaces the text VERSION_TAG. If not set: tag of the meta file."
    )

    @property
    def others(self) -> Mapping[str, str]:
        """The replacements under names of the user's own choice."""
        return self.__pydantic_extra__


class NeuroglancerSettings(Section):
    """The view that neuPrint's web pages open in neuroglancer."""

    json_state: Path | None = setting(
        None,
        input_file=True,
        doc="""Template of a neuroglancer state (JSON). Its text is copied to <dataset:tag>.json with the replacements
        below. If not set, no state is written.""",
    )
    replacements: Replacements = Replacements()


class NeuronLabelCriteria(Section):
    """What makes a body a Neuron of the database rather than only a Segment: any one of these is enough."""

    synweight: float = setting(100.0, ge=0, doc="At least this many synaptic connections, incoming and outgoing.")
    pre: float = setting(100.0, ge=0, doc="At least this many T-bars.")
    post: float = setting(100.0, ge=0, doc="At least this many PSDs.")
    properties: tuple[str, ...] = setting(
        ("rootLocation", "somaLocation", "class", "type", "instance", "group", "somaSide", "synonyms"),
        doc="Any of these properties (as they are called in the database) is known.",
    )
    status: tuple[str, ...] = setting(("Traced", "Anchor"), doc="Its status, in the simplified form, is one of these.")
    excluded_status: tuple[str, ...] = setting(
        ("Unimportant", "Glia"),
        doc="A body with one of these simplified statuses is no Neuron, whatever else is true of it.",
    )


class ElementTotals(Section):
    """Which totals of one element table are stored with every Segment."""

    compute_segment_totals_with_name: str | None = setting(
        None, doc="Store the number of elements on each body in a property of this name, such as totalMito."
    )
    compute_roi_totals_with_name: str | None = setting(
        None,
        doc="""Store the number of elements on each body in each ROI, as this key of roiInfo. neuPrint's clients know
        the key mito.""",
    )
    compute_kind_totals_for_column: str | None = setting(
        None, doc="Store the number of elements of each kind on each body; the kind stands in this column of the table."
    )

    @property
    def names(self) -> Mapping[str, str]:
        """The names of totals by the key of the setting that gives them."""
        given = {
            "compute-segment-totals-with-name": self.compute_segment_totals_with_name,
            "compute-roi-totals-with-name": self.compute_roi_totals_with_name,
        }
        return {key: name for key, name in given.items() if name is not None}

    def problems(self) -> Iterator[Problem]:
        """The names can be those of properties."""
        for key, name in self.names.items():
            yield from usable_name(name, (key,), "name of a property")


class ElementRoiIndexes(Section):
    """Indexes for one kind of element."""

    neuprint_label: str = setting(doc="The label of the elements, one of those in element-labels.")
    roisets: tuple[str, ...] = setting(
        (),
        one_of="outputs.neuprint.roi-set-names",
        doc="Each ROI of these ROI sets gets an index for elements with this label.",
    )


class IndexSettings(Section):
    """Which indexes the script create-indexes.cypher makes. They make queries fast, but take space and time."""

    exclude_properties: tuple[str, ...] = setting(
        ("roiInfo", "notes"), doc="Properties of Segments, including ROIs, that get no index."
    )
    exclude_roisets: tuple[str, ...] = setting((), doc="ROI sets whose ROIs get no indexes for Segments.")
    element_roisets_to_index: tuple[ElementRoiIndexes, ...] = setting(
        (),
        examples=([{"neuprint-label": "Mito", "roisets": ["primary"]}],),
        doc="ROI sets whose ROIs get indexes for elements, by the label of the elements.",
    )
    find_neurons_fulltext_index_properties: tuple[str, ...] = setting(
        ("type", "instance", "synonyms"),
        doc="Properties that the search box of neuPrint's web pages searches.",
    )


class NeuprintSettings(Section):
    """The neuPrint database, as CSV files for neo4j's import command, in `neuprint/`."""

    export_neuprint_snapshot: bool = setting(False, doc="Write the files of the neuPrint database.")
    meta: MetaSettings | None = setting(
        None,
        own_file=True,
        doc="""File (YAML) that describes the dataset: its name, its ROIs and what the web pages show. Print one to
        start from with flyem-snapshot -M. Its content may also be written here. Required for the export.""",
    )
    neuroglancer: NeuroglancerSettings = NeuroglancerSettings()
    roi_set_names: tuple[str, ...] | None = setting(
        None,
        inherits="inputs.synapses.roi-set-names",
        one_of="inputs.synapses.roi-set-names",
        doc="The ROI sets whose ROIs become ROIs of the database.",
    )
    compartment_column: str | None = setting(
        None,
        inherits="inputs.synapses.compartment-column",
        doc="Column of the point table that says in which part of its neuron a synapse lies (axon, dendrite, ...).",
    )
    restrict_info_totals_to_roiset: str | None = setting(
        None,
        one_of="inputs.synapses.roi-set-names",
        doc="""Leave out every synapse and element that does not lie in some ROI of this ROI set, before anything is
        counted.""",
    )
    restrict_connectivity_to_roiset: str | None = setting(
        None,
        one_of="inputs.synapses.roi-set-names",
        doc="""Write only bodies with a connection whose PSD lies in some ROI of this ROI set, and only those
        connections.""",
    )
    restrict_elements_to_roiset: str | None = setting(
        None,
        one_of="inputs.rois.roi-sets.*",
        doc="Write only elements that lie in some ROI of this ROI set; the totals still count all of them.",
    )
    roi_synapse_properties: Mapping[str, Mapping[str, str]] = setting(
        {},
        examples=({"layer": {"layerNumber": "x % 100"}},),
        doc="""Properties of synapses and elements that are computed from the id x of the ROI in which they lie, for
        each ROI set: {ROI set: {property: formula}}. A formula consists of whole numbers, x, + - * // %, comparisons,
        'a if b else c', abs, min and max; an empty one stands for x.""",
    )
    neuron_label_criteria: NeuronLabelCriteria = NeuronLabelCriteria()
    annotation_property_names: Mapping[str, str] = setting(
        {},
        examples=({"cell_type": "type", "internal_note": ""},),
        doc="""Names of properties for columns of the annotations, {column: property}; '' leaves a column out. Other
        columns are renamed by rule: cell_body_fiber becomes cellBodyFiber.""",
    )
    keep_non_synaptic_segments: bool = setting(
        False, doc="Also write annotated bodies that have neither synapses nor elements."
    )
    element_labels: Mapping[str, str] = setting(
        {},
        examples=({"mito": "Mito"},),
        doc="""A further label for the elements of a table, {element table: label}. A colon before the label is
        ignored.""",
    )
    element_totals: Mapping[str, ElementTotals] = setting(
        {},
        examples=({"mito": {"compute-segment-totals-with-name": "mito", "compute-roi-totals-with-name": "mito"}},),
        doc="Totals to store with every Segment, by element table.",
    )
    indexes: IndexSettings = IndexSettings()
    max_segment_files: int = setting(
        30_000,
        ge=1,
        doc="""Segments with the same ROIs share a file. If that makes more files than this, files are merged, which
        gives the same database.""",
    )
    processes: int | None = setting(
        None,
        ge=1,
        inherits="job-settings.processes",
        affects_result=False,
        doc="Number of CPUs to use for the neuPrint files.",
    )
    consistent_totals: bool = setting(
        False,
        doc="""Count only synapses with a confidence of at least postHighAccuracyThreshold (in the meta file) in every
        total. If false, as neuPrint has always done it, downstream and the connection weights count only those, but
        pre, post and upstream count all.""",
    )
    keep_zero: tuple[Literal["pre", "post"], ...] = setting(
        (),
        doc="""Counts of a Segment's roiInfo that are written even if they are 0. The web pages show odd percentages
        where one of the two is missing, but zeros make the database larger. Allowed are pre and post.""",
    )
    compress: Literal["gzip"] | None = setting(
        None, doc="Compress the CSV files; neo4j imports them as they are. Names then end in .csv.gz."
    )

    @field_validator("roi_synapse_properties", mode="after")
    @classmethod
    def _empty_formula_is_x(cls, value: Mapping[str, Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
        return {name: {key: text or "x" for key, text in formulas.items()} for name, formulas in value.items()}

    def label_of(self, element: str) -> str | None:
        """The additional label of the elements of a table, without the colon; None if it has none."""
        return self.element_labels[element].lstrip(":") if element in self.element_labels else None

    @property
    def dataset_and_tag(self) -> str:
        """`dataset:tag`, or the dataset alone if it has no tag; empty without meta settings."""
        return self.meta.full_name if self.meta is not None else ""

    def problems(self) -> Iterator[Problem]:
        """The export is described, formulas can be computed, and names can be those of properties and labels."""
        if self.export_neuprint_snapshot and self.meta is None:
            hint = "name a file that describes the dataset; print one to start from: flyem-snapshot -M"
            yield Problem(("meta",), "is required for the neuPrint export, but not set", hint)
        for roi_set, formulas in self.roi_synapse_properties.items():
            for name, text in formulas.items():
                path = ("roi-synapse-properties", roi_set, name)
                yield from usable_name(name, path, "name of a property")
                yield from _formula_problems(text, path)
        for column, name in self.annotation_property_names.items():
            if name:
                yield from usable_name(name, ("annotation-property-names", column), "name of a property")
        for element, label in self.element_labels.items():
            yield from _label_problems(label, ("element-labels", element))
        for index, kind in enumerate(self.keep_zero):
            if kind in self.keep_zero[:index]:
                yield Problem(("keep-zero", index), f"'{kind}' is listed twice")


def usable_name(name: str, path: tuple[str | int, ...], what: str) -> Iterator[Problem]:
    """A problem if the CSV header or the database could not hold a name, such as the 'name of a property'."""
    try:
        check_roi_name(name)
    except ValueError as error:
        yield Problem(path, str(error).replace("an ROI name", f"the {what}").replace("ROI name", what))


def _formula_problems(text: str, path: tuple[str | int, ...]) -> Iterator[Problem]:
    try:
        Formula(text)
    except ValueError as error:
        yield Problem(path, str(error))


def _label_problems(label: str, path: tuple[str | int, ...]) -> Iterator[Problem]:
    plain = label.lstrip(":")
    yield from usable_name(plain, path, "label")
    if plain in RESERVED_LABELS:
        yield Problem(path, f"'{plain}' is the label of another kind of node", "choose another label")
