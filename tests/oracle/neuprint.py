"""Every node, relationship and intermediate table of the neuPrint export, as text."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from tests.oracle.load import Inputs
from tests.oracle.neuprint_meta import meta_values
from tests.oracle.neuprint_points import Sheets, element_sheets, synapse_sheets
from tests.oracle.neuprint_scope import Scope, first_scope, second_scope
from tests.oracle.neuprint_segments import connections, roi_elements, segment_counts, segment_rois, segments
from tests.oracle.neuprint_transmitters import meta_properties
from tests.oracle.rois import UNSPECIFIED


@dataclass(frozen=True)
class Export:
    """`sheets` by file or folder without its ending; the properties of Meta; two intermediate tables of counts."""

    scope: Scope
    sheets: Sheets
    meta: dict[str, Any]
    body_elements: pd.DataFrame
    roi_elements: pd.DataFrame

    def flags(self) -> set[str]:
        """The ROIs of all Segments: their names are columns."""
        return set(self.roi_elements["roi"]) - {UNSPECIFIED}


def export(inputs: Inputs) -> Export:
    """The whole content of `neuprint/`."""
    scope = first_scope(inputs)
    counts = segment_counts(scope, inputs)
    rois = segment_rois(scope, counts, scope.sets)
    sheet = segments(scope, inputs, counts, rois)
    last = second_scope(scope)
    sheets = {
        "Neuprint_Neurons": sheet,
        "Neuprint_Neuron_Connections": connections(last),
        **synapse_sheets(last),
        **element_sheets(last, counts.index),
    }
    restriction = scope.setting("restrict-connectivity-to-roiset", "")
    inside = segment_rois(scope, counts, [restriction]) if restriction else None
    meta = meta_values(scope, sheet, rois, inside)
    meta |= meta_properties(sheets["Neuprint_Synapses"].rows, last)
    return Export(scope, sheets, meta, counts.reset_index(), roi_elements(scope, rois))
