import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reports.figures.class_distribution import class_distribution
from reports.figures.confusion import confusion_figure
from reports.figures.learning_curves import learning_curves
from reports.figures.style import LONGEST_NAME, compact, drawing, short
from reports.figures.write import write_figures


def names(count):
    return [f"class {i}" for i in range(count)]


def diagonal(classes):
    """Ten samples of each class, all predicted right, none of them void."""
    confusion = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    confusion[range(classes), range(classes)] = 10
    return confusion


def history(epochs, **columns):
    return [{"epoch": epoch, **{name: values[epoch] for name, values in columns.items()}} for epoch in range(epochs)]


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.size


def texts(labels):
    return [label.get_text() for label in labels]


@pytest.mark.parametrize("classes", [2, 12, 60])
def test_confusion_figure_names_every_class_and_no_void(tmp_path, classes):
    figure = confusion_figure(diagonal(classes), names(classes), tmp_path / "c.png", "title")
    axes = figure.axes[0]
    assert texts(axes.get_xticklabels()) == names(classes)
    assert texts(axes.get_yticklabels()) == [f"{name}  10" for name in names(classes)]
    assert axes.get_title() == "title"
    # Row 0 on top: the diagonal runs down.
    assert axes.yaxis_inverted()
    assert pixels(tmp_path / "c.png") == tuple(figure.get_size_inches() * figure.dpi // 1)


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
    assert pixels(tmp_path / "c.png")[0] > 100


@pytest.mark.parametrize("epochs", [1, 2, 100])
def test_learning_curves_have_a_line_per_stream_and_mark_the_first_best_epoch(tmp_path, epochs):
    rising = [min(epoch, 60) / 100 for epoch in range(epochs)]
    rows = history(
        epochs,
        **{"train/loss": rising, "train_eval/loss": rising, "val/loss": rising},
        **{"train_eval/f1_macro": rising, "val/f1_macro": rising},
    )
    figure = learning_curves(rows, tmp_path / "l.png")
    best = min(epochs - 1, 60)
    for axes, lines in zip(figure.axes, (3, 2), strict=True):
        *curves, mark = axes.lines
        assert len(curves) == lines
        for curve in curves:
            np.testing.assert_array_equal(curve.get_xdata(), range(1, epochs + 1))
            np.testing.assert_allclose(curve.get_ydata(), rising)
        assert mark.get_xdata()[0] == best + 1  # counted from 1
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel()
    assert figure.get_suptitle().startswith(f"best epoch {best + 1}: validation macro F1 {best / 100:.3f}")
    assert pixels(tmp_path / "l.png") == (1080, 432)


def test_learning_curves_read_text_and_leave_gaps(tmp_path):
    rows = [
        {"epoch": "0", "val/loss": "1.5", "val/miou": ""},
        {"epoch": "1", "val/loss": "inf", "val/miou": "0.25"},
        {"epoch": "2", "val/loss": None, "val/miou": "nan"},
    ]
    figure = learning_curves(rows, tmp_path / "l.png", score="miou")
    loss, score = figure.axes
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), [1.5, np.nan, np.nan])
    np.testing.assert_array_equal(score.lines[0].get_ydata(), [np.nan, 0.25, np.nan])
    assert score.get_ylabel() == "mIoU"
    assert score.lines[-1].get_xdata()[0] == 2


def test_learning_curves_without_any_score_mark_nothing(tmp_path):
    figure = learning_curves([{"epoch": 0, "train/loss": 1.0}], tmp_path / "l.png")
    assert [len(axes.lines) for axes in figure.axes] == [1, 0]
    assert figure.get_suptitle() == ""


