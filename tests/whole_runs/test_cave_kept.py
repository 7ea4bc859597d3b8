"""What was downloaded once stays, whatever becomes of settings and versions; another server is another source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flyem_snapshot.errors import ConfigError, DataError
from tests.cave_double import CaveDouble, Datastack
from tests.cave_double.synthetic import synthetic_datastack
from tests.cave_runs import config, frame, live, report, snapshot


@pytest.fixture
def cave() -> Iterator[CaveDouble]:
    with CaveDouble() as double:
        yield double


@pytest.fixture
def stack(cave: CaveDouble) -> Datastack:
    return synthetic_datastack(cave, 300)


def prepared(cave: CaveDouble, stack: Datastack, folder: Path, **changes: Any) -> Path:
    return config(folder, live(cave, stack, folder, version=1, **changes), synapses={"permit-body-0": True})


def typed(annotation: str, table: str = "cell_types") -> list[dict[str, Any]]:
    return [{"table": table, "columns": {"cell_type": annotation}}]


def test_a_setting_that_changes_after_the_run_needs_no_download_even_if_the_version_has_expired(cave, stack, tmp_path):
    before = report(snapshot(prepared(cave, stack, tmp_path, annotations=typed("type"))))
    stack.versions[1].expire()
    cave.requests.clear()

    out = snapshot(prepared(cave, stack, tmp_path, annotations=typed("kind")))

    assert not cave.asked("/query$")
    assert "kind" in frame(out, "flat-connectome/body-annotations-*").columns
    assert report(out) == before


def test_a_misspelt_column_is_found_in_what_was_downloaded(cave, stack, tmp_path):
    snapshot(prepared(cave, stack, tmp_path, annotations=typed("type")))
    stack.versions[1].expire()

    entry = {"table": "cell_types", "columns": {"cell_typ": "type"}}
    with pytest.raises(ConfigError, match="table 'cell_types' has no column 'cell_typ'"):
        snapshot(prepared(cave, stack, tmp_path, annotations=[entry]))


def test_a_table_that_is_not_here_needs_a_version_that_can_be_read(cave, stack, tmp_path):
    snapshot(prepared(cave, stack, tmp_path))
    cave.requests.clear()
    out = snapshot(prepared(cave, stack, tmp_path, annotations=typed("type")))
    assert not cave.asked("synapses/query$")[1:], "one row, for its columns"
    assert report(out)["tables"]["cell_types"]["rows"] == len(stack.versions[1].tables["cell_types"].data)

    stack.versions[1].expire()
    with pytest.raises(ConfigError, match="version 1 of 'minnie65_public' cannot be read: it is EXPIRED"):
        snapshot(prepared(cave, stack, tmp_path, soma={}))


def test_another_server_is_another_source(cave, stack, tmp_path):
    snapshot(prepared(cave, stack, tmp_path))
    with CaveDouble() as other:
        same = synthetic_datastack(other, 500, seed=9)
        same.versions[1].time_stamp = stack.versions[1].time_stamp

        found = report(snapshot(prepared(other, same, tmp_path)))

        assert found["server"] == other.url
        assert found["tables"]["synapses"]["rows"] == 500


def test_a_table_without_a_resolution_is_refused_before_its_rows_are_asked_for(cave, stack, tmp_path):
    record = stack.versions[1].tables["cell_types"].record
    for axis in "xyz":
        record[f"voxel_resolution_{axis}"] = 0.0

    with pytest.raises(DataError, match="does not say in which unit the positions of table 'cell_types' are"):
        snapshot(prepared(cave, stack, tmp_path, annotations=typed("type")))
    assert len(cave.asked("cell_types/query$")) == 1, "one row, for its columns"


def test_a_record_without_a_synapse_table_is_named(cave, stack, tmp_path):
    stack.record["synapse_table"] = None

    with pytest.raises(ConfigError, match="inputs.cave.synapse-table: the record of 'minnie65_public' names none"):
        snapshot(prepared(cave, stack, tmp_path))
