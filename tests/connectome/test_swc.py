"""SWC in, neuroglancer's precomputed skeletons out."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.connectome.swc import SwcError, precomputed_skeleton, read_swc

THREE = b"""\
# a comment
1 0 10 20 30 1.5 -1
2 0 11 20 30 1.5 1

3 0 11.5 21 30 0.5 2
"""


def test_the_bytes_of_a_precomputed_skeleton_written_out_by_hand():
    made = precomputed_skeleton(read_swc(THREE), (8.0, 4.0, 2.0))

    assert made == (
        struct.pack("<II", 3, 2)
        + struct.pack("<9f", 80, 80, 60, 88, 80, 60, 92, 84, 60)  # x times 8, y times 4, z times 2
        + struct.pack("<4I", 1, 0, 2, 1)  # each node, then its parent
    )
    assert made[:12].hex() == "03000000020000000000a042"


def test_ids_may_be_unordered_and_have_gaps_and_a_parent_may_come_after_its_children():
    skeleton = read_swc(b"70 0 1 1 1 1 9\n9 0 2 2 2 1 -1\n12345678901 0 3 3 3 1 70\n")

    assert skeleton.parents.tolist() == [1, -1, 0]
    assert skeleton.xyz.tolist() == [[1, 1, 1], [2, 2, 2], [3, 3, 3]]


def test_several_roots_have_no_edge():
    made = precomputed_skeleton(read_swc(b"1 0 1 1 1 1 -1\n2 0 2 2 2 1 -1\n3 0 3 3 3 1 2\n"), (1, 1, 1))

    assert struct.unpack("<II", made[:8]) == (3, 1)
    assert struct.unpack("<2I", made[-8:]) == (2, 1)


def test_a_single_node_has_no_edge():
    assert precomputed_skeleton(read_swc(b"1 0 1 2 3 4 -1"), (1, 1, 1)) == struct.pack("<II3f", 1, 0, 1, 2, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"\r\n# x\r\n  1 0 1 2 3 4 -1 \r\n\t2 0 1 2 3 4 1\r\n",
        b"   # an indented comment \xff\n1 0 1 2 3 4 -1 # behind a node\n2 0 1 2 3 4 1",
        b"1.0 0 1 2 3 4 -1.0\n2 0 +1 2. 3e0 4 1 further columns\n",
        b"1 soma 1 2 3 unknown -1\n2 0 1 2 3 NaN 1\n",  # type and radius are not used
    ],
)
def test_what_writers_of_swc_vary(content):
    skeleton = read_swc(content)

    assert skeleton.parents.tolist() == [-1, 0]
    assert skeleton.xyz.tolist() == [[1, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it has no node"),
        (b"# only words\n\n", "it has no node"),
        (b"1 0 1 2 3 4 -1\n2 0 1 2\n", "line 2 has 4 columns, not 7"),
        (b"# x\n1 0 1 2 3 -1\n", "line 2 has 6 columns, not 7"),
        (b"1 0 1 2 3 4 -1\n\n2 0 1 x 3 4 1\n", "line 3: y is not a number: 'x'"),
        (b"1 0 1 2 3 4 -1\n\x1c\n", "line 2 is not text"),
        (b"1 0 1 2 3 4\xa0-1\n", "line 1 is not text"),
        (b"1 0 1 1_0 3 4 -1\n", "line 1: y is not a number: '1_0'"),
        (b"one 0 1 2 3 4 -1\n", "line 1: id is not a number: 'one'"),
        (b'{"error": "no such key"}', "line 1 has 4 columns, not 7"),
        (b"1 0 nan 2 3 4 -1\n", "line 1 has a number that is out of range"),
        (b"1 0 1 2 3 4 -1\n2 0 1 2 inf 4 1\n", "line 2 has a number that is out of range"),
        (b"1.5 0 1 2 3 4 -1\n", "line 1 has an id that is not a whole number"),
        (b"1 0 1e300 2 3 4 -1\n", "line 1 has a number that is out of range"),
        (b"9007199254740993 0 1 2 3 4 -1\n", "line 1 has a number that is out of range"),
        (b"1 0 1 2 3 4 -1\n2 0 1 2 3 4 1\n1 0 1 2 3 4 2\n", "line 3 repeats the id of an earlier node"),
        (b"1 0 1 2 3 4 -1\n2 0 1 2 3 4 2\n", "line 2 is its own parent"),
        (b"1 0 1 2 3 4 -1\n2 0 1 2 3 4 7\n", "line 2 has a parent that is not a node"),
        (b"1 0 1 2 3 4 -1\n2 0 1 2 3 4 -2\n", "line 2 has a parent that is not a node"),
        (b"1 0 1 2 3 4 0\n", "line 1 has a parent that is not a node"),
    ],
)
def test_what_is_not_swc_is_refused_with_its_line(content, problem):
    with pytest.raises(SwcError) as caught:
        read_swc(content)

    assert str(caught.value) == problem


COORDINATES = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def forests(draw):
    """(ids, coordinates, rows of parents): any forest, its nodes in any order under any ids."""
    count = draw(st.integers(1, 30))
    ids = draw(st.lists(st.integers(0, 2**53 - 1), min_size=count, max_size=count, unique=True))
    xyz = [[draw(COORDINATES) for _ in range(3)] for _ in ids]
    order = draw(st.permutations(range(count)))  # from roots to leaves
    parents = [-1] * count
    for place in range(1, count):
        parents[order[place]] = draw(st.sampled_from([-1, *order[:place]]))
    return ids, xyz, parents


def swc_text(ids, xyz, parents):
    lines = [
        f"{node} 0 {x!r} {y!r} {z!r} 1.0 {ids[parent] if parent >= 0 else -1}"
        for node, (x, y, z), parent in zip(ids, xyz, parents, strict=True)
    ]
    return "\n".join(lines).encode()


@given(forests(), st.tuples(*[st.floats(0.001, 1000)] * 3))
def test_any_forest_comes_back_and_its_precomputed_form_holds_it(forest, resolution):
    ids, xyz, parents = forest
    skeleton = read_swc(swc_text(ids, xyz, parents))
    assert skeleton.xyz.tolist() == xyz
    assert skeleton.parents.tolist() == parents

    made = precomputed_skeleton(skeleton, resolution)
    vertices, edges = struct.unpack_from("<II", made)
    assert len(made) == 8 + 12 * vertices + 8 * edges
    assert vertices == len(ids)
    found = np.frombuffer(made, "<u4", 2 * edges, 8 + 12 * vertices).reshape(-1, 2).tolist()
    assert found == [[node, parent] for node, parent in enumerate(parents) if parent >= 0]
    places = np.frombuffer(made, "<f4", 3 * vertices, 8).reshape(-1, 3)
    expected = [[np.float32(c * r) for c, r in zip(row, resolution, strict=True)] for row in xyz]
    assert places.tolist() == np.array(expected).tolist()


@given(st.binary(max_size=200))
def test_no_bytes_whatever_do_anything_but_parse_or_be_refused(content):
    try:
        skeleton = read_swc(content)
    except SwcError:
        return
    assert len(skeleton.xyz) == len(skeleton.parents) > 0
