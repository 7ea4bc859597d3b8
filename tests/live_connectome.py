"""A connectome that lives in a DVID double, and the flat files that say the same: outputs of both must be equal.

The expectations are worked out here from the voxels and the double's own state, with numpy, not by the code under test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import feather

from tests.dvid_double import DvidDouble
from tests.dvid_double.labelmap import Labelmap

SHAPE = (128, 128, 192)
STEP = 16
FIRST = 9_007_199_254_740_993
"""The first supervoxel: 2^53 + 1, which no float can hold."""

STATUSES = ("Traced", "Roughly traced", "Orphan", "Anchor", "", None)


@dataclass
class LiveConnectome:
    """`dvid` holds it at version `locked`, and once more, open to edits, at its child `open`.

    `points` (z, y, x, kind, conf) and `partners` (rows of T-bar and PSD) are what the synapse tables are made of.
    """

    dvid: DvidDouble
    repo: Any
    seg: Labelmap
    locked: str
    open: str
    zyx: np.ndarray
    is_pre: np.ndarray
    conf: np.ndarray
    pairs: np.ndarray
    somata: list[tuple[int, int, int]] = field(default_factory=list)

    # --- truth ------------------------------------------------------------------------------------------------------

    def bodies(self, uuid: str, zyx: np.ndarray) -> np.ndarray:
        """The body of each point at a version, 0 outside, one by one."""
        return np.array([self.seg.body_at(uuid, point) for point in zyx.tolist()], np.int64)

    def supervoxels(self, uuid: str, zyx: np.ndarray) -> np.ndarray:
        """The supervoxel of each point at a version."""
        return np.array([self.seg.supervoxel_at(uuid, point) for point in zyx.tolist()], np.int64)

    # --- files ------------------------------------------------------------------------------------------------------

    def write_synapses(
        self,
        folder: Path,
        *,
        sv: np.ndarray | None = None,
        body: np.ndarray | None = None,
        rois: Mapping[str, list[str | None]] | None = None,
    ) -> None:
        """`points.feather` and `partners.feather`, with what columns are given."""
        columns: dict[str, Any] = {
            "point_id": ids(self.zyx),
            **{axis: self.zyx[:, place].astype(np.int32) for place, axis in enumerate("zyx")},
            "kind": np.where(self.is_pre, "PreSyn", "PostSyn"),
            "conf": self.conf,
        }
        columns |= {} if sv is None else {"sv": sv}
        columns |= {} if body is None else {"body": body}
        columns |= {name: pa.array(values, pa.string()) for name, values in (rois or {}).items()}
        folder.mkdir(parents=True, exist_ok=True)
        feather.write_feather(pa.table(columns), str(folder / "points.feather"))
        points = ids(self.zyx)
        partners = pa.table({"pre_id": points[self.pairs[:, 0]], "post_id": points[self.pairs[:, 1]]})
        feather.write_feather(partners, str(folder / "partners.feather"))

    def config(self, uuid: str, **changes: Any) -> dict[str, Any]:
        """A configuration that reads everything from the server but the synapses' places; see `write_config`."""
        content: dict[str, Any] = {
            "inputs": {
                "dvid-seg": {"server": self.dvid.url, "uuid": uuid},
                "synapses": {"synapse-points": "points.feather", "synapse-partners": "partners.feather"},
                "annotations": {"point-annotations": [{"instance": "nuclei", "column-name": "soma_position"}]},
                "rois": {
                    "roi-sets": {
                        "primary": {"source": "dvid-rois", "rois": ["A(R)", "B(L)", "C"]},
                        "layers": {"source": "dvid-labelmap", "labelmap": "layers", "rois": "layer_{x}"},
                    }
                },
                "elements": {
                    "nuclei": {
                        "dvid-point-annotations": {"instance": "nuclei", "extract-properties": {"radius": "radius"}},
                        "type": "nucleus",
                    }
                },
                "body-sizes": {"load-sizes": True},
            },
            "outputs": {},
        }
        for address, value in changes.items():
            place = content
            *path, last = address.split(".")
            for key in path:
                place = place.setdefault(key, {})
            place[last] = deepcopy(value)  # further addresses may lead into it
        return content


def write_config(folder: Path, content: Mapping[str, Any]) -> Path:
    """The configuration as `config.yaml` in a folder; JSON is YAML."""
    path = folder / "config.yaml"
    path.write_text(json.dumps(content, indent=1))
    return path


