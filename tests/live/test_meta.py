"""What becomes of the Meta node."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from flyem_snapshot.connectome.database_edit import with_property_update
from flyem_snapshot.live.meta import LiveMeta, meta_change

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
UPDATED = "2026-01-02 / 2026-03-01 12:00:00+00:00 (segment property update)"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("2026-01-02", UPDATED),
        (UPDATED, UPDATED),
        ("2026-01-02 / 2026-02-01 (segment property update) / 2026-02-02 (segment property update)", UPDATED),
        ("a / b", "a / b / 2026-03-01 12:00:00+00:00 (segment property update)"),
        (None, "unknown / 2026-03-01 12:00:00+00:00 (segment property update)"),
        ("", "unknown / 2026-03-01 12:00:00+00:00 (segment property update)"),
    ],
)
def test_the_time_of_the_properties_follows_the_edit_and_replaces_an_earlier_one(before, after):
    assert with_property_update(before, NOON) == after


def test_new_properties_are_announced_after_the_known_ones():
    live = LiveMeta({"b": "int"}, UPDATED, frozenset())
    change = meta_change("d:v1", live, {"b": "long", "a": "string"}, NOON, changed=True)
    assert change.announced == {"a": "string"}
    assert change.last_edit == ""
    whole = json.dumps({"b": "int", "a": "string"}, separators=(",", ":"))
    assert change.statement == f"MATCH (n:`d_Meta`)\nSET n += {{`neuronProperties`: '{whole}'}}\nRETURN count(n)"


def test_where_properties_are_not_listed_they_stay_unlisted():
    change = meta_change("d", LiveMeta(None, UPDATED, frozenset()), {"a": "string"}, NOON, changed=True)
    assert change.statement == ""


@pytest.mark.parametrize("changed", [True, False])
def test_without_times_in_the_store_the_moment_of_the_update_counts_if_there_is_one(changed):
    change = meta_change("d", LiveMeta({"a": "int"}, UPDATED, frozenset()), {"a": "int"}, None, changed=changed)
    assert (str(dt.datetime.now(dt.UTC).date()) in change.last_edit) is changed


def test_properties_never_become_older_than_they_are():
    later = "x / 2026-05-01 12:00:00+00:00 (segment property update)"

    assert with_property_update(later, dt.datetime(2026, 3, 1, tzinfo=dt.UTC)) == later
    assert with_property_update("x / last year (segment property update)", NOON).endswith(
        f" / {NOON.astimezone(dt.UTC).isoformat(sep=' ', timespec='seconds')} (segment property update)"
    )
