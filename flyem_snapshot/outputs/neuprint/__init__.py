"""The neuPrint database: CSV files for the neo4j importer, index script, Meta and intermediate tables."""

from flyem_snapshot.outputs.neuprint.check import check_neuprint
from flyem_snapshot.outputs.neuprint.export import export_neuprint
from flyem_snapshot.outputs.neuprint.settings import NeuprintSettings
from flyem_snapshot.stage import Stage

STAGE = Stage(
    "neuprint",
    "outputs",
    NeuprintSettings,
    export_neuprint,
    enabled=lambda config: config.export_neuprint_snapshot,
    check=check_neuprint,
)
