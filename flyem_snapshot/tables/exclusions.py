"""The ledger of rows left out: nothing leaves a table without a count and a reason."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exclusion:
    """`rows` rows of `table` were left out, because of `reason`."""

    table: str
    reason: str
    rows: int


@dataclass
class Exclusions:
    """Collects the exclusions of one stage, in the order in which they happened."""

    entries: list[Exclusion] = field(default_factory=list)

    def add(self, table: str, reason: str, rows: int) -> None:
        """Log and keep one exclusion; zero rows are not worth a line."""
        if rows:
            logger.info("left out %s of %s: %s", f"{rows:,} row{'s' if rows != 1 else ''}", table, reason)
            self.entries.append(Exclusion(table, reason, int(rows)))
