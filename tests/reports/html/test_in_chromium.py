"""Pages in a real browser: nothing is requested or complained about, nothing overflows, and what is interactive works."""

import base64
from itertools import combinations, pairwise

import numpy as np
import pytest

from label_spaces.space import LabelSpace
from reports.html.evaluation import Gallery, write_report
from reports.html.pictures import strip
from run_folder import write_json
from tests.chromium import AXE, MISSING, NO_AXE, PROGRAM, Chromium
from tests.reports.html.conftest import AWKWARD, classified, write_run

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)
LONG = "a class whose name is so long that nobody would read it to its end"
BOXES = """[...document.querySelectorAll("svg.matrix text")].filter(each => getComputedStyle(each).display !== "none")
.map(each => { const box = each.getBBox(); return each.classList.contains("label") ? null : [box.x, box.y, box.width, box.height]; }).filter(Boolean)"""
LABELS = """[...document.querySelectorAll("svg.matrix text.label:not([transform])")].map(each => { const b = each.getBBox(); return [b.x, b.y, b.width, b.height]; })"""
SLANTED = """[...document.querySelectorAll("svg.matrix text.label[transform]")].map(each => {
  const b = each.getBBox(), m = each.transform.baseVal.consolidate().matrix; return [m.e, m.f, b.width, b.height, Math.round(Math.atan2(m.b, m.a) * 180 / Math.PI)]; })"""


@pytest.fixture(scope="module")
def browser():
    with Chromium() as opened:
        yield opened


@pytest.fixture(params=[2, 7, 26, 150])
def page(request, tmp_path, settings):
    """The page of images of so many classes, each taken for its neighbour now and then; two have awkward names."""
    count = request.param
    names = (AWKWARD, LONG, *(f"class {number}" for number in range(count - 2)))
    truth = [i % count for i in range(3 * count)]
    prediction = [(each + (place % 4 == 0)) % count for place, each in enumerate(truth)]
    files = write_run(
        tmp_path / "run", classified(truth, prediction, [0.6] * len(truth), names), settings["classification"]
    )
    write_report(files.folder, files.run, "f1_macro", Gallery())
    return files.folder / "report.html"


@pytest.fixture
def frames(masks):
    image, truth = np.full((90, 160, 3), 90, np.uint8), np.zeros((90, 160), np.uint8)
    pictures = {row: strip(image, truth, truth + 1, LabelSpace("streets", ("road", "car", "boat"))) for row in range(3)}
    write_report(masks.folder, masks.run, "miou", Gallery(pictures, [("road", "#804080")]))
    return masks.folder / "report.html"


def overlapping(boxes, slack=0.5):
    """Pairs of boxes (x, y, width, height) that share more than `slack` pixels each way."""
    return [
        (a, b)
        for a, b in combinations(boxes, 2)
        if min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]) > slack
        and min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]) > slack
    ]


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1440, True)])
def test_nothing_is_requested_nothing_overflows_and_it_is_quick(browser, page, width, dark):
    seconds = browser.show(page, width, dark=dark)
    assert (browser.requests, browser.errors) == ([], [])
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert seconds < 20  # alone on a machine it is under 1


def test_pictures_are_shown_and_fit(browser, frames):
    browser.show(frames, 390)
    assert (browser.requests, browser.errors) == ([], [])
    assert browser.value("document.documentElement.scrollWidth") <= 390
    assert browser.value("[...document.images].map(each => each.naturalWidth)") == [160] * 12


def test_text_in_the_matrix_never_overlaps(browser, page):
    browser.show(page)
    assert overlapping(browser.value(LABELS)) == []
    numbers = browser.value(BOXES)
    assert (
        overlapping([box for box in numbers if box[2]], slack=3) == []
    )  # boxes of lines are higher than their letters
    cell = browser.value("JSON.parse(document.getElementById('matrix-data').textContent).cell")
    assert all(box[2] <= cell for box in numbers[2:])  # the first two name the axes
    slanted = browser.value(SLANTED)
    # Parallel lines of text are as far apart as their starting points, across their direction.
    apart = {-45: 2**-0.5, -90: 1.0}
    for (x, _, _, height, angle), (following, *_) in pairwise(slanted):
        assert (following - x) * apart[angle] >= height - 3


def test_a_name_that_is_a_script_is_shown_and_not_run(browser, page):
    browser.show(page)
    assert AWKWARD in browser.value("document.querySelector('#class-table tbody').innerText")
    assert browser.value("document.scripts.length") == 2


def test_columns_sort_both_ways_with_what_is_undefined_last(browser, frames):
    browser.show(frames)
    column = "[...document.querySelectorAll('#class-table tbody tr')].map(row => row.cells[0].innerText.split(' ')[0].split('\\n')[0])"
    press = "document.querySelectorAll('#class-table thead button')[{}].click()"
    for number, orders in ((1, (["road", "car", "boat"], ["car", "road", "boat"])), (0, (["boat", "car", "road"], ["road", "car", "boat"]))):  # fmt: skip
        for expected in orders:
            browser.value(press.format(number))
            assert browser.value(column) == expected
    assert browser.value("document.querySelector('#class-table th[aria-sort]').ariaSort") == "descending"


