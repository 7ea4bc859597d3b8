"""What the database must say, computed with pandas from the flat tables and the inputs of the same run.

Names as in the flat tables: S = synapse points, P = partners, W = weights, B = body statistics, A = annotations;
t and h are the thresholds of the meta config.
"""

import json
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

UNSPECIFIED = "<unspecified>"
PAIR = ["body_pre", "body_post"]
PRE, POST = "PreSyn", "PostSyn"
KINDS = {PRE: "pre", POST: "post"}
COMPARTMENT_WEIGHTS = {
    "weightAxonDendrite": ("axon", "dendrite"),
    "weightAxonAxon": ("axon", "axon"),
    "weightDendriteDendrite": ("dendrite", "dendrite"),
    "weightDendriteAxon": ("dendrite", "axon"),
}


def plain(value: Any) -> Any:
    """A cell that can be compared: null is None, lists are tuples, NumPy's numbers are Python's."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(plain(v) for v in value)
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    if value is None or value is pd.NA or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return None
    return value.item() if isinstance(value, np.generic) else value


def rows(frame: pd.DataFrame) -> Counter[tuple[Any, ...]]:
    """The rows of a table as a multiset."""
    columns = [[plain(v) for v in frame[c].tolist()] for c in frame.columns]
    return Counter(zip(*columns, strict=True))


def assert_same_rows(actual: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Two tables hold the same rows, each as often, in any order; neither is empty."""
    assert list(actual.columns) == list(expected.columns)
    got, wanted = rows(actual), rows(expected)
    assert got
    surplus, lacking = got - wanted, wanted - got
    assert (len(surplus), len(lacking)) == (0, 0), f"surplus: {list(surplus)[:5]}, lacking: {list(lacking)[:5]}"


