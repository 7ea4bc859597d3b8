"""What cannot become a neuPrint database: one message, before anything of it is written, and the rest is kept."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flyem_snapshot.cli.main import main
from tests import neuprint_tiny
from tests.neuprint_tiny import META, WITH_ELEMENTS, distances, elements
from tests.tiny import ME, OB, annotations, points

SETTINGS = "outputs.neuprint."
ROI_SETS = "inputs.rois.roi-sets."
TOTALS = f"{SETTINGS}element-totals"


@dataclass(frozen=True)
class Case:
    """One thing wrong; every one of `says` is in what the user reads.  `tables` are written over those of elements."""

    name: str
    says: tuple[str, ...]
    early: bool
    overrides: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """The config file of the case."""
        config = neuprint_tiny.write(folder, **self.overrides)
        for name, table in self.tables.items():
            table.to_feather(folder / f"{name}.feather")
        return config


def before(name: str, *says: str, tables: dict[str, pd.DataFrame] | None = None, **overrides: Any) -> Case:
    """A fault that settings and headers tell: found before any work."""
    return Case(name, says, early=True, overrides=overrides, tables=tables or {})


def during(name: str, *says: str, tables: dict[str, pd.DataFrame] | None = None, **overrides: Any) -> Case:
    """A fault that only the rows tell."""
    return Case(name, says, early=False, overrides=overrides, tables=tables or {})


def meta(**changes: Any) -> dict[str, Any]:
    return {f"{SETTINGS}meta": META | changes}


def twice(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[:1]], ignore_index=True)


def many_kinds(number: int) -> pd.DataFrame:
    """Elements in a row, each of a kind of its own."""
    places = pd.Series(range(number), dtype="int32")
    table = pd.DataFrame({"x": places + 1000, "body": 11, "mitoType": places.astype(str)})
    table = table.assign(primary=ME, layer_label=pd.Series(101, table.index, dtype="int16"))
    return table.assign(y=pd.Series(10, table.index, dtype="int32"), z=pd.Series(1, table.index, dtype="int32"))


CASES = [
    before("a dataset name with a colon", "meta.dataset", "a:b", **meta(dataset="a:b")),
    before("a primary ROI that is nowhere", "meta.primaryRois", "'LO(R)'", **meta(primaryRois=[ME, OB, "LO(R)"])),
    before("two roots", "meta.roiHierarchy", **meta(roiHierarchy={"a": {ME: None}, "b": {OB: None}})),
    before("a misspelt setting of meta", "meta.uuidd: unknown setting", "did you mean 'uuid'", **meta(uuidd="x")),
    during(
        "a ROI of the data that is not in the hierarchy",
        f"meta.roiHierarchy: lacks ROIs of the data: {OB}",
        **meta(roiHierarchy={"brain": {ME: ["layer 1", "layer 2"]}}, primaryRois=[ME], excludeFromOverview=[]),
    ),
    before(
        "a ROI named like a property of synapses",
        "ROI 'confidence' of roi-set 'layer' has the name of a property of Synapses",
        "rename-rois",
        **{f"{ROI_SETS}layer.rois": {"confidence": 101, "layer 2": 102}},
        **meta(roiHierarchy={"brain": {ME: ["confidence", "layer 2"], OB: None}}),
    ),
    during(
        "a ROI of the table named like a count",
        "'downstream'",
        points=points().assign(primary=points()["primary"].astype(object).replace(OB, "downstream")),
        **meta(
            roiHierarchy={"brain": {ME: ["layer 1", "layer 2"], "downstream": None}},
            primaryRois=[ME],
            excludeFromOverview=[],
        ),
    ),
    before(
        "an annotation column that the database cannot hold",
        "a:b",
        "contains a colon",
        annotations=annotations().assign(**{"a:b": "x"}),
    ),
    before(
        "a column of synapse points that the database cannot hold",
        "Synapses would have a property 'a{b', whose name contains a brace",
        points=points().assign(**{"a{b": 1}),
    ),
    before(
        "a column of elements that the database cannot hold",
        "elements 'mito' would have a property 'c;d', whose name contains a semicolon",
        tables={"mito": elements().assign(**{"c;d": 1})},
        **WITH_ELEMENTS,
    ),
    during(
        "a kind of element that the database cannot hold",
        "'dark:er'",
        "contains a colon",
        "rename the kind",
        tables={"mito": elements().assign(mitoType="dark:er")},
        **WITH_ELEMENTS,
    ),
    during(
        "a kind of element called like a count",
        "two counts of Segments would be called 'pre'",
        tables={"mito": elements().assign(mitoType="pre")},
        **WITH_ELEMENTS,
    ),
    during(
        "a kind of element called like the total by ROI",
        "'mito'",
        tables={"mito": elements().assign(mitoType="mito")},
        **WITH_ELEMENTS,
    ),
    during(
        "more kinds of element than properties should be",
        "elements 'mito' are of 201 kinds",
        "compute-kind-totals-for-column",
        tables={"mito": many_kinds(201)},
        **WITH_ELEMENTS,
    ),
    during(
        "a column of elements with an integer too large",
        "elements 'mito'",
        "column 'serial'",
        "does not fit a signed 64-bit integer",
        tables={"mito": elements().assign(serial=pd.Series([2**63] * 5, dtype="uint64"))},
        **WITH_ELEMENTS,
    ),
    during(
        "elements with one place",
        "mito.feather: column 'point_id'",
        "(2 rows); first: 4398067483624",
        tables={"mito": twice(elements())},
        **WITH_ELEMENTS,
    ),
    during(
        "distances between nothing and nothing",
        "distances 'mito'",
        "not one row joins two points",
        tables={"near": distances().assign(source_x=[999, 999])},
        **WITH_ELEMENTS,
    ),
    before(
        "indexes for a label that no element has",
        "indexes.element-roisets-to-index",
        "'Mitos'",
        **WITH_ELEMENTS,
        **{f"{SETTINGS}indexes": {"element-roisets-to-index": [{"neuprint-label": "Mitos", "roisets": ["primary"]}]}},
    ),
    before(
        "a formula that is a program",
        "roi-synapse-properties",
        "is not allowed",
        **{f"{SETTINGS}roi-synapse-properties": {"layer": {"layerNumber": "__import__('os')"}}},
    ),
]


@pytest.fixture
def command() -> Iterator[Callable[..., int]]:
    """The program without the start of a process; what it did to signals and logging is undone."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGPIPE)}
    yield lambda *words: main([str(word) for word in words])
    for number, handler in handlers.items():
        signal.signal(number, handler)
    logging.getLogger("flyem_snapshot").handlers.clear()


