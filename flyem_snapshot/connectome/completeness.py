"""The completeness forecast: how much of a connectome is captured if bodies are finished one after the other.

Bodies are ranked from the best known and largest downwards.  Once bodies 1 to r are traced, a connection counts as
traced if both its bodies are among them, so what is traced depends only on the larger rank of its two bodies, its
`max_rank`.  The counts of a body are added when it is first mentioned, that is, with the smallest max_rank of the
connections that it takes part in.  So a curve needs the pairs of bodies, counted; single connections only make a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from flyem_snapshot.connectome.report_counts import (
    Flags,
    Int32Array,
    Int64Array,
    ReportCounts,
    Selection,
)
from flyem_snapshot.connectome.status import STATUS_DTYPE, STATUS_ORDER
from flyem_snapshot.engine.streams import dictionary_array

Int8Array = np.ndarray[Any, np.dtype[np.int8]]

_TRACED: Final = ("presyn", "postsyn", "synweight")
_TOP: Final = ("top_output_roi", "top_input_roi")


@dataclass(frozen=True)
class RankedBodies:
    """The bodies of a report, best rank first; all arrays have one entry a body.

    `codes` are their places in `ReportCounts.bodies`, `status` those in STATUS_ORDER; `tops` the places of ROIs among
    `rois`, -1 where a body has no connection on that side, and `top_weights` the connections there.
    """

    codes: Int32Array
    body: Int64Array
    status: Int8Array
    presyn: Int64Array
    postsyn: Int64Array
    outputpartners: Int64Array
    tops: Mapping[str, Int32Array]
    top_weights: Mapping[str, Int64Array]
    rois: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.body)

    @cached_property
    def synweight(self) -> Int64Array:
        """The connections of each body, outgoing and incoming."""
        weights: Int64Array = self.outputpartners + self.postsyn
        return weights

    @property
    def counts(self) -> dict[str, Int64Array]:
        """What the fractions are fractions of."""
        return {name: getattr(self, name) for name in _TRACED}

    @property
    def connections(self) -> int:
        """All connections of the report."""
        return int(self.postsyn.sum())

    def arrays(self, rows: slice | Int64Array, suffix: str = "") -> dict[str, pa.Array]:
        """Columns of some bodies: presyn, postsyn, status, outputpartners, synweight, top ROIs with weights, rank.

        `suffix` is put after the names of the three counts.
        """
        counted = {f"{name}{suffix}": pa.array(getattr(self, name)[rows]) for name in _TRACED}
        names = [f"{name}{suffix}" for name in _TRACED]
        found = {name: counted[name] for name in names[:2]}
        found["status"] = dictionary_array(self.status[rows], list(STATUS_ORDER), ordered=True)
        found["outputpartners"] = pa.array(self.outputpartners[rows])
        found[names[2]] = counted[names[2]]
        for top in _TOP:
            places, weights = self.tops[top][rows], self.top_weights[top][rows]
            found[top] = dictionary_array(places, list(self.rois))
            found[f"{top}_weight"] = pa.array(weights, mask=places < 0)
        ranks = np.arange(len(self))[rows] if isinstance(rows, slice) else rows
        return found | {"rank": pa.array(ranks + 1)}

    def batches(self, size: int = 1 << 17) -> Iterator[pa.RecordBatch]:
        """The table of bodies, at least one batch: body, then the columns of `arrays`."""
        for start in range(0, max(len(self), 1), size):
            rows = slice(start, start + size)
            yield pa.RecordBatch.from_pydict({"body": pa.array(self.body[rows]), **self.arrays(rows)})


def rank_bodies(counts: ReportCounts, selection: Selection, status: Int8Array, extra: Flags) -> RankedBodies:
    """Rank the bodies with a connection in the report, and those in `extra`.

    `status` (places in STATUS_ORDER) and `extra` have an entry for each of `counts.bodies`.  By status (best first),
    synweight, presyn, postsyn (all descending), then body.
    """
    size = len(counts.bodies)
    outputs, outputpartners = _of_side(counts.partners_by_roi("pre", selection), size)
    inputs, postsyn = _of_side(counts.partners_by_roi("post", selection), size)
    presyn = counts.tbars_of_bodies(selection)
    codes = np.flatnonzero((outputpartners > 0) | (postsyn > 0) | extra).astype(np.int32)
    keys = (postsyn[codes], presyn[codes], outputpartners[codes] + postsyn[codes], status[codes].astype(np.int64))
    # Sorting is stable and codes ascend with bodies, so ties end up by body.
    codes = codes[np.lexsort([-key for key in keys])]
    tops = dict(zip(_TOP, (outputs, inputs), strict=True))
    return RankedBodies(
        codes,
        counts.bodies[codes],
        status[codes],
        presyn[codes],
        postsyn[codes],
        outputpartners[codes],
        {name: top.roi[codes] for name, top in tops.items()},
        {name: top.weight[codes] for name, top in tops.items()},
        counts.rois,
    )


@dataclass(frozen=True)
class _Top:
    roi: Int32Array
    weight: Int64Array


def _of_side(rows: Mapping[str, np.ndarray[Any, Any]], size: int) -> tuple[_Top, Int64Array]:
    """The ROI with most connections of each body (ties: the first by name), and the body's connections in all."""
    body, roi, n = rows["body"], rows["roi"], rows["n"]
    total, weight, top = np.zeros(size, np.int64), np.zeros(size, np.int64), np.full(size, -1, np.int32)
    if len(body):
        starts = np.flatnonzero(np.r_[True, body[1:] != body[:-1]])
        owners = body[starts]
        total[owners] = np.add.reduceat(n, starts)
        weight[owners] = np.maximum.reduceat(n, starts)
        best = np.flatnonzero(n == weight[body])[::-1]
        # Where several rows are best the last assignment stands: reversed, that of the first ROI.
        top[body[best]] = roi[best]
    return _Top(top, weight), total