class Flat:
    """The flat tables of a finished run in `out`."""

    def __init__(self, out: Path):
        self.out = out
        self.config = YAML(typ="safe", pure=True).load(out / "final-config.yaml")
        self.neuprint: dict[str, Any] = self.config["outputs"]["neuprint"]
        self.meta: dict[str, Any] = self.neuprint["meta"]
        self.t = np.float32(self.meta["postHighAccuracyThreshold"])
        self.h = np.float32(self.meta["postHPThreshold"])

    def _table(self, name: str) -> pd.DataFrame:
        files = [f for f in self.out.glob(f"flat-connectome/{name}-*.feather") if not f.stem.endswith("-only")]
        assert len(files) == 1, files
        frame = pd.read_feather(files[0])
        if frame.index.name:
            frame = frame.reset_index()
        for column in frame.select_dtypes("category"):
            frame[column] = frame[column].astype("object")
        return frame

    # -- the tables ---------------------------------------------------------------------------------------------------

    @cached_property
    def S(self) -> pd.DataFrame:  # noqa: N802
        """Synapse points."""
        points = self._table("syn-points")
        return points[points["body"] != 0].reset_index(drop=True)

    @cached_property
    def P(self) -> pd.DataFrame:  # noqa: N802
        """Partners, with the PSD's ROI in every set as `<set>_post`, the T-bar's as `<set>_pre`, and `strong`."""
        partners = self._table("syn-partners").reset_index(drop=True)
        places = self.S.set_index(["x", "y", "z"])[[*self.roi_sets]]
        for side in ("pre", "post"):
            found = places.reindex(pd.MultiIndex.from_frame(partners[[f"{a}_{side}" for a in "xyz"]]))
            for name in self.roi_sets:
                partners[f"{name}_{side}"] = found[name].to_numpy()
        partners["strong"] = partners["conf_post"].to_numpy() >= self.t
        return partners

    @cached_property
    def W(self) -> pd.DataFrame:  # noqa: N802
        """Weights."""
        return self._table("connectome-weights")

    @cached_property
    def B(self) -> pd.DataFrame:  # noqa: N802
        """Body statistics."""
        return self._table("body-stats").set_index("body")

    @cached_property
    def A(self) -> pd.DataFrame:  # noqa: N802
        """Annotations under neuPrint's names."""
        table = self._table("body-annotations")
        return table[table["bodyId"] != 0].set_index("bodyId")

    @property
    def roi_sets(self) -> list[str]:
        """The ROI sets whose ROIs are flags of synapses."""
        return [s for s in self.neuprint["roi-set-names"] if s in self.S]

    @property
    def primary(self) -> list[str]:
        return list(self.meta["primaryRois"])

    @cached_property
    def primary_set(self) -> str:
        """The ROI set that holds the primary ROIs."""
        return next(s for s in self.roi_sets if set(self.S[s]) & set(self.primary))

    # -- elements -----------------------------------------------------------------------------------------------------

    @cached_property
    def elements(self) -> dict[str, pd.DataFrame]:
        """Every element table, without body 0, with one column for each of its ROI sets."""
        tables = {}
        for name, settings in (self.config["inputs"].get("elements") or {}).items():
            if isinstance(settings, dict) and settings.get("point-table"):
                table = pd.read_feather(settings["point-table"])
                table = table[table["body"] != 0].reset_index(drop=True)
                for column in table.select_dtypes("category"):
                    table[column] = table[column].astype("object")
                if settings.get("type"):
                    table["type"] = settings["type"]
                for roi_set in settings["roi-set-names"]:
                    table[roi_set] = self._element_rois(table, roi_set)
                tables[name] = table
        return tables

    def _element_rois(self, table: pd.DataFrame, roi_set: str) -> pd.Series:
        settings = self.config["inputs"]["rois"]["roi-sets"][roi_set]
        if settings["source"] == "unions-of-subrois":
            whole = {part: union for union, parts in settings["rois"].items() for part in parts}
            return self._element_rois(table, settings["union-source-roiset"]).map(whole).fillna(UNSPECIFIED)
        if roi_set in table:
            return table[roi_set].fillna(UNSPECIFIED)
        names = {label: name for name, label in settings["rois"].items()}
        return table[f"{roi_set}_label"].map(names).fillna(UNSPECIFIED)

    def element_sets(self, name: str) -> list[str]:
        """The ROI sets of an element table whose ROIs are flags."""
        own = self.config["inputs"]["elements"][name]["roi-set-names"]
        return [s for s in self.neuprint["roi-set-names"] if s in own]

    @property
    def counted_elements(self) -> dict[str, dict[str, str]]:
        """The element tables that count in Segments, with their settings."""
        totals = self.neuprint.get("element-totals") or {}
        return {name: settings for name, settings in totals.items() if any(settings.values())}

    # -- bodies -------------------------------------------------------------------------------------------------------

    @cached_property
    def segments(self) -> set[int]:
        """Bodies with a synapse or a counted element; with keep-non-synaptic-segments also the annotated ones."""
        bodies = set(self.S["body"]) | set(self.P["body_pre"])
        for name in self.counted_elements:
            bodies |= set(self.elements[name]["body"])
        return bodies | (set(self.A.index) if self.neuprint["keep-non-synaptic-segments"] else set())

    @cached_property
    def totals(self) -> pd.DataFrame:
        """pre, post, downstream, upstream, synweight, partners and element totals of every Segment."""
        table = pd.DataFrame(index=pd.Index(sorted(self.segments), dtype="int64", name="bodyId"))
        for kind, name in KINDS.items():
            table[name] = self.S[self.S["kind"] == kind].groupby("body").size()
        strong = self.P[self.P["strong"]]
        table["downstream"] = strong.groupby("body_pre").size()
        table["upstream"] = table["post"]
        pairs = self.P.drop_duplicates(PAIR)
        table["upstreamPartners"] = pairs.groupby("body_post").size()
        table["downstreamPartners"] = pairs.groupby("body_pre").size()
        for name, settings in self.counted_elements.items():
            if total := settings["compute-segment-totals-with-name"]:
                table[total] = self.elements[name].groupby("body").size()
        table = table.fillna(0).astype("int64")
        table["synweight"] = table["upstream"] + table["downstream"]
        return table

    @cached_property
    def neurons(self) -> set[int]:
        """The Segments that are Neurons."""
        rule = self.neuprint["neuron-label-criteria"]
        known = self.A.reindex(self.totals.index)
        big = pd.Series(False, index=self.totals.index)
        for column in ("synweight", "pre", "post"):
            big |= self.totals[column] >= rule[column]
        for column in set(rule["properties"]) & set(known):
            big |= known[column].notna()
        if "status" in known:
            big |= known["status"].isin(rule["status"])
            big &= ~known["status"].isin(rule["excluded-status"])
        return set(big.index[big])

    @cached_property
    def roi_counts(self) -> pd.DataFrame:
        """pre, post, downstream, upstream and element counts by (bodyId, roi), over all ROI sets, without zeros."""
        counts: dict[str, list[pd.Series]] = {}
        strong = self.P[self.P["strong"]]
        for name in self.roi_sets:
            for kind, column in KINDS.items():
                counted = self.S[self.S["kind"] == kind].groupby(["body", name]).size()
                counts.setdefault(column, []).append(counted)
            counts.setdefault("downstream", []).append(strong.groupby(["body_pre", f"{name}_post"]).size())
        counts["upstream"] = counts["post"]
        for name, settings in self.counted_elements.items():
            if total := settings["compute-roi-totals-with-name"]:
                table = self.elements[name]
                counts[total] = [table.groupby(["body", s]).size() for s in self.element_sets(name)]
        columns = {c: pd.concat([n.rename_axis(["bodyId", "roi"]) for n in parts]) for c, parts in counts.items()}
        columns = {c: n[n.index.get_level_values("roi") != UNSPECIFIED] for c, n in columns.items()}
        return pd.DataFrame(columns).fillna(0).astype("int64")

    # -- pairs --------------------------------------------------------------------------------------------------------

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """weightHR, weight, weightHP of every pair of bodies, and the compartment weights."""
        table = self.P.assign(weightHR=1, weight=self.P["strong"], weightHP=self.P["conf_post"] >= max(self.h, self.t))
        columns = ["weightHR", "weight", "weightHP"]
        if "compartment_pre" in table:
            for column, (pre, post) in COMPARTMENT_WEIGHTS.items():
                sides = (table["compartment_pre"] == pre) & (table["compartment_post"] == post)
                table[column] = sides & table["strong"]
                columns.append(column)
        return table.groupby(PAIR)[columns].sum().astype("int64")

    def strong_pairs(self) -> pd.DataFrame:
        """Pairs with a weight, as neuprint-python names the columns."""
        table = self.pairs[self.pairs["weight"] > 0].reset_index()
        return table.rename(columns={"body_pre": "bodyId_pre", "body_post": "bodyId_post"})

    def of_strong_pairs(self) -> pd.DataFrame:
        """The partner rows of pairs with a weight, columns as in fetch_synapse_connections."""
        weights = self.pairs["weight"].reindex(pd.MultiIndex.from_frame(self.P[PAIR])).to_numpy()
        table = self.P[weights > 0].rename(columns={"body_pre": "bodyId_pre", "body_post": "bodyId_post"})
        for side in ("pre", "post"):
            place = table[f"{self.primary_set}_{side}"]
            table[f"roi_{side}"] = place.where(place.isin(self.primary), None)
        return table.rename(columns={"conf_pre": "confidence_pre", "conf_post": "confidence_post"})

    def synapses(self) -> pd.DataFrame:
        """The synapse points, columns as in fetch_synapses."""
        place = self.S[self.primary_set]
        return pd.DataFrame(
            {
                "bodyId": self.S["body"],
                "type": self.S["kind"].map(KINDS),
                "roi": place.where(place.isin(self.primary), None),
                **{axis: self.S[axis] for axis in "xyz"},
                "confidence": self.S["conf"],
            }
        )
