"""Write the figures of an evaluation's folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reports.figures.class_distribution import class_distribution
from reports.figures.confusion import confusion_figure
from reports.figures.learning_curves import learning_curves


def write_figures(
    folder: Path,
    confusion: NDArray[np.integer],
    names: Sequence[str],
    split: str,
    history: Sequence[Mapping[str, object]],
    counts: Mapping[str, Mapping[str, int]],
    score: str = "f1_macro",
    unit: str = "images",
) -> list[Path]:
    """Write confusion.png, learning_curves.png (where there is a history) and class_distribution.png.

    Args:
        folder: made where it does not exist.
        confusion: (C + 1, C + 1) counts, rows truth, columns predictions, void last.
        names: the C class names.
        split: the split of the confusion matrix.
        history: rows of history.csv.
        counts: number of images or pixels by split and class.
        score: the score in the learning curves.
        unit: of the counts.

    Returns:
        The files that were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "confusion.png", folder / "class_distribution.png"]
    confusion_figure(confusion, names, files[0], f"Confusion matrix, {split} split", unit)
    class_distribution(counts, files[1], unit)
    if history:
        files.append(folder / "learning_curves.png")
        learning_curves(history, files[-1], score)
    return files
