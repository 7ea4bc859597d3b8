"""Made-up reports that look like real ones: the best bodies are large, most bodies are small orphans."""

from __future__ import annotations

import numpy as np
import pandas as pd

from flyem_snapshot.connectome.report_tables import FRACTIONS, Links, Report, ReportSet, Summary
from flyem_snapshot.connectome.status import STATUS_DTYPE

STATUSES = (
    "Traced",
    "Roughly traced",
    "Prelim Roughly traced",
    "RT Orphan",
    "Leaves",
    "Anchor",
    "0.5assign",
    "",
    "Orphan",
)
SHARES = (0.015, 0.05, 0.02, 0.01, 0.02, 0.08, 0.08, 0.325, 0.4)
BEST = STATUSES[:7]

STATE = {
    "layers": [
        {"name": "grey", "type": "image", "source": "precomputed://grey"},
        {"name": "other", "type": "segmentation", "segments": ["1"]},
        {"name": "neurons", "type": "segmentation", "segments": ["5", "6"], "segmentQuery": "5"},
    ],
    "selectedLayer": {"layer": "neurons", "visible": True},
    "title": "a & b",
}
LINKS = Links(STATE, "https://clio-ng.janelia.org")


def curve(bodies: int, seed: int = 0, first_body: int = 2**53 + 1) -> pd.DataFrame:
    """A curve with a row for each rank."""
    rng = np.random.default_rng(seed)
    sizes = [max(1, round(share * bodies)) for share in SHARES]
    codes = np.repeat(np.arange(len(STATUSES)), sizes)[:bodies]
    weight = np.array([4000, 2500, 900, 500, 60, 40, 30, 8, 3])[codes] * rng.pareto(1.6, len(codes)) + 2
    order = np.lexsort((-weight, codes))
    codes, weight = codes[order], weight[order].astype(np.int64)
    presyn = (weight * rng.uniform(0.05, 0.3, len(codes))).astype(np.int64)
    postsyn = np.maximum(weight // 2, 1)
    traced = {
        name: np.cumsum(values) / max(values.sum(), 1)
        for name, values in (("presyn", presyn), ("postsyn", postsyn), ("synweight", weight))
    }
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(codes) + 1, dtype=np.int64),
            "body": first_body + np.arange(len(codes), dtype=np.int64),
            "status": pd.Categorical([STATUSES[code] for code in codes], dtype=STATUS_DTYPE),
            "presyn": presyn,
            "postsyn": postsyn,
            "synweight": weight,
            "traced_presyn_frac": traced["presyn"],
            "traced_postsyn_frac": traced["postsyn"],
            "traced_synweight_frac": traced["synweight"],
            "traced_conn_frac": traced["presyn"] * traced["postsyn"],
        }
    )


def capture(bodies: int, seed: int = 0) -> pd.DataFrame:
    """A capture table."""
    rng = np.random.default_rng(seed)
    downstream = rng.integers(1, 400, bodies).astype(np.int32)
    captured = rng.binomial(downstream, rng.beta(5, 3, bodies)).astype(np.int32)
    return pd.DataFrame(
        {
            "body_pre": np.arange(1, bodies + 1, dtype=np.int64),
            "captured": captured,
            "not_captured": downstream - captured,
            "downstream": downstream,
            "presyn": (downstream // 6 + 1).astype(np.int32),
            "capture_frac": (captured / downstream).astype(np.float32),
        }
    )


def report(name: str, bodies: int = 4000, seed: int = 0, slug: str = "", *, status: bool = True) -> Report:
    """One report."""
    table = curve(bodies, seed)
    return Report(
        name=name,
        slug=slug or "".join(letter if letter.isalnum() else "-" for letter in name),
        rois=(name,),
        bodies=bodies,
        presyn=int(table["presyn"].sum()),
        postsyn=int(table["postsyn"].sum()),
        connections=int(table["postsyn"].sum()),
        curve=table if status else table.assign(status=None),
        capture=capture(bodies // 10 + 1, seed) if status else None,
        has_status=status,
    )


def empty_report(name: str) -> Report:
    """A report on a region without synapses."""
    return Report(name, name, (name,), 0, 0, 0, 0, curve(1).iloc[:0], None, has_status=True)


def summary(group: str, reports: list[Report], slug: str = "") -> Summary:
    """The summary of some reports, read from their curves."""
    cumulative = {}
    for stat in FRACTIONS:
        rows = []
        for index, one in enumerate(reports):
            best = one.curve.groupby("status", observed=True)[stat].max()
            values, before = {}, 0.0
            for status in BEST:
                before = values[status] = float(best.get(status, before))
            rows.append(
                {
                    "name": one.name,
                    **values,
                    "PostSyn": float(one.postsyn),
                    "PreSyn": float(one.presyn),
                    "report_index": index,
                }
            )
        cumulative[stat] = pd.DataFrame(rows)
    by_status = {}
    for stat, table in cumulative.items():
        steps = table[list(BEST)].diff(axis=1)
        steps[BEST[0]] = table[BEST[0]]
        by_status[stat] = table.assign(**{status: steps[status] for status in BEST})
    return Summary(group, slug or group, BEST, cumulative, by_status)


def report_set(count: int = 12, bodies: int = 3000, roiset: str = "primary") -> ReportSet:
    """A set of reports on regions in pairs, of sizes that differ by orders of magnitude."""
    names = ["FB", "EB", "ME(R)", "ME(L)", "LO(R)", "LO(L)", "AOTU(R)", "AOTU(L)", "a'L(R)", "a'L(L)", "PB", "NO"]
    names += [f"LAL-segment-{index}(R)" for index in range(count)]
    reports = [report(name, max(30, int(bodies * 0.72**index)), index) for index, name in enumerate(names[:count])]
    return ReportSet(
        roiset, reports, [summary(roiset, reports), summary("Some of them", reports[:5], "Some-of-them")], BEST[:5]
    )
