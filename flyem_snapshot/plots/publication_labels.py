"""Where the labels of narrow bars go, so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence


def fitting(sizes: Sequence[float], places: int) -> list[int]:
    """The indices, ascending, of the largest items for which there are places; all if there are enough."""
    largest = sorted(range(len(sizes)), key=lambda index: (-sizes[index], index))[: max(places, 0)]
    return sorted(largest)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions in the order of the wanted ones, which ascend: at least `gap` apart, within `low` and `high`.

    Of all such positions those whose squares of displacement have the least sum.  They must fit: `gap` times one
    less than their number is at most `high - low`.
    """
    # Less its share of the gaps, each position must only be no less than the one before: isotonic regression.
    pools: list[tuple[float, int]] = []  # mean, number of members
    for index, position in enumerate(wanted):
        mean, count = position - index * gap, 1
        while pools and pools[-1][0] >= mean:
            before, members = pools.pop()
            mean, count = (before * members + mean * count) / (members + count), members + count
        pools.append((mean, count))
    most = high - (len(wanted) - 1) * gap
    level = [min(max(mean, low), most) for mean, count in pools for _ in range(count)]
    return [place + index * gap for index, place in enumerate(level)]
