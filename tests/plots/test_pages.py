"""Pages of single plots, as a reader opens them from the disk."""

import json
import re
import shutil
from dataclasses import replace
from urllib.parse import unquote

import pytest

from flyem_snapshot.connectome.report_tables import ReportSet
from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.plots.files import Plot, page, write_plots
from flyem_snapshot.plots.reports import draw_report_set
from flyem_snapshot.plots.style import layout, plain, title
from tests.plots.made_up import BEST, LINKS, empty_report, report, report_set

NASTY = (
    "<img src=x onerror=\"document.title='broken'\"> 'O\"Brien' </script><script>document.title='broken'</script> $x$"
)


@pytest.fixture(autouse=True)
def pages_only(monkeypatch, draws_pictures):
    monkeypatch.setenv("BROWSER_PATH", "off")


def drawn(tmp_path, one, links=LINKS, plotly_js="file"):
    draw_report_set(OutputDir(tmp_path), one, "v1", links, plotly_js)
    return tmp_path / "reports" / one.roiset


def one_report(name="EB", bodies=40, **kind):
    one = report(name, bodies, slug="EB", **kind)
    return ReportSet("primary", [one], [], BEST[:5])


def curve_page(folder, kind="-with-links"):
    return folder / f"reports/EB/html/EB-cumulative-connectivity{kind}-v1.html"


def test_files_are_named_as_documented(tmp_path):
    folder = drawn(tmp_path, replace(report_set(2, 60), reports=[report("EB", 60)]))

    written = {str(path.relative_to(folder)) for path in folder.rglob("*.html")}
    measures = [
        f"captured-{measure}-by-status-and-roi{order}.html"
        for measure in ("presyn", "postsyn", "connectivity", "synweight")
        for order in ("", "-sorted")
    ]
    assert written == {
        "reports/EB/html/EB-cumulative-connectivity-with-links-v1.html",
        "reports/EB/html/EB-downstream-capture-v1.html",
        *(f"primary/html/primary-{measure}" for measure in measures),
        *(f"Some-of-them/html/some-of-them-{measure}" for measure in measures),
    }
    assert (tmp_path / "reports/plotly.min.js").stat().st_size > 1_000_000


@pytest.mark.parametrize("width", [1400, 390])
def test_every_kind_of_page_draws_without_a_complaint(tmp_path, opened, width):
    one = report_set(1, 200)
    one = replace(one, reports=[*one.reports, empty_report("none"), report("bare", 30, status=False)])
    folder = drawn(tmp_path, one)

    for path in sorted([*folder.glob("reports/**/*.html"), *folder.glob("primary/**/*presyn*sorted.html")]):
        shown = opened(path, width)
        shown.wait_for_selector("#plot .main-svg")
        assert shown.locator("#problem").is_hidden()
        assert shown.evaluate("document.documentElement.scrollWidth") <= width


def test_a_click_on_a_point_opens_its_body_in_neuroglancer(tmp_path, opened):
    shown = opened(curve_page(drawn(tmp_path, one_report())))
    shown.evaluate("window.open = (...opened) => { window.asked = opened; }")
    shown.wait_for_selector("#plot .main-svg")

    # The last point of the first piece, where axes put it on the screen.
    where = shown.evaluate(
        """() => {
            const plot = document.getElementById("plot"), {xaxis, yaxis} = plot._fullLayout;
            const trace = plot.calcdata[0], point = trace[trace.length - 1], box = plot.getBoundingClientRect();
            return [box.left + xaxis._offset + xaxis.c2p(point.x), box.top + yaxis._offset + yaxis.c2p(point.y),
                    plot._fullData[0].customdata[trace.length - 1][0]];
        }"""
    )
    shown.mouse.move(where[0], where[1])
    shown.mouse.click(where[0], where[1])
    shown.wait_for_function("window.asked")

    address, target, features = shown.evaluate("window.asked")
    assert (target, features) == ("_blank", "noopener")
    assert address.startswith("https://clio-ng.janelia.org/#!")
    layer = json.loads(unquote(address.split("#!")[1]))["layers"][2]
    assert layer["segments"] == [where[2]]
    assert layer["segmentQuery"] == where[2]
    assert int(where[2]) > 2**53


