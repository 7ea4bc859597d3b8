"""Settings of the neurotransmitter tables."""

from __future__ import annotations

from flyem_snapshot.config.model import Section, setting


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
