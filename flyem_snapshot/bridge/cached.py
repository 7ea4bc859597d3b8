"""The summaries that neuPrint's own server computes once a day: ROI completeness and connectivity, type of the day."""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from flyem_snapshot.bridge.database import Database
from flyem_snapshot.bridge.datasets import Dataset, json_object, the_dataset
from flyem_snapshot.bridge.labels import dataset_label
from flyem_snapshot.bridge.replies import Refused
from flyem_snapshot.bridge.values import plain

COMPLETE: Final = (
    "Traced",
    "Roughly traced",
    "Prelim Roughly traced",
    "final",
    "final (irrelevant)",
    "Finalized",
    "Leaves",
)
"""The statuses of neurons that count as complete."""

TYPED: Final = ("Traced", "Anchor")
"""The statuses of neurons among which the type of the day is chosen."""


class Summaries:
    """The three summaries of each dataset, computed when first asked for and kept for the day."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[tuple[str, str], tuple[dt.date, dict[str, Any]]] = {}
        self._one_at_a_time = threading.Lock()  # each reads all neurons

    def completeness(self, name: str) -> dict[str, Any]:
        """Of each ROI, the synapses on complete neurons, and all that Meta knows."""
        return self._today("completeness", name, lambda dataset, _: _completeness(self._database, dataset))

    def connectivity(self, name: str) -> dict[str, Any]:
        """Of each pair of overview ROIs, the neurons and their strength from one to the other."""
        return self._today("connectivity", name, lambda dataset, _: _connectivity(self._database, dataset))

    def type_of_the_day(self, name: str) -> dict[str, Any]:
        """A neuron type, one of its neurons, and that neuron's partners.  Refused (404): no neuron has a type."""
        return self._today("type", name, lambda dataset, day: _type_of_the_day(self._database, dataset, day))

    def _today(self, kind: str, name: str, compute: Callable[[Dataset, dt.date], dict[str, Any]]) -> dict[str, Any]:
        dataset = the_dataset(self._database, name, any_case=True)
        today = dt.datetime.now(dt.UTC).date()
        with self._one_at_a_time:
            kept = self._kept.get((kind, dataset.name))
            if kept is None or kept[0] != today:
                kept = self._kept[kind, dataset.name] = today, compute(dataset, today)
        return kept[1]


def _neuron(dataset: Dataset) -> str:
    """The label of the dataset's neurons.  neuPrint's server looks for it in lower case here; so must data be."""
    return dataset_label(dataset.name.lower(), "Neuron")


def _completeness(database: Database, dataset: Dataset) -> dict[str, Any]:
    query = f"MATCH (n:{_neuron(dataset)}) WHERE n.status IN $complete RETURN n.roiInfo"
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    with database.read(query, complete=list(COMPLETE)) as result:
        for (text,) in result.rows:
            for roi, (pre, post) in counts(text).items():
                totals[roi][0] += pre
                totals[roi][1] += post
    known = dataset.roi_info
    data = [
        [roi, *totals[roi], known.get(roi, {}).get("pre"), known.get(roi, {}).get("post")] for roi in sorted(totals)
    ]
    return {"columns": ["roi", "roipre", "roipost", "totalpre", "totalpost"], "data": data}


def counts(roi_info: object) -> dict[str, tuple[int, int]]:
    """What a neuron's roiInfo text says: {ROI: (pre, post)}, an absent count being 0."""
    info = {roi: values for roi, values in json_object(roi_info).items() if isinstance(values, dict)}
    return {roi: (values.get("pre") or 0, values.get("post") or 0) for roi, values in info.items()}


def _connectivity(database: Database, dataset: Dataset) -> dict[str, Any]:
    rois = dataset.overview
    wanted = set(rois)
    weights: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    with database.read(f"MATCH (n:{_neuron(dataset)}) RETURN n.roiInfo") as result:
        for (text,) in result.rows:
            add_neuron(weights, {roi: pair for roi, pair in counts(text).items() if roi in wanted})
    if dataset.meta.get("overviewOrder") != "explicit":
        rois = neighbours_together(rois, {pair: weight for pair, (_, weight) in weights.items()})
    named = {
        f"{source}=>{target}": {"count": int(count), "weight": weight}
        for (source, target), (count, weight) in sorted(weights.items())
    }
    return {"roi_names": rois, "weights": named}


