"""Which ROIs are drawn, and regions with both sides, and several snapshots, beside each other."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import pandas as pd

from flyem_snapshot.config.suggest import closest
from flyem_snapshot.errors import SnapshotError
from flyem_snapshot.plots.publication_sides import place_of

logger = logging.getLogger(__name__)

WHOLE = "all"
"""The name of a report on everything, which is no ROI."""

_KEYS = ["dataset", "roi_base"]


def chosen_rois(table: pd.DataFrame, words: Sequence[str]) -> pd.DataFrame:
    """The rows of completeness tables for the ROIs that were asked for, in that order; all ROIs if none were.

    A word is a report's name in any of its forms (`ME(R)` is `ME_R`), or a region's name for both of its sides;
    several may stand in one word, with commas.  The report on everything is left out unless it is asked for, or is the
    only one.  SnapshotError: a word names none.
    """
    if not words:
        regions = table[table["roi"] != WHOLE]
        if len(regions) == len(table) or regions.empty:
            return table
        logger.info("left out the report '%s', which is no ROI; --rois %s draws it", WHOLE, WHOLE)
        return regions.reset_index(drop=True)
    rows = [row for name in _names(table, words) for row in _rows(table, name)]
    return table.loc[list(dict.fromkeys(rows))].reset_index(drop=True)


def _names(table: pd.DataFrame, words: Iterable[str]) -> list[str]:
    """The single names.  Names with commas of their own are found whole, the longest first."""
    known = set(table["roi"]) | set(table["roi_base"])
    names = []
    for word in words:
        parts = word.split(",")
        while parts:
            joined = [",".join(parts[:length]).strip() for length in range(len(parts), 0, -1)]
            name = next((name for name in joined if name in known), joined[-1])
            names.append(name)
            del parts[: len(joined) - joined.index(name)]
    return [name for name in names if name]


def _rows(table: pd.DataFrame, name: str) -> list[int]:
    """The rows that a name means: in each data set the report of that name, or else those on the same region."""
    place = place_of(name)
    exact = table["roi"] == name
    alike = (table["roi_base"] == place.base) & ((table["roi_side"] == place.side) | (place.side == "C"))
    alike &= ~table["dataset"].isin(table.loc[exact, "dataset"])
    found = table.index[exact | alike]
    if not len(found):
        near = closest(name, [*table["roi"], *table["roi_base"]])
        some = ", ".join(f"'{roi}'" for roi in table["roi"].drop_duplicates()[:10])
        hint = f"did you mean '{near}'?" if near else f"there are {some}"
        raise SnapshotError(f"no report is named '{name}'", hint=hint)
    return [int(row) for row in found]


def by_region(table: pd.DataFrame, stat: str) -> pd.DataFrame:
    """One row for each data set and region, in the order of the table.

        dataset  roi_base    str
        left, right          float64   the share of the region's left and right ROI, NaN where there is none
        mean                 float64   of its sides, which count alike, whatever their size
        low, high            float64   the lesser and the greater
        PostSyn              int64     of both sides

    An ROI of both sides beside its two halves (`NO` beside `NO(L)` and `NO(R)`) would count them twice: it is left out.
    """
    halves = table["roi_side"] != "C"
    halved = pd.MultiIndex.from_frame(table.loc[halves, _KEYS])
    kept = table[halves | ~pd.MultiIndex.from_frame(table[_KEYS]).isin(halved)]
    groups = kept.groupby(_KEYS, sort=False)
    low, high = groups[stat].min(), groups[stat].max()
    regions = pd.DataFrame(
        {
            "left": _side(kept, stat, "L"),
            "right": _side(kept, stat, "R"),
            # Rounding must not carry the mean of equal values past them.
            "mean": groups[stat].mean().clip(low, high),
            "low": low,
            "high": high,
            "PostSyn": groups["PostSyn"].sum(),
        }
    )
    return regions.reset_index()


def _side(table: pd.DataFrame, stat: str, side: str) -> pd.Series:
    """The shares of one side by data set and region, NaN where a region has none."""
    return table.assign(**{stat: table[stat].where(table["roi_side"] == side)}).groupby(_KEYS, sort=False)[stat].mean()


def shared_regions(tables: Sequence[pd.DataFrame]) -> list[str]:
    """The regions that at least two of the completeness tables have, in order of appearance.

    SnapshotError: there is none.
    """
    bases = [list(dict.fromkeys(table["roi_base"])) for table in tables]
    every = list(dict.fromkeys(base for names in bases for base in names))
    shared = [base for base in every if sum(base in names for names in bases) > 1]
    if not shared:
        told = "; ".join(
            f"{table['dataset'].iloc[0]} has {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
            for table, names in zip(tables, bases, strict=True)
            if names
        )
        raise SnapshotError(
            "the snapshots have no ROI in common",
            hint=f"{told}; choose reports on like regions with --roiset or --group",
        )
    if len(shared) < len(every):
        logger.info("compared %d regions; %d are in one snapshot only", len(shared), len(every) - len(shared))
    return shared
