"""Which summaries a finished snapshot has, and which of them are meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flyem_snapshot.config.suggest import closest
from flyem_snapshot.errors import DataError

_PREFERRED = "primary"
_MAKE = "the setting connectivity-reports makes them: see docs/reports.md"


def summaries_of(snapshot: Path, roiset: str | None = None, group: str | None = None) -> Path:
    """The folder `reports/<roiset>/<group>/csv` of a snapshot.

    Without a wish the roi-set is the only one, or `primary`, and the group that of all its reports, which is named
    like it.  DataError: there is no such folder, no report at all, or no way to tell which one is meant.
    """
    if not snapshot.is_dir():
        raise DataError("there is no such directory", file=snapshot, hint="name a snapshot's output directory")
    reports = snapshot / "reports"
    roisets = [folder for folder in _folders(reports) if (folder / "reports").is_dir() or _groups(folder)]
    if not roisets:
        raise DataError("there are no connectivity reports", file=reports, hint=_MAKE)
    chosen = _chosen(roisets, roiset, "roi-set", "--roiset", preferred=_PREFERRED)
    groups = _groups(chosen)
    if not groups:
        raise DataError(
            "there are no summaries by status",
            file=chosen,
            hint="reports sum up by status only if the body annotations have one; map your own labels to known ones "
            "with inputs.annotations.replace-values",
        )
    return _chosen(groups, group, "group", "--group", preferred=chosen.name) / "csv"


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name; none if it does not exist."""
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _groups(roiset: Path) -> list[Path]:
    """The groups of a roi-set that have summaries by status."""
    return [folder for folder in _folders(roiset) if any((folder / "csv").glob("*-cumulative-*-by-status.csv"))]


def _chosen(folders: Sequence[Path], wanted: str | None, what: str, option: str, preferred: str) -> Path:
    """The folder that is meant."""
    by_name = {folder.name: folder for folder in folders}
    listed = ", ".join(f"'{name}'" for name in by_name)
    if wanted is not None:
        for name in (wanted, wanted.replace(" ", "-")):
            if name in by_name:
                return by_name[name]
        near = closest(wanted, by_name)
        hint = f"did you mean '{near}'? there are {listed}" if near else f"there are {listed}"
        raise DataError(f"there is no {what} '{wanted}'", file=folders[0].parent, hint=hint)
    if preferred in by_name:
        return by_name[preferred]
    if len(folders) > 1:
        raise DataError(
            f"there is more than one {what}: {listed}", file=folders[0].parent, hint=f"choose with {option}"
        )
    return folders[0]
