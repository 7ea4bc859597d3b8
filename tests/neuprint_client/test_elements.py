"""Checks 35-37: mitochondria, on the connectome that has them."""

import pandas as pd
from neuprint import MitoCriteria, SynapseCriteria, fetch_custom, fetch_mitochondria
from neuprint.queries import fetch_synapses_and_closest_mitochondria

from tests.neuprint_client.flat import assert_same_rows

MITO = ["bodyId", "mitoType", "roi", "x", "y", "z", "size", "r0", "r1", "r2"]


def mitochondria(odd):
    table = odd.flat.elements["mito"].rename(columns={"body": "bodyId"})
    place = table["primary"]
    return table.assign(roi=place.where(place.isin(odd.flat.primary), None))


def test_35_mitochondria_have_size_and_axes_unrounded(odd):
    found = fetch_mitochondria(odd.everybody(), MitoCriteria(client=odd.client), client=odd.client)
    assert_same_rows(found[MITO], mitochondria(odd)[MITO])
    assert found["size"].max() > 2**30


def test_35_mitochondria_of_a_kind_size_and_roi_are_found(odd):
    roi = odd.flat.primary[0]
    criteria = MitoCriteria(mitoType="dark", size=100_000_000, rois=[roi], client=odd.client)
    found = fetch_mitochondria(odd.everybody(), criteria, client=odd.client)
    table = mitochondria(odd)
    table = table[(table["mitoType"] == "dark") & (table["size"] >= 100_000_000) & (table["roi"] == roi)]
    assert_same_rows(found[MITO], table[MITO])


def test_36_a_synapse_is_close_to_its_mitochondrion_at_the_given_distance(odd):
    found = fetch_synapses_and_closest_mitochondria(
        odd.everybody(), SynapseCriteria(confidence=0, client=odd.client), client=odd.client
    )
    table = pd.read_feather(odd.flat.config["inputs"]["elements"]["mito"]["distance-table"])
    table = table.merge(odd.flat.S, left_on=["source_x", "source_y", "source_z"], right_on=["x", "y", "z"])
    target = {f"target_{axis}": axis for axis in "xyz"}
    table = table.merge(
        odd.flat.elements["mito"][["x", "y", "z", "mitoType", "size"]].rename(
            columns={axis: column for column, axis in target.items()}
        ),
        on=list(target),
    ).rename(columns={"body": "bodyId", **{column: f"m{axis}" for column, axis in target.items()}})
    columns = ["bodyId", "x", "y", "z", "distance", "mitoType", "mx", "my", "mz", "size"]
    assert_same_rows(found[columns], table[columns])


def test_37_mitochondria_are_counted_by_segment_kind_and_roi(odd):
    table = odd.flat.elements["mito"]
    kinds = ["dark", "medium", "light"]
    counts = pd.crosstab(table["body"], table["mitoType"])[kinds].assign(mito=table.groupby("body").size())
    found = odd.neurons.set_index("bodyId")[["mito", *kinds]]
    expected = counts.reindex(found.index).fillna(0).astype(int)
    pd.testing.assert_frame_equal(found, expected[["mito", *kinds]], check_names=False, check_dtype=False)

    by_roi = odd.roi_counts[(odd.roi_counts["roi"] != "NotPrimary") & (odd.roi_counts["mito"] > 0)]
    wanted = odd.flat.roi_counts.reset_index()
    wanted = wanted[wanted["mito"] > 0]
    assert_same_rows(by_roi[["bodyId", "roi", "mito"]], wanted[["bodyId", "roi", "mito"]])


def test_37_kinds_in_the_roi_info_add_up_to_the_mitochondria(odd):
    for info in odd.neurons["roiInfo"]:
        for counts in info.values():
            assert counts.get("mito", 0) == sum(counts.get(kind, 0) for kind in ("dark", "medium", "light"))


def test_37_element_labels_and_boolean_properties_are_there(odd):
    query = "MATCH (m:Mito) RETURN m.checked AS checked, count(m) AS n"
    expected = odd.flat.elements["mito"].groupby("checked").size().reset_index(name="n")
    assert_same_rows(fetch_custom(query, client=odd.client), expected)
    (labels,) = (row["labels"] for row in odd.ask("MATCH (s:Soma {bodyId: 11}) RETURN labels(s) AS labels"))
    assert set(labels) == {"Element", "odd_Element", "Soma", "odd_Soma"}
