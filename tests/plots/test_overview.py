"""The overview page tells the numbers of a run, by itself and without any network."""

import itertools
from dataclasses import replace

import pandas as pd
import pytest

from flyem_snapshot.connectome.report_tables import ReportSet
from flyem_snapshot.engine.outdir import OutputDir
from flyem_snapshot.plots.facts import Facts
from flyem_snapshot.plots.overview import write_overview
from flyem_snapshot.plots.overview_numbers import captured_shares, headline, regions, side_pairs, status_shares
from flyem_snapshot.plots.reports import draw_report_set
from tests.plots.made_up import BEST, LINKS, empty_report, report, report_set

FACTS = Facts(
    "v1",
    inputs=[("annotations", "/data/<b>bodies</b>.feather")],
    exclusions=[("partners", "confidence below 0.5", 123456)],
    settings=[("primary: last rank", "1,000,000")],
    notes=['A note for "readers" & others.'],
)
CURVE = pd.DataFrame(
    {
        "status": ["Traced", "Traced", "Leaves", "Orphan"],
        "traced_presyn_frac": [0.1, 0.2, 0.5, 0.9],
        "traced_postsyn_frac": [0.1, 0.3, 0.6, 1.0],
        "traced_conn_frac": [0.05, 0.25, 0.40, 1.0],
    }
)


def write(tmp_path, *sets, facts=FACTS, drawn=False):
    out = OutputDir(tmp_path)
    if drawn:
        for one in sets:
            draw_report_set(out, one, "v1", LINKS)
    write_overview(out, sets, facts)
    return tmp_path / "reports/index.html"


def test_what_is_captured_is_read_at_the_last_captured_body():
    assert captured_shares(CURVE, ["Traced", "Leaves"]) == {
        "traced_presyn_frac": 0.5,
        "traced_postsyn_frac": 0.6,
        "traced_conn_frac": 0.40,
    }
    assert captured_shares(CURVE, ["Finalized"])["traced_conn_frac"] == 0.0


def test_each_status_adds_what_the_better_ones_lack():
    shares = status_shares(CURVE, ["Finalized", "Traced", "Roughly traced", "Leaves"])

    assert shares == pytest.approx({"Finalized": 0, "Traced": 0.25, "Roughly traced": 0, "Leaves": 0.15})


def test_regions_are_summed_only_if_none_is_counted_twice():
    one = report_set(3, 100)
    together = headline(regions(one))
    whole = replace(one.reports[0], name="everything", rois=(), postsyn=10**9)
    largest = headline(regions(replace(one, reports=[*one.reports, whole])))

    assert together.about == "3 reports together"
    assert together.postsyn == sum(report.postsyn for report in one.reports)
    assert (largest.about, largest.postsyn) == ("everything", 10**9)
    assert headline([]) is None


def test_sides_are_paired_by_their_names():
    names = ["ME(L)", "EB", "ME(R)", "LO(R)", "LAL(L)-a", "LAL(R)-a", "LAL(R)-b"]
    found = regions(ReportSet("primary", [report(name, 40) for name in names], [], BEST[:5]))

    assert [(pair.base, pair.left.name, pair.right.name) for pair in side_pairs(found)] == [
        ("ME", "ME(L)", "ME(R)"),
        ("LAL-a", "LAL(L)-a", "LAL(R)-a"),
    ]


@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_fits_its_window_and_reaches_for_nothing_outside(tmp_path, opened, width):
    page = opened(write(tmp_path, report_set(12, 200), drawn=False), width)

    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("h1").inner_text() == "Connectivity reports"


def test_pictures_lead_to_the_plots(tmp_path, opened):
    one = report_set(2, 100)
    page = opened(write(tmp_path, replace(one, summaries=one.summaries[:1]), drawn=True))

    pictures = page.locator(".gallery a img")
    assert pictures.count() == 2 * 2 + 4
    for link in page.locator("a[href$='.html']").evaluate_all("links => links.map(link => link.href)"):
        assert (tmp_path / "reports" / link.split("/reports/", 1)[1]).is_file()
    for index in range(pictures.count()):
        pictures.nth(index).scroll_into_view_if_needed()
        page.wait_for_function("n => document.querySelectorAll('.gallery img')[n].naturalWidth > 0", arg=index)


