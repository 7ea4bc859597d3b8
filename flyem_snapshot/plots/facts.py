"""What the overview page tells of the run behind its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """Where the numbers come from; all of it is shown as plain text.

    `inputs` and `settings` are pairs (what, value), `exclusions` are (table, reason, rows left out), and `notes` are
    sentences that a reader must know, such as that there is no status column.
    """

    tag: str
    inputs: Sequence[tuple[str, str]] = ()
    exclusions: Sequence[tuple[str, str, int]] = ()
    settings: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
