"""From a segmentation as it is remembered to the server that holds it."""

from __future__ import annotations

from pathlib import Path

from flyem_snapshot.sources.dvid import connections
from flyem_snapshot.sources.dvid.frozen import Frozen, Moment
from flyem_snapshot.sources.dvid.labelmap import Labelmap
from flyem_snapshot.sources.dvid.mapping import SupervoxelMap
from flyem_snapshot.tables.segmentation import Segmentation


def reconnected(segmentation: Segmentation, root: Path) -> Frozen:
    """The labelmap as it was at the moment of the snapshot; `root` is the output directory."""
    node = connections.known(segmentation.server, segmentation.uuid)
    labelmap = Labelmap.open(node, segmentation.instance)
    folder = segmentation.map_folder
    mapping = None if folder is None else SupervoxelMap.open(root / folder)
    moment = Moment(
        segmentation.records, segmentation.mutid, segmentation.consistent, next_label=segmentation.next_label
    )
    return Frozen(labelmap, moment, mapping)