def test_without_pictures_there_are_plain_links(tmp_path, opened):
    page = opened(write(tmp_path, report_set(2, 100)))

    assert page.locator("img").count() == 0
    assert page.get_by_role("link", name="FB: cumulative connectivity").count() == 1


def order(page):
    return page.locator("table.sortable tbody th a").all_inner_texts()


def test_the_table_sorts_by_mouse_and_keyboard(tmp_path, opened):
    page = opened(write(tmp_path, report_set(6, 400)))
    given = ["FB", "EB", "ME(R)", "ME(L)", "LO(R)", "LO(L)"]
    assert order(page) == given

    page.get_by_role("button", name="region").click()
    assert order(page) == sorted(given)
    heading = page.get_by_role("columnheader", name="region")
    assert heading.get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="region").press("Enter")
    assert order(page) == sorted(given, reverse=True)

    page.get_by_role("button", name="bodies").press("Space")
    assert order(page) == given  # the largest first
    assert heading.get_attribute("aria-sort") is None
    page.get_by_role("button", name="bodies").press("Space")
    assert order(page) == given[::-1]


def test_numbers_sort_as_numbers_and_missing_ones_come_last(tmp_path, opened):
    bare = replace(report("bare", 10, status=False), connections=5)
    reports = [report("ten", 10), bare, report("many", 900)]
    page = opened(write(tmp_path, ReportSet("s", reports, [], BEST[:5])))

    page.get_by_role("button", name="captured connections").click()
    assert order(page)[-1] == "bare"


def test_names_and_facts_are_inert(tmp_path, opened):
    nasty = "<script>document.title='broken'</script>\"'<img src=x onerror=alert(1)>&amp;"
    one = ReportSet("<i>set</i>", [report(nasty, 40, slug="x"), report("ME(L)" + nasty, 30, slug="l")], [], BEST[:5])
    facts = Facts("<u>v1</u>", [(nasty, nasty)], [(nasty, nasty, 1)], [(nasty, nasty)], [nasty])
    page = opened(write(tmp_path, one, facts=facts))

    assert page.title() == "Connectivity reports (<u>v1</u>)"
    assert page.locator("img, u, i:not([style]), body script + script").count() == 0
    assert page.locator("tbody a").first.inner_text() == nasty
    page.get_by_role("button", name="region").click()
    assert len(order(page)) == 2


def test_inputs_exclusions_settings_and_notes_are_told(tmp_path, opened):
    text = opened(write(tmp_path, report_set(2, 60))).locator("body").inner_text()

    for said in (
        "/data/<b>bodies</b>.feather",
        "confidence below 0.5",
        "123,456",
        "primary: last rank",
        'A note for "readers" & others.',
    ):
        assert said in text


def test_left_and_right_are_compared(tmp_path, opened):
    page = opened(write(tmp_path, report_set(8, 300)))

    assert page.locator(".sides .name").all_inner_texts() == ["", "ME", "LO", "AOTU"]


def test_a_set_without_statuses_or_synapses_says_so(tmp_path, opened):
    bare = ReportSet("bare", [report("x", 20, status=False)], [], BEST[:5])
    empty = ReportSet("empty", [empty_report("nothing")], [], BEST[:5])
    page = opened(write(tmp_path, bare, empty, ReportSet("none", [], [], ())))

    text = page.locator("main").inner_text()
    assert "No body has a known tracing status here" in text
    assert "no synapses" in text
    assert "This set has no reports." in text


def test_sets_may_be_forgotten_one_by_one(tmp_path):
    sets = (report_set(2, 60, roiset=name) for name in ("one", "two"))
    write_overview(OutputDir(tmp_path), sets, FACTS)

    text = (tmp_path / "reports/index.html").read_text()
    assert "Regions of one" in text
    assert "Regions of two" in text


def test_headings_and_pictures_have_what_a_screen_reader_needs(tmp_path, opened):
    page = opened(write(tmp_path, report_set(4, 100)))

    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("[role=img]:not([aria-label])").count() == 0
    assert page.locator("th:not([scope])").count() == 0
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
