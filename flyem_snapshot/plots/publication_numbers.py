"""The numbers behind the publication figures, read from the summaries that a snapshot's reports have written."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from flyem_snapshot.config.suggest import closest
from flyem_snapshot.connectome.report_tables import FRACTIONS
from flyem_snapshot.connectome.status import STATUS_ORDER, TRACED
from flyem_snapshot.errors import DataError, SnapshotError
from flyem_snapshot.plots.publication_sides import place_of

logger = logging.getLogger(__name__)

_COUNTS = ("PostSyn", "PreSyn")
_OTHER_COLUMNS = ("name", *_COUNTS, "report_index")
_ALLOWANCE = 1e-6  # shares are sums of floats written as text


@dataclass(frozen=True)
class Cumulative:
    """What the reports of one group of a snapshot say, as far as figures need it.

    `statuses` are the columns, best first.  `fractions` maps each of FRACTIONS to a table with a row for each ROI, in
    the group's order, and a float64 column for each status: the share that is traced once all bodies of that status
    or a better one are.  `rois` are the names of the rows, `presyn` and `postsyn` their counts of T-bars and PSDs.
    """

    label: str
    folder: Path
    statuses: tuple[str, ...]
    rois: tuple[str, ...]
    presyn: pd.Series
    postsyn: pd.Series
    fractions: Mapping[str, pd.DataFrame]


def read_group(label: str, folder: Path) -> Cumulative:
    """Read the four cumulative CSVs of a group, whose `csv` folder is given.

    DataError: a file is missing, is no such table, or holds what is no share; or the reports knew no statuses.
    """
    group = folder.parent.name
    tables = {stat: _read(folder / f"{group}-cumulative-{stat}-by-status.csv") for stat in FRACTIONS}
    first = tables[FRACTIONS[0]]
    statuses = tuple(column for column in first.columns if column not in _OTHER_COLUMNS)
    if not statuses:
        raise DataError(
            "has no status columns", file=folder, hint="completeness by status needs a status in the annotations"
        )
    for stat, table in tables.items():
        if list(table.columns) != list(first.columns) or list(table["name"]) != list(first["name"]):
            problem = f"its columns or ROIs are not those of {FRACTIONS[0]}: the files come from different runs"
            raise DataError(problem, file=folder / f"{group}-cumulative-{stat}-by-status.csv", hint=_AGAIN)
    return Cumulative(
        label=label,
        folder=folder,
        statuses=statuses,
        rois=tuple(first["name"]),
        presyn=first["PreSyn"],
        postsyn=first["PostSyn"],
        fractions={stat: table[list(statuses)] for stat, table in tables.items()},
    )


_AGAIN = "run flyem-snapshot on its configuration again: it mends what is missing"


def _read(file: Path) -> pd.DataFrame:
    """One CSV: `name` as text (an ROI may be called NA), counts and shares as float64; an empty share is unknown."""
    table = _texts(file)
    if missing := [column for column in _COUNTS if column not in table.columns]:
        raise DataError(f"has no column '{missing[0]}'", file=file, hint=_AGAIN)
    for column in table.columns.drop(["name", "report_index"], errors="ignore"):
        texts, counts = table[column], column in _COUNTS
        numbers = pd.to_numeric(texts, errors="coerce").astype("float64")
        bad = ~numbers.between(0, np.finfo(float).max if counts else 1 + _ALLOWANCE)
        if not counts:
            bad &= ~texts.str.lower().isin(["", "nan"])
        if bad.any():
            raise DataError(
                f"holds what is no {'count' if counts else 'share'}",
                file=file,
                column=str(column),
                rows=int(bad.sum()),
                examples=[f"'{text}'" for text in texts[bad]],
            )
        table[column] = numbers if counts else numbers.clip(upper=1)
    return table


def _texts(file: Path) -> pd.DataFrame:
    """A CSV as it stands.  Not pandas' reader, which takes a row that is too long for one with an index."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            header, *rows = csv.reader(lines, strict=True)
    except FileNotFoundError as error:
        raise DataError("there is no such file", file=file, hint=_AGAIN) from error
    except (ValueError, csv.Error) as error:  # empty, no UTF-8, or a quote that never ends
        raise DataError("is no CSV table", file=file, hint=_AGAIN) from error
    if "name" not in header or len(set(header)) < len(header) or any(len(row) != len(header) for row in rows):
        raise DataError("is no CSV table of reports: columns and rows do not agree", file=file, hint=_AGAIN)
    return pd.DataFrame(rows, columns=header, dtype="str")


