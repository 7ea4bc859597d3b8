"""The input stage for a CAVE datastack: synapses and annotations at one materialization, from a server or files."""

from __future__ import annotations

from flyem_snapshot.inputs.cave.live import default_tag, pin_version, state, state_afterwards
from flyem_snapshot.inputs.cave.load import check_cave, load_cave
from flyem_snapshot.inputs.cave.settings import CaveSettings
from flyem_snapshot.stage import Stage
from flyem_snapshot.tables.cave import CaveTables

STAGE = Stage(
    "cave",
    "inputs",
    CaveSettings,
    load_cave,
    produces=CaveTables,
    enabled=lambda config: config.enabled,
    check=check_cave,
    pin=pin_version,
    default_tag=default_tag,
    source=state,
    afterwards=state_afterwards,
)