def test_the_pair_under_the_pointer_and_at_the_cursor_is_in_words(browser, frames):
    browser.show(frames)
    said = "document.getElementById('matrix-pair').textContent"
    browser.value("document.querySelector('svg.matrix').focus()")
    assert browser.value(said) == "truth road → prediction road: 85.7 %, 18 of 21 pixels"
    browser.press("ArrowRight")
    assert browser.value(said) == "truth road → prediction car: 9.5 %, 2 of 21 pixels"
    browser.press("ArrowDown")
    browser.press("ArrowLeft")
    assert browser.value(said) == "truth car → prediction road: 50.0 %, 4 of 8 pixels"
    for _ in range(9):
        browser.press("ArrowRight")
    assert "prediction void: 0.0 %" in browser.value(said)
    x, y = browser.value(
        "(() => { const s = document.querySelector('svg.matrix'); s.scrollIntoView({behavior: 'instant'}); const b = s.querySelectorAll('.cell')[1].getBoundingClientRect(); return [b.x + 5, b.y + 5]; })()"
    )
    browser.point(x, y)
    assert browser.value(said) == "truth road → prediction car: 9.5 %, 2 of 21 pixels"


def test_the_page_follows_the_cursor_at_once(browser, page):
    """An animated scroll still moves the matrix below a pointer that comes after the keys."""
    browser.show(page, 1440, 120)
    browser.value("document.querySelector('svg.matrix').focus()")
    for _ in range(40):
        browser.press("ArrowDown")
    place = "document.querySelector('svg.matrix .cursor').getBoundingClientRect().top"
    first = browser.value(place)
    assert browser.value(f"new Promise(done => setTimeout(() => done({place}), 300))") == first
    assert 0 <= first <= 120


def test_all_is_there_without_javascript(browser, frames):
    browser.show(frames, script=False)
    root = browser("DOM.getDocument", depth=0)["root"]["nodeId"]
    for selector, count in (
        ("#class-table tbody tr", 3),
        ("svg.matrix .cell title", 5),
        ("th button", 0),
        ("section", 10),
        ("#calibration-table tbody tr", 2),
    ):
        found = browser("DOM.querySelectorAll", nodeId=root, selector=selector)["nodeIds"]
        assert len(found) == count, selector


@pytest.fixture(params=["a class absent", "a single class predicted", "without truth"])
def unusual(request, tmp_path, settings, masks):
    """The page of an evaluation in which something is missing."""
    if request.param == "without truth":
        for name in ("confusion.csv", "per_class.csv", "slices.csv", "per_sample.npz", "class_counts.csv"):
            (masks.folder / name).unlink()
        nothing = {name: None for name, value in masks.scores.items() if isinstance(value, float)}
        write_json(masks.folder / "scores.json", {**masks.scores, **nothing, "intervals": None, "baselines": {}})
        write_report(masks.folder, masks.run, "miou", Gallery())
        return masks.folder / "report.html"
    prediction = [1, 1, 2, 2] if "absent" in request.param else [1, 1, 1, 1]
    evaluation = classified([1, 1, 2, 2], prediction, [0.6] * 4, ("never", "often", "seldom"))
    files = write_run(tmp_path / "other", evaluation, settings["classification"])
    write_report(files.folder, files.run, "f1_macro", Gallery())
    return files.folder / "report.html"


@pytest.mark.parametrize("width", [390, 1440])
def test_what_is_missing_leaves_a_page_that_is_whole(browser, unusual, width):
    browser.show(unusual, width)
    assert (browser.requests, browser.errors) == ([], [])
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert "nan" not in browser.value("document.querySelector('main').innerText.toLowerCase().split(/[^a-z]+/)")
    if AXE is not None:
        assert browser.violations() == []


def test_on_paper_no_table_and_no_picture_is_cut_off(browser, page, frames):
    for each in (page, frames):
        browser.show(each, 718)  # A4 at 96 pixels an inch, with Chromium's margins of 1 cm
        browser("Emulation.setEmulatedMedia", media="print")
        browser.value("dispatchEvent(new Event('beforeprint'))")
        right = "Math.max(...[...document.querySelectorAll('table, svg, img, pre, p')].map(each => each.getBoundingClientRect().right))"
        assert browser.value(right) <= 718
        assert browser.value("[...document.querySelectorAll('details')].every(each => each.open)")
        assert base64.b64decode(browser("Page.printToPDF")["data"]).startswith(b"%PDF")
        browser("Emulation.setEmulatedMedia", media="")


@pytest.mark.skipif(AXE is None, reason=NO_AXE)
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1440, True)])
def test_axe_finds_nothing_that_breaks_wcag(browser, page, frames, width, dark):
    for each in (page, frames):
        browser.show(each, width, dark=dark)
        browser.value("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        assert browser.violations() == []


LUMINANCE = """(() => { const hex = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
return Object.fromEntries(["card", "page", "soft", "ink", "muted", "accent", "second", "third", "cell", "cell-low", "cell-high"].map(n => [n, hex("--" + n)])); })()"""


def contrast(first, second):
    """WCAG's ratio of two colours, of RGB in 0–1."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_passes_wcag_aa(browser, frames, dark):
    browser.show(frames, dark=dark)
    colours = {
        name: [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)] for name, text in browser.value(LUMINANCE).items()
    }
    for text in ("ink", "muted", "accent", "second"):
        for ground in ("card", "page"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["ink"], colours["soft"]) >= 4.5
    for alpha in (n / 100 for n in range(101)):
        ground = [low + alpha * (high - low) for low, high in zip(colours["card"], colours["cell"], strict=True)]
        assert contrast(colours["cell-high" if alpha > 0.65 else "cell-low"], ground) >= 4.5, alpha
