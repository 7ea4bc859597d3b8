"""The Meta node: what clients know about a dataset before they ask for a neuron."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from flyem_snapshot.config.suggest import closest
from flyem_snapshot.config.yamltext import yaml_text
from flyem_snapshot.connectome.neuprint_files import FOLDER, META, META_DEBUG, META_SETTINGS
from flyem_snapshot.engine.csvfiles import csv_files, quoted_text
from flyem_snapshot.errors import Problem, SettingError
from flyem_snapshot.outputs.neuprint.meta_settings import AUTO, MetaSettings, NeuronColumn, unknown_rois
from flyem_snapshot.outputs.neuprint.roi_tree import Roi, references, roots, twice
from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings
from flyem_snapshot.stage import Context

logger = logging.getLogger(__name__)

MAX_CHOICES: Final = 1000
"""A list to choose from that is longer than this helps nobody, and every client loads it at its start."""

MAX_NAMED: Final = 10
_MAX_INT: Final = 2**31 - 1
_DRAWN: Final = frozenset({"ROI_COLUMNS_PLACEHOLDER", "roiHeatMap", "roiBarGraph"})
"""Columns that the web pages make themselves."""

_MEANINGS: Final = {
    "upstream": "number of incoming synaptic connections (not of partner bodies)",
    "downstream": "number of outgoing synaptic connections (not of partner bodies)",
    "upstreamPartners": "number of bodies that send connections to this one",
    "downstreamPartners": "number of bodies that receive connections from this one",
}
"""Descriptions of columns that users take for something else; used where the meta file gives none."""


@dataclass(frozen=True)
class MetaFacts:
    """What the data say about the dataset.

    `segment_types` has the header type of each Segment property in column order, without id, labels and ROI flags;
    `roi_totals` (pre, post) summed over Segments for every ROI of their roiInfos; `choices` the sorted distinct
    values for each column with `choices: auto`; `roi_sets` the ROIs of each roi-set, in order of their ids;
    `synapse_nt_types` the header type of each property of Synapses that says something of neurotransmitters.
    """

    segment_types: Mapping[str, str]
    roi_totals: Mapping[str, tuple[int, int]]
    total_pre: int
    total_post: int
    choices: Mapping[str, list[Any]]
    roi_sets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    synapse_nt_types: Mapping[str, str] = field(default_factory=dict)


def completed(meta: MetaSettings, roi_sets: Mapping[str, Sequence[str]]) -> tuple[MetaSettings, Roi]:
    """The settings with everything filled in that follows from the rest, and the hierarchy as a tree.

    `roi_sets` has the ROIs of every roi-set that the hierarchy names.  Clients cannot live with an empty list of
    primary ROIs, so they are the ROIs below the root, or the root where there are none.
    """
    root = roots(meta.roi_hierarchy, roi_sets)[0]
    primary = meta.primary_rois or tuple(child.name for child in root.children) or (root.name,)
    overview = meta.overview_rois or tuple(roi for roi in primary if roi not in meta.exclude_from_overview)
    update = {
        "primary_rois": primary,
        "overview_rois": overview or None,
        "non_hierarchical_rois": meta.non_hierarchical_rois or None,
        "roi_hierarchy": {root.name: root.as_mapping() or None},
    }
    return meta.model_copy(update=update), root


def meta_problems(
    meta: MetaSettings, rois: Collection[str], roi_sets: Mapping[str, Sequence[str]]
) -> Iterator[Problem]:
    """What does not fit together, now that the ROIs of the data and of its roi-sets are known.

    Paths begin within the meta file.
    """
    named = references(meta.roi_hierarchy, ("roiHierarchy",))
    unknown = {path: name for path, name in named.items() if name not in roi_sets}
    for path, name in unknown.items():
        similar = closest(name, roi_sets)
        hint = f"did you mean '{similar}'?" if similar else f"the roi-sets are: {', '.join(roi_sets) or 'none'}"
        yield Problem(path, f"there is no roi-set '{name}'", hint)
    if unknown:
        return
    root = roots(meta.roi_hierarchy, roi_sets)[0]
    if repeated := twice(root):
        yield Problem(("roiHierarchy",), f"has ROIs in two places: {_some(repeated)}", "name each of them once")
    known = frozenset(root.names()) | set(meta.non_hierarchical_rois or ())
    if named:  # otherwise these are known since the file was loaded
        yield from unknown_rois(meta, known)
    if lost := sorted(set(rois) - known):
        message = f"lacks ROIs of the data: {_some(lost)}"
        yield Problem(("roiHierarchy",), message, "add them there, or list them in nonHierarchicalROIs")


def refuse_bad_meta(
    config: NeuprintSettings, rois: Collection[str], roi_sets: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Raise SettingError if the meta settings do not fit the ROIs of the data; `roi_sets` as in `MetaFacts`."""
    assert config.meta is not None
    problems = list(meta_problems(config.meta, rois, roi_sets or {}))
    if problems:
        first, *others = problems
        words = [first.message, *(f"{'.'.join(map(str, p.path))}: {p.message}" for p in others)]
        raise SettingError(("meta", *first.path), "\n  and ".join(words), hint=first.hint)