def column_for(statuses: Sequence[str], status: str) -> str | None:
    """The column that tells completeness at `status` or better: the status itself, or the worst known better one.

    No body has a status that is no column, so that column's share is exactly the share of `status` or better.  None
    if all columns are worse: nothing is that good.
    """
    if status in statuses:
        return status
    wanted = STATUS_ORDER.index(status)
    better = [known for known in statuses if known in STATUS_ORDER and STATUS_ORDER.index(known) > wanted]
    return min(better, key=STATUS_ORDER.index, default=None)


def common_status(groups: Sequence[Cumulative], wanted: str | None) -> str:
    """The status to compare all snapshots at.

    Without a wish it is Leaves; if some snapshot has nothing that good, the best status that all of them reach.
    SnapshotError: the wanted one is neither in the vocabulary nor a column of each snapshot.
    """
    if wanted is not None:
        if wanted not in STATUS_ORDER:
            for group in groups:
                if wanted not in group.statuses:
                    near = closest(wanted, [*group.statuses, *filter(None, STATUS_ORDER)])
                    found = f"found here: {', '.join(group.statuses)}"
                    raise SnapshotError(
                        f"unknown status '{wanted}'", hint=f"did you mean '{near}'? {found}" if near else found
                    )
        return wanted
    best = [group.statuses[0] for group in groups if column_for(group.statuses, TRACED) is None]
    known = [status for status in best if status in STATUS_ORDER]
    if not best or not known:
        return TRACED if not best else best[0]
    chosen = min(known, key=STATUS_ORDER.index)
    logger.warning("no body is '%s' or better: completeness is told at '%s' or better", TRACED, chosen)
    return chosen


def completeness(group: Cumulative, status: str) -> pd.DataFrame:
    """How complete each ROI is once all bodies of `status` or a better one are traced, in the group's order.

    dataset    str      the snapshot's label
    roi        str      the report's name
    roi_base   str      the same region of either side (see publication_sides)
    roi_side   str      L, R or C
    PreSyn     int64    T-bars
    PostSyn    int64    PSDs
    status     str      the given one
    traced_presyn_frac, traced_postsyn_frac, traced_synweight_frac, traced_conn_frac   float64, NaN if not known
    """
    column = column_for(group.statuses, status)
    if column is None:
        logger.warning("%s: no body is '%s' or better", group.label, status)
    places = [place_of(roi) for roi in group.rois]
    table = pd.DataFrame(
        {
            "dataset": pd.Series([group.label] * len(places), dtype="str"),
            "roi": pd.Series(group.rois, dtype="str"),
            "roi_base": pd.Series([place.base for place in places], dtype="str"),
            "roi_side": pd.Series([place.side for place in places], dtype="str"),
            "PreSyn": group.presyn.round().astype("int64"),
            "PostSyn": group.postsyn.round().astype("int64"),
            "status": pd.Series([status] * len(places), dtype="str"),
        }
    )
    for stat in FRACTIONS:
        table[stat] = 0.0 if column is None else group.fractions[stat][column]
    return table


def weighted_mean(values: pd.Series, weights: pd.Series) -> float | None:
    """The mean of the values that are known, weighted; None if these have no weight together."""
    known = values.notna()
    total = float(weights[known].sum())
    if total <= 0:
        return None
    mean = float((values[known] * weights[known]).sum()) / total
    # Rounding must not carry the mean of equal values past them.
    weighing = values[known & (weights > 0)]
    return min(max(mean, float(weighing.min())), float(weighing.max()))
