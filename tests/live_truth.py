"""What a `LiveConnectome` holds, worked out from its voxels with numpy, and flat files that say just that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import feather

from tests.dvid_double.labels import Labels
from tests.live_connectome import LiveConnectome, ids

UNSPECIFIED: Final = "<unspecified>"
ROIS: Final = ("A(R)", "B(L)", "C")
LAYERS: Final = {"layer_7": 7, "layer_12": 12}
MITO: Final = 40


class Truth:
    """Supervoxels, bodies and sizes of one state of the segmentation, from its voxels and its map."""

    def __init__(self, state: Labels) -> None:
        self.cube = state.cube
        self.svs, counts = counted(self.cube)
        owner = dict(zip(*(entry.tolist() for entry in state.entries), strict=True))
        self.owners = np.array([owner.get(sv, sv) for sv in self.svs.tolist()], np.uint64)
        self.empty = {sv for sv, body in owner.items() if body} - set(self.svs.tolist())
        self.sizes: dict[int, int] = {}
        for body, count in zip(self.owners.tolist(), counts.tolist(), strict=True):
            self.sizes[body] = self.sizes.get(body, 0) + count
        self.sizes.pop(0, None)
        self.shared = {body for body in self.sizes if np.count_nonzero(self.owners == body) > 1}

    @classmethod
    def at(cls, live: LiveConnectome, uuid: str) -> Truth:
        """The truth at a version."""
        return cls(live.seg.labels(uuid))

    def supervoxels(self, zyx: np.ndarray) -> np.ndarray:
        """The supervoxel of each point, 0 outside."""
        found = np.zeros(len(zyx), np.int64)
        inside = ((zyx >= 0) & (zyx < self.cube.shape)).all(axis=1)
        found[inside] = self.cube[tuple(zyx[inside].T)]
        return found

    def bodies(self, zyx: np.ndarray) -> np.ndarray:
        """The body of each point, 0 outside."""
        found = self.supervoxels(zyx).astype(np.uint64)
        return np.where(found == 0, 0, self.owners[np.searchsorted(self.svs, found).clip(0, len(self.svs) - 1)]).astype(
            np.int64
        )

    def mapping(self) -> dict[int, int]:
        """The body of each supervoxel that is one of several of its body, or whose body has another number."""
        pairs = zip(self.svs.tolist(), self.owners.tolist(), strict=True)
        return {sv: body for sv, body in pairs if body and (body in self.shared or body != sv)}


_COUNTED: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}


def counted(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The supervoxels of a cube (sorted), and how many voxels each has; most states share their cube."""
    if id(cube) not in _COUNTED:
        if len(_COUNTED) > 10:
            _COUNTED.clear()
        _COUNTED[id(cube)] = (cube, *np.unique(cube, return_counts=True))  # with the cube, so that its id stays its own
    return _COUNTED[id(cube)][1:]


def roi_names(zyx: np.ndarray) -> dict[str, list[str | None]]:
    """The ROI of each point in both roi-sets, None outside; the instances overlap, and the one listed last counts."""
    z, _, x = (zyx // 32).T
    primary = np.select([x >= 5, x >= 2], ["C", "B(L)"], "A(R)")
    layers = np.select([z < 2, (z < 4) & (x < 5)], ["layer_7", "layer_12"], "")
    return {"primary": primary.tolist(), "layers": [name or None for name in layers.tolist()]}


def mito(live: LiveConnectome) -> pa.Table:
    """Elements of a file: two kinds, a property, and no word of bodies."""
    random = np.random.default_rng(5)
    zyx = random.integers(0, 120, (MITO, 3)).astype(np.int32)
    assert not np.isin(ids(zyx), ids(live.zyx)).any()
    columns = {axis: zyx[:, place] for place, axis in enumerate("zyx")}
    kinds = np.where(random.random(MITO) < 0.5, "mitochondrion", "something else")
    return pa.table({**columns, "type": kinds, "width": random.integers(1, 9, MITO)})


def zyx_of(table: pa.Table) -> np.ndarray:
    """The coordinates of the rows of a table."""
    return np.stack([table[axis].to_numpy() for axis in "zyx"], axis=1)


def nuclei(live: LiveConnectome, uuid: str) -> pa.Table:
    """The annotated points, by z, y, x, and their radius."""
    instance = live.repo.instances["nuclei"]
    blocks = instance.elements.at(live.repo.node(uuid)).values()
    points = sorted((*e["Pos"][::-1], float(e["Prop"]["radius"])) for block in blocks for e in block or [])
    z, y, x, radius = zip(*points, strict=True)
    return pa.table({"z": z, "y": y, "x": x, "radius": radius})


def annotations(live: LiveConnectome, uuid: str) -> pa.Table:
    """The annotations of all bodies, and the first nucleus of each; bodies that have only a nucleus come last."""
    records = live.repo.instances["segmentation_annotations"].records.at(live.repo.node(uuid))
    points = nuclei(live, uuid)
    soma: dict[int, list[int]] = {}
    for body, *xyz in zip(
        Truth.at(live, uuid).bodies(zyx_of(points)).tolist(), *(points[a].to_pylist() for a in "xyz"), strict=True
    ):
        if body:
            soma.setdefault(body, xyz)
    bodies = [*sorted(records), *(body for body in soma if body not in records)]
    fields = {
        name: [records.get(body, {}).get(name, "" if name == "status" and body in records else None) for body in bodies]
        for name in ("instance", "size_class", "status", "type")
    }
    return pa.table(
        {"body": bodies, **fields, "soma_position": pa.array([soma.get(b) for b in bodies], pa.list_(pa.int64()))}
    )


def write_flat(live: LiveConnectome, uuid: str, folder: Path, live_config: Mapping[str, Any]) -> dict[str, Any]:
    """Write all that the server holds at a version as files, and return the same configuration without a server."""
    truth = Truth.at(live, uuid)
    folder.mkdir(parents=True)
    live.write_synapses(folder, sv=truth.supervoxels(live.zyx), body=truth.bodies(live.zyx), rois=roi_names(live.zyx))
    for name, table in (("mito", mito(live)), ("nuclei", nuclei(live, uuid))):
        zyx = zyx_of(table)
        rois = {key: pa.array(values) for key, values in roi_names(zyx).items()}
        given = {column: table[column] for column in table.column_names}
        complete = pa.table({**given, "body": truth.bodies(zyx), **rois})
        feather.write_feather(complete, str(folder / f"{name}.feather"))
    feather.write_feather(annotations(live, uuid), str(folder / "annotations.feather"))
    sizes = {"body": list(truth.sizes), "size": list(truth.sizes.values())}
    feather.write_feather(pa.table(sizes), str(folder / "sizes.feather"))
    inputs = {
        "synapses": live_config["inputs"]["synapses"],
        "annotations": {"body-annotations-table": "annotations.feather"},
        "rois": {
            "roi-sets": {
                "primary": {"source": "point-table", "rois": {name: n + 1 for n, name in enumerate(ROIS)}},
                "layers": {"source": "point-table", "rois": LAYERS},
            }
        },
        "elements": {
            "nuclei": {"point-table": "nuclei.feather", "type": "nucleus"},
            "mito": {"point-table": "mito.feather"},
        },
        "body-sizes": {"load-sizes": True, "cache-file": "sizes.feather"},
    }
    return {**live_config, "inputs": inputs}
