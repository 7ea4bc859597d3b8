"""What neuroglancer is told of each body."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from flyem_snapshot.connectome.segment_properties import properties_text, segment_properties
from flyem_snapshot.connectome.status import STATUS_ORDER, as_status_category

BIG = 2**53 + 1


def frame(bodies, **columns):
    return pd.DataFrame(columns, index=pd.Index(np.array(bodies, np.int64), name="body"))


def properties(made):
    return {entry["id"]: entry for entry in made["inline"]["properties"]}


def test_one_entry_for_each_body_asked_for_in_that_order_with_exact_ids():
    made = segment_properties(frame([BIG, BIG - 1, 7], type=["a", "b", "c"]), [7, BIG])

    assert made["@type"] == "neuroglancer_segment_properties"
    assert made["inline"]["ids"] == ["7", "9007199254740993"]
    assert properties(made)["type"]["values"] == ["c", "a"]


def test_the_label_is_the_instance_or_else_the_type():
    made = segment_properties(frame([1, 2, 3], type=["a", "b", None], instance=["a_L", None, None]), [1, 2, 3])
    assert properties(made)["label"] == {"id": "label", "type": "label", "values": ["a_L", "b", ""]}


@pytest.mark.parametrize(("column", "kind"), [("type", "string"), ("instance", "string"), ("status", "tags")])
def test_a_column_that_is_not_there_is_left_out(column, kind):
    columns = {"type": ["a"], "instance": ["a_L"], "status": as_status_category(["Traced"])}
    del columns[column]
    made = properties(segment_properties(frame([1], **columns), [1]))
    assert set(made) == {"label", *columns}


def test_values_that_are_no_text_become_text_and_missing_ones_the_empty_text():
    types = pd.array([12, None, 2**60], "Int64")
    made = segment_properties(frame([1, 2, 3], type=types), [1, 2, 3])
    assert properties(made)["type"]["values"] == ["12", "", str(2**60)]


def test_every_status_becomes_a_tag_that_neuroglancer_takes():
    statuses = [*STATUS_ORDER, None]
    bodies = range(1, len(statuses) + 1)
    tags = properties(segment_properties(frame(bodies, status=as_status_category(statuses)), bodies))["status"]

    assert len(tags["tags"]) == len(STATUS_ORDER) - 1  # the empty status is none
    assert len({tag.casefold() for tag in tags["tags"]}) == len(tags["tags"]), "case does not count"
    assert not [tag for tag in tags["tags"] if " " in tag or tag.startswith("#")]
    assert "description" not in tags
    found = [[tags["tag_descriptions"][number] for number in numbers] for numbers in tags["values"]]
    assert found == [[status] if status else [] for status in statuses]


def test_no_body_at_all_is_a_valid_file():
    made = segment_properties(frame([], type=pd.array([], "str"), status=as_status_category([])), [])
    assert json.loads(properties_text(made))["inline"]["ids"] == []
    assert all(entry["values"] == [] for entry in made["inline"]["properties"])


def test_the_text_is_one_line():
    assert properties_text(segment_properties(frame([1], type=["a\nΔ"]), [1])).count("\n") == 1
