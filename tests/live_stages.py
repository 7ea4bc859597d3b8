"""A small segmentation in a server, and single stages that read it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from flyem_snapshot.inputs.dvid_seg import load_segmentation
from flyem_snapshot.inputs.dvid_seg_settings import DvidSegSettings
from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.tables.segmentation import Segmentation
from tests.contexts import make_context
from tests.dvid_double import DvidDouble
from tests.live_truth import Truth

SHAPE = (64, 64, 128)
TERMS = SimpleNamespace(dvid_timeout=10.0, dvid_user="somebody", processes=4)


class World:
    """Supervoxels of 16 voxels a side, numbered by z, y, x from 1; nothing from x = 96 on."""

    def __init__(self, dvid: DvidDouble, folder: Path) -> None:
        self.dvid, self.folder = dvid, folder
        self.repo = dvid.new_repo("world")
        z, y, x = np.indices(SHAPE) // 16
        cube = 1 + (z * 4 + y) * 8 + x
        cube[:, :, 96:] = 0
        self.seg = self.repo.labelmap("segmentation", cube.astype(np.uint64))
        self.uuid = self.repo.root

    def commit(self) -> str:
        """Lock the version; gives back its uuid and goes on with an open child."""
        locked = self.repo.commit(self.uuid)
        self.uuid = self.repo.child(locked)
        return locked

    def ctx(self, stage: str):
        """What a stage is lent."""
        return make_context(self.folder, stage)

    def settings(self, uuid: str | None = None, **more: Any) -> DvidSegSettings:
        """Of the segmentation at a version."""
        return DvidSegSettings(server=self.dvid.url, uuid=uuid or self.uuid, **more)

    def whole(self, uuid: str | None = None, **inputs: Any) -> SimpleNamespace:
        """A whole configuration, as far as stages look at it."""
        return SimpleNamespace(
            job_settings=TERMS, inputs=SimpleNamespace(dvid_seg=self.settings(uuid), rois=None, **inputs)
        )

    def segmentation(self, uuid: str | None = None, **more: Any) -> Segmentation:
        """The table of the segmentation's stage, asked for anew."""
        connections.forget()
        settings = self.settings(uuid, **more)
        assert settings.server is not None
        connections.node(settings.server, settings.uuid, TERMS)
        return load_segmentation(settings, self.ctx("dvid-seg"))

    def truth(self, uuid: str | None = None) -> Truth:
        """At a version."""
        return Truth(self.seg.labels(uuid or self.uuid))

    def halves(self, layers: int = 8) -> np.ndarray:
        """Every second so many layers along z, to split by."""
        inside = np.zeros(SHAPE, bool)
        inside[(np.arange(SHAPE[0]) // layers) % 2 == 0] = True
        return inside
