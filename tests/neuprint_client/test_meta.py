"""Checks 1-6: what the client learns of a dataset before it asks for anything."""

import neuprint

from tests.neuprint_client.flat import PRE, UNSPECIFIED


def test_01_the_server_lists_the_dataset_with_its_rois(db):
    listed = db.client.fetch_datasets()
    assert list(listed) == [db.dataset]
    assert listed[db.dataset]["superLevelROIs"] == db.flat.primary
    assert sorted(listed[db.dataset]["ROIs"]) == sorted(neuprint.fetch_meta(client=db.client)["roiInfo"])
    assert listed[db.dataset]["hidden"] is False


def test_02_and_03_the_meta_totals_count_the_synapses_outside_body_0(db):
    meta = neuprint.fetch_meta(client=db.client)
    tbars = int((db.flat.S["kind"] == PRE).sum())
    assert (meta["totalPreCount"], meta["totalPostCount"]) == (tbars, len(db.flat.S) - tbars)


def test_04_all_rois_are_those_of_synapses_and_counted_elements_and_empty_ones_of_the_hierarchy(db):
    seen = {roi for roi_set in db.flat.roi_sets for roi in db.flat.S[roi_set]}
    for name in db.flat.counted_elements:
        seen |= {roi for roi_set in db.flat.element_sets(name) for roi in db.flat.elements[name][roi_set]}
    found = neuprint.fetch_all_rois(client=db.client)
    empty = set(found) - seen
    info = db.client.meta["roiInfo"]
    assert set(found) >= seen - {UNSPECIFIED}
    assert {(info[roi]["pre"], info[roi]["post"]) for roi in empty} <= {(0, 0)}
    (root,) = db.flat.meta["roiHierarchy"]
    assert empty <= names(db.client.meta["roiHierarchy"]) - {root}  # regions of the hierarchy in which nothing lies


def names(node):
    return {node["name"]}.union(*(names(child) for child in node.get("children", ())))


def test_05_the_primary_rois_are_the_configured_ones(db):
    assert neuprint.fetch_primary_rois(client=db.client) == sorted(db.flat.primary)


def test_06_the_hierarchy_is_the_configured_tree_with_marked_primaries(db):
    def starred(tree):
        if isinstance(tree, str):  # all ROIs of a set
            tree = list(db.flat.config["inputs"]["rois"]["roi-sets"][tree.removeprefix("roiset://")]["rois"])
        if not isinstance(tree, dict):  # a list of leaves, or nothing
            tree = dict.fromkeys(tree or ())
        return {name + "*" * (name in db.flat.primary): starred(below) for name, below in tree.items()}

    tree = neuprint.fetch_roi_hierarchy(mark_primary=True, client=db.client)
    assert tree == starred(db.flat.meta["roiHierarchy"])