def ids(zyx: np.ndarray) -> np.ndarray:
    """Point ids (uint64), as the description of the files says."""
    z, y, x = (zyx[:, axis].astype(np.uint64) for axis in range(3))
    return z << np.uint64(42) | y << np.uint64(21) | x


def cube(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Supervoxels, cubes of 16 voxels numbered from `FIRST`, with a slab of nothing at the end of z."""
    z, y, x = np.indices(shape) // STEP
    count = [-(-side // STEP) for side in shape]
    labels = np.uint64(FIRST) + ((z * count[1] + y) * count[2] + x).astype(np.uint64)
    labels[-STEP // 2 :] = 0
    return labels


def live_connectome(dvid: DvidDouble, *, psds: int = 600, seed: int = 1) -> LiveConnectome:
    """Build it: supervoxels, merges, a cleave, a renumbering and splits; points; annotations, ROIs, nuclei."""
    random = np.random.default_rng(seed)
    repo = dvid.new_repo("live")
    seg = repo.labelmap("segmentation", cube())
    root = repo.root
    all_bodies = np.array(seg.bodies(root), np.uint64)
    groups = np.array_split(random.permutation(all_bodies), 40)
    for group in groups:
        target, *others = sorted(int(body) for body in group)
        seg.merge(root, target, others)
    made = seg.cleave(root, int(min(groups[0])), [int(sv) for sv in sorted(groups[0])[3:6]])
    seg.renumber(root, made + 1000, int(min(groups[1])))
    half = np.zeros(SHAPE, bool)
    half[:, :, : SHAPE[2] // 2 + 5] = True
    seg.split_supervoxel(root, seg.supervoxel_at(root, (20, 20, SHAPE[2] // 2)), half)
    repo.commit(root)
    child = repo.child(root)
    zyx = np.unique(np.stack([random.integers(0, side, 3 * psds) for side in SHAPE], axis=1), axis=0)
    random.shuffle(zyx)
    zyx = zyx[: 2 * psds]
    is_pre = np.arange(len(zyx)) < len(zyx) // 4
    pre, post = np.flatnonzero(is_pre), np.flatnonzero(~is_pre)
    pairs = np.stack([random.choice(pre, len(post)), post], axis=1)
    conf = random.uniform(0.3, 1, len(zyx)).astype(np.float32)
    live = LiveConnectome(dvid, repo, seg, root, child, zyx, is_pre, conf, pairs)
    _annotate(live, random)
    repo.commit(child)
    live.locked = child
    live.open = repo.child(child)
    return live


def _annotate(live: LiveConnectome, random: np.random.Generator) -> None:
    repo, child = live.repo, live.open
    notes = repo.neuronjson("segmentation_annotations")
    bodies = live.seg.bodies(child)
    records = {}
    for number, body in enumerate(bodies[::2]):
        records[body] = {"type": f"T{number % 5}", "instance": f"T{number % 5}_R", "size_class": number}
        if (status := STATUSES[number % len(STATUSES)]) is not None:
            records[body]["status"] = status
    notes.set(child, records)
    nuclei = repo.annotation("nuclei")
    for number, point in enumerate(random.integers(0, min(SHAPE) - STEP, (30, 3)).tolist()):
        nuclei.point(child, tuple(point), radius=str(number / 2))
    for name, (start, stop) in {"A(R)": (0, 3), "B(L)": (2, 5), "C": (5, 6)}.items():
        roi = repo.roi(name)
        inside = np.zeros((4, 4, 6), bool)
        inside[:, :, start:stop] = True
        roi.set_blocks(child, inside)
    layers = np.zeros((64, 64, 64), np.uint64)
    layers[0:2, :4, :6], layers[2:4, :4, :5] = 7, 12
    repo.labelmap("layers", None, voxel_size=(256, 256, 256)).write(child, layers)
    skeletons, meshes = repo.keyvalue("segmentation_skeletons"), repo.keyvalue("segmentation_meshes")
    for body in list(records)[:-2]:
        skeletons.set(child, f"{body}_swc", "# made up\n1 0 1 2 3 1 -1\n2 0 4 5 6 1 1\n")
        meshes.set(child, f"{body}.ngmesh", b"\x00\x00\x00\x00" + str(body).encode())