def parts(case: Case) -> tuple[str, ...]:
    """What may be there: the results of the stages before, the plot of status counts among them."""
    return ("cache",) if case.early else ("tables", "reports", "cache", "final-config.yaml")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_cannot_become_a_database_is_said_before_any_of_it_is_written(case, tmp_path, command, capsys):
    code = command("-c", case.write(tmp_path))

    said = capsys.readouterr().err
    assert [words for words in case.says if words not in said] == [], said
    assert "Traceback" not in said
    assert code == (2 if "config.yaml:" in said else 1)
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} <= set(parts(case)) if out.exists() else case.early


def test_a_roi_that_lies_outside_what_is_exported_need_not_be_in_the_hierarchy(tmp_path, command):
    only_me = meta(roiHierarchy={"brain": {ME: ["layer 1", "layer 2"]}}, primaryRois=[ME], excludeFromOverview=[])
    restricted = {f"{SETTINGS}restrict-info-totals-to-roiset": "layer"}

    assert command("-c", neuprint_tiny.write(tmp_path / "all", **only_me)) == 2
    assert command("-c", neuprint_tiny.write(tmp_path / "restricted", **only_me, **restricted)) == 0


def test_a_mended_meta_file_resumes_with_the_database(tmp_path, command, capsys):
    incomplete = meta(roiHierarchy={"brain": {ME: ["layer 1", "layer 2"]}}, primaryRois=[ME], excludeFromOverview=[])
    assert command("-c", neuprint_tiny.write(tmp_path, **incomplete)) == 2
    capsys.readouterr()

    assert command("-c", neuprint_tiny.write(tmp_path)) == 0

    log = capsys.readouterr().out
    assert "inputs.synapses: reuse" in log
    assert (tmp_path / "out" / "neuprint" / "Neuprint_Meta.csv").exists()
