import numpy as np
import pytest

from metrics.scores import SCORES, Score
from reports.figures.learning_curves import learning_curves
from tests.reports.figures.conftest import png_size


def history(epochs, **columns):
    return [{"epoch": epoch, **{name: values[epoch] for name, values in columns.items()}} for epoch in range(epochs)]


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
    assert png_size(tmp_path / "l.png") == (1080, 432)


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


def test_the_best_epoch_of_an_error_is_the_one_with_the_lowest(tmp_path, monkeypatch):
    monkeypatch.setitem(SCORES, "error_rate", Score("error_rate", None, higher_is_better=False))
    rows = [{"epoch": epoch, "val/error_rate": rate} for epoch, rate in enumerate((0.5, 0.2, 0.3))]
    figure = learning_curves(rows, tmp_path / "l.png", "error_rate")
    assert figure.get_suptitle() == "best epoch 2: validation error_rate 0.200"