def write_meta(config: NeuprintSettings, ctx: Context, facts: MetaFacts) -> None:
    """Write Neuprint_Meta.csv with one row, the same as JSON for people, and the settings as they were understood."""
    assert config.meta is not None
    refuse_bad_meta(config, facts.roi_totals, facts.roi_sets)
    meta, root = completed(config.meta, facts.roi_sets)
    properties = _properties(meta, root, facts)
    cells = {header: _cell(value) for header, value in properties.items()}
    line = ",".join(quoted_text(text) for text in cells.values()) + "\n"
    with csv_files(ctx.out, [(f"{FOLDER}/{META}", list(properties))], config.compress) as files:
        files.write(pa.array([line]))
    ctx.out.write_json(f"{FOLDER}/{META_DEBUG}", {name.split(":")[0] or name: v for name, v in properties.items()})
    ctx.out.write_text(META_SETTINGS, yaml_text(meta.model_dump(mode="json", by_alias=True)))


def _properties(meta: MetaSettings, root: Roi, facts: MetaFacts) -> dict[str, Any]:
    """The value of each property, by header cell, in column order; a dictionary or a `_Json` is stored as JSON text."""
    total = "long" if max(facts.total_pre, facts.total_post) > _MAX_INT else "int"
    # Without it clients look at one T-bar, whichever comes first, and that may have no prediction.
    nt_types = {"ntSynapseProperties:string": dict(facts.synapse_nt_types)} if facts.synapse_nt_types else {}
    return {
        "dataset:string": meta.dataset,
        "tag:string": meta.tag,
        "voxelSize:float[]": list(meta.voxel_size),
        "voxelUnits:string": meta.voxel_units,
        "info:string": meta.info,
        "logo:string": meta.logo,
        "description:string": meta.description,
        "postHighAccuracyThreshold:float": meta.post_high_accuracy_threshold,
        "preHPThreshold:float": meta.pre_hp_threshold,
        "postHPThreshold:float": meta.post_hp_threshold,
        "primaryRois:string[]": list(meta.primary_rois),
        "nonHierarchicalROIs:string[]": list(meta.non_hierarchical_rois or ()),
        "overviewRois:string[]": list(meta.overview_rois or ()),
        "overviewOrder:string": meta.overview_order,
        "neuronColumnsVisible:string": _Json(meta.neuron_columns_visible),
        "uuid:string": meta.uuid or "unknown",
        "latestMutationId:long": meta.latest_mutation_id,
        "lastDatabaseEdit:string": meta.last_database_edit or "unknown",
        "superLevelRois:string[]": list(meta.primary_rois),
        f"totalPreCount:{total}": facts.total_pre,
        f"totalPostCount:{total}": facts.total_post,
        "neuronProperties:string": dict(facts.segment_types),
        **nt_types,
        "roiHierarchy:string": root.as_json(),
        "roiInfo:string": roi_info(meta, root, facts.roi_totals),
        "neuronColumnsOrdered:string": _Json(_column(meta, column, facts) for column in meta.neuron_columns_ordered),
        "meshHost:string": None,
        ":Label": f"Meta;{meta.dataset}_Meta",
        "hideDataSet:boolean": meta.hide_data_set,
    }


class _Json(list[Any]):
    """A list that is stored as JSON text rather than as an array."""


def _cell(value: Any) -> str:
    """A value as the text of its cell; nothing where the node shall not have the property."""
    match value:
        case None:
            text = ""
        case bool():
            text = "true" if value else "false"
        case dict() | _Json():
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        case list():
            text = ";".join(map(str, value))
        case _:
            text = str(value)
    return text


def roi_info(meta: MetaSettings, root: Roi, totals: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, Any]]:
    """What is known of each ROI, alphabetically.

    ROIs of the lists and the hierarchy are there even if nothing lies in them, since clients look them up; the root
    only if it has counts or is a primary ROI, since it is mostly no region but a heading.
    """
    parents = dict(root.parents())
    listed = {*parents, *meta.primary_rois, *(meta.non_hierarchical_rois or ()), *(meta.overview_rois or ())}
    info = {}
    for roi in sorted({*totals, *listed}):
        pre, post = totals.get(roi, (0, 0))
        info[roi] = {
            "description": meta.roi_descriptions.get(roi, ""),
            "excludeFromOverview": roi in meta.exclude_from_overview,
            "isNerve": roi in meta.nerve_rois,
            "isPrimary": roi in meta.primary_rois,
            "parent": parents.get(roi),
            "post": int(post),
            "pre": int(pre),
        }
    return info


def _column(meta: MetaSettings, column: NeuronColumn, facts: MetaFacts) -> dict[str, Any]:
    """One entry of neuronColumnsOrdered; choices are null where users shall type what they look for."""
    if column.id not in facts.segment_types and column.id not in _DRAWN:
        logger.warning("neuronColumnsOrdered: no neuron has a property '%s'", column.id)
    described = {
        "id": column.id,
        "name": column.name or column.id,
        "choices": _choices(column, facts),
        "searchable": column.searchable,
        "visible": column.id in meta.neuron_columns_visible,
    }
    description = column.description or _MEANINGS.get(column.id)
    return described | {"description": description} if description else described


def _choices(column: NeuronColumn, facts: MetaFacts) -> Any:
    if column.choices != AUTO:
        return list(column.choices) if column.choices is not None else None
    values = facts.choices.get(column.id)
    if values is None:
        return AUTO if column.id not in facts.segment_types else None
    if len(values) > MAX_CHOICES:
        logger.warning(
            "neuronColumnsOrdered: '%s' has %s different values, too many to choose from; users type instead",
            column.id,
            f"{len(values):,}",
        )
        return None
    return values


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{', '.join(names[:MAX_NAMED])}{more}"
