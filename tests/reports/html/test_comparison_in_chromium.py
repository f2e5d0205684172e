"""The page of a comparison in a real browser."""

import numpy as np
import pytest

from entry.comparable import read_evaluations
from entry.comparison import compare, settings_table
from label_spaces.space import LabelSpace
from reports.html.comparison import Gallery, changed, write_page
from reports.html.pictures import legend, strip
from run_folder import write_csv
from tests.chromium import AXE, MISSING, NO_AXE, PROGRAM, Chromium
from tests.compared import write_masks, write_run
from tests.reports.html.conftest import AWKWARD

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)
LONG = "a_run_whose_name_is_so_long_that_nobody_would_read_it_to_its_end_" * 2


@pytest.fixture(scope="module")
def browser():
    with Chromium() as opened:
        yield opened


@pytest.fixture(params=["frames", "images"])
def page(request, tmp_path):
    """Three runs, of which one has a long name, with curves; a class is called as a script."""
    write, split = (write_masks, "val") if request.param == "frames" else (write_run, "test")
    runs = [write(tmp_path / name, right, i) for i, (name, right) in enumerate([("a", 0.9), (LONG, 0.6), ("c", 0.7)])]
    for run in runs[:2]:
        write_csv(run / "history.csv", [{"epoch": i, "train/loss": 2 - 0.1 * i, "val/loss": 1, "val/miou": 0.1 * i, "val/f1_macro": 0.1 * i} for i in range(8)])  # fmt: skip
    groups = [[each] for each in read_evaluations(runs, split)]
    for group in groups:
        group[0].scores["classes"][0]["name"] = AWKWARD
    space = LabelSpace("streets", (AWKWARD, "car", "sky"))
    image, truth = np.full((90, 160, 3), 90, np.uint8), np.zeros((90, 160), np.uint8)
    image_of, truth_of, mask_of, wrong_of = ([each] for each in strip(image, truth, truth + 1, space))
    panels = [*image_of, *mask_of * 3, *truth_of, *wrong_of * 3] if request.param == "frames" else image_of
    gallery = Gallery({int(row): panels for row in changed(groups)}, legend(space))
    write_page(tmp_path, compare(groups, []), groups, settings_table(groups), "python compare.py 'runs=[a,b]'", gallery)
    return tmp_path / "compare.html"


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1440, True)])
def test_nothing_is_requested_or_complained_about_and_nothing_overflows(browser, page, width, dark):
    browser.show(page, width, dark=dark)
    assert (browser.requests, browser.errors) == ([], [])
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("[...document.images].every(each => each.naturalWidth > 0) && document.images.length > 5")
    assert AWKWARD in browser.value("document.querySelector('#classes tbody').innerText")
    assert browser.value("document.scripts.length") == 1


def test_text_of_the_scores_never_overlaps(browser, page):
    browser.show(page)
    boxes = browser.value("[...document.querySelectorAll('#scores svg')].map(svg => [...svg.querySelectorAll('text')].map(each => { const b = each.getBBox(); return [b.x, b.y, b.width, b.height]; }))")  # fmt: skip
    assert len(boxes) == 3
    for chart in boxes:
        for i, a in enumerate(chart):
            assert a[0] >= 0
            assert a[0] + a[2] <= 461
            for b in chart[:i]:
                assert min(a[0] + a[2], b[0] + b[2]) <= max(a[0], b[0]) + 0.5 or min(a[1] + a[3], b[1] + b[3]) <= max(a[1], b[1]) + 3  # fmt: skip


def test_tables_are_sorted_by_their_columns(browser, page):
    browser.show(page)
    column = (
        "[...document.querySelectorAll('#difference-table tbody tr')].map(row => Number(row.cells[3].dataset.value))"
    )
    before = browser.value(column)
    browser.value("document.querySelectorAll('#difference-table thead button')[3].click()")
    assert browser.value(column) == sorted(before, reverse=True)
    browser.value("document.querySelectorAll('#difference-table thead button')[3].click()")
    assert browser.value(column) == sorted(before)


def test_all_is_there_without_javascript(browser, page):
    browser.show(page, script=False)
    root = browser("DOM.getDocument", depth=0)["root"]["nodeId"]
    for selector, count in (
        ("#difference-table tbody tr", 9),
        ("#classes table", 3),
        ("th button", 0),
        ("#curves polyline", 6),
    ):
        found = browser("DOM.querySelectorAll", nodeId=root, selector=selector)["nodeIds"]
        assert len(found) == count, selector


@pytest.mark.skipif(AXE is None, reason=NO_AXE)
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1440, True)])
def test_axe_finds_nothing_that_breaks_wcag(browser, page, width, dark):
    browser.show(page, width, dark=dark)
    browser.value("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert browser.violations() == []
