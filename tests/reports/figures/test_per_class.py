import itertools

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score, jaccard_score

from label_spaces.crosswalk import FULL, NO, PARTLY, SHARED
from metrics.scores import class_scores, mean_scores
from reports.figures.per_class import per_class_figure
from reports.figures.style import BLUE, GREY, ORANGE


def scored(**f1):
    """Classes of these F1, and their means; IoU follows from F1."""
    classes = [{"name": name, "f1": value, "iou": None if value is None else value / (2 - value)} for name, value in f1.items()]  # fmt: skip
    known = [row for row in classes if row["f1"] is not None]
    means = {
        mean: sum(row[key] for row in known) / len(known) if known else None
        for mean, key in (("f1_macro", "f1"), ("miou", "iou"))
    }
    return classes, means


def texts(labels):
    return [label.get_text() for label in labels]


def colours(axes):
    from matplotlib.colors import to_hex

    return [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]


def test_the_best_is_on_top_and_the_mean_parts_the_classes(tmp_path):
    figure = per_class_figure(*scored(bus=0.2, car=0.9, road=0.4, sky=None), tmp_path / "p.png", "val split")
    f1, iou = figure.axes
    assert texts(f1.get_yticklabels()) == ["car", "road", "bus", "sky"]
    assert f1.yaxis_inverted()
    assert [bar.get_width() for bar in f1.patches] == [0.9, 0.4, 0.2, 0]
    assert texts(f1.texts) == ["0.900", "0.400", "0.200", "undefined"]
    assert colours(f1) == [BLUE, ORANGE, ORANGE, ORANGE]
    assert f1.lines[0].get_xdata()[0] == pytest.approx(0.5)
    assert f1.get_title() == "F1: 1 of 3 classes reach the mean, 0.500"
    # 9/11, 1/4 and 1/9 have the mean 0.393.
    assert iou.get_title() == "IoU: 1 of 3 classes reach the mean, 0.393"
    assert texts(iou.texts) == ["0.818", "0.250", "0.111", "undefined"]
    assert figure.get_suptitle() == "val split"


def test_a_class_at_the_mean_reaches_it(tmp_path):
    axes = per_class_figure(*scored(a=0.5, b=0.5), tmp_path / "p.png").axes[0]
    assert colours(axes) == [BLUE, BLUE]
    assert axes.get_title() == "F1: 2 of 2 classes reach the mean, 0.500"


def test_classes_that_a_model_cannot_predict_are_marked(tmp_path):
    given = scored(car=0.8, rider=0.0, person=0.4, road=0.0, sky=None)
    axes, other = per_class_figure(*given, tmp_path / "p.png", statuses=[FULL, SHARED, PARTLY, NO, NO]).axes
    assert texts(axes.texts) == [
        "0.800",
        "0.400  partly",
        "0.000  counts as another class",
        "0.000  cannot be predicted",
        "undefined  cannot be predicted",
    ]
    assert texts(other.texts) == ["0.667", "0.250", "0.000", "0.000", "undefined"]
    assert [label.get_color() == GREY for label in axes.get_yticklabels()] == [False, False, True, True, True]


def test_without_any_truth_there_is_no_mean(tmp_path):
    axes = per_class_figure(*scored(a=None, b=None), tmp_path / "p.png").axes[0]
    assert axes.get_title() == "F1: undefined"
    assert not axes.lines


@pytest.mark.parametrize("count", [2, 18, 60])
def test_names_do_not_overlap_and_values_stay_inside(tmp_path, count):
    given = scored(**{f"{i} a name that is far too long for a figure {i}": 1 - i / 100 for i in range(count)})
    figure = per_class_figure(*given, tmp_path / "p.png", statuses=[PARTLY] * count)
    axes = figure.axes[0]
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert len(boxes) == count
    assert all(abs(upper.y0 - lower.y0) > lower.height - 2 for upper, lower in itertools.pairwise(boxes))
    assert min(box.x0 for box in boxes) > 0
    assert max(text.get_window_extent().x1 for text in axes.texts) <= figure.axes[1].get_window_extent().x0
    with Image.open(tmp_path / "p.png") as image:
        assert image.size == tuple(figure.get_size_inches() * figure.dpi // 1)


def test_bars_and_lines_are_sklearns(tmp_path):
    draws = np.random.default_rng(0)
    truth, predicted = draws.integers(0, 4, 200), draws.integers(0, 4, 200)
    confusion = np.zeros((5, 5), np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    figure = per_class_figure(class_scores(confusion, "abcd"), mean_scores(confusion), tmp_path / "p.png")
    for axes, score in zip(figure.axes, (f1_score, jaccard_score), strict=True):
        best_first = sorted(score(truth, predicted, average=None), reverse=True)
        assert [bar.get_width() for bar in axes.patches] == pytest.approx(best_first)
        assert axes.lines[0].get_xdata()[0] == pytest.approx(score(truth, predicted, average="macro"))
