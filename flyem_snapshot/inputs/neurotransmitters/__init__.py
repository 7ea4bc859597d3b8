"""The input stage for predicted neurotransmitters: read, joined to T-bars, summed up by body and cell type."""

from __future__ import annotations

from flyem_snapshot.config.walk import value_at
from flyem_snapshot.inputs.neurotransmitters.load import check_neurotransmitters, load_neurotransmitters
from flyem_snapshot.inputs.neurotransmitters.settings import NeurotransmittersSettings
from flyem_snapshot.stage import Stage
from flyem_snapshot.tables.neurotransmitters import Neurotransmitters

STAGE = Stage(
    "neurotransmitters",
    "inputs",
    NeurotransmittersSettings,
    load_neurotransmitters,
    produces=Neurotransmitters,
    enabled=lambda config: config.synister_feather is not None,
    asked_elsewhere=lambda whole: bool(value_at(whole, "inputs.cave.gives-transmitters")),
    check=check_neurotransmitters,
)
