"""Skeletons of bodies, as SWC and in neuroglancer's precomputed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flyem_snapshot.connectome.swc import SwcError, precomputed_skeleton, read_swc
from flyem_snapshot.errors import SettingError, SnapshotError
from flyem_snapshot.log import prefixed
from flyem_snapshot.outputs.body_objects import (
    Objects,
    UnusableError,
    all_bodies,
    annotated_bodies,
    export_objects,
    with_own_client,
    write_info,
)
from flyem_snapshot.outputs.body_objects_place import pinned_entries, place_of, place_problems, source_of
from flyem_snapshot.outputs.skeletons_settings import FOLDER, SkeletonSource, SkeletonsSettings
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.bodies import BodyAnnotations
from flyem_snapshot.tables.segmentation import Segmentation

SUFFIX: Final = "_swc"
KIND: Final = "neuroglancer_skeletons"
_PER_REQUEST: Final = 200
_NANOMETERS: Final = ("nanometers", "nanometer", "nanometres", "nanometre", "nm")
Resolution = tuple[float, float, float]


def export_skeletons(
    config: SkeletonsSettings,
    ctx: Context,
    *,
    annotations: BodyAnnotations | None,
    dvid_seg: Segmentation | None,
) -> None:
    """Write the skeletons of every annotated body, or of every body that has one if there are no annotations.

    For each entry: `skeletons-<name>/skeletons-swc/<body>.swc` as fetched,
    `skeletons-<name>/skeletons-precomputed/<body>`, its `info`, and with annotations `segment_properties/info`.
    """
    for name, entry in config.entries.items():
        with prefixed(name):
            _export(config, ctx, name, entry, annotations, dvid_seg)


def _export(
    config: SkeletonsSettings,
    ctx: Context,
    name: str,
    entry: SkeletonSource,
    annotations: BodyAnnotations | None,
    dvid_seg: Segmentation | None,
) -> None:
    place = place_of(name, entry, dvid_seg, FOLDER)
    resolution = _resolution(name, entry, dvid_seg)
    swc, precomputed = f"{FOLDER}-{name}/skeletons-swc", f"{FOLDER}-{name}/skeletons-precomputed"

    def files_of(body: int, value: bytes) -> Mapping[str, bytes]:
        try:
            encoded = precomputed_skeleton(read_swc(value), resolution)
        except SwcError as error:
            raise UnusableError(f"not SWC: {error}") from error
        return {f"{swc}/{body}.swc": value, f"{precomputed}/{body}": encoded}

    node = with_own_client(place.node(), config.processes or 1)
    objects = Objects(name, FOLDER, node, place.instance, SUFFIX, files_of, _PER_REQUEST, list(resolution))
    bodies = all_bodies(objects) if annotations is None else annotated_bodies(annotations.frame.index)
    written = export_objects(ctx, objects, bodies)
    write_info(ctx, precomputed, KIND, annotations, written)


def _resolution(name: str, entry: SkeletonSource, dvid_seg: Segmentation | None) -> Resolution:
    """Nanometers of a unit along x, y, z: as set, or the voxel size of the segmentation."""
    if not entry.asks_for_resolution:
        x, y, z = entry.coordinate_resolution_nm
        return x, y, z
    if dvid_seg is None:
        raise _no_resolution(name)
    node = connections.known(dvid_seg.server, dvid_seg.uuid)
    info = Labelmap.open(node, dvid_seg.instance).info
    z, y, x = map(float, info.voxel_size_zyx)
    if info.voxel_units.lower() not in _NANOMETERS or min(x, y, z) <= 0:
        size = f"{x:g} x {y:g} x {z:g} {info.voxel_units}"
        problem = f"is not set, and the voxel size of {dvid_seg.instance} is not known in nanometers: it is {size}"
        raise SettingError((name, "coordinate-resolution-nm"), problem, hint="write nanometers along x, y and z")
    return x, y, z


def _no_resolution(name: str) -> SettingError:
    hint = "write nanometers along x, y and z, or describe the segmentation in inputs.dvid-seg"
    problem = "is not set, and there is no inputs.dvid-seg whose voxel size could be asked for"
    return SettingError((name, "coordinate-resolution-nm"), problem, hint=hint)


def check_skeletons(config: SkeletonsSettings, whole: Any) -> list[SnapshotError]:
    """Entries must say where they are read from, which must be there, and how large a voxel is."""
    problems = place_problems(config.entries, whole, FOLDER)
    if whole.inputs.dvid_seg.server is None:
        problems += [_no_resolution(name) for name, entry in config.entries.items() if entry.asks_for_resolution]
    return problems


def source_of_skeletons(config: SkeletonsSettings, whole: Any) -> dict[str, Any] | None:
    """What the server holds: see `Stage.source`."""
    return source_of(config.entries, whole, FOLDER)


STAGE = Stage(
    "skeletons",
    "outputs",
    SkeletonsSettings,
    export_skeletons,
    enabled=lambda config: bool(config.entries),
    check=check_skeletons,
    pin=pinned_entries,
    source=source_of_skeletons,
)
