"""The page of a dataset in a real browser: nothing is requested or complained about, nothing overflows, tables sort."""

from dataclasses import replace

import numpy as np
import pytest

from reports.html.exploration import Pictures, page
from tests.chromium import AXE, MISSING, NO_AXE, PROGRAM, Chromium
from tests.datamodules.test_description import bare, explored
from tests.reports.html.conftest import AWKWARD
from tests.reports.html.test_exploration import ERRORS, content_of, pictures

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)
LONG = "a_class_whose_name_is_so_long_that_nobody_would_read_it_to_its_end_and_that_has_no_space"


@pytest.fixture(scope="module")
def browser():
    with Chromium() as opened:
        yield opened


@pytest.fixture(params=[0, 2, 26, 150])
def written(request, tmp_path):
    """The page of frames of so many classes, two of which have awkward names; without any, of images without truth."""
    count = request.param
    names = (AWKWARD, LONG, *(f"class {number}" for number in range(count)))[:count]
    elements = np.random.default_rng(count).integers(0, 10**6, (4, 2, count + 1))
    known = explored(classes=names, elements=elements) if count else bare()
    long = replace(known.samples[1], name=f"{LONG}/{LONG}.png")
    content = content_of(
        replace(known, samples=[known.samples[0], long, *known.samples[2:]]), label_errors=ERRORS if count else None
    )
    file = tmp_path / "explore.html"
    file.write_text(page(content, pictures() if count else Pictures()))
    return file


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1440, True)])
def test_nothing_is_requested_and_nothing_overflows(browser, written, width, dark):
    browser.show(written, width, dark=dark)
    assert (browser.requests, browser.errors) == ([], [])
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("[...document.images].every(each => each.naturalWidth > 0)")


def test_names_are_shown_and_columns_sort(browser, tmp_path):
    file = tmp_path / "explore.html"
    file.write_text(page(content_of(explored(classes=("road", "sky", AWKWARD))), pictures()))
    browser.show(file)
    column = "[...document.querySelectorAll('#class-table tbody tr')].map(row => row.cells[0].innerText)"
    assert browser.value(column) == ["road", "sky", AWKWARD]
    for expected in (["road", "sky", AWKWARD], [AWKWARD, "sky", "road"]):
        browser.value("document.querySelectorAll('#class-table thead button')[1].click()")
        assert browser.value(column) == expected
    assert browser.value("document.scripts.length") == 1


@pytest.mark.skipif(AXE is None, reason=NO_AXE)
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1440, True)])
def test_axe_finds_nothing_that_breaks_wcag(browser, written, width, dark):
    browser.show(written, width, dark=dark)
    browser.value("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert browser.violations() == []
