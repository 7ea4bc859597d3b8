"""The ROIs behind each combination."""

import numpy as np

from flyem_snapshot.connectome.regions import regions_of
from flyem_snapshot.tables.rois import UNSPECIFIED, AssignedSet


def assigned(name, ids, names):
    return AssignedSet(name, ids, np.array(names, np.int32))


PRIMARY = assigned("primary", {UNSPECIFIED: 0, "ME(R)": 1, "LO(R)": 2}, [1, 2, 0])
SHELL = assigned("shell", {"Brain": 1, "VNC": 2}, [0, 0, 1])


def rois(regions, combos):
    rows, found = regions.expand(np.array(combos))
    return [(int(row), regions.names[roi]) for row, roi in zip(rows, found, strict=True)]


def test_a_combination_lies_in_one_roi_of_each_set_in_the_order_of_their_names():
    regions = regions_of({"": [PRIMARY, SHELL]}, {"": 3})
    assert regions.names == (UNSPECIFIED, "Brain", "LO(R)", "ME(R)", "VNC")
    assert rois(regions, [0, 1, 2]) == [
        (0, "Brain"),
        (0, "ME(R)"),
        (1, "Brain"),
        (1, "LO(R)"),
        (2, UNSPECIFIED),  # in no ROI of `primary`, the first set
        (2, "VNC"),
    ]


def test_unspecified_counts_for_the_alphabetically_first_set_only():
    late = assigned("z", {UNSPECIFIED: 0, "A": 1}, [0, 0, 1])
    assert rois(regions_of({"": [late, PRIMARY]}, {"": 3}), [2]) == [(0, UNSPECIFIED), (0, "A")]


def test_tables_with_other_sets_share_one_list_of_names():
    regions = regions_of({"": [PRIMARY], "mito": [SHELL]}, {"": 3, "mito": 3})
    assert regions.offsets == {"": 0, "mito": 3}
    assert rois(regions, [3, 5]) == [(0, UNSPECIFIED), (0, "Brain"), (1, UNSPECIFIED), (1, "VNC")]


def test_nowhere_lies_in_no_roi():
    regions = regions_of({"": [PRIMARY]}, {"": 3})
    assert rois(regions, [regions.nowhere, 0]) == [(1, "ME(R)")]


def test_without_roi_sets_every_combination_lies_nowhere():
    regions = regions_of({"": []}, {"": 1})
    assert regions.names == ()
    assert regions.outside == -1
    assert rois(regions, [0, regions.nowhere]) == []
