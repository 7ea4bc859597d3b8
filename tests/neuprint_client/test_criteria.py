"""Checks 41-43: what NeuronCriteria find."""

import pytest
import requests
from neuprint import IsNull, NeuronCriteria, NotNull, fetch_neurons


def bodies(db, **criteria):
    found = fetch_neurons(
        NeuronCriteria(label="Segment", client=db.client, **criteria), omit_rois=True, client=db.client
    )
    assert found["bodyId"].is_unique
    return set(found["bodyId"].tolist())


def in_roi(db, roi):
    counts = db.flat.roi_counts.reset_index()
    return counts[counts["roi"] == roi].set_index("bodyId")


def test_41_criteria_on_a_roi_find_the_bodies_whose_roi_info_names_it(db):
    for roi in [*db.flat.primary, *(r for r in db.client.all_rois if r not in db.flat.primary)]:
        assert bodies(db, rois=[roi]) == set(in_roi(db, roi).index)


def test_41_criteria_on_two_rois_find_bodies_with_both_or_any(db):
    one, other = (set(in_roi(db, roi).index) for roi in db.flat.primary[:2])
    assert bodies(db, rois=db.flat.primary[:2]) == one & other
    assert bodies(db, rois=db.flat.primary[:2], roi_req="any") == one | other


@pytest.mark.parametrize("least", [1, 5])
def test_42_criteria_on_inputs_and_outputs_compare_the_counts_of_the_roi(db, least):
    for roi in db.flat.primary:
        counts = in_roi(db, roi)
        found = bodies(db, inputRois=[roi], min_roi_inputs=least)
        assert found == set(counts.index[counts["post"] >= least])
        found = bodies(db, outputRois=[roi], min_roi_outputs=least)
        assert found == set(counts.index[counts["pre"] >= least])


def presence(db, column):
    known = db.flat.A.reindex(db.flat.totals.index)[column].notna()
    return set(known.index[known]), set(known.index[~known])


def cropped(db):
    known = db.flat.A.reindex(db.flat.totals.index)["cropped"]
    return set(known.index[known.isin([True, "True"])])


def test_43_criteria_on_presence_work_on_the_servers_that_know_their_syntax(db):
    """The client writes `exists(n.type)`, which Neo4j 5 no longer knows: there it must be told so."""
    cases = []
    for column in ("type", "somaLocation"):
        there, absent = presence(db, column)
        cases += [({column: NotNull}, there), ({column: IsNull}, absent)]
    if "cropped" in db.flat.A:
        cases.append(({"cropped": False}, set(db.flat.totals.index) - cropped(db)))
    for criteria, expected in cases:
        if db.version == "4.4":
            assert bodies(db, **criteria) == expected
        else:
            with pytest.raises(requests.HTTPError, match="(?i)exists"):
                bodies(db, **criteria)


def test_43_criteria_on_values_work_everywhere(db):
    table = db.flat.A.reindex(db.flat.totals.index)
    for value in table["type"].dropna().unique()[:20]:
        assert bodies(db, type=value, regex=False) == set(table.index[table["type"] == value])
    assert bodies(db, status="Traced") == set(table.index[table["status"] == "Traced"])
    if "cropped" in table:
        assert bodies(db, cropped=True) == cropped(db)
