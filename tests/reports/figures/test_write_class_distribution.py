import pytest

from reports.figures.write import class_distribution
from tests.reports.figures.conftest import names, texts


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
