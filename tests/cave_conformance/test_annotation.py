"""AnnotationEngine as it behaves when it is run for real (2.5, 5.3)."""

from __future__ import annotations

import uuid

import pytest

from tests.cave_conformance.serving import good, hidden_status


@pytest.fixture(scope="module")
def made(writable):
    """A new table of nuclei; gives back its URL."""
    name = f"conformance_{uuid.uuid4().hex}"
    answer = create(writable, name)
    assert answer.text.strip() == name, "the answer is the bare name"
    return f"{writable.annotation}/table/{name}"


def create(writable, name, schema="nucleus_detection", **changes):
    metadata = {
        "description": "made by a test",
        "voxel_resolution_x": 4,
        "voxel_resolution_y": 4,
        "voxel_resolution_z": 40,
        "notice_text": "not for use",
        **changes,
    }
    metadata = {key: value for key, value in metadata.items() if value is not None}
    body = {"schema_type": schema, "table_name": name, "metadata": metadata}
    return writable.ask("POST", f"{writable.annotation}/table", json=body)


def nucleus(x=10, **more):
    return {"pt": {"position": [x, 20, 30]}, "volume": 1.5, **more}


def post(writable, made, *annotations):
    return good(writable.ask("POST", f"{made}/annotations", json={"annotations": list(annotations)})).json()


def read(writable, made, *ids):
    return writable.get(f"{made}/annotations", params={"annotation_ids": ",".join(map(str, ids))})


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_new_table_is_listed_and_described_with_status_201(writable, made):
    name = made.rpartition("/")[2]
    assert name in writable.get(f"{writable.annotation}/table")
    answer = writable.ask("GET", made)
    assert answer.status_code == 201
    assert answer.headers["Warning"] == f"Table Owner Notice on {name}: not for use"
    record = answer.json()
    assert (record["table_name"], record["schema_type"], record["valid"]) == (name, "nucleus_detection", True)
    assert [record[f"voxel_resolution_{axis}"] for axis in "xyz"] == [4, 4, 40]
    assert set(record) >= {"created", "last_modified", "user_id", "description", "notice_text", "reference_table"}
    assert (record["read_permission"], record["write_permission"]) == ("PUBLIC", "PRIVATE")


def test_a_table_needs_a_voxel_resolution(writable):
    answer = create(writable, "conformance_never_made", voxel_resolution_x=None)
    assert answer.status_code == 500
    assert "voxel_resolution_x" in answer.json()["schema_errors"]


def test_a_reference_table_is_named_in_table_metadata_only(writable):
    answer = create(writable, "conformance_never_made", "cell_type_reference", reference_table="nuclei")
    assert answer.status_code == 500
    assert "reference_table" in answer.json()["schema_errors"]


def test_a_table_is_not_made_twice(writable, made):
    assert hidden_status(create(writable, made.rpartition("/")[2])) == 409


@pytest.mark.parametrize(("name", "schema"), [("Bad-Name", "nucleus_detection"), ("good_name", "no_such_schema")])
def test_bad_names_and_unknown_schemas_are_refused_with_500(writable, name, schema):
    assert create(writable, name, schema).status_code == 500


def test_a_volume_or_table_that_is_not_there_is_refused_with_500(writable, made):
    assert hidden_status(writable.ask("GET", f"{writable.annotation}/table/there_is_no_such_table/count")) == 404
    elsewhere = writable.annotation.rpartition("/")[0] + "/there_is_no_such_volume/table"
    assert writable.ask("GET", elsewhere).status_code == 500


def test_the_owner_changes_the_metadata(writable, made):
    body = {"table_name": made.rpartition("/")[2], "metadata": {"description": "changed"}}
    assert good(writable.ask("PUT", f"{writable.annotation}/table", json=body)).json()["description"] == "changed"


def test_a_deleted_table_is_still_listed(writable):
    name = f"conformance_{uuid.uuid4().hex}"
    create(writable, name)
    assert writable.ask("DELETE", f"{writable.annotation}/table/{name}").json() is True
    assert name in writable.get(f"{writable.annotation}/table")


# --- rows -------------------------------------------------------------------------------------------------------------


