"""Every stage of the product, one line each; the order only breaks ties between stages that do not need each other."""

from typing import Final

from flyem_snapshot.inputs import annotations, body_sizes, cave, dvid_seg, elements, neurotransmitters, rois, synapses
from flyem_snapshot.outputs import flat_connectome, meshes, neuprint, reports, skeletons, tables
from flyem_snapshot.outputs import neurotransmitters as neurotransmitter_export
from flyem_snapshot.stage import Stage

INPUTS: Final[tuple[Stage, ...]] = (
    dvid_seg.STAGE,
    cave.STAGE,
    annotations.STAGE,
    rois.STAGE,
    synapses.STAGE,
    elements.STAGE,
    body_sizes.STAGE,
    neurotransmitters.STAGE,
)

OUTPUTS: Final[tuple[Stage, ...]] = (
    tables.STAGE,
    neurotransmitter_export.STAGE,
    flat_connectome.STAGE,
    skeletons.STAGE,
    meshes.STAGE,
    neuprint.STAGE,
    reports.STAGE,
)
