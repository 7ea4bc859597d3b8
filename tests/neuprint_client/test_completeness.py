"""Checks 38-40: how much of the connections is on traced neurons, and the server's own summaries."""

import pandas as pd
from neuprint import fetch_output_completeness

from tests.neuprint_client.flat import assert_same_rows

TRACED = ["Traced"]
COMPLETE = ["Traced", "Roughly traced", "Prelim Roughly traced", "Finalized", "Leaves"]


def test_38_output_completeness_is_the_share_of_weight_on_traced_bodies(db):
    known = db.flat.A.reindex(db.flat.totals.index)
    traced = known["status"].isin(TRACED)
    if "statusLabel" in known:
        traced |= known["statusLabel"].isin(TRACED)
    pairs = db.flat.pairs["weight"].reset_index()
    ends_traced = pairs["body_post"].isin(set(traced.index[traced]))
    expected = pd.DataFrame(
        {
            "total_weight": pairs.groupby("body_pre")["weight"].sum(),
            "traced_weight": pairs[ends_traced].groupby("body_pre")["weight"].sum(),
        }
    )
    # The client's query finds only bodies with a pair that ends on a traced one.
    expected = expected.dropna().astype(int).reset_index(names="bodyId")
    found = fetch_output_completeness(db.everybody(), client=db.client)
    assert_same_rows(found[["bodyId", "total_weight", "traced_weight"]], expected)
    weighted = found[found["total_weight"] > 0]
    assert (weighted["completeness"] == weighted["traced_weight"] / weighted["total_weight"]).all()


def test_39_roi_completeness_sums_over_complete_neurons_and_compares_with_meta(db):
    status = db.flat.A["status"]
    complete = set(status.index[status.isin(COMPLETE)]) & db.flat.neurons
    counts = db.flat.roi_counts.reset_index()
    mine = counts[counts["bodyId"].isin(complete)].groupby("roi")[["pre", "post"]].sum()
    expected = mine.set_axis(["roipre", "roipost"], axis=1).join(counts.groupby("roi")[["pre", "post"]].sum())
    expected = expected.rename(columns={"pre": "totalpre", "post": "totalpost"}).reset_index()

    found = db.client.fetch_roi_completeness()
    assert_same_rows(found[list(expected.columns)], expected)


def test_40_roi_connectivity_is_between_the_overview_rois(db):
    names = db.flat.meta.get("overviewRois") or [
        roi for roi in db.flat.primary if roi not in (db.flat.meta.get("excludeFromOverview") or ())
    ]
    answer = db.client.fetch_roi_connectivity(format="json")
    assert sorted(answer["roi_names"]) == sorted(names)
    table = db.client.fetch_roi_connectivity()
    assert len(table) == len(answer["weights"]) > 0
    assert set(table["from_roi"]) | set(table["to_roi"]) <= set(names)


def test_40_the_type_of_the_day_is_a_type(db):
    info, connectivity, _ = db.client.fetch_daily_type()
    body = db.flat.A.loc[info["bodyid"]]
    assert body["type"] == info["typename"]
    assert (info["numpre"], info["numpost"]) == tuple(db.flat.totals.loc[info["bodyid"], ["pre", "post"]])
    assert len(connectivity)
