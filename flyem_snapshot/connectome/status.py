"""The vocabulary of tracing status: the order of the labels from worst to best, and their simplified form."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from flyem_snapshot.errors import DataError

_VOCABULARY: tuple[tuple[str, str | None], ...] = (
    ("Unimportant", "Unimportant"),
    ("Glia", "Glia"),
    ("Hard to trace", "Orphan"),
    ("Orphan-artifact", "Orphan"),
    ("Orphan", "Orphan"),
    ("Orphan hotknife", "Orphan"),
    ("Putative Leaves", None),
    ("Out of scope", None),
    ("Not examined", None),
    ("", None),
    ("0.5assign", "Assign"),
    ("Anchor", "Anchor"),
    ("Cleaved Anchor", "Anchor"),
    ("Will be merged", "Anchor"),
    ("Partially traced", "Anchor"),
    ("Sensory Anchor", "Anchor"),
    ("Cervical Anchor", "Anchor"),
    ("Soma Anchor", "Anchor"),
    ("Examined Soma Anchor", "Anchor"),
    ("Primary Anchor", "Anchor"),
    ("Leaves", "Traced"),
    ("PRT Orphan", "Traced"),
    ("Reviewed", "Traced"),
    ("Prelim Roughly traced", "Traced"),
    ("RT Hard to trace", "Traced"),
    ("RT Orphan", "Traced"),
    ("Roughly traced", "Traced"),
    ("Traced in ROI", "Traced"),
    ("Traced", "Traced"),
    ("Finalized", "Traced"),
)

STATUS_ORDER: tuple[str, ...] = tuple(label for label, _ in _VOCABULARY)
"""Every status label, worst first.  The empty text is a label of its own, better than `Not examined`; null is none."""

SIMPLE_STATUS: Mapping[str, str | None] = MappingProxyType(dict(_VOCABULARY))
"""The simplified status of each label; None where it has none."""

SIGNIFICANT = "Sensory Anchor"
"""Bodies of this status or a better one are significant."""

TRACED = "Leaves"
"""Bodies of this status or a better one are traced."""

STATUS_DTYPE = pd.CategoricalDtype(list(STATUS_ORDER), ordered=True)
"""The dtype of every status column: ordered, worst first."""

_SHOWN = 10


def as_status_category(values: Iterable[Any], *, file: Path | str | None = None) -> pd.Categorical:
    """Status labels from any source (plain text, a category in any order, all null) as the ordered category.

    Null stays null, the empty text stays a label.  Raises DataError for labels outside the vocabulary, naming each
    with its number of rows; `file` is the place to name.
    """
    labels = pd.Series(values)
    present = labels.notna().to_numpy()
    texts = np.array([str(label) for label in labels[present]], dtype=object)
    codes = np.full(len(labels), -1, np.int8)
    codes[present] = pd.Index(STATUS_ORDER, dtype=object).get_indexer(pd.Index(texts, dtype=object))
    unknown = texts[codes[present] < 0]
    if len(unknown):
        raise _unknown_labels(pd.Series(unknown).value_counts(), file)
    return pd.Categorical.from_codes(codes, dtype=STATUS_DTYPE)


def simplified_status(labels: pd.Series) -> pd.Series:
    """The coarse status of each label, as text; null where there is none.  A label not in the table stays as it is."""
    codes, distinct = pd.factorize(labels)
    # Null has code -1, which takes the last entry.
    simple = np.array([*(SIMPLE_STATUS.get(label, label) for label in distinct), None], dtype=object)
    return pd.Series(simple[codes], index=labels.index, dtype="str")


def _unknown_labels(counts: pd.Series, file: Path | str | None) -> DataError:
    """The error for unknown labels, most frequent first."""
    rows = {str(label): int(count) for label, count in counts.items()}
    shown = [f"'{label}' ({count:,} row{'s' if count != 1 else ''})" for label, count in rows.items()]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    meant = {label: near for label in rows if (near := _nearest(label))}
    guess = "".join(f"'{near}' for '{label}'" + ", " for label, near in list(meant.items())[:3]).rstrip(", ")
    example = next(iter(rows))
    return DataError(
        f"unknown status: {', '.join(shown[:_SHOWN])}{more}",
        file=file,
        column="status",
        hint=(f"did you mean {guess}? " if guess else "")
        + "labels must match exactly; map your own to known ones with inputs.annotations.replace-values: "
        + f"[{{source-column: status, replacements: {{'{example}': {meant.get(example, 'Traced')}}}}}]; "
        + f"known are {', '.join(label for label in STATUS_ORDER if label)} and the empty text",
    )


def _nearest(label: str) -> str:
    """The known label that differs least: only in case or blanks, else by a letter or two."""

    def folded(text: str) -> str:
        return "".join(text.split()).casefold()

    by_folded = {folded(known): known for known in STATUS_ORDER}
    near = difflib.get_close_matches(folded(label), by_folded, n=1, cutoff=0.8)
    return by_folded[near[0]] if near else ""
