"""Whether a database is what neuPrint's clients can live with: the findings, each with what it breaks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flyem_snapshot.bridge.database import Database
from flyem_snapshot.bridge.datasets import Dataset, metas
from flyem_snapshot.bridge.labels import dataset_label
from flyem_snapshot.bridge.replies import Refused

SAMPLE: Final = 10_000
"""So many nodes or relationships of a kind are looked at; all of them may be hundreds of millions."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with the database; `fatal` if the dataset cannot be served."""

    text: str
    fatal: bool = False

    def __str__(self) -> str:
        return self.text


def findings(database: Database) -> list[Finding]:
    """Everything that is wrong with the Meta nodes, and with a sample of Segments and connections."""
    nodes = metas(database)
    if not nodes:
        return [Finding("the database has no :Meta node: it is empty, or not a neuPrint database", fatal=True)]
    found = [finding for meta in nodes for finding in meta_findings(meta)]
    usable = [Dataset(meta) for meta in nodes if _is_text(meta.get("dataset"))]
    found += [
        Finding(f"{count} :Meta nodes describe the same dataset '{name}'", fatal=True)
        for name, count in Counter(dataset.name for dataset in usable).items()
        if count > 1
    ]
    for dataset in usable:
        found += _sampled(database, dataset.name)
    try:
        database.fetch("RETURN apoc.version()")
    except Refused:
        found.append(
            Finding("the APOC plugin is not installed: fetch_meta and fetch_adjacencies of neuprint-python fail")
        )
    return found


def meta_findings(meta: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with the properties of one Meta node."""
    yield from _name(meta.get("dataset"))
    if not _is_json(meta.get("roiInfo"), dict):
        yield Finding(
            "Meta.roiInfo is absent or no JSON object: neuPrintHTTP does not start, no ROI is known", fatal=True
        )
    if not _is_text(meta.get("lastDatabaseEdit")):
        yield Finding("Meta.lastDatabaseEdit is absent or no text: neuPrintHTTP does not start")
    yield from _lists(meta)
    if not isinstance(meta.get("hideDataSet", False), bool):
        yield Finding("Meta.hideDataSet is no boolean: neuPrintHTTP does not start")
    for key in ("uuid", "tag", "info", "logo", "description"):
        if not isinstance(meta.get(key, ""), str):
            yield Finding(f"Meta.{key} is no text: neuPrintHTTP does not start")
    yield from _json_texts(meta)
    if not meta.get("overviewRois"):
        yield Finding("Meta.overviewRois is absent: neuPrintHTTP's ROI heat map may stay empty")
    if not _is_text(meta.get("overviewOrder")):
        yield Finding("Meta.overviewOrder is absent: neuPrintHTTP's ROI heat map may stay empty")


def _name(name: object) -> Iterator[Finding]:
    if not isinstance(name, str) or not name:
        yield Finding("Meta.dataset is absent or no text: the dataset has no name", fatal=True)
    elif ":" in name or "`" in name:
        yield Finding(f"Meta.dataset '{name}' has a colon or back-tick: its labels cannot be told apart", fatal=True)
    elif name != name.lower():
        yield Finding(f"Meta.dataset '{name}' has capitals: neuPrint's cached pages look for '{name.lower()}_Neuron'")


def _lists(meta: Mapping[str, Any]) -> Iterator[Finding]:
    broken = {
        "primaryRois": "fetch_primary_rois and fetch_neurons of neuprint-python fail",
        "superLevelRois": "neuPrintHTTP does not start, neuPrintExplorer shows an error",
    }
    for key, consequence in broken.items():
        value = meta.get(key)
        if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            yield Finding(f"Meta.{key} is absent or no list of texts: {consequence}")


def _json_texts(meta: Mapping[str, Any]) -> Iterator[Finding]:
    if not _is_json(meta.get("roiHierarchy"), dict):
        yield Finding("Meta.roiHierarchy is absent or no JSON object: fetch_roi_hierarchy fails")
    if "neuronProperties" not in meta:
        yield Finding("Meta.neuronProperties is absent: fetch_neurons looks through all neurons for their properties")
    for key, kind in (
        ("neuronProperties", dict),
        ("ntSynapseProperties", dict),
        ("statusDefinitions", dict),
        ("neuroglancerInfo", dict),
        ("neuroglancerMeta", list),
        ("neuronColumns", list),
        ("neuronColumnsVisible", list),
        ("neuronColumnsOrdered", list),
    ):
        if key in meta and not _is_json(meta[key], kind):
            shape = "object" if kind is dict else "list"
            yield Finding(f"Meta.{key} is no JSON {shape}: the clients that read it fail")


_SEGMENTS: Final = """
    MATCH (n:{segment}) WITH n LIMIT $sample
    WITH n, toString(n.pre) =~ '[0-9]+' AND toString(n.post) =~ '[0-9]+' AS whole
    WHERE n.roiInfo IS NULL OR NOT coalesce(whole, false)
    RETURN n.bodyId, n.roiInfo IS NULL LIMIT 1
"""
_CONNECTIONS: Final = """
    MATCH (n:{segment})-[e:ConnectsTo]->(m) WITH n, e, m LIMIT $sample
    WITH n, e, m WHERE e.roiInfo IS NULL OR e.weight IS NULL
    RETURN n.bodyId, m.bodyId LIMIT 1
"""


def _sampled(database: Database, name: str) -> Iterable[Finding]:
    segment = dataset_label(name, "Segment")
    if not database.fetch(f"MATCH (n:{segment}) RETURN 1 LIMIT 1"):
        yield Finding(f"no node has the label {segment}: queries for dataset '{name}' find nothing")
        return
    for body, no_info in database.fetch(_SEGMENTS.format(segment=segment), sample=SAMPLE):
        problem = "has no roiInfo: fetch_neurons fails" if no_info else "has a pre or post that is no integer"
        yield Finding(f"Segment {body} {problem}")
    for body, partner in database.fetch(_CONNECTIONS.format(segment=segment), sample=SAMPLE):
        yield Finding(f"the connection {body} -> {partner} has no weight or roiInfo: fetch_adjacencies fails")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_json(text: object, kind: type) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), kind)
    except ValueError:
        return False