@dataclass(frozen=True)
class Forecast:
    """What is traced, by rank.

    `connections[r]` counts those whose max_rank is r, and `first[r]` is the max_rank with which the body of rank r is
    first mentioned, 0 if it never is.  Both have an entry for rank 0, which no body has, and end at the last rank that
    counts.
    """

    bodies: RankedBodies
    connections: Int64Array
    first: Int32Array

    @cached_property
    def totals(self) -> dict[str, int]:
        """What each fraction is a fraction of: all bodies and connections of the report."""
        return {name: int(values.sum()) for name, values in self.bodies.counts.items()}

    @property
    def traced(self) -> dict[str, Int64Array]:
        """By max_rank, the counts of all bodies that are mentioned up to there."""
        last = len(self.first) - 1
        found = {}
        for name, values in self.bodies.counts.items():
            added = np.zeros(last + 1, np.int64)
            mentioned = self.first[1:] > 0
            np.add.at(added, self.first[1:][mentioned], values[:last][mentioned])
            found[name] = np.cumsum(added)
        return found

    def curve(self) -> pd.DataFrame:
        """A row for each rank that is the max_rank of some connection: see `report_tables.Report.curve`."""
        rank = np.flatnonzero(self.connections)
        place = rank - 1
        columns: dict[str, Any] = {"rank": rank, "body": self.bodies.body[place]}
        columns["status"] = pd.Categorical.from_codes(self.bodies.status[place], dtype=STATUS_DTYPE)
        columns |= {name: values[place] for name, values in self.bodies.counts.items()}
        for name, values in self.traced.items():
            columns[f"traced_{name}_frac"] = _fractions(values[rank], self.totals[name])
        traced = np.cumsum(self.connections)[rank]
        columns["traced_conn_frac"] = _fractions(traced, self.bodies.connections)
        return pd.DataFrame(columns)


def forecast(counts: ReportCounts, selection: Selection, bodies: RankedBodies, stop_at_rank: float) -> Forecast:
    """Count connections by max_rank, and find each body's first mention; bodies beyond `stop_at_rank` do not count."""
    last = int(min(stop_at_rank, len(bodies)))
    rank = np.zeros(len(counts.bodies), np.int32)
    rank[bodies.codes[:last]] = np.arange(1, last + 1, dtype=np.int32)
    connections, never = np.zeros(last + 1, np.int64), np.int32(last + 1)
    first = np.full(last + 1, never, np.int32)
    for batch in counts.pairs_stream(selection):
        pre, post = (rank[batch[side].to_numpy()] for side in ("pre", "post"))
        kept = (pre > 0) & (post > 0)
        pre, post, n = pre[kept], post[kept], batch["n"].to_numpy()[kept].astype(np.int64)
        highest = np.maximum(pre, post)
        np.add.at(connections, highest, n)
        for side in (pre, post):
            np.minimum.at(first, side, highest)
    first[first == never] = 0
    return Forecast(bodies, connections, first)


