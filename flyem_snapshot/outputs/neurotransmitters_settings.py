"""Settings of the neurotransmitter tables."""

from __future__ import annotations

from pydantic import Field

from flyem_snapshot.config.dvid import DvidVersion
from flyem_snapshot.config.model import Section, setting


class NeurotransmitterStore(DvidVersion):
    """Body annotations in DVID to which the predictions of bodies and cell types are written back."""

    perform_backport: bool = setting(
        False,
        doc="""Write them. Only what differs is written; the version must be one that is not locked. It is done when the
        tables are written, so not again by a run that finds these up to date.""",
    )
    neuronjson_instance: str | None = setting(
        None,
        alias="neuronjson_instance",
        doc="Name of the annotation instance. If not set: <segmentation>_annotations.",
    )
    force: bool = setting(
        False, doc="Write even to a locked version; that takes the server's admin token in DVID_ADMIN_TOKEN."
    )


class NeurotransmitterExportSettings(Section):
    """Predicted neurotransmitters in `nt/`: of T-bars, of bodies and cell types, and how often they are confused."""

    export_neurotransmitters: bool = setting(False, doc="Write these tables.")
    roi_sets: tuple[str, ...] = setting(
        (),
        one_of="inputs.synapses.roi-set-names",
        doc="ROI sets whose ROI is written beside each T-bar, in a column named after the set.",
    )
    restrict_export: str | None = setting(
        None,
        one_of="inputs.synapses.roi-set-names",
        doc="""Write only bodies that have a T-bar or PSD in some ROI of this ROI set, with all of their T-bars. Their
        predictions stay what they are.""",
    )
    dvid: NeurotransmitterStore = Field(
        default_factory=NeurotransmitterStore, description="Where predictions are written back to, if they are."
    )
