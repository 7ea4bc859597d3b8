"""Settings of the connectivity reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import WithJsonSchema, field_validator

from flyem_snapshot.config.model import ListedSection, Section, setting
from flyem_snapshot.config.suggest import closest
from flyem_snapshot.connectome.status import SIGNIFICANT, STATUS_ORDER
from flyem_snapshot.errors import Problem

NonSynaptic = Literal["element-presence", "all", "none"]
PathOrUrl = Annotated[Path | str, WithJsonSchema({"type": "string"})]

_NON_SYNAPTIC = """Which annotated bodies get a rank, with counts of 0, although they have neither a T-bar nor a PSD in
the report's ROIs. element-presence: those with an element there (in any ROI of the set if the report names none).
all: every one. none: no others."""


class ReportSettings(Section):
    """One report: how complete the connectome of some ROIs is, and how complete it becomes body by body."""

    rois: tuple[str, ...] = setting(
        (), doc="The ROIs that the report is about, taken together. If there are none, it is about everything."
    )
    name: str | None = setting(
        None,
        doc="""Name of the report. If not set: the names of its ROIs joined by '-', or what name-of-whole says if it has
        none.""",
    )
    non_synaptic_bodies: NonSynaptic | None = setting(
        None,
        doc=f"{_NON_SYNAPTIC} If not set: as the report set says.",
    )

    def problems(self) -> Iterator[Problem]:
        """Each ROI is named once."""
        for index, roi in enumerate(self.rois):
            if roi in self.rois[:index]:
                yield Problem(("rois", index), f"'{roi}' is listed twice")


class ReportSetSettings(ListedSection):
    """Reports on ROIs of one ROI set, and summaries that compare them."""

    list_doc: ClassVar[
        str
    ] = """Reports on how complete the connectome is, region by region, one entry for each ROI set.
    They are written to reports/."""
    list_example: ClassVar[list[dict[str, Any]]] = [
        {
            "roiset": "primary",
            "reports": [{"rois": ["ME(R)"]}],
            "capture-summary-subsets": {"optic lobe": ["ME(R)"]},
        }
    ]

    roiset: str = setting(min_length=1, one_of="inputs.synapses.roi-set-names", doc="The ROI set of the reports' ROIs.")
    reports: tuple[ReportSettings, ...] = setting(
        (), examples=([{"rois": ["ME(R)"]}],), doc="The reports, in their order."
    )
    capture_summary_subsets: Mapping[str, tuple[str, ...]] = setting(
        {},
        examples=({"optic lobe": ["ME(R)"]},),
        doc="""Groups of reports that get a summary of their own, besides that of all reports: {group: [names of
        reports]}.""",
    )
    stop_at_rank: float = setting(
        1_000_000.0,
        ge=0,
        doc="""Bodies are ranked from the best known and largest downwards. Connections with bodies beyond this rank
        are left out of the curve and the table of connections; fractions still refer to all.""",
    )
    non_synaptic_bodies: NonSynaptic = setting(
        "element-presence",
        doc=_NON_SYNAPTIC,
    )
    neuroglancer_base_state: PathOrUrl | None = setting(
        None,
        input_file=True,
        may_be_missing=True,
        examples=("view.json", "https://example.org/view.json"),
        doc="""Neuroglancer state (JSON) that a click on a point of a curve opens, with the body selected: a file or a
        URL. If not set, or if it cannot be read, points have no links.""",
    )
    neuroglancer_host: str = setting(
        "https://clio-ng.janelia.org", min_length=1, doc="The neuroglancer that these links open."
    )
    capture_statuses: tuple[str, ...] = setting(
        tuple(STATUS_ORDER[STATUS_ORDER.index(SIGNIFICANT) :]),
        doc="Statuses with which a body counts as captured.",
    )
    roi_rule: Literal["both-ends", "post"] = setting(
        "both-ends",
        doc="""Which connections lie in a report's ROIs. both-ends: those whose T-bar and whose PSD lie in them. post:
        those whose PSD does, as everywhere else in a snapshot.""",
    )
    write_connection_table: bool = setting(
        True,
        doc="""Write <report>-conn_df, one row for each connection. It is by far the largest file of a report, and
        nothing else is made from it.""",
    )
    plotly_js: Literal["file", "cdn", "embedded"] = setting(
        "file",
        doc="""Where the pages find plotly.js, which draws them. file: in reports/plotly.min.js. cdn: on the internet.
        embedded: within each page, which makes each 5 MB larger.""",
    )
    name_of_whole: str | None = setting(
        None,
        inherits="inputs.synapses.zone",
        doc="Name of a report that names neither ROIs nor itself. If there is no zone either: all.",
    )

    @field_validator("neuroglancer_base_state", mode="after")
    @classmethod
    def _file_or_url(cls, value: Path | str | None) -> Path | str | None:
        return Path(value) if isinstance(value, str) and "://" not in value else value

    def name_of(self, report: ReportSettings) -> str:
        """The name of a report, given or made."""
        return report.name or "-".join(report.rois) or self.name_of_whole or "all"

    def problems(self) -> Iterator[Problem]:
        """Statuses are known ones, and no secret is written beside the results."""
        for index, status in enumerate(self.capture_statuses):
            path = ("capture-statuses", index)
            if status not in STATUS_ORDER:
                similar = closest(status, STATUS_ORDER)
                hint = (
                    f"did you mean '{similar}'?" if similar else f"known are: {', '.join(filter(None, STATUS_ORDER))}"
                )
                yield Problem(path, f"'{status}' is not a known status", hint)
            elif status in self.capture_statuses[:index]:
                yield Problem(path, f"'{status}' is listed twice")
        if not self.neuroglancer_host.startswith(("http://", "https://")):
            yield Problem(
                ("neuroglancer-host",), f"must begin with https:// or http://, not '{self.neuroglancer_host}'"
            )
        if "@" in str(self.neuroglancer_base_state).partition("://")[2].partition("/")[0]:
            yield Problem(("neuroglancer-base-state",), "must not hold a user or password", "make the state public")
