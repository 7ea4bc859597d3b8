"""The input stage for roi-sets: settings, JSON files and volumes of a server become definitions."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from flyem_snapshot.config.formula import NameTemplate
from flyem_snapshot.config.walk import settings
from flyem_snapshot.connectome.rois import definition_problems
from flyem_snapshot.errors import DataError, Problem, SettingError
from flyem_snapshot.inputs.rois_settings import RoisSettings
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.sources.dvid.volumes import RoiVolume, volume_from_labelmap, volume_from_rois
from flyem_snapshot.sources.segmentation import reconnected
from flyem_snapshot.sources.versions import pinned, require_instance
from flyem_snapshot.sources.volumes import FOLDER
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.rois import RoiSet, RoiSets

if TYPE_CHECKING:
    from flyem_snapshot.inputs import rois_settings
    from flyem_snapshot.sources.dvid.graph import Node
    from flyem_snapshot.tables.segmentation import Segmentation

logger = logging.getLogger(__name__)


def load_roi_sets(config: RoisSettings, ctx: Context, *, dvid_seg: Segmentation | None) -> RoiSets:
    """The roi-sets in the settings' order, with the content of JSON files in place of their names.

    What a server holds is written to `volumes/<name>-vol.npy` (labels, axes z, y, x), `<name>-box-zyx.json` and
    `<name>-ids.json` ({ROI: label}); `<name>-overlaps.json` says which ROIs share how many blocks, if any do: those
    belong to `b`, the one listed later.
    """
    defined = config.defined()
    made, contents = [], {}
    for roi_set in defined.sets:
        entry = config.roi_sets[roi_set.name]
        if not entry.is_of_dvid:
            made.append(roi_set)
            continue
        volume = _volume(config, entry, roi_set, ctx, dvid_seg)
        contents[roi_set.name] = _digest(volume)
        complete = _with_ids(roi_set, volume)
        _keep(ctx, volume, complete)
        made.append(complete)
    return RoiSets(tuple(made), _state(config, contents) if contents else None)


def _volume(
    config: RoisSettings,
    entry: rois_settings.RoiSet,
    roi_set: RoiSet,
    ctx: Context,
    dvid_seg: Segmentation | None,
) -> RoiVolume:
    node = _node(config)
    if entry.labelmap is not None:
        if dvid_seg is None:
            raise SettingError(
                ("roi-sets", roi_set.name, "source"),
                "a labelmap of ROIs goes with a segmentation in DVID, which inputs.dvid-seg does not name",
                hint="set inputs.dvid-seg.server, or take the ROIs from elsewhere",
            )
        return volume_from_labelmap(node, entry.labelmap, reconnected(dvid_seg, ctx.out.root).labelmap)
    assert roi_set.ids is not None, "the settings list the ROIs"
    volume, overlaps = volume_from_rois(node, roi_set.ids, entry.overlaps)
    if overlaps:
        ctx.out.write_json(f"{FOLDER}/{roi_set.name}-overlaps.json", [asdict(overlap) for overlap in overlaps])
    return volume


def _with_ids(roi_set: RoiSet, volume: RoiVolume) -> RoiSet:
    """The set with the ids of its ROIs: those listed, or those that a template makes of the labels in the volume."""
    if roi_set.template is None:
        return roi_set
    template = NameTemplate(roi_set.template)
    ids: dict[str, int] = {}
    for label in np.unique(volume.array[volume.array > 0]).tolist():
        try:
            name = template(label)
        except ValueError as error:
            problem = f"the template fails for label {label}: {error}"
            raise SettingError(("roi-sets", roi_set.name, "rois"), problem, hint="mend the template") from error
        if name in ids:
            problem = f"the template gives labels {ids[name]} and {label} one name, '{name}'"
            raise SettingError(("roi-sets", roi_set.name, "rois"), problem, hint="give each label its own name")
        ids[name] = label
    return replace(roi_set, ids=ids, template=None)


def _keep(ctx: Context, volume: RoiVolume, roi_set: RoiSet) -> None:
    """Put the three files of a volume in place."""
    assert roi_set.ids is not None, "they were made complete"
    volume.save(ctx.scratch, roi_set.name, roi_set.ids)
    for suffix in ("-vol.npy", "-box-zyx.json", "-ids.json"):
        with ctx.out.create(f"{FOLDER}/{roi_set.name}{suffix}") as path:
            shutil.move(ctx.scratch / f"{roi_set.name}{suffix}", path)


def _node(config: RoisSettings) -> Node:
    assert config.dvid.server is not None, "the version was looked up"
    assert config.dvid.uuid is not None, "the version was looked up"
    return connections.known(config.dvid.server, config.dvid.uuid)


def pin_version(config: RoisSettings, whole: Any) -> RoisSettings:
    """The settings with the full uuid of the version from which ROIs are read."""
    first = next((name for name, entry in config.roi_sets.items() if entry.is_of_dvid), None)
    if first is None:
        return config
    if config.dvid.server is None:
        raise SettingError(
            ("roi-sets", first, "source"),
            f"'{config.roi_sets[first].source}' needs a DVID server, and none is named",
            hint="set inputs.dvid-seg.server or inputs.rois.dvid.server, or write source: point-table",
        )
    config = config.model_copy(update={"dvid": pinned(config.dvid, ("dvid",), whole)})
    _require_instances(config)
    return config


def _require_instances(config: RoisSettings) -> None:
    """Raise SettingError for the first ROI or labelmap that the version does not have."""
    for name, entry in config.roi_sets.items():
        place = ("roi-sets", name)
        if entry.labelmap is not None and entry.is_of_dvid:
            require_instance(_node(config), entry.labelmap, (*place, "labelmap"), "labelmap")
        elif entry.is_of_dvid:
            for number, roi in enumerate(entry.defined(name).ids or ()):
                written = (roi if isinstance(entry.rois, Mapping) else number,) if entry.names else ()
                require_instance(_node(config), roi, (*place, "rois", *written), "roi")


def state(config: RoisSettings, whole: Any) -> Mapping[str, Any] | None:
    """What identifies the ROIs in the server: the instances and the version, or if that can change, their content."""
    of_dvid = {name: entry for name, entry in config.roi_sets.items() if entry.is_of_dvid}
    if not of_dvid:
        return None
    node = _node(config)
    if node.locked:
        return _state(config, {})
    contents = {}
    for roi_set in config.defined().sets:
        entry = of_dvid.get(roi_set.name)
        if entry is None:
            continue
        if entry.labelmap is None:
            contents[roi_set.name] = _digest(volume_from_rois(node, roi_set.ids or {})[0])
        elif whole.inputs.dvid_seg.server:
            seg = whole.inputs.dvid_seg
            segmentation = Labelmap.open(connections.known(seg.server, seg.uuid), seg.instance)
            contents[roi_set.name] = _digest(volume_from_labelmap(node, entry.labelmap, segmentation))
    return _state(config, contents)


def _state(config: RoisSettings, contents: Mapping[str, str]) -> dict[str, Any]:
    node = _node(config)
    labelmaps = [entry.labelmap for entry in config.roi_sets.values() if entry.labelmap]
    found = {name: node.instance(name).data_uuid for name in labelmaps}
    found |= {
        roi: node.instance(roi).data_uuid
        for roi_set in config.defined().sets
        if roi_set.source == "volume" and config.roi_sets[roi_set.name].labelmap is None
        for roi in roi_set.ids or ()
    }
    state: dict[str, Any] = {"uuid": node.uuid, "instances": dict(sorted(found.items()))}
    return state if node.locked else state | {"contents": dict(contents)}


def _digest(volume: RoiVolume) -> str:
    digest = xxhash.xxh3_64(np.ascontiguousarray(volume.array).data)
    digest.update(f"{volume.array.dtype} {volume.box_zyx.tolist()} {volume.unit}".encode())
    return digest.hexdigest()


def check_roi_sets(config: RoisSettings, whole: Any) -> Sequence[Problem | DataError]:
    """Faulty JSON files, and what is certain to go wrong between the roi-sets of one table, whatever its rows."""
    try:
        defined = config.defined()
    except DataError as error:
        return [error]
    chosen = [s.value for s in settings(whole) if s.traits.one_of == "inputs.rois.roi-sets.*"]
    problems = [problem for names in chosen if isinstance(names, tuple) for problem in _together(defined, names)]
    return list(dict.fromkeys(problems))


def _together(defined: RoiSets, names: tuple[str, ...]) -> list[Problem]:
    found = definition_problems(defined.named(names))
    return [Problem(("roi-sets", *problem.path), problem.message, problem.hint) for problem in found]


STAGE = Stage(
    "rois",
    "inputs",
    RoisSettings,
    load_roi_sets,
    version=2,
    produces=RoiSets,
    check=check_roi_sets,
    pin=pin_version,
    source=state,
)
