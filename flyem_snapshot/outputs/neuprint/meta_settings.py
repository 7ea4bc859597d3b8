"""The meta file: settings that describe a dataset to neuPrint and its users."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import ConfigDict

from flyem_snapshot.config.formula import check_roi_name
from flyem_snapshot.config.model import Section, setting
from flyem_snapshot.config.suggest import closest
from flyem_snapshot.errors import Problem
from flyem_snapshot.outputs.neuprint.roi_tree import ROISET, hierarchy_problems, roots, unresolved

_IRREGULAR = {
    "post_hp_threshold": "postHPThreshold",
    "pre_hp_threshold": "preHPThreshold",
    "non_hierarchical_rois": "nonHierarchicalROIs",
}
_DATASET = re.compile(r"[a-z0-9_][a-z0-9_.-]*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
AUTO = "auto"


def camel(name: str) -> str:
    """The key in the meta file of a field: `primary_rois` -> `primaryRois`."""
    first, *others = name.split("_")
    return _IRREGULAR.get(name, first + "".join(word.title() for word in others))


class MetaSection(Section):
    """A section with camelCase keys, as neuPrint itself calls these things."""

    model_config = ConfigDict(alias_generator=camel)


class NeuronColumn(MetaSection):
    """One column that neuPrint's web pages can show in tables of neurons."""

    id: str = setting(doc="The property of neurons that the column shows.")
    name: str | None = setting(None, doc="The title of the column. If not set: its id.")
    searchable: bool = setting(True, doc="Whether users can search by this property.")
    choices: str | tuple[str | int | float | bool, ...] | None = setting(
        None,
        doc="""The values that users can choose from when they search: a list, or the word auto for all values that
        occur. If not set, users type what they look for.""",
    )
    description: str | None = setting(None, doc="What the column means; shown when the mouse rests on its title.")

    def problems(self) -> Iterator[Problem]:
        """A text can only be `auto`."""
        if isinstance(self.choices, str) and self.choices != AUTO:
            yield Problem(("choices",), f"must be {AUTO} or a list of values, not '{self.choices}'")


