"""The log of neuPrint's server, written as the server writes it, and read back."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import signal
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather

from flyem_snapshot.cli.parse_log import main
from flyem_snapshot.live.log_records import Faults, LogRecord, records

QUERY = 'MATCH (n:Neuron)\nWHERE n.type =~ "KC\\d+.*" // a "word"\nRETURN n {.bodyId, x: "{}"}\n'


def record(**given):
    fields = {"time": 1_700_000_000, "status": 200, "duration": 12.34, "bytes_in": 5, "bytes_out": 60}
    fields |= {"user": "ann@x.org", "category": "custom/custom", "dataset": "", "uri": "/api/custom/custom"}
    return LogRecord(**(fields | {"query": "RETURN 1"} | given))


def line(r, *, dataset=True, colour=False):
    """A record as the server's template has it: quotes get a backslash, nothing else does."""
    user, query = (text.replace('"', '\\"') for text in (r.user, r.query))
    status = f"\x1b[32m{r.status}\x1b[0m" if colour else r.status
    first = f'"dataset": "{r.dataset}", ' if dataset else ""
    return (
        f'{{{first}"uri": "{r.uri}", "status": {status}, "bytes_in": {r.bytes_in}, "bytes_out": {r.bytes_out}, '
        f'"duration": {r.duration:.2f}, "time": {r.time}, "user": "{user}", "category": "{r.category}", '
        f'"debug": "{query}"}}\n'
    ).encode()


def read(data, **options):
    faults = Faults()
    return list(records(data.splitlines(keepends=True), faults, **options)), faults


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("dataset", [False, True])
def test_a_record_is_read_as_it_was_meant(dataset, colour):
    meant = record(query=QUERY, dataset="cns:v1.0" if dataset else "")
    found, faults = read(line(meant, dataset=dataset, colour=colour))
    assert (found, faults) == ([meant], Faults())


queries = st.text(st.sampled_from('ab"\\{}: \n,é')).filter(lambda text: not text.endswith("\\"))


@given(st.lists(st.builds(lambda q, t: record(query=q, time=t), queries, st.integers(1, 2**31)), max_size=4))
def test_whatever_queries_hold_every_record_comes_back(meant):
    data = b"".join(map(line, meant))
    faults = Faults()
    assert list(records((part + b"\n" for part in data.split(b"\n")[:-1]), faults)) == meant
    assert faults == Faults()


def test_what_is_no_record_is_counted_and_the_records_around_it_are_kept():
    good = [record(query=f"RETURN {n}") for n in range(3)]
    torn = line(record())[:60] + b"\n"
    data = (
        line(good[0]) + b"[DEBUG] Closing\n\n" + torn + line(good[1]) + b"{nonsense}\n" + line(good[2]) + b'{"uri": "'
    )
    found, faults = read(data)
    assert found == good
    assert (faults.lines, faults.first) == (4, [2, 4, 6])


def test_proper_json_of_a_log_shipper_is_read_too():
    shipped = {"time": 5, "uri": "/x", "status": 404, "user": "a", "debug": 'a "b"\n\\d', "duration": 1.5, "more": []}
    found, _ = read(json.dumps(shipped, separators=(",", ":")).encode() + b"\n")
    assert found == [record(time=5, uri="/x", status=404, user="a", query='a "b"\n\\d', duration=1.5, bytes_in=0,
                            bytes_out=0, category="")]  # fmt: skip


def test_a_tail_that_begins_within_a_record_says_so():
    meant = record()
    found, faults = read(b'WHERE x\nRETURN 1"}\n' + line(meant), mid_record=True)
    assert (found, faults) == ([meant], Faults(cut=2))


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.json"
    three = [
        record(time=1_700_000_000, duration=10, user="ann@x.org", query="RETURN 1"),
        record(time=1_700_000_060, duration=500, user="bob@x.org", query="RETURN 'ann@x.org'", status=400),
        record(time=1_700_000_120, duration=20, user="ann@x.org", query=QUERY),
    ]
    path.write_bytes(b"".join(map(line, three)) + line(three[2]) + b"oops\n")
    return path


@pytest.fixture
def run(capsys):
    """Run the command in this process: (exit code, stdout, stderr)."""
    handler = signal.getsignal(signal.SIGTERM)

    def call(*words):
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    yield call
    signal.signal(signal.SIGTERM, handler)


def test_csv_has_a_row_for_each_request_and_times_of_the_zone(run, log):
    code, out, err = run(log, "-f", "csv", "-d", "-z", "America/New_York")
    assert code == 0
    assert out.startswith(
        "time,status,duration_ms,bytes_in,bytes_out,user,category,dataset,uri,query\n"
        "2023-11-14T17:13:20-05:00,200,10.0,5,60,ann@x.org,custom/custom,,/api/custom/custom,RETURN 1\n"
    )
    assert "3 requests; 1 duplicates left out; 1 lines are no records and were left out; the first are lines 11" in err


