"""The input stage for synapses: points, partners, filters, ROI assignment."""

from __future__ import annotations

from flyem_snapshot.inputs.synapses.load import check_synapses, load_synapses
from flyem_snapshot.inputs.synapses.settings import SynapsesSettings
from flyem_snapshot.stage import Stage
from flyem_snapshot.tables.synapses import Synapses

STAGE = Stage("synapses", "inputs", SynapsesSettings, load_synapses, version=2, produces=Synapses, check=check_synapses)
