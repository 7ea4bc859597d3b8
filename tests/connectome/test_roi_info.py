"""roiInfo as text, against a plain computation with dictionaries."""

import json
from collections import Counter, defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.connectome.regions import Regions
from flyem_snapshot.connectome.roi_info import count_by_roi, json_name, roi_info

NAMES = ("A'(L)", "LO/R", 'ß"')
# Combination 0 lies in the first ROI, 1 in the first two, 2 in all, 3 in none.
REGIONS = Regions(NAMES, np.array([0, 1, 3, 6, 6]), np.array([0, 0, 1, 0, 1, 2]), {"": 0}, -1)
MEMBERS = {0: [0], 1: [0, 1], 2: [0, 1, 2], 3: []}

rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**31 - 1 >> 5)), max_size=20
)


def texts(given_rows, keep_zero=()):
    given_rows = sorted(given_rows, key=lambda row: row[0])
    columns = [np.array([row[i] for row in given_rows], np.int64) for i in range(4)]
    counts = {"post": columns[2].astype(np.int32), "pre": columns[3].astype(np.int32)}
    counted = count_by_roi(columns[0], columns[1], counts, REGIONS)
    return roi_info(counted, REGIONS, 5, keep_zero).to_pylist()


@given(rows)
def test_the_text_of_each_group_is_the_sum_of_its_rows_by_roi(given_rows):
    expected = [defaultdict(Counter) for _ in range(5)]
    for group, combo, post, pre in given_rows:
        for roi in MEMBERS[combo]:
            expected[group][NAMES[roi]].update(post=post, pre=pre)
    plain = [{roi: {k: n for k, n in c.items() if n} for roi, c in e.items() if any(c.values())} for e in expected]
    assert [json.loads(text) for text in texts(given_rows)] == plain


def test_rois_are_in_the_order_of_their_code_points_and_there_are_no_blanks():
    assert texts([(1, 2, 3, 0), (1, 1, 0, 2)]) == [
        "{}",
        '{"A\'(L)":{"post":3,"pre":2},"LO\\/R":{"post":3,"pre":2},"\\u00df\\"":{"post":3}}',
        "{}",
        "{}",
        "{}",
    ]


def test_zeros_are_written_where_they_are_asked_for():
    assert texts([(0, 0, 0, 7)], keep_zero=("post",))[0] == '{"A\'(L)":{"post":0,"pre":7}}'


def test_names_are_escaped_like_in_every_neuprint_database():
    assert json_name('ä/"') == '"\\u00e4\\/\\""'
