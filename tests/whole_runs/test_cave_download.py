"""Whatever a server does during a download, the snapshot holds every row once, or there is a clear error."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flyem_snapshot.cave.failures import AuthError, CaveError, Expired
from flyem_snapshot.errors import ConfigError, DataError
from tests.cave_double import CaveDouble, Datastack
from tests.cave_double.synthetic import synthetic_datastack
from tests.cave_runs import config, frame, live, report, snapshot
from tests.running import COMMAND

ROWS = 12_000
QUERY = "synapses/query$"


@pytest.fixture
def cave() -> Iterator[CaveDouble]:
    with CaveDouble() as double:
        double.query_limit = 2000
        yield double


@pytest.fixture
def stack(cave: CaveDouble) -> Datastack:
    return synthetic_datastack(cave, ROWS)


def prepared(cave: CaveDouble, stack: Datastack, folder: Path, **changes: Any) -> Path:
    return config(folder, live(cave, stack, folder, **changes), synapses={"permit-body-0": True})


def assert_complete(out: Path, stack: Datastack, number: int = 1) -> None:
    """Each row of the version is there once, with the bodies that it has: 0 for what is unknown."""
    rows = stack.versions[number].tables["synapses"].data.sort_by("id")
    partners = frame(out, "flat-connectome/syn-partners-*-minconf-0.0.feather")
    np.testing.assert_array_equal(partners["pre_id"], 2 * rows["id"].to_numpy())
    for side in ("pre", "post"):
        roots = rows[f"{side}_pt_root_id"].fill_null(0).to_numpy()
        np.testing.assert_array_equal(partners[f"body_{side}"], np.where(roots == 1, 0, roots))


def windows(cave: CaveDouble) -> list[tuple[int, int]]:
    """The windows of ids that were asked for, in order."""
    found = []
    for request in cave.asked(QUERY):
        body = json.loads(request.body)
        low = body.get("filter_greater_equal_dict", {}).get("synapses", {}).get("id")
        high = body.get("filter_less_dict", {}).get("synapses", {}).get("id")
        if low is not None and high is not None:
            found.append((low, high))
    return found


def limit_to(cave: CaveDouble, rows: int) -> Callable[[], None]:
    return lambda: setattr(cave, "query_limit", rows)


TROUBLE: dict[str, Callable[[CaveDouble], Any]] = {
    "nothing": lambda cave: None,
    "the row limit shrinks": lambda cave: cave.after(4, limit_to(cave, 300), QUERY),
    "the row limit grows": lambda cave: cave.after(4, limit_to(cave, 9000), QUERY),
    "413 of a proxy": lambda cave: cave.faults.html(413, QUERY, skip=3),
    "413 inside of a 500": lambda cave: cave.faults.hidden(413, "Request Entity Too Large", QUERY, skip=3),
    "429 with a time to wait": lambda cave: cave.faults.limited(QUERY, retry_after=1, skip=3, times=2),
    "503 of a proxy": lambda cave: cave.faults.html(503, QUERY, skip=3),
    "half of an Arrow stream": lambda cave: cave.faults.truncated(QUERY, skip=4, times=1),
    "a stream that is cut off": lambda cave: cave.faults.cut(QUERY, skip=4, times=1),
    "an HTML page for rows": lambda cave: cave.faults.replaced(b"<html>hello</html>", QUERY, skip=4),
    "a connection that is closed": lambda cave: cave.faults.reset(QUERY, skip=4),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_a_snapshot_has_every_row_once(cave, stack, tmp_path, name):
    TROUBLE[name](cave)

    assert_complete(snapshot(prepared(cave, stack, tmp_path)), stack)


def test_a_killed_download_goes_on_where_it_was(cave, stack, tmp_path):
    path = prepared(cave, stack, tmp_path)
    process = subprocess.Popen([*COMMAND, "-c", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kept = tmp_path / "out" / "cache" / "downloads"

    def kill() -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    cave.query_limit = 1000
    cave.after(38, kill, QUERY)
    process.wait(timeout=60)
    assert process.returncode == -signal.SIGKILL
    (manifest,) = kept.glob("cave-*/synapses/manifest.jsonl")
    known = [json.loads(line) for line in manifest.read_text().splitlines() if line.endswith("}")]
    assert len(known) > 2
    cave.requests.clear()

    out = snapshot(path)

    assert_complete(out, stack)
    asked = windows(cave)
    assert min(low for low, _ in asked) == known[-1]["hi"], "what was kept is not asked for again"
    assert len(asked) < 30


def test_a_failed_download_goes_on_where_it_was_and_a_damaged_part_is_fetched_again(cave, stack, tmp_path):
    path = prepared(cave, stack, tmp_path)
    cave.query_limit = 1000
    login = cave.faults.login(QUERY, skip=38, times=None)
    with pytest.raises(AuthError):
        snapshot(path)
    assert login.hits
    cave.faults.clear()
    cave.requests.clear()
    parts = sorted((tmp_path / "out/cache/downloads").glob("cave-*/synapses/part-*.parquet"))
    parts[1].write_bytes(parts[1].read_bytes()[:-1] + b"?")

    assert_complete(snapshot(path), stack)
    assert min(low for low, _ in windows(cave)) == int(parts[1].stem.removeprefix("part-"))


def test_another_version_begins_anew(cave, stack, tmp_path):
    path = prepared(cave, stack, tmp_path)
    cave.faults.login(QUERY, skip=12, times=None)
    with pytest.raises(AuthError):
        snapshot(path)
    cave.faults.clear()
    stack.freeze()

    out = snapshot(path)
    assert_complete(out, stack, 2)
    assert report(out)["version"] == 2
    assert [kept.name[-3:] for kept in (out / "cache" / "downloads").glob("cave-*")] == ["-v2"]


def test_whoever_mends_a_setting_need_not_download_again(cave, stack, tmp_path):
    entry = {"table": "cell_types_of_nuclei", "columns": {"cell_type": "type"}}
    with pytest.raises(DataError, match="bodies have several rows in table 'cell_types_of_nuclei'"):
        snapshot(prepared(cave, stack, tmp_path, annotations=[entry]))
    cave.requests.clear()

    assert_complete(snapshot(prepared(cave, stack, tmp_path, annotations=[entry | {"several": "first"}])), stack)
    assert not windows(cave)


def test_a_version_that_expires_meanwhile_is_named(cave, stack, tmp_path):
    cave.after(8, stack.versions[1].expire, QUERY)

    with pytest.raises(Expired, match="version 1"):
        snapshot(prepared(cave, stack, tmp_path, version=1))


def message(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        snapshot(path)
    return str(caught.value).replace(str(path.parent), "")


def test_a_version_that_has_expired_is_refused_with_those_that_have_not(cave, stack, tmp_path):
    stack.versions[1].expire()
    stack.freeze()
    path = prepared(cave, stack, tmp_path, version=1)

    said = message(path)
    assert "inputs.cave.version: version 1 of 'minnie65_public' cannot be read: it is EXPIRED" in said
    assert "hint: versions that can: 2" in said
    assert not cave.asked(QUERY), "nothing was downloaded"


def test_a_snapshot_whose_version_has_expired_since_is_still_up_to_date(cave, stack, tmp_path):
    path = prepared(cave, stack, tmp_path, version=1)
    snapshot(path)
    stack.versions[1].expire()
    cave.requests.clear()

    assert_complete(snapshot(path), stack)
    assert not cave.asked("/query$")


def test_no_such_version(cave, stack, tmp_path):
    said = message(prepared(cave, stack, tmp_path, version=7))

    assert "inputs.cave.version: there is no version 7 of 'minnie65_public'" in said
    assert "hint: versions that can be read: 1" in said


def test_latest_is_the_newest_that_can_be_read_and_is_written_down(cave, stack, tmp_path):
    stack.freeze().expire()

    out = snapshot(prepared(cave, stack, tmp_path))
    assert "version: 1\n" in (out / "final-config.yaml").read_text()


def test_a_time_stands_for_the_newest_version_of_then_or_before(cave, stack, tmp_path):
    first = stack.versions[1].time_stamp
    stack.freeze()

    out = snapshot(prepared(cave, stack, tmp_path, version=first.isoformat()))
    assert report(out)["version"] == 1

    before = (first - dt.timedelta(seconds=1)).isoformat()
    said = message(prepared(cave, stack, tmp_path / "b", version=before))
    assert f"no materialization of 'minnie65_public' can be read for '{before}'" in said


def test_a_count_that_the_rows_do_not_reach_is_an_error(cave, stack, tmp_path):
    cave.faults.replaced(b"12001\n", "synapses/count$", times=None)

    with pytest.raises(CaveError, match="12,000 rows .* should have 12,001"):
        snapshot(prepared(cave, stack, tmp_path))


def test_every_misspelt_name_is_found_before_anything_is_downloaded(cave, stack, tmp_path):
    path = prepared(
        cave,
        stack,
        tmp_path,
        extra_columns=["sizes"],
        confidence={"column": "score"},
        annotations=[
            {"table": "cell_type", "columns": {"cell_type": "type"}},
            {"table": "nuclei", "columns": {"volumes": "volume"}, "position": "nucleus", "position-column": "point"},
            {"table": "cell_types_of_nuclei", "columns": {"cell_type": "kind"}, "several": "max", "max-column": "best"},
        ],
    )

    said = message(path)
    for line in (
        "inputs.cave.extra-columns.0: table 'synapses' has no column 'sizes'\n  hint: did you mean 'size'?",
        "inputs.cave.confidence.column: table 'synapses' has no column 'score'",
        "inputs.cave.annotations.0.table: there is no table 'cell_type'\n  hint: did you mean 'cell_types'?",
        "inputs.cave.annotations.1.columns.volumes: table 'nuclei' has no column 'volumes'",
        "inputs.cave.annotations.1.position-column: table 'nuclei' has no column 'point'",
        "inputs.cave.annotations.2.max-column: table 'cell_types_of_nuclei' has no column 'best'",
    ):
        assert line in said
    assert not windows(cave)


@pytest.mark.parametrize("is_merged", [True, False])
def test_roots_that_are_null_0_or_1_are_no_body_and_are_counted(cave, tmp_path, is_merged):
    stack = synthetic_datastack(cave, 3000, name="codes", odd_share=0.05, is_merged=is_merged)
    out = snapshot(config(tmp_path, live(cave, stack, tmp_path)))

    data = stack.versions[1].tables["synapses"].data
    counts = report(out)["counts"]
    for side, what in (("pre", "T-bars"), ("post", "PSDs")):
        roots = data[f"{side}_pt_root_id"].to_pylist()
        said = [counts[f"{what} whose root id is {words}"] for words in
                ("outside of the segmentation (0)", "not looked up (1)", "not looked up (null)")]  # fmt: skip
        assert said == [roots.count(code) for code in (0, 1, None)]
        assert (said[1] > 0) is not is_merged
        assert (said[2] > 0) is is_merged
    pre, post = (data[f"{side}_pt_root_id"].fill_null(0).to_numpy() > 1 for side in ("pre", "post"))
    assert len(frame(out, "flat-connectome/syn-partners-*")) == np.count_nonzero(pre & post)


def test_a_token_is_nowhere_in_what_is_left(cave, stack, tmp_path):
    out = snapshot(prepared(cave, stack, tmp_path))

    files = [file for file in out.rglob("*") if file.is_file()]
    assert not [file for file in files if cave.token.encode() in file.read_bytes()]


def test_a_token_file_that_holds_no_token_is_named_with_its_line(cave, stack, tmp_path):
    path = prepared(cave, stack, tmp_path, **{"auth-token-file": "elsewhere.json"})

    with pytest.raises(
        ConfigError, match=r"config.yaml:\d+:\d+: inputs.cave.auth-token-file: .*elsewhere.json is missing"
    ):
        snapshot(path)
    assert cave.requests == []
