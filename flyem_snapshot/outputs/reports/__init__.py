"""Connectivity reports: how complete the connectome is, region by region."""

from flyem_snapshot.outputs.reports.check import check_reports
from flyem_snapshot.outputs.reports.export import export_reports
from flyem_snapshot.outputs.reports.settings import ReportSetSettings
from flyem_snapshot.stage import Stage

STAGE = Stage(
    "connectivity-reports",
    "outputs",
    ReportSetSettings,
    export_reports,
    enabled=bool,
    check=check_reports,
)
