"""Behind the commands: composing, checking, building. Importing it stays cheap: --help must not wait for torch."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entry.model import TrainedModel


def load_run(
    folder: str | Path, checkpoint: str | Path = "best", device: str | None = None, allow: Sequence[str] = ()
) -> "TrainedModel":
    """Open the model of a run folder to predict images: ``ids, probabilities = model.predict(images)``.

    `checkpoint` is best, last or a path; `device` auto, cpu, cuda or cuda:1 (None: as the run's trainer.accelerator); `allow`
    names packages of your own that the run uses. The numbers are those of predict.py. Nothing is printed or written. Raises
    ValueErrors with what to do: RequestError, RunFolderError, SettingsError, WeightsError.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it looks for updates over the network otherwise
    from entry.model import open_model

    return open_model(folder, checkpoint, device, allow)
