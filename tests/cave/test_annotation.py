"""Tables of annotations: the calls of the tutorial, and uploads that neither lose a row nor have one twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flyem_snapshot.cave import CaveError, Conflict, Invalid, NotFound, Unfinished
from flyem_snapshot.cave.uploads import LOWEST, Upload
from tests.cave.conftest import VOLUME

NUCLEI = "test_nuc_detection"


@pytest.fixture
def table(stack):
    return stack.volume.new_table(NUCLEI, "nucleus_detection", notice_text="be careful, please")


@pytest.fixture
def annotations(client):
    return client.annotation


def nucleus(number, **more):
    return {"pt": {"position": [number, 2, 3]}, "volume": 1.5, "id": number, **more}


def without_id(number):
    return {"pt": {"position": [number, 2, 3]}, "volume": 1.5}


def posts(cave):
    return [request for request in cave.requests if request.method == "POST" and "annotations" in request.path]


# --- tables ----------------------------------------------------------------------------------------------------------


def test_tables_are_listed_and_described(annotations, table, caplog):
    assert annotations.get_tables() == [NUCLEI]
    assert annotations.aligned_volume_name == VOLUME
    found = annotations.get_table_metadata(NUCLEI)
    assert found["voxel_resolution"] == [4.0, 4.0, 40.0]
    assert "voxel_resolution_x" not in found
    assert (found["schema_type"], found["deleted"], found["reference_table"]) == ("nucleus_detection", None, None)
    assert "be careful, please" in caplog.text


@pytest.mark.parametrize("name", ["null", "true", "false"])
def test_a_table_may_have_the_name_of_a_value_of_json(annotations, stack, name):
    """The service answers with the bare name, which then reads like JSON."""
    assert annotations.create_table(name, "nucleus_detection") == name
    assert name in stack.volume.tables


def test_a_name_in_quotes_is_the_same_name(annotations, stack, cave):
    cave.faults.replaced(b'"my_table"', "table", method="POST")
    assert annotations.create_table("my_table", "nucleus_detection") == "my_table"


def test_a_record_without_resolution_is_passed_on(annotations, table, cave):
    cave.faults.replaced(b'{"schema_type": "x", "voxel_resolution_x": 4.0}', NUCLEI)
    assert annotations.get_table_metadata(NUCLEI) == {"schema_type": "x", "voxel_resolution_x": 4.0}


def test_the_tutorials_table_is_made_with_the_voxels_of_the_viewer(annotations, stack, caplog):
    source = "precomputed://https://s3-hpcrc.rc.princeton.edu/minnie65-phase3-ws/nuclei/v0/seg"
    made = annotations.create_table(NUCLEI, "nucleus_detection", "nuclei", flat_segmentation_source=source)
    assert made == NUCLEI
    metadata = stack.volume.tables[NUCLEI].metadata
    assert (metadata.voxel_resolution, metadata.flat_segmentation_source) == ((4.0, 4.0, 40.0), source)
    assert "voxels of 4 x 4 x 40 nm" in caplog.text
    assert annotations.create_table(table_name="test_table", schema_name="microns_func_coreg") == "test_table"


def test_a_table_may_say_what_it_is(annotations, stack):
    annotations.create_table("other", "synapse", "d", np.array([8, 8, 8]))
    annotations.create_table(
        "mine",
        "reference_tag",
        "d",
        voxel_resolution=[1, 2, 3],
        reference_table="other",
        notice_text="n",
        read_permission="PRIVATE",
    )
    metadata = stack.volume.tables["mine"].metadata
    assert (metadata.voxel_resolution, metadata.reference_table) == ((1.0, 2.0, 3.0), "other")
    assert (metadata.notice_text, metadata.read_permission) == ("n", "PRIVATE")


def test_a_datastack_without_a_viewer_needs_the_resolution(annotations, stack):
    stack.record["viewer_resolution_x"] = None
    with pytest.raises(ValueError, match="voxel_resolution is needed"):
        annotations.create_table("t", "synapse")


@pytest.mark.parametrize(
    ("name", "schema", "kind"),
    [(NUCLEI, "synapse", Conflict), ("Capital", "synapse", Invalid), ("t", "nothing", Invalid)],
)
def test_a_table_that_cannot_be_made_says_why(annotations, table, name, schema, kind):
    with pytest.raises(kind) as caught:
        annotations.create_table(name, schema)
    assert "Traceback" not in str(caught.value)


def test_a_record_can_be_changed_and_a_table_deleted(annotations, table, stack):
    changed = annotations.update_metadata(NUCLEI, description="new", voxel_resolution=(8, 8, 8))
    assert (changed["description"], changed["voxel_resolution"]) == ("new", [8.0, 8.0, 8.0])
    assert annotations.delete_table(NUCLEI) is True
    assert table.deleted is not None


def test_another_volume_may_be_named(annotations, cave):
    cave.new_volume("fafb").new_table("somata", "nucleus_detection")
    assert annotations.get_tables("fafb") == ["somata"]
    with pytest.raises(Invalid, match="aligned volume nothing not found"):
        annotations.get_tables("nothing")


# --- annotations -----------------------------------------------------------------------------------------------------


def test_annotations_with_numpy_anywhere_in_them_arrive(annotations, table):
    frame = pd.DataFrame({"id": np.array([374507, 250564], np.int32), "volume": np.array([71.25, 25.5])})
    frame["pt"] = [np.array([229040, 227264, 24092], np.int32), np.array([178528, 87408, 18566], np.int32)]
    rows = frame.to_dict("records")
    for row in rows:
        row["pt"] = {"position": row["pt"]}
    assert annotations.post_annotation(NUCLEI, rows) == [374507, 250564]
    found = annotations.get_annotation(NUCLEI, annotation_ids=frame.iloc[0:2].id)
    assert [(row["id"], row["pt_position"], row["volume"]) for row in found] == [
        (374507, [229040, 227264, 24092], 71.25),
        (250564, [178528, 87408, 18566], 25.5),
    ]
    assert (found[0]["deleted"], found[0]["superceded_id"], found[0]["bb_start_position"]) == ("None", None, None)
    assert isinstance(rows[0]["pt"]["position"], np.ndarray), "what was given is left alone"


def test_one_annotation_is_posted_as_it_is_and_unknown_fields_are_dropped(annotations, table):
    assert annotations.post_annotation(NUCLEI, {"type": "nucleus_detection", **without_id(1)}) == [1]
    assert annotations.post_annotation(table_name=NUCLEI, data=[without_id(2)]) == [2]
    assert "type" not in annotations.get_annotation(annotation_id=1, table_name=NUCLEI)[0]


@pytest.mark.parametrize(
    "ids", [[3, 1, 99, 1], np.array([3, 1, 99, 1]), pd.Series([3, 1, 99, 1]), (np.int64(3), 1, np.uint32(99), 1)]
)
def test_annotations_come_in_the_order_asked_for_and_unknown_ones_are_left_out(annotations, table, ids):
    annotations.post_annotation(NUCLEI, [nucleus(number) for number in (1, 2, 3)])
    assert [row["id"] for row in annotations.get_annotation(NUCLEI, ids)] == [3, 1, 1]
    assert [row["id"] for row in annotations.get_annotation(NUCLEI, np.int64(2))] == [2]
    with pytest.raises(TypeError, match="needs annotation_ids"):
        annotations.get_annotation(NUCLEI)


def test_many_ids_are_asked_for_by_urls_that_every_server_takes(annotations, table, cave):
    ids = [2**53 + number for number in range(1000)]
    annotations.post_annotation(NUCLEI, [nucleus(1, id=number) for number in ids])
    assert [row["id"] for row in annotations.get_annotation(NUCLEI, ids)] == ids
    asked = [request for request in cave.requests if request.method == "GET" and "annotations" in request.path]
    assert len(asked) == 6
    assert max(len(request.args["annotation_ids"]) for request in asked) <= 3000


def test_the_count_has_deleted_and_replaced_rows_too(annotations, table):
    annotations.post_annotation(NUCLEI, [nucleus(number) for number in (5, 6, 7)])
    assert annotations.delete_annotation(NUCLEI, np.array([5, 6])) == [5, 6]
    update = {
        "volume": 99,
        "valid": True,
        "pt_supervoxel_id": None,
        "pt_root_id": None,
        "pt": {"position": [361792, 77088, 27399]},
        "id": np.int64(7),
        "deleted": "None",
        "created": "2020-07-03 00:26:06.101055",
        "superceded_id": None,
    }
    assert annotations.update_annotation(NUCLEI, update) == {7: 8}
    assert annotations.get_annotation_count(NUCLEI) == 4
    old, new = annotations.get_annotation(NUCLEI, [7, 8])
    assert (old["superceded_id"], old["valid"], new["volume"]) == (8, False, 99)
    with pytest.raises(Conflict, match="has been superseded by 8"):
        annotations.update_annotation(NUCLEI, [update])
    with pytest.raises(ValueError, match="needs the 'id'"):
        annotations.update_annotation(NUCLEI, without_id(1))


@pytest.mark.parametrize("answer", [b'{"a": 1}', b'{"7": "x"}', b"[]"])
def test_an_answer_to_an_update_that_makes_no_sense_is_told(annotations, table, cave, answer):
    annotations.post_annotation(NUCLEI, nucleus(7))
    cave.faults.replaced(answer, "annotations", method="PUT")
    with pytest.raises(CaveError, match="the answer was incomplete") as caught:
        annotations.update_annotation(NUCLEI, nucleus(7))
    assert caught.value.uncertain


def test_fewer_ids_than_annotations_are_no_answer(annotations, table, cave):
    cave.faults.replaced(b"[1]", "annotations", method="POST")
    with pytest.raises(Unfinished, match="1 ids came for 2 annotations"):
        annotations.post_annotation(NUCLEI, [without_id(1), without_id(2)])


def test_ids_that_are_unknown_are_not_deleted_and_neither_are_the_others(annotations, table):
    annotations.post_annotation(NUCLEI, nucleus(5))
    with pytest.raises(NotFound, match=r"Annotations \[99\] not found"):
        annotations.delete_annotation(NUCLEI, pd.Series([5, 99]))
    assert annotations.get_annotation(NUCLEI, 5)[0]["valid"]


def test_rows_of_a_frame_are_posted_with_their_positions(annotations, table):
    frame = pd.DataFrame(
        {"pt_position": [[1, 2, 3], [4, 5, 6]], "volume": [1.0, None], "id": pd.array([7, None], "Int64")}
    )
    frame["volume"] = [1.0, 2.0]
    frame["bb_start_position"] = [None, [0, 0, 0]]
    assert annotations.post_annotation_df(NUCLEI, frame) == [7, 8]
    first, second = annotations.get_annotation(NUCLEI, [7, 8])
    assert (first["bb_start_position"], second["bb_start_position"]) == (None, [0, 0, 0])


# --- uploads ---------------------------------------------------------------------------------------------------------


def test_uploads_go_in_batches_of_ten_thousand(annotations, table, cave):
    ids = annotations.post_annotation(NUCLEI, (nucleus(number) for number in range(1, 25_001)))
    assert ids == list(range(1, 25_001))
    assert len(posts(cave)) == 3
    assert annotations.get_annotation_count(NUCLEI) == 25_000
    assert annotations.delete_annotation(NUCLEI, ids) == ids


LOST = ["lost_answer", "unavailable_after", "reset", "stall"]


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("batch", [0, 1])
def test_w4_a_batch_with_ids_is_neither_lost_nor_doubled(cave, table, new_client, monkeypatch, fault, batch):
    """`lost_answer` and `unavailable_after` do it and say so badly; `reset` and `stall` do not do it."""
    monkeypatch.setattr(Upload, "BATCH", 3)
    getattr(cave.faults, fault)("annotations", method="POST", skip=batch)
    rows = [nucleus(number) for number in range(10, 17)]
    assert new_client(timeout=0.5).annotation.post_annotation(NUCLEI, rows) == list(range(10, 17))
    assert len(table) == 7
    assert len(posts(cave)) == (3 if fault in LOST[:2] else 4)


@pytest.mark.parametrize("fault", LOST)
def test_w4_chosen_ids_make_an_upload_safe_that_has_none(cave, table, new_client, fault):
    getattr(cave.faults, fault)("annotations", method="POST")
    ids = new_client(timeout=0.5).annotation.post_annotation(
        NUCLEI, [without_id(number) for number in range(5)], choose_ids=True
    )
    assert len(table) == len(set(ids)) == 5
    assert all(LOWEST <= number < 2 * LOWEST for number in ids)


@pytest.mark.parametrize("fault", LOST[:2])
def test_w4_a_batch_without_ids_is_sent_once_and_the_error_says_what_is_known(
    cave, table, annotations, monkeypatch, fault
):
    monkeypatch.setattr(Upload, "BATCH", 3)
    getattr(cave.faults, fault)("annotations", method="POST", skip=1, times=None)
    with pytest.raises(Unfinished, match="3 annotations are uploaded, rows 3 to 5 may be there or not") as caught:
        annotations.post_annotation(NUCLEI, [without_id(number) for number in range(8)])
    assert (caught.value.ids, caught.value.unknown, caught.value.uncertain) == ([1, 2, 3], range(3, 6), True)
    assert len(posts(cave)) == 2


def test_an_upload_that_is_refused_in_the_middle_says_what_is_there(annotations, table, monkeypatch):
    monkeypatch.setattr(Upload, "BATCH", 2)
    rows = [nucleus(1), nucleus(2), nucleus(3), {"id": 4, "volume": 1.0}]
    with pytest.raises(Unfinished, match="2 annotations are uploaded, all else is not") as caught:
        annotations.post_annotation(NUCLEI, rows)
    assert (caught.value.ids, list(caught.value.unknown), caught.value.status) == ([1, 2], [], 422)


def test_values_are_looked_at_before_the_first_row_is_sent(annotations, table, cave, monkeypatch):
    monkeypatch.setattr(Upload, "BATCH", 1)
    with pytest.raises(TypeError, match="cannot be sent as JSON"):
        annotations.post_annotation(NUCLEI, [nucleus(1), nucleus(2, volume=1j)])
    assert not posts(cave)


def test_an_id_that_is_taken_is_a_conflict_and_the_next_request_works(annotations, table, cave):
    annotations.post_annotation(NUCLEI, nucleus(5))
    with pytest.raises(Conflict, match=r"Key \(id\)=\(5\) already exists") as caught:
        annotations.post_annotation(NUCLEI, [nucleus(5), nucleus(6)])
    assert "SQL" not in str(caught.value)
    # The service's session is broken now: it refuses the next request, whatever that is, without beginning it.
    assert annotations.post_annotation(NUCLEI, nucleus(6)) == [6]
    assert len(table) == 2


def test_an_id_of_somebody_elses_annotation_is_not_taken_for_ours_after_a_lost_answer(annotations, table, cave):
    annotations.post_annotation(NUCLEI, nucleus(5))
    cave.faults.reset("annotations", method="POST")
    with pytest.raises(Conflict, match="other annotations under 1 of these ids, such as 5"):
        annotations.post_annotation(NUCLEI, nucleus(5, volume=7.5))
    assert len(posts(cave)) == 2


def test_an_annotation_that_was_deleted_is_not_taken_for_the_lost_one(annotations, table, cave):
    annotations.post_annotation(NUCLEI, nucleus(5))
    annotations.delete_annotation(NUCLEI, 5)
    cave.faults.reset("annotations", method="POST")
    with pytest.raises(Conflict, match="other annotations under 1 of these ids"):
        annotations.post_annotation(NUCLEI, nucleus(5))


def test_a_batch_that_was_only_slow_is_found_when_it_is_sent_again(cave, table, new_client):
    """It is not there when looked up, but it is when it is sent for the second time: taken ids, and all are ours."""
    cave.faults.reset("annotations", method="POST")

    def late():
        table.insert({"pt_position": [5, 2, 3], "volume": 1.5}, 5)

    cave.before(3, late, "annotations")  # the first was lost, the second looked it up
    assert new_client().annotation.post_annotation(NUCLEI, nucleus(5)) == [5]
    assert len(table) == 1
    assert [request.method for request in cave.requests if "annotations" in request.path][:3] == ["POST", "GET", "POST"]


def test_if_nobody_can_look_it_up_it_stays_unknown(annotations, table, cave):
    cave.faults.lost_answer("annotations", method="POST", times=None)
    cave.faults.status(503, "annotations", method="GET", times=None, retry_after=0)
    with pytest.raises(Unfinished) as caught:
        annotations.post_annotation(NUCLEI, [nucleus(5), nucleus(6)])
    assert caught.value.unknown == range(2)
    assert len(posts(cave)) == 1


def test_a_service_that_never_answers_is_given_up(annotations, table, cave):
    cave.faults.reset("annotations", method="POST", times=None)
    with pytest.raises(Unfinished):
        annotations.post_annotation(NUCLEI, nucleus(5))
    assert len(posts(cave)) == 3


def test_a_deletion_that_may_have_been_done_is_sent_once(annotations, table, cave):
    annotations.post_annotation(NUCLEI, nucleus(5))
    strikes = cave.faults.lost_answer("annotations", method="DELETE", times=None)
    with pytest.raises(CaveError, match="broke off") as caught:
        annotations.delete_annotation(NUCLEI, 5)
    assert (strikes.hits, caught.value.uncertain) == (1, True)
