"""The page of a sweep in a real browser: nothing is requested or complained about, nothing overflows, tables sort."""

import pytest

from entry.sweep_page import write
from run_folder import write_text
from tests.chromium import AXE, MISSING, NO_AXE, PROGRAM, Chromium
from tests.reports.html.conftest import AWKWARD
from tests.swept import curve, write_job, write_many, write_study, write_sweep, write_table

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)
LONG = "a_value_that_is_so_long_that_nobody_would_read_it_to_its_end_" * 3


@pytest.fixture(scope="module")
def browser():
    with Chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """A search of 40 jobs with two objectives, that ended in all ways; one waits."""
    folder = write_many(tmp_path_factory.mktemp("search") / "s", 40)
    write_table(folder, {40: ["optimizer.lr=0.1", "model=custom_cnn", "seed=1"]})
    write_text(folder / "experiment" / "best.yaml", "")
    write_study(folder, ["maximize", "minimize"])
    return write(folder)


@pytest.fixture(scope="module")
def awkward(tmp_path_factory):
    """A sweep over names that are scripts or long, with two seeds each."""
    folder = write_sweep(tmp_path_factory.mktemp("awkward") / "s", [AWKWARD, LONG])
    for i, value in enumerate([AWKWARD, LONG, "b"]):
        for seed in range(2):
            write_job(folder, 2 * i + seed, [f"data.name={value}", f"seed={seed}"], scores=curve(0.5 + 0.1 * i, 4))
    write_job(folder, 6, [f"data.name={LONG}", "seed=9"], "failed", log=LONG)
    return write(folder)


@pytest.fixture(params=["search", "awkward"])
def page(request, search, awkward):
    return {"search": search, "awkward": awkward}[request.param]


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1440, False), (1440, True)])
def test_nothing_is_requested_or_complained_about_and_nothing_overflows(browser, page, width, dark):
    browser.show(page, width, dark=dark)
    assert (browser.requests, browser.errors) == ([], [])
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.scripts.length") == 1


def test_what_was_typed_is_shown(browser, awkward):
    browser.show(awkward)
    assert browser.value("document.querySelector('#job-table tbody').innerText").count(AWKWARD) == 2
    assert AWKWARD in browser.value("document.querySelector('#tried pre').innerText")


def test_jobs_are_sorted_by_each_kind_of_column(browser, search):
    browser.show(search)
    numbers = "[...document.querySelectorAll('#job-table tbody tr')].map(row => Number(row.cells[0].innerText))"
    column = "[...document.querySelectorAll('#job-table tbody tr')].map(row => row.cells[{}].dataset.value ?? row.cells[{}].innerText)"  # fmt: skip
    scores = [float(each) for each in browser.value(column.format(1, 1)) if each]
    assert len(scores) == 32
    assert scores == sorted(scores, reverse=True)
    browser.value("document.querySelectorAll('#job-table thead button')[0].click()")
    assert browser.value(numbers) == [*range(40, -1, -1)]
    browser.value("document.querySelectorAll('#job-table thead button')[2].click()")
    rates = [float(each) for each in browser.value(column.format(2, 2))]
    assert rates == sorted(rates, reverse=True)
    browser.value("document.querySelectorAll('#job-table thead button')[5].click()")
    states = browser.value(column.format(5, 5))
    assert states == sorted(states)
    assert set(states) == {"failed", "finished", "pruned", "refused", "waiting"}


def test_text_of_charts_never_overlaps_and_stays_within_them(browser, page):
    browser.show(page)
    boxes = browser.value("[...document.querySelectorAll('#keys svg, #search svg, #curves figure > svg')].map(svg => [svg.viewBox.baseVal.width, ...[...svg.querySelectorAll('text')].map(each => { const b = each.getBBox(); return [b.x, b.y, b.width, b.height]; })])")  # fmt: skip
    assert len(boxes) >= 5
    for width, *chart in boxes:
        for i, a in enumerate(chart):
            assert a[0] >= -1
            assert a[0] + a[2] <= width + 1
            for b in chart[:i]:
                assert min(a[0] + a[2], b[0] + b[2]) <= max(a[0], b[0]) + 0.5 or min(a[1] + a[3], b[1] + b[3]) <= max(a[1], b[1]) + 3  # fmt: skip


def test_all_is_there_without_javascript(browser, search):
    browser.show(search, script=False)
    root = browser("DOM.getDocument", depth=0)["root"]["nodeId"]
    counts = {"#job-table tbody tr": 41, "th button": 0, "#curves polyline": 60, "#slots rect.span": 44, "#keys circle": 96, "#keys .cross": 8}  # fmt: skip
    for selector, count in counts.items():
        assert len(browser("DOM.querySelectorAll", nodeId=root, selector=selector)["nodeIds"]) == count, selector


def test_links_lead_to_files_of_the_sweep(browser, search):
    browser.show(search)
    links = browser.value("[...document.querySelectorAll('a')].map(each => each.getAttribute('href')).filter(each => !each.startsWith('#'))")  # fmt: skip
    assert len(links) > 100
    assert [link for link in links if not (search.parent / link).exists()] == []


@pytest.mark.skipif(AXE is None, reason=NO_AXE)
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1440, True), (1440, False)])
def test_axe_finds_nothing_that_breaks_wcag(browser, page, width, dark):
    browser.show(page, width, dark=dark)
    browser.value("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert browser.violations() == []