def test_pointing_at_a_point_tells_its_body_and_status(tmp_path, opened):
    shown = opened(curve_page(drawn(tmp_path, one_report())))
    shown.wait_for_selector("#plot .main-svg")
    shown.evaluate("Plotly.Fx.hover('plot', [{curveNumber: 0, pointNumber: 0}])")

    text = shown.locator(".hoverlayer").text_content()
    assert "body 9007199254740993" in text
    assert "Traced, rank 1" in text


def test_without_links_a_click_does_nothing(tmp_path, opened):
    shown = opened(curve_page(drawn(tmp_path, one_report(), links=None)))
    shown.wait_for_selector("#plot .main-svg")

    assert shown.locator("#hint").is_hidden()


def test_without_statuses_the_file_has_no_links(tmp_path, opened):
    shown = opened(curve_page(drawn(tmp_path, one_report(status=False)), ""))
    shown.wait_for_selector("#plot .main-svg")

    assert shown.locator("#hint").is_hidden()


def test_names_with_html_and_quotes_are_inert(tmp_path, opened):
    one = one_report(NASTY)
    folder = drawn(tmp_path, one)

    for path in folder.rglob("*.html"):
        for width in (1400, 390):
            shown = opened(path, width)
            shown.wait_for_selector("#plot .main-svg")
            assert shown.title().startswith("<img src=x")
            assert shown.locator("img").count() == 0
            assert "onerror" in shown.locator("body").inner_text() + shown.locator("#plot").text_content()


def test_a_page_that_lost_the_library_says_so(tmp_path, chromium):
    folder = drawn(tmp_path, one_report())
    alone = tmp_path / "alone.html"
    shutil.copy(curve_page(folder), alone)
    shown = chromium.new_page()
    shown.goto(alone.as_uri())

    assert "plotly.js was not found at ../../../../plotly.min.js" in shown.locator("#problem").inner_text()
    shown.close()


def test_an_embedded_page_needs_no_other_file(tmp_path, opened):
    folder = drawn(tmp_path, one_report(), plotly_js="embedded")
    alone = tmp_path / "alone.html"
    shutil.copy(curve_page(folder), alone)

    assert not (tmp_path / "reports/plotly.min.js").exists()
    opened(alone).wait_for_selector("#plot .main-svg")


def test_a_page_for_the_network_names_the_version_and_its_digest(tmp_path):
    text = curve_page(drawn(tmp_path, one_report(), plotly_js="cdn")).read_text()

    assert re.search(r'src="https://cdn\.plot\.ly/plotly-\d+\.\d+\.\d+\.min\.js"', text)
    assert re.search(r'integrity="sha256-[A-Za-z0-9+/]{43}=" crossorigin="anonymous"', text)
    assert not (tmp_path / "reports/plotly.min.js").exists()


def test_numbers_that_json_does_not_know_are_refused():
    figure = {"data": [{"type": "bar", "x": [float("nan")]}], "layout": layout(300, 200)}

    with pytest.raises(ValueError, match="not JSON compliant"):
        page(Plot(figure, "reports", "x", "X"))


def test_every_part_of_a_heading_is_plain_text(tmp_path, opened):
    arrangement = layout(600, 300, title=title("<b>a</b> & b", "<i>c</i>"))
    figure = {"data": [{"type": "bar", "x": [1], "y": [2], "name": plain("<u>")}], "layout": arrangement}
    write_plots(OutputDir(tmp_path), [Plot(figure, "reports", "x", "X")])

    wide = opened(tmp_path / "reports/html/x.html")
    wide.wait_for_selector("#plot .gtitle")
    assert wide.locator("#plot .gtitle").text_content() == "<b>a</b> & b"
    phone = opened(tmp_path / "reports/html/x.html", 390)
    assert phone.locator("#heading").inner_text().split("\n")[0] == "<b>a</b> & b"
