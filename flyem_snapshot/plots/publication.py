"""The publication figures of finished snapshots, and the table behind them, as files."""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.errors import DataError, SnapshotError
from flyem_snapshot.plots.browser import PictureKind, one_browser
from flyem_snapshot.plots.files import PLOTLY_FILE, render, write_plotly_js
from flyem_snapshot.plots.publication_completion import completion_bars
from flyem_snapshot.plots.publication_find import summaries_of
from flyem_snapshot.plots.publication_grouped import compared_bars, sided_bars
from flyem_snapshot.plots.publication_mirror import mirrored_bars
from flyem_snapshot.plots.publication_numbers import common_status, completeness, read_group
from flyem_snapshot.plots.publication_regions import chosen_rois
from flyem_snapshot.plots.publication_style import MEASURES, Measure
from flyem_snapshot.plots.style import Figure

logger = logging.getLogger(__name__)

Format = Literal["html", "png", "pdf", "svg"]

TABLE: Final = "roi-completeness.csv"

MOST_ROIS: Final = 400
"""A figure with more is neither legible nor drawn by a browser."""


@dataclass(frozen=True)
class Wishes:
    """What the user wants to see: see the command's help.  `status` None stands for Leaves, or what comes next."""

    measure: Measure = MEASURES["connections"]
    roiset: str | None = None
    group: str | None = None
    status: str | None = None
    rois: Sequence[str] = ()
    width: int = 1200
    formats: Sequence[Format] = ("html", "png")


def read_snapshots(snapshots: Sequence[tuple[str, Path]], wishes: Wishes) -> list[pd.DataFrame]:
    """The completeness of each snapshot, given by label and directory, all at one status, with the chosen ROIs.

    SnapshotError: a snapshot has no such reports, or nothing is left of it.
    """
    found = [(label, summaries_of(directory, wishes.roiset, wishes.group)) for label, directory in snapshots]
    groups = [read_group(label, folder) for label, folder in found]
    status = common_status(groups, wishes.status)
    chosen = chosen_rois(pd.concat([completeness(group, status) for group in groups], ignore_index=True), wishes.rois)
    tables = [chosen[chosen["dataset"] == label].reset_index(drop=True) for label, _ in snapshots]
    for (label, folder), table in zip(found, tables, strict=True):
        if table.empty:
            problem = f"{label} has none of the reports that were asked for"
            raise DataError(problem, file=folder, hint="leave it out, or choose ROIs that it has with --rois")
    return tables


def publish(out: OutputDir, tables: Sequence[pd.DataFrame], wishes: Wishes) -> None:
    """Write the table of all snapshots, then every figure in every format."""
    with out.create(TABLE, rows=sum(map(len, tables))) as path:
        pd.concat(tables).to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
    for table in tables:
        if len(table) > MOST_ROIS:
            raise SnapshotError(
                f"{len(table):,} ROIs are too many for a figure, which holds {MOST_ROIS}; the table is written",
                hint="choose some with --rois, or reports of a coarser set with --roiset or --group",
            )
    plots = list(figures(tables, wishes))
    with one_browser():
        for kind in wishes.formats:
            if kind == "html":
                _write_pages(out, plots)
            else:
                _write_pictures(out, plots, kind, needed="html" not in wishes.formats)


@dataclass(frozen=True)
class Plot:
    """A figure and the files it becomes: `<folder>/<format>/<name>.<format>`; the page has a title."""

    figure: Figure
    folder: str
    name: str
    title: str

    def file(self, kind: Format) -> str:
        """The relative path of the figure in a format."""
        return posixpath.join(self.folder, kind, f"{self.name}.{kind}")


def figures(tables: Sequence[pd.DataFrame], wishes: Wishes) -> Iterator[Plot]:
    """Three figures for each snapshot, in a folder of its own if there are several, and one that compares them."""
    measure, width, keep = wishes.measure, wishes.width, bool(wishes.rois)
    folders = _folders([str(table["dataset"].iloc[0]) for table in tables])
    for table, folder in zip(tables, folders, strict=True):
        completion = completion_bars(table, measure, width, keep_order=keep)
        yield Plot(completion, folder, f"roi-completion-{measure.name}", "ROI completion")
        mirrored = mirrored_bars(table, width, keep_order=keep)
        yield Plot(mirrored, folder, "roi-tbars-and-psds", "T-bars and PSDs by ROI")
        yield Plot(sided_bars(table, width, keep_order=keep), folder, "roi-sides", "ROIs on both sides")
    if len(tables) > 1:
        compared = compared_bars(tables, measure, width, keep_order=keep)
        yield Plot(compared, "", f"roi-comparison-{measure.name}", "ROI completion compared")


def _folders(labels: Sequence[str]) -> list[str]:
    """A folder for each label; that of the output itself if there is only one."""
    if len(labels) == 1:
        return [""]
    plain = [re.sub(r"[^\w.+-]+", "-", label).strip(".-") or "snapshot" for label in labels]
    # Not even on a disk that takes capitals for small letters may one cover another.
    if len({name.casefold() for name in plain}) == len(plain):
        return plain
    return [f"{number}-{name}" for number, name in enumerate(plain, 1)]


def _write_pages(out: OutputDir, plots: Sequence[Plot]) -> None:
    """Write a page for each figure, and the plotly.js that they share."""
    write_plotly_js(out, ".")
    for plot in plots:
        file = plot.file("html")
        library = posixpath.relpath(PLOTLY_FILE, posixpath.dirname(file))
        page = render("publication.html", title=plot.title, figure=plot.figure, library=library)
        out.write_text(file, page)


def _write_pictures(out: OutputDir, plots: Sequence[Plot], kind: PictureKind, *, needed: bool) -> None:
    """Draw all figures in a browser.  SnapshotError: there is none, and pictures were all that was asked for."""
    with one_browser() as browser:
        pictures = browser.pictures([plot.figure for plot in plots], kind)
    for plot, picture in zip(plots, pictures, strict=True):
        if picture is not None:
            with out.create(plot.file(kind)) as path:
                path.write_bytes(picture)
    if needed and None in pictures:
        raise SnapshotError(
            f"no {kind.upper()} could be drawn",
            hint="install Chromium or Chrome (BROWSER_PATH may name it), or ask for --format html, which needs none",
        )