class ConnectionTable:
    """Turns sorted connections into the rows of a report's `conn_df`."""

    def __init__(self, forecast: Forecast) -> None:
        self.forecast = forecast
        self._ends = (0, 0)  # ranks of the row before
        self._sums = dict.fromkeys(_TRACED, 0)
        self._rows = 0

    def batches(self, connections: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """One batch for each that `ReportCounts.ranked_connections` yields; at least one.

        pre_id, post_id uint64; body_pre, body_post int64; roi (of the PSD) category; body_pre_rank, body_post_rank,
        min_rank, max_rank int32; cumulative_traced_presyn, _postsyn, _synweight int64: counts of all bodies mentioned
        so far; traced_presyn_frac, traced_postsyn_frac, traced_synweight_frac float64; cumulative_traced_conn int64,
        traced_conn_frac float64; body_max_rank int64, then that body's columns.
        """
        empty = pa.RecordBatch.from_pydict({name: pa.array([], kind) for name, kind in _CONNECTION_TYPES.items()})
        yield self._rows_of(empty)
        for batch in connections:
            if batch.num_rows:
                yield self._rows_of(batch)

    def _rows_of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        bodies, totals = self.forecast.bodies, self.forecast.totals
        pre, post = (batch[f"{side}_rank"].to_numpy() for side in ("pre", "post"))
        lowest, highest = np.minimum(pre, post), np.maximum(pre, post)
        place = highest.astype(np.int64) - 1
        columns: dict[str, pa.Array] = {
            "pre_id": batch["pre_id"],
            "post_id": batch["post_id"],
            "body_pre": pa.array(bodies.body[pre - 1]),
            "body_post": pa.array(bodies.body[post - 1]),
            "roi": dictionary_array(batch["roi"].to_numpy(), list(bodies.rois)),
            "body_pre_rank": batch["pre_rank"],
            "body_post_rank": batch["post_rank"],
            "min_rank": pa.array(lowest),
            "max_rank": pa.array(highest),
        }
        traced = self._traced(lowest, highest)
        columns |= {f"cumulative_traced_{name}": pa.array(values) for name, values in traced.items()}
        for name, values in traced.items():
            columns[f"traced_{name}_frac"] = pa.array(_fractions(values, totals[name]))
        row = self._rows + np.arange(1, batch.num_rows + 1)
        self._rows += batch.num_rows
        columns["cumulative_traced_conn"] = pa.array(row)
        columns["traced_conn_frac"] = pa.array(_fractions(row, bodies.connections))
        columns["body_max_rank"] = pa.array(bodies.body[place])
        return pa.RecordBatch.from_pydict(columns | bodies.arrays(place, suffix="_max_rank"))

    def _traced(self, lowest: Int32Array, highest: Int32Array) -> dict[str, Int64Array]:
        """After each row, the counts of all bodies that it or a row above mentions."""
        before = (np.concatenate([[end], ranks[:-1]]) for end, ranks in zip(self._ends, (lowest, highest), strict=True))
        new_lowest, new_highest = (ranks != old for ranks, old in zip((lowest, highest), before, strict=True))
        # The body of the larger rank cannot have been mentioned before its first row here; the other one may have been.
        adds_lowest = (new_lowest | new_highest) & (self.forecast.first[lowest] == highest) & (lowest < highest)
        found = {}
        for name, values in self.forecast.bodies.counts.items():
            added = np.where(new_highest, values[highest - 1], 0) + np.where(adds_lowest, values[lowest - 1], 0)
            found[name] = np.cumsum(added) + self._sums[name]
            if len(added):
                self._sums[name] = int(found[name][-1])
        if len(lowest):
            self._ends = (int(lowest[-1]), int(highest[-1]))
        return found


_CONNECTION_TYPES = {
    "pre_id": pa.uint64(),
    "post_id": pa.uint64(),
    "pre_rank": pa.int32(),
    "post_rank": pa.int32(),
    "roi": pa.int32(),
}


def capture_table(counts: ReportCounts, selection: Selection, captured: Flags) -> pd.DataFrame | None:
    """How many of the connections of each captured body reach captured bodies: see `report_tables.Report.capture`."""
    found = counts.captured(selection, captured)
    if found is None:
        return None
    downstream = found["captured"] + found["not_captured"]
    return pd.DataFrame(
        {
            "body_pre": counts.bodies[found["body"]],
            "captured": found["captured"],
            "not_captured": found["not_captured"],
            "downstream": downstream,
            "presyn": found["presyn"],
            "capture_frac": (found["captured"] / downstream).astype(np.float32),
        }
    )


def _fractions(values: Int64Array, total: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Shares of a total; of nothing there are no rows either."""
    shares: np.ndarray[Any, np.dtype[np.float64]] = values / max(total, 1)
    return shares
