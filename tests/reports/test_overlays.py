"""Overlays: colours and contours over a picture, and a legend below it that names what is in it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.font_manager import fontManager

from label_spaces.space import LabelSpace
from reports.figures.style import undrawable
from reports.mask_images import colours
from reports.overlays import MOST_NAMED, font_of, overlay

SPACE = LabelSpace("toy", ("red", "green", "blue"), colours=((255, 0, 0), (0, 255, 0), (0, 0, 255)))


def swatches(legend, space):
    """By class the rows and columns of its colour in a legend."""
    found = {}
    for name, colour in zip(space.classes, colours(space), strict=False):
        rows, columns = np.nonzero((legend == colour).all(-1))
        if len(rows):
            found[name] = (rows, columns)
    return found


def drawn(mask, space=SPACE, grey=101):
    """The picture of an overlay, and its legend."""
    whole = np.array(overlay(np.full((*mask.shape, 3), grey, np.uint8), mask, space))
    return whole[: mask.shape[0], : mask.shape[1]], whole[mask.shape[0] :]


def test_half_image_and_half_colour_with_a_white_line_between_two_classes():
    mask = np.zeros((20, 30), np.uint8)
    mask[:, 12:] = 1
    mask[16:, 12:] = 3  # void
    picture, _ = drawn(mask)
    assert picture[3, 3].tolist() == [178, 50, 50]  # 50.5 goes to even
    assert picture[3, 20].tolist() == [50, 178, 50]
    assert picture[19, 20].tolist() == [101, 101, 101]  # no class: as it was
    white = (picture == 255).all(-1)
    assert white[:16, 11:14].sum(1).tolist() == [1] * 16  # along the border, one pixel wide
    assert not white[:, :11].any()
    assert not white[:15, 14:].any()


def test_the_legend_has_what_is_in_the_picture_the_largest_first():
    mask = np.zeros((60, 400), np.uint8)
    mask[:, 50:] = 2
    _, legend = drawn(mask)
    found = swatches(legend, SPACE)
    assert set(found) == {"red", "blue"}
    assert found["blue"][1].max() < found["red"][1].min()
    assert (legend < 128).all(-1).sum() > 50  # and their names


def test_of_many_classes_the_largest_are_named_and_the_rest_counted():
    space = LabelSpace("many", tuple(f"class {i}" for i in range(150)))
    for count in (MOST_NAMED, MOST_NAMED + 1, 150):
        mask = np.repeat(np.arange(count, dtype=np.uint8), 4)[None].repeat(30, 0)
        _, legend = drawn(mask, space)
        assert set(swatches(legend, space)) == set(space.classes[:MOST_NAMED])
    one_more, many_more = (drawn(mask[:, : 4 * n], space)[1] for n in (MOST_NAMED + 1, 149))  # fmt: skip
    assert legend.shape[0] == many_more.shape[0]
    assert one_more.shape[0] < 20 * (MOST_NAMED + 2)


@pytest.mark.parametrize(
    ("height", "width", "letter"), [(227, 320, 11), (2160, 3840, 48), (1920, 1080, 24), (40, 20, 11)]
)
def test_letters_grow_with_the_picture(height, width, letter):
    mask = np.zeros((height, width), np.uint8)
    mask[: height // 2] = 1
    whole = np.array(overlay(np.zeros((height, width, 3), np.uint8), mask, SPACE))
    for rows, columns in swatches(whole[height:], SPACE).values():
        assert np.ptp(rows) + 3 == np.ptp(columns) + 3 == letter + 1  # with its outline
    line = (whole[:height, width // 2] == 255).all(-1).sum()
    assert line == max(1, round(max(height, width) / 960))
    assert whole.shape[1] == width or width == 20  # a legend is never cut off
    assert (whole[height:, -1] == 255).all()


def test_a_picture_without_any_class_has_no_legend():
    picture, legend = drawn(np.full((5, 6), 3, np.uint8))
    assert (picture == 101).all()
    assert legend.shape == (0, 6, 3)


def test_names_of_users_are_drawn_in_a_font_that_has_their_letters():
    assert undrawable(["road"]) == []
    assert Path(font_of("road")).name == "DejaVuSans.ttf"
    other = "road \N{MATHEMATICAL LEFT WHITE TORTOISE SHELL BRACKET}"
    assert undrawable([other]) == [other]
    assert "STIX" in font_of(other)  # matplotlib's other fonts are always there
    assert font_of("\U000e01ef road") == ""


def test_a_font_that_is_gone_or_damaged_is_passed_over(monkeypatch, tmp_path):
    (tmp_path / "damaged.ttf").write_text("no font")
    bad = [SimpleNamespace(fname=str(tmp_path / name)) for name in ("damaged.ttf", "gone.ttf")]
    monkeypatch.setattr(fontManager, "ttflist", [*bad, *fontManager.ttflist])
    assert "STIX" in font_of("again \N{MATHEMATICAL LEFT WHITE TORTOISE SHELL BRACKET}")
    assert font_of("again \U000e01ef") == ""


def test_a_name_without_a_font_is_called_by_its_number():
    space = LabelSpace("toy", ("\U000e01ee", "class 1"), colours=((255, 0, 0), (0, 255, 0)))
    named = LabelSpace("toy", ("class 0", "class 1"), colours=space.colours)
    mask = np.array([[0, 1], [0, 0]], np.uint8)
    np.testing.assert_array_equal(drawn(mask, space)[1], drawn(mask, named)[1])


def test_names_with_control_characters_or_without_end_are_drawn():
    space = LabelSpace("toy", ("a\nb", "x" * 300, "$a_b$"))
    mask = np.array([[0, 1, 2]], np.uint8).repeat(300, 1).repeat(30, 0)
    _, legend = drawn(mask, space)
    assert legend.shape[1] == 900
    assert len({rows.min() for rows, _ in swatches(legend, space).values()}) <= 2