def test_feather_keeps_types_and_can_be_read_by_its_owner_only(run, log, tmp_path):
    out = tmp_path / "requests.feather"
    assert run(log, out, "-d")[0] == 0
    table = feather.read_table(out)
    assert table.schema.field("time").type == pa.timestamp("s", "UTC")
    assert table["time"][0].as_py() == dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)
    assert table["duration_ms"].to_pylist() == [10.0, 500.0, 20.0]
    assert table["query"][2].as_py() == QUERY
    assert out.stat().st_mode & 0o777 == 0o600


def test_the_slowest_requests_come_first(run, log):
    rows = csv.DictReader(run(log, "-f", "csv", "-c", "2", "-d")[1].splitlines(keepends=True))
    assert [row["duration_ms"] for row in rows] == ["500.0", "20.0"]


def test_users_are_counted_the_busiest_first(run, log):
    assert run(log, "-u", "-f", "csv")[1] == (
        "user,requests,errors,seconds,slowest_ms,bytes_out,first,last\n"
        "ann@x.org,3,0,0.05,20.0,180,2023-11-14T22:13:20+00:00,2023-11-14T22:15:20+00:00\n"
        "bob@x.org,1,1,0.5,500.0,60,2023-11-14T22:14:20+00:00,2023-11-14T22:14:20+00:00\n"
    )
    assert len(run(log, "-u", "-f", "csv", "-c", "1")[1].splitlines()) == 2


@pytest.mark.parametrize("words", [("-U",), ("--hide-users",), ("--hide-users", "-f", "csv")])
def test_hidden_users_are_nowhere_not_even_in_queries(run, log, words):
    _, out, err = run(log, *words)
    assert "user-1" in out
    assert "user-2" in out
    assert "x.org" not in out + err


def test_the_tail_is_read_and_nothing_else(run, log):
    _, out, err = run(log, "-f", "csv", "-t", "300")
    assert len([row for row in out.splitlines() if row.startswith("2023")]) == 1
    assert "belong to a request before the last 300 bytes" in err
    whole = run(log, "-f", "csv")[1]
    assert run(log, "-f", "csv", "-t", "1_000_000")[1] == whole == run(log, "-f", "csv", "-t", "0")[1]


def test_every_length_of_tail_gives_the_last_records(run, log):
    last = run(log, "-f", "csv")[1].split("\n", 1)[1]
    for length in range(1, log.stat().st_size + 1, 37):
        assert last.endswith(run(log, "-f", "csv", "-t", length)[1].split("\n", 1)[1])


def test_a_log_may_be_compressed_or_come_through_a_pipe(run, log, tmp_path):
    packed = tmp_path / "log.json.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    whole = run(log, "-f", "csv")[1]
    assert run(packed, "-f", "csv")[1] == whole
    command = [sys.executable, "-m", "flyem_snapshot.cli.parse_log", "-", "-f", "csv"]
    done = subprocess.run(command, input=log.read_bytes(), capture_output=True, check=True)
    assert done.stdout.decode() == whole


def test_pretty_lines_hold_nothing_that_a_terminal_obeys(run, tmp_path):
    log = tmp_path / "log"
    log.write_bytes(line(record(query="RETURN 1\x1b[2J\n\t x" + "y" * 500)))
    header, row = run(log)[1].splitlines()
    assert header.split()[:3] == ["time", "status", "duration_ms"]
    assert row.startswith("2023-11-14 22:13:20+0000          200         12.3")
    assert "\x1b" not in row
    assert row.endswith("yyy…")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{}/none",), "cannot be read: No such file"),
        (("{}/log.json", "-z", "Europe/Berlyn"), "did you mean Europe/Berlin?"),
        (("{}/log.json", "{}/log.json"), "is the log itself"),
        (("{}/bad.gz",), "cannot be read"),
        (("{}/bad.gz", "-t", "5"), "leave out --tail"),
        (("{}/log.json", "{}/none/out.csv"), "No such file"),
    ],
)
def test_what_cannot_be_done_is_said(run, log, tmp_path, words, said):
    (tmp_path / "bad.gz").write_bytes(b"no gzip")
    code, _, err = run(*(word.format(tmp_path) for word in words))
    assert code == 1
    assert said in err


@pytest.mark.parametrize("words", [(), ("x", "-f", "feather"), ("x", "-u", "-U"), ("x", "-c", "0"), ("x", "-t", "z")])
def test_a_command_line_that_makes_no_sense_is_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(line(record()) * 20_000)
    command = f"{sys.executable} -m flyem_snapshot.cli.parse_log {log} | head -n 2"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["parse_log", "update_neuprint"])
def test_help_loads_no_heavy_library(command):
    script = (
        f"import sys; from flyem_snapshot.cli.{command} import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    )
    heavy = "print('heavy:', {'numpy', 'pyarrow', 'pandas', 'duckdb', 'requests'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script + heavy], capture_output=True, text=True, check=True)
    assert "heavy: set()" in done.stdout
    assert "examples:" in done.stdout