def add_neuron(weights: dict[tuple[str, str], list[float]], rois: Mapping[str, tuple[int, int]]) -> None:
    """Add a neuron with {ROI: (pre, post)} to {(from, to): [neurons, weight]}.

    A neuron leads from where it has PSDs to where it has T-bars: its T-bars in a ROI are shared among the ROIs of its
    PSDs in proportion.
    """
    inputs = sum(post for _, post in rois.values())
    for source, (_, post) in rois.items():
        for target, (pre, _) in rois.items():
            if post > 0 and pre > 0:
                entry = weights[source, target]
                entry[0] += 1
                entry[1] += pre * post / inputs


def neighbours_together(rois: Sequence[str], weights: Mapping[tuple[str, str], float]) -> list[str]:
    """The ROIs in an order that puts strongly connected ones side by side.

    It starts with the one of most weight; each next one is that which is joined most strongly to the one before it.
    Ties are broken by the given order.
    """
    joined: dict[str, dict[str, float]] = {roi: defaultdict(float) for roi in rois}
    for (one, other), weight in weights.items():
        if one != other:
            joined[one][other] += weight
            joined[other][one] += weight
    left = list(rois)
    ordered: list[str] = []
    while left:
        strength = {roi: joined[roi][ordered[-1]] if ordered else sum(joined[roi].values()) for roi in left}
        best = max(left, key=strength.__getitem__)
        left.remove(best)
        ordered.append(best)
    return ordered


_TYPES: Final = """
    MATCH (n:{neuron})
    WHERE n.type IS NOT NULL AND n.status IN $typed AND coalesce(n.cropped, false) = false
    RETURN DISTINCT n.type AS type ORDER BY type
"""
_OF_TYPE: Final = """
    MATCH (n:{neuron} {{type: $type}})
    WHERE n.status IN $typed AND coalesce(n.cropped, false) = false
    RETURN n.bodyId, coalesce(n.pre, 0), coalesce(n.post, 0)
    ORDER BY coalesce(n.pre, 0) + coalesce(n.post, 0), n.bodyId
"""
_PARTNERS: Final = """
    MATCH (n:{neuron} {{bodyId: $body}})-[e:ConnectsTo]-(m:{neuron})
    RETURN m.bodyId AS bodyId, m.instance AS instance, m.type AS type, m.status AS status, e.weight AS weight,
           endNode(e) = n AS isUpstream, e.roiInfo AS roiInfo
    ORDER BY weight DESC, bodyId, isUpstream
"""


def _type_of_the_day(database: Database, dataset: Dataset, day: dt.date) -> dict[str, Any]:
    neuron, typed = _neuron(dataset), list(TYPED)
    types = [row[0] for row in database.fetch(_TYPES.format(neuron=neuron), typed=typed)]
    if not types:
        raise Refused(404, f"no neuron of dataset {dataset.name!r} that is {' or '.join(TYPED)} has a type")
    digest = hashlib.sha256(f"{dataset.name} {day.isoformat()}".encode()).digest()
    chosen = types[int.from_bytes(digest[:8]) % len(types)]
    members = database.fetch(_OF_TYPE.format(neuron=neuron), type=chosen, typed=typed)
    body, pre, post = members[(len(members) - 1) // 2]  # neither the largest nor the smallest
    with database.read(_PARTNERS.format(neuron=neuron), body=body) as result:
        connectivity = {"columns": list(result.columns), "data": [[plain(v) for v in row] for row in result.rows]}
    return {
        "info": {
            "typename": plain(chosen),
            "bodyid": plain(body),
            "numtype": len(members),
            "numpre": plain(pre),
            "numpost": plain(post),
        },
        "connectivity": connectivity,
        "skeleton": {"columns": ["rowId", "x", "y", "z", "radius", "link"], "data": []},
    }
