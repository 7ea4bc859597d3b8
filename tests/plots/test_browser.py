"""Pictures are drawn by the machine's browser; without one there is a single warning, and pages all the same."""

import logging
import struct
import time

import pytest

from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.plots.browser import Browser, find_browser, one_browser
from flyem_snapshot.plots.files import Plot, write_plots
from flyem_snapshot.plots.reports import draw_report_set
from flyem_snapshot.plots.style import layout
from tests.plots.made_up import LINKS, report_set

FIGURE = {"data": [{"type": "bar", "x": [1, 2]}], "layout": layout(320, 240)}


def png_size(content):
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", content[16:24])


def plots(count):
    return [Plot(FIGURE, "reports/x", f"p{number}", "P") for number in range(count)]


def test_pictures_are_twice_the_size_of_the_figure(tmp_path):
    write_plots(OutputDir(tmp_path), plots(1))

    assert png_size((tmp_path / "reports/x/png/p0.png").read_bytes()) == (640, 480)


def test_the_browser_is_started_once_for_all_calls(tmp_path, monkeypatch):
    searches = []
    monkeypatch.setattr("flyem_snapshot.plots.browser.find_browser", lambda: searches.append(1) or find_browser())
    out = OutputDir(tmp_path)

    with one_browser() as browser:
        for plot in plots(3):
            write_plots(out, [plot])
        with one_browser() as inner:
            assert inner is browser

    assert searches == [1]
    assert len(list(tmp_path.rglob("*.png"))) == 3


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_plots(OutputDir(tmp_path / name), plots(1))

    for file in ("html/p0.html", "png/p0.png"):
        one, two = ((tmp_path / name / "reports/x" / file).read_bytes() for name in ("one", "two"))
        assert one == two


@pytest.mark.parametrize("case", ["nowhere", "not installed", "breaks"])
def test_without_a_browser_there_are_pages_and_one_warning(tmp_path, monkeypatch, caplog, case):
    if case == "nowhere":
        monkeypatch.setenv("BROWSER_PATH", "/nowhere/chromium")
    elif case == "not installed":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        program = tmp_path / "chromium"
        program.write_text("#!/bin/sh\nexit 3\n")
        program.chmod(0o755)
        monkeypatch.setenv("BROWSER_PATH", str(program))
    out = OutputDir(tmp_path / "out")
    one = report_set(3, 60)

    with caplog.at_level(logging.WARNING), one_browser():
        draw_report_set(out, one, "v1", LINKS)
        draw_report_set(out, one, "v1", LINKS)

    (message,) = caplog.messages
    assert (
        "without pictures; install Chromium or Chrome (Debian: apt-get install chromium) or set BROWSER_PATH" in message
    )
    assert not list(tmp_path.rglob("*.png"))
    pages = [path for path in out.written if path.endswith(".html")]
    assert len(pages) == 3 * 2 + 2 * 8
    assert all((tmp_path / "out" / page).stat().st_size for page in pages)


def test_pictures_can_be_declined_without_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("BROWSER_PATH", "off")

    with caplog.at_level(logging.WARNING):
        write_plots(OutputDir(tmp_path), plots(2))

    assert caplog.messages == []
    assert sorted(path.suffix for path in tmp_path.rglob("*.*")) == [".html", ".html", ".js"]


def test_a_browser_that_dies_does_not_stop_the_run(tmp_path, caplog):
    browser = Browser()
    with caplog.at_level(logging.WARNING):
        assert png_size(browser.pictures([FIGURE])[0]) == (640, 480)
        browser._kaleido.subprocess.kill()
        start = time.monotonic()
        assert browser.pictures([FIGURE, FIGURE]) == [None, None]
        assert browser.pictures([FIGURE]) == [None]

    assert time.monotonic() - start < 30
    assert len(caplog.messages) == 1
    browser.close()


def test_nothing_is_started_for_no_figure(monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chromium")
    browser = Browser()

    assert browser.pictures([]) == []
    assert not browser.broken