def test_an_annotation_comes_back_with_lists_for_positions_and_text_for_deleted(writable, made):
    (number,) = post(writable, made, nucleus(7))
    (row,) = read(writable, made, number)
    assert (row["id"], row["pt_position"], row["volume"], row["valid"]) == (number, [7, 20, 30], 1.5, True)
    assert row["deleted"] == "None"
    assert row["bb_start_position"] is None
    assert not {"pt_supervoxel_id", "pt_root_id"} & set(row)
    day, _, time = row["created"].partition(" ")
    assert len(day.split("-")) == len(time.split(":")) == 3
    assert "+" not in time


def test_unknown_ids_are_missing_and_no_ids_at_all_a_500(writable, made):
    assert read(writable, made, 2**40) == []
    assert writable.ask("GET", f"{made}/annotations").status_code == 500


def test_keys_that_the_schema_does_not_know_are_dropped(writable, made):
    (number,) = post(writable, made, nucleus(type="nucleus_detection", colour="red"))
    assert "colour" not in read(writable, made, number)[0]


def test_the_caller_may_choose_ids_up_to_int64(writable, made):
    wanted = 2**62 + int(uuid.uuid4().int % 2**61)
    assert post(writable, made, nucleus(id=wanted)) == [wanted]
    assert read(writable, made, wanted)[0]["id"] == wanted


def test_an_annotation_without_its_point_is_refused_with_500(writable, made):
    answer = writable.ask("POST", f"{made}/annotations", json={"annotations": [{"volume": 1.0}]})
    assert answer.status_code == 500


def test_ten_thousand_rows_are_taken_and_one_more_is_not(writable, made):
    before = writable.get(f"{made}/count")
    assert len(post(writable, made, *[nucleus() for _ in range(10_000)])) == 10_000
    too_many = writable.ask("POST", f"{made}/annotations", json={"annotations": [nucleus() for _ in range(10_001)]})
    assert hidden_status(too_many) == 413
    assert writable.get(f"{made}/count") == before + 10_000


def test_an_update_is_a_new_row_and_the_old_one_stays_readable(writable, made):
    (old,) = post(writable, made, nucleus(1))
    before = writable.get(f"{made}/count")
    changed = good(writable.ask("PUT", f"{made}/annotations", json={"annotations": [nucleus(2, id=old)]})).json()
    assert list(changed) == [str(old)]
    new = changed[str(old)]
    gone, fresh = read(writable, made, old, new)
    assert (gone["valid"], gone["superceded_id"], gone["pt_position"][0]) == (False, new, 1)
    assert gone["deleted"] != "None"
    assert (fresh["valid"], fresh["deleted"], fresh["pt_position"][0]) == (True, "None", 2)
    assert writable.get(f"{made}/count") == before + 1, "superseded rows are counted"
    again = writable.ask("PUT", f"{made}/annotations", json={"annotations": [nucleus(3, id=old)]})
    assert hidden_status(again) == 409


def test_an_update_of_a_part_is_refused(writable, made):
    (number,) = post(writable, made, nucleus())
    answer = writable.ask("PUT", f"{made}/annotations", json={"annotations": [{"id": number, "volume": 2.0}]})
    assert answer.status_code == 500


def test_deleted_rows_are_marked_counted_and_named(writable, made):
    ids = post(writable, made, nucleus(), nucleus())
    before = writable.get(f"{made}/count")
    answer = writable.ask("DELETE", f"{made}/annotations", json={"annotation_ids": ids})
    assert good(answer).json() == ids
    assert [row["valid"] for row in read(writable, made, *ids)] == [False, False]
    assert writable.get(f"{made}/count") == before


def test_to_delete_what_is_not_there_is_a_404_in_json_text(writable, made):
    answer = writable.ask("DELETE", f"{made}/annotations", json={"annotation_ids": [2**41]})
    assert answer.status_code == 404
    assert isinstance(answer.json(), str)


def test_a_taken_id_is_a_500_and_the_next_request_fails_once(writable, made):
    """Last of all: on a real server it is any request that the same worker answers which fails."""
    (number,) = post(writable, made, nucleus())
    taken = writable.ask("POST", f"{made}/annotations", json={"annotations": [nucleus(id=number)]})
    assert taken.status_code == 500
    assert "already exists" in taken.json()["message"]
    statuses = [writable.ask("GET", f"{made}/count").status_code for _ in range(2)]
    assert statuses == [500, 200]
