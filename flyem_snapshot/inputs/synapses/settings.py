"""Settings of the synapse tables."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from flyem_snapshot.config.model import Section, setting


class SynapsesSettings(Section):
    """The two tables that hold every synapse, and which of their rows are used."""

    syndir: Path | None = setting(
        None,
        directory=True,
        affects_result=False,
        doc="Directory of the synapse tables. Wherever a file name contains {syndir}, this is put in its place.",
    )
    synapse_points: Path | None = setting(
        None,
        input_file=True,
        doc="""Table (Feather, Parquet or CSV) with one row for each T-bar (kind PreSyn) and each PSD (kind PostSyn).
        Columns: kind, conf, body (which is looked up if the segmentation is read from DVID), and either point_id or
        x, y, z; optionally sv, ROI columns, and any others. Required, unless the synapses are those of inputs.cave.""",
    )
    synapse_partners: Path | None = setting(
        None,
        input_file=True,
        doc="""Table (Feather, Parquet or CSV) with one row for each connection from a T-bar to a PSD.
        Columns: pre_id and post_id, which are point ids; optionally conf_pre, conf_post, and any others. Required,
        unless the synapses are those of inputs.cave.""",
    )
    zone: Literal["brain", "vnc"] | None = setting(
        None,
        doc="""For a male CNS data set: use only the synapses of the brain (z below 45056) or of the ventral nerve
        cord (the rest). If not set, all are used.""",
    )
    min_confidence: float = setting(
        0.0,
        ge=0,
        le=1,
        doc="""Leave out T-bars and PSDs that were detected with less confidence than this, and the connections they
        belong to. 0 leaves out nothing. The number is part of the names of the flat connectome files.""",
    )
    permit_body_0: bool = setting(
        False,
        doc="Keep synapses that lie on body 0, that is, outside of every segmented body.",
    )
    roi_set_names: tuple[str, ...] | None = setting(
        None,
        inherits="inputs.rois.roi-sets.*",
        one_of="inputs.rois.roi-sets.*",
        doc="Names of the ROI sets that are assigned to every synapse, one column each.",
    )
    compartment_column: str | None = setting(
        None,
        doc="""Column of the point table that says in which part of its neuron a synapse lies (axon, dendrite, ...).
        If not set, nothing is counted by compartment.""",
    )
    processes: int | None = setting(
        None,
        ge=1,
        inherits="job-settings.processes",
        affects_result=False,
        doc="Number of CPUs to use for the synapse tables.",
    )


def given_path(path: Path | None) -> Path:
    """The file of a synapse table; the rules of the configuration demand it where there is no other source."""
    assert path is not None, "the rules demand it"
    return path