@pytest.mark.parametrize("classes", [2, 12, 60])
def test_class_distribution_has_a_bar_per_class_and_split(tmp_path, classes):
    counts = {
        split: dict.fromkeys(names(classes), number) for split, number in (("train", 70), ("val", 10), ("test", 20))
    }
    figure = class_distribution(counts, tmp_path / "d.png")
    assert [len(axes.patches) for axes in figure.axes] == [classes] * 3
    assert texts(figure.axes[0].get_yticklabels()) == names(classes)
    assert [axes.get_title() for axes in figure.axes] == [
        f"train: {70 * classes:,} images",
        f"val: {10 * classes:,} images",
        f"test: {20 * classes:,} images",
    ]
    assert all(bar.get_width() == pytest.approx(1 / classes) for axes in figure.axes for bar in axes.patches)


def test_pixels_are_told_in_a_few_letters(tmp_path):
    counts = {"train": {"road": 32_582_191, "curb": 0}, "val": {"road": 950, "curb": 4_100}}
    figure = class_distribution(counts, tmp_path / "d.png", "pixels")
    assert [axes.get_title() for axes in figure.axes] == ["train: 33M pixels", "val: 5.0k pixels"]
    assert [texts(axes.texts) for axes in figure.axes] == [["33M", "0"], ["950", "4.1k"]]
    assert figure.get_supxlabel() == "share of the split's pixels; its number beside each bar"


def test_the_ticks_of_a_class_distribution_are_not_rounded_to_the_same_text(tmp_path):
    axes = class_distribution({"train": dict.fromkeys(names(60), 1)}, tmp_path / "d.png").axes[0]
    ticks = texts(axes.get_xticklabels())
    assert len(set(ticks)) == len(ticks)
    assert ticks[0] == "0%"


def test_class_distribution_counts_a_class_that_a_split_lacks_as_none(tmp_path):
    figure = class_distribution({"train": {"a": 3, "b": 1}, "val": {"b": 2}, "test": {}}, tmp_path / "d.png")
    assert [[bar.get_width() for bar in axes.patches] for axes in figure.axes] == [[0.75, 0.25], [0, 1], [0, 0]]
    assert [texts(axes.texts) for axes in figure.axes] == [["3", "1"], ["0", "2"], ["0", "0"]]


def test_write_figures_writes_what_there_is(tmp_path):
    counts = {"train": {"class 0": 1, "class 1": 1}}
    files = write_figures(tmp_path / "new" / "figures", diagonal(2), names(2), "val", [], counts)
    assert sorted(path.name for path in (tmp_path / "new" / "figures").iterdir()) == [
        "class_distribution.png",
        "confusion.png",
    ]
    assert len(files) == 2
    files = write_figures(
        tmp_path / "new" / "figures", diagonal(2), names(2), "val", history(1, **{"val/loss": [1]}), counts
    )
    assert [path.name for path in files] == ["confusion.png", "class_distribution.png", "learning_curves.png"]
    assert all(path.is_file() for path in files)


def test_a_figure_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "c.png"
    path.write_bytes(b"old")

    def fail():
        with drawing(path, 1, 1):
            raise KeyError("midway")

    with pytest.raises(KeyError):
        fail()
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("c.png", b"old")]


def test_the_same_figure_is_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        confusion_figure(diagonal(3), names(3), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (9949, "9.9k"),
        (9960, "10k"),
        (38_400, "38k"),
        (4_120_000, "4.1M"),
        (2e9, "2.0G"),
    ],
)
def test_compact(number, text):
    assert compact(number) == text


def test_short_keeps_both_ends():
    name = "the beginning " + "x" * 50 + " the end"
    assert len(short(name)) <= LONGEST_NAME
    assert short(name).startswith("the beginning")
    assert short(name).endswith("the end")
    assert short("bus") == "bus"


def test_matplotlib_is_imported_late_and_without_global_figures():
    program = (
        "import sys, pathlib, numpy, tempfile; import reports.figures.write as figures; assert 'matplotlib' not in sys.modules;"
        "figures.confusion_figure(numpy.eye(3, dtype=int), 'ab', pathlib.Path(tempfile.mkdtemp()) / 'c.png');"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)