class MetaSettings(MetaSection):
    """Description of a dataset for neuPrint: its name, its regions, and what the web pages show."""

    dataset: str = setting(
        doc="""Name of the dataset, such as hemibrain: lower-case letters, digits and _ . - only. Users and programs
        choose the dataset by this name and the tag.""",
    )
    tag: str | None = setting(None, doc="Version of the dataset, such as v1.2.1; users see dataset:tag.")
    hide_data_set: bool = setting(False, doc="Hide the dataset from the lists of neuPrint's web pages.")
    voxel_size: tuple[float, ...] = setting((8.0, 8.0, 8.0), doc="Size of a voxel in x, y and z, in voxelUnits.")
    voxel_units: str = setting("nanometers", doc="Unit of voxelSize.")
    info: str = setting("https://www.janelia.org/project-team/flyem", doc="Address of a web page about the dataset.")
    logo: str | None = setting(None, doc="Address of a picture that stands for the dataset.")
    description: str | None = setting(None, doc="What the dataset is, in a sentence or two for the web pages.")
    post_high_accuracy_threshold: float = setting(
        0.0,
        ge=0,
        le=1,
        doc="""A connection counts in its bodies' weight if its PSD was detected with at least this confidence. Clients
        leave out synapses below it unless told otherwise.""",
    )
    post_hp_threshold: float = setting(
        0.0,
        ge=0,
        le=1,
        doc="As postHighAccuracyThreshold, for weightHP: connections whose PSD is certain (high precision).",
    )
    pre_hp_threshold: float = setting(
        0.0, ge=0, le=1, doc="Confidence from which a T-bar is certain. It is stored for users, but counts nothing."
    )
    uuid: str | None = setting(
        None,
        doc="""Version of the segmentation in DVID from which the dataset was made. If not set: that of
        inputs.dvid-seg, or unknown.""",
    )
    latest_mutation_id: int = setting(
        0,
        ge=0,
        doc="""Number of the last change to the segmentation that the dataset contains. If it is 0: that which DVID
        tells.""",
    )
    last_database_edit: str | None = setting(
        None,
        doc="""Time of that change, as text in quotes: '2024-01-31 12:00:00'. If not set: what DVID tells of it and of
        the last annotation, or unknown.""",
    )
    neuron_columns_ordered: tuple[NeuronColumn, ...] = setting(
        (
            NeuronColumn(id="bodyId", name="body ID"),
            NeuronColumn(id="type"),
            NeuronColumn(id="status", choices=AUTO),
        ),
        examples=([{"id": "bodyId", "name": "body ID"}, {"id": "type"}, {"id": "status", "choices": "auto"}],),
        doc="The columns that tables of neurons can have, in this order.",
    )
    neuron_columns_visible: tuple[str, ...] = setting(
        ("bodyId", "type", "status"), doc="The ids of those columns that are shown at first."
    )
    primary_rois: tuple[str, ...] = setting(
        (),
        doc="""The main ROIs, which do not overlap: the web pages offer them first, and programs add their counts up.
        If empty: the ROIs right below the root of roiHierarchy.""",
    )
    non_hierarchical_rois: tuple[str, ...] | None = setting(
        None, alias="nonHierarchicalROIs", doc="ROIs that have no place in roiHierarchy."
    )
    overview_rois: tuple[str, ...] | None = setting(
        None,
        doc="ROIs of the heat map on the front page. If not set: primaryRois without excludeFromOverview.",
    )
    overview_order: Literal["clustered", "explicit"] = setting(
        "clustered", doc="Order of the ROIs of the heat map: similar ones together, or as overviewRois lists them."
    )
    roi_hierarchy: Mapping[str, Any] | str = setting(
        inlined=(".json", ".yaml", ".yml"),
        examples=({"CNS": {"OL(R)": ["ME(R)", "LO(R)"], "CX": "roiset://cx"}},),
        doc="""Which ROI contains which, as one tree: {root: {ROI: {ROI: ...}}}. An ROI without parts is followed by
        nothing; a list of names is a list of ROIs without parts. Instead of a mapping or list one may write the name
        of a .json or .yaml file that holds it, or roiset://NAME for all ROIs of an ROI set.""",
    )
    roi_descriptions: Mapping[str, str] = setting(
        {}, examples=({"FB": "fan-shaped body"},), doc="What the names of ROIs stand for, {ROI: text}."
    )
    nerve_rois: tuple[str, ...] = setting((), doc="ROIs that are nerves.")
    exclude_from_overview: tuple[str, ...] = setting((), doc="ROIs that the heat map on the front page leaves out.")

    @property
    def full_name(self) -> str:
        """`dataset:tag`, or the dataset alone if it has no tag."""
        return f"{self.dataset}:{self.tag}" if self.tag else self.dataset

    def problems(self) -> Iterator[Problem]:
        """What the clients or the server could not live with, as far as it shows without data."""
        yield from self._name_problems()
        yield from hierarchy_problems(self.roi_hierarchy, ("roiHierarchy",))
        if len(self.voxel_size) != 3 or min(self.voxel_size, default=0) <= 0:
            yield Problem(("voxelSize",), "must be three numbers above 0, for x, y and z")
        yield from self._column_problems()
        for key, names in self.roi_lists.items():
            yield from _list_problems(key, names)
        if self.hierarchy_rois is not None:
            yield from self._unknown_rois(self.hierarchy_rois)

    def _name_problems(self) -> Iterator[Problem]:
        if not _DATASET.fullmatch(self.dataset):
            message = f"may contain lower-case letters, digits and _ . - only, not '{self.dataset}'"
            hint = "neuPrint's server cannot find the nodes of a dataset that is called otherwise"
            yield Problem(("dataset",), message, hint)
        if self.tag is not None and not _TAG.fullmatch(self.tag):
            yield Problem(("tag",), f"may contain letters, digits and _ . - only, not '{self.tag}'")

    def _column_problems(self) -> Iterator[Problem]:
        """Each column is described once, and the visible ones are."""
        ids = [column.id for column in self.neuron_columns_ordered]
        for index, name in enumerate(ids):
            if name in ids[:index]:
                yield Problem(("neuronColumnsOrdered", index, "id"), f"'{name}' is listed twice")

    @property
    def roi_lists(self) -> Mapping[str, tuple[str, ...]]:
        """Every list of ROIs, the hierarchy aside, by its key in the file."""
        return {
            "primaryRois": self.primary_rois,
            "nonHierarchicalROIs": self.non_hierarchical_rois or (),
            "overviewRois": self.overview_rois or (),
            "nerveRois": self.nerve_rois,
            "excludeFromOverview": self.exclude_from_overview,
            "roiDescriptions": tuple(self.roi_descriptions),
        }

    @property
    def hierarchy_rois(self) -> frozenset[str] | None:
        """The ROIs of the hierarchy; None if it is faulty or names ROI sets, whose ROIs are not known here."""
        faulty = any(hierarchy_problems(self.roi_hierarchy, ()))
        if faulty or unresolved(self.roi_hierarchy):
            return None
        return frozenset(name for root in roots(self.roi_hierarchy, {}) for name in root.names())

    def _unknown_rois(self, known: frozenset[str]) -> Iterator[Problem]:
        yield from unknown_rois(self, known | set(self.non_hierarchical_rois or ()))


def unknown_rois(meta: MetaSettings, known: frozenset[str]) -> Iterator[Problem]:
    """A problem for each ROI that the lists of the meta file name and that is not among the known ones."""
    for key, names in meta.roi_lists.items():
        if key == "nonHierarchicalROIs":
            continue
        for index, name in enumerate(names):
            if name not in known:
                similar = closest(name, sorted(known))
                hint = f"did you mean '{similar}'?" if similar else "add it to roiHierarchy or nonHierarchicalROIs"
                place = name if key == "roiDescriptions" else index
                yield Problem((key, place), f"'{name}' is neither in roiHierarchy nor in nonHierarchicalROIs", hint)


def _list_problems(key: str, names: tuple[str, ...]) -> Iterator[Problem]:
    for index, name in enumerate(names):
        path = (key, name if key == "roiDescriptions" else index)
        try:
            check_roi_name(name)
        except ValueError as error:
            yield Problem(path, str(error))
        if name in names[:index]:
            yield Problem(path, f"'{name}' is listed twice")
        if name.startswith(ROISET):
            yield Problem(path, f"{ROISET}NAME has a meaning in roiHierarchy only", "list the ROIs")
