"""roiInfo: the counts of a body, or of a connection, in each ROI, as JSON text.

Everything here works on whole batches: a batch holds rows `(group, combination, counts)` where a group is a body or a
pair of bodies.  Rows are expanded to ROIs, summed, turned into text once for each distinct (ROI, counts), and the
texts of a group, which lie side by side in memory, become one string by dropping the offsets between them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flyem_snapshot.connectome.regions import Ints, Regions

Counts = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class RoiCounts:
    """The counts of each (group, ROI) with any count, by group, then by ROI (code points of the names).

    `group` and `roi` are int64; the counts are integers, by name.
    """

    group: Ints
    roi: Ints
    counts: Counts

    def select(self, keep: np.ndarray[Any, np.dtype[np.bool_]]) -> RoiCounts:
        """The entries where `keep` is true."""
        return RoiCounts(self.group[keep], self.roi[keep], {name: values[keep] for name, values in self.counts.items()})


def count_by_roi(group: Ints, combos: Ints, counts: Counts, regions: Regions) -> RoiCounts:
    """Sum the counts of each group in each ROI.  `group` must not decrease."""
    present = np.zeros(len(group), bool)
    for values in counts.values():
        present |= values != 0
    group, combos = group[present], combos[present]
    rows, roi = regions.expand(combos)
    key = group[rows] * len(regions.names) + roi
    kept = {name: values[present][rows] for name, values in counts.items()}
    if len(key) and (key[1:] <= key[:-1]).any():
        order = np.argsort(key, kind="stable")
        key = key[order]
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        key = key[starts]
        kept = {name: np.add.reduceat(values[order], starts) for name, values in kept.items()}
    return RoiCounts(key // max(1, len(regions.names)), key % max(1, len(regions.names)), kept)


def roi_info(counted: RoiCounts, regions: Regions, groups: int, keep_zero: Sequence[str] = ()) -> pa.StringArray:
    """The roiInfo of each of the groups 0 .. `groups` - 1: `{"LO(R)":{"post":3,"pre":1},"ME(R)":{"post":2}}`.

    No blanks; ROIs by code point; counts in the order of `counted.counts`, without zeros except those of
    `keep_zero`; `{}` for a group without any.
    """
    entry, distinct = _distinct(counted)
    texts = _entries(counted.roi[distinct], {n: v[distinct] for n, v in counted.counts.items()}, regions, keep_zero)
    return _joined(texts.take(pa.array(entry)), counted.group, groups)


def _distinct(counted: RoiCounts) -> tuple[Ints, Ints]:
    """A code for each entry, equal where ROI and counts are, and for each code the place of one such entry."""
    codes = counted.roi
    for values in counted.counts.values():
        # Codes and counts both fit in 31 bits, so that the pair is exact.
        codes = pd.factorize((codes << 32) | values.astype(np.int64))[0]
    codes, _ = pd.factorize(codes)
    number = int(codes.max()) + 1 if len(codes) else 0
    first = np.zeros(number, np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return codes, first


def _entries(roi: Ints, counts: Counts, regions: Regions, keep_zero: Sequence[str]) -> pa.StringArray:
    """`,"ROI":{"post":3}` for each; the comma stands where the group's first entry has its brace."""
    keys = pa.array([f",{json_name(name)}:{{" for name in regions.names], pa.string())
    fields = []
    for name, values in counts.items():
        numbers = pa.array(values)
        text = pc.binary_join_element_wise(json_name(name), numbers.cast(pa.string()), ":")
        fields.append(text if name in keep_zero else pc.if_else(pa.array(values != 0), text, None))
    inner = pc.binary_join_element_wise(*fields, ",", null_handling="skip")
    return pc.binary_join_element_wise(keys.take(pa.array(roi)), inner, "}", "")


def _joined(texts: pa.StringArray, group: Ints, groups: int) -> pa.StringArray:
    """The texts of each group as one: `{` in the place of the first comma, and `}` at the end."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    bounds = offsets[np.searchsorted(group, np.arange(groups + 1))] if len(texts) else np.zeros(groups + 1, np.int32)
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8).copy()
    data[bounds[:-1][bounds[1:] > bounds[:-1]]] = ord("{")
    joined = pa.StringArray.from_buffers(groups, pa.py_buffer(bounds.astype(np.int32)), pa.py_buffer(data))
    empty = pa.array(bounds[1:] == bounds[:-1])
    return pc.binary_join_element_wise(pc.if_else(empty, "{", joined), "}", "")


def json_name(name: str) -> str:
    r"""A name as JSON text: not ASCII is escaped as `\u....`, and `/` as `\/`, as in every neuPrint database."""
    return json.dumps(name).replace("/", "\\/")
