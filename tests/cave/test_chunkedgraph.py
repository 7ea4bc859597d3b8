"""Roots and supervoxels, at exact moments, with ids to the last digit."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyem_snapshot.cave import CaveError, chunkedgraph
from flyem_snapshot.cave.times import from_posix, parsed, posix_seconds

SV = 109362238070465629
OTHERS = [109291800606721042, 109291800606721603]
ROOT_ID = 864691134988869442
EARLY = datetime(2025, 6, 1, tzinfo=UTC)


@pytest.fixture
def graph(stack):
    stack.graph.load(np.array([SV, *OTHERS], np.uint64), np.array([ROOT_ID, ROOT_ID, ROOT_ID + 1], np.uint64))
    return stack.graph


@pytest.fixture
def lookups(graph, client):
    return client.chunkedgraph


def asked(cave, what):
    return [request for request in cave.requests if request.path.endswith(what)]


# --- roots and leaves ------------------------------------------------------------------------------------------------


def test_the_root_of_a_supervoxel_is_an_exact_integer(lookups):
    found = lookups.get_root_id(supervoxel_id=SV)
    assert (found, type(found)) == (ROOT_ID, int)
    assert lookups.get_root_id(np.uint64(OTHERS[1])) == ROOT_ID + 1
    with pytest.raises(CaveError, match="5 has no root at this time"):
        lookups.get_root_id(5)


def test_a_root_at_a_time_before_an_edit_is_that_of_before(lookups, graph):
    new = graph.merge(ROOT_ID, ROOT_ID + 1)
    assert lookups.get_root_id(SV) == new
    assert lookups.get_root_id(supervoxel_id=SV, timestamp=EARLY) == ROOT_ID
    assert lookups.get_roots([SV, OTHERS[1]], EARLY).tolist() == [ROOT_ID, ROOT_ID + 1]
    assert lookups.get_roots([SV, OTHERS[1]]).tolist() == [new, new]


@pytest.mark.parametrize("name", ["get_roots", "get_root_ids"])
@pytest.mark.parametrize(
    "kind",
    [list, tuple, lambda ids: np.array(ids, np.int64), lambda ids: np.array(ids, np.uint64), pd.Series, pa.array,
     lambda ids: pa.chunked_array([ids[:1], ids[1:]]), lambda ids: pd.Series(ids, dtype="Int64")],
)  # fmt: skip
def test_roots_come_in_order_for_ids_of_any_kind(lookups, name, kind):
    roots = getattr(lookups, name)(kind([OTHERS[1], 0, SV, 77, SV]))
    assert roots.tolist() == [ROOT_ID + 1, 0, ROOT_ID, 0, ROOT_ID]
    assert roots.dtype == np.uint64


def test_no_ids_have_no_roots(lookups):
    assert lookups.get_roots([]).tolist() == []
    assert lookups.get_roots(np.array([])).tolist() == []


@pytest.mark.parametrize("ids", [np.array([1.0]), [1.5], ["1"], "1", [True], np.array([np.nan]), [None]])
def test_ids_that_are_no_integers_are_refused(lookups, ids):
    with pytest.raises(TypeError, match="ids? must be"):
        lookups.get_roots(ids)


@pytest.mark.parametrize("ids", [[-1], np.array([-1]), [1 << 64]])
def test_ids_out_of_range_are_refused(lookups, ids):
    with pytest.raises(ValueError, match="is not an id"):
        lookups.get_roots(ids)


def test_many_ids_are_asked_for_once_each_in_batches_at_one_moment(lookups, cave, monkeypatch):
    monkeypatch.setattr(chunkedgraph, "BATCH", 3)
    ids = [SV, 5, 9, OTHERS[0], SV, 7, 8, OTHERS[1], 5]
    roots = lookups.get_roots(ids)
    assert roots.tolist() == [ROOT_ID, 0, 0, ROOT_ID, ROOT_ID, 0, 0, ROOT_ID + 1, 0]
    requests = asked(cave, "roots_binary")
    sent = [struct.unpack(f"<{request.body_size // 8}Q", request.body) for request in requests]
    assert sent == [(5, 7, 8), (9, OTHERS[0], OTHERS[1]), (SV,)]
    assert len({request.args["timestamp"] for request in requests}) == 1


def test_a_look_up_that_was_interrupted_goes_on_where_it_was(lookups, cave, monkeypatch):
    monkeypatch.setattr(chunkedgraph, "BATCH", 2)
    ids = [SV, 0, OTHERS[1], 5, OTHERS[0]]
    first = next(iter(lookups.root_batches(ids, EARLY)))
    rest = list(lookups.root_batches(ids, EARLY, start=first[1]))
    assert [(start, stop, roots.tolist()) for start, stop, roots in [first, *rest]] == [
        (0, 2, [ROOT_ID, 0]),
        (2, 4, [ROOT_ID + 1, 0]),
        (4, 5, [ROOT_ID]),
    ]


def test_roots_that_come_short_are_asked_for_again(lookups, cave):
    cave.faults.truncated("roots_binary", after=8, times=1)
    assert lookups.get_roots([SV, OTHERS[0]]).tolist() == [ROOT_ID, ROOT_ID]
    cave.faults.truncated("roots_binary", after=8, times=None)
    with pytest.raises(CaveError, match="8 bytes came for 2 ids"):
        lookups.get_roots([SV, OTHERS[0]])


def test_the_leaves_of_a_root_are_int64(lookups):
    leaves = lookups.get_leaves(ROOT_ID)
    assert (leaves.tolist(), leaves.dtype) == ([OTHERS[0], SV], np.int64)
    many = lookups.get_leaves_many(np.array([ROOT_ID, ROOT_ID + 1]))
    assert {root: ids.tolist() for root, ids in many.items()} == {ROOT_ID: [OTHERS[0], SV], ROOT_ID + 1: [OTHERS[1]]}


def test_bounds_are_sent_as_text_and_must_be_three_pairs(lookups, cave):
    lookups.get_leaves(ROOT_ID, bounds=np.array([[0, 10], [20, 30], [40, 50]]))
    assert asked(cave, "leaves")[0].args == {"bounds": "0-10_20-30_40-50"}
    with pytest.raises(ValueError, match=r"not of shape \(2, 3\)"):
        lookups.get_leaves(ROOT_ID, bounds=[[0, 1, 2], [3, 4, 5]])


def test_layers_below_the_root_can_be_asked_for(lookups):
    (first, *_) = lookups.get_leaves(ROOT_ID, stop_layer=2).tolist()
    assert set(lookups.get_children(first).tolist()) <= {SV, *OTHERS}
    assert first in lookups.get_children(ROOT_ID).tolist()


def test_the_volume_describes_itself(lookups, cave, stack):
    assert lookups.table_name == stack.graph.name
    assert lookups.cloudvolume_path == f"graphene://{cave.url}/segmentation/table/{stack.graph.name}"
    assert lookups.base_resolution == (8.0, 8.0, 40.0)


def test_a_flat_segmentation_has_no_graph(cave, client, stack):
    stack.record["segmentation_source"] = "precomputed://gs://b/seg"
    with pytest.raises(CaveError, match="its segmentation is no chunked graph"):
        client.chunkedgraph.get_root_id(SV)


# --- history ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def edited(graph):
    """A merge, and then a split of the result: (the merged root, the rest, the part)."""
    merged = graph.merge(ROOT_ID, ROOT_ID + 1)
    rest, part = graph.split(merged, [OTHERS[1]])
    return merged, rest, part


def test_current_roots_are_told_from_old_ones(lookups, edited):
    merged, rest, part = edited
    assert lookups.is_latest_roots([ROOT_ID, merged, rest, part]).tolist() == [False, False, True, True]
    assert lookups.is_latest_roots(np.array([ROOT_ID, rest]), EARLY).tolist() == [True, False]
    assert lookups.is_latest_roots([]).tolist() == []
    assert lookups.is_valid_nodes([rest, ROOT_ID]).tolist() == [True, False]


def test_the_time_of_a_root_is_exact_and_in_utc(lookups, edited, graph):
    assert lookups.get_root_timestamps(edited[:1]) == [graph.times[1]]
    assert lookups.get_oldest_timestamp() == graph.times[0]


def test_past_ids_have_integers_as_keys(lookups, edited):
    _, rest, part = edited
    found = lookups.get_past_ids([rest, part], timestamp_past=EARLY, timestamp_future=datetime.now(UTC))
    assert found == {
        "past_id_map": {rest: [ROOT_ID], part: [ROOT_ID + 1]},
        "future_id_map": {rest: [rest], part: [part]},
    }
    assert lookups.get_past_ids(rest) == {"past_id_map": {}, "future_id_map": {}}


def test_w10_a_lineage_without_a_future_time_sends_none(lookups, edited, cave):
    merged, rest, _ = edited
    graph = lookups.get_lineage_graph(rest, timestamp_past=EARLY)
    assert asked(cave, "lineage_graph_multiple")[0].args == {"timestamp_past": "1748736000"}
    links = {(link["source"], link["target"]) for link in graph["links"]}
    assert links == {(ROOT_ID, merged), (ROOT_ID + 1, merged), (merged, rest)}
    lookups.get_lineage_graph([rest], timestamp_future=EARLY)
    assert asked(cave, "lineage_graph_multiple")[1].args == {"timestamp_future": "1748736000"}


def test_what_became_of_a_root_and_what_it_came_from(lookups, edited):
    _, rest, part = edited
    assert lookups.get_latest_roots(ROOT_ID).tolist() == sorted([rest, part])
    assert lookups.get_latest_roots(rest).tolist() == [rest]
    assert lookups.get_original_roots(rest).tolist() == [ROOT_ID, ROOT_ID + 1]


def test_edits_are_listed(lookups, edited):
    merged, rest, part = edited
    log = lookups.get_change_log(rest)
    assert (log["n_mergers"], log["n_splits"], log["operations_ids"]) == (1, 1, [1, 2])
    table = lookups.get_tabular_change_log([rest])[rest]
    assert (table["operation_id"], table["is_merge"]) == ([1, 2], [True, False])
    assert lookups.get_operation_details([1])[1]["roots"] == [merged]
    old, new = lookups.get_delta_roots(EARLY, datetime.now(UTC))
    assert (old.tolist(), new.tolist()) == ([ROOT_ID, ROOT_ID + 1], sorted([rest, part]))


def test_the_edges_of_a_root_are_arrays_of_pairs(lookups, cave):
    cave.faults.replaced(
        b'{"nodes": [[1, 2], [2, 9007199254740993]], "affinities": [0.5, 1], "areas": [3, 4]}', "subgraph"
    )
    nodes, affinities, areas = lookups.get_subgraph(ROOT_ID, [[0, 1], [2, 3], [4, 5]])
    assert (nodes.tolist(), nodes.dtype) == ([[1, 2], [2, 9007199254740993]], np.int64)
    assert (affinities.tolist(), areas.tolist()) == ([0.5, 1.0], [3.0, 4.0])
    assert asked(cave, "subgraph")[0].args == {"bounds": "0-1_2-3_4-5"}
    cave.faults.replaced(b'{"edge_graph": [[7, 8]]}', "lvl2_graph")
    assert lookups.level2_chunk_graph(ROOT_ID).tolist() == [[7, 8]]
    cave.faults.replaced(b'{"edge_graph": []}', "lvl2_graph")
    assert lookups.level2_chunk_graph(ROOT_ID).shape == (0, 2)
    cave.faults.replaced(b'{"merge_edges": [[[1, 2]]], "merge_edge_coords": []}', "merge_log")
    assert lookups.get_merge_log(ROOT_ID)["merge_edges"] == [[[1, 2]]]


@pytest.mark.parametrize(
    "nonsense", [b'{"leaf_ids": [1.5]}', b'{"leaf_ids": ["1"]}', b'{"leaf_ids": null}', b"[]", b"{}"]
)
def test_what_are_no_ids_is_no_answer(lookups, cave, nonsense):
    cave.faults.replaced(nonsense, "leaves", times=None)
    with pytest.raises(CaveError, match="the answer was incomplete"):
        lookups.get_leaves(ROOT_ID)


def test_edges_without_their_affinities_are_no_answer(lookups, cave):
    cave.faults.replaced(b'{"nodes": [[1, 2]], "affinities": [], "areas": [3]}', "subgraph", times=None)
    with pytest.raises(CaveError, match="edges, affinities and areas differ in number"):
        lookups.get_subgraph(ROOT_ID, [[0, 1], [2, 3], [4, 5]])


def test_nothing_here_can_change_the_graph(lookups):
    assert not [name for name in dir(lookups) if name.startswith(("do_", "merge", "split", "undo"))]


# --- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "sent"),
    [
        (datetime(2021, 6, 11, 8, 10, 0, 215114, UTC), "1623399000.215114"),
        (datetime(2021, 6, 11, 1, 10, 0, 215114, timezone(timedelta(hours=-7))), "1623399000.215114"),
        (datetime(2019, 1, 4, 9, 47, 33, tzinfo=UTC), "1546595253"),
        (datetime(1969, 12, 31, 23, 59, 59, 500000, UTC), "-0.5"),
    ],
)
def test_t1_a_time_is_sent_as_it_is_wherever_we_are(lookups, cave, monkeypatch, moment, sent):
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    lookups.get_roots([SV], timestamp=moment)
    assert asked(cave, "roots_binary")[0].args["timestamp"] == sent


def test_t1_a_time_without_a_zone_is_utc_with_a_warning_that_points_here(lookups, cave):
    three_days_ago = datetime.now() - timedelta(days=3)  # noqa: DTZ005 - as the tutorial does it
    with pytest.warns(UserWarning, match="has no zone and is taken to be UTC") as warned:
        assert lookups.get_root_id(supervoxel_id=SV, timestamp=three_days_ago) == ROOT_ID
    assert warned[0].filename == __file__
    utc = three_days_ago.replace(tzinfo=UTC)
    assert asked(cave, "root")[0].args["timestamp"] == posix_seconds(utc)


def test_t1_what_is_no_time_is_refused(lookups):
    with pytest.raises(TypeError, match="a time must be a datetime, not int"):
        lookups.get_root_id(SV, timestamp=1546595253)


def test_t1_no_time_means_now(lookups, cave):
    before = datetime.now(UTC).timestamp()
    lookups.get_root_id(SV)
    sent = float(asked(cave, "root")[0].args["timestamp"])
    assert before - 0.001 <= sent <= datetime.now(UTC).timestamp() + 0.001


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.timezones()))  # noqa: DTZ001 - as it wants
def test_t1_no_microsecond_is_lost_on_the_way(moment):
    assert from_posix(float(posix_seconds(moment))) == moment.astimezone(UTC)
    assert parsed(moment.astimezone(UTC).replace(tzinfo=None).isoformat()) == moment.astimezone(UTC)
