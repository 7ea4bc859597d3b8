"""`flyem-snapshot-plots`: from finished snapshots to figures and their numbers, as a user types it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from flyem_snapshot.cli.plots import main, parse_arguments
from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.outputs.reports.summaries import status_stats, summarised, synapse_counts
from flyem_snapshot.outputs.reports.summaries import write_summaries as write_stage_summaries
from tests.plots import made_up
from tests.plots.publication_snapshots import STATS, optic_lobes, write_summaries

COMMAND = [sys.executable, "-m", "flyem_snapshot.cli.plots"]
HEAVY = ("duckdb", "jinja2", "kaleido", "numpy", "pandas", "plotly", "pyarrow", "pydantic")


@pytest.fixture(autouse=True)
def handlers(pictures):
    """Pictures are drawn; the signal handlers of the test process stay as they were."""
    old = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, old)


@pytest.fixture
def snapshot(tmp_path):
    write_summaries(tmp_path / "one", optic_lobes())
    return tmp_path / "one"


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_help_is_quick_and_loads_no_heavy_library():
    code = "import json, sys, flyem_snapshot.cli.plots; print(json.dumps(list(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert {name.split(".")[0] for name in loaded}.isdisjoint(HEAVY)

    def seconds():
        start = time.perf_counter()
        assert b"--labels A,B" in subprocess.run([*COMMAND, "--help"], capture_output=True, check=True).stdout
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a", "b", "--labels", "one"],
        ["a", "b", "--labels", "one,"],
        ["a", "b", "--labels", "one,one"],
        ["a", "a"],
        ["a", "--format", "jpg"],
        ["a", "--format", ""],
        ["a", "--width", "100"],
        ["a", "--width", "wide"],
        ["a", "--measure", "beauty"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments(words)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("directories", "labels"),
    [
        (["x/2024-09-01", "x/2024-10-01"], ["2024-09-01", "2024-10-01"]),
        (["x/hemibrain/output", "x/male-cns/output"], ["hemibrain/output", "male-cns/output"]),
    ],
)
def test_snapshots_are_called_like_their_directories(directories, labels):
    assert parse_arguments(directories).labels == labels


def test_a_snapshot_becomes_three_figures_in_each_format_and_a_table(snapshot, tmp_path, capsys, pictures):
    folder = tmp_path / "figures"

    assert main([str(snapshot), "-o", str(folder), "--format", "html,png,pdf,svg", "--measure", "presyn"]) == 0

    names = ("roi-completion-presyn", "roi-sides", "roi-tbars-and-psds")
    expected = [f"{kind}/{name}.{kind}" for kind in ("html", "png", "pdf", "svg") for name in names]
    assert files(folder) == sorted([*expected, "plotly.min.js", "roi-completeness.csv"])
    for kind, magic in (("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<svg")):
        assert all((folder / kind / f"{name}.{kind}").read_bytes().startswith(magic) for name in names)
    said = capsys.readouterr()
    assert said.out.startswith(
        "one: 5 ROIs, status 'Leaves' or better: 45.7 % of T-bars on traced bodies, weighted by PSDs\n"
        f"wrote {folder}/roi-completeness.csv\n"
    )
    assert said.err == ""


def test_the_table_holds_the_numbers_of_every_snapshot(snapshot, tmp_path, capsys):
    write_summaries(tmp_path / "two", optic_lobes(right=0.9, left=0.7)[:2])
    folder = tmp_path / "figures"
    words = [str(snapshot), str(tmp_path / "two"), "--labels", "A,B b", "-o", str(folder), "--format", "html"]

    assert main([*words, "--status", "Roughly traced", "--rois", "ME"]) == 0

    assert (folder / "roi-completeness.csv").read_text().splitlines() == [
        ",".join(["dataset,roi,roi_base,roi_side,PreSyn,PostSyn,status", *STATS]),
        "A,ME(R),ME,R,100,400,Roughly traced,0.3,0.3,0.3,0.3",
        "A,ME(L),ME,L,90,360,Roughly traced,0.2,0.2,0.2,0.2",
        "B b,ME(R),ME,R,100,400,Roughly traced,0.45,0.45,0.45,0.45",
        "B b,ME(L),ME,L,90,360,Roughly traced,0.35,0.35,0.35,0.35",
    ]
    html = [f"html/{name}.html" for name in ("roi-completion-connections", "roi-sides", "roi-tbars-and-psds")]
    assert files(folder) == sorted(
        [
            *(f"A/{name}" for name in html),
            *(f"B-b/{name}" for name in html),
            "html/roi-comparison-connections.html",
            "plotly.min.js",
            "roi-completeness.csv",
        ]
    )
    assert "../../plotly.min.js" in (folder / "B-b" / "html" / "roi-sides.html").read_text()
    assert "B b: 2 ROIs, status 'Roughly traced' or better: 40.3 % of connections" in capsys.readouterr().out


def test_what_the_reports_of_a_run_write_is_what_is_read(tmp_path):
    names = ["ME(R)", "ME(L)", "a'L(R)", "NA"]
    reports = [made_up.report(name, 300, seed) for seed, name in enumerate(names)]
    stats, counts = status_stats(reports), synapse_counts(reports)
    summaries = list(summarised({"primary": names}, ["primary"], stats, counts))
    write_stage_summaries(OutputDir(tmp_path / "run"), "reports/primary", summaries)

    assert main([str(tmp_path / "run"), "-o", str(tmp_path / "figures"), "--format", "html"]) == 0

    table = pd.read_csv(tmp_path / "figures" / "roi-completeness.csv", keep_default_na=False).set_index("roi")
    assert list(table.index) == names
    for report in reports:
        last = report.curve[report.curve["status"] == "Leaves"].iloc[-1]
        assert table.loc[report.name, list(STATS)].tolist() == pytest.approx(last[list(STATS)].tolist())
        assert table.loc[report.name, ["PreSyn", "PostSyn"]].tolist() == [report.presyn, report.postsyn]


def test_the_same_snapshot_gives_the_same_pages(snapshot, tmp_path):
    for name in ("first", "second"):
        assert main([str(snapshot), "-o", str(tmp_path / name), "--format", "html"]) == 0

    for name in files(tmp_path / "first"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_without_a_browser_there_are_pages_and_a_warning(snapshot, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))

    assert main([str(snapshot), "-o", str(tmp_path / "figures"), "--format", "html,png"]) == 0

    assert {name.split("/")[0] for name in files(tmp_path / "figures")} == {
        "html",
        "plotly.min.js",
        "roi-completeness.csv",
    }
    assert "install Chromium or Chrome" in caplog.text


def test_without_a_browser_pictures_alone_are_refused(snapshot, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))

    assert main([str(snapshot), "-o", str(tmp_path / "figures"), "--format", "pdf"]) == 1

    assert files(tmp_path / "figures") == ["roi-completeness.csv"]
    assert capsys.readouterr().err == (
        "flyem-snapshot: no PDF could be drawn\n"
        "  hint: install Chromium or Chrome (BROWSER_PATH may name it), or ask for --format html, which needs none\n"
    )


def test_too_many_rois_are_refused_but_their_numbers_are_written(tmp_path, capsys):
    write_summaries(tmp_path / "one", [(f"column {number}", 1, 1, (0.5,) * 4) for number in range(1000)])

    assert main([str(tmp_path / "one"), "-o", str(tmp_path / "figures")]) == 1

    assert "1,000 ROIs are too many for a figure, which holds 400; the table is written" in capsys.readouterr().err
    assert len(pd.read_csv(tmp_path / "figures" / "roi-completeness.csv")) == 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--roiset", "primery"],
            "there is no roi-set 'primery'\n  hint: did you mean 'primary'? there are 'primary'\n",
        ),
        (["--group", "x"], "there is no group 'x'\n  hint: there are 'primary'\n"),
        (["--status", "Leafs"], "unknown status 'Leafs'\n  hint: did you mean 'Leaves'?"),
        (["--rois", "ME(R),MEE"], "no report is named 'MEE'\n  hint: did you mean 'ME'?\n"),
    ],
)
def test_a_mistaken_name_is_1_and_nothing_is_written(snapshot, tmp_path, capsys, options, message):
    assert main([str(snapshot), "-o", str(tmp_path / "figures"), *options]) == 1

    assert message in capsys.readouterr().err
    assert not (tmp_path / "figures").exists()


def test_snapshots_without_a_common_roi_or_without_reports_are_1(snapshot, tmp_path, capsys):
    write_summaries(tmp_path / "two", [("T1", 1, 1, (0.5,) * 4)])
    (tmp_path / "three").mkdir()
    output = ["-o", str(tmp_path / "figures"), "--format", "html"]

    assert main([str(snapshot), str(tmp_path / "two"), *output]) == 1
    assert "the snapshots have no ROI in common\n  hint: one has ME, LO, EB; two has T1;" in capsys.readouterr().err
    assert main([str(snapshot), str(tmp_path / "three"), *output]) == 1
    assert f"{tmp_path}/three/reports: there are no connectivity reports" in capsys.readouterr().err
    assert main([str(snapshot), str(tmp_path / "two"), *output, "--rois", "EB"]) == 1
    assert "two has none of the reports that were asked for" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_1(snapshot, tmp_path, capsys):
    (tmp_path / "file").write_text("x")

    assert main([str(snapshot), "-o", str(tmp_path / "file")]) == 1
    assert main([str(snapshot), "-o", str(tmp_path / "file" / "below")]) == 1
    assert "name a folder with -o" in capsys.readouterr().err.replace("choose another", "name a")
