"""Skeletons and meshes in a DVID double, for tests of the stages that export them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from flyem_snapshot.connectome.status import as_status_category
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.http import DvidClient
from flyem_snapshot.tables.bodies import BodyAnnotations
from flyem_snapshot.tables.segmentation import Segmentation

BIG = 2**53 + 1
"""A body whose id a float does not hold."""


class Store:
    """A repository with a segmentation of voxels of 8 x 16 x 40 nm (x, y, z), and a key-value instance beside it."""

    def __init__(self, dvid, kind: str) -> None:
        self.dvid, self.kind = dvid, kind
        self.repo = dvid.new_repo("brain")
        self.uuid = self.repo.root
        cube = np.zeros((64, 64, 64), np.uint64)
        self.segmentation = self.repo.labelmap("segmentation", cube, voxel_size=(8, 16, 40))
        self.values = self.repo.keyvalue(f"segmentation_{kind}")
        # A client like that of a job, which does not wait long before it tries again.
        connections.forget()
        connections._clients[dvid.url] = DvidClient(dvid.url, user="tester", pause=0.001, threads=4)

    def dvid_seg(self, **changes) -> Segmentation:
        """The segmentation as the input stage would hand it over."""
        known = {
            "server": self.dvid.url,
            "uuid": self.uuid,
            "instance": "segmentation",
            "repo": self.uuid,
            "data_uuid": "0",
            "locked": True,
            "records": 0,
            "mutid": 0,
            "consistent": True,
            "last": {},
        }
        return Segmentation(**(known | changes))

    def asked_keys(self) -> list[str]:
        """Every key whose value was asked for, in whatever way, with repetitions."""
        keys = []
        for request in self.dvid.requests:
            if request.path.endswith("/keyvalues"):
                keys += request.json()
            elif "/key/" in request.path:
                keys.append(request.path.rpartition("/")[2])
        return keys

    def requests_for_values(self) -> int:
        """How many requests asked for values."""
        return sum("/key" in request.path for request in self.dvid.requests)


def annotated(bodies, status=None, **columns) -> BodyAnnotations:
    """Body annotations."""
    frame = pd.DataFrame(
        {name: pd.array(values, "str") for name, values in columns.items()},
        index=pd.Index(np.array(bodies, np.int64), name="body"),
    )
    frame.insert(0, "status", as_status_category(status if status is not None else [None] * len(bodies)))
    return BodyAnnotations(frame)


def files_below(root: Path) -> dict[str, bytes]:
    """Every file of the output, `cache/` left out."""
    files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: content for name, content in sorted(files.items()) if not name.startswith("cache/")}


def results(path: Path) -> list[tuple[str, str, str]]:
    """The rows of a result table, its header checked."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["key", "success", "reason"]
    return [tuple(row) for row in rows]
