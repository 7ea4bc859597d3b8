"""What the overview page of the reports tells of the run behind its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flyem_snapshot.outputs.reports.settings import ReportSetSettings
from flyem_snapshot.plots.facts import Facts
from flyem_snapshot.stage import Context
from flyem_snapshot.tables.bodies import BodyAnnotations
from flyem_snapshot.tables.synapses import Synapses

_RULES = {
    "both-ends": "connections whose T-bar and whose PSD lie in the report's ROIs",
    "post": "connections whose PSD lies in the report's ROIs",
}


def facts_of(
    ctx: Context, synapses: Synapses, annotations: BodyAnnotations | None, config: Sequence[ReportSetSettings]
) -> Facts:
    """Sizes of the tables, the rules of each report set, and what its reader must know."""
    bodies = "none" if annotations is None else f"{len(annotations.frame):,} bodies"
    return Facts(
        tag=ctx.tag,
        inputs=[
            ("synapse points", f"{synapses.num_points:,}"),
            ("connections", f"{synapses.num_partners:,}"),
            ("minimal confidence", str(synapses.min_confidence)),
            ("annotations", bodies),
        ],
        exclusions=[(entry.table, entry.reason, entry.rows) for entry in ctx.exclusions.entries],
        settings=[fact for entry in config for fact in _settings(entry)],
        notes=list(_notes(annotations)),
    )


def _settings(entry: ReportSetSettings) -> Iterator[tuple[str, str]]:
    yield f"{entry.roiset}: connections counted", _RULES[entry.roi_rule]
    yield f"{entry.roiset}: last rank", f"{entry.stop_at_rank:,.0f}"
    yield f"{entry.roiset}: annotated bodies without synapses that are ranked", entry.non_synaptic_bodies
    yield f"{entry.roiset}: captured statuses", ", ".join(entry.capture_statuses)


def _notes(annotations: BodyAnnotations | None) -> Iterator[str]:
    if annotations is None or not annotations.has_status:
        yield "No body has a status: bodies are ranked by their synapses alone, and there are no summaries by status."
