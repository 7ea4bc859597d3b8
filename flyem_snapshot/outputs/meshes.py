"""Meshes of bodies, in neuroglancer's single-resolution format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.log import prefixed
from flyem_snapshot.outputs.body_objects import (
    Objects,
    all_bodies,
    annotated_bodies,
    export_objects,
    with_own_client,
    write_info,
)
from flyem_snapshot.outputs.body_objects_place import pinned_entries, place_of, place_problems, source_of
from flyem_snapshot.outputs.meshes_settings import FOLDER, MeshesSettings, MeshSource
from flyem_snapshot.stage import Context, Stage
from flyem_snapshot.tables.bodies import BodyAnnotations
from flyem_snapshot.tables.segmentation import Segmentation

SUFFIX: Final = ".ngmesh"
KIND: Final = "neuroglancer_legacy_mesh"
_PER_REQUEST: Final = 25
"""Few, since a mesh has megabytes and several requests are in flight."""


def export_meshes(
    config: MeshesSettings,
    ctx: Context,
    *,
    annotations: BodyAnnotations | None,
    dvid_seg: Segmentation | None,
) -> None:
    """Write the meshes of every annotated body, or of every body that has one if there are no annotations.

    Annotated bodies whose status is one of `exclude-statuses` are left out.  For each entry:
    `meshes-<name>/single-res-meshes/<body>.ngmesh` as fetched, `<body>:0` beside it, which names the fragments of the
    body (that one file), `info`, and with annotations `segment_properties/info`.
    """
    for name, entry in config.entries.items():
        with prefixed(name):
            _export(config, ctx, name, entry, annotations, dvid_seg)


def _export(
    config: MeshesSettings,
    ctx: Context,
    name: str,
    entry: MeshSource,
    annotations: BodyAnnotations | None,
    dvid_seg: Segmentation | None,
) -> None:
    place = place_of(name, entry, dvid_seg, FOLDER)
    folder = f"{FOLDER}-{name}/single-res-meshes"

    def files_of(body: int, value: bytes) -> Mapping[str, bytes]:
        manifest = f'{{"fragments": ["{body}{SUFFIX}"]}}'.encode()
        return {f"{folder}/{body}{SUFFIX}": value, f"{folder}/{body}:0": manifest}

    node = with_own_client(place.node(), config.processes or 1)
    objects = Objects(name, FOLDER, node, place.instance, SUFFIX, files_of, _PER_REQUEST)
    bodies = all_bodies(objects) if annotations is None else _wanted(ctx, name, entry, annotations)
    written = export_objects(ctx, objects, bodies)
    write_info(ctx, folder, KIND, annotations, written)


def _wanted(ctx: Context, name: str, entry: MeshSource, annotations: BodyAnnotations) -> list[int]:
    """The annotated bodies whose status is not excluded; one without a status never is."""
    excluded = annotations.status.isin(list(entry.exclude_statuses))
    bodies = annotated_bodies(annotations.frame.index)
    wanted = annotated_bodies(annotations.frame.index[~excluded])
    reason = f"their status is one of {', '.join(entry.exclude_statuses)}"
    ctx.exclusions.add(f"{FOLDER} '{name}'", reason, len(bodies) - len(wanted))
    return wanted


def check_meshes(config: MeshesSettings, whole: Any) -> list[SnapshotError]:
    """Entries must say where they are read from, and that must be there."""
    return place_problems(config.entries, whole, FOLDER)


def source_of_meshes(config: MeshesSettings, whole: Any) -> dict[str, Any] | None:
    """What the server holds: see `Stage.source`."""
    return source_of(config.entries, whole, FOLDER)


STAGE = Stage(
    "meshes",
    "outputs",
    MeshesSettings,
    export_meshes,
    enabled=lambda config: bool(config.entries),
    check=check_meshes,
    pin=pinned_entries,
    source=source_of_meshes,
)
