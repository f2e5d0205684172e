import itertools

import numpy as np
import pytest

from reports.figures.confusion import confusion_figure
from tests.reports.figures.conftest import diagonal, names, png_size, texts


@pytest.mark.parametrize("classes", [2, 12, 60])
def test_confusion_figure_names_every_class_and_no_void(tmp_path, classes):
    figure = confusion_figure(diagonal(classes), names(classes), tmp_path / "c.png", "title")
    axes = figure.axes[0]
    assert texts(axes.get_xticklabels()) == names(classes)
    assert texts(axes.get_yticklabels()) == [f"{name}  10" for name in names(classes)]
    assert axes.get_title() == "title"
    # Row 0 on top: the diagonal runs down.
    assert axes.yaxis_inverted()
    assert png_size(tmp_path / "c.png") == tuple(figure.get_size_inches() * figure.dpi // 1)


@pytest.mark.parametrize(("classes", "annotations"), [(2, 2), (12, 12), (13, 13), (20, 20), (21, 0), (60, 0)])
def test_only_confusion_figures_of_few_classes_have_numbers(tmp_path, classes, annotations):
    cells = confusion_figure(diagonal(classes), names(classes), tmp_path / "c.png").axes[0].texts
    assert len(cells) == annotations
    if cells:
        assert texts(cells)[0] == ("100%\n10" if classes <= 12 else "100%")


def test_confusion_figure_shows_void_only_where_it_occurs(tmp_path):
    predicted, present = diagonal(3), diagonal(3)
    predicted[0, 3], present[3, 1] = 4, 5

    axes = confusion_figure(predicted, names(3), tmp_path / "c.png").axes[0]
    assert texts(axes.get_xticklabels())[-1] == "void"
    assert len(axes.get_yticklabels()) == 3

    axes = confusion_figure(present, names(3), tmp_path / "c.png").axes[0]
    assert len(axes.get_xticklabels()) == 3
    assert texts(axes.get_yticklabels())[-1] == "void  5"


def test_confusion_figure_normalises_rows(tmp_path):
    confusion = np.array([[6, 2, 0], [0, 0, 0], [0, 0, 0]])
    axes = confusion_figure(confusion, names(2), tmp_path / "c.png").axes[0]
    np.testing.assert_allclose(np.ma.filled(axes.collections[0].get_array(), np.nan), [[0.75, 0.25], [np.nan, np.nan]])
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0.5, 0.5): "75%\n6",
        (1.5, 0.5): "25%\n2",
    }


def test_a_share_is_not_rounded_to_all_or_nothing(tmp_path):
    confusion = np.array([[9999, 1, 0], [0, 0, 0], [0, 0, 0]])
    cells = confusion_figure(confusion, names(2), tmp_path / "c.png").axes[0].texts
    assert texts(cells) == [">99%\n10k", "<1%\n1"]


def test_a_void_prediction_lowers_the_share_of_the_right_ones(tmp_path):
    confusion = np.array([[5, 0, 5], [0, 10, 0], [0, 0, 0]])
    cells = confusion_figure(confusion, names(2), tmp_path / "c.png").axes[0].texts
    assert texts(cells) == ["50%\n5", "50%\n5", "100%\n10"]


def test_labels_of_a_confusion_figure_do_not_overlap(tmp_path):
    long = [f"{i} a name that is far too long for a figure {i}" for i in range(60)]
    figure = confusion_figure(diagonal(60), long, tmp_path / "c.png")
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(upper.y0 > lower.y1 - 2 for upper, lower in itertools.pairwise(boxes))
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(left.x1 < right.x0 + 2 for left, right in itertools.pairwise(boxes))
    assert min(label.get_window_extent().x0 for label in figure.axes[0].get_yticklabels()) > 0


def test_class_names_are_not_read_as_formulas(tmp_path):
    confusion_figure(diagonal(2), ["$\\frac$", "a_$b"], tmp_path / "c.png")
    assert png_size(tmp_path / "c.png")[0] > 100
