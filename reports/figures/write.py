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
    score: str,
    unit: str,
) -> None:
    """Write confusion.png, class_distribution.png and, where there is a history, learning_curves.png of the score."""
    folder.mkdir(parents=True, exist_ok=True)
    confusion_figure(confusion, names, folder / "confusion.png", f"Confusion matrix, {split} split", unit)
    class_distribution(counts, folder / "class_distribution.png", unit)
    if history:
        learning_curves(history, folder / "learning_curves.png", score)
